//! Browser tests in a window.
#![cfg(all(target_arch = "wasm32", target_os = "unknown"))]
#![allow(clippy::unwrap_used)] // clippy knows tests by #[test] only

mod javascript_kernel;

use ocap_remotes::js::open_kernel_store;
use wasm_bindgen::JsCast as _;
use wasm_bindgen_test::{wasm_bindgen_test, wasm_bindgen_test_configure};

wasm_bindgen_test_configure!(run_in_browser);

#[wasm_bindgen_test]
fn this_is_a_window_that_can_speak_webrtc() {
    let global = js_sys::global();
    assert!(js_sys::Reflect::has(&global, &"document".into()).unwrap());
    assert!(js_sys::Reflect::get(&global, &"RTCPeerConnection".into()).unwrap().is_instance_of::<js_sys::Function>());
}

#[wasm_bindgen_test]
async fn a_window_has_no_durable_store_and_says_where_there_is_one() {
    let refused = open_kernel_store(None).await.map(|_| ()).unwrap_err();
    let refused: js_sys::Error = refused.unchecked_into();
    let message = String::from(refused.message());
    assert!(refused.name() == "StoreUnavailableError" && message.contains("dedicated Worker"), "{message}");
    let in_memory = js_sys::Object::new();
    js_sys::Reflect::set(&in_memory, &"durability".into(), &"memory".into()).unwrap();
    assert!(open_kernel_store(Some(in_memory.unchecked_into())).await.is_ok());
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
