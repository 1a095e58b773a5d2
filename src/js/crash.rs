//! A panic leaves the instance in an unknown state: no later call may go in.

use std::sync::atomic::{AtomicBool, Ordering};

use wasm_bindgen::JsValue;

static CRASHED: AtomicBool = AtomicBool::new(false);

/// Remembers a panic and tells the console what it was.
pub(super) fn install() {
    std::panic::set_hook(Box::new(|panic| {
        CRASHED.store(true, Ordering::Relaxed);
        web_sys::console::error_1(&JsValue::from_str(&format!("ocap-remotes crashed: {panic}")));
    }));
}

/// Fails if there was a panic, or while a call into JavaScript is under way during which nothing may be asked here.
pub(super) fn check() -> Result<(), JsValue> {
    #[cfg(feature = "kernel")]
    if super::store::is_being_asked() {
        let message = "a database may not call the kernel that it serves";
        return Err(super::error::named("ReentrancyError", message, &JsValue::UNDEFINED));
    }
    if CRASHED.load(Ordering::Relaxed) {
        let message = "ocap-remotes has crashed; load its module again in a new Worker or page";
        return Err(super::error::named("CrashError", message, &JsValue::UNDEFINED));
    }
    Ok(())
}
