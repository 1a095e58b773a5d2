//! Multiaddrs: which may be dialled, and how circuits are written.

use std::{collections::BTreeSet, net::IpAddr};

use libp2p::{Multiaddr, core::ConnectedPoint, multiaddr::Protocol};

use super::{DialError, ErrorCode, swarm};
use crate::{
    network::status::{ChannelKind, Path},
    wire::PeerId,
};

/// The address of `peer` through `relay` (a multiaddr that ends in `/p2p/<relay id>`).
pub fn circuit_address(relay: &str, peer: &PeerId) -> String {
    format!("{}/p2p-circuit/p2p/{peer}", relay.trim_end_matches('/'))
}

/// To which hosts plain `ws://` may go (protocol §6): private addresses, configured relays, and those the user allows.
///
/// Noise encrypts and authenticates either way; the rule keeps an address from a stranger's OCAP URL from making this
/// program talk plain HTTP to any host of the Internet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WsPolicy {
    hosts: BTreeSet<String>,
}

impl WsPolicy {
    /// A policy that allows the hosts of `relays` (multiaddrs) and `allowed_hosts` (names or IP addresses).
    pub fn new(relays: &[String], allowed_hosts: &[String]) -> Self {
        let relay_hosts = relays.iter().filter_map(|relay| relay.parse().ok()).filter_map(|relay| host(&relay));
        let allowed_hosts = allowed_hosts.iter().map(|host| normal_host(host));
        WsPolicy { hosts: relay_hosts.chain(allowed_hosts).collect() }
    }

    /// Whether the address may be dialled. Only plain `ws` is ever refused.
    pub fn allows(&self, address: &Multiaddr) -> bool {
        !is_plain_ws(address) || is_private(address) || host(address).is_some_and(|host| self.hosts.contains(&host))
    }
}

/// What goes over the wire first: for a circuit, the way to its relay.
fn first_hop(address: &Multiaddr) -> impl Iterator<Item = Protocol<'_>> {
    address.iter().take_while(|part| !matches!(part, Protocol::P2pCircuit))
}

/// Whether the address goes through a relay.
pub(super) fn is_circuit(address: &Multiaddr) -> bool {
    address.iter().any(|part| matches!(part, Protocol::P2pCircuit))
}

/// Whether the first hop is WebRTC.
pub(super) fn is_webrtc(address: &Multiaddr) -> bool {
    first_hop(address).any(|part| matches!(part, Protocol::WebRTCDirect))
}

/// Whether the first hop is a WebSocket, plain or with TLS.
pub(super) fn is_ws(address: &Multiaddr) -> bool {
    first_hop(address).any(|part| matches!(part, Protocol::Ws(_) | Protocol::Wss(_)))
}

/// Whether the first hop names its host by DNS.
pub(super) fn is_dns(address: &Multiaddr) -> bool {
    matches!(first_hop(address).next(), Some(Protocol::Dns(_) | Protocol::Dns4(_) | Protocol::Dns6(_)))
}

/// The peer at the far end of a circuit, as its addresses have it.
pub(super) fn far_end(endpoint: &ConnectedPoint) -> Option<libp2p::PeerId> {
    last_peer(endpoint.get_remote_address())
}

/// The peer with which an address ends.
pub(super) fn last_peer(address: &Multiaddr) -> Option<libp2p::PeerId> {
    match address.iter().last()? {
        Protocol::P2p(peer) => Some(peer),
        _ => None,
    }
}

/// The relay of a circuit.
pub(super) fn relay_of(endpoint: &ConnectedPoint) -> Option<libp2p::PeerId> {
    let circuit = match endpoint {
        ConnectedPoint::Dialer { address, .. } => address,
        ConnectedPoint::Listener { local_addr, .. } => local_addr,
    };
    relay_in(circuit)
}

/// The relay in the address of a circuit.
pub(super) fn relay_in(circuit: &Multiaddr) -> Option<libp2p::PeerId> {
    let peers = first_hop(circuit).filter_map(|part| if let Protocol::P2p(peer) = part { Some(peer) } else { None });
    peers.last().filter(|_| is_circuit(circuit))
}

/// Which way a connection takes.
pub(super) fn path(endpoint: &ConnectedPoint) -> Path {
    let circuit = match endpoint {
        ConnectedPoint::Dialer { address, .. } => address,
        ConnectedPoint::Listener { local_addr, .. } => local_addr,
    };
    if is_circuit(circuit) || endpoint.is_relayed() {
        return Path::new(ChannelKind::Relayed, relay_of(endpoint).map(PeerId::from));
    }
    let kind = match circuit {
        address if is_webrtc(address) => ChannelKind::WebrtcDirect,
        address if is_ws(address) => ChannelKind::Ws,
        _ => ChannelKind::Other,
    };
    Path::new(kind, None)
}

fn is_plain_ws(address: &Multiaddr) -> bool {
    let mut tls = false;
    for part in first_hop(address) {
        match part {
            Protocol::Tls => tls = true,
            Protocol::Ws(_) => return !tls,
            _ => {}
        }
    }
    false
}

fn normal_host(host: &str) -> String {
    host.trim_matches(['[', ']']).trim_end_matches('.').to_ascii_lowercase()
}

fn host(address: &Multiaddr) -> Option<String> {
    match address.iter().next()? {
        Protocol::Ip4(ip) => Some(ip.to_string()),
        Protocol::Ip6(ip) => Some(ip.to_string()),
        Protocol::Dns(name) | Protocol::Dns4(name) | Protocol::Dns6(name) | Protocol::Dnsaddr(name) => {
            Some(normal_host(&name))
        }
        _ => None,
    }
}

fn is_private(address: &Multiaddr) -> bool {
    let ip = match address.iter().next() {
        Some(Protocol::Ip4(ip)) => IpAddr::V4(ip),
        Some(Protocol::Ip6(ip)) => IpAddr::V6(ip),
        _ => return host(address).is_some_and(|host| host == "localhost" || host.ends_with(".localhost")),
    };
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.is_loopback() || ip.is_private() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}

/// The libp2p form of a peer id.
pub(super) fn libp2p_peer(peer: &PeerId) -> Result<libp2p::PeerId, DialError> {
    peer.as_str().parse().map_err(|_| DialError::new(ErrorCode::NoAddress, "not a libp2p peer id"))
}

/// Reads an address of `peer`, adds the peer id if it is missing, and refuses what must not or cannot be dialled here.
pub(super) fn dialable(text: &str, peer: &libp2p::PeerId, ws_policy: &WsPolicy) -> Result<Multiaddr, DialError> {
    let unsupported = |reason: &str| Err(DialError::new(ErrorCode::Unsupported, format!("{text}: {reason}")));
    let Ok(address) = text.parse::<Multiaddr>() else {
        return unsupported("not a multiaddr");
    };
    let address = match address.iter().last() {
        Some(Protocol::P2p(named)) if named == *peer => address,
        Some(Protocol::P2p(_)) => return unsupported("the address of another peer"),
        _ => address.with(Protocol::P2p(*peer)),
    };
    if let Err(reason) = swarm::can_dial(&address) {
        return unsupported(reason);
    }
    if !ws_policy.allows(&address) {
        return unsupported("plain ws:// to a public host that is neither a configured relay nor allowed");
    }
    Ok(address)
}

/// The peer id of a relay's address, which must end in it.
pub(super) fn relay_peer(address: &Multiaddr) -> Option<libp2p::PeerId> {
    match address.iter().last() {
        Some(Protocol::P2p(peer)) if !is_circuit(address) => Some(peer),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RELAY: &str = "12D3KooWRYhigmzwPHmXBrmXn5ymGrv3ndrqsoMfoWyGWzR1Kb5f";

    fn allows(policy: &WsPolicy, address: &str) -> bool {
        policy.allows(&address.parse().unwrap())
    }

    #[test]
    fn plain_ws_goes_to_private_addresses() {
        let policy = WsPolicy::default();
        for address in [
            "/ip4/127.0.0.1/tcp/80/ws",
            "/ip4/10.1.2.3/tcp/80/ws",
            "/ip4/172.16.0.1/tcp/80/ws",
            "/ip4/192.168.1.1/tcp/80/ws",
            "/ip4/169.254.1.1/tcp/80/ws",
            "/ip6/::1/tcp/80/ws",
            "/ip6/fd00::1/tcp/80/ws",
            "/ip6/fe80::1/tcp/80/ws",
            "/ip6/::ffff:10.0.0.1/tcp/80/ws",
            "/dns4/localhost/tcp/80/ws",
        ] {
            assert!(allows(&policy, address), "{address}");
        }
    }

    #[test]
    fn plain_ws_does_not_go_to_public_hosts() {
        let policy = WsPolicy::default();
        for address in [
            "/ip4/8.8.8.8/tcp/80/ws",
            "/ip4/172.32.0.1/tcp/80/ws",
            "/ip4/0.0.0.0/tcp/80/ws",
            "/ip6/2001:db8::1/tcp/80/ws",
            "/ip6/::ffff:8.8.8.8/tcp/80/ws",
            "/dns4/example.com/tcp/80/ws",
            "/dns4/localhost.example.com/tcp/80/ws",
        ] {
            assert!(!allows(&policy, address), "{address}");
            let circuit = format!("{address}/p2p/{RELAY}/p2p-circuit/p2p/{RELAY}");
            assert!(!allows(&policy, &circuit), "{circuit}");
        }
    }

    #[test]
    fn encrypted_transports_go_anywhere() {
        let policy = WsPolicy::default();
        for address in [
            "/dns4/example.com/tcp/443/wss",
            "/dns4/example.com/tcp/443/tls/ws",
            "/dns4/example.com/tcp/443/tls/sni/example.com/ws",
            "/ip4/8.8.8.8/udp/4001/webrtc-direct",
        ] {
            assert!(allows(&policy, address), "{address}");
        }
    }

    #[test]
    fn relay_hosts_and_allowed_hosts_take_plain_ws() {
        let relays = [format!("/dns4/Relay.Example.com/tcp/9001/ws/p2p/{RELAY}"), "no multiaddr".to_owned()];
        let policy = WsPolicy::new(&relays, &["dev.example.com.".to_owned(), "8.8.4.4".to_owned()]);
        assert!(allows(&policy, "/dns4/relay.example.com/tcp/7/ws"));
        assert!(allows(&policy, "/dns6/dev.example.com/tcp/7/ws"));
        assert!(allows(&policy, "/ip4/8.8.4.4/tcp/7/ws"));
        assert!(!allows(&policy, "/dns4/example.com/tcp/7/ws"));
        let circuit = format!("{}/p2p-circuit/p2p/{RELAY}", relays[0]);
        assert!(allows(&policy, &circuit), "{circuit}");
    }

    #[test]
    fn a_circuit_is_the_relay_then_the_peer() {
        let peer = PeerId::from_ed25519_seed([1; 32]).unwrap();
        let relay = format!("/ip4/127.0.0.1/tcp/9001/ws/p2p/{RELAY}");
        assert_eq!(circuit_address(&relay, &peer), format!("{relay}/p2p-circuit/p2p/{peer}"));
        assert_eq!(circuit_address(&format!("{relay}/"), &peer), format!("{relay}/p2p-circuit/p2p/{peer}"));
    }

    #[test]
    fn an_address_that_names_another_peer_is_refused() {
        let peer = libp2p_peer(&PeerId::from_ed25519_seed([1; 32]).unwrap()).unwrap();
        let refused = dialable(&format!("/ip4/127.0.0.1/tcp/1/ws/p2p/{RELAY}"), &peer, &WsPolicy::default());
        assert_eq!(refused.unwrap_err().code, ErrorCode::Unsupported);
        let completed = dialable("/ip4/127.0.0.1/tcp/1/ws", &peer, &WsPolicy::default()).unwrap();
        assert_eq!(completed.to_string(), format!("/ip4/127.0.0.1/tcp/1/ws/p2p/{peer}"));
    }

    #[test]
    fn garbage_is_unsupported() {
        let peer = libp2p_peer(&PeerId::from_ed25519_seed([1; 32]).unwrap()).unwrap();
        for text in ["", "x", "/ip4/1.2.3", "/ip4/127.0.0.1/tcp/99999/ws", "/unix/socket", "/p2p-circuit"] {
            let error = dialable(text, &peer, &WsPolicy::default()).unwrap_err();
            assert_eq!(error.code, ErrorCode::Unsupported, "{text}");
        }
    }
}
