//! The transport, told anything in any order, as a driver that lost its way would tell it: every send is answered once,
//! nothing is done to a stream that has ended, each stream begins with a handshake, and carries sends in their order.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use ocap_remotes::{
    network::{
        link::{DialError, ErrorCode},
        transport::{ChannelId, DeliveryOutcome, DialId, Effect, Input, SendId, Transport},
    },
    runtime::Timestamp,
    wire::{Handshake, PeerId, RemoteCommsOptions, RemoteError, WireError},
};

use crate::{choices::Choices, people::people};

/// Effects that one input may have on one peer, besides the outcomes of sends: a full set of writes and deliveries, and
/// what the stages of a channel take.
const EFFECTS_PER_PEER: usize = 64;
const SENDS: usize = 400;

/// The input is a list of inputs to the transport, and of times that pass.
pub(crate) fn target(data: &[u8]) {
    let mut choices = Choices::new(data);
    let mut world = World::new(&mut choices);
    while !choices.is_empty() {
        world.step(&mut choices);
    }
    world.feed(Input::Stop);
    assert!(world.unanswered.is_empty(), "sends are left without an answer: {:?}", world.unanswered);
    assert_eq!(world.transport.poll_timeout(), None);
    let id = SendId(world.sends.len() as u64);
    world.feed(Input::Send { id, to: world.peers[1].clone(), message: "late".into() });
    assert!(world.unanswered.is_empty(), "a send after the end is left without an answer");
}

/// One of our streams.
#[derive(Default)]
struct Channel {
    ended: bool,
    asked_for: bool,
    /// Texts written and not reported as such.
    under_way: usize,
    written: Vec<String>,
}

struct World {
    transport: Transport,
    now: Timestamp,
    peers: &'static [PeerId],
    max_connections: usize,
    channels: BTreeMap<ChannelId, Channel>,
    dials: Vec<DialId>,
    open_dials: BTreeSet<DialId>,
    asked: Vec<(ChannelId, PeerId)>,
    unanswered: BTreeSet<SendId>,
    sends: Vec<Sent>,
}

/// One of the kernel's sends; its number is its place.
struct Sent {
    to: PeerId,
    is_ack: bool,
    outcome: Option<Result<(), RemoteError>>,
}

impl World {
    fn new(choices: &mut Choices<'_>) -> Self {
        let now = Timestamp::from_millis(1_000_000);
        let options = RemoteCommsOptions {
            max_concurrent_connections: choices.below(4),
            max_retry_attempts: [0, 1, 3][choices.below(3)],
            max_queue: [8, 1, 200][choices.below(3)],
            max_messages_per_second: [100, 3, 0][choices.below(3)],
            max_connection_attempts_per_minute: [10, 1, 1_000][choices.below(3)],
            max_message_size_bytes: 64,
            stale_peer_timeout_ms: 60_000,
            cleanup_interval_ms: 30_000,
            ..RemoteCommsOptions::default()
        };
        let mut state = choices.number();
        let random = Box::new(move || {
            state = state.rotate_left(7).wrapping_add(0x9e37);
            state
        });
        let peers = people();
        let own = peers[0].clone();
        let incarnation = "own".parse().expect("it is printable");
        World {
            transport: Transport::new(now, own, incarnation, &options, random),
            now,
            peers,
            max_connections: options.max_concurrent_connections,
            channels: BTreeMap::new(),
            dials: Vec::new(),
            open_dials: BTreeSet::new(),
            asked: Vec::new(),
            unanswered: BTreeSet::new(),
            sends: Vec::new(),
        }
    }

    fn peer(&self, choices: &mut Choices<'_>) -> PeerId {
        // Seldom this kernel itself.
        if choices.once_in(16) { self.peers[0].clone() } else { choices.pick(&self.peers[1..]).clone() }
    }

    /// A stream that the transport knows or knew.
    fn channel(&self, choices: &mut Choices<'_>) -> ChannelId {
        let back = choices.below(8) + 1;
        ChannelId((self.channels.len() + 1).saturating_sub(back) as u64)
    }

    /// A stream that it never saw.
    fn new_channel(&mut self) -> ChannelId {
        let channel = ChannelId(self.channels.len() as u64 + 1);
        self.channels.insert(channel, Channel::default());
        channel
    }

    fn step(&mut self, choices: &mut Choices<'_>) {
        match choices.below(24) {
            0..=3 => self.send(choices),
            4 => self.feed(Input::CloseConnection { peer: self.peer(choices) }),
            5 => self.feed(Input::RegisterHints { peer: self.peer(choices), hints: vec![choices.text()] }),
            6 => self.feed(Input::Reconnect { peer: self.peer(choices), hints: Vec::new() }),
            7 => self.feed(Input::NetworkChanged),
            8 if choices.once_in(16) => self.feed(Input::Stop),
            8 => self.pass(u64::from(choices.byte()) * 997),
            9..=10 => {
                let Some(dial) = self.dial(choices) else { return };
                let channel = self.new_channel();
                self.feed(Input::DialSucceeded { dial, channel });
            }
            11 => {
                let Some(dial) = self.dial(choices) else { return };
                let codes =
                    [ErrorCode::ConnRefused, ErrorCode::TimedOut, ErrorCode::WrongPeer, ErrorCode::NoReservation];
                let (code, retryable) = (*choices.pick(&codes), !choices.once_in(4));
                self.feed(Input::DialFailed { dial, error: DialError { code, retryable, reason: "no".into() } });
            }
            12 => {
                let peer = self.peer(choices);
                let channel = self.new_channel();
                self.feed(Input::Inbound { channel, peer });
            }
            13..=15 => self.frame(choices),
            16 => {
                let channel = self.channel(choices);
                let error = WireError::FrameTooLong { announced: 65, limit: 64 };
                self.feed(Input::FrameError {
                    channel,
                    error: if choices.once_in(2) { error } else { WireError::NotUtf8 },
                });
            }
            17..=18 => {
                let channel = self.channel(choices);
                self.feed(Input::PartWritten { channel });
                self.feed(Input::PartRead { channel });
                if let Some(state) = self.channels.get_mut(&channel) {
                    state.under_way = state.under_way.saturating_sub(1);
                }
                self.feed(Input::Written { channel });
            }
            19 => self.feed(Input::ChannelClosed { channel: self.channel(choices), reason: "closed".into() }),
            20..=21 => self.verdict(choices),
            22 => {
                let failure = || RemoteError::Other { name: "Error".into(), message: "no".into() };
                let outcome = match choices.below(4) {
                    0 => DeliveryOutcome::Accepted(None),
                    1 => DeliveryOutcome::Accepted(Some("reply".into())),
                    2 => DeliveryOutcome::Refused(failure()),
                    _ => DeliveryOutcome::Unreachable(failure()),
                };
                self.feed(Input::Delivered { peer: self.peer(choices), outcome });
            }
            _ => self.pass(u64::from(choices.byte())),
        }
    }

    fn send(&mut self, choices: &mut Choices<'_>) {
        if self.sends.len() >= SENDS {
            return;
        }
        let id = SendId(self.sends.len() as u64);
        let to = self.peer(choices);
        let message = match choices.below(8) {
            0 => r#"{"ack":1}"#.into(),
            1 => "x".repeat(65),
            _ => format!("#{}", id.0),
        };
        self.feed(Input::Send { id, to, message });
    }

    fn dial(&self, choices: &mut Choices<'_>) -> Option<DialId> {
        let back = choices.below(4) + 1;
        self.dials.len().checked_sub(back).map(|index| self.dials[index])
    }

    fn frame(&mut self, choices: &mut Choices<'_>) {
        let channel = self.channel(choices);
        let incarnation = choices.pick(&["a", "b"]).parse().expect("it is printable");
        let text = match choices.below(6) {
            0..=1 => Handshake::Ack(incarnation).encode(),
            2..=3 => Handshake::Hello(incarnation).encode(),
            4 => r#"{"seq":1,"method":"deliver","params":["bringOutYourDead"]}"#.into(),
            _ => choices.text(),
        };
        if let Some(state) = self.channels.get_mut(&channel) {
            state.asked_for = false;
        }
        self.feed(Input::Frame { channel, text });
    }

    fn verdict(&mut self, choices: &mut Choices<'_>) {
        let back = choices.below(4) + 1;
        let (channel, peer) = match self.asked.len().checked_sub(back) {
            Some(index) => self.asked[index].clone(),
            None => (self.channel(choices), self.peer(choices)),
        };
        let restarted = match choices.below(4) {
            0..=1 => Ok(false),
            2 => Ok(true),
            _ => Err(RemoteError::NetworkStopped),
        };
        self.feed(Input::Verdict { channel, peer, restarted });
    }

    /// Lets time pass; timers ring when they are due.
    fn pass(&mut self, millis: u64) {
        let end = self.now.after(Duration::from_millis(millis));
        let mut rings = 0_u64;
        while let Some(due) = self.transport.poll_timeout().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.feed(Input::Timeout);
            rings += 1;
            assert!(rings <= 16 + millis, "a timer does not go away");
        }
        self.now = end;
    }

    fn feed(&mut self, input: Input) {
        match &input {
            Input::Send { id, to, message } => {
                self.unanswered.insert(*id);
                self.sends.push(Sent { to: to.clone(), is_ack: !message.starts_with('#'), outcome: None });
            }
            Input::DialSucceeded { dial, .. } | Input::DialFailed { dial, .. } => {
                self.open_dials.remove(dial);
            }
            _ => {}
        }
        let limit = self.unanswered.len() + EFFECTS_PER_PEER * self.peers.len();
        self.transport.handle(self.now, input);
        for count in 0.. {
            assert!(count < limit, "one input has {limit} effects");
            let Some(effect) = self.transport.poll_effect() else { break };
            self.note(effect);
        }
    }

    fn note(&mut self, effect: Effect) {
        match effect {
            Effect::Dial { dial, peer, .. } => {
                assert_ne!(peer, self.peers[0], "it dials itself");
                assert!(self.open_dials.insert(dial) && !self.dials.contains(&dial), "a dial's name is used again");
                self.dials.push(dial);
            }
            Effect::CancelDial { dial } => assert!(self.open_dials.remove(&dial), "an unknown dial is cancelled"),
            Effect::Read { channel } => {
                let asked_for = &mut self.live(channel).asked_for;
                assert!(!*asked_for, "a second frame is asked for before the first came");
                *asked_for = true;
            }
            Effect::Write { channel, text } => {
                let state = self.live(channel);
                state.under_way += 1;
                state.written.push(text);
                self.check_written(channel);
            }
            Effect::CheckLine { channel, .. } => {
                self.live(channel);
                let carrying = channel.0.is_multiple_of(2);
                self.transport.handle(self.now, Input::LineChecked { channel, carrying });
            }
            Effect::Weigh { channel } | Effect::Finish { channel } => drop(self.live(channel)),
            Effect::Close { channel } | Effect::Reset { channel } => self.live(channel).ended = true,
            Effect::AskVerdict { channel, peer, .. } => {
                self.live(channel);
                self.asked.push((channel, peer));
            }
            Effect::SendDone { id, result } => {
                assert!(self.unanswered.remove(&id), "a send is answered twice");
                self.sends[id.0 as usize].outcome = Some(result);
            }
            Effect::Deliver { .. }
            | Effect::GiveUp { .. }
            | Effect::Fault { .. }
            | Effect::Moving { .. }
            | Effect::NoChannel { .. }
            | Effect::Probe => {}
        }
        assert!(self.open_dials.len() <= self.max_connections, "more dials than connections are allowed");
    }

    fn live(&mut self, channel: ChannelId) -> &mut Channel {
        let state = self.channels.get_mut(&channel).expect("only streams that were opened are spoken of");
        assert!(!state.ended, "an effect on a stream that has ended");
        state
    }

    /// The last write on a stream follows the one before it: a handshake, then sends in their order. What was left out
    /// between two was refused when it was sent, for its sender to send again.
    fn check_written(&self, channel: ChannelId) {
        let written = &self.channels[&channel].written;
        let [before @ .., last] = &written[..] else { return };
        if before.is_empty() {
            assert!(Handshake::parse_hello(last).is_ok() || Handshake::parse_ack(last).is_ok(), "no handshake first");
        }
        let number = |text: &String| text.strip_prefix('#').and_then(|number| number.parse::<usize>().ok());
        let (Some(last), Some(former)) = (number(last), before.iter().filter_map(number).next_back()) else { return };
        assert!(former < last, "a send overtakes another");
        for left_out in &self.sends[former + 1..last] {
            let lost = matches!(left_out.outcome, None | Some(Ok(()) | Err(RemoteError::ConnectionLost { .. })));
            let same_peer = left_out.to == self.sends[last].to;
            assert!(!(same_peer && lost) || left_out.is_ack, "a send is written past one that was lost");
        }
    }
}
