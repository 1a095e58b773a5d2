//! `cargo xtask build`: wasm-pack for each build, then one publishable npm package around them.

pub(crate) mod size;
pub(crate) mod wasm;

use std::{fs, path::Path};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Map, Value};

use self::size::Weight;
use crate::{
    config::{Build, Config},
    process,
    project::Project,
    setup::Tools,
};

/// Documents of the tree that the package carries where they exist.
const DOCUMENTS: [&str; 4] = ["README.md", "LICENSE", "LICENSE-MIT", "LICENSE-APACHE"];

/// Builds the package into the folder that `wasm-pack.toml` names, which is emptied first. Returns what each build weighs.
pub(crate) fn build(project: &Project, config: &Config, tools: &Tools) -> Result<Vec<Weight>> {
    let package = project.root().join(config.wasm_pack.package_folder().context("no build")?);
    if package.exists() {
        fs::remove_dir_all(&package)?;
    }
    let mut generated = Map::new();
    let mut weights = Vec::new();
    for build in &config.wasm_pack.builds {
        generated = wasm_pack(project, tools, build).with_context(|| format!("build `{}`", build.name))?;
        let file = project.root().join(&build.out_dir).join(build.wasm_file());
        if build.optimize {
            wasm::optimize(tools, &file, &config.wasm_pack.wasm_opt)?;
        }
        wasm::check_imports(&fs::read(&file)?).with_context(|| format!("build `{}`", build.name))?;
        weights.push(Weight::of(build, &file, tools)?);
    }
    let manifest = config.manifest.lay_over(generated)?;
    fs::write(package.join("package.json"), format!("{:#}\n", Value::Object(manifest)))?;
    for document in DOCUMENTS.map(|name| project.root().join(name)).iter().filter(|file| file.is_file()) {
        fs::copy(document, package.join(document.file_name().unwrap_or_default()))?;
    }
    for file in config.manifest.exported_files()? {
        ensure!(package.join(file).is_file(), "pkg.json exports `{file}`, which no build made");
    }
    Ok(weights)
}

/// Runs wasm-pack and returns the manifest that it wrote.
fn wasm_pack(project: &Project, tools: &Tools, build: &Build) -> Result<Map<String, Value>> {
    let mut command = tools.wasm_command("wasm-pack");
    // Its own optimizer knows no feature flags, and what it would install is there already.
    command.args(["build", ".", "--mode", "no-install", "--no-opt", "--target", build.target.as_str()]);
    command.args(build.profile.arguments()).args(["--out-name", &build.name]).arg("--out-dir").arg(&build.out_dir);
    command.arg("--").args(build.cargo_args()).current_dir(project.root());
    process::run(&mut command)?;
    let folder = project.root().join(&build.out_dir);
    let manifest = fs::read_to_string(folder.join("package.json")).context("wasm-pack's package.json")?;
    remove_what_belongs_to_a_package(&folder)?;
    Ok(serde_json::from_str(&manifest)?)
}

/// The builds share one package, so its documents are not repeated; and wasm-pack's `.gitignore` would hide the build from npm.
fn remove_what_belongs_to_a_package(folder: &Path) -> Result<()> {
    for name in DOCUMENTS.into_iter().chain(["package.json", ".gitignore"]) {
        let file = folder.join(name);
        if file.exists() {
            fs::remove_file(file)?;
        }
    }
    Ok(())
}
