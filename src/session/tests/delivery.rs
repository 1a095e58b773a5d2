//! Messages in order, once each, and their acknowledgements.

use super::*;

#[test]
fn messages_are_numbered_from_one_and_carry_the_newest_acknowledgement() {
    let (mut alice, mut bob) = (End::new(), End::new());
    alice.send(10);
    alice.send(11);
    let texts = alice.write_all();
    assert_eq!(texts[0], r#"{"seq":1,"start":1,"method":"redeemURL","params":["ocap:10",""]}"#);
    assert_eq!(texts[1], r#"{"seq":2,"method":"redeemURL","params":["ocap:11",""]}"#);
    bob.take_all(&texts);
    assert_eq!(bob.delivered, [10, 11]);

    bob.send(20);
    let reply = bob.write_all();
    assert!(reply[0].starts_with(r#"{"seq":1,"ack":2,"#), "{}", reply[0]);
    alice.take_all(&reply);
    assert_eq!(alice.session.pending(), 0);
    bob.wait(DELAYED_ACK);
    assert!(bob.write_all().is_empty(), "the acknowledgement has ridden on the message");
}

#[test]
fn one_write_is_under_way_at_a_time_to_who_may_be_an_incumbent() {
    let mut alice = End::new();
    alice.send(1);
    alice.send(2);
    let first = alice.session.poll_write(alice.now).unwrap();
    assert_eq!(alice.session.poll_write(alice.now), None);
    alice.finish(&first, WriteOutcome::Written);
    assert!(alice.session.poll_write(alice.now).is_some());
}

/// Alice with a channel on which nothing is under way, and messages for a peer of ours.
fn alice_with(messages: u64) -> End {
    let mut alice = End::new();
    alice.session.channel_up(alice.now);
    alice.take(r#"{"ack":0,"start":1}"#);
    alice.send(1);
    assert_eq!(alice.write_all(), [r#"{"seq":1,"start":1,"method":"redeemURL","params":["ocap:1",""]}"#]);
    for label in 2..=messages {
        alice.send(label);
    }
    alice
}

/// The numbers of what may be written now, without a result of any.
fn polled(alice: &mut End) -> (Vec<Write>, Vec<u64>) {
    let writes: Vec<Write> = std::iter::from_fn(|| alice.session.poll_write(alice.now)).collect();
    let number = |write: &Write| Message::parse(&write.text).unwrap().command.unwrap().0.get();
    let numbers = writes.iter().map(number).collect();
    (writes, numbers)
}

#[test]
fn several_writes_are_under_way_to_a_peer_that_accepts_no_gap() {
    let mut alice = alice_with(20);
    let (writes, numbers) = polled(&mut alice);
    assert_eq!(numbers, [2, 3, 4, 5, 6, 7, 8, 9]);
    alice.finish(&writes[0], WriteOutcome::Written);
    assert_eq!(polled(&mut alice).1, [10]);
}

#[test]
fn what_tells_the_start_is_written_alone() {
    let mut alice = alice_with(3);
    alice.session.channel_up(alice.now);
    let (writes, numbers) = polled(&mut alice);
    assert_eq!(numbers, [1]);
    alice.finish(&writes[0], WriteOutcome::Written);
    assert_eq!(polled(&mut alice).1, [2, 3]);
}

#[test]
fn the_first_refusal_ends_what_is_under_way_beside_it() {
    let mut alice = alice_with(4);
    let (writes, numbers) = polled(&mut alice);
    assert_eq!(numbers, [2, 3, 4]);
    alice.finish(&writes[1], WriteOutcome::Refused);
    assert!(!alice.session.is_current(writes[0].token) && !alice.session.is_current(writes[2].token));
    alice.finish(&writes[2], WriteOutcome::Refused);
    assert_eq!(polled(&mut alice).1, [0; 0]);
    alice.wait(Duration::from_millis(100));
    // One refusal may pass; it is none of them that was written then.
    let (writes, numbers) = polled(&mut alice);
    assert_eq!(numbers, [1]);
    alice.finish(&writes[0], WriteOutcome::Written);
    assert_eq!(polled(&mut alice).1, [2, 3, 4]);
}

#[test]
fn what_came_too_fast_is_written_again_with_all_that_follows() {
    let mut alice = alice_with(4);
    let (writes, _) = polled(&mut alice);
    alice.finish(&writes[0], WriteOutcome::Written);
    alice.finish(&writes[1], WriteOutcome::RateLimited);
    alice.finish(&writes[2], WriteOutcome::Written);
    assert_eq!(polled(&mut alice).1, [0; 0]);
    alice.wait(Duration::from_millis(100));
    assert_eq!(polled(&mut alice).1, [3, 4]);
}

#[test]
fn before_everything_is_written_again_what_is_under_way_has_ended() {
    let mut alice = alice_with(3);
    let (writes, _) = polled(&mut alice);
    alice.wait(ACK_TIMEOUT);
    assert_eq!(polled(&mut alice).1, [0; 0]);
    alice.finish(&writes[0], WriteOutcome::Written);
    assert_eq!(polled(&mut alice).1, [0; 0]);
    alice.finish(&writes[1], WriteOutcome::Written);
    assert_eq!(polled(&mut alice).1, [1, 2, 3]);
}

#[test]
fn nothing_is_written_beside_a_long_message() {
    let mut alice = alice_with(1);
    let long = RemoteCommand::RedeemUrl { url: "x".repeat(5_000), reply_key: String::new() };
    alice.session.stage(StoredCommand::new(&long).unwrap());
    alice.session.keep_staged();
    alice.session.commit(alice.now);
    alice.send(3);
    let (writes, numbers) = polled(&mut alice);
    assert_eq!(numbers, [2]);
    alice.finish(&writes[0], WriteOutcome::Written);
    assert_eq!(polled(&mut alice).1, [3]);
}

#[test]
fn an_acknowledgement_waits_fifty_milliseconds_from_the_first_message_however_steady_the_traffic() {
    let mut bob = End::new();
    bob.take(&plain(1, 1));
    bob.wait(Duration::from_millis(40));
    bob.take(&plain(2, 2));
    assert!(bob.write_all().is_empty());
    assert_eq!(bob.session.poll_timeout(), Some(Timestamp::from_millis(1_050)));
    bob.wait(Duration::from_millis(10));
    assert_eq!(bob.write_all(), [r#"{"ack":2,"start":1}"#]);
    assert_eq!(bob.session.poll_timeout(), None);
}

#[test]
fn a_quarter_of_the_queue_is_acknowledged_at_once() {
    let mut bob = End::new();
    for number in 1..50 {
        bob.take(&plain(number, number));
    }
    assert!(bob.write_all().is_empty());
    bob.take(&plain(50, 50));
    assert_eq!(bob.write_all().len(), 1);
}

#[test]
fn duplicates_are_dropped_and_acknowledged_again() {
    let mut bob = End::new();
    bob.take(&plain(1, 1));
    bob.wait(DELAYED_ACK);
    bob.write_all();
    assert_eq!(bob.take(&plain(1, 1)), Some(Receipt::Duplicate));
    bob.wait(DELAYED_ACK);
    assert_eq!(bob.write_all(), [r#"{"ack":1}"#]);
    assert_eq!(bob.delivered, [1]);
}

/// Defect 1 of the incumbent: sent 1, 2, 3 with 2 lost, it executed 1 and 3.
#[test]
fn defect_01_nothing_is_delivered_or_acknowledged_past_a_gap() {
    let mut bob = End::new();
    bob.take(&plain(1, 1));
    assert_eq!(bob.take(&plain(3, 3)), Some(Receipt::Held));
    assert_eq!(bob.delivered, [1]);
    bob.wait(DELAYED_ACK);
    assert_eq!(bob.write_all(), [r#"{"ack":1,"start":1}"#]);
    bob.take(&plain(2, 2));
    assert_eq!(bob.delivered, [1, 2, 3]);
}

#[test]
fn what_is_held_is_bounded_in_number_and_in_bytes() {
    let mut bob = End::new();
    for number in 2..=201 {
        assert_eq!(bob.take(&plain(number, number)), Some(Receipt::Held));
    }
    assert_eq!(bob.take(&plain(202, 202)), Some(Receipt::NoRoom));
    bob.take(&plain(1, 1));
    assert_eq!(bob.delivered.len(), 201, "the next in order is never refused");

    let mut bob = End::new();
    let mib = 1 << 20;
    for number in 2..=5 {
        assert_eq!(bob.session.receive(bob.now, seq(number), Arrived::new(command(number), mib)), Receipt::Held);
    }
    assert_eq!(bob.session.receive(bob.now, seq(6), Arrived::new(command(6), mib)), Receipt::NoRoom);
}

#[test]
fn a_peer_can_acknowledge_only_what_was_sent() {
    let mut alice = End::new();
    alice.send(1);
    alice.write_all();
    alice.take(r#"{"ack":9007199254740991}"#);
    assert_eq!(alice.session.pending(), 0);
    assert_eq!(alice.send(2), seq(2));
    alice.take(r#"{"ack":1}"#);
    assert_eq!(alice.session.pending(), 1, "an old acknowledgement changes nothing");
}
