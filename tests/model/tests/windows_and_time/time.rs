//! What is promised about time.

use std::time::Duration;

use ocap_remotes::{
    runtime::Timestamp,
    session::{Arrived, SavedSession, Session, SessionConfig, TimerOutcome, WriteOutcome},
    wire::{Message, RemoteCommand, RemoteCommsOptions, Seq, StoredCommand},
};
use proptest::prelude::*;

const BEGIN: Timestamp = Timestamp::from_millis(1_000_000);

fn command() -> RemoteCommand {
    RemoteCommand::RedeemUrl { url: "ocap:1".to_owned(), reply_key: String::new() }
}

fn stored() -> StoredCommand {
    StoredCommand::new(&command()).unwrap()
}

/// Writes everything that is ready, each with an immediate result, and gives the highest acknowledgement told.
fn write_all(session: &mut Session, now: Timestamp) -> u64 {
    let mut told = 0;
    while let Some(write) = session.poll_write(now) {
        told = told.max(Message::parse(&write.text).unwrap().ack.map_or(0, Seq::get));
        session.write_finished(now, write.token, WriteOutcome::Written);
    }
    told
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// While a channel is up, an acknowledgement leaves at most `delayed_ack` after the commit of the first message that it is
    /// for, whatever else is sent or received, and the session asks to be woken in time.
    #[test]
    fn no_acknowledgement_is_late(
        delayed_ack in 0..200_u64,
        max_queue in 1..=200_usize,
        steps in prop::collection::vec((0..120_u64, 0..3_u8), 1..200),
    ) {
        let delayed_ack = Duration::from_millis(delayed_ack);
        let options = RemoteCommsOptions { max_queue, ..RemoteCommsOptions::default() };
        let config = SessionConfig { delayed_ack, ..SessionConfig::from(&options) };
        let mut session = Session::restore(config, SavedSession::default(), BEGIN);
        session.channel_up(BEGIN);
        let (mut now, mut received, mut told) = (BEGIN, 0, 0);
        // The time of the commit of each message that is not acknowledged.
        let mut commits: Vec<Timestamp> = Vec::new();
        for (pause, what) in steps {
            let until = now.after(Duration::from_millis(pause));
            while let Some(due) = session.poll_timeout().filter(|due| *due <= until) {
                now = now.max(due);
                if session.handle_timeout(now) == TimerOutcome::GiveUp {
                    session.give_up();
                    session.commit(now);
                }
                let ack = write_all(&mut session, now).max(told);
                commits.drain(..(ack - told) as usize);
                told = ack;
            }
            now = until;
            if let Some(first) = commits.first() {
                prop_assert!(now.since(*first) <= delayed_ack, "{} after its commit", now.since(*first).as_millis());
            }
            match what {
                0 if session.check_room().is_ok() => {
                    session.stage(stored());
                    session.keep_staged();
                }
                1 => {
                    let before = received;
                    while received < before + pause % 7 {
                        received += 1;
                        let seq = Seq::new(received).unwrap();
                        session.receive(now, seq, Arrived::new(command(), 40));
                        session.delivered(seq);
                    }
                }
                _ => drop(session.receive(now, Seq::FIRST, Arrived::new(command(), 40))),
            }
            if received == 0 && what > 1 {
                // The repetition was none, but the first.
                received = 1;
                session.delivered(Seq::FIRST);
            }
            session.commit(now);
            commits.resize((received - told) as usize, now);
            let ack = write_all(&mut session, now).max(told);
            commits.drain(..(ack - told) as usize);
            told = ack;
        }
    }

    /// Without a channel and without progress, the peer is given up exactly when all its time is over, however often one tries
    /// in between.
    #[test]
    fn a_silent_peer_is_given_up_in_time_and_not_before(
        ack_timeout in 1..20_000_u64,
        max_retransmissions in 0..6_u32,
        messages in 1..20_usize,
        glances in prop::collection::vec(0..10_000_u64, 0..40),
    ) {
        let ack_timeout = Duration::from_millis(ack_timeout);
        let options = RemoteCommsOptions::default();
        let config = SessionConfig { ack_timeout, max_retransmissions, ..SessionConfig::from(&options) };
        let mut session = Session::restore(config, SavedSession::default(), BEGIN);
        for _ in 0..messages {
            session.stage(stored());
        }
        session.keep_staged();
        session.commit(BEGIN);
        let end = BEGIN.after(ack_timeout * (max_retransmissions + 1));
        let mut now = BEGIN;
        let mut glances = glances.into_iter();
        loop {
            while let Some(write) = session.poll_write(now) {
                session.write_finished(now, write.token, WriteOutcome::Refused);
            }
            let due = session.poll_timeout().unwrap();
            prop_assert!(due > now && due <= end, "the next timer is due at {due}, the end is {end}");
            // Somebody may look earlier than is needed.
            now = glances.next().map_or(due, |glance| due.min(now.after(Duration::from_millis(glance))));
            let given_up = session.handle_timeout(now) == TimerOutcome::GiveUp;
            prop_assert_eq!(given_up, now >= end);
            if given_up {
                break;
            }
        }
        prop_assert_eq!(now, end);
        prop_assert_eq!(session.abandonable().map(|all| all.seqs().count()), Some(messages));
        session.give_up();
        prop_assert_eq!((session.pending(), session.poll_timeout()), (0, None));
    }

    /// Whatever channels come up, and however nobody answers on them, the wait ends within twice the time.
    #[test]
    fn new_channels_put_a_give_up_off_but_not_for_ever(
        channels in prop::collection::vec(1..15_000_u64, 0..40),
    ) {
        let config = SessionConfig::from(&RemoteCommsOptions::default());
        let patience = config.ack_timeout * (config.max_retransmissions + 1);
        let mut session = Session::restore(config, SavedSession::default(), BEGIN);
        session.stage(stored());
        session.keep_staged();
        session.commit(BEGIN);
        let mut now = BEGIN;
        let mut channels = channels.into_iter();
        let mut next_channel = channels.next().map(|pause| now.after(Duration::from_millis(pause)));
        loop {
            write_all(&mut session, now);
            let due = session.poll_timeout().unwrap();
            if let Some(up) = next_channel.filter(|up| *up <= due) {
                now = up;
                session.channel_up(now);
                next_channel = channels.next().map(|pause| now.after(Duration::from_millis(pause)));
                continue;
            }
            now = now.max(due);
            if session.handle_timeout(now) == TimerOutcome::GiveUp {
                break;
            }
        }
        prop_assert!(now >= BEGIN.after(patience) && now <= BEGIN.after(patience * 2));
    }
}
