//! A node on its own, without a kernel above it.

use std::rc::Rc;

use futures::{StreamExt as _, channel::mpsc};
use ocap_remotes::{
    network::node::{Node, NodeConfig, NodeEvent, NodeStream, circuit_address},
    runtime::NativeRuntime,
    wire::PeerId,
};

use super::Relay;

/// A node and what happens at it.
pub(crate) struct Kernel {
    pub(crate) node: Node,
    pub(crate) events: mpsc::Receiver<NodeEvent>,
}

impl Kernel {
    pub(crate) fn start(seed: u8, configure: impl FnOnce(&mut NodeConfig)) -> Kernel {
        let mut config = NodeConfig::new([seed; 32]);
        configure(&mut config);
        let (node, events) = Node::start(config, Rc::new(NativeRuntime::new())).unwrap();
        Kernel { node, events }
    }

    pub(crate) async fn at_relay(seed: u8, relay: &Relay) -> Kernel {
        let mut kernel = Kernel::start(seed, |config| config.relays = vec![relay.ws_address.clone()]);
        let expected = circuit_address(&relay.ws_address, kernel.node.peer());
        assert_eq!(kernel.relay_up().await, expected);
        let reachable_at = kernel.node.listen_addresses();
        assert!(reachable_at.contains(&expected), "{expected} is not in {reachable_at:?}");
        kernel
    }

    pub(crate) async fn relay_up(&mut self) -> String {
        loop {
            if let NodeEvent::RelayUp { address } = self.events.next().await.unwrap() {
                return address;
            }
        }
    }

    pub(crate) async fn relay_down(&mut self) {
        while !matches!(self.events.next().await.unwrap(), NodeEvent::RelayDown { .. }) {}
    }

    pub(crate) async fn inbound(&mut self) -> NodeStream {
        loop {
            if let NodeEvent::Inbound(stream) = self.events.next().await.unwrap() {
                return stream;
            }
        }
    }

    pub(crate) fn peer(&self) -> PeerId {
        self.node.peer().clone()
    }
}
