//! Who this kernel is: the Ed25519 key from which its peer id follows (protocol §7).
//!
//! The key's seed is made, or taken from the user, once per store. The network gets it in hex through the bridge; signing
//! and everything else that is done with it is libp2p's.

use std::fmt;

use bip39::{Language, Mnemonic};
use zeroize::{Zeroize, Zeroizing};

use super::store::{KernelStore, Secret, StoreError};
use crate::wire::{PeerId, WireError};

/// Where a user wants the key to come from.
pub enum SeedSource {
    /// 32 bytes in hex.
    Hex(Zeroizing<String>),
    /// An English BIP39 mnemonic, to recover the key in a new store.
    Mnemonic(Zeroizing<String>),
}

impl fmt::Debug for SeedSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SeedSource::Hex(_) => "Hex(…)",
            SeedSource::Mnemonic(_) => "Mnemonic(…)",
        })
    }
}

/// Why there is no identity. No message holds any part of a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// The seed is not 64 hexadecimal digits.
    #[error("a key seed is 32 bytes: 64 hexadecimal digits")]
    BadSeed,
    /// The mnemonic has a wrong number of words, an unknown word, or a wrong checksum.
    #[error("not a valid English BIP39 mnemonic")]
    BadMnemonic,
    /// A mnemonic recovers a key in a new store; this one has a key.
    #[error("the store has an identity already; recover a mnemonic in an empty store")]
    AlreadyInitialized,
    /// The seed is not the one of this store.
    #[error("the store has another identity than the given seed")]
    DifferentSeed,
    /// The key library refused the seed.
    #[error(transparent)]
    Key(#[from] WireError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The identity of a kernel. The seed is wiped from memory when this is dropped.
pub struct KernelIdentity {
    peer_id: PeerId,
    seed: Secret,
}

impl KernelIdentity {
    /// The identity of `store`. An empty store gets one: from `source`, else from `random`.
    ///
    /// # Errors
    /// [`IdentityError`]; the store is as before.
    pub fn provide(
        store: &mut KernelStore,
        source: Option<SeedSource>,
        mut random: [u8; 32],
    ) -> Result<Self, IdentityError> {
        let fresh = Secret::new(random);
        random.zeroize();
        let stored = store.key_seed()?;
        let seed = match (&stored, source) {
            (Some(_), Some(SeedSource::Mnemonic(_))) => return Err(IdentityError::AlreadyInitialized),
            (Some(stored), Some(SeedSource::Hex(text))) => {
                if *stored != seed_from_hex(&text)? {
                    return Err(IdentityError::DifferentSeed);
                }
                stored.clone()
            }
            (Some(stored), None) => stored.clone(),
            (None, Some(SeedSource::Hex(text))) => seed_from_hex(&text)?,
            (None, Some(SeedSource::Mnemonic(text))) => seed_from_mnemonic(&text)?,
            (None, None) => fresh,
        };
        let peer_id = PeerId::from_ed25519_seed(*seed)?;
        let known = store.stored_peer_id()?;
        // A crash may have come between the rows of an identity that nobody has met. Once there is a key for URLs, somebody may have.
        let was_finished = stored.is_some() || store.ocap_url_key()?.is_some();
        if let Some(known) = known.as_ref().filter(|known| **known != peer_id && was_finished) {
            return Err(StoreError::Corrupt { key: "peerId".into(), value: known.to_string() }.into());
        }
        if stored.is_none() || known.as_ref() != Some(&peer_id) {
            store.transaction("identity", |store| {
                store.set_key_seed(&seed)?;
                store.set_peer_id(&peer_id)
            })?;
        }
        Ok(KernelIdentity { peer_id, seed })
    }

    /// The peer id.
    pub fn peer_id(&self) -> &PeerId {
        &self.peer_id
    }

    /// The seed, 64 lower-case hexadecimal digits: for the network, and for nobody else.
    pub fn key_seed_hex(&self) -> Zeroizing<String> {
        Zeroizing::new(hex::encode(self.seed.as_slice()))
    }
}

impl fmt::Debug for KernelIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KernelIdentity").field("peer_id", &self.peer_id).finish_non_exhaustive()
    }
}

fn seed_from_hex(text: &str) -> Result<Secret, IdentityError> {
    let mut seed = Secret::default();
    hex::decode_to_slice(text, seed.as_mut_slice()).map_err(|_| IdentityError::BadSeed)?;
    Ok(seed)
}

/// The first 32 of the standard's 64 bytes, without a passphrase: what the incumbent takes.
fn seed_from_mnemonic(text: &str) -> Result<Secret, IdentityError> {
    let mnemonic = Mnemonic::parse_in_normalized(Language::English, text).map_err(|_| IdentityError::BadMnemonic)?;
    let standard = Zeroizing::new(mnemonic.to_seed_normalized(""));
    let (first, _) = standard.split_first_chunk::<32>().ok_or(IdentityError::BadMnemonic)?;
    Ok(Secret::new(*first))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::MemoryStore;

    // The mnemonic of all-zero entropy, and the start of its seed by the standard, with an empty passphrase.
    const WORDS: &str = "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon about";
    const WORDS_SEED: &str = "5eb00bbddcf069084889a8ab9155568165f5c453ccb85e70811aaed6f6da5fc1";

    fn new_store() -> KernelStore {
        KernelStore::open(Box::new(MemoryStore::new())).unwrap()
    }

    fn hex_source(text: &str) -> Option<SeedSource> {
        Some(SeedSource::Hex(text.to_owned().into()))
    }

    fn words(text: &str) -> Option<SeedSource> {
        Some(SeedSource::Mnemonic(text.to_owned().into()))
    }

    #[test]
    fn an_identity_is_made_once_and_kept() {
        let mut store = new_store();
        let first = KernelIdentity::provide(&mut store, None, [7; 32]).unwrap();
        let again = KernelIdentity::provide(&mut store, None, [8; 32]).unwrap();
        assert_eq!(first.peer_id(), again.peer_id());
        assert_eq!(again.key_seed_hex().as_str(), "07".repeat(32));
        assert!(KernelIdentity::provide(&mut store, hex_source(&"07".repeat(32)), [9; 32]).is_ok());
    }

    #[test]
    fn the_rows_are_the_incumbents() {
        let mut store = new_store();
        let identity = KernelIdentity::provide(&mut store, hex_source(&"0A".repeat(32)), [7; 32]).unwrap();
        assert_eq!(store.key_seed().unwrap().unwrap().as_slice(), [10; 32]);
        assert_eq!(store.stored_peer_id().unwrap().as_ref(), Some(identity.peer_id()));
        assert!(identity.peer_id().as_str().starts_with("12D3KooW"));
    }

    #[test]
    fn a_mnemonic_gives_the_standard_seed() {
        let mut store = new_store();
        let identity = KernelIdentity::provide(&mut store, words(WORDS), [7; 32]).unwrap();
        assert_eq!(identity.key_seed_hex().as_str(), WORDS_SEED);
        let mut other = new_store();
        let same = KernelIdentity::provide(&mut other, hex_source(WORDS_SEED), [7; 32]).unwrap();
        assert_eq!(same.peer_id(), identity.peer_id());
    }

    #[test]
    fn a_store_keeps_the_identity_that_it_has() {
        let mut store = new_store();
        let before = KernelIdentity::provide(&mut store, words(WORDS), [7; 32]).unwrap();
        let provide = |store: &mut KernelStore, source| KernelIdentity::provide(store, source, [9; 32]).unwrap_err();
        assert_eq!(provide(&mut store, words(WORDS)), IdentityError::AlreadyInitialized);
        assert_eq!(provide(&mut store, hex_source(&"11".repeat(32))), IdentityError::DifferentSeed);
        let after = KernelIdentity::provide(&mut store, None, [9; 32]).unwrap();
        assert_eq!(after.peer_id(), before.peer_id());
    }

    #[test]
    fn an_identity_that_was_written_in_part_heals_itself() {
        for rows in [0, 1] {
            let mut store = new_store();
            let lost = PeerId::from_ed25519_seed([1; 32]).unwrap();
            if rows == 0 {
                store.set_peer_id(&lost).unwrap()
            } else {
                store.set_key_seed(&Secret::new([1; 32])).unwrap()
            }
            let first = KernelIdentity::provide(&mut store, None, [7; 32]).unwrap();
            let again = KernelIdentity::provide(&mut store, None, [9; 32]).unwrap();
            assert_eq!(first.peer_id(), again.peer_id());
            assert_eq!(*first.peer_id() == lost, rows == 1);
        }
    }

    #[test]
    fn a_store_that_lost_the_key_of_its_identity_is_corrupt() {
        let mut store = new_store();
        store.set_peer_id(&PeerId::from_ed25519_seed([1; 32]).unwrap()).unwrap();
        store.set_ocap_url_key(&Secret::new([2; 32])).unwrap();
        let refused = KernelIdentity::provide(&mut store, None, [7; 32]);
        assert!(matches!(refused, Err(IdentityError::Store(StoreError::Corrupt { .. }))), "{refused:?}");
    }

    #[test]
    fn bad_sources_are_refused_and_leave_no_trace() {
        let mut store = new_store();
        for text in ["", "07", &"07".repeat(33), &"0x".repeat(32), &"é".repeat(32)] {
            let refused = KernelIdentity::provide(&mut store, hex_source(text), [7; 32]).unwrap_err();
            assert_eq!(refused, IdentityError::BadSeed, "{text}");
        }
        for text in ["", "abandon", &WORDS.replace("about", "abandon"), &WORDS.replace("about", "ábout")] {
            let refused = KernelIdentity::provide(&mut store, words(text), [7; 32]).unwrap_err();
            assert_eq!(refused, IdentityError::BadMnemonic, "{text}");
        }
        assert!(store.key_seed().unwrap().is_none());
    }

    #[test]
    fn no_text_shows_the_seed() {
        let mut store = new_store();
        let identity = KernelIdentity::provide(&mut store, words(WORDS), [7; 32]).unwrap();
        let shown = format!("{identity:?} {:?} {:?}", words(WORDS), hex_source(WORDS_SEED));
        assert!(!shown.contains("5eb0") && !shown.contains("abandon"), "{shown}");
    }
}
