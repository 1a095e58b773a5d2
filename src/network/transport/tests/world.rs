//! Several transports, the network between them, and their kernels, on virtual time.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    time::Duration,
};

use super::people;
use crate::{
    network::{
        circuit::{CircuitLimit, CircuitUse},
        link::{DialError, ErrorCode},
        status::{Path, PeerStatus},
        transport::{ChannelId, DeliveryOutcome, DialId, Effect, Input, SendId, Transport},
    },
    runtime::Timestamp,
    wire::{IncarnationId, PeerId, RemoteCommsOptions, RemoteError},
};

/// A kernel that keeps what it is given, and remembers incarnations as a store does.
#[derive(Default)]
struct Kernel {
    known: HashMap<PeerId, IncarnationId>,
    delivered: Vec<String>,
    gave_up: Vec<PeerId>,
}

struct Node {
    transport: Transport,
    kernel: Kernel,
    /// Frames that have arrived and were not yet asked for; `None` is the end of the stream.
    arrived: HashMap<ChannelId, VecDeque<Option<String>>>,
    asked_for: HashMap<ChannelId, bool>,
    life: u32,
}

/// The two ends of a stream.
#[derive(Clone)]
struct Pipe {
    ends: [(PeerId, ChannelId); 2],
    opened: Timestamp,
    carried: u64,
}

enum Event {
    /// Something for a node, unless it has restarted since.
    Input(PeerId, u32, Input),
    /// A dial reaches its peer.
    Knock(PeerId, u32, DialId, PeerId),
    /// A frame, or the end of the stream, reaches the other end.
    Arrive(PeerId, ChannelId, Option<String>),
    /// A part of a frame reaches the other end.
    Part(PeerId, ChannelId),
    /// A relay cuts a circuit whose time is up.
    CutOff(PeerId, ChannelId),
}

/// A line that takes its time.
#[derive(Clone, Copy)]
pub(super) struct SlowLine {
    pub(super) bytes_per_second: u64,
    /// What it takes before any of it has arrived.
    pub(super) holds: u64,
    /// What it takes, and brings, at once.
    pub(super) part: u64,
}

pub(super) struct World {
    now: Timestamp,
    nodes: BTreeMap<PeerId, Node>,
    latency: HashMap<(PeerId, PeerId), u64>,
    /// The lines between all peers, if they are slow.
    pub(super) slow: Option<SlowLine>,
    /// When such a line has carried all that it was given.
    free_at: HashMap<(PeerId, PeerId), Timestamp>,
    /// How often kernels were told that something moves.
    pub(super) moving: u32,
    cut: Vec<(PeerId, PeerId)>,
    pipes: Vec<Pipe>,
    events: BTreeMap<(Timestamp, u64), Event>,
    /// When the last frame of a stream arrives, so that none overtakes it.
    in_order: HashMap<(PeerId, ChannelId), Timestamp>,
    outcomes: HashMap<SendId, Result<(), RemoteError>>,
    /// What was written on each channel, in order, handshakes included.
    pub(super) written: BTreeMap<ChannelId, Vec<String>>,
    pub(super) done: Vec<SendId>,
    /// The last that each node told of each peer.
    pub(super) told: BTreeMap<(PeerId, PeerId), PeerStatus>,
    /// Dials that reached their peer's door so far.
    pub(super) dials: u32,
    /// What the relay grants each stream, if there is one between all peers.
    pub(super) circuits: CircuitLimit,
    /// Circuits that the relay cut so far.
    pub(super) cut_off: u32,
    last_id: u64,
    options: RemoteCommsOptions,
}

impl World {
    pub(super) fn new() -> Self {
        // The stories are not about rates.
        let options = RemoteCommsOptions {
            max_messages_per_second: 10_000,
            max_connection_attempts_per_minute: 1_000,
            ..RemoteCommsOptions::default()
        };
        Self::with(options)
    }

    pub(super) fn with(options: RemoteCommsOptions) -> Self {
        let mut world = World {
            now: Timestamp::from_millis(1_000_000),
            nodes: BTreeMap::new(),
            latency: HashMap::new(),
            slow: None,
            free_at: HashMap::new(),
            moving: 0,
            cut: Vec::new(),
            pipes: Vec::new(),
            events: BTreeMap::new(),
            in_order: HashMap::new(),
            outcomes: HashMap::new(),
            written: BTreeMap::new(),
            done: Vec::new(),
            told: BTreeMap::new(),
            dials: 0,
            circuits: CircuitLimit::default(),
            cut_off: 0,
            last_id: 0,
            options,
        };
        for peer in people() {
            world.begin_life(&peer, 1, Kernel::default());
        }
        world
    }

    fn begin_life(&mut self, peer: &PeerId, life: u32, kernel: Kernel) {
        self.told.retain(|(teller, _), _| teller != peer);
        let incarnation = format!("{peer}-{life}").parse().unwrap();
        let mut state = u64::from(life).wrapping_add(peer.as_str().bytes().map(u64::from).sum());
        // Knuth's linear congruential generator: reproducible jitter.
        let random = Box::new(move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state >> 16
        });
        let transport = Transport::new(self.now, peer.clone(), incarnation, &self.options, random);
        let node = Node { transport, kernel, arrived: HashMap::new(), asked_for: HashMap::new(), life };
        self.nodes.insert(peer.clone(), node);
        for other in people().into_iter().filter(|other| other != peer) {
            self.feed(peer, Input::RegisterHints { peer: other, hints: Vec::new() });
        }
    }

    /// The kernel and its network die without a word; the same peer comes back with an empty store.
    pub(super) fn restart(&mut self, peer: &PeerId) {
        let life = self.nodes[peer].life + 1;
        let pipes = std::mem::take(&mut self.pipes);
        let (theirs, others) = pipes.into_iter().partition(|pipe| pipe.ends.iter().any(|(end, _)| end == peer));
        self.pipes = others;
        for pipe in theirs as Vec<Pipe> {
            for (end, channel) in pipe.ends {
                self.schedule(5, Event::Arrive(end, channel, None));
            }
        }
        self.begin_life(peer, life, Kernel::default());
    }

    pub(super) fn set_latency(&mut self, from: &PeerId, to: &PeerId, millis: u64) {
        self.latency.insert((from.clone(), to.clone()), millis);
    }

    /// Breaks every stream between two peers, with what is under way on it, and lets none open until [`mend`](Self::mend).
    pub(super) fn cut(&mut self, one: &PeerId, other: &PeerId) {
        self.break_streams(one, other);
        self.cut.push((one.clone(), other.clone()));
    }

    /// Breaks every stream between two peers; they may open others at once.
    pub(super) fn break_streams(&mut self, one: &PeerId, other: &PeerId) {
        let pipes = std::mem::take(&mut self.pipes);
        for pipe in pipes {
            let between = pipe.ends.iter().all(|(peer, _)| peer == one || peer == other);
            if !between {
                self.pipes.push(pipe);
                continue;
            }
            for (peer, channel) in pipe.ends {
                self.events.retain(|_, event| !matches!(event, Event::Arrive(_, at, _) if *at == channel));
                self.schedule(0, Event::Arrive(peer, channel, None));
            }
        }
    }

    pub(super) fn mend(&mut self) {
        self.cut.clear();
    }

    pub(super) fn send(&mut self, from: &PeerId, to: &PeerId, text: &str) -> SendId {
        let id = SendId(self.id());
        self.feed(from, Input::Send { id, to: to.clone(), message: text.into() });
        id
    }

    pub(super) fn tell(&mut self, peer: &PeerId, input: Input) {
        self.feed(peer, input);
    }

    pub(super) fn outcome(&self, send: SendId) -> Option<Result<(), RemoteError>> {
        self.outcomes.get(&send).cloned()
    }

    pub(super) fn delivered(&self, to: &PeerId) -> Vec<String> {
        self.nodes[to].kernel.delivered.clone()
    }

    pub(super) fn status(&self, at: &PeerId) -> Vec<PeerStatus> {
        self.nodes[at].transport.status(|_| Path::default())
    }

    pub(super) fn gave_up(&self, at: &PeerId) -> usize {
        self.nodes[at].kernel.gave_up.len()
    }

    pub(super) fn open_pipes(&self) -> usize {
        self.pipes.len()
    }

    /// Registered channels, and peers that have one.
    pub(super) fn registered(&self, at: &PeerId) -> usize {
        self.nodes[at].transport.peers.values().filter(|peer| peer.registered.is_some()).count()
    }

    /// Lets time pass.
    pub(super) fn run(&mut self, millis: u64) {
        let end = self.now.after(Duration::from_millis(millis));
        loop {
            let event = self.events.keys().next().map(|(at, _)| *at);
            let timer =
                self.nodes.iter().filter_map(|(id, node)| Some((node.transport.poll_timeout()?, id.clone()))).min();
            let event_first = event.is_some_and(|event| timer.as_ref().is_none_or(|(timer, _)| event <= *timer));
            match (event, timer) {
                (Some(at), _) if event_first && at <= end => {
                    self.now = at;
                    let (_, event) = self.events.pop_first().unwrap();
                    self.happen(event);
                }
                (_, Some((at, peer))) if !event_first && at <= end => {
                    self.now = self.now.max(at);
                    self.feed(&peer, Input::Timeout);
                }
                _ => break,
            }
        }
        self.now = end;
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Input(peer, life, input) => {
                if self.nodes[&peer].life == life {
                    self.feed(&peer, input);
                }
            }
            Event::CutOff(peer, channel) => {
                if self.pipe_of(&peer, channel).is_some() {
                    self.cut_off(&peer, channel);
                }
            }
            Event::Knock(from, life, dial, to) => self.knock(&from, life, dial, &to),
            Event::Part(peer, channel) => {
                if self.nodes[&peer].asked_for.get(&channel) == Some(&true) {
                    self.feed(&peer, Input::PartRead { channel });
                }
            }
            Event::Arrive(peer, channel, frame) => {
                let node = self.nodes.get_mut(&peer).unwrap();
                if let Some(arrived) = node.arrived.get_mut(&channel) {
                    arrived.push_back(frame);
                }
                self.hand_over(&peer, channel);
            }
        }
    }

    fn knock(&mut self, from: &PeerId, life: u32, dial: DialId, to: &PeerId) {
        if self.nodes[from].life != life {
            return;
        }
        self.dials += 1;
        let back = self.delay(to, from);
        let is_cut = |(a, b): &(PeerId, PeerId)| (a == from && b == to) || (a == to && b == from);
        if self.cut.iter().any(is_cut) {
            let error = DialError { code: ErrorCode::TimedOut, retryable: true, reason: "cut".into() };
            return self.schedule(back, Event::Input(from.clone(), life, Input::DialFailed { dial, error }));
        }
        let (here, there) = (ChannelId(self.id()), ChannelId(self.id()));
        // Encryption and handshakes are paid for before the channel is.
        let pipe = Pipe { ends: [(from.clone(), here), (to.clone(), there)], opened: self.now, carried: 2_000 };
        self.pipes.push(pipe);
        if let Some(duration) = self.circuits.duration {
            let millis = u64::try_from(duration.as_millis()).unwrap();
            self.schedule(millis, Event::CutOff(from.clone(), here));
        }
        for (peer, channel) in [(from, here), (to, there)] {
            self.nodes.get_mut(peer).unwrap().arrived.insert(channel, VecDeque::new());
        }
        self.feed(to, Input::Inbound { channel: there, peer: from.clone() });
        self.schedule(back, Event::Input(from.clone(), life, Input::DialSucceeded { dial, channel: here }));
    }

    fn feed(&mut self, peer: &PeerId, input: Input) {
        let node = self.nodes.get_mut(peer).unwrap();
        node.transport.handle(self.now, input);
        let life = node.life;
        while let Some(effect) = self.nodes.get_mut(peer).unwrap().transport.poll_effect() {
            self.perform(peer, life, effect);
        }
        for change in self.nodes.get_mut(peer).unwrap().transport.take_changes(|_| Path::default()) {
            self.told.insert((peer.clone(), change.peer_id.clone()), change);
        }
    }

    fn perform(&mut self, peer: &PeerId, life: u32, effect: Effect) {
        match effect {
            Effect::Dial { dial, peer: to, .. } => {
                let delay = self.delay(peer, &to);
                self.schedule(delay, Event::Knock(peer.clone(), life, dial, to));
            }
            // The network may be quicker than the cancellation.
            Effect::CancelDial { .. } | Effect::NoChannel { .. } | Effect::Fault { .. } | Effect::Probe => {}
            Effect::Weigh { channel } => {
                let limit = self.circuits;
                let circuit = self.pipe_of(peer, channel).filter(|_| limit.is_limited()).map(|pipe| CircuitUse {
                    relay: None,
                    opened: pipe.opened,
                    limit,
                    carried: pipe.carried,
                });
                self.feed(peer, Input::Weighed { channel, circuit, with_incumbent: false });
            }
            Effect::CheckLine { channel, .. } => {
                // A probe takes the same way, there and back.
                let carrying = self.other_end(peer, channel).is_some_and(|(to, _)| {
                    let ways = [(peer.clone(), to.clone()), (to, peer.clone())];
                    ways.iter().any(|way| self.free_at.get(way).is_some_and(|free| *free > self.now))
                });
                self.feed(peer, Input::LineChecked { channel, carrying });
            }
            Effect::Moving { .. } => self.moving += 1,
            Effect::Read { channel } => {
                self.nodes.get_mut(peer).unwrap().asked_for.insert(channel, true);
                self.hand_over(peer, channel);
            }
            Effect::Write { channel, text } => {
                self.written.entry(channel).or_default().push(text.clone());
                let limit = self.circuits.bytes.unwrap_or(u64::MAX);
                if let Some(pipe) = self.pipe_of(peer, channel) {
                    pipe.carried += text.len() as u64 + 60;
                    if pipe.carried > limit {
                        return self.cut_off(peer, channel);
                    }
                }
                if let Some((to, there)) = self.other_end(peer, channel) {
                    if let Some(line) = self.slow {
                        return self.crawl(line, (peer, channel), (&to, there), text);
                    }
                    self.transmit(peer, &to, there, Some(text));
                    self.schedule(0, Event::Input(peer.clone(), life, Input::Written { channel }));
                }
            }
            Effect::Close { channel } | Effect::Reset { channel } => {
                if let Some((to, there)) = self.other_end(peer, channel) {
                    self.transmit(peer, &to, there, None);
                }
                self.pipes.retain(|pipe| !pipe.ends.contains(&(peer.clone(), channel)));
                self.nodes.get_mut(peer).unwrap().arrived.remove(&channel);
            }
            Effect::Finish { channel } => {
                if let Some((to, there)) = self.other_end(peer, channel) {
                    self.transmit(peer, &to, there, None);
                }
            }
            Effect::AskVerdict { channel, peer: about, incarnation } => {
                let known = &mut self.nodes.get_mut(peer).unwrap().kernel.known;
                let former = known.insert(about.clone(), incarnation.clone());
                let restarted = Ok(former.is_some_and(|former| former != incarnation));
                self.schedule(2, Event::Input(peer.clone(), life, Input::Verdict { channel, peer: about, restarted }));
            }
            Effect::Deliver { peer: from, text } => {
                self.nodes.get_mut(peer).unwrap().kernel.delivered.push(text);
                let outcome = DeliveryOutcome::Accepted(None);
                self.schedule(1, Event::Input(peer.clone(), life, Input::Delivered { peer: from, outcome }));
            }
            Effect::SendDone { id, result } => {
                self.done.push(id);
                self.outcomes.insert(id, result);
            }
            Effect::GiveUp { peer: about } => self.nodes.get_mut(peer).unwrap().kernel.gave_up.push(about),
        }
    }

    fn transmit(&mut self, from: &PeerId, to: &PeerId, channel: ChannelId, frame: Option<String>) {
        let at = self.now.after(Duration::from_millis(self.delay(from, to)));
        let last = self.in_order.entry((to.clone(), channel)).or_insert(at);
        *last = at.max(*last);
        let at = *last;
        let id = self.id();
        self.events.insert((at, id), Event::Arrive(to.clone(), channel, frame));
    }

    /// A frame takes its way over a slow line, behind all that was given to that before.
    fn crawl(&mut self, line: SlowLine, from: (&PeerId, ChannelId), to: (&PeerId, ChannelId), text: String) {
        let way = (from.0.clone(), to.0.clone());
        let (life, now) = (self.nodes[from.0].life, self.now);
        let time = |bytes: u64| Duration::from_millis(bytes * 1_000 / line.bytes_per_second);
        let mut left = text.len() as u64 + 60;
        let mut free = self.free_at.get(&way).copied().unwrap_or(now).max(now);
        while left > 0 {
            // What the line holds was taken when it had room for it.
            let taken = Duration::from_millis(free.since(now).as_millis() as u64).saturating_sub(time(line.holds));
            let part = left.min(line.part);
            left -= part;
            free = free.after(time(part).max(Duration::from_millis(1)));
            let arrives = free.after(Duration::from_millis(self.delay(&way.0, &way.1)));
            let (written, arrival) = if left > 0 {
                (Input::PartWritten { channel: from.1 }, Event::Part(way.1.clone(), to.1))
            } else {
                (Input::Written { channel: from.1 }, Event::Arrive(way.1.clone(), to.1, Some(text.clone())))
            };
            let (first, second) = (self.id(), self.id());
            self.events.insert((now.after(taken), first), Event::Input(way.0.clone(), life, written));
            self.events.insert((arrives, second), arrival);
        }
        self.free_at.insert(way, free);
    }

    /// Gives a node the frame it asked for, or the end of the stream.
    fn hand_over(&mut self, peer: &PeerId, channel: ChannelId) {
        let node = self.nodes.get_mut(peer).unwrap();
        if !node.asked_for.get(&channel).copied().unwrap_or(false) {
            return;
        }
        let Some(frame) = node.arrived.get_mut(&channel).and_then(VecDeque::pop_front) else { return };
        node.asked_for.insert(channel, false);
        let life = node.life;
        let input = match frame {
            Some(text) => Input::Frame { channel, text },
            None => Input::ChannelClosed { channel, reason: "closed".into() },
        };
        self.schedule(0, Event::Input(peer.clone(), life, input));
    }

    fn pipe_of(&mut self, peer: &PeerId, channel: ChannelId) -> Option<&mut Pipe> {
        let own = (peer.clone(), channel);
        self.pipes.iter_mut().find(|pipe| pipe.ends.contains(&own))
    }

    /// The relay ends a circuit, with what is under way on it.
    fn cut_off(&mut self, peer: &PeerId, channel: ChannelId) {
        self.cut_off += 1;
        let own = (peer.clone(), channel);
        let place = self.pipes.iter().position(|pipe| pipe.ends.contains(&own)).unwrap();
        for (peer, channel) in self.pipes.remove(place).ends {
            self.events.retain(|_, event| !matches!(event, Event::Arrive(_, at, _) if *at == channel));
            self.schedule(1, Event::Arrive(peer, channel, None));
        }
    }

    fn other_end(&self, peer: &PeerId, channel: ChannelId) -> Option<(PeerId, ChannelId)> {
        let own = (peer.clone(), channel);
        let pipe = self.pipes.iter().find(|pipe| pipe.ends.contains(&own))?;
        pipe.ends.iter().find(|end| **end != own).cloned()
    }

    fn delay(&self, from: &PeerId, to: &PeerId) -> u64 {
        self.latency.get(&(from.clone(), to.clone())).copied().unwrap_or(5)
    }

    fn schedule(&mut self, millis: u64, event: Event) {
        let id = self.id();
        self.events.insert((self.now.after(Duration::from_millis(millis)), id), event);
    }

    fn id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }
}
