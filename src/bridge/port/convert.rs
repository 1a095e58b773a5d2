//! Between JavaScript values and JSON values.
//!
//! What costs here is not the copying but each step from wasm to JavaScript, and above all making a JavaScript string of a
//! short text; so the words that every message has are made once, and members that every message may have are asked for by
//! name instead of being listed.

use js_sys::{Array, JsString, Object, Reflect, Uint8Array};
use serde_json::{Map, Number, Value};
use wasm_bindgen::{JsCast as _, prelude::*};

use super::{
    spares::Spares,
    words::{to_js_string, with_word},
};
use crate::{
    bridge::{
        message::{JSONRPC, SIGNALS},
        methods,
        packet::{self, Packet},
    },
    runtime::objects,
};

/// Deepest nesting of a message. Structured clones may be cyclic, and the stack is not endless.
const MAX_DEPTH: usize = 64;

/// Most values in a message. Structured clones may share parts, which a JSON value would hold once for each mention.
const MAX_VALUES: usize = 100_000;

/// A body up to this length is joined to what follows it before both cross: to cross once more costs more than to copy it.
const JOINED: usize = 16 << 10;

const MAX_SAFE_INTEGER: f64 = 9_007_199_254_740_991.0;

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

}

/// What a message on a port is.
pub(super) enum Kind {
    /// A request, or a notification.
    Request,
    /// A packet of these.
    Packet,
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
    if let Some(bytes) = objects::as_bytes(value) {
        let message = packet::read(bytes.to_vec());
        return Ok(message.map_or((Value::Null, Kind::Foreign), |message| (message, Kind::Packet)));
    }
    if !value.is_object() {
        return Ok((Value::Null, Kind::Foreign));
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

/// A value of JavaScript as JSON; the reason if it is not, or too large.
pub(crate) fn json(value: &JsValue) -> Result<Value, &'static str> {
    Reader { values_left: MAX_VALUES }.read(value, MAX_DEPTH)
}

struct Reader {
    values_left: usize,
}

impl Reader {
    /// The messages of JSON-RPC in an array; others are passed over.
    fn read_batch(&mut self, batch: &Array) -> Result<Vec<Value>, &'static str> {
        let mut messages = Vec::new();
        for item in batch.iter() {
            if item.is_object()
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

/// Makes a plain object of a message, or an array of several. Each string is copied once.
pub(super) fn to_js(value: &Value) -> JsValue {
    match value {
        Value::Null => JsValue::NULL,
        Value::Bool(boolean) => JsValue::from_bool(*boolean),
        Value::Number(number) => number.as_f64().map_or(JsValue::NULL, JsValue::from_f64),
        Value::String(text) => to_js_string(text).into(),
        Value::Array(items) => items.iter().map(to_js).collect::<Array>().into(),
        Value::Object(members) => {
            let object = JsValue::from(Object::new());
            members.iter().for_each(|(key, value)| set(&object, key, &to_js(value)));
            object
        }
    }
}

/// Both pieces of a packet, in spare memory or an array of bytes of its own.
pub(super) fn packet_to_js(Packet { body, rest }: &Packet, spares: &Spares) -> Uint8Array {
    let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    let (middle, end) = (length(body), length(body).saturating_add(length(rest)));
    let packet = match spares.take(end) {
        Some(packet) => packet,
        None if body.len() <= JOINED => return Uint8Array::from(&[&body[..], rest].concat()[..]),
        None => Uint8Array::new_with_length(end),
    };
    packet.subarray(0, middle).copy_from(body);
    packet.subarray(middle, end).copy_from(rest);
    packet
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
