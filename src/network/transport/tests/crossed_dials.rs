use super::{
    bench::{Bench, asks, dial, ends, outcome, own_ack, texts},
    people,
    world::World,
};
use crate::{network::transport::Effect, wire::RemoteCommsOptions};

#[test]
fn both_ends_come_to_the_same_channel_whatever_the_delays() {
    for (to_bob, to_alice) in [(10, 10), (1, 80), (80, 1), (300, 5), (5, 300)] {
        for head_start in [0, 1, 4, 9, 10, 11, 20, 79, 81, 299] {
            let mut world = World::new();
            let [alice, bob, _] = people();
            world.set_latency(&alice, &bob, to_bob);
            world.set_latency(&bob, &alice, to_alice);
            let mut sends = vec![world.send(&alice, &bob, "a1"), world.send(&alice, &bob, "a2")];
            world.run(head_start);
            sends.extend([world.send(&bob, &alice, "b1"), world.send(&bob, &alice, "b2")]);
            world.run(4_000);
            let story = format!("latency {to_bob}/{to_alice}, head start {head_start}");
            for send in sends {
                assert_eq!(world.outcome(send), Some(Ok(())), "{story}");
            }
            assert_eq!(world.delivered(&bob), ["a1", "a2"], "{story}");
            assert_eq!(world.delivered(&alice), ["b1", "b2"], "{story}");
            assert_eq!(world.open_pipes(), 1, "{story}");
            // It is one channel for both directions, not one for each.
            world.send(&alice, &bob, "a3");
            world.send(&bob, &alice, "b3");
            world.run(1_000);
            assert_eq!((world.delivered(&bob).len(), world.delivered(&alice).len()), (3, 3), "{story}");
        }
    }
}

#[test]
fn the_smaller_end_refuses_the_others_hello_once_it_has_written_its_own() {
    let [_, bob, _] = people();
    let mut alice = Bench::alice();
    let (_, effects) = alice.send(&bob, "1");
    let (inbound, _) = alice.inbound(&bob);
    let (own, _) = alice.dial_succeeds(dial(&effects));
    let effects = alice.hello(inbound, "b1");
    assert!(ends(&effects, inbound) && !asks(&effects));
    alice.ack(own, "b1");
    assert_eq!(texts(&alice.verdict(own, &bob, Ok(false))), ["1"]);
    // A hello of the lost race that comes late is refused too, but a real redial is not.
    let (late, _) = alice.inbound(&bob);
    assert!(ends(&alice.hello(late, "b1"), late));
    alice.pass(1_000);
    let (redial, _) = alice.inbound(&bob);
    let effects = alice.hello(redial, "b1");
    assert!(!ends(&effects, own) && asks(&effects), "what is on its way on the old channel is still read");
    assert_eq!(texts(&alice.verdict(redial, &bob, Ok(false))), [own_ack()]);
    assert!(ends(&alice.pass(5_000), own));
}

#[test]
fn a_restarted_peer_is_never_mistaken_for_a_crossed_dial() {
    let [_, bob, _] = people();
    let mut alice = Bench::alice();
    let own = alice.connect(&bob, "b1");
    let (inbound, _) = alice.inbound(&bob);
    let effects = alice.hello(inbound, "b2");
    assert!(ends(&effects, own) && asks(&effects));
}

#[test]
fn an_end_that_only_dials_takes_the_others_channel() {
    let [_, bob, _] = people();
    let mut alice = Bench::alice();
    let (send, effects) = alice.send(&bob, "1");
    let dial = dial(&effects);
    let (inbound, _) = alice.inbound(&bob);
    assert_eq!(alice.hello(inbound, "b1")[0], Effect::CancelDial { dial });
    assert_eq!(texts(&alice.verdict(inbound, &bob, Ok(false))), [own_ack(), "1".to_owned()]);
    alice.written(inbound);
    assert_eq!(outcome(&alice.written(inbound), send), Some(Ok(())));
}

#[test]
fn the_larger_end_abandons_its_own_handshake() {
    let [alice, bob, _] = people();
    let mut bob = Bench::of(bob, RemoteCommsOptions::default());
    let (_, effects) = bob.send(&alice, "1");
    let (own, _) = bob.dial_succeeds(dial(&effects));
    let (inbound, _) = bob.inbound(&alice);
    let effects = bob.hello(inbound, "a1");
    assert!(ends(&effects, own) && asks(&effects));
    assert_eq!(texts(&bob.verdict(inbound, &alice, Ok(false))), [own_ack(), "1".to_owned()]);
}
