//! Whole kernels that meet through the relay or directly: circuits that come to their end, peers that vanish.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)] // a story that goes wrong is to fail

mod support;

use std::{
    cell::RefCell,
    rc::Rc,
    time::{Duration, Instant},
};

use ocap_remotes::{
    kernel::{KernelDriver, KernelEvent, SeedSource, store::KernelStore},
    native::{self, Native},
    network::status::{ChannelKind, NetworkEvent, PeerState},
    runtime::Runtime,
    storage::MemoryStore,
    wire::{CapData, Kref, PeerId, RemoteCommsOptions},
};
use support::{Line, Relay, free_port, story};

/// One kernel with its network, and what its program and its operator have seen.
struct Party {
    driver: Rc<KernelDriver>,
    peer: PeerId,
    heard: Rc<RefCell<Vec<(Instant, KernelEvent)>>>,
    network: Rc<RefCell<Vec<NetworkEvent>>>,
}

async fn party(seed: u8, relay: &Relay) -> Party {
    let options = RemoteCommsOptions { relays: vec![relay.ws_address.clone()], ..RemoteCommsOptions::default() };
    let party = start(seed, options).await;
    party.sees("a reservation", |event| matches!(event, NetworkEvent::Relay(relay) if relay.code.is_none())).await;
    party
}

async fn start(seed: u8, options: RemoteCommsOptions) -> Party {
    let store = KernelStore::open(Box::new(MemoryStore::new())).unwrap();
    let seed = SeedSource::Hex(format!("{seed:02x}").repeat(32).into());
    let network = Rc::new(RefCell::new(Vec::new()));
    let told = Rc::clone(&network);
    let observed = |runtime: Rc<dyn Runtime>, kernel| {
        native::libp2p(runtime, kernel).observed_by(move |event| told.borrow_mut().push(event))
    };
    let heard = Rc::new(RefCell::new(Vec::new()));
    let seen = Rc::clone(&heard);
    let on_event = Box::new(move |event| seen.borrow_mut().push((Instant::now(), event)));
    let Native { driver, .. } = native::start(store, Some(seed), options, observed, on_event).await.unwrap();
    let peer = driver.inspect(|kernel| kernel.peer_id().clone());
    Party { driver, peer, heard, network }
}

impl Party {
    fn send(&self, target: Kref, body: String) {
        self.driver.call(|kernel, _| kernel.send(target, CapData { body, slots: Vec::new() })).unwrap();
    }

    async fn sees(&self, what: &str, wanted: impl Fn(&NetworkEvent) -> bool) -> NetworkEvent {
        for _ in 0..2_000 {
            if let Some(found) = self.network.borrow().iter().find(|event| wanted(event)) {
                return found.clone();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("waited 20 s for {what}; there were {:?}", self.network.borrow());
    }

    /// A reference to an object of the other.
    async fn introduced_to(&self, other: &Party) -> Kref {
        let object = other.driver.call(|kernel, _| kernel.export_object()).unwrap();
        let url = other.driver.issue_ocap_url(object).await.unwrap();
        let random = self.driver.random();
        self.driver.call(|kernel, now| kernel.redeem_ocap_url(&url, random, now)).unwrap();
        for _ in 0..500 {
            let redeemed = self.heard.borrow().iter().find_map(|(_, event)| match event {
                KernelEvent::Redeemed { result, .. } => Some(result.clone().unwrap()),
                _ => None,
            });
            if let Some(target) = redeemed {
                return target;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the URL was not redeemed");
    }

    /// The messages received, with their times.
    fn messages(&self) -> Vec<(Instant, String)> {
        let message = |(at, event): &(Instant, KernelEvent)| match event {
            KernelEvent::Message { methargs, .. } => Some((*at, methargs.body.clone())),
            _ => None,
        };
        self.heard.borrow().iter().filter_map(message).collect()
    }

    /// How many channels it had one after the other, and what went wrong with them.
    fn channels(&self) -> (usize, Vec<String>) {
        let (mut channels, mut errors) = (Vec::new(), Vec::new());
        for event in &*self.network.borrow() {
            let NetworkEvent::Peer(peer) = event else { continue };
            channels.extend(peer.channel.as_ref().map(|channel| channel.since));
            errors.extend(peer.last_error.as_ref().map(|error| error.reason.clone()));
        }
        channels.dedup();
        (channels.len(), errors)
    }
}

fn body(number: usize, bytes: usize) -> String {
    format!("#\"{number:06}{}\"", "x".repeat(bytes))
}

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
    while begin.elapsed() < Duration::from_secs(seconds) {
        ticks.tick().await;
        alice.send(for_bob, body(count, bytes));
        bob.send(for_alice, body(count, bytes));
        count += 1;
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    let expected: Vec<String> = (0..count).map(|number| body(number, bytes)).collect();
    let mut longest = Duration::ZERO;
    for who in [&alice, &bob] {
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
        assert!(longest < Duration::from_millis(700), "{longest:?}");
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
        assert!(longest < Duration::from_millis(700), "{longest:?}");
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
        for _ in 0..500 {
            if bob.messages().len() == 2 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(bob.messages().len(), 2);

        alice.send(for_bob, body(2, 500_000));
        let fault = alice.sees("the fault", |event| matches!(event, NetworkEvent::Fault { .. })).await;
        let NetworkEvent::Fault { name, peer_id, .. } = fault else { unreachable!() };
        assert_eq!((name.as_str(), &peer_id), ("ResourceLimitError", &bob.peer));
        for number in 0..20 {
            bob.send(for_alice, body(number, 10));
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert_eq!(alice.messages().len(), 20);
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
    for _ in 0..2_000 {
        if bob.messages().len() == 2 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let messages: Vec<String> = bob.messages().into_iter().map(|(_, text)| text).collect();
    assert_eq!(messages, [body(0, 10), body(1, 10)]);
    (noticed, back.elapsed())
}

#[test]
fn a_peer_that_vanished_is_noticed_within_5_s_and_found_again_soon_directly() {
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
        assert!(noticed < Duration::from_secs(5), "{noticed:?}");
        assert!(returned < Duration::from_secs(5), "{returned:?}");
    });
}

#[test]
fn a_peer_that_vanished_is_noticed_within_5_s_and_found_again_soon_through_a_relay() {
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
        assert!(noticed < Duration::from_secs(5), "{noticed:?}");
        assert!(returned < Duration::from_secs(8), "{returned:?}");
    });
}
