//! `cargo xtask soak`: the simulator, a browser's network, or a page of kernels, for as long as one likes; the last line on stdout is the outcome
//! as JSON.

use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, Result};
use clap::ValueEnum;
use serde_json::{Value, json};

use crate::{artifacts::Artifacts, config::Config, network_stage, package, process, project::Project, setup::Tools};

/// What is kept busy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Soaked {
    /// Whole kernels, simulated
    Kernels,
    /// WebRTC connections of our transport in Chromium, long messages between kernels, and slow peers
    Network,
    /// Many kernels on the page of the demo
    Page,
}

/// Keeps a browser's network busy.
const NETWORK: &str = "tests/bench/network-soak.mjs";

/// Keeps whole kernels busy, one in a browser.
const KERNELS: &str = "tests/network/soak.mjs";

/// Keeps a page with many kernels busy.
const PAGE: &str = "tests/e2e/page-soak.mjs";

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
    let transport = outcome(&mut network_stage::script(project, tools, NETWORK, &[&cycles, &messages])?)?;
    let kernels = outcome(&mut network_stage::kernels(project, tools, KERNELS, &[&messages])?)?;
    println!("{}", json!({ "transport": transport, "kernels": kernels }));
    Ok(ExitCode::SUCCESS)
}

/// What a script told last, unless it failed.
fn outcome(script: &mut Command) -> Result<Value> {
    // Its progress is for whoever waits.
    let printed = process::output_of(script.stderr(Stdio::inherit()))?;
    let last = printed.lines().last().unwrap_or_default();
    serde_json::from_str(last).with_context(|| format!("outcome of `{}`: {last}", process::line(script)))
}

/// Builds the package and the page, and lets many kernels talk on it while things go wrong.
pub(crate) fn page(project: &Project, config: &Config, tools: &Tools, kernels: u32, minutes: u32) -> Result<ExitCode> {
    let mut soak = Artifacts::build(project, config, tools)?.script(project, tools, PAGE)?;
    run(soak.args([kernels.to_string(), minutes.to_string()]))
}

fn run(soak: &mut Command) -> Result<ExitCode> {
    let status = soak.stdin(Stdio::null()).status();
    let status = status.with_context(|| format!("cannot start `{}`", process::line(soak)))?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
