//! Whether the line below a connection moves: a sans-I/O judgement, from counts of bytes, of a peer that answers no ping.
//!
//! On a slow line a ping waits behind whatever was given to the line before, in buffers that nobody can look into, and so does
//! its answer. So whatever comes is a sign of life, and so is room that is found for what had to wait; it is as good as an
//! answer. It has no date: when an answer is overdue it is looked for now and then. And what was given to the line since the
//! last ping that came back is given the time that it takes, by the fastest that the line ever was.

use std::{collections::HashMap, hash::Hash, sync::Arc, time::Duration};

use super::{circuits::Meter, heartbeat::LONGEST_SILENCE};
use crate::runtime::Timestamp;

/// What every line is taken for until it was faster, in bytes per second.
const SLOWEST: u64 = 16 << 10;

#[derive(Debug)]
struct Line {
    meter: Option<Arc<Meter>>,
    /// When a ping last came back.
    answered: Timestamp,
    /// When the one before it did.
    answered_before: Timestamp,
    /// When a sign of life was last looked for since.
    looked: Option<Timestamp>,
    /// When there was one, as far as it is known.
    alive: Option<Timestamp>,
    /// Bytes written until then.
    written: u64,
    /// Bytes written that have certainly arrived.
    arrived: u64,
    /// In bytes per second.
    fastest: u64,
}

impl Line {
    /// A ping came back. It was sent after the one before came back, behind all that was written until then; and that was written
    /// since the one before that, while the line may have carried it already.
    fn answered(&mut self, now: Timestamp) {
        let millis = u64::try_from(now.since(self.answered_before).as_millis()).unwrap_or(u64::MAX).max(1);
        let arrived = self.written.saturating_sub(self.arrived);
        self.fastest = self.fastest.max(arrived.saturating_mul(1_000) / millis);
        self.arrived = self.written;
        self.written = self.written_now();
        self.answered_before = std::mem::replace(&mut self.answered, now);
        self.looked = None;
        self.alive = None;
        self.take_sign_of_life();
    }

    fn written_now(&self) -> u64 {
        self.meter.as_ref().map_or(0, |meter| meter.written())
    }

    fn take_sign_of_life(&self) -> bool {
        self.meter.as_ref().is_some_and(|meter| meter.take_sign_of_life())
    }

    /// How long what was written may take to arrive, in whole seconds.
    fn carries_for(&self) -> Duration {
        let under_way = self.written_now().saturating_sub(self.arrived);
        Duration::from_secs(under_way / self.fastest.max(1)).min(LONGEST_SILENCE)
    }
}

/// The lines below connections, each known by an id.
#[derive(Debug)]
pub struct Lines<Id> {
    /// How long an idle peer may take to answer.
    limit: Duration,
    lines: HashMap<Id, Line>,
}

impl<Id: Copy + Eq + Hash> Lines<Id> {
    /// No lines yet.
    pub fn new(limit: Duration) -> Self {
        Lines { limit, lines: HashMap::new() }
    }

    /// The connection was opened; its bytes are counted by `meter`, if at all. What its set-up wrote has arrived.
    pub fn watch(&mut self, connection: Id, meter: Option<Arc<Meter>>, now: Timestamp) {
        let written = meter.as_ref().map_or(0, |meter| meter.written());
        let line = Line {
            meter,
            answered: now,
            answered_before: now,
            looked: None,
            alive: None,
            written,
            arrived: written,
            fastest: SLOWEST,
        };
        self.lines.insert(connection, line);
    }

    /// The connection answered a ping.
    pub fn answered(&mut self, connection: Id, now: Timestamp) {
        if let Some(line) = self.lines.get_mut(&connection) {
            line.answered(now);
        }
    }

    /// The connection has ended, or its peer does not know pings.
    pub fn forget(&mut self, connection: Id) {
        self.lines.remove(&connection);
    }

    /// When to [look](Self::look) next: while answers come in time, never.
    pub fn next_look(&self) -> Option<Timestamp> {
        self.lines.values().map(|line| self.looks_at(line)).min()
    }

    fn looks_at(&self, line: &Line) -> Timestamp {
        line.looked.map_or(line.answered.after(self.limit / 2), |looked| looked.after(self.limit / 4))
    }

    /// Looks for signs of life where an answer is overdue; `also` tells of each connection whether there was one that is not
    /// counted here. The first look shows what is not known when it was.
    pub fn look(&mut self, now: Timestamp, also: impl Fn(Id) -> bool) {
        let limit = self.limit;
        let due: Vec<Id> =
            self.lines.iter().filter_map(|(id, line)| (self.looks_at(line) <= now).then_some(*id)).collect();
        for id in due {
            let Some(line) = self.lines.get_mut(&id) else { continue };
            // Both are asked, for asking is taking.
            let moved = line.take_sign_of_life() | also(id);
            let before = line.looked.replace(now);
            if moved && before.is_some_and(|before| now.since(before) <= limit) {
                line.alive = Some(now);
            }
        }
    }

    /// Whether there was a sign of life within the limit, or what was written may still be on its way.
    pub fn shows_life(&self, connection: Id, now: Timestamp) -> bool {
        self.lines.get(&connection).is_some_and(|line| {
            let carried_for = self.limit.saturating_add(line.carries_for()).min(LONGEST_SILENCE);
            line.alive.is_some_and(|alive| now.since(alive) < self.limit) || now.since(line.answered) < carried_for
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(4);

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn line() -> (Lines<u8>, Arc<Meter>) {
        let (mut lines, meter) = (Lines::new(LIMIT), Arc::<Meter>::default());
        lines.watch(1, Some(Arc::clone(&meter)), at(0));
        (lines, meter)
    }

    /// When it shows no life any more, if nothing comes.
    fn silent_from(lines: &Lines<u8>, from: u64) -> u64 {
        (from..).step_by(100).find(|now| !lines.shows_life(1, at(*now))).unwrap()
    }

    #[test]
    fn a_line_that_was_given_nothing_has_the_plain_limit() {
        let (lines, _) = line();
        assert_eq!(silent_from(&lines, 0), 4_000);
        assert!(!lines.shows_life(2, at(0)), "it is not known");
    }

    /// Looks whenever that is due.
    fn look(lines: &mut Lines<u8>, until: u64, also: bool) {
        while let Some(next) = lines.next_look().filter(|next| *next <= at(until)) {
            lines.look(next, |_| also);
        }
    }

    #[test]
    fn what_comes_and_what_goes_on_is_as_good_as_an_answer() {
        let (mut lines, meter) = line();
        for second in 1..60 {
            meter.note_life();
            look(&mut lines, second * 1_000, false);
            assert!(second < 4 || lines.shows_life(1, at(second * 1_000)), "{second}");
        }
        look(&mut lines, 70_000, false);
        assert_eq!(silent_from(&lines, 59_000), 63_000);

        let mut uncounted = Lines::new(LIMIT);
        uncounted.watch(1_u8, None, at(0));
        look(&mut uncounted, 59_000, true);
        look(&mut uncounted, 70_000, false);
        assert_eq!(silent_from(&uncounted, 59_000), 63_000);
    }

    #[test]
    fn what_came_before_the_line_went_dead_puts_nothing_off() {
        let (mut lines, meter) = line();
        meter.note_life();
        look(&mut lines, 10_000, false);
        assert_eq!(silent_from(&lines, 0), 4_000);
        lines.answered(1, at(10_000));
        meter.note_life();
        assert_eq!(lines.next_look(), Some(at(12_000)));
        lines.look(at(12_000), |_| false);
        lines.look(at(30_000), |_| true);
        assert!(!lines.shows_life(1, at(30_000)), "this program slept, and nobody knows when that was");
    }

    #[test]
    fn what_was_given_to_a_slow_line_has_the_time_that_it_takes_within_a_limit() {
        let (lines, meter) = line();
        meter.wrote(160 << 10);
        assert_eq!(silent_from(&lines, 0), 14_000, "10 s at 16 KiB/s");
        meter.wrote(100 << 20);
        assert_eq!(silent_from(&lines, 0), 64_000);
    }

    #[test]
    fn what_was_on_its_way_while_an_answer_was_late_does_not_make_a_line_fast() {
        let (mut lines, meter) = line();
        meter.wrote(1 << 20);
        // The answer is behind what the peer wrote, and so late that the line has carried all by then.
        lines.answered(1, at(21_000));
        lines.answered(1, at(21_100));
        meter.wrote(1 << 20);
        assert_eq!(silent_from(&lines, 21_100), 46_100, "21 s at 1 MiB in 21.1 s");
    }

    #[test]
    fn a_line_that_was_fast_once_is_fast() {
        let (mut lines, meter) = line();
        meter.wrote(10 << 20);
        lines.answered(1, at(1_000));
        // The second ping shows what the first was behind.
        lines.answered(1, at(2_000));
        meter.wrote(1 << 20);
        assert_eq!(silent_from(&lines, 2_000), 6_000, "0.1 s is nothing");
    }
}
