//! Reservations: refused with a reason, renewed in time, at several relays.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)] // a story that goes wrong is to fail

mod support;

use std::time::Duration;

use futures::StreamExt as _;
use ocap_remotes::{
    network::{
        link::ErrorCode,
        node::{NodeEvent, circuit_address},
    },
    wire::PeerId,
};
use support::{Kernel, Relay, free_port, story};

fn circuits(relays: &[String], peer: &PeerId) -> Vec<String> {
    relays.iter().map(|relay| circuit_address(relay, peer)).collect()
}

async fn opens_soon(from: &Kernel, to: &Kernel, addresses: &[String]) {
    for attempt in 0.. {
        match from.node.open_anew(&to.peer(), addresses).await {
            Ok(_) => break,
            Err(error) => assert!(attempt < 400, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The code with which the first attempt at a reservation fails.
async fn refusal(seed: u8, relay: &str) -> ErrorCode {
    let mut kernel = Kernel::start(seed, |config| config.relays = vec![relay.to_owned()]);
    loop {
        match kernel.events.next().await.unwrap() {
            NodeEvent::RelayDown { relay: told, code, .. } => {
                assert_eq!(told, relay);
                return code;
            }
            NodeEvent::RelayUp { .. } => panic!("the relay took the reservation"),
            _ => {}
        }
    }
}

#[test]
fn a_relay_without_room_says_so_to_those_who_reserve() {
    let state = tempfile::tempdir().unwrap();
    let relay = Relay::start(state.path(), free_port(), &["--max-reservations", "1"]);
    story(async {
        let _alice = Kernel::at_relay(21, &relay).await;
        assert_eq!(refusal(22, &relay.ws_address).await, ErrorCode::RelayLimit);
    });
}

#[test]
fn a_relay_without_room_says_so_to_those_who_dial() {
    let state = tempfile::tempdir().unwrap();
    let relay = Relay::start(state.path(), free_port(), &["--max-circuits-per-peer", "1"]);
    story(async {
        let alice = Kernel::at_relay(23, &relay).await;
        let bob = Kernel::start(24, |config| config.relays = vec![relay.ws_address.clone()]);
        let circuit = [circuit_address(&relay.ws_address, &alice.peer())];
        // libp2p's relay allows one more than it says.
        let first = bob.node.open(&alice.peer(), &circuit).await.unwrap();
        let _second = bob.node.open_anew(&alice.peer(), &circuit).await.unwrap();
        let error = bob.node.open_anew(&alice.peer(), &circuit).await.unwrap_err();
        assert_eq!((error.code, error.retryable), (ErrorCode::RelayLimit, true), "{error}");
        // The place is free again when the first circuit is not needed any more.
        let path = first.path();
        drop(first);
        bob.node.discard(&path).await;
        opens_soon(&bob, &alice, &circuit).await;
    });
}

#[test]
fn what_is_no_relay_or_not_there_is_named() {
    story(async {
        let carol = Kernel::start(25, |config| config.listen = vec!["/ip4/127.0.0.1/tcp/0/ws".to_owned()]);
        while carol.node.listen_addresses().is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let address = format!("{}/p2p/{}", carol.node.listen_addresses()[0], carol.peer());
        assert_eq!(refusal(26, &address).await, ErrorCode::NotARelay);
        let nobody = PeerId::from_ed25519_seed([99; 32]).unwrap();
        let bob = Kernel::start(27, |_| {});
        let error = bob.node.open(&nobody, &[circuit_address(&address, &nobody)]).await.unwrap_err();
        assert_eq!((error.code, error.retryable), (ErrorCode::NotARelay, false), "{error}");

        let absent = format!("/ip4/127.0.0.1/tcp/{}/ws/p2p/{nobody}", free_port());
        assert_eq!(refusal(28, &absent).await, ErrorCode::ConnRefused);
    });
}

#[test]
fn a_reservation_is_renewed_before_it_ends() {
    let state = tempfile::tempdir().unwrap();
    let relay = Relay::start(state.path(), free_port(), &["--reservation-seconds", "8"]);
    story(async {
        let mut alice = Kernel::at_relay(29, &relay).await;
        let bob = Kernel::start(30, |config| config.relays = vec![relay.ws_address.clone()]);
        let circuit = [circuit_address(&relay.ws_address, &alice.peer())];
        // More than two lives of a reservation, each renewed two seconds before its end.
        for _ in 0..20 {
            tokio::time::sleep(Duration::from_secs(1)).await;
            bob.node.open_anew(&alice.peer(), &circuit).await.unwrap();
            bob.node.disconnect(&alice.peer()).await;
        }
        while let Ok(event) = alice.events.try_recv() {
            assert!(!matches!(event, NodeEvent::RelayDown { .. }), "{event:?}");
        }
    });
}

#[test]
fn one_of_several_relays_may_die_and_comes_back_by_itself() {
    let states = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let port = free_port();
    let first = Relay::start(states[0].path(), port, &[]);
    let second = Relay::start(states[1].path(), free_port(), &[]);
    story(async {
        let relays = vec![first.ws_address.clone(), second.ws_address.clone()];
        let mut alice = Kernel::start(31, |config| config.relays = relays.clone());
        let mut up = [alice.relay_up().await, alice.relay_up().await];
        up.sort();
        let mut expected = circuits(&relays, &alice.peer());
        expected.sort();
        assert_eq!(up.to_vec(), expected);

        drop(first);
        alice.relay_down().await;
        let bob = Kernel::start(32, |config| config.relays = relays.clone());
        // The dead relay's address is tried first. Bob may just be dialling the other for himself, and libp2p makes nobody wait
        // for that.
        opens_soon(&bob, &alice, &circuits(&relays, &alice.peer())).await;

        let first = Relay::start(states[0].path(), port, &[]);
        assert_eq!(alice.relay_up().await, circuit_address(&first.ws_address, &alice.peer()));
        opens_soon(&bob, &alice, &[circuit_address(&first.ws_address, &alice.peer())]).await;
    });
}
