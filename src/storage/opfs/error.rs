//! What the file system of a browser throws, as errors of Rust.

use std::io;

use js_sys::Reflect;
use wasm_bindgen::JsValue;

/// The error with the kind that its name stands for.
pub(super) fn from_js(thrown: &JsValue) -> io::Error {
    let text =
        |key: &str| Reflect::get(thrown, &key.into()).ok().and_then(|value| value.as_string()).unwrap_or_default();
    let name = text("name");
    let kind = match name.as_str() {
        "QuotaExceededError" => io::ErrorKind::QuotaExceeded,
        "NoModificationAllowedError" => io::ErrorKind::ResourceBusy,
        "NotFoundError" => io::ErrorKind::NotFound,
        _ => io::ErrorKind::Other,
    };
    io::Error::new(kind, format!("{name}: {}", text("message")))
}
