//! The methods of both services: their names, and reading their params.

#![forbid(unsafe_code)]

use serde_json::{Map, Value};

use super::error::RpcError;
use crate::wire::PeerId;

pub(super) const LAUNCH: &str = "launch";
pub(super) const TERMINATE: &str = "terminate";
pub(super) const TERMINATE_ALL: &str = "terminateAll";
pub(super) const INITIALIZE_REMOTE_COMMS: &str = "initializeRemoteComms";
pub(super) const STOP_REMOTE_COMMS: &str = "stopRemoteComms";
pub(super) const SEND_REMOTE_MESSAGE: &str = "sendRemoteMessage";
pub(super) const CLOSE_CONNECTION: &str = "closeConnection";
pub(super) const REGISTER_LOCATION_HINTS: &str = "registerLocationHints";
pub(super) const RECONNECT_PEER: &str = "reconnectPeer";
pub(super) const RESET_ALL_BACKOFFS: &str = "resetAllBackoffs";

pub(super) const REMOTE_DELIVER: &str = "remoteDeliver";
pub(super) const REMOTE_GIVE_UP: &str = "remoteGiveUp";
pub(super) const REMOTE_INCARNATION_CHANGE: &str = "remoteIncarnationChange";

/// Params given by name. Members are taken out, not copied, and errors never quote a value: one of them is the key seed.
pub(super) struct Params(Map<String, Value>);

impl Params {
    pub(super) fn named(params: Value) -> Result<Self, RpcError> {
        match params {
            Value::Object(members) => Ok(Params(members)),
            _ => Err(RpcError::invalid_params("an object is expected")),
        }
    }

    pub(super) fn string(&mut self, key: &str) -> Result<String, RpcError> {
        match self.0.remove(key) {
            Some(Value::String(text)) => Ok(text),
            _ => Err(RpcError::invalid_params(&format!("{key} must be a string"))),
        }
    }

    pub(super) fn peer(&mut self, key: &str) -> Result<PeerId, RpcError> {
        self.string(key)?.parse().map_err(|_| RpcError::invalid_params(&format!("{key} must be a libp2p peer id")))
    }
}

#[cfg(feature = "transport")]
impl Params {
    pub(super) fn optional(&mut self, key: &str) -> Option<Value> {
        self.0.remove(key)
    }

    pub(super) fn strings(&mut self, key: &str) -> Result<Vec<String>, RpcError> {
        let strings = match self.0.remove(key) {
            Some(Value::Array(items)) => items
                .into_iter()
                .map(|item| if let Value::String(text) = item { Some(text) } else { None })
                .collect::<Option<Vec<_>>>(),
            _ => None,
        };
        strings.ok_or_else(|| RpcError::invalid_params(&format!("{key} must be an array of strings")))
    }

    pub(super) fn rest(self) -> Value {
        Value::Object(self.0)
    }
}

/// Params of a method that has none: `[]`, or left out.
#[cfg(feature = "transport")]
pub(super) fn no_params(params: &Value) -> Result<(), RpcError> {
    match params {
        Value::Null => Ok(()),
        Value::Array(items) if items.is_empty() => Ok(()),
        _ => Err(RpcError::invalid_params("an empty array is expected")),
    }
}
