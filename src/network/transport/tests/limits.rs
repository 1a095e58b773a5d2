use super::{
    bench::{Bench, dial, dials, ends, failure, faults, outcome, texts, timed_out},
    people,
};
use crate::{
    network::transport::DeliveryOutcome,
    wire::{LimitType, PeerId, RemoteCommsOptions, RemoteError},
};

fn limit(limit_type: LimitType, current: u64, limit: u64) -> Option<Result<(), RemoteError>> {
    Some(Err(RemoteError::ResourceLimit { limit_type, current, limit }))
}

#[test]
fn a_message_above_the_size_limit_is_refused_before_anything_else() {
    let [_, bob, _] = people();
    let mut alice = Bench::with(RemoteCommsOptions { max_message_size_bytes: 10, ..RemoteCommsOptions::default() });
    let (send, effects) = alice.send(&bob, "12345678901");
    assert_eq!(outcome(&effects, send), limit(LimitType::MessageSize, 11, 10));
    assert!(dials(&effects).is_empty());
    assert_eq!(dials(&alice.send(&bob, "1234567890").1).len(), 1);
}

#[test]
fn messages_beyond_the_rate_are_refused_and_never_written() {
    let [_, bob, _] = people();
    let mut alice = Bench::with(RemoteCommsOptions { max_messages_per_second: 3, ..RemoteCommsOptions::default() });
    let channel = alice.accept(&bob, "b1");
    for text in ["1", "2", "3"] {
        assert_eq!(texts(&alice.send(&bob, text).1), [text]);
        alice.written(channel);
    }
    let (refused, effects) = alice.send(&bob, "4");
    assert_eq!(outcome(&effects, refused), limit(LimitType::MessageRate, 4, 3));
    assert_eq!(texts(&alice.send(&bob, r#"{"ack":3}"#).1).len(), 1, "acknowledgements are free");
    alice.pass(999);
    assert!(texts(&alice.send(&bob, "4").1).is_empty(), "the window slides");
    alice.pass(1);
    assert_eq!(texts(&alice.send(&bob, "4").1), ["4"]);
}

#[test]
fn sends_that_wait_for_a_channel_are_bounded() {
    let [_, bob, _] = people();
    let mut alice = Bench::with(RemoteCommsOptions { max_queue: 2, ..RemoteCommsOptions::default() });
    (0..4).for_each(|number| drop(alice.send(&bob, &number.to_string())));
    let (send, effects) = alice.send(&bob, "4");
    assert_eq!(outcome(&effects, send), limit(LimitType::PendingMessages, 5, 4));
}

#[test]
fn attempts_that_reach_the_peer_are_refused_beyond_the_rate_and_others_do_not_count() {
    let [_, bob, _] = people();
    let options = RemoteCommsOptions { max_connection_attempts_per_minute: 2, ..RemoteCommsOptions::default() };
    let mut alice = Bench::with(options);
    let (_, effects) = alice.send(&bob, "1");
    alice.dial_fails(dial(&effects), timed_out());
    for _ in 0..2 {
        let effects = alice.pass(1_000);
        alice.dial_ends_in_nonsense(dial(&effects));
    }
    alice.pass(1_000);
    let (send, effects) = alice.send(&bob, "1");
    assert_eq!(outcome(&effects, send), limit(LimitType::ConnectionRate, 3, 2));
}

#[test]
fn a_refusal_by_the_connection_rate_is_not_a_reconnection_attempt() {
    let [_, bob, _] = people();
    let mut alice = Bench::with(RemoteCommsOptions {
        max_connection_attempts_per_minute: 1,
        max_retry_attempts: 2,
        ..RemoteCommsOptions::default()
    });
    let channel = alice.accept(&bob, "b1");
    alice.closed(channel);
    let effects = alice.pass(500);
    alice.dial_ends_in_nonsense(dial(&effects));
    // A minute of refusals later the second attempt is still due, and then it is the last.
    let effects = alice.pass(59_999);
    assert!(dials(&effects).is_empty() && !super::bench::gives_up(&effects));
    let effects = alice.pass(1);
    assert!(super::bench::gives_up(&alice.dial_fails(dial(&effects), timed_out())));
}

#[test]
fn connections_are_bounded_in_both_directions() {
    let [_, bob, carol] = people();
    let options = RemoteCommsOptions { max_concurrent_connections: 1, ..RemoteCommsOptions::default() };
    let mut alice = Bench::with(options);
    alice.accept(&bob, "b1");
    let (send, effects) = alice.send(&carol, "1");
    assert_eq!(outcome(&effects, send), limit(LimitType::Connection, 2, 1));
    let (from_carol, effects) = alice.inbound(&carol);
    assert!(ends(&effects, from_carol));
    let (again, effects) = alice.inbound(&bob);
    assert!(!ends(&effects, again), "a peer that has a place may come back");
    alice.closed(again);
    // When the place is free, it is given to the next.
    alice.feed(crate::network::transport::Input::CloseConnection { peer: bob });
    assert_eq!(dials(&alice.send(&carol, "1").1).len(), 1);
}

#[test]
fn peers_that_are_remembered_are_bounded() {
    let options = RemoteCommsOptions { max_concurrent_connections: 1, ..RemoteCommsOptions::default() };
    let mut alice = Bench::with(options);
    for seed in 10..40 {
        let stranger = PeerId::from_ed25519_seed([seed; 32]).unwrap();
        let (channel, effects) = alice.inbound(&stranger);
        if !ends(&effects, channel) {
            alice.hello(channel, "x");
            alice.verdict(channel, &stranger, Ok(false));
            alice.closed(channel);
        }
    }
    assert_eq!(alice.transport.peers.len(), 10);
}

#[test]
fn refusals_have_the_name_that_programs_match_on() {
    let [_, bob, _] = people();
    let mut alice = Bench::with(RemoteCommsOptions { max_message_size_bytes: 0, ..RemoteCommsOptions::default() });
    let (send, effects) = alice.send(&bob, "1");
    assert_eq!(failure(&effects, send), "ResourceLimitError");
}

#[test]
fn the_kernels_answers_use_up_no_message_budget_and_one_that_cannot_be_sent_is_told() {
    let [_, bob, _] = people();
    let options =
        RemoteCommsOptions { max_messages_per_second: 1, max_message_size_bytes: 100, ..RemoteCommsOptions::default() };
    let mut alice = Bench::with(options);
    let channel = alice.accept(&bob, "b1");
    alice.send(&bob, "1");
    for number in 0..3 {
        alice.frame(channel, "question");
        let answer = format!("answer {number}");
        assert_eq!(texts(&alice.delivered(&bob, DeliveryOutcome::Accepted(Some(answer.clone())))), [answer]);
    }
    alice.frame(channel, "question");
    let effects = alice.delivered(&bob, DeliveryOutcome::Accepted(Some("x".repeat(101))));
    assert!(texts(&effects).is_empty());
    assert!(faults(&effects)[0].starts_with("ResourceLimitError"), "{effects:?}");
}
