//! Reads options, and refuses what it does not know: a misspelt option must not pass in silence.

use std::fmt::Display;

use js_sys::{Object, Reflect};
use serde_json::{Map, Value};
use wasm_bindgen::{JsCast as _, JsValue};

use super::error::type_error;
use crate::{bridge, wire::RemoteCommsOptions};

/// Refuses a member that is not one of `known`. `undefined` counts as empty.
pub(super) fn check(options: &JsValue, known: &[&str]) -> Result<(), JsValue> {
    let names = Object::keys(&object(options)?);
    match names.iter().filter_map(|name| name.as_string()).find(|name| !known.contains(&name.as_str())) {
        Some(name) => Err(type_error(&format!("unknown option {name:?}; there are: {}", known.join(", ")))),
        None => Ok(()),
    }
}

/// A text; none if it is `undefined` or null.
#[cfg(feature = "kernel")]
pub(super) fn text(options: &JsValue, name: &str) -> Result<Option<String>, JsValue> {
    match member(options, name)? {
        None => Ok(None),
        Some(text) => text.as_string().map(Some).ok_or_else(|| type_error(&format!("{name} must be a string"))),
    }
}

/// One of these, the first if it is `undefined` or null.
#[cfg(feature = "kernel")]
pub(super) fn choice<'c>(options: &JsValue, name: &str, choices: [&'c str; 2]) -> Result<&'c str, JsValue> {
    let [first, second] = choices;
    match text(options, name)? {
        None => Ok(first),
        Some(chosen) => choices
            .into_iter()
            .find(|choice| *choice == chosen)
            .ok_or_else(|| type_error(&format!("{name} must be {first:?} or {second:?}, not {chosen:?}"))),
    }
}

/// Yes or no; none if it is `undefined` or null.
#[cfg(feature = "kernel")]
pub(super) fn flag(options: &JsValue, name: &str) -> Result<Option<bool>, JsValue> {
    match member(options, name)? {
        None => Ok(None),
        Some(flag) => flag.as_bool().map(Some).ok_or_else(|| type_error(&format!("{name} must be a boolean"))),
    }
}

/// The options of remote communications; other members are not looked at.
pub(super) fn read_comms(options: &JsValue) -> Result<RemoteCommsOptions, JsValue> {
    let bad = |reason: &dyn Display| type_error(&format!("bad option: {reason}"));
    let object = object(options)?;
    let mut values = Map::new();
    with_names_of_comms(|names| {
        for name in names {
            let value = Reflect::get(&object, &JsValue::from_str(name))?;
            if !value.is_undefined() {
                let value = bridge::json(&value).map_err(|reason| bad(&format_args!("{name}: {reason}")))?;
                values.insert((*name).to_owned(), value);
            }
        }
        Ok::<_, JsValue>(())
    })?;
    serde_json::from_value(Value::Object(values)).map_err(|error| bad(&error))
}

/// The same, of an object that may also have the members `others`, but no more.
#[cfg(feature = "kernel")]
pub(super) fn read_comms_beside(options: &JsValue, others: &[&str]) -> Result<RemoteCommsOptions, JsValue> {
    with_names_of_comms(|names| check(options, &[others, names].concat()))?;
    read_comms(options)
}

fn with_names_of_comms<T>(work: impl FnOnce(&[&str]) -> T) -> T {
    let defaults = serde_json::to_value(RemoteCommsOptions::default()).unwrap_or_default();
    let names: Vec<&str> = defaults.as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect();
    work(&names)
}

#[cfg(feature = "kernel")]
fn member(options: &JsValue, name: &str) -> Result<Option<JsValue>, JsValue> {
    let options = object(options)?;
    let value = Reflect::get(&options, &JsValue::from_str(name))?;
    Ok((!value.is_undefined() && !value.is_null()).then_some(value))
}

fn object(options: &JsValue) -> Result<Object, JsValue> {
    if options.is_undefined() || options.is_null() {
        return Ok(Object::new());
    }
    if options.is_object() {
        Ok(options.clone().unchecked_into())
    } else {
        Err(type_error("options must be an object"))
    }
}
