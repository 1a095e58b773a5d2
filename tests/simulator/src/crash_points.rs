//! A crash at every single operation of every store, in a run in which everything happens that a kernel does; or an operation
//! that fails, once, while the kernel goes on.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    thread,
};

use crate::{
    disk::Moment,
    explore::{PROGRESS, Violation, run},
    schedule::{HOSTS, Op, Schedule},
    world::World,
};

/// How much was covered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CrashPoints {
    /// Crashes that were tried: before and after each operation of each kernel.
    pub points: u64,
    /// The operations that they were beside.
    pub operations: u64,
}

/// Everything that a kernel does, in little: redemptions, messages and answers both ways, references passed on, a cut, a
/// peer that is given up, garbage, and a peer that loses its memory.
fn whole_story() -> Vec<Op> {
    let send = |host, count| Op::Send { host, choice: host as u64, count };
    vec![
        Op::Redeem { host: 0, of: 1 },
        Op::Redeem { host: 1, of: 0 },
        Op::Redeem { host: 2, of: 0 },
        Op::Wait { ms: 400 },
        send(0, 3),
        send(1, 3),
        send(2, 2),
        Op::Wait { ms: 400 },
        Op::Cut { one: 0, other: 1, cut: true },
        send(0, 2),
        send(1, 2),
        Op::Wait { ms: 45_000 },
        Op::Cut { one: 0, other: 1, cut: false },
        send(0, 2),
        Op::Release { host: 0, choice: 0 },
        Op::Release { host: 1, choice: 0 },
        Op::Wait { ms: 1_000 },
        Op::Redeem { host: 0, of: 1 },
        Op::Redeem { host: 0, of: 2 },
        Op::Wait { ms: 1_000 },
        send(0, 3),
        Op::Answer { host: 0, most: 3 },
        Op::Answer { host: 1, most: 3 },
        Op::Wipe { host: 2, down_ms: 500 },
        Op::Wait { ms: 2_000 },
        send(0, 2),
        Op::Wait { ms: 500 },
    ]
}

/// The same once, for where each operation is tried and not every third.
fn short_story() -> Vec<Op> {
    let send = |host, count| Op::Send { host, choice: host as u64, count };
    vec![
        Op::Redeem { host: 0, of: 1 },
        Op::Redeem { host: 2, of: 0 },
        Op::Wait { ms: 400 },
        send(0, 1),
        Op::Wait { ms: 200 },
        Op::Cut { one: 0, other: 1, cut: true },
        send(0, 1),
        Op::Wait { ms: 45_000 },
        Op::Cut { one: 0, other: 1, cut: false },
        Op::Answer { host: 1, most: 1 },
        Op::Release { host: 2, choice: 0 },
        Op::Redeem { host: 0, of: 2 },
        Op::Wait { ms: 600 },
        Op::Wipe { host: 2, down_ms: 500 },
        Op::Wait { ms: 1_000 },
    ]
}

/// What happens, in which something goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Story {
    /// Everything.
    Whole,
    /// The same once, for where each operation is tried.
    Short,
}

impl Story {
    fn ops(self) -> Vec<Op> {
        match self {
            Story::Whole => whole_story(),
            Story::Short => short_story(),
        }
    }
}

/// What the kernels keep their rows on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Medium {
    /// Rows that are there or not.
    Rows,
    /// The durable store, on a file that loses what was not flushed.
    File,
}

/// Lets each kernel in turn crash before and after each operation of its store, `stride` apart, and go on from its disk.
///
/// # Errors
/// The first crash after which a rule was broken.
pub fn crash_points(
    story: Story,
    medium: Medium,
    seed: u64,
    stride: u64,
    threads: usize,
) -> Result<CrashPoints, Box<Violation>> {
    at_each_operation(&story.ops(), medium, seed, stride, threads, |host, operations, moment| Op::CrashAt {
        host,
        operations,
        moment,
        down_ms: 300,
    })
}

/// Lets each operation of each kernel's store in turn, `stride` apart, fail before and after it had its effect. The next one succeeds, so the kernel goes on, or is started again if it was a commit.
///
/// # Errors
/// The first failure after which a rule was broken, or something never ended.
pub fn failure_points(
    story: Story,
    medium: Medium,
    seed: u64,
    stride: u64,
    threads: usize,
) -> Result<CrashPoints, Box<Violation>> {
    let fails = |host, operations, moment| Op::FailAt { host, operations, moment };
    at_each_operation(&story.ops(), medium, seed, stride, threads, fails)
}

fn at_each_operation(
    story: &[Op],
    medium: Medium,
    seed: u64,
    stride: u64,
    threads: usize,
    trouble: impl Fn(usize, u64, Moment) -> Op + Sync,
) -> Result<CrashPoints, Box<Violation>> {
    let mut beginning = Vec::new();
    if medium == Medium::File {
        beginning.extend((0..HOSTS).map(|host| Op::MoveToFile { host, down_ms: 10 }));
        beginning.push(Op::Wait { ms: 1_000 });
    }
    let mut world = World::new(seed);
    let begun = world.perform_all(&beginning);
    let operations =
        |world: &World| -> Vec<u64> { (0..HOSTS).map(|host| world.host(host).disk.operations()).collect() };
    let started = operations(&world);
    begun
        .and_then(|()| world.perform_all(story))
        .and_then(|()| world.finish())
        .map_err(|what| Box::new(Violation { what, schedule: Schedule { seed, ops: story.to_vec() } }))?;
    let mut points = Vec::new();
    for (host, (ended, started)) in operations(&world).into_iter().zip(started).enumerate() {
        for operations in (1..=ended - started).step_by(usize::try_from(stride).unwrap()) {
            points.extend([Moment::Before, Moment::After].map(|moment| (host, operations, moment)));
        }
    }
    let next = AtomicU64::new(0);
    let work = || {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some((host, operations, moment)) = points.get(usize::try_from(index).unwrap()).copied() else {
                return Ok(());
            };
            if index > 0 && index.is_multiple_of(PROGRESS) {
                println!("{medium:?}: {index} of {} points", points.len());
            }
            let mut ops = beginning.clone();
            ops.push(trouble(host, operations, moment));
            ops.extend_from_slice(story);
            if let Err(violation) = run(&Schedule { seed, ops }) {
                next.store(u64::MAX / 2, Ordering::Relaxed);
                return Err(violation);
            }
        }
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().unwrap())
    })?;
    let count = points.len() as u64;
    Ok(CrashPoints { points: count, operations: count / 2 })
}
