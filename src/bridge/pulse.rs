//! Whether the other end still lives, as far as calls that wait want to know: nothing tells that a Worker was terminated, or the
//! page at the other end of a port was closed.

#![forbid(unsafe_code)]

use std::time::Duration;

use crate::runtime::Timestamp;

/// How often is looked for a sign of life while calls wait.
pub(super) const INTERVAL: Duration = Duration::from_secs(5);

/// Intervals without a word, of which the first ends with a ping, until calls are rejected.
const PATIENCE: u32 = 3;

/// What is known of the other end.
#[derive(Debug, PartialEq)]
pub(super) enum Sign {
    Alive,
    /// It was silent: to be asked.
    Unknown,
    /// It was asked and has not answered.
    Gone {
        silence: Duration,
    },
}

#[derive(Default)]
pub(super) struct Pulse {
    is_watched: bool,
    last_check: Timestamp,
    heard: bool,
    silent_intervals: u32,
}

impl Pulse {
    /// Something came.
    pub(super) fn heard(&mut self) {
        self.heard = true;
    }

    /// Begins to watch; false if it is watched already.
    pub(super) fn begin(&mut self, now: impl FnOnce() -> Timestamp) -> bool {
        let begins = !self.is_watched;
        if begins {
            *self = Pulse { is_watched: true, last_check: now(), ..Pulse::default() };
        }
        begins
    }

    pub(super) fn end(&mut self) {
        self.is_watched = false;
    }

    /// To be asked after each interval.
    pub(super) fn check(&mut self, now: Timestamp) -> Sign {
        // Whoever slept through an interval cannot say that the other end was silent.
        let overslept = now.since(self.last_check) > INTERVAL.saturating_mul(2);
        let heard = std::mem::take(&mut self.heard);
        self.last_check = now;
        if heard || overslept {
            self.silent_intervals = 0;
            return Sign::Alive;
        }
        self.silent_intervals = self.silent_intervals.saturating_add(1);
        match self.silent_intervals {
            1 => Sign::Unknown,
            PATIENCE.. => {
                self.silent_intervals = 0;
                Sign::Gone { silence: INTERVAL.saturating_mul(PATIENCE) }
            }
            _ => Sign::Alive,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    #[test]
    fn a_silent_end_is_asked_and_then_given_up_and_asked_again() {
        let mut pulse = Pulse::default();
        assert!(pulse.begin(|| at(0)));
        assert!(!pulse.begin(|| at(1)));
        let gone = || Sign::Gone { silence: Duration::from_secs(15) };
        let signs: Vec<_> = (1..=6).map(|round| pulse.check(at(5 * round))).collect();
        assert_eq!(signs, [Sign::Unknown, Sign::Alive, gone(), Sign::Unknown, Sign::Alive, gone()]);
    }

    #[test]
    fn a_word_or_a_sleep_begins_anew() {
        let mut pulse = Pulse::default();
        pulse.begin(|| at(0));
        assert_eq!((pulse.check(at(5)), pulse.check(at(10))), (Sign::Unknown, Sign::Alive));
        pulse.heard();
        assert_eq!((pulse.check(at(15)), pulse.check(at(20))), (Sign::Alive, Sign::Unknown));
        // This context was suspended; so may the other have been.
        assert_eq!((pulse.check(at(500)), pulse.check(at(505))), (Sign::Alive, Sign::Unknown));
        pulse.end();
        assert!(pulse.begin(|| at(600)));
    }
}
