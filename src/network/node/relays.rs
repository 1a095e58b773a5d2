//! When to ask which relay for a reservation: a sans-I/O state machine.
//!
//! Without a reservation nobody reaches this kernel, and nobody but this kernel can mend that: so it asks for ever. A lost
//! reservation is asked for again soon (250 ms, 500 ms, 1 s), and then every second or two for some minutes, lest an outage cost as
//! long again as it lasted; then at the protocol's pace (5 s doubling to 60 s), unless somebody dials. Each delay is drawn
//! from its upper half, lest all clients of a relay come back at once.

use std::time::Duration;

use libp2p::{Multiaddr, PeerId};

use super::address;
use crate::runtime::Timestamp;

/// The delay before each next attempt while a relay has not been gone for long; the last one repeats.
const EAGER: [Duration; 4] =
    [Duration::from_millis(250), Duration::from_millis(500), Duration::from_secs(1), Duration::from_secs(2)];

/// For how long it is asked so often.
const EAGER_FOR: Duration = Duration::from_secs(180);

/// The delay after that, which doubles, and the longest.
const PATIENT: Duration = Duration::from_secs(5);
const LONGEST: Duration = Duration::from_secs(60);

/// How long one attempt may take. On a line that comes back, a fresh attempt gets through before one that has waited: TCP
/// repeats its first packet ever more slowly.
const ATTEMPT_LIMIT: Duration = Duration::from_secs(8);

/// How long every fourth that gets no answer may take, for lines on which it does take so long.
const LONG_ATTEMPT_LIMIT: Duration = Duration::from_secs(30);

/// A reservation that lasted this long proves the relay sound: the next loss is retried from the shortest delay.
const SOUND_AFTER: Duration = Duration::from_secs(10);

/// All configured relays.
#[derive(Debug)]
pub(super) struct Relays {
    relays: Vec<Relay>,
}

#[derive(Debug)]
struct Relay {
    peer: PeerId,
    /// Alternatives, taken in turn.
    addresses: Vec<Multiaddr>,
    /// Failures in a row.
    failures: u32,
    /// Those of them that came after it had been gone for long.
    late_failures: u32,
    /// Since when.
    failing_since: Option<Timestamp>,
    /// Attempts in a row without an answer in time.
    unanswered: u32,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Waiting to ask.
    Waiting { until: Timestamp },
    /// Asking; if `until` passes, the attempt has failed.
    Reserving { until: Timestamp },
    /// The reservation holds (libp2p renews it).
    Up { since: Timestamp },
}

/// A relay's place in the list.
pub(super) type RelayIndex = usize;

/// What the driver is to do.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Ask for a reservation at this address.
    Reserve { relay: RelayIndex, address: Multiaddr },
    /// Stop asking, it takes too long; [`Relays::lost`] has yet to be called.
    Abandon { relay: RelayIndex },
}

impl Relays {
    /// Addresses of the same relay are taken together.
    pub(super) fn new(addresses: impl IntoIterator<Item = (PeerId, Multiaddr)>, now: Timestamp) -> Self {
        let mut relays: Vec<Relay> = Vec::new();
        for (peer, address) in addresses {
            match relays.iter_mut().find(|relay| relay.peer == peer) {
                Some(relay) => relay.addresses.push(address),
                None => relays.push(Relay {
                    peer,
                    addresses: vec![address],
                    failures: 0,
                    late_failures: 0,
                    failing_since: None,
                    unanswered: 0,
                    state: State::Waiting { until: now },
                }),
            }
        }
        Relays { relays }
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) next.
    pub(super) fn next_deadline(&self) -> Option<Timestamp> {
        self.relays
            .iter()
            .filter_map(|relay| match relay.state {
                State::Waiting { until } | State::Reserving { until } => Some(until),
                State::Up { .. } => None,
            })
            .min()
    }

    /// What is due by now.
    pub(super) fn handle_timeout(&mut self, now: Timestamp) -> Vec<Action> {
        let mut actions = Vec::new();
        for (index, relay) in self.relays.iter_mut().enumerate() {
            match relay.state {
                State::Waiting { until } if until <= now => {
                    let limit = if relay.unanswered % 4 == 3 { LONG_ATTEMPT_LIMIT } else { ATTEMPT_LIMIT };
                    relay.state = State::Reserving { until: now.after(limit) };
                    actions.push(Action::Reserve { relay: index, address: relay.address() });
                }
                State::Reserving { until } if until <= now => {
                    relay.unanswered = relay.unanswered.saturating_add(1);
                    actions.push(Action::Abandon { relay: index });
                }
                _ => {}
            }
        }
        actions
    }

    /// The reservation was granted or renewed. `true` when the relay was not up before.
    pub(super) fn reserved(&mut self, index: RelayIndex, now: Timestamp) -> bool {
        let Some(relay) = self.relays.get_mut(index) else { return false };
        if matches!(relay.state, State::Up { .. }) {
            return false;
        }
        relay.state = State::Up { since: now };
        relay.unanswered = 0;
        true
    }

    /// The reservation was lost, or the attempt failed: `true` when that is news. `random` is any 32 random bits.
    pub(super) fn lost(&mut self, index: RelayIndex, now: Timestamp, random: u32) -> bool {
        let Some(relay) = self.relays.get_mut(index) else { return false };
        let was_up = match relay.state {
            State::Up { since } => {
                if now.since(since) >= SOUND_AFTER {
                    relay.forget_failures();
                }
                true
            }
            _ => false,
        };
        let is_news = was_up || relay.failures == 0;
        relay.state = State::Waiting { until: now.after(drawn(relay.next_delay(now), random)) };
        is_news
    }

    /// Asks whoever waits at once, as if it had never failed.
    pub(super) fn retry(&mut self, now: Timestamp) {
        for relay in &mut self.relays {
            if let State::Waiting { until } = &mut relay.state {
                *until = now;
                relay.forget_failures();
            }
        }
    }

    /// Somebody waits for a peer, perhaps for the way through a relay: none is left alone for long.
    pub(super) fn hurry(&mut self, now: Timestamp) {
        let soon = now.after(EAGER.last().copied().unwrap_or(PATIENT));
        for relay in &mut self.relays {
            if let State::Waiting { until } = &mut relay.state {
                *until = soon.min(*until);
            }
        }
    }

    /// The peer id of a relay.
    pub(super) fn peer(&self, index: RelayIndex) -> Option<PeerId> {
        self.relays.get(index).map(|relay| relay.peer)
    }

    /// Whether this is one of the relays.
    pub(super) fn is_relay(&self, peer: &PeerId) -> bool {
        self.relays.iter().any(|relay| relay.peer == *peer)
    }

    /// The address that is in use or next in turn.
    pub(super) fn address(&self, index: RelayIndex) -> Option<Multiaddr> {
        self.relays.get(index).map(Relay::address)
    }
}

impl Relay {
    fn address(&self) -> Multiaddr {
        let turn = self.failures as usize % self.addresses.len().max(1);
        self.addresses.get(turn).cloned().unwrap_or_else(Multiaddr::empty)
    }

    fn forget_failures(&mut self) {
        (self.failures, self.late_failures, self.failing_since, self.unanswered) = (0, 0, None, 0);
    }

    /// How long to wait after one more failure, at most.
    fn next_delay(&mut self, now: Timestamp) -> Duration {
        let eager = EAGER.get(self.failures as usize).or(EAGER.last()).copied().unwrap_or(PATIENT);
        self.failures = self.failures.saturating_add(1);
        if now.since(*self.failing_since.get_or_insert(now)) < EAGER_FOR {
            return eager;
        }
        let factor = 1_u32.checked_shl(self.late_failures).unwrap_or(u32::MAX);
        self.late_failures = self.late_failures.saturating_add(1);
        PATIENT.saturating_mul(factor).min(LONGEST)
    }
}

/// Between half of the delay and all of it.
fn drawn(delay: Duration, random: u32) -> Duration {
    let half = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX) / 2;
    Duration::from_millis(half.saturating_add(u64::from(random).saturating_mul(half) >> 32))
}

/// Why an address cannot be that of a relay, or the relay's peer id.
pub(super) fn checked_peer(address: &Multiaddr) -> Result<PeerId, &'static str> {
    address::relay_peer(address).ok_or("a relay's address ends in /p2p/<peer id> and is no circuit")
}

#[cfg(test)]
mod tests {
    use super::*;

    const LATEST: u32 = u32::MAX;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn address(n: u8) -> Multiaddr {
        format!("/ip4/127.0.0.{n}/tcp/9001/ws").parse().unwrap()
    }

    fn one_relay(addresses: &[u8]) -> Relays {
        let peer = PeerId::random();
        Relays::new(addresses.iter().map(|n| (peer, address(*n))), at(0))
    }

    fn reserve(n: u8) -> Vec<Action> {
        vec![Action::Reserve { relay: 0, address: address(n) }]
    }

    /// When a relay is asked that answers nothing from `lost_at` on, each time `takes` after it was asked.
    fn asked(relays: &mut Relays, lost_at: u64, takes: u64, until: u64) -> Vec<u64> {
        let mut times = Vec::new();
        relays.lost(0, at(lost_at), LATEST);
        while let Some(due) = relays.next_deadline().filter(|due| *due < at(until)) {
            assert!(relays.handle_timeout(at(due.as_millis() - 1)).is_empty());
            match relays.handle_timeout(due).as_slice() {
                [Action::Reserve { .. }] if takes == u64::MAX => times.push(due.as_millis()),
                [Action::Reserve { .. }] => {
                    times.push(due.as_millis());
                    assert!(!relays.lost(0, at(due.as_millis() + takes), LATEST), "that is no news");
                }
                [Action::Abandon { .. }] => {
                    relays.lost(0, due, LATEST);
                }
                other => panic!("{other:?}"),
            }
        }
        times
    }

    #[test]
    fn a_lost_reservation_is_asked_for_again_soon_then_every_second_or_two_for_some_minutes_then_seldom_and_for_ever() {
        let mut relays = one_relay(&[1]);
        assert_eq!(relays.handle_timeout(at(0)), reserve(1));
        assert!(relays.reserved(0, at(0)));
        assert!(!relays.reserved(0, at(0)), "a renewal is no news");

        let day = 24 * 3_600_000;
        let times = asked(&mut relays, 0, 0, day);
        assert_eq!(times[..4], [249, 748, 1_747, 3_746]);
        let pauses: Vec<(u64, u64)> = times.windows(2).map(|pair| (pair[0], pair[1] - pair[0])).collect();
        assert!(pauses.iter().all(|(since, pause)| *since >= 180_000 || *pause <= 2_000), "{pauses:?}");
        let late: Vec<u64> = pauses.iter().filter(|(since, _)| *since >= 180_000).map(|(_, pause)| *pause).collect();
        assert_eq!(late[..6], [4_999, 9_999, 19_999, 39_999, 59_999, 59_999]);
        assert!(late.iter().all(|pause| *pause < 60_000) && *times.last().unwrap() > day - 60_000, "it is given up");
    }

    #[test]
    fn an_attempt_that_gets_no_answer_makes_room_for_another_and_some_have_more_time() {
        let mut relays = one_relay(&[1]);
        let times = asked(&mut relays, 0, u64::MAX, 180_000);
        let pauses: Vec<u64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert_eq!(pauses[..8], [8_499, 8_999, 9_999, 31_999, 9_999, 9_999, 9_999, 31_999]);
    }

    #[test]
    fn the_shortest_draw_is_half_the_delay() {
        assert_eq!(drawn(Duration::from_millis(250), 0), Duration::from_millis(125));
        assert_eq!(drawn(LONGEST, 0), Duration::from_secs(30));
    }

    #[test]
    fn a_relay_that_proved_sound_starts_over_and_one_that_did_not_goes_on() {
        let mut relays = one_relay(&[1]);
        for _ in 0..5 {
            relays.lost(0, at(0), LATEST);
        }
        relays.reserved(0, at(0));
        assert!(relays.lost(0, at(9_999), LATEST));
        assert_eq!(relays.next_deadline(), Some(at(9_999 + 1_999)), "sixth failure");

        relays.reserved(0, at(20_000));
        assert!(relays.lost(0, at(30_000), LATEST));
        assert_eq!(relays.next_deadline(), Some(at(30_249)), "first failure");
    }

    #[test]
    fn addresses_of_one_relay_take_turns() {
        let mut relays = one_relay(&[1, 2]);
        assert_eq!(relays.handle_timeout(at(0)), reserve(1));
        relays.lost(0, at(0), LATEST);
        assert_eq!(relays.handle_timeout(at(1_000)), reserve(2));
        relays.lost(0, at(1_000), LATEST);
        assert_eq!(relays.handle_timeout(at(2_000)), reserve(1));
    }

    #[test]
    fn whoever_dials_makes_a_relay_that_waits_long_be_asked_soon_and_a_wake_is_a_new_start() {
        let mut relays = one_relay(&[1]);
        let hour = 3_600_000;
        asked(&mut relays, 0, 0, hour);
        relays.hurry(at(hour));
        assert_eq!(relays.next_deadline(), Some(at(hour + 2_000)));
        relays.hurry(at(hour + 1_000));
        assert_eq!(relays.next_deadline(), Some(at(hour + 2_000)), "no matter how often");
        assert_eq!(relays.handle_timeout(at(hour + 2_000)), reserve(1));

        relays.lost(0, at(hour + 2_000), LATEST);
        relays.retry(at(hour + 2_001));
        assert_eq!(relays.handle_timeout(at(hour + 2_001)).len(), 1);
        assert!(relays.lost(0, at(hour + 2_001), LATEST));
        assert_eq!(relays.next_deadline(), Some(at(hour + 2_250)), "first failure");
    }
}
