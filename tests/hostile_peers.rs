//! Hostile peers over real libp2p: an honest pair goes on talking while others attack one of them. Prints what it cost.
#![cfg(all(feature = "kernel", feature = "network", not(target_arch = "wasm32")))]
// clippy knows tests by #[test] only
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::print_stderr)]

mod support;

use std::{
    net::{Ipv4Addr, SocketAddr},
    rc::Rc,
    sync::mpsc,
    time::{Duration, Instant},
};

use futures::{AsyncReadExt as _, AsyncWriteExt as _, StreamExt as _};
use ocap_remotes::{
    kernel::{KernelEvent, RemoteEvent},
    network::node::{Node, NodeConfig, NodeStream},
    runtime::NativeRuntime,
    wire::{CapData, FrameDecoder, Handshake, Kref, PeerId, encode_frame},
};
use support::{ANY_PORT, Party, start};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// The honest pair: Alice sends, Bob answers; and where the attackers find Bob.
struct Honest {
    alice: Rc<Party>,
    bob: Rc<Party>,
    object: Kref,
    target: Target,
    sent: usize,
    /// What may have to be waited for.
    patience: Duration,
}

#[derive(Clone)]
struct Target {
    address: String,
    peer: PeerId,
}

impl Target {
    fn port(&self) -> u16 {
        self.address.split('/').nth(4).unwrap().parse().unwrap()
    }
}

/// Runs the attack in a thread of its own while Alice talks to Bob, and gives what it returned.
fn under_attack<T: Send + 'static, F>(
    name: &str,
    attack: impl FnOnce(Target) -> F + Send + 'static,
    afterwards: impl AsyncFnOnce(&Honest, T),
) where
    F: Future<Output = T>,
{
    story(async {
        let mut honest = Honest::new().await;
        let (usual, _) = honest.talk(|count| count >= 20).await;
        let before = resident();
        let target = honest.target.clone();
        let attacker = std::thread::spawn(move || story(attack(target)));
        let (during, worst) = honest.talk(|count| attacker.is_finished() && count >= 20).await;
        let outcome = attacker.join().unwrap();
        let growth = resident().saturating_sub(before) / 1_024;
        eprintln!(
            "hostile peers: {name}: an honest round trip {usual:?} before, {during:?} during the attack (median), \
             {worst:?} at worst; memory of both sides +{growth} KB"
        );
        honest.patience = patience(usual);
        assert!(worst < honest.patience, "the honest are kept waiting for {worst:?}");
        honest.nothing_is_lost().await;
        afterwards(&honest, outcome).await;
        for party in [&honest.alice, &honest.bob] {
            party.driver.inspect(|kernel| kernel.store().audit()).unwrap();
            party.driver.stop().await.unwrap();
        }
    });
}

/// What an honest kernel may have to wait, by what is usual on this machine when nobody attacks.
fn patience(usual: Duration) -> Duration {
    Duration::from_secs(5).max(usual * 400)
}

fn story<T>(story: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let local = tokio::task::LocalSet::new();
    let bounded = async { tokio::time::timeout(Duration::from_secs(300), story).await };
    runtime.block_on(local.run_until(bounded)).expect("the story does not hang")
}

/// Memory of this process, in bytes.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    status.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * 4_096
}

impl Honest {
    async fn new() -> Self {
        let (alice, bob) = (Rc::new(start(1, ANY_PORT).await), Rc::new(start(2, ANY_PORT).await));
        alice.knows(&bob);
        let object = alice.redeem(&bob.issue().await).await.unwrap();
        let target = Target { address: bob.address.clone(), peer: bob.peer.clone() };
        Honest { alice, bob, object, target, sent: 0, patience: patience(Duration::ZERO) }
    }

    /// Sends and waits for the answer, until `enough` says so of the count; gives the median and the worst round trip.
    async fn talk(&mut self, enough: impl Fn(usize) -> bool) -> (Duration, Duration) {
        let mut times = Vec::new();
        while !enough(times.len()) {
            let begun = Instant::now();
            let promise = self.alice.send(self.object, &format!("#{}", self.sent));
            self.sent += 1;
            self.answer_all().await;
            while !self.is_settled(promise) {
                self.answer_all().await;
                assert!(begun.elapsed() < Duration::from_secs(60), "no answer for a minute");
            }
            times.push(begun.elapsed());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        times.sort();
        (times[times.len() / 2], *times.last().unwrap())
    }

    /// Bob's program answers every message.
    async fn answer_all(&self) {
        tokio::time::sleep(Duration::from_micros(200)).await;
        let results: Vec<Kref> = {
            let mut events = self.bob.events.borrow_mut();
            let results = events.iter_mut().filter_map(|event| match event {
                KernelEvent::Message { result, .. } => result.take(),
                _ => None,
            });
            results.collect()
        };
        for result in results {
            let answer = CapData { body: "#\"yes\"".into(), slots: Vec::new() };
            self.bob.driver.call(|kernel, _| kernel.resolve(result, false, answer)).unwrap();
        }
    }

    fn is_settled(&self, promise: Kref) -> bool {
        let events = self.alice.events.borrow();
        events
            .iter()
            .rev()
            .any(|event| matches!(event, KernelEvent::Notify { promise: settled, .. } if *settled == promise))
    }

    async fn nothing_is_lost(&self) {
        let expected: Vec<String> = (0..self.sent).map(|number| format!("#{number}")).collect();
        assert_eq!(self.bob.bodies(), expected);
    }

    /// How long it takes a kernel that Bob has never seen to redeem a URL of his.
    async fn newcomer(&self) -> Duration {
        let carol = start(3, ANY_PORT).await;
        carol.knows(&self.bob);
        let url = self.bob.issue().await;
        let begun = Instant::now();
        carol.redeem(&url).await.unwrap();
        let time = begun.elapsed();
        carol.driver.stop().await.unwrap();
        time
    }

    fn restarts(&self) -> usize {
        let events = self.bob.events.borrow();
        events.iter().filter(|event| matches!(event, KernelEvent::Remote(RemoteEvent::PeerRestarted { .. }))).count()
    }
}

/// A peer that speaks libp2p and otherwise does what it likes.
struct Attacker {
    node: Node,
}

impl Attacker {
    fn new(number: u16) -> Self {
        let mut seed = [0xee; 32];
        seed[..2].copy_from_slice(&number.to_le_bytes());
        let (node, events) = Node::start(NodeConfig::new(seed), Rc::new(NativeRuntime::new())).unwrap();
        tokio::task::spawn_local(events.for_each(|_| futures::future::ready(())));
        Attacker { node }
    }

    async fn open(&self, target: &Target) -> Option<NodeStream> {
        let opening = self.node.open(&target.peer, std::slice::from_ref(&target.address));
        tokio::time::timeout(Duration::from_secs(20), opening).await.ok()?.ok()
    }

    /// A stream on which the handshake was completed.
    async fn channel(&self, target: &Target, incarnation: &str) -> Option<NodeStream> {
        let mut stream = self.open(target).await?;
        let hello = Handshake::Hello(incarnation.parse().unwrap()).encode();
        stream.write_all(&encode_frame(&hello)).await.ok()?;
        stream.flush().await.ok()?;
        let (mut decoder, mut buffer) = (FrameDecoder::new(1 << 20), [0; 1_024]);
        loop {
            match decoder.next_message() {
                Ok(Some(_)) => return Some(stream),
                Ok(None) => {}
                Err(_) => return None,
            }
            match stream.read(&mut buffer).await {
                Ok(0) | Err(_) => return None,
                Ok(length) => decoder.push(&buffer[..length]),
            }
        }
    }
}

fn redeem_nonsense(seq: u64) -> Vec<u8> {
    encode_frame(&format!(r#"{{"seq":{seq},"method":"redeemURL","params":["ocap:nonsense","key-{seq}"]}}"#))
}

/// Connections of one address that may be half open.
const HALF_OPEN: usize = 16;

/// Connections from another address that never say a word, `count` of them at once.
async fn silent_connections(target: Target, count: usize) -> usize {
    let mut open = Vec::new();
    for _ in 0..count {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from((Ipv4Addr::new(127, 0, 0, 2), 0))).unwrap();
        if let Ok(connection) = socket.connect(SocketAddr::from((Ipv4Addr::LOCALHOST, target.port()))).await {
            open.push(connection);
        }
    }
    // A connection that was refused has ended, as soon as Bob has come to it; those that are kept have 20 s.
    let is_held = |connection: &TcpStream| matches!(connection.try_read(&mut [0]), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock);
    let mut held = count;
    for _ in 0..5 {
        tokio::time::sleep(Duration::from_secs(3)).await;
        held = open.iter().filter(|connection| is_held(connection)).count();
        if held <= HALF_OPEN {
            break;
        }
    }
    held
}

#[test]
fn a_flood_of_connections_that_never_speak() {
    under_attack(
        "1,000 connections of one address that never speak",
        |target| silent_connections(target, 1_000),
        async |honest, held| {
            assert!(held <= HALF_OPEN, "{held} half-open connections are kept for one address");
            let target = honest.target.clone();
            let attacker = std::thread::spawn(move || story(silent_connections(target, 100)));
            tokio::time::sleep(Duration::from_millis(500)).await;
            let time = honest.newcomer().await;
            eprintln!("hostile peers: meanwhile a newcomer is served in {time:?}");
            assert!(time < honest.patience);
            attacker.join().unwrap();
        },
    );
}

#[test]
fn a_crowd_of_half_open_handshakes() {
    let attack = async |target: Target| {
        let mut streams = Vec::new();
        for number in 0..150 {
            let attacker = Attacker::new(number);
            if let Some(mut stream) = attacker.open(&target).await {
                // The first byte of a length, and nothing after it.
                let _ = stream.write_all(&[0xff]).await;
                let _ = stream.flush().await;
                streams.push((attacker, stream));
            }
        }
        tokio::time::sleep(Duration::from_secs(4)).await;
        streams.len()
    };
    under_attack("150 keys that never finish their handshake", attack, async |honest, opened| {
        assert!(opened > 100, "only {opened} attacked");
        let time = honest.newcomer().await;
        eprintln!("hostile peers: after it a newcomer is served in {time:?}");
        assert!(time < honest.patience);
    });
}

#[test]
fn a_newcomer_comes_through_a_crowd() {
    story(async {
        let honest = Honest::new().await;
        let target = honest.target.clone();
        let attacker = std::thread::spawn(move || {
            story(async {
                let mut held = Vec::new();
                let until = Instant::now() + Duration::from_secs(20);
                for number in 0..100 {
                    if Instant::now() > until && held.len() > 20 {
                        break;
                    }
                    let attacker = Attacker::new(number);
                    if let Some(mut stream) = attacker.open(&target).await {
                        let _ = stream.write_all(&[0xff]).await;
                        let _ = stream.flush().await;
                        held.push((attacker, stream));
                    }
                }
                tokio::time::sleep(Duration::from_secs(6)).await;
                held.len()
            })
        });
        tokio::time::sleep(Duration::from_secs(3)).await;
        let time = honest.newcomer().await;
        eprintln!("hostile peers: in a crowd of half-open handshakes a newcomer is served in {time:?}");
        assert!(time < honest.patience);
        assert!(attacker.join().unwrap() > 20);
        for party in [&honest.alice, &honest.bob] {
            party.driver.stop().await.unwrap();
        }
    });
}

/// Where attackers of another address find the target: a port behind which everything goes on from that address.
async fn seen_from(host: Ipv4Addr, target: &Target) -> Target {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let (here, there) = (listener.local_addr().unwrap(), SocketAddr::from((Ipv4Addr::LOCALHOST, target.port())));
    tokio::task::spawn_local(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            tokio::task::spawn_local(async move {
                let socket = TcpSocket::new_v4().unwrap();
                socket.bind(SocketAddr::from((host, 0))).unwrap();
                if let Ok(mut far) = socket.connect(there).await {
                    let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
                }
            });
        }
    });
    Target { address: format!("/ip4/{}/tcp/{}/ws", here.ip(), here.port()), peer: target.peer.clone() }
}

#[test]
fn connections_that_nobody_uses_keep_nobody_out() {
    story(async {
        let mut honest = Honest::new().await;
        let target = honest.target.clone();
        let (full, is_full) = futures::channel::oneshot::channel();
        let (over, is_over) = futures::channel::oneshot::channel::<()>();
        let attacker = std::thread::spawn(move || {
            story(async {
                let mut held = 0;
                let mut nodes = Vec::new();
                for (number, host) in [(0..24, [127, 0, 0, 2]), (24..48, [127, 0, 0, 3])] {
                    let target = seen_from(host.into(), &target).await;
                    for number in number {
                        let attacker = Attacker::new(number);
                        // The streams are dropped, the connections stay.
                        let addresses = std::slice::from_ref(&target.address);
                        let opened = (0..8).map(|_| attacker.node.open_anew(&target.peer, addresses));
                        held += futures::future::join_all(opened).await.iter().filter(|opened| opened.is_ok()).count();
                        nodes.push(attacker);
                    }
                }
                full.send(held).unwrap();
                is_over.await.ok();
            });
        });
        let held = is_full.await.unwrap();
        assert!(held > 350, "only {held} connections were made");

        let dave = start(4, ANY_PORT).await;
        honest.bob.knows(&dave);
        dave.knows(&honest.bob);
        let url = honest.bob.issue().await;
        let begun = Instant::now();
        dave.redeem(&url).await.unwrap();
        let known = begun.elapsed();
        let newcomer = honest.newcomer().await;
        eprintln!(
            "hostile peers: beside {held} idle connections a known peer is served in {known:?}, a newcomer in {newcomer:?}"
        );
        assert!(known < Duration::from_secs(5) && newcomer < Duration::from_secs(5));
        honest.talk(|count| count >= 3).await;
        honest.nothing_is_lost().await;
        over.send(()).unwrap();
        attacker.join().unwrap();
        for party in [&honest.alice, &honest.bob, &Rc::new(dave)] {
            party.driver.stop().await.unwrap();
        }
    });
}

#[test]
fn a_flood_of_messages() {
    let attack = async |target: Target| {
        let attacker = Attacker::new(0);
        let until = Instant::now() + Duration::from_secs(4);
        let mut written = 0_u64;
        while Instant::now() < until || written <= 1_000 {
            let Some(mut stream) = attacker.channel(&target, "flood").await else {
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            };
            // What is no message, and what repeats: the kernel has to look at each.
            while Instant::now() < until || written <= 1_000 {
                let frame = if written.is_multiple_of(8) { encode_frame("nonsense") } else { redeem_nonsense(1) };
                if stream.write_all(&frame).await.is_err() || stream.flush().await.is_err() {
                    break;
                }
                written += 1;
            }
        }
        written
    };
    under_attack("one peer that writes as fast as it can for 4 s", attack, async |_, written| {
        eprintln!("hostile peers: it wrote {written} frames");
        assert!(written > 1_000);
    });
}

#[test]
fn lies_about_length_and_frames_that_never_end() {
    let attack = async |target: Target| {
        let mut held = Vec::new();
        let mut cut = 0;
        for number in 0..60_u16 {
            let attacker = Attacker::new(number);
            let Some(mut stream) = attacker.channel(&target, "liar").await else { continue };
            if number % 2 == 0 {
                // Announces 2^62 bytes: the stream is cut.
                let _ = stream.write_all(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x3f]).await;
                let _ = stream.flush().await;
                let ended = tokio::time::timeout(Duration::from_secs(60), stream.read(&mut [0; 64])).await;
                cut += usize::from(matches!(ended, Ok(Ok(0) | Err(_))));
            } else {
                // Announces 1 MiB, sends most of it, and stops.
                let _ = stream.write_all(&[0x80, 0x80, 0x40]).await;
                let _ = stream.write_all(&vec![b' '; 1_000_000]).await;
                let _ = stream.flush().await;
                held.push((attacker, stream));
            }
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        (cut, held.len())
    };
    under_attack("30 lies about the length, 30 frames of 1 MB that never end", attack, async |_, (cut, held)| {
        assert_eq!((cut, held), (30, 30));
    });
}

#[test]
fn a_peer_that_claims_a_new_incarnation_each_time() {
    let attack = async |target: Target| {
        let (attacker, begun) = (Attacker::new(0), Instant::now());
        let mut granted = 0;
        for number in 0..200 {
            if let Some(mut stream) = attacker.channel(&target, &format!("life-{number}")).await {
                granted += 1;
                let _ = stream.write_all(&redeem_nonsense(1)).await;
                let _ = stream.flush().await;
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        (granted, begun.elapsed())
    };
    under_attack("200 incarnations of one peer", attack, async |honest, (granted, took)| {
        eprintln!("hostile peers: {granted} channels granted, {} restarts taken notice of", honest.restarts());
        // Thirty a minute.
        let most = 30 * (1 + took.as_secs() / 60) as usize;
        assert!((1..=most).contains(&honest.restarts()));
    });
}

#[test]
fn many_keys_and_repeated_frames() {
    let attack = async |target: Target| {
        let (mut held, begun) = (Vec::new(), Instant::now());
        for number in 0..200 {
            let attacker = Attacker::new(number);
            let Some(mut stream) = attacker.channel(&target, "one-of-many").await else { continue };
            for _ in 0..50 {
                let _ = stream.write_all(&redeem_nonsense(1)).await;
            }
            let _ = stream.flush().await;
            held.push((attacker, stream));
        }
        (held.len(), begun.elapsed())
    };
    under_attack("200 keys of one address, each repeating a frame 50 times", attack, async |honest, (served, took)| {
        let (remotes, processed) = honest.bob.driver.inspect(|kernel| {
            let remotes = kernel.remotes().remotes();
            let others = remotes.filter(|remote| *remote.peer() != honest.alice.peer);
            others.fold((0, 0), |(count, sum), remote| (count + 1, sum + remote.counters().delivered))
        });
        eprintln!("hostile peers: {served} served, {remotes} remotes, {processed} messages processed");
        // Strangers have 75 places, and lend them after half a minute.
        let places = 75 * (1 + took.as_secs() / 30);
        assert!(served as u64 <= places && processed <= remotes, "{served} of {places}");
        let time = honest.newcomer().await;
        eprintln!("hostile peers: after it a newcomer is served in {time:?}");
    });
}

#[test]
fn a_crowd_that_names_things_of_its_own() {
    const OF_THEIR_OWN: [&str; 3] = [
        r#"{"seq":1,"method":"redeemURLReply","params":[true,"x","ro+1"]}"#,
        r#"{"seq":1,"method":"deliver","params":["notify",[["rp+1",false,{"body":"","slots":["ro+1"]}]]]}"#,
        r#"{"seq":1,"method":"deliver","params":["message","ro+1",{"methargs":{"body":"","slots":[]},"result":"rp+1"}]}"#,
    ];
    story(async {
        let honest = Honest::new().await;
        let target = honest.target.clone();
        let (opened, served) = mpsc::channel();
        let (finish, finished) = mpsc::channel::<()>();
        let attack = async move || {
            let mut held = Vec::new();
            for number in 0..130_u16 {
                let attacker = Attacker::new(number);
                let Some(mut stream) = attacker.channel(&target, "one-of-many").await else { continue };
                let text = OF_THEIR_OWN[usize::from(number) % OF_THEIR_OWN.len()];
                let _ = stream.write_all(&encode_frame(text)).await;
                let _ = stream.flush().await;
                held.push((attacker, stream));
            }
            opened.send(held.len()).unwrap();
            while finished.try_recv() == Err(mpsc::TryRecvError::Empty) {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let attacker = std::thread::spawn(move || story(attack()));
        let served = loop {
            tokio::time::sleep(Duration::from_millis(20)).await;
            if let Ok(served) = served.try_recv() {
                break served;
            }
        };
        let carol = start(3, ANY_PORT).await;
        honest.bob.knows(&carol);
        carol.knows(&honest.bob);
        let begun = Instant::now();
        carol.redeem(&honest.bob.issue().await).await.unwrap();
        let time = begun.elapsed();
        eprintln!("hostile peers: {served} of 130 are served; meanwhile somebody who is known is in {time:?}");
        assert!((20..=75).contains(&served) && time < Duration::from_secs(5), "strangers have 75 places");
        drop(finish);
        attacker.join().unwrap();
        for party in [&*honest.alice, &*honest.bob, &carol] {
            party.driver.stop().await.unwrap();
        }
    });
}
