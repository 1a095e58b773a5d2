//! Schedules that once broke a rule.

use simulator::{Moment, Op, Schedule, report, run};

fn holds(schedule: Schedule) {
    if let Err(violation) = run(&schedule) {
        panic!("{}", report(*violation));
    }
}

/// Messages under way referred to an object whose importer had meanwhile been told that it was gone.
#[test]
fn schedule_1() {
    holds(Schedule {
        seed: 1,
        ops: vec![Op::Redeem { host: 1, of: 2 }, Op::Wait { ms: 176 }, Op::Send { host: 1, choice: 671, count: 38 }],
    });
}

#[test]
fn schedule_2() {
    holds(Schedule {
        seed: 1,
        ops: vec![
            Op::Redeem { host: 0, of: 1 },
            Op::Redeem { host: 0, of: 2 },
            Op::Redeem { host: 1, of: 0 },
            Op::Redeem { host: 1, of: 2 },
            Op::Redeem { host: 2, of: 0 },
            Op::Redeem { host: 2, of: 1 },
            Op::Wait { ms: 1414 },
            Op::Release { host: 2, choice: 60 },
            Op::Send { host: 1, choice: 671, count: 38 },
            Op::Cut { one: 2, other: 1, cut: true },
            Op::Wait { ms: 12 },
        ],
    });
}

#[test]
fn schedule_9() {
    holds(Schedule {
        seed: 9,
        ops: vec![
            Op::Redeem { host: 2, of: 0 },
            Op::Redeem { host: 2, of: 1 },
            Op::Wait { ms: 332 },
            Op::Redeem { host: 1, of: 2 },
            Op::Send { host: 2, choice: 74, count: 6 },
            Op::Wait { ms: 135 },
            Op::Send { host: 1, choice: 162, count: 2 },
            Op::Relay { down: true },
            Op::Wait { ms: 33013 },
        ],
    });
}
