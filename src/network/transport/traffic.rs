//! Messages on a peer's channel: sending, reading, handing to the kernel, and the end of the channel.

use super::{
    channel::{End, Outgoing},
    context::Context,
    io::{ChannelId, DeliveryOutcome, Effect},
    peer::{Inbound, Outbound, Peer, Standing},
    policy::{DELIVERIES_IN_FLIGHT, REFUSALS_IN_A_ROW},
    rollover::Rollover,
    turns::Turns,
};
use crate::{
    faults::{Fault, seeded},
    runtime::worth_a_line,
    wire::{Handshake, IncarnationId, LimitType, RemoteError, WireError},
};

/// Whether this is the handshake that stands. An incumbent shakes hands once for each message that waits for the channel, hears the
/// answer once, and closes the channel after ten seconds; further answers it would take for messages.
fn is_said_again(text: &str, incarnation: &IncarnationId) -> bool {
    text.starts_with(r#"{"method":"handshake""#) && Handshake::parse_hello(text).is_ok_and(|said| said == *incarnation)
}

impl Peer {
    /// Takes a message in, or refuses it. What is taken in is written in this order, or fails.
    pub(super) fn send(&mut self, cx: &mut Context, message: Outgoing) {
        if let Err(error) = self.admit(cx, &message) {
            self.gap |= message.id.is_some() && !message.is_ack && !error.is_terminal();
            if message.id.is_none() && !error.is_terminal() {
                // Nobody waits for an answer of the kernel, so its loss is told here.
                cx.effect(Effect::Fault { peer: self.id.clone(), error: error.clone() });
            }
            return cx.finish(message.id, Err(error));
        }
        self.last_active = cx.now;
        if self.standing == Standing::Failed {
            self.forgive();
        }
        if let Outbound::AwaitingAck { writer, .. } = &mut self.outbound
            && seeded(Fault::HandshakePerSend)
        {
            writer.write(cx, Outgoing::new(None, Handshake::Hello(cx.incarnation.clone()).encode()));
        }
        match &mut self.registered {
            Some(registered) => registered.writer.write(cx, message),
            None => self.waiting.push_back(message),
        }
    }

    fn admit(&mut self, cx: &Context, message: &Outgoing) -> Result<(), RemoteError> {
        if self.standing == Standing::Closed {
            return Err(RemoteError::IntentionalClose(self.id.clone()));
        }
        let exceeded = |limit_type, current: usize, limit: usize| {
            Err(RemoteError::ResourceLimit { limit_type, current: current as u64, limit: limit as u64 })
        };
        if message.text.len() > cx.policy.max_message_bytes {
            return exceeded(LimitType::MessageSize, message.text.len(), cx.policy.max_message_bytes);
        }
        let queued = self.registered.as_ref().map_or(self.waiting.len(), |registered| registered.writer.len());
        if queued >= cx.policy.max_waiting {
            return exceeded(LimitType::PendingMessages, queued.saturating_add(1), cx.policy.max_waiting);
        }
        // Acknowledgements and answers are paid for by the messages that they are for; a refused answer would be lost.
        if !message.is_ack && message.id.is_some() && !self.message_rate.try_take(cx.now) {
            let limit = self.message_rate.limit() as usize;
            return exceeded(LimitType::MessageRate, limit.saturating_add(1), limit);
        }
        Ok(())
    }

    pub(super) fn written(&mut self, cx: &mut Context, channel: ChannelId) {
        match (&mut self.registered, &mut self.outbound) {
            (Some(registered), _) if registered.writer.channel == channel => {
                registered.note_traffic(cx.now);
                self.backoff.reset();
                registered.writer.written(cx);
            }
            (_, Outbound::AwaitingAck { writer, .. } | Outbound::AwaitingVerdict { writer, .. })
                if writer.channel == channel =>
            {
                writer.written(cx);
            }
            _ => {}
        }
    }

    /// A part of a frame was taken: the line is slow, and alive.
    pub(super) fn part_written(&mut self, cx: &mut Context, channel: ChannelId) {
        if let Some(registered) = self.registered.as_mut().filter(|registered| registered.writer.channel == channel) {
            registered.last_traffic = cx.now;
            if registered.writer.part_written(cx) {
                cx.effect(Effect::Moving { peer: self.id.clone() });
            }
        }
    }

    /// A part of a frame came: the line is slow, and alive.
    pub(super) fn part_read(&mut self, cx: &mut Context, channel: ChannelId) {
        let registered = self.registered.as_mut().filter(|registered| registered.writer.channel == channel);
        let frame = match (registered, &mut self.retiring) {
            (Some(registered), _) => {
                registered.last_traffic = cx.now;
                &mut registered.frame
            }
            (None, Some(retiring)) if retiring.channel == channel => {
                retiring.keep(cx.now);
                &mut retiring.frame
            }
            _ => return,
        };
        self.last_active = cx.now;
        if frame.part(cx.now) {
            cx.effect(Effect::Moving { peer: self.id.clone() });
        }
    }

    pub(super) fn frame(&mut self, cx: &mut Context, channel: ChannelId, text: String) {
        if let Some(registered) = self.registered.as_mut().filter(|registered| registered.writer.channel == channel) {
            registered.reading = false;
            registered.frame.end();
            registered.note_traffic(cx.now);
            self.backoff.reset();
            self.last_active = cx.now;
            if cx.is_with_incumbent(channel) && is_said_again(&text, &registered.incarnation) {
                return self.read_on(cx);
            }
            self.inbox.push(&registered.incarnation, text);
            if registered.writer.circuit.as_ref().is_some_and(Rollover::is_weighed) {
                cx.effect(Effect::Weigh { channel });
            }
            return self.frame_came(cx);
        }
        if let Some(retiring) = self.retiring.as_mut().filter(|retiring| retiring.channel == channel) {
            retiring.reading = false;
            retiring.frame.end();
            self.last_active = cx.now;
            self.inbox.push(&retiring.incarnation, text);
            return self.frame_came(cx);
        }
        match (&self.outbound, &self.inbound) {
            (Outbound::AwaitingAck { writer, .. }, _) if writer.channel == channel => self.ack_received(cx, &text),
            (_, Inbound::AwaitingHello { channel: awaited, .. }) if *awaited == channel => {
                self.hello_received(cx, channel, &text);
            }
            _ => self.channel_ended(cx, channel, "a frame came unasked", End::Broken),
        }
    }

    fn frame_came(&mut self, cx: &mut Context) {
        cx.turns.came(&self.id, cx.now);
        self.wait_for_turn(cx);
        self.read_on(cx);
    }

    fn wait_for_turn(&self, cx: &mut Context) {
        if self.next_frame().is_some() {
            cx.turns.join(&self.id, self.known);
        }
    }

    /// What the frame costs that the kernel may have next; nothing if there is none, or the kernel has enough of this peer.
    pub(super) fn next_frame(&self) -> Option<usize> {
        if self.inbox.handed_over < DELIVERIES_IN_FLIGHT { self.inbox.first().map(Turns::cost) } else { None }
    }

    /// Gives the kernel the next frame, and reads on if there is room.
    pub(super) fn hand_over(&mut self, cx: &mut Context) {
        if let Some(text) = self.inbox.pop() {
            self.inbox.handed_over += 1;
            cx.effect(Effect::Deliver { peer: self.id.clone(), text });
        }
        self.read_on(cx);
    }

    pub(super) fn read_on(&mut self, cx: &mut Context) {
        if let Some(retiring) = &mut self.retiring
            && !retiring.reading
            && self.inbox.has_room(cx.policy.max_message_bytes)
        {
            retiring.reading = true;
            cx.effect(Effect::Read { channel: retiring.channel });
        }
        let Some(registered) = &mut self.registered else { return };
        if !registered.reading && self.inbox.has_room(cx.policy.max_message_bytes) {
            registered.reading = true;
            // Silence counts from here: before, it was we who did not listen.
            registered.last_traffic = cx.now;
            cx.effect(Effect::Read { channel: registered.writer.channel });
        }
    }

    pub(super) fn delivered(&mut self, cx: &mut Context, outcome: DeliveryOutcome) {
        self.inbox.handed_over = self.inbox.handed_over.saturating_sub(1);
        let refused = matches!(outcome, DeliveryOutcome::Refused(_));
        self.refusals = if refused { self.refusals.saturating_add(1) } else { 0 };
        match outcome {
            DeliveryOutcome::Accepted(None) => {}
            DeliveryOutcome::Accepted(Some(reply)) if reply.is_empty() => {}
            DeliveryOutcome::Accepted(Some(reply)) => self.send(cx, Outgoing::new(None, reply)),
            DeliveryOutcome::Refused(error) => {
                // The error may quote the message.
                if let Some(times) = worth_a_line("refused message", &self.id) {
                    tracing::warn!(peer = %self.id, name = error.name(), times, "the kernel refused a message");
                }
                tracing::debug!(peer = %self.id, %error, "why");
                if self.refusals >= REFUSALS_IN_A_ROW {
                    self.refusals = 0;
                    self.inbox.clear();
                    self.lose_channel(cx, "the kernel refuses what the peer writes", End::Broken);
                }
            }
            DeliveryOutcome::Unreachable(error) => {
                // What was read and not taken would be lost; on a new channel the peer sends it again.
                if let Some(times) = worth_a_line("unreachable kernel", &self.id) {
                    tracing::warn!(peer = %self.id, %error, times, "the kernel cannot be reached");
                }
                self.inbox.clear();
                self.end_retiring(cx);
                self.lose_channel(cx, "the kernel cannot be reached", End::Closed);
            }
        }
        self.wait_for_turn(cx);
        self.read_on(cx);
    }

    pub(super) fn frame_error(&mut self, cx: &mut Context, channel: ChannelId, error: &WireError) {
        let error = match error {
            WireError::FrameTooLong { announced, limit } => RemoteError::ResourceLimit {
                limit_type: LimitType::MessageSize,
                current: *announced,
                limit: *limit as u64,
            },
            other => RemoteError::Other { name: "FrameError".to_owned(), message: other.to_string() },
        };
        cx.effect(Effect::Fault { peer: self.id.clone(), error: error.clone() });
        self.channel_ended(cx, channel, &error.to_string(), End::Broken);
    }

    fn owns_registered(&self, channel: ChannelId) -> bool {
        self.registered.as_ref().is_some_and(|registered| registered.writer.channel == channel)
    }

    /// The stream is gone, or of no use any more.
    pub(super) fn channel_ended(&mut self, cx: &mut Context, channel: ChannelId, reason: &str, end: End) {
        if self.owns_registered(channel) {
            return self.lose_channel(cx, reason, end);
        }
        if self.is_retiring(channel) {
            self.retiring = None;
        }
        end.of(cx, channel);
        match &self.outbound {
            Outbound::AwaitingAck { writer, attempt, .. } if writer.channel == channel => {
                let attempt = *attempt;
                let reason = format!("the handshake failed: {reason}");
                match end {
                    End::Closed => self.closed_before_ack(cx, attempt, &reason),
                    End::Broken => self.attempt_failed(cx, attempt, &reason, None, true),
                }
            }
            Outbound::AwaitingVerdict { writer, attempt, .. } if writer.channel == channel => {
                let attempt = *attempt;
                self.attempt_failed(cx, attempt, reason, None, true);
            }
            _ => {}
        }
        match &self.inbound {
            Inbound::AwaitingHello { channel: ended, .. } | Inbound::AwaitingVerdict { channel: ended, .. }
                if *ended == channel =>
            {
                self.inbound = Inbound::Idle;
            }
            _ => {}
        }
    }
}
