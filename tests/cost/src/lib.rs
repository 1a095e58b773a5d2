//! What large and hostile input costs a kernel. Each [`Input`] comes in any size; what it costs is counted, not timed, and must grow
//! no faster than the input itself.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // tests only

pub mod attacks;
mod counting;
mod inputs;
mod victim;

use std::fmt;

pub use counting::{Asked, CountingStore};
pub use inputs::INPUTS;

/// How the cost of an input may grow with its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Growth {
    /// In proportion: twice the size, twice the cost.
    Linear,
    /// Not at all: the size is that of what came before, and of no concern to what is counted.
    None,
}

/// Something that a peer, or the program, may do to a kernel.
pub struct Input {
    /// What.
    pub name: &'static str,
    /// How its cost may grow.
    pub growth: Growth,
    /// The smallest size that is tried; it is doubled three times.
    pub size: u64,
    pub(crate) run: fn(u64, &mut Meter<'_>),
}

/// What was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Operations of the store.
    pub operations: u64,
    /// Bytes of the values that were read from it and written to it.
    pub stored: u64,
    /// Rows that were added.
    pub rows: u64,
    /// Bytes that were allocated, if that is counted.
    pub allocated: u64,
    /// Bytes that came from the peer.
    pub received: u64,
    /// Microseconds that it took; never judged.
    pub micros: u64,
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts { operations, stored, rows, allocated, received, micros } = self;
        write!(f, "{operations} operations, {stored} bytes stored, {rows} rows, {allocated} allocated, ")?;
        write!(f, "{received} received, {micros} µs")
    }
}

/// Counts a part of a run.
pub struct Meter<'a> {
    allocated: &'a dyn Fn() -> u64,
    counts: Counts,
}

impl Meter<'_> {
    pub(crate) fn count(&mut self, victim: &mut victim::Victim, work: impl FnOnce(&mut victim::Victim)) {
        let (asked, rows, received) = (victim.store.asked(), victim.store.rows(), victim.received);
        let (allocated, begun) = ((self.allocated)(), std::time::Instant::now());
        work(victim);
        let took = begun.elapsed();
        self.counts = Counts {
            allocated: (self.allocated)() - allocated,
            operations: victim.store.asked().operations - asked.operations,
            stored: victim.store.asked().bytes - asked.bytes,
            rows: victim.store.rows().saturating_sub(rows),
            received: victim.received - received,
            micros: took.as_micros().try_into().unwrap_or(u64::MAX),
        };
    }
}

/// What an input of one size costs. `allocated` tells how many bytes were ever allocated.
pub fn measure(input: &Input, size: u64, allocated: &dyn Fn() -> u64) -> Counts {
    let mut meter = Meter { allocated, counts: Counts::default() };
    (input.run)(size, &mut meter);
    meter.counts
}

/// How much more than in proportion a cost may be: tables double now and then, and numbers get longer.
const TOLERANCE: f64 = 1.5;
/// The same for what is allocated, where a table that just doubled shows.
const ALLOCATION_TOLERANCE: f64 = 2.0;

/// Doubles an input three times.
///
/// # Errors
/// What grew too fast, in words.
pub fn check(input: &Input, allocated: &dyn Fn() -> u64) -> Result<Vec<(u64, Counts)>, String> {
    check_from(input, input.size, allocated)
}

fn check_from(input: &Input, smallest: u64, allocated: &dyn Fn() -> u64) -> Result<Vec<(u64, Counts)>, String> {
    let sizes = (0..4).map(|doubled| smallest << doubled);
    let measured: Vec<(u64, Counts)> = sizes.map(|size| (size, measure(input, size, allocated))).collect();
    let [(_, first), ..] = measured[..] else { return Ok(measured) };
    for (size, counts) in &measured {
        let times = match input.growth {
            Growth::Linear => *size as f64 / smallest as f64,
            Growth::None => 1.0,
        };
        for (what, now, before, tolerance) in [
            ("operations", counts.operations, first.operations, TOLERANCE),
            ("bytes stored", counts.stored, first.stored, TOLERANCE),
            ("rows", counts.rows, first.rows, TOLERANCE),
            ("bytes allocated", counts.allocated, first.allocated, ALLOCATION_TOLERANCE),
        ] {
            if now as f64 > before as f64 * times * tolerance + 64.0 {
                let name = input.name;
                return Err(format!("{name}: {before} {what} at size {smallest}, and {now} at {size}"));
            }
        }
    }
    Ok(measured)
}

/// Looks for anything that grows too fast, by what the store is asked, in a hurry.
pub fn find() -> Option<String> {
    INPUTS.iter().find_map(|input| check_from(input, input.size / 2, &|| 0).err())
}
