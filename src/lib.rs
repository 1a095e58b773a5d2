//! Exactly-once, in-order messages between object-capability kernels in browsers, which survive each other's restarts.
//!
//! A message passes through the modules in this order: a kernel's `RemoteManager` gives it to the session of its remote,
//! the bridge carries it to the network, the network writes it on a libp2p stream; and the same way up at the other side.

#[cfg(any(feature = "kernel", feature = "transport"))]
pub mod bridge;
#[cfg_attr(not(feature = "seeded-faults"), doc(hidden))]
pub mod faults;
#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
pub mod js;
#[cfg(feature = "kernel")]
pub mod kernel;
#[cfg(all(feature = "kernel", feature = "transport", not(target_arch = "wasm32")))]
pub mod native;
#[cfg(feature = "transport")]
pub mod network;
pub mod runtime;
#[cfg(feature = "kernel")]
pub mod session;
#[cfg(feature = "kernel")]
pub mod storage;
pub mod wire;
