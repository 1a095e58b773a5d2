//! Browser tests in a dedicated Worker.
#![cfg(all(target_arch = "wasm32", target_os = "unknown"))]
#![allow(clippy::unwrap_used)] // clippy knows tests by #[test] only

mod javascript_kernel;

use wasm_bindgen::JsCast as _;
use wasm_bindgen_test::{wasm_bindgen_test, wasm_bindgen_test_configure};

wasm_bindgen_test_configure!(run_in_dedicated_worker);

#[wasm_bindgen_test]
fn this_is_a_worker_that_cannot_speak_webrtc() {
    let global = js_sys::global();
    assert!(!js_sys::Reflect::has(&global, &"document".into()).unwrap());
    assert!(!js_sys::Reflect::has(&global, &"RTCPeerConnection".into()).unwrap());
    assert!(js_sys::Reflect::get(&global, &"WebSocket".into()).unwrap().is_instance_of::<js_sys::Function>());
}

#[wasm_bindgen_test]
async fn the_clock_follows_sleep() {
    browser_tests::the_clock_follows_sleep().await;
}

#[wasm_bindgen_test]
fn random_bytes_differ() {
    browser_tests::random_bytes_differ();
}

#[wasm_bindgen_test]
async fn a_spawned_task_runs_later() {
    browser_tests::a_spawned_task_runs_later().await;
}

#[wasm_bindgen_test]
async fn a_limit_ends_what_takes_too_long() {
    browser_tests::a_limit_ends_what_takes_too_long().await;
}
