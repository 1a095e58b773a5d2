//! How long to wait before trying a peer again, and when to stop trying.

use std::time::Duration;

use crate::network::link::ErrorCode;

/// Exponential backoff with full jitter: the delay is drawn evenly between 0 and a bound that doubles with each failure.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The next delay; `random` is an evenly distributed number.
    pub(super) fn delay(&self, base: Duration, cap: Duration, random: u64) -> Duration {
        let factor = 1_u32.checked_shl(self.failures.min(31)).unwrap_or(u32::MAX);
        let bound = base.saturating_mul(factor).min(cap);
        let bound = u64::try_from(bound.as_millis()).unwrap_or(u64::MAX);
        Duration::from_millis(random.checked_rem(bound.saturating_add(1)).unwrap_or(0))
    }

    /// Counts a failed attempt.
    pub(super) fn record_failure(&mut self) {
        self.failures = self.failures.saturating_add(1);
    }

    /// Failed attempts in a row.
    pub(super) fn failures(&self) -> u32 {
        self.failures
    }

    /// Whether `max_attempts` have failed; 0 is without limit.
    pub(super) fn is_exhausted(&self, max_attempts: u32) -> bool {
        max_attempts > 0 && self.failures >= max_attempts
    }

    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }
}

/// Recognises a peer that cannot be reached for a reason that will not pass by itself.
#[derive(Debug, Default)]
pub(super) struct FailureStreak {
    code: Option<ErrorCode>,
    length: u32,
}

impl FailureStreak {
    /// So many failures in a row with one code are permanent.
    const PERMANENT: u32 = 5;

    /// Notes a failed attempt; true when the failure has become permanent.
    pub(super) fn record(&mut self, code: Option<ErrorCode>) -> bool {
        use ErrorCode::{ConnRefused, HostUnreach, NetUnreach, NotFound};
        let counted = code.filter(|code| matches!(code, ConnRefused | HostUnreach | NotFound | NetUnreach));
        self.length = match counted {
            None => 0,
            Some(_) if counted == self.code => self.length.saturating_add(1),
            Some(_) => 1,
        };
        self.code = counted;
        self.length >= Self::PERMANENT
    }

    pub(super) fn reset(&mut self) {
        *self = FailureStreak::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: Duration = Duration::from_millis(500);
    const CAP: Duration = Duration::from_secs(10);

    #[test]
    fn the_bound_doubles_up_to_the_cap() {
        let mut backoff = Backoff::default();
        for bound in [500, 1_000, 2_000, 4_000, 8_000, 10_000, 10_000] {
            assert_eq!(backoff.delay(BASE, CAP, bound), Duration::from_millis(bound), "the bound itself is reached");
            assert_eq!(backoff.delay(BASE, CAP, bound + 1), Duration::ZERO, "and not exceeded");
            backoff.record_failure();
        }
        (0..100).for_each(|_| backoff.record_failure());
        assert!(backoff.delay(BASE, CAP, u64::MAX) <= CAP);
    }

    #[test]
    fn zero_attempts_are_without_limit() {
        let mut backoff = Backoff::default();
        backoff.record_failure();
        backoff.record_failure();
        assert!(backoff.is_exhausted(2) && !backoff.is_exhausted(3) && !backoff.is_exhausted(0));
    }

    #[test]
    fn five_equal_failures_in_a_row_are_permanent() {
        let mut streak = FailureStreak::default();
        let refused = Some(ErrorCode::ConnRefused);
        assert!((0..4).all(|_| !streak.record(refused)));
        assert!(!streak.record(Some(ErrorCode::NotFound)), "another code begins a new streak");
        assert!((0..4).all(|_| !streak.record(refused)));
        assert!(!streak.record(Some(ErrorCode::TimedOut)), "a time-out passes by itself");
        assert!((0..4).all(|_| !streak.record(refused)));
        assert!(streak.record(refused));
    }
}
