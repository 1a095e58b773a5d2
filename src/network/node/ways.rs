//! In which order the ways to a peer are tried: what worked last, then its own addresses and relays, then relays that are down.

use std::{cell::RefCell, collections::HashMap, rc::Rc};

use libp2p::{Multiaddr, PeerId};

use super::address;

/// Peers of which is remembered what worked; beyond that any of them is forgotten. It is only a matter of who is asked first.
const MAX_REMEMBERED: usize = 1_024;

/// What is known of ways: the node's handles ask and note what worked, its task tells of relays.
#[derive(Clone, Debug, Default)]
pub(super) struct Ways(Rc<RefCell<Notes>>);

#[derive(Debug, Default)]
struct Notes {
    worked: HashMap<PeerId, Multiaddr>,
    relays_down: Vec<PeerId>,
}

impl Ways {
    /// The best first; of those that are as good the order stays.
    pub(super) fn sort(&self, peer: &PeerId, ways: &mut [Multiaddr]) {
        let notes = self.0.borrow();
        let worked = notes.worked.get(peer);
        let is_down = |way: &Multiaddr| address::relay_in(way).is_some_and(|relay| notes.relays_down.contains(&relay));
        ways.sort_by_cached_key(|way| (worked != Some(way), is_down(way)));
    }

    /// This way led to the peer.
    pub(super) fn worked(&self, peer: PeerId, way: Multiaddr) {
        let worked = &mut self.0.borrow_mut().worked;
        if worked.len() >= MAX_REMEMBERED
            && !worked.contains_key(&peer)
            && let Some(any) = worked.keys().next().copied()
        {
            worked.remove(&any);
        }
        worked.insert(peer, way);
    }

    /// The way to the network may have changed: what worked before says nothing.
    pub(super) fn forget(&self) {
        self.0.borrow_mut().worked.clear();
    }

    /// A relay has taken a reservation, or is not to be had.
    pub(super) fn note_relay(&self, relay: PeerId, up: bool) {
        let down = &mut self.0.borrow_mut().relays_down;
        down.retain(|other| *other != relay);
        if !up {
            down.push(relay);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_worked_last_comes_first_and_a_relay_that_is_down_last() {
        let [bob, carol, sound, dead] = [(); 4].map(|()| PeerId::random());
        let through = |relay: PeerId| -> Multiaddr {
            format!("/ip4/10.0.0.1/tcp/1/ws/p2p/{relay}/p2p-circuit/p2p/{bob}").parse().unwrap()
        };
        let direct: Multiaddr = format!("/ip4/10.0.0.2/tcp/1/ws/p2p/{bob}").parse().unwrap();
        let (dead_way, sound_way) = (through(dead), through(sound));
        let known = Ways::default();
        let sorted = |peer: &PeerId| {
            let mut ways = [direct.clone(), dead_way.clone(), sound_way.clone()];
            known.sort(peer, &mut ways);
            ways
        };
        assert_eq!(sorted(&bob), [direct.clone(), dead_way.clone(), sound_way.clone()], "the order stays");
        known.note_relay(dead, false);
        known.note_relay(sound, true);
        assert_eq!(sorted(&bob), [direct.clone(), sound_way.clone(), dead_way.clone()]);
        known.worked(bob, sound_way.clone());
        assert_eq!(sorted(&bob), [sound_way.clone(), direct.clone(), dead_way.clone()]);
        assert_eq!(sorted(&carol)[0], direct, "of others it says nothing");
        known.forget();
        known.note_relay(dead, true);
        assert_eq!(sorted(&bob), [direct.clone(), dead_way.clone(), sound_way.clone()]);
    }

    #[test]
    fn few_peers_are_remembered() {
        let known = Ways::default();
        let way: Multiaddr = "/ip4/10.0.0.2/tcp/1/ws".parse().unwrap();
        for _ in 0..MAX_REMEMBERED + 10 {
            known.worked(PeerId::random(), way.clone());
        }
        assert_eq!(known.0.borrow().worked.len(), MAX_REMEMBERED);
    }
}
