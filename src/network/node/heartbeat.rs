//! Which connections are silent: a sans-I/O watch over the answers to pings.
//!
//! Browsers notice a dead WebRTC peer late or never, so a connection that answers no ping for a while is closed by us. On a
//! slow line a ping waits behind whatever is being sent, and silence does not mean death. So a connection on which bytes come,
//! or take their way, gets a little more time again and again; and each time that a connection to a peer was closed for its
//! silence, the next gets twice the time, so that a long message comes through in the end. That is remembered of few: keys cost
//! nothing, and each that fell silent would be remembered for ever.

use std::{collections::HashMap, hash::Hash, time::Duration};

use crate::runtime::Timestamp;

/// A check that comes this much later than due shows that this program slept (a hidden tab, a suspended machine), which
/// says nothing of its peers: they get another full limit to answer.
const LATE: Duration = Duration::from_secs(2);

/// The longest silence that is ever waited for.
pub(super) const LONGEST_SILENCE: Duration = Duration::from_secs(64);

/// A connection that has answered for so long shows that its peer needs no more time than others.
const PROBATION: Duration = Duration::from_secs(60);

/// Peers whose patience is remembered.
const MAX_PATIENT: usize = 1_024;

#[derive(Debug)]
struct Watched<Peer> {
    peer: Peer,
    since: Timestamp,
    last_answer: Timestamp,
    /// Since when an answer is demanded without patience.
    probed: Option<Timestamp>,
    /// There was a sign of life other than an answer, so that silence is not judged before.
    reprieved: Option<Timestamp>,
}

/// The limit of a peer that was silent before, and when it last was.
#[derive(Clone, Copy, Debug)]
struct Patience {
    limit: Duration,
    silent_at: Timestamp,
}

/// Watches connections, each known by an id, to peers.
#[derive(Debug)]
pub(super) struct Heartbeat<Id, Peer> {
    limit: Duration,
    connections: HashMap<Id, Watched<Peer>>,
    /// Of peers that were silent before; at most [`MAX_PATIENT`].
    patience: HashMap<Peer, Patience>,
}

impl<Id: Copy + Eq + Hash, Peer: Copy + Eq + Hash> Heartbeat<Id, Peer> {
    pub(super) fn new(limit: Duration) -> Self {
        Heartbeat { limit, connections: HashMap::new(), patience: HashMap::new() }
    }

    /// The connection was opened.
    pub(super) fn watch(&mut self, connection: Id, peer: Peer, now: Timestamp) {
        self.connections
            .insert(connection, Watched { peer, since: now, last_answer: now, probed: None, reprieved: None });
    }

    /// The connection answered a ping.
    pub(super) fn answered(&mut self, connection: Id, now: Timestamp) {
        let Some(watched) = self.connections.get_mut(&connection) else { return };
        watched.last_answer = now;
        watched.probed = None;
        watched.reprieved = None;
        if now.since(watched.since) >= PROBATION {
            self.patience.remove(&watched.peer);
        }
    }

    /// The connection has ended, or its peer does not know pings.
    pub(super) fn forget(&mut self, connection: Id) {
        self.connections.remove(&connection);
    }

    /// The way to the network may have changed: what answers nothing within the plain limit from now is dead, however
    /// patient we were with its peer before. Who is awaited already is not given more time.
    pub(super) fn probe(&mut self, now: Timestamp) {
        for watched in self.connections.values_mut() {
            watched.probed.get_or_insert(now);
        }
    }

    /// What a sign of life is worth: it is older than the check by an unknown time.
    fn reprieve(&self) -> Duration {
        self.limit / 4
    }

    fn due(&self, watched: &Watched<Peer>) -> Timestamp {
        let due = match watched.probed {
            Some(probed) => probed.after(self.limit),
            None => watched
                .last_answer
                .after(self.patience.get(&watched.peer).map_or(self.limit, |patience| patience.limit)),
        };
        watched.reprieved.map_or(due, |reprieved| reprieved.max(due))
    }

    /// When to call [`silent`](Self::silent) next.
    pub(super) fn next_check(&self) -> Option<Timestamp> {
        self.connections.values().map(|watched| self.due(watched)).min()
    }

    /// The connections that answered nothing for longer than their limit; they are forgotten. `shows_life` tells of each
    /// whether anything came or went on since this was last asked, or since its last answer; `is_known` tells whose patience is
    /// to be remembered rather than that of others.
    pub(super) fn silent(
        &mut self,
        now: Timestamp,
        shows_life: impl Fn(Id) -> bool,
        is_known: impl Fn(&Peer) -> bool,
    ) -> Vec<Id> {
        if self.next_check().is_some_and(|due| now.since(due) > LATE) {
            for watched in self.connections.values_mut() {
                watched.last_answer = now;
                watched.probed = watched.probed.map(|_| now);
            }
        }
        let is_due = |(id, watched): (&Id, &Watched<Peer>)| (self.due(watched) <= now).then_some(*id);
        let (alive, silent): (Vec<Id>, Vec<Id>) =
            self.connections.iter().filter_map(is_due).partition(|id| shows_life(*id));
        for id in alive {
            let reprieve = self.reprieve();
            if let Some(watched) = self.connections.get_mut(&id) {
                watched.reprieved = Some(now.after(reprieve));
            }
        }
        for id in &silent {
            let Some(Watched { peer, .. }) = self.connections.remove(id) else { continue };
            self.be_patient(peer, now, &is_known);
        }
        silent
    }

    /// Gives a peer more time. When too many are remembered the one that was silent longest ago is forgotten, and none that is
    /// known while there are others.
    fn be_patient(&mut self, peer: Peer, now: Timestamp, is_known: impl Fn(&Peer) -> bool) {
        if !self.patience.contains_key(&peer) && self.patience.len() >= MAX_PATIENT {
            let rank = |(peer, patience): &(&Peer, &Patience)| (is_known(peer), patience.silent_at);
            match self.patience.iter().min_by_key(rank).map(|(oldest, _)| *oldest) {
                Some(oldest) if is_known(&peer) || !is_known(&oldest) => self.patience.remove(&oldest),
                _ => return,
            };
        }
        let former = self.patience.get(&peer).map_or(self.limit, |patience| patience.limit);
        let limit = former.saturating_mul(2).min(LONGEST_SILENCE);
        self.patience.insert(peer, Patience { limit, silent_at: now });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    fn watch() -> Heartbeat<u8, u8> {
        Heartbeat::new(Duration::from_secs(8))
    }

    /// Nothing but answers comes.
    fn silent(heartbeat: &mut Heartbeat<u8, u8>, now: Timestamp) -> Vec<u8> {
        heartbeat.silent(now, |_| false, |_| false)
    }

    #[test]
    fn a_connection_on_which_something_moves_is_not_silent_and_ends_soon_after_nothing_does() {
        let mut heartbeat = watch();
        heartbeat.watch(1, 7, at(0));
        for second in [8, 10, 12, 14] {
            assert_eq!(heartbeat.silent(at(second), |_| true, |_| false), [0; 0], "{second}");
            assert_eq!(heartbeat.next_check(), Some(at(second + 2)));
        }
        assert_eq!(silent(&mut heartbeat, at(16)), [1]);
        heartbeat.watch(2, 8, at(16));
        assert_eq!(heartbeat.silent(at(24), |_| true, |_| false), [0; 0]);
        heartbeat.answered(2, at(25));
        assert_eq!(heartbeat.next_check(), Some(at(33)), "an answer is as good as ever");
    }

    #[test]
    fn the_connection_that_stops_answering_is_silent_and_no_other() {
        let mut heartbeat = watch();
        heartbeat.watch(1, 1, at(0));
        heartbeat.watch(2, 2, at(0));
        heartbeat.answered(2, at(3));
        assert_eq!(heartbeat.next_check(), Some(at(8)));
        assert!(silent(&mut heartbeat, at(7)).is_empty());
        assert_eq!(silent(&mut heartbeat, at(8)), [1]);
        assert_eq!(heartbeat.next_check(), Some(at(11)));
        heartbeat.forget(2);
        assert_eq!(heartbeat.next_check(), None);
    }

    #[test]
    fn after_a_change_of_network_an_answer_is_due_within_the_plain_limit() {
        let mut heartbeat = watch();
        heartbeat.watch(1, 7, at(0));
        assert_eq!(silent(&mut heartbeat, at(8)), [1]);
        heartbeat.watch(2, 7, at(10));
        heartbeat.watch(3, 8, at(10));
        heartbeat.probe(at(11));
        heartbeat.probe(at(15));
        heartbeat.answered(3, at(12));
        assert_eq!(heartbeat.next_check(), Some(at(19)), "the patience of 16 s does not count");
        assert_eq!(silent(&mut heartbeat, at(19)), [2]);
        assert_eq!(heartbeat.next_check(), Some(at(20)), "an answer ends the probe");
    }

    #[test]
    fn our_own_sleep_is_not_held_against_peers() {
        let mut heartbeat = watch();
        heartbeat.watch(1, 1, at(0));
        assert!(silent(&mut heartbeat, at(60)).is_empty());
        assert_eq!(heartbeat.next_check(), Some(at(68)));
        assert_eq!(silent(&mut heartbeat, at(68)), [1]);
    }

    #[test]
    fn a_peer_that_was_silent_gets_twice_the_time_until_it_has_answered_for_a_minute() {
        let mut heartbeat = watch();
        heartbeat.watch(1, 7, at(0));
        assert_eq!(silent(&mut heartbeat, at(8)), [1]);
        heartbeat.watch(2, 7, at(10));
        assert_eq!(heartbeat.next_check(), Some(at(26)));
        assert_eq!(silent(&mut heartbeat, at(26)), [2]);
        heartbeat.watch(3, 7, at(30));
        heartbeat.answered(3, at(61));
        assert_eq!(heartbeat.next_check(), Some(at(93)));
        heartbeat.answered(3, at(90));
        assert_eq!(heartbeat.next_check(), Some(at(98)));
        for connection in 4..20 {
            heartbeat.forget(connection - 1);
            heartbeat.watch(connection, 7, at(100));
            let due = heartbeat.next_check().unwrap();
            assert!(due <= at(164) && silent(&mut heartbeat, due) == [connection]);
        }
    }

    #[test]
    fn of_a_crowd_of_silent_keys_few_are_remembered_and_a_slow_peer_keeps_its_time() {
        let mut heartbeat = Heartbeat::<u32, u32>::new(Duration::from_secs(4));
        let slow = 0;
        let is_known = |peer: &u32| *peer == slow;
        for peer in 0..10_000 {
            let now = at(u64::from(peer) * 4);
            heartbeat.watch(peer, peer, now);
            assert_eq!(heartbeat.silent(now.after(Duration::from_secs(4)), |_| false, is_known), [peer]);
        }
        assert_eq!(heartbeat.patience.len(), MAX_PATIENT);
        heartbeat.watch(1, slow, at(50_000));
        assert_eq!(heartbeat.next_check(), Some(at(50_008)), "the peer that the kernel knows is not crowded out");
        heartbeat.forget(1);
        heartbeat.watch(2, 9_999, at(50_000));
        assert_eq!(heartbeat.next_check(), Some(at(50_008)), "nor is the stranger that was silent last");
    }

    #[test]
    fn known_peers_are_forgotten_only_for_one_another() {
        let mut heartbeat = Heartbeat::<u32, u32>::new(Duration::from_secs(4));
        let count = MAX_PATIENT as u32;
        let stranger = count + 1;
        for peer in (0..count).chain([stranger, count]) {
            heartbeat.watch(peer, peer, at(u64::from(peer)));
            heartbeat.silent(at(u64::from(peer) + 4), |_| false, |peer| *peer != stranger);
        }
        assert_eq!(heartbeat.patience.len(), MAX_PATIENT);
        assert!(!heartbeat.patience.contains_key(&stranger) && !heartbeat.patience.contains_key(&0));
        assert!(heartbeat.patience.contains_key(&count));
    }
}
