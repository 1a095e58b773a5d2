//! Which connections are silent: a sans-I/O watch over the answers to pings.
//!
//! Browsers notice a dead WebRTC peer late or never, so a connection that answers no ping for a while is closed by us.

use std::{collections::HashMap, hash::Hash, time::Duration};

use crate::runtime::Timestamp;

/// A check that comes this much later than due shows that this program slept (a hidden tab, a suspended machine), which
/// says nothing of its peers: they get another full limit to answer.
const LATE: Duration = Duration::from_secs(2);

/// Watches connections, each known by an id.
#[derive(Debug)]
pub(super) struct Heartbeat<Id> {
    limit: Duration,
    last_answer: HashMap<Id, Timestamp>,
}

impl<Id: Copy + Eq + Hash> Heartbeat<Id> {
    pub(super) fn new(limit: Duration) -> Self {
        Heartbeat { limit, last_answer: HashMap::new() }
    }

    /// The connection was opened, or answered a ping.
    pub(super) fn answered(&mut self, connection: Id, now: Timestamp) {
        self.last_answer.insert(connection, now);
    }

    /// The connection has ended, or its peer does not know pings.
    pub(super) fn forget(&mut self, connection: Id) {
        self.last_answer.remove(&connection);
    }

    /// When to call [`silent`](Self::silent) next.
    pub(super) fn next_check(&self) -> Option<Timestamp> {
        self.last_answer.values().min().map(|last| last.after(self.limit))
    }

    /// The connections that answered nothing for longer than the limit; they are forgotten.
    pub(super) fn silent(&mut self, now: Timestamp) -> Vec<Id> {
        if self.next_check().is_some_and(|due| now.since(due) > LATE) {
            self.last_answer.values_mut().for_each(|last| *last = now);
        }
        let limit = self.limit;
        let silent =
            self.last_answer.iter().filter(|(_, last)| now.since(**last) >= limit).map(|(id, _)| *id).collect();
        for id in &silent {
            self.last_answer.remove(id);
        }
        silent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    fn watch() -> Heartbeat<u8> {
        Heartbeat::new(Duration::from_secs(8))
    }

    #[test]
    fn the_connection_that_stops_answering_is_silent_and_no_other() {
        let mut heartbeat = watch();
        heartbeat.answered(1, at(0));
        heartbeat.answered(2, at(0));
        heartbeat.answered(2, at(3));
        assert_eq!(heartbeat.next_check(), Some(at(8)));
        assert!(heartbeat.silent(at(7)).is_empty());
        assert_eq!(heartbeat.silent(at(8)), [1]);
        assert_eq!(heartbeat.next_check(), Some(at(11)));
        heartbeat.forget(2);
        assert_eq!(heartbeat.next_check(), None);
    }

    #[test]
    fn our_own_sleep_is_not_held_against_peers() {
        let mut heartbeat = watch();
        heartbeat.answered(1, at(0));
        assert!(heartbeat.silent(at(60)).is_empty());
        assert_eq!(heartbeat.next_check(), Some(at(68)));
        assert_eq!(heartbeat.silent(at(68)), [1]);
    }
}
