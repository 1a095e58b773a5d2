//! Numbers that were abandoned, and how the two ends meet again.

use super::*;

#[test]
fn after_a_give_up_the_numbers_meet_again() {
    let (mut alice, mut bob) = (End::new(), End::new());
    alice.send(1);
    bob.take_all(&alice.write_all());
    alice.take(r#"{"ack":1}"#);
    alice.send(2);
    alice.send(3);
    alice.write_all(); // lost
    assert_eq!(alice.session.abandonable(), Some(Acknowledged { first: seq(2), last: seq(3) }));
    alice.session.give_up();
    assert_eq!(alice.session.poll_timeout(), None);

    alice.send(4);
    bob.take_all(&alice.write_all());
    assert_eq!(bob.lost, [Lost { first: seq(2), last: seq(3) }]);
    assert_eq!(bob.delivered, [1, 4]);
    bob.wait(DELAYED_ACK);
    alice.take_all(&bob.write_all());
    assert_eq!(alice.session.pending(), 0);
}

#[test]
fn while_the_network_has_no_channel_only_the_network_gives_up() {
    let mut alice = End::new();
    alice.send(1);
    alice.write_all();
    alice.session.no_channel(alice.now);
    for _ in 0..400 {
        assert_eq!(alice.wait(Duration::from_secs(10)), TimerOutcome::Proceed);
    }
    assert_eq!(alice.write_all().len(), 1, "the network is reminded now and then");
    // On a channel the peer has all of its time, and no more.
    alice.session.channel_up(alice.now);
    alice.write_all();
    let outcomes: Vec<TimerOutcome> = (0..5).map(|_| alice.wait(Duration::from_secs(10))).collect();
    let given_up = outcomes.iter().position(|outcome| *outcome == TimerOutcome::GiveUp);
    assert_eq!(given_up, Some(3), "{outcomes:?}");
}

#[test]
fn a_peer_that_loses_each_channel_at_once_is_given_up() {
    let mut alice = End::new();
    alice.send(1);
    let mut given_up_after = None;
    for channel in 0..60 {
        alice.session.channel_up(alice.now);
        alice.write_all();
        if alice.wait(Duration::from_secs(4)) == TimerOutcome::GiveUp {
            given_up_after = Some(channel * 4);
            break;
        }
        alice.session.no_channel(alice.now);
        assert_eq!(alice.wait(Duration::from_secs(300)), TimerOutcome::Proceed);
    }
    let seconds = given_up_after.unwrap();
    assert!((40..=80).contains(&seconds), "{seconds} s on channels");
}

#[test]
fn a_new_network_that_says_nothing_leaves_the_judgement_to_the_kernel() {
    let mut alice = End::new();
    alice.send(1);
    alice.session.no_channel(alice.now);
    alice.wait(Duration::from_secs(300));
    alice.session.network_started(alice.now);
    let outcomes: Vec<TimerOutcome> = (0..5).map(|_| alice.wait(Duration::from_secs(10))).collect();
    let given_up = outcomes.iter().position(|outcome| *outcome == TimerOutcome::GiveUp);
    assert_eq!(given_up, Some(3), "{outcomes:?}");
}

#[test]
fn a_store_that_went_back_does_not_end_the_outage() {
    let mut alice = End::new();
    alice.session.no_channel(alice.now);
    alice.session.go_back(SavedSession::default(), alice.now);
    alice.send(1);
    assert!((0..10).all(|_| alice.wait(Duration::from_secs(10)) == TimerOutcome::Proceed));
}

#[test]
fn a_give_up_with_nothing_pending_abandons_nothing() {
    assert_eq!(End::new().session.abandonable(), None);
}

#[test]
fn an_incumbent_that_gave_up_is_recognised_when_it_retransmits_from_above_the_gap() {
    let mut bob = End::new();
    bob.take(&plain(1, 1));
    // It abandoned 2 and 3 without a word. 4 may still be a message that overtook them, so it is held …
    assert_eq!(bob.take(&plain(4, 4)), Some(Receipt::Held));
    assert_eq!(bob.take(&plain(5, 5)), Some(Receipt::Held));
    assert_eq!(bob.take(&plain(5, 5)), Some(Receipt::Duplicate));
    assert_eq!(bob.delivered, [1]);
    // … until its retransmission, which begins with the oldest that it has, begins with 4.
    bob.take(&plain(4, 4));
    assert_eq!(bob.lost, [Lost { first: seq(2), last: seq(3) }]);
    assert_eq!(bob.delivered, [1, 4, 5]);
}

#[test]
fn an_incumbent_that_gave_up_what_is_held_is_recognised_when_it_repeats_without_it() {
    let mut bob = End::new();
    // 1 is lost, 2 is held; both are given up. 3 may be repeated once because 2 was lost with a channel …
    for number in [2, 3, 3] {
        bob.take(&plain(number, number));
    }
    assert_eq!((&bob.delivered[..], &bob.lost[..]), (&[][..], &[][..]));
    // … but not twice.
    bob.take(&plain(3, 3));
    assert_eq!(bob.lost, [Lost { first: seq(1), last: seq(1) }]);
    assert_eq!(bob.delivered, [2, 3]);
}

#[test]
fn rounds_that_begin_lower_speak_for_what_is_missing() {
    let mut bob = End::new();
    for number in [3, 4, 5, 4, 5, 3] {
        bob.take(&plain(number, number));
    }
    assert_eq!(bob.lost, [Lost { first: seq(1), last: seq(2) }], "3 is the lowest held, and was repeated");
    let mut bob = End::new();
    for number in [3, 4, 5, 5, 4, 5, 4, 5] {
        bob.take(&plain(number, number));
    }
    assert_eq!(bob.lost, [Lost { first: seq(1), last: seq(2) }], "two rounds began with 4");
    assert_eq!(bob.delivered, [3, 4, 5]);
}

#[test]
fn an_incumbent_that_gave_up_more_than_can_be_held_is_understood_too() {
    let mut bob = End::new();
    let room = bob.session.config.max_held as u64;
    for number in 2..2 + room {
        assert_eq!(bob.take(&plain(number, number)), Some(Receipt::Held));
    }
    let next = 2 + room;
    for _ in 0..2 {
        assert_eq!(bob.take(&plain(next, next)), Some(Receipt::NoRoom));
    }
    assert!(bob.lost.is_empty());
    bob.take(&plain(next, next));
    assert_eq!((bob.lost.len(), bob.delivered.len() as u64), (1, room));
    bob.take(&plain(next, next));
    assert_eq!(bob.delivered.last(), Some(&next));
}

#[test]
fn a_peer_that_tells_its_start_is_never_guessed_at() {
    let mut bob = End::new();
    bob.take(r#"{"ack":0,"start":1}"#);
    bob.take(&plain(2, 2));
    for _ in 0..5 {
        bob.take(&plain(3, 3));
    }
    assert_eq!((bob.delivered.len(), bob.lost.len()), (0, 0));
}

#[test]
fn a_late_start_moves_nothing_back() {
    let mut bob = End::new();
    bob.take(&plain(1, 1));
    bob.take(&plain(2, 2));
    bob.take(r#"{"ack":0,"start":1}"#);
    assert_eq!(bob.session.highest_received(), Seq::new(2));
    assert!(bob.lost.is_empty());
}

#[test]
fn the_peer_hears_of_a_give_up_only_when_that_is_durable() {
    let mut alice = End::new();
    alice.send(1);
    alice.take(&plain(1, 1));
    alice.session.give_up();
    alice.wait(DELAYED_ACK);
    assert_eq!(alice.write_all(), [""; 0]);
    assert_eq!(alice.session.poll_timeout(), None, "what cannot be written is not due");
    alice.session.commit(alice.now);
    assert_eq!(alice.write_all(), [r#"{"ack":1,"start":2}"#]);
}
