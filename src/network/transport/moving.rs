//! Moving a channel to another connection: a new circuit before the old one is cut, or a way around a relay.
//!
//! The new channel is made before the old one ends. What the peer wrote on the old one before it knew is still read.

use super::{
    channel::End,
    context::Context,
    io::{ChannelId, Effect},
    peer::{Attempt, Cause, Inbound, Outbound, Peer, Registered},
    policy::{DETOUR_PAUSE, DRAIN_LIMIT},
    rollover::Need,
    standstill::Progress,
};
use crate::{
    network::circuit::CircuitUse,
    runtime::Timestamp,
    wire::{IncarnationId, LimitType, RemoteError},
};

/// A channel that another has replaced, of the same incarnation. It is read until its peer closes it.
#[derive(Debug)]
pub(super) struct Retiring {
    pub(super) channel: ChannelId,
    pub(super) incarnation: IncarnationId,
    pub(super) until: Timestamp,
    /// No frame that moves keeps it beyond this.
    until_at_last: Timestamp,
    /// Our direction is closed.
    pub(super) finished: bool,
    /// Whether a frame was asked for and has not come.
    pub(super) reading: bool,
    /// The frame that is being read.
    pub(super) frame: Progress,
}

impl Retiring {
    /// The peer is still writing on it.
    pub(super) fn keep(&mut self, now: Timestamp) {
        self.until = self.until.max(now.after(DRAIN_LIMIT).min(self.until_at_last));
    }
}

impl Peer {
    /// Begins to move the channel if that is needed and nothing else is under way.
    pub(super) fn move_on(&mut self, cx: &mut Context) {
        if self.is_moving() {
            return;
        }
        let Some(need) = self.registered.as_ref().and_then(|registered| registered.need(cx.now)) else { return };
        let circuit = self.registered.as_ref().and_then(|registered| registered.writer.circuit.as_ref());
        let relay = circuit.and_then(|circuit| circuit.relay());
        let addresses = match need {
            Need::Circuit => self.hints.circuits(&self.id, &cx.policy.relays, relay),
            // Two relays that are both too narrow must not send us to and fro.
            Need::OtherWay { .. } if self.detour_not_before > cx.now => Vec::new(),
            Need::OtherWay { .. } => self.hints.around(&self.id, &cx.policy.relays, relay),
        };
        if addresses.is_empty() {
            return self.move_failed(cx, need, "no address is known");
        }
        if matches!(need, Need::OtherWay { .. }) {
            self.detour_not_before = cx.now.after(DETOUR_PAUSE);
        }
        tracing::debug!(peer = %self.id, ?need, "moves to another connection");
        // It counts for no limit of attempts: each needs a circuit that was used up, and failures are spaced.
        self.begin_dial(cx, addresses, Attempt { cause: Cause::Move(need), redialled: true });
    }

    fn is_moving(&self) -> bool {
        !matches!((&self.outbound, &self.inbound), (Outbound::Idle, Inbound::Idle))
    }

    /// There is no other connection to be had now; the old channel is still in use.
    pub(super) fn move_failed(&mut self, cx: &mut Context, need: Need, reason: &str) {
        let Some(registered) = &mut self.registered else { return };
        let Some(circuit) = &mut registered.writer.circuit else { return };
        tracing::debug!(peer = %self.id, ?need, reason, "could not move to another connection");
        circuit.failed(cx.now);
        match need {
            Need::OtherWay { bytes } => self.refuse_too_long(cx, bytes),
            // Waiting on would bring nothing: the relay may allow no second circuit beside this one.
            Need::Circuit if circuit.is_holding() => self.lose_channel(cx, "the circuit is used up", End::Closed),
            Need::Circuit => {}
        }
    }

    /// The message at the head of the queue can take no way that there is. It stays with its sender; what was behind it must
    /// not overtake it.
    fn refuse_too_long(&mut self, cx: &mut Context, bytes: usize) {
        let Some(registered) = &mut self.registered else { return };
        let limit = registered.writer.circuit.as_ref().and_then(|circuit| circuit.longest_message()).unwrap_or(0);
        let queued = registered.writer.take_queued();
        let error = RemoteError::ResourceLimit { limit_type: LimitType::MessageSize, current: bytes as u64, limit };
        cx.effect(Effect::Fault { peer: self.id.clone(), error: error.clone() });
        self.note_error(cx, &format!("no way to the peer carries so long a message: {error}"));
        let behind = self.connection_lost("a message before this one could not be written");
        let mut reason = Some(error);
        for message in queued {
            self.gap |= message.id.is_some() && !message.is_ack;
            cx.finish(message.id, Err(reason.take().unwrap_or_else(|| behind.clone())));
        }
        if let Some(circuit) = self.registered.as_mut().and_then(|registered| registered.writer.circuit.as_mut()) {
            circuit.release();
        }
    }

    /// How much of the circuit below a channel is used.
    pub(super) fn weighed(
        &mut self,
        cx: &mut Context,
        channel: ChannelId,
        circuit: Option<CircuitUse>,
        with_incumbent: bool,
    ) {
        if let Some(registered) = self.registered.as_mut().filter(|registered| registered.writer.channel == channel) {
            let under_way = registered.writer.bytes_under_way();
            if let (Some(rollover), Some(circuit)) = (&mut registered.writer.circuit, &circuit) {
                rollover.weighed(cx.now, circuit.carried, under_way);
                registered.writer.pump(cx);
            }
        }
        cx.note_line(channel, circuit, with_incumbent);
    }

    /// Another channel of the same incarnation takes this one's place.
    pub(super) fn retire(&mut self, cx: &mut Context, former: Registered) {
        self.end_retiring(cx);
        let Registered { writer, incarnation, reading, frame, .. } = former;
        let (channel, until) = (writer.channel, cx.now.after(DRAIN_LIMIT));
        let until_at_last = until.max(cx.now.after(cx.policy.inactivity_timeout));
        // What was given to the stream is written all the same; whoever waits need not.
        writer.fail(cx, &self.connection_lost("another channel took this one's place"));
        let finished = cx.is_with_incumbent(channel);
        if finished {
            // It takes the end of whatever channel for that of the newest: so that end has to come before the newest counts.
            cx.effect(Effect::Finish { channel });
        }
        self.retiring = Some(Retiring { channel, incarnation, until, until_at_last, finished, reading, frame });
        self.read_on(cx);
    }

    /// We have dialled another channel, and the peer is to see that this one ends before it hears of that one.
    pub(super) fn leave_incumbent(&mut self, cx: &mut Context) {
        let former = self.registered.take_if(|registered| cx.is_with_incumbent(registered.writer.channel));
        if let Some(former) = former {
            self.wanted = self.is_worth_dialling(former.dialled_by_us);
            self.gap = true;
            self.retire(cx, former);
        }
    }

    pub(super) fn end_retiring(&mut self, cx: &mut Context) {
        if let Some(retiring) = self.retiring.take() {
            cx.close(retiring.channel);
        }
    }

    pub(super) fn is_retiring(&self, channel: ChannelId) -> bool {
        self.retiring.as_ref().is_some_and(|retiring| retiring.channel == channel)
    }

    /// When [`move_on`](Self::move_on) or the channel that retires has something to do.
    pub(super) fn moving_deadline(&self) -> Option<Timestamp> {
        let moving = self.is_moving();
        let circuit = self.registered.as_ref().and_then(|registered| registered.circuit_deadline(moving));
        circuit.into_iter().chain(self.retiring.as_ref().map(|retiring| retiring.until)).min()
    }

    pub(super) fn on_moving_timeout(&mut self, cx: &mut Context) {
        if self.retiring.as_ref().is_some_and(|retiring| retiring.until <= cx.now) {
            self.end_retiring(cx);
        }
        if let Some(registered) = &mut self.registered
            && let Some(circuit) = &mut registered.writer.circuit
            && circuit.is_due_for_weighing(cx.now)
        {
            cx.effect(Effect::Weigh { channel: registered.writer.channel });
        }
    }
}

impl Registered {
    fn need(&self, now: Timestamp) -> Option<Need> {
        self.writer.circuit.as_ref()?.need(now, self.writer.is_idle())
    }

    fn circuit_deadline(&self, moving: bool) -> Option<Timestamp> {
        self.writer.circuit.as_ref()?.deadline(self.writer.is_idle(), moving)
    }
}
