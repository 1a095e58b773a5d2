//! Network services over a network within the process, as stories.

use std::{rc::Rc, time::Duration};

use futures::{AsyncWriteExt as _, StreamExt as _};
use tokio::time::sleep;

use super::{
    memory::Hub,
    party::{Party, hello, name, read, story, write},
};
use crate::{
    bridge::PlatformServices as _,
    network::status::{NetworkEvent, PeerState},
    wire::{Handshake, PeerId, RemoteError, encode_frame},
};

#[test]
fn two_services_exchange_a_thousand_messages_each_way_in_order() {
    story(async {
        let hub = Hub::default();
        let (alice, bob) = (Party::started(&hub, 1).await, Party::started(&hub, 2).await);
        let texts: Vec<String> = (0..1_000).map(|number| format!("message {number}")).collect();
        for chunk in texts.chunks(100) {
            let sends = chunk.iter().flat_map(|text| [alice.send(&bob, text), bob.send(&alice, text)]);
            for sent in futures::future::join_all(sends).await {
                assert_eq!(sent, Ok(()));
            }
        }
        sleep(Duration::from_secs(1)).await;
        assert_eq!(bob.delivered(), texts);
        assert_eq!(alice.delivered(), texts);
    });
}

#[test]
fn a_message_of_one_mebibyte_passes_and_a_longer_one_is_refused() {
    story(async {
        let hub = Hub::default();
        let (alice, bob) = (Party::started(&hub, 1).await, Party::started(&hub, 2).await);
        let longest = "x".repeat(1 << 20);
        assert_eq!(alice.send(&bob, &longest).await, Ok(()));
        assert_eq!(name(alice.send(&bob, &format!("{longest}x")).await), "ResourceLimitError");
        sleep(Duration::from_secs(1)).await;
        assert_eq!(bob.delivered(), [longest]);
    });
}

#[test]
fn calls_before_the_start_and_a_second_start_are_errors_by_their_known_names() {
    story(async {
        let hub = Hub::default();
        let (alice, bob) = (Party::new(&hub, 1), Party::started(&hub, 2).await);
        let message = |result: Result<(), RemoteError>| result.unwrap_err().to_string();
        assert_eq!(message(alice.send(&bob, "1").await), "remote comms not initialized");
        let reconnect = alice.service.reconnect_peer(bob.id.clone(), vec![]);
        assert_eq!(message(reconnect.await), "remote comms not initialized");
        assert_eq!(alice.service.stop_remote_comms().await, Ok(()), "there is nothing to stop");
        alice.initialize("life-1").await.unwrap();
        assert_eq!(message(alice.initialize("life-1").await), "remote comms already initialized");
        for seed in ["", "zz", &"g".repeat(64), &"+1".repeat(32)] {
            let party = Party { seed: seed.to_owned(), ..Party::new(&hub, 3) };
            assert_eq!(message(party.initialize("x").await), "the key seed is not 32 bytes in hex");
        }
    });
}

#[test]
fn after_a_stop_nothing_runs_and_a_new_start_is_possible() {
    story(async {
        let hub = Hub::default();
        let (alice, bob) = (Party::started(&hub, 1).await, Party::started(&hub, 2).await);
        alice.send(&bob, "1").await.unwrap();
        // One dial that fails, so that a reconnection is pending too.
        let nobody = PeerId::from_ed25519_seed([9; 32]).unwrap();
        let lost = alice.service.send_remote_message(nobody, "x".into()).await;
        assert_eq!(name(lost), "ConnectionLostError");
        let unwritten = alice.send(&bob, "2");
        assert_eq!(alice.service.stop_remote_comms().await, Ok(()));
        assert_eq!(name(unwritten.await), "NetworkStoppedError");
        tokio::task::yield_now().await;
        assert_eq!(alice.running.get(), 0, "no task and no timer is left");
        assert_eq!(name(alice.send(&bob, "3").await), "NetworkStoppedError");
        assert_eq!(alice.service.stop_remote_comms().await, Ok(()));
        alice.initialize("life-1").await.unwrap();
        assert_eq!(alice.send(&bob, "4").await, Ok(()));
        bob.service.stop_remote_comms().await.unwrap();
        tokio::task::yield_now().await;
        assert_eq!(bob.running.get(), 0);
    });
}

#[test]
fn a_restart_is_told_to_the_other_kernel_and_fresh_messages_pass() {
    story(async {
        let hub = Hub::default();
        let (alice, bob) = (Party::started(&hub, 1).await, Party::started(&hub, 2).await);
        alice.send(&bob, "to the first life").await.unwrap();
        bob.service.stop_remote_comms().await.unwrap();
        let bob = Party::new(&hub, 2);
        bob.initialize("life-2").await.unwrap();
        // The stale message is not written: either the channel is found dead, or the peer another.
        let stale = alice.send(&bob, "stale").await;
        assert!(stale.is_err(), "{stale:?}");
        sleep(Duration::from_secs(5)).await;
        assert_eq!(alice.send(&bob, "fresh").await, Ok(()));
        assert_eq!(bob.send(&alice, "fresh").await, Ok(()));
        sleep(Duration::from_secs(1)).await;
        assert_eq!(bob.delivered(), ["fresh"]);
        assert_eq!(alice.delivered(), ["fresh"]);
        assert_eq!(alice.kernel.known.borrow()[&bob.id].as_str(), "life-2");
    });
}

#[test]
fn a_kernel_that_sends_from_within_a_delivery_is_not_called_again_before_it_returns() {
    story(async {
        let hub = Hub::default();
        let (alice, bob) = (Party::started(&hub, 1).await, Party::started(&hub, 2).await);
        *bob.kernel.echoes_to.borrow_mut() = Rc::downgrade(&bob.service);
        for number in 0..50 {
            alice.send(&bob, &number.to_string()).await.unwrap();
        }
        sleep(Duration::from_secs(1)).await;
        let echoes: Vec<String> = (0..50).map(|number| format!("echo {number}")).collect();
        assert_eq!(alice.delivered(), echoes);
    });
}

#[test]
fn a_refused_message_leaves_the_channel_and_a_kernel_that_cannot_be_asked_ends_it() {
    for name in ["BridgeClosedError", RemoteError::UNKNOWN_INCARNATION, RemoteError::NOT_READING] {
        a_refusal_ends_the_channel(name);
    }
}

fn a_refusal_ends_the_channel(name: &'static str) {
    story(async {
        let hub = Hub::default();
        let alice = Party::started(&hub, 1).await;
        let mallory = PeerId::from_ed25519_seed([7; 32]).unwrap();
        let _door = hub.join(&mallory);
        let mut stream = hub.open(&mallory, &alice.id).await.unwrap();
        write(&mut stream, &hello()).await;
        assert!(Handshake::parse_ack(&read(&mut stream).await.unwrap()).is_ok());
        alice.kernel.refuses.set(Some("TypeError"));
        write(&mut stream, "refused").await;
        sleep(Duration::from_millis(10)).await;
        alice.kernel.refuses.set(None);
        write(&mut stream, "taken").await;
        sleep(Duration::from_millis(10)).await;
        assert_eq!(alice.delivered(), ["taken"]);
        alice.kernel.refuses.set(Some(name));
        write(&mut stream, "lost").await;
        assert_eq!(read(&mut stream).await, None);
        alice.kernel.refuses.set(None);
        let mut stream = hub.open(&mallory, &alice.id).await.unwrap();
        write(&mut stream, &hello()).await;
        assert!(Handshake::parse_ack(&read(&mut stream).await.unwrap()).is_ok(), "it may shake hands again");
        write(&mut stream, "again").await;
        sleep(Duration::from_millis(10)).await;
        assert_eq!(alice.delivered(), ["taken", "again"]);
    });
}

#[test]
fn bad_input_costs_a_peer_its_own_channel_and_nobody_elses() {
    story(async {
        let hub = Hub::default();
        let (alice, bob) = (Party::started(&hub, 1).await, Party::started(&hub, 2).await);
        alice.send(&bob, "before").await.unwrap();
        let mallory = PeerId::from_ed25519_seed([7; 32]).unwrap();
        let _door = hub.join(&mallory);
        let two_mebibytes = encode_frame(&"x".repeat(2 << 20));
        let wrong_method = Handshake::Ack("m1".parse().unwrap()).encode();
        let first_bytes = [
            two_mebibytes.clone(),
            vec![0xff; 32],
            encode_frame("{garbage"),
            encode_frame(&wrong_method),
            encode_frame(r#"{"seq":1,"method":"deliver","params":["bringOutYourDead"]}"#),
        ];
        for bytes in first_bytes {
            let mut stream = hub.open(&mallory, &alice.id).await.unwrap();
            // The other end may be gone before all is written.
            stream.write_all(&bytes).await.ok();
            assert_eq!(read(&mut stream).await, None, "it is closed unanswered");
        }
        // A silent peer is dropped after the handshake's time.
        let mut silent = hub.open(&mallory, &alice.id).await.unwrap();
        let opened = tokio::time::Instant::now();
        assert_eq!(read(&mut silent).await, None);
        assert_eq!(opened.elapsed().as_secs(), 10);
        // The same frame on a channel that was good until then.
        let mut stream = hub.open(&mallory, &alice.id).await.unwrap();
        write(&mut stream, &hello()).await;
        read(&mut stream).await.unwrap();
        write(&mut stream, "good").await;
        stream.write_all(&two_mebibytes).await.ok();
        assert_eq!(read(&mut stream).await, None);

        alice.send(&bob, "after").await.unwrap();
        bob.send(&alice, "after").await.unwrap();
        sleep(Duration::from_millis(50)).await;
        assert_eq!(bob.delivered(), ["before", "after"]);
        assert_eq!(alice.delivered(), ["good", "after"]);
    });
}

#[test]
fn frames_that_come_together_with_the_acknowledgement_are_delivered_after_it() {
    story(async {
        let hub = Hub::default();
        let alice = Party::started(&hub, 1).await;
        let mallory = PeerId::from_ed25519_seed([7; 32]).unwrap();
        let mut door = hub.join(&mallory);
        let sent = alice.service.send_remote_message(mallory.clone(), "1".into());
        let (_, mut stream) = door.next().await.unwrap();
        assert!(Handshake::parse_hello(&read(&mut stream).await.unwrap()).is_ok());
        let mut bytes = encode_frame(&Handshake::Ack("m1".parse().unwrap()).encode());
        for text in ["a", "b", "c"] {
            bytes.extend(encode_frame(text));
        }
        stream.write_all(&bytes).await.unwrap();
        assert_eq!(read(&mut stream).await.unwrap(), "1");
        assert_eq!(sent.await, Ok(()));
        sleep(Duration::from_millis(10)).await;
        assert_eq!(alice.delivered(), ["a", "b", "c"]);
    });
}

#[test]
fn a_slow_reader_holds_its_sender_back() {
    story(async {
        let hub = Hub::default();
        let alice = Party::started(&hub, 1).await;
        let mallory = PeerId::from_ed25519_seed([7; 32]).unwrap();
        let _door = hub.join(&mallory);
        let mut stream = hub.open(&mallory, &alice.id).await.unwrap();
        write(&mut stream, &hello()).await;
        read(&mut stream).await.unwrap();
        // The peer reads nothing: what is written fills the stream, then the write times out and the channel ends.
        let long = "x".repeat(60 << 10);
        let first = alice.service.send_remote_message(mallory.clone(), long.clone());
        let second = alice.service.send_remote_message(mallory.clone(), long);
        assert_eq!(first.await, Ok(()));
        assert_eq!(name(second.await), "ConnectionLostError");
    });
}

#[test]
fn an_observer_hears_of_each_change_and_of_faults_but_not_of_messages() {
    story(async {
        let hub = Hub::default();
        let told = Rc::default();
        let (alice, bob) = (Party::watched(&hub, 1, &told).await, Party::started(&hub, 2).await);
        alice.send(&bob, "1").await.unwrap();
        let states = || {
            let state =
                |event: &NetworkEvent| if let NetworkEvent::Peer(peer) = event { Some(peer.state) } else { None };
            told.borrow().iter().filter_map(state).collect::<Vec<_>>()
        };
        let connected = [PeerState::Dialling, PeerState::Handshaking, PeerState::Connected];
        assert_eq!(states(), connected);
        for number in 0..50 {
            alice.send(&bob, &number.to_string()).await.unwrap();
        }
        assert_eq!(states(), connected, "messages are no news");
        assert_eq!(alice.service.status().peers[0].state, PeerState::Connected);

        let mallory = PeerId::from_ed25519_seed([7; 32]).unwrap();
        let _door = hub.join(&mallory);
        let mut stream = hub.open(&mallory, &alice.id).await.unwrap();
        write(&mut stream, "{garbage").await;
        assert_eq!(read(&mut stream).await, None);
        let fault = |event: &NetworkEvent| matches!(event, NetworkEvent::Fault { peer_id, name, .. } if *peer_id == mallory && name == "HandshakeError");
        assert!(told.borrow().iter().any(fault));
        alice.service.stop_remote_comms().await.unwrap();
        assert_eq!(states().last(), Some(&PeerState::Idle));
        assert_eq!(alice.service.status().peers, []);
    });
}
