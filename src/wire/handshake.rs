//! The first message on every channel, in each direction (protocol §3).

use serde::Deserialize;
use serde_json::{Value, json};

use super::{IncarnationId, WireError};

/// A handshake message. Members of `params` that are not listed here are ignored, so that either side may extend it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Handshake {
    /// What the initiator writes first: `{"method":"handshake",…}`.
    Hello(IncarnationId),
    /// What the responder answers: `{"method":"handshakeAck",…}`.
    Ack(IncarnationId),
}

impl Handshake {
    const HELLO: &'static str = "handshake";
    const ACK: &'static str = "handshakeAck";

    /// The JSON text.
    pub fn encode(&self) -> String {
        let (method, id) = match self {
            Handshake::Hello(id) => (Self::HELLO, id),
            Handshake::Ack(id) => (Self::ACK, id),
        };
        json!({ "method": method, "params": { "incarnationId": id.as_str() } }).to_string()
    }

    /// Reads the hello that a responder waits for.
    ///
    /// # Errors
    /// Anything but a well-formed hello: the handshake has failed and the channel is to be closed.
    pub fn parse_hello(text: &str) -> Result<IncarnationId, WireError> {
        parse(text, Self::HELLO)
    }

    /// Reads the acknowledgement that an initiator waits for.
    ///
    /// # Errors
    /// Anything but a well-formed acknowledgement: the handshake has failed and the channel is to be closed.
    pub fn parse_ack(text: &str) -> Result<IncarnationId, WireError> {
        parse(text, Self::ACK)
    }
}

#[derive(Deserialize)]
struct Raw {
    method: Option<Value>,
    params: Option<Value>,
}

fn parse(text: &str, expected: &'static str) -> Result<IncarnationId, WireError> {
    let raw: Raw = serde_json::from_str(text).map_err(|error| WireError::malformed(&error))?;
    let got = raw.method.as_ref().and_then(Value::as_str).unwrap_or("no method");
    if got != expected {
        return Err(WireError::UnexpectedHandshake { expected, got: got.chars().take(64).collect() });
    }
    raw.params
        .as_ref()
        .and_then(|params| params.get("incarnationId"))
        .and_then(Value::as_str)
        .ok_or(WireError::BadIncarnation)?
        .parse()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id() -> IncarnationId {
        "0b9f6f0e-9c0f-4a52-8a7e-1f1f1f1f1f1f".parse().unwrap()
    }

    #[test]
    fn the_texts_are_the_incumbents() {
        assert_eq!(
            Handshake::Hello(id()).encode(),
            r#"{"method":"handshake","params":{"incarnationId":"0b9f6f0e-9c0f-4a52-8a7e-1f1f1f1f1f1f"}}"#
        );
        assert_eq!(
            Handshake::Ack(id()).encode(),
            r#"{"method":"handshakeAck","params":{"incarnationId":"0b9f6f0e-9c0f-4a52-8a7e-1f1f1f1f1f1f"}}"#
        );
    }

    #[test]
    fn unknown_members_are_ignored() {
        let text = r#"{"jsonrpc":"2.0","method":"handshake","params":{"incarnationId":"a","resume":{"received":3}}}"#;
        assert_eq!(Handshake::parse_hello(text), Ok("a".parse().unwrap()));
    }

    #[test]
    fn the_wrong_method_is_named_in_the_error() {
        let ack = Handshake::Ack(id()).encode();
        let error = WireError::UnexpectedHandshake { expected: "handshake", got: "handshakeAck".into() };
        assert_eq!(Handshake::parse_hello(&ack), Err(error));
        let deliver = r#"{"seq":1,"method":"deliver","params":["bringOutYourDead"]}"#;
        assert!(matches!(Handshake::parse_ack(deliver), Err(WireError::UnexpectedHandshake { .. })));
    }

    #[test]
    fn garbage_is_an_error() {
        for text in ["", "{", "null", "[]", "7", r#""handshake""#] {
            assert!(Handshake::parse_hello(text).is_err(), "{text}");
        }
        for params in ["null", "{}", r#"{"incarnationId":7}"#, r#"{"incarnationId":""}"#] {
            let text = format!(r#"{{"method":"handshake","params":{params}}}"#);
            assert_eq!(Handshake::parse_hello(&text), Err(WireError::BadIncarnation), "{text}");
        }
    }
}
