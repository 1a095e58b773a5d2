//! Deliberate bugs, to show that the evidence would find them (`docs/delivery.md`).
//!
//! Without the feature `seeded-faults` every question here is answered `false` at compile time, and nothing of it is left.
//! Never enable the feature in anything but a test.

/// A bug that can be put in. Each is one that a real implementation has had, or nearly had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// A message ahead of a gap is delivered, so that the cumulative acknowledgement discards the missing ones.
    AcceptGaps,
    /// What waits behind a gap is delivered in reverse.
    ReverseHeld,
    /// A message received again is delivered again.
    DeliverDuplicates,
    /// A message is acknowledged when it is processed, not when that is durable.
    AckBeforeCommit,
    /// A message is written when it gets its number, not when that is durable.
    SendBeforeCommit,
    /// The advance of the highest received number is not stored.
    ForgetReceived,
    /// After a crash with nothing pending, numbers begin at 1 again.
    ReuseSeqAfterCrash,
    /// A write that was refused counts as written.
    CountRefusedAsWritten,
    /// Several writes are under way also to a peer that accepts gaps.
    WriteSeveralToAll,
    /// After a give-up the peer is not told where the sender goes on.
    GiveUpWithoutMarker,
    /// What is pending outlives the restart of the peer.
    KeepPendingAtRestart,
    /// The promises that a peer was to decide are not rejected when it restarts.
    ForgetPromisesAtRestart,
    /// The transport lets what waited for the dead incarnation go on the new channel.
    ForgetFence,
    /// Each send that waits for a handshake begins one of its own on the same stream.
    HandshakePerSend,
    /// Messages behind a request to redeem a URL do not wait for it.
    RedeemOvertakes,
    /// The keys of replies to redemptions begin anew with each life of the requester.
    RepeatReplyKeys,
    /// The end of a redemption is lost when the storage fails while it is noted.
    LoseEndOfRedemption,
    /// A peer is not told that its objects are held no more.
    KeepDropsToOneself,
    /// What was done inside a savepoint stays when the savepoint cannot be released.
    KeepWhatCannotBeReleased,
    /// To see whether a value leads back to the promise that it settles, everything behind it is read.
    WalkBehindValues,
    /// A peer that has forgotten this end is not found out.
    IgnoreEpochs,
    /// The kernel is given frames in the order in which they come, however many one peer has sent.
    ServeInOrderOfArrival,
    /// Time in which there is no channel counts against the peer, although the network tries to reach it.
    CountOutages,
    /// A stranger is never forgotten, however long it has said nothing.
    RememberStrangers,
    /// The names of settled promises are never forgotten, however many one peer has.
    RememberSettledNames,
}

#[cfg(feature = "seeded-faults")]
impl Fault {
    /// All of them.
    pub const ALL: [Fault; 25] = [
        Fault::AcceptGaps,
        Fault::ReverseHeld,
        Fault::DeliverDuplicates,
        Fault::AckBeforeCommit,
        Fault::SendBeforeCommit,
        Fault::ForgetReceived,
        Fault::ReuseSeqAfterCrash,
        Fault::CountRefusedAsWritten,
        Fault::WriteSeveralToAll,
        Fault::GiveUpWithoutMarker,
        Fault::KeepPendingAtRestart,
        Fault::ForgetPromisesAtRestart,
        Fault::ForgetFence,
        Fault::HandshakePerSend,
        Fault::RedeemOvertakes,
        Fault::RepeatReplyKeys,
        Fault::LoseEndOfRedemption,
        Fault::KeepDropsToOneself,
        Fault::KeepWhatCannotBeReleased,
        Fault::WalkBehindValues,
        Fault::IgnoreEpochs,
        Fault::CountOutages,
        Fault::ServeInOrderOfArrival,
        Fault::RememberStrangers,
        Fault::RememberSettledNames,
    ];
}

#[cfg(feature = "seeded-faults")]
mod switch {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::Fault;

    const NONE: usize = usize::MAX;

    // For all threads, since a model checker has its own.
    static SEEDED: AtomicUsize = AtomicUsize::new(NONE);

    /// Puts a bug in, or takes it out again; for all threads of the process.
    pub fn seed(fault: Option<Fault>) {
        SEEDED.store(fault.map_or(NONE, |fault| fault as usize), Ordering::Relaxed);
    }

    pub(crate) fn seeded(fault: Fault) -> bool {
        SEEDED.load(Ordering::Relaxed) == fault as usize
    }
}

#[cfg(feature = "seeded-faults")]
pub use switch::seed;
#[cfg(feature = "seeded-faults")]
pub(crate) use switch::seeded;

#[cfg(not(feature = "seeded-faults"))]
pub(crate) const fn seeded(_: Fault) -> bool {
    false
}
