//! The network's end: transport policy, and libp2p below it.

pub mod node;
