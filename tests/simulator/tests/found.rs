//! Schedules that once broke a rule, as they were found and shrunk. What each was about stands above it; as interleavings
//! shift with every change, the unit tests that were written for them say it for good.
#![allow(clippy::panic)] // clippy knows tests by #[test] only

use simulator::{Moment, Op, Schedule, report, run};

fn holds(schedule: Schedule) {
    if let Err(violation) = run(&schedule) {
        panic!("{}", report(*violation));
    }
}

/// A drop of an object crossed another gift of it: its importer had a reference that the exporter had forgotten.
#[test]
fn a_drop_crosses_another_gift() {
    holds(Schedule {
        seed: 1,
        ops: vec![Op::Redeem { host: 1, of: 2 }, Op::Wait { ms: 176 }, Op::Send { host: 1, choice: 671, count: 38 }],
    });
}

/// A program that had sent to its own object, by way of another kernel, never heard of the outcome.
#[test]
fn a_message_comes_home() {
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

/// The end that had the answer gave the other up; whoever waited for it waited for ever.
#[test]
fn an_answer_is_abandoned() {
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

/// A promise was passed on to its own maker to decide, who did not tell the one that had passed it on.
#[test]
fn a_decision_is_passed_back() {
    holds(Schedule {
        seed: 21,
        ops: vec![
            Op::Redeem { host: 0, of: 1 },
            Op::Redeem { host: 0, of: 2 },
            Op::Redeem { host: 1, of: 0 },
            Op::Redeem { host: 1, of: 2 },
            Op::Redeem { host: 2, of: 0 },
            Op::Redeem { host: 2, of: 1 },
            Op::Wait { ms: 244 },
            Op::Send { host: 0, choice: 309, count: 1 },
            Op::Redeem { host: 0, of: 2 },
            Op::Reopen { host: 0, to: 2 },
            Op::Relay { down: false },
            Op::Send { host: 2, choice: 402, count: 2 },
            Op::Wait { ms: 5294 },
            Op::Sleep { host: 1, ms: 40118 },
            Op::Send { host: 0, choice: 26, count: 36 },
            Op::Send { host: 1, choice: 378, count: 1 },
            Op::Send { host: 0, choice: 273, count: 3 },
            Op::Wait { ms: 50883 },
            Op::Break { one: 1, other: 2 },
            Op::Sleep { host: 2, ms: 100863 },
            Op::Send { host: 0, choice: 815, count: 1 },
            Op::Answer { host: 0, most: 1 },
            Op::Cut { one: 0, other: 1, cut: true },
            Op::Wait { ms: 1 },
            Op::Answer { host: 2, most: 6 },
            Op::Send { host: 0, choice: 112, count: 2 },
            Op::Send { host: 1, choice: 29, count: 5 },
            Op::Wait { ms: 11671 },
            Op::CrashHost { host: 2, silent: true, down_ms: 426 },
            Op::Latency { ms: 459 },
            Op::Send { host: 0, choice: 345, count: 1 },
            Op::Release { host: 1, choice: 44 },
            Op::Send { host: 0, choice: 503, count: 3 },
        ],
    });
}

/// The first frame of a channel was lost and the next repeated: taken for an incumbent's give-up.
#[test]
fn a_gap_is_guessed_at() {
    holds(Schedule {
        seed: 53,
        ops: vec![
            Op::Redeem { host: 1, of: 0 },
            Op::Redeem { host: 1, of: 2 },
            Op::Redeem { host: 2, of: 0 },
            Op::Wait { ms: 784 },
            Op::Reopen { host: 2, to: 1 },
            Op::Wait { ms: 104 },
            Op::Send { host: 2, choice: 828, count: 30 },
            Op::Wait { ms: 1395 },
            Op::Send { host: 2, choice: 710, count: 26 },
            Op::Wait { ms: 45 },
            Op::Wait { ms: 36 },
            Op::Redeem { host: 2, of: 0 },
            Op::CrashAt { host: 0, operations: 101, moment: Moment::After, down_ms: 44155 },
            Op::Answer { host: 2, most: 6 },
            Op::Mischief { one: 2, other: 1, percent: 12 },
            Op::Mischief { one: 1, other: 2, percent: 39 },
            Op::Send { host: 1, choice: 722, count: 39 },
            Op::Release { host: 0, choice: 87 },
            Op::SlowBridge { host: 2, ms: 2241 },
            Op::Wait { ms: 1192 },
            Op::Send { host: 2, choice: 222, count: 43 },
            Op::Export { host: 0 },
            Op::Cut { one: 1, other: 0, cut: true },
            Op::Send { host: 1, choice: 224, count: 6 },
            Op::CrashAt { host: 0, operations: 311, moment: Moment::After, down_ms: 46 },
            Op::CrashAt { host: 0, operations: 312, moment: Moment::Before, down_ms: 25 },
            Op::Redeem { host: 2, of: 0 },
            Op::Reopen { host: 2, to: 0 },
            Op::Wait { ms: 5 },
            Op::CrashHost { host: 0, silent: false, down_ms: 927 },
            Op::Export { host: 0 },
            Op::CrashHost { host: 2, silent: false, down_ms: 34 },
            Op::Wait { ms: 38 },
            Op::Send { host: 0, choice: 911, count: 4 },
            Op::Wait { ms: 136 },
            Op::SlowBridge { host: 2, ms: 2 },
            Op::Send { host: 1, choice: 626, count: 5 },
            Op::Send { host: 2, choice: 82, count: 19 },
            Op::Wait { ms: 37 },
            Op::Send { host: 2, choice: 813, count: 3 },
            Op::Wait { ms: 3036 },
        ],
    });
}

/// The network took a call that its kernel had given up for lost, refused the next, and was never used.
#[test]
fn an_initialization_is_taken_twice() {
    holds(Schedule {
        seed: 93,
        ops: vec![
            Op::SlowBridge { host: 2, ms: 2 },
            Op::Wipe { host: 0, down_ms: 9 },
            Op::Close { host: 0, to: 2 },
            Op::Send { host: 0, choice: 489, count: 5 },
            Op::Wait { ms: 1 },
            Op::Send { host: 2, choice: 692, count: 5 },
            Op::Send { host: 0, choice: 514, count: 4 },
            Op::Send { host: 0, choice: 558, count: 4 },
            Op::Cut { one: 2, other: 0, cut: true },
            Op::Sleep { host: 0, ms: 29849 },
            Op::CrashNetwork { host: 0, silent: false, down_ms: 5345 },
        ],
    });
}

/// A call whose own part was stored was reported as failed, and its outcome told all the same.
#[test]
fn a_store_fails_after_a_send() {
    holds(Schedule {
        seed: 234,
        ops: vec![
            Op::Redeem { host: 0, of: 1 },
            Op::Redeem { host: 0, of: 2 },
            Op::Redeem { host: 1, of: 0 },
            Op::Redeem { host: 1, of: 2 },
            Op::Redeem { host: 2, of: 0 },
            Op::Redeem { host: 2, of: 1 },
            Op::Close { host: 0, to: 1 },
            Op::Wait { ms: 241 },
            Op::CrashAt { host: 1, operations: 179, moment: Moment::Before, down_ms: 1406 },
            Op::Wipe { host: 2, down_ms: 59 },
            Op::Export { host: 1 },
            Op::Export { host: 1 },
            Op::Wait { ms: 410 },
            Op::Send { host: 1, choice: 745, count: 2 },
        ],
    });
}

/// A timer that could not be served before the network was started rang without end.
#[test]
fn a_timer_before_the_start() {
    holds(Schedule {
        seed: 3838,
        ops: vec![
            Op::Redeem { host: 0, of: 1 },
            Op::Redeem { host: 0, of: 2 },
            Op::Wait { ms: 287 },
            Op::Send { host: 0, choice: 707, count: 4 },
            Op::Mischief { one: 0, other: 2, percent: 0 },
            Op::Sleep { host: 1, ms: 118663 },
            Op::Release { host: 0, choice: 42 },
            Op::Send { host: 2, choice: 44, count: 3 },
            Op::SlowBridge { host: 0, ms: 2633 },
            Op::Send { host: 2, choice: 880, count: 22 },
            Op::Release { host: 1, choice: 72 },
            Op::CrashAt { host: 0, operations: 26, moment: Moment::Before, down_ms: 19 },
            Op::Send { host: 0, choice: 622, count: 35 },
            Op::Wait { ms: 2409 },
            Op::CrashNetwork { host: 0, silent: false, down_ms: 701 },
            Op::Redeem { host: 0, of: 2 },
            Op::Send { host: 0, choice: 489, count: 42 },
            Op::CrashNetwork { host: 1, silent: true, down_ms: 20 },
            Op::Export { host: 1 },
            Op::Wait { ms: 6466 },
        ],
    });
}

/// Frames of a dead incarnation that waited for a slow kernel were delivered as its successor's.
#[test]
fn a_dead_incarnations_frames() {
    holds(Schedule {
        seed: 8612,
        ops: vec![
            Op::Redeem { host: 0, of: 1 },
            Op::Redeem { host: 0, of: 2 },
            Op::Redeem { host: 1, of: 0 },
            Op::Redeem { host: 1, of: 2 },
            Op::Redeem { host: 2, of: 0 },
            Op::Wait { ms: 115 },
            Op::SlowBridge { host: 2, ms: 3566 },
            Op::Send { host: 1, choice: 478, count: 33 },
            Op::Wait { ms: 1194 },
            Op::Wipe { host: 1, down_ms: 19 },
        ],
    });
}

/// A message whose result had been settled by a give-up was passed over, and its sender told nothing.
#[test]
fn a_settled_result() {
    holds(Schedule {
        seed: 18896,
        ops: vec![
            Op::Redeem { host: 0, of: 1 },
            Op::Redeem { host: 0, of: 2 },
            Op::Redeem { host: 1, of: 0 },
            Op::Redeem { host: 1, of: 2 },
            Op::Redeem { host: 2, of: 0 },
            Op::Redeem { host: 2, of: 1 },
            Op::Wait { ms: 109 },
            Op::CrashAt { host: 0, operations: 55, moment: Moment::Before, down_ms: 11 },
            Op::Wait { ms: 6592 },
            Op::Send { host: 0, choice: 261, count: 6 },
            Op::Send { host: 0, choice: 218, count: 5 },
            Op::Send { host: 2, choice: 870, count: 6 },
            Op::Wait { ms: 17 },
            Op::Send { host: 2, choice: 18, count: 46 },
            Op::CrashNetwork { host: 2, silent: true, down_ms: 54 },
            Op::Send { host: 2, choice: 163, count: 4 },
            Op::Send { host: 2, choice: 245, count: 5 },
            Op::Wait { ms: 853 },
            Op::Send { host: 1, choice: 963, count: 6 },
            Op::Send { host: 2, choice: 389, count: 5 },
            Op::Send { host: 1, choice: 644, count: 2 },
            Op::Wait { ms: 184 },
            Op::Send { host: 0, choice: 275, count: 3 },
            Op::Send { host: 2, choice: 309, count: 5 },
            Op::CrashNetwork { host: 1, silent: true, down_ms: 10890 },
            Op::Send { host: 2, choice: 618, count: 6 },
            Op::Send { host: 1, choice: 520, count: 37 },
            Op::Send { host: 2, choice: 809, count: 59 },
            Op::CrashKernel { host: 2, down_ms: 56 },
            Op::Answer { host: 2, most: 1 },
            Op::Answer { host: 0, most: 6 },
            Op::SlowBridge { host: 2, ms: 3883 },
            Op::Redeem { host: 0, of: 1 },
            Op::Cut { one: 1, other: 0, cut: false },
            Op::Release { host: 0, choice: 12 },
            Op::Send { host: 1, choice: 388, count: 32 },
            Op::CrashAt { host: 1, operations: 193, moment: Moment::After, down_ms: 33360 },
            Op::Send { host: 1, choice: 629, count: 4 },
            Op::Wipe { host: 0, down_ms: 15 },
            Op::Wait { ms: 73 },
            Op::Send { host: 1, choice: 23, count: 6 },
            Op::Cut { one: 0, other: 1, cut: true },
            Op::Release { host: 1, choice: 38 },
            Op::Wait { ms: 44129 },
            Op::Export { host: 2 },
            Op::CrashHost { host: 1, silent: false, down_ms: 1272 },
            Op::Redeem { host: 2, of: 1 },
        ],
    });
}

/// Both ends let go of an object at once, by way of a kernel that was wiped; the retirement of what was retired was an error.
#[test]
fn a_retirement_crosses_another() {
    holds(Schedule {
        seed: 20262165,
        ops: vec![
            Op::Redeem { host: 0, of: 1 },
            Op::Redeem { host: 0, of: 2 },
            Op::Redeem { host: 1, of: 0 },
            Op::Redeem { host: 1, of: 2 },
            Op::Redeem { host: 2, of: 0 },
            Op::Redeem { host: 2, of: 1 },
            Op::Wait { ms: 223 },
            Op::Send { host: 0, choice: 904, count: 2 },
            Op::Redeem { host: 0, of: 2 },
            Op::Redeem { host: 1, of: 0 },
            Op::Wait { ms: 21 },
            Op::CrashKernel { host: 1, down_ms: 39 },
            Op::Wait { ms: 61 },
            Op::Redeem { host: 1, of: 0 },
            Op::Send { host: 2, choice: 156, count: 6 },
            Op::Wait { ms: 331 },
            Op::Send { host: 0, choice: 670, count: 1 },
            Op::Send { host: 1, choice: 205, count: 6 },
            Op::Send { host: 1, choice: 219, count: 6 },
            Op::Send { host: 1, choice: 777, count: 6 },
            Op::Wipe { host: 1, down_ms: 1068 },
            Op::Wait { ms: 1 },
            Op::Release { host: 2, choice: 84 },
            Op::Wait { ms: 1959 },
            Op::Release { host: 2, choice: 86 },
            Op::Release { host: 0, choice: 58 },
        ],
    });
}
