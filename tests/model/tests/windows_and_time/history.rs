//! Any history at all, as a state machine: what the ends' lists say must hold after each step, and at the end everything is
//! delivered or reported.

use std::{collections::HashMap, time::Duration};

use model::{
    actions::{self, Action},
    end::End,
    kind,
    rules::Rules,
    world::{Bounds, Side, World},
};
use ocap_remotes::{
    runtime::Timestamp,
    session::SessionConfig,
    wire::{Message, RemoteCommsOptions},
};
use proptest::prelude::*;
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};

/// What a history consists of. A choice is taken among what is possible then.
#[derive(Clone, Debug)]
enum Step {
    /// A program sends messages of this size.
    Send { side: Side, count: usize, padding: usize },
    /// An end or its network does something that it has to do.
    Work { side: Side, choice: usize },
    /// Both do what they have to do, for so many steps.
    Go(usize),
    /// The same, but no result of a write is reported meanwhile.
    GoUnheard(usize),
    /// Something goes wrong.
    Trouble(usize),
    /// Time passes, in milliseconds; timers fire when they are due.
    Pass(u64),
}

/// What a history is about.
#[derive(Clone, Debug)]
struct Setting {
    session: SessionConfig,
    orderly: bool,
    replies: bool,
}

struct Histories;

fn session() -> impl Strategy<Value = SessionConfig> {
    (1..=200_usize, 1..=200_usize, 200..4_000_usize, 0..=4_u32).prop_map(
        |(max_queue, max_held, max_held_bytes, retries)| SessionConfig {
            max_queue,
            max_held,
            max_held_bytes,
            max_retransmissions: retries,
            ..SessionConfig::from(&RemoteCommsOptions::default())
        },
    )
}

impl ReferenceStateMachine for Histories {
    type State = Setting;
    type Transition = Step;

    fn init_state() -> BoxedStrategy<Setting> {
        let setting = (session(), any::<bool>(), any::<bool>());
        setting.prop_map(|(session, orderly, replies)| Setting { session, orderly, replies }).boxed()
    }

    fn transitions(setting: &Setting) -> BoxedStrategy<Step> {
        let largest = setting.session.max_held_bytes;
        let padding = prop_oneof![3 => 0..50_usize, 1 => largest / 2..largest];
        let count = prop_oneof![3 => 1..4_usize, 1 => 4..250_usize];
        prop_oneof![
            3 => (0..2_usize, count, padding).prop_map(|(side, count, padding)| Step::Send { side, count, padding }),
            4 => (0..2_usize, any::<usize>()).prop_map(|(side, choice)| Step::Work { side, choice }),
            4 => prop_oneof![4 => 1..40_usize, 1 => 40..900_usize].prop_map(Step::Go),
            2 => (1..30_usize).prop_map(Step::GoUnheard),
            3 => any::<usize>().prop_map(Step::Trouble),
            2 => prop_oneof![3 => 0..200_u64, 1 => 200..20_000_u64].prop_map(Step::Pass),
        ]
        .boxed()
    }

    fn apply(setting: Setting, _: &Step) -> Setting {
        setting
    }
}

/// The two ends, and every numbered message that either ever wrote.
struct Sut {
    world: World,
    rules: Rules,
    written: HashMap<(Side, u8, u8, u64), String>,
}

impl Sut {
    fn apply(&mut self, action: Action) {
        if let Some(next) = actions::apply(&self.world, &self.rules, action) {
            self.take(action, next);
        }
    }

    fn take(&mut self, action: Action, next: World) {
        let told = model::tell(&self.world, action, &next);
        assert!(next.violation.is_none(), "{told}");
        self.world = next;
        if let Action::Write(side) | Action::WriteTooFast(side) = action {
            self.check_number(side);
        }
    }

    /// No number is used for two messages within a pair of incarnations.
    fn check_number(&mut self, side: Side) {
        let text = &self.world.nets[side].writes.last().unwrap().text;
        let Some((seq, command)) = Message::parse(text).unwrap().command else { return };
        let end = &self.world.ends[side];
        let key = (side, end.incarnation, end.store.peer, seq.get());
        let command = format!("{command:?}");
        let first = self.written.entry(key).or_insert_with(|| command.clone());
        assert_eq!(*first, command, "number {seq} is used twice");
    }

    fn go(&mut self, steps: usize) -> bool {
        for _ in 0..steps {
            let Some((action, next)) = kind::work(&self.world, &self.rules) else { return true };
            self.take(action, next);
        }
        false
    }

    fn go_unheard(&mut self, steps: usize) {
        let mut possible = Vec::new();
        for _ in 0..steps {
            possible.clear();
            (0..2).for_each(|side| actions::spontaneous(&self.world, side, &mut possible));
            possible.retain(|action| !matches!(action, Action::Result(_)));
            let taken = possible
                .iter()
                .find_map(|action| actions::apply(&self.world, &self.rules, *action).map(|next| (*action, next)));
            let Some((action, next)) = taken else { return };
            self.take(action, next);
        }
    }

    fn next_timer(&self) -> Option<Timestamp> {
        self.world.ends.iter().filter_map(|end| end.session.poll_timeout()).min()
    }

    /// Lets time pass. Timers fire when they are due, and what they ask for is written then.
    fn pass(&mut self, millis: u64) {
        let until = self.rules.now.after(Duration::from_millis(millis));
        while let Some(due) = self.next_timer().filter(|due| *due <= until) {
            self.rules.now = self.rules.now.max(due);
            let before = self.world.clone();
            self.fire();
            if self.world == before {
                break; // What is due waits for something else.
            }
        }
        self.rules.now = self.rules.now.max(until);
    }

    fn fire(&mut self) {
        let now = self.rules.now;
        for side in [0, 1] {
            let gave_up = self.world.act(side, |end, _| end.handle_timeout(now)).unwrap();
            if gave_up {
                self.world.nets[side].forget_writes();
            }
            self.apply(Action::Commit(side));
            self.apply(Action::Write(side));
        }
    }
}

fn is_trouble(action: &Action) -> bool {
    use Action::*;
    matches!(
        action,
        WriteTooFast(_)
            | NetworkGivesUp(_)
            | Cut
            | LoseLast(_)
            | NoticeWithWrite(_)
            | DialFails(_)
            | Crash(_)
            | Wipe(_)
            | ReloadNetwork(_)
            | Drop(..)
            | Repeat(..)
            | Overtake(..)
    )
}

impl StateMachineTest for Histories {
    type SystemUnderTest = Sut;
    type Reference = Histories;

    fn init_test(setting: &Setting) -> Sut {
        let now = Timestamp::from_millis(1_000_000);
        let many = [u8::MAX; 2];
        let left = Bounds {
            sends: many,
            crashes: many,
            wipes: many,
            reloads: many,
            give_ups: many,
            retransmissions: many,
            rate_limits: many,
            cuts: u8::MAX,
            mischief: if setting.orderly { 0 } else { u8::MAX },
        };
        let rules = Rules {
            session: setting.session.clone(),
            now,
            incumbent: false,
            deferred: false,
            replies: setting.replies,
            orderly: setting.orderly,
            fence: true,
        };
        Sut { world: World::new(&End::new(rules.session.clone(), now), left), rules, written: HashMap::new() }
    }

    fn apply(mut sut: Sut, _: &Setting, step: Step) -> Sut {
        let mut possible = Vec::new();
        match step {
            Step::Send { side, count, padding } => {
                for _ in 0..count {
                    let room = sut.world.ends[side].session.pending() < sut.rules.session.max_queue;
                    let sent = sut.world.act(side, |end, _| end.send(padding)).unwrap();
                    assert_eq!(sent, room, "there is room for {} messages", sut.rules.session.max_queue);
                }
            }
            Step::Work { side, choice } => {
                actions::spontaneous(&sut.world, side, &mut possible);
                sut.apply(possible[choice % possible.len()]);
            }
            Step::Go(steps) => drop(sut.go(steps)),
            Step::GoUnheard(steps) => sut.go_unheard(steps),
            Step::Trouble(choice) => {
                actions::possible(&sut.world, &mut possible);
                possible.retain(is_trouble);
                if !possible.is_empty() {
                    sut.apply(possible[choice % possible.len()]);
                }
            }
            Step::Pass(millis) => sut.pass(millis),
        }
        sut
    }

    fn teardown(mut sut: Sut, _: Setting) {
        for _ in 0..1_000 {
            if sut.go(10_000)
                && let Err(left) = kind::is_at_rest(&sut.world)
            {
                let due = sut.next_timer().unwrap_or_else(|| panic!("{left}"));
                sut.pass(due.since(sut.rules.now).as_millis() as u64);
            }
        }
        kind::is_at_rest(&sut.world).unwrap();
    }
}

prop_state_machine! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, max_shrink_iters: 4_000, ..ProptestConfig::default() })]

    #[test]
    fn every_history_keeps_the_rules_and_ends_with_everything_delivered_or_reported(sequential 1..120 => Histories);
}
