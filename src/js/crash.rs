//! A panic leaves the instance in an unknown state. `module.js` lets no later call in; what it cannot see is told it here.

use wasm_bindgen::prelude::*;

#[wasm_bindgen(module = "/src/js/crash.js")]
extern "C" {
    fn panicked(message: &str);
}

/// Hands on what a panic says.
pub(super) fn install() {
    std::panic::set_hook(Box::new(|panic| panicked(&panic.to_string())));
}

#[cfg(any(feature = "guests", feature = "network"))]
#[wasm_bindgen(module = "/src/js/crash.js")]
extern "C" {
    /// A function that the program may call as long as it likes; after a crash it throws the `CrashError`.
    pub(super) fn handed(function: &JsValue) -> js_sys::Function;
}

/// Fails while a call into JavaScript is under way during which nothing may be asked here.
pub(super) fn check() -> Result<(), JsValue> {
    #[cfg(feature = "kernel")]
    if super::store::is_being_asked() {
        let message = "a database may not call the kernel that it serves";
        return Err(super::error::named("ReentrancyError", message, &JsValue::UNDEFINED));
    }
    Ok(())
}

/// Panics, so that tests can see what becomes of calls after that.
#[cfg(feature = "crash-test")]
#[wasm_bindgen(js_name = crashForTest)]
#[allow(clippy::panic, reason = "it is what this is for")]
pub fn crash_for_test() {
    panic!("asked to");
}
