//! Whole kernels that meet through the relay or directly: circuits that come to their end, peers that vanish.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)] // a story that goes wrong is to fail

mod support;

use std::time::{Duration, Instant};

use ocap_remotes::{
    network::status::{ChannelKind, NetworkEvent, PeerState},
    wire::RemoteCommsOptions,
};
use support::{Line, Party, Relay, body, free_port, party, start, story};

/// A pause that is no mere accident of a busy machine: a line that went dead is noticed after so long. That no channel was lost is
/// asserted beside it; how short the pause is, is printed.
const LONGEST_PAUSE: Duration = Duration::from_secs(4);
/// What notices a dead line, and looks for its peer again, takes some seconds; on a machine that is busy for more than two of them
/// the heartbeat begins anew. Without it a dead line is noticed after minutes. The exact times are told by the tests in virtual
/// time, in `src/network`.
const SOON: Duration = Duration::from_secs(20);

/// Both send a message of `bytes` every `interval` for `seconds`. Says how many circuits were used and the longest pause.
async fn steady_talk(
    relay: &Relay,
    seeds: [u8; 2],
    seconds: u64,
    interval: Duration,
    bytes: usize,
) -> (usize, Duration) {
    let (alice, bob) = (party(seeds[0], relay).await, party(seeds[1], relay).await);
    let (for_alice, for_bob) = (bob.introduced_to(&alice).await, alice.introduced_to(&bob).await);
    let begin = Instant::now();
    let mut count = 0;
    let mut ticks = tokio::time::interval(interval);
    // What was missed is not made up for: it would be more at once than a queue holds.
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while begin.elapsed() < Duration::from_secs(seconds) {
        ticks.tick().await;
        alice.send(for_bob, body(count, bytes));
        bob.send(for_alice, body(count, bytes));
        count += 1;
    }
    let expected: Vec<String> = (0..count).map(|number| body(number, bytes)).collect();
    let mut longest = Duration::ZERO;
    for who in [&alice, &bob] {
        who.receives(count).await;
        let messages = who.messages();
        assert!(messages.iter().map(|(_, text)| text).eq(expected.iter()), "each once and in order");
        for pair in messages.windows(2) {
            longest = longest.max(pair[1].0 - pair[0].0);
        }
    }
    let (channels, errors) = alice.channels();
    assert_eq!(errors, [""; 0], "no channel was lost");
    (channels, longest)
}

#[test]
fn circuits_that_end_after_a_time_are_replaced_before_and_nobody_notices() {
    let state = tempfile::tempdir().unwrap();
    let relay = Relay::start(state.path(), free_port(), &["--max-circuit-seconds", "4"]);
    story(async {
        let (channels, longest) = steady_talk(&relay, [11, 12], 14, Duration::from_millis(20), 10).await;
        println!("{channels} circuits of 4 s in 14 s, a message each 20 ms: the longest pause was {longest:?}");
        assert!(channels >= 4, "{channels}");
        assert!(longest < LONGEST_PAUSE, "{longest:?}");
    });
}

#[test]
fn circuits_that_end_after_so_many_bytes_are_replaced_before_and_nobody_notices() {
    let state = tempfile::tempdir().unwrap();
    let relay = Relay::start(state.path(), free_port(), &["--max-circuit-bytes", "65536"]);
    story(async {
        let (channels, longest) = steady_talk(&relay, [13, 14], 10, Duration::from_millis(50), 500).await;
        println!(
            "{channels} circuits of 64 KiB in 10 s, 500 B each 50 ms both ways: the longest pause was {longest:?}"
        );
        assert!(channels >= 4, "{channels}");
        assert!(longest < LONGEST_PAUSE, "{longest:?}");
    });
}

#[test]
fn a_message_longer_than_a_circuit_is_told_of_and_the_peer_is_still_heard() {
    let state = tempfile::tempdir().unwrap();
    let relay = Relay::start(state.path(), free_port(), &["--max-circuit-bytes", "131072"]);
    story(async {
        let (alice, bob) = (party(15, &relay).await, party(16, &relay).await);
        let (for_alice, for_bob) = (bob.introduced_to(&alice).await, alice.introduced_to(&bob).await);
        // The longest that fits, twice: each takes a circuit of its own.
        for number in 0..2 {
            alice.send(for_bob, body(number, 118_000));
        }
        bob.receives(2).await;

        alice.send(for_bob, body(2, 500_000));
        let fault = alice.sees("the fault", |event| matches!(event, NetworkEvent::Fault { .. })).await;
        let NetworkEvent::Fault { name, peer_id, .. } = fault else { unreachable!() };
        assert_eq!((name.as_str(), &peer_id), ("ResourceLimitError", &bob.peer));
        for number in 0..20 {
            bob.send(for_alice, body(number, 10));
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        alice.receives(20).await;
        assert_eq!(bob.messages().len(), 2, "it cannot arrive, and nothing overtakes it");
    });
}

/// Bob vanishes behind a dead line without a word, and comes back. Says how long Alice took to notice, and how long from his
/// return to her next message.
async fn vanishing(alice: &Party, bob: &Party, line: &Line, kind: ChannelKind) -> (Duration, Duration) {
    let for_bob = alice.introduced_to(bob).await;
    alice.send(for_bob, body(0, 10));
    let connected = |event: &NetworkEvent| match event {
        NetworkEvent::Peer(peer) => peer.channel.as_ref().is_some_and(|channel| channel.kind == kind),
        _ => false,
    };
    alice.sees("a channel of the kind", connected).await;
    // Answers to pings are counted from any moment, not from the last message.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    alice.network.borrow_mut().clear();
    let gone = Instant::now();
    line.cut();
    let lost = |event: &NetworkEvent| matches!(event, NetworkEvent::Peer(peer) if peer.state != PeerState::Connected);
    alice.sees("the loss", lost).await;
    let noticed = gone.elapsed();
    alice.send(for_bob, body(1, 10));
    tokio::time::sleep(Duration::from_secs(2)).await;
    let back = Instant::now();
    line.mend();
    bob.receives(2).await;
    let messages: Vec<String> = bob.messages().into_iter().map(|(_, text)| text).collect();
    assert_eq!(messages, [body(0, 10), body(1, 10)]);
    (noticed, back.elapsed())
}

#[test]
fn a_peer_that_vanished_is_noticed_and_found_again_soon_directly() {
    let port = free_port();
    let line = Line::to(port);
    story(async {
        let listen = vec![format!("/ip4/127.0.0.1/tcp/{port}/ws")];
        let bob =
            start(17, RemoteCommsOptions { direct_listen_addresses: listen, ..RemoteCommsOptions::default() }).await;
        let alice = start(18, RemoteCommsOptions::default()).await;
        let hints = vec![format!("/ip4/127.0.0.1/tcp/{}/ws/p2p/{}", line.port, bob.peer)];
        alice.driver.call(|kernel, now| kernel.register_location_hints(&bob.peer, hints, now)).unwrap();
        let (noticed, returned) = vanishing(&alice, &bob, &line, ChannelKind::Ws).await;
        println!("ws: noticed after {noticed:?}, back in use after {returned:?}");
        assert!(noticed < SOON, "{noticed:?}");
        assert!(returned < SOON, "{returned:?}");
    });
}

#[test]
fn a_peer_that_vanished_is_noticed_and_found_again_soon_through_a_relay() {
    let state = tempfile::tempdir().unwrap();
    let port = free_port();
    let relay = Relay::start(state.path(), port, &[]);
    let line = Line::to(port);
    story(async {
        let alice = party(19, &relay).await;
        let behind_line = relay.ws_address.replace(&format!("/tcp/{port}/"), &format!("/tcp/{}/", line.port));
        let bob = start(20, RemoteCommsOptions { relays: vec![behind_line], ..RemoteCommsOptions::default() }).await;
        bob.sees("a reservation", |event| matches!(event, NetworkEvent::Relay(relay) if relay.code.is_none())).await;
        let hints = vec![relay.ws_address.clone()];
        alice.driver.call(|kernel, now| kernel.register_location_hints(&bob.peer, hints, now)).unwrap();
        let (noticed, returned) = vanishing(&alice, &bob, &line, ChannelKind::Relayed).await;
        println!("relayed: noticed after {noticed:?}, back in use after {returned:?}");
        assert!(noticed < SOON, "{noticed:?}");
        assert!(returned < SOON, "{returned:?}");
    });
}
