//! The sender's log: messages from the moment they get their number until they are acknowledged.

use std::collections::VecDeque;

use crate::wire::{Seq, StoredCommand};

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

/// Invariant: `entries` holds the messages `start`, `start + 1`, … without a gap; the last `staged` of them belong to a
/// transaction that is still open; `unwritten` is the first number to write next on the present channel.
#[derive(Debug)]
pub(super) struct Outbox {
    start: Seq,
    entries: VecDeque<StoredCommand>,
    staged: usize,
    unwritten: Seq,
}

impl Outbox {
    /// `pending` must be consecutive and end at `last_sent`; what is not is left out, for it could not be acknowledged.
    pub(super) fn restore(last_sent: u64, start: u64, pending: Vec<(Seq, StoredCommand)>) -> Self {
        let start = pending.first().map(|(seq, _)| *seq).or_else(|| Seq::new(last_sent.checked_add(1)?.max(start)));
        let start = start.unwrap_or(Seq::FIRST);
        let consecutive = |(entry, offset): (&(Seq, StoredCommand), u64)| entry.0.get() == start.get() + offset;
        let count = pending.iter().zip(0..).take_while(|entry| consecutive(*entry)).count();
        let entries = pending.into_iter().take(count).map(|(_, command)| command).collect();
        Outbox { start, entries, staged: 0, unwritten: start }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
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

    pub(super) fn stage(&mut self, command: StoredCommand) -> Seq {
        let seq = self.seq_at(self.entries.len());
        self.entries.push_back(command);
        self.staged += 1;
        seq
    }

    pub(super) fn commit_staged(&mut self) {
        self.staged = 0;
    }

    pub(super) fn roll_back_staged(&mut self) {
        self.entries.truncate(self.entries.len().saturating_sub(self.staged));
        self.staged = 0;
    }

    /// The next message that the present channel has not seen.
    pub(super) fn next_unwritten(&self) -> Option<(Seq, &StoredCommand)> {
        let index = self.index_of(self.unwritten)?;
        let committed = self.entries.len().saturating_sub(self.staged);
        let command = self.entries.get(index).filter(|_| index < committed)?;
        Some((self.unwritten, command))
    }

    pub(super) fn written(&mut self, seq: Seq) {
        if self.unwritten == seq {
            self.unwritten = seq.next();
        }
    }

    /// Begins again at the first message that is not acknowledged.
    pub(super) fn rewind(&mut self) {
        self.unwritten = self.start;
    }

    /// A peer may acknowledge only what was sent; a higher number is taken for the last one sent.
    pub(super) fn acknowledged_by(&self, ack: Seq) -> Option<Acknowledged> {
        let committed = self.entries.len().checked_sub(self.staged)?.checked_sub(1)?;
        let last = ack.min(self.seq_at(committed));
        (last >= self.start).then_some(Acknowledged { first: self.start, last })
    }

    pub(super) fn acknowledge(&mut self, acknowledged: &Acknowledged) {
        let count = self.index_of(acknowledged.next()).unwrap_or(0).min(self.entries.len());
        self.entries.drain(..count);
        self.start = self.seq_at(count);
        self.unwritten = self.unwritten.max(self.start);
    }

    pub(super) fn everything(&self) -> Option<Acknowledged> {
        self.acknowledged_by(self.seq_at(self.entries.len()))
    }
}
