use super::{
    bench::{Bench, dial, dials, ends, failure, outcome, refused, texts, timed_out},
    people,
    world::World,
};
use crate::wire::RemoteCommsOptions;

#[test]
fn a_send_is_done_when_it_is_written() {
    let [_, bob, _] = people();
    let mut alice = Bench::alice();
    let channel = alice.accept(&bob, "b1");
    let (send, effects) = alice.send(&bob, "1");
    assert_eq!((texts(&effects), outcome(&effects, send)), (vec!["1".to_owned()], None));
    assert_eq!(outcome(&alice.written(channel), send), Some(Ok(())));
}

#[test]
fn nothing_is_written_past_a_failed_write() {
    let [_, bob, _] = people();
    let mut alice = Bench::alice();
    let channel = alice.accept(&bob, "b1");
    let sends: Vec<_> = (0..20).map(|number| alice.send(&bob, &number.to_string()).0).collect();
    assert_eq!(outcome(&alice.written(channel), sends[0]), Some(Ok(())));
    let effects = alice.closed(channel);
    for send in &sends[1..] {
        assert_eq!(failure(&effects, *send), "ConnectionLostError");
    }
    assert!(texts(&effects).is_empty());
}

#[test]
fn what_follows_a_lost_message_is_not_written_before_the_kernel_can_send_it_again() {
    let [_, bob, _] = people();
    let mut alice = Bench::alice();
    let channel = alice.accept(&bob, "b1");
    alice.send(&bob, "1");
    alice.closed(channel);
    // The kernel does not know yet that 1 was lost.
    let (second, effects) = alice.send(&bob, "2");
    let (channel, _) = alice.dial_succeeds(dial(&effects));
    alice.ack(channel, "b1");
    // Nor does it know of the channel before it has answered.
    let (third, _) = alice.send(&bob, "3");
    let effects = alice.verdict(channel, &bob, Ok(false));
    for early in [second, third] {
        assert_eq!(failure(&effects, early), "ConnectionLostError");
    }
    assert!(texts(&effects).is_empty());
    for text in ["1", "2", "3"] {
        assert_eq!(texts(&alice.send(&bob, text).1), [text]);
    }
}

#[test]
fn a_write_that_takes_too_long_is_a_lost_channel() {
    let [_, bob, _] = people();
    let mut alice = Bench::alice();
    let channel = alice.accept(&bob, "b1");
    let (send, _) = alice.send(&bob, "1");
    assert_eq!(outcome(&alice.pass(9_999), send), None);
    let effects = alice.pass(1);
    assert_eq!(failure(&effects, send), "ConnectionLostError");
    assert!(ends(&effects, channel));
}

#[test]
fn a_send_during_the_backoff_dials_at_once_and_shares_the_fate_of_that_dial() {
    let [_, bob, _] = people();
    let mut alice = Bench::alice();
    let channel = alice.accept(&bob, "b1");
    alice.closed(channel);
    let (send, effects) = alice.send(&bob, "1");
    let effects = alice.dial_fails(dial(&effects), timed_out());
    assert_eq!(failure(&effects, send), "ConnectionLostError");
    let (next, effects) = alice.send(&bob, "1");
    assert!(dials(&effects).is_empty(), "it waits for the next attempt");
    let effects = alice.pass(1_000);
    assert_eq!(failure(&alice.dial_fails(dial(&effects), timed_out()), next), "ConnectionLostError");
}

#[test]
fn a_send_to_a_permanently_failed_peer_clears_the_failure_and_goes_out() {
    let [_, bob, _] = people();
    let mut alice = Bench::alice();
    let (_, mut effects) = alice.send(&bob, "1");
    for _ in 0..13 {
        let dial = dial(&effects);
        effects = alice.dial_fails(dial, refused());
        effects.extend(alice.pass(10_000));
    }
    assert!(dials(&effects).is_empty() && dials(&alice.pass(60_000)).is_empty(), "it is not tried any more");
    let (send, effects) = alice.send(&bob, "2");
    let (channel, _) = alice.dial_succeeds(dial(&effects));
    alice.written(channel);
    alice.ack(channel, "b1");
    let effects = alice.verdict(channel, &bob, Ok(false));
    assert_eq!(texts(&effects), ["2"]);
    assert_eq!(outcome(&alice.written(channel), send), Some(Ok(())));
}

#[test]
fn a_message_to_oneself_is_an_error() {
    let [own, ..] = people();
    let mut alice = Bench::alice();
    let (send, effects) = alice.send(&own, "1");
    assert_eq!(failure(&effects, send), "Error");
    assert!(dials(&effects).is_empty());
}

#[test]
fn a_hundred_messages_each_way_arrive_in_order() {
    let [alice, bob, _] = people();
    let mut world = World::with(RemoteCommsOptions::default());
    let expected: Vec<String> = (0..100).map(|number| number.to_string()).collect();
    for text in &expected {
        world.send(&alice, &bob, text);
        world.send(&bob, &alice, text);
    }
    world.run(5_000);
    assert_eq!(world.delivered(&bob), expected);
    assert_eq!(world.delivered(&alice), expected);
}
