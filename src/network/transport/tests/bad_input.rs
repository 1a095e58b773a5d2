//! What a broken or hostile peer may do: each is an error at the right end, and nothing else is disturbed.

use super::{
    bench::{Bench, deliveries, dial, dials, ends, failure, faults, own_ack, texts},
    people,
};
use crate::{
    network::transport::{Effect, Input},
    wire::{Handshake, WireError},
};

/// Carol's channel works before and after whatever Bob does.
fn with_carol(act: impl FnOnce(&mut Bench)) {
    let [_, _, carol] = people();
    let mut alice = Bench::alice();
    let channel = alice.accept(&carol, "c1");
    act(&mut alice);
    assert_eq!(deliveries(&alice.frame(channel, "from carol")), ["from carol"]);
    assert_eq!(texts(&alice.send(&carol, "to carol").1), ["to carol"]);
}

#[test]
fn a_frame_of_two_mebibytes_resets_the_channel_and_fails_what_was_to_be_written() {
    let [_, bob, _] = people();
    with_carol(|alice| {
        let channel = alice.accept(&bob, "b1");
        let (send, _) = alice.send(&bob, "1");
        let error = WireError::FrameTooLong { announced: 2 << 20, limit: 1 << 20 };
        let effects = alice.feed(Input::FrameError { channel, error });
        assert_eq!(effects.iter().filter(|effect| **effect == Effect::Reset { channel }).count(), 1);
        assert_eq!(faults(&effects), ["ResourceLimitError: messageSize: 2097152 exceeds the limit of 1048576"]);
        assert_eq!(failure(&effects, send), "ConnectionLostError");
        assert_eq!(dials(&alice.pass(500)).len(), 1, "it is connection loss: the peer is tried again");
    });
}

#[test]
fn garbage_instead_of_a_hello_closes_the_channel() {
    let [_, bob, _] = people();
    for garbage in ["", "{", "null", r#"{"seq":1,"method":"deliver","params":["bringOutYourDead"]}"#] {
        with_carol(|alice| {
            let (channel, _) = alice.inbound(&bob);
            let effects = alice.frame(channel, garbage);
            assert!(ends(&effects, channel), "{garbage}");
            assert!(faults(&effects)[0].starts_with("HandshakeError: "), "{effects:?}");
            assert!(alice.pass(60_000).is_empty(), "we had no wish to talk to it");
        });
    }
}

#[test]
fn a_hello_of_the_wrong_method_is_named() {
    let [_, bob, _] = people();
    with_carol(|alice| {
        let (channel, _) = alice.inbound(&bob);
        let effects = alice.frame(channel, &own_ack());
        assert_eq!(faults(&effects), ["HandshakeError: expected handshake, got handshakeAck"]);
        assert!(ends(&effects, channel));
    });
}

#[test]
fn an_answer_of_the_wrong_method_fails_the_sends() {
    let [_, bob, _] = people();
    with_carol(|alice| {
        let (send, effects) = alice.send(&bob, "1");
        let (channel, _) = alice.dial_succeeds(dial(&effects));
        let effects = alice.frame(channel, &Handshake::Hello("b1".parse().unwrap()).encode());
        assert!(ends(&effects, channel));
        assert_eq!(faults(&effects), ["HandshakeError: expected handshakeAck, got handshake"]);
        assert_eq!(failure(&effects, send), "ConnectionLostError");
        assert!(dials(&effects).is_empty(), "a peer that talks nonsense is not dialled again at once");
    });
}

#[test]
fn a_frame_too_long_instead_of_a_hello_resets_the_channel() {
    let [_, bob, _] = people();
    with_carol(|alice| {
        let (channel, _) = alice.inbound(&bob);
        let error = WireError::FrameTooLong { announced: 2 << 20, limit: 1 << 20 };
        let effects = alice.feed(Input::FrameError { channel, error });
        assert_eq!(effects[1], Effect::Reset { channel });
        assert!(alice.pass(60_000).is_empty());
    });
}

#[test]
fn a_peer_that_opens_a_channel_and_says_nothing_is_dropped() {
    let [_, bob, _] = people();
    with_carol(|alice| {
        let (channel, _) = alice.inbound(&bob);
        assert!(!ends(&alice.pass(9_999), channel));
        let effects = alice.pass(1);
        assert!(ends(&effects, channel) && faults(&effects)[0].starts_with("HandshakeError"));
    });
}

#[test]
fn a_peer_that_never_answers_the_hello_fails_the_sends() {
    let [_, bob, _] = people();
    with_carol(|alice| {
        let (send, effects) = alice.send(&bob, "1");
        let (channel, _) = alice.dial_succeeds(dial(&effects));
        alice.written(channel);
        let effects = alice.pass(10_000);
        assert!(ends(&effects, channel));
        assert_eq!(failure(&effects, send), "ConnectionLostError");
        assert_eq!(faults(&effects), ["HandshakeError: the peer did not answer the handshake in time"]);
    });
}

#[test]
fn a_peer_that_keeps_opening_channels_holds_only_one() {
    let [_, bob, _] = people();
    with_carol(|alice| {
        let (mut last, _) = alice.inbound(&bob);
        for _ in 0..29 {
            let (next, effects) = alice.inbound(&bob);
            assert!(ends(&effects, last));
            last = next;
        }
        let (refused, effects) = alice.inbound(&bob);
        assert!(ends(&effects, refused) && !ends(&effects, last));
    });
}

#[test]
fn a_peer_cannot_make_the_kernel_owe_verdicts_without_bound() {
    let [_, bob, _] = people();
    with_carol(|alice| {
        let asked = (0..50).filter(|_| {
            let (channel, _) = alice.inbound(&bob);
            super::bench::asks(&alice.hello(channel, "b1"))
        });
        assert_eq!(asked.count(), 4);
    });
}

#[test]
fn strangers_that_come_and_go_leave_no_trace() {
    let mut alice = Bench::alice();
    for seed in 10..60 {
        let stranger = crate::wire::PeerId::from_ed25519_seed([seed; 32]).unwrap();
        let (channel, _) = alice.inbound(&stranger);
        alice.frame(channel, "garbage");
    }
    alice.pass(75_000);
    assert!(alice.transport.peers.is_empty(), "their rates count for a minute");
}
