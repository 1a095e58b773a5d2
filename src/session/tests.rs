//! Stories of two sessions, alice's and bob's, joined by a channel that the story cuts as it likes.

use std::time::Duration;

use super::*;
use crate::wire::Delivery;

const ACK_TIMEOUT: Duration = Duration::from_secs(10);
const DELAYED_ACK: Duration = Duration::from_millis(50);

fn seq(number: u64) -> Seq {
    Seq::new(number).unwrap()
}

fn command(label: u64) -> RemoteCommand {
    RemoteCommand::RedeemUrl { url: format!("ocap:{label}"), reply_key: String::new() }
}

fn label(command: &RemoteCommand) -> u64 {
    match command {
        RemoteCommand::RedeemUrl { url, .. } => url.trim_start_matches("ocap:").parse().unwrap(),
        other => panic!("not one of ours: {other:?}"),
    }
}

fn config() -> SessionConfig {
    SessionConfig::from(&RemoteCommsOptions::default())
}

/// One end: its session, what it has delivered, and what its store would hold.
struct End {
    session: Session,
    delivered: Vec<u64>,
    lost: Vec<Lost>,
    now: Timestamp,
}

impl End {
    fn new() -> Self {
        End::restored(SavedSession::default())
    }

    fn restored(saved: SavedSession) -> Self {
        let now = Timestamp::from_millis(1_000);
        End { session: Session::restore(config(), saved, now), delivered: Vec::new(), lost: Vec::new(), now }
    }

    fn send(&mut self, label: u64) -> Seq {
        self.session.check_room().unwrap();
        let seq = self.session.stage(StoredCommand::new(&command(label)).unwrap());
        self.session.keep_staged();
        self.session.commit(self.now);
        seq
    }

    fn wait(&mut self, time: Duration) -> TimerOutcome {
        self.now = self.now.after(time);
        self.session.handle_timeout(self.now)
    }

    /// Everything that can be written now, written.
    fn write_all(&mut self) -> Vec<String> {
        let mut texts = Vec::new();
        while let Some(write) = self.session.poll_write(self.now) {
            self.session.write_finished(self.now, write.token, WriteOutcome::Written);
            texts.push(write.text);
        }
        texts
    }

    fn finish(&mut self, write: &Write, outcome: WriteOutcome) {
        self.session.write_finished(self.now, write.token, outcome);
    }

    /// What the owner does with a message from the wire, without a store.
    fn take(&mut self, text: &str) -> Option<Receipt> {
        let message = Message::parse(text).unwrap();
        if let Some(acknowledged) = self.session.acknowledged_by(message.ack) {
            self.session.acknowledge(self.now, &acknowledged);
        }
        self.session.sender_starts_at(message.start);
        let receipt =
            message.command.map(|(seq, command)| self.session.receive(self.now, seq, message.ack, command, text.len()));
        loop {
            if let Some(lost) = self.session.lost() {
                self.lost.push(lost);
                self.session.delivered(lost.last);
            } else if let Some((seq, command)) = self.session.next_in_order() {
                self.delivered.push(label(command));
                self.session.delivered(seq);
            } else {
                self.session.commit(self.now);
                return receipt;
            }
        }
    }

    fn take_all(&mut self, texts: &[String]) {
        for text in texts {
            self.take(text);
        }
    }
}

/// As an incumbent writes it: no `start`.
fn plain(number: u64, label: u64) -> String {
    StoredCommand::new(&command(label)).unwrap().to_message(seq(number), None, None)
}

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
fn one_write_is_under_way_at_a_time() {
    let mut alice = End::new();
    alice.send(1);
    alice.send(2);
    let first = alice.session.poll_write(alice.now).unwrap();
    assert_eq!(alice.session.poll_write(alice.now), None);
    alice.finish(&first, WriteOutcome::Written);
    assert!(alice.session.poll_write(alice.now).is_some());
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
        assert_eq!(bob.session.receive(bob.now, seq(number), None, command(number), mib), Receipt::Held);
    }
    assert_eq!(bob.session.receive(bob.now, seq(6), None, command(6), mib), Receipt::NoRoom);
}

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
fn a_peer_that_tells_its_start_is_never_guessed_at() {
    let mut bob = End::new();
    bob.take(r#"{"ack":0,"start":1}"#);
    bob.take(&plain(3, 3));
    bob.take(&plain(3, 3));
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
fn defect_16_the_queue_is_bounded_and_a_refused_send_uses_no_number() {
    let mut alice = End::new();
    for label in 1..=200 {
        alice.send(label);
    }
    let full = RemoteError::ResourceLimit { limit_type: LimitType::PendingMessages, current: 200, limit: 200 };
    assert_eq!(alice.session.check_room(), Err(full));
    alice.take(r#"{"ack":1}"#);
    assert_eq!(alice.send(201), seq(201));
}

#[test]
fn a_rolled_back_transaction_takes_its_numbers_back() {
    let mut alice = End::new();
    alice.send(1);
    alice.session.stage(StoredCommand::new(&RemoteCommand::Deliver(Delivery::BringOutYourDead)).unwrap());
    assert_eq!(alice.write_all().len(), 1, "what is not committed is not written");
    alice.session.roll_back_staged();
    assert_eq!(alice.send(2), seq(2));
}

#[test]
fn nothing_leaves_before_it_is_durable() {
    let mut alice = End::new();
    alice.take(&plain(1, 1));
    alice.send(1);
    alice.write_all();

    alice.session.stage(StoredCommand::new(&command(2)).unwrap());
    alice.session.keep_staged();
    alice.session.receive(alice.now, seq(2), None, command(2), 10);
    alice.session.delivered(seq(2));
    alice.wait(DELAYED_ACK);
    assert!(alice.session.awaits_commit());
    assert_eq!(alice.write_all(), [""; 0], "neither the message nor the acknowledgement");
    alice.session.commit(alice.now);
    assert_eq!(alice.write_all(), [r#"{"seq":2,"ack":2,"method":"redeemURL","params":["ocap:2",""]}"#]);
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

#[test]
fn a_transaction_that_is_rolled_back_takes_only_its_own_messages() {
    let mut alice = End::new();
    let stage = |alice: &mut End, label| alice.session.stage(StoredCommand::new(&command(label)).unwrap());
    stage(&mut alice, 1);
    alice.session.keep_staged();
    stage(&mut alice, 2);
    alice.session.roll_back_staged();
    assert_eq!(stage(&mut alice, 3), seq(2));
    alice.session.keep_staged();
    alice.session.commit(alice.now);
    assert_eq!(alice.write_all().len(), 2);
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

#[test]
fn a_restart_of_the_peer_begins_again_at_one_with_nothing_left() {
    let mut alice = End::new();
    alice.take(&plain(1, 1));
    alice.take(&plain(3, 3)); // held from the dead incarnation
    alice.send(1);
    let stale = alice.session.poll_write(alice.now).unwrap();
    alice.session.peer_restarted();
    alice.finish(&stale, WriteOutcome::Written); // its late result means nothing
    assert_eq!(alice.session.poll_timeout(), None);
    assert_eq!(alice.send(7), Seq::FIRST);
    assert_eq!(alice.write_all(), [r#"{"seq":1,"start":1,"method":"redeemURL","params":["ocap:7",""]}"#]);
    alice.delivered.clear();
    alice.take(&plain(1, 8));
    alice.take(&plain(2, 9));
    assert_eq!(alice.delivered, [8, 9]);
}

#[test]
fn a_kernel_that_kept_its_store_goes_on_where_it_was() {
    let stored = |number| (seq(number), StoredCommand::new(&command(number)).unwrap());
    let saved = SavedSession { last_sent: 6, start: 5, highest_received: 3, pending: vec![stored(5), stored(6)] };
    let mut alice = End::restored(saved);
    assert_eq!(alice.session.poll_timeout(), Some(alice.now.after(ACK_TIMEOUT)));
    let texts = alice.write_all();
    assert!(texts[0].starts_with(r#"{"seq":5,"ack":3,"start":5,"#), "{texts:?}");
    assert_eq!(alice.send(7), seq(7));
    assert_eq!(alice.take(&plain(3, 3)), Some(Receipt::Duplicate));
}

#[test]
fn a_store_without_pending_messages_goes_on_after_the_last_number() {
    let saved = SavedSession { last_sent: 6, start: 7, highest_received: 0, pending: Vec::new() };
    assert_eq!(End::restored(saved).send(1), seq(7));
    assert_eq!(End::new().send(1), Seq::FIRST);
}

#[test]
fn a_network_that_was_started_anew_gets_everything_unacknowledged() {
    let mut alice = End::new();
    alice.send(1);
    alice.write_all();
    alice.session.network_started();
    assert!(alice.write_all()[0].starts_with(r#"{"seq":1,"start":1,"#));
}

#[test]
fn a_result_from_before_the_network_was_started_anew_means_nothing() {
    let mut alice = End::new();
    alice.send(1);
    let former = alice.session.poll_write(alice.now).unwrap();
    alice.session.network_started();
    let present = alice.session.poll_write(alice.now).unwrap();
    alice.finish(&former, WriteOutcome::Written);
    assert_eq!(alice.session.poll_write(alice.now), None, "the present write is still under way");
    alice.finish(&present, WriteOutcome::Refused);
    alice.session.channel_up(alice.now);
    assert!(alice.write_all()[0].starts_with(r#"{"seq":1,"start":1,"#));
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

/// After a give-up, after a restart of the peer, or when the peer comes before there is a session, a channel may be there
/// without an announcement; the first write goes out on it.
#[test]
fn an_answer_older_than_the_channel_does_not_count_even_without_a_former_announcement() {
    for begin in [Session::give_up, Session::peer_restarted, Session::channel_was_announced] {
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
