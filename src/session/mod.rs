//! Exactly-once, in-order delivery between two incarnations (protocol §5): a pure state machine.
//!
//! A [`Session`] numbers what goes out and keeps it until it is acknowledged (`outbox`), puts what comes in back in order
//! and drops repetitions (`inbox`), and decides what is written next on a channel that may die at any moment. It reads no
//! clock, does no I/O and keeps nothing on disk: its owner, a remote handle, stores the numbers and messages in the same
//! transaction as their effects, tells it the time, writes what [`Session::poll_write`] gives, and asks again at
//! [`Session::poll_timeout`].
//!
//! Several transactions may share one commit. Nothing leaves a session before [`Session::commit`] has said that what it
//! rests on is durable: neither a message, nor an acknowledgement of one, nor word of a message that was abandoned. A commit
//! that fails leaves the session ahead of the store, so it must be thrown away and [restored](Session::restore).
//!
//! What it relies on, and the transport guarantees: a channel keeps order; a write that is refused was not and will not be
//! written; a channel is announced by [`Session::channel_up`] before anything is written on it; and once a channel is lost,
//! writes are refused until the next one is announced. Only a first write, before any channel, waits for one.

#![forbid(unsafe_code)]

mod conversation;
mod inbox;
mod link;
mod outbox;
mod pace;
#[cfg(test)]
mod tests;
mod timer;

use std::time::Duration;

use conversation::Conversation;
pub use conversation::Heard;
use inbox::Inbox;
pub use inbox::{Arrived, Lost, Receipt};
use link::Link;
pub use link::{Write, WriteOutcome, WriteToken};
pub use outbox::Acknowledged;
use outbox::Outbox;
use pace::Pace;
pub(crate) use timer::OVERSLEPT;
use timer::{Elapsed, RetransmissionTimer};

use crate::{
    faults::{Fault, seeded},
    runtime::Timestamp,
    wire::{Epoch, LimitType, Message, RemoteCommsOptions, RemoteError, Resume, Seq, StoredCommand},
};

/// The numbers that a session lives by; see [`RemoteCommsOptions`] for those that users set.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SessionConfig {
    /// Unacknowledged messages before sends are refused.
    pub max_queue: usize,
    /// Messages ahead of a gap that are held until it closes; more are dropped, and come again.
    pub max_held: usize,
    /// The same limit in bytes of message text.
    pub max_held_bytes: usize,
    /// How long an acknowledgement may take at most before everything unacknowledged is written again; a measured round
    /// trip makes it shorter.
    pub ack_timeout: Duration,
    /// So many times [`ack_timeout`](Self::ack_timeout), and once more, may pass without progress before giving up.
    pub max_retransmissions: u32,
    /// How long an acknowledgement waits for a message to ride on, counted from the first message it is for.
    pub delayed_ack: Duration,
    /// Messages received after which an acknowledgement waits no longer.
    pub ack_every: u64,
    /// How long writing pauses after a refusal that may be a passing one.
    pub refusal_pause: Duration,
    /// Writes that may be under way at once to a peer of ours that keeps epochs, if the owner does; to any other, one.
    pub max_writes: usize,
}

impl From<&RemoteCommsOptions> for SessionConfig {
    fn from(options: &RemoteCommsOptions) -> Self {
        SessionConfig {
            max_queue: options.max_queue,
            max_held: options.max_queue,
            max_held_bytes: options.max_message_size_bytes.saturating_mul(4),
            ack_timeout: Duration::from_millis(options.ack_timeout_ms),
            max_retransmissions: options.max_retransmissions,
            delayed_ack: Duration::from_millis(options.delayed_ack_ms),
            // A quarter of the sender's queue, so that a steady sender never fills it while an acknowledgement waits.
            ack_every: (options.max_queue as u64 / 4).max(1),
            refusal_pause: Duration::from_millis(100),
            // As many as the network hands its stream at once.
            max_writes: 8,
        }
    }
}

/// What the store holds of a session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SavedSession {
    /// The highest number given to a message; 0 before the first.
    pub last_sent: u64,
    /// The lowest number not yet acknowledged; 0 or 1 before the first message.
    pub start: u64,
    /// The highest number received in order; 0 before the first.
    pub highest_received: u64,
    /// The unacknowledged messages, in order.
    pub pending: Vec<(Seq, StoredCommand)>,
    /// The conversation, if the owner keeps epochs and has begun one.
    pub epoch: Option<Epoch>,
}

/// One remote's session. See the module's documentation.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Session {
    config: SessionConfig,
    outbox: Outbox,
    inbox: Inbox,
    conversation: Conversation,
    link: Link,
    pace: Pace,
    /// When an acknowledgement must leave, if one is owed.
    ack_due: Option<Timestamp>,
    /// Messages received that no acknowledgement has covered yet.
    unacknowledged: u64,
    timer: RetransmissionTimer,
}

/// What a timer brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimerOutcome {
    /// Nothing that the owner must act on; there may be something to write.
    Proceed,
    /// The peer did not acknowledge in all the time it was given: the owner must give it up.
    GiveUp,
}

impl Session {
    /// A session as the store left it. Whatever is pending is written as soon as the owner asks for writes.
    pub fn restore(config: SessionConfig, saved: SavedSession, now: Timestamp) -> Self {
        let mut session = Session {
            outbox: Outbox::restore(saved.last_sent, saved.start, saved.pending),
            inbox: Inbox::new(saved.highest_received, config.max_held, config.max_held_bytes),
            conversation: Conversation::restore(saved.epoch),
            link: Link::new(),
            pace: Pace::default(),
            ack_due: None,
            unacknowledged: 0,
            timer: RetransmissionTimer::new(config.ack_timeout, config.max_retransmissions),
            config,
        };
        session.start_timer(now);
        session
    }

    /// The owner's store has gone back, so that this session is ahead of it. It begins again as the store has it; whatever is
    /// unacknowledged is written once more.
    pub fn go_back(&mut self, saved: SavedSession, now: Timestamp) {
        let (link, outage) = (self.link.restarted(), self.timer.is_outage());
        *self = Session { link, ..Session::restore(self.config.clone(), saved, now) };
        if outage {
            self.timer.no_channel(now);
        }
    }

    // --- Sending

    /// Whether one more message may be sent.
    ///
    /// # Errors
    /// [`RemoteError::ResourceLimit`] when the queue of unacknowledged messages is full. No number has been used.
    pub fn check_room(&self) -> Result<(), RemoteError> {
        if self.room() > 0 {
            return Ok(());
        }
        Err(RemoteError::ResourceLimit {
            limit_type: LimitType::PendingMessages,
            current: self.outbox.len() as u64,
            limit: self.config.max_queue as u64,
        })
    }

    /// How many more messages may be sent now.
    pub fn room(&self) -> usize {
        self.config.max_queue.saturating_sub(self.outbox.len())
    }

    /// Gives a message its number, inside a transaction that ends with [`keep_staged`](Self::keep_staged) or
    /// [`roll_back_staged`](Self::roll_back_staged). It is written after the next [`commit`](Self::commit).
    pub fn stage(&mut self, command: StoredCommand) -> Seq {
        self.outbox.stage(command)
    }

    /// The transaction that holds the staged messages has ended well.
    pub fn keep_staged(&mut self) {
        self.outbox.keep_staged();
    }

    /// The transaction that held the staged messages was rolled back: they and their numbers are taken back.
    pub fn roll_back_staged(&mut self) {
        self.outbox.roll_back_staged();
    }

    /// Whether something waits for a commit before it may leave.
    pub fn awaits_commit(&self) -> bool {
        self.outbox.awaits_commit() || self.inbox.awaits_commit() || self.conversation.awaits_commit()
    }

    /// Everything that the owner has stored so far is durable.
    pub fn commit(&mut self, now: Timestamp) {
        self.seal();
        self.commit_sealed(now);
    }

    /// Marks everything that the owner has stored so far, for an owner that goes on storing before it learns that this much is
    /// durable.
    pub fn seal(&mut self) {
        self.outbox.seal();
        self.inbox.seal();
        self.conversation.seal();
    }

    /// The numbers of the messages that are [marked](Self::seal) and not durable.
    pub fn sealed(&self) -> impl Iterator<Item = Seq> + '_ {
        self.outbox.sealed()
    }

    /// What was [marked](Self::seal) is durable.
    pub fn commit_sealed(&mut self, now: Timestamp) {
        self.outbox.commit_sealed();
        self.conversation.commit_sealed();
        self.start_timer(now);
        let received = self.inbox.commit_sealed();
        if received > 0 {
            self.unacknowledged = self.unacknowledged.saturating_add(received);
            self.owe_ack(now);
        }
    }

    /// The lowest number that is not acknowledged, for the store.
    pub fn start(&self) -> Seq {
        self.outbox.start()
    }

    /// How many messages wait for their acknowledgement.
    pub fn pending(&self) -> usize {
        self.outbox.len()
    }

    /// How long the messages are together that wait for their acknowledgement, in bytes.
    pub fn pending_bytes(&self) -> usize {
        self.outbox.bytes()
    }

    // --- The channel

    /// A new channel to the same incarnation is up. Everything unacknowledged goes out again, in order, before anything new.
    pub fn channel_up(&mut self, now: Timestamp) {
        self.link.channel_up();
        self.outbox.rewind();
        self.timer.forget_measurement();
        self.timer.channel_up(now, self.outbox.bytes());
    }

    /// A channel was announced before there was a session to tell, and may still be there.
    pub fn channel_was_announced(&mut self) {
        self.link.channel_was_announced();
    }

    /// The network was started anew: no channel that was known exists any more.
    pub fn network_started(&mut self, now: Timestamp) {
        self.link = self.link.on_new_network();
        self.outbox.rewind();
        self.timer.network_started(now);
    }

    /// The network has no channel to the peer, and gives it up by itself if it finds none for too long. Until a channel is
    /// announced silence is no evidence against the peer.
    pub fn no_channel(&mut self, now: Timestamp) {
        self.timer.no_channel(now);
    }

    /// The next thing to write, if anything may be written now.
    pub fn poll_write(&mut self, now: Timestamp) -> Option<Write> {
        if self.is_held_back() {
            return None;
        }
        let due = self.link.may_write(now, self.most_writes())?;
        let ack = if seeded(Fault::AckBeforeCommit) { self.inbox.highest() } else { self.inbox.committed() };
        let start = due.resume.then(|| self.outbox.start());
        let waits = self.call_that_waits(now);
        let next = if waits.is_some() { None } else { self.outbox.next_unwritten() };
        let (text, acknowledges) = if let Some((seq, command)) = next {
            self.link.begin_message(seq, command.len());
            if command.is_call() && !self.peer_is_ours() {
                self.pace.let_go(seq);
            }
            let start = start.or_else(|| self.outbox.start_to_repeat_with(seq));
            let resume = start.map(|start| Resume { start, epoch: self.conversation.tell() });
            let written = (command.to_message(seq, ack, resume), command.carried_ack(ack));
            self.outbox.handed_out(seq);
            self.timer.start(now, self.outbox.bytes());
            written
        } else {
            if waits == Some(self.outbox.start()) {
                // The peer has nothing to acknowledge.
                self.timer.stop();
            }
            let ack_is_due = self.ack_due.is_some_and(|due| due <= now);
            let has_news = ack.is_some() || self.outbox.start() > Seq::FIRST || self.conversation.is_news();
            let resume_is_due = due.announced && due.resume && has_news || self.conversation.owes_word();
            if !(ack_is_due || resume_is_due) {
                return None;
            }
            self.link.begin_ack();
            let resume = start.map(|start| Resume { start, epoch: self.conversation.tell() });
            (Message::standalone(ack, resume), ack)
        };
        // A drop acknowledges no more than had come when it was decided.
        if acknowledges == ack {
            self.ack_due = None;
            self.unacknowledged = 0;
        }
        Some(Write { token: self.link.token(), text })
    }

    /// How many writes may be under way. One that is written although the one before it was refused makes a gap, which an incumbent
    /// accepts. So may a peer that keeps no epochs, when it has forgotten that this end is none.
    fn most_writes(&self) -> usize {
        let holds = self.peer_is_ours() && self.conversation.epoch().is_none_or(|epoch| epoch.shared);
        if holds || seeded(Fault::WriteSeveralToAll) { self.config.max_writes } else { 1 }
    }

    fn is_open(&self) -> bool {
        self.link.is_open(self.most_writes()) && !self.is_held_back()
    }

    /// Whether even the resume point may not be told before a commit.
    fn is_held_back(&self) -> bool {
        self.outbox.is_abandoning() || self.conversation.awaits_commit()
    }

    /// Whether a result for this write still means something.
    pub fn is_current(&self, token: WriteToken) -> bool {
        self.link.is_current(token)
    }

    /// How a write ended. Results of writes that a restart or a give-up made meaningless are ignored.
    pub fn write_finished(&mut self, now: Timestamp, token: WriteToken, outcome: WriteOutcome) {
        match self.link.finished(token, outcome, now, self.config.refusal_pause) {
            link::Finished::Written(seq) => self.written(now, seq),
            link::Finished::Rewind => {
                self.rewind();
                self.owe_ack(now);
            }
            link::Finished::NotWritten(seq) => {
                seq.into_iter().for_each(|seq| self.outbox.not_written(seq));
                self.owe_ack(now);
            }
            link::Finished::AckWritten | link::Finished::Ignored => {}
        }
    }

    fn written(&mut self, now: Timestamp, seq: Seq) {
        let (is_oldest, bytes) = (seq == self.outbox.start(), self.outbox.bytes());
        if self.outbox.written(seq) {
            self.timer.written(now, seq, is_oldest, bytes);
        } else if is_oldest {
            self.timer.put_off(now, bytes);
        }
    }

    /// Everything unacknowledged is to be written again, when what is under way has ended.
    fn rewind(&mut self) {
        self.link.drain();
        self.outbox.rewind();
        self.timer.forget_measurement();
    }

    // --- Receiving

    /// What an acknowledgement covers. Nothing changes until [`acknowledge`](Self::acknowledge); between the two the owner
    /// removes the messages from its store.
    pub fn acknowledged_by(&self, ack: Option<Seq>) -> Option<Acknowledged> {
        self.outbox.acknowledged_by(ack?)
    }

    /// The store has forgotten what the acknowledgement covers.
    pub fn acknowledge(&mut self, now: Timestamp, acknowledged: &Acknowledged) {
        self.outbox.acknowledge(acknowledged);
        self.pace.acknowledged(now, acknowledged.last, self.config.ack_timeout);
        self.timer.measure(now, acknowledged.last);
        self.timer.progress(now, self.outbox.bytes());
    }

    /// Takes a numbered message. What became deliverable is then to be had from [`next_in_order`](Self::next_in_order).
    pub fn receive(&mut self, now: Timestamp, seq: Seq, message: Arrived) -> Receipt {
        let receipt = self.inbox.receive(seq, message);
        if receipt != Receipt::InOrder {
            // Tell the sender where we are: its acknowledgement, or the retransmission it waits for, may have been lost.
            self.owe_ack(now);
        }
        receipt
    }

    /// Whether the peer has shown a word of ours (protocol §11): that it is no incumbent. A peer of ours tells its start or its
    /// epoch in the first message on each channel.
    pub fn peer_is_ours(&self) -> bool {
        self.inbox.is_explicit() || self.conversation.epoch().is_some_and(|epoch| epoch.shared)
    }

    /// The conversation with the peer, for the store.
    pub fn epoch(&self) -> Option<Epoch> {
        self.conversation.epoch()
    }

    /// Begins a conversation of which nobody has heard, at an owner that keeps epochs and had none.
    pub fn begin_epoch(&mut self, epoch: Epoch) {
        self.conversation = Conversation::first(epoch);
    }

    /// Says what the conversation means that a message belongs to. To be asked before anything else about it. Nothing changes
    /// until [`heard`](Self::heard); between the two the owner stores the epoch, if there is another.
    pub fn judge_epoch(&self, message: &Message) -> Heard {
        self.conversation.judge(message.start, message.epoch)
    }

    /// Follows the judgement. Of a peer that [has forgotten this end](Heard::Forgotten) both directions begin at 1 again, and
    /// nothing of before is left, as after [a restart](Self::peer_restarted).
    pub fn heard(&mut self, message: &Message, heard: Heard) {
        match heard {
            Heard::Forgotten(_) => self.begin_anew(),
            Heard::Joined(_) | Heard::Raised(_) => self.inbox.forget_held(),
            Heard::Present | Heard::Former => {}
        }
        if self.conversation.note(message.start, message.epoch, heard) {
            self.link = self.link.restarted();
            self.rewind();
        } else if self.conversation.owes_word() {
            self.link.tell_resume_point();
        }
    }

    /// Takes the sender's word that nothing below `start` will come any more.
    pub fn sender_starts_at(&mut self, start: Option<Seq>) {
        if let Some(start) = start {
            self.inbox.sender_starts_at(start);
        }
    }

    /// The numbers that were found to be lost for good and must be skipped in the store before going on.
    pub fn lost(&self) -> Option<Lost> {
        self.inbox.lost()
    }

    /// Up to which number this end's messages may have been answered in what is lost; 0 for none. Who has answered a message has
    /// received it, and says so in whatever it writes from then on.
    pub fn may_have_answered(&self, lost: Lost) -> u64 {
        let acknowledged = || self.outbox.start().get().saturating_sub(1);
        self.inbox.behind(lost.last).next().map_or_else(acknowledged, |first| first.ack.map_or(0, Seq::get))
    }

    /// What has arrived of what the peer sent after the lost.
    pub fn arrived_behind(&self, lost: Lost) -> impl Iterator<Item = &Arrived> {
        self.inbox.behind(lost.last)
    }

    /// The next message in order, if it is here. The same one is given again until [`delivered`](Self::delivered).
    pub fn next_in_order(&self) -> Option<(Seq, &Arrived)> {
        self.inbox.next_in_order()
    }

    /// Everything up to `seq` is processed, or skipped, in a transaction that has ended well. It is acknowledged after the
    /// next [`commit`](Self::commit).
    pub fn delivered(&mut self, seq: Seq) {
        self.inbox.delivered(seq);
    }

    /// The message after the one at the head, for [`Fault::RedeemOvertakes`].
    #[cfg(feature = "seeded-faults")]
    pub(crate) fn behind_head(&self) -> Option<(Seq, Arrived)> {
        self.inbox.behind_head()
    }

    /// The highest number received in order.
    pub fn highest_received(&self) -> Option<Seq> {
        self.inbox.highest()
    }

    // --- Time

    /// When [`handle_timeout`](Self::handle_timeout) and [`poll_write`](Self::poll_write) are to be called at the latest.
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        let ack_due = self.ack_due.filter(|_| self.is_open());
        let call_due = self.call_is_due().filter(|_| self.is_open());
        [ack_due, call_due, self.timer.deadline(), self.link.resumes_at()].into_iter().flatten().min()
    }

    /// The network sees a long message move, to the peer or from it. See [`KernelServices::remote_moving`].
    ///
    /// [`KernelServices::remote_moving`]: crate::bridge::KernelServices::remote_moving
    pub fn moving(&mut self, now: Timestamp) {
        self.timer.moving(now, self.outbox.bytes());
    }

    /// Tells the time.
    pub fn handle_timeout(&mut self, now: Timestamp) -> TimerOutcome {
        match self.timer.handle_timeout(now, self.outbox.bytes()) {
            Elapsed::Nothing => TimerOutcome::Proceed,
            Elapsed::GiveUp => TimerOutcome::GiveUp,
            Elapsed::Retransmit => {
                self.rewind();
                self.link.try_again();
                TimerOutcome::Proceed
            }
        }
    }

    // --- Ends

    /// What [`give_up`](Self::give_up) would abandon, for the store.
    pub fn abandonable(&self) -> Option<Acknowledged> {
        self.outbox.everything()
    }

    /// Abandons everything unacknowledged. Numbers are not used again: the first message that follows tells the peer where
    /// the sender starts (the `start` member), so that both ends meet again.
    pub fn give_up(&mut self) {
        self.outbox.abandon();
        self.pace = Pace::default();
        self.link = self.link.restarted();
        if seeded(Fault::GiveUpWithoutMarker) {
            self.link.forget_resume();
        }
        self.timer.stop();
    }

    /// The peer came back with another incarnation: both directions begin at 1 again, and nothing of before is left. With
    /// `epoch` a new conversation begins.
    pub fn peer_restarted(&mut self, epoch: Option<Epoch>) {
        self.begin_anew();
        self.conversation = Conversation::begin(epoch);
    }

    fn begin_anew(&mut self) {
        if !seeded(Fault::KeepPendingAtRestart) {
            self.outbox = Outbox::restore(0, 1, Vec::new());
        }
        self.inbox = Inbox::new(0, self.config.max_held, self.config.max_held_bytes);
        self.pace = Pace::default();
        self.link = self.link.restarted();
        self.ack_due = None;
        self.unacknowledged = 0;
        self.timer.stop();
    }

    fn start_timer(&mut self, now: Timestamp) {
        if self.outbox.len() > 0 {
            self.timer.start(now, self.outbox.bytes());
        }
    }

    /// An acknowledgement is owed. The first one owed sets the time, so that steady traffic cannot put it off.
    fn owe_ack(&mut self, now: Timestamp) {
        if self.inbox.committed().is_none() {
            return;
        }
        let delay = if self.unacknowledged >= self.config.ack_every { Duration::ZERO } else { self.config.delayed_ack };
        let due = now.after(delay);
        self.ack_due = Some(self.ack_due.map_or(due, |earlier| earlier.min(due)));
    }
}
