//! The steps of `cargo xtask test`.

use std::{fmt, fs, path::PathBuf, process::Command, time::Duration};

use anyhow::{Context as _, Result};
use clap::ValueEnum;
use serde_json::{Value, json};

use super::count::Count;
use crate::{
    artifacts::{Artifacts, relay_script},
    config::Config,
    network_stage, package, process,
    project::Project,
    setup::{Need, Tools},
    soak,
};

/// Our kernel against a js-libp2p peer, run in Node.
const CONFORMANCE: &str = "tests/conformance/run.mjs";
/// The crate of our end there.
const CONFORMANCE_KERNEL: &str = "conformance-kernel";
/// Whole-system tests, run in Node; the story of the demo is one of them.
const END_TO_END: &str = "tests/e2e/run.mjs";
/// Connections and long messages of the network's soak as far as each run of the tests goes.
const SHORT_SOAK: [&str; 2] = ["40", "20"];
/// A debug build that carries long messages on a slow machine may leave a ping unanswered for the 4 s of the default.
const PATIENT: &str = r#"{"heartbeatTimeoutMs":30000}"#;
/// The package in projects of its users, run in Node.
const PACKAGE: &str = "tests/package/run.mjs";
/// The crates that simulate, model, fuzz, and cut the power.
const EVIDENCE: &[&str] = &["storage-evidence", "simulator", "model", "fuzz-targets"];
/// The crate that puts deliberate bugs in.
const FAULTS: &str = "seeded-faults";
/// The crate whose tests run in a browser.
const BROWSER_TESTS: &str = "tests/browser";
/// How long the download of the advisory database may take.
const DATABASE_LIMIT: Duration = Duration::from_secs(30);
/// How long the tests of one browser page may take. The runner's own limit of 20 s is short for a loaded machine.
const PAGE_LIMIT_SECONDS: &str = "120";

/// One step, in the order in which they run: what fails fast comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Step {
    /// Formatting
    Fmt,
    /// Licences, sources, banned crates and advisories of dependencies
    Deny,
    /// Clippy for this machine
    Clippy,
    /// Clippy for wasm32, each build of wasm-pack.toml
    ClippyWasm,
    /// Links in the documentation
    Doc,
    /// Unit and integration tests on this machine
    Native,
    /// The wire, against a peer made of js-libp2p
    Conformance,
    /// Simulated kernels, crash points, model checking, fuzzing corpus, and deliberate bugs that these must find
    Evidence,
    /// The npm package: every build, its imports and exports, the budget of its size, its interface, and fresh projects that use it
    Package,
    /// Browser tests in a window
    BrowserWindow,
    /// Browser tests in a dedicated Worker
    BrowserWorker,
    /// Whole-system tests in real browsers
    EndToEnd,
}

impl Step {
    /// What must be set up for the step.
    pub(crate) fn needs(self) -> &'static [Need] {
        match self {
            Step::Fmt | Step::Clippy => &[Need::Components],
            Step::Deny => &[Need::CargoDeny],
            Step::ClippyWasm => &[Need::Components, Need::WasmStd],
            Step::Doc | Step::Native | Step::Evidence => &[],
            Step::Conformance => &[Need::Npm],
            Step::Package => Need::DEMO,
            Step::BrowserWindow | Step::BrowserWorker => {
                &[Need::WasmStd, Need::WasmBindgen, Need::WasmPack, Need::Browser]
            }
            Step::EndToEnd => Need::DEMO,
        }
    }

    /// Runs the step. An error counts as one failure.
    pub(super) fn run(self, project: &Project, config: &Config, tools: &Tools) -> Result<Count> {
        let cargo = |arguments: &[&str]| {
            let mut command = tools.command("cargo");
            command.args(arguments).current_dir(project.root());
            command
        };
        match self {
            Step::Fmt => check(&mut cargo(&["fmt", "--all", "--check"])),
            Step::Deny => deny(&cargo),
            Step::Clippy => {
                let arguments = ["clippy", "--workspace", "--all-targets", "--all-features", "--", "-D", "warnings"];
                check(&mut cargo(&arguments))
            }
            Step::ClippyWasm => clippy_wasm(project, config, tools),
            Step::Doc => {
                let mut doc = cargo(&["doc", "--workspace", "--no-deps", "--document-private-items"]);
                check(doc.env("RUSTDOCFLAGS", "-D warnings"))
            }
            Step::Native => {
                let mut native = cargo(&["test", "--workspace", "--no-fail-fast"]);
                native.args(EVIDENCE.iter().chain(&[FAULTS]).flat_map(|package| ["--exclude", package]));
                Count::of_runner(&mut native)
            }
            Step::Conformance => conformance(project, tools, &mut cargo(&["build", "--package", CONFORMANCE_KERNEL])),
            Step::Evidence => evidence(&cargo),
            Step::Package => package(project, config, tools),
            Step::BrowserWindow => {
                in_browser(project, tools, &["window", "abort", "bridge", "halves", "network", "vectors"])
            }
            Step::BrowserWorker => in_browser(project, tools, &["worker", "store"]),
            Step::EndToEnd => end_to_end(project, config, tools),
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_possible_value().map_or(Ok(()), |value| f.write_str(value.get_name()))
    }
}

/// A program that checks one thing.
fn check(command: &mut Command) -> Result<Count> {
    process::run(command).map(|()| Count::PASSED)
}

fn deny(cargo: &dyn Fn(&[&str]) -> Command) -> Result<Count> {
    let mut count = check(&mut cargo(&["deny", "check", "--hide-inclusion-graph", "bans", "licenses", "sources"]))?;
    if process::run_limited(&mut cargo(&["deny", "fetch", "db"]), DATABASE_LIMIT).is_err() {
        eprintln!("test: deny: the advisory database cannot be reached, so advisories are not checked");
        return Ok(count);
    }
    count += check(&mut cargo(&["deny", "check", "--disable-fetch", "advisories"]))?;
    Ok(count)
}

fn clippy_wasm(project: &Project, config: &Config, tools: &Tools) -> Result<Count> {
    let clippy = |what: &mut dyn Iterator<Item = String>| {
        let mut clippy = tools.wasm_command("cargo");
        clippy.args(["clippy", "--target", "wasm32-unknown-unknown"]).args(what).args(["--", "-D", "warnings"]);
        check(clippy.current_dir(project.root()))
    };
    let mut count = Count::default();
    for build in &config.wasm_pack.builds {
        count += clippy(&mut std::iter::once("--lib".to_owned()).chain(build.cargo_args()))?;
    }
    count += clippy(&mut ["--package", "browser-tests", "--all-targets"].into_iter().map(str::to_owned))?;
    Ok(count)
}

fn conformance(project: &Project, tools: &Tools, build: &mut Command) -> Result<Count> {
    process::run(build)?;
    let mut suite = tools.command("node");
    suite.arg(project.root().join(CONFORMANCE)).current_dir(project.root());
    suite.env("OCAP_CONFORMANCE_KERNEL", project.target().join("debug").join(CONFORMANCE_KERNEL));
    Count::of_runner(&mut suite)
}

/// Runs what takes long in a profile with optimizations and every check.
fn evidence(cargo: &dyn Fn(&[&str]) -> Command) -> Result<Count> {
    let mut evidence = cargo(&["test", "--profile", "evidence", "--no-fail-fast"]);
    evidence.args(EVIDENCE.iter().flat_map(|package| ["--package", package]));
    let mut count = Count::of_runner(evidence.args(["--", "--nocapture"]))?;
    // By itself, since it is the one that has deliberate bugs built in.
    let mut faults = cargo(&["test", "--profile", "evidence", "--package", FAULTS, "--", "--nocapture"]);
    count += Count::of_runner(&mut faults)?;
    Ok(count)
}

/// Runs files of the browser tests in headless Chromium.
fn in_browser(project: &Project, tools: &Tools, files: &[&str]) -> Result<Count> {
    let mut command = tools.wasm_command("wasm-pack");
    command.args(["test", "--mode", "no-install", "--headless", "--chrome", "--chromedriver"]);
    command
        .arg(&tools.browser()?.driver)
        .arg(BROWSER_TESTS)
        .args(files.iter().flat_map(|file| ["--test", file]))
        .current_dir(project.root());
    command.env("WASM_BINDGEN_TEST_WEBDRIVER_JSON", capabilities(project, tools)?);
    command.env("WASM_BINDGEN_TEST_TIMEOUT", PAGE_LIMIT_SECONDS);
    Count::of_runner(&mut command)
}

/// Writes `webdriver.json` with the browser's path, which differs from machine to machine, and returns the file.
fn capabilities(project: &Project, tools: &Tools) -> Result<PathBuf> {
    let text = fs::read_to_string(project.root().join("webdriver.json")).context("webdriver.json")?;
    let mut capabilities: Value = serde_json::from_str(&text).context("webdriver.json")?;
    let options = capabilities.get_mut("goog:chromeOptions").and_then(Value::as_object_mut);
    let options = options.context("webdriver.json has no goog:chromeOptions")?;
    options.insert("binary".to_owned(), json!(tools.browser()?.chrome));
    let file = project.target().join("webdriver.json");
    fs::write(&file, capabilities.to_string())?;
    Ok(file)
}

fn package(project: &Project, config: &Config, tools: &Tools) -> Result<Count> {
    let mut count = Count::PASSED;
    for weight in package::build(project, config, tools)? {
        count += if weight.is_within_budget() { Count::PASSED } else { Count::FAILED };
    }
    count += package::api::check(project, config).map_or_else(failure, |()| Count::PASSED);
    let crash_test = package::crash_test(project, config, tools)?;
    let mut matrix = relay_script(project, tools, PACKAGE)?;
    count += Count::of_runner(matrix.env("OCAP_CRASH_TEST", crash_test))?;
    Ok(count)
}

fn failure(error: anyhow::Error) -> Count {
    eprintln!("test: {error:#}");
    Count::FAILED
}

fn end_to_end(project: &Project, config: &Config, tools: &Tools) -> Result<Count> {
    let artifacts = Artifacts::build(project, config, tools)?;
    let mut count = Count::of_runner(&mut artifacts.script(project, tools, END_TO_END)?)?;
    count += Count::of_test(&mut network_stage::script(project, tools, "dev", soak::NETWORK, &SHORT_SOAK)?)?;
    count +=
        Count::of_test(&mut network_stage::kernels(project, tools, "dev", soak::KERNELS, &[SHORT_SOAK[1], PATIENT])?)?;
    Ok(count)
}
