//! One channel: what is to be written on it, in order, and what was read from its peer.

use std::collections::VecDeque;

use super::{
    context::Context,
    io::{ChannelId, Effect, SendId},
    policy::{INBOX_FRAMES, WRITES_IN_FLIGHT},
    rollover::Rollover,
    standstill::{Progress, Standstill},
};
use crate::{
    runtime::Timestamp,
    wire::{IncarnationId, RemoteError, is_standalone_ack},
};

/// How a stream ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// In order: what is under way is written.
    Closed,
    /// Nothing on it can be trusted to arrive any more.
    Broken,
}

impl End {
    pub(super) fn of(self, cx: &mut Context, channel: ChannelId) {
        match self {
            End::Closed => cx.close(channel),
            End::Broken => cx.reset(channel),
        }
    }
}

/// A message on its way to a peer.
#[derive(Debug)]
pub(super) struct Outgoing {
    /// Who waits for it; nobody for a handshake or the kernel's answer to a delivery.
    pub(super) id: Option<SendId>,
    pub(super) text: String,
    pub(super) is_ack: bool,
}

impl Outgoing {
    pub(super) fn new(id: Option<SendId>, text: String) -> Self {
        let is_ack = is_standalone_ack(&text);
        Outgoing { id, text, is_ack }
    }
}

#[derive(Debug)]
struct UnderWay {
    id: Option<SendId>,
    bytes: u64,
}

/// The writing side of a channel. Whatever is not written when the channel ends fails, in order and without exception.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) channel: ChannelId,
    under_way: VecDeque<UnderWay>,
    queued: VecDeque<Outgoing>,
    /// Since when the oldest write under way has stood still; meaningless when there is none.
    waiting: Standstill,
    progress: Progress,
    /// The circuit below, which may have no room for what is queued.
    pub(super) circuit: Option<Rollover>,
}

impl Writer {
    pub(super) fn new(cx: &Context, channel: ChannelId) -> Self {
        Writer {
            channel,
            under_way: VecDeque::new(),
            queued: VecDeque::new(),
            waiting: cx.wait_for_writing(),
            progress: Progress::default(),
            circuit: None,
        }
    }

    pub(super) fn write(&mut self, cx: &mut Context, message: Outgoing) {
        self.queued.push_back(message);
        self.pump(cx);
    }

    /// The oldest write is done.
    pub(super) fn written(&mut self, cx: &mut Context) {
        if let Some(UnderWay { id, .. }) = self.under_way.pop_front() {
            cx.finish(id, Ok(()));
        }
        self.waiting = cx.wait_for_writing();
        self.progress.end();
        if self.circuit.as_ref().is_some_and(Rollover::is_weighed) {
            // The next write is decided upon when the bytes are counted.
            return cx.effect(Effect::Weigh { channel: self.channel });
        }
        self.pump(cx);
    }

    /// A part of the oldest write was taken. True if that is to be told.
    pub(super) fn part_written(&mut self, cx: &Context) -> bool {
        self.waiting = cx.wait_for_writing();
        self.progress.part(cx.now)
    }

    pub(super) fn pump(&mut self, cx: &mut Context) {
        while self.under_way.len() < WRITES_IN_FLIGHT {
            let Some(bytes) = self.queued.front().map(|message| message.text.len()) else { return };
            if let Some(circuit) = &mut self.circuit
                && !circuit.admits(bytes, self.under_way.is_empty())
            {
                return;
            }
            let Some(Outgoing { id, text, .. }) = self.queued.pop_front() else { return };
            if self.under_way.is_empty() {
                self.waiting = cx.wait_for_writing();
            }
            self.under_way.push_back(UnderWay { id, bytes: bytes as u64 });
            cx.effect(Effect::Write { channel: self.channel, text });
        }
    }

    /// Whether nothing given to the stream waits to be written.
    pub(super) fn is_idle(&self) -> bool {
        self.under_way.is_empty()
    }

    /// Bytes given to the stream and not yet written.
    pub(super) fn bytes_under_way(&self) -> u64 {
        self.under_way.iter().fold(0, |sum, write| sum.saturating_add(write.bytes))
    }

    /// Takes back everything that was not given to the stream.
    pub(super) fn take_queued(&mut self) -> VecDeque<Outgoing> {
        std::mem::take(&mut self.queued)
    }

    /// Fails what is not written.
    pub(super) fn fail(self, cx: &mut Context, error: &RemoteError) {
        let under_way = self.under_way.into_iter().map(|write| write.id);
        let queued = self.queued.into_iter().map(|message| message.id);
        for id in under_way.chain(queued) {
            cx.finish(id, Err(error.clone()));
        }
    }

    /// When the oldest write under way will have stood still for too long.
    pub(super) fn deadline(&self) -> Option<Timestamp> {
        (!self.under_way.is_empty()).then(|| self.waiting.deadline())
    }

    pub(super) fn waiting(&mut self) -> &mut Standstill {
        &mut self.waiting
    }

    pub(super) fn len(&self) -> usize {
        self.under_way.len() + self.queued.len()
    }
}

/// What was read from a peer and is not yet handed to the kernel.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    /// Whose frames these are. They may outlive the channel on which they came, but not the incarnation.
    of: Option<IncarnationId>,
    frames: VecDeque<String>,
    bytes: usize,
    /// Handed over and not answered.
    pub(super) handed_over: usize,
}

impl Inbox {
    pub(super) fn push(&mut self, of: &IncarnationId, text: String) {
        self.drop_unless_of(of);
        self.bytes = self.bytes.saturating_add(text.len());
        self.frames.push_back(text);
    }

    /// Drops what another incarnation wrote.
    pub(super) fn drop_unless_of(&mut self, incarnation: &IncarnationId) {
        if self.of.as_ref() != Some(incarnation) {
            self.clear();
            self.of = Some(incarnation.clone());
        }
    }

    pub(super) fn first(&self) -> Option<&str> {
        self.frames.front().map(String::as_str)
    }

    pub(super) fn pop(&mut self) -> Option<String> {
        let text = self.frames.pop_front()?;
        self.bytes = self.bytes.saturating_sub(text.len());
        Some(text)
    }

    /// Whether one more frame may be read: few are held, and together no more than two of the longest.
    pub(super) fn has_room(&self, max_message_bytes: usize) -> bool {
        self.frames.len() < INBOX_FRAMES && self.bytes <= max_message_bytes
    }

    pub(super) fn clear(&mut self) {
        self.frames.clear();
        self.bytes = 0;
    }

    pub(super) fn is_idle(&self) -> bool {
        self.frames.is_empty() && self.handed_over == 0
    }
}
