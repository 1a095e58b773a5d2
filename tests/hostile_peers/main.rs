//! Hostile peers over real libp2p: an honest pair goes on talking while others attack one of them. Prints what it cost.
#![cfg(all(feature = "kernel", feature = "network", not(target_arch = "wasm32")))]
// clippy knows tests by #[test] only
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::print_stderr)]

mod attacker;
mod connections;
mod honest;
mod nonsense;
#[path = "../support/mod.rs"]
mod support;
