//! The libp2p behaviour that opens and accepts streams on [either protocol](super::protocol).
//!
//! It differs from `libp2p-stream` in what our driver needs: a stream can be asked of the very connection that a dial has
//! made (an older one may be dead without knowing), inbound streams wait in the swarm's bounded queues instead of
//! being dropped when two come at once, and nothing is kept of closed connections.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    task::{Context, Poll},
};

use libp2p::{
    Multiaddr, PeerId, Stream,
    core::{Endpoint, transport::PortUse},
    swarm::{
        ConnectionDenied, ConnectionHandler, ConnectionHandlerEvent, ConnectionId, FromSwarm, NetworkBehaviour,
        NotifyHandler, StreamUpgradeError, SubstreamProtocol, THandler, THandlerInEvent, THandlerOutEvent, ToSwarm,
        handler::{ConnectionEvent, DialUpgradeError, FullyNegotiatedInbound, FullyNegotiatedOutbound},
    },
};

use super::{
    DialError, ErrorCode, StreamReply, address,
    heartbeat::LONGEST_SILENCE,
    joints::Joints,
    protocol::Offer,
    stream::{Cut, Cuts, Cuttable},
};
use crate::network::status::Path;

/// Streams that may wait for negotiation on one connection; kernels use one.
const MAX_WAITING: usize = 8;

/// What the behaviour tells.
pub(super) enum Happened {
    /// A peer opened a stream.
    Inbound { peer: PeerId, stream: Cuttable },
    /// The stream for which a connection was dialled was there, or not to be had, when nobody waited for it any more.
    Unwanted { peer: PeerId, connection: ConnectionId },
}

impl std::fmt::Debug for Happened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Happened::Inbound { peer, .. } => write!(f, "Inbound({peer})"),
            Happened::Unwanted { connection, .. } => write!(f, "Unwanted({connection})"),
        }
    }
}

/// Somebody who waits for a stream.
#[derive(Debug)]
pub(super) struct Asked {
    reply: StreamReply,
    /// The connection was dialled for this.
    first: bool,
}

struct Connection {
    id: ConnectionId,
    relayed: bool,
    /// No more streams are opened on it.
    closing: bool,
    cut: Arc<Cut>,
}

/// Opens and accepts streams.
pub(super) struct Behaviour {
    offer: Offer,
    /// In the order in which they were made.
    connections: HashMap<PeerId, Vec<Connection>>,
    cuts: Cuts,
    joints: Joints,
    events: VecDeque<ToSwarm<Happened, Asked>>,
}

impl Behaviour {
    /// Streams on the protocols of `offer`; `cuts` tells which connections they use, `joints` which muxers those have.
    pub(super) fn new(offer: Offer, cuts: Cuts, joints: Joints) -> Self {
        Behaviour { offer, connections: HashMap::new(), cuts, joints, events: VecDeque::new() }
    }

    /// Opens a stream on the connection that was dialled for it.
    pub(super) fn open_first(&mut self, peer: PeerId, connection: ConnectionId, reply: StreamReply) {
        self.open_on(peer, connection, Asked { reply, first: true });
    }

    fn open_on(&mut self, peer_id: PeerId, connection: ConnectionId, event: Asked) {
        self.events.push_back(ToSwarm::NotifyHandler { peer_id, handler: NotifyHandler::One(connection), event });
    }

    /// Ends the streams of a connection that is dead, and opens no more on it.
    pub(super) fn cut(&mut self, connection: ConnectionId) {
        self.forget(connection, |cut| cut.cut());
    }

    /// All connections.
    pub(super) fn all(&self) -> Vec<ConnectionId> {
        self.connections.values().flatten().map(|known| known.id).collect()
    }

    /// Opens no more streams on a connection, for it is being closed; those that there are end in order.
    pub(super) fn retire(&mut self, connection: ConnectionId) {
        for known in self.connections.values_mut().flatten().filter(|known| known.id == connection) {
            known.closing = true;
        }
    }

    /// The same for all connections of a peer.
    pub(super) fn retire_all(&mut self, peer: &PeerId) {
        for known in self.connections.get_mut(peer).into_iter().flatten() {
            known.closing = true;
        }
    }

    /// Whether there was a sign of life on any stream of a connection since this was last asked.
    pub(super) fn take_sign_of_life(&self, connection: ConnectionId) -> bool {
        let mut connections = self.connections.values().flatten();
        connections.find(|known| known.id == connection).is_some_and(|known| known.cut.take_sign_of_life())
    }

    /// Whether there is any stream on a connection.
    pub(super) fn is_used(&self, connection: ConnectionId) -> bool {
        self.cuts.is_used(connection)
    }

    /// Which way a connection takes.
    pub(super) fn path(&self, peer: &PeerId, connection: ConnectionId) -> Option<Path> {
        let mut connections = self.connections.get(peer).into_iter().flatten();
        connections.find(|known| known.id == connection).map(|known| known.cut.path())
    }

    /// The connection that takes this way, if no stream is left on it.
    pub(super) fn unused(&self, path: &Path) -> Option<ConnectionId> {
        let mut connections = self.connections.values().flatten();
        connections.find(|known| known.cut.path().is_same(path) && !known.cut.is_used()).map(|known| known.id)
    }

    fn forget(&mut self, id: ConnectionId, then: impl Fn(&Cut)) {
        self.connections.retain(|_, connections| {
            connections.retain(|connection| {
                let gone = connection.id == id;
                if gone {
                    then(&connection.cut);
                }
                !gone
            });
            !connections.is_empty()
        });
    }

    fn handler(&mut self, connection: ConnectionId) -> Handler {
        let cut = self.cuts.of(connection);
        Handler {
            offer: self.offer,
            cut,
            waiting: VecDeque::new(),
            negotiating: None,
            accepted: VecDeque::new(),
            unwanted: false,
        }
    }

    /// Opens a stream on the best connection there is: direct rather than relayed, new rather than old.
    pub(super) fn open(&mut self, peer: PeerId, reply: StreamReply) {
        let connections = self.connections.get(&peer).map_or(&[][..], Vec::as_slice);
        let open = connections.iter().rev().filter(|connection| !connection.closing);
        let best = open.min_by_key(|connection| connection.relayed);
        match best.map(|connection| connection.id) {
            Some(connection) => self.open_on(peer, connection, Asked { reply, first: false }),
            None => answer(reply, Err(DialError::new(ErrorCode::NoAddress, "not connected"))),
        }
    }
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = Handler;
    type ToSwarm = Happened;

    fn handle_pending_inbound_connection(
        &mut self,
        connection: ConnectionId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        if let Some(cut) = self.joints.accepted() {
            self.cuts.join(connection, cut);
        }
        Ok(())
    }

    fn handle_pending_outbound_connection(
        &mut self,
        connection: ConnectionId,
        _: Option<PeerId>,
        _: &[Multiaddr],
        _: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        self.joints.dial(self.cuts.of(connection));
        Ok(Vec::new())
    }

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(self.handler(connection))
    }

    fn handle_established_outbound_connection(
        &mut self,
        connection: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(self.handler(connection))
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionEstablished(established) => {
                let relayed =
                    address::is_circuit(established.endpoint.get_remote_address()) || established.endpoint.is_relayed();
                let id = established.connection_id;
                let connection = Connection { id, relayed, closing: false, cut: self.cuts.of(id) };
                connection.cut.set_path(address::path(established.endpoint));
                self.connections.entry(established.peer_id).or_default().push(connection);
            }
            // Another behaviour may have denied the connection after its handler was made here.
            FromSwarm::ListenFailure(failure) => self.cuts.forget(failure.connection_id),
            FromSwarm::DialFailure(failure) => self.cuts.forget(failure.connection_id),
            // Its streams end by themselves, in order where that is possible.
            FromSwarm::ConnectionClosed(closed) => {
                self.cuts.forget(closed.connection_id);
                self.forget(closed.connection_id, |_| {});
            }
            _ => {}
        }
    }

    fn on_connection_handler_event(&mut self, peer: PeerId, connection: ConnectionId, told: THandlerOutEvent<Self>) {
        self.events.push_back(ToSwarm::GenerateEvent(match told.0 {
            Some(stream) => Happened::Inbound { peer, stream },
            None => Happened::Unwanted { peer, connection },
        }));
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        // No waker: events are only added by the task that polls the swarm, before it does.
        self.events.pop_front().map_or(Poll::Pending, Poll::Ready)
    }
}

/// What a connection tells the behaviour: of a stream that its peer opened, or that nobody wants its first.
pub(super) struct Told(Option<Cuttable>);

impl std::fmt::Debug for Told {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_some() { "Accepted" } else { "Unwanted" })
    }
}

/// The part of the behaviour at one connection. It negotiates one outbound stream at a time.
pub(super) struct Handler {
    offer: Offer,
    cut: Arc<Cut>,
    waiting: VecDeque<Asked>,
    negotiating: Option<Asked>,
    accepted: VecDeque<Stream>,
    unwanted: bool,
}

impl ConnectionHandler for Handler {
    type FromBehaviour = Asked;
    type ToBehaviour = Told;
    type InboundProtocol = Offer;
    type OutboundProtocol = Offer;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = ();

    fn listen_protocol(&self) -> SubstreamProtocol<Self::InboundProtocol> {
        SubstreamProtocol::new(self.offer, ())
    }

    fn on_behaviour_event(&mut self, asked: Self::FromBehaviour) {
        if self.waiting.len() < MAX_WAITING {
            self.waiting.push_back(asked);
        } else {
            answer(asked.reply, Err(DialError::new(ErrorCode::Other, "too many streams are being opened")));
        }
    }

    fn poll(
        &mut self,
        _: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<Self::OutboundProtocol, (), Self::ToBehaviour>> {
        if let Some(stream) = self.accepted.pop_front() {
            let stream = Cuttable::new(stream, &self.cut);
            return Poll::Ready(ConnectionHandlerEvent::NotifyBehaviour(Told(Some(stream))));
        }
        if std::mem::take(&mut self.unwanted) {
            return Poll::Ready(ConnectionHandlerEvent::NotifyBehaviour(Told(None)));
        }
        self.waiting.retain(|asked| asked.first || !asked.reply.is_canceled());
        if self.negotiating.is_none()
            && let Some(asked) = self.waiting.pop_front()
        {
            self.negotiating = Some(asked);
            // On a slow line it waits behind what is being sent; a dead one is noticed by the heartbeat, and a dial has an end.
            let protocol = SubstreamProtocol::new(self.offer, ()).with_timeout(LONGEST_SILENCE);
            return Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest { protocol });
        }
        Poll::Pending
    }

    fn on_connection_event(&mut self, event: ConnectionEvent<'_, Self::InboundProtocol, Self::OutboundProtocol>) {
        match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound { protocol, .. })
                if self.accepted.len() < MAX_WAITING =>
            {
                let stream = self.cut.spoken(protocol);
                self.accepted.push_back(stream);
            }
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound { protocol, .. }) => {
                let stream = self.cut.spoken(protocol);
                self.negotiated(Ok(stream));
            }
            ConnectionEvent::DialUpgradeError(DialUpgradeError { error, .. }) => self.negotiated(Err(match error {
                StreamUpgradeError::Timeout => DialError::new(ErrorCode::TimedOut, "the peer does not answer"),
                StreamUpgradeError::NegotiationFailed => DialError::new(
                    ErrorCode::ProtocolUnsupported,
                    "the peer is no kernel: it speaks none of our protocols",
                ),
                StreamUpgradeError::Io(error) => DialError::new(ErrorCode::Reset, error.to_string()),
                StreamUpgradeError::Apply(never) => match never {},
            })),
            _ => {}
        }
    }
}

impl Handler {
    fn negotiated(&mut self, result: Result<Stream, DialError>) {
        if let Some(Asked { reply, first }) = self.negotiating.take() {
            self.unwanted |= first && reply.is_canceled();
            answer(reply, result.map(|stream| Cuttable::new(stream, &self.cut)));
        }
    }
}

/// Answers unless the asker has gone; a stream that nobody wants is reset by being dropped.
pub(super) fn answer(reply: StreamReply, result: Result<Cuttable, DialError>) {
    let _ = reply.send(result);
}
