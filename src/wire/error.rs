//! Errors of decoding, and the errors that cross a bridge by name.

use serde_json::{Value, json};

use super::{MAX_SEQ, PeerId};

/// Why bytes from outside are not what the protocol allows. Every decoder of this crate answers with one of these.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// The announced length of a frame exceeds the limit. The stream cannot be read on from here.
    #[error("frame of {announced} bytes exceeds the limit of {limit} bytes")]
    FrameTooLong {
        /// The length that the prefix announced, in bytes.
        announced: u64,
        /// The limit in force, in bytes.
        limit: usize,
    },
    /// The length prefix is not a minimal unsigned varint.
    #[error("frame length is not a valid unsigned varint")]
    BadLength,
    /// A frame is not UTF-8.
    #[error("frame is not UTF-8")]
    NotUtf8,
    /// A message is not JSON of the expected shape.
    #[error("malformed message: {0}")]
    Malformed(String),
    /// The first message on a channel is not the handshake message that was expected.
    #[error("expected {expected}, got {got}")]
    UnexpectedHandshake {
        /// The method that was due.
        expected: &'static str,
        /// The method that came.
        got: String,
    },
    /// A sequence number is not a whole number from 1 to 2^53 − 1.
    #[error("{0} is not a sequence number (a whole number from 1 to 9007199254740991)")]
    BadSeq(String),
    /// A text is not a reference, an endpoint id or a peer id.
    #[error("{text:?} is not {expected}")]
    BadReference {
        /// The text, cut to a printable length.
        text: String,
        /// What it should have been.
        expected: &'static str,
    },
    /// A text is not an acceptable incarnation id.
    #[error("an incarnation id is 1 to 128 printable ASCII characters")]
    BadIncarnation,
}

impl WireError {
    /// What is wrong with a message, in so many words as others can bear: readers of JSON quote all of what they did not expect.
    pub(super) fn malformed(error: &impl ToString) -> Self {
        WireError::Malformed(error.to_string().chars().take(200).collect())
    }

    pub(crate) fn bad_reference(text: &str, expected: &'static str) -> Self {
        let text = text.chars().take(64).collect();
        WireError::BadReference { text, expected }
    }
}

/// Which limit a [`RemoteError::ResourceLimit`] is about. The names are the incumbent's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitType {
    /// Concurrent connections.
    Connection,
    /// The size of one message.
    MessageSize,
    /// Messages per second to one peer.
    MessageRate,
    /// Connection attempts per minute to one peer.
    ConnectionRate,
    /// Unacknowledged messages of one remote.
    PendingMessages,
    /// References in one message.
    References,
}

impl LimitType {
    const ALL: [(LimitType, &'static str); 6] = [
        (LimitType::Connection, "connection"),
        (LimitType::MessageSize, "messageSize"),
        (LimitType::MessageRate, "messageRate"),
        (LimitType::ConnectionRate, "connectionRate"),
        (LimitType::PendingMessages, "pendingMessages"),
        (LimitType::References, "references"),
    ];

    /// The name that stands in the error's data.
    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(kind, _)| *kind == self).map_or("", |(_, name)| name)
    }

    fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, name)| *name == text).map(|(kind, _)| *kind)
    }
}

/// An error of sending to, or being connected with, a remote kernel.
///
/// The bridge carries it as a JSON-RPC error whose `data` holds [`name`](Self::name) and [`data`](Self::data);
/// [`from_parts`](Self::from_parts) is the way back. Names are stable: programs may match on them.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum RemoteError {
    /// The peer came back with another incarnation; what was sent to the old one was not written.
    #[error("peer {0} restarted: messages to its former incarnation were discarded")]
    PeerRestarted(PeerId),
    /// The connection was closed by `closeConnection` and stays closed until `reconnectPeer`.
    #[error("connection to {0} was closed on purpose; call reconnectPeer to open it again")]
    IntentionalClose(PeerId),
    /// Remote communications were stopped, or never started.
    #[error("remote comms are stopped")]
    NetworkStopped,
    /// A limit of protocol or configuration was reached.
    #[error("{}: {current} exceeds the limit of {limit}", .limit_type.as_str())]
    ResourceLimit {
        /// Which limit.
        limit_type: LimitType,
        /// The value that was asked for.
        current: u64,
        /// The value in force.
        limit: u64,
    },
    /// The channel was lost before the message was written, or none could be opened. Trying later may succeed.
    #[error("connection to {peer} lost: {reason}")]
    ConnectionLost {
        /// The peer.
        peer: PeerId,
        /// What happened.
        reason: String,
    },
    /// Any other error, as it came over the bridge.
    #[error("{message}")]
    Other {
        /// The error's `name`.
        name: String,
        /// The error's `message`.
        message: String,
    },
}

impl RemoteError {
    /// The name of the error of a peer that has to shake hands again.
    pub const UNKNOWN_INCARNATION: &str = "UnknownIncarnationError";

    /// A peer writes whose incarnation is not known any more, so that its restart could not be told. It has to shake hands again
    /// before it is listened to; the network ends the channel.
    pub fn unknown_incarnation(peer: &PeerId) -> Self {
        RemoteError::Other {
            name: Self::UNKNOWN_INCARNATION.to_owned(),
            message: format!("peer {peer} has to shake hands again: its incarnation is not known"),
        }
    }

    /// The name of the error of a peer that asks and does not read the answers.
    pub const NOT_READING: &str = "NotReadingError";

    /// A peer asks and does not read the answers, and was given up. The network ends the channel.
    pub fn not_reading(peer: &PeerId) -> Self {
        let message = format!("peer {peer} does not read what it is answered");
        RemoteError::Other { name: Self::NOT_READING.to_owned(), message }
    }

    /// The stable name, as `Error.name` in JavaScript.
    pub fn name(&self) -> &str {
        match self {
            RemoteError::PeerRestarted(_) => "PeerRestartedError",
            RemoteError::IntentionalClose(_) => "IntentionalCloseError",
            RemoteError::NetworkStopped => "NetworkStoppedError",
            RemoteError::ResourceLimit { .. } => "ResourceLimitError",
            RemoteError::ConnectionLost { .. } => "ConnectionLostError",
            RemoteError::Other { name, .. } => name,
        }
    }

    /// The machine-readable part: `{peerId}`, `{limitType, current, limit}`, or null. Numbers above 2^53 − 1 are told as that.
    pub fn data(&self) -> Value {
        match self {
            RemoteError::PeerRestarted(peer) | RemoteError::IntentionalClose(peer) => {
                json!({ "peerId": peer.as_str() })
            }
            RemoteError::ResourceLimit { limit_type, current, limit } => {
                // A peer may announce any length, but JavaScript cannot hold every number.
                let [current, limit] = [current, limit].map(|number| *number.min(&MAX_SEQ));
                json!({ "limitType": limit_type.as_str(), "current": current, "limit": limit })
            }
            RemoteError::ConnectionLost { peer, reason } => json!({ "peerId": peer.as_str(), "reason": reason }),
            RemoteError::NetworkStopped | RemoteError::Other { .. } => Value::Null,
        }
    }

    /// Rebuilds an error from what crossed the bridge. A known name whose data does not fit becomes [`Other`](Self::Other)
    /// with the same name, so that [`is_terminal`](Self::is_terminal) still holds.
    pub fn from_parts(name: &str, message: &str, data: &Value) -> Self {
        let text = |key: &str| data.get(key).and_then(Value::as_str);
        let number = |key: &str| data.get(key).and_then(Value::as_u64);
        let peer = || text("peerId").and_then(|id| id.parse::<PeerId>().ok());
        let known = match name {
            "PeerRestartedError" => peer().map(RemoteError::PeerRestarted),
            "IntentionalCloseError" => peer().map(RemoteError::IntentionalClose),
            "NetworkStoppedError" => Some(RemoteError::NetworkStopped),
            "ConnectionLostError" => peer()
                .map(|peer| RemoteError::ConnectionLost { peer, reason: text("reason").unwrap_or(message).to_owned() }),
            "ResourceLimitError" => {
                text("limitType").and_then(LimitType::parse).map(|limit_type| RemoteError::ResourceLimit {
                    limit_type,
                    current: number("current").unwrap_or(0),
                    limit: number("limit").unwrap_or(0),
                })
            }
            _ => None,
        };
        known.unwrap_or_else(|| RemoteError::Other { name: name.to_owned(), message: message.to_owned() })
    }

    /// Whether sending again cannot help until somebody acts (protocol §5): a restart, an intentional close, a stop.
    pub fn is_terminal(&self) -> bool {
        matches!(self.name(), "PeerRestartedError" | "IntentionalCloseError" | "NetworkStoppedError")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_javascript_cannot_hold_are_told_as_the_largest_that_it_can() {
        let (limit_type, limit) = (LimitType::MessageSize, 1 << 20);
        let announced = RemoteError::ResourceLimit { limit_type, current: u64::MAX, limit };
        assert_eq!(announced.data(), json!({ "limitType": "messageSize", "current": MAX_SEQ, "limit": 1 << 20 }));
    }

    #[test]
    fn what_is_quoted_of_a_malformed_message_is_short() {
        let long = format!(r#"{{"seq":1,"method":"deliver","params":{:?}}}"#, "x".repeat(1 << 20));
        let read = crate::wire::Message::parse(&long).unwrap().command;
        let Some((_, crate::wire::RemoteCommand::Garbled(garbled))) = read else { panic!("{read:?}") };
        assert!(garbled.reason.len() < 1_000, "{} bytes", garbled.reason.len());
        let error = crate::wire::Message::parse(&long.replace(r#""seq":1"#, r#""seq":"1""#)).unwrap_err();
        assert!(error.to_string().len() < 1_000, "{} bytes", error.to_string().len());
    }

    #[test]
    fn every_error_survives_the_bridge_by_name_and_data() {
        let peer = PeerId::from_ed25519_seed([7; 32]).unwrap();
        let errors = [
            RemoteError::PeerRestarted(peer.clone()),
            RemoteError::IntentionalClose(peer.clone()),
            RemoteError::NetworkStopped,
            RemoteError::ResourceLimit { limit_type: LimitType::MessageRate, current: 101, limit: 100 },
            RemoteError::ConnectionLost { peer, reason: "reset".into() },
            RemoteError::Other { name: "TypeError".into(), message: "x".into() },
        ];
        for error in errors {
            let back = RemoteError::from_parts(error.name(), &error.to_string(), &error.data());
            assert_eq!(back, error);
        }
    }

    #[test]
    fn a_terminal_name_without_data_stays_terminal() {
        assert!(RemoteError::from_parts("PeerRestartedError", "gone", &Value::Null).is_terminal());
        assert!(!RemoteError::from_parts("Error", "gone", &Value::Null).is_terminal());
    }
}
