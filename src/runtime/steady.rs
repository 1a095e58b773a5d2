//! A clock that neither runs backwards nor stops while the machine sleeps.

use std::cell::Cell;

/// A wall clock that is so much ahead, in milliseconds, shows that the machine slept; less may be its correction.
const SLEPT_MS: f64 = 5_000.0;

/// In some browsers `performance.now` stands still during a sleep; the wall clock goes on, but may be set back.
#[derive(Debug, Default)]
pub(super) struct SteadyClock {
    slept: Cell<f64>,
}

impl SteadyClock {
    /// The time, from both clocks; all in milliseconds since the Unix epoch.
    pub(super) fn read(&self, monotonic: f64, wall: f64) -> f64 {
        let behind = wall - (monotonic + self.slept.get());
        if behind > SLEPT_MS {
            self.slept.set(self.slept.get() + behind);
        }
        monotonic + self.slept.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sleep_that_the_monotonic_clock_missed_is_made_up_for_once_and_nothing_runs_backwards() {
        let clock = SteadyClock::default();
        assert_eq!(clock.read(1_000.0, 1_200.0), 1_000.0, "a small difference is no sleep");
        assert_eq!(clock.read(2_000.0, 602_000.0), 602_000.0);
        assert_eq!(clock.read(3_000.0, 603_000.0), 603_000.0);
        assert_eq!(clock.read(4_000.0, 10.0), 604_000.0, "the wall clock was set back");
        assert_eq!(clock.read(5_000.0, 605_000.0), 605_000.0);
    }
}
