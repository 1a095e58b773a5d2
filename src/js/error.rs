//! Errors as JavaScript sees them.

use js_sys::{Error, Reflect};
use wasm_bindgen::JsValue;

use crate::wire::RemoteError;

/// An `Error` with this name; `data` is left out when undefined.
pub(super) fn named(name: &str, message: &str, data: &JsValue) -> JsValue {
    let error = Error::new(message);
    error.set_name(name);
    if !data.is_undefined() {
        // An Error takes any property.
        Reflect::set(&error, &"data".into(), data).ok();
    }
    error.into()
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
