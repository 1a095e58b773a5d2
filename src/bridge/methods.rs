//! The methods of both services: their names, and reading their params.

#![forbid(unsafe_code)]

use std::cell::RefCell;

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
/// For a kernel of ours that asked for it.
pub(super) const REMOTE_MOVING: &str = "remoteMoving";
pub(super) const REMOTE_NO_CHANNEL: &str = "remoteNoChannel";
pub(super) const REMOTE_INCARNATION_CHANGE: &str = "remoteIncarnationChange";

/// What an end of ours can do beyond protocol §9, told by a notification: whoever knows nothing of it ignores it.
pub(super) const EXTENSIONS: &str = "bridgeExtensions";

/// Answered with null by an end of ours, whatever its service is busy with.
pub(super) const PING: &str = "bridgePing";

/// Whether messages of this method, and their answers, may share a post with others. These are the many; all others have the
/// event loop's turn to themselves, so that what they wake has run before the next message is looked at.
pub(super) fn may_share_post(method: &str) -> bool {
    matches!(method, SEND_REMOTE_MESSAGE | REMOTE_DELIVER)
}

/// All of them, and the names of their params.
#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
pub(super) const WORDS: [&str; 20] = [
    LAUNCH,
    TERMINATE,
    TERMINATE_ALL,
    INITIALIZE_REMOTE_COMMS,
    STOP_REMOTE_COMMS,
    SEND_REMOTE_MESSAGE,
    CLOSE_CONNECTION,
    REGISTER_LOCATION_HINTS,
    RECONNECT_PEER,
    RESET_ALL_BACKOFFS,
    REMOTE_DELIVER,
    REMOTE_GIVE_UP,
    REMOTE_MOVING,
    REMOTE_INCARNATION_CHANGE,
    "to",
    "from",
    "message",
    "peerId",
    "hints",
    "observedIncarnation",
];

/// What the ids of a kernel's calls begin with.
#[cfg(any(feature = "kernel", all(target_arch = "wasm32", target_os = "unknown")))]
pub(super) const KERNEL_IDS: &str = "m";
/// What the ids of a network's calls begin with.
pub(super) const NETWORK_IDS: &str = "vws:";
#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
pub(super) const ID_PREFIXES: [&str; 2] = [KERNEL_IDS, NETWORK_IDS];

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

    pub(super) fn peer(&mut self, key: &str, peers: &RecentPeers) -> Result<PeerId, RpcError> {
        let text = self.string(key)?;
        peers.parse(&text).ok_or_else(|| RpcError::invalid_params(&format!("{key} must be a libp2p peer id")))
    }
}

/// The peers that were named lately: checking an id costs more than all else that is done to read a call.
#[derive(Default)]
pub(super) struct RecentPeers(RefCell<Vec<PeerId>>);

impl RecentPeers {
    const LIMIT: usize = 32;

    fn parse(&self, text: &str) -> Option<PeerId> {
        let mut recent = self.0.borrow_mut();
        if let Some(known) = recent.iter().find(|peer| peer.as_str() == text) {
            return Some(known.clone());
        }
        let peer: PeerId = text.parse().ok()?;
        if recent.len() == Self::LIMIT {
            recent.remove(0);
        }
        recent.push(peer.clone());
        Some(peer)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_known_again_and_old_ones_are_forgotten() {
        let peers = RecentPeers::default();
        let texts: Vec<String> =
            (0..40).map(|seed| PeerId::from_ed25519_seed([seed; 32]).unwrap().as_str().to_owned()).collect();
        for text in texts.iter().chain(&texts) {
            assert_eq!(peers.parse(text).unwrap().as_str(), text);
            assert!(peers.0.borrow().len() <= RecentPeers::LIMIT);
        }
        assert_eq!((peers.parse("nobody"), peers.parse("")), (None, None));
        assert_eq!(peers.parse(&texts[39]), peers.0.borrow().last().cloned());
    }
}
