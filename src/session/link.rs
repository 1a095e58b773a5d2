//! What a session knows of its channel, and the writes that are under way on it.
//!
//! The bridge between kernel and network has no word for "the channel is down". A session learns it from a refused write,
//! and that a channel is up from the handshake's question about the incarnation.
//!
//! Mostly one write is under way. Several may be on an announced channel, once its peer was told there where the sender starts; the
//! first that does not end well ends them all: what becomes of the others means nothing any more, and they are written again. One that
//! is written after another was refused leaves a gap, so the peer has to be one that accepts none.

use std::{
    collections::VecDeque,
    hash::{Hash, Hasher},
    time::Duration,
};

use crate::{
    faults::{Fault, seeded},
    runtime::Timestamp,
    wire::{LimitType, RemoteError, Seq},
};

/// A message that is longer has the way to the network for itself: who waits for it to be written knows how the line is.
const LONG: usize = 4 << 10;

/// Names one write, so that its result can be told from that of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WriteToken(u64);

/// Something to write on the channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// Goes back with the result.
    pub token: WriteToken,
    /// The message.
    pub text: String,
}

/// How a write ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteOutcome {
    /// It was written, which does not mean that it arrived.
    Written,
    /// Too many messages in a short time: it was not written, and may be soon.
    RateLimited,
    /// It was not written, and nothing will be before another channel is up.
    Refused,
}

impl From<&Result<(), RemoteError>> for WriteOutcome {
    fn from(result: &Result<(), RemoteError>) -> Self {
        match result {
            Ok(()) => WriteOutcome::Written,
            Err(RemoteError::ResourceLimit { limit_type: LimitType::MessageRate, .. }) => WriteOutcome::RateLimited,
            Err(_) => WriteOutcome::Refused,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum State {
    /// Nothing is known; a write makes the network open a channel.
    Unknown,
    /// A channel was announced.
    Up,
    /// A write was refused: wait for a channel, or for the retransmission timer to try once more.
    Down,
    /// A refusal that may be a passing one: go on at this time.
    Paused(Timestamp),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Payload {
    Message(Seq),
    Ack,
}

/// A write that was handed out, while its result is awaited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct InFlight {
    payload: Payload,
    /// Nothing is written beside it.
    long: bool,
    /// It carries the resume point.
    resumes: bool,
    /// It was handed out when there was no channel.
    opens: bool,
    /// How many channels were announced since.
    announced: u32,
}

impl InFlight {
    /// Whether "written" means on the present channel. The answer may be older than the announcement of that channel; then
    /// it speaks of the former one, unless there was none.
    fn is_for_the_present_channel(&self) -> bool {
        self.announced == 0 || self.opens && self.announced == 1
    }
}

/// The number of the last token. It names writes and means nothing else, so links that differ in it alone are equal: a
/// model checker would find no end of states otherwise.
#[derive(Clone, Copy, Debug)]
struct LastToken(u64);

impl PartialEq for LastToken {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for LastToken {}

impl Hash for LastToken {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Link {
    state: State,
    /// The next thing written tells the resume point.
    resume: bool,
    /// The last write was refused.
    refused: bool,
    /// Oldest first, with the numbers of their tokens.
    in_flight: VecDeque<(LastToken, InFlight)>,
    /// What is under way must end before anything else is written.
    drains: bool,
    /// There may be a channel that was announced before this link began.
    announced_before: bool,
    last_token: LastToken,
}

/// Permission to write.
pub(super) struct Due {
    /// The resume point is to be told.
    pub(super) resume: bool,
    /// A channel is known to be up, so that telling it costs no dial.
    pub(super) announced: bool,
}

/// What a finished write means for the two logs.
pub(super) enum Finished {
    Written(Seq),
    AckWritten,
    /// A message, unless it was an acknowledgement alone.
    NotWritten(Option<Seq>),
    Rewind,
    Ignored,
}

impl Link {
    pub(super) fn new() -> Self {
        Link {
            state: State::Unknown,
            resume: true,
            refused: false,
            in_flight: VecDeque::new(),
            drains: false,
            announced_before: false,
            last_token: LastToken(0),
        }
    }

    /// A link on a new network; tokens go on, so that results of before stay without meaning.
    pub(super) fn on_new_network(&self) -> Self {
        Link { last_token: self.last_token, ..Link::new() }
    }

    /// A link that knows nothing any more, though there may still be a channel.
    pub(super) fn restarted(&self) -> Self {
        let mut link = self.on_new_network();
        link.channel_was_announced();
        link
    }

    pub(super) fn channel_was_announced(&mut self) {
        self.announced_before = true;
    }

    pub(super) fn token(&self) -> WriteToken {
        WriteToken(self.last_token.0)
    }

    pub(super) fn is_current(&self, token: WriteToken) -> bool {
        self.place_of(token).is_some()
    }

    fn place_of(&self, token: WriteToken) -> Option<usize> {
        self.in_flight.iter().position(|(LastToken(number), _)| *number == token.0)
    }

    /// Whether something may be written, if `most` writes may be under way at once.
    pub(super) fn is_open(&self, most: usize) -> bool {
        match self.state {
            State::Up | State::Unknown if self.in_flight.is_empty() => true,
            State::Up => {
                let settled = |write: &InFlight| !(write.resumes || write.opens || write.long) && write.announced == 0;
                !self.drains
                    && !self.resume
                    && self.in_flight.len() < most
                    && self.in_flight.iter().all(|(_, write)| settled(write))
            }
            State::Unknown | State::Down | State::Paused(_) => false,
        }
    }

    /// Nothing is written before everything that is under way has ended.
    pub(super) fn drain(&mut self) {
        self.drains = !self.in_flight.is_empty();
    }

    pub(super) fn resumes_at(&self) -> Option<Timestamp> {
        match self.state {
            State::Paused(until) => Some(until),
            State::Unknown | State::Up | State::Down => None,
        }
    }

    pub(super) fn may_write(&mut self, now: Timestamp, most: usize) -> Option<Due> {
        if let State::Paused(until) = self.state
            && until <= now
        {
            self.state = State::Up;
        }
        self.is_open(most).then_some(Due { resume: self.resume, announced: self.state == State::Up })
    }

    pub(super) fn begin_message(&mut self, seq: Seq, bytes: usize) {
        self.begin(Payload::Message(seq), bytes > LONG);
    }

    pub(super) fn begin_ack(&mut self) {
        self.begin(Payload::Ack, false);
    }

    fn begin(&mut self, payload: Payload, long: bool) {
        self.last_token.0 = self.last_token.0.wrapping_add(1);
        let opens = self.state == State::Unknown && !self.announced_before;
        let write = InFlight { payload, long, resumes: self.resume, opens, announced: 0 };
        self.in_flight.push_back((self.last_token, write));
        self.resume = false;
    }

    pub(super) fn channel_up(&mut self) {
        self.state = State::Up;
        self.resume = true;
        self.refused = false;
        self.announced_before = false;
        for (_, write) in &mut self.in_flight {
            write.announced = write.announced.saturating_add(1);
        }
    }

    /// The next thing written tells the resume point.
    pub(super) fn tell_resume_point(&mut self) {
        self.resume = true;
    }

    /// For [`Fault::GiveUpWithoutMarker`].
    pub(super) fn forget_resume(&mut self) {
        self.resume = false;
    }

    /// Stops waiting for an announcement.
    pub(super) fn try_again(&mut self) {
        if self.state == State::Down {
            self.state = State::Unknown;
        }
    }

    pub(super) fn finished(
        &mut self,
        token: WriteToken,
        outcome: WriteOutcome,
        now: Timestamp,
        pause: Duration,
    ) -> Finished {
        let Some((_, write)) = self.place_of(token).and_then(|place| self.in_flight.remove(place)) else {
            return Finished::Ignored;
        };
        let well = outcome == WriteOutcome::Written && write.is_for_the_present_channel()
            || outcome == WriteOutcome::Refused && seeded(Fault::CountRefusedAsWritten);
        if !well {
            self.in_flight.clear();
        }
        self.drains &= !self.in_flight.is_empty();
        match outcome {
            WriteOutcome::Written if !write.is_for_the_present_channel() => Finished::Rewind,
            WriteOutcome::Written => {
                if write.announced > 0 && write.resumes {
                    self.resume = false;
                }
                if self.state == State::Unknown {
                    self.state = State::Up;
                }
                self.refused = false;
                match write.payload {
                    Payload::Message(seq) => Finished::Written(seq),
                    Payload::Ack => Finished::AckWritten,
                }
            }
            WriteOutcome::RateLimited => {
                self.resume |= write.resumes;
                self.state = State::Paused(now.after(pause));
                Finished::NotWritten(match write.payload {
                    Payload::Message(seq) => Some(seq),
                    Payload::Ack => None,
                })
            }
            WriteOutcome::Refused if seeded(Fault::CountRefusedAsWritten) => match write.payload {
                Payload::Message(seq) => Finished::Written(seq),
                Payload::Ack => Finished::AckWritten,
            },
            // It was meant for the channel before; the one that is up now has seen nothing yet.
            WriteOutcome::Refused if write.announced > 0 => Finished::Rewind,
            WriteOutcome::Refused => {
                self.resume = true;
                // The first refusal may be of a write that crossed the announcement of this very channel.
                let again = self.state == State::Up && !self.refused;
                self.state = if again { State::Paused(now.after(pause)) } else { State::Down };
                self.refused = true;
                Finished::Rewind
            }
        }
    }
}
