//! The golden vectors in a browser; `tests/vectors.rs` is the same natively.
#![cfg(all(target_arch = "wasm32", target_os = "unknown"))]
#![allow(clippy::unwrap_used, clippy::panic)] // clippy knows tests by #[test] only

use wasm_bindgen_test::{wasm_bindgen_test, wasm_bindgen_test_configure};

#[path = "../vectors/checks.rs"]
mod checks;

wasm_bindgen_test_configure!(run_in_browser);

#[wasm_bindgen_test]
fn handshakes_and_messages() {
    checks::handshakes_and_messages();
}

#[wasm_bindgen_test]
fn identities() {
    checks::identities();
}

#[wasm_bindgen_test]
fn ocap_urls() {
    checks::ocap_urls();
}

#[wasm_bindgen_test]
fn the_store_after_a_story() {
    checks::the_store_after_a_story();
}
