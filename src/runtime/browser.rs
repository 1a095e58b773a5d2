//! The browser's runtime, in a window or a Worker.

use std::time::Duration;

use futures::{FutureExt as _, future::LocalBoxFuture};
use wasm_bindgen::prelude::*;

use super::{Runtime, Timestamp};

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = performance)]
    fn now() -> f64;
    #[wasm_bindgen(thread_local_v2, js_namespace = performance, js_name = timeOrigin)]
    static TIME_ORIGIN: f64;
}

/// `performance.now`, gloo's timers, `crypto.getRandomValues`, and the microtask queue.
#[derive(Clone, Copy, Debug, Default)]
pub struct BrowserRuntime;

impl Runtime for BrowserRuntime {
    fn now(&self) -> Timestamp {
        // Positive and far below 2^53, so the cast is exact to the millisecond.
        Timestamp::from_millis((TIME_ORIGIN.with(|origin| *origin) + now()) as u64)
    }

    fn sleep(&self, delay: Duration) -> LocalBoxFuture<'static, ()> {
        gloo_timers::future::sleep(delay).boxed_local()
    }

    #[allow(clippy::expect_used)] // Without randomness no key and no incarnation may be made: stopping is the safe answer.
    fn fill_random(&self, bytes: &mut [u8]) {
        getrandom::fill(bytes).expect("crypto.getRandomValues exists in every browser context");
    }

    fn spawn(&self, task: LocalBoxFuture<'static, ()>) {
        wasm_bindgen_futures::spawn_local(task);
    }
}
