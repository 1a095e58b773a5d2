//! Between JavaScript values and JSON values.
//!
//! What costs here is not the copying but each step from wasm to JavaScript, and above all making a JavaScript string of a
//! short text; so the words that every message has are made once, and members that every message may have are asked for by
//! name instead of being listed.

use std::{cell::RefCell, ops::RangeInclusive};

use js_sys::{Array, JsString, Object, Reflect, Uint8Array};
use serde_json::{Map, Number, Value};
use wasm_bindgen::{JsCast as _, prelude::*};

use super::words::{to_js_string, with_word};
use crate::bridge::{
    message::{JSONRPC, SIGNALS},
    methods, short,
};

/// Deepest nesting of a message. Structured clones may be cyclic, and the stack is not endless.
const MAX_DEPTH: usize = 64;

/// Most values in a message. Structured clones may share parts, which a JSON value would hold once for each mention.
const MAX_VALUES: usize = 100_000;

const MAX_SAFE_INTEGER: f64 = 9_007_199_254_740_991.0;

/// Strings of these lengths are read by an encoder, which costs something to call but little for each character.
const ENCODED: RangeInclusive<u32> = 128..=9 << 10;

/// Bytes of UTF-8 that a UTF-16 code unit may take.
const BYTES_PER_UNIT: u32 = 3;

// Members by name, which cost less than `Reflect` with a key. None of these calls can fail: what comes from another context
// or from JSON is data, and what is written to was made here.
#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = Reflect, js_name = set)]
    fn set_member(object: &JsValue, key: &JsString, value: &JsValue) -> bool;

    type Members;
    #[wasm_bindgen(method, getter, structural)]
    fn jsonrpc(this: &Members) -> JsValue;
    #[wasm_bindgen(method, getter, structural)]
    fn id(this: &Members) -> JsValue;
    #[wasm_bindgen(method, getter, structural)]
    fn method(this: &Members) -> JsValue;
    #[wasm_bindgen(method, getter, structural)]
    fn params(this: &Members) -> JsValue;
    #[wasm_bindgen(method, getter, structural)]
    fn result(this: &Members) -> JsValue;
    #[wasm_bindgen(method, getter, structural)]
    fn error(this: &Members) -> JsValue;
    #[wasm_bindgen(method, getter, structural)]
    fn to(this: &Members) -> JsValue;
    #[wasm_bindgen(method, getter, structural)]
    fn from(this: &Members) -> JsValue;
    #[wasm_bindgen(method, getter, structural)]
    fn message(this: &Members) -> JsValue;

    #[wasm_bindgen(method, setter, structural)]
    fn set_jsonrpc(this: &Members, value: &JsValue);
    #[wasm_bindgen(method, setter, structural)]
    fn set_id(this: &Members, value: &JsValue);
    #[wasm_bindgen(method, setter, structural)]
    fn set_method(this: &Members, value: &JsValue);
    #[wasm_bindgen(method, setter, structural)]
    fn set_params(this: &Members, value: &JsValue);
    #[wasm_bindgen(method, setter, structural)]
    fn set_result(this: &Members, value: &JsValue);
    #[wasm_bindgen(method, setter, structural)]
    fn set_to(this: &Members, value: &JsValue);
    #[wasm_bindgen(method, setter, structural)]
    fn set_from(this: &Members, value: &JsValue);
    #[wasm_bindgen(method, setter, structural)]
    fn set_message(this: &Members, value: &JsValue);

    type TextEncoder;
    #[wasm_bindgen(constructor)]
    fn new() -> TextEncoder;
    #[wasm_bindgen(method, js_name = encodeInto)]
    fn encode_into(this: &TextEncoder, text: &JsString, bytes: &Uint8Array) -> Encoded;

    type Encoded;
    #[wasm_bindgen(method, getter, structural)]
    fn written(this: &Encoded) -> u32;
}

thread_local! {
    /// An encoder, and what it writes to.
    static ENCODER: (TextEncoder, Uint8Array) =
        (TextEncoder::new(), Uint8Array::new_with_length(ENCODED.end() * BYTES_PER_UNIT));
}

/// What a message on a port is.
pub(super) enum Kind {
    /// A request, or a notification.
    Request,
    /// A short text of one of these.
    Short,
    /// An answer, which may come with a port.
    Response,
    /// Several messages.
    Batch,
    /// One of the opening's signals.
    Signal,
    /// Not the bridge's: it is not converted at all.
    Foreign,
}

/// Reads a message; the reason if it is not JSON, or too large. Each string is copied once, those of a short text once more.
pub(super) fn from_js(value: &JsValue) -> Result<(Value, Kind), &'static str> {
    if !value.is_object() {
        let message = read_text(value).and_then(|text| short::read(&text));
        return Ok(message.map_or((Value::Null, Kind::Foreign), |message| (message, Kind::Short)));
    }
    let mut reader = Reader { values_left: MAX_VALUES };
    if let Some((members, kind)) = reader.read_envelope(value)? {
        return Ok((Value::Object(members), kind));
    }
    if let Some(batch) = value.dyn_ref::<Array>() {
        return Ok((Value::Array(reader.read_batch(batch)?), Kind::Batch));
    }
    let object: &Object = value.unchecked_ref();
    for signal in SIGNALS {
        if with_word(signal, |signal| Reflect::has(object, signal)).unwrap_or(false) {
            return Ok((Value::Object(reader.read_object(object, MAX_DEPTH)?), Kind::Signal));
        }
    }
    Ok((Value::Null, Kind::Foreign))
}

/// The members of a message, and what it is.
type Envelope = (Map<String, Value>, Kind);

/// The text of a JavaScript string.
fn read_text(value: &JsValue) -> Option<String> {
    let text = value.dyn_ref::<JsString>()?;
    if !ENCODED.contains(&text.length()) {
        return value.as_string();
    }
    let bytes = ENCODER.with(|(encoder, bytes)| bytes.subarray(0, encoder.encode_into(text, bytes).written()).to_vec());
    String::from_utf8(bytes).ok()
}

struct Reader {
    values_left: usize,
}

impl Reader {
    /// The messages of JSON-RPC in an array; others are passed over.
    fn read_batch(&mut self, batch: &Array) -> Result<Vec<Value>, &'static str> {
        let mut messages = Vec::new();
        for item in batch.iter() {
            if let Some(text) = read_text(&item) {
                messages.extend(short::read(&text));
            } else if item.is_object()
                && let Some((members, _)) = self.read_envelope(&item)?
            {
                messages.push(Value::Object(members));
            }
        }
        Ok(messages)
    }

    /// The members of a message, if it is JSON-RPC.
    fn read_envelope(&mut self, message: &JsValue) -> Result<Option<Envelope>, &'static str> {
        let message: &Members = message.unchecked_ref();
        let version = message.jsonrpc();
        if version.is_undefined() {
            return Ok(None);
        }
        let mut members = Map::new();
        self.take(&mut members, JSONRPC, &version)?;
        self.take(&mut members, "id", &message.id())?;
        let kind = match self.take(&mut members, "method", &message.method())? {
            Some(method) => {
                let (method, params) = (method.as_str().unwrap_or_default(), message.params());
                let params = self.read_params(method, &params)?;
                members.insert("params".to_owned(), params);
                Kind::Request
            }
            None => {
                self.take(&mut members, "result", &message.result())?;
                self.take(&mut members, "error", &message.error())?;
                Kind::Response
            }
        };
        Ok(Some((members, kind)))
    }

    /// The params of a message; of the methods that are called most, only what they read.
    fn read_params(&mut self, method: &str, params: &JsValue) -> Result<Value, &'static str> {
        let peer: (&str, fn(&Members) -> JsValue) = match method {
            methods::SEND_REMOTE_MESSAGE => ("to", Members::to),
            methods::REMOTE_DELIVER => ("from", Members::from),
            _ => return self.read(params, MAX_DEPTH),
        };
        if !params.is_object() || Array::is_array(params) {
            return self.read(params, MAX_DEPTH);
        }
        let params: &Members = params.unchecked_ref();
        let mut members = Map::new();
        self.take(&mut members, peer.0, &peer.1(params))?;
        self.take(&mut members, "message", &params.message())?;
        Ok(Value::Object(members))
    }

    /// Reads a member unless it is undefined: as JSON.stringify does, so that the same message is read from a port that carries
    /// JSON only.
    fn take<'m>(
        &mut self,
        members: &'m mut Map<String, Value>,
        name: &str,
        value: &JsValue,
    ) -> Result<Option<&'m Value>, &'static str> {
        if value.is_undefined() {
            return Ok(None);
        }
        let value = self.read(value, MAX_DEPTH)?;
        Ok(Some(members.entry(name).or_insert(value)))
    }

    fn read(&mut self, value: &JsValue, depth: usize) -> Result<Value, &'static str> {
        let depth = depth.checked_sub(1).ok_or("it is nested too deeply")?;
        self.values_left = self.values_left.checked_sub(1).ok_or("it holds too many values")?;
        if let Some(text) = read_text(value) {
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
            let value = Reflect::get(object, &key).map_err(|_| "it has a member that cannot be read")?;
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
    prefers_texts: bool,
    transfer: RefCell<Option<Array>>,
}

impl Writer {
    /// One that makes bytes of long texts and short texts of messages, or not.
    pub(super) fn new(prefers_bytes: bool, prefers_texts: bool) -> Self {
        let bytes_from = if prefers_bytes { short::LIMIT } else { usize::MAX };
        Writer { bytes_from, prefers_texts, transfer: RefCell::new(None) }
    }

    /// A message, or several.
    pub(super) fn write_message(&self, message: &Value) -> JsValue {
        match message {
            Value::Array(messages) => {
                messages.iter().map(|message| self.write_message(message)).collect::<Array>().into()
            }
            message if self.prefers_texts => {
                short::write(message).map_or_else(|| self.write(message), |text| JsValue::from_str(&text))
            }
            message => self.write(message),
        }
    }

    fn write(&self, value: &Value) -> JsValue {
        match value {
            Value::Null => JsValue::NULL,
            Value::Bool(boolean) => JsValue::from_bool(*boolean),
            Value::Number(number) => number.as_f64().map_or(JsValue::NULL, JsValue::from_f64),
            Value::String(text) if text.len() >= self.bytes_from => {
                let bytes = Uint8Array::from(text.as_bytes());
                self.transfer(&bytes.buffer());
                bytes.into()
            }
            Value::String(text) => to_js_string(text).into(),
            Value::Array(items) => items.iter().map(|item| self.write(item)).collect::<Array>().into(),
            Value::Object(members) => {
                let object = JsValue::from(Object::new());
                members.iter().for_each(|(key, value)| set(&object, key, &self.write(value)));
                object
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

fn set(object: &JsValue, key: &str, value: &JsValue) {
    let members: &Members = object.unchecked_ref();
    match key {
        JSONRPC => members.set_jsonrpc(value),
        "id" => members.set_id(value),
        "method" => members.set_method(value),
        "params" => members.set_params(value),
        "result" => members.set_result(value),
        "to" => members.set_to(value),
        "from" => members.set_from(value),
        "message" => members.set_message(value),
        _ => {
            with_word(key, |key| set_member(object, key, value));
        }
    }
}
