//! Ways to a channel: dialling, its failures, reconnection, giving up, closing on purpose.

use std::time::Duration;

use super::{
    channel::{End, Outgoing, Writer},
    context::Context,
    io::{ChannelId, Effect},
    peer::{Attempt, Cause, Inbound, Outbound, Peer, Standing},
};
use crate::{
    network::link::{DialError, ErrorCode, WAYS_AT_ONCE},
    runtime::Timestamp,
    wire::{Handshake, LimitType, RemoteError},
};

/// After a loss, a wake or a change of the network so many attempts follow each other as the backoff says, whatever the minute
/// leaves for later.
const UNPACED_ATTEMPTS: u32 = 3;

/// The time from one attempt to the next that a send asks for. Whoever sends much while the peer is away makes no more of them.
const SEND_PAUSE: Duration = Duration::from_secs(1);

/// An attempt, with the pause before it, counts for no more than this of the time in which a peer was tried.
const LONGEST_ATTEMPT: Duration = Duration::from_secs(60);

impl Peer {
    /// Brings what is wanted and what is under way together; called after every input that may have changed either.
    ///
    /// A send waits for whichever attempt is under way; when there is none it has the next one come soon.
    pub(super) fn settle(&mut self, cx: &mut Context) {
        self.move_on(cx);
        self.tell_of_outage(cx);
        if self.registered.is_some() || !matches!(self.inbound, Inbound::Idle) {
            return;
        }
        let at_rest = matches!(self.outbound, Outbound::Idle | Outbound::Backoff { .. });
        if at_rest && !self.waiting.is_empty() {
            self.hurry(cx);
        }
        if matches!(self.outbound, Outbound::Idle) && self.wanted {
            let (random, bounds) = (cx.random(), (cx.policy.backoff_base, cx.policy.backoff_cap));
            let mut until = cx.now.after(self.backoff.delay(cx.now, bounds, self.owed && !self.reached, random));
            if self.backoff.failures() >= UNPACED_ATTEMPTS {
                // Spent early, the attempts of a minute would leave none for a peer that takes some seconds to come back.
                until = until.max(self.attempt_rate.paced(cx.now));
            }
            self.outbound = Outbound::Backoff { until };
        }
    }

    /// Tells the kernel that there is no channel, while somebody wants one.
    fn tell_of_outage(&mut self, cx: &mut Context) {
        let judged = matches!(self.outbound, Outbound::AwaitingVerdict { .. })
            || matches!(self.inbound, Inbound::AwaitingVerdict { .. });
        let is_wanted = self.wanted || !self.waiting.is_empty();
        if self.registered.is_none() && is_wanted && !judged && !self.told_of_outage {
            self.told_of_outage = true;
            cx.effect(Effect::NoChannel { peer: self.id.clone() });
        }
    }

    /// Counts the time in which the peer was tried, now that an attempt has come to nothing. A sleep is none of it, nor is time in which
    /// nothing left this machine.
    fn count_trying(&mut self, cx: &Context, left: bool) {
        if let Some(since) = self.tried_until.or(self.attempted).filter(|_| left && self.owed) {
            self.tried = self.tried.saturating_add(cx.now.since(since).min(LONGEST_ATTEMPT));
        }
        self.tried_until = Some(cx.now);
    }

    /// Has the next attempt come soon, for somebody waits for it.
    fn hurry(&mut self, cx: &mut Context) {
        let soon = self.may_attempt_at(cx.now);
        if soon <= cx.now {
            let cause = if self.wanted { Cause::Reconnection } else { Cause::Send };
            if let Err(error) = self.dial(cx, Attempt { cause, redialled: false }) {
                self.fail_waiting(cx, &error);
            }
            return;
        }
        let until = match self.outbound {
            Outbound::Backoff { until } => until.min(soon),
            _ => soon,
        };
        self.wanted = true;
        self.outbound = Outbound::Backoff { until };
    }

    /// When an attempt may follow the last one for the sake of whoever asks for it.
    fn may_attempt_at(&self, now: Timestamp) -> Timestamp {
        self.attempted.map_or(now, |last| last.after(SEND_PAUSE))
    }

    /// Begins an attempt. It counts for the limit when it has reached the peer: what fails before that is paced, and is no burden
    /// to anybody.
    ///
    /// # Errors
    /// [`RemoteError::ResourceLimit`]; then nothing has changed.
    fn dial(&mut self, cx: &mut Context, attempt: Attempt) -> Result<(), RemoteError> {
        if !self.is_engaged() && !cx.has_free_slot() {
            let limit = cx.policy.max_connections as u64;
            let current = (cx.engaged as u64).saturating_add(1);
            return Err(RemoteError::ResourceLimit { limit_type: LimitType::Connection, current, limit });
        }
        if !self.attempt_rate.has_room(cx.now) {
            let limit = u64::from(self.attempt_rate.limit());
            let current = limit.saturating_add(1);
            return Err(RemoteError::ResourceLimit { limit_type: LimitType::ConnectionRate, current, limit });
        }
        let addresses = self.hints.addresses(&self.id, &cx.policy.relays);
        self.begin_dial(cx, addresses, attempt);
        self.attempted = Some(cx.now);
        self.wanted = true;
        Ok(())
    }

    pub(super) fn begin_dial(&mut self, cx: &mut Context, addresses: Vec<String>, attempt: Attempt) {
        // Few are tried at once, and each has its time.
        let turns = u32::try_from(addresses.len().div_ceil(WAYS_AT_ONCE)).unwrap_or(u32::MAX).max(1);
        let deadline = cx.now.after(cx.policy.dial_timeout.saturating_mul(turns));
        let dial = cx.begin_dial(&self.id, addresses, matches!(attempt.cause, Cause::Move(_)));
        self.outbound = Outbound::Dialling { dial, deadline, attempt };
    }

    /// An attempt of the reconnection loop. A refusal by a limit is no attempt: it is tried when there is room again.
    fn reconnect(&mut self, cx: &mut Context) {
        if self.dial(cx, Attempt { cause: Cause::Reconnection, redialled: false }).is_err() {
            self.wanted = true;
            let until = self.attempt_rate.next_free(cx.now).max(cx.now.after(cx.policy.backoff_base));
            self.outbound = Outbound::Backoff { until };
        }
    }

    pub(super) fn dial_succeeded(&mut self, cx: &mut Context, channel: ChannelId) {
        let Outbound::Dialling { attempt, .. } = self.outbound else { return cx.close(channel) };
        if !matches!(attempt.cause, Cause::Move(_)) {
            self.attempt_rate.try_take(cx.now);
        }
        cx.adopt_channel(channel, &self.id);
        self.leave_incumbent(cx);
        let mut writer = Writer::new(cx, channel);
        let hello = Handshake::Hello(cx.incarnation.clone()).encode();
        writer.write(cx, Outgoing::new(None, hello));
        cx.effect(Effect::Read { channel });
        self.outbound = Outbound::AwaitingAck { writer, waiting: cx.wait_for_handshake(), attempt };
    }

    pub(super) fn dial_failed(&mut self, cx: &mut Context, error: &DialError) {
        if let Outbound::Dialling { attempt, .. } = self.outbound {
            self.attempt_failed(cx, attempt, &error.to_string(), Some(error.code), error.retryable);
        }
    }

    /// The stream was closed before the handshake was answered. A peer that finds that *we* restarted does that, and takes
    /// the next channel, so one more attempt follows at once.
    pub(super) fn closed_before_ack(&mut self, cx: &mut Context, attempt: Attempt, reason: &str) {
        self.outbound = Outbound::Idle;
        let again = Attempt { redialled: true, ..attempt };
        let busy = !matches!(self.inbound, Inbound::Idle);
        if attempt.redialled || busy || self.dial(cx, again).is_err() {
            self.attempt_failed(cx, attempt, reason, None, true);
        }
    }

    /// An attempt came to nothing. Its stream, if it had one, is already closed.
    pub(super) fn attempt_failed(
        &mut self,
        cx: &mut Context,
        attempt: Attempt,
        reason: &str,
        code: Option<ErrorCode>,
        retryable: bool,
    ) {
        self.outbound = Outbound::Idle;
        if let Cause::Move(need) = attempt.cause
            && self.registered.is_some()
        {
            return self.move_failed(cx, need, reason);
        }
        self.note_error(cx, reason);
        self.reached = code.is_none();
        let left = !code.is_some_and(ErrorCode::never_left);
        let permanent = left && self.failures.record(code, cx.now);
        if attempt.cause != Cause::Send {
            self.backoff.record_failure(left);
        }
        if !matches!(self.inbound, Inbound::Idle) {
            // The peer is on its way to us: what waits may still go out on its channel.
            return;
        }
        let error = self.connection_lost(reason);
        self.fail_waiting(cx, &error);
        self.count_trying(cx, left);
        let exhausted = self.backoff.is_exhausted(cx.policy.max_retry_attempts)
            || self.owed && self.tried >= cx.policy.give_up_after;
        if permanent || exhausted || !retryable {
            tracing::info!(peer = %self.id, reason, permanent, "gave up reconnecting");
            if permanent {
                self.standing = Standing::Failed;
            }
            self.give_up(cx);
        }
    }

    pub(super) fn give_up(&mut self, cx: &mut Context) {
        self.outbound = Outbound::Idle;
        self.wanted = false;
        // The kernel, told of it, gives up whatever came before.
        self.gap = false;
        self.owed = false;
        self.told_of_outage = false;
        (self.tried, self.tried_until) = (Duration::ZERO, None);
        self.backoff.reset();
        cx.effect(Effect::GiveUp { peer: self.id.clone() });
    }

    /// Whether a channel that was lost is worth looking for: who came by itself and is nobody's acquaintance could make us
    /// dial for ever just by leaving. What the kernel still has for a stranger is dialled for when it is sent again.
    pub(super) fn is_worth_dialling(&self, dialled_by_us: bool) -> bool {
        self.known || dialled_by_us
    }

    /// The registered channel is gone, against our will.
    pub(super) fn lose_channel(&mut self, cx: &mut Context, reason: &str, end: End) {
        let Some(registered) = self.registered.take() else { return };
        tracing::debug!(peer = %self.id, reason, "lost the channel");
        self.note_error(cx, reason);
        let channel = registered.writer.channel;
        end.of(cx, channel);
        let error = self.connection_lost(reason);
        self.owed |= registered.writer.len() > 0;
        registered.writer.fail(cx, &error);
        // What was written last may be lost with the channel.
        self.gap = true;
        self.wanted = self.is_worth_dialling(registered.dialled_by_us);
        self.last_active = cx.now;
        if !registered.proven {
            // A channel that dies before anything passes over it is no better than an attempt that failed.
            self.backoff.record_failure(true);
            if self.backoff.is_exhausted(cx.policy.max_retry_attempts) {
                self.give_up(cx);
            }
        }
    }

    pub(super) fn on_outbound_timeout(&mut self, cx: &mut Context) {
        match &self.outbound {
            Outbound::Backoff { until } if *until <= cx.now => self.reconnect(cx),
            Outbound::Dialling { dial, deadline, attempt } if *deadline <= cx.now => {
                let attempt = *attempt;
                cx.cancel_dial(*dial);
                self.attempt_failed(cx, attempt, "the dial timed out", Some(ErrorCode::TimedOut), true);
            }
            Outbound::AwaitingAck { writer, waiting, .. } if waiting.deadline() <= cx.now => {
                cx.check_line(writer.channel, *waiting);
            }
            Outbound::AwaitingVerdict { writer, deadline, .. } if *deadline <= cx.now => {
                let channel = writer.channel;
                self.verdict_missing(cx, channel);
            }
            _ => {}
        }
    }

    pub(super) fn ack_missing(&mut self, cx: &mut Context, channel: ChannelId, attempt: Attempt) {
        cx.reset(channel);
        self.handshake_fault(cx, "the peer did not answer the handshake in time");
        self.attempt_failed(cx, attempt, "the handshake timed out", Some(ErrorCode::TimedOut), true);
    }

    /// Gives up our own way to a channel without blaming the peer.
    pub(super) fn abandon_outbound(&mut self, cx: &mut Context) {
        match std::mem::replace(&mut self.outbound, Outbound::Idle) {
            Outbound::Idle | Outbound::Backoff { .. } => {}
            Outbound::Dialling { dial, .. } => cx.cancel_dial(dial),
            Outbound::AwaitingAck { writer, .. } | Outbound::AwaitingVerdict { writer, .. } => cx.close(writer.channel),
        }
    }

    pub(super) fn abandon_inbound(&mut self, cx: &mut Context) {
        match std::mem::replace(&mut self.inbound, Inbound::Idle) {
            Inbound::Idle => {}
            Inbound::AwaitingHello { channel, .. } | Inbound::AwaitingVerdict { channel, .. } => cx.close(channel),
        }
    }

    /// Ends everything with this peer; what was not written fails with `error`.
    pub(super) fn disconnect(&mut self, cx: &mut Context, error: &RemoteError) {
        if let Some(registered) = self.registered.take() {
            cx.close(registered.writer.channel);
            registered.writer.fail(cx, error);
        }
        self.fail_waiting(cx, error);
        self.abandon_outbound(cx);
        self.abandon_inbound(cx);
        self.end_retiring(cx);
        self.inbox.clear();
        self.wanted = false;
        self.gap = false;
        self.owed = false;
    }

    pub(super) fn close_on_purpose(&mut self, cx: &mut Context) {
        let error = RemoteError::IntentionalClose(self.id.clone());
        self.disconnect(cx, &error);
        self.standing = Standing::Closed;
    }

    /// Forgets why the peer was not tried, and tries it now.
    pub(super) fn reconnect_now(&mut self, cx: &mut Context) {
        self.forgive();
        self.last_active = cx.now;
        self.wanted = true;
        let at_rest = matches!(self.outbound, Outbound::Idle | Outbound::Backoff { .. });
        if self.registered.is_none() && at_rest && matches!(self.inbound, Inbound::Idle) {
            let until = self.may_attempt_at(cx.now);
            if until <= cx.now { self.reconnect(cx) } else { self.outbound = Outbound::Backoff { until } }
        }
    }

    pub(super) fn forgive(&mut self) {
        self.standing = Standing::Open;
        self.failures.reset();
        self.backoff.reset();
    }

    /// After a sleep old failures mean nothing: whoever was being tried, or was found permanently failed, is tried again.
    pub(super) fn reset_backoff(&mut self) {
        match self.standing {
            Standing::Closed => return,
            Standing::Failed => self.wanted = true,
            Standing::Open => {}
        }
        self.forgive();
        if matches!(self.outbound, Outbound::Backoff { .. }) {
            // A new, short delay is drawn when the peer is settled.
            self.outbound = Outbound::Idle;
        }
    }
}
