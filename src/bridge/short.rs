//! The messages that are posted most as short texts: one string crosses to another thread faster than an object of some.
//!
//! A call of `sendRemoteMessage` or `remoteDeliver` is its id, the method, the peer and the message, each but the last ended by
//! a line feed; the answer null is the id, ended by a line feed. Nothing is quoted.

#![forbid(unsafe_code)]

use serde_json::{Map, Value};

use super::{
    message::{object, request, response},
    methods,
};

/// Messages from this length on are not short; as bytes they can be transferred.
pub(super) const LIMIT: usize = 8 << 10;

/// The short text of a message, if it has one.
pub(super) fn write(message: &Value) -> Option<String> {
    let Value::Object(members) = message else { return None };
    let id = line(members, "id")?;
    let Some(method) = members.get("method").and_then(Value::as_str) else {
        return members.get("result").is_some_and(Value::is_null).then(|| [id, "\n"].concat());
    };
    let Some(Value::Object(params)) = members.get("params") else { return None };
    let peer = line(params, peer_of(method)?)?;
    let message = params.get("message").and_then(Value::as_str).filter(|message| message.len() < LIMIT)?;
    let is_all = params.len() == 2;
    is_all.then(|| [id, "\n", method, "\n", peer, "\n", message].concat())
}

/// The message that has this short text, if any has.
pub(super) fn read(text: &str) -> Option<Value> {
    let (id, rest) = text.split_once('\n')?;
    if rest.is_empty() {
        return Some(response(id.into(), Ok(Value::Null)));
    }
    let (method, rest) = rest.split_once('\n')?;
    let (peer, message) = rest.split_once('\n')?;
    let params = object([(peer_of(method)?, peer.into()), ("message", message.into())]);
    Some(request(id, method, params))
}

/// The member that names the peer in the params of a method whose calls have a short text.
fn peer_of(method: &str) -> Option<&'static str> {
    match method {
        methods::SEND_REMOTE_MESSAGE => Some("to"),
        methods::REMOTE_DELIVER => Some("from"),
        _ => None,
    }
}

fn line<'m>(members: &'m Map<String, Value>, name: &str) -> Option<&'m str> {
    members.get(name)?.as_str().filter(|text| !text.contains('\n'))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn call(method: &str, params: Value) -> Value {
        request("m12", method, params)
    }

    #[test]
    fn what_has_a_short_text_is_read_from_it() {
        for (message, text) in [
            (
                call(methods::SEND_REMOTE_MESSAGE, json!({ "to": "12D3", "message": "{\"a\":\n1}" })),
                "m12\nsendRemoteMessage\n12D3\n{\"a\":\n1}",
            ),
            (call(methods::REMOTE_DELIVER, json!({ "from": "12D3", "message": "" })), "m12\nremoteDeliver\n12D3\n"),
            (response("n7".into(), Ok(Value::Null)), "n7\n"),
        ] {
            assert_eq!(write(&message).as_deref(), Some(text));
            assert_eq!(read(text), Some(message));
        }
    }

    #[test]
    fn other_messages_have_none() {
        let long = "x".repeat(LIMIT);
        for message in [
            json!({ "@@Syn": true }),
            json!([]),
            call(methods::CLOSE_CONNECTION, json!({ "peerId": "12D3" })),
            call(methods::SEND_REMOTE_MESSAGE, json!({ "to": "12D3" })),
            call(methods::SEND_REMOTE_MESSAGE, json!({ "to": "12\nD3", "message": "x" })),
            call(methods::SEND_REMOTE_MESSAGE, json!({ "to": "12D3", "message": "x", "more": 1 })),
            call(methods::SEND_REMOTE_MESSAGE, json!({ "to": "12D3", "message": long })),
            call(methods::SEND_REMOTE_MESSAGE, json!(["12D3", "x"])),
            response("m1".into(), Ok(json!("something"))),
            response(json!(1), Ok(Value::Null)),
            json!({ "jsonrpc": "2.0", "id": "m1", "error": { "code": 1, "message": "no" } }),
        ] {
            assert_eq!(write(&message), None, "{message}");
        }
    }

    #[test]
    fn texts_of_others_are_no_messages() {
        for text in ["", "ping", "{}", "a\nb", "a\nlaunch\nc\nd", "m1\nsendRemoteMessage\n12D3"] {
            assert_eq!(read(text), None, "{text:?}");
        }
    }
}
