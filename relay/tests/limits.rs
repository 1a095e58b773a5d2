//! What the relay tells of the limits of its circuits: js-libp2p opens no ordinary stream on a circuit that has any.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)] // a story that goes wrong is to fail

mod support;

use std::{
    process::{Command, Stdio},
    time::Duration,
};

use futures::AsyncWriteExt as _;
use ocap_remotes::network::{circuit::CircuitLimit, node::circuit_address};
use support::{Kernel, Relay, free_port, story};

/// The limit of a circuit through a relay that was started so, as either end heard it.
fn heard(arguments: &[&str]) -> Option<CircuitLimit> {
    let state = tempfile::tempdir().unwrap();
    let relay = Relay::start(state.path(), free_port(), arguments);
    let mut limits = Vec::new();
    story(async {
        let alice = Kernel::at_relay(51, &relay).await;
        let mut bob = Kernel::at_relay(52, &relay).await;
        let circuit = circuit_address(&relay.ws_address, &bob.peer());
        let mut at_alice = alice.node.open(&bob.peer(), &[circuit]).await.unwrap();
        at_alice.write_all(b"hello").await.unwrap();
        at_alice.flush().await.unwrap();
        let at_bob = bob.inbound().await;
        limits.extend([at_alice, at_bob].map(|stream| stream.path().circuit().map(|circuit| circuit.limit)));
    });
    assert_eq!(limits[0], limits[1]);
    limits[0]
}

#[test]
fn a_relay_tells_of_no_limit_unless_it_has_one() {
    assert_eq!(heard(&[]), None);
    assert_eq!(heard(&["--max-circuit-seconds", "0", "--max-circuit-bytes", "0"]), None);
    let limit = |seconds: Option<u64>, bytes| Some(CircuitLimit { duration: seconds.map(Duration::from_secs), bytes });
    assert_eq!(heard(&["--max-circuit-seconds", "86400"]), limit(Some(86_400), None));
    assert_eq!(heard(&["--max-circuit-bytes", "1000000"]), limit(None, Some(1_000_000)));
    assert_eq!(heard(&["--default-limits"]), limit(Some(120), Some(1 << 17)));
}

/// What the relay says on its standard output and how it ends, when its standard input is closed after a while.
fn output(arguments: &[&str]) -> (String, bool) {
    let mut relay = Command::new(env!("CARGO_BIN_EXE_ocap-relay"))
        .args(["--exit-with-stdin", "--listen-ip", "0.0.0.0"])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_secs(1));
    drop(relay.stdin.take());
    let output = relay.wait_with_output().unwrap();
    (String::from_utf8(output.stdout).unwrap(), output.status.success())
}

#[test]
fn it_says_once_where_it_listens_and_refuses_what_no_clock_holds() {
    let (all, ended) = output(&[]);
    assert!(ended && all.lines().count() == 1, "{all}");
    assert!(all.contains("/ws/") && all.contains("/webrtc-direct/"), "{all}");
    let (ws, ended) = output(&["--no-webrtc", "--max-connections", "5"]);
    assert!(ended && ws.contains("/ws/") && !ws.contains("webrtc"), "{ws}");
    for nonsense in ["--max-circuit-seconds", "--reservation-seconds"] {
        assert_eq!(output(&[nonsense, "10000000000"]), (String::new(), false), "{nonsense}");
    }
    assert_eq!(output(&["--reservation-seconds", "0"]), (String::new(), false));
}
