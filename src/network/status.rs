//! What is known of the network: a snapshot on demand, and an event for each change.

use std::{
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use serde::{Serialize, Serializer};

use super::{
    circuit::{CircuitLimit, CircuitUse},
    link::ErrorCode,
};
use crate::{
    runtime::Timestamp,
    wire::{IncarnationId, PeerId},
};

/// How far a peer's channel is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum PeerState {
    /// No channel, and no reason to get one.
    Idle,
    /// The last attempt failed; the next is at [`PeerStatus::next_attempt_at`].
    Waiting,
    /// A stream is being opened.
    Dialling,
    /// A stream is open; both ends are showing their incarnations.
    Handshaking,
    /// Messages pass.
    Connected,
    /// Closed by the kernel until it reconnects.
    Closed,
    /// Failed so often for one reason that only a send, a reconnect or a wake makes another attempt.
    Failed,
}

/// What a channel runs over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChannelKind {
    /// A WebSocket, plain or with TLS.
    Ws,
    /// WebRTC, dialled directly.
    WebrtcDirect,
    /// A circuit through a relay.
    Relayed,
    /// Anything else, such as a network within one process.
    #[default]
    Other,
}

/// The connection below a stream. Clones tell of the same connection.
#[derive(Clone, Debug, Default)]
pub struct Path {
    /// What it runs over.
    pub kind: ChannelKind,
    /// The relay's peer id, for a circuit.
    pub relay: Option<PeerId>,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    /// In microseconds; 0 while unknown.
    round_trip: AtomicU32,
    /// When the last probe was sent that has come back, in milliseconds since the Unix epoch; 0 while unknown.
    came_back: AtomicU64,
    circuit: OnceLock<Circuit>,
}

#[derive(Debug)]
struct Circuit {
    opened: Timestamp,
    limit: CircuitLimit,
    carried: Arc<AtomicU64>,
}

impl Path {
    /// A path whose round trip is not known yet.
    pub fn new(kind: ChannelKind, relay: Option<PeerId>) -> Self {
        Path { kind, relay, shared: Arc::default() }
    }

    /// The last round trip measured, to the microsecond.
    pub fn round_trip(&self) -> Option<Duration> {
        let micros = self.shared.round_trip.load(Ordering::Relaxed);
        (micros > 0).then(|| Duration::from_micros(micros.into()))
    }

    /// Notes a round trip that has just been measured, by a probe that went the way of everything else; at most about 71
    /// minutes can be told.
    pub fn note_round_trip(&self, now: Timestamp, round_trip: Duration) {
        let micros = u32::try_from(round_trip.as_micros()).unwrap_or(u32::MAX);
        self.shared.round_trip.store(micros.max(1), Ordering::Relaxed);
        let sent = now.as_millis().saturating_sub(u64::from(micros) / 1_000);
        self.shared.came_back.store(sent, Ordering::Relaxed);
    }

    /// Whether the connection may still be carrying what it was given until `since`: no probe that was sent after that has come
    /// back yet. Where none ever came back nothing is known, and nothing is supposed.
    pub fn is_carrying(&self, since: Timestamp) -> bool {
        let sent = self.shared.came_back.load(Ordering::Relaxed);
        sent > 0 && sent < since.as_millis()
    }

    /// Notes that this is a circuit with limits, whose bytes are counted in `carried`; the first word counts.
    pub fn note_circuit(&self, opened: Timestamp, limit: CircuitLimit, carried: Arc<AtomicU64>) {
        self.shared.circuit.get_or_init(|| Circuit { opened, limit, carried });
    }

    /// How much of a circuit with limits is used; `None` for any other connection.
    pub fn circuit(&self) -> Option<CircuitUse> {
        let Circuit { opened, limit, carried } = self.shared.circuit.get()?;
        let carried = carried.load(Ordering::Relaxed);
        Some(CircuitUse { relay: self.relay.clone(), opened: *opened, limit: *limit, carried })
    }

    /// Whether both tell of the same connection.
    pub fn is_same(&self, other: &Path) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }
}

/// A channel in use.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ChannelStatus {
    /// What it runs over.
    pub kind: ChannelKind,
    /// The relay's peer id, for a circuit.
    #[serde(serialize_with = "text_or_null")]
    pub relay: Option<PeerId>,
    /// What the peer called itself in the handshake.
    #[serde(serialize_with = "text")]
    pub incarnation: IncarnationId,
    /// Whether this end opened it.
    pub dialled_by_us: bool,
    /// When it was registered, in milliseconds since the Unix epoch.
    pub since: u64,
    /// When something was last read or written on it, in milliseconds since the Unix epoch.
    pub last_traffic: u64,
    /// The last round trip measured, in milliseconds.
    pub round_trip_ms: Option<f64>,
}

/// The last thing that went wrong with a peer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LastError {
    /// When, in milliseconds since the Unix epoch.
    pub at: u64,
    /// What, for people; at most about 200 bytes.
    pub reason: String,
}

/// One peer.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PeerStatus {
    /// Which.
    #[serde(serialize_with = "text")]
    pub peer_id: PeerId,
    /// How far its channel is.
    pub state: PeerState,
    /// The channel in use, when connected.
    pub channel: Option<ChannelStatus>,
    /// Messages accepted and not yet written.
    pub unwritten: usize,
    /// Failed attempts of the reconnection loop in a row.
    pub failed_attempts: u32,
    /// When the next attempt is due, in milliseconds since the Unix epoch.
    pub next_attempt_at: Option<u64>,
    /// The last thing that went wrong, if it is still remembered.
    pub last_error: Option<LastError>,
}

/// Whether a relay serves us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum RelayState {
    /// It has accepted a reservation: peers reach this kernel through it.
    Up,
    /// The reservation was lost, or is not to be had; it is tried again.
    Down,
}

/// One relay that has been heard of since the start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RelayStatus {
    /// Its address, as configured.
    pub relay: String,
    /// Whether it serves us.
    pub state: RelayState,
    /// What kind of failure happened last, unless it is up.
    #[serde(serialize_with = "text_or_null")]
    pub code: Option<ErrorCode>,
    /// What happened last, for people, unless it is up.
    pub reason: Option<String>,
}

/// Everything.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct NetworkStatus {
    /// Peers that are known, in the order of their ids.
    pub peers: Vec<PeerStatus>,
    /// Relays, in the order of their addresses.
    pub relays: Vec<RelayStatus>,
}

/// Something changed.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "camelCase")]
pub enum NetworkEvent {
    /// A peer's state, channel, or next attempt. Changes that come to one at once are told as one.
    Peer(PeerStatus),
    /// A relay.
    Relay(RelayStatus),
    /// A peer broke the protocol or a limit.
    #[serde(rename_all = "camelCase")]
    Fault {
        /// Which.
        #[serde(serialize_with = "text")]
        peer_id: PeerId,
        /// The stable name of the error.
        name: String,
        /// What it did.
        message: String,
    },
}

fn text<T: fmt::Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

fn text_or_null<T: fmt::Display, S: Serializer>(value: &Option<T>, serializer: S) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => serializer.collect_str(value),
        None => serializer.serialize_none(),
    }
}
