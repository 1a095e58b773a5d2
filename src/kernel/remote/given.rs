//! What was last given to the peer, and when: so that word of the peer's that it has dropped something is not taken to be
//! about a gift that was still under way.
//!
//! The peer drops what its kernel reaches no more, in a message that carries how far it had read when it did. If what was
//! dropped was given again after that, the peer has it again, or will have: the drop is void.

use std::collections::HashMap;

use crate::wire::{Direction, Eref, RefKind, RemoteCommand, Seq};

/// The number of the last message that gave each of this kernel's objects to one peer.
#[derive(Debug, Default)]
pub(super) struct Given {
    last: HashMap<Eref, u64>,
    /// What was given before this kernel was started counts as given by the last message of then.
    before_start: u64,
}

impl Given {
    pub(super) fn restore(last_sent: u64) -> Self {
        Given { last: HashMap::new(), before_start: last_sent }
    }

    /// Takes note of a message. Should it be rolled back, its number is a later one's.
    pub(super) fn note(&mut self, seq: Seq, command: &RemoteCommand) {
        for eref in command.given() {
            if eref.kind == RefKind::Object && eref.direction == Direction::Export {
                self.last.insert(eref.flipped(), seq.get());
            }
        }
    }

    /// Whether the peer, having read up to `ack`, knew of everything that gave it `eref`.
    pub(super) fn was_known(&self, eref: &Eref, ack: Option<Seq>) -> bool {
        let last = self.last.get(eref).copied().unwrap_or(self.before_start);
        last <= ack.map_or(0, Seq::get)
    }

    /// The peer does not know it any more.
    pub(super) fn forget(&mut self, eref: &Eref) {
        self.last.remove(eref);
    }
}
