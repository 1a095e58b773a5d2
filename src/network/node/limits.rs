//! How many connections there may be, in all and from one source.
//!
//! The transport above limits peers; this keeps strangers from exhausting what is below it, before they have shown who they
//! are. It does what `libp2p-connection-limits` does, and two things more: it counts by source, because a peer id costs
//! nothing, and it keeps nothing of connections that are gone (that crate keeps an entry for every peer id it ever saw).

use std::{
    collections::{HashMap, HashSet},
    convert::Infallible,
    net::{IpAddr, Ipv6Addr},
    task::{Context, Poll},
};

use libp2p::{
    Multiaddr, PeerId,
    core::{ConnectedPoint, Endpoint, transport::PortUse},
    multiaddr::Protocol,
    swarm::{
        ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent, THandlerOutEvent,
        ToSwarm, dummy,
    },
};

use super::address;

/// Connections that others are setting up.
const PENDING_INBOUND: usize = 64;
/// Those of one source. A quarter, so that three that never finish keep nobody else out.
const PENDING_INBOUND_PER_SOURCE: usize = 16;
/// Connections that we are setting up.
const PENDING_OUTBOUND: usize = 64;
/// Connections that others made.
const INBOUND: usize = 384;
/// Those of one source; many kernels may share an address behind a NAT.
const INBOUND_PER_SOURCE: usize = 192;
/// All connections: what others make leaves room for ours.
const ESTABLISHED: usize = 512;
/// Connections with one peer; kernels use one, and another while they change from one to the other.
const PER_PEER: usize = 8;

/// Who pays for a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Source {
    /// An IPv4 address, or a network of 2^64 IPv6 addresses, which is what one customer has.
    Address(IpAddr),
    /// Some relay, which has limits of its own and does not say where its client is.
    Relay,
    Unknown,
}

impl Source {
    fn of(local: &Multiaddr, remote: &Multiaddr) -> Self {
        if address::is_circuit(local) || address::is_circuit(remote) {
            return Source::Relay;
        }
        let ip = match remote.iter().next() {
            Some(Protocol::Ip4(ip)) => IpAddr::V4(ip),
            Some(Protocol::Ip6(ip)) => IpAddr::V6(ip).to_canonical(),
            _ => return Source::Unknown,
        };
        Source::Address(match ip {
            IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX))),
            ip => ip,
        })
    }

    /// The share of `limit` that this source may have; `all` of them if it cannot be told from others.
    fn share(self, limit: usize, all: usize) -> usize {
        if matches!(self, Source::Address(_)) { limit } else { all }
    }
}

/// Why a connection was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many connections: more than {limit} {of}")]
pub(super) struct TooMany {
    limit: usize,
    of: &'static str,
}

fn check(current: usize, limit: usize, of: &'static str) -> Result<(), ConnectionDenied> {
    if current < limit { Ok(()) } else { Err(ConnectionDenied::new(TooMany { limit, of })) }
}

/// Counts connections and refuses those beyond the limits.
#[derive(Debug, Default)]
pub(super) struct Limits {
    pending_inbound: HashMap<ConnectionId, Source>,
    pending_outbound: HashSet<ConnectionId>,
    inbound: HashMap<ConnectionId, (PeerId, Source)>,
    outbound: HashMap<ConnectionId, PeerId>,
}

impl Limits {
    fn check_pending_inbound(&self, source: Source) -> Result<(), ConnectionDenied> {
        check(self.pending_inbound.len(), PENDING_INBOUND, "being set up by others")?;
        let of_source = self.pending_inbound.values().filter(|of| **of == source).count();
        check(of_source, source.share(PENDING_INBOUND_PER_SOURCE, PENDING_INBOUND), "being set up by one source")
    }

    fn check_inbound(&self, peer: PeerId, source: Source) -> Result<(), ConnectionDenied> {
        check(self.inbound.len(), INBOUND, "made by others")?;
        let of_source = self.inbound.values().filter(|(_, of)| *of == source).count();
        check(of_source, source.share(INBOUND_PER_SOURCE, INBOUND), "made by one source")?;
        self.check_established(peer)
    }

    fn check_established(&self, peer: PeerId) -> Result<(), ConnectionDenied> {
        check(self.inbound.len() + self.outbound.len(), ESTABLISHED, "in all")?;
        let peers = self.inbound.values().map(|(peer, _)| peer).chain(self.outbound.values());
        check(peers.filter(|of| **of == peer).count(), PER_PEER, "with one peer")
    }
}

impl NetworkBehaviour for Limits {
    type ConnectionHandler = dummy::ConnectionHandler;
    type ToSwarm = Infallible;

    fn handle_pending_inbound_connection(
        &mut self,
        id: ConnectionId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        let source = Source::of(local, remote);
        self.check_pending_inbound(source)?;
        self.pending_inbound.insert(id, source);
        Ok(())
    }

    fn handle_established_inbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.pending_inbound.remove(&id);
        self.check_inbound(peer, Source::of(local, remote))?;
        Ok(dummy::ConnectionHandler)
    }

    fn handle_pending_outbound_connection(
        &mut self,
        id: ConnectionId,
        _: Option<PeerId>,
        _: &[Multiaddr],
        _: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        check(self.pending_outbound.len(), PENDING_OUTBOUND, "being set up by this node")?;
        self.pending_outbound.insert(id);
        Ok(Vec::new())
    }

    fn handle_established_outbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.pending_outbound.remove(&id);
        self.check_established(peer)?;
        Ok(dummy::ConnectionHandler)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionEstablished(made) => match made.endpoint {
                ConnectedPoint::Dialer { .. } => {
                    self.outbound.insert(made.connection_id, made.peer_id);
                }
                ConnectedPoint::Listener { local_addr, send_back_addr } => {
                    let source = Source::of(local_addr, send_back_addr);
                    self.inbound.insert(made.connection_id, (made.peer_id, source));
                }
            },
            FromSwarm::ConnectionClosed(closed) => {
                self.inbound.remove(&closed.connection_id);
                self.outbound.remove(&closed.connection_id);
            }
            FromSwarm::DialFailure(failure) => {
                self.pending_outbound.remove(&failure.connection_id);
            }
            FromSwarm::ListenFailure(failure) => {
                self.pending_inbound.remove(&failure.connection_id);
            }
            _ => {}
        }
    }

    fn on_connection_handler_event(&mut self, _: PeerId, _: ConnectionId, event: THandlerOutEvent<Self>) {
        match event {}
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCAL: &str = "/ip4/10.0.0.1/tcp/1/ws";

    fn pending(limits: &mut Limits, id: usize, remote: &str) -> bool {
        let id = ConnectionId::new_unchecked(id);
        limits.handle_pending_inbound_connection(id, &LOCAL.parse().unwrap(), &remote.parse().unwrap()).is_ok()
    }

    fn inbound(limits: &mut Limits, id: usize, peer: PeerId, remote: &str) -> bool {
        let (local, remote): (Multiaddr, Multiaddr) = (LOCAL.parse().unwrap(), remote.parse().unwrap());
        let id = ConnectionId::new_unchecked(id);
        let granted = limits.handle_established_inbound_connection(id, peer, &local, &remote).is_ok();
        if granted {
            limits.inbound.insert(id, (peer, Source::of(&local, &remote)));
        }
        granted
    }

    #[test]
    fn one_source_cannot_keep_others_from_connecting() {
        let mut limits = Limits::default();
        assert_eq!((0..1_000).filter(|id| pending(&mut limits, *id, "/ip4/1.2.3.4/tcp/9")).count(), 16);
        assert!(pending(&mut limits, 1_000, "/ip4/1.2.3.5/tcp/9"));
        let held = (0..1_000).filter(|id| inbound(&mut limits, *id, PeerId::random(), "/ip4/1.2.3.4/tcp/9")).count();
        assert_eq!(held, 192);
        assert!(inbound(&mut limits, 1_000, PeerId::random(), "/ip4/1.2.3.5/tcp/9"));
    }

    #[test]
    fn a_customers_ipv6_network_is_one_source() {
        let mut limits = Limits::default();
        let within = |id: usize| format!("/ip6/2001:db8::{:x}/tcp/9", id + 1);
        assert_eq!((0..100).filter(|id| pending(&mut limits, *id, &within(*id))).count(), 16);
        assert!(pending(&mut limits, 1_000, "/ip6/2001:db8:0:1::1/tcp/9"));
        let mapped: Multiaddr = "/ip6/::ffff:1.2.3.4/tcp/9".parse().unwrap();
        let plain: Multiaddr = "/ip4/1.2.3.4/tcp/9".parse().unwrap();
        let local = LOCAL.parse().unwrap();
        assert_eq!(Source::of(&local, &mapped), Source::of(&local, &plain));
    }

    #[test]
    fn all_inbound_connections_leave_room_for_ours() {
        let mut limits = Limits::default();
        let address = |id: usize| format!("/ip4/1.2.{}.{}/tcp/9", id / 250, id % 250);
        let held = (0..1_000).filter(|id| inbound(&mut limits, *id, PeerId::random(), &address(*id))).count();
        assert_eq!(held, 384);
        assert!(limits.check_established(PeerId::random()).is_ok());
    }

    #[test]
    fn one_peer_has_few_connections_and_what_ends_is_forgotten() {
        let mut limits = Limits::default();
        let peer = PeerId::random();
        let address = |id: usize| format!("/ip4/1.2.3.{id}/tcp/9");
        assert_eq!((0..100).filter(|id| inbound(&mut limits, *id, peer, &address(*id))).count(), 8);
        limits.inbound.clear();
        assert!(inbound(&mut limits, 101, peer, &address(101)));
    }
}
