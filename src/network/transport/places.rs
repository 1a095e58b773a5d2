//! Who may have one of the places, of which there are as many as connections at once (protocol §6).
//!
//! Peers that the kernel has spoken of are known; all others are strangers, and may be one person with many keys. Strangers who
//! come by themselves are guests. A quarter of the places is never given to guests. A guest who finds the others taken gets
//! the place of the guest who has gone longest without showing its incarnation, else of one who has had its place for a
//! while; a peer that the kernel knows gets the place of any guest. So a crowd delays strangers and nobody else.

use std::time::Duration;

use super::{
    Transport, advance,
    peer::{Inbound, Peer},
    policy::GUEST_TIME,
};
use crate::{runtime::Timestamp, wire::PeerId};

impl Transport {
    /// Whether a peer that opened a channel may have a place, after others have made room if they must.
    pub(super) fn has_place_for(&mut self, id: &PeerId) -> bool {
        let peer = self.peers.get(id);
        if peer.is_some_and(Peer::is_engaged) {
            return true;
        }
        let known = peer.is_some_and(|peer| peer.known);
        if peer.is_none() && !self.has_memory_for_stranger() {
            return false;
        }
        let free = self.cx.has_free_slot() && (known || self.cx.guests < self.cx.policy.max_guests);
        free || self.make_room(known)
    }

    /// Whether one more stranger can be remembered; the one that was not heard of for longest is forgotten for it.
    fn has_memory_for_stranger(&mut self) -> bool {
        let strangers = || self.peers.values().filter(|peer| !peer.known);
        if strangers().count() < self.cx.policy.max_strangers {
            return true;
        }
        let oldest = strangers().filter(|peer| peer.is_at_rest()).min_by_key(|peer| peer.last_active);
        let oldest = oldest.map(|peer| peer.id.clone());
        oldest.is_some_and(|id| self.peers.remove(&id).is_some())
    }

    fn make_room(&mut self, for_known: bool) -> bool {
        let (now, time) = (self.cx.now, if for_known { Duration::ZERO } else { GUEST_TIME });
        let seniority = |peer: &Peer| peer.seniority_as_guest().filter(|seniority| seniority.yields(now, time));
        let guests = self.peers.values_mut().filter_map(|peer| Some((seniority(peer)?, peer)));
        let Some((_, guest)) = guests.min_by_key(|(seniority, _)| *seniority) else { return false };
        tracing::debug!(peer = %guest.id, "a stranger made room");
        advance(guest, &mut self.cx, |peer, cx| {
            let error = peer.connection_lost("its place was given to another peer");
            peer.disconnect(cx, &error);
        });
        true
    }
}

/// Which guest goes first: the least.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Seniority {
    /// It has shown no incarnation, and has until then.
    Silent(Timestamp),
    /// It has a channel since then.
    Connected(Timestamp),
}

impl Seniority {
    fn yields(self, now: Timestamp, time: Duration) -> bool {
        match self {
            Seniority::Silent(_) => true,
            Seniority::Connected(since) => since.after(time) <= now,
        }
    }
}

impl Peer {
    /// Whether it has a place as a stranger who came by itself.
    pub(super) fn is_guest(&self) -> bool {
        let came = match &self.registered {
            Some(registered) => !registered.dialled_by_us,
            None => !matches!(self.inbound, Inbound::Idle),
        };
        came && !self.known
    }

    /// Nothing for one whose incarnation the kernel is looking at: that is over soon.
    fn seniority_as_guest(&self) -> Option<Seniority> {
        match (&self.registered, &self.inbound) {
            _ if !self.is_guest() => None,
            (Some(registered), _) => Some(Seniority::Connected(registered.since)),
            (None, Inbound::AwaitingHello { waiting, .. }) => Some(Seniority::Silent(waiting.since())),
            (None, _) => None,
        }
    }
}
