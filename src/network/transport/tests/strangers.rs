//! Crowds: many keys, half-open handshakes, peers that change their incarnation all the time.

use std::time::Duration;

use super::{
    bench::{Bench, asks, dials, ends, faults, outcome},
    people,
};
use crate::{
    network::transport::{ChannelId, DeliveryOutcome, Input},
    wire::{PeerId, RemoteCommsOptions, RemoteError},
};

fn stranger(number: u16) -> PeerId {
    let mut seed = [7; 32];
    seed[..2].copy_from_slice(&number.to_le_bytes());
    PeerId::from_ed25519_seed(seed).unwrap()
}

/// Eight places, six of them for guests.
fn alice() -> Bench {
    Bench::with(RemoteCommsOptions { max_concurrent_connections: 8, ..RemoteCommsOptions::default() })
}

fn half_open(alice: &mut Bench, numbers: std::ops::Range<u16>) -> Vec<ChannelId> {
    let open = |number| {
        alice.pass(1);
        alice.inbound(&stranger(number)).0
    };
    numbers.map(open).collect()
}

#[test]
fn half_open_handshakes_make_way_oldest_first_and_keep_no_honest_stranger_out() {
    let [_, bob, carol] = people();
    let mut alice = alice();
    let crowd = half_open(&mut alice, 0..6);
    let (channel, effects) = alice.inbound(&bob);
    assert!(ends(&effects, crowd[0]) && !ends(&effects, crowd[1]) && !ends(&effects, channel));
    alice.hello(channel, "b1");
    alice.verdict(channel, &bob, Ok(false));
    let more = half_open(&mut alice, 10..100);
    assert_eq!(alice.transport.cx.guests, 6);
    let connected = |alice: &Bench| alice.transport.peers[&bob].registered.is_some();
    assert!(connected(&alice), "who has shown its incarnation stays");

    alice.introduce(&carol);
    let (from_carol, effects) = alice.inbound(&carol);
    assert!(!ends(&effects, from_carol));
    assert!(more.iter().all(|channel| !ends(&effects, *channel)), "there are places that no guest has");
}

#[test]
fn strangers_with_channels_keep_them_for_a_while_and_then_lend_them() {
    let [_, bob, carol] = people();
    let mut alice = alice();
    let accept = |number| {
        alice.pass(1);
        alice.accept_stranger(&stranger(number), "s")
    };
    let channels: Vec<_> = (0..6).map(accept).collect();
    let (refused, effects) = alice.inbound(&bob);
    assert!(ends(&effects, refused));
    alice.pass(30_000);
    let (taken, effects) = alice.inbound(&bob);
    assert!(ends(&effects, channels[0]) && !ends(&effects, taken));

    // Those whom the kernel knows have the places that are left, and then those of guests, at once.
    for number in 20..24 {
        alice.introduce(&stranger(number));
        let (channel, effects) = alice.inbound(&stranger(number));
        assert!(!ends(&effects, channel), "{number}");
    }
    assert_eq!((alice.transport.cx.engaged, alice.transport.cx.guests), (8, 4));
    alice.introduce(&carol);
    alice.accept(&carol, "c1");
    assert_eq!((alice.transport.cx.engaged, alice.transport.cx.guests), (8, 3));
}

#[test]
fn a_stranger_that_the_kernel_comes_to_know_is_no_guest_any_more() {
    let [_, bob, _] = people();
    let mut alice = alice();
    alice.accept_stranger(&bob, "b1");
    alice.introduce(&bob);
    alice.pass(60_000);
    half_open(&mut alice, 0..50);
    assert!(alice.transport.peers[&bob].registered.is_some());
    assert_eq!((alice.transport.cx.engaged, alice.transport.cx.guests), (7, 6));
}

#[test]
fn a_peer_that_changes_its_incarnation_all_the_time_is_soon_not_listened_to() {
    let [_, bob, _] = people();
    let mut alice = Bench::alice();
    alice.introduce(&bob);
    let flap = |alice: &mut Bench, number: u32| {
        let (channel, _) = alice.inbound(&bob);
        let asked = asks(&alice.hello(channel, &format!("life-{number}")));
        if asked {
            alice.verdict(channel, &bob, Ok(true));
        }
        alice.pass(10);
        asked
    };
    assert_eq!((0..1_000).filter(|number| flap(&mut alice, *number)).count(), 30);
    alice.pass(60_000);
    assert!(flap(&mut alice, 1_000), "after a minute it has another chance");
}

#[test]
fn who_has_a_channel_may_move_it_often_and_restart_as_rarely_as_others() {
    let [_, bob, _] = people();
    let mut alice = Bench::alice();
    alice.accept(&bob, "b1");
    let moves = |alice: &mut Bench, name: &str| {
        let (channel, _) = alice.inbound(&bob);
        let asked = asks(&alice.hello(channel, name));
        if asked {
            alice.verdict(channel, &bob, Ok(false));
        }
        alice.pass(10);
        asked
    };
    assert_eq!((0..1_000).filter(|_| moves(&mut alice, "b1")).count(), 600);
    alice.pass(60_000);
    let restarts = (0..1_000).filter(|number| moves(&mut alice, &format!("life-{number}"))).count();
    assert_eq!(restarts, 30);
}

#[test]
fn a_stranger_that_leaves_is_not_looked_for() {
    let [_, bob, carol] = people();
    let mut alice = Bench::alice();
    let channel = alice.accept_stranger(&bob, "b1");
    alice.closed(channel);
    assert!(dials(&alice.pass(120_000)).is_empty());
    let channel = alice.accept(&carol, "c1");
    alice.closed(channel);
    assert_eq!(dials(&alice.pass(1_000)).len(), 1, "one whom the kernel knows is");
}

#[test]
fn what_the_kernel_has_for_a_stranger_that_left_is_dialled_for() {
    let [_, bob, _] = people();
    let mut alice = Bench::alice();
    let channel = alice.accept_stranger(&bob, "b1");
    alice.closed(channel);
    let (send, effects) = alice.send(&bob, "an answer");
    assert_eq!((dials(&effects).len(), outcome(&effects, send)), (1, None));
}

#[test]
fn strangers_are_remembered_newest_first_and_known_peers_always() {
    let [_, _, carol] = people();
    let mut alice = alice();
    alice.introduce(&carol);
    for number in 0..500 {
        let (channel, _) = alice.inbound(&stranger(number));
        alice.frame(channel, "garbage");
    }
    assert_eq!(alice.transport.peers.len(), 81);
    assert!(alice.transport.peers.contains_key(&carol) && alice.transport.peers.contains_key(&stranger(499)));
}

#[test]
fn a_peer_that_writes_nonsense_loses_its_channel() {
    let [_, bob, _] = people();
    let mut alice = Bench::alice();
    let channel = alice.accept(&bob, "b1");
    let nonsense = |alice: &mut Bench| {
        alice.frame(channel, "nonsense");
        let error = RemoteError::Other { name: "ProtocolError".into(), message: "no message".into() };
        ends(&alice.delivered(&bob, DeliveryOutcome::Refused(error)), channel)
    };
    assert_eq!((0..15).filter(|_| nonsense(&mut alice)).count(), 0);
    alice.frame(channel, "sense");
    alice.delivered(&bob, DeliveryOutcome::Accepted(None));
    assert_eq!((0..16).map(|_| nonsense(&mut alice)).collect::<Vec<_>>().iter().filter(|ended| **ended).count(), 1);
}

#[test]
fn a_handshake_that_never_ends_costs_a_place_for_ten_seconds() {
    let mut alice = alice();
    let channels = half_open(&mut alice, 0..6);
    let effects = alice.pass(10_000);
    assert!(channels.iter().all(|channel| ends(&effects, *channel)));
    assert_eq!(faults(&effects).len(), 6);
    assert_eq!(alice.transport.cx.engaged, 0);
}

#[test]
fn a_frame_that_never_ends_costs_a_channel_for_the_time_of_inactivity() {
    let [_, bob, _] = people();
    let mut alice = Bench::alice();
    let channel = alice.accept(&bob, "b1");
    assert!(!ends(&alice.pass(119_999), channel));
    assert!(ends(&alice.pass(1), channel), "only whole frames count");
}

/// The counts of places follow the peers, whatever happens.
#[test]
fn the_counts_of_places_are_those_of_the_peers() {
    let mut alice = alice();
    let mut state = 1_u64;
    let mut next = |bound: u64| {
        // Knuth's linear congruential generator.
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % bound
    };
    let mut channels: Vec<(ChannelId, PeerId)> = Vec::new();
    for _ in 0..20_000 {
        let peer = stranger(next(24) as u16);
        match next(8) {
            0 | 1 => channels.push((alice.inbound(&peer).0, peer)),
            2 => drop(alice.send(&peer, "x")),
            3 => alice.introduce(&peer),
            4 => drop(alice.pass(next(5_000))),
            5 => drop(alice.feed(Input::Reconnect { peer, hints: Vec::new() })),
            kind if !channels.is_empty() => {
                let at = next(channels.len() as u64) as usize;
                let (channel, peer) = channels[at].clone();
                match kind {
                    6 => {
                        alice.hello(channel, "s");
                        alice.verdict(channel, &peer, Ok(next(4) == 0));
                    }
                    _ => {
                        channels.swap_remove(at);
                        alice.closed(channel);
                    }
                }
            }
            _ => {}
        }
        let transport = &alice.transport;
        let count =
            |of: fn(&super::super::peer::Peer) -> bool| transport.peers.values().filter(|peer| of(peer)).count();
        assert_eq!(count(|peer| peer.is_engaged()), transport.cx.engaged);
        assert_eq!(count(|peer| peer.is_guest()), transport.cx.guests);
        assert!(transport.cx.engaged <= 8 && transport.cx.guests <= 6);
    }
    assert!(alice.now.since(crate::runtime::Timestamp::from_millis(1_000_000)) > Duration::from_secs(60));
}
