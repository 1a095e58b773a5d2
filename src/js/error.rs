//! Errors as JavaScript sees them.

use std::cell::RefCell;

#[cfg(any(feature = "guests", feature = "network"))]
use js_sys::Reflect;
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

thread_local! {
    /// What JavaScript threw last, with the name and message by which it passes through here.
    static THROWN: RefCell<Option<(String, String, JsValue)>> = const { RefCell::new(None) };
}

/// The name and message of what JavaScript threw. If it comes out again as it went in, it is the very same object.
#[cfg(any(feature = "guests", feature = "network"))]
fn caught(thrown: &JsValue) -> (String, String) {
    let (name, message) = crate::runtime::thrown::name_and_message(thrown);
    THROWN.set(Some((name.clone(), message.clone(), thrown.clone())));
    (name, message)
}

fn original(name: &str, message: &str) -> Option<JsValue> {
    let is_it = |thrown: &(String, String, JsValue)| thrown.0 == name && thrown.1 == message;
    THROWN.with_borrow_mut(|last| last.take_if(|thrown| is_it(thrown))).map(|(_, _, thrown)| thrown)
}

/// What JavaScript threw where a network was expected to answer, by name and message.
#[cfg(any(feature = "guests", feature = "network"))]
pub(super) fn thrown_remote(thrown: &JsValue) -> RemoteError {
    let (name, message) = caught(thrown);
    let data = Reflect::get(thrown, &"data".into()).unwrap_or_default();
    let data = crate::bridge::json(&data).unwrap_or_default();
    RemoteError::from_parts(&name, &message, &data)
}

/// What a kernel in JavaScript threw.
#[cfg(feature = "guests")]
pub(super) fn host_error(thrown: JsValue) -> crate::kernel::KernelError {
    let (name, message) = caught(&thrown);
    crate::kernel::KernelError::Host { name, message }
}

pub(super) fn remote(error: &RemoteError) -> JsValue {
    if let RemoteError::Other { name, message } = error
        && let Some(thrown) = original(name, message)
    {
        return thrown;
    }
    let data = match error.data() {
        serde_json::Value::Null => Ok(JsValue::UNDEFINED),
        data => to_js(&data),
    };
    // Why there is no data is data as well.
    named(error.name(), &error.to_string(), &data.unwrap_or_else(|inexact| inexact))
}

#[cfg(feature = "kernel")]
pub(super) fn kernel(error: &crate::kernel::KernelError) -> JsValue {
    match error {
        crate::kernel::KernelError::Remote(error) => remote(error),
        crate::kernel::KernelError::Host { name, message } => {
            original(name, message).unwrap_or_else(|| named(name, message, &JsValue::UNDEFINED))
        }
        other => named(other.name(), &other.to_string(), &JsValue::UNDEFINED),
    }
}

#[cfg(feature = "kernel")]
pub(super) fn failure(error: impl Into<crate::kernel::KernelError>) -> JsValue {
    kernel(&error.into())
}

/// Plain objects, arrays, strings and numbers.
///
/// # Errors
/// A `RangeError` for a whole number that JavaScript cannot hold exactly: no part of the value is told then.
pub(super) fn to_js(value: &impl serde::Serialize) -> Result<JsValue, JsValue> {
    let told = value.serialize(&serde_wasm_bindgen::Serializer::json_compatible());
    told.map_err(|error| js_sys::RangeError::new(&format!("JavaScript has no such value: {error}")).into())
}

/// An event for JavaScript. One that it has no value for is told on the console.
#[cfg(any(feature = "kernel", feature = "network"))]
pub(super) fn event_to_js(event: &impl serde::Serialize) -> Option<JsValue> {
    to_js(event)
        .inspect_err(|error| web_sys::console::error_2(&"ocap-remotes: an event cannot be told".into(), error))
        .ok()
}
