//! Messages as bytes: a `Uint8Array` crosses to another thread faster than objects or strings, and enters and leaves the memory
//! of the wasm without being looked at.
//!
//! A packet is frames, one for each message: its body, its head, and the lengths of head and body, four bytes each, little
//! endian. So it is read from its end, and a body that stands alone in a packet is never copied. The body is the long text of a
//! message; the head is the rest in lines: of a call of `sendRemoteMessage` or `remoteDeliver` its id, the method and the peer, of
//! an answer its id, with `result` in a second line where the body is the result, which is null otherwise. The head of any
//! other message is that message as JSON.

#![forbid(unsafe_code)]

use std::mem;

use serde_json::{Map, Value};

use super::{
    message::{object, request, response},
    methods,
    post_box::LIMIT,
};

/// The length of a length.
const LENGTH: usize = size_of::<u32>();

/// The second line of an answer whose result is the body.
const RESULT: &str = "result";

/// A packet in two pieces, of which the first may be long and is not copied.
#[derive(Debug, Default)]
pub(super) struct Packet {
    /// The first message's body.
    pub(super) body: Vec<u8>,
    /// What follows it.
    pub(super) rest: Vec<u8>,
}

impl Packet {
    fn add(&mut self, head: &str, body: Vec<u8>) {
        // No memory of a wasm holds more than a length can say.
        let lengths = [head.len(), body.len()].map(|length| u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
        if self.rest.is_empty() {
            self.body = body;
        } else {
            self.rest.extend(body);
        }
        self.rest.extend(head.as_bytes());
        self.rest.extend(lengths.as_flattened());
    }
}

/// The packet of a message, or of those in an array. A message that is alone, and that only JSON could say, is given back.
pub(super) fn write(message: Value) -> Result<Packet, Value> {
    let mut packet = Packet::default();
    match message {
        Value::Array(messages) if !messages.is_empty() => {
            for mut message in messages {
                match head_of(&message) {
                    Some(head) => packet.add(&head, take_body(&mut message)),
                    None => packet.add(&message.to_string(), Vec::new()),
                }
            }
        }
        mut message => match head_of(&message) {
            Some(head) => packet.add(&head, take_body(&mut message)),
            None => return Err(message),
        },
    }
    Ok(packet)
}

/// The message of a packet, or an array of its messages; None if it is no packet.
pub(super) fn read(mut packet: Vec<u8>) -> Option<Value> {
    let mut messages = Vec::new();
    while !packet.is_empty() && messages.len() < LIMIT {
        let [body_length, head_length] = [take_length(&mut packet)?, take_length(&mut packet)?];
        let head = take_text(&mut packet, head_length)?;
        let body = take_text(&mut packet, body_length)?;
        messages.push(message_of(&head, body)?);
    }
    if messages.len() == 1 {
        return messages.pop();
    }
    messages.reverse();
    (packet.is_empty() && !messages.is_empty()).then_some(Value::Array(messages))
}

fn head_of(message: &Value) -> Option<String> {
    let Value::Object(members) = message else { return None };
    let id = line(members, "id")?;
    let Some(method) = members.get("method").and_then(Value::as_str) else {
        return match members.get(RESULT)? {
            Value::Null => Some(id.to_owned()),
            Value::String(_) => Some([id, "\n", RESULT].concat()),
            _ => None,
        };
    };
    let Some(Value::Object(params)) = members.get("params") else { return None };
    let peer = line(params, peer_of(method)?)?;
    let is_all = params.len() == 2 && params.get("message").is_some_and(Value::is_string);
    is_all.then(|| [id, "\n", method, "\n", peer].concat())
}

/// The text of a message that has a head.
fn take_body(message: &mut Value) -> Vec<u8> {
    let body = match message.pointer_mut("/params/message") {
        None => message.get_mut(RESULT),
        body => body,
    };
    match body.map(Value::take) {
        Some(Value::String(text)) => text.into_bytes(),
        _ => Vec::new(),
    }
}

fn message_of(head: &str, body: String) -> Option<Value> {
    if head.starts_with('{') {
        return serde_json::from_str(head).ok().filter(|_| body.is_empty());
    }
    let Some((id, rest)) = head.split_once('\n') else {
        return body.is_empty().then(|| response(head.into(), Ok(Value::Null)));
    };
    if rest == RESULT {
        return Some(response(id.into(), Ok(body.into())));
    }
    let (method, peer) = rest.split_once('\n')?;
    let params = object([(peer_of(method)?, peer.into()), ("message", body.into())]);
    Some(request(id, method, params))
}

/// The member that names the peer in the params of a method whose calls have a head.
fn peer_of(method: &str) -> Option<&'static str> {
    match method {
        methods::SEND_REMOTE_MESSAGE => Some("to"),
        methods::REMOTE_DELIVER => Some("from"),
        _ => None,
    }
}

/// A text that can be a line of a head, and the first.
fn line<'m>(members: &'m Map<String, Value>, name: &str) -> Option<&'m str> {
    members.get(name)?.as_str().filter(|text| !text.contains('\n') && !text.starts_with('{'))
}

/// Takes the last bytes off.
fn take(packet: &mut Vec<u8>, length: usize) -> Option<Vec<u8>> {
    match packet.len().checked_sub(length)? {
        0 => Some(mem::take(packet)),
        start => Some(packet.split_off(start)),
    }
}

fn take_text(packet: &mut Vec<u8>, length: usize) -> Option<String> {
    String::from_utf8(take(packet, length)?).ok()
}

fn take_length(packet: &mut Vec<u8>) -> Option<usize> {
    let (rest, length) = packet.split_last_chunk::<LENGTH>()?;
    let (rest, length) = (rest.len(), u32::from_le_bytes(*length));
    packet.truncate(rest);
    usize::try_from(length).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn call(method: &str, params: Value) -> Value {
        request("m12", method, params)
    }

    fn bytes(Packet { mut body, rest }: Packet) -> Vec<u8> {
        body.extend(rest);
        body
    }

    #[test]
    fn what_is_posted_most_has_a_packet_and_is_read_from_it() {
        for (message, packet) in [
            (
                call(methods::SEND_REMOTE_MESSAGE, json!({ "to": "12D3", "message": "{\"a\":\n1}" })),
                &b"{\"a\":\n1}m12\nsendRemoteMessage\n12D3\x1a\0\0\0\x08\0\0\0"[..],
            ),
            (
                call(methods::REMOTE_DELIVER, json!({ "from": "12D3", "message": "" })),
                b"m12\nremoteDeliver\n12D3\x16\0\0\0\0\0\0\0",
            ),
            (response("n7".into(), Ok(Value::Null)), b"n7\x02\0\0\0\0\0\0\0"),
            (response("n7".into(), Ok("yes".into())), b"yesn7\nresult\x09\0\0\0\x03\0\0\0"),
        ] {
            assert_eq!(bytes(write(message.clone()).unwrap()), packet);
            assert_eq!(read(packet.to_vec()), Some(message));
        }
    }

    #[test]
    fn others_are_posted_as_they_are() {
        for message in [
            json!({ "@@Syn": true }),
            json!([]),
            call(methods::CLOSE_CONNECTION, json!({ "peerId": "12D3" })),
            call(methods::SEND_REMOTE_MESSAGE, json!({ "to": "12D3" })),
            call(methods::SEND_REMOTE_MESSAGE, json!({ "to": "12\nD3", "message": "x" })),
            call(methods::SEND_REMOTE_MESSAGE, json!({ "to": "12D3", "message": "x", "more": 1 })),
            call(methods::SEND_REMOTE_MESSAGE, json!(["12D3", "x"])),
            request("{m1", methods::REMOTE_DELIVER, json!({ "from": "12D3", "message": "x" })),
            response("m1".into(), Ok(json!(true))),
            response(json!(1), Ok(Value::Null)),
            json!({ "jsonrpc": "2.0", "id": "m1", "error": { "code": 1, "message": "no" } }),
        ] {
            assert_eq!(write(message.clone()).unwrap_err(), message);
        }
    }

    #[test]
    fn a_long_text_is_not_copied_on_either_side() {
        let long = "x".repeat(1 << 20);
        let place = long.as_ptr();
        let packet = write(call(methods::REMOTE_DELIVER, object([("from", "12D3".into()), ("message", long.into())])));
        let packet = packet.unwrap();
        assert_eq!(packet.body.as_ptr(), place);

        let packet = bytes(packet);
        let place = packet.as_ptr();
        let message = read(packet).unwrap();
        assert_eq!(message.pointer("/params/message").and_then(Value::as_str).unwrap().as_ptr(), place);
    }

    #[test]
    fn what_is_no_packet_is_no_message() {
        let frame = |head: &str, body: &str| {
            let lengths = [head.len() as u32, body.len() as u32].map(u32::to_le_bytes);
            [body.as_bytes(), head.as_bytes(), lengths.as_flattened()].concat()
        };
        let good = frame("m1\nremoteDeliver\n12D3", "x");
        assert!(read(good.clone()).is_some());
        for bad in [
            Vec::new(),
            b"some bytes of somebody else".to_vec(),
            good[1..].to_vec(),
            [b"?", &good[..]].concat(),
            [&good[..], &[0; 7]].concat(),
            frame("m1\nlaunch\nv1", "x"),
            frame("m1\nsendRemoteMessage", "x"),
            frame("m1", "x"),
            frame("{}", "x"),
            frame("{", ""),
            [&good[..], &[0xff; 8]].concat(),
            [b"\xff", &frame("m1\nresult", "")[..10], &[1, 0, 0, 0]].concat(),
            good.repeat(LIMIT + 1),
        ] {
            assert_eq!(read(bad.clone()), None, "{bad:?}");
        }
        assert!(read(good.repeat(LIMIT)).is_some());
    }

    fn messages() -> impl Strategy<Value = Value> {
        const TEXT: &str = "(?s).{0,20}";
        (TEXT, TEXT, TEXT, 0..7).prop_map(|(id, peer, text, kind)| match kind {
            0 => request(&id, methods::SEND_REMOTE_MESSAGE, json!({ "to": peer, "message": text })),
            1 => request(&id, methods::REMOTE_DELIVER, json!({ "from": peer, "message": text })),
            2 => request(&id, methods::REMOTE_DELIVER, json!({ "from": text })),
            3 => response(id.into(), Ok(Value::Null)),
            4 => response(id.into(), Ok(text.into())),
            5 => response(id.into(), Ok(json!({ "some": text }))),
            _ => json!({ "jsonrpc": "2.0", "id": id, "error": { "code": 1, "message": text } }),
        })
    }

    proptest! {
        #[test]
        fn any_messages_are_read_as_they_were_written(messages in proptest::collection::vec(messages(), 1..LIMIT)) {
            let message = match &messages[..] {
                [alone] => alone.clone(),
                _ => Value::Array(messages),
            };
            match write(message.clone()) {
                Ok(packet) => prop_assert_eq!(read(bytes(packet)), Some(message)),
                Err(refused) => prop_assert_eq!(refused, message),
            }
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            read(bytes);
        }
    }
}
