//! Nothing leaks across two kernels: after any history, once both programs have let everything go and all is acknowledged,
//! neither store speaks of an object any more.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

/// What happens next; numbers choose among what there is.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// One end sends something that it holds, and lets it go or not.
    Send {
        by_alice: bool,
        what: usize,
        releases: bool,
    },
    /// One end answers the oldest message with something that it holds.
    Answer {
        by_alice: bool,
        what: usize,
    },
    Release {
        by_alice: bool,
        what: usize,
    },
    Export {
        by_alice: bool,
    },
    /// What was written and not carried is lost.
    Cut,
    Connect,
    /// Some messages are carried, one way.
    Carry {
        from_alice: bool,
    },
    Wait,
    /// Bob's kernel is started again with its store.
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let end = any::<bool>;
    let what = 0..1_000_usize;
    let step = prop_oneof![
        4 => (end(), what.clone(), end()).prop_map(|(by_alice, what, releases)| Step::Send { by_alice, what, releases }),
        3 => (end(), what.clone()).prop_map(|(by_alice, what)| Step::Answer { by_alice, what }),
        3 => (end(), what).prop_map(|(by_alice, what)| Step::Release { by_alice, what }),
        1 => end().prop_map(|by_alice| Step::Export { by_alice }),
        2 => Just(Step::Cut),
        3 => Just(Step::Connect),
        4 => end().prop_map(|from_alice| Step::Carry { from_alice }),
        2 => Just(Step::Wait),
        1 => Just(Step::Restart),
    ];
    proptest::collection::vec(step, 1..60)
}

/// What the two programs know.
#[derive(Default)]
struct Program {
    held: BTreeSet<Kref>,
    owed: Vec<Kref>,
}

struct Story {
    world: World,
    programs: [Program; 2],
}

impl Story {
    fn end(&mut self, by_alice: bool) -> (&mut Host, &mut Program) {
        let [alice, bob] = &mut self.programs;
        if by_alice { (&mut self.world.alice, alice) } else { (&mut self.world.bob, bob) }
    }

    /// Both programs take their events.
    fn take(&mut self) {
        for by_alice in [true, false] {
            let (host, program) = self.end(by_alice);
            for event in host.take_events() {
                match event {
                    KernelEvent::Message { methargs, result, .. } => {
                        program.held.extend(methargs.slots);
                        program.owed.extend(result);
                    }
                    KernelEvent::Notify { value, .. } => program.held.extend(value.slots),
                    KernelEvent::Redeemed { result, .. } => program.held.extend(result),
                    KernelEvent::Retired(objects) => program.held.retain(|held| !objects.contains(held)),
                    KernelEvent::Remote(_) | KernelEvent::StoreFailed(_) => {}
                }
            }
        }
    }

    fn turn(&mut self) {
        let World { alice, bob, now, connected } = &mut self.world;
        for host in [alice, bob] {
            while World::collect(host, *now, *connected) {}
        }
        self.take();
    }

    fn step(&mut self, step: Step) {
        let now = self.world.now;
        match step {
            Step::Send { by_alice, what, releases } => {
                let (host, program) = self.end(by_alice);
                let count = program.held.len().max(1);
                let Some(slot) = program.held.iter().nth(what % count).copied() else { return };
                let Some(target) = program.held.iter().nth((what / 7) % count).copied() else { return };
                host.kernel().send(target, with_slots("#0", &[slot])).ok();
                if releases && host.kernel().release(&[slot]).is_ok() {
                    program.held.remove(&slot);
                }
            }
            Step::Answer { by_alice, what } => {
                let (host, program) = self.end(by_alice);
                if program.owed.is_empty() {
                    return;
                }
                let slot = program.held.iter().nth(what % program.held.len().max(1)).copied();
                let owed = program.owed.remove(0);
                // It may have let go of this, or heard too late that it is gone.
                if host.kernel().resolve(owed, false, with_slots("#0", slot.as_slice())).is_err() {
                    host.kernel().resolve(owed, false, data("#0")).unwrap();
                }
            }
            Step::Release { by_alice, what } => {
                let (host, program) = self.end(by_alice);
                let Some(gone) = program.held.iter().nth(what % program.held.len().max(1)).copied() else { return };
                program.held.remove(&gone);
                host.kernel().release(&[gone]).ok();
            }
            Step::Export { by_alice } => {
                let (host, program) = self.end(by_alice);
                program.held.insert(host.kernel().export_object().unwrap());
            }
            Step::Cut => self.world.cut(),
            Step::Connect => {
                self.world.cut();
                assert!(!self.world.connect());
            }
            Step::Carry { from_alice } => {
                let World { alice, bob, .. } = &mut self.world;
                let (from, to) = if from_alice { (alice, bob) } else { (bob, alice) };
                let peer = from.peer();
                for message in std::mem::take(&mut from.outbound) {
                    to.kernel().handle_remote_message(&peer, &message, now).unwrap();
                }
            }
            // Nobody is given up: what is abandoned may have arrived, and counts as given.
            Step::Wait => self.world.now = now.after(Duration::from_millis(60)),
            Step::Restart => self.world.restart_bob(true),
        }
        for host in [&mut self.world.alice, &mut self.world.bob] {
            host.kernel().handle_timeout(self.world.now).unwrap();
        }
        self.turn();
    }

    /// Everything is answered and let go.
    fn let_go(&mut self) {
        self.world.cut();
        self.world.connect();
        for _ in 0..20 {
            self.world.run();
            self.take();
            for by_alice in [true, false] {
                let (host, program) = self.end(by_alice);
                for owed in std::mem::take(&mut program.owed) {
                    host.kernel().resolve(owed, false, data("#0")).unwrap();
                }
                for held in std::mem::take(&mut program.held) {
                    // It may have let go of this while an event was under way that gave it again.
                    host.kernel().release(&[held]).ok();
                }
            }
            self.world.wait(Duration::from_millis(60));
        }
        // Any message tells which names of settled promises are forgotten.
        for _ in 0..2 {
            for host in [&mut self.world.alice, &mut self.world.bob] {
                let remote = host.kernel().remotes().remotes().next().unwrap().id();
                host.kernel().reap_remote(remote).unwrap();
            }
            self.world.run();
        }
    }
}

fn speaks_of_references(host: &Host) -> Vec<String> {
    let speaks = |row: &String| {
        ["ko", "given."].iter().any(|start| row.starts_with(start)) || row.contains(".c.ko") || row.contains(".c.ro")
    };
    host.rows().into_iter().filter(speaks).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]
    #[test]
    fn what_both_let_go_is_gone(steps in steps()) {
        let (world, for_alice, of_bob) = World::introduced();
        let mut story = Story { world, programs: Default::default() };
        story.programs[0].held.insert(for_alice);
        story.programs[1].held.insert(of_bob);
        for step in steps {
            story.step(step);
        }
        story.let_go();
        story.world.audit();
        for host in [&story.world.alice, &story.world.bob] {
            prop_assert_eq!(speaks_of_references(host), [""; 0]);
        }
        for host in [&mut story.world.alice, &mut story.world.bob] {
            let remote = host.kernel().remotes().remotes().next().unwrap();
            prop_assert_eq!(remote.counters().rejected, 0);
        }
    }
}
