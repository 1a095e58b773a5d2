//! The transport's options, made into durations and bounds.

use std::time::Duration;

use crate::wire::RemoteCommsOptions;

/// Frames handed to the stream and not yet written, per channel: enough to keep it busy, few enough to fail quickly.
pub(super) const WRITES_IN_FLIGHT: usize = 8;
/// Messages handed to the kernel and not yet answered, per peer.
pub(super) const DELIVERIES_IN_FLIGHT: usize = 16;
/// Messages that were read and wait for the kernel, per peer; reading pauses above.
pub(super) const INBOX_FRAMES: usize = 32;
/// Verdicts that the kernel owes for one peer before further handshakes of that peer are refused.
pub(super) const VERDICTS_OWED: u32 = 4;
/// How many channels a peer may open for each that it may dial by its own limits, were they ours: a page that is loaded
/// again begins to count anew.
const INBOUND_PER_ATTEMPT: u32 = 3;
/// How many channels a peer may open in the place of one that it has: busy circuits of a relay with narrow limits are left
/// after some seconds.
pub(super) const MOVES_PER_MINUTE: u32 = 600;
/// Messages in a row that the kernel may refuse before the channel is cut: a peer that writes nonsense is not worth a warning
/// for each.
pub(super) const REFUSALS_IN_A_ROW: u32 = 16;
/// How long it is remembered of a peer that it could not be reached.
pub(super) const ATTEMPT_REMEMBERED: Duration = Duration::from_secs(60);
/// How long a stranger may keep its place when another stranger wants it.
pub(super) const GUEST_TIME: Duration = Duration::from_secs(30);
/// How long after a crossed dial the losing channel's hello may still arrive.
pub(super) const CROSSING_GRACE: Duration = Duration::from_secs(1);
/// How long a channel that was replaced is still read while nothing comes.
pub(super) const DRAIN_LIMIT: Duration = Duration::from_secs(5);
/// The least time between two tries to find a way around a relay.
pub(super) const DETOUR_PAUSE: Duration = Duration::from_secs(30);

/// What the options of [`RemoteCommsOptions`] mean here.
#[derive(Debug)]
pub(super) struct Policy {
    pub(super) relays: Vec<String>,
    pub(super) max_retry_attempts: u32,
    /// How long a peer is tried for which something waits.
    pub(super) give_up_after: Duration,
    pub(super) max_connections: usize,
    /// The part of them that strangers may have; the rest is for peers that the kernel knows.
    pub(super) max_guests: usize,
    /// Strangers that are remembered.
    pub(super) max_strangers: usize,
    pub(super) max_message_bytes: usize,
    pub(super) max_messages_per_second: u32,
    pub(super) max_attempts_per_minute: u32,
    /// Channels that one peer may open.
    pub(super) max_inbound_per_minute: u32,
    /// Sends that wait for a channel or behind its writes, per peer.
    pub(super) max_waiting: usize,
    pub(super) handshake_timeout: Duration,
    pub(super) dial_timeout: Duration,
    pub(super) write_timeout: Duration,
    pub(super) inactivity_timeout: Duration,
    pub(super) backoff_base: Duration,
    pub(super) backoff_cap: Duration,
    pub(super) cleanup_interval: Duration,
    pub(super) stale_after: Duration,
}

impl Policy {
    pub(super) fn new(options: &RemoteCommsOptions) -> Self {
        let at_least_one_ms = |millis: u64| Duration::from_millis(millis.max(1));
        let inactivity = options.stream_inactivity_timeout_ms.max(RemoteCommsOptions::MIN_STREAM_INACTIVITY_TIMEOUT_MS);
        Policy {
            relays: options.relays.clone(),
            max_retry_attempts: options.max_retry_attempts,
            give_up_after: at_least_one_ms(options.give_up_after_ms),
            max_connections: options.max_concurrent_connections,
            max_guests: options.max_concurrent_connections.saturating_sub(options.max_concurrent_connections / 4),
            max_strangers: options.max_concurrent_connections.saturating_mul(10),
            max_message_bytes: options.max_message_size_bytes,
            max_messages_per_second: options.max_messages_per_second,
            max_attempts_per_minute: options.max_connection_attempts_per_minute,
            max_inbound_per_minute: options.max_connection_attempts_per_minute.saturating_mul(INBOUND_PER_ATTEMPT),
            // A kernel may have `max_queue` messages under way, its own replies not counted.
            max_waiting: options.max_queue.saturating_mul(2),
            handshake_timeout: at_least_one_ms(options.handshake_timeout_ms),
            dial_timeout: at_least_one_ms(options.dial_timeout_ms),
            write_timeout: at_least_one_ms(options.write_timeout_ms),
            inactivity_timeout: Duration::from_millis(inactivity),
            backoff_base: at_least_one_ms(options.reconnection_base_delay_ms),
            backoff_cap: at_least_one_ms(options.reconnection_max_delay_ms),
            cleanup_interval: at_least_one_ms(options.cleanup_interval_ms),
            stale_after: at_least_one_ms(options.stale_peer_timeout_ms),
        }
    }
}
