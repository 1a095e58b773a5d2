//! Puts each deliberate bug of [`ocap_remotes::faults`] in, one after the other, and asks each method of the evidence whether
//! it finds it.
#![allow(clippy::unwrap_used)] // tests only

use model::{check, configurations};
use ocap_remotes::faults::{Fault, seed};
use simulator::{Medium, Story};

/// A method of finding bugs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Method {
    /// Random schedules of whole kernels.
    Schedules,
    /// A crash at each operation of a store.
    CrashPoints,
    /// Every state of two sessions.
    Model,
    /// An operation of a store that fails, once.
    FailurePoints,
    /// What large input costs.
    Cost,
    /// What attacks do to others, and leave behind.
    Attacks,
}

impl Method {
    /// All of them, the quickest first.
    pub const ALL: [Method; 6] =
        [Method::Cost, Method::Attacks, Method::Schedules, Method::CrashPoints, Method::FailurePoints, Method::Model];

    /// Looks for a bug until it finds one. Gives the first line of what it says.
    pub fn find(self) -> Option<String> {
        let found = match self {
            Method::Schedules => schedules(SCHEDULES),
            Method::CrashPoints => {
                simulator::crash_points(Story::Whole, Medium::Rows, 1, STRIDE, 2).err().map(|violation| violation.what)
            }
            Method::FailurePoints => simulator::failure_points(Story::Whole, Medium::Rows, 1, STRIDE, 2)
                .err()
                .map(|violation| violation.what),
            Method::Cost => cost::find(),
            Method::Attacks => cost::attacks::find(),
            Method::Model => SMALL.iter().find_map(|name| check(&configurations::named(name).unwrap()).violation),
        };
        found.map(|text| text.lines().last().unwrap_or_default().to_owned())
    }
}

/// What a number of schedules finds.
fn schedules(count: u64) -> Option<String> {
    simulator::explore(1, count, 2).err().map(|violation| violation.what)
}

/// Schedules tried for each bug; most are found by one of the first.
const SCHEDULES: u64 = 250;
/// Schedules tried for a bug that nothing else has found: what goes ahead of the fence, two ends that keep epochs mostly find out.
const MANY_SCHEDULES: u64 = 4_000;
/// Store operations between two crashes, or failures.
const STRIDE: u64 = 13;
/// The configurations of the model checker that are walked quickly.
const SMALL: [&str; 9] = [
    "an incumbent and the rate limit",
    "wipes",
    "a crash and a wipe",
    "crashes",
    "a crash after a give-up",
    "networks reloaded",
    "give-ups",
    "several messages in a commit",
    "timers",
];

/// The first of the methods that finds a bug, with what it says; with `every`, all that do. Each is asked only where those before it
/// found nothing, since what takes time is to find nothing.
pub fn found_by(fault: Fault, methods: &[Method], every: bool) -> Vec<(Method, String)> {
    seed(Some(fault));
    let mut found = Vec::new();
    for method in methods {
        if every || found.is_empty() {
            found.extend(method.find().map(|what| (*method, what)));
        }
    }
    if found.is_empty() && methods.contains(&Method::Schedules) {
        found.extend(schedules(MANY_SCHEDULES).map(|what| (Method::Schedules, what)));
    }
    seed(None);
    found
}
