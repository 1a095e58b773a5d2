use super::{
    bench::{Bench, dial, refused},
    people,
};
use crate::{
    network::{
        status::{ChannelKind, Path, PeerState, PeerStatus},
        transport::Input,
    },
    wire::{PeerId, RemoteCommsOptions},
};

fn status(bench: &Bench, peer: &PeerId) -> PeerStatus {
    let path = Path::new(ChannelKind::Ws, None);
    path.note_round_trip(crate::runtime::Timestamp::from_millis(1), std::time::Duration::from_micros(1_500));
    let all = bench.transport.status(|_| path.clone());
    all.into_iter().find(|status| status.peer_id == *peer).unwrap()
}

fn changes(bench: &mut Bench) -> Vec<PeerState> {
    bench.transport.take_changes(|_| Path::default()).into_iter().map(|status| status.state).collect()
}

#[test]
fn the_stages_of_a_channel_are_told_as_they_come_and_traffic_is_not() {
    let [_, bob, _] = people();
    let mut alice = Bench::alice();
    let (_, effects) = alice.send(&bob, "first");
    assert_eq!(changes(&mut alice), [PeerState::Dialling]);
    assert_eq!(status(&alice, &bob).unwritten, 1);
    let (channel, _) = alice.dial_succeeds(dial(&effects));
    assert_eq!(changes(&mut alice), [PeerState::Handshaking]);
    alice.written(channel);
    alice.ack(channel, "b1");
    alice.verdict(channel, &bob, Ok(false));
    assert_eq!(changes(&mut alice), [PeerState::Connected]);
    let shown = status(&alice, &bob).channel.unwrap();
    assert_eq!((shown.kind, shown.round_trip_ms, shown.dialled_by_us), (ChannelKind::Ws, Some(1.5), true));
    assert_eq!((shown.incarnation.as_str(), shown.since), ("b1", alice.now.as_millis()));

    alice.written(channel);
    alice.frame(channel, "hello");
    alice.send(&bob, "second");
    assert_eq!(changes(&mut alice), []);
    alice.closed(channel);
    assert_eq!(changes(&mut alice), [PeerState::Waiting]);
    let lost = status(&alice, &bob);
    assert_eq!(lost.channel, None);
    assert_eq!(lost.last_error.unwrap().reason, "cut");
    alice.feed(Input::CloseConnection { peer: bob.clone() });
    assert_eq!(changes(&mut alice), [PeerState::Closed]);
}

#[test]
fn a_peer_that_cannot_be_reached_shows_its_attempts_and_the_next() {
    let [_, bob, _] = people();
    let mut alice = Bench::alice();
    let (_, effects) = alice.send(&bob, "first");
    alice.dial_fails(dial(&effects), refused());
    for attempt in 1..100 {
        let next = status(&alice, &bob).next_attempt_at.unwrap();
        let effects = alice.pass(next - alice.now.as_millis());
        alice.dial_fails(dial(&effects), refused());
        let shown = status(&alice, &bob);
        assert_eq!(shown.last_error.as_ref().unwrap().reason, "ECONNREFUSED: nobody listens");
        if shown.state == PeerState::Failed {
            assert_eq!(shown.next_attempt_at, None);
            return;
        }
        assert_eq!((shown.state, shown.failed_attempts), (PeerState::Waiting, attempt));
    }
    panic!("it is tried for ever");
}

#[test]
fn a_peer_that_is_forgotten_and_a_transport_that_stops_are_told() {
    let [_, bob, carol] = people();
    let mut alice = Bench::with(RemoteCommsOptions { max_retry_attempts: 1, ..RemoteCommsOptions::default() });
    let (channel, _) = alice.inbound(&bob);
    changes(&mut alice);
    alice.closed(channel);
    assert_eq!(changes(&mut alice), [PeerState::Idle]);
    alice.pass(75_000);
    assert_eq!(alice.transport.status(|_| Path::default()), []);
    alice.accept(&carol, "c1");
    changes(&mut alice);
    alice.feed(Input::Stop);
    assert_eq!(changes(&mut alice), [PeerState::Idle]);
}

#[test]
fn a_long_reason_is_cut_between_characters() {
    let [_, bob, _] = people();
    let mut alice = Bench::alice();
    let channel = alice.accept(&bob, "b1");
    alice.feed(Input::ChannelClosed { channel, reason: format!("x{}", "é".repeat(1_000)) });
    let reason = status(&alice, &bob).last_error.unwrap().reason;
    assert_eq!(reason.len(), 199);
}
