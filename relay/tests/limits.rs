//! What the relay tells of the limits of its circuits: js-libp2p opens no ordinary stream on a circuit that has any.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)] // a story that goes wrong is to fail

mod support;

use std::time::Duration;

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
    // More seconds than there is room for in what it tells.
    assert_eq!(heard(&["--max-circuit-seconds", "10000000000"]), limit(Some(u64::from(u32::MAX)), None));
}
