//! Virtual time, the lines, and the network's end of the victim: a real transport, fed as its driver feeds it.

use std::collections::{BTreeMap, HashMap, VecDeque};

use ocap_remotes::{
    kernel::RemoteWrite,
    network::{
        link::{DialError, ErrorCode},
        transport::{ChannelId, Effect, Input, SendId, Transport},
    },
    runtime::Timestamp,
    session::WriteToken,
    wire::{EndpointId, PeerId, RemoteCommsOptions},
};

use super::thread::{Job, KernelThread, Said};

/// Microseconds of virtual time.
pub(crate) type Micros = u64;

pub(crate) const MILLISECOND: Micros = 1_000;
pub(crate) const SECOND: Micros = 1_000 * MILLISECOND;

/// How long anything takes from a peer to the victim or back.
const LINE: Micros = 30 * MILLISECOND;
/// The same from the network's end to the kernel's.
const BRIDGE: Micros = 200;
/// Each peer has a line of its own, of 100 Mbit/s.
const NANOS_PER_BYTE: u64 = 80;
/// What a peer may have written that was not read.
pub(crate) const WINDOW: usize = 256 << 10;
/// After how long a peer that has gone is known not to be there.
const DIAL: Micros = SECOND;

pub(crate) fn timestamp(now: Micros) -> Timestamp {
    Timestamp::from_millis(1_000_000 + now / MILLISECOND)
}

fn micros(at: Timestamp) -> Micros {
    at.as_millis().saturating_sub(1_000_000) * MILLISECOND
}

/// A peer of the victim, with one channel to it at a time.
pub(crate) trait Person {
    /// A frame came.
    fn hears(&mut self, text: &str, desk: &mut Desk<'_>);

    /// The victim has ended the channel.
    fn is_cut_off(&mut self, desk: &mut Desk<'_>);

    /// The time that it asked for has come, or there is room again for what it writes.
    fn wakes(&mut self, desk: &mut Desk<'_>);

    /// Whether it leaves unread what is written to it.
    fn is_deaf(&self) -> bool {
        false
    }
}

/// What a person may do.
pub(crate) struct Desk<'a> {
    pub(crate) now: Micros,
    line: &'a mut Line,
    acts: Vec<Act>,
}

enum Act {
    Connect(PeerId),
    Write(String),
    Leave,
    Wake(Micros),
}

impl Desk<'_> {
    /// Opens a channel, in the place of the one before.
    pub(crate) fn connect(&mut self, peer: PeerId) {
        self.line.unread = 0;
        self.acts.push(Act::Connect(peer));
    }

    /// Whether another frame may be written now.
    pub(crate) fn has_room(&self) -> bool {
        self.line.unread < WINDOW
    }

    pub(crate) fn write(&mut self, text: String) {
        self.line.unread += text.len();
        self.acts.push(Act::Write(text));
    }

    pub(crate) fn leave(&mut self) {
        self.acts.push(Act::Leave);
    }

    pub(crate) fn wake_at(&mut self, at: Micros) {
        self.acts.push(Act::Wake(at));
    }
}

#[derive(Default)]
struct Line {
    channel: Option<ChannelId>,
    /// Bytes that were written and not read.
    unread: usize,
    /// When the last frame has gone out.
    sent: Micros,
    wake: Option<Micros>,
}

/// One channel, as the victim's network has it.
struct Channel {
    who: usize,
    arrived: VecDeque<String>,
    asked: bool,
    /// Bytes that the victim wrote and nobody reads.
    unread: usize,
}

enum Event {
    Network(Input),
    Arrives { channel: ChannelId, text: String },
    Job(Job),
    TurnOver,
    Heard { channel: ChannelId, who: usize, text: String },
    CutOff { channel: ChannelId, who: usize },
    Read { channel: ChannelId, who: usize, bytes: usize },
    Wake { who: usize },
}

/// Everything.
pub(crate) struct World<'a> {
    now: Micros,
    events: BTreeMap<(Micros, u64), Event>,
    last_id: u64,
    transport: Transport,
    pub(crate) thread: KernelThread,
    timer_queued: bool,
    /// When the kernel and its network's end want to be told the time. Both look at everybody to say so.
    due: (Option<Micros>, Option<Micros>),
    channels: HashMap<ChannelId, Channel>,
    sends: HashMap<SendId, (EndpointId, WriteToken)>,
    people: Vec<(&'a mut dyn Person, Line)>,
}

impl<'a> World<'a> {
    pub(crate) fn new(thread: KernelThread) -> Self {
        let mut state = 1_u64;
        let random = Box::new(move || {
            state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            state >> 16
        });
        let kernel = thread.kernel();
        let options = RemoteCommsOptions::default();
        let (id, life) = (kernel.peer_id().clone(), kernel.incarnation().clone());
        let transport = Transport::new(timestamp(0), id, life, &options, random);
        let due = (kernel.poll_timeout().map(micros), transport.poll_timeout().map(micros));
        World {
            now: 0,
            events: BTreeMap::new(),
            last_id: 0,
            transport,
            thread,
            timer_queued: false,
            due,
            channels: HashMap::new(),
            sends: HashMap::new(),
            people: Vec::new(),
        }
    }

    /// Somebody who wakes at `first`.
    pub(crate) fn join(&mut self, person: &'a mut dyn Person, first: Micros) {
        self.people.push((person, Line::default()));
        self.wake(self.people.len() - 1, first);
    }

    /// Lets time pass until `end`.
    pub(crate) fn run_until(&mut self, end: Micros) {
        loop {
            let event = self.events.keys().next().map(|(at, _)| *at);
            let (kernel, network) = self.due;
            let network = network.map(|at| at.max(self.now));
            let timer = kernel.filter(|_| !self.timer_queued).map(|at| at.max(self.now));
            let Some(at) = [event, network, timer].into_iter().flatten().min().filter(|at| *at <= end) else { break };
            self.now = self.now.max(at);
            if event == Some(at) {
                let (_, event) = self.events.pop_first().unwrap();
                self.happen(event);
            } else if timer == Some(at) {
                self.timer_queued = true;
                self.job(Job::Timeout);
            } else {
                self.feed(Input::Timeout);
            }
        }
        self.now = end;
    }

    /// Gives the kernel's thread something to do, at once.
    pub(crate) fn job(&mut self, job: Job) {
        self.thread.queue(job);
        self.work();
    }

    fn at(&mut self, at: Micros, event: Event) {
        self.last_id += 1;
        self.events.insert((at.max(self.now), self.last_id), event);
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Network(input) => self.feed(input),
            Event::Arrives { channel, text } => self.arrives(channel, text),
            Event::Job(job) => self.job(job),
            Event::TurnOver => {
                for said in self.thread.turn_over() {
                    self.says(said);
                }
                self.work();
            }
            Event::Heard { channel, who, text } => {
                if self.people[who].1.channel == Some(channel) {
                    self.person(who, |person, desk| person.hears(&text, desk));
                }
            }
            Event::CutOff { channel, who } => {
                if self.people[who].1.channel == Some(channel) {
                    self.people[who].1.channel = None;
                    self.person(who, |person, desk| person.is_cut_off(desk));
                }
            }
            Event::Read { channel, who, bytes } => {
                let line = &mut self.people[who].1;
                if line.channel == Some(channel) {
                    let was_full = line.unread >= WINDOW;
                    line.unread = line.unread.saturating_sub(bytes);
                    if was_full && line.unread < WINDOW {
                        self.person(who, |person, desk| person.wakes(desk));
                    }
                }
            }
            Event::Wake { who } => {
                let line = &mut self.people[who].1;
                // One that was put off rings for nothing.
                if line.wake.is_some_and(|at| at <= self.now) {
                    line.wake = None;
                    self.person(who, |person, desk| person.wakes(desk));
                }
            }
        }
    }

    // --- People

    fn wake(&mut self, who: usize, at: Micros) {
        let at = at.max(self.now);
        let line = &mut self.people[who].1;
        if line.wake.is_none_or(|set| at < set) {
            line.wake = Some(at);
            self.at(at, Event::Wake { who });
        }
    }

    fn person(&mut self, who: usize, act: impl FnOnce(&mut dyn Person, &mut Desk<'_>)) {
        let (person, line) = &mut self.people[who];
        let mut desk = Desk { now: self.now, line, acts: Vec::new() };
        act(&mut **person, &mut desk);
        for act in desk.acts {
            match act {
                Act::Connect(peer) => {
                    self.leave(who);
                    self.last_id += 1;
                    let channel = ChannelId(self.last_id);
                    let state = Channel { who, arrived: VecDeque::new(), asked: false, unread: 0 };
                    self.channels.insert(channel, state);
                    self.people[who].1.channel = Some(channel);
                    self.at(self.now + LINE, Event::Network(Input::Inbound { channel, peer }));
                }
                Act::Write(text) => {
                    let line = &mut self.people[who].1;
                    let Some(channel) = line.channel else { continue };
                    line.sent = line.sent.max(self.now) + text.len() as u64 * NANOS_PER_BYTE / 1_000;
                    let at = line.sent + LINE;
                    self.at(at, Event::Arrives { channel, text });
                }
                Act::Leave => self.leave(who),
                Act::Wake(at) => self.wake(who, at),
            }
        }
    }

    fn leave(&mut self, who: usize) {
        let line = &mut self.people[who].1;
        if let Some(channel) = line.channel.take() {
            let at = line.sent.max(self.now) + LINE;
            let reason = "the peer closed the stream".to_owned();
            self.at(at, Event::Network(Input::ChannelClosed { channel, reason }));
        }
    }

    // --- The network's end

    fn arrives(&mut self, channel: ChannelId, text: String) {
        let Some(state) = self.channels.get_mut(&channel) else { return };
        state.arrived.push_back(text);
        if std::mem::take(&mut state.asked) {
            let input = self.read(channel);
            input.into_iter().for_each(|input| self.feed(input));
        }
    }

    /// The next frame of a channel, if it is there.
    fn read(&mut self, channel: ChannelId) -> Option<Input> {
        let state = self.channels.get_mut(&channel)?;
        let Some(text) = state.arrived.pop_front() else {
            state.asked = true;
            return None;
        };
        let (who, bytes) = (state.who, text.len());
        self.at(self.now + LINE, Event::Read { channel, who, bytes });
        Some(Input::Frame { channel, text })
    }

    fn feed(&mut self, input: Input) {
        if let Input::ChannelClosed { channel, .. } = &input {
            self.channels.remove(channel);
        }
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            self.transport.handle(timestamp(self.now), input);
            while let Some(effect) = self.transport.poll_effect() {
                inputs.extend(self.perform(effect));
            }
            self.transport.forget_changes();
        }
        self.due.1 = self.transport.poll_timeout().map(micros);
    }

    /// What the transport learns of it at once.
    fn perform(&mut self, effect: Effect) -> Option<Input> {
        match effect {
            Effect::Dial { dial, .. } => {
                let reason = "nobody is there".to_owned();
                let error = DialError { code: ErrorCode::NoReservation, retryable: true, reason };
                self.at(self.now + DIAL, Event::Network(Input::DialFailed { dial, error }));
                None
            }
            Effect::Read { channel } => self.read(channel),
            Effect::Write { channel, text } => {
                let state = self.channels.get_mut(&channel)?;
                let who = state.who;
                if self.people[who].0.is_deaf() {
                    state.unread += text.len();
                    if state.unread > WINDOW {
                        return None;
                    }
                }
                self.at(self.now + LINE, Event::Heard { channel, who, text });
                Some(Input::Written { channel })
            }
            Effect::Weigh { channel } => Some(Input::Weighed { channel, circuit: None, with_incumbent: false }),
            Effect::CheckLine { channel, .. } => Some(Input::LineChecked { channel, carrying: false }),
            Effect::Close { channel } | Effect::Reset { channel } => {
                let who = self.channels.remove(&channel)?.who;
                self.at(self.now + LINE, Event::CutOff { channel, who });
                None
            }
            Effect::AskVerdict { channel, peer, incarnation } => {
                self.tell_kernel(Job::Verdict { channel, peer, incarnation })
            }
            Effect::Deliver { peer, text } => self.tell_kernel(Job::Deliver { peer, text }),
            Effect::Moving { peer } => self.tell_kernel(Job::Moving(peer)),
            Effect::NoChannel { peer } => self.tell_kernel(Job::NoChannel(peer)),
            Effect::GiveUp { peer } => self.tell_kernel(Job::GiveUp(peer)),
            Effect::SendDone { id, result } => {
                let (remote, token) = self.sends.remove(&id)?;
                self.tell_kernel(Job::WriteFinished { remote, token, result })
            }
            Effect::CancelDial { .. } | Effect::Finish { .. } | Effect::Probe | Effect::Fault { .. } => None,
        }
    }

    fn tell_kernel(&mut self, job: Job) -> Option<Input> {
        self.at(self.now + BRIDGE, Event::Job(job));
        None
    }

    // --- The kernel's thread

    /// Begins a turn if there is something to do.
    fn work(&mut self) {
        if let Some((was_timer, took)) = self.thread.begin_turn(timestamp(self.now)) {
            self.due.0 = self.thread.kernel().poll_timeout().map(micros);
            self.timer_queued &= !was_timer;
            self.at(self.now + took, Event::TurnOver);
        }
    }

    /// The kernel tells its network something.
    fn says(&mut self, said: Said) {
        let input = match said {
            Said::Input(input) => input,
            Said::Write(RemoteWrite { remote, token, to, message }) => {
                self.last_id += 1;
                let id = SendId(self.last_id);
                self.sends.insert(id, (remote, token));
                Input::Send { id, to, message }
            }
        };
        self.at(self.now + BRIDGE, Event::Network(input));
    }
}
