use super::{
    bench::{Bench, asks, deliveries, dial, dials, ends, failure, outcome, own_ack, own_hello, texts},
    people,
};
use crate::{
    network::transport::{Effect, handshake::HandshakeOutcome},
    wire::RemoteError,
};

fn bridge_down() -> Result<bool, RemoteError> {
    Err(RemoteError::Other { name: "BridgeClosedError".into(), message: "closed".into() })
}

#[test]
fn defect_04_four_first_sends_share_one_dial_and_one_handshake_and_go_out_in_order() {
    let [_, bob, _] = people();
    let mut alice = Bench::alice();
    let (_, effects) = alice.send(&bob, "1");
    let dial = dial(&effects);
    for text in ["2", "3"] {
        assert_eq!(alice.send(&bob, text).1, [], "they wait for the dial of the first");
    }
    let (channel, effects) = alice.dial_succeeds(dial);
    assert_eq!(texts(&effects), [own_hello()]);
    assert_eq!(alice.send(&bob, "4").1, []);
    alice.written(channel);
    assert!(asks(&alice.ack(channel, "b1")));
    assert_eq!(texts(&alice.verdict(channel, &bob, Ok(false))), ["1", "2", "3", "4"]);
}

#[test]
fn the_responder_asks_the_kernel_before_it_acknowledges() {
    let [_, bob, _] = people();
    let mut alice = Bench::alice();
    let (channel, effects) = alice.inbound(&bob);
    assert_eq!(effects, [Effect::Read { channel }]);
    let effects = alice.hello(channel, "b1");
    assert!(asks(&effects) && texts(&effects).is_empty());
    assert_eq!(texts(&alice.verdict(channel, &bob, Ok(false))), [own_ack()]);
}

#[test]
fn what_waits_for_an_inbound_handshake_goes_out_behind_its_acknowledgement() {
    let [_, bob, _] = people();
    let mut alice = Bench::alice();
    let (channel, _) = alice.inbound(&bob);
    assert!(dials(&alice.send(&bob, "1").1).is_empty(), "the peer is on its way");
    alice.hello(channel, "b1");
    alice.send(&bob, "2");
    let [first, second, third] = texts(&alice.verdict(channel, &bob, Ok(false))).try_into().unwrap();
    assert_eq!([first, second, third], [own_ack(), "1".to_owned(), "2".to_owned()]);
}

#[test]
fn an_inbound_restart_closes_the_channel_unacknowledged_and_fails_what_waited() {
    let [_, bob, _] = people();
    let mut alice = Bench::alice();
    let (channel, _) = alice.inbound(&bob);
    let (stale, _) = alice.send(&bob, "stale");
    alice.hello(channel, "b2");
    let effects = alice.verdict(channel, &bob, Ok(true));
    assert!(ends(&effects, channel) && texts(&effects).is_empty());
    assert_eq!(failure(&effects, stale), "PeerRestartedError");
    // The peer dials again, and this time it is known.
    let channel = alice.accept(&bob, "b2");
    let (fresh, effects) = alice.send(&bob, "fresh");
    assert_eq!(texts(&effects), ["fresh"]);
    assert_eq!(outcome(&alice.written(channel), fresh), Some(Ok(())));
}

#[test]
fn a_restart_found_while_sending_fails_the_sends_and_writes_none_of_them() {
    let [_, bob, _] = people();
    let mut alice = Bench::alice();
    let (first, effects) = alice.send(&bob, "stale 1");
    let (channel, _) = alice.dial_succeeds(dial(&effects));
    let (second, _) = alice.send(&bob, "stale 2");
    alice.ack(channel, "b2");
    let effects = alice.verdict(channel, &bob, Ok(true));
    assert_eq!(failure(&effects, first), "PeerRestartedError");
    assert_eq!(failure(&effects, second), "PeerRestartedError");
    assert!(texts(&effects).is_empty() && ends(&effects, channel));
    // A fresh message gets a channel of its own.
    let (_, effects) = alice.send(&bob, "fresh");
    let (channel, _) = alice.dial_succeeds(dial(&effects));
    alice.ack(channel, "b2");
    assert_eq!(texts(&alice.verdict(channel, &bob, Ok(false))), ["fresh"]);
}

#[test]
fn defect_15_a_restart_found_while_reconnecting_keeps_the_channel_for_fresh_messages_only() {
    let [_, bob, _] = people();
    let mut alice = Bench::alice();
    let channel = alice.connect(&bob, "b1");
    alice.closed(channel);
    let effects = alice.pass(500);
    let (channel, _) = alice.dial_succeeds(dial(&effects));
    let (stale, _) = alice.send(&bob, "stale");
    alice.ack(channel, "b2");
    let effects = alice.verdict(channel, &bob, Ok(true));
    assert_eq!(failure(&effects, stale), "PeerRestartedError");
    assert!(!ends(&effects, channel) && texts(&effects).is_empty());
    assert_eq!(texts(&alice.send(&bob, "fresh").1), ["fresh"]);
}

#[test]
fn a_failed_or_missing_verdict_is_taken_for_a_restart() {
    let [_, bob, _] = people();
    let mut alice = Bench::alice();
    let (stale, effects) = alice.send(&bob, "stale");
    let (channel, _) = alice.dial_succeeds(dial(&effects));
    alice.ack(channel, "b1");
    let effects = alice.verdict(channel, &bob, bridge_down());
    assert_eq!(failure(&effects, stale), "PeerRestartedError");
    assert!(ends(&effects, channel));

    let (channel, _) = alice.inbound(&bob);
    alice.hello(channel, "b1");
    let (stale, _) = alice.send(&bob, "stale");
    let effects = alice.pass(10_000);
    assert_eq!(failure(&effects, stale), "PeerRestartedError");
    assert!(ends(&effects, channel) && texts(&effects).is_empty());
}

#[test]
fn the_outcome_of_a_handshake_says_when_a_channel_may_be_kept() {
    use super::super::peer::Cause::{Reconnection, Send};
    let cases = [
        (Ok(false), HandshakeOutcome { success: true, incarnation_changed: false }, true, true),
        (Ok(true), HandshakeOutcome { success: true, incarnation_changed: true }, false, true),
        (bridge_down(), HandshakeOutcome { success: false, incarnation_changed: true }, false, false),
    ];
    for (verdict, expected, after_send, after_loss) in cases {
        let outcome = HandshakeOutcome::of(&verdict);
        assert_eq!(outcome, expected);
        assert_eq!((outcome.keeps_channel(Send), outcome.keeps_channel(Reconnection)), (after_send, after_loss));
    }
}

#[test]
fn a_late_verdict_still_fails_what_was_meant_for_the_dead() {
    let [_, bob, _] = people();
    let mut alice = Bench::alice();
    let (first, _) = alice.inbound(&bob);
    alice.hello(first, "b2");
    alice.closed(first);
    // The kernel has not heard of the restart yet, and sends.
    let (stale, effects) = alice.send(&bob, "stale");
    let (second, _) = alice.dial_succeeds(dial(&effects));
    assert!(asks(&alice.ack(second, "b2")));
    assert_eq!(failure(&alice.verdict(first, &bob, Ok(true)), stale), "PeerRestartedError");
    assert!(texts(&alice.verdict(second, &bob, Ok(false))).is_empty());
    assert_eq!(texts(&alice.send(&bob, "fresh").1), ["fresh"]);
}

#[test]
fn another_incarnation_ends_the_former_channel_before_the_kernel_is_asked() {
    let [_, bob, _] = people();
    let mut alice = Bench::alice();
    let former = alice.accept(&bob, "b1");
    // The kernel is busy with 16 messages; the rest waits.
    let effects: Vec<Effect> = (0..20).flat_map(|number| alice.frame(former, &number.to_string())).collect();
    assert_eq!(deliveries(&effects).len(), 16);
    let (unwritten, _) = alice.send(&bob, "to b1");
    let (channel, _) = alice.inbound(&bob);
    let effects = alice.hello(channel, "b2");
    let position = |wanted: fn(&Effect) -> bool| effects.iter().position(wanted).unwrap();
    assert!(
        position(|effect| matches!(effect, Effect::Close { .. }))
            < position(|effect| matches!(effect, Effect::AskVerdict { .. }))
    );
    assert_eq!(failure(&effects, unwritten), "ConnectionLostError");
    // What the dead incarnation said and the kernel has not taken is never handed over.
    for _ in 0..16 {
        let outcome = crate::network::transport::DeliveryOutcome::Accepted(None);
        assert!(deliveries(&alice.delivered(&bob, outcome)).is_empty());
    }
}

#[test]
fn what_the_dead_incarnation_said_is_dropped_even_when_its_channel_was_lost_before() {
    let [_, bob, _] = people();
    let mut alice = Bench::alice();
    let former = alice.accept(&bob, "b1");
    for number in 0..20 {
        alice.frame(former, &number.to_string());
    }
    alice.closed(former);
    let (channel, _) = alice.inbound(&bob);
    alice.hello(channel, "b2");
    for _ in 0..16 {
        let outcome = crate::network::transport::DeliveryOutcome::Accepted(None);
        assert!(deliveries(&alice.delivered(&bob, outcome)).is_empty());
    }
}

#[test]
fn the_same_incarnation_replaces_its_channel_and_loses_nothing_that_was_read() {
    let [_, bob, _] = people();
    let mut alice = Bench::alice();
    let former = alice.accept(&bob, "b1");
    let read: Vec<Effect> = (0..20).flat_map(|number| alice.frame(former, &number.to_string())).collect();
    let (channel, _) = alice.inbound(&bob);
    assert!(!ends(&alice.hello(channel, "b1"), former));
    alice.verdict(channel, &bob, Ok(false));
    // Bob may have written this before he knew of the new channel.
    alice.frame(former, "20");
    let mut handed = deliveries(&read);
    for _ in 0..17 {
        let outcome = crate::network::transport::DeliveryOutcome::Accepted(None);
        handed.extend(deliveries(&alice.delivered(&bob, outcome)));
    }
    assert!(ends(&alice.closed(former), former));
    assert_eq!(handed, (0..=20).map(|number| number.to_string()).collect::<Vec<_>>());
}

#[test]
fn a_channel_closed_before_the_acknowledgement_is_dialled_again_once_and_at_once() {
    let [_, bob, _] = people();
    let mut alice = Bench::alice();
    let (send, effects) = alice.send(&bob, "1");
    let (channel, _) = alice.dial_succeeds(dial(&effects));
    // Bob's kernel has found that we restarted: he closes, and will take the next channel.
    let effects = alice.closed(channel);
    let (channel, effects) = alice.dial_succeeds(dial(&effects));
    assert_eq!(texts(&effects), [own_hello()]);
    assert_eq!(outcome(&effects, send), None);
    let effects = alice.closed(channel);
    assert_eq!(failure(&effects, send), "ConnectionLostError");
    assert!(dials(&effects).is_empty(), "the second time the backoff decides");
}

#[test]
fn a_dial_that_nobody_waits_for_any_more_is_closed() {
    let [_, bob, _] = people();
    let mut alice = Bench::alice();
    let (send, effects) = alice.send(&bob, "1");
    let effects_of_timeout = alice.pass(30_000);
    assert_eq!(failure(&effects_of_timeout, send), "ConnectionLostError");
    let (late, effects) = alice.dial_succeeds(dial(&effects));
    assert_eq!(effects, [Effect::Close { channel: late }]);
}
