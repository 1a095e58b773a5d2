//! The edge: what a bridge is laid over. A port carries JSON values, and perhaps something transferred with one.

#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
mod browser;
#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
mod convert;
#[cfg(not(target_arch = "wasm32"))]
mod memory;
#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
mod spares;
#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
mod words;

use serde_json::Value;

#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
pub use browser::BrowserPort;
#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
pub(crate) use convert::json;
#[cfg(not(target_arch = "wasm32"))]
pub use memory::{MemoryPort, memory_ports};

/// What happens at a port.
#[derive(Debug, PartialEq)]
pub enum PortEvent<T> {
    /// A message came. It may be anybody's.
    Message {
        /// The message.
        message: Value,
        /// What was transferred with it.
        transfer: Option<T>,
    },
    /// Nothing will come any more, and nothing that is posted will arrive.
    Closed,
}

/// Why a message could not be posted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PortError {
    /// The port refused it.
    #[error("{0}")]
    Refused(String),
    /// The port carries messages only.
    #[error("this kind of port cannot transfer anything")]
    NoTransfer,
    /// Too many messages wait to be taken at the other end.
    #[error("{limit} messages already wait in the port")]
    Full {
        /// How many may wait.
        limit: usize,
    },
}

/// Whoever takes what happens at a port.
pub type PortListener<T> = Box<dyn Fn(PortEvent<T>)>;

/// Something to post messages on, and to hear of messages from. What is posted arrives in order.
pub trait Port: 'static {
    /// What may be transferred with a message.
    type Transfer: 'static;

    /// Posts a message.
    ///
    /// # Errors
    /// [`PortError`]; the message was not posted.
    fn post(&self, message: Value, transfer: Option<Self::Transfer>) -> Result<(), PortError>;

    /// Calls `listener` with all that happens from now on, each in its own turn of the event loop: what one message wakes
    /// has run before the next comes. Called once.
    fn listen(&self, listener: PortListener<Self::Transfer>);

    /// Whether messages may cross as bytes, which are transferred instead of copied.
    fn transfers_bytes(&self) -> bool {
        false
    }

    /// The other end takes messages as packets of bytes, or no longer.
    fn prefer_packets(&self, _preferred: bool) {}

    /// Stops listening. May be called by the listener itself, and more than once.
    fn close(&self);
}
