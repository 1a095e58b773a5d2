//! A connection through a relay, which ends at the limits that the relay sets: a time, and a number of bytes.

use std::time::Duration;

use crate::{runtime::Timestamp, wire::PeerId};

/// The specification counts a circuit's duration in seconds, and js-libp2p's relay announces milliseconds in their place: its
/// 2 minutes would be 33 hours. So a duration of this many seconds or more is taken for milliseconds if these are whole seconds,
/// as one day's 86,400 are not. Where that is wrong, a circuit moves more often than it must.
const TAKEN_FOR_MILLISECONDS: u64 = 60_000;

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
        let duration = duration.map(|duration| match duration.as_secs() {
            count if count >= TAKEN_FOR_MILLISECONDS && count % 1_000 == 0 => Duration::from_millis(count),
            _ => duration,
        });
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_is_no_limit_and_what_would_be_most_of_a_day_is_milliseconds_and_a_day_is_a_day() {
        let read = |seconds| CircuitLimit::new(Some(Duration::from_secs(seconds)), Some(0)).duration;
        let expected = [
            (0, None),
            (120, Some(120_000)),
            (59_999, Some(59_999_000)),
            (120_000, Some(120_000)),
            (86_400, Some(86_400_000)),
        ];
        for (announced, millis) in expected {
            assert_eq!(read(announced), millis.map(Duration::from_millis), "{announced}");
        }
        assert!(!CircuitLimit::new(None, Some(0)).is_limited());
    }
}
