//! What must hold whatever bytes come: one target for each decoder and state machine that faces another kernel, a network,
//! or the other end of a bridge.
//!
//! A target is a plain function that panics when a property is broken. The test of this crate replays the corpus and some
//! mutations of it; `cargo xtask fuzz` lets libFuzzer search; this crate's program replays single files. Targets use no
//! clock and no randomness, so that a file breaks a property every time or never.

// A panic is how a target reports; what is indexed here was counted here.
#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod choices;
mod command;
mod frame;
mod handshake;
mod kernel;
mod large;
mod people;
mod reference;
mod rpc;
mod transport;

/// A named target.
pub struct Target {
    /// The name, which is also that of its folder in the corpus.
    pub name: &'static str,
    /// Runs one input.
    ///
    /// Panics when a property is broken.
    pub run: fn(&[u8]),
}

/// All targets.
pub const TARGETS: &[Target] = &[
    Target { name: "frame", run: frame::target },
    Target { name: "handshake", run: handshake::target },
    Target { name: "command", run: command::target },
    Target { name: "reference", run: reference::target },
    Target { name: "rpc", run: rpc::target },
    Target { name: "transport", run: transport::target },
    Target { name: "kernel", run: kernel::target },
    Target { name: "large", run: large::target },
];

/// The target of that name.
pub fn find(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}
