//! Reads options, and refuses what it does not know: a misspelt option must not pass in silence.

use js_sys::Object;
use serde::de::DeserializeOwned;
use wasm_bindgen::{JsCast as _, JsValue};

use super::error::type_error;
#[cfg(feature = "kernel")]
use crate::wire::RemoteCommsOptions;

/// The members of an options object; `known` are all that it may have. `undefined` counts as empty.
pub(super) fn read<T: DeserializeOwned>(options: &JsValue, known: &[&str]) -> Result<T, JsValue> {
    for key in Object::keys(&object(options)?) {
        let key = key.as_string().unwrap_or_default();
        if !known.contains(&key.as_str()) {
            let known = known.join(", ");
            return Err(type_error(&format!("unknown option {key:?}; there are: {known}")));
        }
    }
    read_some(options)
}

/// Those members that `T` has; the others were checked by another [`read`].
pub(super) fn read_some<T: DeserializeOwned>(options: &JsValue) -> Result<T, JsValue> {
    serde_wasm_bindgen::from_value(object(options)?.into()).map_err(|error| type_error(&format!("bad option: {error}")))
}

/// The options of remote communications in an object that may also have the members `others`.
#[cfg(feature = "kernel")]
pub(super) fn read_comms(options: &JsValue, others: &[&str]) -> Result<RemoteCommsOptions, JsValue> {
    let defaults = serde_json::to_value(RemoteCommsOptions::default()).unwrap_or_default();
    let mut known = others.to_vec();
    known.extend(defaults.as_object().into_iter().flatten().map(|(key, _)| key.as_str()));
    read(options, &known)
}

fn object(options: &JsValue) -> Result<Object, JsValue> {
    if options.is_undefined() || options.is_null() {
        return Ok(Object::new());
    }
    options.dyn_ref::<Object>().cloned().ok_or_else(|| type_error("options must be an object"))
}
