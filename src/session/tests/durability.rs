//! Transactions, commits, and lives that follow one another.

use super::*;

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
    alice.session.receive(alice.now, seq(2), Arrived::new(command(2), 10));
    alice.session.delivered(seq(2));
    alice.wait(DELAYED_ACK);
    assert!(alice.session.awaits_commit());
    assert_eq!(alice.write_all(), [""; 0], "neither the message nor the acknowledgement");
    alice.session.commit(alice.now);
    assert_eq!(alice.write_all(), [r#"{"seq":2,"ack":2,"method":"redeemURL","params":["ocap:2",""]}"#]);
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
fn a_restart_of_the_peer_begins_again_at_one_with_nothing_left() {
    let mut alice = End::new();
    alice.take(&plain(1, 1));
    alice.take(&plain(3, 3)); // held from the dead incarnation
    alice.send(1);
    let stale = alice.session.poll_write(alice.now).unwrap();
    alice.session.peer_restarted(None);
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
    let saved =
        SavedSession { last_sent: 6, start: 5, highest_received: 3, pending: vec![stored(5), stored(6)], epoch: None };
    let mut alice = End::restored(saved);
    assert_eq!(alice.session.poll_timeout(), Some(alice.now.after(ACK_TIMEOUT)));
    let texts = alice.write_all();
    assert!(texts[0].starts_with(r#"{"seq":5,"ack":3,"start":5,"#), "{texts:?}");
    assert_eq!(alice.send(7), seq(7));
    assert_eq!(alice.take(&plain(3, 3)), Some(Receipt::Duplicate));
}

#[test]
fn a_store_without_pending_messages_goes_on_after_the_last_number() {
    let saved = SavedSession { last_sent: 6, start: 7, highest_received: 0, pending: Vec::new(), epoch: None };
    assert_eq!(End::restored(saved).send(1), seq(7));
    assert_eq!(End::new().send(1), Seq::FIRST);
}
