//! A burst fills a narrow line to the relay, so that no ping is answered for a while: what comes on a circuit shows that the relay lives.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)] // a story that goes wrong is to fail

mod support;

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

use futures::{AsyncReadExt as _, AsyncWriteExt as _};
use ocap_remotes::network::node::{NodeEvent, circuit_address};
use support::{Kernel, Relay, free_port, story};

/// Bytes per second from whoever connects; what comes back is not held up.
const RATE: u32 = 32_000;
/// Messages that fill the line for longer than a connection may be silent.
const MESSAGES: usize = 7 * RATE as usize / 1_000;

/// A TCP port whose connections lead to another one, slowly.
fn narrow(port: u16) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let near = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for near in listener.incoming().flatten() {
            let Ok(far) = TcpStream::connect(("127.0.0.1", port)) else { continue };
            let back = (far.try_clone().unwrap(), near.try_clone().unwrap());
            thread::spawn(move || pass(near, far, Some(RATE)));
            thread::spawn(move || pass(back.0, back.1, None));
        }
    });
    near
}

fn pass(mut from: TcpStream, mut to: TcpStream, rate: Option<u32>) {
    let mut buffer = [0; 1_000];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        if let Some(rate) = rate {
            thread::sleep(Duration::from_secs(1) * u32::try_from(read).unwrap() / rate);
        }
        if to.write_all(&buffer[..read]).is_err() {
            return;
        }
    }
}

#[test]
fn a_burst_through_a_relay_costs_no_connection() {
    let state = tempfile::tempdir().unwrap();
    let port = free_port();
    let relay = Relay::start(state.path(), port, &[]);
    let behind_line = relay.ws_address.replace(&format!("/tcp/{port}/"), &format!("/tcp/{}/", narrow(port)));
    story(async {
        let mut bob = Kernel::at_relay(61, &relay).await;
        let mut alice = Kernel::start(62, |config| config.relays = vec![behind_line.clone()]);
        alice.relay_up().await;
        let circuit = circuit_address(&behind_line, &bob.peer());
        let at_alice = alice.node.open(&bob.peer(), &[circuit]).await.unwrap();
        let begun = Instant::now();
        let (mut from_bob, mut to_bob) = at_alice.split();
        let sending = async {
            for _ in 0..MESSAGES {
                to_bob.write_all(&[7; 1_000]).await.unwrap();
                to_bob.flush().await.unwrap();
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let answering = async {
            let mut at_bob = bob.inbound().await;
            for _ in 0..MESSAGES {
                at_bob.read_exact(&mut [0; 1_000]).await.unwrap();
                at_bob.write_all(&[7]).await.unwrap();
                at_bob.flush().await.unwrap();
            }
            at_bob
        };
        let mut answers = [0; MESSAGES];
        let (_, _at_bob, heard) = futures::join!(sending, answering, from_bob.read_exact(&mut answers));
        heard.unwrap();
        assert!(begun.elapsed() > Duration::from_secs(6), "the line was narrow: {:?}", begun.elapsed());
        while let Ok(event) = alice.events.try_recv() {
            assert!(!matches!(event, NodeEvent::RelayDown { .. }), "{event:?}");
        }
    });
}
