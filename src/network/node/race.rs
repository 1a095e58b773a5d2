//! Which way to a peer is tried when: a sans-I/O state machine.
//!
//! A way may be silent without being dead: an old address of a local network, a relay whose machine is off. Whoever waited
//! for each to its end would need 20 s for each. So the next way is tried soon after the one before it, and at once when one
//! has failed; whichever brings a stream first wins.

use std::{collections::VecDeque, time::Duration};

use crate::{network::link::WAYS_AT_ONCE, runtime::Timestamp};

/// How long a way is tried alone: time for the handshakes of a slow line, so that a good way is seldom tried together with a worse
/// one, and little for whoever waits.
const HEAD_START: Duration = Duration::from_millis(500);

/// The ways of one dial, each known by its place in the list.
#[derive(Debug)]
pub(super) struct Race<Relay> {
    /// Not tried yet, best first, with the relay that each leads through.
    waiting: VecDeque<(usize, Option<Relay>)>,
    under_way: Vec<(usize, Option<Relay>)>,
    next_at: Timestamp,
}

impl<Relay: PartialEq> Race<Relay> {
    /// A race among these ways, best first; each is told by the relay that it leads through.
    pub(super) fn new(ways: impl IntoIterator<Item = Option<Relay>>, now: Timestamp) -> Self {
        Race { waiting: ways.into_iter().enumerate().collect(), under_way: Vec::new(), next_at: now }
    }

    /// The way that is to be tried now. Ask until there is none.
    pub(super) fn next(&mut self, now: Timestamp) -> Option<usize> {
        if self.next_at > now {
            return None;
        }
        let place = self.place_of_next()?;
        let (way, relay) = self.waiting.remove(place)?;
        self.under_way.push((way, relay));
        self.next_at = now.after(HEAD_START);
        Some(way)
    }

    /// When to ask for the next way; `None` while there is none to be had before another has failed.
    pub(super) fn next_at(&self) -> Option<Timestamp> {
        self.place_of_next().map(|_| self.next_at)
    }

    /// The way led nowhere.
    pub(super) fn failed(&mut self, way: usize, now: Timestamp) {
        self.under_way.retain(|(other, _)| *other != way);
        self.next_at = now;
    }

    fn place_of_next(&self) -> Option<usize> {
        if self.under_way.len() >= WAYS_AT_ONCE {
            return None;
        }
        // libp2p dials a relay at one address at a time, and fails whoever asks for another meanwhile.
        let is_free = |relay: &Option<Relay>| relay.is_none() || self.under_way.iter().all(|(_, taken)| taken != relay);
        self.waiting.iter().position(|(_, relay)| is_free(relay))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn direct(ways: usize) -> Race<u8> {
        Race::new(vec![None; ways], at(0))
    }

    /// All ways that are to be tried now.
    fn begun(race: &mut Race<u8>, now: u64) -> Vec<usize> {
        std::iter::from_fn(|| race.next(at(now))).collect()
    }

    #[test]
    fn a_way_that_stays_silent_does_not_keep_the_next_one_waiting() {
        let mut race = direct(3);
        assert_eq!(begun(&mut race, 0), [0]);
        assert_eq!(race.next_at(), Some(at(500)));
        assert!(begun(&mut race, 499).is_empty());
        assert_eq!(begun(&mut race, 500), [1]);
        assert_eq!(begun(&mut race, 1_000), [2]);
        assert_eq!(race.next_at(), None, "there are no more");
    }

    #[test]
    fn a_way_that_fails_makes_room_for_the_next_at_once() {
        let mut race = direct(3);
        assert_eq!(begun(&mut race, 0), [0]);
        race.failed(0, at(10));
        assert_eq!(begun(&mut race, 10), [1], "and for one only");
        assert_eq!(race.next_at(), Some(at(510)));
    }

    #[test]
    fn few_ways_are_tried_at_once() {
        let mut race = direct(WAYS_AT_ONCE + 2);
        let begun_by = |race: &mut Race<u8>, until: u64| (0..until).flat_map(|now| begun(race, now)).count();
        assert_eq!(begun_by(&mut race, 20_000), WAYS_AT_ONCE);
        assert_eq!(race.next_at(), None);
        race.failed(3, at(20_000));
        assert_eq!(begun(&mut race, 20_000), [WAYS_AT_ONCE]);
    }

    #[test]
    fn ways_through_one_relay_take_turns_and_do_not_hold_up_others() {
        let mut race = Race::new([Some(1), Some(1), Some(2), None], at(0));
        assert_eq!(begun(&mut race, 0), [0]);
        assert_eq!(begun(&mut race, 500), [2]);
        assert_eq!(begun(&mut race, 1_000), [3]);
        assert_eq!(race.next_at(), None);
        race.failed(0, at(1_100));
        assert_eq!(begun(&mut race, 1_100), [1]);
    }
}
