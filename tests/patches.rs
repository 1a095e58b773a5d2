//! Tests within the patched crates that need nothing of those crates: nobody else would run them.
#![cfg(not(target_arch = "wasm32"))]
#![allow(dead_code, unreachable_pub, missing_docs)]
#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // clippy knows tests by #[test] only

#[path = "../patches/libp2p-webrtc/src/tokio/new_addrs.rs"]
mod new_addrs;
#[path = "../patches/libp2p-webrtc-websys/src/stream/unread.rs"]
mod unread;
