//! Notices that the machine slept: timers do not ring during a sleep, so a regular tick comes late.
//!
//! In a page that nobody sees, browsers let timers ring once a minute. There each tick is late, and the first of them looks like
//! a sleep; those after it do not.

use std::time::Duration;

use crate::runtime::Timestamp;

/// How often the clock is looked at.
const TICK: Duration = Duration::from_secs(15);
/// A tick that is this late means that the machine slept.
const JUMP: Duration = Duration::from_secs(30);

/// What a hidden page's timers may be late by.
const THROTTLED: Duration = Duration::from_secs(60);

/// Compares when a tick was due with when it came.
#[derive(Debug)]
pub(super) struct WakeDetector {
    next_tick: Timestamp,
    /// What ticks are late by without a sleep, judging by the last one.
    usual: Duration,
}

impl WakeDetector {
    pub(super) fn new(now: Timestamp) -> Self {
        WakeDetector { next_tick: now.after(TICK), usual: Duration::ZERO }
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
        let woke = late > JUMP.saturating_add(self.usual);
        self.usual = if late > JUMP { late.min(THROTTLED) } else { Duration::ZERO };
        woke
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

    #[test]
    fn a_page_whose_timers_ring_once_a_minute_wakes_once_and_a_sleep_is_told_from_that() {
        let mut detector = WakeDetector::new(at(0));
        let mut now = 0;
        let mut woke = |pause: u64| {
            now += pause;
            detector.woke(at(now))
        };
        let wakes = (0..10).filter(|_| woke(60_000)).count();
        assert_eq!(wakes, 1);
        assert!(woke(600_000), "it slept meanwhile");
        assert!((0..10).all(|_| !woke(60_000)));
        assert!((0..10).all(|_| !woke(15_000)), "somebody looks at it");
        assert!(woke(46_000) && !woke(15_000) && woke(46_000), "short sleeps are told again");
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
