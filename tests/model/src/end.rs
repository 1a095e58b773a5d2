//! One end: the real session, the store behind it, and what its program has seen.
//!
//! It does with the session what a remote handle does, and checks on the way what must hold at each step. What the program
//! sent and got is kept as plain lists in the store, so that a crash takes them back together with the numbers.

use std::sync::Arc;

use ocap_remotes::{
    runtime::Timestamp,
    session::{Arrived, Session, SessionConfig, TimerOutcome, Write},
    wire::{Message, Seq},
};

use crate::store::{Got, Incarnation, Label, Sent, Store, index};

/// Why something that happened must not happen.
pub type Violation = String;

macro_rules! ensure {
    ($holds:expr, $($message:tt)*) => {
        if !$holds {
            return Err(format!($($message)*));
        }
    };
}

/// How a message is received.
#[derive(Clone, Copy, Debug)]
pub struct Reception {
    /// A gap cannot come about, since channels keep order and whoever writes leaves none.
    pub no_gaps: bool,
    /// The message is processed later, by [`End::process_next`], as one is whose URL must be opened first.
    pub deferred: bool,
    /// Each delivery makes the kernel send a reply.
    pub replies: bool,
}

/// One end. See the module's documentation.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct End {
    /// Its own incarnation; the first is 1.
    pub incarnation: Incarnation,
    /// The session.
    pub session: Session,
    /// The store, with what is not durable yet.
    pub store: Store,
    /// The store as of the last commit.
    pub durable: Arc<Store>,
    /// What was durable when former incarnations died; the first is incarnation 1's.
    former: Vec<Arc<Store>>,
    /// The highest number that has come, processed or not.
    arrived: u64,
    /// The peer's present incarnation has told this life of the session where it starts.
    pub heard_start: bool,
}

impl End {
    /// The first incarnation, with nothing in its store.
    pub fn new(config: SessionConfig, now: Timestamp) -> Self {
        let store = Store::default();
        let session = Session::restore(config, store.saved(), now);
        End {
            incarnation: 1,
            session,
            durable: Arc::new(store.clone()),
            store,
            former: Vec::new(),
            arrived: 0,
            heard_start: false,
        }
    }

    /// The kernel dies, and another takes up its store.
    pub fn crash(&mut self, config: SessionConfig, now: Timestamp) {
        self.store = Store::clone(&self.durable);
        self.session = Session::restore(config, self.store.saved(), now);
        self.arrived = self.store.got.len() as u64;
        self.heard_start = false;
    }

    /// The kernel dies together with its store.
    pub fn wipe(&mut self, config: SessionConfig, now: Timestamp) {
        self.former.push(std::mem::take(&mut self.durable));
        self.incarnation += 1;
        self.crash(config, now);
    }

    /// What is, or was, durable in one incarnation.
    fn record(&self, incarnation: Incarnation) -> Option<&Store> {
        if incarnation == self.incarnation {
            return Some(&*self.durable);
        }
        self.former.get(usize::from(incarnation).checked_sub(1)?).map(|store| &**store)
    }

    /// What is durable at the peer incarnation that this end believes to talk to.
    fn counterpart<'a>(&self, peer: &'a End) -> Result<&'a Store, Violation> {
        let record = peer.record(self.store.peer).ok_or("something came before any handshake")?;
        ensure!(
            record.peer == self.incarnation,
            "something came from an incarnation that speaks to incarnation {} of this end, not {}",
            record.peer,
            self.incarnation
        );
        Ok(record)
    }

    // --- Sending

    /// The program sends a message, if there is room.
    pub fn send(&mut self, padding: usize) -> Result<bool, Violation> {
        if self.session.check_room().is_err() {
            return Ok(false);
        }
        let before = self.session.clone();
        self.session.stage(self.next_label().command(padding));
        self.session.roll_back_staged();
        ensure!(before == self.session, "a transaction that was rolled back left a trace");
        self.stage(padding)?;
        Ok(true)
    }

    fn next_label(&self) -> Label {
        Label { from: self.incarnation, to: self.store.peer, number: self.store.sent.len() as u64 + 1 }
    }

    fn stage(&mut self, padding: usize) -> Result<(), Violation> {
        let label = self.next_label();
        let command = label.command(padding);
        self.store.start = self.session.start().get();
        let seq = self.session.stage(command.clone());
        self.session.keep_staged();
        ensure!(seq.get() == label.number, "number {seq} was given out where {} was due", label.number);
        self.store.last_sent = seq.get();
        self.store.pending.push((seq, command));
        self.store.sent.push(Sent::Pending);
        Ok(())
    }

    /// Whether a commit would change anything.
    pub fn is_dirty(&self) -> bool {
        self.session.awaits_commit() || self.store != *self.durable
    }

    /// Everything so far becomes durable.
    pub fn commit(&mut self, now: Timestamp) -> Result<(), Violation> {
        self.durable = Arc::new(self.store.clone());
        self.session.commit(now);
        ensure!(!self.session.awaits_commit(), "something still waits for a commit after a commit");
        Ok(())
    }

    /// Takes what the session wants written, and checks that it may be.
    pub fn poll_write(&mut self, now: Timestamp, peer: &End) -> Result<Option<Write>, Violation> {
        let Some(write) = self.session.poll_write(now) else { return Ok(None) };
        let message = Message::parse(&write.text).map_err(|error| format!("{error} in {}", write.text))?;
        if let Some((seq, command)) = &message.command {
            let stored = self.durable.pending.iter().any(|(row, _)| row == seq);
            ensure!(stored, "message {seq} leaves before it is durable, or after it is gone");
            let label = Label::of(command).ok_or("a foreign message leaves")?;
            ensure!(label.number == seq.get(), "{label:?} leaves under the number {seq}");
        }
        if let Some(ack) = message.ack {
            ensure!(self.durable.got.len() as u64 >= ack.get(), "{ack} is acknowledged before it is durable");
        }
        for number in 1..message.start.map_or(1, Seq::get) {
            let seq = Seq::new(number).ok_or("0 is no number")?;
            let given_up = self.durable.sent_fate(seq) == Some(Sent::GivenUp);
            let has = || self.counterpart(peer).is_ok_and(|store| store.got_fate(seq).is_some());
            ensure!(given_up || has(), "the peer is told to go on without {seq}, which is not durably done with");
        }
        Ok(Some(write))
    }

    // --- Receiving

    /// Takes a message from the wire.
    pub fn receive(&mut self, now: Timestamp, text: &str, peer: &End, how: Reception) -> Result<(), Violation> {
        let message = Message::parse(text).map_err(|error| format!("{error} in {text}"))?;
        if let Some(acknowledged) = self.session.acknowledged_by(message.ack) {
            let record = self.counterpart(peer)?;
            for seq in acknowledged.seqs() {
                ensure!(
                    record.got_fate(seq) == Some(Got::Delivered),
                    "message {seq} is dropped as acknowledged, but the peer has not durably got it"
                );
                self.store.sent[index(seq)] = Sent::Acknowledged;
            }
            self.store.start = acknowledged.next().get();
            self.store.pending.retain(|(seq, _)| *seq > acknowledged.last);
            self.session.acknowledge(now, &acknowledged);
        }
        self.session.sender_starts_at(message.start);
        self.heard_start |= message.start.is_some();
        if let Some((seq, command)) = message.command {
            if how.no_gaps {
                self.check_no_gap(seq, peer)?;
            }
            self.arrived = self.arrived.max(seq.get());
            self.session.receive(now, seq, Arrived { ack: message.ack, ..Arrived::new(command, text.len()) });
        }
        if !how.deferred {
            while self.process_next(peer, how.replies)? {}
        }
        Ok(())
    }

    fn check_no_gap(&self, seq: Seq, peer: &End) -> Result<(), Violation> {
        let present = peer.incarnation == self.store.peer;
        for number in self.arrived + 1..seq.get() {
            let missing = Seq::new(number).ok_or("0 is no number")?;
            let given_up = present && peer.store.sent_fate(missing) == Some(Sent::GivenUp)
                || peer.record(self.store.peer).is_some_and(|store| store.sent_fate(missing) == Some(Sent::GivenUp));
            ensure!(given_up, "message {seq} comes ahead of {missing}, which an incumbent would lose");
        }
        Ok(())
    }

    /// Whether something can be processed.
    pub fn has_ready(&self) -> bool {
        self.session.lost().is_some() || self.session.next_in_order().is_some()
    }

    /// Processes the next message in order, or passes over lost ones. False if there is neither.
    pub fn process_next(&mut self, peer: &End, replies: bool) -> Result<bool, Violation> {
        let next = self.store.got.len() as u64 + 1;
        if let Some(lost) = self.session.lost() {
            ensure!(lost.first.get() == next, "{} is passed over where {next} is due", lost.first);
            let record = self.counterpart(peer)?;
            for number in lost.first.get()..=lost.last.get() {
                let fate = Seq::new(number).and_then(|seq| record.sent_fate(seq));
                ensure!(
                    fate == Some(Sent::GivenUp),
                    "message {number} is passed over, but its sender has not durably given it up"
                );
                self.store.got.push(Got::Lost);
            }
            self.session.delivered(lost.last);
            return Ok(true);
        }
        let Some((seq, Arrived { command, .. })) = self.session.next_in_order() else { return Ok(false) };
        let label = Label::of(command).ok_or("a foreign message is delivered")?;
        ensure!(seq.get() == next && label.number == next, "{label:?} is delivered as {seq} where {next} is due");
        ensure!(
            label.from == self.store.peer && (label.to == 0 || label.to == self.incarnation),
            "{label:?} is delivered to incarnation {}, whose peer is {}",
            self.incarnation,
            self.store.peer
        );
        let durable = self.counterpart(peer)?.sent_fate(seq).is_some();
        ensure!(durable, "{label:?} is delivered, but its sender does not durably know of it");
        self.store.got.push(Got::Delivered);
        if replies {
            self.stage(0)?;
        }
        self.session.delivered(seq);
        Ok(true)
    }

    // --- Turning points

    /// Judges the incarnation that the peer has shown, durably. True for a restart.
    pub fn judge(&mut self, now: Timestamp, observed: Incarnation) -> Result<bool, Violation> {
        let restarted = self.store.peer != 0 && self.store.peer != observed;
        if restarted {
            self.store.begin_anew(observed);
            self.arrived = 0;
            self.heard_start = false;
            self.session.peer_restarted(None);
        } else {
            self.store.peer = observed;
            self.session.channel_up(now);
        }
        self.commit(now)?;
        Ok(restarted)
    }

    /// Abandons what is not acknowledged, and tells the program.
    pub fn give_up(&mut self) -> Result<(), Violation> {
        if let Some(abandoned) = self.session.abandonable() {
            for seq in abandoned.seqs() {
                let fate = self.store.sent.get_mut(index(seq)).ok_or("what was never sent is abandoned")?;
                ensure!(*fate == Sent::Pending, "message {seq} is abandoned, though it is {fate:?}");
                *fate = Sent::GivenUp;
            }
            self.store.start = abandoned.next().get();
            self.store.pending.clear();
        }
        self.session.give_up();
        let forgotten = self.store.sent.contains(&Sent::Pending);
        ensure!(!forgotten, "a message is neither acknowledged nor given up, and nobody was told");
        Ok(())
    }

    /// Tells the session the time, and gives the peer up if it says so. True if it did.
    pub fn handle_timeout(&mut self, now: Timestamp) -> Result<bool, Violation> {
        match self.session.handle_timeout(now) {
            TimerOutcome::Proceed => Ok(false),
            TimerOutcome::GiveUp => self.give_up().map(|()| true),
        }
    }

    /// What ties session and store together at any time.
    pub fn check(&self) -> Result<(), Violation> {
        let pending = self.store.sent.iter().filter(|fate| **fate == Sent::Pending).count();
        let rows = self.store.pending.len();
        ensure!(
            self.session.pending() == pending && rows == pending,
            "{pending} messages are pending, the session keeps {}, the store {rows}",
            self.session.pending()
        );
        let highest = self.session.highest_received().map_or(0, Seq::get);
        ensure!(highest == self.store.got.len() as u64, "the session is at {highest}, the store is not");
        Ok(())
    }
}
