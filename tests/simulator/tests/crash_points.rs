//! A crash at every operation of every store, before it and after it.
#![allow(clippy::panic)] // clippy knows tests by #[test] only

use simulator::{CrashPoints, Medium, crash_points, report};

/// How far apart, so that at least `at_least` are covered.
fn no_rule_is_broken(medium: Medium, stride: u64, at_least: u64) {
    match crash_points(medium, 1, stride, 2) {
        Ok(CrashPoints { points, operations }) => {
            println!("{medium:?}: {points} crash points covered, before and after each of {operations} operations");
            assert!(points > at_least, "the story does too little");
        }
        Err(violation) => panic!("{}", report(*violation)),
    }
}

#[test]
fn a_crash_at_any_store_operation_breaks_no_rule() {
    no_rule_is_broken(Medium::Rows, 1, 2_000);
}

/// Every seventh operation: the durable store takes its time, and 7 has no factor in common with the cycles of a kernel.
#[test]
fn nor_does_one_of_the_durable_store() {
    no_rule_is_broken(Medium::File, 7, 1_000);
}
