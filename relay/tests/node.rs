//! Nodes that meet through the relay, as real processes and sockets: streams, long messages, the relay's death and return,
//! and what a dial says when it fails.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)] // a story that goes wrong is to fail

mod support;

use std::time::{Duration, Instant};

use futures::{AsyncReadExt as _, AsyncWriteExt as _, StreamExt as _};
use ocap_remotes::{
    network::{
        link::ErrorCode,
        node::{NodeEvent, NodeStream, circuit_address},
        status::ChannelKind,
    },
    wire::PeerId,
};
use support::{Kernel, Relay, free_port, story};

/// A stream from Alice to Bob through the relay, by its two ends.
async fn joined(alice: &Kernel, bob: &mut Kernel, relay: &Relay) -> (NodeStream, NodeStream) {
    let peer = bob.peer();
    let circuit = circuit_address(&relay.ws_address, &peer);
    let mut at_alice = alice.node.open(&peer, &[circuit]).await.unwrap();
    // The protocol of a stream is negotiated with its first bytes.
    at_alice.write_all(b"hello").await.unwrap();
    at_alice.flush().await.unwrap();
    let mut at_bob = bob.inbound().await;
    let mut hello = [0; 5];
    at_bob.read_exact(&mut hello).await.unwrap();
    assert_eq!((&hello, at_bob.peer()), (b"hello", alice.node.peer()));
    for path in [at_alice.path(), at_bob.path()] {
        let through = path.relay.map(|peer| peer.to_string());
        assert_eq!((path.kind, through.as_deref()), (ChannelKind::Relayed, relay.ws_address.rsplit('/').next()));
    }
    (at_alice, at_bob)
}

async fn carried(from: &mut NodeStream, to: &mut NodeStream, bytes: &[u8]) {
    let mut received = vec![0; bytes.len()];
    let (sent, got) = futures::join!(
        async {
            from.write_all(bytes).await?;
            from.flush().await
        },
        to.read_exact(&mut received)
    );
    sent.unwrap();
    got.unwrap();
    assert!(received == bytes, "the bytes arrive as they were sent");
}

fn mebibyte() -> Vec<u8> {
    (0..1024 * 1024_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

/// Left to TCP, either would take minutes.
const SOON: Duration = Duration::from_secs(30);

#[test]
fn long_messages_pass_through_the_relay_both_ways() {
    let state = tempfile::tempdir().unwrap();
    let relay = Relay::start(state.path(), free_port(), &[]);
    story(async {
        let alice = Kernel::at_relay(1, &relay).await;
        let mut bob = Kernel::at_relay(2, &relay).await;
        let (mut at_alice, mut at_bob) = joined(&alice, &mut bob, &relay).await;
        let message = mebibyte();
        carried(&mut at_alice, &mut at_bob, &message).await;
        carried(&mut at_bob, &mut at_alice, &message).await;

        at_alice.close().await.unwrap();
        assert_eq!(at_bob.read(&mut [0; 8]).await.unwrap(), 0, "a graceful close is an end, not an error");
    });
}

#[test]
fn both_ends_notice_a_killed_relay_and_come_back_with_it() {
    let state = tempfile::tempdir().unwrap();
    let port = free_port();
    let relay = Relay::start(state.path(), port, &[]);
    let address = relay.ws_address.clone();
    story(async {
        let mut alice = Kernel::at_relay(3, &relay).await;
        let mut bob = Kernel::at_relay(4, &relay).await;
        let (mut at_alice, mut at_bob) = joined(&alice, &mut bob, &relay).await;

        drop(relay);
        let killed = Instant::now();
        let (mut for_alice, mut for_bob) = ([0], [0]);
        let (alices_end, bobs_end) = futures::join!(at_alice.read(&mut for_alice), at_bob.read(&mut for_bob));
        assert!(alices_end.is_err() || alices_end.is_ok_and(|read| read == 0));
        assert!(bobs_end.is_err() || bobs_end.is_ok_and(|read| read == 0));
        assert!(at_alice.write_all(b"lost").await.is_err() || at_alice.flush().await.is_err());
        futures::join!(alice.relay_down(), bob.relay_down());
        assert!(alice.node.listen_addresses().is_empty());
        assert!(killed.elapsed() < SOON, "noticed after {:?}", killed.elapsed());

        let relay = Relay::start(state.path(), port, &[]);
        assert_eq!(relay.ws_address, address, "identity and address survive");
        let restarted = Instant::now();
        futures::join!(alice.relay_up(), bob.relay_up());
        assert!(restarted.elapsed() < SOON, "back after {:?}", restarted.elapsed());
        joined(&alice, &mut bob, &relay).await;
    });
}

#[test]
fn a_circuit_that_the_relay_cuts_ends_at_both_sides() {
    let state = tempfile::tempdir().unwrap();
    let relay = Relay::start(state.path(), free_port(), &["--max-circuit-bytes", "131072"]);
    story(async {
        let alice = Kernel::at_relay(5, &relay).await;
        let mut bob = Kernel::at_relay(6, &relay).await;
        let (mut at_alice, mut at_bob) = joined(&alice, &mut bob, &relay).await;
        let mut sink = vec![0; 64 * 1024];
        let message = mebibyte();
        let (sent, received) = futures::join!(
            async {
                at_alice.write_all(&message).await?;
                at_alice.flush().await?;
                at_alice.read(&mut [0]).await
            },
            async {
                let mut total = 0;
                loop {
                    match at_bob.read(&mut sink).await {
                        Ok(0) | Err(_) => break total,
                        Ok(read) => total += read,
                    }
                }
            }
        );
        assert!(sent.is_err() || sent.is_ok_and(|read| read == 0));
        assert!(received < message.len(), "the relay lets {received} bytes pass");
        joined(&alice, &mut bob, &relay).await;
    });
}

#[test]
fn nodes_that_can_listen_meet_without_a_relay() {
    story(async {
        let mut alice = Kernel::start(7, |config| config.listen = vec!["/ip4/127.0.0.1/tcp/0/ws".to_owned()]);
        let bob = Kernel::start(8, |_| {});
        while alice.node.listen_addresses().is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let peer = alice.peer();
        let mut at_bob = bob.node.open(&peer, &alice.node.listen_addresses()).await.unwrap();
        at_bob.write_all(b"x").await.unwrap();
        at_bob.flush().await.unwrap();
        let mut at_alice = alice.inbound().await;
        at_alice.read_exact(&mut [0]).await.unwrap();

        // The connection serves a second stream without any address.
        bob.node.open(&peer, &[]).await.unwrap();

        bob.node.disconnect(&peer).await;
        let ended = at_alice.read(&mut [0]).await;
        assert!(ended.is_err() || ended.is_ok_and(|read| read == 0));
        loop {
            if let NodeEvent::ConnectionClosed { peer, .. } = alice.events.next().await.unwrap() {
                assert_eq!(peer, bob.peer());
                break;
            }
        }
    });
}

#[test]
fn a_failed_dial_says_what_failed() {
    let state = tempfile::tempdir().unwrap();
    let relay = Relay::start(state.path(), free_port(), &[]);
    story(async {
        let alice = Kernel::at_relay(9, &relay).await;
        let nobody = PeerId::from_ed25519_seed([99; 32]).unwrap();
        let refused = format!("/ip4/127.0.0.1/tcp/{}/ws", free_port());
        let dead_relay = format!("{refused}/p2p/{}", PeerId::from_ed25519_seed([98; 32]).unwrap());
        let code = async |addresses: &[String]| {
            let error = alice.node.open(&nobody, addresses).await.unwrap_err();
            (error.code, error.retryable)
        };

        assert_eq!(code(&[]).await, (ErrorCode::NoAddress, false));
        assert_eq!(code(&["nonsense".to_owned()]).await, (ErrorCode::Unsupported, false));
        assert_eq!(code(&["/dns4/example.com/tcp/80/ws".to_owned()]).await, (ErrorCode::Unsupported, false));
        assert_eq!(code(&["/ip4/8.8.8.8/tcp/80/ws".to_owned()]).await, (ErrorCode::Unsupported, false));
        assert_eq!(code(std::slice::from_ref(&refused)).await, (ErrorCode::ConnRefused, true));
        let offline = circuit_address(&relay.ws_address, &nobody);
        assert_eq!(code(std::slice::from_ref(&offline)).await, (ErrorCode::NoReservation, true));
        let cut_off = circuit_address(&dead_relay, &nobody);
        assert_eq!(code(std::slice::from_ref(&cut_off)).await, (ErrorCode::RelayUnreachable, true));
        let impostor = relay.ws_address.split("/p2p/").next().unwrap().to_owned();
        assert_eq!(code(std::slice::from_ref(&impostor)).await, (ErrorCode::WrongPeer, false));

        // Of several failures the one that gives most hope counts.
        assert_eq!(code(&[refused.clone(), offline, impostor]).await, (ErrorCode::NoReservation, true));

        // The relay is a peer too, but no kernel.
        let relay_peer: PeerId = relay.ws_address.rsplit('/').next().unwrap().parse().unwrap();
        let error = alice.node.open(&relay_peer, std::slice::from_ref(&relay.ws_address)).await.unwrap_err();
        assert_eq!(
            (error.code, error.retryable),
            (ErrorCode::ProtocolUnsupported, true),
            "it may not have begun to listen"
        );

        alice.node.stop().await;
        assert_eq!(code(&[refused]).await, (ErrorCode::Stopped, false));
    });
}
