//! What happens in a run: a list of operations that is drawn from a seed, can be shortened, and prints as Rust.

use fastrand::Rng;

use crate::disk::Moment;

/// Kernels in every run.
pub const HOSTS: usize = 3;

/// One thing that happens. Hosts are numbers below [`HOSTS`]; `choice` picks among what there is at that moment.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // The names say it; each field is what its variant is about.
pub enum Op {
    /// Time passes.
    Wait { ms: u64 },
    /// A program sends messages.
    Send { host: usize, choice: u64, count: u64 },
    /// A program redeems the URL of another's object.
    Redeem { host: usize, of: usize },
    /// A program makes another object.
    Export { host: usize },
    /// A program answers what it owes.
    Answer { host: usize, most: usize },
    /// A program lets something go.
    Release { host: usize, choice: u64 },
    /// The line between two hosts is cut, or mended.
    Cut { one: usize, other: usize, cut: bool },
    /// The line between two hosts is cut, and mended after a while.
    Outage { one: usize, other: usize, ms: u64 },
    /// Every stream between two hosts breaks.
    Break { one: usize, other: usize },
    /// Of a hundred frames between two hosts, so many are lost, repeated or overtaken in silence.
    Mischief { one: usize, other: usize, percent: u64 },
    /// Things take up to so long to the other side.
    Latency { ms: u64 },
    /// The relay goes down, or comes up again.
    Relay { down: bool },
    /// The bridge of a host takes up to so long.
    SlowBridge { host: usize, ms: u64 },
    /// A host's machine sleeps.
    Sleep { host: usize, ms: u64 },
    /// The kernel's context dies, and is started again after a while.
    CrashKernel { host: usize, down_ms: u64 },
    /// The kernel's context dies at an operation of its store soon to come, and is started again after a while.
    CrashAt { host: usize, operations: u64, moment: Moment, down_ms: u64 },
    /// The store operation that many from now fails, and the next one does not.
    FailAt { host: usize, operations: u64, moment: Moment },
    /// The network's context dies, and is started again after a while.
    CrashNetwork { host: usize, silent: bool, down_ms: u64 },
    /// Both die.
    CrashHost { host: usize, silent: bool, down_ms: u64 },
    /// The kernel dies, and keeps its rows in a file with the durable store from then on.
    MoveToFile { host: usize, down_ms: u64 },
    /// The kernel dies and loses its disk: another incarnation comes.
    Wipe { host: usize, down_ms: u64 },
    /// Another kernel with the identity of `of` shows itself to a host, and leaves again.
    Impostor { host: usize, of: usize },
    /// A program closes its connection to another host.
    Close { host: usize, to: usize },
    /// And opens it again.
    Reopen { host: usize, to: usize },
}

/// Operations with the seed for everything else that is left to chance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// Interleavings, delays, randomness.
    pub seed: u64,
    /// What happens, in order.
    pub ops: Vec<Op>,
}

/// Draws how long something lasts: mostly short, at times long enough for every timer.
fn duration(rng: &mut Rng) -> u64 {
    match rng.u64(..10) {
        0..=3 => rng.u64(..60),
        4..=6 => rng.u64(..1_500),
        7..=8 => rng.u64(..12_000),
        _ => rng.u64(..60_000),
    }
}

fn two(rng: &mut Rng) -> (usize, usize) {
    let one = rng.usize(..HOSTS);
    (one, (one + 1 + rng.usize(..HOSTS - 1)) % HOSTS)
}

fn fault(rng: &mut Rng) -> Op {
    let (one, other) = two(rng);
    let (host, down_ms) = (one, duration(rng));
    match rng.u64(..16) {
        0 | 1 => Op::Cut { one, other, cut: true },
        2 => Op::Break { one, other },
        3 => Op::Mischief { one, other, percent: rng.u64(..40) },
        4 => Op::Latency { ms: 1 + rng.u64(..2_000) },
        5 => Op::Relay { down: true },
        6 => Op::SlowBridge { host, ms: rng.u64(..4_000) },
        7 => Op::Sleep { host, ms: 1_000 + rng.u64(..120_000) },
        8 => Op::CrashKernel { host, down_ms },
        9 | 10 => {
            let moment = if rng.bool() { Moment::Before } else { Moment::After };
            Op::CrashAt { host, operations: 1 + rng.u64(..400), moment, down_ms }
        }
        11 => Op::CrashNetwork { host, silent: rng.bool(), down_ms },
        12 => Op::CrashHost { host, silent: rng.bool(), down_ms },
        13 => Op::Wipe { host, down_ms },
        14 => Op::Impostor { host, of: other },
        _ => Op::Close { host, to: other },
    }
}

fn mend(rng: &mut Rng) -> Op {
    let (one, other) = two(rng);
    match rng.u64(..5) {
        0 | 1 => Op::Cut { one, other, cut: false },
        2 => Op::Relay { down: false },
        3 => Op::SlowBridge { host: one, ms: 2 },
        _ => Op::Reopen { host: one, to: other },
    }
}

fn work(rng: &mut Rng) -> Op {
    let (host, of) = two(rng);
    match rng.u64(..10) {
        0..=4 => Op::Send { host, choice: rng.u64(..1_000), count: 1 + rng.u64(..6) },
        5 => Op::Send { host, choice: rng.u64(..1_000), count: 1 + rng.u64(..60) },
        6 => Op::Redeem { host, of },
        7 => Op::Answer { host, most: 1 + rng.usize(..8) },
        8 => Op::Release { host, choice: rng.u64(..100) },
        _ => Op::Export { host },
    }
}

/// A kernel dies while others look for what it asked for, and asks for something else when it is back.
fn asked_twice(rng: &mut Rng) -> [Op; 5] {
    let (host, of) = two(rng);
    [
        Op::Redeem { host, of },
        Op::Wait { ms: rng.u64(..60) },
        Op::CrashKernel { host, down_ms: rng.u64(..60) },
        Op::Wait { ms: 60 + rng.u64(..40) },
        Op::Redeem { host, of },
    ]
}

/// Everybody is there all the time, but the lines between them are not.
fn outages(rng: &mut Rng, length: usize) -> Vec<Op> {
    let mut ops: Vec<Op> = (0..HOSTS)
        .flat_map(|host| (0..HOSTS).filter(move |of| *of != host).map(move |of| Op::Redeem { host, of }))
        .collect();
    ops.push(Op::Wait { ms: 2_000 });
    while ops.len() < length {
        let (one, other) = two(rng);
        match rng.u64(..8) {
            0..=3 => ops.push(work(rng)),
            4 | 5 => ops.push(Op::Wait { ms: duration(rng) }),
            6 => ops.push(Op::Outage { one, other, ms: rng.u64(..400_000) }),
            _ => ops.push(Op::Latency { ms: 1 + rng.u64(..500) }),
        }
    }
    ops
}

impl Schedule {
    /// Whether nothing happens but outages, each of which ends before anybody may be given up for it.
    pub fn has_only_outages(&self) -> bool {
        self.ops.iter().all(|op| {
            matches!(
                op,
                Op::Wait { .. }
                    | Op::Send { .. }
                    | Op::Redeem { .. }
                    | Op::Export { .. }
                    | Op::Answer { .. }
                    | Op::Release { .. }
                    | Op::Latency { .. }
                    | Op::Outage { .. }
            )
        })
    }

    /// The schedule of a seed, with about `length` operations.
    pub fn random(seed: u64, length: usize) -> Self {
        let mut rng = Rng::with_seed(seed);
        if seed % 10 == 3 {
            return Schedule { seed, ops: outages(&mut rng, length) };
        }
        let mut ops = Vec::new();
        for host in 0..HOSTS {
            ops.extend((0..HOSTS).filter(|of| *of != host).map(|of| Op::Redeem { host, of }));
        }
        ops.push(Op::Wait { ms: 100 + rng.u64(..2_000) });
        // Not more often: a kernel in a file is several times as slow to simulate.
        if seed % 20 == 7 {
            ops.extend((0..HOSTS).map(|host| Op::MoveToFile { host, down_ms: 10 }));
        }
        while ops.len() < length {
            match rng.u64(..20) {
                0..=9 => ops.push(work(&mut rng)),
                10..=13 => ops.push(Op::Wait { ms: duration(&mut rng) }),
                14..=17 => ops.push(fault(&mut rng)),
                18 => ops.push(mend(&mut rng)),
                _ => ops.extend(asked_twice(&mut rng)),
            }
        }
        Schedule { seed, ops }
    }

    /// A complete test that runs this schedule.
    pub fn to_test(&self) -> String {
        let ops: String = self.ops.iter().map(|op| format!("            Op::{op:?},\n")).collect();
        let seed = self.seed;
        format!(
            "#[test]\nfn schedule_{seed:x}() {{\n    holds(Schedule {{\n        seed: {seed},\n        ops: vec![\n{ops}        ],\n    }});\n}}\n"
        )
        .replace("moment: ", "moment: Moment::")
    }
}
