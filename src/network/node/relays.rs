//! When to ask which relay for a reservation: a sans-I/O state machine.
//!
//! A lost reservation is asked for again soon (250 ms, 500 ms, 1 s, 2 s), so that a relay's restart costs seconds; then at
//! the protocol's pace (5 s doubling to 60 s). Each delay is drawn from its upper half, lest all clients of a relay
//! come back at once. After [`max_attempts`](super::NodeConfig::max_relay_attempts) failures in a row the relay is given
//! up; a retry by the user, or any dial, is worth one more attempt.

use std::time::Duration;

use libp2p::{Multiaddr, PeerId};

use super::address;
use crate::runtime::Timestamp;

/// The delay before each next attempt, in milliseconds; the last one repeats.
const DELAYS_MS: [u64; 9] = [250, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 40_000, 60_000];

/// How long one attempt may take.
const ATTEMPT_LIMIT: Duration = Duration::from_secs(30);

/// A reservation that lasted this long proves the relay sound: the next loss is retried from the shortest delay.
const SOUND_AFTER: Duration = Duration::from_secs(10);

/// All configured relays.
#[derive(Debug)]
pub(super) struct Relays {
    relays: Vec<Relay>,
    max_attempts: u32,
}

#[derive(Debug)]
struct Relay {
    peer: PeerId,
    /// Alternatives, taken in turn.
    addresses: Vec<Multiaddr>,
    /// Failures in a row.
    failures: u32,
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
    /// Too many failures.
    GivenUp,
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

/// What a loss means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Loss {
    /// The reservation, or the first attempt at one, is gone; another attempt follows.
    Down,
    /// One more failure of an attempt whose relay is known to be down.
    StillDown,
    /// The last failure: there are no more attempts.
    GaveUp,
}

impl Relays {
    /// Addresses of the same relay are taken together.
    pub(super) fn new(
        addresses: impl IntoIterator<Item = (PeerId, Multiaddr)>,
        max_attempts: u32,
        now: Timestamp,
    ) -> Self {
        let mut relays: Vec<Relay> = Vec::new();
        for (peer, address) in addresses {
            match relays.iter_mut().find(|relay| relay.peer == peer) {
                Some(relay) => relay.addresses.push(address),
                None => relays.push(Relay {
                    peer,
                    addresses: vec![address],
                    failures: 0,
                    state: State::Waiting { until: now },
                }),
            }
        }
        Relays { relays, max_attempts }
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) next.
    pub(super) fn next_deadline(&self) -> Option<Timestamp> {
        self.relays
            .iter()
            .filter_map(|relay| match relay.state {
                State::Waiting { until } | State::Reserving { until } => Some(until),
                State::Up { .. } | State::GivenUp => None,
            })
            .min()
    }

    /// What is due by now.
    pub(super) fn handle_timeout(&mut self, now: Timestamp) -> Vec<Action> {
        let mut actions = Vec::new();
        for (index, relay) in self.relays.iter_mut().enumerate() {
            match relay.state {
                State::Waiting { until } if until <= now => {
                    relay.state = State::Reserving { until: now.after(ATTEMPT_LIMIT) };
                    actions.push(Action::Reserve { relay: index, address: relay.address() });
                }
                State::Reserving { until } if until <= now => actions.push(Action::Abandon { relay: index }),
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
        true
    }

    /// The reservation was lost, or the attempt failed. `random` is any 32 random bits.
    pub(super) fn lost(&mut self, index: RelayIndex, now: Timestamp, random: u32) -> Loss {
        let max_attempts = self.max_attempts;
        let Some(relay) = self.relays.get_mut(index) else { return Loss::StillDown };
        let was_up = match relay.state {
            State::Up { since } => {
                if now.since(since) >= SOUND_AFTER {
                    relay.failures = 0;
                }
                true
            }
            _ => false,
        };
        let news = was_up || relay.failures == 0;
        relay.failures = relay.failures.saturating_add(1);
        if relay.failures >= max_attempts {
            relay.state = State::GivenUp;
            return Loss::GaveUp;
        }
        relay.state = State::Waiting { until: now.after(delay(relay.failures, random)) };
        if news { Loss::Down } else { Loss::StillDown }
    }

    /// Attempts what waits or was given up at once. Only with `fresh` are earlier failures forgotten.
    pub(super) fn retry(&mut self, now: Timestamp, fresh: bool) {
        for relay in &mut self.relays {
            match relay.state {
                State::GivenUp => {}
                State::Waiting { .. } if fresh => {}
                _ => continue,
            }
            relay.state = State::Waiting { until: now };
            if fresh {
                relay.failures = 0;
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
}

fn delay(failures: u32, random: u32) -> Duration {
    let step = (failures.saturating_sub(1) as usize).min(DELAYS_MS.len() - 1);
    let full = DELAYS_MS.get(step).copied().unwrap_or(60_000);
    let half = full / 2;
    Duration::from_millis(half + ((u64::from(random) * half) >> 32))
}

/// Why an address cannot be that of a relay, or the relay's peer id.
pub(super) fn checked_peer(address: &Multiaddr) -> Result<PeerId, &'static str> {
    address::relay_peer(address).ok_or("a relay's address ends in /p2p/<peer id> and is no circuit")
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONGEST: u32 = u32::MAX;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn address(n: u8) -> Multiaddr {
        format!("/ip4/127.0.0.{n}/tcp/9001/ws").parse().unwrap()
    }

    fn one_relay(addresses: &[u8]) -> Relays {
        let peer = PeerId::random();
        Relays::new(addresses.iter().map(|n| (peer, address(*n))), 10, at(0))
    }

    fn reserve(n: u8) -> Vec<Action> {
        vec![Action::Reserve { relay: 0, address: address(n) }]
    }

    #[test]
    fn a_lost_reservation_is_asked_for_again_soon_then_ever_later_then_not() {
        let mut relays = one_relay(&[1]);
        let mut now = 0;
        assert_eq!(relays.handle_timeout(at(now)), reserve(1));
        assert!(relays.reserved(0, at(now)));
        assert!(!relays.reserved(0, at(now)), "a renewal is no news");

        let mut waits = Vec::new();
        let mut loss = relays.lost(0, at(now), LONGEST);
        assert_eq!(loss, Loss::Down);
        while loss != Loss::GaveUp {
            let due = relays.next_deadline().unwrap();
            waits.push(due.since(at(now)).as_millis());
            assert_eq!(relays.handle_timeout(at(due.as_millis() - 1)), []);
            now = due.as_millis();
            assert_eq!(relays.handle_timeout(due), reserve(1));
            loss = relays.lost(0, at(now), LONGEST);
        }
        assert_eq!(waits, [249, 499, 999, 1_999, 4_999, 9_999, 19_999, 39_999, 59_999]);
        assert_eq!(relays.next_deadline(), None);
    }

    #[test]
    fn the_shortest_draw_is_half_the_delay() {
        assert_eq!(delay(1, 0), Duration::from_millis(125));
        assert_eq!(delay(u32::MAX, 0), Duration::from_secs(30));
    }

    #[test]
    fn a_relay_that_proved_sound_starts_over_and_one_that_did_not_goes_on() {
        let mut relays = one_relay(&[1]);
        for _ in 0..5 {
            relays.lost(0, at(0), LONGEST);
        }
        relays.reserved(0, at(0));
        relays.lost(0, at(9_999), LONGEST);
        assert_eq!(relays.next_deadline(), Some(at(9_999 + 9_999)), "sixth failure");

        relays.reserved(0, at(20_000));
        assert_eq!(relays.lost(0, at(30_000), LONGEST), Loss::Down);
        assert_eq!(relays.next_deadline(), Some(at(30_249)), "first failure");
    }

    #[test]
    fn an_attempt_without_an_answer_is_abandoned() {
        let mut relays = one_relay(&[1]);
        relays.handle_timeout(at(0));
        assert_eq!(relays.handle_timeout(at(29_999)), []);
        assert_eq!(relays.handle_timeout(at(30_000)), [Action::Abandon { relay: 0 }]);
        assert_eq!(relays.lost(0, at(30_000), 0), Loss::Down);
        assert_eq!(relays.next_deadline(), Some(at(30_125)));
    }

    #[test]
    fn addresses_of_one_relay_take_turns() {
        let mut relays = one_relay(&[1, 2]);
        assert_eq!(relays.handle_timeout(at(0)), reserve(1));
        relays.lost(0, at(0), LONGEST);
        assert_eq!(relays.handle_timeout(at(1_000)), reserve(2));
        relays.lost(0, at(1_000), LONGEST);
        assert_eq!(relays.handle_timeout(at(2_000)), reserve(1));
    }

    #[test]
    fn a_dial_is_worth_one_attempt_at_a_relay_that_was_given_up_and_a_wake_is_a_new_start() {
        let mut relays = one_relay(&[1]);
        while relays.lost(0, at(0), 0) != Loss::GaveUp {}
        relays.retry(at(1_000), false);
        assert_eq!(relays.handle_timeout(at(1_000)).len(), 1);
        assert_eq!(relays.lost(0, at(1_000), 0), Loss::GaveUp);

        relays.retry(at(2_000), true);
        assert_eq!(relays.handle_timeout(at(2_000)).len(), 1);
        assert_eq!(relays.lost(0, at(2_000), LONGEST), Loss::Down);
        relays.retry(at(2_001), false);
        assert_eq!(relays.next_deadline(), Some(at(2_249)), "a dial does not hurry a relay that waits");
    }
}
