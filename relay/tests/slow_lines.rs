//! Whole kernels behind lines that carry little: what moves is alive.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)] // a story that goes wrong is to fail

mod support;

use std::time::{Duration, Instant};

use ocap_remotes::{
    kernel::KernelEvent,
    network::status::{NetworkEvent, PeerState},
    wire::RemoteCommsOptions,
};
use support::{Line, Party, Relay, body, free_port, party, start, story};

/// Bytes per second each way: the longest message takes 21 s. `SLOW_LINE` sets another rate.
fn rate() -> u64 {
    std::env::var("SLOW_LINE").map_or(50_000, |rate| rate.parse().unwrap())
}

/// Nothing was lost, and nobody given up.
fn are_well(both: [&Party; 2], begin: Instant) {
    let lost = |event: &NetworkEvent| match event {
        NetworkEvent::Peer(peer) => peer.state != PeerState::Connected,
        NetworkEvent::Relay(relay) => relay.code.is_some(),
        _ => true,
    };
    let given_up = |(_, event): &(Instant, KernelEvent)| matches!(event, KernelEvent::Remote(_));
    let ill = |who: &Party| who.network.borrow().iter().any(lost) || who.heard.borrow().iter().any(given_up);
    if both.into_iter().any(ill) {
        for who in both {
            let arrived: Vec<_> =
                who.messages().iter().map(|(at, text)| (at.duration_since(begin), text.len())).collect();
            let told: Vec<_> = who.heard.borrow().iter().filter(|h| given_up(h)).map(|h| format!("{h:?}")).collect();
            println!("{}: {:#?}\n{told:?}\narrived: {arrived:?}", who.peer, who.network.borrow());
        }
        panic!("after {:?} a channel or a peer was lost", begin.elapsed());
    }
}

/// Both send the other a message of the greatest length, and a short one every second until both have arrived.
async fn long_talk(alice: &Party, bob: &Party) -> Duration {
    // Bob has no way to alice before she has come.
    let for_bob = alice.introduced_to(bob).await;
    let for_alice = bob.introduced_to(alice).await;
    alice.network.borrow_mut().clear();
    bob.network.borrow_mut().clear();
    let begin = Instant::now();
    let mut expected = Vec::new();
    let arrived = |who: &Party| !who.messages().is_empty();
    while !(arrived(alice) && arrived(bob)) {
        let text = body(expected.len(), if expected.is_empty() { 1_040_000 } else { 100 });
        alice.send(for_bob, text.clone());
        bob.send(for_alice, text.clone());
        expected.push(text);
        tokio::time::sleep(Duration::from_secs(1)).await;
        are_well([alice, bob], begin);
    }
    let took = begin.elapsed();
    for who in [alice, bob] {
        who.receives(expected.len()).await;
        assert!(who.messages().iter().map(|(_, text)| text).eq(expected.iter()), "each once and in order");
    }
    are_well([alice, bob], begin);
    took
}

#[test]
fn the_longest_messages_pass_a_slow_line_both_ways_and_no_channel_is_lost() {
    let port = free_port();
    let line = Line::slow(port, rate());
    story(async {
        let listen = vec![format!("/ip4/127.0.0.1/tcp/{port}/ws")];
        let bob =
            start(31, RemoteCommsOptions { direct_listen_addresses: listen, ..RemoteCommsOptions::default() }).await;
        let alice = start(32, RemoteCommsOptions::default()).await;
        let hints = vec![format!("/ip4/127.0.0.1/tcp/{}/ws/p2p/{}", line.port, bob.peer)];
        alice.driver.call(|kernel, now| kernel.register_location_hints(&bob.peer, hints, now)).unwrap();
        println!("ws, {} B/s: 1 MB each way took {:?}", rate(), long_talk(&alice, &bob).await);
    });
}

#[test]
fn the_longest_messages_pass_a_relay_behind_slow_lines_and_no_connection_is_lost() {
    let state = tempfile::tempdir().unwrap();
    let port = free_port();
    let mut relay = Relay::start(state.path(), port, &[]);
    let line = Line::slow(port, rate());
    relay.ws_address = relay.ws_address.replace(&format!("/tcp/{port}/"), &format!("/tcp/{}/", line.port));
    story(async {
        let (alice, bob) = (party(33, &relay).await, party(34, &relay).await);
        println!("relayed, {} B/s: 1 MB each way took {:?}", rate(), long_talk(&alice, &bob).await);
    });
}
