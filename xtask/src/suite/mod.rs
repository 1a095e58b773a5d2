//! `cargo xtask test`: every check of the tree, one after the other, all of them even when one fails.

mod count;
mod step;

use std::{process::ExitCode, time::Instant};

use anyhow::Result;
use clap::ValueEnum as _;

use self::count::Count;
pub(crate) use self::step::Step;
use crate::{
    config::Config,
    project::Project,
    setup::{Need, Tools},
};

/// The steps to run, in their order: `only`, or all when it is empty.
pub(crate) fn select(only: &[Step]) -> Vec<Step> {
    Step::value_variants().iter().copied().filter(|step| only.is_empty() || only.contains(step)).collect()
}

/// What the steps need.
pub(crate) fn needs(steps: &[Step]) -> Vec<Need> {
    let mut needs: Vec<_> = steps.iter().flat_map(|step| step.needs()).copied().collect();
    needs.sort();
    needs.dedup();
    needs
}

/// Runs the steps; the last line on stdout is `N passed, N failed`.
pub(crate) fn run(project: &Project, config: &Config, tools: &Tools, steps: &[Step]) -> Result<ExitCode> {
    let mut total = Count::default();
    let mut summary = Vec::new();
    for step in steps {
        eprintln!("test: {step}");
        let started = Instant::now();
        let count = step.run(project, config, tools).unwrap_or_else(|error| {
            eprintln!("test: {step}: {error:#}");
            Count::FAILED
        });
        summary.push(format!("test: {step}: {count} ({:.1} s)", started.elapsed().as_secs_f64()));
        total += count;
    }
    for line in summary {
        eprintln!("{line}");
    }
    println!("{total}");
    Ok(if total.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chosen_steps_keep_the_order_of_all_steps() {
        assert_eq!(select(&[Step::EndToEnd, Step::Fmt]), [Step::Fmt, Step::EndToEnd]);
        assert_eq!(select(&[]), Step::value_variants());
    }

    #[test]
    fn each_need_is_prepared_once() {
        assert_eq!(needs(&[Step::BrowserWindow, Step::BrowserWorker]), needs(&[Step::BrowserWindow]));
        let unneeded = |need: &Need| Need::FUZZ.contains(need);
        let by_tests: Vec<_> = Need::ALL.iter().copied().filter(|need| !unneeded(need)).collect();
        assert_eq!(needs(Step::value_variants()), by_tests);
    }
}
