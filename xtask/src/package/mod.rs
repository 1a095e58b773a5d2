//! `cargo xtask package`: wasm-pack for each build, then one publishable npm package around them.

pub(crate) mod api;
mod crates;
mod lanes;
mod module;
mod notices;
mod paths;
pub(crate) mod size;
pub(crate) mod wasm;

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Map, Value};

use self::{module::Exports, size::Weight};
use crate::{
    config::{Build, Config, Profile, Target},
    process,
    project::Project,
    setup::Tools,
};

/// Documents of the tree that the package carries where they exist.
const DOCUMENTS: [&str; 5] = ["README.md", "CHANGELOG.md", "LICENSE", "LICENSE-MIT", "LICENSE-APACHE"];

/// The built package, and what came with it.
pub(crate) struct Package {
    /// What each build weighs, in the order of `wasm-pack.toml`.
    pub(crate) weights: Vec<Weight>,
    /// The folder of both halves in one build that can be told to crash, laid out like the package.
    pub(crate) crash_test: Option<PathBuf>,
}

/// Builds the package into the folder that `wasm-pack.toml` names, which is emptied first.
pub(crate) fn build(project: &Project, config: &Config, tools: &Tools) -> Result<Package> {
    build_with(project, config, tools, &[])
}

/// The same, and both halves in one build that can be told to crash, which is in no package.
pub(crate) fn build_to_crash(project: &Project, config: &Config, tools: &Tools) -> Result<Package> {
    let folder = project.target().join("crash-test");
    let build = Build {
        name: "kernel".to_owned(),
        features: ["kernel", "guests", "network", "crash-test"].map(str::to_owned).to_vec(),
        target: Target::Web,
        profile: Profile::Dev,
        out_dir: folder.join("kernel"),
        optimize: false,
        budget: u64::MAX,
    };
    let package = build_with(project, config, tools, &[build])?;
    module::copy_shared(project, &folder)?;
    Ok(Package { crash_test: Some(folder), ..package })
}

/// Builds the package, and beside it builds that are not in it.
fn build_with(project: &Project, config: &Config, tools: &Tools, others: &[Build]) -> Result<Package> {
    let package = project.root().join(config.wasm_pack.package_folder().context("no build")?);
    if package.exists() {
        fs::remove_dir_all(&package)?;
    }
    let crates = crates::all(project, tools)?;
    let flags = paths::flags(project, tools, &crates)?;
    let packed = config.wasm_pack.builds.iter().map(|build| (build, Some(flags.as_str())));
    let builds: Vec<_> = packed.chain(others.iter().map(|build| (build, None))).collect();
    let profiles: Vec<_> = builds.iter().map(|(build, _)| build.profile).collect();
    let made = lanes::run(&lanes::plan(&profiles), |number| {
        let (build, flags) = builds.get(number).context("a lane has a build that there is not")?;
        let made = one_build(project, config, tools, build, *flags);
        let made = made.with_context(|| format!("build `{}`", build.name))?;
        let wasm = project.root().join(&build.out_dir).join(build.wasm_file());
        let weight = flags.map(|_| Weight::of(build, &wasm, tools)).transpose()?;
        Ok((made, weight))
    })?;
    let (manifests, weights): (Vec<_>, Vec<_>) = made.into_iter().unzip();
    let (mut types, mut seen) = (String::new(), Exports::default());
    for build in &config.wasm_pack.builds {
        let folder = project.root().join(&build.out_dir);
        let names = Exports::of(&fs::read_to_string(folder.join(format!("{}.d.ts", build.name)))?, &module::TYPES);
        let names = names.without(&seen);
        types += &names.hand_on("export type", &format!("./{0}/{0}.js", build.name));
        seen.extend(names);
    }
    module::copy_shared(project, &package)?;
    let generated = manifests.into_iter().next().context("no build")?;
    module::write_index(
        project,
        &package,
        &types,
        generated.get("version").and_then(Value::as_str).unwrap_or_default(),
    )?;
    let manifest = config.manifest.lay_over(generated)?;
    fs::write(package.join("package.json"), format!("{:#}\n", Value::Object(manifest)))?;
    for document in DOCUMENTS.map(|name| project.root().join(name)).iter().filter(|file| file.is_file()) {
        fs::copy(document, package.join(document.file_name().unwrap_or_default()))?;
    }
    notices::write(project, tools, &config.wasm_pack.builds, &crates, &package.join("THIRD-PARTY-NOTICES.md"))?;
    for file in config.manifest.exported_files()? {
        ensure!(package.join(file).is_file(), "pkg.json exports `{file}`, which no build made");
    }
    Ok(Package { weights: weights.into_iter().flatten().collect(), crash_test: None })
}

/// Makes one build's folder, and returns the manifest that wasm-pack wrote for it. With the `flags` of [`paths`] its bytes depend on
/// no folder of this machine.
fn one_build(
    project: &Project,
    config: &Config,
    tools: &Tools,
    build: &Build,
    flags: Option<&str>,
) -> Result<Map<String, Value>> {
    let generated = wasm_pack(project, tools, build, flags)?;
    let folder = project.root().join(&build.out_dir);
    let bound = folder.join(format!("{}_bg.wasm", build.name));
    if build.optimize {
        wasm::optimize(tools, &bound, &config.wasm_pack.wasm_opt)?;
    }
    let named = fs::read(&bound)?;
    wasm::check_imports(&named)?;
    flags.map_or(Ok(()), |flags| paths::check(&named, flags))?;
    fs::rename(&bound, folder.join(format!("{}.names.wasm", build.name)))?;
    let file = folder.join(build.wasm_file());
    fs::write(&file, wasm::without_names(&named)?)?;
    module::finish(project, build, &folder)?;
    module::write_inline(tools, &folder, &file)?;
    Ok(generated)
}

/// Runs wasm-pack and returns the manifest that it wrote.
fn wasm_pack(project: &Project, tools: &Tools, build: &Build, flags: Option<&str>) -> Result<Map<String, Value>> {
    let mut command = tools.wasm_command("wasm-pack");
    // Its own optimizer knows no feature flags, and what it would install is there already.
    command.args(["build", ".", "--mode", "no-install", "--no-opt", "--target", build.target.as_str()]);
    command.args(build.profile.arguments()).args(["--out-name", &build.name]).arg("--out-dir").arg(&build.out_dir);
    command.arg("--").args(build.cargo_args()).current_dir(project.root());
    command.envs(flags.map(|flags| ("CARGO_ENCODED_RUSTFLAGS", flags)));
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
