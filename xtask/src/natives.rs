//! Programs for this machine that scripts start beside a browser: the relay, and peers.

use std::path::PathBuf;

use anyhow::Result;

use crate::{process, project::Project, setup::Tools};

/// The relay.
pub(crate) const RELAY: &str = "ocap-relay";
/// Our end of the conformance tests.
pub(crate) const CONFORMANCE_KERNEL: &str = "conformance-kernel";
/// A peer that is plain libp2p.
pub(crate) const ECHO_PEER: &str = "echo-peer";
/// A peer that is a whole kernel.
pub(crate) const KERNEL_PEER: &str = "kernel-peer";

/// The packages of the long evidence, which has a profile of its own.
pub(crate) const EVIDENCE: &[&str] =
    &["storage-evidence", "simulator", "model", "cost", "fuzz-targets", "seeded-faults"];

/// Cargo's arguments for what is compiled together: all but the evidence. Cargo compiles a crate anew for each set of features,
/// and these depend on the packages that are asked for; so whatever is built for this machine asks for the same ones.
pub(crate) fn packages() -> impl Iterator<Item = &'static str> {
    std::iter::once("--workspace").chain(EVIDENCE.iter().flat_map(|package| ["--exclude", package]))
}

/// Builds programs, and gives the folder that they are in. `profile` is cargo's: `dev`, of which the tests have built most already, or
/// `tools`, where they should be quick.
pub(crate) fn build(project: &Project, tools: &Tools, profile: &str, programs: &[&str]) -> Result<PathBuf> {
    let mut cargo = tools.command("cargo");
    cargo.args(["build", "--profile", profile]).args(packages());
    cargo.args(programs.iter().flat_map(|program| ["--bin", program]));
    if profile == "dev" {
        // There are none, but with this word the features are those that tests have.
        cargo.arg("--examples");
    }
    process::run(cargo.current_dir(project.root()))?;
    Ok(project.target().join(if profile == "dev" { "debug" } else { profile }))
}
