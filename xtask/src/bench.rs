//! `cargo xtask bench`: figures natively and in the browser; the last line on stdout is all of them as JSON.

use std::{path::Path, process::Command};

use anyhow::{Context as _, Result, ensure};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    config::Config,
    package::wasm,
    process,
    project::Project,
    setup::{Need, Tools},
};

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Area {
    /// What a message costs two kernels joined in memory
    Session,
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

/// The benchmark's crate.
const CRATE: &str = "tests/bench";
/// Runs it in the browser.
const IN_BROWSER: &str = "tests/bench/browser.mjs";
/// Rounds, of which the quickest counts, and messages in each.
const SIZE: [&str; 2] = ["9", "10000"];

/// Measures and prints.
pub(crate) fn run(project: &Project, config: &Config, tools: &Tools, area: Area) -> Result<()> {
    let rows = match area {
        Area::Session => session(project, config, tools)?,
    };
    for Row { name, value, unit } in &rows {
        eprintln!("bench: {name:50} {value:>12.3} {unit}");
    }
    let name = area.to_possible_value().context("every area has a name")?;
    println!("{}", json!({ "area": name.get_name(), "rows": rows }));
    Ok(())
}

fn session(project: &Project, config: &Config, tools: &Tools) -> Result<Vec<Row>> {
    let mut native = tools.command("cargo");
    native.args(["run", "--quiet", "--profile", "bench", "--package", "session-bench", "--"]).args(SIZE);
    let mut rows = rows_of(native.current_dir(project.root()))?;

    // As the product is built: for size, and with wasm-opt.
    let folder = project.target().join("bench");
    let mut build = tools.wasm_command("wasm-pack");
    build.args(["build", CRATE, "--mode", "no-install", "--no-opt", "--target", "web", "--out-dir"]).arg(&folder);
    process::run(build.current_dir(project.root()))?;
    wasm::optimize(tools, &folder.join("session_bench_bg.wasm"), &config.wasm_pack.wasm_opt)?;
    let script = project.root().join(IN_BROWSER);
    ensure!(Path::new(&script).is_file(), "{IN_BROWSER} is missing");
    let mut browser = tools.command("node");
    browser.arg(script).arg(&folder).args(SIZE).env("CHROME_BIN", &tools.browser()?.chrome);
    rows.extend(rows_of(browser.current_dir(project.root()))?);
    Ok(rows)
}

fn rows_of(command: &mut Command) -> Result<Vec<Row>> {
    let printed = process::output_of(command)?;
    let last = printed.lines().last().unwrap_or_default();
    serde_json::from_str(last).with_context(|| format!("rows of `{}`: {last}", process::line(command)))
}
