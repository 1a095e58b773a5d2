//! Errors of the bridge itself, and how errors of a service cross it as JSON-RPC error objects.

use serde_json::{Map, Value, json};

use crate::wire::RemoteError;

/// Why the bridge did not bring back an answer. Callers see it as a [`RemoteError::Other`] of the same [`name`](Self::name).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BridgeError {
    /// The other end was reloaded. Whether the call took effect there is not known.
    #[error("the other end of the bridge was reloaded before it answered")]
    Reloaded,
    /// The bridge has ended, for this reason. Whether a call that was under way took effect is not known.
    #[error("the bridge is closed: {0}")]
    Closed(String),
    /// The other end says nothing any more: it is gone, or busy. Whether the call took effect is not known.
    #[error("the other end of the bridge has said nothing for {seconds} s")]
    Unresponsive {
        /// How long it was waited for.
        seconds: u64,
    },
    /// Too many calls wait: for an answer, or for the bridge to open. The call was not made.
    #[error("{limit} calls already wait for the bridge")]
    Busy {
        /// How many may wait.
        limit: usize,
    },
    /// The call could not be posted, and was not made.
    #[error("the message could not be posted: {0}")]
    NotPosted(String),
    /// The answer is not of the type that the method promises.
    #[error("the answer to {method} is not {expected}")]
    UnexpectedResult {
        /// The method.
        method: &'static str,
        /// What the answer should have been.
        expected: &'static str,
    },
}

impl BridgeError {
    /// The stable name, as `Error.name` in JavaScript.
    pub fn name(&self) -> &'static str {
        match self {
            BridgeError::Reloaded => "BridgeReloadedError",
            BridgeError::Closed(_) => "BridgeClosedError",
            BridgeError::Unresponsive { .. } => "BridgeUnresponsiveError",
            BridgeError::Busy { .. } => "BridgeBusyError",
            BridgeError::NotPosted(_) => "BridgePostError",
            BridgeError::UnexpectedResult { .. } => "BridgeResultError",
        }
    }
}

impl From<BridgeError> for RemoteError {
    fn from(error: BridgeError) -> Self {
        RemoteError::Other { name: error.name().to_owned(), message: error.to_string() }
    }
}

/// What an answer says instead of a result.
///
/// `data.cause` is what the incumbent makes of a JavaScript error: its own members, `data` among them.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct RpcError {
    code: i64,
    name: String,
    message: String,
    data: Value,
}

impl RpcError {
    const INVALID_REQUEST: i64 = -32600;
    const UNKNOWN_METHOD: i64 = -32601;
    const INVALID_PARAMS: i64 = -32602;
    const INTERNAL: i64 = -32603;
    /// From the range that JSON-RPC leaves to servers.
    const BUSY: i64 = -32005;

    fn new(code: i64, name: &str, message: String) -> Self {
        RpcError { code, name: name.to_owned(), message, data: Value::Null }
    }

    pub(super) fn invalid_request(reason: &str) -> Self {
        Self::new(Self::INVALID_REQUEST, "InvalidRequestError", format!("invalid request: {reason}"))
    }

    pub(super) fn unknown_method(method: &str) -> Self {
        let method: String = method.chars().take(64).collect();
        Self::new(Self::UNKNOWN_METHOD, "UnknownMethodError", format!("unknown method {method:?}"))
    }

    pub(super) fn invalid_params(reason: &str) -> Self {
        // What is wrong may be quoted, as long as it is.
        let reason: String = reason.chars().take(200).collect();
        Self::new(Self::INVALID_PARAMS, "InvalidParamsError", format!("invalid params: {reason}"))
    }

    pub(super) fn busy(limit: usize) -> Self {
        Self::new(Self::BUSY, "BridgeBusyError", format!("{limit} requests already run at this end of the bridge"))
    }

    /// An error of the service with a name of its own.
    #[cfg(feature = "transport")]
    pub(super) fn internal(name: &str, message: &str, data: Value) -> Self {
        RpcError { data, ..Self::new(Self::INTERNAL, name, message.to_owned()) }
    }

    pub(super) fn code(&self) -> i64 {
        self.code
    }

    /// The `error` member of a response.
    pub(super) fn into_value(self) -> Value {
        let mut cause = Map::new();
        cause.insert("name".into(), self.name.into());
        cause.insert("message".into(), self.message.as_str().into());
        if !self.data.is_null() {
            cause.insert("data".into(), self.data);
        }
        json!({ "code": self.code, "message": self.message, "data": { "cause": cause } })
    }

    /// Reads the `error` member of a response. A JavaScript error of a built-in class carries no name of its own.
    pub(super) fn read(error: &Value) -> RemoteError {
        let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
        let cause = error.pointer("/data/cause").unwrap_or(&Value::Null);
        let name = text(cause, "name").unwrap_or_else(|| {
            match error.get("code").and_then(Value::as_i64) {
                Some(Self::INVALID_REQUEST) => "InvalidRequestError",
                Some(Self::UNKNOWN_METHOD) => "UnknownMethodError",
                Some(Self::INVALID_PARAMS) => "InvalidParamsError",
                _ => "Error",
            }
            .to_owned()
        });
        let message = text(cause, "message").or_else(|| text(error, "message"));
        let message = message.unwrap_or_else(|| "the other end gave no reason".to_owned());
        RemoteError::from_parts(&name, &message, cause.get("data").unwrap_or(&Value::Null))
    }
}

impl From<RemoteError> for RpcError {
    fn from(error: RemoteError) -> Self {
        RpcError { data: error.data(), ..Self::new(Self::INTERNAL, error.name(), error.to_string()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{LimitType, PeerId};

    #[test]
    fn every_remote_error_comes_back_as_it_went() {
        let peer = PeerId::from_ed25519_seed([7; 32]).unwrap();
        for error in [
            RemoteError::PeerRestarted(peer.clone()),
            RemoteError::IntentionalClose(peer.clone()),
            RemoteError::NetworkStopped,
            RemoteError::ResourceLimit { limit_type: LimitType::MessageRate, current: 101, limit: 100 },
            RemoteError::ConnectionLost { peer, reason: "reset".into() },
            RemoteError::Other { name: "TypeError".into(), message: "x".into() },
            BridgeError::Reloaded.into(),
        ] {
            assert_eq!(RpcError::read(&RpcError::from(error.clone()).into_value()), error);
        }
    }

    #[test]
    fn errors_of_the_incumbent_keep_what_they_have() {
        // A class of its own: all members are the error's own.
        let restarted = json!({ "code": -32603, "message": "Internal JSON-RPC error.", "data": { "cause": {
            "name": "PeerRestartedError", "code": "PEER_RESTARTED", "message": "gone", "stack": "PeerRestartedError: gone\n  at x",
        } } });
        assert!(RpcError::read(&restarted).is_terminal());
        // A built-in class: the name sits on the prototype and does not travel.
        let plain = json!({ "code": -32603, "message": "Internal JSON-RPC error.", "data": { "cause": {
            "message": "remote comms not initialized", "stack": "…",
        } } });
        let expected = RemoteError::Other { name: "Error".into(), message: "remote comms not initialized".into() };
        assert_eq!(RpcError::read(&plain), expected);
        // No cause at all.
        let unknown = json!({ "code": -32601, "message": "The method does not exist / is not available." });
        assert_eq!(RpcError::read(&unknown).name(), "UnknownMethodError");
    }

    #[test]
    fn an_error_that_is_no_object_is_still_an_error() {
        for garbage in [json!(null), json!("boom"), json!([1]), json!({ "data": { "cause": 3 } })] {
            assert_eq!(RpcError::read(&garbage).name(), "Error");
        }
    }
}
