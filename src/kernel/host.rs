//! What remotes need of the kernel that they belong to. A [`Kernel`](super::Kernel) gives them its own store and run queue; a
//! kernel in JavaScript gives them its own.

use std::collections::BTreeSet;

use super::{
    error::KernelError,
    store::{Acquaintance, KernelMessage, RemoteInfo, RemoteSeqState},
};
use crate::wire::{CapData, EndpointId, Epoch, Eref, IncarnationId, Kref, PeerId, Resolution, Seq};

/// The store and the run queue of the kernel that remotes belong to. Whatever is called between [`begin`](Self::begin) and
/// [`end`](Self::end) stays or goes together.
///
/// # Errors
/// Every method answers [`KernelError::Store`] or [`KernelError::Host`] when the kernel fails, and says so where something may
/// be wrong with what it is asked.
#[expect(clippy::missing_errors_doc, reason = "said once, above")]
pub trait HostKernel {
    /// Opens a savepoint inside those that are open.
    fn begin(&mut self, name: &str) -> Result<(), KernelError>;

    /// Closes the newest savepoint of this name and those inside it; what was done since stays if `keep`, and is undone if not.
    /// What ought to stay and cannot is undone too, with an error.
    fn end(&mut self, name: &str, keep: bool) -> Result<(), KernelError>;

    // --- Remotes

    /// Every remote with its record.
    fn all_remotes(&self) -> Result<Vec<(EndpointId, RemoteInfo)>, KernelError>;

    /// Gives out an id for a new remote, and prepares its c-list.
    fn next_remote_id(&mut self) -> Result<EndpointId, KernelError>;

    /// Writes the record of a remote.
    fn set_remote_info(&mut self, remote: EndpointId, info: &RemoteInfo) -> Result<(), KernelError>;

    /// The sequence state; `None` when nothing was sent or received yet.
    fn remote_seq_state(&self, remote: EndpointId) -> Result<Option<RemoteSeqState>, KernelError>;

    /// Sets the last number given to a message.
    fn set_next_send_seq(&mut self, remote: EndpointId, seq: u64) -> Result<(), KernelError>;

    /// Sets the highest number up to which everything was processed.
    fn set_highest_received_seq(&mut self, remote: EndpointId, seq: u64) -> Result<(), KernelError>;

    /// Sets the lowest unacknowledged number.
    fn set_start_seq(&mut self, remote: EndpointId, seq: u64) -> Result<(), KernelError>;

    /// An unacknowledged message.
    fn pending_message(&self, remote: EndpointId, seq: u64) -> Result<Option<String>, KernelError>;

    /// Every unacknowledged message, by rising number.
    fn pending_messages(&self, remote: EndpointId) -> Result<Vec<(u64, String)>, KernelError>;

    /// Keeps a message until it is acknowledged.
    fn set_pending_message(&mut self, remote: EndpointId, seq: u64, message: &str) -> Result<(), KernelError>;

    /// Forgets a message.
    fn delete_pending_message(&mut self, remote: EndpointId, seq: u64) -> Result<(), KernelError>;

    /// A message that is kept cannot be read: it is put aside, if the kernel has a place for that, and forgotten.
    fn set_pending_message_aside(&mut self, remote: EndpointId, seq: u64) -> Result<(), KernelError> {
        self.delete_pending_message(remote, seq)
    }

    /// A row that an error names cannot be read: it is put aside, if the kernel has a place for that.
    fn set_damage_aside(&mut self, _error: &KernelError) -> Result<(), KernelError> {
        Ok(())
    }

    /// Remotes whose record cannot be read. A kernel that knows of none leaves it to [`all_remotes`](Self::all_remotes) to fail.
    fn unreadable_remotes(&self) -> Result<Vec<EndpointId>, KernelError> {
        Ok(Vec::new())
    }

    /// Ends a remote whose record cannot be read. What is sent to its peer, should it come back, has numbers above this.
    fn set_remote_aside(&mut self, _remote: EndpointId, _numbers_from: u64) -> Result<(), KernelError> {
        Ok(())
    }

    /// The number above which messages are numbered to a peer whose record was lost, if one ever was.
    fn numbers_from(&self) -> Result<Option<u64>, KernelError> {
        Ok(None)
    }

    /// Forgets the numbers and every message; the remote, its c-list and its hints stay.
    fn clear_remote_seq_state(&mut self, remote: EndpointId) -> Result<(), KernelError>;

    /// Removes messages below `start`.
    fn cleanup_orphan_messages(&mut self, remote: EndpointId, start: u64) -> Result<(), KernelError>;

    /// The incarnation that a peer was last seen in.
    fn peer_incarnation(&self, peer: &PeerId) -> Result<Option<IncarnationId>, KernelError>;

    /// Remembers the incarnation of a peer.
    fn set_peer_incarnation(&mut self, peer: &PeerId, incarnation: &IncarnationId) -> Result<(), KernelError>;

    /// The incarnation that a remote had before its present one, if the kernel remembers it.
    fn former_incarnation(&self, _remote: EndpointId) -> Result<Option<IncarnationId>, KernelError> {
        Ok(None)
    }

    /// Remembers that.
    fn set_former_incarnation(&mut self, _remote: EndpointId, _former: &IncarnationId) -> Result<(), KernelError> {
        Ok(())
    }

    /// Whether the kernel keeps epochs, so that peers find out when it has forgotten them, and it when they have.
    fn keeps_epochs(&self) -> bool {
        false
    }

    /// The conversation with a remote; `None` in a store from before there were any.
    fn epoch(&self, _remote: EndpointId) -> Result<Option<Epoch>, KernelError> {
        Ok(None)
    }

    /// Remembers the conversation with a remote.
    fn set_epoch(&mut self, _remote: EndpointId, _epoch: Epoch) -> Result<(), KernelError> {
        Ok(())
    }

    /// Whether anything is shared with the remote, if only what it named itself.
    fn has_references(&self, remote: EndpointId) -> Result<bool, KernelError>;

    /// Whether the kernel remembers who is a stranger, and can forget one. One that cannot keeps every record, and knows those
    /// of whom it has said where they may be found.
    fn keeps_acquaintances(&self) -> bool {
        false
    }

    /// Prepares for that in a store from before.
    fn begin_acquaintances(&mut self) -> Result<(), KernelError> {
        Ok(())
    }

    /// Why a remote is more than a stranger, if it is.
    fn acquaintance(&self, _remote: EndpointId) -> Result<Option<Acquaintance>, KernelError> {
        Ok(None)
    }

    /// Remembers why a remote is more than a stranger.
    fn set_acquaintance(
        &mut self,
        _remote: EndpointId,
        _acquaintance: Option<Acquaintance>,
    ) -> Result<(), KernelError> {
        Ok(())
    }

    /// Forgets a stranger: its record, its numbers, its incarnation, and what it named. It decides nothing any more.
    fn forget_stranger(&mut self, _remote: EndpointId, _peer: &PeerId) -> Result<(), KernelError> {
        Ok(())
    }

    /// Whether one was ever forgotten.
    fn has_forgotten_strangers(&self) -> Result<bool, KernelError> {
        Ok(false)
    }

    // --- References

    /// Whether there is an object of this name.
    fn has_object(&self, kref: Kref) -> Result<bool, KernelError>;

    /// The kernel's name for a remote's reference, if the remote has it.
    fn known(&self, remote: EndpointId, eref: Eref) -> Result<Option<Kref>, KernelError>;

    /// What a remote means by a reference in its message; its exports are created on first sight.
    ///
    /// [`KernelError::Reference`] for what it does not have.
    fn take(&mut self, remote: EndpointId, eref: Eref) -> Result<Kref, KernelError>;

    /// Gives a remote a reference, in the remote's frame. It is told the outcome of a promise that it does not decide itself.
    fn give(&mut self, remote: EndpointId, kref: Kref) -> Result<Eref, KernelError>;

    /// The promise that a remote wants the result of its message in: a new one, or one that it was to decide.
    ///
    /// [`KernelError::Reference`] or [`KernelError::NotAPromise`] for any other.
    fn accept_result(&mut self, remote: EndpointId, eref: Eref) -> Result<Kref, KernelError>;

    /// How a promise was settled: whether rejected, and with what. `None` while it is not, or if there is none.
    fn outcome(&self, promise: Kref) -> Result<Option<(bool, CapData<Kref>)>, KernelError>;

    /// Whether a promise is settled.
    fn is_settled(&self, promise: Kref) -> Result<bool, KernelError> {
        Ok(self.outcome(promise)?.is_some())
    }

    /// Every unresolved promise that a remote is to decide.
    fn promises_by_decider(&self, remote: EndpointId) -> Result<Vec<Kref>, KernelError>;

    /// How many of the promises that a remote is to settle it was asked for: it may have made others itself, as many as it likes. A kernel
    /// that cannot tell them apart counts all.
    fn asked_of(&self, remote: EndpointId) -> Result<usize, KernelError> {
        Ok(self.promises_by_decider(remote)?.len())
    }

    /// Those of these promises that a remote is to decide.
    fn decided_among(&self, remote: EndpointId, promises: &[Kref]) -> Result<Vec<Kref>, KernelError> {
        let decided: BTreeSet<Kref> = self.promises_by_decider(remote)?.into_iter().collect();
        Ok(promises.iter().copied().filter(|promise| decided.contains(promise)).collect())
    }

    /// A remote has sent a message of so many bytes, in which it gives these references. Some may be promises of which it has had
    /// too much told: [`KernelError::Reference`]. A kernel that keeps no account of that does nothing.
    fn note_mentioned(&mut self, _remote: EndpointId, _krefs: &[Kref], _bytes: usize) -> Result<(), KernelError> {
        Ok(())
    }

    /// What a remote has sent that waits in promises is forgotten, and the promises of its results are rejected. A kernel that
    /// keeps no account of that does nothing.
    fn reject_waiting(&mut self, _remote: EndpointId, _reason: &CapData<Kref>) -> Result<(), KernelError> {
        Ok(())
    }

    /// Forgets what a remote exported. What it was given stays, but a new incarnation of its peer does not have it.
    fn forget_exports_of(&mut self, remote: EndpointId) -> Result<(), KernelError>;

    /// A remote reaches these of its imports no more. [`KernelError::Reference`] for what it cannot drop.
    fn drop_imports(&mut self, remote: EndpointId, erefs: &[Eref]) -> Result<(), KernelError>;

    /// A remote recognises these of its imports no more. [`KernelError::Reference`] for what it cannot retire.
    fn retire_imports(&mut self, remote: EndpointId, erefs: &[Eref]) -> Result<(), KernelError>;

    /// These exports of a remote are gone. [`KernelError::Reference`] for what it cannot retire.
    fn retire_exports(&mut self, remote: EndpointId, erefs: &[Eref]) -> Result<(), KernelError>;

    /// Whether a remote had an object under this name, which is gone from its c-list.
    fn was_retired(&self, remote: EndpointId, eref: Eref) -> Result<bool, KernelError>;

    /// How many names a remote was ever given for objects, if the kernel keeps which gift was the last
    /// ([`note_gift`](Self::note_gift)); `None` if it has no place for that.
    fn names_given(&self, _remote: EndpointId) -> Result<Option<u64>, KernelError> {
        Ok(None)
    }

    /// Message `told` gives a remote an object that it has a name for already.
    fn note_gift(&mut self, _remote: EndpointId, _eref: Eref, _told: Seq) -> Result<(), KernelError> {
        Ok(())
    }

    /// The number of the last message that gave a remote an object anew; 0 if none did.
    fn last_gift(&self, _remote: EndpointId, _eref: Eref) -> Result<u64, KernelError> {
        Ok(0)
    }

    /// Whether the kernel can forget the names of settled promises. One that cannot keeps what it does not do below.
    fn can_retire(&self) -> bool {
        false
    }

    /// A remote does not use this name of a settled promise any more, nor will this kernel: forgets it, if it is known.
    fn forget_name(&mut self, _remote: EndpointId, _eref: Eref) -> Result<(), KernelError> {
        Ok(())
    }

    /// A remote will not mention any name that was retired by a message up to `told`: forgets them.
    fn forget_retired(&mut self, _remote: EndpointId, _told: Seq) -> Result<(), KernelError> {
        Ok(())
    }

    /// The message `told` was abandoned: the remote may mention the name that it retired for ever.
    fn keep_retired(&mut self, _remote: EndpointId, _told: Seq) -> Result<(), KernelError> {
        Ok(())
    }

    /// A remote has settled promises, or was told of some: when it has too many names of such, some of the oldest are forgotten,
    /// but none of which it was told in a message from `unread` on. A kernel that cannot forget names does nothing.
    fn forget_settled_names(&mut self, _remote: EndpointId, _unread: Seq) -> Result<(), KernelError> {
        Ok(())
    }

    /// Asks that a remote be told to collect its garbage.
    fn schedule_reap(&mut self, remote: EndpointId) -> Result<(), KernelError>;

    // --- The run queue

    /// Queues a message to an object or promise.
    fn enqueue_send(&mut self, target: Kref, message: KernelMessage) -> Result<(), KernelError>;

    /// Queues the news that a promise was settled.
    fn enqueue_notify(&mut self, endpoint: EndpointId, promise: Kref) -> Result<(), KernelError>;

    /// Settles promises, queues the news to everyone who subscribed, and sends on the messages that waited in them.
    /// `decider` is who settles them; the kernel itself settles with `None`, and may settle any.
    ///
    /// [`KernelError::Reference`] for a promise that is settled already, or for another to decide;
    /// [`KernelError::NotAPromise`].
    fn resolve_promises(
        &mut self,
        decider: Option<EndpointId>,
        resolutions: Vec<Resolution<Kref>>,
    ) -> Result<(), KernelError>;
}

impl dyn HostKernel + '_ {
    /// Runs `work` so that either everything it does in the kernel stays or none does.
    ///
    /// # Errors
    /// Those of `work`, after which nothing of it remains; those of the kernel when it cannot begin or commit.
    pub(in crate::kernel) fn transaction<T>(
        &mut self,
        name: &str,
        work: impl FnOnce(&mut Self) -> Result<T, KernelError>,
    ) -> Result<T, KernelError> {
        self.begin(name)?;
        let outcome = work(self);
        // A failed rollback outweighs the error that led to it: the writes are still there.
        self.end(name, outcome.is_ok())?;
        outcome
    }
}
