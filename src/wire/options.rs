//! What a user may configure of remote communications (protocol §6); the options cross the bridge as one object.

use serde::{Deserialize, Serialize};

/// Options of remote communications; the names in JavaScript are the same in camelCase. Unknown members are ignored, for
/// the other end of the bridge may be newer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct RemoteCommsOptions {
    /// Multiaddrs of relays (each ending in `/p2p/<peer id>`) through which this kernel listens and dials.
    pub relays: Vec<String>,
    /// Multiaddrs to listen on directly. Browsers cannot; native programs may.
    pub direct_listen_addresses: Vec<String>,
    /// Hosts besides private addresses and configured relays to which plain `ws://` is allowed.
    pub allowed_ws_hosts: Vec<String>,
    /// Reconnection attempts before giving up; 0 is without limit.
    pub max_retry_attempts: u32,
    /// Unacknowledged messages per remote before sends are refused.
    pub max_queue: usize,
    /// Concurrent connections.
    pub max_concurrent_connections: usize,
    /// Longest message, in bytes.
    pub max_message_size_bytes: usize,
    /// Messages per second to one peer, in a sliding window of 1 s; standalone acknowledgements do not count.
    pub max_messages_per_second: u32,
    /// Connection attempts per minute to one peer, in a sliding window of 1 min.
    pub max_connection_attempts_per_minute: u32,
    /// How long an acknowledgement may take before unacknowledged messages are written again, in milliseconds.
    pub ack_timeout_ms: u64,
    /// How long an acknowledgement may wait for a message to ride on, in milliseconds.
    pub delayed_ack_ms: u64,
    /// Retransmissions without progress before giving a remote up.
    pub max_retransmissions: u32,
    /// How long the handshake of a new channel may take, in milliseconds.
    pub handshake_timeout_ms: u64,
    /// How long one dial may take, in milliseconds.
    pub dial_timeout_ms: u64,
    /// How long one write may take, in milliseconds.
    pub write_timeout_ms: u64,
    /// First reconnection delay, in milliseconds; each next is twice as long, then drawn between 0 and that (full jitter).
    pub reconnection_base_delay_ms: u64,
    /// Longest reconnection delay, in milliseconds.
    pub reconnection_max_delay_ms: u64,
    /// Silence after which a channel is taken for dead, in milliseconds; at least 5,000.
    pub stream_inactivity_timeout_ms: u64,
    /// How often forgotten peers are looked for, in milliseconds.
    pub cleanup_interval_ms: u64,
    /// Idle time after which a peer without a channel is forgotten, in milliseconds.
    pub stale_peer_timeout_ms: u64,
    /// A sleep across a restart was seen. A network that has just started has no backoff to forget, so nothing follows.
    pub cross_incarnation_wake: bool,
}

impl Default for RemoteCommsOptions {
    fn default() -> Self {
        RemoteCommsOptions {
            relays: Vec::new(),
            direct_listen_addresses: Vec::new(),
            allowed_ws_hosts: Vec::new(),
            max_retry_attempts: 0,
            max_queue: 200,
            max_concurrent_connections: 100,
            max_message_size_bytes: super::DEFAULT_MAX_MESSAGE_BYTES,
            max_messages_per_second: 100,
            max_connection_attempts_per_minute: 10,
            ack_timeout_ms: 10_000,
            delayed_ack_ms: 50,
            max_retransmissions: 3,
            handshake_timeout_ms: 10_000,
            dial_timeout_ms: 30_000,
            write_timeout_ms: 10_000,
            reconnection_base_delay_ms: 500,
            reconnection_max_delay_ms: 10_000,
            stream_inactivity_timeout_ms: 120_000,
            cleanup_interval_ms: 900_000,
            stale_peer_timeout_ms: 3_600_000,
            cross_incarnation_wake: false,
        }
    }
}

impl RemoteCommsOptions {
    /// The shortest silence after which a channel may be taken for dead, in milliseconds.
    pub const MIN_STREAM_INACTIVITY_TIMEOUT_MS: u64 = 5_000;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_members_take_their_defaults_and_unknown_ones_are_ignored() {
        let options: RemoteCommsOptions = serde_json::from_str(r#"{"maxQueue":7,"someday":true}"#).unwrap();
        assert_eq!(options, RemoteCommsOptions { max_queue: 7, ..RemoteCommsOptions::default() });
    }

    #[test]
    fn a_member_of_the_wrong_type_is_an_error() {
        assert!(serde_json::from_str::<RemoteCommsOptions>(r#"{"maxQueue":"many"}"#).is_err());
    }
}
