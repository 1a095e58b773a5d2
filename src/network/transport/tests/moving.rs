//! Channels that move to another circuit before theirs is cut.

use std::time::Duration;

use proptest::prelude::*;

use super::{
    bench::{Bench, asks, deliveries, dial, dials, ends, failure, faults, outcome, own_ack, refused, texts},
    people,
    world::World,
};
use crate::{
    network::{
        circuit::{CircuitLimit, CircuitUse},
        transport::{ChannelId, DeliveryOutcome, Effect, Input},
    },
    runtime::Timestamp,
    wire::{PeerId, RemoteCommsOptions},
};

const MINUTES: u64 = 60_000;

fn relay() -> PeerId {
    PeerId::from_ed25519_seed([9; 32]).unwrap()
}

fn relay_address() -> String {
    format!("/ip4/10.0.0.9/tcp/1/ws/p2p/{}", relay())
}

/// A circuit with the limits that relays have by default.
fn circuit(opened: Timestamp) -> CircuitUse {
    let limit = CircuitLimit::new(Some(Duration::from_secs(120)), Some(128 << 10));
    CircuitUse { relay: Some(relay()), opened, limit, carried: 2_000 }
}

fn alice() -> Bench {
    Bench::with(RemoteCommsOptions { relays: vec![relay_address()], ..RemoteCommsOptions::default() })
}

/// Alice has a channel on a circuit that she opened.
fn on_a_circuit(bob: &PeerId) -> (Bench, ChannelId) {
    let mut alice = alice();
    alice.next_circuit = Some(circuit(alice.now));
    let channel = alice.connect(bob, "b1");
    (alice, channel)
}

fn finishes(effects: &[Effect], finished: ChannelId) -> bool {
    effects.contains(&Effect::Finish { channel: finished })
}

#[test]
fn the_new_channel_is_made_before_the_old_one_ends_and_what_is_on_its_way_is_read() {
    let [_, bob, _] = people();
    let (mut alice, old) = on_a_circuit(&bob);
    assert!(dials(&alice.pass(89_999)).is_empty());
    let effects = alice.pass(1);
    let expected = format!("{}/p2p-circuit/p2p/{bob}", relay_address());
    assert!(matches!(&effects[..], [Effect::Dial { addresses, anew: true, .. }] if *addresses == [expected]));

    let (sent, effects_of_send) = alice.send(&bob, "during the move");
    assert_eq!(texts(&effects_of_send), ["during the move"], "the old channel serves on");
    assert_eq!(outcome(&alice.written(old), sent), Some(Ok(())));

    alice.next_circuit = Some(circuit(alice.now));
    let (new, _) = alice.dial_succeeds(dial(&effects));
    alice.written(new);
    let effects = alice.ack(new, "b1");
    assert!(asks(&effects) && !ends(&effects, old));
    // From the question on everything goes on the new channel: the kernel begins anew with what is unacknowledged.
    let (_, effects) = alice.send(&bob, "again");
    assert!(texts(&effects).is_empty());
    let (late, effects) = (old, alice.verdict(new, &bob, Ok(false)));
    assert!(finishes(&effects, old) && !ends(&effects, old));
    assert_eq!(deliveries(&alice.frame(late, "from bob")), ["from bob"]);
    assert!(ends(&alice.closed(old), old));
    let (_, effects) = alice.send(&bob, "on the new one");
    assert_eq!(texts(&effects), ["on the new one"]);
    alice.written(new);
    alice.written(new);
    assert!(dials(&alice.pass(80_000)).is_empty());
}

#[test]
fn the_end_that_did_not_open_the_circuit_moves_only_when_the_other_does_not() {
    let [_, bob, _] = people();
    let mut alice = alice();
    alice.next_circuit = Some(circuit(alice.now));
    let old = alice.accept(&bob, "b1");
    assert!(dials(&alice.pass(104_999)).is_empty());
    // Bob, who opened it, is in time: his new channel takes the old one's place.
    alice.next_circuit = Some(circuit(alice.now));
    let (new, _) = alice.inbound(&bob);
    assert!(asks(&alice.hello(new, "b1")));
    assert_eq!(texts(&alice.verdict(new, &bob, Ok(false))), [own_ack()]);
    alice.written(new);
    assert!(ends(&alice.closed(old), old));
    assert!(dials(&alice.pass(104_999)).is_empty());
    assert_eq!(dials(&alice.pass(1)).len(), 1, "this time he is not");
}

#[test]
fn an_old_channel_whose_peer_does_not_close_it_is_closed_after_a_while() {
    let [_, bob, _] = people();
    let mut alice = Bench::alice();
    let old = alice.accept(&bob, "b1");
    let (new, _) = alice.inbound(&bob);
    alice.hello(new, "b1");
    alice.verdict(new, &bob, Ok(false));
    assert!(!ends(&alice.pass(4_999), old));
    assert!(ends(&alice.pass(1), old));
}

fn place(effects: &[Effect], what: impl Fn(&Effect) -> bool) -> usize {
    effects.iter().position(what).unwrap()
}

/// An incumbent takes the end of a former channel for the end of the present one: every five seconds it dialled another, for ever.
#[test]
fn the_channel_of_an_incumbent_ends_before_its_next_is_acknowledged_and_is_read_on() {
    let [_, bob, _] = people();
    let mut alice = Bench::alice();
    alice.with_incumbents = true;
    let old = alice.accept(&bob, "b1");
    let (new, _) = alice.inbound(&bob);
    let effects = alice.hello(new, "b1");
    assert!(finishes(&effects, old) && asks(&effects));
    let effects = alice.verdict(new, &bob, Ok(false));
    assert_eq!(texts(&effects), [own_ack()]);
    assert!(!finishes(&effects, old) && !ends(&effects, old));
    assert_eq!(deliveries(&alice.frame(old, "from bob")), ["from bob"]);
    alice.written(new);
    assert!(ends(&alice.pass(5_000), old));
}

#[test]
fn the_channel_of_an_incumbent_ends_before_ours_is_offered() {
    let [_, bob, _] = people();
    let (mut alice, old) = on_a_circuit(&bob);
    alice.with_incumbents = true;
    alice.circuits.insert(old, circuit(alice.now));
    let (_, effects) = alice.send(&bob, "weighed");
    assert_eq!(texts(&effects).len(), 1);
    alice.written(old);
    let moves = alice.pass(90_000);
    alice.next_circuit = Some(circuit(alice.now));
    let (new, effects) = alice.dial_succeeds(dial(&moves));
    let finished = place(&effects, |effect| *effect == Effect::Finish { channel: old });
    let hello = place(&effects, |effect| matches!(effect, Effect::Write { channel, .. } if *channel == new));
    assert!(finished < hello, "{effects:?}");
    alice.written(new);
    alice.ack(new, "b1");
    // What was sent meanwhile is refused, since it may follow what was lost; the kernel sends it again.
    let effects = alice.verdict(new, &bob, Ok(false));
    assert!(!finishes(&effects, old));
    let (_, effects) = alice.send(&bob, "on the new one");
    assert_eq!(texts(&effects), ["on the new one"]);
}

#[test]
fn a_handshake_that_an_incumbent_says_again_is_no_message() {
    let [_, bob, _] = people();
    let mut alice = Bench::alice();
    alice.with_incumbents = true;
    let channel = alice.accept(&bob, "b1");
    let effects = alice.hello(channel, "b1");
    assert_eq!(effects, [Effect::Read { channel }]);
    assert_eq!(
        deliveries(&alice.hello(channel, "b2")).len(),
        1,
        "what belongs to no handshake is for the kernel to refuse"
    );
    let mut alice = Bench::alice();
    let channel = alice.accept(&bob, "b1");
    assert_eq!(deliveries(&alice.hello(channel, "b1")).len(), 1, "ours never say it again");
}

#[test]
fn an_old_channel_on_which_a_frame_still_comes_is_read_on_but_not_for_ever() {
    let [_, bob, _] = people();
    let mut alice = Bench::alice();
    let old = alice.accept(&bob, "b1");
    let (new, _) = alice.inbound(&bob);
    alice.hello(new, "b1");
    alice.verdict(new, &bob, Ok(false));
    alice.written(new);
    for _ in 0..12 {
        assert!(!ends(&alice.pass(4_000), old));
        alice.part_read(old);
    }
    assert_eq!(deliveries(&alice.frame(old, "long")), ["long"]);
    assert!(ends(&alice.pass(5_000), old));

    let (newer, _) = alice.inbound(&bob);
    alice.hello(newer, "b1");
    alice.verdict(newer, &bob, Ok(false));
    let mut seconds = 0;
    alice.written(newer);
    while seconds < 200 && !ends(&alice.pass(1_000), new) {
        alice.part_read(new);
        seconds += 1;
    }
    assert_eq!(seconds, 120 - 1);
}

#[test]
fn a_peer_found_to_be_another_on_the_new_circuit_is_not_read_on_the_old_one() {
    let [_, bob, _] = people();
    let (mut alice, old) = on_a_circuit(&bob);
    let effects = alice.pass(90_000);
    let (new, _) = alice.dial_succeeds(dial(&effects));
    alice.written(new);
    assert!(ends(&alice.ack(new, "b2"), old));
    let effects = alice.verdict(new, &bob, Ok(true));
    assert!(!ends(&effects, new), "as after any other loss the channel is kept for fresh messages");
}

#[test]
fn a_move_that_fails_is_tried_again_and_harms_nobody() {
    let [_, bob, _] = people();
    let (mut alice, old) = on_a_circuit(&bob);
    let mut effects = alice.pass(90_000);
    for pause in [500, 1_000, 2_000, 4_000] {
        let effects_of_failure = alice.dial_fails(dial(&effects), refused());
        assert_eq!(effects_of_failure, [], "neither the channel nor the peer is given up");
        let (_, written) = alice.send(&bob, "still here");
        assert_eq!(texts(&written), ["still here"]);
        alice.written(old);
        assert!(dials(&alice.pass(pause - 1)).is_empty());
        effects = alice.pass(1);
    }
    // The relay cuts the circuit: what was a move becomes the reconnection.
    alice.closed(old);
    assert_eq!(dials(&alice.pass(10_000)).len(), 0, "one dial at a time");
    let (new, _) = alice.dial_succeeds(dial(&effects));
    alice.written(new);
    alice.ack(new, "b1");
    alice.verdict(new, &bob, Ok(false));
    let (_, effects) = alice.send(&bob, "hello again");
    assert_eq!(texts(&effects), ["hello again"]);
}

#[test]
fn a_message_without_room_waits_for_the_next_circuit_and_no_further_one_overtakes_it() {
    let [_, bob, _] = people();
    let (mut alice, old) = on_a_circuit(&bob);
    alice.circuits.get_mut(&old).unwrap().carried = 90_000;
    alice.frame(old, "weighs anew");
    let long = "x".repeat(60_000);
    let (first, effects) = alice.send(&bob, &long);
    assert!(texts(&effects).is_empty());
    let (second, effects_of_second) = alice.send(&bob, "short");
    assert!(texts(&effects_of_second).is_empty());
    alice.next_circuit = Some(circuit(alice.now));
    let (new, _) = alice.dial_succeeds(dial(&effects));
    alice.written(new);
    let effects = alice.ack(new, "b1");
    // The kernel sends them again after the question; it asks for nothing else.
    assert_eq!(
        (failure(&effects, first), failure(&effects, second)),
        ("ConnectionLostError".into(), "ConnectionLostError".into())
    );
    alice.verdict(new, &bob, Ok(false));
    let (_, effects) = alice.send(&bob, &long);
    assert_eq!(texts(&effects), [long]);
}

#[test]
fn without_another_circuit_the_used_one_is_given_up_for_a_message_that_waits() {
    let [_, bob, _] = people();
    let (mut alice, old) = on_a_circuit(&bob);
    alice.circuits.get_mut(&old).unwrap().carried = 90_000;
    alice.frame(old, "weighs anew");
    let (send, effects) = alice.send(&bob, &"x".repeat(60_000));
    let effects = alice.dial_fails(dial(&effects), refused());
    assert!(ends(&effects, old));
    assert_eq!(failure(&effects, send), "ConnectionLostError");
    assert_eq!(dials(&alice.pass(500)).len(), 1, "the relay may allow no second circuit beside the first");
}

#[test]
fn a_message_longer_than_any_circuit_is_refused_and_told_of_and_the_channel_stays() {
    let [_, bob, _] = people();
    let (mut alice, old) = on_a_circuit(&bob);
    let (long, effects) = alice.send(&bob, &"x".repeat(200_000));
    assert!(dials(&effects).is_empty(), "there is no other way");
    assert_eq!(failure(&effects, long), "ResourceLimitError");
    assert_eq!(faults(&effects), ["ResourceLimitError: messageSize: 200000 exceeds the limit of 121842"]);
    assert!(!ends(&effects, old));
    let (_, effects) = alice.send(&bob, "short");
    assert_eq!(texts(&effects), ["short"]);
}

#[test]
fn a_message_longer_than_any_circuit_takes_a_direct_way_if_there_is_one() {
    let [_, bob, _] = people();
    let (mut alice, old) = on_a_circuit(&bob);
    let direct = format!("/ip4/10.0.0.1/tcp/1/ws/p2p/{bob}");
    alice.feed(Input::RegisterHints { peer: bob.clone(), hints: vec![direct.clone()] });
    let long = "x".repeat(200_000);
    let (_, effects) = alice.send(&bob, &long);
    let leads_there = |effect: &Effect| matches!(effect, Effect::Dial { addresses, anew: true, .. } if *addresses == [direct.clone()]);
    assert!(effects.iter().any(leads_there), "{effects:?}");
    let (new, _) = alice.dial_succeeds(dial(&effects));
    alice.written(new);
    alice.ack(new, "b1");
    assert!(finishes(&alice.verdict(new, &bob, Ok(false)), old));
    let (_, effects) = alice.send(&bob, &long);
    assert_eq!(texts(&effects), [long]);
}

#[test]
fn a_direct_way_that_is_closed_is_not_tried_for_each_message() {
    let [_, bob, _] = people();
    let (mut alice, _) = on_a_circuit(&bob);
    let direct = format!("/ip4/10.0.0.1/tcp/1/ws/p2p/{bob}");
    alice.feed(Input::RegisterHints { peer: bob.clone(), hints: vec![direct] });
    let (first, effects) = alice.send(&bob, &"x".repeat(200_000));
    let effects = alice.dial_fails(dial(&effects), refused());
    assert_eq!(failure(&effects, first), "ResourceLimitError");
    alice.pass(10_000);
    let (second, effects) = alice.send(&bob, &"x".repeat(200_000));
    assert!(dials(&effects).is_empty());
    assert_eq!(failure(&effects, second), "ResourceLimitError");
    alice.pass(20_000);
    let (_, effects) = alice.send(&bob, &"x".repeat(200_000));
    assert_eq!(dials(&effects).len(), 1);
}

#[test]
fn a_kernel_that_is_slow_slows_the_old_channel_too() {
    let [_, bob, _] = people();
    let mut alice = Bench::alice();
    let old = alice.accept(&bob, "b1");
    let (new, _) = alice.inbound(&bob);
    alice.hello(new, "b1");
    alice.verdict(new, &bob, Ok(false));
    let reads = |effects: &[Effect], of| effects.contains(&Effect::Read { channel: of });
    let mut frames = 0;
    while reads(&alice.frame(old, "x"), old) {
        frames += 1;
        assert!(frames < 1_000, "it reads without bound");
    }
    let effects = alice.delivered(&bob, DeliveryOutcome::Accepted(None));
    assert!(reads(&effects, old));
}

proptest! {
    // Each case is three minutes of two transports.
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Both send steadily for minutes. What a move fails is sent again by the session, so failures are few and short.
    #[test]
    fn steady_traffic_both_ways_never_runs_into_a_limit(
        seconds in 4_u64..120,
        kibibytes in 32_u64..256,
        latency in 1_u64..150,
        interval in 20_u64..500,
        bytes in 1_usize..3_000,
        one_way in any::<bool>(),
    ) {
        let [alice, bob, _] = people();
        let mut world = World::with(RemoteCommsOptions {
            relays: vec![relay_address()],
            max_messages_per_second: 10_000,
            // Circuits of a few seconds make a new channel as often.
            max_connection_attempts_per_minute: 1_000,
            ..RemoteCommsOptions::default()
        });
        world.circuits = CircuitLimit::new(Some(Duration::from_secs(seconds)), Some(kibibytes << 10));
        world.set_latency(&alice, &bob, latency);
        world.set_latency(&bob, &alice, latency);
        let text = "x".repeat(bytes);
        let mut sends = Vec::new();
        let mut now = 0;
        while now < 3 * MINUTES {
            sends.push((now, world.send(&alice, &bob, &text)));
            if !one_way {
                sends.push((now, world.send(&bob, &alice, &text)));
            }
            world.run(interval);
            now += interval;
        }
        world.run(10_000);
        prop_assert_eq!(world.cut_off, 0, "a circuit was cut");
        prop_assert!(world.open_pipes() <= 2, "one in use, and at most one that has just been replaced");
        prop_assert!(world.dials >= 2, "they moved");
        // A message fails only while its channel is being replaced: within a few latencies.
        let mut failed = sends.iter().filter(|(_, send)| world.outcome(*send) != Some(Ok(()))).map(|(at, _)| *at);
        let mut spell = failed.next().map(|at| (at, at));
        for at in failed {
            let (from, to) = spell.unwrap_or((at, at));
            spell = Some(if at - to <= 2 * interval { (from, at) } else { (at, at) });
            let (from, to) = spell.unwrap_or_default();
            prop_assert!(to - from <= 8 * latency + 2 * interval, "no channel from {from} to {to}");
        }
    }
}
