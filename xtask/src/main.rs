//! The project's chores: set-up, npm package, tests, fuzzing and demo, from a clean clone with one command.
//!
//! Everything it needs is found or installed by [`setup`]; what to build is written in `wasm-pack.toml` and `pkg.json`,
//! which [`config`] reads. No protocol code lives here.

mod artifacts;
mod bench;
mod config;
mod demo;
mod fuzz;
mod markdown;
mod natives;
mod network_stage;
mod package;
mod process;
mod project;
mod setup;
mod soak;
mod suite;

use std::{net::IpAddr, process::ExitCode};

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::{
    bench::Area,
    config::Config,
    project::Project,
    setup::{Need, Tools},
    suite::{Selection, Step},
};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "The chores of ocap-remotes", disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Find or install every tool that the other commands need
    Setup,
    /// Build the npm package into pkg/; the last line on stdout is what the builds weigh as JSON
    Package {
        /// Agree to its types as they are now, if CHANGELOG.md says what changed
        #[arg(long)]
        accept_api: bool,
    },
    /// Run all checks and tests, and tell what each step cost; the last line is `N passed, N failed`
    Test {
        /// Run this step only (may be repeated)
        #[arg(long, value_enum, value_name = "STEP")]
        only: Vec<Step>,
        /// After `--only STEP --`: run only tests whose names contain this; it is an error if there are none
        #[arg(last = true, value_name = "FILTER")]
        filter: Option<String>,
    },
    /// Simulate whole kernels under faults, or keep the network or a page of a real browser busy; the last line on stdout is
    /// the outcome as JSON
    Soak(soak::Options),
    /// Measure; the last line on stdout is the figures as JSON
    Bench {
        /// What
        #[arg(value_enum)]
        area: Area,
    },
    /// Run the scripted story in a real browser; the last line on stdout is its outcome as JSON
    Demo {
        /// Show the browser, with a page to try everything out, and leave everything up for a person
        #[arg(long)]
        open: bool,
        /// Serve page and relay to other machines too, at this IP address of yours
        #[arg(long, value_name = "IP", requires = "open")]
        host: Option<IpAddr>,
    },
    /// Search for inputs that break a property; the last line on stdout is how much was tried, as JSON
    Fuzz {
        /// Search this target only (a folder of tests/fuzz/corpus)
        target: Option<String>,
        /// How long to search each target
        #[arg(long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..))]
        seconds: u64,
    },
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(chore: Chore) -> Result<ExitCode> {
    let project = Project::find()?;
    let config = Config::load(project.root())?;
    let prepare = |needs: &[Need]| -> Result<Tools> { setup::prepare(&project, &config, needs) };
    match chore {
        Chore::Setup => prepare(Need::ALL).map(|_| ExitCode::SUCCESS),
        Chore::Package { accept_api } => {
            let package = package::build(&project, &config, &prepare(Need::PACKAGE)?)?;
            if accept_api {
                package::api::accept(&project, &config)?;
            }
            println!("{}", package::size::report(&package.weights));
            Ok(ExitCode::SUCCESS)
        }
        Chore::Test { only, filter } => suite::run(&project, &config, &Selection::new(&only, filter)?),
        Chore::Soak(options) => {
            options.check()?;
            soak::run(&project, &config, &prepare(options.needs())?, &options)
        }
        Chore::Bench { area } => {
            bench::run(&project, &config, &prepare(Area::NEEDS)?, area)?;
            Ok(ExitCode::SUCCESS)
        }
        Chore::Fuzz { target, seconds } => fuzz::run(&project, &prepare(Need::FUZZ)?, target.as_deref(), seconds),
        Chore::Demo { open, host } => demo::run(&project, &config, &prepare(Need::DEMO)?, open, host),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Chore, String> {
        Cli::try_parse_from(line.split(' ')).map(|cli| cli.command).map_err(|error| error.to_string())
    }

    #[test]
    fn a_filter_follows_two_hyphens() {
        let Ok(Chore::Test { only, filter }) = parsed("xtask test --only native --only package -- restart") else {
            panic!("it is a command");
        };
        assert_eq!((only, filter.as_deref()), (vec![Step::Native, Step::Package], Some("restart")));
        assert!(matches!(parsed("xtask test"), Ok(Chore::Test { only, filter: None }) if only.is_empty()));
    }

    #[test]
    fn what_is_no_command_is_refused_with_what_there_is() {
        let error = |line| parsed(line).err().unwrap();
        assert!(error("xtask test restart").contains("restart"));
        assert!(error("xtask test --only native -- one two").contains("FILTER"));
        let message = error("xtask test --only nativ");
        assert!(message.contains("nativ") && message.contains("browser-worker"), "{message}");
    }
}
