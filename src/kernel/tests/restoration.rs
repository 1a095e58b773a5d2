//! A kernel that goes back to a backup has forgotten what it did since, and may not pass for the one that did it.

use super::*;

/// Bob goes on from what `backup` says.
fn restore_bob(world: &mut World, backup: &[u8]) {
    world.cut();
    let mut store = KernelStore::open(Box::new(MemoryStore::new())).unwrap();
    store.import(backup, [5; 8]).unwrap();
    world.bob.events.clear();
    world.bob.open(store, world.now);
}

#[test]
fn a_restored_kernel_is_a_new_incarnation_to_its_peers_and_they_to_it() {
    let (mut world, for_alice, of_bob) = World::introduced();
    let nonce = world.bob.fresh_bytes();
    let url = world.bob.kernel().issue_ocap_url(of_bob, nonce).unwrap();
    world.run();
    let backup = world.bob.kernel().store().export().unwrap();
    let former = world.bob.incarnation();
    for number in 1..=3 {
        world.send(for_alice, &format!("#{number}"));
    }
    world.run();
    assert_eq!(world.bob.messages().len(), 3, "of which the backup knows nothing");

    restore_bob(&mut world, &backup);
    assert_ne!(world.bob.incarnation(), former);
    assert!(world.connect(), "alice sees a restart");
    world.run();
    world.alice.take_events();

    // Alice's number 1 is new to bob, not a repetition of what he took before the backup.
    let (random, now) = (world.alice.fresh_bytes(), world.now);
    world.alice.kernel().redeem_ocap_url(&url, random, now).unwrap();
    world.run();
    let again = world.alice.take_events().into_iter().find_map(|event| match event {
        KernelEvent::Redeemed { result, .. } => Some(result.unwrap()),
        _ => None,
    });
    world.send(again.expect("a URL from before the backup is good"), "#4");
    world.run();
    assert_eq!(world.bob.messages().into_iter().map(|(body, _)| body).collect::<Vec<_>>(), ["#4"]);
    world.audit();
}

#[test]
fn a_url_given_out_after_the_backup_names_nothing_rather_than_something_else() {
    let (mut world, _, _) = World::introduced();
    let backup = world.bob.kernel().store().export().unwrap();
    let lost = world.bob.kernel().export_object().unwrap();
    let nonce = world.bob.fresh_bytes();
    let url = world.bob.kernel().issue_ocap_url(lost, nonce).unwrap();
    world.run();

    restore_bob(&mut world, &backup);
    world.connect();
    for _ in 0..10 {
        world.bob.kernel().export_object().unwrap();
    }
    let (random, now) = (world.alice.fresh_bytes(), world.now);
    world.alice.take_events();
    world.alice.kernel().redeem_ocap_url(&url, random, now).unwrap();
    world.run();
    let events = world.alice.take_events();
    assert!(
        matches!(&events[..], [KernelEvent::Redeemed { result: Err(KernelError::Redemption(_)), .. }]),
        "{events:?}"
    );
}

/// What a restored kernel waits for from its peers will never come.
#[test]
fn a_restored_kernel_rejects_what_its_peers_were_to_decide_even_if_it_crashes_at_once() {
    let (mut world, for_alice, _) = World::introduced();
    let promise = world.send(for_alice, "#1");
    world.run();
    let backup = world.alice.kernel().store().export().unwrap();
    let mut store = KernelStore::open(Box::new(MemoryStore::new())).unwrap();
    store.import(&backup, [5; 8]).unwrap();
    world.cut();
    world.alice.events.clear();
    world.alice.open(store, world.now);
    // It dies before its program has taken anything.
    let store = world.alice.kernel.take().unwrap().into_store().unwrap();
    world.alice.open(store, world.now);
    world.run();
    let events = world.alice.take_events();
    let is_told = |event: &KernelEvent| matches!(event, KernelEvent::Notify { promise: told, rejected: true, .. } if *told == promise);
    assert!(events.iter().any(is_told), "{events:?}");
    world.alice.audit();
}
