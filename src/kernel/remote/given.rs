//! What was last given to the peer, and when: so that word of the peer's that it has dropped something is not taken to be
//! about a gift that was still under way.
//!
//! The peer drops what its kernel reaches no more, in a message that carries how far it had read when it did. If what was
//! dropped was given again after that, the peer has it again, or will have: the drop is void. The first gift of a thing is no
//! matter, since nobody drops a name before it was told.

use std::collections::HashMap;

use super::super::{KernelError, host::HostKernel};
use crate::{
    session::SavedSession,
    wire::{Direction, EndpointId, Eref, Message, RefKind, RemoteCommand, Seq},
};

/// The numbers of the last messages that gave the peer each of this kernel's objects.
#[derive(Debug)]
pub(super) enum Given {
    /// The kernel keeps them, and this many names were given out; a later name is given for the first time.
    Kept { names: u64 },
    /// The kernel has no place for them: those since it was started.
    Remembered {
        last: HashMap<Eref, u64>,
        /// What was given before, and acknowledged, counts as given by the last message that was acknowledged then.
        before_start: u64,
    },
}

impl Given {
    pub(super) fn restore(host: &dyn HostKernel, id: EndpointId, saved: &SavedSession) -> Result<Self, KernelError> {
        match host.names_given(id) {
            // Each gift may be one more, which is noted in vain for the first.
            Err(error) if error.is_damage() => return Ok(Given::Kept { names: u64::MAX }),
            names => {
                if let Some(names) = names? {
                    return Ok(Given::Kept { names });
                }
            }
        }
        let mut last = HashMap::new();
        for (seq, stored) in &saved.pending {
            let message = Message::parse(&stored.to_row(*seq))?;
            let objects = message.command.iter().flat_map(|(_, command)| objects(command));
            last.extend(objects.map(|eref| (eref, seq.get())));
        }
        Ok(Given::Remembered { last, before_start: saved.start.max(1) - 1 })
    }

    /// Takes note of a message, in the transaction in which it is stored.
    pub(super) fn note(
        &mut self,
        host: &mut dyn HostKernel,
        id: EndpointId,
        seq: Seq,
        command: &RemoteCommand,
    ) -> Result<(), KernelError> {
        for eref in objects(command) {
            match self {
                // Should it be rolled back, the next gift of this name counts as one more, which does no harm.
                Given::Kept { names } if eref.index > *names => *names = eref.index,
                Given::Kept { .. } => host.note_gift(id, eref, seq)?,
                Given::Remembered { last, .. } => drop(last.insert(eref, seq.get())),
            }
        }
        Ok(())
    }

    /// Whether the peer, having read up to `ack`, knew of everything that gave it `eref`.
    pub(super) fn was_known(
        &self,
        host: &dyn HostKernel,
        id: EndpointId,
        eref: Eref,
        ack: Option<Seq>,
    ) -> Result<bool, KernelError> {
        let last = match self {
            Given::Kept { .. } => host.last_gift(id, eref)?,
            Given::Remembered { last, before_start } => last.get(&eref).copied().unwrap_or(*before_start),
        };
        Ok(last <= ack.map_or(0, Seq::get))
    }

    /// The peer does not know it any more.
    pub(super) fn forget(&mut self, eref: &Eref) {
        if let Given::Remembered { last, .. } = self {
            last.remove(eref);
        }
    }

    /// The peer is a new incarnation, whose numbers begin anew.
    pub(super) fn forget_all(&mut self) {
        if let Given::Remembered { last, before_start } = self {
            last.clear();
            *before_start = 0;
        }
    }
}

/// The objects of this kernel that a command gives, by their names in the c-list.
fn objects(command: &RemoteCommand) -> impl Iterator<Item = Eref> + '_ {
    let is_ours = |eref: &Eref| eref.kind == RefKind::Object && eref.direction == Direction::Export;
    command.given().filter(is_ours).map(|eref| eref.flipped())
}
