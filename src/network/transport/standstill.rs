//! Limits on standing still, in the place of limits on how long something takes: what moves is alive, however slowly.

use std::time::Duration;

use crate::runtime::Timestamp;

/// How long a line may carry on without a sign that what was given to it arrives. The heartbeat waits no longer either.
const LONGEST_CARRIAGE: Duration = Duration::from_secs(64);

/// The slowest line on which a frame is waited for, in bytes per second: a peer that sends less keeps a frame from ending.
const SLOWEST_FRAME: u64 = 1 << 10;

/// How often the kernel is told that a long frame moves.
const TOLD_EVERY: Duration = Duration::from_secs(2);

/// The wait for a step of the peer's: an answer, or room for more bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Standstill {
    /// The last step.
    since: Timestamp,
    until: Timestamp,
}

impl Standstill {
    pub(super) fn new(now: Timestamp, limit: Duration) -> Self {
        Standstill { since: now, until: now.after(limit) }
    }

    pub(super) fn since(self) -> Timestamp {
        self.since
    }

    pub(super) fn deadline(self) -> Timestamp {
        self.until
    }

    /// What was given to the line before may still be on its way, and the step behind it: it is waited for once more, unless
    /// that has gone on for too long. True if it is.
    pub(super) fn put_off(&mut self, now: Timestamp, limit: Duration) -> bool {
        let patient = now.since(self.since) < LONGEST_CARRIAGE;
        if patient {
            self.until = now.after(limit);
        }
        patient
    }
}

/// A long frame that is being read or written.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Progress {
    began: Option<Timestamp>,
    told: Option<Timestamp>,
}

impl Progress {
    /// A part of it passed. True if that is to be told.
    pub(super) fn part(&mut self, now: Timestamp) -> bool {
        let began = *self.began.get_or_insert(now);
        let tell = now.since(self.told.unwrap_or(began).max(began)) >= TOLD_EVERY;
        if tell {
            self.told = Some(now);
        }
        tell
    }

    /// It is whole.
    pub(super) fn end(&mut self) {
        self.began = None;
    }

    /// When a frame of at most so many bytes is too slow to be waited for, if one has begun.
    pub(super) fn too_slow_at(self, limit: Duration, max_bytes: usize) -> Option<Timestamp> {
        let slowest = Duration::from_secs(max_bytes as u64 / SLOWEST_FRAME);
        Some(self.began?.after(limit.saturating_add(slowest)))
    }
}
