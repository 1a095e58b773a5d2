//! Between JavaScript values and JSON values.
//!
//! What costs here is not the copying but each step from wasm to JavaScript, and above all making a JavaScript string of a
//! short text; so the words that every message has are made once, and members that every message may have are asked for by
//! name instead of being listed.

use std::cell::RefCell;

use js_sys::{Array, JsString, Object, Reflect, Uint8Array};
use serde_json::{Map, Number, Value};
use wasm_bindgen::{JsCast as _, prelude::*};

use super::words::{to_js_string, with_word};
use crate::bridge::message::{JSONRPC, SIGNALS};

/// Deepest nesting of a message. Structured clones may be cyclic, and the stack is not endless.
const MAX_DEPTH: usize = 64;

/// Most values in a message. Structured clones may share parts, which a JSON value would hold once for each mention.
const MAX_VALUES: usize = 100_000;

const MAX_SAFE_INTEGER: f64 = 9_007_199_254_740_991.0;

/// Texts from this length on are better written as bytes, where the other end takes that.
const BYTES: usize = 2 << 10;

/// Bytes from this length on are better transferred than copied.
const TRANSFERRED: usize = 16 << 10;

#[wasm_bindgen]
extern "C" {
    /// Unlike that of js-sys it cannot fail, for it is used on new plain objects only; a call that may fail costs more.
    #[wasm_bindgen(js_namespace = Reflect, js_name = set)]
    fn set_member(object: &Object, key: &JsString, value: &JsValue) -> bool;
}

/// What a message on a port is.
pub(super) enum Kind {
    /// A request, or a notification.
    Request,
    /// An answer, which may come with a port.
    Response,
    /// Several messages.
    Batch,
    /// One of the opening's signals.
    Signal,
    /// Not the bridge's: it is not converted at all.
    Foreign,
}

/// Reads a message; the reason if it is not JSON, or too large. Each string is copied once.
pub(super) fn from_js(value: &JsValue) -> Result<(Value, Kind), &'static str> {
    if !value.is_object() {
        return Ok((Value::Null, Kind::Foreign));
    }
    let object: &Object = value.unchecked_ref();
    let mut reader = Reader { values_left: MAX_VALUES };
    if !member(object, JSONRPC)?.is_undefined() {
        let (members, kind) = reader.read_envelope(object)?;
        return Ok((Value::Object(members), kind));
    }
    if let Some(batch) = value.dyn_ref::<Array>() {
        return Ok((Value::Array(reader.read_batch(batch)?), Kind::Batch));
    }
    for signal in SIGNALS {
        if !member(object, signal)?.is_undefined() {
            return Ok((Value::Object(reader.read_object(object, MAX_DEPTH)?), Kind::Signal));
        }
    }
    Ok((Value::Null, Kind::Foreign))
}

/// A member of an object; undefined if there is none.
fn member(object: &Object, name: &str) -> Result<JsValue, &'static str> {
    with_word(name, |name| Reflect::get(object, name)).map_err(|_| UNREADABLE)
}

const UNREADABLE: &str = "it has a member that cannot be read";

struct Reader {
    values_left: usize,
}

impl Reader {
    /// The messages of JSON-RPC in an array; others are passed over.
    fn read_batch(&mut self, batch: &Array) -> Result<Vec<Value>, &'static str> {
        let mut messages = Vec::new();
        for item in batch.iter().filter(JsValue::is_object) {
            let object: &Object = item.unchecked_ref();
            if !member(object, JSONRPC)?.is_undefined() {
                messages.push(Value::Object(self.read_envelope(object)?.0));
            }
        }
        Ok(messages)
    }

    /// The members of a JSON-RPC message.
    fn read_envelope(&mut self, object: &Object) -> Result<(Map<String, Value>, Kind), &'static str> {
        let mut members = Map::new();
        let mut take = |name: &str| -> Result<bool, &'static str> {
            let value = member(object, name)?;
            let is_there = !value.is_undefined();
            if is_there {
                members.insert(name.to_owned(), self.read(&value, MAX_DEPTH)?);
            }
            Ok(is_there)
        };
        take(JSONRPC)?;
        take("id")?;
        let kind = if take("method")? {
            take("params")?;
            Kind::Request
        } else {
            take("result")?;
            take("error")?;
            Kind::Response
        };
        Ok((members, kind))
    }

    fn read(&mut self, value: &JsValue, depth: usize) -> Result<Value, &'static str> {
        let depth = depth.checked_sub(1).ok_or("it is nested too deeply")?;
        self.values_left = self.values_left.checked_sub(1).ok_or("it holds too many values")?;
        if let Some(text) = value.as_string() {
            Ok(Value::String(text))
        } else if value.is_null() || value.is_undefined() {
            Ok(Value::Null)
        } else if let Some(number) = value.as_f64() {
            Ok(read_number(number))
        } else if let Some(boolean) = value.as_bool() {
            Ok(Value::Bool(boolean))
        } else if let Some(array) = value.dyn_ref::<Array>() {
            array.iter().map(|item| self.read(&item, depth)).collect::<Result<_, _>>().map(Value::Array)
        } else if let Some(bytes) = value.dyn_ref::<Uint8Array>() {
            String::from_utf8(bytes.to_vec()).map(Value::String).map_err(|_| "it holds bytes that are no text")
        } else if value.is_object() {
            self.read_object(value.unchecked_ref(), depth).map(Value::Object)
        } else {
            Err("it holds something that is not JSON")
        }
    }

    fn read_object(&mut self, object: &Object, depth: usize) -> Result<Map<String, Value>, &'static str> {
        let mut members = Map::new();
        for key in Object::keys(object).iter() {
            let value = Reflect::get(object, &key).map_err(|_| UNREADABLE)?;
            // As JSON.stringify does, so that the same message is read from a port that carries JSON only.
            if !value.is_undefined() {
                members.insert(key.as_string().unwrap_or_default(), self.read(&value, depth)?);
            }
        }
        Ok(members)
    }
}

/// JavaScript has one kind of number; whole ones become integers, what JSON cannot say becomes null.
fn read_number(number: f64) -> Value {
    if number.fract() == 0.0 && number.abs() <= MAX_SAFE_INTEGER {
        // Whole and within the range of i64, so the cast is exact.
        Value::from(number as i64)
    } else {
        Number::from_f64(number).map_or(Value::Null, Value::Number)
    }
}

/// Makes plain objects of messages. Each string is copied once.
pub(super) struct Writer {
    /// Texts from this length on become bytes.
    bytes_from: usize,
    transfer: RefCell<Option<Array>>,
}

impl Writer {
    /// One that makes bytes of long texts, or not.
    pub(super) fn new(prefers_bytes: bool) -> Self {
        let bytes_from = if prefers_bytes { BYTES } else { usize::MAX };
        Writer { bytes_from, transfer: RefCell::new(None) }
    }

    pub(super) fn write(&self, value: &Value) -> JsValue {
        match value {
            Value::Null => JsValue::NULL,
            Value::Bool(boolean) => JsValue::from_bool(*boolean),
            Value::Number(number) => number.as_f64().map_or(JsValue::NULL, JsValue::from_f64),
            Value::String(text) if text.len() >= self.bytes_from => {
                let bytes = Uint8Array::from(text.as_bytes());
                if text.len() >= TRANSFERRED {
                    self.transfer(&bytes.buffer());
                }
                bytes.into()
            }
            Value::String(text) => to_js_string(text).into(),
            Value::Array(items) => items.iter().map(|item| self.write(item)).collect::<Array>().into(),
            Value::Object(members) => {
                let object = Object::new();
                for (key, value) in members {
                    let value = self.write(value);
                    with_word(key, |key| set_member(&object, key, &value));
                }
                object.into()
            }
        }
    }

    pub(super) fn transfer(&self, object: &JsValue) {
        self.transfer.borrow_mut().get_or_insert_default().push(object);
    }

    /// What is to be transferred with what was written.
    pub(super) fn into_transfer(self) -> Option<Array> {
        self.transfer.into_inner()
    }
}
