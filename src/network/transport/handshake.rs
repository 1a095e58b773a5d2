//! The handshake of a new channel, from both ends, and the kernel's verdict on it (protocol §3).
//!
//! # Crossed dials
//!
//! When both ends dial at once, the channel dialled by the peer with the smaller id (compared as text) wins. An end decides
//! when it reads the other's hello, because a hello proves that the other has a stream and counts on it: an end that has
//! not written a hello itself takes the other's channel; of two that have, the smaller refuses the other's channel and
//! the larger abandons its own. Both so come to the same channel without a further message.

use std::time::Duration;

use super::{
    channel::{Outgoing, Writer},
    context::Context,
    io::{ChannelId, Effect},
    peer::{Cause, Inbound, Outbound, Peer, Registered, Standing},
    policy::{CROSSING_GRACE, VERDICTS_OWED},
    rollover::Rollover,
    standstill::Progress,
};
use crate::{
    faults::{Fault, seeded},
    runtime::worth_a_line,
    wire::{Handshake, IncarnationId, RemoteError},
};

/// What came of an outbound handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct HandshakeOutcome {
    /// Both ends have shown who they are, and the kernel has given its verdict.
    pub(super) success: bool,
    /// The peer is, or without a verdict must be taken for, another incarnation than before.
    pub(super) incarnation_changed: bool,
}

impl HandshakeOutcome {
    /// A verdict that is missing is taken for a restart (fail closed).
    pub(super) fn of(verdict: &Result<bool, RemoteError>) -> Self {
        HandshakeOutcome { success: verdict.is_ok(), incarnation_changed: !matches!(verdict, Ok(false)) }
    }

    /// Whether the channel may be used. After a restart only one that the reconnection loop opened: whatever waited for
    /// another was meant for the incarnation that is gone.
    pub(super) fn keeps_channel(self, cause: Cause) -> bool {
        !self.incarnation_changed || (self.success && cause != Cause::Send)
    }
}

impl Peer {
    /// The peer opened a stream.
    pub(super) fn inbound_opened(&mut self, cx: &mut Context, channel: ChannelId) {
        let rate = if self.registered.is_some() { &mut self.move_rate } else { &mut self.inbound_rate };
        if self.standing == Standing::Closed || !rate.try_take(cx.now) {
            tracing::debug!(peer = %self.id, standing = ?self.standing, "refused a channel");
            return cx.close(channel);
        }
        // A peer that opens another stream has given the one before up.
        self.abandon_inbound(cx);
        cx.adopt_channel(channel, &self.id);
        cx.effect(Effect::Read { channel });
        self.inbound = Inbound::AwaitingHello { channel, waiting: cx.wait_for_handshake() };
    }

    /// The first frame of an inbound channel.
    pub(super) fn hello_received(&mut self, cx: &mut Context, channel: ChannelId, text: &str) {
        let incarnation = match Handshake::parse_hello(text) {
            Ok(incarnation) => incarnation,
            Err(error) => {
                self.handshake_fault(cx, &error.to_string());
                return self.abandon_inbound(cx);
            }
        };
        let restarted = self.registered.as_ref().is_some_and(|registered| registered.incarnation != incarnation);
        // A peer that shows another incarnation each time would make the kernel reset it each time.
        if restarted && !self.inbound_rate.try_take(cx.now) {
            return self.abandon_inbound(cx);
        }
        if self.own_channel_wins(cx, &incarnation) || self.verdicts_owed >= VERDICTS_OWED {
            return self.abandon_inbound(cx);
        }
        self.abandon_outbound(cx);
        let deadline = cx.now.after(cx.policy.handshake_timeout);
        self.inbound = Inbound::AwaitingVerdict { channel, incarnation: incarnation.clone(), deadline };
        self.ask_verdict(cx, channel, incarnation);
    }

    fn own_channel_wins(&self, cx: &Context, incarnation: &IncarnationId) -> bool {
        if cx.own_id > self.id {
            return false;
        }
        match (&self.outbound, &self.registered) {
            (Outbound::AwaitingAck { .. } | Outbound::AwaitingVerdict { .. }, _) => true,
            // The hello of the channel that lost may arrive after the winner is in use.
            (_, Some(registered)) => {
                registered.dialled_by_us
                    && registered.incarnation == *incarnation
                    && cx.now.since(registered.since) < CROSSING_GRACE
            }
            _ => false,
        }
    }

    /// The first frame of a channel that we opened.
    pub(super) fn ack_received(&mut self, cx: &mut Context, text: &str) {
        match std::mem::replace(&mut self.outbound, Outbound::Idle) {
            Outbound::AwaitingAck { writer, attempt, .. } => match Handshake::parse_ack(text) {
                Ok(incarnation) => {
                    let channel = writer.channel;
                    let deadline = cx.now.after(cx.policy.handshake_timeout);
                    let shown = incarnation.clone();
                    self.outbound = Outbound::AwaitingVerdict { writer, incarnation, deadline, attempt };
                    self.ask_verdict(cx, channel, shown);
                }
                Err(error) => {
                    cx.close(writer.channel);
                    self.handshake_fault(cx, &error.to_string());
                    self.attempt_failed(cx, attempt, &format!("the handshake failed: {error}"), None, true);
                }
            },
            other => self.outbound = other,
        }
    }

    /// Asks the kernel whether the peer restarted. Nothing is written on its former channel after that. What another
    /// incarnation wrote there is not delivered any more; what the same one wrote still is.
    fn ask_verdict(&mut self, cx: &mut Context, channel: ChannelId, incarnation: IncarnationId) {
        if let Some(former) = self.registered.take() {
            let worth_dialling = self.is_worth_dialling(former.dialled_by_us);
            if former.incarnation == incarnation {
                self.retire(cx, former);
            } else {
                cx.close(former.writer.channel);
                let error = self.connection_lost("the peer opened another channel");
                former.writer.fail(cx, &error);
            }
            self.gap = true;
            self.wanted = worth_dialling;
        }
        if self.retiring.as_ref().is_some_and(|retiring| retiring.incarnation != incarnation) {
            self.end_retiring(cx);
        }
        self.inbox.drop_unless_of(&incarnation);
        self.fenced |= std::mem::take(&mut self.gap);
        self.verdicts_owed = self.verdicts_owed.saturating_add(1);
        // It takes the question for the announcement of a channel.
        self.told_of_outage = false;
        cx.effect(Effect::AskVerdict { channel, peer: self.id.clone(), incarnation });
    }

    /// The kernel has answered. The answer counts even if the channel is gone: what waits may be meant for the dead.
    pub(super) fn verdict(&mut self, cx: &mut Context, channel: ChannelId, verdict: &Result<bool, RemoteError>) {
        self.verdicts_owed = self.verdicts_owed.saturating_sub(1);
        self.conclude(cx, channel, verdict);
    }

    pub(super) fn verdict_missing(&mut self, cx: &mut Context, channel: ChannelId) {
        let message = "the kernel did not answer in time".to_owned();
        self.conclude(cx, channel, &Err(RemoteError::Other { name: "TimeoutError".to_owned(), message }));
    }

    fn conclude(&mut self, cx: &mut Context, channel: ChannelId, verdict: &Result<bool, RemoteError>) {
        let outcome = HandshakeOutcome::of(verdict);
        if let Err(error) = verdict
            && let Some(times) = worth_a_line("no verdict", &self.id)
        {
            tracing::warn!(peer = %self.id, %error, times, "no verdict on the peer's incarnation: taken for a restart");
        }
        // What waits was sent before the kernel knew of the new channel. After a gap it must not be written first: the kernel
        // sends everything that is unacknowledged again, in order, after its answer.
        let fenced = std::mem::take(&mut self.fenced);
        if seeded(Fault::ForgetFence) {
            self.gap = false;
        } else if outcome.incarnation_changed {
            self.end_retiring(cx);
            self.fail_waiting(cx, &RemoteError::PeerRestarted(self.id.clone()));
            self.gap = false;
        } else if fenced {
            let error = self.connection_lost("a message before this one may be lost");
            self.fail_waiting(cx, &error);
            self.gap = false;
        }
        match (&self.outbound, &self.inbound) {
            (Outbound::AwaitingVerdict { writer, .. }, _) if writer.channel == channel => {
                self.conclude_outbound(cx, outcome);
            }
            (_, Inbound::AwaitingVerdict { channel: asked, .. }) if *asked == channel => {
                self.conclude_inbound(cx, outcome);
            }
            _ => {}
        }
    }

    fn conclude_outbound(&mut self, cx: &mut Context, outcome: HandshakeOutcome) {
        // The peer is there: whoever has something fresh need not wait.
        self.attempted = None;
        let outbound = std::mem::replace(&mut self.outbound, Outbound::Idle);
        let Outbound::AwaitingVerdict { writer, incarnation, attempt, .. } = outbound else { return };
        if outcome.keeps_channel(attempt.cause) {
            self.register(cx, writer, incarnation, true);
        } else {
            cx.close(writer.channel);
            if attempt.cause != Cause::Send {
                self.attempt_failed(cx, attempt, "the kernel gave no verdict on the peer", None, true);
            } else {
                // Nothing is left to be sent; whoever has something fresh dials again.
                self.wanted = false;
            }
        }
    }

    fn conclude_inbound(&mut self, cx: &mut Context, outcome: HandshakeOutcome) {
        if outcome.incarnation_changed {
            // Without an acknowledgement the peer's handshake fails at once, and it dials again.
            return self.abandon_inbound(cx);
        }
        let inbound = std::mem::replace(&mut self.inbound, Inbound::Idle);
        let Inbound::AwaitingVerdict { channel, incarnation, .. } = inbound else { return };
        let mut writer = Writer::new(cx, channel);
        writer.write(cx, Outgoing::new(None, Handshake::Ack(cx.incarnation.clone()).encode()));
        self.register(cx, writer, incarnation, false);
    }

    /// The channel is the peer's channel from now on. What waited goes out on it, in the order of the calls.
    fn register(&mut self, cx: &mut Context, mut writer: Writer, incarnation: IncarnationId, dialled_by_us: bool) {
        self.abandon_outbound(cx);
        self.standing = Standing::Open;
        self.failures.reset();
        (self.owed, self.reached, self.attempted) = (false, false, None);
        (self.tried, self.tried_until) = (Duration::ZERO, None);
        self.last_active = cx.now;
        let now = cx.now;
        if let Some(retiring) = &self.retiring
            && dialled_by_us
            && !retiring.finished
        {
            // The peer knew of the new channel before us and writes no more on the old one, nor do we.
            cx.effect(Effect::Finish { channel: retiring.channel });
        }
        writer.circuit = cx.circuit(writer.channel).map(|circuit| Rollover::new(now, circuit, dialled_by_us));
        if writer.circuit.is_some() {
            cx.effect(Effect::Weigh { channel: writer.channel });
        }
        let mut registered = Registered {
            writer,
            incarnation,
            dialled_by_us,
            since: now,
            last_traffic: now,
            proven: false,
            reading: false,
            frame: Progress::default(),
        };
        for message in self.waiting.drain(..) {
            registered.writer.write(cx, message);
        }
        self.registered = Some(registered);
        self.read_on(cx);
    }

    /// What waited for an inbound handshake that failed gets a dial of its own when the peer is settled.
    pub(super) fn on_inbound_timeout(&mut self, cx: &mut Context) {
        match self.inbound {
            Inbound::AwaitingHello { channel, waiting } if waiting.deadline() <= cx.now => {
                cx.check_line(channel, waiting);
            }
            Inbound::AwaitingVerdict { channel, deadline, .. } if deadline <= cx.now => {
                self.verdict_missing(cx, channel);
            }
            _ => {}
        }
    }

    pub(super) fn hello_missing(&mut self, cx: &mut Context, channel: ChannelId) {
        self.inbound = Inbound::Idle;
        cx.reset(channel);
        self.handshake_fault(cx, "the peer opened a channel and sent no handshake in time");
    }

    pub(super) fn handshake_fault(&self, cx: &mut Context, message: &str) {
        let error = RemoteError::Other { name: "HandshakeError".to_owned(), message: message.to_owned() };
        cx.effect(Effect::Fault { peer: self.id.clone(), error });
    }
}
