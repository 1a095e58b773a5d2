//! `cargo xtask soak`: the simulator for as long as one likes; the last line on stdout is its outcome as JSON.

use std::process::{ExitCode, Stdio};

use anyhow::{Context as _, Result};

use crate::{process, project::Project, setup::Tools};

/// Builds the simulator with every check in it and runs it.
pub(crate) fn run(project: &Project, tools: &Tools, steps: u64, seed: Option<u64>) -> Result<ExitCode> {
    let mut soak = tools.command("cargo");
    soak.args(["run", "--quiet", "--profile", "evidence", "--package", "simulator", "--bin", "soak", "--"]);
    soak.args(["--steps", &steps.to_string()]);
    if let Some(seed) = seed {
        soak.args(["--seed", &seed.to_string()]);
    }
    let status = soak.current_dir(project.root()).stdin(Stdio::null()).status();
    let status = status.with_context(|| format!("cannot start `{}`", process::line(&soak)))?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
