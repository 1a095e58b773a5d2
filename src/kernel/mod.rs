//! The kernel's end: its store, its remotes, and what it asks of the network.

pub mod identity;
pub mod ocap_url;
pub mod store;
