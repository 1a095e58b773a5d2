//! `cargo xtask bench`: figures natively and in the browser; the last line on stdout is all of them as JSON.

use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};
use clap::ValueEnum;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::json;

use crate::{
    config::Config,
    network_stage,
    package::{self, wasm},
    process,
    project::Project,
    setup::{Need, Tools},
};

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Area {
    /// What a message costs two kernels joined in memory
    Session,
    /// What a store costs, beside SQLite in the same browser; a ratio above 1 means that ours is better
    Store,
    /// What a message costs over each way, beside js-libp2p in the same browser (a ratio above 1 means that ours is better); how
    /// soon kernels are together again after a loss or a restart; a hundred peers at one kernel
    Network,
    /// What a call costs whole kernels in two browsers as people have them, beside js-libp2p alone in two such pages
    Calls,
    /// What a call across the bridge costs, beside comlink and bare postMessage; a ratio above 1 means that ours is better
    Bridge,
}

impl Area {
    /// What must be set up.
    pub(crate) const NEEDS: &[Need] = Need::DEMO;
}

/// One figure.
#[derive(Serialize, Deserialize)]
struct Row {
    name: String,
    value: f64,
    unit: String,
}

/// A figure of ours beside that of somebody else.
#[derive(Serialize, Deserialize)]
struct Comparison {
    name: String,
    /// Nothing, here and below, for what did not come to an end in time.
    ours: Option<f64>,
    theirs: Option<f64>,
    /// Above 1 if ours is better.
    ratio: Option<f64>,
    unit: String,
}

/// The benchmark's crate.
const CRATE: &str = "tests/bench";
/// Runs it in the browser.
const SESSION: &str = "tests/bench/browser.mjs";
/// Measures the store and SQLite in the browser.
const STORE: &str = "tests/bench/store.mjs";
/// Measures the transport and js-libp2p in the browser.
const NETWORK: &str = "tests/bench/network.mjs";
/// Measures whole kernels in the browser and natively: losses, restarts, a crowd.
const KERNELS: &str = "tests/network/bench.mjs";
/// Rounds of each, of which the median counts.
const NETWORK_ROUNDS: &str = "5";
/// Measures calls between whole kernels in two browsers, and js-libp2p in two.
const CALLS: &str = "tests/bench/calls.mjs";
/// Rounds of each, of which the median counts.
const CALLS_ROUNDS: &str = "3";
/// Measures the bridge, comlink and bare `postMessage` in the browser.
const BRIDGE: &str = "tests/bench/bridge.mjs";
/// Rounds, of which the median counts.
const ROUNDS: &str = "7";
/// Rounds, of which the quickest counts, and messages in each.
const SIZE: [&str; 2] = ["9", "10000"];

/// Measures and prints.
pub(crate) fn run(project: &Project, config: &Config, tools: &Tools, area: Area) -> Result<()> {
    let rows = match area {
        Area::Session => {
            let rows = session(project, config, tools)?;
            show(&rows);
            json!(rows)
        }
        Area::Network => {
            package::build(project, config, tools)?;
            let transports = compare(&mut network_stage::script(project, tools, NETWORK, &[NETWORK_ROUNDS])?)?;
            let kernels = rows_of(&mut network_stage::kernels(project, tools, KERNELS, &[])?)?;
            show(&kernels);
            transports.into_iter().map(|row| json!(row)).chain(kernels.into_iter().map(|row| json!(row))).collect()
        }
        Area::Store => json!(compare(&mut in_browser(project, config, tools, STORE, &[ROUNDS])?)?),
        Area::Calls => {
            package::build(project, config, tools)?;
            let mut script = network_stage::kernels(project, tools, CALLS, &[CALLS_ROUNDS])?;
            // It takes a quarter of an hour: its progress is for whoever waits.
            json!(rows_of::<Row>(script.stderr(Stdio::inherit()))?)
        }
        Area::Bridge => json!(compare(&mut in_browser(project, config, tools, BRIDGE, &[ROUNDS])?)?),
    };
    let name = area.to_possible_value().context("every area has a name")?;
    println!("{}", json!({ "area": name.get_name(), "rows": rows }));
    Ok(())
}

fn show(rows: &[Row]) {
    for Row { name, value, unit } in rows {
        eprintln!("bench: {name:76} {value:>12.3} {unit}");
    }
}

/// Runs a script that compares, and shows what it found.
fn compare(script: &mut Command) -> Result<Vec<Comparison>> {
    let rows: Vec<Comparison> = rows_of(script)?;
    for Comparison { name, ours, theirs, ratio, unit } in &rows {
        let [ratio, ours, theirs] =
            [ratio, ours, theirs].map(|figure| figure.map_or("-".into(), |figure| figure.to_string()));
        eprintln!("bench: {name:76} {ratio:>6} × as good: {ours:>12} against {theirs:>12} {unit}");
    }
    Ok(rows)
}

fn session(project: &Project, config: &Config, tools: &Tools) -> Result<Vec<Row>> {
    let mut native = tools.command("cargo");
    native.args(["run", "--quiet", "--profile", "bench", "--package", "session-bench", "--"]).args(SIZE);
    let mut rows = rows_of(native.current_dir(project.root()))?;

    rows.extend(rows_of::<Row>(&mut in_browser(project, config, tools, SESSION, &SIZE)?)?);
    Ok(rows)
}

/// A script that runs the benchmark's wasm in the browser. The wasm is built as the product is: for size, and with wasm-opt.
fn in_browser(project: &Project, config: &Config, tools: &Tools, script: &str, arguments: &[&str]) -> Result<Command> {
    let folder = project.target().join("bench");
    let mut build = tools.wasm_command("wasm-pack");
    build.args(["build", CRATE, "--mode", "no-install", "--no-opt", "--target", "web", "--out-dir"]).arg(&folder);
    let product = config.wasm_pack.builds.first().context("no build")?;
    build.args(product.profile.arguments());
    process::run(build.current_dir(project.root()))?;
    wasm::optimize(tools, &folder.join("session_bench_bg.wasm"), &config.wasm_pack.wasm_opt)?;
    let mut browser = tools.command("node");
    browser.arg(script).arg(&folder).args(arguments).env("CHROME_BIN", &tools.browser()?.chrome);
    browser.current_dir(project.root());
    Ok(browser)
}

fn rows_of<T: DeserializeOwned>(command: &mut Command) -> Result<Vec<T>> {
    let printed = process::output_of(command)?;
    let last = printed.lines().last().unwrap_or_default();
    serde_json::from_str(last).with_context(|| format!("rows of `{}`: {last}", process::line(command)))
}
