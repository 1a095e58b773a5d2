//! Which conversation with the peer this is, so that an end that has forgotten the other is found out (protocol §11).
//!
//! The peer may forget this end although neither has changed: it saw another life under the same key in between, or dropped a
//! stranger. Its numbers then begin anew, and would be taken for repetitions. So every conversation has an epoch, a number
//! that rises, and the first message on each channel says in which one its sender is, and whether it has heard the same from
//! the receiver (`shared`). The higher number wins. Whoever had shared another with the peer has been forgotten by it and
//! treats it as one that restarted; whoever had not has nothing to lose, and joins. What belongs to a lower one is not read,
//! and answered by a word of where this end is. A number that is only heard never raises another, so this comes to an end.

use crate::{
    faults::{Fault, seeded},
    wire::{Epoch, Seq},
};

/// What the epoch of a message from the peer means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// It belongs to the present conversation, or to a peer that keeps no epochs.
    Present,
    /// The peer is in a conversation that this end joins with all that it has: to be stored, then read.
    Joined(Epoch),
    /// It belongs to a former conversation: not to be read.
    Former,
    /// The peer is in a conversation that this end has forgotten: a new one is begun. To be stored; the message is not to be
    /// read.
    Raised(Epoch),
    /// The peer has forgotten this end: it is to be treated as one that restarted. The message is to be read afterwards,
    /// unless this end begins another conversation.
    Forgotten(Epoch),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Conversation {
    /// None at an end that keeps no epochs.
    epoch: Option<Epoch>,
    /// Nobody has heard it, nor did this end have another before.
    fresh: bool,
    /// What is read belongs to a former conversation.
    deaf: bool,
    /// The peer has to be told where this end is.
    owes_word: bool,
    /// The epoch has changed in a group that is not durable.
    unsaved: bool,
    /// That is marked.
    unsaved_sealed: bool,
}

impl Conversation {
    /// As the store has it.
    pub(super) fn restore(epoch: Option<Epoch>) -> Self {
        Conversation { epoch, fresh: false, deaf: false, owes_word: false, unsaved: false, unsaved_sealed: false }
    }

    /// Another one, whose number is higher than that of any before.
    pub(super) fn begin(epoch: Option<Epoch>) -> Self {
        Conversation { unsaved: epoch.is_some(), ..Conversation::restore(epoch) }
    }

    /// The first one.
    pub(super) fn first(epoch: Epoch) -> Self {
        Conversation { fresh: true, ..Conversation::begin(Some(epoch)) }
    }

    pub(super) fn epoch(&self) -> Option<Epoch> {
        self.epoch
    }

    pub(super) fn awaits_commit(&self) -> bool {
        self.unsaved
    }

    pub(super) fn seal(&mut self) {
        self.unsaved_sealed = self.unsaved;
    }

    pub(super) fn commit_sealed(&mut self) {
        self.unsaved &= !std::mem::take(&mut self.unsaved_sealed);
    }

    pub(super) fn owes_word(&self) -> bool {
        self.owes_word
    }

    /// Whether the peer may be in a conversation that this end has left, so that it ought to hear on the next channel.
    pub(super) fn is_news(&self) -> bool {
        !self.fresh && self.epoch.is_some_and(|epoch| !epoch.shared)
    }

    /// What the resume point is told with.
    pub(super) fn tell(&mut self) -> Option<Epoch> {
        self.fresh = false;
        self.owes_word = false;
        self.epoch
    }

    /// Judges a message that tells this `start` and `epoch`. Nothing changes.
    pub(super) fn judge(&self, start: Option<Seq>, told: Option<Epoch>) -> Heard {
        let Some(own) = self.epoch else { return Heard::Present };
        let Some(peer) = told else {
            return if start.is_none() && self.deaf { Heard::Former } else { Heard::Present };
        };
        if seeded(Fault::IgnoreEpochs) {
            return Heard::Present;
        }
        let shared = Epoch { shared: true, ..peer };
        if peer.number == own.number {
            return if own.shared { Heard::Present } else { Heard::Joined(shared) };
        }
        let is_newer = peer.number > own.number;
        match (own.shared, peer.shared) {
            (false, false) if is_newer || self.fresh => Heard::Joined(shared),
            (true, false) if is_newer => Heard::Forgotten(shared),
            (true, true) if is_newer => Heard::Forgotten(peer.next()),
            (false, true) if is_newer => Heard::Raised(peer.next()),
            _ => Heard::Former,
        }
    }

    /// Takes note of what was judged. True if what was written before has to be written again, for the peer did not read it.
    pub(super) fn note(&mut self, start: Option<Seq>, told: Option<Epoch>, heard: Heard) -> bool {
        match heard {
            Heard::Present => {
                self.deaf &= start.is_none();
                false
            }
            Heard::Joined(epoch) => {
                let moved = self.epoch.map(|own| own.number) != Some(epoch.number);
                *self = Conversation::begin(Some(epoch));
                moved
            }
            Heard::Former => {
                if told.is_some() {
                    (self.deaf, self.owes_word) = (true, true);
                }
                false
            }
            Heard::Raised(epoch) => {
                *self = Conversation { deaf: true, owes_word: true, ..Conversation::begin(Some(epoch)) };
                true
            }
            Heard::Forgotten(epoch) => {
                let deaf = !epoch.shared;
                *self = Conversation { deaf, owes_word: deaf, ..Conversation::begin(Some(epoch)) };
                true
            }
        }
    }
}
