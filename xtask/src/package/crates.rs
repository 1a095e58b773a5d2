//! The crates that a build may contain.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::Deserialize;

use crate::{process, project::Project, setup::Tools};

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Crate>,
}

/// One crate of Cargo.lock.
#[derive(Deserialize)]
pub(super) struct Crate {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) license: Option<String>,
    pub(super) repository: Option<String>,
    manifest_path: PathBuf,
    source: Option<String>,
}

impl Crate {
    /// Where its source is.
    pub(super) fn folder(&self) -> &Path {
        self.manifest_path.parent().unwrap_or(Path::new("/"))
    }

    /// Whether cargo fetched it; it is a part of the tree otherwise.
    pub(super) fn is_fetched(&self) -> bool {
        self.source.is_some()
    }
}

/// All crates, whose source cargo fetches if it is not there yet.
pub(super) fn all(project: &Project, tools: &Tools) -> Result<Vec<Crate>> {
    let mut metadata = tools.wasm_command("cargo");
    metadata.args(["metadata", "--format-version=1"]).current_dir(project.root());
    let metadata: Metadata = serde_json::from_str(&process::output_of(&mut metadata)?).context("cargo metadata")?;
    Ok(metadata.packages)
}
