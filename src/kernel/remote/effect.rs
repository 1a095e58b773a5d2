//! What a remote manager wants done outside, and what it has to tell.

use super::{super::KernelError, RedemptionId, UrlTicket};
use crate::{
    session::WriteToken,
    wire::{EndpointId, IncarnationId, Kref, PeerId, Seq},
};

/// Something to do outside, in the order given.
#[derive(Debug, PartialEq)]
pub enum Effect {
    /// Tell the network where a peer may be found.
    RegisterLocationHints {
        /// The peer.
        peer: PeerId,
        /// Multiaddrs.
        hints: Vec<String>,
    },
    /// Open a URL that a peer wants to redeem, and report with
    /// [`RemoteManager::url_opened`](crate::kernel::RemoteManager::url_opened). That peer's further messages wait for it.
    OpenUrl {
        /// Goes back with the result.
        ticket: UrlTicket,
        /// The URL, as the peer wrote it.
        url: String,
    },
    /// A redemption has ended. The object it gave, if any, is not counted for anyone yet.
    Redeemed {
        /// Which.
        id: RedemptionId,
        /// The object, or why there is none.
        result: Result<Kref, KernelError>,
    },
    /// Something that users may want to know.
    Event(RemoteEvent),
}

/// A message to write, whose result is to be reported with
/// [`RemoteManager::write_finished`](crate::kernel::RemoteManager::write_finished).
#[derive(Debug, PartialEq, Eq)]
pub struct RemoteWrite {
    /// The remote it is for.
    pub remote: EndpointId,
    /// Goes back with the result.
    pub token: WriteToken,
    /// The peer.
    pub to: PeerId,
    /// The message.
    pub message: String,
}

/// Something that happened to a remote.
#[derive(Clone, Debug, PartialEq)]
pub enum RemoteEvent {
    /// The peer came back with another incarnation; or with the same, having forgotten this kernel.
    PeerRestarted {
        /// The peer.
        peer: PeerId,
        /// What it was before.
        former: IncarnationId,
        /// What it is now.
        current: IncarnationId,
        /// Messages to the former incarnation that were discarded.
        discarded: usize,
        /// Promises that it was to decide and that were rejected.
        promises_rejected: usize,
    },
    /// Two kernels have the identity of the peer, and come in turns: the peer has come back in the incarnation that it had before
    /// its last. What is sent to one is lost on the other, so neither can be talked to until one is stopped.
    IdentityShared {
        /// The peer.
        peer: PeerId,
        /// The incarnation that it has come back in.
        current: IncarnationId,
        /// The one that it had meanwhile.
        other: IncarnationId,
    },
    /// The peer was given up; the next message to it tries again.
    GivenUp {
        /// The peer.
        peer: PeerId,
        /// Why.
        reason: String,
        /// Messages that were discarded.
        discarded: usize,
        /// Promises that it was to decide and that were rejected.
        promises_rejected: usize,
    },
    /// Messages that the peer had abandoned before they arrived.
    MessagesLost {
        /// The peer.
        peer: PeerId,
        /// The first lost number.
        first: Seq,
        /// The last lost number.
        last: Seq,
    },
    /// A message that could not be processed was passed over.
    MessageRejected {
        /// The peer.
        peer: PeerId,
        /// Its number.
        seq: Seq,
        /// Why.
        reason: String,
    },
}
