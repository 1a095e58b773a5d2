//! What is durable when: events and what the program makes of them, messages, acknowledgements, verdicts.

use super::*;

/// Hands bob everything that alice writes, without letting his program see or his kernel commit anything.
fn carry_to_bob(world: &mut World) {
    World::collect(&mut world.alice, world.now, true);
    let (from, now) = (world.alice.peer(), world.now);
    for message in std::mem::take(&mut world.alice.outbound) {
        world.bob.kernel().handle_remote_message(&from, &message, now).unwrap();
    }
}

#[test]
fn an_event_that_was_not_committed_comes_again_in_the_next_life() {
    let (mut world, for_alice, _) = World::introduced();
    world.send(for_alice, "#1");
    carry_to_bob(&mut world);
    let event = world.bob.kernel().poll_event();
    assert!(matches!(event, Some(KernelEvent::Message { .. })));
    world.restart_bob(true); // between the event and the commit
    world.connect();
    world.run();
    assert_eq!(world.bob.messages().len(), 1, "his former life never was");
    world.audit();
}

#[test]
fn an_event_and_the_answer_to_it_are_committed_together() {
    let (mut world, for_alice, _) = World::introduced();
    let promise = world.send(for_alice, "#1");
    carry_to_bob(&mut world);
    let Some(KernelEvent::Message { result: Some(result), .. }) = world.bob.kernel().poll_event() else { panic!() };
    world.bob.kernel().resolve(result, false, data("#\"done\"")).unwrap();
    let now = world.now;
    world.bob.kernel().commit(now).unwrap();
    world.restart_bob(true); // before anything of it left
    world.connect();
    world.run();
    assert!(world.bob.messages().is_empty());
    let answer = KernelEvent::Notify { promise, rejected: false, value: data("#\"done\"") };
    assert_eq!(world.alice.take_events(), [answer]);
    world.audit();
}

#[test]
fn nothing_is_committed_while_an_event_waits_for_the_program() {
    let (mut world, for_alice, _) = World::introduced();
    world.send(for_alice, "#1");
    carry_to_bob(&mut world);
    let now = world.now;
    world.bob.kernel().commit(now).unwrap();
    assert!(world.bob.kernel().awaits_commit());
    world.restart_bob(true);
    world.connect();
    world.run();
    assert_eq!(world.bob.messages().len(), 1);
}

/// Defects 12 and 16 of the incumbent: what was acknowledged was rolled back, or not durable yet.
#[test]
fn defect_12_neither_a_message_nor_an_acknowledgement_leaves_before_the_commit() {
    let (mut world, for_alice, _) = World::introduced();
    world.wait(Duration::from_millis(100));
    world.send(for_alice, "#1");
    let now = world.now;
    assert_eq!(world.alice.kernel().poll_effect(now), None);
    carry_to_bob(&mut world);
    world.now = now.after(Duration::from_secs(1));
    let now = world.now;
    while world.bob.kernel().poll_event().is_some() {}
    world.bob.kernel().handle_timeout(now).unwrap();
    assert_eq!(world.bob.kernel().poll_effect(now), None);
    world.bob.kernel().commit(now).unwrap();
    let after = now.after(Duration::from_millis(50));
    assert!(matches!(world.bob.kernel().poll_effect(after), Some(KernelEffect::Write(_))));
}

#[test]
fn messages_that_are_ready_together_share_one_commit() {
    let (mut world, for_alice, _) = World::introduced();
    for number in 0..100 {
        world.send(for_alice, &format!("#{number}"));
    }
    carry_to_bob(&mut world);
    // As nothing was committed in between, a crash undoes all of it.
    world.restart_bob(true);
    world.connect();
    world.run();
    assert_eq!(world.bob.messages().len(), 100);
    world.audit();
}

#[test]
fn a_verdict_that_was_not_committed_is_given_again() {
    let (mut world, _, _) = World::introduced();
    world.restart_bob(false);
    let (peer, incarnation, now) = (world.bob.peer(), world.bob.incarnation(), world.now);
    assert_eq!(world.alice.kernel().handle_incarnation_change(&peer, &incarnation, now), Ok(true));
    let store = world.alice.kernel.take().unwrap().into_store().unwrap();
    world.alice.open(store, now);
    assert_eq!(world.alice.kernel().handle_incarnation_change(&peer, &incarnation, now), Ok(true));
}
