//! The golden vectors, natively; `tests/browser/vectors.rs` is the same in Chromium.
#![cfg(feature = "kernel")]
#![allow(clippy::unwrap_used, clippy::panic)] // clippy knows tests by #[test] only

#[path = "vectors/checks.rs"]
mod checks;

#[test]
fn handshakes_and_messages() {
    checks::handshakes_and_messages();
}

#[test]
fn identities() {
    checks::identities();
}

#[test]
fn ocap_urls() {
    checks::ocap_urls();
}

#[test]
fn the_store_after_a_story() {
    checks::the_store_after_a_story();
}
