//! Where a peer may be found.

use multiaddr::{Multiaddr, Protocol};

use crate::{runtime::worth_a_line, wire::PeerId};

/// Hints of one peer kept at most; the oldest go first.
const MAX_HINTS: usize = 16;

/// What one hint turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Hint {
    /// An address of the peer itself.
    Direct(String),
    /// An address of the peer through a relay, whole.
    Circuit(String),
}

/// The location hints of one peer.
#[derive(Debug, Default)]
pub(super) struct LocationHints {
    hints: Vec<Hint>,
}

impl LocationHints {
    /// Adds hints; those that are no multiaddrs are dropped with a warning.
    pub(super) fn add(&mut self, peer: &PeerId, hints: &[String]) {
        for text in hints {
            match parse(peer, text) {
                Some(hint) if self.hints.contains(&hint) => {}
                Some(hint) => self.hints.push(hint),
                None => {
                    if let Some(times) = worth_a_line("no multiaddr", peer) {
                        let hint = text.escape_debug();
                        tracing::warn!(%peer, %hint, times, "ignored a location hint that is no multiaddr");
                    }
                }
            }
        }
        let excess = self.hints.len().saturating_sub(MAX_HINTS);
        self.hints.drain(..excess);
    }

    /// Addresses to dial, best first: the peer's own, then through hinted relays, then through known relays.
    pub(super) fn addresses(&self, peer: &PeerId, relays: &[String]) -> Vec<String> {
        let direct = self.hints.iter().filter_map(|hint| match hint {
            Hint::Direct(address) => Some(address.clone()),
            Hint::Circuit(_) => None,
        });
        let hinted = self.hints.iter().filter_map(|hint| match hint {
            Hint::Circuit(address) => Some(address.clone()),
            Hint::Direct(_) => None,
        });
        let known = relays.iter().filter_map(|relay| match parse(peer, relay)? {
            Hint::Direct(address) | Hint::Circuit(address) => Some(address),
        });
        let mut addresses: Vec<String> = Vec::new();
        for address in direct.chain(hinted).chain(known) {
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        addresses
    }

    /// Addresses for another circuit, those through the relay in use first.
    pub(super) fn circuits(&self, peer: &PeerId, relays: &[String], in_use: Option<&PeerId>) -> Vec<String> {
        let mut addresses = self.addresses(peer, relays);
        addresses.retain(|address| address.contains("/p2p-circuit/"));
        addresses.sort_by_key(|address| !in_use.is_some_and(|relay| is_through(address, relay)));
        addresses
    }

    /// Addresses that lead around a relay.
    pub(super) fn around(&self, peer: &PeerId, relays: &[String], relay: Option<&PeerId>) -> Vec<String> {
        let mut addresses = self.addresses(peer, relays);
        addresses.retain(|address| !relay.is_some_and(|relay| is_through(address, relay)));
        addresses
    }
}

fn is_through(address: &str, relay: &PeerId) -> bool {
    address.contains(&format!("/p2p/{relay}/p2p-circuit/"))
}

/// A hint that ends in another peer's id names a relay; one that ends in no id is taken for the peer's own address.
fn parse(peer: &PeerId, text: &str) -> Option<Hint> {
    let address: Multiaddr = text.parse().ok()?;
    let circuit = address.iter().any(|part| matches!(part, Protocol::P2pCircuit));
    let last = match address.iter().last()? {
        Protocol::P2p(id) => Some(id.to_base58()),
        _ => None,
    };
    Some(match last {
        Some(id) if id == peer.as_str() && circuit => Hint::Circuit(address.to_string()),
        Some(id) if id == peer.as_str() => Hint::Direct(address.to_string()),
        Some(_) => Hint::Circuit(format!("{address}/p2p-circuit/p2p/{peer}")),
        None if circuit => Hint::Circuit(format!("{address}/p2p/{peer}")),
        None => Hint::Direct(format!("{address}/p2p/{peer}")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(seed: u8) -> PeerId {
        PeerId::from_ed25519_seed([seed; 32]).unwrap()
    }

    #[test]
    fn own_addresses_come_first_then_hinted_relays_then_known_ones() {
        let (bob, hinted, known) = (peer(1), peer(2), peer(3));
        let known = format!("/ip4/10.0.0.3/tcp/1/ws/p2p/{known}");
        let mut hints = LocationHints::default();
        hints.add(
            &bob,
            &[
                format!("/ip4/10.0.0.2/tcp/1/ws/p2p/{hinted}"),
                format!("/ip4/10.0.0.1/tcp/1/ws/p2p/{bob}"),
                "/ip4/10.0.0.9/tcp/9".to_owned(),
            ],
        );
        let expected = [
            format!("/ip4/10.0.0.1/tcp/1/ws/p2p/{bob}"),
            format!("/ip4/10.0.0.9/tcp/9/p2p/{bob}"),
            format!("/ip4/10.0.0.2/tcp/1/ws/p2p/{hinted}/p2p-circuit/p2p/{bob}"),
            format!("{known}/p2p-circuit/p2p/{bob}"),
        ];
        assert_eq!(hints.addresses(&bob, &[known]), expected);
    }

    #[test]
    fn a_whole_circuit_address_is_used_as_it_is_and_only_once() {
        let (bob, relay) = (peer(1), peer(2));
        let relay = format!("/ip4/10.0.0.2/tcp/1/ws/p2p/{relay}");
        let mut hints = LocationHints::default();
        hints.add(&bob, &[format!("{relay}/p2p-circuit/p2p/{bob}"), format!("{relay}/p2p-circuit"), relay.clone()]);
        assert_eq!(hints.addresses(&bob, std::slice::from_ref(&relay)), [format!("{relay}/p2p-circuit/p2p/{bob}")]);
    }

    #[test]
    fn another_circuit_is_sought_at_the_same_relay_first_and_a_way_around_it_not_there_at_all() {
        let (bob, first, second) = (peer(1), peer(2), peer(3));
        let through = |relay: &PeerId| format!("/ip4/10.0.0.2/tcp/1/ws/p2p/{relay}");
        let circuit = |relay: &PeerId| format!("{}/p2p-circuit/p2p/{bob}", through(relay));
        let direct = format!("/ip4/10.0.0.1/tcp/1/ws/p2p/{bob}");
        let mut hints = LocationHints::default();
        hints.add(&bob, &[direct.clone(), through(&first)]);
        let known = [through(&second)];
        assert_eq!(hints.circuits(&bob, &known, Some(&second)), [circuit(&second), circuit(&first)]);
        assert_eq!(hints.circuits(&bob, &known, None), [circuit(&first), circuit(&second)]);
        assert_eq!(hints.around(&bob, &known, Some(&first)), [direct, circuit(&second)]);
    }

    #[test]
    fn a_peer_that_is_itself_a_known_relay_is_dialled_directly() {
        let relay = peer(2);
        let address = format!("/ip4/10.0.0.2/tcp/1/ws/p2p/{relay}");
        assert_eq!(LocationHints::default().addresses(&relay, std::slice::from_ref(&address)), [address]);
    }

    #[test]
    fn bad_hints_are_dropped_and_hints_are_bounded() {
        let bob = peer(1);
        let mut hints = LocationHints::default();
        hints.add(&bob, &["".into(), "nonsense".into(), "/ip4/999.0.0.1".into(), "https://example.org".into()]);
        assert!(hints.addresses(&bob, &[]).is_empty());
        let many: Vec<String> = (0..100).map(|port| format!("/ip4/10.0.0.1/tcp/{port}")).collect();
        hints.add(&bob, &many);
        let addresses = hints.addresses(&bob, &[]);
        assert_eq!(addresses.len(), MAX_HINTS);
        assert!(addresses[15].contains("/tcp/99/"), "the newest are kept");
    }
}
