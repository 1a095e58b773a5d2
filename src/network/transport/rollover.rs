//! When a channel moves to a new circuit, before its relay cuts the one that it runs over.
//!
//! Whoever opened the channel moves it when three quarters of the circuit's time or bytes are used. The other end waits for
//! seven eighths: then its peer does not know this rule, or could not. Either end moves it when it has a message to write for
//! which there is no room. What both do at once is a crossed dial like any other.

use std::time::Duration;

use crate::{network::circuit::CircuitUse, runtime::Timestamp, wire::PeerId};

/// What setting up a circuit and a channel on it costs, at most; about 2 KiB were measured.
const SET_UP_BYTES: u64 = 6 << 10;
/// What must stay free for pings and acknowledgements.
const RESERVE_BYTES: u64 = 1 << 10;
/// How often the count of bytes is looked at while nothing is written or read: pings count too.
const WEIGH_EVERY: Duration = Duration::from_secs(5);
/// The pause after a move that failed, doubled with each further one.
const RETRY_BASE: Duration = Duration::from_millis(500);
const RETRY_CAP: Duration = Duration::from_secs(10);

/// Why another connection is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// The circuit comes to its end, or has no room for the next message. Another through the same relay will do.
    Circuit,
    /// The next message, of so many bytes, is longer than any circuit of this relay may carry.
    OtherWay { bytes: usize },
}

/// The circuit below a channel.
#[derive(Debug)]
pub(super) struct Rollover {
    circuit: CircuitUse,
    /// This end moves the channel when so many eighths are used.
    eighths: u32,
    /// Bytes given to the stream that the count may not yet contain.
    unweighed: u64,
    weigh_at: Timestamp,
    /// What the message at the head of the queue waits for.
    held_for: Option<Need>,
    /// Whether a message was written on this circuit.
    used: bool,
    failures: u32,
    not_before: Timestamp,
}

impl Rollover {
    pub(super) fn new(now: Timestamp, circuit: CircuitUse, dialled_by_us: bool) -> Self {
        Rollover {
            circuit,
            eighths: if dialled_by_us { 6 } else { 7 },
            unweighed: 0,
            weigh_at: now.after(WEIGH_EVERY),
            held_for: None,
            used: false,
            failures: 0,
            not_before: now,
        }
    }

    pub(super) fn relay(&self) -> Option<&PeerId> {
        self.circuit.relay.as_ref()
    }

    /// The longest message that a circuit of this relay carries.
    pub(super) fn longest_message(&self) -> Option<u64> {
        let room = self.circuit.limit.bytes?.saturating_sub(SET_UP_BYTES + RESERVE_BYTES + 128);
        Some(room - room / 64)
    }

    /// The bytes were counted anew; `under_way` of those given to the stream may be missing.
    pub(super) fn weighed(&mut self, now: Timestamp, carried: u64, under_way: u64) {
        self.circuit.carried = carried;
        self.unweighed = under_way;
        self.weigh_at = now.after(WEIGH_EVERY);
    }

    /// Whether a message may be written now. Our end leaves half of what is left to the other.
    pub(super) fn admits(&mut self, bytes: usize, nothing_under_way: bool) -> bool {
        let Some(limit) = self.circuit.limit.bytes else { return true };
        let cost = cost(bytes);
        let left = limit.saturating_sub(self.circuit.carried).saturating_sub(self.unweighed);
        // Half would never be enough for a message that is longer than half of a new circuit, nor for the first.
        let needs_more = cost > limit.saturating_sub(SET_UP_BYTES) / 2 && cost.saturating_add(RESERVE_BYTES) <= left;
        let alone = nothing_under_way && (!self.used || needs_more);
        self.held_for = if self.longest_message().is_some_and(|longest| bytes as u64 > longest) {
            Some(Need::OtherWay { bytes })
        } else if alone || cost <= left / 2 {
            None
        } else {
            Some(Need::Circuit)
        };
        if self.held_for.is_some() {
            return false;
        }
        self.used = true;
        self.unweighed = self.unweighed.saturating_add(cost);
        true
    }

    pub(super) fn is_holding(&self) -> bool {
        self.held_for.is_some()
    }

    /// The message that waited was taken back.
    pub(super) fn release(&mut self) {
        self.held_for = None;
    }

    /// What is needed now, if anything is. While writes are under way some bytes are counted twice, so what a message waits
    /// for is known when they are done.
    pub(super) fn need(&self, now: Timestamp, nothing_under_way: bool) -> Option<Need> {
        if now < self.not_before {
            return None;
        }
        let held_for = self.held_for.filter(|_| nothing_under_way);
        held_for.or_else(|| (self.is_old(now) || self.is_full()).then_some(Need::Circuit))
    }

    fn ages_at(&self) -> Option<Timestamp> {
        let duration = self.circuit.limit.duration?;
        Some(self.circuit.opened.after(duration.saturating_mul(self.eighths) / 8))
    }

    fn is_old(&self, now: Timestamp) -> bool {
        self.ages_at().is_some_and(|at| at <= now)
    }

    fn is_full(&self) -> bool {
        let due = |limit: u64| self.circuit.carried >= limit / 8 * u64::from(self.eighths);
        self.circuit.limit.bytes.is_some_and(due)
    }

    /// Whether the bytes are to be counted. Without a limit nobody cares.
    pub(super) fn is_weighed(&self) -> bool {
        self.circuit.limit.bytes.is_some()
    }

    pub(super) fn is_due_for_weighing(&mut self, now: Timestamp) -> bool {
        let due = self.is_weighed() && self.weigh_at <= now;
        if due {
            self.weigh_at = now.after(WEIGH_EVERY);
        }
        due
    }

    /// When to look again, unless a move is under way.
    pub(super) fn deadline(&self, nothing_under_way: bool, moving: bool) -> Option<Timestamp> {
        let weigh_at = self.is_weighed().then_some(self.weigh_at);
        let wanted_at = if (self.held_for.is_some() && nothing_under_way) || self.is_full() {
            Some(self.not_before)
        } else {
            self.ages_at()
        };
        let move_at = wanted_at.map(|at| at.max(self.not_before)).filter(|_| !moving);
        weigh_at.into_iter().chain(move_at).min()
    }

    /// A move came to nothing: not again before some time has passed.
    pub(super) fn failed(&mut self, now: Timestamp) {
        let factor = 1_u32.checked_shl(self.failures.min(8)).unwrap_or(u32::MAX);
        self.failures = self.failures.saturating_add(1);
        self.not_before = now.after(RETRY_BASE.saturating_mul(factor).min(RETRY_CAP));
    }
}

/// What a message costs on the wire: frames, multiplexing and encryption add less than a sixty-fourth.
fn cost(bytes: usize) -> u64 {
    let bytes = bytes as u64;
    bytes.saturating_add(bytes / 64).saturating_add(128)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::network::circuit::CircuitLimit;

    const LIMIT: u64 = 128 << 10;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn circuit(seconds: Option<u64>, bytes: Option<u64>) -> CircuitUse {
        let limit = CircuitLimit::new(seconds.map(Duration::from_secs), bytes);
        CircuitUse { relay: None, opened: at(0), limit, carried: 0 }
    }

    #[test]
    fn whoever_opened_it_moves_after_three_quarters_of_the_time_and_the_other_after_seven_eighths() {
        for (dialled, due) in [(true, 90_000), (false, 105_000)] {
            let rollover = Rollover::new(at(0), circuit(Some(120), None), dialled);
            assert_eq!(rollover.deadline(true, false), Some(at(due)));
            assert_eq!(rollover.deadline(true, true), None, "a move is under way");
            assert_eq!(rollover.need(at(due - 1), true), None);
            assert_eq!(rollover.need(at(due), true), Some(Need::Circuit));
        }
    }

    #[test]
    fn bytes_count_like_time() {
        for (dialled, due) in [(true, LIMIT / 4 * 3), (false, LIMIT / 8 * 7)] {
            let mut rollover = Rollover::new(at(0), circuit(None, Some(LIMIT)), dialled);
            rollover.weighed(at(1), due - 1, 100);
            assert_eq!(rollover.need(at(1), true), None);
            rollover.weighed(at(2), due, 0);
            assert_eq!(rollover.need(at(2), true), Some(Need::Circuit));
        }
    }

    #[test]
    fn a_message_for_which_there_is_no_room_waits_for_the_next_circuit_and_one_that_never_fits_for_another_way() {
        let mut rollover = Rollover::new(at(0), circuit(None, Some(LIMIT)), true);
        assert!(rollover.admits(1_000, true));
        rollover.weighed(at(0), 80_000, 0);
        assert!(!rollover.admits(60_000, true));
        assert_eq!(rollover.need(at(0), true), Some(Need::Circuit));
        assert!(rollover.admits(10_000, true), "a shorter one has room");
        assert_eq!(rollover.need(at(0), true), None);
        let longest = rollover.longest_message().unwrap() as usize;
        assert!(!rollover.admits(longest + 1, true));
        assert_eq!(rollover.need(at(0), true), Some(Need::OtherWay { bytes: longest + 1 }));

        let mut fresh = Rollover::new(at(0), circuit(None, Some(LIMIT)), true);
        fresh.weighed(at(0), SET_UP_BYTES, 0);
        assert!(fresh.admits(longest, true), "the longest fits a new circuit");
        assert!(!fresh.admits(longest, true), "but not twice");
    }

    #[test]
    fn a_move_that_failed_is_repeated_ever_later() {
        let mut rollover = Rollover::new(at(0), circuit(Some(8), None), true);
        let mut now = 6_000;
        let mut pauses = Vec::new();
        for _ in 0..7 {
            rollover.failed(at(now));
            assert_eq!(rollover.need(at(now), true), None);
            let next = rollover.deadline(true, false).unwrap().as_millis();
            assert!(rollover.need(at(next), true).is_some());
            pauses.push(next - now);
            now = next;
        }
        assert_eq!(pauses, [500, 1_000, 2_000, 4_000, 8_000, 10_000, 10_000]);
    }

    #[test]
    fn without_limits_there_is_nothing_to_do() {
        let mut rollover = Rollover::new(at(0), circuit(None, None), true);
        assert!(rollover.admits(usize::MAX, false));
        assert_eq!((rollover.deadline(true, false), rollover.need(at(u64::MAX), true)), (None, None));
    }

    proptest! {
        #[test]
        fn what_two_ends_write_by_this_rule_stays_within_the_limit(
            limit in (16_u64 << 10)..1 << 20,
            messages in proptest::collection::vec((any::<bool>(), 1_usize..100_000), 1..100),
        ) {
            // Both see the whole count before each message; what crosses on the way is what the halves are for.
            let mut ends = [true, false].map(|dialled| Rollover::new(at(0), circuit(None, Some(limit)), dialled));
            let mut carried = SET_UP_BYTES;
            for (end, bytes) in messages {
                let end = &mut ends[usize::from(end)];
                end.weighed(at(0), carried, 0);
                if end.used && end.admits(bytes, false) {
                    carried += cost(bytes);
                    prop_assert!(carried <= limit);
                } else if !end.used && end.admits(bytes, true) {
                    // The first of each end may be as long as a whole circuit.
                    carried += cost(bytes).min(limit.saturating_sub(carried) / 2);
                } else {
                    prop_assert!(end.need(at(0), true).is_some(), "a message that waits is waited for");
                }
            }
        }
    }
}
