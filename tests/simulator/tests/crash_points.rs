//! A crash at every operation of every store, before it and after it.
#![allow(clippy::panic)] // clippy knows tests by #[test] only

use simulator::{CrashPoints, crash_points, report};

#[test]
fn a_crash_at_any_store_operation_breaks_no_rule() {
    match crash_points(1, 1, 2) {
        Ok(CrashPoints { points, operations }) => {
            println!("crash points covered: {points}, before and after each of {operations} operations");
            assert!(points > 2_000, "the story does too little");
        }
        Err(violation) => panic!("{}", report(*violation)),
    }
}
