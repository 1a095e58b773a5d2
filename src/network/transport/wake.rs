//! Notices that the machine slept: timers do not ring during a sleep, so a regular tick comes late.

use std::time::Duration;

use crate::runtime::Timestamp;

/// How often the clock is looked at.
const TICK: Duration = Duration::from_secs(15);
/// A tick that is this late means that the machine slept.
const JUMP: Duration = Duration::from_secs(30);

/// Compares when a tick was due with when it came.
#[derive(Debug)]
pub(super) struct WakeDetector {
    next_tick: Timestamp,
}

impl WakeDetector {
    pub(super) fn new(now: Timestamp) -> Self {
        WakeDetector { next_tick: now.after(TICK) }
    }

    /// When to call [`woke`](Self::woke) next.
    pub(super) fn next_tick(&self) -> Timestamp {
        self.next_tick
    }

    /// Whether the machine has just woken from a sleep. It may be called at any time.
    pub(super) fn woke(&mut self, now: Timestamp) -> bool {
        if now < self.next_tick {
            return false;
        }
        let late = now.since(self.next_tick);
        self.next_tick = now.after(TICK);
        late > JUMP
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn a_tick_that_is_more_than_30_s_late_is_a_wake_and_is_told_once() {
        let mut detector = WakeDetector::new(at(0));
        assert!(!detector.woke(at(14_999)) && !detector.woke(at(15_000)));
        assert!(!detector.woke(at(60_000)), "a busy page may be 30 s late");
        assert!(detector.woke(at(105_001)));
        assert!(!detector.woke(at(105_001)));
        assert_eq!(detector.next_tick(), at(120_001));
    }

    proptest! {
        #[test]
        fn a_timer_that_rings_in_time_is_never_a_wake_and_a_long_gap_always_is(
            delays in proptest::collection::vec(0_u64..=30_000, 1..50),
            sleep in 45_001_u64..10_000_000,
        ) {
            let mut detector = WakeDetector::new(at(0));
            for delay in delays {
                let due = detector.next_tick().as_millis();
                prop_assert!(!detector.woke(at(due + delay)));
            }
            let since = detector.next_tick().as_millis() - 15_000;
            prop_assert!(detector.woke(at(since + sleep)));
        }
    }
}
