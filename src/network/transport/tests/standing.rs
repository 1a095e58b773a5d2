//! Closing on purpose, coming back, being forgotten, and the end of everything.

use super::{
    bench::{Bench, deliveries, dial, dials, ends, failure, gives_up, outcome, texts, timed_out},
    people,
    world::World,
};
use crate::{
    network::transport::{DeliveryOutcome, Effect, Input},
    wire::RemoteCommsOptions,
};

#[test]
fn a_closed_connection_stays_closed_until_it_is_reopened() {
    let [_, bob, _] = people();
    let mut alice = Bench::alice();
    let channel = alice.accept(&bob, "b1");
    let (unwritten, _) = alice.send(&bob, "1");
    let effects = alice.feed(Input::CloseConnection { peer: bob.clone() });
    assert!(effects.contains(&Effect::Close { channel }));
    assert_eq!(failure(&effects, unwritten), "IntentionalCloseError");
    let (send, effects) = alice.send(&bob, "2");
    assert_eq!(failure(&effects, send), "IntentionalCloseError");
    let (inbound, effects) = alice.inbound(&bob);
    assert_eq!(effects, [Effect::Close { channel: inbound }]);
    assert!(dials(&alice.pass(100_000_000)).is_empty(), "not even after all else is forgotten");
    assert!(deliveries(&alice.frame(channel, "late")).is_empty());

    let effects = alice.feed(Input::Reconnect { peer: bob.clone(), hints: vec!["/ip4/10.0.0.1/tcp/1/ws".into()] });
    assert!(
        matches!(&effects[..], [Effect::Dial { addresses, .. }, Effect::NoChannel { .. }] if addresses[0].starts_with("/ip4/10.0.0.1"))
    );
    let (channel, _) = alice.dial_succeeds(dial(&effects));
    alice.ack(channel, "b1");
    alice.verdict(channel, &bob, Ok(false));
    assert_eq!(texts(&alice.send(&bob, "3").1), ["3"]);
}

#[test]
fn orders_about_this_kernel_itself_have_no_effect() {
    let [own, ..] = people();
    let mut alice = Bench::alice();
    let hints = vec!["/ip4/10.0.0.1/tcp/1/ws".into()];
    alice.feed(Input::RegisterHints { peer: own.clone(), hints: hints.clone() });
    assert_eq!(alice.feed(Input::Reconnect { peer: own.clone(), hints }), []);
    assert_eq!(alice.feed(Input::CloseConnection { peer: own }), []);
    assert!(alice.pass(60_000).is_empty());
    assert!(alice.transport.peers.is_empty());
}

#[test]
fn closing_while_a_handshake_is_under_way_ends_it() {
    let [_, bob, _] = people();
    let mut alice = Bench::alice();
    let (send, effects) = alice.send(&bob, "1");
    let dial = dial(&effects);
    let effects = alice.feed(Input::CloseConnection { peer: bob.clone() });
    assert!(effects.contains(&Effect::CancelDial { dial }));
    assert_eq!(failure(&effects, send), "IntentionalCloseError");
    let (late, effects) = alice.dial_succeeds(dial);
    assert_eq!(effects, [Effect::Close { channel: late }]);
}

#[test]
fn a_reset_by_the_peer_is_a_loss_and_not_a_close() {
    let [alice, bob, _] = people();
    let mut world = World::new();
    world.send(&alice, &bob, "1");
    world.run(1_000);
    world.break_streams(&alice, &bob);
    world.run(2_000);
    assert_eq!(world.open_pipes(), 1);
    world.send(&bob, &alice, "2");
    world.run(1_000);
    assert_eq!(world.delivered(&alice), ["2"]);
}

#[test]
fn defect_06_a_closed_peer_does_not_get_in_and_its_messages_are_not_executed() {
    let [alice, bob, _] = people();
    let mut world = World::new();
    world.send(&bob, &alice, "1");
    world.run(1_000);
    world.tell(&alice, Input::CloseConnection { peer: bob.clone() });
    for text in ["2", "3", "4"] {
        world.send(&bob, &alice, text);
        world.run(20_000);
    }
    assert_eq!(world.delivered(&alice), ["1"]);
    world.tell(&alice, Input::Reconnect { peer: bob.clone(), hints: vec![] });
    world.run(5_000);
    let send = world.send(&bob, &alice, "5");
    world.run(1_000);
    assert_eq!(world.outcome(send), Some(Ok(())));
    assert_eq!(world.delivered(&alice), ["1", "5"]);
}

#[test]
fn stale_peers_are_forgotten_and_told_of_but_their_hints_are_kept() {
    let [_, bob, carol] = people();
    let options = RemoteCommsOptions { max_connection_attempts_per_minute: 1_000, ..RemoteCommsOptions::default() };
    let mut alice = Bench::with(options);
    let to_bob = alice.accept(&bob, "b1");
    let to_carol = alice.accept(&carol, "c1");
    alice.feed(Input::RegisterHints { peer: bob.clone(), hints: vec!["/ip4/10.0.0.1/tcp/1/ws".into()] });
    alice.closed(to_bob);
    let mut effects = Vec::new();
    while !gives_up(&effects) {
        alice.frame(to_carol, "still here");
        alice.delivered(&carol, DeliveryOutcome::Accepted(None));
        effects = alice.pass(1_000);
        for dial in dials(&effects) {
            effects.extend(alice.dial_fails(dial, timed_out()));
        }
        assert!(alice.now.as_millis() < 1_000_000 + 2 * 3_600_000, "it is tried for ever");
    }
    assert!(alice.now.as_millis() >= 1_000_000 + 3_600_000);
    assert!(dials(&alice.pass(60_000)).is_empty());
    assert_eq!(texts(&alice.send(&carol, "1").1), ["1"], "a peer with a channel is not stale");
    let effects = alice.send(&bob, "1").1;
    assert!(
        matches!(&effects[..], [Effect::NoChannel { .. }, Effect::Dial { addresses, .. }] if addresses[0].starts_with("/ip4/10.0.0.1"))
    );
}

#[test]
fn stopping_ends_everything_and_leaves_no_timer() {
    let [_, bob, carol] = people();
    let mut alice = Bench::alice();
    let channel = alice.accept(&bob, "b1");
    let (unwritten, _) = alice.send(&bob, "1");
    let (waiting, effects) = alice.send(&carol, "1");
    let dial = dial(&effects);
    let effects = alice.feed(Input::Stop);
    assert!(effects.contains(&Effect::Close { channel }) && effects.contains(&Effect::CancelDial { dial }));
    assert_eq!(failure(&effects, unwritten), "NetworkStoppedError");
    assert_eq!(failure(&effects, waiting), "NetworkStoppedError");
    assert_eq!(alice.transport.poll_timeout(), None);
    let (send, effects) = alice.send(&bob, "2");
    assert_eq!(failure(&effects, send), "NetworkStoppedError");
    let (inbound, effects) = alice.inbound(&bob);
    assert!(ends(&effects, inbound));
    assert!(alice.frame(channel, "late").is_empty() && alice.feed(Input::Stop).is_empty());
    assert_eq!(outcome(&alice.feed(Input::Reconnect { peer: bob, hints: vec![] }), send), None);
}
