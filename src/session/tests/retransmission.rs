//! What is written again, and when.

use super::*;

#[test]
fn unacknowledged_messages_are_written_again_after_ten_seconds_at_most_three_times() {
    let mut alice = End::new();
    alice.send(1);
    alice.send(2);
    alice.write_all();
    for _ in 0..3 {
        assert_eq!(alice.wait(ACK_TIMEOUT), TimerOutcome::Proceed);
        assert_eq!(alice.write_all().len(), 2);
    }
    assert_eq!(alice.wait(ACK_TIMEOUT), TimerOutcome::GiveUp);
}

#[test]
fn progress_resets_the_count_of_retransmissions() {
    let mut alice = End::new();
    alice.send(1);
    alice.send(2);
    alice.write_all();
    for _ in 0..3 {
        alice.wait(ACK_TIMEOUT);
        alice.write_all();
    }
    alice.take(r#"{"ack":1}"#);
    for _ in 0..3 {
        assert_eq!(alice.wait(ACK_TIMEOUT), TimerOutcome::Proceed);
    }
}

#[test]
fn the_retransmission_timer_tries_even_when_the_channel_was_refused() {
    let mut alice = End::new();
    alice.send(1);
    let write = alice.session.poll_write(alice.now).unwrap();
    alice.finish(&write, WriteOutcome::Refused);
    assert!(alice.write_all().is_empty());
    alice.wait(ACK_TIMEOUT);
    assert_eq!(alice.write_all().len(), 1);
}

#[test]
fn on_a_quick_line_a_message_lost_in_silence_is_written_again_after_a_second() {
    let mut alice = End::new();
    alice.send(1);
    alice.write_all();
    alice.wait(Duration::from_millis(60));
    alice.take(r#"{"ack":1}"#);
    alice.send(2);
    alice.write_all();
    alice.wait(Duration::from_millis(1_200));
    assert_eq!(alice.write_all(), [r#"{"seq":2,"method":"redeemURL","params":["ocap:2",""]}"#]);
}

#[test]
fn a_message_that_is_lost_twice_in_silence_is_not_taken_for_given_up() {
    let (mut alice, mut bob) = (End::new(), End::new());
    alice.send(1);
    alice.send(2);
    bob.take(&alice.write_all()[1]);
    alice.wait(ACK_TIMEOUT);
    let again = alice.write_all();
    assert_eq!(again[1], r#"{"seq":2,"start":1,"method":"redeemURL","params":["ocap:2",""]}"#);
    bob.take(&again[1]);
    assert!(bob.lost.is_empty() && bob.delivered.is_empty());
    alice.wait(ACK_TIMEOUT);
    bob.take_all(&alice.write_all());
    assert_eq!(bob.delivered, [1, 2]);
}

/// A drop carries the acknowledgement of when it was decided. What came since is acknowledged all the same, or the peer would
/// write it again.
#[test]
fn an_acknowledgement_that_is_due_follows_a_drop_that_was_decided_before() {
    let mut bob = End::new();
    let dropped = RemoteCommand::Deliver(Delivery::DropExports(vec!["ro-1".parse().unwrap()]));
    let stored = StoredCommand::new(&dropped).unwrap().as_of(bob.session.highest_received());
    bob.session.stage(stored);
    bob.session.keep_staged();
    bob.take(&plain(1, 7));
    let written = bob.write_all();
    assert!(written.len() == 1 && !written[0].contains("ack"), "{written:?}");
    bob.wait(DELAYED_ACK);
    assert_eq!(bob.write_all(), [r#"{"ack":1}"#]);
    bob.wait(DELAYED_ACK);
    assert_eq!(bob.write_all(), [""; 0]);
}
