//! When an unacknowledged message counts as lost, and when its peer does.
//!
//! The retransmission timeout follows the measured round trip (RFC 6298: smoothed mean plus four times the variation, doubled
//! with each retransmission), and never exceeds the configured acknowledgement timeout, which alone decides when the peer
//! is given up. A channel keeps order and tells its end, so the timer matters only where a peer's kernel refused a message or
//! its network lost one in silence; it is slow to suspect a line that is merely narrow.

use std::time::Duration;

use crate::{
    faults::{Fault, seeded},
    runtime::Timestamp,
    wire::Seq,
};

/// The shortest retransmission timeout (RFC 6298, 2.4); it also covers a peer's delayed acknowledgement.
const SHORTEST_TIMEOUT: Duration = Duration::from_secs(1);

/// Who comes so much later than its time has not waited, but slept: a machine, a page that was frozen, a clock that jumped. Time
/// in which nobody was there to hear an acknowledgement is no evidence against the peer.
pub(crate) const OVERSLEPT: Duration = Duration::from_secs(5);

/// The slowest line, in bytes per second, on which what is under way is not taken for lost too early.
const SLOWEST_LINE: u64 = 16 << 10;

/// What a channel holds at most between its two ends.
const MOST_UNDER_WAY: u64 = 2 << 20;

/// The round trip, smoothed as RFC 6298 says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct RoundTrip {
    smoothed: Duration,
    variation: Duration,
}

impl RoundTrip {
    fn first(sample: Duration) -> Self {
        RoundTrip { smoothed: sample, variation: sample / 2 }
    }

    fn next(self, sample: Duration) -> Self {
        let deviation = self.smoothed.abs_diff(sample);
        RoundTrip {
            smoothed: (self.smoothed.saturating_mul(7).saturating_add(sample)) / 8,
            variation: (self.variation.saturating_mul(3).saturating_add(deviation)) / 4,
        }
    }

    fn timeout(self) -> Duration {
        self.smoothed.saturating_add(self.variation.saturating_mul(4)).max(SHORTEST_TIMEOUT)
    }
}

/// What is waited for, and since when.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Waiting {
    /// When everything unacknowledged is written again.
    retransmit_at: Timestamp,
    /// When the peer is given up.
    give_up_at: Timestamp,
    /// No new channel puts the give-up off beyond this.
    give_up_at_last: Timestamp,
    /// Retransmissions since anything was acknowledged.
    retransmissions: u32,
    /// The [`carriage`] of all that is waited for.
    carriage: Duration,
}

/// What the time brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Elapsed {
    Nothing,
    Retransmit,
    GiveUp,
}

/// The timer of one session's outbox. It runs while anything is unacknowledged.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct RetransmissionTimer {
    ack_timeout: Duration,
    max_retransmissions: u32,
    round_trip: Option<RoundTrip>,
    /// The message whose round trip is being measured: it was written once, at this time.
    timed: Option<(Seq, Timestamp)>,
    waiting: Option<Waiting>,
    /// Since when there is no channel, and the network judges by itself when the peer is to be given up.
    outage: Option<Timestamp>,
}

impl RetransmissionTimer {
    pub(super) fn new(ack_timeout: Duration, max_retransmissions: u32) -> Self {
        RetransmissionTimer {
            ack_timeout,
            max_retransmissions,
            round_trip: None,
            timed: None,
            waiting: None,
            outage: None,
        }
    }

    /// Something is unacknowledged, `bytes` in all. A timer that runs is left as it is, but for the time that what has come to it
    /// may take: both ends may have a long message under way, and the acknowledgement of a short one before it is behind the peer's.
    pub(super) fn start(&mut self, now: Timestamp, bytes: usize) {
        let latest = now.after(self.longest(bytes));
        let Some(waiting) = &mut self.waiting else { return self.restart(now, bytes) };
        let more = carriage(bytes).saturating_sub(waiting.carriage);
        if more > Duration::ZERO {
            waiting.carriage = waiting.carriage.saturating_add(more);
            waiting.retransmit_at = waiting.retransmit_at.after(more).min(latest);
            waiting.give_up_at = waiting.give_up_at.after(more);
            waiting.give_up_at_last = waiting.give_up_at_last.after(more.saturating_mul(2));
        }
    }

    /// Something was acknowledged, and `bytes` are left: the wait begins anew.
    pub(super) fn progress(&mut self, now: Timestamp, bytes: usize) {
        self.waiting = None;
        if bytes > 0 {
            self.restart(now, bytes);
        }
    }

    /// A long message is under way on the channel, and moves: it, what is behind it, and the acknowledgements behind what the
    /// peer writes are waited for anew.
    pub(super) fn moving(&mut self, now: Timestamp, bytes: usize) {
        self.put_off(now, bytes);
        let patience = self.patience(bytes);
        if let Some(waiting) = &mut self.waiting {
            waiting.give_up_at = waiting.give_up_at.max(now.after(patience));
            waiting.give_up_at_last = waiting.give_up_at_last.max(now.after(patience.saturating_mul(2)));
        }
    }

    fn patience(&self, bytes: usize) -> Duration {
        self.ack_timeout.saturating_mul(self.max_retransmissions.saturating_add(1)).saturating_add(carriage(bytes))
    }

    fn restart(&mut self, now: Timestamp, bytes: usize) {
        let patience = self.patience(bytes);
        self.outage = self.outage.map(|_| now);
        self.waiting = Some(Waiting {
            retransmit_at: now.after(self.timeout(bytes, 0)),
            give_up_at: now.after(patience),
            give_up_at_last: now.after(patience.saturating_mul(2)),
            retransmissions: 0,
            carriage: carriage(bytes),
        });
    }

    /// A message was written for the first time; `is_oldest` if it is the one that is waited for.
    pub(super) fn written(&mut self, now: Timestamp, seq: Seq, is_oldest: bool, bytes: usize) {
        if self.timed.is_none() {
            self.timed = Some((seq, now));
        }
        if is_oldest {
            self.put_off(now, bytes);
        }
    }

    /// The message that is waited for was written just now: the way to there does not count.
    pub(super) fn put_off(&mut self, now: Timestamp, bytes: usize) {
        let Some(waiting) = self.waiting else { return };
        let retransmit_at = now.after(self.timeout(bytes, waiting.retransmissions));
        self.waiting = Some(Waiting { retransmit_at, ..waiting });
    }

    /// The peer acknowledges up to `seq`. A round trip is measured only on what was written once (Karn's rule).
    pub(super) fn measure(&mut self, now: Timestamp, seq: Seq) {
        let Some((_, written)) = self.timed.take_if(|(timed, _)| *timed <= seq) else { return };
        let sample = now.since(written);
        self.round_trip = Some(self.round_trip.map_or(RoundTrip::first(sample), |before| before.next(sample)));
    }

    /// What was written will be written again, so that an acknowledgement could be of either.
    pub(super) fn forget_measurement(&mut self) {
        self.timed = None;
    }

    /// Whether this end has slept since the last deadline. Then all of them move by as much, and the peer is asked again before
    /// anything is made of its silence.
    fn wakes_up(&mut self, now: Timestamp) -> bool {
        let Some(missed) = self.deadline().map(|due| now.since(due)).filter(|missed| *missed > OVERSLEPT) else {
            return false;
        };
        if let Some(waiting) = &mut self.waiting {
            waiting.retransmit_at = now;
            waiting.give_up_at_last = waiting.give_up_at_last.after(missed);
            let answered = now.after(self.ack_timeout).min(waiting.give_up_at_last);
            waiting.give_up_at = waiting.give_up_at.after(missed).max(answered);
        }
        // What has moved once is not to move for this again.
        self.outage = self.outage.map(|since| since.after(missed).min(now));
        self.timed = None;
        true
    }

    /// There is no channel: that nothing is acknowledged says nothing of the peer. What is pending is still written again
    /// now and then, should the network have forgotten that somebody waits.
    pub(super) fn no_channel(&mut self, now: Timestamp) {
        if !seeded(Fault::CountOutages) {
            self.outage.get_or_insert(now);
        }
    }

    /// Whether the network judges.
    pub(super) fn is_outage(&self) -> bool {
        self.outage.is_some()
    }

    /// A new channel gives the peer a full timeout to acknowledge on it. Time without one did not count; but what passed on the
    /// channels before does, or a peer that loses each at once would never be given up.
    pub(super) fn channel_up(&mut self, now: Timestamp, bytes: usize) {
        self.outage_ends(now);
        self.put_off(now, bytes);
        self.allow_a_timeout(now);
    }

    /// A new network says by itself whether there is a channel. Should it be one that never does, nobody else judges.
    pub(super) fn network_started(&mut self, now: Timestamp) {
        if self.is_outage() {
            self.outage_ends(now);
            self.allow_a_timeout(now);
        }
    }

    fn outage_ends(&mut self, now: Timestamp) {
        self.wakes_up(now);
        if let Some(since) = self.outage.take()
            && let Some(waiting) = &mut self.waiting
        {
            let missed = now.since(since);
            waiting.give_up_at = waiting.give_up_at.after(missed);
            waiting.give_up_at_last = waiting.give_up_at_last.after(missed);
        }
    }

    fn allow_a_timeout(&mut self, now: Timestamp) {
        let fresh = now.after(self.ack_timeout);
        if let Some(waiting) = &mut self.waiting {
            waiting.give_up_at = waiting.give_up_at.max(fresh.min(waiting.give_up_at_last));
        }
    }

    pub(super) fn stop(&mut self) {
        self.waiting = None;
        self.timed = None;
        // Should there still be no channel, the network says so when it hears of the next message.
        self.outage = None;
    }

    pub(super) fn deadline(&self) -> Option<Timestamp> {
        self.waiting.map(|waiting| {
            if self.is_outage() { waiting.retransmit_at } else { waiting.retransmit_at.min(waiting.give_up_at) }
        })
    }

    /// Tells the time; `bytes` are unacknowledged.
    pub(super) fn handle_timeout(&mut self, now: Timestamp, bytes: usize) -> Elapsed {
        self.wakes_up(now);
        let Some(waiting) = self.waiting else { return Elapsed::Nothing };
        if waiting.give_up_at <= now && !self.is_outage() {
            return Elapsed::GiveUp;
        }
        if waiting.retransmit_at > now {
            return Elapsed::Nothing;
        }
        let retransmissions = waiting.retransmissions.saturating_add(1);
        let retransmit_at = now.after(self.timeout(bytes, retransmissions));
        self.waiting = Some(Waiting { retransmit_at, retransmissions, ..waiting });
        Elapsed::Retransmit
    }

    fn longest(&self, bytes: usize) -> Duration {
        self.ack_timeout.saturating_add(carriage(bytes))
    }

    fn timeout(&self, bytes: usize, retransmissions: u32) -> Duration {
        let longest = self.longest(bytes);
        let Some(round_trip) = self.round_trip else { return longest };
        let transmission = Duration::from_millis((bytes as u64).saturating_mul(1000) / SLOWEST_LINE);
        let factor = 1_u32.checked_shl(retransmissions).unwrap_or(u32::MAX);
        let timeout = round_trip.timeout().saturating_add(transmission).saturating_mul(factor);
        timeout.min(longest)
    }
}

/// The time that what was written may be on its way on the slowest line, in whole seconds: it is in buffers that nobody can
/// look into.
fn carriage(bytes: usize) -> Duration {
    Duration::from_secs((bytes as u64).min(MOST_UNDER_WAY) / SLOWEST_LINE)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn measured(round_trip: u64) -> RetransmissionTimer {
        let mut timer = RetransmissionTimer::new(10 * SECOND, 3);
        timer.start(at(0), 100);
        timer.written(at(0), Seq::FIRST, true, 100);
        timer.measure(at(round_trip), Seq::FIRST);
        timer.progress(at(round_trip), 0);
        timer
    }

    #[test]
    fn without_a_measurement_the_acknowledgement_timeout_holds() {
        let mut timer = RetransmissionTimer::new(10 * SECOND, 3);
        timer.start(at(0), 100);
        for round in 1..=3 {
            assert_eq!(timer.deadline(), Some(at(round * 10_000)));
            assert_eq!(timer.handle_timeout(at(round * 10_000), 100), Elapsed::Retransmit);
        }
        assert_eq!(timer.handle_timeout(at(40_000), 100), Elapsed::GiveUp);
    }

    #[test]
    fn a_measured_round_trip_shortens_the_first_timeouts_and_backs_off() {
        let mut timer = measured(80);
        timer.start(at(0), 100);
        let mut rounds = Vec::new();
        loop {
            let due = timer.deadline().unwrap();
            rounds.push(due.as_millis());
            if timer.handle_timeout(due, 100) == Elapsed::GiveUp {
                break;
            }
        }
        assert_eq!(rounds, [1_006, 3_018, 7_042, 15_090, 25_090, 35_090, 40_000]);
    }

    #[test]
    fn a_slow_round_trip_is_waited_for() {
        let mut timer = measured(2_000);
        timer.start(at(0), 100);
        assert_eq!(timer.deadline(), Some(at(6_006)), "2 s, four times a variation of 1 s, and 100 bytes");
    }

    #[test]
    fn much_data_under_way_is_not_suspected_early() {
        let mut timer = measured(80);
        timer.start(at(0), 1 << 20);
        assert_eq!(timer.deadline(), Some(at(65_000)), "1 s, and 64 s at 16 KiB/s");
        let mut unmeasured = RetransmissionTimer::new(10 * SECOND, 3);
        unmeasured.start(at(0), 1 << 20);
        assert_eq!(unmeasured.deadline(), Some(at(74_000)));
        assert_eq!(unmeasured.handle_timeout(at(74_000), 1 << 20), Elapsed::Retransmit);
        assert_eq!(unmeasured.handle_timeout(at(103_999), 1 << 20), Elapsed::Nothing);
        assert_eq!(unmeasured.handle_timeout(at(104_000), 1 << 20), Elapsed::GiveUp);
        unmeasured.progress(at(0), usize::MAX);
        let due = unmeasured.deadline().unwrap();
        assert_eq!(unmeasured.handle_timeout(due, 1 << 20), Elapsed::Retransmit);
        assert_eq!(unmeasured.handle_timeout(at(168_000), 1 << 20), Elapsed::GiveUp, "there is an end to it");
    }

    #[test]
    fn what_comes_behind_a_short_message_gets_its_time() {
        let mut timer = measured(80);
        timer.start(at(0), 100);
        timer.start(at(500), 100 + (1 << 20));
        assert_eq!(timer.deadline(), Some(at(65_006)), "both are written again, and nothing is lost yet");
        timer.start(at(600), 200 + (1 << 20));
        assert_eq!(timer.deadline(), Some(at(65_006)), "once");
        let mut unmeasured = RetransmissionTimer::new(10 * SECOND, 3);
        unmeasured.start(at(0), 100);
        unmeasured.start(at(500), 1 << 20);
        assert_eq!(unmeasured.handle_timeout(at(74_000), 1 << 20), Elapsed::Retransmit);
        assert_eq!(unmeasured.handle_timeout(at(103_999), 1 << 20), Elapsed::Nothing);
        assert_eq!(unmeasured.handle_timeout(at(104_000), 1 << 20), Elapsed::GiveUp, "as if all had been there");
    }

    #[test]
    fn while_something_moves_nothing_is_written_again_or_given_up_and_40_s_later_it_is() {
        let mut timer = measured(80);
        timer.start(at(0), 100);
        let mut now = 0;
        while now < 600_000 {
            timer.moving(at(now), 100);
            now += 2_000;
            // The first timeout is a second; what is written again costs the line little.
            timer.handle_timeout(at(now), 100);
            assert!(timer.waiting.is_some());
        }
        while let Some(due) = timer.deadline().filter(|due| *due < at(638_000)) {
            assert_eq!(timer.handle_timeout(due, 100), Elapsed::Retransmit);
        }
        assert_eq!(timer.handle_timeout(at(638_000), 100), Elapsed::GiveUp);
    }

    #[test]
    fn what_was_written_twice_is_not_measured() {
        let mut timer = RetransmissionTimer::new(10 * SECOND, 3);
        timer.start(at(0), 100);
        timer.written(at(0), Seq::FIRST, true, 100);
        timer.forget_measurement();
        timer.measure(at(9_000), Seq::FIRST);
        assert_eq!(timer.round_trip, None);
    }

    #[test]
    fn a_sleep_is_no_silence_of_the_peer() {
        let mut timer = RetransmissionTimer::new(10 * SECOND, 3);
        timer.start(at(0), 100);
        assert_eq!(timer.handle_timeout(at(3_600_000), 100), Elapsed::Retransmit);
        // What was left is left: 30 s.
        for now in [3_610_000, 3_620_000] {
            assert_eq!(timer.deadline(), Some(at(now)));
            assert_eq!(timer.handle_timeout(at(now), 100), Elapsed::Retransmit);
        }
        assert_eq!(timer.handle_timeout(at(3_630_000), 100), Elapsed::GiveUp);
    }

    #[test]
    fn who_wakes_on_a_new_channel_asks_on_it() {
        for slept_at in [5_000, 35_000, 39_999] {
            let mut timer = RetransmissionTimer::new(10 * SECOND, 3);
            timer.start(at(0), 100);
            for now in (10_000..=slept_at).step_by(10_000) {
                assert_eq!(timer.handle_timeout(at(now), 100), Elapsed::Retransmit);
            }
            timer.channel_up(at(3_600_000), 100);
            assert_eq!(timer.handle_timeout(at(3_600_001), 100), Elapsed::Nothing, "it was just written");
            assert_ne!(timer.handle_timeout(at(3_609_999), 100), Elapsed::GiveUp);
        }
    }

    #[test]
    fn many_sleeps_do_not_put_the_give_up_off_for_ever() {
        let mut timer = RetransmissionTimer::new(10 * SECOND, 3);
        timer.start(at(0), 100);
        let (mut now, mut awake) = (at(0), Duration::ZERO);
        loop {
            let due = timer.deadline().unwrap();
            awake += due.since(now);
            now = due.after(60 * SECOND);
            if timer.handle_timeout(now, 100) == Elapsed::GiveUp {
                break;
            }
            assert!(awake <= 80 * SECOND, "{awake:?}");
        }
    }

    #[test]
    fn a_little_late_is_no_sleep() {
        let mut timer = RetransmissionTimer::new(10 * SECOND, 3);
        timer.start(at(0), 100);
        for now in [12_000, 24_000, 36_000] {
            assert_eq!(timer.handle_timeout(at(now), 100), Elapsed::Retransmit);
        }
        assert_eq!(timer.handle_timeout(at(43_000), 100), Elapsed::GiveUp);
    }

    #[test]
    fn new_channels_put_the_give_up_off_but_not_for_ever() {
        let mut timer = RetransmissionTimer::new(10 * SECOND, 3);
        timer.start(at(0), 100);
        for now in [10_000, 20_000, 30_000] {
            assert_eq!(timer.handle_timeout(at(now), 100), Elapsed::Retransmit);
        }
        timer.channel_up(at(39_000), 100);
        assert_eq!(timer.handle_timeout(at(48_999), 100), Elapsed::Nothing);
        for now in (45_000..80_000).step_by(5_000) {
            timer.channel_up(at(now), 100);
        }
        assert_eq!(timer.handle_timeout(at(80_000), 100), Elapsed::GiveUp);
    }
}
