//! The network between the hosts: who can reach whom, how long it takes, and what becomes of streams on the way.
//!
//! Streams are in `stream`. Here is what opens them, cuts them, and decides the fate of each frame.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    rc::{Rc, Weak},
};

use futures::{
    FutureExt as _, StreamExt as _,
    channel::{mpsc, oneshot},
    future::LocalBoxFuture,
};
use ocap_remotes::{
    network::link::{DialError, ErrorCode, LinkEvent, Links, Network, Started},
    wire::{PeerId, RemoteCommsOptions, RemoteError},
};

use crate::{
    executor::{ContextId, Executor},
    stream::{Conduit, SimStream, conduit},
};

/// How a line between two hosts is at present.
#[derive(Clone, Copy, Debug, Default)]
struct Line {
    /// Nothing passes, and streams that were open have ended.
    cut: bool,
    /// Of a hundred frames, how many are lost, repeated or overtaken without the stream's end.
    mischief: u64,
    /// No outage begins before this.
    holds_until: u64,
}

/// A line that was mended holds for so long: whoever tries now and then finds it.
const BETWEEN_OUTAGES_MS: u64 = 30_000;

/// Who waits for peers at a host.
struct Door {
    context: ContextId,
    inbound: mpsc::Sender<(PeerId, SimStream)>,
}

/// The whole network.
pub(crate) struct Ether {
    executor: Rc<Executor>,
    doors: RefCell<BTreeMap<PeerId, Door>>,
    lines: RefCell<BTreeMap<(PeerId, PeerId), Line>>,
    /// Every way goes through the relay, and it is down.
    relay_down: Cell<bool>,
    /// The longest time that something takes to the other side, in milliseconds.
    latency: Cell<u64>,
    conduits: RefCell<Vec<(PeerId, PeerId, Weak<Conduit>)>>,
    /// Streams opened so far.
    opened: Cell<u64>,
    /// The first rule of the wire that somebody broke.
    breach: RefCell<Option<String>>,
}

fn line_key(one: &PeerId, other: &PeerId) -> (PeerId, PeerId) {
    if one < other { (one.clone(), other.clone()) } else { (other.clone(), one.clone()) }
}

impl Ether {
    /// A network without faults.
    pub(crate) fn new(executor: &Rc<Executor>) -> Rc<Self> {
        Rc::new(Ether {
            executor: Rc::clone(executor),
            doors: RefCell::default(),
            lines: RefCell::default(),
            relay_down: Cell::new(false),
            latency: Cell::new(30),
            conduits: RefCell::default(),
            opened: Cell::new(0),
            breach: RefCell::default(),
        })
    }

    /// Streams opened so far.
    pub(crate) fn opened(&self) -> u64 {
        self.opened.get()
    }

    /// Somebody broke a rule of the wire.
    pub(crate) fn note_breach(&self, what: &str) {
        self.breach.borrow_mut().get_or_insert_with(|| what.to_owned());
    }

    /// That nobody broke a rule of the wire.
    ///
    /// # Errors
    /// The first that was broken.
    pub(crate) fn audit(&self) -> Result<(), String> {
        self.breach.borrow().clone().map_or(Ok(()), Err)
    }

    /// From now on things take up to `millis` to the other side.
    pub(crate) fn set_latency(&self, millis: u64) {
        self.latency.set(millis.max(1));
    }

    /// Of a hundred frames between two hosts, `percent` are lost, repeated or overtaken in silence.
    pub(crate) fn set_mischief(&self, one: &PeerId, other: &PeerId, percent: u64) {
        self.lines.borrow_mut().entry(line_key(one, other)).or_default().mischief = percent;
    }

    /// Cuts the line between two hosts, or mends it.
    pub(crate) fn set_cut(&self, one: &PeerId, other: &PeerId, cut: bool) {
        self.lines.borrow_mut().entry(line_key(one, other)).or_default().cut = cut;
        if cut {
            self.break_streams(one, other);
        }
    }

    /// Cuts the line between two hosts, and mends it after a while. False if it was mended just now: two outages are not to be one
    /// that is too long.
    pub(crate) fn fail_for(self: &Rc<Self>, one: &PeerId, other: &PeerId, ms: u64) -> bool {
        let now = self.executor.now();
        if self.line(one, other).holds_until > now {
            return false;
        }
        self.lines.borrow_mut().entry(line_key(one, other)).or_default().holds_until = now + ms + BETWEEN_OUTAGES_MS;
        self.set_cut(one, other, true);
        let (ether, one, other) = (Rc::clone(self), one.clone(), other.clone());
        self.executor.schedule(ms, None, move || ether.set_cut(&one, &other, false));
        true
    }

    /// Breaks every stream between two hosts; others may be opened at once.
    pub(crate) fn break_streams(&self, one: &PeerId, other: &PeerId) {
        self.break_where(|from, to| line_key(from, to) == line_key(one, other));
    }

    /// Takes the relay down, with every stream, or up again.
    pub(crate) fn set_relay_down(&self, down: bool) {
        self.relay_down.set(down);
        if down {
            self.break_where(|_, _| true);
        }
    }

    /// Everything works from now on.
    pub(crate) fn heal(&self) {
        self.lines.borrow_mut().clear();
        self.relay_down.set(false);
        self.latency.set(30);
    }

    fn break_where(&self, which: impl Fn(&PeerId, &PeerId) -> bool) {
        let broken: Vec<_> = {
            let mut conduits = self.conduits.borrow_mut();
            conduits.retain(|(_, _, conduit)| conduit.strong_count() > 0);
            conduits.iter().filter(|(from, to, _)| which(from, to)).filter_map(|(_, _, way)| way.upgrade()).collect()
        };
        for conduit in broken {
            conduit.break_off();
        }
    }

    fn line(&self, one: &PeerId, other: &PeerId) -> Line {
        self.lines.borrow().get(&line_key(one, other)).copied().unwrap_or_default()
    }

    fn is_open(&self, one: &PeerId, other: &PeerId) -> bool {
        !self.relay_down.get() && !self.line(one, other).cut
    }

    /// Of a hundred frames on the line, how many meet with mischief.
    pub(crate) fn mischief(&self, one: &PeerId, other: &PeerId) -> u64 {
        self.line(one, other).mischief
    }

    pub(crate) fn delay(&self) -> u64 {
        1 + self.executor.random(self.latency.get())
    }

    pub(crate) fn executor(&self) -> &Rc<Executor> {
        &self.executor
    }

    /// A dial has come as far as the other's door.
    fn knock(self: &Rc<Self>, from: (&PeerId, ContextId), to: &PeerId) -> Result<SimStream, ErrorCode> {
        if !self.is_open(from.0, to) {
            return Err(ErrorCode::TimedOut);
        }
        let mut doors = self.doors.borrow_mut();
        let door = doors.get_mut(to).ok_or(ErrorCode::NoReservation)?;
        let (conduit, here, there) = conduit(self, (from.0.clone(), from.1), (to.clone(), door.context));
        door.inbound.try_send((from.0.clone(), there)).map_err(|_| ErrorCode::Reset)?;
        self.opened.set(self.opened.get() + 1);
        self.conduits.borrow_mut().push((from.0.clone(), to.clone(), Rc::downgrade(&conduit)));
        Ok(here)
    }
}

/// What a host's network end starts.
pub(crate) struct SimNetwork {
    ether: Rc<Ether>,
    context: ContextId,
}

impl SimNetwork {
    /// The network as seen by one context.
    pub(crate) fn new(ether: &Rc<Ether>, context: ContextId) -> Self {
        SimNetwork { ether: Rc::clone(ether), context }
    }
}

/// A started network end.
pub(crate) struct SimLinks {
    ether: Rc<Ether>,
    context: ContextId,
    own_id: PeerId,
}

impl Network for SimNetwork {
    type Links = SimLinks;

    fn start(&self, seed: [u8; 32], _: &RemoteCommsOptions) -> Result<Started<SimLinks>, RemoteError> {
        let own_id = PeerId::from_ed25519_seed(seed).unwrap();
        let (inbound, events) = mpsc::channel(64);
        self.ether.doors.borrow_mut().insert(own_id.clone(), Door { context: self.context, inbound });
        let links = SimLinks { ether: Rc::clone(&self.ether), context: self.context, own_id };
        let events = events.map(|(peer, stream)| LinkEvent::Inbound { peer, stream });
        Ok((links, events.boxed_local()))
    }
}

impl Drop for SimLinks {
    fn drop(&mut self) {
        let mut doors = self.ether.doors.borrow_mut();
        if doors.get(&self.own_id).is_some_and(|door| door.context == self.context) {
            doors.remove(&self.own_id);
        }
    }
}

impl Links for SimLinks {
    type Stream = SimStream;

    fn open(&self, peer: PeerId, _: Vec<String>) -> LocalBoxFuture<'static, Result<SimStream, DialError>> {
        let (ether, own_id, context) = (Rc::clone(&self.ether), self.own_id.clone(), self.context);
        let (done, outcome) = oneshot::channel();
        let executor = Rc::clone(&ether.executor);
        executor.schedule(ether.delay(), Some(context), move || {
            let opened = ether.knock((&own_id, context), &peer);
            let back = ether.delay();
            let executor = Rc::clone(&ether.executor);
            // Whoever dialled may have lost interest; the stream is dropped then, which resets it.
            executor.schedule(back, Some(context), move || drop(done.send(opened)));
        });
        async move {
            let failed = |code| DialError { code, retryable: true, reason: "the simulated network".to_owned() };
            outcome.await.unwrap_or(Err(ErrorCode::Reset)).map_err(failed)
        }
        .boxed_local()
    }

    fn stop(&self) -> LocalBoxFuture<'static, ()> {
        self.ether.doors.borrow_mut().remove(&self.own_id);
        futures::future::ready(()).boxed_local()
    }
}
