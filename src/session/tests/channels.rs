//! Channels that end and come, refusals, and results that come late.

use super::*;

/// Defects 2 and 5: a new send overtook the retransmission after an outage, and 7 of 8 messages were lost.
#[test]
fn defect_02_after_an_outage_everything_unacknowledged_goes_out_in_order_before_anything_new() {
    let (mut alice, mut bob) = (End::new(), End::new());
    alice.send(1);
    bob.take_all(&alice.write_all());
    alice.send(2);
    alice.write_all(); // the wire is cut: nobody reads this
    alice.send(3);
    for _ in 0..2 {
        let refused = alice.session.poll_write(alice.now).unwrap();
        alice.finish(&refused, WriteOutcome::Refused);
        alice.wait(Duration::from_millis(100));
    }
    alice.send(4);
    assert_eq!(alice.write_all(), [""; 0], "nothing is written past a refused write");

    alice.session.channel_up(alice.now);
    bob.session.channel_up(bob.now);
    bob.take_all(&alice.write_all());
    assert_eq!(bob.delivered, [1, 2, 3, 4]);
}

#[test]
fn on_a_new_channel_both_ends_tell_at_once_how_far_they_are() {
    let (mut alice, mut bob) = (End::new(), End::new());
    alice.send(1);
    bob.take_all(&alice.write_all());
    // The acknowledgement never left; a new channel comes up.
    bob.session.channel_up(bob.now);
    assert_eq!(bob.write_all(), [r#"{"ack":1,"start":1}"#]);
    alice.session.channel_up(alice.now);
    alice.take(r#"{"ack":1,"start":1}"#);
    assert_eq!(alice.write_all(), [r#"{"ack":0,"start":2}"#]);
    assert_eq!(alice.session.poll_timeout(), None, "nothing is left to wait for");
}

#[test]
fn two_fresh_ends_have_nothing_to_tell_on_a_new_channel() {
    let mut alice = End::new();
    alice.session.channel_up(alice.now);
    assert!(alice.write_all().is_empty());
}

#[test]
fn the_message_that_opened_the_channel_is_not_written_twice() {
    let mut alice = End::new();
    alice.send(1);
    alice.send(2);
    let opening = alice.session.poll_write(alice.now).unwrap();
    alice.session.channel_up(alice.now); // the handshake that the write set off
    assert_eq!(alice.session.poll_write(alice.now), None);
    alice.finish(&opening, WriteOutcome::Written);
    let rest = alice.write_all();
    assert_eq!(rest, [r#"{"seq":2,"method":"redeemURL","params":["ocap:2",""]}"#]);
}

#[test]
fn a_refusal_that_was_overtaken_by_a_new_channel_does_not_stop_it() {
    let mut alice = End::new();
    alice.send(1);
    alice.write_all();
    alice.send(2);
    let late = alice.session.poll_write(alice.now).unwrap();
    alice.session.channel_up(alice.now);
    alice.finish(&late, WriteOutcome::Refused);
    let texts = alice.write_all();
    assert!(texts[0].starts_with(r#"{"seq":1,"start":1,"#) && texts[1].starts_with(r#"{"seq":2,"#), "{texts:?}");
}

#[test]
fn an_answer_older_than_the_channel_does_not_count_as_written_on_it() {
    let mut alice = End::new();
    alice.send(1);
    alice.write_all();
    alice.take(r#"{"ack":1}"#);
    alice.send(2);
    let on_the_former = alice.session.poll_write(alice.now).unwrap();
    alice.session.channel_up(alice.now);
    alice.finish(&on_the_former, WriteOutcome::Written);
    assert!(alice.write_all()[0].starts_with(r#"{"seq":2,"start":2,"#));
}

#[test]
fn a_refused_write_is_tried_once_more_before_a_channel_is_waited_for() {
    let mut alice = End::new();
    alice.session.channel_up(alice.now);
    alice.send(1);
    let crossed = alice.session.poll_write(alice.now).unwrap();
    alice.finish(&crossed, WriteOutcome::Refused);
    assert_eq!(alice.session.poll_write(alice.now), None);
    alice.wait(Duration::from_millis(100));
    assert_eq!(alice.write_all(), [crossed.text]);
}

/// Defect 3: sends that the rate limiter refused counted as sent.
#[test]
fn defect_03_a_message_refused_by_the_rate_limit_is_written_a_little_later() {
    let mut alice = End::new();
    alice.send(1);
    let refused = alice.session.poll_write(alice.now).unwrap();
    alice.finish(&refused, WriteOutcome::RateLimited);
    assert_eq!(alice.session.poll_write(alice.now), None);
    assert_eq!(alice.session.poll_timeout(), Some(alice.now.after(Duration::from_millis(100))));
    alice.wait(Duration::from_millis(100));
    assert_eq!(alice.write_all(), [refused.text]);
}

#[test]
fn a_network_that_was_started_anew_gets_everything_unacknowledged() {
    let mut alice = End::new();
    alice.send(1);
    alice.write_all();
    alice.session.network_started(alice.now);
    assert!(alice.write_all()[0].starts_with(r#"{"seq":1,"start":1,"#));
}

#[test]
fn a_result_from_before_the_network_was_started_anew_means_nothing() {
    let mut alice = End::new();
    alice.send(1);
    let former = alice.session.poll_write(alice.now).unwrap();
    alice.session.network_started(alice.now);
    let present = alice.session.poll_write(alice.now).unwrap();
    alice.finish(&former, WriteOutcome::Written);
    assert_eq!(alice.session.poll_write(alice.now), None, "the present write is still under way");
    alice.finish(&present, WriteOutcome::Refused);
    alice.session.channel_up(alice.now);
    assert!(alice.write_all()[0].starts_with(r#"{"seq":1,"start":1,"#));
}

/// After a give-up, after a restart of the peer, or when the peer comes before there is a session, a channel may be there
/// without an announcement; the first write goes out on it.
#[test]
fn an_answer_older_than_the_channel_does_not_count_even_without_a_former_announcement() {
    let restart = |session: &mut Session| session.peer_restarted(None);
    for begin in [Session::give_up, restart, Session::channel_was_announced] {
        let mut alice = End::new();
        begin(&mut alice.session);
        alice.send(1);
        let on_the_former = alice.session.poll_write(alice.now).unwrap();
        alice.session.channel_up(alice.now);
        alice.finish(&on_the_former, WriteOutcome::Written);
        alice.send(2);
        assert!(alice.write_all()[0].starts_with(r#"{"seq":1,"start":1,"#));
    }
}
