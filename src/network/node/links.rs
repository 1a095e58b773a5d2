//! The node as the transport's network.

use std::{rc::Rc, time::Duration};

use futures::{FutureExt as _, StreamExt as _, future, future::LocalBoxFuture};

use super::{Node, NodeConfig, NodeError, NodeEvent, NodeStream};
use crate::{
    network::{
        link::{DialError, LinkEvent, Links, Network, Started},
        status::{Path, RelayState, RelayStatus},
    },
    runtime::{Runtime, worth_a_line},
    wire::{PeerId, RemoteCommsOptions, RemoteError},
};

/// Starts libp2p nodes on a runtime.
pub struct Libp2p {
    runtime: Rc<dyn Runtime>,
    #[cfg(all(feature = "webrtc-listen", not(target_arch = "wasm32")))]
    certificate: Option<String>,
}

impl Libp2p {
    /// Nodes run on this runtime's thread.
    pub fn new(runtime: Rc<dyn Runtime>) -> Self {
        Libp2p {
            runtime,
            #[cfg(all(feature = "webrtc-listen", not(target_arch = "wasm32")))]
            certificate: None,
        }
    }

    /// Listens on webrtc-direct under this certificate (PEM, with its private key), so that the addresses stay the same.
    #[cfg(all(feature = "webrtc-listen", not(target_arch = "wasm32")))]
    #[must_use]
    pub fn with_certificate(self, pem: String) -> Self {
        Libp2p { certificate: Some(pem), ..self }
    }
}

impl Network for Libp2p {
    type Links = Node;

    fn start(&self, seed: [u8; 32], options: &RemoteCommsOptions) -> Result<Started<Node>, RemoteError> {
        let config = NodeConfig {
            relays: options.relays.clone(),
            listen: options.direct_listen_addresses.clone(),
            allowed_ws_hosts: options.allowed_ws_hosts.clone(),
            heartbeat_interval: Duration::from_millis(options.heartbeat_interval_ms),
            silence_limit: Duration::from_millis(options.heartbeat_timeout_ms),
            #[cfg(all(feature = "webrtc-listen", not(target_arch = "wasm32")))]
            certificate: self.certificate.clone(),
            ..NodeConfig::new(seed)
        };
        let (node, events) = Node::start(config, Rc::clone(&self.runtime)).map_err(|error| refusal(&error))?;
        let events = events.filter_map(|event| future::ready(link_event(event)));
        Ok((node, events.boxed_local()))
    }
}

fn refusal(error: &NodeError) -> RemoteError {
    let name = match error {
        NodeError::Key(_) => "IdentityError",
        NodeError::Address { .. } => "AddressError",
    };
    RemoteError::Other { name: name.to_owned(), message: error.to_string() }
}

/// The transport hears of lost connections from their streams; the rest is for the log.
fn link_event(event: NodeEvent) -> Option<LinkEvent<NodeStream>> {
    match event {
        NodeEvent::Inbound(stream) => return Some(LinkEvent::Inbound { peer: stream.peer().clone(), stream }),
        NodeEvent::ConnectionClosed { peer, reason } => tracing::debug!(%peer, reason, "connection closed"),
        NodeEvent::RelayUp { address } => {
            tracing::info!(address, "reachable through a relay");
            let relay = address.split("/p2p-circuit").next().unwrap_or_default().to_owned();
            return Some(LinkEvent::Relay(RelayStatus { relay, state: RelayState::Up, code: None, reason: None }));
        }
        NodeEvent::RelayDown { relay, code, reason } => {
            if let Some(times) = worth_a_line("relay lost", &relay) {
                tracing::warn!(relay, %code, reason, times, "relay lost");
            }
            let (code, reason) = (Some(code), Some(reason));
            return Some(LinkEvent::Relay(RelayStatus { relay, state: RelayState::Down, code, reason }));
        }
    }
    None
}

impl Links for Node {
    type Stream = NodeStream;

    fn open(&self, peer: PeerId, addresses: Vec<String>) -> LocalBoxFuture<'static, Result<NodeStream, DialError>> {
        let node = self.clone();
        async move { Node::open(&node, &peer, &addresses).await }.boxed_local()
    }

    fn open_anew(
        &self,
        peer: PeerId,
        addresses: Vec<String>,
    ) -> LocalBoxFuture<'static, Result<NodeStream, DialError>> {
        let node = self.clone();
        async move { Node::open_anew(&node, &peer, &addresses).await }.boxed_local()
    }

    fn discard(&self, path: &Path) {
        let (node, path) = (self.clone(), path.clone());
        self.runtime.spawn(async move { Node::discard(&node, &path).await }.boxed_local());
    }

    fn path(stream: &NodeStream) -> Path {
        stream.path()
    }

    fn is_with_incumbent(stream: &NodeStream) -> bool {
        stream.is_with_incumbent()
    }

    fn know(&self, peer: &PeerId) {
        self.shared.known.insert(peer);
    }

    fn probe(&self) {
        Node::probe(self);
    }

    fn hang_up(&self) {
        Node::hang_up(self);
    }

    fn listen_addresses(&self) -> Vec<String> {
        Node::listen_addresses(self)
    }

    fn stop(&self) -> LocalBoxFuture<'static, ()> {
        let node = self.clone();
        async move { Node::stop(&node).await }.boxed_local()
    }
}
