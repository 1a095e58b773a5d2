//! Ends that forget each other although neither has changed: whatever happens besides, each message is delivered once, in order,
//! or its sender is told, and the two come to rest.

use std::collections::VecDeque;

use super::*;
use crate::wire::Epoch;

/// Whoever decides what happens next.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

struct Party {
    session: Session,
    /// Labels of what is not acknowledged.
    outstanding: VecDeque<(Seq, u64)>,
    sent: u64,
    /// Labels of what was sent before anything was heard of the other: requests, which may be answered twice.
    requests: Vec<u64>,
    /// What its program was told may not arrive.
    reported: Vec<u64>,
    delivered: Vec<u64>,
    /// How often it found that the other had forgotten it.
    found_out: usize,
}

impl Party {
    fn new(epoch: Option<Epoch>) -> Self {
        let mut session = Session::restore(config(), SavedSession::default(), NOW);
        epoch.into_iter().for_each(|epoch| session.begin_epoch(epoch));
        session.commit(NOW);
        let (outstanding, requests, reported, delivered) = Default::default();
        Party { session, outstanding, sent: 0, requests, reported, delivered, found_out: 0 }
    }

    fn send(&mut self) {
        self.sent += 1;
        if !self.session.epoch().is_some_and(|epoch| epoch.shared) {
            self.requests.push(self.sent);
        }
        let seq = self.session.stage(StoredCommand::new(&command(self.sent)).unwrap());
        self.session.keep_staged();
        self.session.commit(NOW);
        self.outstanding.push_back((seq, self.sent));
    }

    fn take(&mut self, text: &str) {
        let message = Message::parse(text).unwrap();
        let heard = self.session.judge_epoch(&message);
        let reads = match heard {
            Heard::Present | Heard::Joined(_) => true,
            Heard::Former | Heard::Raised(_) => false,
            Heard::Forgotten(epoch) => {
                self.report();
                self.found_out += 1;
                epoch.shared
            }
        };
        self.session.heard(&message, heard);
        if reads {
            self.read(message, text.len());
        }
        self.session.commit(NOW);
    }

    fn read(&mut self, message: Message, size: usize) {
        if let Some(acknowledged) = self.session.acknowledged_by(message.ack) {
            self.outstanding.retain(|(seq, _)| *seq > acknowledged.last);
            self.session.acknowledge(NOW, &acknowledged);
        }
        self.session.sender_starts_at(message.start);
        if let Some((seq, command)) = message.command {
            self.session.receive(NOW, seq, Arrived { ack: message.ack, ..Arrived::new(command, size) });
        }
        assert_eq!(self.session.lost(), None, "nobody gave anything up");
        while let Some((seq, Arrived { command, .. })) = self.session.next_in_order() {
            self.delivered.push(label(command));
            self.session.delivered(seq);
        }
    }

    /// The program hears of what may not arrive.
    fn report(&mut self) {
        self.reported.extend(self.outstanding.drain(..).map(|(_, label)| label));
    }

    /// As after another life under the other's key.
    fn forget(&mut self) {
        self.report();
        self.session.peer_restarted(self.session.epoch().map(Epoch::next));
        self.session.commit(NOW);
    }

    /// The record of the other is dropped, and made again at another time.
    fn drop_record(&mut self, epoch: Epoch) {
        *self = Party {
            session: Party::new(Some(epoch)).session,
            outstanding: VecDeque::new(),
            requests: std::mem::take(&mut self.requests),
            reported: std::mem::take(&mut self.reported),
            delivered: std::mem::take(&mut self.delivered),
            ..*self
        };
    }

    /// The kernel dies and goes on with its store.
    fn crash(&mut self) {
        let stored = |(seq, label): &(Seq, u64)| (*seq, StoredCommand::new(&command(*label)).unwrap());
        let pending: Vec<_> = self.outstanding.iter().map(stored).collect();
        let start = self.session.start().get();
        let saved = SavedSession {
            last_sent: start - 1 + pending.len() as u64,
            start,
            highest_received: self.session.highest_received().map_or(0, Seq::get),
            pending,
            epoch: self.session.epoch(),
        };
        self.session = Session::restore(config(), saved, NOW);
    }
}

const NOW: Timestamp = Timestamp::from_millis(1_000);

/// Two parties and the channel between them.
struct World {
    parties: [Party; 2],
    /// Frames on their way to each.
    toward: [VecDeque<String>; 2],
    up: bool,
    forgotten: usize,
}

impl World {
    fn write(&mut self, side: usize, now: Timestamp) -> bool {
        let Some(write) = self.parties[side].session.poll_write(now) else { return false };
        let outcome = if self.up { WriteOutcome::Written } else { WriteOutcome::Refused };
        if self.up {
            self.toward[1 - side].push_back(write.text);
        }
        self.parties[side].session.write_finished(now, write.token, outcome);
        true
    }

    fn deliver(&mut self, side: usize) -> bool {
        let Some(text) = self.toward[side].pop_front() else { return false };
        self.parties[side].take(&text);
        true
    }

    /// Some of the last frames are lost; what was read before is delivered, except to an end of which nothing is left.
    fn cut(&mut self, dice: &mut Dice, gone: Option<usize>) {
        for side in [0, 1] {
            let arrive = dice.below(self.toward[side].len() as u64 + 1) as usize;
            self.toward[side].truncate(if gone == Some(side) { 0 } else { arrive });
            while self.deliver(side) {}
        }
        self.up = false;
    }

    fn connect(&mut self, first: usize) {
        if !self.up {
            self.up = true;
            for side in [first, 1 - first] {
                self.parties[side].session.channel_up(NOW);
            }
        }
    }

    fn step(&mut self, dice: &mut Dice, old: bool) {
        let side = dice.below(2) as usize;
        match dice.below(16) {
            0 | 1 if self.parties[side].session.room() > 0 => self.parties[side].send(),
            2..=6 => drop(self.write(side, NOW.after(DELAYED_ACK))),
            7..=11 => drop(self.deliver(side)),
            12 => self.connect(side),
            13 => self.cut(dice, None),
            14 => {
                self.cut(dice, Some(side));
                self.parties[side].crash();
            }
            15 if !old => {
                self.cut(dice, Some(side));
                // A clock may be wrong.
                let epoch = Epoch { number: 1 + dice.below(1 << 40), shared: false };
                self.forgotten += 1;
                if dice.below(2) == 0 {
                    self.parties[side].forget();
                } else if self.parties[side].session.pending() == 0 {
                    self.parties[side].drop_record(epoch);
                } else {
                    self.forgotten -= 1;
                }
            }
            _ => {}
        }
    }

    /// Nothing goes wrong any more.
    fn settle(&mut self) {
        self.connect(0);
        let mut now = NOW;
        for _ in 0..4 {
            let mut steps = 0;
            now = now.after(DELAYED_ACK);
            while [0, 1].into_iter().any(|side| self.write(side, now) || self.deliver(side)) {
                steps += 1;
                assert!(steps < 2_000, "the two answer each other for ever");
            }
        }
        for party in &self.parties {
            assert_eq!(party.session.pending(), 0, "something is not acknowledged, and nothing happens");
            assert!(!party.session.awaits_commit());
        }
    }

    fn check(&self) {
        for side in [0, 1] {
            let (party, peer) = (&self.parties[side], &self.parties[1 - side]);
            let messages: Vec<_> = party.delivered.iter().filter(|label| !peer.requests.contains(label)).collect();
            assert!(messages.is_sorted_by(|one, next| one < next), "twice, or out of order: {messages:?}");
            let fate = |label: &u64| party.delivered.contains(label) || peer.reported.contains(label);
            assert!((1..=peer.sent).all(|label| fate(&label)), "neither delivered nor reported");
        }
    }
}

fn run(seed: u64, epochs: [bool; 2]) {
    let mut dice = Dice(seed);
    let old = epochs.contains(&false);
    let parties = epochs.map(|keeps| {
        let number = 1 + dice.below(1 << 40);
        Party::new(keeps.then_some(Epoch { number, shared: false }))
    });
    let mut world = World { parties, toward: Default::default(), up: false, forgotten: 0 };
    for _ in 0..20 + dice.below(150) {
        world.step(&mut dice, old);
    }
    world.settle();
    world.check();
    // The first message may only find out that its sender was forgotten.
    for _ in 0..2 {
        for side in [0, 1] {
            world.parties[side].send();
        }
        world.settle();
        world.check();
    }
    for side in [0, 1] {
        assert_eq!(world.parties[side].delivered.last(), Some(&world.parties[1 - side].sent), "nothing gets through");
    }
    let found_out: usize = world.parties.iter().map(|party| party.found_out).sum();
    assert!(found_out <= world.forgotten, "{found_out} found out where {} forgot", world.forgotten);
    if world.forgotten == 0 {
        assert!(world.parties.iter().all(|party| party.reported.is_empty()), "reported though nobody forgot");
    }
}

#[test]
fn whoever_is_forgotten_finds_out() {
    for seed in 0..6_000 {
        let outcome = std::panic::catch_unwind(|| run(seed, [true, true]));
        assert!(outcome.is_ok(), "seed {seed}");
    }
}

#[test]
fn an_end_without_epochs_is_as_before() {
    for seed in 0..1_000 {
        for epochs in [[true, false], [false, true], [false, false]] {
            let outcome = std::panic::catch_unwind(|| run(seed, epochs));
            assert!(outcome.is_ok(), "seed {seed} with {epochs:?}");
        }
    }
}

#[test]
fn two_that_write_to_each_other_first_lose_nothing() {
    for numbers in [[1, 2], [2, 1], [1, 1]] {
        let parties = numbers.map(|number| Party::new(Some(Epoch { number, shared: false })));
        let mut world = World { parties, toward: Default::default(), up: false, forgotten: 0 };
        world.connect(0);
        for side in [0, 1] {
            world.parties[side].send();
            assert!(world.write(side, NOW));
        }
        world.settle();
        for party in &world.parties {
            assert_eq!((&party.delivered[..], &party.reported[..]), (&[1][..], &[][..]));
        }
    }
}

#[test]
fn what_came_before_the_peer_said_where_it_is_is_forgotten() {
    // Bob's network was away while alice slept, and what she had handed to it of the former conversation goes first.
    let mut bob = Party::new(Some(Epoch { number: 6, shared: true }));
    bob.forget();
    let text = |seq, label| StoredCommand::new(&command(label)).unwrap().to_row(Seq::new(seq).unwrap());
    bob.take(&text(2, 1));
    assert!(bob.delivered.is_empty());
    let resume = r#","start":1,"epoch":7,"shared":true,"method""#;
    bob.take(&text(1, 2).replacen(r#","method""#, resume, 1));
    bob.take(&text(2, 3));
    assert_eq!(bob.delivered, [2, 3]);
}
