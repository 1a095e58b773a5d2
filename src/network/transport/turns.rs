//! Turns at the kernel's door: whose frame the kernel gets next, and how much of all peers together it has at once.
//!
//! A kernel does one thing after the other, so a frame waits for all that were handed over before it. In order of arrival one
//! peer's flood would be before everybody's next message. So frames wait with their peers, little is with the kernel, and
//! turns go round: deficit round robin (Shreedhar and Varghese, 1995), by bytes, among the peers that the kernel knows and, as if
//! they were one peer, all strangers together, who take turns among themselves. A peer that is alone has every turn.

use std::{
    cell::RefCell,
    collections::{HashMap, HashSet, VecDeque},
    time::Duration,
};

use crate::{
    faults::{Fault, seeded},
    runtime::Timestamp,
    wire::PeerId,
};

/// What a peer may hand over in a turn, in bytes.
const TURN: usize = 4 << 10;
/// What the kernel may have at once of several peers. A longer frame is handed over when less is there.
const OF_SEVERAL: usize = 8 << 10;
/// The same of one that is alone: nobody waits for it, and the way to the kernel and back should not stand empty.
const OF_ONE: usize = 128 << 10;
/// How long after another peer's frame one is taken to be alone.
const ALONE_AFTER: Duration = Duration::from_secs(1);
/// What a frame costs beside its length.
const FRAME: usize = 256;

/// Who takes turns, in their order; the first has the turn.
#[derive(Debug)]
struct Ring<K> {
    order: VecDeque<Waiting<K>>,
    /// The first has been given what it may have in this turn.
    begun: bool,
}

#[derive(Debug)]
struct Waiting<K> {
    who: K,
    /// What it may still hand over.
    credit: usize,
}

impl<K: Clone + PartialEq> Ring<K> {
    const fn new() -> Self {
        Ring { order: VecDeque::new(), begun: false }
    }

    fn join(&mut self, who: K) {
        self.order.push_back(Waiting { who, credit: 0 });
    }

    /// Lets turns go round until somebody may hand over what it has; `cost` tells what that is, or nothing if it has nothing.
    fn turn(&mut self, mut cost: impl FnMut(&K) -> Option<usize>, mut leaves: impl FnMut(&K)) -> Option<(K, usize)> {
        loop {
            let first = self.order.front_mut()?;
            let Some(cost) = cost(&first.who) else {
                leaves(&first.who);
                self.order.pop_front();
                self.begun = false;
                continue;
            };
            if !std::mem::replace(&mut self.begun, true) {
                first.credit = first.credit.saturating_add(TURN);
            }
            if cost <= first.credit {
                return Some((first.who.clone(), cost));
            }
            self.begun = false;
            self.order.rotate_left(1);
        }
    }

    /// The first hands it over.
    fn charge(&mut self, cost: usize) {
        if let Some(first) = self.order.front_mut() {
            first.credit = first.credit.saturating_sub(cost);
        }
    }
}

/// What waits at the door, and what is behind it.
#[derive(Debug)]
pub(super) struct Turns {
    /// Peers that the kernel knows; `None` stands for all strangers.
    known: Ring<Option<PeerId>>,
    strangers: Ring<PeerId>,
    /// Who is in a ring.
    waiting: HashSet<PeerId>,
    /// What each peer has with the kernel, oldest first.
    inside: HashMap<PeerId, VecDeque<usize>>,
    /// The same of all.
    inside_bytes: usize,
    /// Who wrote last, and when somebody last wrote after somebody else.
    last: Option<PeerId>,
    company: Option<Timestamp>,
}

impl Turns {
    pub(super) fn new() -> Self {
        Turns {
            known: Ring::new(),
            strangers: Ring::new(),
            waiting: HashSet::new(),
            inside: HashMap::new(),
            inside_bytes: 0,
            last: None,
            company: None,
        }
    }

    /// What a frame costs.
    pub(super) fn cost(text: &str) -> usize {
        text.len().saturating_add(FRAME)
    }

    /// A frame of a peer came.
    pub(super) fn came(&mut self, peer: &PeerId, now: Timestamp) {
        if self.last.as_ref() != Some(peer) && self.last.replace(peer.clone()).is_some() {
            self.company = Some(now);
        }
    }

    /// A peer has frames for the kernel.
    pub(super) fn join(&mut self, peer: &PeerId, is_known: bool) {
        if !self.waiting.insert(peer.clone()) {
            return;
        }
        if is_known {
            return self.known.join(Some(peer.clone()));
        }
        if !self.known.order.iter().any(|waiting| waiting.who.is_none()) {
            self.known.join(None);
        }
        self.strangers.join(peer.clone());
    }

    /// Who may hand over its next frame now, if the kernel has room for any. `cost` tells what the next frame of a peer
    /// [costs](Self::cost), or nothing if it has none or may not hand it over; it has to [join](Self::join) again then.
    pub(super) fn next(&mut self, now: Timestamp, cost: impl Fn(&PeerId) -> Option<usize>) -> Option<PeerId> {
        if self.inside_bytes >= self.room(now) {
            return None;
        }
        let Turns { known, strangers, waiting, .. } = self;
        let waiting = RefCell::new(waiting);
        let leaves = |peer: &PeerId| {
            waiting.borrow_mut().remove(peer);
        };
        let mut stranger = None;
        let (who, cost) = known.turn(
            |who| match who {
                Some(peer) => cost(peer),
                None => {
                    stranger = strangers.turn(&cost, leaves);
                    stranger.as_ref().map(|(_, cost)| *cost)
                }
            },
            |who| who.iter().for_each(leaves),
        )?;
        known.charge(cost);
        let peer = match who {
            Some(peer) => peer,
            None => {
                strangers.charge(cost);
                stranger?.0
            }
        };
        self.inside_bytes = self.inside_bytes.saturating_add(cost);
        self.inside.entry(peer.clone()).or_default().push_back(cost);
        Some(peer)
    }

    /// The kernel has answered the oldest frame that it had of this peer.
    pub(super) fn answered(&mut self, peer: &PeerId) {
        let Some(inside) = self.inside.get_mut(peer) else { return };
        if let Some(cost) = inside.pop_front() {
            self.inside_bytes = self.inside_bytes.saturating_sub(cost);
        }
        if inside.is_empty() {
            self.inside.remove(peer);
        }
    }

    fn room(&self, now: Timestamp) -> usize {
        if seeded(Fault::ServeInOrderOfArrival) {
            return usize::MAX;
        }
        let company = self.company.is_some_and(|company| now < company.after(ALONE_AFTER));
        if company { OF_SEVERAL } else { OF_ONE }
    }
}
