//! The network's end: transport policy, and libp2p below it.

mod driver;
pub mod link;
mod service;
pub mod transport;

pub use service::NetworkService;
