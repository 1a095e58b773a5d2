//! Errors as JavaScript sees them.

use wasm_bindgen::prelude::*;

use crate::wire::RemoteError;

#[wasm_bindgen(module = "/src/js/errors.js")]
extern "C" {
    /// The `Error` with this name; `data` is left out when undefined.
    #[wasm_bindgen(js_name = errorNamed)]
    pub(super) fn named(name: &str, message: &str, data: &JsValue) -> JsValue;
}

/// Something that JavaScript handed in is not what it should be.
pub(super) fn type_error(message: &str) -> JsValue {
    js_sys::TypeError::new(message).into()
}

pub(super) fn remote(error: &RemoteError) -> JsValue {
    let data = match error.data() {
        serde_json::Value::Null => JsValue::UNDEFINED,
        data => to_js(&data),
    };
    named(error.name(), &error.to_string(), &data)
}

#[cfg(feature = "kernel")]
pub(super) fn kernel(error: &crate::kernel::KernelError) -> JsValue {
    match error {
        crate::kernel::KernelError::Remote(error) => remote(error),
        other => named(other.name(), &other.to_string(), &JsValue::UNDEFINED),
    }
}

/// Plain objects, arrays, strings and numbers.
pub(super) fn to_js(value: &impl serde::Serialize) -> JsValue {
    // Only maps with keys that are no strings can fail, and none of ours has any.
    value.serialize(&serde_wasm_bindgen::Serializer::json_compatible()).unwrap_or(JsValue::UNDEFINED)
}
