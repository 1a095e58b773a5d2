//! The messages on the port: the opening's signals and JSON-RPC 2.0, as JSON values. Nothing here keeps state.

#![forbid(unsafe_code)]

use serde_json::{Map, Value, json};

use super::{BridgeError, error::RpcError};
use crate::wire::RemoteError;

const SYN: &str = "@@Syn";
const ACK: &str = "@@Ack";
const STREAM_DONE: &str = "@@StreamDone";
const STREAM_ERROR: &str = "@@StreamError";
/// The member that JSON-RPC is known by.
pub(super) const JSONRPC: &str = "jsonrpc";
const VERSION: &str = "2.0";

/// A signal has one of these members. A port may look for them before it converts the whole message.
#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
pub(super) const SIGNALS: [&str; 4] = [SYN, ACK, STREAM_DONE, STREAM_ERROR];

/// What else stands in every message of JSON-RPC.
#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
pub(super) const MEMBERS: [&str; 6] = [VERSION, "id", "method", "params", "result", "error"];

/// What came in, before it is known whether it fits the state of the bridge.
#[derive(Debug, PartialEq)]
pub(super) enum Incoming {
    Syn,
    Ack,
    StreamDone,
    StreamError(String),
    /// A request, or a notification if it has no id.
    Request {
        id: Option<Value>,
        method: String,
        params: Value,
    },
    Response {
        id: String,
        outcome: Result<Value, RemoteError>,
    },
    /// JSON-RPC, but malformed; with the id to answer to, if it has one.
    Malformed {
        id: Option<Value>,
        reason: &'static str,
    },
    /// Several at once, which only ends that said so are sent.
    Batch(Vec<Value>),
    /// Somebody else's.
    Foreign,
}

impl Incoming {
    /// Takes a message apart without copying its strings.
    pub(super) fn parse(message: Value) -> Self {
        let mut members = match message {
            Value::Object(members) => members,
            Value::Array(messages) => return Incoming::Batch(messages),
            _ => return Incoming::Foreign,
        };
        match members.get(JSONRPC) {
            Some(version) if version == VERSION => {}
            Some(_) => return Incoming::Foreign,
            None => return Self::parse_signal(&members),
        }
        match members.remove("method") {
            Some(method) => Self::parse_request(method, members),
            None => Self::parse_response(members),
        }
    }

    fn parse_signal(members: &Map<String, Value>) -> Self {
        let has = |key: &str| members.get(key) == Some(&Value::Bool(true));
        if has(SYN) {
            Incoming::Syn
        } else if has(ACK) {
            Incoming::Ack
        } else if has(STREAM_DONE) {
            Incoming::StreamDone
        } else if has(STREAM_ERROR) {
            let error = members.get("error").unwrap_or(&Value::Null);
            let reason = error.get("message").unwrap_or(error).as_str().unwrap_or("no reason given");
            Incoming::StreamError(reason.to_owned())
        } else {
            Incoming::Foreign
        }
    }

    fn parse_request(method: Value, mut members: Map<String, Value>) -> Self {
        let id = match members.remove("id") {
            id @ (None | Some(Value::String(_) | Value::Number(_) | Value::Null)) => id,
            Some(_) => return Incoming::Malformed { id: None, reason: "an id is a string, a number or null" },
        };
        match method {
            Value::String(method) => {
                Incoming::Request { id, method, params: members.remove("params").unwrap_or(Value::Null) }
            }
            _ => Incoming::Malformed { id, reason: "a method is a string" },
        }
    }

    fn parse_response(mut members: Map<String, Value>) -> Self {
        let Some(Value::String(id)) = members.remove("id") else {
            return Incoming::Malformed { id: None, reason: "neither a request nor an answer to one of ours" };
        };
        let outcome = match (members.remove("result"), members.remove("error")) {
            (Some(result), None) => Ok(result),
            (None, Some(error)) => Err(RpcError::read(&error)),
            _ => {
                Err(BridgeError::UnexpectedResult { method: "a request", expected: "either a result or an error" }
                    .into())
            }
        };
        Incoming::Response { id, outcome }
    }
}

pub(super) fn syn() -> Value {
    json!({ SYN: true })
}

pub(super) fn ack() -> Value {
    json!({ ACK: true })
}

pub(super) fn stream_done() -> Value {
    json!({ STREAM_DONE: true })
}

pub(super) fn request(id: &str, method: &str, params: Value) -> Value {
    object([(JSONRPC, VERSION.into()), ("id", id.into()), ("method", method.into()), ("params", params)])
}

pub(super) fn notification(method: &str, params: Value) -> Value {
    object([(JSONRPC, VERSION.into()), ("method", method.into()), ("params", params)])
}

pub(super) fn response(id: Value, outcome: Result<Value, RpcError>) -> Value {
    let outcome = match outcome {
        Ok(result) => ("result", result),
        Err(error) => ("error", error.into_value()),
    };
    object([(JSONRPC, VERSION.into()), ("id", id), outcome])
}

/// An object of these members. Unlike `json!` it moves the values: a message may be a megabyte long.
pub(super) fn object<const N: usize>(members: [(&str, Value); N]) -> Value {
    Value::Object(members.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_are_known_by_their_member() {
        assert_eq!(Incoming::parse(syn()), Incoming::Syn);
        assert_eq!(Incoming::parse(ack()), Incoming::Ack);
        assert_eq!(Incoming::parse(stream_done()), Incoming::StreamDone);
        let error = json!({ "@@StreamError": true, "error": { "message": "boom" } });
        assert_eq!(Incoming::parse(error), Incoming::StreamError("boom".into()));
        assert_eq!(Incoming::parse(json!({ "@@StreamError": true })), Incoming::StreamError("no reason given".into()));
    }

    #[test]
    fn messages_of_others_are_told_from_malformed_ones_of_ours() {
        for foreign in [
            json!(null),
            json!(1),
            json!("@@Syn"),
            json!({}),
            json!({ "@@Syn": false }),
            json!({ "type": "webpackHotUpdate" }),
            json!({ "jsonrpc": "1.0", "id": "m1", "result": null }),
        ] {
            assert_eq!(Incoming::parse(foreign.clone()), Incoming::Foreign, "{foreign}");
        }
        for (malformed, answer_to) in [
            (json!({ "jsonrpc": "2.0" }), None),
            (json!({ "jsonrpc": "2.0", "result": 1 }), None),
            (json!({ "jsonrpc": "2.0", "id": null, "error": {} }), None),
            (json!({ "jsonrpc": "2.0", "id": {}, "method": "launch" }), None),
            (json!({ "jsonrpc": "2.0", "id": "m1", "method": 5 }), Some(json!("m1"))),
        ] {
            match Incoming::parse(malformed.clone()) {
                Incoming::Malformed { id, .. } => assert_eq!(id, answer_to, "{malformed}"),
                other => panic!("{malformed} was taken for {other:?}"),
            }
        }
    }

    #[test]
    fn an_answer_with_both_or_neither_outcome_is_an_error_of_its_call() {
        for answer in [
            json!({ "jsonrpc": "2.0", "id": "m1" }),
            json!({ "jsonrpc": "2.0", "id": "m1", "result": null, "error": { "code": 1, "message": "x" } }),
        ] {
            let Incoming::Response { id, outcome } = Incoming::parse(answer) else { panic!("not a response") };
            assert_eq!((id.as_str(), outcome.unwrap_err().name()), ("m1", "BridgeResultError"));
        }
    }
}
