//! What JavaScript throws, as text.

use wasm_bindgen::JsValue;

use super::objects;

/// The name and message of whatever was thrown. What has a message is an error, also that of another realm. The members of an error
/// may be anything, and to read them may throw in its turn.
pub(crate) fn name_and_message(thrown: &JsValue) -> (String, String) {
    let member = |name: &str| objects::member(thrown, name).as_string().filter(|_| thrown.is_object());
    let message = member("message");
    let name = member("name").filter(|_| message.is_some());
    let message = message.or_else(|| thrown.as_string()).unwrap_or_else(|| format!("{thrown:?}"));
    (name.unwrap_or_else(|| "Error".to_owned()), message)
}
