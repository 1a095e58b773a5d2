//! What the transport needs from a peer-to-peer network: streams to peers, and why there is none.
//!
//! libp2p is one implementation; an in-memory network is another, for tests.

use std::fmt;

use futures::{AsyncRead, AsyncWrite, future::LocalBoxFuture, stream::LocalBoxStream};

use crate::wire::{PeerId, RemoteCommsOptions, RemoteError};

/// Why a peer could not be reached, in the terms of the incumbent's error codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorCode {
    /// Nobody listens there.
    ConnRefused,
    /// There is no route to the host.
    HostUnreach,
    /// The name does not resolve.
    NotFound,
    /// There is no route to the network.
    NetUnreach,
    /// No answer in time.
    TimedOut,
    /// The other end broke the connection off.
    Reset,
    /// The relay knows no such peer (it holds no reservation for it).
    NoReservation,
    /// No address of the peer is known.
    NoAddress,
    /// Anything else.
    Other,
}

impl ErrorCode {
    /// The code's name, as in Node's `error.code`.
    pub fn as_str(self) -> &'static str {
        match self {
            ErrorCode::ConnRefused => "ECONNREFUSED",
            ErrorCode::HostUnreach => "EHOSTUNREACH",
            ErrorCode::NotFound => "ENOTFOUND",
            ErrorCode::NetUnreach => "ENETUNREACH",
            ErrorCode::TimedOut => "ETIMEDOUT",
            ErrorCode::Reset => "ECONNRESET",
            ErrorCode::NoReservation => "ENORESERVATION",
            ErrorCode::NoAddress => "ENOADDRESS",
            ErrorCode::Other => "EOTHER",
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

/// A running peer-to-peer network, which authenticates peers and encrypts streams.
pub trait Links: 'static {
    /// A bidirectional stream to one peer. Dropping it without closing it resets it.
    type Stream: AsyncRead + AsyncWrite + Unpin + 'static;

    /// Opens a stream to `peer`, trying `addresses` (multiaddrs) in order if there is no connection yet. Dropping the
    /// future gives the attempt up.
    fn open(&self, peer: PeerId, addresses: Vec<String>) -> LocalBoxFuture<'static, Result<Self::Stream, DialError>>;

    /// Ends all connections; completes when nothing is left.
    fn stop(&self) -> LocalBoxFuture<'static, ()>;
}

/// Streams that peers opened to us, with the authenticated peer of each. Ends when the network stops.
pub type Incoming<S> = LocalBoxStream<'static, (PeerId, S)>;

/// A network that runs, and the streams that peers open on it.
pub type Started<L> = (L, Incoming<<L as Links>::Stream>);

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
