//! Many schedules, one after the other or side by side; and one that fails, made as short as it gets.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::{AtomicU64, Ordering},
    thread,
};

use crate::{
    schedule::{Op, Schedule},
    world::{Statistics, World},
};

/// After so many runs it is said how many there were: who waits sees that it goes on.
pub(crate) const PROGRESS: u64 = 1_000;

/// A rule was broken, or something panicked.
#[derive(Clone, Debug)]
pub struct Violation {
    /// Which.
    pub what: String,
    /// By this schedule.
    pub schedule: Schedule,
}

/// Runs one schedule; a panic is a violation too.
///
/// # Errors
/// What went wrong.
pub fn run(schedule: &Schedule) -> Result<Statistics, Box<Violation>> {
    let outcome = catch_unwind(AssertUnwindSafe(|| World::run(schedule)));
    let outcome = outcome.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Err(format!("panic: {}", text.unwrap_or_default()))
    });
    outcome.map_err(|what| Box::new(Violation { what, schedule: schedule.clone() }))
}

/// Operations in a schedule drawn at random.
fn length(seed: u64) -> usize {
    20 + usize::try_from(seed % 60).unwrap()
}

/// Runs the schedules of `count` seeds from `first` on, on `threads` threads, until one fails.
///
/// # Errors
/// The first violation found, as it was found.
pub fn explore(first: u64, count: u64, threads: usize) -> Result<Statistics, Box<Violation>> {
    let next = AtomicU64::new(0);
    let work = || {
        let mut sum = Statistics::default();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= count {
                return Ok(sum);
            }
            let seed = first.wrapping_add(index);
            if index > 0 && index.is_multiple_of(PROGRESS) {
                println!("{index} of {count} schedules");
            }
            match run(&Schedule::random(seed, length(seed))) {
                Ok(statistics) => sum.add(&statistics),
                Err(violation) => {
                    next.store(count, Ordering::Relaxed);
                    return Err(violation);
                }
            }
        }
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let mut sum = Statistics::default();
        for worker in workers {
            sum.add(&worker.join().unwrap()?);
        }
        Ok(sum)
    })
}

/// Makes a failing schedule shorter as long as it fails: leaves out ever smaller parts, then makes waits shorter.
pub fn shrink(violation: Violation) -> Violation {
    let mut best = violation;
    let mut part = best.schedule.ops.len() / 2;
    while part > 0 {
        let mut from = 0;
        while from < best.schedule.ops.len() {
            let mut ops = best.schedule.ops.clone();
            ops.drain(from..(from + part).min(ops.len()));
            if !try_instead(&mut best, ops) {
                from += part;
            }
        }
        part /= 2;
    }
    for index in 0..best.schedule.ops.len() {
        while let Op::Wait { ms: ms @ 2.. } = best.schedule.ops[index] {
            let mut ops = best.schedule.ops.clone();
            ops[index] = Op::Wait { ms: ms / 2 };
            if !try_instead(&mut best, ops) {
                break;
            }
        }
    }
    best
}

fn try_instead(best: &mut Violation, ops: Vec<Op>) -> bool {
    match run(&Schedule { seed: best.schedule.seed, ops }) {
        Ok(_) => false,
        Err(violation) => {
            *best = *violation;
            true
        }
    }
}

/// A violation as a person wants to see it: shrunk, with a test to paste.
pub fn report(violation: Violation) -> String {
    let found = violation.schedule.seed;
    let Violation { what, schedule } = shrink(violation);
    format!("seed {found}: {what}\n\n{}", schedule.to_test())
}
