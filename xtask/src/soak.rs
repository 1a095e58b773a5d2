//! `cargo xtask soak`: the simulator, a browser's network, or a page of kernels, for as long as one likes; the last line on stdout is the outcome
//! as JSON.

use std::{
    fmt,
    process::{Command, ExitCode, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use clap::{Args, ValueEnum, value_parser};
use serde_json::{Value, json};

use crate::{
    artifacts::Artifacts,
    config::Config,
    network_stage, package, process,
    project::Project,
    setup::{Need, Tools},
};

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

/// What `cargo xtask soak` may be told.
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// What
    #[arg(value_enum, default_value_t = Soaked::Kernels)]
    what: Soaked,
    /// Of the network: WebRTC connections that are made and closed [default: 2000]
    #[arg(long, value_parser = value_parser!(u32).range(2..))]
    cycles: Option<u32>,
    /// Of the network: messages of 1 MiB each way [default: 1000]
    #[arg(long, value_parser = value_parser!(u32).range(1..))]
    messages: Option<u32>,
    /// Of the page: how many kernels are on it [default: 20]
    #[arg(long, value_parser = value_parser!(u32).range(2..))]
    kernels: Option<u32>,
    /// Of the page: for how long [default: 10]
    #[arg(long, value_parser = value_parser!(u32).range(1..))]
    minutes: Option<u32>,
    /// Of the kernels: how many steps, each a task's turn, or something that arrives [default: 10000000]
    #[arg(long, value_parser = value_parser!(u64).range(1..))]
    steps: Option<u64>,
    /// Of the kernels: where to begin, to repeat a run; at random if absent
    #[arg(long)]
    seed: Option<u64>,
}

impl Options {
    /// What must be set up.
    pub(crate) fn needs(&self) -> &'static [Need] {
        if self.what == Soaked::Kernels { &[] } else { Need::DEMO }
    }

    /// Refuses options of something else, which would have no effect.
    pub(crate) fn check(&self) -> Result<()> {
        for (option, is_given, of) in [
            ("cycles", self.cycles.is_some(), Soaked::Network),
            ("messages", self.messages.is_some(), Soaked::Network),
            ("kernels", self.kernels.is_some(), Soaked::Page),
            ("minutes", self.minutes.is_some(), Soaked::Page),
            ("steps", self.steps.is_some(), Soaked::Kernels),
            ("seed", self.seed.is_some(), Soaked::Kernels),
        ] {
            ensure!(
                !is_given || of == self.what,
                "--{option} is an option of `soak {of}`, not of `soak {}`",
                self.what
            );
        }
        Ok(())
    }
}

impl fmt::Display for Soaked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_possible_value().map_or(Ok(()), |value| f.write_str(value.get_name()))
    }
}

/// Keeps a browser's network busy.
const NETWORK: &str = "tests/bench/network-soak.mjs";

/// Keeps whole kernels busy, one in a browser.
const KERNELS: &str = "tests/network/soak.mjs";

/// Keeps a page with many kernels busy.
const PAGE: &str = "tests/e2e/page-soak.mjs";

/// Builds what is needed, and keeps it busy.
pub(crate) fn run(project: &Project, config: &Config, tools: &Tools, options: &Options) -> Result<ExitCode> {
    match options.what {
        Soaked::Kernels => kernels(project, tools, options.steps.unwrap_or(10_000_000), options.seed),
        Soaked::Network => {
            network(project, config, tools, options.cycles.unwrap_or(2_000), options.messages.unwrap_or(1_000))
        }
        Soaked::Page => page(project, config, tools, options.kernels.unwrap_or(20), options.minutes.unwrap_or(10)),
    }
}

/// Builds the simulator with every check in it and runs it.
fn kernels(project: &Project, tools: &Tools, steps: u64, seed: Option<u64>) -> Result<ExitCode> {
    let mut soak = tools.command("cargo");
    soak.args(["run", "--quiet", "--profile", "evidence", "--package", "simulator", "--bin", "soak", "--"]);
    soak.args(["--steps", &steps.to_string()]);
    if let Some(seed) = seed {
        soak.args(["--seed", &seed.to_string()]);
    }
    ended(soak.current_dir(project.root()))
}

/// Builds the package, the page and the peers, and makes connections and sends messages.
fn network(project: &Project, config: &Config, tools: &Tools, cycles: u32, messages: u32) -> Result<ExitCode> {
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
fn page(project: &Project, config: &Config, tools: &Tools, kernels: u32, minutes: u32) -> Result<ExitCode> {
    let mut soak = Artifacts::build(project, config, tools)?.script(project, tools, PAGE)?;
    ended(soak.args([kernels.to_string(), minutes.to_string()]))
}

fn ended(soak: &mut Command) -> Result<ExitCode> {
    let status = soak.stdin(Stdio::null()).status();
    let status = status.with_context(|| format!("cannot start `{}`", process::line(soak)))?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        options: Options,
    }

    fn error(line: &str) -> Option<String> {
        match Line::try_parse_from(line.split(' ')) {
            Ok(line) => line.options.check().err().map(|error| error.to_string()),
            Err(error) => Some(error.to_string()),
        }
    }

    #[test]
    fn each_kind_has_its_options() {
        for line in ["soak", "soak --steps 5 --seed 0", "soak network --cycles 2 --messages 1", "soak page --minutes 1"]
        {
            assert_eq!(error(line), None, "{line}");
        }
    }

    #[test]
    fn an_option_without_effect_is_refused_with_what_it_is_for() {
        let message = error("soak page --steps 5").unwrap();
        assert_eq!(message, "--steps is an option of `soak kernels`, not of `soak page`");
        for line in ["soak --messages 5", "soak network --kernels 5", "soak page --seed 1", "soak kernels --minutes 1"]
        {
            assert!(error(line).unwrap().contains("is an option of"), "{line}");
        }
    }

    #[test]
    fn nothing_is_kept_busy_for_no_time_or_alone() {
        for line in ["soak --steps 0", "soak network --cycles 1", "soak page --kernels 1", "soak page --minutes 0"] {
            assert!(error(line).unwrap().contains("is not in"), "{line}");
        }
    }
}
