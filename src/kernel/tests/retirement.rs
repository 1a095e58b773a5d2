//! Names of settled promises leave both c-lists, and neither end ever meets one that it has forgotten.

use super::*;

/// The peer's names of promises that a kernel understands.
fn clist(host: &mut Host) -> Vec<String> {
    let remote = host.kernel().remotes().remotes().next().unwrap().id();
    let prefix = format!("{remote}.c.rp");
    host.rows().into_iter().filter(|key| key.starts_with(&prefix)).collect()
}

fn rejected(host: &mut Host) -> u64 {
    host.kernel().remotes().remotes().map(|remote| remote.counters().rejected).sum()
}

impl World {
    /// Alice asks, bob answers; gives what alice hears.
    fn ask(&mut self, target: Kref, body: &str) -> Vec<KernelEvent> {
        self.send(target, body);
        self.run();
        self.answer_all();
        self.alice.take_events()
    }

    fn answer_all(&mut self) {
        for (body, result) in self.bob.messages() {
            self.bob.kernel().resolve(result.unwrap(), false, data(&body)).unwrap();
        }
        self.run();
    }

    fn sizes(&self) -> [usize; 2] {
        [&self.alice, &self.bob].map(|host| host.rows().len())
    }

    fn all_is_well(&mut self) {
        self.audit();
        assert_eq!((rejected(&mut self.alice), rejected(&mut self.bob)), (0, 0));
    }
}

#[test]
fn a_thousand_answers_leave_nothing_in_either_store() {
    let (mut world, for_alice, _) = World::introduced();
    world.ask(for_alice, "#0");
    world.ask(for_alice, "#1");
    let before = world.sizes();
    for number in 2..1_000 {
        let events = world.ask(for_alice, &format!("#{number}"));
        assert!(matches!(&events[..], [KernelEvent::Notify { rejected: false, .. }]), "{events:?}");
    }
    assert_eq!(world.sizes(), before);
    assert_eq!(clist(&mut world.alice), [""; 0]);
    assert_eq!(clist(&mut world.bob).len(), 1, "alice has not said yet that she has the last answer");
    world.all_is_well();
}

/// Bob has settled a promise of which alice still speaks: she had not heard.
#[test]
fn what_was_under_way_when_a_promise_was_settled_is_understood() {
    let (mut world, for_alice, _) = World::introduced();
    let asked = world.send(for_alice, "#0");
    world.run();
    let [(_, Some(result))] = world.bob.messages()[..] else { panic!("one message") };
    world.bob.kernel().resolve(result, false, data("#\"done\"")).unwrap();
    // Both are under way at once, alice's with the promise as an argument, as a target and as both.
    world.alice.kernel().send(for_alice, with_slots("#\"&0\"", &[asked])).unwrap();
    world.alice.kernel().send(asked, with_slots("#\"&0\"", &[asked])).unwrap();
    world.run();
    let events = world.bob.take_events();
    let [KernelEvent::Message { methargs, .. }, KernelEvent::Notify { promise, value, .. }] = &events[..] else {
        panic!("{events:?}")
    };
    assert_eq!((methargs.slots.as_slice(), value), (&[*promise][..], &data("#\"done\"")));
    world.ask(for_alice, "#1");
    assert_eq!(clist(&mut world.alice).len(), 1, "the message that bob's program has not answered");
    world.all_is_well();
}

/// A message waits in a promise of alice's own while what it mentions is settled, and is then sent to bob.
#[test]
fn a_settled_promise_that_is_given_again_gets_a_new_name_and_its_outcome_is_told() {
    let (mut world, for_alice, _) = World::introduced();
    let (argument, target) =
        (world.alice.kernel().create_promise().unwrap(), world.alice.kernel().create_promise().unwrap());
    world.alice.kernel().send(for_alice, with_slots("#\"&0\"", &[argument])).unwrap();
    world.alice.kernel().send(target, with_slots("#\"&0\"", &[argument])).unwrap();
    world.run();
    world.alice.kernel().resolve(argument, false, data("#\"known\"")).unwrap();
    world.run();
    world.alice.kernel().resolve(target, false, with_slots("#\"$0\"", &[for_alice])).unwrap();
    world.run();
    let events = world.bob.take_events();
    let heard: Vec<(Kref, &CapData<Kref>)> = events
        .iter()
        .filter_map(|event| match event {
            KernelEvent::Notify { promise, value, .. } => Some((*promise, value)),
            _ => None,
        })
        .collect();
    let [first, second] = heard[..] else { panic!("{events:?}") };
    assert!(first.0 != second.0 && first.1 == second.1, "{events:?}");
    world.answer_all();
    world.all_is_well();
}

/// Bob does not answer with messages of his own, but has to say all the same that he has forgotten.
#[test]
fn one_who_only_listens_tells_now_and_then_what_it_has_forgotten() {
    let (mut world, for_alice, _) = World::introduced();
    let mut most = 0;
    for number in 0..1_000 {
        let promise = world.alice.kernel().create_promise().unwrap();
        world.alice.kernel().send(for_alice, with_slots("#\"&0\"", &[promise])).unwrap();
        world.alice.kernel().resolve(promise, false, data("#0")).unwrap();
        if number % 50 == 49 {
            world.wait(Duration::from_millis(60));
            // Bob decides the results of alice's messages, and never does.
            most = most.max(clist(&mut world.alice).len() - (number + 1));
        }
    }
    assert!((50..=200).contains(&most), "{most}");
    world.all_is_well();
}

#[test]
fn a_restart_of_either_end_from_its_store_changes_nothing() {
    let (mut world, for_alice, _) = World::introduced();
    let promise = world.send(for_alice, "#0");
    world.run();
    let [(_, Some(result))] = world.bob.messages()[..] else { panic!("one message") };
    world.bob.kernel().resolve(result, false, data("#\"done\"")).unwrap();
    world.alice.kernel().send(for_alice, with_slots("#\"&0\"", &[promise])).unwrap();
    world.alice.kernel().commit(world.now).unwrap();
    world.bob.kernel().commit(world.now).unwrap();
    world.restart_bob(true);
    assert!(!world.connect());
    world.run();
    let events = world.bob.take_events();
    assert!(matches!(&events[..], [KernelEvent::Message { .. }, KernelEvent::Notify { .. }]), "{events:?}");
    world.ask(for_alice, "#1");
    world.ask(for_alice, "#2");
    world.all_is_well();
}

#[test]
fn a_peer_that_restarted_finds_no_old_names() {
    let (mut world, for_alice, _) = World::introduced();
    let theirs = world.alice.kernel().create_promise().unwrap();
    let retiring = world.alice.kernel().create_promise().unwrap();
    world.alice.kernel().send(for_alice, with_slots("#[\"&0\",\"&1\"]", &[theirs, retiring])).unwrap();
    world.ask(for_alice, "#0");
    world.alice.kernel().resolve(retiring, false, data("#0")).unwrap();
    world.run();
    assert_eq!(clist(&mut world.alice).len(), 2);
    world.restart_bob(false);
    assert!(world.connect());
    world.run();
    assert_eq!(clist(&mut world.alice), [""; 0]);
    world.alice.kernel().resolve(theirs, false, data("#0")).unwrap();
    world.run();
    world.all_is_well();
}

/// Bob gives alice up, and with her the news of a promise of his. She may speak of it for ever.
#[test]
fn a_name_whose_retirement_was_abandoned_is_understood_for_ever() {
    let (mut world, for_alice, of_bob) = World::introduced();
    let of_alice = world.alice.kernel().export_object().unwrap();
    world.alice.kernel().send(for_alice, with_slots("#\"$0\"", &[of_alice])).unwrap();
    world.run();
    let events = world.bob.take_events();
    let [KernelEvent::Message { methargs, .. }] = &events[..] else { panic!("{events:?}") };
    let at_alices = methargs.slots[0];
    let promise = |world: &mut World| {
        let promise = world.bob.kernel().create_promise().unwrap();
        world.bob.kernel().send(at_alices, with_slots("#\"&0\"", &[promise])).unwrap();
        world.run();
        let events = world.alice.take_events();
        let [.., KernelEvent::Message { methargs, .. }] = &events[..] else { panic!("{events:?}") };
        (promise, methargs.slots[0])
    };
    let (abandoned, at_alice) = promise(&mut world);
    let waiting = world.alice.kernel().create_promise().unwrap();
    world.alice.kernel().send(waiting, with_slots("#\"&0\"", &[at_alice])).unwrap();
    world.wait(Duration::from_millis(60));
    world.cut();
    world.bob.kernel().resolve(abandoned, false, data("#\"lost\"")).unwrap();
    world.run();
    let alice = world.alice.peer();
    world.bob.kernel().handle_remote_give_up(&alice).unwrap();
    world.connect();
    // What came after the loss alice has read, and says so.
    let (later, _) = promise(&mut world);
    world.bob.kernel().resolve(later, false, data("#\"read\"")).unwrap();
    world.run();
    world.send(for_alice, "#1");
    world.run();
    world.bob.take_events();
    world.alice.kernel().resolve(waiting, false, with_slots("#\"$0\"", &[for_alice])).unwrap();
    world.run();
    let events = world.bob.take_events();
    let [KernelEvent::Message { target, methargs, .. }, ..] = &events[..] else { panic!("{events:?}") };
    assert_eq!((*target, methargs.slots.len()), (of_bob, 1));
    assert_eq!(rejected(&mut world.alice), 0);
    world.audit();
}

/// An incumbent uses a name for as long as both live, and does not say that it retires one.
#[test]
fn the_names_of_a_peer_that_does_not_retire_them_are_kept() {
    let (mut world, for_alice, _) = World::introduced();
    world.send(for_alice, "#0");
    world.run();
    let result = world.bob.messages()[0].1.unwrap();
    world.bob.kernel().resolve(result, false, data("#0")).unwrap();
    World::collect(&mut world.bob, world.now, true);
    let told = world.bob.outbound.pop().unwrap();
    assert!(told.contains(r#""retires":true"#), "{told}");
    world.bob.outbound.push(told.replace(r#""retires":true,"#, ""));
    world.run();
    assert_eq!(clist(&mut world.alice).len(), 1);
    world.all_is_well();
}

/// What bob says of a promise cannot be understood: it speaks of an object that alice does not have.
#[test]
fn a_promise_whose_outcome_cannot_be_understood_is_rejected() {
    let (mut world, for_alice, of_bob) = World::introduced();
    let promise = world.send(for_alice, "#0");
    world.run();
    let result = world.bob.messages()[0].1.unwrap();
    world.bob.kernel().resolve(result, false, with_slots("#\"$0\"", &[of_bob])).unwrap();
    World::collect(&mut world.bob, world.now, true);
    let told = world.bob.outbound.pop().unwrap();
    let broken = told.replace(r#""slots":["ro+1"]"#, r#""slots":["ro-77"]"#);
    assert_ne!(told, broken);
    world.bob.outbound.push(broken);
    world.run();
    let events = world.alice.take_events();
    let told = events.iter().any(|event| match event {
        KernelEvent::Notify { promise: settled, rejected: true, value } => {
            *settled == promise && value.body.contains("[KERNEL:DELIVERY_FAILED]")
        }
        _ => false,
    });
    assert!(told, "{events:?}");
    assert_eq!(clist(&mut world.alice), [""; 0]);
    world.audit();
}
