//! `cargo xtask test`: every check of the tree, one after the other, all of them even when one fails.

mod cost;
mod count;
mod runners;
mod step;

use std::process::ExitCode;

use anyhow::{Result, bail, ensure};
use clap::ValueEnum as _;

pub(crate) use self::step::Step;
use self::{
    cost::{Cost, Meter},
    count::Count,
    runners::Runners,
};
use crate::{
    config::Config,
    project::Project,
    setup::{self, Need},
};

/// What is to be run.
#[derive(Debug)]
pub(crate) struct Selection {
    steps: Vec<Step>,
    filter: Option<String>,
}

impl Selection {
    /// The steps `only`, in their order, or all when it is empty; of their tests those whose names contain `filter`.
    pub(crate) fn new(only: &[Step], filter: Option<String>) -> Result<Self> {
        let chosen = |step: &Step| only.is_empty() || only.contains(step);
        if let Some(filter) = &filter {
            ensure!(!only.is_empty(), "`-- {filter}` chooses tests of a step: say which with `--only STEP`");
            ensure!(!filter.is_empty(), "an empty FILTER chooses nothing");
            // A runner would take it for an option.
            ensure!(!filter.starts_with('-'), "FILTER is a part of a test's name, which `{filter}` is not");
            if let Some(step) = only.iter().find(|step| !step.has_tests()) {
                bail!("{step} has no tests to choose from; {} have", with_tests());
            }
        }
        Ok(Selection { steps: Step::value_variants().iter().copied().filter(chosen).collect(), filter })
    }

    fn needs(&self) -> Vec<Need> {
        let mut needs: Vec<_> = self.steps.iter().flat_map(|step| step.needs()).copied().collect();
        needs.sort();
        needs.dedup();
        needs
    }
}

fn with_tests() -> String {
    let names = Step::value_variants().iter().filter(|step| step.has_tests()).map(Step::to_string);
    names.collect::<Vec<_>>().join(", ")
}

/// Runs what was selected, and tells what it cost; the last line on stdout is `N passed, N failed`.
pub(crate) fn run(project: &Project, config: &Config, selection: &Selection) -> Result<ExitCode> {
    let meter = Meter::start();
    let mut total = Count::default();
    let (mut all_building, mut all_running) = (Cost::default(), Cost::default());
    let mut table = vec![cost::head()];
    let mut tell = |name: &str, outcome: &str, building: Cost, running: Cost| {
        table.push(cost::row(name, outcome, building, running));
        all_building += building;
        all_running += running;
    };
    let tools = setup::prepare(project, config, &selection.needs())?;
    tell("setup", "", Cost::default(), meter.now());
    let filter = selection.filter.as_deref();
    let runners = Runners::new(project, config, &tools, selection, &meter);
    let mut waiting = None;
    for step in &selection.steps {
        eprintln!("test: {step}");
        let before = meter.now();
        let outcome = runners.run(*step);
        let building = meter.take_building();
        let running = meter.now() - before - building;
        let Some(outcome) = outcome.transpose() else {
            waiting = Some((*step, building, running));
            continue;
        };
        let waited =
            waiting.take().map(|(step, building, running)| (step, runners.outcome_of_waiting(), building, running));
        for (step, outcome, building, running) in waited.into_iter().chain([(*step, outcome, building, running)]) {
            let count = outcome.and_then(|count| ran(count, filter)).unwrap_or_else(|error| {
                eprintln!("test: {step}: {error:#}");
                Count::FAILED
            });
            tell(&step.to_string(), &count.to_string(), building, running);
            total += count;
        }
    }
    table.push(cost::row("all", &total.to_string(), all_building, all_running));
    for line in table {
        eprintln!("{line}");
    }
    println!("{total}");
    Ok(if total.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Refuses a step that ran nothing.
fn ran(count: Count, filter: Option<&str>) -> Result<Count> {
    match filter {
        _ if count != Count::default() => Ok(count),
        Some(filter) => bail!("ran no test: none has `{filter}` in its name"),
        None => bail!("ran no test"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn select(only: &[Step], filter: Option<&str>) -> Result<Vec<Step>> {
        Selection::new(only, filter.map(str::to_owned)).map(|selection| selection.steps)
    }

    #[test]
    fn chosen_steps_keep_the_order_of_all_steps() {
        assert_eq!(select(&[Step::EndToEnd, Step::Fmt], None).unwrap(), [Step::Fmt, Step::EndToEnd]);
        assert_eq!(select(&[], None).unwrap(), Step::value_variants());
    }

    #[test]
    fn each_need_is_prepared_once() {
        let needs = |only: &[Step]| Selection::new(only, None).unwrap().needs();
        assert_eq!(needs(&[Step::BrowserWindow, Step::BrowserWorker]), needs(&[Step::BrowserWindow]));
        let unneeded = |need: &Need| Need::FUZZ.contains(need);
        let by_tests: Vec<_> = Need::ALL.iter().copied().filter(|need| !unneeded(need)).collect();
        assert_eq!(needs(&[]), by_tests);
    }

    #[test]
    fn a_filter_goes_with_steps_that_have_tests() {
        assert_eq!(select(&[Step::Native, Step::Package], Some("x")).unwrap(), [Step::Native, Step::Package]);
        let error = |only: &[Step], filter| select(only, Some(filter)).unwrap_err().to_string();
        assert!(error(&[], "x").contains("--only STEP"));
        let message = error(&[Step::Native, Step::Fmt], "x");
        assert!(message.starts_with("fmt has no tests") && message.contains("conformance, evidence"), "{message}");
        assert!(error(&[Step::Native], "--ignored").contains("`--ignored`"));
        assert!(error(&[Step::Native], "").contains("empty"));
    }

    #[test]
    fn a_step_that_ran_nothing_is_an_error() {
        assert_eq!(ran(Count::PASSED, Some("x")).unwrap(), Count::PASSED);
        assert_eq!(ran(Count::FAILED, None).unwrap(), Count::FAILED);
        let message = ran(Count::default(), Some("no such")).unwrap_err().to_string();
        assert_eq!(message, "ran no test: none has `no such` in its name");
        assert!(ran(Count::default(), None).is_err());
    }
}
