//! The network's end: transport policy, and libp2p below it.

pub mod circuit;
mod driver;
pub mod link;
#[cfg(feature = "network")]
pub mod node;
#[cfg(any(test, all(feature = "network", target_arch = "wasm32")))]
mod page;
#[cfg(any(test, all(feature = "network", target_arch = "wasm32")))]
mod seen;
mod service;
pub mod status;
#[cfg(test)]
#[cfg(not(target_arch = "wasm32"))]
mod tests;
pub mod transport;

#[cfg(all(feature = "network", target_arch = "wasm32"))]
pub(crate) use page::{Meaning, Page, PageEvent};
#[cfg(all(feature = "network", target_arch = "wasm32"))]
pub(crate) use seen::SeenIncarnations;
pub use service::NetworkService;
