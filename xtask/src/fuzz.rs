//! `cargo xtask fuzz`: lets libFuzzer search for inputs that break a property of `tests/fuzz`.
//!
//! libFuzzer comes as a crate and is linked into the targets' program, and the compiler options that it needs are stable,
//! so that a fresh machine needs nothing that building the tree does not need, besides a C++ compiler. cargo-fuzz would set
//! the same options, but is one more tool to install and builds with the release profile, which is made for small wasm;
//! bolero's command wants a tool and its library in every test build. Sanitizers would need nightly's options, and look
//! for faults of unsafe code, of which this tree has none.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::json;

use crate::{process, project::Project, setup::Tools};

const PACKAGE: &str = "fuzz-targets";
/// One folder for each target.
const CORPUS: &str = "tests/fuzz/corpus";
/// Tells the code where the input led it, and what it compares the input with. The `cfg` links libFuzzer.
const RUSTFLAGS: &[&str] = &[
    "--cfg=fuzzing",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
];
/// One input that takes longer counts as a crash.
const INPUT_LIMIT_SECONDS: u64 = 10;

/// Searches `only` or all targets; the last line on stdout is how much was tried, as JSON.
pub(crate) fn run(project: &Project, tools: &Tools, only: Option<&str>, seconds: u64) -> Result<ExitCode> {
    let targets = select(&project.root().join(CORPUS), only)?;
    let program = build(project, tools)?;
    let mut rows = Vec::new();
    let mut crashes = 0;
    for target in targets {
        let search = search(project, &program, &target, seconds)?;
        eprintln!("fuzz: {target}: {} executions", search.executions);
        if let Some(crash) = &search.crash {
            crashes += 1;
            eprintln!("fuzz: {target}: {}\nfuzz: {target}: found {}", crash.reason, crash.input);
            eprintln!("fuzz: to replay: cargo run --package {PACKAGE} -- {target} {}", crash.input);
        }
        rows.push(json!({ "name": target, "value": search.executions, "unit": "executions" }));
    }
    println!("{}", json!({ "area": "fuzz", "rows": rows, "crashes": crashes }));
    Ok(if crashes == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The names of the targets, which are those of the folders in `corpus`.
fn select(corpus: &Path, only: Option<&str>) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(corpus).with_context(|| corpus.display().to_string())? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    let Some(only) = only else { return Ok(names) };
    ensure!(names.iter().any(|name| name == only), "{only} is no target; there are {}", names.join(", "));
    Ok(vec![only.to_owned()])
}

/// Builds the targets' program with libFuzzer in it, apart from other builds, whose options differ.
fn build(project: &Project, tools: &Tools) -> Result<PathBuf> {
    let version = process::output_of(tools.command("rustc").arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc does not name its host")?;
    let folder = project.target().join("fuzz/build");
    // With a `--target`, even this machine's, the options do not apply to build scripts.
    let mut cargo = tools.command("cargo");
    cargo.args([
        "build",
        "--package",
        PACKAGE,
        "--bin",
        PACKAGE,
        "--profile",
        "fuzz",
        "--target",
        host,
        "--target-dir",
    ]);
    cargo.arg(&folder).current_dir(project.root()).env("CARGO_ENCODED_RUSTFLAGS", RUSTFLAGS.join("\x1f"));
    process::run(&mut cargo)?;
    Ok(folder.join(host).join("fuzz").join(PACKAGE))
}

/// What a search came to.
#[derive(Debug, PartialEq)]
struct Search {
    executions: u64,
    crash: Option<Crash>,
}

#[derive(Debug, PartialEq)]
struct Crash {
    /// The file with the input.
    input: String,
    /// What the panic said.
    reason: String,
}

/// Searches from the tree's corpus and earlier finds on. New finds and crashes are kept under cargo's target folder.
fn search(project: &Project, program: &Path, target: &str, seconds: u64) -> Result<Search> {
    let folder = project.target().join("fuzz").join(target);
    let (found, crashes, log) = (folder.join("found"), folder.join("crashes"), folder.join("log"));
    fs::create_dir_all(&found)?;
    fs::create_dir_all(&crashes)?;
    let mut command = Command::new(program);
    command.env("FUZZ_TARGET", target).current_dir(project.root());
    command.arg(format!("-max_total_time={seconds}")).arg(format!("-timeout={INPUT_LIMIT_SECONDS}"));
    command.arg("-print_final_stats=1").arg(format!("-artifact_prefix={}/", crashes.display()));
    // New finds go into the first folder.
    command.arg(found).arg(project.root().join(CORPUS).join(target));
    let status = process::run_logged(&mut command, &log)?;
    let search = read(&String::from_utf8_lossy(&fs::read(&log)?));
    let explained = status.success() || search.crash.is_some();
    ensure!(explained, "`{}` failed ({status}); see {}", process::line(&command), log.display());
    Ok(search)
}

/// Reads what libFuzzer printed.
fn read(log: &str) -> Search {
    let after = |mark| log.lines().find_map(|line| Some(line.split_once(mark)?.1.trim()));
    let executions = after("stat::number_of_executed_units:").and_then(|number| number.parse().ok()).unwrap_or(0);
    let crash = after("Test unit written to ").map(|input| {
        let panic = log.lines().skip_while(|line| !line.contains("panicked at")).take(2).collect::<Vec<_>>().join(" ");
        let reason = if panic.is_empty() { "no panic: it ran out of time or memory".to_owned() } else { panic };
        Crash { input: input.to_owned(), reason }
    });
    Search { executions, crash }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_without_a_crash_is_read() {
        let log = "#9\tDONE   cov: 1\nDone 9 runs in 1 second(s)\nstat::number_of_executed_units: 9\n";
        assert_eq!(read(log), Search { executions: 9, crash: None });
    }

    #[test]
    fn a_crash_is_read_with_its_reason() {
        let log = "thread '<unnamed>' panicked at a.rs:1:2:\nit is broken\nstack\n\
            artifact_prefix='/x/'; Test unit written to /x/crash-1\nstat::number_of_executed_units: 7\n";
        let reason = "thread '<unnamed>' panicked at a.rs:1:2: it is broken".to_owned();
        let crash = Crash { input: "/x/crash-1".into(), reason };
        assert_eq!(read(log), Search { executions: 7, crash: Some(crash) });
    }

    #[test]
    fn an_unknown_target_is_an_error_that_names_the_known() {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join(CORPUS);
        let all = select(&corpus, None).unwrap();
        assert_eq!(select(&corpus, Some("frame")).unwrap(), ["frame"]);
        let error = select(&corpus, Some("nonsense")).unwrap_err().to_string();
        assert!(all.iter().all(|name| error.contains(name)), "{error}");
    }
}
