//! How much one remote may have under way, in either direction (protocol §11). Nothing is ever held back that has arrived: two
//! kernels that each waited for the other to read would wait for ever. A request too many is answered, with a refusal that
//! is small, in order, and has no effect; and who does not read even those is given up.
//!
//! An honest sender does not come to that: it has at most [`MAX_UNANSWERED`] requests without an answer.

use std::collections::{HashSet, VecDeque};

use super::{
    super::{KernelError, host::HostKernel},
    RemoteHandle,
};
use crate::wire::{Direction, Eref, RefKind, RemoteCommand, Seq};

/// Requests to one peer that may be without an answer; further sends of the program wait.
pub(super) const MAX_UNANSWERED: usize = 1_000;

/// What a peer may have caused: beyond `refused` its requests are refused, at `hopeless` it is given up.
struct Bound {
    refused: usize,
    hopeless: usize,
}

impl Bound {
    fn load(&self, amount: usize) -> Load {
        match amount {
            amount if amount >= self.hopeless => Load::Hopeless,
            amount if amount >= self.refused => Load::Full,
            _ => Load::Room,
        }
    }
}

/// Requests of a peer that were taken and not answered, or whose answer it has not acknowledged.
const REQUESTS: Bound = Bound { refused: 2 * MAX_UNANSWERED, hopeless: 3 * MAX_UNANSWERED };
/// Everything that a peer has not acknowledged, whoever caused it. News of many promises at once is legitimate.
const PENDING: Bound = Bound { refused: 20_000, hopeless: 25_000 };
/// Everything that a stranger has not acknowledged: there is nobody here whose promises it could wait for.
const OF_STRANGERS: Bound = Bound { refused: 100, hopeless: 400 };
/// The same in longest messages.
const BYTES_OF_STRANGERS: Bound = Bound { refused: 4, hopeless: 8 };
/// What others have not acknowledged, in longest messages.
const BYTES: Bound = Bound { refused: 400, hopeless: 800 };

/// Whether there is room for one more request of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Load {
    Room,
    /// Its requests are refused.
    Full,
    /// It does not read the refusals either.
    Hopeless,
}

/// What a peer asked since this kernel was started, until it has acknowledged the answer.
#[derive(Debug, Default)]
pub(super) struct Requests {
    /// The promises of results, as the peer names them.
    open: HashSet<Eref>,
    /// The messages that hold the answers.
    answers: VecDeque<u64>,
}

impl Requests {
    fn len(&self) -> usize {
        self.open.len().saturating_add(self.answers.len())
    }

    /// A request was taken that wants its result here.
    pub(super) fn taken(&mut self, result: Eref) {
        self.open.insert(result);
    }

    /// The peer was asked to settle it itself.
    pub(super) fn passed_on(&mut self, result: Eref) {
        self.open.remove(&result);
    }

    /// A message tells an outcome.
    pub(super) fn told(&mut self, promise: Eref, seq: Seq) {
        if self.open.remove(&promise) {
            self.answered(seq);
        }
    }

    /// A message is an answer.
    pub(super) fn answered(&mut self, seq: Seq) {
        // One that was rolled back had the number of this one or a later one.
        while self.answers.back().is_some_and(|last| *last >= seq.get()) {
            self.answers.pop_back();
        }
        self.answers.push_back(seq.get());
    }

    /// The peer has acknowledged everything below `start`.
    pub(super) fn acknowledged(&mut self, start: Seq) {
        while self.answers.front().is_some_and(|first| *first < start.get()) {
            self.answers.pop_front();
        }
    }
}

impl RemoteHandle {
    /// Whether there is room for one more request of the peer.
    pub(super) fn load(&self, is_stranger: bool) -> Load {
        let (pending, messages) =
            (self.session.pending(), self.session.pending_bytes() / self.max_message_bytes.max(1));
        if is_stranger {
            return OF_STRANGERS.load(pending).max(BYTES_OF_STRANGERS.load(messages));
        }
        REQUESTS.load(self.requests.len()).max(PENDING.load(pending)).max(BYTES.load(messages))
    }

    /// Fails for a request that there is no room for.
    pub(super) fn insist_on_room(&self, command: &RemoteCommand, is_stranger: bool) -> Result<(), KernelError> {
        if command.is_request() && self.load(is_stranger) > Load::Room { Err(KernelError::Overloaded) } else { Ok(()) }
    }

    /// Whether a message to this would only come back: an object of its sender, or a promise that nobody has heard of before. A
    /// kernel in JavaScript takes such messages, as the incumbent does.
    pub(super) fn would_come_back(&self, host: &dyn HostKernel, target: Eref) -> Result<bool, KernelError> {
        let own = target.direction == Direction::Export && host.keeps_epochs();
        Ok(own && (target.kind == RefKind::Object || host.known(self.id, target)?.is_none()))
    }

    /// Requests of this kernel that the peer has not answered.
    pub(super) fn unanswered(&self) -> usize {
        self.unanswered.get()
    }

    /// Counts them if there seem to be too many: what was rolled back was counted too, and what a former life asked was not.
    ///
    /// # Errors
    /// [`KernelError::Store`].
    pub(in crate::kernel) fn count_unanswered(&self, host: &dyn HostKernel) -> Result<(), KernelError> {
        if self.unanswered.get() >= MAX_UNANSWERED {
            self.unanswered.set(host.asked_of(self.id)?);
        }
        Ok(())
    }

    /// The peer is asked for one more result.
    pub(super) fn asked(&self) {
        self.unanswered.set(self.unanswered.get().saturating_add(1));
    }

    /// The peer has told outcomes. Of promises that it made itself it was not asked for any.
    pub(super) fn told(&self, promises: &[Eref]) {
        let answers = promises.iter().filter(|eref| eref.direction == Direction::Import).count();
        self.unanswered.set(self.unanswered.get().saturating_sub(answers));
    }
}
