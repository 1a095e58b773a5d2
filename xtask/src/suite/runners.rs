//! What the steps of `cargo xtask test` do.

use std::{
    cell::{Cell, OnceCell},
    fs,
    path::PathBuf,
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Selection, cost::Meter, count::Count, step::Step};
use crate::{
    artifacts::{Artifacts, relay_script},
    config::Config,
    markdown,
    natives::{self, CONFORMANCE_KERNEL, ECHO_PEER, EVIDENCE, KERNEL_PEER, RELAY},
    network_stage,
    package::{self, Package},
    process,
    project::Project,
    setup::Tools,
};

/// Our kernel against a js-libp2p peer, run in Node.
const CONFORMANCE: &str = "tests/conformance/run.mjs";
/// Whole-system tests, run in Node; the story of the demo is one of them.
const END_TO_END: &str = "tests/e2e/run.mjs";
/// The package in projects of its users, run in Node.
const PACKAGE: &str = "tests/package/run.mjs";
/// The package of the evidence that has deliberate bugs built in.
const FAULTS: &str = "seeded-faults";
/// The crate whose tests run in a browser, and its folder.
const BROWSER_TESTS: (&str, &str) = ("browser-tests", "tests/browser");
const WASM: &str = "wasm32-unknown-unknown";
/// How long the download of the advisory database may take.
const DATABASE_LIMIT: Duration = Duration::from_secs(30);
/// How long the tests of one browser page may take. The runner's own limit of 20 s is short for a loaded machine.
const PAGE_LIMIT_SECONDS: &str = "120";

/// What the steps work with, and what one has built that another needs.
pub(super) struct Runners<'a> {
    project: &'a Project,
    config: &'a Config,
    tools: &'a Tools,
    /// A part of the names of the tests to run, if not all.
    filter: Option<&'a str>,
    meter: &'a Meter,
    /// Whether the build that can be told to crash is needed.
    crash_test: bool,
    package: OnceCell<Package>,
    /// Whether conformance, which waits for most of its minute, is run beside the evidence, whose time is simulated.
    has_evidence: bool,
    /// What then waits for the evidence, and what came of it.
    conformance: Cell<Option<Command>>,
    conformed: Cell<Option<Result<Count>>>,
    /// Whether the search for deliberate bugs, which has one thread, is run beside the end-to-end step, which waits for much of its time.
    has_end_to_end: bool,
    faults: Cell<Option<Command>>,
}

impl<'a> Runners<'a> {
    pub(super) fn new(
        project: &'a Project,
        config: &'a Config,
        tools: &'a Tools,
        selection: &'a Selection,
        meter: &'a Meter,
    ) -> Self {
        let has = |step| selection.steps.contains(&step);
        Runners {
            project,
            config,
            tools,
            filter: selection.filter.as_deref(),
            meter,
            crash_test: has(Step::Package),
            package: OnceCell::new(),
            has_evidence: has(Step::Evidence),
            conformance: Cell::default(),
            conformed: Cell::default(),
            has_end_to_end: has(Step::EndToEnd),
            faults: Cell::default(),
        }
    }

    /// Runs a step, or builds it and lets it wait for the next. An error counts as one failure.
    pub(super) fn run(&self, step: Step) -> Result<Option<Count>> {
        if step == Step::Conformance && self.has_evidence {
            self.conformance.set(Some(self.conformance()?));
            return Ok(None);
        }
        self.run_now(step).map(Some)
    }

    /// What came of the step that waited for the one that was run last.
    pub(super) fn outcome_of_waiting(&self) -> Result<Count> {
        self.conformed.take().unwrap_or_else(|| Err(anyhow!("was not run, for what it waited for failed")))
    }

    fn run_now(&self, step: Step) -> Result<Count> {
        match step {
            Step::Fmt => check(&mut self.cargo(&["fmt", "--all", "--check"])),
            Step::Deny => self.deny(),
            Step::Clippy => {
                let arguments = ["clippy", "--workspace", "--all-targets", "--all-features", "--", "-D", "warnings"];
                check(&mut self.cargo(&arguments))
            }
            Step::ClippyWasm => self.clippy_wasm(),
            Step::Doc => self.doc(),
            Step::Native => self.native(),
            Step::Conformance => Count::of_runner(&mut self.conformance()?),
            Step::Evidence => self.evidence(),
            Step::Package => self.package(),
            Step::BrowserWindow => self.in_browser(&["window", "abort", "bridge", "halves", "network", "vectors"]),
            Step::BrowserWorker => self.in_browser(&["worker", "store"]),
            Step::EndToEnd => self.end_to_end(),
        }
    }

    fn cargo(&self, arguments: &[&str]) -> Command {
        let mut command = self.tools.command("cargo");
        command.args(arguments).current_dir(self.project.root());
        command
    }

    /// Builds without running.
    fn build(&self, command: &mut Command) -> Result<()> {
        self.meter.building(|| process::run(command))
    }

    fn deny(&self) -> Result<Count> {
        let checks = ["deny", "check", "--hide-inclusion-graph", "bans", "licenses", "sources"];
        let mut count = check(&mut self.cargo(&checks))?;
        if process::run_limited(&mut self.cargo(&["deny", "fetch", "db"]), DATABASE_LIMIT).is_err() {
            eprintln!("test: deny: the advisory database cannot be reached, so advisories are not checked");
            return Ok(count);
        }
        count += check(&mut self.cargo(&["deny", "check", "--disable-fetch", "advisories"]))?;
        Ok(count)
    }

    fn clippy_wasm(&self) -> Result<Count> {
        let clippy = |what: &mut dyn Iterator<Item = String>| {
            let mut clippy = self.tools.wasm_command("cargo");
            clippy.args(["clippy", "--target", WASM]).args(what).args(["--", "-D", "warnings"]);
            check(clippy.current_dir(self.project.root()))
        };
        let mut count = Count::default();
        for build in &self.config.wasm_pack.builds {
            count += clippy(&mut std::iter::once("--lib".to_owned()).chain(build.cargo_args()))?;
        }
        count += clippy(&mut ["--package", BROWSER_TESTS.0, "--all-targets"].into_iter().map(str::to_owned))?;
        Ok(count)
    }

    fn doc(&self) -> Result<Count> {
        let faults = markdown::faults(self.project.root())?;
        for fault in &faults {
            eprintln!("test: doc: {fault}");
        }
        let mut count = if faults.is_empty() { Count::PASSED } else { Count::FAILED };
        // With the features that clippy had, which has checked the dependencies; the examples, of which there are none, bring those of
        // tests.
        let mut doc = self.cargo(&["doc", "--workspace", "--all-features", "--lib", "--examples"]);
        doc.args(self.documented_programs()?.iter().flat_map(|program| ["--bin", program]));
        doc.args(["--no-deps", "--document-private-items"]).env("RUSTDOCFLAGS", "-D warnings");
        count += check(&mut doc)?;
        Ok(count)
    }

    /// The programs whose documentation is a place of its own, and not that of a library of the same name.
    fn documented_programs(&self) -> Result<Vec<String>> {
        let metadata = process::output_of(&mut self.cargo(&["metadata", "--no-deps", "--format-version=1"]))?;
        documented_programs(&metadata).context("cargo metadata")
    }

    fn native(&self) -> Result<Count> {
        let command = |arguments: &[&str]| {
            let mut native = self.cargo(&["test", "--no-fail-fast"]);
            native.args(natives::packages()).args(arguments);
            native
        };
        self.build(&mut command(&["--no-run"]))?;
        Count::of_runner(command(&["--"]).args(self.filter))
    }

    fn conformance(&self) -> Result<Command> {
        let binaries = self.natives(&[CONFORMANCE_KERNEL, RELAY])?;
        let mut suite = self.tools.command("node");
        suite.arg(self.project.root().join(CONFORMANCE)).args(self.filter).current_dir(self.project.root());
        suite.env("OCAP_CONFORMANCE_KERNEL", binaries.join(CONFORMANCE_KERNEL));
        suite.env("OCAP_CONFORMANCE_RELAY", binaries.join(RELAY));
        Ok(suite)
    }

    /// Runs what takes long in a profile with optimizations and every check.
    fn evidence(&self) -> Result<Count> {
        // By itself, since it is the one that has deliberate bugs built in.
        let (faults, sound): (Vec<&str>, Vec<&str>) = EVIDENCE.iter().partition(|package| **package == FAULTS);
        let command = |packages: &[&str], arguments: &[&str]| {
            let mut evidence = self.cargo(&["test", "--profile", "evidence", "--no-fail-fast"]);
            evidence.args(packages.iter().flat_map(|package| ["--package", package])).args(arguments);
            evidence
        };
        self.build(&mut command(&sound, &["--no-run"]))?;
        // Nothing is compiled until both have ended.
        let (own, conformed) =
            Count::of_two(command(&sound, &["--", "--nocapture"]).args(self.filter), self.conformance.take());
        self.conformed.set(conformed);
        let mut count = own?;
        self.build(&mut command(&faults, &["--no-run"]))?;
        let mut search = command(&faults, &["--", "--nocapture"]);
        search.args(self.filter);
        if self.has_end_to_end {
            self.faults.set(Some(search));
            return Ok(count);
        }
        count += Count::of_runner(&mut search)?;
        Ok(count)
    }

    fn package(&self) -> Result<Count> {
        let package = self.built_package()?;
        let mut count = Count::default();
        if self.filter.is_none() {
            count += Count::PASSED;
            for weight in &package.weights {
                count += if weight.is_within_budget() { Count::PASSED } else { Count::FAILED };
            }
            count += package::api::check(self.project, self.config).map_or_else(failure, |()| Count::PASSED);
        }
        let crash_test = package.crash_test.as_ref().context("no build that can be told to crash")?;
        let mut matrix = self.meter.building(|| relay_script(self.project, self.tools, PACKAGE))?;
        count += Count::of_runner(matrix.args(self.filter).env("OCAP_CRASH_TEST", crash_test))?;
        Ok(count)
    }

    /// Runs files of the browser tests in headless Chromium.
    fn in_browser(&self, files: &[&str]) -> Result<Count> {
        let tests = || files.iter().flat_map(|file| ["--test", file]);
        let (package, folder) = BROWSER_TESTS;
        let mut build = self.tools.wasm_command("cargo");
        // All of them, as wasm-pack will have it.
        build.args(["build", "--target", WASM, "--package", package, "--tests"]);
        self.build(build.current_dir(self.project.root()))?;

        let mut command = self.tools.wasm_command("wasm-pack");
        command.args(["test", "--mode", "no-install", "--headless", "--chrome", "--chromedriver"]);
        command.arg(&self.tools.browser()?.driver).arg(folder).args(tests());
        command.args(self.filter.into_iter().flat_map(|filter| ["--", filter])).current_dir(self.project.root());
        command.env("WASM_BINDGEN_TEST_WEBDRIVER_JSON", self.capabilities()?);
        command.env("WASM_BINDGEN_TEST_TIMEOUT", PAGE_LIMIT_SECONDS);
        Count::of_runner(&mut command)
    }

    /// Writes `webdriver.json` with the browser's path, which differs from machine to machine, and returns the file.
    fn capabilities(&self) -> Result<PathBuf> {
        let text = fs::read_to_string(self.project.root().join("webdriver.json")).context("webdriver.json")?;
        let mut capabilities: Value = serde_json::from_str(&text).context("webdriver.json")?;
        let options = capabilities.get_mut("goog:chromeOptions").and_then(Value::as_object_mut);
        let options = options.context("webdriver.json has no goog:chromeOptions")?;
        options.insert("binary".to_owned(), json!(self.tools.browser()?.chrome));
        let file = self.project.target().join("webdriver.json");
        fs::write(&file, capabilities.to_string())?;
        Ok(file)
    }

    fn end_to_end(&self) -> Result<Count> {
        self.built_package()?;
        let mut suite = self.meter.building(|| {
            let artifacts = Artifacts::around_package(self.project, self.tools)?;
            let mut suite = artifacts.script(self.project, self.tools, END_TO_END)?;
            suite.env("OCAP_NETWORK_PAGE", network_stage::page(self.project, self.tools)?);
            anyhow::Ok(suite)
        })?;
        let binaries = self.natives(&[RELAY, ECHO_PEER, KERNEL_PEER])?;
        suite.env("OCAP_ECHO_PEER", binaries.join(ECHO_PEER)).env("OCAP_KERNEL_PEER", binaries.join(KERNEL_PEER));
        let (own, found) = Count::of_two(suite.args(self.filter), self.faults.take());
        let mut count = own?;
        count += found.unwrap_or_else(|| Ok(Count::default()))?;
        Ok(count)
    }

    fn natives(&self, programs: &[&str]) -> Result<PathBuf> {
        self.meter.building(|| natives::build(self.project, self.tools, "dev", programs))
    }

    /// The package, built once for all steps.
    fn built_package(&self) -> Result<&Package> {
        if self.package.get().is_none() {
            let build = if self.crash_test { package::build_to_crash } else { package::build };
            let built = self.meter.building(|| build(self.project, self.config, self.tools))?;
            let _ = self.package.set(built); // it was empty
        }
        self.package.get().context("the package was just built")
    }
}

/// A program that checks one thing.
fn check(command: &mut Command) -> Result<Count> {
    process::run(command).map(|()| Count::PASSED)
}

fn failure(error: anyhow::Error) -> Count {
    eprintln!("test: {error:#}");
    Count::FAILED
}

fn documented_programs(metadata: &str) -> Result<Vec<String>> {
    #[derive(Deserialize)]
    struct Metadata {
        packages: Vec<Package>,
    }
    #[derive(Deserialize)]
    struct Package {
        targets: Vec<Target>,
    }
    #[derive(Deserialize)]
    struct Target {
        name: String,
        kind: Vec<String>,
        doc: bool,
    }
    let Metadata { packages } = serde_json::from_str(metadata)?;
    let programs = packages.into_iter().flat_map(|package| package.targets);
    Ok(programs.filter(|target| target.doc && target.kind == ["bin"]).map(|target| target.name).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_that_share_the_name_of_a_library_are_documented_with_it() {
        let metadata = r#"{"packages":[{"targets":[{"name":"a","kind":["bin"],"doc":true},{"name":"b","kind":["lib"],"doc":true}]},
            {"targets":[{"name":"c","kind":["bin"],"doc":false},{"name":"d","kind":["test"],"doc":false}]}]}"#;
        assert_eq!(documented_programs(metadata).unwrap(), ["a"]);
        assert!(documented_programs("{}").is_err());
    }
}
