//! How many connections there may be, in all and from one source, and whose make way.
//!
//! The transport above limits peers; this keeps strangers from exhausting what is below it, before they have shown who they
//! are. It does what `libp2p-connection-limits` does, and three things more: it counts by source, because a peer id costs
//! nothing; it keeps nothing of connections that are gone (that crate keeps an entry for every peer id it ever saw); and a
//! connection that nobody uses makes way for a new one. So a crowd that only holds connections keeps nobody out, and of
//! peers that the kernel knows no crowd takes the room.

use std::{
    cmp::Reverse,
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
        CloseConnection, ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent,
        THandlerOutEvent, ToSwarm, dummy,
    },
};

use super::{address, known::Known, stream::Cuts};

/// Connections that others are setting up.
const PENDING_INBOUND: usize = 256;
/// Those of strangers; a circuit tells whose it is, and a quarter is for those that the kernel knows.
const PENDING_OF_STRANGERS: usize = 192;
/// Those of strangers from one address.
const PENDING_PER_ADDRESS: usize = 16;
/// Those of strangers through one relay.
const PENDING_PER_RELAY: usize = 64;
/// Connections that we are setting up.
const PENDING_OUTBOUND: usize = 64;
/// Connections that others made.
const INBOUND: usize = 384;
/// Those of strangers: a quarter is for peers that the kernel knows.
const INBOUND_OF_STRANGERS: usize = 288;
/// Those of strangers from one source; many kernels may share an address behind a NAT.
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
    /// A relay, which has limits of its own and does not say where its client is.
    Relay(Option<PeerId>),
    Unknown,
}

impl Source {
    fn of(local: &Multiaddr, remote: &Multiaddr) -> Self {
        if address::is_circuit(local) || address::is_circuit(remote) {
            return Source::Relay(address::relay_in(local));
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

    fn pending_limit(self) -> usize {
        match self {
            Source::Address(_) => PENDING_PER_ADDRESS,
            Source::Relay(_) | Source::Unknown => PENDING_PER_RELAY,
        }
    }
}

/// Why a connection was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many connections: more than {limit} {of}")]
pub(super) struct TooMany {
    limit: usize,
    of: &'static str,
}

impl TooMany {
    fn denied(limit: usize, of: &'static str) -> ConnectionDenied {
        ConnectionDenied::new(TooMany { limit, of })
    }
}

fn check(current: usize, limit: usize, of: &'static str) -> Result<(), ConnectionDenied> {
    if current < limit { Ok(()) } else { Err(TooMany::denied(limit, of)) }
}

/// A connection that somebody else is setting up.
#[derive(Debug)]
struct Pending {
    source: Source,
    /// Whose it is, if that is a peer that the kernel knows: relays tell, and all of them were chosen by this kernel.
    known: Option<PeerId>,
}

/// A connection that somebody else made.
#[derive(Debug)]
struct Inbound {
    peer: PeerId,
    source: Source,
    /// It is being closed, for another.
    makes_way: bool,
}

/// Counts connections, lets some make way, and refuses those beyond the limits.
pub(super) struct Limits {
    known: Known,
    cuts: Cuts,
    pending_inbound: HashMap<ConnectionId, Pending>,
    pending_outbound: HashSet<ConnectionId>,
    inbound: HashMap<ConnectionId, Inbound>,
    outbound: HashMap<ConnectionId, PeerId>,
    /// To be closed.
    closing: Vec<(PeerId, ConnectionId)>,
}

impl Limits {
    /// Limits that favour the `known`, and leave alone what is used according to `cuts`.
    pub(super) fn new(known: Known, cuts: Cuts) -> Self {
        Limits {
            known,
            cuts,
            pending_inbound: HashMap::new(),
            pending_outbound: HashSet::new(),
            inbound: HashMap::new(),
            outbound: HashMap::new(),
            closing: Vec::new(),
        }
    }

    fn check_pending_inbound(&self, pending: &Pending) -> Result<(), ConnectionDenied> {
        let count = |counts: &dyn Fn(&Pending) -> bool| self.pending_inbound.values().filter(|of| counts(of)).count();
        check(self.pending_inbound.len(), PENDING_INBOUND, "being set up by others")?;
        if pending.known.is_some() {
            return check(count(&|of| of.known == pending.known), PER_PEER, "being set up by one peer");
        }
        check(count(&|of| of.known.is_none()), PENDING_OF_STRANGERS, "being set up by strangers")?;
        let of_source = count(&|of| of.known.is_none() && of.source == pending.source);
        check(of_source, pending.source.pending_limit(), "being set up by one source")
    }

    /// Lets a peer have one more connection, from `source` if it made it, after another has made way if it must.
    fn admit(&mut self, peer: PeerId, source: Option<Source>) -> Result<(), ConnectionDenied> {
        let is_known = self.known.contains(&peer);
        let staying = || self.inbound.values().filter(|of| !of.makes_way);
        let of_peer = self.outbound.values().filter(|of| **of == peer).count();
        check(of_peer + staying().filter(|of| of.peer == peer).count(), PER_PEER, "with one peer")?;

        let inbound = staying().count();
        let full = if source.is_some() && inbound >= INBOUND {
            Some((INBOUND, "made by others"))
        } else if inbound + self.outbound.len() >= ESTABLISHED {
            Some((ESTABLISHED, "in all"))
        } else {
            None
        };
        // Who is known, or dialled by us, has a share of nobody.
        let strangers = || staying().filter(|of| !self.known.contains(&of.peer));
        let (among, full) = match source.filter(|_| !is_known) {
            Some(source) if strangers().filter(|of| of.source == source).count() >= INBOUND_PER_SOURCE => {
                (Some(source), Some((INBOUND_PER_SOURCE, "made by one source")))
            }
            Some(_) if strangers().count() >= INBOUND_OF_STRANGERS => {
                (None, Some((INBOUND_OF_STRANGERS, "made by strangers")))
            }
            _ => (None, full),
        };
        match full {
            Some((limit, of)) if !self.make_way(among, is_known || source.is_none()) => Err(TooMany::denied(limit, of)),
            _ => Ok(()),
        }
    }

    /// Closes a connection that a stranger made, one of a source if that is given: one that nobody uses, of the source that has
    /// most, the oldest. One that is used makes way only if it `must`.
    fn make_way(&mut self, among: Option<Source>, must: bool) -> bool {
        let of_strangers = || {
            let staying = self.inbound.iter().filter(|(_, of)| !of.makes_way);
            staying.filter(|(_, of)| !self.known.contains(&of.peer) && among.is_none_or(|source| source == of.source))
        };
        let mut counts = HashMap::<Source, usize>::new();
        for (_, of) in of_strangers() {
            let count = counts.entry(of.source).or_default();
            *count = count.saturating_add(1);
        }
        let candidates = of_strangers().map(|(id, of)| (self.cuts.is_used(*id), Reverse(counts.get(&of.source)), *id));
        let Some((_, _, id)) = candidates.filter(|(used, ..)| must || !used).min() else { return false };
        let Some(oldest) = self.inbound.get_mut(&id) else { return false };
        oldest.makes_way = true;
        tracing::debug!(peer = %oldest.peer, connection = %id, "a connection makes way");
        self.closing.push((oldest.peer, id));
        true
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
        let told = if matches!(source, Source::Relay(_)) { address::last_peer(remote) } else { None };
        let pending = Pending { source, known: told.filter(|peer| self.known.contains(peer)) };
        self.check_pending_inbound(&pending)?;
        self.pending_inbound.insert(id, pending);
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
        self.admit(peer, Some(Source::of(local, remote)))?;
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
        self.admit(peer, None)?;
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
                    let inbound = Inbound { peer: made.peer_id, source, makes_way: false };
                    self.inbound.insert(made.connection_id, inbound);
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
        // No waker: what is to be closed is only added by the task that polls the swarm, before it does.
        self.closing.pop().map_or(Poll::Pending, |(peer_id, id)| {
            Poll::Ready(ToSwarm::CloseConnection { peer_id, connection: CloseConnection::One(id) })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCAL: &str = "/ip4/10.0.0.1/tcp/1/ws";

    /// Limits for a kernel that knows `known`, and the word that says which connections are used.
    fn limits(known: &[PeerId]) -> (Limits, Cuts) {
        let (all, cuts) = (Known::default(), Cuts::default());
        known.iter().for_each(|peer| all.insert(&(*peer).into()));
        (Limits::new(all, cuts.clone()), cuts)
    }

    fn pending_at(limits: &mut Limits, id: usize, local: &str, remote: &str) -> bool {
        let id = ConnectionId::new_unchecked(id);
        limits.handle_pending_inbound_connection(id, &local.parse().unwrap(), &remote.parse().unwrap()).is_ok()
    }

    fn pending(limits: &mut Limits, id: usize, remote: &str) -> bool {
        pending_at(limits, id, LOCAL, remote)
    }

    fn inbound_at(limits: &mut Limits, id: usize, peer: PeerId, local: &str, remote: &str) -> bool {
        let (local, remote): (Multiaddr, Multiaddr) = (local.parse().unwrap(), remote.parse().unwrap());
        let id = ConnectionId::new_unchecked(id);
        let granted = limits.handle_established_inbound_connection(id, peer, &local, &remote).is_ok();
        if granted {
            let source = Source::of(&local, &remote);
            limits.inbound.insert(id, Inbound { peer, source, makes_way: false });
        }
        granted
    }

    fn inbound(limits: &mut Limits, id: usize, peer: PeerId, remote: &str) -> bool {
        inbound_at(limits, id, peer, LOCAL, remote)
    }

    /// Closes what makes way, and tells which those were.
    fn close(limits: &mut Limits) -> Vec<usize> {
        let closed = std::mem::take(&mut limits.closing);
        let place = |id: ConnectionId| (0..10_000).find(|place| ConnectionId::new_unchecked(*place) == id).unwrap();
        closed.into_iter().filter_map(|(_, id)| limits.inbound.remove(&id).map(|_| place(id))).collect()
    }

    /// Streams that keep connections in use.
    fn use_all(cuts: &Cuts, ids: std::ops::Range<usize>) -> Vec<super::super::stream::Cuttable<()>> {
        let of = |id| super::super::stream::Cuttable::new((), &cuts.of(ConnectionId::new_unchecked(id)));
        ids.map(of).collect()
    }

    #[test]
    fn one_source_cannot_keep_others_from_connecting() {
        let (mut limits, cuts) = limits(&[]);
        let _used = use_all(&cuts, 0..1_000);
        assert_eq!((0..1_000).filter(|id| pending(&mut limits, *id, "/ip4/1.2.3.4/tcp/9")).count(), 16);
        assert!(pending(&mut limits, 1_000, "/ip4/1.2.3.5/tcp/9"));
        let held = (0..1_000).filter(|id| inbound(&mut limits, *id, PeerId::random(), "/ip4/1.2.3.4/tcp/9")).count();
        assert_eq!(held, 192);
        assert!(inbound(&mut limits, 1_000, PeerId::random(), "/ip4/1.2.3.5/tcp/9"));
    }

    #[test]
    fn a_customers_ipv6_network_is_one_source() {
        let (mut limits, _) = limits(&[]);
        let within = |id: usize| format!("/ip6/2001:db8::{:x}/tcp/9", id + 1);
        assert_eq!((0..100).filter(|id| pending(&mut limits, *id, &within(*id))).count(), 16);
        assert!(pending(&mut limits, 1_000, "/ip6/2001:db8:0:1::1/tcp/9"));
        let mapped: Multiaddr = "/ip6/::ffff:1.2.3.4/tcp/9".parse().unwrap();
        let plain: Multiaddr = "/ip4/1.2.3.4/tcp/9".parse().unwrap();
        let local = LOCAL.parse().unwrap();
        assert_eq!(Source::of(&local, &mapped), Source::of(&local, &plain));
    }

    #[test]
    fn a_relay_is_one_source_and_circuits_of_the_known_are_set_up_beside_a_crowd() {
        let (alice, relay, other) = (PeerId::random(), PeerId::random(), PeerId::random());
        let (mut limits, cuts) = limits(&[alice]);
        let through = |relay: &PeerId| format!("/ip4/9.9.9.9/tcp/1/ws/p2p/{relay}/p2p-circuit");
        let crowd = || format!("/p2p/{}", PeerId::random());
        assert_eq!((0..1_000).filter(|id| pending_at(&mut limits, *id, &through(&relay), &crowd())).count(), 64);
        assert!(pending_at(&mut limits, 1_000, &through(&other), &crowd()));
        let known = format!("/p2p/{alice}");
        let granted = (1_001..1_100).filter(|id| pending_at(&mut limits, *id, &through(&relay), &known)).count();
        assert_eq!(granted, PER_PEER);

        let _used = use_all(&cuts, 0..2_000);
        let through_relay = |limits: &mut Limits, id, relay: &PeerId| {
            let peer = PeerId::random();
            inbound_at(limits, id, peer, &through(relay), &format!("/p2p/{peer}"))
        };
        assert_eq!((0..1_000).filter(|id| through_relay(&mut limits, *id, &relay)).count(), 192);
        assert!(through_relay(&mut limits, 1_000, &other));
        assert!(inbound_at(&mut limits, 1_001, alice, &through(&relay), &known));
        assert!(close(&mut limits).is_empty());
    }

    #[test]
    fn all_inbound_connections_leave_room_for_ours() {
        let known: Vec<PeerId> = (0..384).map(|_| PeerId::random()).collect();
        let (mut limits, cuts) = limits(&known);
        let _used = use_all(&cuts, 0..2_000);
        let address = |id: usize| format!("/ip4/1.2.{}.{}/tcp/9", id / 250, id % 250);
        let held = (0..1_000).filter(|id| inbound(&mut limits, *id, PeerId::random(), &address(*id))).count();
        assert_eq!(held, 288);
        let known = known.iter().zip(1_000..).filter(|(peer, id)| inbound(&mut limits, *id, **peer, &address(*id)));
        assert_eq!(known.count(), 384);
        assert_eq!(
            close(&mut limits).len(),
            288,
            "the used connections of strangers made way, for all of these are known"
        );
        assert!(!inbound(&mut limits, 2_000, PeerId::random(), &address(1)));
        assert!(limits.admit(PeerId::random(), None).is_ok());
    }

    #[test]
    fn what_nobody_uses_makes_way_the_oldest_of_the_largest_crowd_first() {
        let (mut limits, cuts) = limits(&[]);
        let _used = use_all(&cuts, 0..1);
        for id in 0..192 {
            assert!(inbound(&mut limits, id, PeerId::random(), "/ip4/127.0.0.2/tcp/9"));
        }
        for id in 192..288 {
            assert!(inbound(&mut limits, id, PeerId::random(), "/ip4/127.0.0.3/tcp/9"));
        }
        assert!(inbound(&mut limits, 288, PeerId::random(), "/ip4/127.0.0.3/tcp/9"), "there are 288 already");
        assert_eq!(close(&mut limits), [1], "not 0, which is used");
        assert!(inbound(&mut limits, 289, PeerId::random(), "/ip4/127.0.0.1/tcp/9"));
        assert_eq!(close(&mut limits), [2]);
    }

    #[test]
    fn what_a_crowd_makes_from_one_source_takes_the_place_of_its_own() {
        let (mut limits, _) = limits(&[]);
        assert!(inbound(&mut limits, 0, PeerId::random(), "/ip4/127.0.0.1/tcp/9"));
        let crowd = (1..1_000).filter(|id| {
            let granted = inbound(&mut limits, *id, PeerId::random(), "/ip4/127.0.0.2/tcp/9");
            assert!(!close(&mut limits).contains(&0));
            granted
        });
        assert_eq!(crowd.count(), 999);
        assert_eq!(limits.inbound.len(), 193);
    }

    #[test]
    fn the_known_do_not_make_way() {
        let (alice, bob) = (PeerId::random(), PeerId::random());
        let (mut limits, _) = limits(&[alice, bob]);
        assert!(inbound(&mut limits, 0, alice, "/ip4/127.0.0.2/tcp/9"));
        for id in 1..1_000 {
            assert!(inbound(&mut limits, id, PeerId::random(), &format!("/ip4/127.0.0.{}/tcp/9", 2 + id % 2)));
            assert!(!close(&mut limits).contains(&0));
        }
        assert!(inbound(&mut limits, 1_000, bob, "/ip4/127.0.0.2/tcp/9"));
        assert!(close(&mut limits).is_empty(), "a quarter is kept for the known");
    }

    #[test]
    fn one_peer_has_few_connections_and_what_ends_is_forgotten() {
        let peer = PeerId::random();
        for known in [&[][..], &[peer]] {
            let (mut limits, _) = limits(known);
            let address = |id: usize| format!("/ip4/1.2.3.{id}/tcp/9");
            assert_eq!((0..100).filter(|id| inbound(&mut limits, *id, peer, &address(*id))).count(), 8);
            limits.inbound.clear();
            assert!(inbound(&mut limits, 101, peer, &address(101)));
        }
    }
}
