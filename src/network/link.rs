//! What the transport needs from a peer-to-peer network: streams to peers, and why there is none.
//!
//! libp2p is one implementation; an in-memory network is another, for tests.

use std::fmt;

use futures::{AsyncRead, AsyncWrite, future::LocalBoxFuture, stream::LocalBoxStream};

use super::status::{Path, RelayStatus};
use crate::wire::{PeerId, RemoteCommsOptions, RemoteError};

/// What kept a peer from being reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    /// The host answers but nobody listens there (ECONNREFUSED). Browsers do not tell that.
    ConnRefused,
    /// No way to the host (EHOSTUNREACH).
    HostUnreach,
    /// The host name is unknown (ENOTFOUND).
    NotFound,
    /// No way to the network, or no network at all (ENETUNREACH).
    NetUnreach,
    /// No answer in time.
    TimedOut,
    /// The connection broke while it was being set up.
    Reset,
    /// The relay answers but the peer holds no reservation there (NO_RESERVATION).
    NoReservation,
    /// The peer holds a reservation, but the relay cannot reach it just now (CONNECTION_FAILED).
    ConnectionFailed,
    /// The relay has no room: for a reservation, or for another circuit (RESOURCE_LIMIT_EXCEEDED).
    RelayLimit,
    /// The relay refuses a reservation (RESERVATION_REFUSED).
    ReservationRefused,
    /// The relay forbids it (PERMISSION_DENIED).
    PermissionDenied,
    /// What answers at the relay's address is no circuit relay v2.
    NotARelay,
    /// The relay of a circuit could not be reached, which says nothing of the peer.
    RelayUnreachable,
    /// No address of the peer is known.
    NoAddress,
    /// The address is malformed, forbidden, or of a kind that this context cannot dial (WebRTC in a Worker).
    Unsupported,
    /// Another peer answers at the address.
    WrongPeer,
    /// The peer answers but does not speak our protocol.
    ProtocolUnsupported,
    /// The network was stopped.
    Stopped,
    /// Anything else; see the reason. In browsers, any WebSocket that does not open.
    Other,
}

impl ErrorCode {
    /// Whether an attempt that fails so never left this machine, or never came further than a relay that is not there: it says
    /// nothing of the peer.
    pub fn never_left(self) -> bool {
        matches!(self, ErrorCode::NetUnreach | ErrorCode::RelayUnreachable)
    }

    /// The errno's name where there is one, else the name of the code.
    pub fn as_str(self) -> &'static str {
        match self {
            ErrorCode::ConnRefused => "ECONNREFUSED",
            ErrorCode::HostUnreach => "EHOSTUNREACH",
            ErrorCode::NotFound => "ENOTFOUND",
            ErrorCode::NetUnreach => "ENETUNREACH",
            ErrorCode::TimedOut => "ETIMEDOUT",
            ErrorCode::Reset => "ECONNRESET",
            ErrorCode::NoReservation => "NoReservation",
            ErrorCode::ConnectionFailed => "ConnectionFailed",
            ErrorCode::RelayLimit => "RelayLimit",
            ErrorCode::ReservationRefused => "ReservationRefused",
            ErrorCode::PermissionDenied => "PermissionDenied",
            ErrorCode::NotARelay => "NotARelay",
            ErrorCode::RelayUnreachable => "RelayUnreachable",
            ErrorCode::NoAddress => "NoAddress",
            ErrorCode::Unsupported => "Unsupported",
            ErrorCode::WrongPeer => "WrongPeer",
            ErrorCode::ProtocolUnsupported => "ProtocolUnsupported",
            ErrorCode::Stopped => "Stopped",
            ErrorCode::Other => "Other",
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A peer could not be reached at any of its addresses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {reason}")]
pub struct DialError {
    /// What kind of failure.
    pub code: ErrorCode,
    /// Whether trying again later may help.
    pub retryable: bool,
    /// What happened, for people.
    pub reason: String,
}

/// Ways to a peer that are tried at once: those that are silent keep their places for long, and browsers have few to give.
pub const WAYS_AT_ONCE: usize = 8;

/// A running peer-to-peer network, which authenticates peers and encrypts streams.
pub trait Links: 'static {
    /// A bidirectional stream to one peer. Dropping it without closing it resets it.
    type Stream: AsyncRead + AsyncWrite + Unpin + 'static;

    /// Opens a stream to `peer`, trying `addresses` (multiaddrs, best first) if there is no connection yet: a silent one
    /// does not keep the next waiting, as long as no more than [`WAYS_AT_ONCE`] are. Dropping the future gives the attempt up.
    fn open(&self, peer: PeerId, addresses: Vec<String>) -> LocalBoxFuture<'static, Result<Self::Stream, DialError>>;

    /// The same on a connection of its own, whatever connections there are: one of them is about to end.
    fn open_anew(
        &self,
        peer: PeerId,
        addresses: Vec<String>,
    ) -> LocalBoxFuture<'static, Result<Self::Stream, DialError>> {
        self.open(peer, addresses)
    }

    /// The connection below a stream that ended: unless others use it, it may end too.
    fn discard(&self, _path: &Path) {}

    /// The connection below a stream, as far as it is known.
    fn path(_stream: &Self::Stream) -> Path {
        Path::default()
    }

    /// Whether the peer of a stream is an incumbent.
    fn is_with_incumbent(_stream: &Self::Stream) -> bool {
        false
    }

    /// The kernel has spoken of this peer, which is no stranger any more: when there is no room for all, it goes before those.
    fn know(&self, _peer: &PeerId) {}

    /// The way to the network may have changed: connections that do not answer soon are to be closed, and relays that wait
    /// are to be tried now.
    fn probe(&self) {}

    /// Closes all connections at once; others may be made later.
    fn hang_up(&self) {}

    /// Where peers reach this node now, as multiaddrs.
    fn listen_addresses(&self) -> Vec<String> {
        Vec::new()
    }

    /// Ends all connections; completes when nothing is left.
    fn stop(&self) -> LocalBoxFuture<'static, ()>;
}

/// What a network tells without being asked.
#[derive(Debug)]
pub enum LinkEvent<S> {
    /// A peer, which has proven who it is, opened a stream.
    Inbound {
        /// The peer.
        peer: PeerId,
        /// The stream.
        stream: S,
    },
    /// A relay serves us, or no longer does. When one does, there is a way to the network (again): what failed before may
    /// succeed now.
    Relay(RelayStatus),
}

/// A network that runs, and what it tells until it stops.
pub type Started<L> = (L, LocalBoxStream<'static, LinkEvent<<L as Links>::Stream>>);

/// Starts a network under an identity.
pub trait Network: 'static {
    /// What it starts.
    type Links: Links;

    /// Starts it under the Ed25519 identity of `seed`.
    ///
    /// # Errors
    /// What kept it from starting.
    fn start(&self, seed: [u8; 32], options: &RemoteCommsOptions) -> Result<Started<Self::Links>, RemoteError>;
}
