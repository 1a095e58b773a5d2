//! The incarnations that peers have shown, where no kernel judges them: a bounded memory.

use std::collections::{HashMap, VecDeque};

use crate::wire::{IncarnationId, PeerId};

/// Most peers whose incarnation is remembered.
const SEEN: usize = 10_000;

/// See the module's documentation.
#[derive(Debug, Default)]
pub(crate) struct SeenIncarnations {
    shown: HashMap<PeerId, IncarnationId>,
    /// The same peers, oldest first.
    order: VecDeque<PeerId>,
}

impl SeenIncarnations {
    /// Whether a restart of this peer would be noticed. One that writes without has to shake hands again.
    pub(crate) fn knows(&self, peer: &PeerId) -> bool {
        self.shown.contains_key(peer)
    }

    /// Takes note of what a peer shows; true if it showed another incarnation before. Of too many the oldest is forgotten.
    pub(crate) fn judge(&mut self, peer: PeerId, observed: IncarnationId) -> bool {
        if let Some(known) = self.shown.get_mut(&peer) {
            let restarted = *known != observed;
            *known = observed;
            return restarted;
        }
        if self.order.len() >= SEEN
            && let Some(oldest) = self.order.pop_front()
        {
            self.shown.remove(&oldest);
        }
        self.order.push_back(peer.clone());
        self.shown.insert(peer, observed);
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crowd_makes_the_oldest_forgotten_and_nobody_else() {
        let life = |name: &str| -> IncarnationId { name.parse().unwrap() };
        let peer = |number: u16| {
            let mut seed = [7; 32];
            seed[..2].copy_from_slice(&number.to_le_bytes());
            PeerId::from_ed25519_seed(seed).unwrap()
        };
        let mut seen = SeenIncarnations::default();
        for number in 0..=10_000 {
            assert!(!seen.judge(peer(number), life("first")));
        }
        assert!(!seen.knows(&peer(0)) && seen.knows(&peer(1)) && seen.knows(&peer(10_000)));
        assert!(!seen.judge(peer(1), life("first")) && seen.judge(peer(1), life("second")));
        assert!(!seen.judge(peer(1), life("second")));
    }
}
