//! A connection through a relay, which ends at the limits that the relay sets: a time, and a number of bytes.

use std::time::Duration;

use crate::{runtime::Timestamp, wire::PeerId};

/// What a relay grants each circuit; `None` is without limit. Relays tell it when they accept a reservation and when they open
/// a circuit (circuit relay v2, `Limit`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CircuitLimit {
    /// How long a circuit may last.
    pub duration: Option<Duration>,
    /// How many bytes it may carry. The specification counts each direction by itself, rust-libp2p's relay both together;
    /// so do we, which is right for either.
    pub bytes: Option<u64>,
}

impl CircuitLimit {
    /// From what the relay said, where 0 means that there is no limit.
    pub fn new(duration: Option<Duration>, bytes: Option<u64>) -> Self {
        CircuitLimit {
            duration: duration.filter(|duration| !duration.is_zero()),
            bytes: bytes.filter(|bytes| *bytes > 0),
        }
    }

    /// Whether there is any.
    pub fn is_limited(&self) -> bool {
        self.duration.is_some() || self.bytes.is_some()
    }
}

/// How much of a circuit is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CircuitUse {
    /// The relay.
    pub relay: Option<PeerId>,
    /// When it was opened; a little earlier at the relay.
    pub opened: Timestamp,
    /// Where it ends.
    pub limit: CircuitLimit,
    /// Bytes carried so far in both directions, everything below our protocol included.
    pub carried: u64,
}
