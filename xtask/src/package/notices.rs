//! Whose work the wasm contains, and under what licences, as those licences ask for.

use std::{collections::BTreeMap, fs, path::Path, process::Command};

use anyhow::Result;

use super::crates::Crate;
use crate::{config::Build, process, project::Project, setup::Tools};

const HEAD: &str = "# Third-party notices\n\n\
    The WebAssembly in this package contains these Rust crates, some of them changed, and Rust's standard library (MIT OR Apache-2.0).\n";
/// Texts that are preferred where a crate has several, in this order.
const PREFERRED: [&str; 4] = ["license-mit", "license", "copying", "unlicense"];

/// Writes the notices of those of `crates` that `builds` link.
pub(super) fn write(project: &Project, tools: &Tools, builds: &[Build], crates: &[Crate], file: &Path) -> Result<()> {
    let mut linked = Vec::new();
    for build in builds {
        linked.extend(linked_by(tools.wasm_command("cargo").current_dir(project.root()), build)?);
    }
    // By text, so that each is there once.
    let mut by_text: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for package in crates.iter().filter(|package| package.name != "ocap-remotes") {
        if !linked.contains(&(package.name.clone(), package.version.clone())) {
            continue;
        }
        let (name, version) = (&package.name, &package.version);
        let changed = if package.is_fetched() { "" } else { ", changed" };
        let license = package.license.as_deref().unwrap_or("see its text");
        let home = package.repository.as_deref().map_or_else(String::new, |url| format!(", <{url}>"));
        by_text
            .entry(text_of(package.folder())?)
            .or_default()
            .push(format!("- {name} {version} ({license}){changed}{home}"));
    }
    let mut notices = HEAD.to_owned();
    for (text, crates) in &by_text {
        notices += &format!("\n## {} crate{}\n\n", crates.len(), if crates.len() == 1 { "" } else { "s" });
        notices += &crates.join("\n");
        notices += &match text.trim() {
            "" => "\n\nThey come without a text of their licence.\n".to_owned(),
            text => format!("\n\n~~~text\n{text}\n~~~\n"),
        };
    }
    Ok(fs::write(file, notices)?)
}

/// Name and version of each crate that is linked, without those that only run while building.
fn linked_by(cargo: &mut Command, build: &Build) -> Result<Vec<(String, String)>> {
    cargo.args(["tree", "--package", "ocap-remotes", "--target", "wasm32-unknown-unknown", "--prefix", "none"]);
    cargo.args(["--edges", "normal,no-proc-macro", "--format", "{p}"]).args(build.cargo_args());
    Ok(process::output_of(cargo)?.lines().filter_map(name_and_version).collect())
}

fn name_and_version(line: &str) -> Option<(String, String)> {
    let mut words = line.split(' ');
    Some((words.next()?.to_owned(), words.next()?.strip_prefix('v')?.to_owned()))
}

/// The text of a crate's licence, or nothing if it brings none.
fn text_of(folder: &Path) -> Result<String> {
    let mut files: Vec<_> = fs::read_dir(folder)?.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.sort();
    let lower = |file: &Path| file.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let found =
        PREFERRED.iter().find_map(|name| files.iter().find(|file| file.is_file() && lower(file).starts_with(name)));
    Ok(found.map(fs::read_to_string).transpose()?.unwrap_or_default().replace("\r\n", "\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_tree_names_a_crate() {
        let found = |line| name_and_version(line).map(|(name, version)| format!("{name} {version}"));
        assert_eq!(found("redb v4.6.0").as_deref(), Some("redb 4.6.0"));
        assert_eq!(found("libp2p-noise v0.47.0 (/x/patches) (*)").as_deref(), Some("libp2p-noise 0.47.0"));
        assert_eq!(found(""), None);
    }

    #[test]
    fn of_several_texts_the_preferred_one_is_taken() {
        let folder = std::env::temp_dir().join(format!("xtask-notices-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        assert_eq!(text_of(&folder).unwrap(), "");
        for (file, text) in [("LICENSE-APACHE", "apache"), ("LICENSE-MIT", "mit"), ("COPYING", "copying")] {
            fs::write(folder.join(file), text).unwrap();
        }
        assert_eq!(text_of(&folder).unwrap(), "mit");
        fs::remove_file(folder.join("LICENSE-MIT")).unwrap();
        assert_eq!(text_of(&folder).unwrap(), "apache");
        fs::remove_dir_all(&folder).unwrap();
    }
}
