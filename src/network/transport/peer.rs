//! One peer: what is known of it, and the stages of its channel.
//!
//! The stages are driven from [`handshake`](super::handshake) and [`connecting`](super::connecting); sending and
//! receiving on a channel is in [`traffic`](super::traffic).

use std::{collections::VecDeque, time::Duration};

use super::{
    backoff::{Backoff, FailureStreak},
    channel::{End, Inbox, Outgoing, Writer},
    context::Context,
    hints::LocationHints,
    io::{ChannelId, DialId},
    moving::Retiring,
    policy::{ATTEMPT_REMEMBERED, MOVES_PER_MINUTE, Policy},
    rate::SlidingWindow,
    rollover::Need,
    standstill::{Progress, Standstill},
};
use crate::{
    network::status::LastError,
    runtime::Timestamp,
    wire::{IncarnationId, PeerId, RemoteError},
};

/// Whether a peer may be connected with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Yes.
    Open,
    /// The kernel closed the connection on purpose.
    Closed,
    /// It failed so often for one reason that only an order of the user makes another attempt sensible.
    Failed,
}

/// Who wanted an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// A message is to be sent. A restart found on the way is the end of the attempt.
    Send,
    /// The channel was lost. A restart found on the way leaves a channel for fresh messages.
    Reconnection,
    /// The channel is to move to another connection. When it is lost meanwhile, this becomes its reconnection.
    Move(Need),
}

/// One attempt of ours to get a channel.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attempt {
    pub(super) cause: Cause,
    /// Whether the stream was already closed on us once before the handshake was answered.
    pub(super) redialled: bool,
}

/// How far our own way to a channel is.
#[derive(Debug)]
pub(super) enum Outbound {
    Idle,
    /// Waiting before the next attempt of the reconnection loop.
    Backoff {
        until: Timestamp,
    },
    Dialling {
        dial: DialId,
        deadline: Timestamp,
        attempt: Attempt,
    },
    /// The hello is written.
    AwaitingAck {
        writer: Writer,
        waiting: Standstill,
        attempt: Attempt,
    },
    /// The peer has acknowledged; the kernel is asked.
    AwaitingVerdict {
        writer: Writer,
        incarnation: IncarnationId,
        deadline: Timestamp,
        attempt: Attempt,
    },
}

/// How far the peer's way to a channel is.
#[derive(Debug)]
pub(super) enum Inbound {
    Idle,
    AwaitingHello {
        channel: ChannelId,
        waiting: Standstill,
    },
    /// The hello was read; the kernel is asked before it is acknowledged.
    AwaitingVerdict {
        channel: ChannelId,
        incarnation: IncarnationId,
        deadline: Timestamp,
    },
}

/// The channel in use.
#[derive(Debug)]
pub(super) struct Registered {
    pub(super) writer: Writer,
    pub(super) incarnation: IncarnationId,
    pub(super) dialled_by_us: bool,
    pub(super) since: Timestamp,
    pub(super) last_traffic: Timestamp,
    /// Whether anything was read or written on it since the handshake.
    pub(super) proven: bool,
    /// Whether a frame was asked for and has not come.
    pub(super) reading: bool,
    /// The frame that is being read.
    pub(super) frame: Progress,
}

#[derive(Debug)]
pub(super) struct Peer {
    pub(super) id: PeerId,
    pub(super) standing: Standing,
    pub(super) registered: Option<Registered>,
    pub(super) outbound: Outbound,
    pub(super) inbound: Inbound,
    /// The channel before, while its peer may still be writing on it.
    pub(super) retiring: Option<Retiring>,
    /// When a way around the relay may be sought again.
    pub(super) detour_not_before: Timestamp,
    /// Sends that wait for a channel, in call order.
    pub(super) waiting: VecDeque<Outgoing>,
    /// A message may have been lost since the kernel was last told of a new channel: what follows must not be written first.
    pub(super) gap: bool,
    /// There was such a gap when the kernel was asked for the verdict that it owes; what it sends before it answers may
    /// still follow the gap.
    pub(super) fenced: bool,
    /// Whether there is reason to get a lost channel back.
    pub(super) wanted: bool,
    /// Whether the kernel has something for the peer that was refused since there is no channel.
    pub(super) owed: bool,
    /// Whether the last attempt reached the peer, which is not away then.
    pub(super) reached: bool,
    /// When the last attempt began.
    pub(super) attempted: Option<Timestamp>,
    /// How long it has been tried without success, and until when that is counted.
    pub(super) tried: Duration,
    pub(super) tried_until: Option<Timestamp>,
    /// Whether the kernel knows that there is no channel.
    pub(super) told_of_outage: bool,
    pub(super) inbox: Inbox,
    pub(super) backoff: Backoff,
    pub(super) failures: FailureStreak,
    pub(super) message_rate: SlidingWindow,
    pub(super) attempt_rate: SlidingWindow,
    pub(super) hints: LocationHints,
    /// Whether the kernel has spoken of it, if only to say that it knows no address. All others are strangers.
    pub(super) known: bool,
    /// Channels that it opened without having one, or as another incarnation.
    pub(super) inbound_rate: SlidingWindow,
    /// Channels that it opened in the place of one.
    pub(super) move_rate: SlidingWindow,
    /// Its last messages that the kernel refused, in a row.
    pub(super) refusals: u32,
    /// Questions about this peer that the kernel has not answered.
    pub(super) verdicts_owed: u32,
    pub(super) last_active: Timestamp,
    pub(super) last_error: Option<LastError>,
}

impl Peer {
    pub(super) fn new(id: PeerId, policy: &Policy, now: Timestamp) -> Self {
        Peer {
            id,
            standing: Standing::Open,
            registered: None,
            outbound: Outbound::Idle,
            inbound: Inbound::Idle,
            retiring: None,
            detour_not_before: now,
            waiting: VecDeque::new(),
            gap: false,
            fenced: false,
            wanted: false,
            owed: false,
            reached: false,
            attempted: None,
            tried: Duration::ZERO,
            tried_until: None,
            told_of_outage: false,
            inbox: Inbox::default(),
            backoff: Backoff::default(),
            failures: FailureStreak::default(),
            message_rate: SlidingWindow::new(policy.max_messages_per_second, Duration::from_secs(1)),
            attempt_rate: SlidingWindow::new(policy.max_attempts_per_minute, Duration::from_secs(60)),
            hints: LocationHints::default(),
            known: false,
            inbound_rate: SlidingWindow::new(policy.max_inbound_per_minute, Duration::from_secs(60)),
            move_rate: SlidingWindow::new(MOVES_PER_MINUTE, Duration::from_secs(60)),
            refusals: 0,
            verdicts_owed: 0,
            last_active: now,
            last_error: None,
        }
    }

    /// Whether it has a channel or is on the way to one.
    pub(super) fn is_engaged(&self) -> bool {
        self.registered.is_some()
            || !matches!(self.inbound, Inbound::Idle)
            || !matches!(self.outbound, Outbound::Idle | Outbound::Backoff { .. })
    }

    /// Whether forgetting it would change nothing.
    pub(super) fn is_blank(&mut self, now: Timestamp) -> bool {
        self.standing == Standing::Open
            && !self.known
            && self.is_at_rest()
            && !self.gap
            && self.message_rate.is_unused(now)
            && self.attempt_rate.is_unused(now)
            && self.attempted.is_none_or(|last| now.since(last) >= ATTEMPT_REMEMBERED)
            && self.inbound_rate.is_unused(now)
            && self.move_rate.is_unused(now)
    }

    /// Whether nothing is under way with it, or wanted of it.
    pub(super) fn is_at_rest(&self) -> bool {
        !self.is_engaged()
            && !self.wanted
            && self.waiting.is_empty()
            && self.retiring.is_none()
            && self.inbox.is_idle()
            && self.verdicts_owed == 0
    }

    /// The kernel speaks of it; `hints` tell where it may be found.
    pub(super) fn introduce(&mut self, hints: &[String]) {
        self.known = true;
        self.hints.add(&self.id, hints);
    }

    /// Whether it has had no channel for so long that it may be forgotten. An intentional close is never forgotten.
    pub(super) fn is_stale(&self, cx: &Context) -> bool {
        !self.is_engaged()
            && self.standing != Standing::Closed
            && self.verdicts_owed == 0
            && cx.now.since(self.last_active) >= cx.policy.stale_after
    }

    pub(super) fn connection_lost(&self, reason: &str) -> RemoteError {
        RemoteError::ConnectionLost { peer: self.id.clone(), reason: reason.to_owned() }
    }

    /// Fails every send that waits for a channel.
    pub(super) fn fail_waiting(&mut self, cx: &mut Context, error: &RemoteError) {
        for message in self.waiting.drain(..) {
            let owed = message.id.is_some() && !message.is_ack;
            (self.gap, self.owed) = (self.gap | owed, self.owed | owed);
            // A kernel that is told twice knows it once more, should it have begun a new record.
            self.told_of_outage &= !owed;
            cx.finish(message.id, Err(error.clone()));
        }
    }

    /// When [`on_timeout`](Self::on_timeout) has something to do.
    pub(super) fn deadline(&self, policy: &Policy) -> Option<Timestamp> {
        let outbound = match &self.outbound {
            Outbound::Idle => None,
            Outbound::Backoff { until } => Some(*until),
            Outbound::AwaitingAck { waiting, .. } => Some(waiting.deadline()),
            Outbound::Dialling { deadline, .. } | Outbound::AwaitingVerdict { deadline, .. } => Some(*deadline),
        };
        let inbound = match &self.inbound {
            Inbound::Idle => None,
            Inbound::AwaitingHello { waiting, .. } => Some(waiting.deadline()),
            Inbound::AwaitingVerdict { deadline, .. } => Some(*deadline),
        };
        let registered = self.registered.as_ref();
        let write = registered.and_then(|registered| registered.writer.deadline());
        let inactivity = registered.and_then(|registered| registered.inactive_at(policy));
        [outbound, inbound, write, inactivity, self.moving_deadline()].into_iter().flatten().min()
    }

    /// Does what is due.
    pub(super) fn on_timeout(&mut self, cx: &mut Context) {
        if let Some(registered) = &mut self.registered {
            let due = |at: Option<Timestamp>| at.is_some_and(|at| at <= cx.now);
            if due(registered.writer.deadline()) {
                let waiting = *registered.writer.waiting();
                cx.check_line(registered.writer.channel, waiting);
            } else if due(registered.inactive_at(&cx.policy)) {
                self.lose_channel(cx, "nothing was heard for too long", End::Closed);
            }
        }
        self.on_moving_timeout(cx);
        self.on_inbound_timeout(cx);
        self.on_outbound_timeout(cx);
    }

    /// Something has stood still for its time. If what was given to the line before may still be on its way, so may be what is
    /// waited for: it is given the same time again.
    pub(super) fn line_checked(&mut self, cx: &mut Context, channel: ChannelId, carrying: bool) {
        let (now, policy) = (cx.now, &cx.policy);
        let stands_still = |waiting: &mut Standstill, limit: Duration| {
            waiting.deadline() <= now && !(carrying && waiting.put_off(now, limit))
        };
        if let Some(registered) = self.registered.as_mut().filter(|registered| registered.writer.channel == channel) {
            let writer = &mut registered.writer;
            if writer.deadline().is_some() && stands_still(writer.waiting(), policy.write_timeout) {
                self.lose_channel(cx, "a write timed out", End::Broken);
            }
            return;
        }
        match (&mut self.outbound, &mut self.inbound) {
            (Outbound::AwaitingAck { writer, waiting, attempt }, _) if writer.channel == channel => {
                let (attempt, over) = (*attempt, stands_still(waiting, policy.handshake_timeout));
                if over {
                    self.ack_missing(cx, channel, attempt);
                }
            }
            (_, Inbound::AwaitingHello { channel: awaited, waiting }) if *awaited == channel => {
                let over = stands_still(waiting, policy.handshake_timeout);
                if over {
                    self.hello_missing(cx, channel);
                }
            }
            _ => {}
        }
    }
}

impl Registered {
    /// When the silence becomes too long, or a frame that moves has taken so long that nobody can mean it. It cannot be told
    /// while the kernel keeps us from reading.
    fn inactive_at(&self, policy: &Policy) -> Option<Timestamp> {
        let silent = self.reading.then(|| self.last_traffic.after(policy.inactivity_timeout))?;
        let too_slow = self.frame.too_slow_at(policy.inactivity_timeout, policy.max_message_bytes);
        Some(too_slow.map_or(silent, |too_slow| too_slow.min(silent)))
    }

    pub(super) fn note_traffic(&mut self, now: Timestamp) {
        self.last_traffic = now;
        self.proven = true;
    }
}
