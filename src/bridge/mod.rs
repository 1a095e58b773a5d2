//! The JSON-RPC bridge between a kernel and its network (protocol §9).
//!
//! Each end offers the other a small service. The two traits are those services; at one end of the bridge they are
//! implemented for real, at the other by a proxy that calls across. Code above and below the bridge sees only the traits,
//! so a test or a native program may join the two ends without any bridge.
//!
//! - `message` and `connection` are the protocol: what is posted, and one end of the bridge as a state machine. No I/O.
//! - `extensions` is what our ends can do beyond the protocol, and tell each other.
//! - `packet` writes messages as bytes and reads them, for an end that takes them.
//! - `link` drives the state machine over a [`Port`] and starts the requests of the other end; `post_box` holds what is to be
//!   posted together, `pulse` notices when the other end has gone.
//! - [`PlatformServicesClient`] is the kernel's end, [`PlatformServicesServer`] the network's.
//!
//! What the messages mean is left to the two services; how a message crosses to another thread is left to the port.

#[cfg(feature = "kernel")]
mod client;
mod connection;
mod error;
mod extensions;
mod link;
mod message;
mod methods;
#[cfg(any(test, all(target_arch = "wasm32", target_os = "unknown")))]
mod packet;
mod port;
mod post_box;
mod pulse;
#[cfg(feature = "transport")]
mod server;
#[cfg(test)]
mod tests;
mod vats;

#[cfg(feature = "kernel")]
pub use client::PlatformServicesClient;
pub use connection::{MAX_HELD_CALLS, MAX_PENDING_CALLS, MAX_RUNNING_REQUESTS};
pub use error::BridgeError;
#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
pub use port::BrowserPort;
#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
pub(crate) use port::json;
#[cfg(not(target_arch = "wasm32"))]
pub use port::{MemoryPort, memory_ports};
pub use port::{Port, PortError, PortEvent, PortListener};
#[cfg(feature = "transport")]
pub use server::PlatformServicesServer;
pub use vats::VatWorkerService;

use futures::future::LocalBoxFuture;

use crate::wire::{IncarnationId, PeerId, RemoteCommsOptions, RemoteError};

/// What a second initialization is refused with (protocol §9).
pub(crate) const ALREADY_INITIALIZED: &str = "remote comms already initialized";

/// The answer to a call across the bridge, when it comes.
pub type Reply<T> = LocalBoxFuture<'static, Result<T, RemoteError>>;

/// What a kernel asks of its network. Calls take effect in the order in which they are made.
pub trait PlatformServices {
    /// Starts the network under the identity of `key_seed` (32 bytes in hex).
    ///
    /// # Errors
    /// `remote comms already initialized`, or what kept the network from starting.
    fn initialize_remote_comms(
        &self,
        key_seed: String,
        options: RemoteCommsOptions,
        incarnation: IncarnationId,
    ) -> Reply<()>;

    /// Stops it; nothing is sent or delivered afterwards. Stopping twice is not an error.
    fn stop_remote_comms(&self) -> Reply<()>;

    /// Writes a message to a peer, opening a channel if there is none. Resolves when it was written, not when it arrived.
    ///
    /// # Errors
    /// Every [`RemoteError`]; the message was not written, and nothing after it will be written before it is sent again.
    fn send_remote_message(&self, to: PeerId, message: String) -> Reply<()>;

    /// Closes the channel to a peer and refuses new ones until [`reconnect_peer`](Self::reconnect_peer).
    fn close_connection(&self, peer: PeerId) -> Reply<()>;

    /// Tells where a peer may be found.
    fn register_location_hints(&self, peer: PeerId, hints: Vec<String>) -> Reply<()>;

    /// Undoes [`close_connection`](Self::close_connection) and any permanent failure, and connects now.
    fn reconnect_peer(&self, peer: PeerId, hints: Vec<String>) -> Reply<()>;

    /// Forgets all backoffs and permanent failures, as after a sleep.
    fn reset_all_backoffs(&self) -> Reply<()>;
}

/// What a network asks of its kernel.
pub trait KernelServices {
    /// Hands over a message. Messages from one peer are handed over in the order in which they came.
    ///
    /// # Errors
    /// The kernel could not take it; the peer will have to send it again.
    fn remote_deliver(&self, from: PeerId, message: String) -> Reply<Option<String>>;

    /// Tells that a long message is under way, from a peer or to it, and moves. Told every few seconds at most, and only as long
    /// as that lasts; for the other messages of that peer, and for what it has to acknowledge, it is a reason to wait.
    fn remote_moving(&self, _peer: PeerId) {}

    /// Tells that there is no channel to a peer, and that the network judges by itself when to
    /// [stop trying](Self::remote_give_up). It holds until the next [question](Self::remote_incarnation_change) about that peer.
    fn remote_no_channel(&self, _peer: PeerId) {}

    /// Tells that the network has stopped trying to reach a peer.
    fn remote_give_up(&self, peer: PeerId) -> Reply<()>;

    /// Tells which incarnation a peer has just shown in a handshake, and asks whether the peer has restarted.
    ///
    /// If a channel was lost before, what the kernel sends to the peer before it answers is refused; what it sends after its
    /// answer goes on the new channel, and has to begin with whatever is unacknowledged.
    ///
    /// # Errors
    /// Whoever asks must take an error for a restart (fail closed).
    fn remote_incarnation_change(&self, peer: PeerId, observed: IncarnationId) -> Reply<bool>;
}
