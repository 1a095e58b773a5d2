//! What a remote counts.

use crate::wire::MAX_SEQ;

/// How many messages of each fate a remote has seen since this kernel was started. Each stops at 2^53 − 1, the largest whole
/// number that JavaScript holds exactly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RemoteCounters {
    /// Processed, each once.
    pub delivered: u64,
    /// Received again and dropped.
    pub duplicates: u64,
    /// Received ahead of a gap and held, or dropped for want of room.
    pub out_of_order: u64,
    /// Passed over because they could not be processed, or not all of them.
    pub rejected: u64,
    /// Not messages at all.
    pub malformed: u64,
    /// Abandoned by the peer before they arrived.
    pub lost: u64,
}

/// Counts `more`.
pub(super) fn count(counter: &mut u64, more: u64) {
    *counter = counter.saturating_add(more).min(MAX_SEQ);
}
