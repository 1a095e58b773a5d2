//! Runs the benchmark natively and prints its rows as one line of JSON.

use std::time::Instant;

fn main() {
    let mut numbers = std::env::args().skip(1).map(|argument| argument.parse().ok());
    let (rounds, messages) = (numbers.next().flatten().unwrap_or(9), numbers.next().flatten().unwrap_or(10_000));
    let started = Instant::now();
    let rows = session_bench::run("native", rounds, messages, &|| started.elapsed().as_secs_f64() * 1000.0);
    println!("{}", serde_json::json!(rows));
}
