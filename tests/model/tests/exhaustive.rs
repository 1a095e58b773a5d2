//! Every state of every configuration. Takes an optimised build: `cargo test --profile evidence -p model`.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::expect_used)] // A test may panic.

use std::time::Instant;

use model::{check, configurations};

#[test]
fn try_all() {
    let only = std::env::var("ONLY").ok();
    for configuration in configurations::all() {
        if only.as_ref().is_some_and(|only| !configuration.name.contains(only.as_str())) {
            continue;
        }
        let began = Instant::now();
        let outcome = check(&configuration);
        println!(
            "states: {} (unique), depth: {}, configuration {} in {:?}",
            outcome.states,
            outcome.depth,
            configuration.name,
            began.elapsed()
        );
        if let Some(violation) = outcome.violation {
            println!("{violation}");
        }
    }
}
