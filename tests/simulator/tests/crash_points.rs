//! A crash at every operation of every store, before it and after it; and a failure of one, after which the kernel goes on.
#![allow(clippy::panic)] // clippy knows tests by #[test] only

use simulator::{CrashPoints, Medium, Story, crash_points, failure_points, report};

fn no_rule_is_broken(story: Story, medium: Medium) {
    match crash_points(story, medium, 1, 1, 2) {
        Ok(CrashPoints { points, operations }) => {
            println!("{medium:?}: {points} crash points covered, before and after each of {operations} operations");
            assert!(points > 2_000, "the story does too little");
        }
        Err(violation) => panic!("{}", report(*violation)),
    }
}

#[test]
fn a_crash_at_any_store_operation_breaks_no_rule() {
    no_rule_is_broken(Story::Whole, Medium::Rows);
}

/// What the kernel does with its rows is the same as above; `tests/storage` cuts the power at more places than these.
#[test]
fn nor_does_one_of_the_durable_store() {
    no_rule_is_broken(Story::Short, Medium::File);
}

/// Every operation of each of three kernels; `cargo test` of the kernel fails each operation of two.
#[test]
fn whatever_operation_of_a_store_fails_everything_ends() {
    match failure_points(Story::Short, Medium::Rows, 1, 1, 2) {
        Ok(CrashPoints { points, .. }) => {
            println!("{points} operations failed, before or after they had their effect");
            assert!(points > 2_000, "the story does too little");
        }
        Err(violation) => panic!("{}", report(*violation)),
    }
}
