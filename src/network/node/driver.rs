//! The node's task: it alone owns the swarm, and joins it with commands, timers and events.

use std::{collections::HashMap, rc::Rc, time::Duration};

use futures::{FutureExt as _, StreamExt as _, channel::mpsc};
use libp2p::{
    Multiaddr, PeerId, Swarm,
    core::{ConnectedPoint, transport::ListenerId},
    multiaddr::Protocol,
    ping,
    swarm::{
        ConnectionId, SwarmEvent,
        dial_opts::{DialOpts, PeerCondition},
    },
};

use super::{
    Command, DialError, ErrorCode, NodeConfig, NodeError, NodeEvent, NodeStream, Shared, StreamReply, WsPolicy,
    address,
    circuits::{Limits, Meters},
    dial_error::{chain, error_code},
    heartbeat::Heartbeat,
    lines::Lines,
    relays::{self, Action, RelayIndex, Relays},
    streams::{Happened, answer},
    swarm::{self, Behaviour, BehaviourEvent},
};
use crate::runtime::{Runtime, Timestamp, random_bytes, timeout, worth_a_line};

/// How long closing may take when the node stops.
const STOP_LIMIT: Duration = Duration::from_secs(1);

pub(super) struct Driver {
    swarm: Swarm<Behaviour>,
    runtime: Rc<dyn Runtime>,
    commands: mpsc::Receiver<Command>,
    events: mpsc::Sender<NodeEvent>,
    shared: Shared,
    relays: Relays,
    /// The listener that stands for a relay's reservation.
    reservations: HashMap<ListenerId, RelayIndex>,
    heartbeat: Heartbeat<ConnectionId, PeerId>,
    lines: Lines<ConnectionId>,
    /// Who waits for which dial.
    dials: HashMap<ConnectionId, (StreamReply, bool)>,
    meters: Meters,
    circuit_limits: Limits,
    /// Why a relay could not be dialled; libp2p tells those who wait for a reservation only that it was not to be had.
    unreachable: HashMap<PeerId, (ErrorCode, String)>,
}

impl Driver {
    pub(super) fn new(
        config: &NodeConfig,
        ws_policy: &WsPolicy,
        shared: Shared,
        commands: mpsc::Receiver<Command>,
        events: mpsc::Sender<NodeEvent>,
        runtime: Rc<dyn Runtime>,
    ) -> Result<Self, NodeError> {
        let meters = Meters::default();
        let mut swarm = swarm::build(config, &meters, &shared.known)?;
        for text in &config.listen {
            let refused = |reason: String| NodeError::Address { address: text.clone(), reason };
            let address: Multiaddr = text.parse().map_err(|error| refused(format!("{error}")))?;
            swarm.listen_on(address).map_err(|error| refused(error.to_string()))?;
        }
        let mut relay_addresses = Vec::new();
        for text in &config.relays {
            let refused = |reason: &str| NodeError::Address { address: text.clone(), reason: reason.to_owned() };
            let address: Multiaddr = text.parse().map_err(|_| refused("not a multiaddr"))?;
            let peer = relays::checked_peer(&address).map_err(refused)?;
            debug_assert!(ws_policy.allows(&address), "relay hosts are allowed");
            match swarm::can_dial(&address) {
                Ok(()) => relay_addresses.push((peer, address)),
                // A Worker is given the WebRTC addresses too, beside others that it can use.
                Err(reason) => tracing::info!(%address, reason, "relay address left out"),
            }
        }
        let relays = Relays::new(relay_addresses, runtime.now());
        Ok(Driver {
            swarm,
            commands,
            events,
            shared,
            relays,
            reservations: HashMap::new(),
            heartbeat: Heartbeat::new(config.silence_limit),
            lines: Lines::new(config.silence_limit),
            dials: HashMap::new(),
            meters,
            circuit_limits: Limits::default(),
            unreachable: HashMap::new(),
            runtime,
        })
    }

    pub(super) fn local_peer(&self) -> PeerId {
        *self.swarm.local_peer_id()
    }

    /// Runs until the node is stopped or its last handle is gone.
    pub(super) async fn run(mut self) {
        #[allow(clippy::large_enum_variant)] // It lives for one turn of the loop.
        enum Next {
            Swarm(SwarmEvent<BehaviourEvent>),
            Command(Option<Command>),
            Timeout,
        }
        let stopped_by = loop {
            let mut timer = self.timer();
            // Commands and timers first: a busy swarm must not starve them.
            let next = futures::select_biased! {
                command = self.commands.next() => Next::Command(command),
                () = timer => Next::Timeout,
                event = self.swarm.select_next_some() => Next::Swarm(event),
            };
            match next {
                Next::Swarm(event) => self.handle_event(event),
                Next::Command(Some(Command::Stop { done })) => break Some(done),
                Next::Command(Some(command)) => self.handle_command(command),
                Next::Command(None) => break None,
                Next::Timeout => self.handle_timeout(),
            }
        };
        self.close_all().await;
        drop(self);
        if let Some(done) = stopped_by {
            // Nobody may be waiting any more.
            let _ = done.send(());
        }
    }

    fn timer(&self) -> futures::future::Fuse<futures::future::LocalBoxFuture<'static, ()>> {
        let deadlines = [self.relays.next_deadline(), self.heartbeat.next_check(), self.lines.next_look()];
        match deadlines.into_iter().flatten().min() {
            Some(deadline) => self.runtime.sleep(deadline.since(self.now())).fuse(),
            None => futures::future::Fuse::terminated(),
        }
    }

    fn now(&self) -> Timestamp {
        self.runtime.now()
    }

    fn handle_command(&mut self, command: Command) {
        match command {
            Command::OpenExisting { peer, reply } => self.swarm.behaviour_mut().streams.open(peer, reply),
            Command::Dial { peer, address, reply } => self.dial(peer, address, reply),
            Command::Discard { path } => {
                if let Some(connection) = self.swarm.behaviour().streams.unused(&path) {
                    self.swarm.behaviour_mut().streams.retire(connection);
                    self.swarm.close_connection(connection);
                }
            }
            Command::Disconnect { peer } => {
                self.swarm.behaviour_mut().streams.retire_all(&peer);
                // An error means that there is no connection.
                let _ = self.swarm.disconnect_peer_id(peer);
            }
            Command::Probe => {
                self.shared.ways.forget();
                self.heartbeat.probe(self.now());
                self.relays.retry(self.now());
            }
            Command::HangUp => {
                for connection in self.swarm.behaviour().streams.all() {
                    self.cut(connection);
                }
            }
            Command::Stop { .. } => {} // handled where the loop ends
        }
    }

    fn dial(&mut self, peer: PeerId, address: Multiaddr, reply: StreamReply) {
        self.relays.hurry(self.now());
        let circuit = address::is_circuit(&address);
        let options = DialOpts::peer_id(peer).condition(PeerCondition::Always).addresses(vec![address]).build();
        let connection = options.connection_id();
        match self.swarm.dial(options) {
            Ok(()) => {
                self.dials.insert(connection, (reply, circuit));
            }
            Err(error) => answer(reply, Err(DialError::from_swarm(&error, circuit))),
        }
    }

    /// Closes a connection that was dialled for somebody who has found another meanwhile, unless the peer uses it, or it may be
    /// the one with a relay.
    fn close_unwanted(&mut self, peer: &PeerId, connection: ConnectionId) {
        let streams = &mut self.swarm.behaviour_mut().streams;
        if !streams.is_used(connection) && !self.relays.is_relay(peer) {
            tracing::debug!(%peer, %connection, "closing a connection that nobody needs");
            streams.retire(connection);
            self.swarm.close_connection(connection);
        }
    }

    /// Closes a connection with all its streams, which learn it at once.
    fn cut(&mut self, connection: ConnectionId) {
        self.swarm.behaviour_mut().streams.cut(connection);
        self.swarm.close_connection(connection);
    }

    fn handle_timeout(&mut self) {
        let now = self.now();
        let streams = &self.swarm.behaviour().streams;
        self.lines.look(now, |connection| streams.take_sign_of_life(connection));
        let shows_life = |connection| self.lines.shows_life(connection, now);
        for connection in self.heartbeat.silent(now, shows_life, |peer| self.shared.known.contains(peer)) {
            tracing::debug!(%connection, "closing a silent connection");
            self.cut(connection);
        }
        for action in self.relays.handle_timeout(now) {
            match action {
                Action::Reserve { relay, address } => match self.swarm.listen_on(address.with(Protocol::P2pCircuit)) {
                    Ok(listener) => {
                        self.reservations.insert(listener, relay);
                    }
                    Err(error) => self.relay_lost(relay, error_code(&error), &chain(&error)),
                },
                Action::Abandon { relay } => {
                    self.reservations.retain(|listener, of| {
                        let keep = *of != relay;
                        if !keep {
                            self.swarm.remove_listener(*listener);
                        }
                        keep
                    });
                    if let Some(peer) = self.relays.peer(relay)
                        && !self.swarm.is_connected(&peer)
                    {
                        // libp2p dials a relay once at a time: the next attempt would wait for the end of this one.
                        let _ = self.swarm.disconnect_peer_id(peer);
                    }
                    self.relay_lost(relay, ErrorCode::TimedOut, "no answer in time");
                }
            }
        }
    }

    fn handle_event(&mut self, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::Behaviour(BehaviourEvent::Streams(Happened::Inbound { peer, stream })) => {
                self.emit(NodeEvent::Inbound(NodeStream::new(peer.into(), stream)));
            }
            SwarmEvent::Behaviour(BehaviourEvent::Streams(Happened::Unwanted { peer, connection })) => {
                self.close_unwanted(&peer, connection);
            }
            SwarmEvent::Behaviour(BehaviourEvent::Ping(ping::Event { connection, result, peer })) => match result {
                Ok(round_trip) => {
                    self.heartbeat.answered(connection, self.now());
                    self.lines.answered(connection, self.now());
                    self.swarm.behaviour().streams.take_sign_of_life(connection);
                    if let Some(path) = self.swarm.behaviour().streams.path(&peer, connection) {
                        path.note_round_trip(self.now(), round_trip);
                    }
                }
                Err(ping::Failure::Unsupported) => {
                    self.heartbeat.forget(connection);
                    self.lines.forget(connection);
                }
                Err(error) => tracing::debug!(%connection, %error, "ping failed"),
            },
            SwarmEvent::Behaviour(BehaviourEvent::Relay(event)) => self.circuit_limits.heard(&event),
            SwarmEvent::ConnectionEstablished { peer_id, connection_id, endpoint, .. } => {
                self.heartbeat.watch(connection_id, peer_id, self.now());
                self.note_meter(peer_id, connection_id, &endpoint);
                match self.dials.remove(&connection_id) {
                    Some((reply, _)) if reply.is_canceled() => self.close_unwanted(&peer_id, connection_id),
                    Some((reply, _)) => self.swarm.behaviour_mut().streams.open_first(peer_id, connection_id, reply),
                    None => {}
                }
            }
            SwarmEvent::ConnectionClosed { peer_id, connection_id, num_established, cause, .. } => {
                self.heartbeat.forget(connection_id);
                self.lines.forget(connection_id);
                if num_established == 0 {
                    self.circuit_limits.forget(&peer_id);
                    let reason = cause.map_or_else(|| "closed".to_owned(), |cause| chain(&cause));
                    self.emit(NodeEvent::ConnectionClosed { peer: peer_id.into(), reason });
                }
            }
            SwarmEvent::OutgoingConnectionError { connection_id, peer_id, error } => {
                let dial = self.dials.remove(&connection_id);
                let aborted = matches!(error, libp2p::swarm::DialError::Aborted);
                let mut error = DialError::from_swarm(&error, dial.as_ref().is_some_and(|(_, circuit)| *circuit));
                if matches!(error.code, ErrorCode::Other | ErrorCode::TimedOut | ErrorCode::RelayUnreachable)
                    && swarm::is_offline()
                {
                    error = DialError::new(ErrorCode::NetUnreach, error.reason);
                }
                match (dial, peer_id) {
                    (Some((reply, _)), _) => answer(reply, Err(error)),
                    (None, Some(peer)) if self.relays.is_relay(&peer) && !aborted => {
                        self.unreachable.insert(peer, (error.code, error.reason));
                    }
                    (None, _) => {}
                }
            }
            SwarmEvent::NewListenAddr { listener_id, address } => self.listening(listener_id, address),
            SwarmEvent::ExpiredListenAddr { listener_id, address } => {
                if let Some(addresses) = self.shared.listening.borrow_mut().get_mut(&listener_id) {
                    let expired = address.to_string();
                    addresses.retain(|address| *address != expired);
                }
            }
            SwarmEvent::ListenerClosed { listener_id, reason, .. } => {
                self.shared.listening.borrow_mut().remove(&listener_id);
                if let Some(relay) = self.reservations.remove(&listener_id) {
                    let dialled = self.relays.peer(relay).and_then(|peer| self.unreachable.remove(&peer));
                    let lost = || (ErrorCode::Reset, "connection to the relay lost".to_owned());
                    let (code, reason) = match reason {
                        Err(error) => (error_code(&error), chain(&error)),
                        Ok(()) => dialled.unwrap_or_else(lost),
                    };
                    self.relay_lost(relay, code, &reason);
                }
            }
            SwarmEvent::ListenerError { listener_id, error } => tracing::debug!(%listener_id, %error, "listener"),
            _ => {}
        }
    }

    /// Watches what passes the connection, and lets its streams tell how much of a circuit is left.
    fn note_meter(&mut self, peer: PeerId, connection: ConnectionId, endpoint: &ConnectedPoint) {
        // Taken in any case, so that the next connection does not find it.
        let meter = self.meters.take(&peer, endpoint);
        self.lines.watch(connection, meter.clone(), self.now());
        let Some(relay) = address::relay_of(endpoint) else { return };
        let carried = meter.map(|meter| meter.carried()).unwrap_or_default();
        let limit = self.circuit_limits.of(&relay);
        if let Some(path) = self.swarm.behaviour().streams.path(&peer, connection)
            && limit.is_limited()
        {
            path.note_circuit(self.now(), limit, carried);
        }
    }

    fn listening(&mut self, listener: ListenerId, address: Multiaddr) {
        self.shared.listening.borrow_mut().entry(listener).or_default().push(address.to_string());
        let now = self.now();
        if let Some(relay) = self.reservations.get(&listener).copied()
            && self.relays.reserved(relay, now)
            && let Some((peer, relay)) = self.relays.peer(relay).zip(self.relays.address(relay))
        {
            self.shared.ways.note_relay(peer, true);
            let address = address::circuit_address(&relay.to_string(), &self.local_peer().into());
            self.emit(NodeEvent::RelayUp { address });
        }
    }

    fn relay_lost(&mut self, relay: RelayIndex, code: ErrorCode, reason: &str) {
        let text = self.relays.address(relay).map(|address| address.to_string()).unwrap_or_default();
        tracing::debug!(relay = text, %code, reason, "no reservation");
        if let Some(peer) = self.relays.peer(relay) {
            self.shared.ways.note_relay(peer, false);
        }
        if self.relays.lost(relay, self.now(), u32::from_le_bytes(random_bytes(&*self.runtime))) {
            self.emit(NodeEvent::RelayDown { relay: text, code, reason: reason.to_owned() });
        }
    }

    fn emit(&mut self, event: NodeEvent) {
        if let Err(error) = self.events.try_send(event)
            && error.is_full()
            && let Some(times) = worth_a_line("dropped event", "")
        {
            tracing::warn!(times, "an event of the node was dropped: nobody reads them");
        }
    }

    /// Closes every connection so that the peers learn of it at once.
    async fn close_all(&mut self) {
        let peers: Vec<PeerId> = self.swarm.connected_peers().copied().collect();
        for peer in peers {
            // An error means that the connection is gone already.
            let _ = self.swarm.disconnect_peer_id(peer);
        }
        let runtime = self.runtime.clone();
        let closed = async {
            while self.swarm.connected_peers().next().is_some() {
                self.swarm.select_next_some().await;
            }
        };
        if timeout(&*runtime, STOP_LIMIT, closed).await.is_none() {
            tracing::debug!("some connections did not close in time");
        }
        self.shared.listening.borrow_mut().clear();
    }
}
