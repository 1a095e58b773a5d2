//! Connections and handshakes that come to nothing.

use std::{
    net::{Ipv4Addr, SocketAddr},
    rc::Rc,
    time::{Duration, Instant},
};

use futures::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use crate::{
    attacker::Attacker,
    honest::{Honest, Target, story, under_attack},
    support::{ANY_PORT, start},
};

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
