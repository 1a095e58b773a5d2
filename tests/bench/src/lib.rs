//! How much two kernels cost per message: whole kernels with their stores in memory, joined by a loop that carries messages
//! at once. The same code runs natively and, built for wasm32, in a browser's Worker; only the clock differs.
//!
//! Everything runs on one thread and never waits, so the time that passes is processor time, of both ends together.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a benchmark that fails should stop

#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
pub mod bridge;
mod counting;
mod pair;
mod scenario;
#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
pub mod store;
#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
pub mod wasm;

use serde::Serialize;

/// One figure.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Of what.
    pub name: String,
    /// How much.
    pub value: f64,
    /// In what unit.
    pub unit: &'static str,
}

/// Runs every scenario `rounds` times and gives the figures of the quickest round, which is the least disturbed one. `clock`
/// tells the time in milliseconds; `place` begins the name of each row.
pub fn run(place: &str, rounds: u32, messages: u32, clock: &dyn Fn() -> f64) -> Vec<Row> {
    let mut rows = Vec::new();
    for scenario in scenario::ALL {
        let best = (0..rounds)
            .map(|_| scenario.measure(messages, clock))
            .min_by(|one, other| one.millis.total_cmp(&other.millis))
            .expect("there is a round");
        let per = f64::from(best.messages);
        let mut row = |what: &str, value: f64, unit| {
            let value = (value * 1000.0).round() / 1000.0;
            rows.push(Row { name: format!("{place}/{}/{what}", scenario.name), value, unit });
        };
        row("rate", per / best.millis * 1000.0, "messages/s");
        row("cpu", best.millis * 1000.0 / per, "µs/message, both ends");
        row("commits, sender", best.sender_commits as f64 / per, "commits/message");
        row("commits, receiver", best.receiver_commits as f64 / per, "commits/message");
        row("time waited for timers", best.waited_millis as f64, "ms of the kernels' clock");
    }
    rows
}
