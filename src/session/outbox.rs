//! The sender's log: messages from the moment they get their number until they are acknowledged.

use std::collections::VecDeque;

use crate::{
    faults::{Fault, seeded},
    wire::{Seq, StoredCommand},
};

/// A run of messages at the front of the log that need not be kept any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acknowledged {
    /// The first of them.
    pub first: Seq,
    /// The last of them.
    pub last: Seq,
}

impl Acknowledged {
    /// Their numbers, in order.
    pub fn seqs(self) -> impl Iterator<Item = Seq> {
        (self.first.get()..=self.last.get()).filter_map(Seq::new)
    }

    /// The number after them.
    pub fn next(self) -> Seq {
        self.last.next()
    }
}

/// Invariant: `entries` holds the messages `start`, `start + 1`, … without a gap. The last `uncommitted` of them are not
/// durable yet, and the last `staged` of those belong to a transaction that may still be rolled back. `unwritten` is the
/// first number to write next on the present channel.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Outbox {
    start: Seq,
    entries: VecDeque<StoredCommand>,
    /// The length of all entries together.
    bytes: usize,
    staged: usize,
    uncommitted: usize,
    /// As many of the uncommitted as [`seal`](Self::seal) has marked.
    sealed: usize,
    /// Messages were abandoned in a group that is not durable yet. If the peer were told to go on without them and we then
    /// crashed, we should send them again, and the peer would acknowledge what it never got.
    abandoning: bool,
    /// That is marked too.
    abandoning_sealed: bool,
    unwritten: Seq,
    /// The highest number that was ever written; 0 before the first.
    highest_written: u64,
    /// The highest number that was ever handed out to be written, and may have been.
    highest_handed_out: u64,
}

impl Outbox {
    /// `pending` must be consecutive and end at `last_sent`; what is not is left out, for it could not be acknowledged.
    pub(super) fn restore(last_sent: u64, start: u64, pending: Vec<(Seq, StoredCommand)>) -> Self {
        let start = pending.first().map(|(seq, _)| *seq).or_else(|| Seq::new(last_sent.checked_add(1)?.max(start)));
        let start = start.unwrap_or(Seq::FIRST);
        let consecutive = |(entry, offset): (&(Seq, StoredCommand), u64)| entry.0.get() == start.get() + offset;
        let count = pending.iter().zip(0..).take_while(|entry| consecutive(*entry)).count();
        let entries: VecDeque<_> = pending.into_iter().take(count).map(|(_, command)| command).collect();
        let bytes = entries.iter().map(StoredCommand::len).sum();
        // Whatever is pending may have been written by the former life.
        let (highest_written, highest_handed_out) = (last_sent, last_sent);
        Outbox {
            start,
            entries,
            bytes,
            staged: 0,
            uncommitted: 0,
            sealed: 0,
            abandoning: false,
            abandoning_sealed: false,
            unwritten: start,
            highest_written,
            highest_handed_out,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The length of what may be under way, in bytes; at least 1 for each message.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn start(&self) -> Seq {
        self.start
    }

    fn seq_at(&self, index: usize) -> Seq {
        Seq::new(self.start.get().saturating_add(index as u64)).unwrap_or(self.start)
    }

    fn index_of(&self, seq: Seq) -> Option<usize> {
        usize::try_from(seq.get().checked_sub(self.start.get())?).ok()
    }

    fn committed(&self) -> usize {
        if seeded(Fault::SendBeforeCommit) {
            return self.entries.len().saturating_sub(self.staged);
        }
        self.entries.len().saturating_sub(self.uncommitted)
    }

    pub(super) fn stage(&mut self, command: StoredCommand) -> Seq {
        let seq = self.seq_at(self.entries.len());
        self.bytes = self.bytes.saturating_add(command.len());
        self.entries.push_back(command);
        self.staged += 1;
        self.uncommitted += 1;
        seq
    }

    pub(super) fn keep_staged(&mut self) {
        self.staged = 0;
    }

    pub(super) fn roll_back_staged(&mut self) {
        for _ in 0..std::mem::take(&mut self.staged) {
            let removed = self.entries.pop_back().map_or(0, |command| command.len());
            self.bytes = self.bytes.saturating_sub(removed);
            self.uncommitted = self.uncommitted.saturating_sub(1);
        }
    }

    pub(super) fn awaits_commit(&self) -> bool {
        self.uncommitted > 0 || self.abandoning
    }

    /// Whether even the resume point may not be told before a commit.
    pub(super) fn is_abandoning(&self) -> bool {
        self.abandoning
    }

    /// Marks what is kept so far.
    pub(super) fn seal(&mut self) {
        self.sealed = self.uncommitted.saturating_sub(self.staged);
        self.abandoning_sealed = self.abandoning;
    }

    /// The numbers of the messages that are marked.
    pub(super) fn sealed(&self) -> impl Iterator<Item = Seq> + '_ {
        let first = self.entries.len().saturating_sub(self.uncommitted);
        (first..first.saturating_add(self.sealed)).map(|index| self.seq_at(index))
    }

    /// What is marked is durable.
    pub(super) fn commit_sealed(&mut self) {
        self.uncommitted = self.uncommitted.saturating_sub(std::mem::take(&mut self.sealed));
        self.abandoning &= !std::mem::take(&mut self.abandoning_sealed);
    }

    /// The next message that the present channel has not seen.
    pub(super) fn next_unwritten(&self) -> Option<(Seq, &StoredCommand)> {
        let index = self.index_of(self.unwritten)?;
        let command = self.entries.get(index).filter(|_| index < self.committed())?;
        Some((self.unwritten, command))
    }

    /// Whether anything but calls is to be written behind a message.
    pub(super) fn holds_up_more_than_calls(&self, seq: Seq) -> bool {
        let from = self.index_of(seq).unwrap_or(0);
        self.entries.iter().take(self.committed()).skip(from).any(|command| !command.is_call())
    }

    /// The start that a message which may have been written before must carry: without it a peer that has read none, and
    /// lacks what comes before, would take it for the oldest that there is, as an incumbent's.
    pub(super) fn start_to_repeat_with(&self, seq: Seq) -> Option<Seq> {
        (seq > self.start && seq.get() <= self.highest_handed_out).then_some(self.start)
    }

    /// Takes note that a message was handed out to be written.
    pub(super) fn handed_out(&mut self, seq: Seq) {
        self.unwritten = seq.next();
        self.highest_handed_out = self.highest_handed_out.max(seq.get());
    }

    /// Takes note that a message was not written: it is the next one.
    pub(super) fn not_written(&mut self, seq: Seq) {
        self.unwritten = self.unwritten.min(seq).max(self.start);
    }

    /// Takes note that a message was written; true if it never was before.
    pub(super) fn written(&mut self, seq: Seq) -> bool {
        if self.unwritten == seq {
            self.unwritten = seq.next();
        }
        let first_time = seq.get() > self.highest_written;
        self.highest_written = self.highest_written.max(seq.get());
        first_time
    }

    /// Begins again at the first message that is not acknowledged.
    pub(super) fn rewind(&mut self) {
        self.unwritten = self.start;
    }

    /// A peer may acknowledge only what was sent; a higher number is taken for the last one sent.
    pub(super) fn acknowledged_by(&self, ack: Seq) -> Option<Acknowledged> {
        let last = ack.min(self.seq_at(self.committed().checked_sub(1)?));
        (last >= self.start).then_some(Acknowledged { first: self.start, last })
    }

    pub(super) fn acknowledge(&mut self, acknowledged: &Acknowledged) {
        let count = self.index_of(acknowledged.next()).unwrap_or(0).min(self.committed());
        let removed: usize = self.entries.drain(..count).map(|command| command.len()).sum();
        self.bytes = self.bytes.saturating_sub(removed);
        self.start = self.seq_at(count);
        self.unwritten = self.unwritten.max(self.start);
    }

    /// Everything that was given a number, durable or not.
    pub(super) fn everything(&self) -> Option<Acknowledged> {
        let last = self.seq_at(self.entries.len().checked_sub(1)?);
        Some(Acknowledged { first: self.start, last })
    }

    pub(super) fn abandon(&mut self) {
        let next = self.seq_at(self.entries.len());
        self.abandoning |= !self.entries.is_empty();
        self.abandoning_sealed = false;
        self.entries.clear();
        self.bytes = 0;
        self.staged = 0;
        self.uncommitted = 0;
        self.sealed = 0;
        self.start = next;
        self.unwritten = next;
    }
}
