//! The turns of an incumbent's kernel. Its run loop ends for good when it hears in one turn that two objects are dropped, or two
//! retired, or two gone (protocol §10): so of each kind it is told of one, and of the next when it has had a turn since.
//!
//! An acknowledgement is no evidence of one: the incumbent acknowledges what its remote has taken note of, and that wakes no
//! run loop. What only a turn writes is a message or an outcome, and its `ack` says how far that end had read when it did.
//! Behind that turn comes the collection, before anything else is taken from the queue.

use std::collections::BTreeMap;

use super::{
    super::store::{GcKind, Hearing},
    RemoteHandle,
};
use crate::{
    session::SavedSession,
    wire::{Delivery, Message, RemoteCommand, Seq},
};

/// By kind, the last message that told the peer of something, if it has had no turn since.
#[derive(Debug, Default)]
pub(super) struct Turns {
    told: BTreeMap<GcKind, Seq>,
}

impl Turns {
    /// What a former life told is not known apart from the rest, so only a turn after all that it sent counts.
    pub(super) fn restore(saved: &SavedSession) -> Self {
        let kinds = [GcKind::DropExports, GcKind::RetireExports, GcKind::RetireImports];
        let told = Seq::new(saved.last_sent).into_iter().flat_map(|seq| kinds.map(|kind| (kind, seq)));
        Turns { told: told.collect() }
    }

    /// A message was staged.
    pub(super) fn note(&mut self, seq: Seq, command: &RemoteCommand) {
        let RemoteCommand::Deliver(delivery) = command else { return };
        let (kind, erefs) = match delivery {
            Delivery::DropExports(erefs) => (GcKind::DropExports, erefs),
            Delivery::RetireExports(erefs) => (GcKind::RetireExports, erefs),
            Delivery::RetireImports(erefs) => (GcKind::RetireImports, erefs),
            Delivery::Message { .. } | Delivery::Notify(_) | Delivery::BringOutYourDead => return,
        };
        if !erefs.is_empty() {
            self.told.insert(kind, seq);
        }
    }

    /// What was staged above this number is taken back.
    pub(super) fn forget_above(&mut self, last_sent: u64) {
        self.told.retain(|_, seq| seq.get() <= last_sent);
    }

    /// A message has come.
    pub(super) fn heard(&mut self, message: &Message) {
        if let Some((_, RemoteCommand::Deliver(Delivery::Message { .. } | Delivery::Notify(_)))) = message.command {
            self.told.retain(|_, seq| Some(*seq) > message.ack);
        }
    }
}

impl RemoteHandle {
    /// How much of one kind of garbage the peer may be told now.
    pub(in crate::kernel) fn hearing(&self, kind: GcKind) -> Hearing {
        if self.session.peer_is_ours() {
            return if self.has_more() { Hearing::Soon } else { Hearing::Everything };
        }
        if self.turns.told.contains_key(&kind) { Hearing::Nothing } else { Hearing::One }
    }
}
