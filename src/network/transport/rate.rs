//! Rate limits: how much may happen within a sliding window.

use std::{collections::VecDeque, time::Duration};

use crate::runtime::Timestamp;

/// Allows `limit` events in any `period`.
#[derive(Debug)]
pub(super) struct SlidingWindow {
    limit: u32,
    period: Duration,
    taken: VecDeque<Timestamp>,
}

impl SlidingWindow {
    pub(super) fn new(limit: u32, period: Duration) -> Self {
        SlidingWindow { limit, period, taken: VecDeque::new() }
    }

    /// Counts one event, unless that would be one too many. A refused event does not count.
    pub(super) fn try_take(&mut self, now: Timestamp) -> bool {
        self.expire(now);
        let allowed = self.taken.len() < self.limit as usize;
        if allowed {
            self.taken.push_back(now);
        }
        allowed
    }

    /// Whether an event would be allowed now.
    pub(super) fn has_room(&self, now: Timestamp) -> bool {
        self.next_free(now) <= now
    }

    /// When the next event will be allowed, if none is taken in between.
    pub(super) fn next_free(&self, now: Timestamp) -> Timestamp {
        if self.taken.len() < self.limit as usize {
            return now;
        }
        self.taken.front().unwrap_or(&now).after(self.period).max(now)
    }

    /// When to take the next event so that some are left for the rest of the period: half of them may go as fast as they
    /// like, the others are spread evenly over what remains until the first leaves the window.
    pub(super) fn paced(&mut self, now: Timestamp) -> Timestamp {
        self.expire(now);
        let left = self.limit.saturating_sub(u32::try_from(self.taken.len()).unwrap_or(u32::MAX));
        match self.taken.front() {
            Some(first) if left <= self.limit / 2 => {
                let remaining = first.after(self.period).since(now);
                now.after(remaining / left.saturating_add(1))
            }
            _ => now,
        }
    }

    pub(super) fn limit(&self) -> u32 {
        self.limit
    }

    /// Whether nothing is remembered that could refuse an event.
    pub(super) fn is_unused(&mut self, now: Timestamp) -> bool {
        self.expire(now);
        self.taken.is_empty()
    }

    fn expire(&mut self, now: Timestamp) {
        while self.taken.front().is_some_and(|taken| now >= taken.after(self.period)) {
            self.taken.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_slides_and_refusals_do_not_count() {
        let at = Timestamp::from_millis;
        let mut window = SlidingWindow::new(2, Duration::from_secs(1));
        assert!(window.try_take(at(0)) && window.try_take(at(600)));
        assert!(!window.try_take(at(999)));
        assert_eq!(window.next_free(at(999)), at(1000));
        assert!(window.try_take(at(1000)), "the first event has left the window");
        assert!(!window.try_take(at(1599)) && window.try_take(at(1600)));
        assert!(window.is_unused(at(3000)));
    }

    #[test]
    fn half_may_go_at_once_and_the_rest_is_spread() {
        let at = Timestamp::from_millis;
        let mut window = SlidingWindow::new(4, Duration::from_secs(60));
        assert_eq!(window.paced(at(0)), at(0));
        assert!(window.try_take(at(0)));
        assert_eq!(window.paced(at(0)), at(0), "three are left");
        assert!(window.try_take(at(0)));
        assert_eq!(window.paced(at(0)), at(20_000));
        assert!(window.try_take(at(20_000)));
        assert_eq!(window.paced(at(30_000)), at(45_000), "what remains is spread anew");
        assert!(window.try_take(at(40_000)));
        assert_eq!(window.paced(at(40_000)), at(60_000), "none is left");
        assert_eq!(window.paced(at(60_000)), at(66_666), "two are left again");
    }
}
