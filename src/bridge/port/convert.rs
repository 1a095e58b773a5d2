//! Between JavaScript values and JSON values.

use js_sys::{Array, JsString, Object, Reflect};
use serde_json::{Map, Number, Value};
use wasm_bindgen::{JsCast as _, JsValue};

/// Deepest nesting of a message. Structured clones may be cyclic, and the stack is not endless.
const MAX_DEPTH: usize = 64;

/// Most values in a message. Structured clones may share parts, which a JSON value would hold once for each mention.
const MAX_VALUES: usize = 100_000;

const MAX_SAFE_INTEGER: f64 = 9_007_199_254_740_991.0;

/// Reads a message; the reason if it is not JSON, or too large. Each string is copied once.
pub(super) fn from_js(value: &JsValue) -> Result<Value, &'static str> {
    Reader { values_left: MAX_VALUES }.read(value, MAX_DEPTH)
}

struct Reader {
    values_left: usize,
}

impl Reader {
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

/// Makes a plain object of a message. Each string is copied once.
pub(super) fn to_js(value: &Value) -> JsValue {
    match value {
        Value::Null => JsValue::NULL,
        Value::Bool(boolean) => JsValue::from_bool(*boolean),
        Value::Number(number) => number.as_f64().map_or(JsValue::NULL, JsValue::from_f64),
        Value::String(text) => JsValue::from_str(text),
        Value::Array(items) => items.iter().map(to_js).collect::<Array>().into(),
        Value::Object(members) => {
            let object = Object::new();
            for (key, value) in members {
                // Cannot fail on an object that was just made.
                let _ = Reflect::set(&object, &JsString::from(key.as_str()), &to_js(value));
            }
            object.into()
        }
    }
}
