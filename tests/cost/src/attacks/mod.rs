//! Attacks, in virtual time: a kernel and its network's end, an honest peer that calls at a steady pace, and peers that send what
//! costs most. Each [`Attack`] must leave the honest peer's calls about as quick as they are without it, cost the victim no more
//! for each byte than it should, and leave nothing behind when it is over and forgotten.
//!
//! # What time is
//!
//! The kernel is the real one, over a store that counts; the network's end is the real transport with its turns. Each is fed as
//! its driver feeds it. The kernel's thread does one thing after the other, and a turn takes as long as what was counted in it:
//! operations of the store, bytes read and written there, bytes that came, commits (`thread.rs` has the prices). All else is
//! taken to cost nothing: the network's end has a thread of its own, and each peer a line of 100 Mbit/s and 30 ms each way. So a
//! run comes out the same on every machine, and a call takes 60 ms on the lines and about two at the victim's.

mod attacker;
mod honest;
mod list;
mod thread;
mod world;

use std::{collections::BTreeSet, fmt};

pub use attacker::Who;
use attacker::{Attacker, Habits};
use honest::Honest;
pub use list::ATTACKS;
use thread::{Job, KernelThread};
use world::{Micros, SECOND, World};

/// Something that peers may do to a kernel all the time, and what it may do to the kernel and to others.
pub struct Attack {
    /// What.
    pub name: &'static str,
    /// Who does it.
    pub who: Who,
    pub(crate) habits: Habits,
    /// What it may do.
    pub limits: Limits,
    /// Whether it is one of the few that show most.
    pub(crate) telling: bool,
}

/// What an attack may do.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How many times as long as without it the honest peer's calls may take, at the 99th percentile.
    pub latency: f64,
    /// Microseconds of the kernel's thread for each byte that the attackers write.
    pub micros: f64,
    /// Operations of the store, the same.
    pub operations: f64,
    /// Rows of the store at any time, the same.
    pub rows: f64,
    /// Rows that are left of each attacker when everybody has gone and strangers are forgotten, beside one that says that some were.
    /// When those that were known have shown themselves as another incarnation, and were forgotten too, none are.
    pub left: usize,
}

/// When the attack begins and ends.
const ATTACK: (Micros, Micros) = (SECOND, 4 * SECOND);
/// When everybody has what it waits for.
const LEAVE: Micros = 7 * SECOND;
/// So long after that, who is not known is forgotten: it is given up when it could not be reached for ten minutes, and has then
/// been silent for as long.
const FORGETTING: Micros = 30 * 60 * SECOND;
/// When attackers that are known come back as another incarnation, to which nothing was given: strangers, who are forgotten.
const RETURN: Micros = LEAVE + FORGETTING;
/// How often rows are counted meanwhile.
const SAMPLES: u64 = 8;

/// What came of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// How long the honest peer's calls took: median, 99th percentile, the longest.
    pub calls: [Micros; 3],
    /// Calls without an answer.
    pub unanswered: usize,
    /// The longest turn of the kernel's thread, and all together.
    pub turns: (Micros, Micros),
    /// Operations of the store, and bytes read from it and written to it.
    pub asked: (u64, u64),
    /// Bytes that the attackers wrote.
    pub written: u64,
    /// Keys that they had.
    pub keys: u64,
    /// The most rows in the store.
    pub rows: u64,
    /// The names of the rows when strangers are forgotten.
    pub left: BTreeSet<String>,
    /// The same when all attackers are.
    pub in_the_end: BTreeSet<String>,
}

/// Runs an attack, or what there is without one.
pub fn run(attack: Option<&Attack>) -> Figures {
    let (thread, url) = KernelThread::new();
    let victim = thread.kernel().peer_id().clone();
    let mut honest = Honest::new(&victim, &url, (ATTACK.1, LEAVE));
    let (known, count) = match attack.map(|attack| attack.who) {
        Some(Who::Known(count)) => (true, count),
        Some(Who::Strangers(count)) => (false, count),
        None => (false, 0),
    };
    let mut attackers: Vec<Attacker> = attack.map_or_else(Vec::new, |attack| {
        (0..count as u64).map(|slot| Attacker::new(attack.habits, known, slot, &url, ATTACK)).collect()
    });
    let mut figures = Figures::default();
    {
        let mut world = World::new(thread);
        world.join(&mut honest, 0);
        for attacker in &mut attackers {
            world.join(attacker, if known { SECOND / 4 } else { ATTACK.0 });
        }
        world.run_until(ATTACK.0);
        let before = world.thread.spent();
        world.thread.take_longest();
        for sample in 1..=SAMPLES {
            world.run_until(ATTACK.0 + (ATTACK.1 - ATTACK.0) * sample / SAMPLES);
            figures.rows = figures.rows.max(world.thread.store().rows());
        }
        world.run_until(LEAVE);
        let spent = world.thread.spent();
        figures.turns = (world.thread.take_longest(), spent.micros - before.micros);
        figures.asked = (spent.operations - before.operations, spent.stored - before.stored);
        world.job(Job::LetGo);
        world.run_until(RETURN);
        let names = |world: &World<'_>| world.thread.store().all().into_iter().map(|(key, _)| key).collect();
        figures.left = names(&world);
        assert_eq!(world.thread.kernel().store().audit(), Ok(()));
        world.run_until(RETURN + FORGETTING);
        figures.in_the_end = names(&world);
    }
    let measured = honest.took.iter().filter(|(begun, _)| (ATTACK.0..ATTACK.1).contains(begun));
    let mut took: Vec<Micros> = measured.map(|(_, took)| *took).collect();
    took.sort_unstable();
    let percentile = |percent: usize| took.get((took.len() * percent / 100).min(took.len() - 1)).copied().unwrap_or(0);
    figures.calls = [percentile(50), percentile(99), percentile(100)];
    figures.unanswered = honest.unanswered();
    figures.written = attackers.iter().map(|attacker| attacker.written).sum();
    figures.keys = attackers.iter().map(|attacker| attacker.keys).sum();
    figures
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = |micros: Micros| micros as f64 / 1_000.0;
        let ([median, p99, longest], (turn, all)) = (self.calls, self.turns);
        write!(f, "calls {:.0}, {:.0} and {:.0} ms, ", millis(median), millis(p99), millis(longest))?;
        write!(f, "turns {:.1} ms at most and {:.0} in all, ", millis(turn), millis(all))?;
        write!(f, "{} operations, {} bytes stored, {} rows, ", self.asked.0, self.asked.1, self.rows)?;
        write!(f, "{} bytes by {} keys, {} rows left", self.written, self.keys, self.left.len())
    }
}

/// Rows that a peer has, however little it writes.
const ROWS_ALLOWED: u64 = 64;

/// Runs an attack, and tells which of its limits it breaks. `without` is what there is without one.
pub fn check(attack: &Attack, without: &Figures) -> (Figures, Vec<String>) {
    let figures = run(Some(attack));
    let Limits { latency, micros, operations, rows, left } = attack.limits;
    let Rates { slower, micros: took, operations: asked, rows: held } = figures.rates(without);
    let remain: Vec<_> = figures.left.difference(&without.left).collect();
    let mut broken = Vec::new();
    let mut insist = |holds: bool, what: String| {
        if !holds {
            broken.push(format!("{}: {what}", attack.name));
        }
    };
    insist(figures.unanswered == 0, format!("{} honest calls without an answer", figures.unanswered));
    insist(slower <= latency, format!("honest calls take {slower:.2} times as long, of {latency} allowed"));
    insist(took <= micros, format!("a byte takes {took:.2} µs of {micros} allowed"));
    insist(asked <= operations, format!("a byte costs {asked:.2} operations of {operations} allowed"));
    insist(held <= rows, format!("a byte holds {held:.3} rows of {rows} allowed"));
    let (Who::Known(count) | Who::Strangers(count)) = attack.who;
    // That somebody was ever forgotten is remembered.
    let left = left * count + 1;
    insist(remain.len() <= left, format!("{} rows are left of {left} allowed: {:?}", remain.len(), remain.first()));
    let (end, before) = (not_of_honest(&figures.in_the_end), not_of_honest(&without.in_the_end));
    insist(end <= before + 1, format!("{end} rows are left in the end, instead of {before}"));
    (figures, broken)
}

/// How many rows there are, but for those of promises that the honest peer, which came first, was told of and might still mention: of
/// its last calls some are, and their names are others in each run. Each has five rows.
fn not_of_honest(rows: &BTreeSet<String>) -> usize {
    rows.len() - 5 * rows.iter().filter(|row| row.starts_with("retiring.r1.")).count()
}

/// Looks for an attack that does what it may not, among the few that show most.
pub fn find() -> Option<String> {
    let without = run(None);
    ATTACKS.iter().filter(|attack| attack.telling).find_map(|attack| check(attack, &without).1.pop())
}

/// What an attack did, beyond what there is without one.
#[derive(Clone, Copy, Debug)]
pub struct Rates {
    /// How many times as long the honest peer's calls took, at the 99th percentile.
    pub slower: f64,
    /// Microseconds of the kernel's thread for each byte that the attackers wrote.
    pub micros: f64,
    /// Operations of the store, the same.
    pub operations: f64,
    /// Rows, the same.
    pub rows: f64,
}

impl Figures {
    /// What this is beside what there is without an attack.
    pub fn rates(&self, without: &Figures) -> Rates {
        let written = self.written.max(1) as f64;
        let more = |with: u64, without: u64| with.saturating_sub(without) as f64 / written;
        Rates {
            slower: self.calls[1] as f64 / without.calls[1] as f64,
            micros: more(self.turns.1, without.turns.1),
            operations: more(self.asked.0, without.asked.0),
            rows: more(self.rows, without.rows + ROWS_ALLOWED),
        }
    }
}
