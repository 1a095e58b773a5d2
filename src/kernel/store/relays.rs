//! The relays through which peers may be reached.

use std::cmp::Reverse;

use serde::{Deserialize, Serialize};

use super::{KernelStore, StoreError};
use crate::runtime::Timestamp;

/// The most relays that are remembered.
pub const MAX_KNOWN_RELAYS: usize = 20;

const KEY: &str = "knownRelays";

/// A relay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RelayEntry {
    /// Its multiaddr.
    pub addr: String,
    /// When it was last seen, in milliseconds since the Unix epoch; 0 if never.
    pub last_seen: u64,
    /// Whether it was configured, rather than learnt from a peer.
    pub is_bootstrap: bool,
}

/// Best first: configured ones, then the most recently seen.
fn rank(relays: &mut [RelayEntry]) {
    relays.sort_by_key(|relay| (!relay.is_bootstrap, Reverse(relay.last_seen)));
}

impl KernelStore {
    /// The relays, best first: configured ones, then the most recently seen.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn known_relays(&self) -> Result<Vec<RelayEntry>, StoreError> {
        let mut relays = match self.json::<Vec<RelayEntry>>(KEY) {
            // The incumbent's older stores hold bare addresses.
            Err(StoreError::Corrupt { .. }) => {
                let entry = |addr| RelayEntry { addr, last_seen: 0, is_bootstrap: false };
                match self.json::<Vec<String>>(KEY) {
                    Err(error) if error.is_damage() => {
                        tracing::error!(%error, "the known relays cannot be read; those that are configured are left");
                        None
                    }
                    addresses => addresses?.map(|addresses| addresses.into_iter().map(entry).collect()),
                }
            }
            entries => entries?,
        }
        .unwrap_or_default();
        rank(&mut relays);
        Ok(relays)
    }

    /// Remembers a relay seen at `now`. Beyond [`MAX_KNOWN_RELAYS`] the worst is forgotten. One that was ever configured
    /// keeps that rank.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn note_relay(&mut self, addr: &str, now: Timestamp, is_bootstrap: bool) -> Result<(), StoreError> {
        let mut relays = self.known_relays()?;
        let position = relays.iter().position(|relay| relay.addr == addr);
        let known = position.map(|position| relays.remove(position));
        let entry = RelayEntry {
            addr: addr.to_owned(),
            last_seen: now.as_millis(),
            is_bootstrap: is_bootstrap || known.is_some_and(|relay| relay.is_bootstrap),
        };
        relays.insert(0, entry);
        self.set_known_relays(relays)
    }

    /// Remembers these relays and no others, at most [`MAX_KNOWN_RELAYS`].
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn set_known_relays(&mut self, mut relays: Vec<RelayEntry>) -> Result<(), StoreError> {
        rank(&mut relays);
        relays.truncate(MAX_KNOWN_RELAYS);
        self.set_json(KEY, &relays)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{KernelStore, MAX_KNOWN_RELAYS};
    use crate::runtime::Timestamp;
    use crate::storage::MemoryStore;

    fn addresses(store: &KernelStore) -> Vec<String> {
        store.known_relays().unwrap().into_iter().map(|relay| relay.addr).collect()
    }

    #[test]
    fn configured_relays_come_first_then_the_newest() {
        let mut store = KernelStore::open(Box::new(MemoryStore::new())).unwrap();
        store.note_relay("/dns/old", Timestamp::from_millis(1), false).unwrap();
        store.note_relay("/dns/home", Timestamp::from_millis(2), true).unwrap();
        store.note_relay("/dns/new", Timestamp::from_millis(3), false).unwrap();
        assert_eq!(addresses(&store), ["/dns/home", "/dns/new", "/dns/old"]);
        store.note_relay("/dns/old", Timestamp::from_millis(4), false).unwrap();
        store.note_relay("/dns/home", Timestamp::from_millis(5), false).unwrap();
        assert_eq!(
            store.get("knownRelays").unwrap().unwrap(),
            r#"[{"addr":"/dns/home","lastSeen":5,"isBootstrap":true},{"addr":"/dns/old","lastSeen":4,"isBootstrap":false},"#
                .to_owned()
                + r#"{"addr":"/dns/new","lastSeen":3,"isBootstrap":false}]"#
        );
    }

    #[test]
    fn the_pool_never_outgrows_its_limit() {
        let mut store = KernelStore::open(Box::new(MemoryStore::new())).unwrap();
        store.note_relay("/dns/home", Timestamp::from_millis(0), true).unwrap();
        for n in 1..100 {
            store.note_relay(&format!("/dns/{n}"), Timestamp::from_millis(n), false).unwrap();
        }
        assert_eq!(addresses(&store).len(), MAX_KNOWN_RELAYS);
        assert_eq!(addresses(&store)[..2], ["/dns/home", "/dns/99"]);
    }

    #[test]
    fn an_older_list_is_read_and_garbage_is_none() {
        let mut store = KernelStore::open(Box::new(MemoryStore::new())).unwrap();
        store.set("knownRelays", r#"["/dns/a"]"#).unwrap();
        assert_eq!(addresses(&store), ["/dns/a"]);
        store.set("knownRelays", r#"[1]"#).unwrap();
        assert_eq!(addresses(&store), [""; 0]);
        store.note_relay("/dns/b", Timestamp::from_millis(1), true).unwrap();
        assert_eq!(addresses(&store), ["/dns/b"]);
    }
}
