//! One transport, with the test in the place of everything around it.

use std::{collections::HashMap, time::Duration};

use super::{incarnation, people};
use crate::{
    network::{
        circuit::CircuitUse,
        link::{DialError, ErrorCode},
        transport::{ChannelId, DeliveryOutcome, DialId, Effect, Input, SendId, Transport},
    },
    runtime::Timestamp,
    wire::{Handshake, PeerId, RemoteCommsOptions, RemoteError},
};

pub(super) struct Bench {
    pub(super) transport: Transport,
    pub(super) now: Timestamp,
    /// The circuits below channels that are to be opened, and below those that are.
    pub(super) next_circuit: Option<CircuitUse>,
    pub(super) circuits: HashMap<ChannelId, CircuitUse>,
    /// Every peer is one.
    pub(super) with_incumbents: bool,
    /// What is said of every line that is asked about.
    pub(super) carrying: bool,
    last_id: u64,
}

pub(super) fn refused() -> DialError {
    DialError { code: ErrorCode::ConnRefused, retryable: true, reason: "nobody listens".into() }
}

pub(super) fn timed_out() -> DialError {
    DialError { code: ErrorCode::TimedOut, retryable: true, reason: "no answer".into() }
}

impl Bench {
    /// Alice's transport, whose every random delay is the longest possible.
    pub(super) fn alice() -> Self {
        Self::with(RemoteCommsOptions::default())
    }

    pub(super) fn with(options: RemoteCommsOptions) -> Self {
        let [alice, ..] = people();
        Self::of(alice, options)
    }

    pub(super) fn of(id: PeerId, options: RemoteCommsOptions) -> Self {
        let now = Timestamp::from_millis(1_000_000);
        // One less than a common multiple of 501, 1001, … 10001, so that `Backoff::delay` answers its bound.
        let longest = 167_u64 * 1_001 * 667 * 4_001 * 1_143 * 10_001 - 1;
        let random = Box::new(move || longest);
        let transport = Transport::new(now, id, incarnation("own"), &options, random);
        Bench {
            transport,
            now,
            next_circuit: None,
            circuits: HashMap::new(),
            with_incumbents: false,
            carrying: false,
            last_id: 0,
        }
    }

    pub(super) fn feed(&mut self, input: Input) -> Vec<Effect> {
        self.transport.handle(self.now, input);
        let mut effects = Vec::new();
        while let Some(effect) = self.transport.poll_effect() {
            let answer = match effect {
                Effect::Weigh { channel } => {
                    let (circuit, with_incumbent) = (self.circuits.get(&channel).cloned(), self.with_incumbents);
                    Input::Weighed { channel, circuit, with_incumbent }
                }
                Effect::CheckLine { channel, .. } => Input::LineChecked { channel, carrying: self.carrying },
                effect => {
                    effects.push(effect);
                    continue;
                }
            };
            self.transport.handle(self.now, answer);
        }
        effects
    }

    /// A stream that runs over the next circuit, if one was set.
    fn channel(&mut self) -> ChannelId {
        let channel = ChannelId(self.id());
        if let Some(circuit) = self.next_circuit.take() {
            self.circuits.insert(channel, circuit);
        }
        channel
    }

    /// Lets time pass; timers ring when they are due.
    pub(super) fn pass(&mut self, millis: u64) -> Vec<Effect> {
        let end = self.now.after(Duration::from_millis(millis));
        let mut effects = Vec::new();
        while let Some(due) = self.transport.poll_timeout().filter(|due| *due <= end) {
            assert!(due >= self.now || effects.len() < 10_000, "a timer does not go away");
            self.now = self.now.max(due);
            effects.extend(self.feed(Input::Timeout));
        }
        self.now = end;
        effects
    }

    /// Lets time pass without a timer ringing, as in a sleep of the machine; then the timer rings.
    pub(super) fn sleep(&mut self, millis: u64) -> Vec<Effect> {
        self.now = self.now.after(Duration::from_millis(millis));
        self.feed(Input::Timeout)
    }

    pub(super) fn id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    pub(super) fn send(&mut self, to: &PeerId, message: &str) -> (SendId, Vec<Effect>) {
        let id = SendId(self.id());
        (id, self.feed(Input::Send { id, to: to.clone(), message: message.into() }))
    }

    pub(super) fn dial_succeeds(&mut self, dial: DialId) -> (ChannelId, Vec<Effect>) {
        let channel = self.channel();
        (channel, self.feed(Input::DialSucceeded { dial, channel }))
    }

    /// The peer is reached, and answers nonsense.
    pub(super) fn dial_ends_in_nonsense(&mut self, dial: DialId) -> Vec<Effect> {
        let (channel, _) = self.dial_succeeds(dial);
        self.frame(channel, "{nonsense")
    }

    pub(super) fn dial_fails(&mut self, dial: DialId, error: DialError) -> Vec<Effect> {
        self.feed(Input::DialFailed { dial, error })
    }

    pub(super) fn inbound(&mut self, peer: &PeerId) -> (ChannelId, Vec<Effect>) {
        let channel = self.channel();
        (channel, self.feed(Input::Inbound { channel, peer: peer.clone() }))
    }

    pub(super) fn frame(&mut self, channel: ChannelId, text: &str) -> Vec<Effect> {
        self.feed(Input::Frame { channel, text: text.into() })
    }

    pub(super) fn hello(&mut self, channel: ChannelId, name: &str) -> Vec<Effect> {
        self.frame(channel, &Handshake::Hello(incarnation(name)).encode())
    }

    pub(super) fn ack(&mut self, channel: ChannelId, name: &str) -> Vec<Effect> {
        self.frame(channel, &Handshake::Ack(incarnation(name)).encode())
    }

    pub(super) fn verdict(
        &mut self,
        channel: ChannelId,
        peer: &PeerId,
        restarted: Result<bool, RemoteError>,
    ) -> Vec<Effect> {
        self.feed(Input::Verdict { channel, peer: peer.clone(), restarted })
    }

    /// A part of the oldest write was taken.
    pub(super) fn part_written(&mut self, channel: ChannelId) -> Vec<Effect> {
        self.feed(Input::PartWritten { channel })
    }

    /// A part of a frame came.
    pub(super) fn part_read(&mut self, channel: ChannelId) -> Vec<Effect> {
        self.feed(Input::PartRead { channel })
    }

    pub(super) fn written(&mut self, channel: ChannelId) -> Vec<Effect> {
        self.feed(Input::Written { channel })
    }

    pub(super) fn closed(&mut self, channel: ChannelId) -> Vec<Effect> {
        self.feed(Input::ChannelClosed { channel, reason: "cut".into() })
    }

    pub(super) fn delivered(&mut self, peer: &PeerId, outcome: DeliveryOutcome) -> Vec<Effect> {
        self.feed(Input::Delivered { peer: peer.clone(), outcome })
    }

    /// The kernel speaks of a peer.
    pub(super) fn introduce(&mut self, peer: &PeerId) {
        self.feed(Input::RegisterHints { peer: peer.clone(), hints: Vec::new() });
    }

    /// A registered channel that a peer opened whom the kernel knows.
    pub(super) fn accept(&mut self, peer: &PeerId, name: &str) -> ChannelId {
        self.introduce(peer);
        self.accept_stranger(peer, name)
    }

    /// A registered channel that the peer opened.
    pub(super) fn accept_stranger(&mut self, peer: &PeerId, name: &str) -> ChannelId {
        let (channel, _) = self.inbound(peer);
        self.hello(channel, name);
        let effects = self.verdict(channel, peer, Ok(false));
        assert_eq!(texts(&effects), [own_ack()]);
        self.written(channel);
        channel
    }

    /// A registered channel that we opened for a message.
    pub(super) fn connect(&mut self, peer: &PeerId, name: &str) -> ChannelId {
        let (_, effects) = self.send(peer, "first");
        let (channel, _) = self.dial_succeeds(dial(&effects));
        self.written(channel);
        self.ack(channel, name);
        let effects = self.verdict(channel, peer, Ok(false));
        assert_eq!(texts(&effects), ["first"]);
        self.written(channel);
        channel
    }
}

pub(super) fn own_ack() -> String {
    Handshake::Ack(incarnation("own")).encode()
}

pub(super) fn own_hello() -> String {
    Handshake::Hello(incarnation("own")).encode()
}

/// The only dial among the effects.
pub(super) fn dial(effects: &[Effect]) -> DialId {
    let dials = dials(effects);
    assert_eq!(dials.len(), 1, "{effects:?}");
    dials[0]
}

pub(super) fn dials(effects: &[Effect]) -> Vec<DialId> {
    let dial = |effect: &Effect| if let Effect::Dial { dial, .. } = effect { Some(*dial) } else { None };
    effects.iter().filter_map(dial).collect()
}

/// What is written.
pub(super) fn texts(effects: &[Effect]) -> Vec<String> {
    let text = |effect: &Effect| if let Effect::Write { text, .. } = effect { Some(text.clone()) } else { None };
    effects.iter().filter_map(text).collect()
}

/// What is handed to the kernel.
pub(super) fn deliveries(effects: &[Effect]) -> Vec<String> {
    let text = |effect: &Effect| if let Effect::Deliver { text, .. } = effect { Some(text.clone()) } else { None };
    effects.iter().filter_map(text).collect()
}

pub(super) fn asks(effects: &[Effect]) -> bool {
    effects.iter().any(|effect| matches!(effect, Effect::AskVerdict { .. }))
}

pub(super) fn gives_up(effects: &[Effect]) -> bool {
    effects.iter().any(|effect| matches!(effect, Effect::GiveUp { .. }))
}

/// Closed or reset.
pub(super) fn ends(effects: &[Effect], ended: ChannelId) -> bool {
    effects
        .iter()
        .any(|effect| matches!(effect, Effect::Close { channel } | Effect::Reset { channel } if *channel == ended))
}

/// What came of a send, if anything did.
pub(super) fn outcome(effects: &[Effect], send: SendId) -> Option<Result<(), RemoteError>> {
    effects.iter().find_map(|effect| match effect {
        Effect::SendDone { id, result } if *id == send => Some(result.clone()),
        _ => None,
    })
}

/// The name of the error with which a send failed.
pub(super) fn failure(effects: &[Effect], send: SendId) -> String {
    outcome(effects, send).expect("the send is done").expect_err("the send failed").name().to_owned()
}

pub(super) fn faults(effects: &[Effect]) -> Vec<String> {
    let fault = |effect: &Effect| match effect {
        Effect::Fault { error, .. } => Some(format!("{}: {error}", error.name())),
        _ => None,
    };
    effects.iter().filter_map(fault).collect()
}
