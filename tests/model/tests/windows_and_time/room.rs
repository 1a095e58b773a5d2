//! How much a session holds for others: the receiver's window, and the sender's.

use std::collections::BTreeMap;

use ocap_remotes::{
    runtime::Timestamp,
    session::{Arrived, Receipt, SavedSession, Session, SessionConfig},
    wire::{RemoteCommand, RemoteCommsOptions, Seq, StoredCommand},
};
use proptest::prelude::*;

const NOW: Timestamp = Timestamp::from_millis(1_000_000);

fn command(number: u64) -> RemoteCommand {
    RemoteCommand::RedeemUrl { url: number.to_string(), reply_key: String::new() }
}

fn seq(number: u64) -> Seq {
    Seq::new(number).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever comes in whatever order: it is held up to the limits in number and in bytes, only the next in order is never
    /// refused, and what comes out is each number once, in order.
    #[test]
    fn what_is_held_never_exceeds_the_limits(
        max_held in 1..=200_usize,
        max_held_bytes in 1_000..20_000_usize,
        arrivals in prop::collection::vec((1..300_u64, prop_oneof![3 => 1..100_usize, 1 => 900..1_100_usize]), 1..600),
    ) {
        let config = SessionConfig { max_held, max_held_bytes, ..SessionConfig::from(&RemoteCommsOptions::default()) };
        let mut session = Session::restore(config, SavedSession::default(), NOW);
        session.sender_starts_at(Some(Seq::FIRST));
        let mut held = BTreeMap::new();
        let mut next = 1;
        for (number, size) in arrivals {
            let bytes: usize = held.values().sum();
            let expected = if number < next || held.contains_key(&number) {
                Receipt::Duplicate
            } else if number == next {
                Receipt::InOrder
            } else if held.len() < max_held && bytes + size <= max_held_bytes {
                Receipt::Held
            } else {
                Receipt::NoRoom
            };
            prop_assert_eq!(session.receive(NOW, seq(number), Arrived::new(command(number), size)), expected);
            if matches!(expected, Receipt::InOrder | Receipt::Held) {
                held.insert(number, size);
            }
            while let Some((came, out)) = session.next_in_order() {
                prop_assert_eq!((came.get(), &out.command), (next, &command(next)));
                prop_assert!(held.remove(&next).is_some());
                session.delivered(came);
                next += 1;
            }
            prop_assert!(!held.contains_key(&next));
        }
        prop_assert_eq!(session.highest_received(), Seq::new(next - 1));
    }

    /// Programs may have so many messages unacknowledged, whatever is acknowledged, rolled back or committed in between;
    /// replies that the kernel makes go beyond, and count.
    #[test]
    fn a_program_sends_while_there_is_room(
        max_queue in 1..=200_usize,
        steps in prop::collection::vec((0..5_u8, 1..40_u64), 1..200),
    ) {
        let config = SessionConfig { max_queue, ..SessionConfig::from(&RemoteCommsOptions::default()) };
        let mut session = Session::restore(config, SavedSession::default(), NOW);
        let (mut acknowledged, mut committed, mut kept) = (0, 0, 0);
        for (what, count) in steps {
            match what {
                0 | 1 => {
                    for _ in 0..count {
                        let is_reply = what == 1;
                        let room = (kept - acknowledged) < max_queue as u64;
                        prop_assert_eq!(session.check_room().is_ok(), room);
                        if room || is_reply {
                            kept += 1;
                            prop_assert_eq!(session.stage(StoredCommand::new(&command(kept)).unwrap()).get(), kept);
                            session.keep_staged();
                        }
                    }
                }
                2 => {
                    for extra in 1..=count {
                        prop_assert_eq!(session.stage(StoredCommand::new(&command(0)).unwrap()).get(), kept + extra);
                    }
                    session.roll_back_staged();
                }
                3 => {
                    session.commit(NOW);
                    committed = kept;
                }
                _ => {
                    let ack = (acknowledged + count).min(committed);
                    if let Some(covered) = session.acknowledged_by(Seq::new(acknowledged + count)) {
                        prop_assert_eq!((covered.first.get(), covered.last.get()), (acknowledged + 1, ack));
                        session.acknowledge(NOW, &covered);
                        acknowledged = ack;
                    } else {
                        prop_assert_eq!(ack, acknowledged);
                    }
                }
            }
            prop_assert_eq!(session.pending() as u64, kept - acknowledged);
        }
    }
}
