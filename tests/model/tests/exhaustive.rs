//! Every state of every configuration. Takes an optimised build: `cargo test --profile evidence -p model`. `MODEL=several` in the
//! environment walks only those with that in their names.
#![allow(clippy::panic)] // clippy knows tests by #[test] only

use std::time::Instant;

use model::{check, configurations};

#[test]
fn no_configuration_breaks_a_rule_and_all_have_a_way_to_a_good_end() {
    let mut total = 0;
    let only = std::env::var("MODEL").unwrap_or_default();
    for configuration in configurations::all().into_iter().filter(|configuration| configuration.name.contains(&only)) {
        let began = Instant::now();
        let outcome = check(&configuration);
        if let Some(violation) = outcome.violation {
            panic!("{violation}");
        }
        let (states, depth, name) = (outcome.states, outcome.depth, configuration.name);
        println!("states: {states} (unique), depth: {depth}, {:.1} s, {name}", began.elapsed().as_secs_f64());
        assert!(states >= configuration.floor, "{name}: {states} states are too few to be all");
        total += states;
    }
    println!("states in all: {total}");
}

/// The model itself can tell: a network that does not keep the fence of §11 lets a message overtake one that may be lost.
#[test]
fn without_the_fence_a_gap_is_found() {
    let mut configuration = configurations::named("cuts").unwrap_or_else(|| panic!("there is none"));
    configuration.rules.fence = false;
    let found = check(&configuration).violation.unwrap_or_default();
    assert!(found.contains("comes ahead of"), "{found}");
}
