//! The npm packages of the tree, and Node to run them.

use std::{fs, process::Command};

use anyhow::{Context as _, Result, ensure};

use super::{Tools, by_hand, say};
use crate::{process, project::Project};

const NAME: &str = "npm packages";
/// The oldest Node that vite runs on.
const OLDEST_NODE: (u32, u32) = (20, 19);

pub(super) fn prepare(project: &Project, tools: &mut Tools) -> Result<()> {
    let modules = project.root().join("node_modules");
    let lock = fs::read(project.root().join("package-lock.json")).context("package-lock.json")?;
    // npm empties the folder first, so the copy is there only after an install that went through.
    let installed = modules.join(".installed-package-lock.json");
    if fs::read(&installed).is_ok_and(|copy| copy == lock) {
        say(NAME, "found");
    } else {
        say(NAME, "installing with npm ci --ignore-scripts");
        let mut npm = Command::new("npm");
        npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--cache"]).arg(project.cache().join("npm"));
        process::run_quietly(npm.current_dir(project.root()))
            .with_context(|| by_hand(NAME, "npm ci --ignore-scripts"))?;
        fs::write(installed, lock)?;
    }
    tools.add_folder(modules.join(".bin"));
    Ok(())
}

/// Refuses a machine without a Node that is new enough, and without npm.
pub(super) fn check_node() -> Result<()> {
    check("node", "npm").with_context(|| {
        by_hand("Node", "install Node 20.19 or later, with npm, from https://nodejs.org or your distribution")
    })
}

fn check(node: &str, npm: &str) -> Result<()> {
    let version = process::output_of(Command::new(node).arg("--version"))?;
    let found = parse_version(&version).with_context(|| format!("`node --version` printed `{version}`"))?;
    ensure!(found >= OLDEST_NODE, "Node {version} is older than {}.{}", OLDEST_NODE.0, OLDEST_NODE.1);
    ensure!(process::find_on_path(&[npm]).is_some(), "there is no {npm}"); // Debian has it in a package of its own
    Ok(())
}

fn parse_version(printed: &str) -> Option<(u32, u32)> {
    let mut numbers = printed.strip_prefix('v')?.split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn node_versions_compare_by_number() {
        assert!(parse_version("v20.19.0").unwrap() >= OLDEST_NODE);
        assert!(parse_version("v22.4.1").unwrap() >= OLDEST_NODE);
        assert!(parse_version("v20.9.0").unwrap() < OLDEST_NODE);
        assert_eq!(parse_version("20.19.0"), None);
    }

    #[test]
    fn a_machine_without_node_or_npm_is_refused_by_name() {
        for (node, npm, named) in [("no-such-node", "npm", "no-such-node"), ("node", "no-such-npm", "no-such-npm")] {
            let error = check(node, npm).unwrap_err().to_string();
            assert!(error.contains(named), "{error}");
        }
    }
}
