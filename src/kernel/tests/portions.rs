//! Long lists are processed over several turns, in which everything else goes on, and after a crash are as if they had come once.

use super::*;

/// References of a portion.
const PORTION: usize = 250;
const COUNT: u64 = 4 * PORTION as u64;
/// Operations of the store that a turn may cost: a portion, what it leads to, and twice as much garbage.
const TURN: u64 = 20_000;

fn deliver(seq: u64, params: &str) -> String {
    format!(r#"{{"seq":{seq},"start":1,"method":"deliver","params":{params}}}"#)
}

fn names(prefix: &str, first: u64) -> String {
    (first..first + COUNT).map(|index| format!("\"{prefix}{index}\"")).collect::<Vec<_>>().join(",")
}

/// Promises that bob's program waits for.
fn asked(seq: u64) -> String {
    deliver(
        seq,
        &format!(r#"["message","ro-1",{{"methargs":{{"body":"","slots":[{}]}},"result":null}}]"#, names("rp+", 1)),
    )
}

/// They are settled, each with an object.
fn settled(seq: u64) -> String {
    let resolution = |index: u64| format!(r#"["rp+{index}",false,{{"body":"","slots":["ro+{index}"]}}]"#);
    deliver(seq, &format!(r#"["notify",[{}]]"#, (1..=COUNT).map(resolution).collect::<Vec<_>>().join(",")))
}

fn notified(events: &[KernelEvent]) -> Vec<Kref> {
    events
        .iter()
        .filter_map(|event| match event {
            KernelEvent::Notify { promise, rejected: false, .. } => Some(*promise),
            _ => None,
        })
        .collect()
}

impl World {
    /// Bob's program waits for many promises of alice's, who writes by hand from here on.
    fn asking() -> Self {
        let (mut world, _, _) = World::introduced();
        world.inject(&asked(2)).unwrap();
        world.quiet();
        world.bob.take_events();
        world.bob.outbound.clear();
        world
    }

    /// Bob has done everything that there was to do.
    fn quiet(&mut self) {
        while Self::collect(&mut self.bob, self.now, true) {}
    }

    /// What bob writes without another turn.
    fn bob_writes(&mut self) -> Vec<String> {
        let now = self.now;
        let mut written = Vec::new();
        self.bob.kernel().commit(now).unwrap();
        while let Some(effect) = self.bob.kernel().poll_effect(now) {
            if let KernelEffect::Write(RemoteWrite { remote, token, message, .. }) = effect {
                self.bob.kernel().write_finished(remote, token, &Ok(()), now).unwrap();
                written.push(message);
            }
        }
        written
    }

    /// Bob has one turn, and commits.
    fn turn(&mut self) {
        let now = self.now;
        let before = self.bob.kernel().store().operations();
        self.bob.kernel().handle_timeout(now).unwrap();
        let cost = self.bob.kernel().store().operations() - before;
        assert!(cost < TURN, "a turn of {cost} operations");
        self.bob.events.extend(std::iter::from_fn(|| self.bob.kernel.as_mut().unwrap().poll_event()));
        self.bob.kernel().commit(now).unwrap();
    }
}

#[test]
fn no_turn_is_long_and_others_are_served_in_between() {
    let mut world = World::asking();
    let carol = Host::new(3);
    let (peer, incarnation, now) = (carol.peer(), carol.incarnation(), world.now);
    world.bob.kernel().handle_incarnation_change(&peer, &incarnation, now).unwrap();
    let before = world.bob.kernel().store().operations();
    world.inject(&settled(3)).unwrap();
    assert!(world.bob.kernel().store().operations() - before < TURN);
    assert!(world.bob.kernel().has_more());
    world.turn();
    let nonsense = r#"{"seq":1,"start":1,"method":"redeemURL","params":["ocap:nonsense","key"]}"#;
    world.bob.kernel().handle_remote_message(&peer, nonsense, now).unwrap();
    let asked_for = std::iter::from_fn(|| world.bob.kernel().poll_effect(now))
        .find(|effect| matches!(effect, KernelEffect::OpenUrl { .. }));
    assert!(asked_for.is_some(), "carol waits for alice");
    assert!(world.bob.kernel().has_more());
    let mut turns = 0;
    while world.bob.kernel().has_more() {
        world.turn();
        turns += 1;
    }
    assert!(turns > 2, "{turns}");
    let mut told = notified(&world.bob.take_events());
    told.sort_unstable();
    told.dedup();
    assert_eq!(told.len() as u64, COUNT);
    world.audit();
}

#[test]
fn what_comes_behind_a_long_list_waits_for_it() {
    let mut world = World::asking();
    world.inject(&settled(3)).unwrap();
    let behind = r#"["message","ro-1",{"methargs":{"body":"behind","slots":[]},"result":null}]"#;
    world.inject(&deliver(4, behind)).unwrap();
    world.quiet();
    let events = world.bob.take_events();
    let last = events.last().unwrap();
    assert!(matches!(last, KernelEvent::Message { methargs, .. } if methargs.body == "behind"), "{last:?}");
    assert_eq!(notified(&events).len() as u64, COUNT);
}

#[test]
fn a_list_that_a_crash_cut_short_comes_again_and_each_is_told_of_once() {
    for turns in 0..4 {
        let mut world = World::asking();
        world.inject(&settled(3)).unwrap();
        for _ in 0..turns {
            world.turn();
        }
        let now = world.now;
        world.bob.events.extend(std::iter::from_fn(|| world.bob.kernel.as_mut().unwrap().poll_event()));
        world.bob.kernel().commit(now).unwrap();
        let before = notified(&world.bob.take_events());
        assert!((before.len() as u64) < COUNT, "{turns} turns are some of them");
        assert_eq!(world.bob.kernel().remotes().remotes().next().unwrap().highest_received().unwrap().get(), 2);
        world.restart_bob(true);
        world.connect();
        world.inject(&settled(3)).unwrap();
        world.quiet();
        let mut all = notified(&world.bob.take_events());
        all.extend(before);
        let told = all.len() as u64;
        all.sort_unstable();
        all.dedup();
        assert_eq!((all.len() as u64, told), (COUNT, COUNT), "after {turns} turns");
        world.audit();
    }
}

/// Alice would take it for a drop of what she had given before, and keep the object for ever.
#[test]
fn what_is_dropped_meanwhile_is_told_when_the_list_is_through() {
    let mut world = World::asking();
    // She will not name the promises any more, and they hold nothing.
    world.inject(&settled(3).replacen(r#""start":1"#, r#""start":1,"retires":true"#, 1)).unwrap();
    let mut dropped = 0;
    loop {
        let had_more = world.bob.kernel().has_more();
        world.turn();
        let events = world.bob.take_events();
        let given = events.iter().flat_map(|event| match event {
            KernelEvent::Notify { value, .. } => &value.slots[..],
            _ => &[],
        });
        let given: Vec<Kref> = given.copied().collect();
        world.bob.kernel().release(&given).unwrap();
        for message in world.bob_writes().iter().filter(|message| message.contains("dropExports")) {
            assert!(message.contains(r#""ack":3"#), "{message}");
            dropped += message.matches("ro-").count() as u64;
        }
        if !had_more {
            break;
        }
    }
    assert_eq!(dropped, COUNT);
    world.audit();
}

#[test]
fn a_peer_that_restarts_in_the_middle_of_its_list_settles_no_more() {
    let mut world = World::asking();
    world.inject(&settled(3)).unwrap();
    world.turn();
    let (alice, now) = (world.alice.peer(), world.now);
    let successor = "another-life".parse().unwrap();
    assert!(world.bob.kernel().handle_incarnation_change(&alice, &successor, now).unwrap());
    world.quiet();
    let events = world.bob.take_events();
    let rejected = events.iter().filter(|event| matches!(event, KernelEvent::Notify { rejected: true, .. })).count();
    assert_eq!(rejected as u64 + notified(&events).len() as u64, COUNT);
    assert!(rejected as u64 >= COUNT / 4, "{rejected} are rejected");
    // Its successor's first message is read as that.
    let first = r#"["message","ro-1",{"methargs":{"body":"","slots":[]},"result":null}]"#;
    world.inject(&deliver(1, first)).unwrap();
    world.quiet();
    assert!(!world.bob.kernel().has_more());
    world.audit();
}

#[test]
fn one_that_cannot_be_settled_leaves_the_portions_before_it_settled() {
    let mut world = World::asking();
    let mut text = settled(3);
    // An object of bob's that he never gave.
    text = text.replace(&format!("\"ro+{COUNT}\""), "\"ro-999\"");
    world.inject(&text).unwrap();
    world.quiet();
    let events = world.bob.take_events();
    let rejected = events.iter().filter(|event| matches!(event, KernelEvent::Notify { rejected: true, .. })).count();
    assert!((1..=PORTION).contains(&rejected), "{rejected} are rejected");
    assert_eq!(rejected + notified(&events).len(), COUNT as usize);
    let told = events.iter().filter(|event| matches!(event, KernelEvent::Remote(RemoteEvent::MessageRejected { .. })));
    assert_eq!(told.count(), 1);
    world.audit();
}

#[test]
fn many_drops_at_once_are_done_over_several_turns() {
    let mut world = World::asking();
    let given: Vec<Kref> = (0..COUNT).map(|_| world.bob.kernel().export_object().unwrap()).collect();
    // Alice's first promise is asked for them all.
    let (alice, now) = (world.alice.peer(), world.now);
    let remote = world.bob.kernel().remotes().remotes().next().unwrap().id();
    let target =
        world.bob.kernel().store().clist(remote).unwrap().iter().find(|(kref, _)| kref.is_promise()).unwrap().0;
    world.bob.kernel().send(target, with_slots("", &given)).unwrap();
    world.bob.kernel().release(&given).unwrap();
    world.quiet();
    let rows = world.bob.rows().len();
    for (seq, word) in [(3, "dropExports"), (4, "retireExports")] {
        let list = names("ro-", 2);
        let text = format!(r#"{{"seq":{seq},"start":1,"ack":2,"method":"deliver","params":["{word}",[{list}]]}}"#);
        world.bob.kernel().handle_remote_message(&alice, &text, now).unwrap();
        assert!(world.bob.kernel().has_more());
        while world.bob.kernel().has_more() {
            world.turn();
        }
    }
    let left = world.bob.rows().len();
    assert!(rows - left > COUNT as usize, "{} rows are gone", rows - left);
    world.audit();
}
