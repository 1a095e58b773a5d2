//! Word that something was dropped, which may be late: of which gift it speaks is known whoever was started again meanwhile.

use super::*;

/// What bob's c-list has of an object of his: whether the peer reaches it; `None` once it has no name for it.
fn at_bobs(world: &mut World, object: Kref) -> Option<bool> {
    let remote = world.bob.kernel().remotes().remotes().next().unwrap().id();
    world.bob.kernel().store().is_reachable(remote, object).unwrap()
}

fn gift_rows(world: &World) -> Vec<String> {
    world.bob.rows().into_iter().filter(|row| row.starts_with("given.")).collect()
}

/// Alice asks; gives the promise that bob is to settle.
fn ask(world: &mut World, for_alice: Kref) -> Kref {
    world.send(for_alice, "#1");
    world.run();
    world.wait(Duration::from_millis(200));
    world.bob.messages().remove(0).1.unwrap()
}

#[test]
fn a_drop_that_was_under_way_when_its_reader_was_restarted_counts() {
    for restarts in [false, true] {
        let (mut world, for_alice, of_bob) = World::introduced();
        let asked = ask(&mut world, for_alice);
        world.cut();
        world.bob.kernel().resolve(asked, false, data("#2")).unwrap(); // which alice has not read when she lets go
        world.run();
        world.alice.kernel().release(&[for_alice]).unwrap();
        world.run();
        if restarts {
            world.restart_bob(true);
        }
        world.connect();
        world.run();
        assert_eq!(at_bobs(&mut world, of_bob), None, "restarted: {restarts}");
        world.bob.kernel().release(&[of_bob]).unwrap();
        world.run();
        assert!(world.bob.take_events().contains(&KernelEvent::Retired(vec![of_bob])));
        world.audit();
    }
}

#[test]
fn a_drop_that_another_gift_crossed_is_void_even_after_a_restart_and_the_next_is_not() {
    for restarts in [false, true] {
        let (mut world, for_alice, of_bob) = World::introduced();
        let asked = ask(&mut world, for_alice);
        world.bob.kernel().resolve(asked, false, with_slots("#\"$0\"", &[of_bob])).unwrap();
        World::collect(&mut world.bob, world.now, true); // it is under way when alice lets go
        world.alice.kernel().release(&[for_alice]).unwrap();
        World::collect(&mut world.alice, world.now, true);
        let (peer, now) = (world.bob.peer(), world.now);
        for message in std::mem::take(&mut world.bob.outbound) {
            world.alice.kernel().handle_remote_message(&peer, &message, now).unwrap();
        }
        // What she says of it is lost with the channel, but for the acknowledgement.
        world.inject(r#"{"ack":2}"#).unwrap();
        world.cut();
        if restarts {
            world.restart_bob(true);
        }
        world.connect();
        world.run();
        assert_eq!(at_bobs(&mut world, of_bob), Some(true), "she has it again; restarted: {restarts}");
        let given = world.alice.take_events().into_iter().find_map(|event| match event {
            KernelEvent::Notify { value, .. } => value.slots.first().copied(),
            _ => None,
        });
        world.send(given.unwrap(), "#3");
        world.run();
        assert_eq!(world.bob.messages().len(), 1);
        assert_eq!(gift_rows(&world).len(), 1);
        world.alice.kernel().release(&[given.unwrap()]).unwrap();
        world.run();
        assert_eq!(at_bobs(&mut world, of_bob), None);
        assert_eq!(gift_rows(&world), [""; 0]);
        world.audit();
    }
}

#[test]
fn what_is_given_once_costs_no_row() {
    let (mut world, for_alice, of_bob) = World::introduced();
    let asked = ask(&mut world, for_alice);
    let fresh = world.bob.kernel().export_object().unwrap();
    world.bob.kernel().resolve(asked, false, with_slots("#\"$0\"", &[fresh])).unwrap();
    world.run();
    assert_eq!(gift_rows(&world), [""; 0]);
    let asked = ask(&mut world, for_alice);
    world.bob.kernel().resolve(asked, false, with_slots("#\"$0\"", &[of_bob, fresh])).unwrap();
    world.run();
    assert_eq!(gift_rows(&world).len(), 2);
    world.audit();
}

#[test]
fn what_cannot_be_dropped_or_retired_keeps_nothing_else_in_its_list() {
    let (mut world, for_alice, of_bob) = World::introduced();
    let other = world.bob.kernel().export_object().unwrap();
    world.redeem(other);
    world.cut();
    // ro-1 is still reachable, ro-9 was never given.
    for (seq, list) in [(3, r#"["dropExports",["ro-9","ro-2"]]"#), (4, r#"["retireExports",["ro-1","ro-2"]]"#)] {
        world.inject(&format!(r#"{{"seq":{seq},"ack":2,"method":"deliver","params":{list}}}"#)).unwrap();
    }
    World::collect(&mut world.bob, world.now, false);
    assert_eq!((at_bobs(&mut world, of_bob), at_bobs(&mut world, other)), (Some(true), None));
    let rejected: Vec<String> = world
        .bob
        .take_events()
        .into_iter()
        .filter_map(|event| match event {
            KernelEvent::Remote(RemoteEvent::MessageRejected { reason, .. }) => Some(reason),
            _ => None,
        })
        .collect();
    assert!(rejected.len() == 2 && rejected[0].contains("ro-9") && rejected[1].contains("ro-1"), "{rejected:?}");
    world.audit();
    let _ = for_alice;
}
