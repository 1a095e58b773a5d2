//! What JavaScript hands in, read.

use std::str::FromStr;

use wasm_bindgen::prelude::*;

use super::error::failure;
use crate::wire::WireError;

/// A reference, an endpoint or a peer id.
pub(super) fn parsed<T: FromStr<Err = WireError>>(text: &str) -> Result<T, JsValue> {
    text.parse().map_err(failure)
}

/// Plain data.
#[cfg(feature = "guests")]
pub(super) fn plain<T: serde::de::DeserializeOwned>(value: JsValue, what: &str) -> Result<T, JsValue> {
    serde_wasm_bindgen::from_value(value).map_err(|error| super::error::type_error(&format!("not a {what}: {error}")))
}
