//! Schedules until so many steps are done; prints the seed first, and the outcome as JSON last.

use std::process::ExitCode;

use clap::Parser;
use serde_json::json;
use simulator::{Statistics, explore, report};

/// Schedules between two looks at the count of steps.
const BATCH: u64 = 100;

#[derive(Parser)]
#[command(about = "Simulates whole kernels under faults")]
struct Options {
    /// How many steps: a task's turn, or something that arrives
    #[arg(long, default_value_t = 10_000_000)]
    steps: u64,
    /// Where to begin, to repeat a run; at random if absent
    #[arg(long)]
    seed: Option<u64>,
}

fn main() -> ExitCode {
    let options = Options::parse();
    // Short enough to be exact in JSON.
    let seed = options.seed.unwrap_or_else(|| fastrand::u64(..1 << 48));
    eprintln!("soak: seed {seed}, {} steps", options.steps);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut sum = Statistics::default();
    let mut violations = 0;
    while violations == 0 && sum.steps < options.steps {
        match explore(seed.wrapping_add(sum.schedules), BATCH, threads) {
            Ok(statistics) => sum.add(&statistics),
            Err(violation) => {
                violations = 1;
                eprintln!("{}", report(*violation));
            }
        }
        eprintln!("soak: {} schedules, {} steps, {} deliveries", sum.schedules, sum.steps, sum.deliveries);
    }
    let Statistics { schedules, steps, sends, deliveries, crashes, wipes, cuts, streams, commits, .. } = sum;
    println!(
        "{}",
        json!({
            "seed": seed, "steps": steps, "violations": violations, "schedules": schedules, "sends": sends,
            "deliveries": deliveries, "crashes": crashes, "wipes": wipes, "cuts": cuts, "streams": streams,
            "commits": commits,
        })
    );
    if violations == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
