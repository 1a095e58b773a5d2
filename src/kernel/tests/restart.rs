//! A peer that lost its memory, told from a connection that was lost.

use super::*;

fn events_of_restart(events: &[KernelEvent]) -> Vec<(usize, usize)> {
    events
        .iter()
        .filter_map(|event| match event {
            KernelEvent::Remote(RemoteEvent::PeerRestarted { discarded, promises_rejected, .. }) => {
                Some((*discarded, *promises_rejected))
            }
            _ => None,
        })
        .collect()
}

#[test]
fn the_first_incarnation_of_a_peer_is_no_restart() {
    let mut world = World::new();
    assert!(!world.connect());
    assert!(!world.connect());
    assert!(world.alice.take_events().is_empty());
}

/// Defect 14 of the incumbent: nothing was rejected, and callers waited for ever.
#[test]
fn defect_14_promises_that_the_dead_incarnation_was_to_decide_are_rejected_in_the_store() {
    let (mut world, for_alice, _) = World::introduced();
    let delivered = world.send(for_alice, "#1");
    world.run();
    world.wait(Duration::from_millis(100)); // it is acknowledged
    world.cut();
    let pending = world.send(for_alice, "#2");
    world.run();
    world.restart_bob(false);
    assert!(world.connect());
    world.run();

    let events = world.alice.take_events();
    assert_eq!(events_of_restart(&events), [(1, 2)]);
    for promise in [delivered, pending] {
        let told = events.iter().any(|event| match event {
            KernelEvent::Notify { promise: settled, rejected: true, value } => {
                *settled == promise && value.body.contains("[KERNEL:PEER_RESTARTED]")
            }
            _ => false,
        });
        assert!(told, "{promise} in {events:?}");
    }
    let remote = world.alice.kernel().remotes().remotes().next().unwrap().id();
    let store = world.alice.kernel().store();
    assert_eq!(store.promises_by_decider(remote).unwrap(), []);
    assert_eq!(store.pending_messages(remote).unwrap(), []);
    assert_eq!(store.remote_seq_state(remote).unwrap(), None);
    world.audit();
}

#[test]
fn no_stale_message_reaches_the_new_incarnation_and_numbers_begin_at_one() {
    let (mut world, for_alice, _) = World::introduced();
    world.cut();
    for _ in 0..10 {
        world.send(for_alice, "#\"stale\"");
    }
    world.run();
    world.restart_bob(false);
    world.connect();
    world.run();
    assert!(world.bob.take_events().is_empty());

    let fresh = world.bob.kernel().export_object().unwrap();
    let for_alice = world.redeem(fresh);
    world.bob.take_events();
    for number in 0..100 {
        world.send(for_alice, &format!("#{number}"));
    }
    world.run();
    let bodies: Vec<String> = world.bob.messages().into_iter().map(|(body, _)| body).collect();
    assert_eq!(bodies, (0..100).map(|number| format!("#{number}")).collect::<Vec<_>>());
    world.audit();
}

#[test]
fn an_object_of_the_dead_incarnation_takes_no_messages() {
    let (mut world, for_alice, _) = World::introduced();
    world.restart_bob(false);
    world.connect();
    world.run();
    world.alice.take_events();
    let promise = world.send(for_alice, "#1");
    world.run();
    let events = world.alice.take_events();
    assert!(
        matches!(&events[..], [KernelEvent::Notify { promise: settled, rejected: true, value }]
            if *settled == promise && value.body.contains("[KERNEL:OBJECT_DELETED]")),
        "{events:?}"
    );
    assert!(world.bob.take_events().is_empty());
    world.audit();
}

#[test]
fn what_alice_exported_stays_and_can_be_given_to_the_new_incarnation() {
    let (mut world, for_alice, _) = World::introduced();
    let mine = world.alice.kernel().export_object().unwrap();
    world.alice.kernel().send(for_alice, with_slots("#\"$0\"", &[mine])).unwrap();
    world.run();
    world.restart_bob(false);
    world.connect();
    let fresh = world.bob.kernel().export_object().unwrap();
    let for_alice = world.redeem(fresh);
    world.bob.take_events();
    world.alice.kernel().send(for_alice, with_slots("#\"$0\"", &[mine])).unwrap();
    world.run();
    let events = world.bob.take_events();
    let [KernelEvent::Message { methargs, .. }] = &events[..] else { panic!("{events:?}") };
    world.bob.kernel().send(methargs.slots[0], data("#\"back\"")).unwrap();
    world.run();
    let events = world.alice.take_events();
    assert!(events.iter().any(|event| matches!(event, KernelEvent::Message { target, .. } if *target == mine)));
    world.audit();
}

#[test]
fn redemptions_that_wait_for_the_dead_incarnation_are_rejected() {
    let (mut world, _, of_bob) = World::introduced();
    let nonce = world.bob.fresh_bytes();
    let url = world.bob.kernel().issue_ocap_url(of_bob, nonce).unwrap();
    world.cut();
    let (random, now) = (world.alice.fresh_bytes(), world.now);
    world.alice.kernel().redeem_ocap_url(&url, random, now).unwrap();
    world.run();
    world.restart_bob(false);
    world.connect();
    world.run();
    let events = world.alice.take_events();
    assert!(
        events.iter().any(|event| matches!(
            event,
            KernelEvent::Redeemed { result: Err(KernelError::Remote(RemoteError::PeerRestarted(_))), .. }
        )),
        "{events:?}"
    );
}

#[test]
fn both_may_restart_at_once() {
    let (mut world, for_alice, _) = World::introduced();
    world.send(for_alice, "#1");
    world.run();
    world.restart_bob(false);
    world.alice.kernel = None;
    world.alice.open(KernelStore::open(Box::new(MemoryStore::new())).unwrap(), world.now);
    assert!(!world.connect(), "neither knows the other any more");
    let fresh = world.bob.kernel().export_object().unwrap();
    let for_alice = world.redeem(fresh);
    world.bob.take_events();
    world.send(for_alice, "#2");
    world.run();
    assert_eq!(world.bob.messages().len(), 1);
}

#[test]
fn a_restart_is_judged_by_the_store_even_after_alice_was_started_again() {
    let (mut world, for_alice, _) = World::introduced();
    world.send(for_alice, "#1");
    world.run();
    world.restart_bob(false);
    let kernel = world.alice.kernel.take().unwrap();
    let now = world.now;
    world.alice.open(kernel.into_store().unwrap(), now);
    assert!(world.connect());
    world.run();
    assert_eq!(events_of_restart(&world.alice.take_events()).len(), 1);
    world.audit();
}

#[test]
fn a_peer_that_is_no_remote_yet_may_restart_without_harm() {
    let mut world = World::new();
    let (peer, now) = (world.bob.peer(), world.now);
    let alice = world.alice.kernel();
    assert!(!alice.handle_incarnation_change(&peer, &"one".parse().unwrap(), now).unwrap());
    assert!(alice.handle_incarnation_change(&peer, &"two".parse().unwrap(), now).unwrap());
    assert!(!alice.handle_incarnation_change(&peer, &"two".parse().unwrap(), now).unwrap());
}

/// A peer that is not played by a kernel.
fn another() -> (PeerId, impl Fn(u64) -> IncarnationId) {
    let life = |number: u64| format!("life-{number}").parse().unwrap();
    (PeerId::from_ed25519_seed([99; 32]).unwrap(), life)
}

/// Bob hears of another life of the peer, whose first message is to redeem a URL for this object of his.
fn redeemed_by_another(world: &mut World, life: u64, object: Kref) {
    let (peer, lives) = another();
    let (nonce, now) = (world.bob.fresh_bytes(), world.now);
    world.bob.kernel().handle_incarnation_change(&peer, &lives(life), now).unwrap();
    let url = world.bob.kernel().issue_ocap_url(object, nonce).unwrap();
    let text = format!(r#"{{"seq":1,"method":"redeemURL","params":["{url}","key"]}}"#);
    world.bob.kernel().handle_remote_message(&peer, &text, now).unwrap();
    while World::collect(&mut world.bob, now, true) {}
    world.bob.outbound.clear();
}

#[test]
fn a_new_incarnation_cannot_use_what_only_the_dead_one_was_given() {
    let (mut world, _, of_bob) = World::introduced();
    redeemed_by_another(&mut world, 1, of_bob);
    let (peer, lives) = another();
    let now = world.now;
    assert!(world.bob.kernel().handle_incarnation_change(&peer, &lives(2), now).unwrap());
    world.bob.take_events();
    // As a target, as an argument, and in word that it was dropped.
    for (seq, params) in [
        (1, r#"["message","ro-1",{"methargs":{"body":"","slots":[]},"result":"rp+1"}]"#),
        (2, r#"["message","ro+1",{"methargs":{"body":"","slots":["ro-1"]},"result":"rp+2"}]"#),
        (3, r#"["dropExports",["ro-1"]]"#),
    ] {
        let text = format!(r#"{{"seq":{seq},"method":"deliver","params":{params}}}"#);
        world.bob.kernel().handle_remote_message(&peer, &text, now).unwrap();
    }
    while World::collect(&mut world.bob, now, true) {}
    let events = world.bob.take_events();
    let refused = |event: &&KernelEvent| matches!(event, KernelEvent::Remote(RemoteEvent::MessageRejected { reason, .. }) if reason.contains("ro-1"));
    assert_eq!(events.iter().filter(refused).count(), 2, "{events:?}");
    assert!(!events.iter().any(|event| matches!(event, KernelEvent::Message { .. })), "{events:?}");
    let told = world.bob.outbound.join("\n");
    assert_eq!(told.matches("[KERNEL:DELIVERY_FAILED]").count(), 2, "{told}");
    world.audit();
}

#[test]
fn what_was_given_to_the_dead_is_good_again_when_it_is_given_again() {
    let (mut world, _, of_bob) = World::introduced();
    for life in 1..=3 {
        redeemed_by_another(&mut world, life, of_bob);
        let (peer, _) = another();
        let text = r#"{"seq":2,"ack":1,"method":"deliver","params":["message","ro-1",{"methargs":{"body":"hello","slots":[]},"result":null}]}"#;
        world.bob.kernel().handle_remote_message(&peer, text, world.now).unwrap();
        World::collect(&mut world.bob, world.now, true);
        assert_eq!(world.bob.messages().len(), 1, "life {life}");
        world.audit();
    }
}

#[test]
fn fifty_lives_of_a_peer_leave_nothing_of_what_the_program_has_released() {
    for released_at_once in [true, false] {
        let (mut world, _, _) = World::introduced();
        let objects = |world: &World| {
            let of_objects = |row: &String| row.starts_with("ko") || row.contains(".c.ko") || row.starts_with("given.");
            world.bob.rows().into_iter().filter(of_objects).count()
        };
        let before = objects(&world);
        let mut held = Vec::new();
        for life in 1..=50 {
            let fresh = world.bob.kernel().export_object().unwrap();
            redeemed_by_another(&mut world, life, fresh);
            held.push(fresh);
            if released_at_once {
                world.bob.kernel().release(&[fresh]).unwrap();
            }
        }
        if !released_at_once {
            world.bob.kernel().release(&held).unwrap();
        }
        let (peer, lives) = another();
        let now = world.now;
        world.bob.kernel().handle_incarnation_change(&peer, &lives(51), now).unwrap();
        while World::collect(&mut world.bob, now, true) {}
        assert_eq!(objects(&world), before, "released at once: {released_at_once}");
        let retired: usize = world
            .bob
            .take_events()
            .iter()
            .map(|event| if let KernelEvent::Retired(objects) = event { objects.len() } else { 0 })
            .sum();
        assert_eq!(retired, 50);
        world.audit();
    }
}
