//! What JavaScript throws, as text.

use js_sys::{Error, Reflect};
use wasm_bindgen::{JsCast as _, JsValue};

/// The name and message of whatever was thrown. The members of an error may be anything, and to read them may throw in its turn.
pub(crate) fn name_and_message(thrown: &JsValue) -> (String, String) {
    let member = |name: &str| Reflect::get(thrown, &JsValue::from_str(name)).ok()?.as_string();
    let is_error = thrown.is_instance_of::<Error>();
    let [name, message] = ["name", "message"].map(|name| member(name).filter(|_| is_error));
    let message = message.or_else(|| thrown.as_string()).unwrap_or_else(|| format!("{thrown:?}"));
    (name.unwrap_or_else(|| "Error".to_owned()), message)
}
