//! Where things are: the tree, cargo's target folder, the user's cache folder, and what Cargo.lock pins.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};
use serde::Deserialize;

use crate::process;

/// The tree that `cargo xtask` was called in, and the folders that belong to it.
pub(crate) struct Project {
    root: PathBuf,
    target: PathBuf,
    cache: PathBuf,
}

impl Project {
    /// Asks cargo and the environment.
    pub(crate) fn find() -> Result<Self> {
        let xtask = env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from).context("start this with `cargo xtask`")?;
        let root = xtask.parent().context("xtask lies in the tree's root")?.to_owned();
        let mut metadata = Command::new("cargo");
        metadata.args(["metadata", "--no-deps", "--format-version=1"]).current_dir(&root);
        let metadata: Metadata = serde_json::from_str(&process::output_of(&mut metadata)?).context("cargo metadata")?;
        Ok(Project { root, target: metadata.target_directory, cache: cache_folder()? })
    }

    /// The root of the tree.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Cargo's target folder.
    pub(crate) fn target(&self) -> &Path {
        &self.target
    }

    /// The folder for tools that outlive `cargo clean`.
    pub(crate) fn cache(&self) -> &Path {
        &self.cache
    }

    /// The version of `package` in Cargo.lock.
    pub(crate) fn locked_version(&self, package: &str) -> Result<String> {
        let text = fs::read_to_string(self.root.join("Cargo.lock")).context("Cargo.lock")?;
        locked_version(&text, package)
    }
}

#[derive(Deserialize)]
struct Metadata {
    target_directory: PathBuf,
}

#[derive(Deserialize)]
struct Lock {
    package: Vec<Locked>,
}

#[derive(Deserialize)]
struct Locked {
    name: String,
    version: String,
}

fn cache_folder() -> Result<PathBuf> {
    // An empty or relative XDG_CACHE_HOME counts as unset, as the XDG base directory specification demands.
    let xdg = env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|folder| folder.is_absolute());
    let home = env::home_dir().filter(|folder| folder.is_absolute()).map(|home| home.join(".cache"));
    Ok(xdg.or(home).context("neither XDG_CACHE_HOME nor HOME is set")?.join("ocap-remotes"))
}

fn locked_version(lock: &str, package: &str) -> Result<String> {
    let lock: Lock = toml::from_str(lock).context("Cargo.lock")?;
    let found = lock.package.into_iter().find(|locked| locked.name == package);
    Ok(found.with_context(|| format!("Cargo.lock does not name {package}"))?.version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lock_file_tells_the_version_of_a_package() {
        let lock = "[[package]]\nname = \"a\"\nversion = \"1.2.3\"\n[[package]]\nname = \"b\"\nversion = \"4.5.6\"\n";
        assert_eq!(locked_version(lock, "b").unwrap(), "4.5.6");
        assert!(locked_version(lock, "c").unwrap_err().to_string().contains("does not name c"));
    }
}
