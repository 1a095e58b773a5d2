//! Lines that fail for seconds or minutes, between kernels that are there all the time: nobody is given up for that.
#![allow(clippy::panic)] // clippy knows tests by #[test] only

use simulator::{Schedule, report, run};

/// One schedule in ten is such a one; these are longer.
#[test]
fn nobody_is_given_up_for_an_outage() {
    for seed in (3..200).step_by(10) {
        let schedule = Schedule::random(seed, 80);
        assert!(schedule.has_only_outages());
        if let Err(violation) = run(&schedule) {
            panic!("{}", report(*violation));
        }
    }
}
