//! Random histories of two sessions, with real durations and windows, against plain lists.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // clippy knows tests by #[test] only

use std::{collections::VecDeque, time::Duration};

use ocap_remotes::{
    runtime::Timestamp,
    session::{Arrived, SavedSession, Session, SessionConfig, TimerOutcome, WriteOutcome},
    wire::{Message, RemoteCommand, RemoteCommsOptions, Seq, StoredCommand},
};
use proptest::prelude::*;
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};

/// What may happen. Sides are 0 and 1.
#[derive(Clone, Debug)]
enum Step {
    /// A program sends so many messages, each with so much text, in one transaction.
    Send { side: usize, count: usize, length: usize },
    /// A transaction is rolled back after so many.
    RollBack { side: usize, count: usize },
    /// A kernel commits.
    Commit { side: usize },
    /// A session writes as much as it may, up to so many.
    Write { side: usize, most: usize },
    /// So many frames arrive at a side.
    Arrive { side: usize, most: usize },
    /// Time passes for both.
    Pass { millis: u64 },
    /// The channel is lost, with what is under way.
    Cut,
    /// A new channel comes up.
    Connect,
    /// A kernel crashes and is started again with its store.
    Crash { side: usize },
}

/// The reference is what may be asked for at any time: everything.
#[derive(Clone, Debug)]
struct Anything;

impl ReferenceStateMachine for Anything {
    type State = ();
    type Transition = Step;

    fn init_state() -> BoxedStrategy<()> {
        Just(()).boxed()
    }

    fn transitions((): &()) -> BoxedStrategy<Step> {
        let side = 0..2_usize;
        let length = prop_oneof![8 => 0..200_usize, 1 => 0..300_000_usize];
        prop_oneof![
            6 => (side.clone(), 1..40_usize, length).prop_map(|(side, count, length)| Step::Send { side, count, length }),
            1 => (side.clone(), 1..5_usize).prop_map(|(side, count)| Step::RollBack { side, count }),
            6 => side.clone().prop_map(|side| Step::Commit { side }),
            8 => (side.clone(), 1..60_usize).prop_map(|(side, most)| Step::Write { side, most }),
            8 => (side.clone(), 1..60_usize).prop_map(|(side, most)| Step::Arrive { side, most }),
            4 => (0..3_000_u64).prop_map(|millis| Step::Pass { millis }),
            1 => (0..60_000_u64).prop_map(|millis| Step::Pass { millis }),
            1 => Just(Step::Cut),
            3 => Just(Step::Connect),
            1 => side.prop_map(|side| Step::Crash { side }),
        ]
        .boxed()
    }

    fn apply((): (), _: &Step) {}
}

/// What one end's store and program hold.
#[derive(Clone, Debug, Default)]
struct Durable {
    saved: SavedSession,
    /// What its program sent, in order, by a label that rises; and which of that it gave up.
    sent: Vec<u64>,
    given_up: Vec<u64>,
    /// What its program got.
    got: Vec<u64>,
}

struct End {
    session: Session,
    present: Durable,
    durable: Durable,
    next_label: u64,
}

struct Pair {
    ends: [End; 2],
    /// Towards each side.
    wires: [VecDeque<String>; 2],
    up: bool,
    now: Timestamp,
}

fn config() -> SessionConfig {
    SessionConfig::from(&RemoteCommsOptions::default())
}

fn label_of(command: &RemoteCommand) -> u64 {
    let RemoteCommand::RedeemUrl { reply_key, .. } = command else { panic!("{command:?}") };
    reply_key.parse().unwrap()
}

impl End {
    fn new(now: Timestamp) -> Self {
        let session = Session::restore(config(), SavedSession::default(), now);
        End { session, present: Durable::default(), durable: Durable::default(), next_label: 1 }
    }

    fn send(&mut self, length: usize) {
        if self.session.check_room().is_err() {
            assert_eq!(self.session.pending(), config().max_queue, "a send is refused although there is room");
            return;
        }
        let label = self.next_label;
        self.next_label += 1;
        let url = "x".repeat(length);
        let stored = StoredCommand::new(&RemoteCommand::RedeemUrl { url, reply_key: label.to_string() }).unwrap();
        let seq = self.session.stage(stored.clone());
        self.session.keep_staged();
        assert_eq!(seq.get(), self.present.saved.last_sent + 1, "numbers rise by one and are used once");
        self.present.saved.last_sent = seq.get();
        self.present.saved.pending.push((seq, stored));
        self.present.sent.push(label);
    }

    fn commit(&mut self, now: Timestamp) {
        self.session.commit(now);
        self.durable = self.present.clone();
    }

    fn receive(&mut self, text: &str, now: Timestamp, peer: &Durable) {
        let message = Message::parse(text).unwrap();
        if let Some(acknowledged) = self.session.acknowledged_by(message.ack) {
            let store = &mut self.present.saved;
            let got = peer.saved.highest_received;
            assert!(acknowledged.last.get() <= got, "{} is acknowledged, {got} is durable", acknowledged.last);
            store.start = acknowledged.next().get();
            store.pending.retain(|(seq, _)| *seq > acknowledged.last);
            self.session.acknowledge(now, &acknowledged);
        }
        self.session.sender_starts_at(message.start);
        if let Some((seq, command)) = message.command {
            self.session.receive(now, seq, Arrived { ack: message.ack, ..Arrived::new(command, text.len()) });
        }
        loop {
            if let Some(lost) = self.session.lost() {
                self.present.saved.highest_received = lost.last.get();
                self.session.delivered(lost.last);
            } else if let Some((seq, Arrived { command, .. })) = self.session.next_in_order() {
                let label = label_of(command);
                assert!(self.present.got.last().is_none_or(|last| *last < label), "{label} comes again, or late");
                self.present.got.push(label);
                self.present.saved.highest_received = seq.get();
                self.session.delivered(seq);
            } else {
                return;
            }
        }
    }

    fn give_up(&mut self) {
        if let Some(abandoned) = self.session.abandonable() {
            let pending = self.present.saved.pending.drain(..);
            let labels = pending.map(|(_, stored)| {
                let text = stored.to_message(Seq::FIRST, None, None);
                label_of(&Message::parse(&text).unwrap().command.unwrap().1)
            });
            self.present.given_up.extend(labels);
            self.present.saved.start = abandoned.next().get();
        }
        self.session.give_up();
    }
}

impl Pair {
    fn write(&mut self, side: usize, most: usize) {
        for _ in 0..most {
            let Some(write) = self.ends[side].session.poll_write(self.now) else { return };
            let outcome = if self.up { WriteOutcome::Written } else { WriteOutcome::Refused };
            if self.up {
                self.wires[1 - side].push_back(write.text);
            }
            self.ends[side].session.write_finished(self.now, write.token, outcome);
        }
    }

    fn arrive(&mut self, side: usize, most: usize) {
        for _ in 0..most {
            let Some(text) = self.wires[side].pop_front() else { return };
            let peer = self.ends[1 - side].durable.clone();
            self.ends[side].receive(&text, self.now, &peer);
        }
    }

    fn pass(&mut self, millis: u64) {
        self.now = self.now.after(Duration::from_millis(millis));
        for end in &mut self.ends {
            if end.session.handle_timeout(self.now) == TimerOutcome::GiveUp {
                end.give_up();
            }
        }
    }

    fn connect(&mut self) {
        self.wires.iter_mut().for_each(VecDeque::clear);
        self.up = true;
        self.ends.iter_mut().for_each(|end| end.session.channel_up(self.now));
    }

    fn crash(&mut self, side: usize) {
        self.up = false;
        self.wires.iter_mut().for_each(VecDeque::clear);
        let end = &mut self.ends[side];
        end.present = end.durable.clone();
        end.session = Session::restore(config(), end.durable.saved.clone(), self.now);
    }
}

struct Sessions;

impl StateMachineTest for Sessions {
    type SystemUnderTest = Pair;
    type Reference = Anything;

    fn init_test((): &()) -> Pair {
        let now = Timestamp::from_millis(1_000_000);
        Pair { ends: [End::new(now), End::new(now)], wires: Default::default(), up: false, now }
    }

    fn apply(mut pair: Pair, (): &(), step: Step) -> Pair {
        match step {
            Step::Send { side, count, length } => (0..count).for_each(|_| pair.ends[side].send(length)),
            Step::RollBack { side, count } => {
                let end = &mut pair.ends[side];
                let command = RemoteCommand::RedeemUrl { url: String::new(), reply_key: "0".into() };
                for _ in 0..count {
                    end.session.stage(StoredCommand::new(&command).unwrap());
                }
                end.session.roll_back_staged();
            }
            Step::Commit { side } => pair.ends[side].commit(pair.now),
            Step::Write { side, most } => pair.write(side, most),
            Step::Arrive { side, most } => pair.arrive(side, most),
            Step::Pass { millis } => pair.pass(millis),
            Step::Cut => {
                pair.up = false;
                pair.wires.iter_mut().for_each(VecDeque::clear);
            }
            Step::Connect => pair.connect(),
            Step::Crash { side } => pair.crash(side),
        }
        pair
    }

    fn check_invariants(pair: &Pair, (): &()) {
        for end in &pair.ends {
            assert!(end.session.pending() <= config().max_queue);
            assert_eq!(end.session.pending(), end.present.saved.pending.len());
        }
    }

    /// On a kind network everything is delivered, unless it was given up.
    fn teardown(mut pair: Pair, (): ()) {
        pair.connect();
        for _ in 0..40 {
            for side in [0, 1] {
                pair.ends[side].commit(pair.now);
                pair.write(side, usize::MAX);
                pair.arrive(1 - side, usize::MAX);
            }
            pair.pass(60);
        }
        for side in [0, 1] {
            let (sender, receiver) = (&pair.ends[side].present, &pair.ends[1 - side].present);
            assert_eq!(sender.saved.pending, [], "side {side} keeps messages that it can be rid of");
            for label in &sender.sent {
                assert!(
                    receiver.got.contains(label) || sender.given_up.contains(label),
                    "message {label} of side {side} was neither delivered nor given up"
                );
            }
        }
    }
}

prop_state_machine! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// At most once, in order, delivered or given up, acknowledged only when durable, within the bounds.
    #[test]
    fn histories_of_two_sessions_hold_the_guarantee(sequential 1..120 => Sessions);
}
