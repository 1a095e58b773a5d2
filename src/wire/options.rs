//! What a user may configure of remote communications (protocol §6); the options cross the bridge as one object.

use std::ops::RangeInclusive;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// Options of remote communications; the names in JavaScript are the same in camelCase. Unknown members are ignored, for
/// the other end of the bridge may be newer. What is deserialized is [valid](Self::validate).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", remote = "Self")]
pub struct RemoteCommsOptions {
    /// Multiaddrs of relays (each ending in `/p2p/<peer id>`) through which this kernel listens and dials. Default none;
    /// at most 64.
    pub relays: Vec<String>,
    /// Multiaddrs to listen on directly. Browsers cannot; native programs may. Default none; at most 64.
    pub direct_listen_addresses: Vec<String>,
    /// Hosts besides private addresses and configured relays to which plain `ws://` is allowed. Default none; at most 1,024.
    pub allowed_ws_hosts: Vec<String>,
    /// Reconnection attempts before giving up; 0 (the default) is without limit. At most 1,000,000.
    pub max_retry_attempts: u32,
    /// How long a peer is tried for which something waits before it is given up, in milliseconds of time in which there was
    /// a network. Default 600,000; 1 to 30 days.
    pub give_up_after_ms: u64,
    /// Unacknowledged messages per remote before sends are refused. Default 200; 1 to 100,000.
    pub max_queue: usize,
    /// Concurrent connections. Default 100; 1 to 10,000.
    pub max_concurrent_connections: usize,
    /// Longest message, in bytes. Default 1 MiB; 1 KiB to 64 MiB.
    pub max_message_size_bytes: usize,
    /// Messages per second to one peer, in a sliding window of 1 s; standalone acknowledgements do not count. Default 100;
    /// 1 to 1,000,000.
    pub max_messages_per_second: u32,
    /// Connection attempts per minute that reach one peer, in a sliding window of 1 min. Default 10; 1 to 100,000.
    pub max_connection_attempts_per_minute: u32,
    /// How long an acknowledgement may take before unacknowledged messages are written again, in milliseconds. Default
    /// 10,000; 1 to one hour.
    pub ack_timeout_ms: u64,
    /// How long an acknowledgement may wait for a message to ride on, in milliseconds. Default 50; less than
    /// `ack_timeout_ms`.
    pub delayed_ack_ms: u64,
    /// Retransmissions without progress before giving a remote up. Default 3; at most 1,000.
    pub max_retransmissions: u32,
    /// How long the handshake of a new channel may take while nothing moves, in milliseconds. Default 10,000; 1 to one hour.
    pub handshake_timeout_ms: u64,
    /// How long one dial may take, in milliseconds. Default 30,000; 1 to one hour.
    pub dial_timeout_ms: u64,
    /// How long one write may stand still, in milliseconds. Default 10,000; 1 to one hour.
    pub write_timeout_ms: u64,
    /// First reconnection delay, in milliseconds; each next is twice as long, then drawn between 0 and that (full jitter).
    /// Default 500; 1 to `reconnection_max_delay_ms`.
    pub reconnection_base_delay_ms: u64,
    /// Longest reconnection delay, in milliseconds. Default 10,000; at most one day.
    pub reconnection_max_delay_ms: u64,
    /// How often each connection is pinged, in milliseconds. Default 1,000; 100 to one hour.
    pub heartbeat_interval_ms: u64,
    /// Silence after which a connection that answers no ping, and on which nothing moves, is closed, in milliseconds. Default
    /// 4,000; longer than `heartbeat_interval_ms`, at most one day. A peer that was closed for it gets twice the time, and so on up to 64 s,
    /// until it has answered for a minute.
    pub heartbeat_timeout_ms: u64,
    /// Silence after which a channel is taken for dead, in milliseconds. Default 120,000; 5,000 to one day.
    pub stream_inactivity_timeout_ms: u64,
    /// How often forgotten peers are looked for, in milliseconds. Default 900,000; 1 to one day.
    pub cleanup_interval_ms: u64,
    /// Idle time after which a peer without a channel is forgotten, in milliseconds. Default 3,600,000; 1 to 30 days.
    pub stale_peer_timeout_ms: u64,
    /// A sleep across a restart was seen. A network that has just started has no backoff to forget, so nothing follows.
    pub cross_incarnation_wake: bool,
}

/// An option has a value that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{option} is {value}: it must be {expected}")]
pub struct OptionError {
    /// The option's name, in camelCase.
    pub option: String,
    /// What it is.
    pub value: String,
    /// What it must be.
    pub expected: String,
}

impl Default for RemoteCommsOptions {
    fn default() -> Self {
        RemoteCommsOptions {
            relays: Vec::new(),
            direct_listen_addresses: Vec::new(),
            allowed_ws_hosts: Vec::new(),
            max_retry_attempts: 0,
            give_up_after_ms: 600_000,
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
            heartbeat_interval_ms: 1_000,
            heartbeat_timeout_ms: 4_000,
            stream_inactivity_timeout_ms: 120_000,
            cleanup_interval_ms: 900_000,
            stale_peer_timeout_ms: 3_600_000,
            cross_incarnation_wake: false,
        }
    }
}

const HOUR_MS: u64 = 3_600_000;
const DAY_MS: u64 = 24 * HOUR_MS;

impl RemoteCommsOptions {
    /// The shortest silence after which a channel may be taken for dead, in milliseconds.
    pub const MIN_STREAM_INACTIVITY_TIMEOUT_MS: u64 = 5_000;

    /// Whether every option is within the bounds that its documentation names.
    ///
    /// # Errors
    /// The first that is not.
    pub fn validate(&self) -> Result<(), OptionError> {
        for (option, value, bounds) in self.numbers() {
            if !bounds.contains(&value) {
                return Err(refusal(option, value, format!("from {} to {}", bounds.start(), bounds.end())));
            }
        }
        if self.heartbeat_timeout_ms <= self.heartbeat_interval_ms {
            let expected = format!("more than heartbeatIntervalMs ({})", self.heartbeat_interval_ms);
            return Err(refusal("heartbeatTimeoutMs", self.heartbeat_timeout_ms, expected));
        }
        let relay = |text: &str| text.starts_with('/') && text.contains("/p2p/");
        texts("relays", &self.relays, 64, "a multiaddr that ends in /p2p/<peer id>", relay)?;
        let address = |text: &str| text.starts_with('/');
        texts("directListenAddresses", &self.direct_listen_addresses, 64, "a multiaddr", address)?;
        let host = |text: &str| !text.is_empty() && !text.contains(|c: char| c == '/' || c.is_whitespace());
        texts("allowedWsHosts", &self.allowed_ws_hosts, 1_024, "a host name or IP address", host)
    }

    fn numbers(&self) -> [(&'static str, u64, RangeInclusive<u64>); 20] {
        let delayed_ack = 0..=self.ack_timeout_ms.saturating_sub(1);
        [
            ("maxRetryAttempts", self.max_retry_attempts.into(), 0..=1_000_000),
            ("giveUpAfterMs", self.give_up_after_ms, 1..=30 * DAY_MS),
            ("maxQueue", self.max_queue as u64, 1..=100_000),
            ("maxConcurrentConnections", self.max_concurrent_connections as u64, 1..=10_000),
            ("maxMessageSizeBytes", self.max_message_size_bytes as u64, 1 << 10..=64 << 20),
            ("maxMessagesPerSecond", self.max_messages_per_second.into(), 1..=1_000_000),
            ("maxConnectionAttemptsPerMinute", self.max_connection_attempts_per_minute.into(), 1..=100_000),
            ("ackTimeoutMs", self.ack_timeout_ms, 1..=HOUR_MS),
            ("delayedAckMs", self.delayed_ack_ms, delayed_ack),
            ("maxRetransmissions", self.max_retransmissions.into(), 0..=1_000),
            ("handshakeTimeoutMs", self.handshake_timeout_ms, 1..=HOUR_MS),
            ("dialTimeoutMs", self.dial_timeout_ms, 1..=HOUR_MS),
            ("writeTimeoutMs", self.write_timeout_ms, 1..=HOUR_MS),
            ("reconnectionMaxDelayMs", self.reconnection_max_delay_ms, 1..=DAY_MS),
            ("reconnectionBaseDelayMs", self.reconnection_base_delay_ms, 1..=self.reconnection_max_delay_ms),
            ("heartbeatIntervalMs", self.heartbeat_interval_ms, 100..=HOUR_MS),
            ("heartbeatTimeoutMs", self.heartbeat_timeout_ms, 100..=DAY_MS),
            (
                "streamInactivityTimeoutMs",
                self.stream_inactivity_timeout_ms,
                Self::MIN_STREAM_INACTIVITY_TIMEOUT_MS..=DAY_MS,
            ),
            ("cleanupIntervalMs", self.cleanup_interval_ms, 1..=DAY_MS),
            ("stalePeerTimeoutMs", self.stale_peer_timeout_ms, 1..=30 * DAY_MS),
        ]
    }
}

fn refusal(option: &str, value: impl ToString, expected: String) -> OptionError {
    OptionError { option: option.to_owned(), value: value.to_string(), expected }
}

fn texts(
    option: &str,
    values: &[String],
    limit: usize,
    expected: &str,
    fits: impl Fn(&str) -> bool,
) -> Result<(), OptionError> {
    if values.len() > limit {
        return Err(refusal(option, format!("{} entries", values.len()), format!("at most {limit}")));
    }
    match values.iter().enumerate().find(|(_, text)| !fits(text)) {
        Some((index, text)) => Err(refusal(&format!("{option}[{index}]"), format!("{text:?}"), expected.to_owned())),
        None => Ok(()),
    }
}

impl<'de> Deserialize<'de> for RemoteCommsOptions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut track = serde_path_to_error::Track::new();
        let tracked = serde_path_to_error::Deserializer::new(deserializer, &mut track);
        // The derived function, which knows neither the path to what is wrong nor the bounds.
        let options = RemoteCommsOptions::deserialize(tracked)
            .map_err(|error| D::Error::custom(format_args!("{}: {error}", track.path())))?;
        options.validate().map_err(D::Error::custom)?;
        Ok(options)
    }
}

impl Serialize for RemoteCommsOptions {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        RemoteCommsOptions::serialize(self, serializer)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Map, Value, json};

    use super::*;

    fn parse(value: Value) -> Result<RemoteCommsOptions, String> {
        serde_json::from_value(value).map_err(|error| error.to_string())
    }

    fn defaults() -> Map<String, Value> {
        serde_json::to_value(RemoteCommsOptions::default()).unwrap().as_object().unwrap().clone()
    }

    #[test]
    fn absent_members_take_their_defaults_and_unknown_ones_are_ignored() {
        let options: RemoteCommsOptions = serde_json::from_str(r#"{"maxQueue":7,"someday":true}"#).unwrap();
        assert_eq!(options, RemoteCommsOptions { max_queue: 7, ..RemoteCommsOptions::default() });
        assert_eq!(RemoteCommsOptions::default().validate(), Ok(()));
    }

    #[test]
    fn a_member_of_the_wrong_type_is_an_error_that_names_it() {
        for (option, default) in defaults() {
            for wrong in [json!("many"), json!({}), json!(null), json!(1.5), json!([1])] {
                let error = parse(json!({ &option: wrong.clone() })).unwrap_err();
                assert!(error.starts_with(&option), "{option} (default {default}) = {wrong}: {error}");
            }
        }
    }

    #[test]
    fn a_number_that_is_negative_or_absurd_is_an_error_that_names_it() {
        for (option, default) in defaults() {
            if !default.is_number() {
                continue;
            }
            for wrong in [json!(-1), json!(u64::MAX), json!(1_u64 << 53)] {
                let error = parse(json!({ &option: wrong.clone() })).unwrap_err();
                assert!(error.starts_with(&option), "{option} = {wrong}: {error}");
            }
            let nought = parse(json!({ &option: 0 }));
            let may_be_nought = ["maxRetryAttempts", "maxRetransmissions", "delayedAckMs"].contains(&option.as_str());
            assert_eq!(nought.is_ok(), may_be_nought, "{option}: {nought:?}");
        }
    }

    #[test]
    fn options_that_contradict_each_other_are_refused() {
        for (options, named) in [
            (json!({ "ackTimeoutMs": 100, "delayedAckMs": 100 }), "delayedAckMs is 100"),
            (json!({ "reconnectionBaseDelayMs": 10_001 }), "reconnectionBaseDelayMs is 10001"),
            (json!({ "heartbeatIntervalMs": 4_000 }), "heartbeatTimeoutMs is 4000"),
            (json!({ "relays": ["/ip4/127.0.0.1/tcp/1/ws"] }), "relays[0] is"),
            (json!({ "directListenAddresses": ["/ip4/127.0.0.1/tcp/1/ws", "here"] }), "directListenAddresses[1] is"),
            (json!({ "allowedWsHosts": ["ws://example.com"] }), "allowedWsHosts[0] is"),
            (json!({ "relays": vec!["/p2p/x"; 65] }), "relays is 65 entries"),
        ] {
            let error = parse(options.clone()).unwrap_err();
            assert!(error.starts_with(named), "{options}: {error}");
        }
    }

    #[test]
    fn typescript_knows_every_option_and_its_default() {
        let types = include_str!("../js/options.d.ts");
        let interface = types.split("interface RemoteCommsOptions").nth(1).and_then(|rest| rest.split("\n}").next());
        for (option, default) in defaults() {
            let (before, _) = interface.unwrap().split_once(&format!("\n  {option}?:")).expect(&option);
            let doc = before.rsplit("/**").next().unwrap().replace(',', "").replace("1 MiB", "1048576");
            let told = doc.contains(&format!("Default {default}")) || doc.contains(&format!("{default} (the default)"));
            assert!(told || !default.is_number(), "{option} = {default} is not in {doc:?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_accepted_is_valid_and_survives_the_bridge(values in proptest::collection::vec(any::<u64>(), 22), shift in 0_u32..64) {
            let named: Map<String, Value> = defaults().into_iter().zip(values)
                .filter(|((_, default), _)| default.is_number())
                .map(|((option, _), value)| (option, json!(value.checked_shr(shift).unwrap_or(0))))
                .collect();
            match parse(Value::Object(named.clone())) {
                Ok(options) => {
                    prop_assert_eq!(options.validate(), Ok(()));
                    prop_assert_eq!(parse(serde_json::to_value(&options).unwrap()), Ok(options));
                }
                Err(error) => prop_assert!(named.keys().any(|option| error.starts_with(option.as_str())), "{}", error),
            }
        }
    }
}
