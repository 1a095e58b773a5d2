//! Objects of JavaScript, judged by what they can do. Those of an iframe, of Jest or of a `vm` context are instances of other classes
//! than this context's.

use js_sys::{ArrayBuffer, Reflect, Uint8Array};
use wasm_bindgen::{JsCast as _, JsValue};

/// A member of an object; `undefined` if there is none, or if it cannot be read.
pub(crate) fn member(object: &JsValue, name: &str) -> JsValue {
    Reflect::get(object, &name.into()).unwrap_or_default()
}

/// Whether an object has all these functions.
pub(crate) fn has_functions(object: &JsValue, names: &[&str]) -> bool {
    names.iter().all(|name| member(object, name).is_function())
}

/// A view of bytes, if that is what the value is.
pub(crate) fn as_bytes(value: &JsValue) -> Option<&Uint8Array> {
    if let Some(bytes) = value.dyn_ref() {
        return Some(bytes);
    }
    let is_bytes = ArrayBuffer::is_view(value) && member(value, "BYTES_PER_ELEMENT") == 1;
    is_bytes.then(|| value.unchecked_ref())
}
