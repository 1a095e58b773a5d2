//! Reads options, and refuses what it does not know: a misspelt option must not pass in silence.

use serde::de::DeserializeOwned;
use wasm_bindgen::{JsCast as _, JsValue};

use super::error::type_error;

/// The members of an options object; `known` are all that it may have. `undefined` counts as empty.
pub(super) fn read<T: DeserializeOwned>(options: &JsValue, known: &[&str]) -> Result<T, JsValue> {
    let empty;
    let options = if options.is_undefined() || options.is_null() {
        empty = js_sys::Object::new();
        &empty
    } else {
        options.dyn_ref::<js_sys::Object>().ok_or_else(|| type_error("options must be an object"))?
    };
    for key in js_sys::Object::keys(options) {
        let key = key.as_string().unwrap_or_default();
        if !known.contains(&key.as_str()) {
            let known = known.join(", ");
            return Err(type_error(&format!("unknown option {key:?}; there are: {known}")));
        }
    }
    serde_wasm_bindgen::from_value(options.into()).map_err(|error| type_error(&format!("bad option: {error}")))
}
