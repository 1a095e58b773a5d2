//! A step that takes its time: a peer's URL is opened while everything else goes on (defect 11 of the incumbent).

use super::*;

/// Alice asks bob to redeem a URL and sends two messages after it. Gives what bob was asked to open.
fn asked() -> (World, UrlTicket, String) {
    let (mut world, for_alice, of_bob) = World::introduced();
    let nonce = world.bob.fresh_bytes();
    let url = world.bob.kernel().issue_ocap_url(of_bob, nonce).unwrap();
    let (random, now) = (world.alice.fresh_bytes(), world.now);
    world.alice.kernel().redeem_ocap_url(&url, random, now).unwrap();
    world.send(for_alice, "#1");
    world.send(for_alice, "#2");
    World::collect(&mut world.alice, now, true);
    let from = world.alice.peer();
    for message in std::mem::take(&mut world.alice.outbound) {
        world.bob.kernel().handle_remote_message(&from, &message, now).unwrap();
    }
    world.bob.kernel().commit(now).unwrap();
    let effect = world.bob.kernel().poll_effect(now);
    let Some(KernelEffect::OpenUrl { ticket, url }) = effect else { panic!("{effect:?}") };
    (world, ticket, url)
}

#[test]
fn defect_11_messages_behind_it_wait_and_no_transaction_is_open() {
    let (mut world, ticket, url) = asked();
    assert_eq!(world.bob.kernel().poll_event(), None, "nothing overtakes");
    assert!(!world.bob.kernel().awaits_commit());
    world.bob.kernel().export_object().unwrap(); // the program goes on
    world.bob.kernel().open_url(ticket, &url).unwrap();
    world.run();
    assert_eq!(world.bob.messages().len(), 2);
    let redeemed = |event: &KernelEvent| matches!(event, KernelEvent::Redeemed { result: Ok(_), .. });
    assert!(world.alice.take_events().iter().any(redeemed));
    world.audit();
}

#[test]
fn repetitions_do_not_begin_it_again_and_a_second_answer_is_ignored() {
    let (mut world, ticket, url) = asked();
    let now = world.now;
    world.cut();
    world.connect();
    World::collect(&mut world.alice, now, true);
    let from = world.alice.peer();
    for message in std::mem::take(&mut world.alice.outbound) {
        world.bob.kernel().handle_remote_message(&from, &message, now).unwrap();
    }
    world.bob.kernel().commit(now).unwrap();
    let effects: Vec<_> = std::iter::from_fn(|| world.bob.kernel().poll_effect(now)).collect();
    assert!(!effects.iter().any(|effect| matches!(effect, KernelEffect::OpenUrl { .. })), "{effects:?}");
    world.bob.kernel().open_url(ticket, &url).unwrap();
    world.bob.kernel().url_opened(ticket, Err("again".into())).unwrap();
    world.bob.kernel().commit(now).unwrap();
    assert!(std::iter::from_fn(|| world.bob.kernel().poll_event()).count() >= 2);
}

#[test]
fn an_answer_for_a_peer_that_has_restarted_meanwhile_is_ignored() {
    let (mut world, ticket, url) = asked();
    world.alice.kernel = None;
    world.alice.open(KernelStore::open(Box::new(MemoryStore::new())).unwrap(), world.now);
    assert!(world.connect());
    world.bob.kernel().open_url(ticket, &url).unwrap();
    world.run();
    assert!(world.bob.messages().is_empty(), "what the dead incarnation sent is gone");
    world.audit();
}

#[test]
fn a_crash_meanwhile_loses_nothing() {
    let (mut world, _, _) = asked();
    world.restart_bob(true);
    world.connect();
    world.run();
    assert_eq!(world.bob.messages().len(), 2);
    let redeemed = |event: &KernelEvent| matches!(event, KernelEvent::Redeemed { result: Ok(_), .. });
    assert!(world.alice.take_events().iter().any(redeemed));
    world.audit();
}
