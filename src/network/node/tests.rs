//! Dials over real sockets, to addresses of which some are silent or slow.

use std::{
    rc::Rc,
    time::{Duration, Instant},
};

use futures::{
    AsyncReadExt as _, AsyncWriteExt as _, StreamExt as _,
    channel::{mpsc, oneshot},
};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};

use super::{Node, NodeConfig, NodeEvent};
use crate::runtime::NativeRuntime;

fn story(work: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let bounded = async { timeout(Duration::from_secs(60), work).await };
    tokio::task::LocalSet::new().block_on(&runtime, bounded).unwrap();
}

fn node(seed: u8, configure: impl FnOnce(&mut NodeConfig)) -> (Node, mpsc::Receiver<NodeEvent>) {
    let mut config = NodeConfig::new([seed; 32]);
    configure(&mut config);
    Node::start(config, Rc::new(NativeRuntime::new())).unwrap()
}

/// A node that can be dialled, and its port.
async fn reachable(seed: u8) -> (Node, mpsc::Receiver<NodeEvent>, u16) {
    let (bob, events) = node(seed, |config| config.listen = vec!["/ip4/127.0.0.1/tcp/0/ws".to_owned()]);
    loop {
        if let Some(address) = bob.listen_addresses().first() {
            let port = address.split('/').nth(4).unwrap().parse().unwrap();
            return (bob, events, port);
        }
        sleep(Duration::from_millis(5)).await;
    }
}

fn address(port: u16) -> String {
    format!("/ip4/127.0.0.1/tcp/{port}/ws")
}

/// Takes connections, and says nothing on them.
async fn silent() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

#[test]
fn silent_addresses_keep_nobody_waiting_and_what_worked_is_tried_first_the_next_time() {
    story(async {
        let ((_first, one), (_second, two)) = (silent().await, silent().await);
        let (bob, _events, good) = reachable(42).await;
        let (alice, _) = node(41, |_| {});
        let addresses = [one, two, good].map(address);
        let begun = Instant::now();
        alice.open(bob.peer(), &addresses).await.unwrap();
        let took = begun.elapsed();
        assert!(took < Duration::from_secs(3), "{took:?}");

        let begun = Instant::now();
        alice.open_anew(bob.peer(), &addresses).await.unwrap();
        let took = begun.elapsed();
        assert!(took < Duration::from_millis(900), "the one that worked is asked last again: {took:?}");
    });
}

#[test]
fn a_connection_that_comes_after_another_has_won_is_closed() {
    story(async {
        let (bob, _events, good) = reachable(44).await;
        let (slow, port) = silent().await;
        let (gone, ended) = oneshot::channel();
        tokio::task::spawn_local(async move {
            let (mut client, _) = slow.accept().await.unwrap();
            sleep(Duration::from_secs(2)).await;
            let mut server = TcpStream::connect(("127.0.0.1", good)).await.unwrap();
            // An end that is no end in order is one too.
            copy_bidirectional(&mut client, &mut server).await.ok();
            gone.send(()).unwrap();
        });
        let (alice, _) = node(43, |_| {});
        let stream = alice.open(bob.peer(), &[address(port), address(good)]).await.unwrap();
        timeout(Duration::from_secs(10), ended).await.expect("it stays open").unwrap();
        drop(stream);
    });
}

#[test]
fn who_hangs_up_is_missed_at_once_and_may_come_back() {
    story(async {
        let (bob, mut events, good) = reachable(48).await;
        let (alice, _) = node(47, |_| {});
        let hello = async |stream: &mut super::NodeStream| {
            stream.write_all(b"hello").await.unwrap();
            stream.flush().await.unwrap();
        };
        let mut inbound = async || loop {
            if let NodeEvent::Inbound(stream) = events.next().await.unwrap() {
                return stream;
            }
        };
        let mut stream = alice.open(bob.peer(), &[address(good)]).await.unwrap();
        hello(&mut stream).await;
        let mut at_bob = inbound().await;
        at_bob.read_exact(&mut [0; 5]).await.unwrap();
        alice.hang_up();
        let ended = timeout(Duration::from_secs(1), at_bob.read(&mut [0])).await.expect("bob does not notice");
        assert!(!matches!(ended, Ok(1..)), "{ended:?}");
        let mut stream = alice.open(bob.peer(), &[address(good)]).await.unwrap();
        hello(&mut stream).await;
        inbound().await;
    });
}

#[test]
fn of_ways_that_all_fail_the_most_hopeful_is_told_and_none_is_waited_for() {
    story(async {
        let (bob, _events, _) = reachable(46).await;
        let (alice, _) = node(45, |_| {});
        let (listener, port) = silent().await;
        drop(listener);
        let begun = Instant::now();
        let error = alice.open(bob.peer(), &[address(port), "/ip4/127.0.0.1/udp/1".to_owned()]).await.unwrap_err();
        assert_eq!(error.code, crate::network::link::ErrorCode::ConnRefused, "{error}");
        assert!(begun.elapsed() < Duration::from_secs(5));
        let error = alice.open(bob.peer(), &[]).await.unwrap_err();
        assert_eq!(error.code, crate::network::link::ErrorCode::NoAddress);
    });
}
