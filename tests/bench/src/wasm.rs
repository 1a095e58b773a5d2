//! The way in from a page.

use wasm_bindgen::prelude::*;

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = performance)]
    fn now() -> f64;
}

/// Runs the benchmark and gives its rows as JSON.
#[wasm_bindgen]
pub fn bench(rounds: u32, messages: u32) -> String {
    serde_json::to_string(&crate::run("wasm", rounds, messages, &now)).unwrap()
}
