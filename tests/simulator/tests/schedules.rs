//! Ten thousand random schedules.
#![allow(clippy::panic)] // clippy knows tests by #[test] only

use simulator::{Schedule, explore, report, run};

/// How many; an environment variable of the same name says otherwise.
const SIM_SCHEDULES: u64 = 10_000;

#[test]
fn ten_thousand_random_schedules_break_no_rule() {
    let count = std::env::var("SIM_SCHEDULES").ok().and_then(|text| text.parse().ok()).unwrap_or(SIM_SCHEDULES);
    match explore(1, count, 2) {
        Ok(statistics) => println!("schedules: {statistics:?}"),
        Err(violation) => panic!("{}", report(*violation)),
    }
}

#[test]
fn the_same_seed_is_the_same_run() {
    for seed in 1..20 {
        let schedule = Schedule::random(seed, 40);
        assert_eq!(run(&schedule).unwrap(), run(&schedule).unwrap());
    }
}
