//! The libp2p node: connections, streams and relay reservations. The only module that names libp2p.
//!
//! It opens and accepts byte streams between kernels, tells when connections and relays come and go, and keeps a
//! reservation at each configured relay. It leaves to the transport above: framing, the kernel handshake, which of two
//! streams to keep, retries of peers, rate limits.
//!
//! The same code runs natively (WebSocket over TCP) and in browsers (WebSocket everywhere, WebRTC where
//! `RTCPeerConnection` exists, that is, not in Workers). Browsers cannot listen; they are reached through relays.

mod address;
mod circuits;
mod dial_error;
mod driver;
mod heartbeat;
mod joints;
mod known;
mod limits;
mod lines;
mod links;
mod muxers;
#[cfg(not(target_arch = "wasm32"))]
mod new_ports;
mod protocol;
mod race;
mod relays;
mod stream;
mod streams;
mod swarm;
#[cfg(test)]
#[cfg(not(target_arch = "wasm32"))]
mod tests;
mod ways;

use std::{cell::RefCell, collections::HashMap, rc::Rc, time::Duration};

pub use address::{WsPolicy, circuit_address};
pub use circuits::{Meter, Metered, Meters};
use futures::{
    FutureExt as _, SinkExt as _, StreamExt as _,
    channel::{mpsc, oneshot},
    future::Fuse,
    stream::FuturesUnordered,
};
use known::Known;
pub use lines::Lines;
pub use links::Libp2p;
pub use protocol::{LEGACY_PROTOCOL, PROTOCOL};
use race::Race;
use stream::Cuttable;
pub use stream::NodeStream;
use ways::Ways;

use super::{
    link::{DialError, ErrorCode},
    status::Path,
};
use crate::{
    runtime::{Runtime, timeout},
    wire::PeerId,
};

/// Events that may wait for their reader. What comes beyond is dropped: an inbound stream is reset, and its peer tries
/// again; for the others see [`NodeEvent`].
const EVENT_CAPACITY: usize = 256;

/// Commands that may wait for the node's task; further callers wait for their turn.
const COMMAND_CAPACITY: usize = 16;

/// How long an existing connection may take to open a stream before new ones are dialled.
const OPEN_ON_EXISTING_LIMIT: Duration = Duration::from_secs(5);

/// What a node is started with.
#[derive(Clone)]
pub struct NodeConfig {
    /// The Ed25519 seed from which the peer id follows.
    pub key_seed: [u8; 32],
    /// Multiaddrs of relays, each ending in `/p2p/<peer id>`. Several addresses of one relay are alternatives.
    pub relays: Vec<String>,
    /// Multiaddrs to listen on. Browsers cannot: there it must be empty.
    pub listen: Vec<String>,
    /// Hosts besides private addresses and configured relays to which plain `ws://` is allowed.
    pub allowed_ws_hosts: Vec<String>,
    /// How often each connection is pinged.
    pub heartbeat_interval: Duration,
    /// Silence after which a connection is closed; longer than the interval by at least one slow round trip. Peers that were
    /// closed for it before get twice the time, and so on up to 64 s, until they have answered for a minute.
    pub silence_limit: Duration,
    /// The certificate of webrtc-direct as PEM, private key included; its hash stands in the addresses. Without it
    /// there is no webrtc-direct.
    #[cfg(all(feature = "webrtc-listen", not(target_arch = "wasm32")))]
    pub certificate: Option<String>,
}

impl NodeConfig {
    /// The defaults of protocol §6, without relays.
    pub fn new(key_seed: [u8; 32]) -> Self {
        NodeConfig {
            key_seed,
            relays: Vec::new(),
            listen: Vec::new(),
            allowed_ws_hosts: Vec::new(),
            heartbeat_interval: Duration::from_secs(1),
            silence_limit: Duration::from_secs(4),
            #[cfg(all(feature = "webrtc-listen", not(target_arch = "wasm32")))]
            certificate: None,
        }
    }
}

/// Why a node could not be started.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The key seed or the encryption built on it was refused, or the certificate.
    #[error("the node's key cannot be used: {0}")]
    Key(String),
    /// An address in the configuration is not one this node can use.
    #[error("{address}: {reason}")]
    Address {
        /// The address as configured.
        address: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// What happens at a node without being asked for.
///
/// Events beyond the capacity of the channel are dropped. That loses no state: streams of a closed connection end by
/// themselves, and [`Node::listen_addresses`] is always current.
#[derive(Debug)]
pub enum NodeEvent {
    /// A peer opened a stream.
    Inbound(NodeStream),
    /// The last connection to a peer (a relay is one too) ended; its streams end as well.
    ConnectionClosed {
        /// The peer.
        peer: PeerId,
        /// What ended the connection.
        reason: String,
    },
    /// A relay has accepted a reservation: peers reach this node through it.
    RelayUp {
        /// The circuit address, `<relay as configured>/p2p-circuit/p2p/<own id>`. The relay may list more of its own
        /// addresses; [`Node::listen_addresses`] has them all.
        address: String,
    },
    /// A reservation was lost, or could not be had at the first attempt; the node goes on trying.
    RelayDown {
        /// The relay's address.
        relay: String,
        /// What kind of failure.
        code: ErrorCode,
        /// What happened, for people.
        reason: String,
    },
}

/// What the handles ask of the node's task.
enum Command {
    /// Open a stream on a connection that exists.
    OpenExisting { peer: libp2p::PeerId, reply: StreamReply },
    /// Dial one address and open a stream on the connection, which is closed if nobody waits for it any more.
    Dial { peer: libp2p::PeerId, address: libp2p::Multiaddr, reply: StreamReply },
    /// Close a connection unless there is a stream on it.
    Discard { path: Path },
    /// Close all connections to a peer.
    Disconnect { peer: libp2p::PeerId },
    /// Try relays that wait, now, and find out which connections are dead.
    Probe,
    /// Close all connections at once.
    HangUp,
    /// Close everything and end.
    Stop { done: oneshot::Sender<()> },
}

type StreamReply = oneshot::Sender<Result<Cuttable, DialError>>;

/// A handle to a running node. Clones are handles to the same node; when the last is dropped, the node closes its
/// connections and ends.
#[derive(Clone)]
pub struct Node {
    peer: PeerId,
    commands: mpsc::Sender<Command>,
    shared: Shared,
    ws_policy: Rc<WsPolicy>,
    runtime: Rc<dyn Runtime>,
}

/// What the task and the handles share.
#[derive(Clone, Default)]
struct Shared {
    listening: Listening,
    known: Known,
    ways: Ways,
}

/// Addresses by listener, shared between the task (which writes) and the handles.
type Listening = Rc<RefCell<HashMap<libp2p::core::transport::ListenerId, Vec<String>>>>;

impl Node {
    /// Starts a node on the runtime's thread. Reservations are made in the background.
    ///
    /// # Errors
    /// When the seed or an address of the configuration cannot be used.
    pub fn start(config: NodeConfig, runtime: Rc<dyn Runtime>) -> Result<(Node, mpsc::Receiver<NodeEvent>), NodeError> {
        let ws_policy = Rc::new(WsPolicy::new(&config.relays, &config.allowed_ws_hosts));
        let shared = Shared::default();
        let (commands, command_receiver) = mpsc::channel(COMMAND_CAPACITY);
        let (events, event_receiver) = mpsc::channel(EVENT_CAPACITY);
        let driver =
            driver::Driver::new(&config, &ws_policy, shared.clone(), command_receiver, events, runtime.clone())?;
        let peer = PeerId::from(driver.local_peer());
        runtime.spawn(Box::pin(driver.run()));
        Ok((Node { peer, commands, shared, ws_policy, runtime }, event_receiver))
    }

    /// This node's peer id.
    pub fn peer(&self) -> &PeerId {
        &self.peer
    }

    /// Opens a stream to a peer: on a connection that exists, else as [`open_anew`](Self::open_anew).
    ///
    /// It takes up to 5 s on a connection that has gone silent, and then as long as that; bound it from outside.
    ///
    /// # Errors
    /// When no address led to the peer; the code is that of the address which gives most hope (see [`DialError`]).
    pub async fn open(&self, peer: &PeerId, addresses: &[String]) -> Result<NodeStream, DialError> {
        let id = address::libp2p_peer(peer)?;
        let existing = self.ask(|reply| Command::OpenExisting { peer: id, reply });
        match timeout(&*self.runtime, OPEN_ON_EXISTING_LIMIT, existing).await {
            Some(Ok(stream)) => return Ok(NodeStream::new(peer.clone(), stream)),
            Some(Err(error)) if error.code == ErrorCode::ProtocolUnsupported || error.code == ErrorCode::Stopped => {
                return Err(error);
            }
            Some(Err(_)) | None => {}
        }

        self.open_anew(peer, addresses).await
    }

    /// Opens a stream to a peer by dialling the addresses, whatever connections there are: each soon after the one before it, and
    /// at once when that has failed. The first stream wins; connections that bring another are closed.
    ///
    /// Each address has 20 s, and [`WAYS_AT_ONCE`](super::link::WAYS_AT_ONCE) are tried at once; bound it from outside.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub async fn open_anew(&self, peer: &PeerId, addresses: &[String]) -> Result<NodeStream, DialError> {
        let id = address::libp2p_peer(peer)?;
        let mut failure = None;
        let mut ways = Vec::new();
        for text in addresses {
            match address::dialable(text, &id, &self.ws_policy) {
                Ok(address) => ways.push(address),
                Err(error) => failure = Some(DialError::more_hopeful(failure, error)),
            }
        }
        self.shared.ways.sort(&id, &mut ways);

        let mut race = Race::new(ways.iter().map(address::relay_in), self.runtime.now());
        let mut trying = FuturesUnordered::new();
        loop {
            while let Some(way) = race.next(self.runtime.now()) {
                let Some(address) = ways.get(way).cloned() else { continue };
                let stream = self.ask(|reply| Command::Dial { peer: id, address, reply });
                trying.push(stream.map(move |outcome| (way, outcome)));
            }
            if trying.is_empty() {
                return Err(
                    failure.unwrap_or_else(|| DialError::new(ErrorCode::NoAddress, "no address of the peer is known"))
                );
            }
            let mut next = match race.next_at() {
                Some(at) => self.runtime.sleep(at.since(self.runtime.now())).fuse(),
                None => Fuse::terminated(),
            };
            let (way, outcome) = futures::select! {
                () = next => continue,
                ended = trying.select_next_some() => ended,
            };
            match outcome {
                Ok(stream) => {
                    if let Some(address) = ways.into_iter().nth(way) {
                        self.shared.ways.worked(id, address);
                    }
                    return Ok(NodeStream::new(peer.clone(), stream));
                }
                Err(error) => {
                    race.failed(way, self.runtime.now());
                    failure = Some(DialError::more_hopeful(failure, error));
                }
            }
        }
    }

    /// Closes the connection that takes this way, unless there is a stream on it.
    pub async fn discard(&self, path: &Path) {
        self.tell(Command::Discard { path: path.clone() }).await;
    }

    /// Closes all connections to a peer; its streams end.
    pub async fn disconnect(&self, peer: &PeerId) {
        if let Ok(peer) = address::libp2p_peer(peer) {
            self.tell(Command::Disconnect { peer }).await;
        }
    }

    /// The addresses at which peers reach this node now: listening addresses, and circuits through relays.
    pub fn listen_addresses(&self) -> Vec<String> {
        let mut addresses: Vec<String> = self.shared.listening.borrow().values().flatten().cloned().collect();
        addresses.sort();
        addresses
    }

    /// For a wake from sleep or a change of network: tries relays that wait, and closes connections that
    /// answer no ping within [`NodeConfig::silence_limit`] from now, whatever patience their peers had earned.
    pub fn probe(&self) {
        // A queue that is full of commands is not worth a second copy of this one: the heartbeat goes on anyway.
        self.commands.clone().try_send(Command::Probe).ok();
    }

    /// Closes all connections at once, without waiting for what is under way; others may be made later.
    pub fn hang_up(&self) {
        // A new handle has a place of its own in the queue.
        self.commands.clone().try_send(Command::HangUp).ok();
    }

    /// Closes all connections and ends the node; later calls fail. Returns when it is done.
    pub async fn stop(&self) {
        let (done, ended) = oneshot::channel();
        self.tell(Command::Stop { done }).await;
        // An error means that the node has ended already.
        let _ = ended.await;
    }

    async fn tell(&self, command: Command) -> bool {
        self.commands.clone().send(command).await.is_ok()
    }

    async fn ask(&self, command: impl FnOnce(StreamReply) -> Command) -> Result<Cuttable, DialError> {
        let (reply, answer) = oneshot::channel();
        let stopped = || DialError::new(ErrorCode::Stopped, "the node was stopped");
        if !self.tell(command(reply)).await {
            return Err(stopped());
        }
        answer.await.unwrap_or_else(|_| {
            // The asked part has gone: the whole node, or just the connection on which the stream was being opened.
            let connection_lost = || DialError::new(ErrorCode::Reset, "the connection ended");
            Err(if self.commands.is_closed() { stopped() } else { connection_lost() })
        })
    }
}
