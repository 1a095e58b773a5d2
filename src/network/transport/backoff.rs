//! How long to wait before trying a peer again, and when to stop trying.

use std::time::Duration;

use crate::{network::link::ErrorCode, runtime::Timestamp};

/// The longest delay while somebody waits: an outage is not to cost as long again as it lasted.
const EAGER_CAP: Duration = Duration::from_secs(2);

/// For how long somebody is hurried for.
const EAGER_FOR: Duration = Duration::from_secs(180);

/// Exponential backoff with full jitter: the delay is drawn evenly between 0 and a bound that doubles with each failure.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
    /// Those of them that count against the peer.
    counted: u32,
    /// Since when there are delays.
    since: Option<Timestamp>,
}

impl Backoff {
    /// The next delay; `owed` if somebody waits. `random` is an evenly distributed number.
    pub(super) fn delay(
        &mut self,
        now: Timestamp,
        (base, cap): (Duration, Duration),
        owed: bool,
        random: u64,
    ) -> Duration {
        let is_fresh = now.since(*self.since.get_or_insert(now)) < EAGER_FOR;
        let cap = if owed && is_fresh { cap.min(EAGER_CAP) } else { cap };
        let factor = 1_u32.checked_shl(self.failures.min(31)).unwrap_or(u32::MAX);
        let bound = base.saturating_mul(factor).min(cap);
        let bound = u64::try_from(bound.as_millis()).unwrap_or(u64::MAX);
        Duration::from_millis(random.checked_rem(bound.saturating_add(1)).unwrap_or(0))
    }

    /// Notes a failed attempt; one that never left says nothing of the peer.
    pub(super) fn record_failure(&mut self, left: bool) {
        self.failures = self.failures.saturating_add(1);
        self.counted = self.counted.saturating_add(u32::from(left));
    }

    /// Failed attempts in a row.
    pub(super) fn failures(&self) -> u32 {
        self.failures
    }

    /// Whether `max_attempts` have failed; 0 is without limit.
    pub(super) fn is_exhausted(&self, max_attempts: u32) -> bool {
        max_attempts > 0 && self.counted >= max_attempts
    }

    pub(super) fn reset(&mut self) {
        *self = Backoff::default();
    }
}

/// Recognises a peer that cannot be reached for a reason that will not pass by itself.
#[derive(Debug, Default)]
pub(super) struct FailureStreak {
    code: Option<ErrorCode>,
    length: u32,
    since: Timestamp,
}

impl FailureStreak {
    /// So many failures in a row with one code are permanent,
    const PERMANENT: u32 = 5;

    /// if they went on for so long: a server that is started again refuses for some seconds, and an incumbent takes
    /// connections before it speaks the protocol.
    const LASTING: Duration = Duration::from_secs(120);

    /// Notes a failed attempt that left; true when the failure has become permanent.
    pub(super) fn record(&mut self, code: Option<ErrorCode>, now: Timestamp) -> bool {
        use ErrorCode::{ConnRefused, HostUnreach, NotFound, ProtocolUnsupported};
        let counted = code.filter(|code| matches!(code, ConnRefused | HostUnreach | NotFound | ProtocolUnsupported));
        if counted.is_none() || counted != self.code {
            *self = FailureStreak { code: counted, length: 0, since: now };
        }
        self.length = self.length.saturating_add(u32::from(counted.is_some()));
        self.length >= Self::PERMANENT && now.since(self.since) >= Self::LASTING
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

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(seconds * 1_000)
    }

    #[test]
    fn the_bound_doubles_up_to_the_cap() {
        let mut backoff = Backoff::default();
        for bound in [500, 1_000, 2_000, 4_000, 8_000, 10_000, 10_000] {
            let mut delay = |random| backoff.delay(at(0), (BASE, CAP), false, random);
            assert_eq!(delay(bound), Duration::from_millis(bound), "the bound itself is reached");
            assert_eq!(delay(bound + 1), Duration::ZERO, "and not exceeded");
            backoff.record_failure(true);
        }
        (0..100).for_each(|_| backoff.record_failure(true));
        assert!(backoff.delay(at(0), (BASE, CAP), false, u64::MAX) <= CAP);
    }

    #[test]
    fn while_somebody_waits_the_delays_stay_short_for_some_minutes() {
        let mut backoff = Backoff::default();
        (0..100).for_each(|_| backoff.record_failure(true));
        let mut delay = |second, owed, random| backoff.delay(at(second), (BASE, CAP), owed, random).as_millis();
        assert_eq!((delay(1_000, true, 2_000), delay(1_000, true, 2_001)), (2_000, 0));
        assert_eq!((delay(1_179, true, 2_000), delay(1_179, false, 10_000)), (2_000, 10_000));
        assert_eq!(delay(1_180, true, 10_000), 10_000);
        backoff.reset();
        (0..100).for_each(|_| backoff.record_failure(true));
        assert_eq!(backoff.delay(at(2_000), (BASE, CAP), true, 2_001), Duration::ZERO, "the minutes begin anew");
    }

    #[test]
    fn zero_attempts_are_without_limit_and_what_never_left_does_not_count() {
        let mut backoff = Backoff::default();
        backoff.record_failure(true);
        backoff.record_failure(false);
        backoff.record_failure(true);
        assert!(backoff.is_exhausted(2) && !backoff.is_exhausted(3) && !backoff.is_exhausted(0));
        assert_eq!(backoff.failures(), 3);
    }

    #[test]
    fn five_equal_failures_in_a_row_are_permanent_if_they_went_on_for_two_minutes() {
        let mut streak = FailureStreak::default();
        let refused = Some(ErrorCode::ConnRefused);
        assert!((0..20).all(|second| !streak.record(refused, at(second))), "it may be starting again");
        assert!(!streak.record(refused, at(119)) && streak.record(refused, at(120)));
        assert!(!streak.record(Some(ErrorCode::NotFound), at(130)), "another code begins a new streak");
        assert!((0..4).all(|_| !streak.record(refused, at(140))));
        assert!(!streak.record(Some(ErrorCode::TimedOut), at(150)), "a time-out passes by itself");
        assert!(!streak.record(refused, at(200)) && !streak.record(refused, at(400)), "two are few");
        assert!((0..2).all(|_| !streak.record(refused, at(401))) && streak.record(refused, at(402)));
    }
}
