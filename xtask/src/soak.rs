//! `cargo xtask soak`: the simulator, or a browser's network, for as long as one likes; the last line on stdout is the outcome
//! as JSON.

use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, Result};

use clap::ValueEnum;

use crate::{config::Config, network_stage, package, process, project::Project, setup::Tools};

/// What is kept busy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Soaked {
    /// Whole kernels, simulated
    Kernels,
    /// WebRTC connections and long messages of our transport in Chromium
    Network,
}

/// Keeps a browser's network busy.
pub(crate) const NETWORK: &str = "tests/bench/network-soak.mjs";

/// Builds the simulator with every check in it and runs it.
pub(crate) fn kernels(project: &Project, tools: &Tools, steps: u64, seed: Option<u64>) -> Result<ExitCode> {
    let mut soak = tools.command("cargo");
    soak.args(["run", "--quiet", "--profile", "evidence", "--package", "simulator", "--bin", "soak", "--"]);
    soak.args(["--steps", &steps.to_string()]);
    if let Some(seed) = seed {
        soak.args(["--seed", &seed.to_string()]);
    }
    run(soak.current_dir(project.root()))
}

/// Builds the package, the page and the peers, and makes connections and sends messages.
pub(crate) fn network(
    project: &Project,
    config: &Config,
    tools: &Tools,
    cycles: u32,
    messages: u32,
) -> Result<ExitCode> {
    let (cycles, messages) = (cycles.to_string(), messages.to_string());
    package::build(project, config, tools)?;
    run(&mut network_stage::script(project, tools, "tools", NETWORK, &[&cycles, &messages])?)
}

fn run(soak: &mut Command) -> Result<ExitCode> {
    let status = soak.stdin(Stdio::null()).status();
    let status = status.with_context(|| format!("cannot start `{}`", process::line(soak)))?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
