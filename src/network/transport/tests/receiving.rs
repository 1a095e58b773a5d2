use super::{
    bench::{Bench, deliveries, ends, texts},
    people,
};
use crate::{
    network::transport::{ChannelId, DeliveryOutcome, Effect},
    wire::RemoteError,
};

fn other(name: &str) -> RemoteError {
    RemoteError::Other { name: name.into(), message: "x".into() }
}

fn reads(effects: &[Effect], on: ChannelId) -> bool {
    effects.iter().any(|effect| matches!(effect, Effect::Read { channel } if *channel == on))
}

#[test]
fn a_slow_kernel_stops_the_reading_and_a_quick_one_lets_it_go_on() {
    let [_, bob, _] = people();
    let mut alice = Bench::alice();
    let channel = alice.accept(&bob, "b1");
    let mut count = 0;
    let mut handed = Vec::new();
    loop {
        count += 1;
        let effects = alice.frame(channel, &count.to_string());
        handed.extend(deliveries(&effects));
        if !reads(&effects, channel) {
            break;
        }
    }
    assert_eq!((count, handed.len()), (48, 16), "16 with the kernel, 32 held");
    // We do not listen, so the peer's silence means nothing.
    assert!(!ends(&alice.pass(600_000), channel));
    let effects = alice.delivered(&bob, DeliveryOutcome::Accepted(None));
    assert!(reads(&effects, channel));
    assert_eq!(deliveries(&effects), ["17"], "in order");
}

#[test]
fn two_frames_of_the_greatest_length_are_enough_to_hold() {
    let [_, bob, _] = people();
    let mut alice = Bench::alice();
    let channel = alice.accept(&bob, "b1");
    for _ in 0..16 {
        alice.frame(channel, "x");
    }
    let long = "x".repeat(1 << 20);
    assert!(reads(&alice.frame(channel, &long), channel));
    assert!(!reads(&alice.frame(channel, &long), channel));
}

#[test]
fn one_refused_message_does_not_end_the_channel() {
    let [_, bob, _] = people();
    let mut alice = Bench::alice();
    let channel = alice.accept(&bob, "b1");
    alice.frame(channel, "bad");
    assert_eq!(alice.delivered(&bob, DeliveryOutcome::Refused(other("TypeError"))), []);
    assert_eq!(deliveries(&alice.frame(channel, "good")), ["good"]);
}

#[test]
fn an_unreachable_kernel_ends_the_channel_so_that_the_peer_sends_again() {
    let [_, bob, _] = people();
    let mut alice = Bench::alice();
    let channel = alice.accept(&bob, "b1");
    (0..20).for_each(|number| drop(alice.frame(channel, &number.to_string())));
    let effects = alice.delivered(&bob, DeliveryOutcome::Unreachable(other("BridgeClosedError")));
    assert!(ends(&effects, channel));
    assert!(deliveries(&effects).is_empty(), "what was not handed over comes again");
}

#[test]
fn what_the_kernel_answers_goes_back_to_the_peer() {
    let [_, bob, _] = people();
    let mut alice = Bench::alice();
    let channel = alice.accept(&bob, "b1");
    alice.frame(channel, "ping");
    assert_eq!(texts(&alice.delivered(&bob, DeliveryOutcome::Accepted(Some("pong".into())))), ["pong"]);
    alice.frame(channel, "ping");
    assert!(texts(&alice.delivered(&bob, DeliveryOutcome::Accepted(Some(String::new())))).is_empty());
}

#[test]
fn a_silent_channel_is_taken_for_dead() {
    let [_, bob, _] = people();
    let mut alice = Bench::alice();
    let channel = alice.accept(&bob, "b1");
    alice.pass(100_000);
    alice.frame(channel, "still here");
    assert!(!ends(&alice.pass(119_999), channel));
    assert!(ends(&alice.pass(1), channel));
}
