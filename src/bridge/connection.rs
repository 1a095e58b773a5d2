//! One end of the bridge as a state machine: the opening, the calls that wait for an answer, the requests that run.
//!
//! It is told what came in and polled for what to do; it never posts, spawns or reads a clock. `T` is what a message may
//! transfer (a `MessagePort`), `R` is whatever the driver needs to hand a result to the caller.

#![forbid(unsafe_code)]

use std::{
    collections::{BTreeMap, VecDeque},
    mem,
};

use serde_json::Value;
use tracing::{debug, warn};

use super::{
    BridgeError,
    error::RpcError,
    extensions::Extensions,
    message::{self, Incoming},
    methods,
};
use crate::wire::RemoteError;

/// Calls that may wait for an answer, unless the other end says what it has room for.
pub const MAX_PENDING_CALLS: usize = 16_384;

/// Calls that may wait for the bridge to open, or for room at the other end. One more fails with [`BridgeError::Busy`].
pub const MAX_HELD_CALLS: usize = 1_024;

/// Requests of the other end that may run at once, which an end of ours is told. One more is answered with an error. As many
/// as one that is not told may have pending, so that two ends of ours never refuse each other.
pub const MAX_RUNNING_REQUESTS: usize = MAX_PENDING_CALLS;

/// The result of a call, with what was transferred along with it.
#[derive(Debug, PartialEq)]
pub(super) struct Answer<T> {
    pub(super) result: Value,
    pub(super) transfer: Option<T>,
}

impl<T> From<Value> for Answer<T> {
    fn from(result: Value) -> Self {
        Answer { result, transfer: None }
    }
}

/// Where the answer to a running request goes.
#[derive(Debug, PartialEq)]
pub(super) struct Ticket {
    /// The answer is for the life of the other end that asked: a reloaded one counts its ids from 1 again.
    life: u64,
    /// None for a notification, which gets no answer.
    id: Option<Value>,
    /// The answer may share a post with others.
    shares: bool,
}

/// What a posted message is about, so that a failure to post it reaches the right one.
#[derive(Debug, PartialEq)]
pub(super) enum About {
    Signal,
    Call(u64),
    Answer(Value),
    /// An answer that says an answer could not be posted; tried once.
    Failure,
}

/// What the driver is to do, in this order.
#[derive(Debug, PartialEq)]
pub(super) enum Output<T, R> {
    Post {
        message: Value,
        transfer: Option<T>,
        about: About,
        /// It may wait for others of its kind, until the turn of the event loop ends, and be posted with them.
        shares: bool,
    },
    /// The other end said what it can do.
    Extended(Extensions),
    Start {
        method: String,
        params: Value,
        ticket: Ticket,
    },
    Settle {
        reply: R,
        outcome: Result<Answer<T>, RemoteError>,
    },
    /// The other end lost its memory and begins anew.
    Reloaded,
    /// Nothing comes after this.
    Ended,
}

/// A call made before the bridge was open.
struct Held<R> {
    method: &'static str,
    params: Value,
    reply: R,
}

enum State<R> {
    Unstarted {
        held: VecDeque<Held<R>>,
    },
    Opening {
        acked: bool,
        held: VecDeque<Held<R>>,
    },
    Open {
        /// By number, so that a reload rejects the calls in the order in which they were made.
        pending: BTreeMap<u64, R>,
        /// Calls that the other end has no room for yet.
        waiting: VecDeque<Held<R>>,
        theirs: Extensions,
    },
    Ended(BridgeError),
}

pub(super) struct Connection<T, R> {
    id_prefix: &'static str,
    /// Never reset, so that a late answer from before a reload cannot meet a new call.
    calls_posted: u64,
    life: u64,
    running: usize,
    state: State<R>,
    outputs: VecDeque<Output<T, R>>,
    ours: Extensions,
}

impl<T, R> Connection<T, R> {
    /// An end that can do `ours`, and whose calls get the ids `<id_prefix>1`, `<id_prefix>2`, …
    pub(super) fn new(id_prefix: &'static str, ours: Extensions) -> Self {
        Connection {
            id_prefix,
            ours,
            calls_posted: 0,
            life: 0,
            running: 0,
            state: State::Unstarted { held: VecDeque::new() },
            outputs: VecDeque::new(),
        }
    }

    pub(super) fn poll_output(&mut self) -> Option<Output<T, R>> {
        self.outputs.pop_front()
    }

    /// Begins the opening. Starting twice does nothing.
    pub(super) fn start(&mut self) {
        if let State::Unstarted { held } = &mut self.state {
            self.state = State::Opening { acked: false, held: mem::take(held) };
            self.signal(message::syn());
        }
    }

    /// Calls the other end; the outcome comes as [`Output::Settle`]. Calls are posted in the order in which they are made.
    pub(super) fn call(&mut self, method: &'static str, params: Value, reply: R) {
        let refused = match &mut self.state {
            State::Unstarted { held } | State::Opening { held, .. } if held.len() < MAX_HELD_CALLS => {
                held.push_back(Held { method, params, reply });
                return;
            }
            State::Open { pending, waiting, theirs } => {
                if method == methods::PING || (waiting.is_empty() && pending.len() < theirs.calls) {
                    return self.post_call(Held { method, params, reply });
                }
                if waiting.len() < MAX_HELD_CALLS {
                    waiting.push_back(Held { method, params, reply });
                    return;
                }
                BridgeError::Busy { limit: theirs.calls.saturating_add(MAX_HELD_CALLS) }
            }
            State::Unstarted { .. } | State::Opening { .. } => BridgeError::Busy { limit: MAX_HELD_CALLS },
            State::Ended(reason) => reason.clone(),
        };
        self.settle(reply, Err(refused.into()));
    }

    /// Takes a message from the port.
    pub(super) fn receive(&mut self, message: Value, transfer: Option<T>) {
        match Incoming::parse(message) {
            Incoming::Syn => self.on_syn(),
            Incoming::Ack => self.on_ack(),
            Incoming::StreamDone => self.end("the other end closed it"),
            Incoming::StreamError(reason) => self.end(&format!("the other end failed: {reason}")),
            Incoming::Request { id, method, params } => self.on_request(id, method, params),
            Incoming::Response { id, outcome } => self.on_response(&id, outcome, transfer),
            Incoming::Malformed { id, reason } => self.on_malformed(id, reason),
            Incoming::Batch(messages) => {
                // What a batch holds came without a transfer, and is no batch.
                for message in messages.into_iter().filter(|message| !message.is_array()) {
                    self.receive(message, None);
                }
            }
            Incoming::Foreign => debug!("message on the port is not the bridge's: ignored"),
        }
    }

    /// Takes the outcome of a request that was started.
    pub(super) fn answer(&mut self, ticket: Ticket, outcome: Result<Answer<T>, RpcError>) {
        self.running = self.running.saturating_sub(1);
        if ticket.life != self.life || !matches!(self.state, State::Open { .. }) {
            debug!("whoever asked is gone: answer dropped");
            return;
        }
        let Some(id) = ticket.id else {
            if let Err(error) = outcome {
                warn!(code = error.code(), "notification failed");
            }
            return;
        };
        let (outcome, transfer) = match outcome {
            Ok(Answer { result, transfer }) => (Ok(result), transfer),
            Err(error) => (Err(error), None),
        };
        let shares = ticket.shares && transfer.is_none();
        let message = message::response(id.clone(), outcome);
        self.outputs.push_back(Output::Post { message, transfer, about: About::Answer(id), shares });
    }

    /// Takes note that a message could not be posted.
    pub(super) fn post_failed(&mut self, about: About, reason: String) {
        warn!(%reason, "message could not be posted");
        let error = BridgeError::NotPosted(reason);
        match about {
            About::Call(number) => self.settle_call(number, Err(error.into())),
            About::Answer(id) => {
                let message = message::response(id, Err(RemoteError::from(error).into()));
                self.outputs.push_back(Output::Post { message, transfer: None, about: About::Failure, shares: false });
            }
            About::Signal | About::Failure => {}
        }
    }

    /// What the other end can do, as far as it has told.
    #[cfg(feature = "transport")] // only the server asks for it
    pub(super) fn theirs(&self) -> Extensions {
        if let State::Open { theirs, .. } = &self.state { *theirs } else { Extensions::NONE }
    }

    /// Whether a call waits for an answer of an end that answers pings too.
    pub(super) fn waits_for_pinged_end(&self) -> bool {
        matches!(&self.state, State::Open { pending, theirs, .. } if theirs.pings && !pending.is_empty())
    }

    /// Rejects what waits for an answer. The bridge stays open, for the other end may only have been busy; should it answer after
    /// all, nobody waits for that any more.
    pub(super) fn reject_pending(&mut self, reason: &BridgeError) {
        let State::Open { pending, .. } = &mut self.state else { return };
        let replies = mem::take(pending).into_values();
        replies.for_each(|reply| self.outputs.push_back(Output::Settle { reply, outcome: Err(reason.clone().into()) }));
        self.post_waiting();
    }

    /// Ends the bridge from this side.
    pub(super) fn close(&mut self) {
        if matches!(self.state, State::Opening { .. } | State::Open { .. }) {
            self.signal(message::stream_done());
        }
        self.end("this end closed it");
    }

    /// Ends the bridge: nothing more will come, and nothing more is posted.
    pub(super) fn end(&mut self, reason: &str) {
        if matches!(self.state, State::Ended(_)) {
            return;
        }
        let reason = BridgeError::Closed(reason.to_owned());
        let state = mem::replace(&mut self.state, State::Ended(reason.clone()));
        self.reject_all(state, &reason);
        self.outputs.push_back(Output::Ended);
    }

    fn on_syn(&mut self) {
        match &mut self.state {
            State::Opening { acked, .. } => {
                *acked = true;
                self.signal(message::ack());
            }
            State::Open { .. } => {
                debug!("the other end was reloaded");
                self.life = self.life.saturating_add(1);
                let opening = State::Opening { acked: true, held: VecDeque::new() };
                let state = mem::replace(&mut self.state, opening);
                self.reject_all(state, &BridgeError::Reloaded);
                self.outputs.push_back(Output::Reloaded);
                // Not answered with a Syn, which the other end, once open, would take for a reload in its turn.
                self.signal(message::ack());
            }
            State::Unstarted { .. } | State::Ended(_) => {}
        }
    }

    fn on_ack(&mut self) {
        let State::Opening { acked, held } = &mut self.state else {
            debug!("acknowledgement outside of an opening: ignored");
            return;
        };
        let (acked, held) = (*acked, mem::take(held));
        self.state = State::Open { pending: BTreeMap::new(), waiting: VecDeque::new(), theirs: Extensions::NONE };
        if !acked {
            self.signal(message::ack());
        }
        self.signal(message::notification(methods::EXTENSIONS, self.ours.to_params()));
        for call in held {
            self.post_call(call);
        }
    }

    fn on_request(&mut self, mut id: Option<Value>, method: String, params: Value) {
        let State::Open { theirs, .. } = &mut self.state else {
            // It was meant for whoever used this port before, or comes after the end.
            debug!("request while the bridge is not open: ignored");
            return;
        };
        if id.is_none() && method == methods::EXTENSIONS {
            *theirs = Extensions::read(&params);
            self.outputs.push_back(Output::Extended(*theirs));
            return self.post_waiting();
        }
        if let Some(id) = id.take_if(|_| method == methods::PING) {
            let (message, about) = (message::response(id.clone(), Ok(Value::Null)), About::Answer(id));
            return self.outputs.push_back(Output::Post { message, transfer: None, about, shares: false });
        }
        if self.running < MAX_RUNNING_REQUESTS {
            self.running += 1;
            let ticket = Ticket { life: self.life, id, shares: methods::may_share_post(&method) };
            self.outputs.push_back(Output::Start { method, params, ticket });
        } else {
            warn!(limit = MAX_RUNNING_REQUESTS, "too many requests run: refused");
            self.refuse(id, RpcError::busy(MAX_RUNNING_REQUESTS));
        }
    }

    fn on_response(&mut self, id: &str, outcome: Result<Value, RemoteError>, transfer: Option<T>) {
        match id.strip_prefix(self.id_prefix).and_then(|number| number.parse().ok()) {
            Some(number) => self.settle_call(number, outcome.map(|result| Answer { result, transfer })),
            None => debug!("answer to a call of somebody else: ignored"),
        }
    }

    fn settle_call(&mut self, number: u64, outcome: Result<Answer<T>, RemoteError>) {
        let State::Open { pending, .. } = &mut self.state else {
            debug!("answer while the bridge is not open: ignored");
            return;
        };
        match pending.remove(&number) {
            Some(reply) => {
                self.settle(reply, outcome);
                self.post_waiting();
            }
            None => debug!("answer to a call that was never made, or is answered already: ignored"),
        }
    }

    fn on_malformed(&mut self, id: Option<Value>, reason: &'static str) {
        warn!(reason, "malformed message");
        if matches!(self.state, State::Open { .. }) {
            self.refuse(id, RpcError::invalid_request(reason));
        }
    }

    fn refuse(&mut self, id: Option<Value>, error: RpcError) {
        if let Some(id) = id {
            let message = message::response(id, Err(error));
            self.outputs.push_back(Output::Post { message, transfer: None, about: About::Failure, shares: false });
        }
    }

    /// Posts the calls that wait, as far as the other end has room.
    fn post_waiting(&mut self) {
        while let State::Open { pending, waiting, theirs } = &mut self.state
            && pending.len() < theirs.calls
            && let Some(call) = waiting.pop_front()
        {
            self.post_call(call);
        }
    }

    fn post_call(&mut self, call: Held<R>) {
        let State::Open { pending, .. } = &mut self.state else { return };
        self.calls_posted = self.calls_posted.saturating_add(1);
        // Nothing that is under way could bring another call to share the post with one that is alone.
        let shares = methods::may_share_post(call.method) && !pending.is_empty();
        pending.insert(self.calls_posted, call.reply);
        let id = format!("{}{}", self.id_prefix, self.calls_posted);
        let message = message::request(&id, call.method, call.params);
        let about = About::Call(self.calls_posted);
        self.outputs.push_back(Output::Post { message, transfer: None, about, shares });
    }

    fn reject_all(&mut self, state: State<R>, reason: &BridgeError) {
        match state {
            State::Unstarted { held } | State::Opening { held, .. } => {
                held.into_iter().for_each(|call| self.settle(call.reply, Err(reason.clone().into())));
            }
            State::Open { pending, waiting, .. } => {
                let waiting = waiting.into_iter().map(|call| call.reply);
                pending.into_values().chain(waiting).for_each(|reply| self.settle(reply, Err(reason.clone().into())));
            }
            State::Ended(_) => {}
        }
    }

    fn settle(&mut self, reply: R, outcome: Result<Answer<T>, RemoteError>) {
        self.outputs.push_back(Output::Settle { reply, outcome });
    }

    fn signal(&mut self, message: Value) {
        self.outputs.push_back(Output::Post { message, transfer: None, about: About::Signal, shares: false });
    }
}
