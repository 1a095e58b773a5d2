//! The receiver's window: what came is put in order, repetitions are dropped, gaps are waited for.

use std::{collections::BTreeMap, ops::Bound};

use crate::{
    faults::{Fault, seeded},
    wire::{RemoteCommand, Retirement, Seq},
};

/// What a numbered message turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receipt {
    /// The next in order: it can be delivered.
    InOrder,
    /// Received before; dropped.
    Duplicate,
    /// Ahead of a gap; held until the gap closes.
    Held,
    /// Ahead of a gap, and there is no room to hold it; dropped. The sender still has it.
    NoRoom,
}

/// How a sender that never tells its start repeats what is unacknowledged: in rounds, each from the lowest number that it
/// still has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Rounds {
    /// Where the last round began; 0 before the first.
    begin: u64,
    /// How many in a row began there.
    count: u8,
    /// The last number that was repeated.
    last: u64,
}

impl Rounds {
    /// Rounds that must begin at the same number before it is taken for the sender's lowest. The first may have lost its
    /// beginning with a channel.
    const ENOUGH: u8 = 2;

    /// The sender has repeated `seq`. Answers its lowest number, if that is certain enough.
    fn repeated(&mut self, seq: u64) -> Option<u64> {
        if self.last == 0 || seq <= self.last {
            self.count = if self.begin == seq { self.count.saturating_add(1) } else { 1 };
            self.begin = seq;
        }
        self.last = seq;
        (self.count >= Self::ENOUGH).then_some(self.begin)
    }
}

/// Numbers that the sender will never send again and that did not arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost {
    /// The first lost number.
    pub first: Seq,
    /// The last lost number.
    pub last: Seq,
}

/// A numbered message, as it came.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Arrived {
    /// What the peer asks.
    pub command: RemoteCommand,
    /// The acknowledgement that came with it.
    pub ack: Option<Seq>,
    /// What it says of the names of settled promises.
    pub retirement: Retirement,
    /// The length of its text, in bytes.
    pub size: usize,
}

impl Arrived {
    /// A command that came alone.
    pub fn new(command: RemoteCommand, size: usize) -> Self {
        Arrived { command, ack: None, retirement: Retirement::default(), size }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Inbox {
    /// Highest number delivered in order; 0 before the first.
    highest: u64,
    /// As much of that as is durable, and may be acknowledged.
    committed: u64,
    /// As much of it as [`seal`](Self::seal) has marked; at least what is committed.
    sealed: u64,
    /// What has arrived and is not delivered, the next in order included.
    arrived: BTreeMap<Seq, Arrived>,
    max_held: usize,
    max_held_bytes: usize,
    /// Nothing below this will come any more.
    sender_start: u64,
    /// Whether the sender has ever told its start: then it will whenever it matters, and a gap is never guessed at.
    explicit: bool,
    rounds: Rounds,
    /// The last number for which there was no room.
    refused: u64,
}

impl Inbox {
    pub(super) fn new(highest: u64, max_held: usize, max_held_bytes: usize) -> Self {
        Inbox {
            highest,
            committed: highest,
            sealed: highest,
            arrived: BTreeMap::new(),
            max_held,
            max_held_bytes,
            sender_start: 0,
            explicit: false,
            rounds: Rounds::default(),
            refused: 0,
        }
    }

    pub(super) fn highest(&self) -> Option<Seq> {
        Seq::new(self.highest)
    }

    /// The highest number that may be acknowledged.
    pub(super) fn committed(&self) -> Option<Seq> {
        Seq::new(self.committed)
    }

    pub(super) fn awaits_commit(&self) -> bool {
        self.committed < self.highest
    }

    /// Marks what was delivered so far.
    pub(super) fn seal(&mut self) {
        self.sealed = self.highest;
    }

    /// What is marked is durable. Answers how many numbers that is.
    pub(super) fn commit_sealed(&mut self) -> u64 {
        let fresh = self.sealed.saturating_sub(self.committed);
        self.committed = self.sealed;
        fresh
    }

    fn next(&self) -> u64 {
        self.highest.saturating_add(1)
    }

    /// What was not delivered is forgotten: it came before the sender said in which conversation it is. Whatever belongs to the
    /// present one is not acknowledged, and comes again behind that word.
    pub(super) fn forget_held(&mut self) {
        self.arrived.clear();
    }

    pub(super) fn sender_starts_at(&mut self, start: Seq) {
        self.explicit = true;
        self.sender_start = self.sender_start.max(start.get());
    }

    /// Whether the sender has ever told its start.
    pub(super) fn is_explicit(&self) -> bool {
        self.explicit
    }

    pub(super) fn receive(&mut self, seq: Seq, message: Arrived) -> Receipt {
        if seq.get() < self.next() && !seeded(Fault::DeliverDuplicates) {
            return Receipt::Duplicate;
        }
        if self.arrived.contains_key(&seq) {
            let is_lowest = self.arrived.first_key_value().is_some_and(|(first, _)| *first == seq);
            self.repeated(seq, is_lowest);
            return Receipt::Duplicate;
        }
        let in_order = seq.get() == self.next();
        if !in_order && !self.has_room(message.size) {
            if seq.get() <= std::mem::replace(&mut self.refused, seq.get()) {
                self.repeated(seq, false);
            }
            return Receipt::NoRoom;
        }
        self.arrived.insert(seq, message);
        if in_order { Receipt::InOrder } else { Receipt::Held }
    }

    /// A sender that never tells its start repeats from the lowest number that it still has. If that is the lowest that we
    /// hold, what is missing before it was given up there and will never come. If it is higher, so was what we hold below.
    fn repeated(&mut self, seq: Seq, is_lowest: bool) {
        if self.explicit {
            return;
        }
        let begins = self.rounds.repeated(seq.get());
        if let Some(start) = begins.or(is_lowest.then_some(seq.get())) {
            self.sender_start = self.sender_start.max(start);
        }
    }

    fn has_room(&self, size: usize) -> bool {
        let held = self.arrived.values().fold(size, |total, arrived| total.saturating_add(arrived.size));
        self.arrived.len() < self.max_held && held <= self.max_held_bytes
    }

    pub(super) fn lost(&self) -> Option<Lost> {
        let below = |limit: u64| self.arrived.keys().next().map_or(limit, |first| limit.min(first.get()));
        let last = below(self.sender_start).checked_sub(1)?;
        (last >= self.next()).then(|| Some(Lost { first: Seq::new(self.next())?, last: Seq::new(last)? }))?
    }

    /// What has arrived behind a number.
    pub(super) fn behind(&self, seq: Seq) -> impl Iterator<Item = &Arrived> {
        self.arrived.range((Bound::Excluded(seq), Bound::Unbounded)).map(|(_, arrived)| arrived)
    }

    pub(super) fn next_in_order(&self) -> Option<(Seq, &Arrived)> {
        let (seq, arrived) = self.arrived.first_key_value()?;
        if seeded(Fault::AcceptGaps) || seeded(Fault::DeliverDuplicates) {
            return Some((*seq, arrived));
        }
        if seeded(Fault::ReverseHeld) && seq.get() == self.next() {
            return self.arrived.last_key_value().map(|(_, arrived)| (*seq, arrived));
        }
        (seq.get() == self.next()).then_some((*seq, arrived))
    }

    /// The message after the one at the head, for [`Fault::RedeemOvertakes`].
    #[cfg(feature = "seeded-faults")]
    pub(super) fn behind_head(&self) -> Option<(Seq, Arrived)> {
        let (seq, arrived) = self.arrived.iter().nth(1)?;
        (seq.get() == self.next().saturating_add(1)).then(|| (*seq, arrived.clone()))
    }

    pub(super) fn delivered(&mut self, seq: Seq) {
        self.highest = self.highest.max(seq.get());
        self.arrived = self.arrived.split_off(&seq.next());
    }
}
