//! OCAP URLs: references that people and programs can pass on as text (protocol §7).
//!
//! `ocap:<oid>@<peerId>[,<relay multiaddr>…]`. The peer id and the relays say where to ask, and anyone may read them. The
//! object id is for its issuer alone. What redeeming a URL does is left to the kernel.

use std::{fmt, str::FromStr};

use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};
use zeroize::Zeroize;

use super::store::{KernelStore, Secret, StoreError};
use crate::wire::{Kref, PeerId};

/// Why a text is not an OCAP URL, or an object id not one of ours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OcapUrlError {
    /// Longer than [`OcapUrl::MAX_LENGTH`].
    #[error("an OCAP URL has at most {} bytes", OcapUrl::MAX_LENGTH)]
    TooLong,
    /// It does not begin with `ocap:`.
    #[error("an OCAP URL begins with ocap:")]
    NotOcap,
    /// There is no `@`.
    #[error("an OCAP URL names its peer after an @")]
    NoPeer,
    /// The object id is empty, too long, or holds other than ASCII letters and digits.
    #[error("the object id of an OCAP URL is 1 to {} letters and digits", OcapUrl::MAX_OID_LENGTH)]
    BadOid,
    /// What stands after the `@` is not a peer id.
    #[error("the OCAP URL names no valid peer")]
    BadPeer,
    /// A hint is not the printable text of a multiaddr, or is too long.
    #[error("the OCAP URL holds a hint that is no multiaddr")]
    BadHint,
    /// The object id was not sealed by this kernel, or was changed since.
    #[error("this kernel did not issue that object id")]
    NotIssuedHere,
    /// The object id could not be made.
    #[error("sealing the object id failed")]
    Sealing,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// An OCAP URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OcapUrl {
    oid: String,
    peer: PeerId,
    relays: Vec<String>,
}

impl OcapUrl {
    /// Longest accepted text, in bytes.
    pub const MAX_LENGTH: usize = 2048;
    /// Longest accepted object id, in bytes.
    pub const MAX_OID_LENGTH: usize = 256;
    /// Most relay hints that are written, and that are taken from a URL.
    pub const MAX_RELAYS: usize = 3;
    /// Longest accepted hint, in bytes.
    pub const MAX_RELAY_LENGTH: usize = 512;

    /// A URL with the first [`MAX_RELAYS`](Self::MAX_RELAYS) of `relays`.
    ///
    /// # Errors
    /// [`OcapUrlError`].
    pub fn new(oid: &str, peer: PeerId, relays: &[String]) -> Result<Self, OcapUrlError> {
        let oid_fits = !oid.is_empty() && oid.len() <= Self::MAX_OID_LENGTH;
        if !oid_fits || !oid.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(OcapUrlError::BadOid);
        }
        let relays: Vec<String> = relays.iter().take(Self::MAX_RELAYS).cloned().collect();
        let is_hint = |relay: &String| {
            relay.starts_with('/')
                && relay.len() <= Self::MAX_RELAY_LENGTH
                && relay.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',')
        };
        if !relays.iter().all(is_hint) {
            return Err(OcapUrlError::BadHint);
        }
        Ok(OcapUrl { oid: oid.to_owned(), peer, relays })
    }

    /// The object id.
    pub fn oid(&self) -> &str {
        &self.oid
    }

    /// The kernel that issued it.
    pub fn peer(&self) -> &PeerId {
        &self.peer
    }

    /// Relays at which that kernel may be found.
    pub fn relays(&self) -> &[String] {
        &self.relays
    }
}

impl FromStr for OcapUrl {
    type Err = OcapUrlError;

    /// Hints beyond the third are ignored rather than refused: they only help, and an issuer may have had more.
    fn from_str(text: &str) -> Result<Self, OcapUrlError> {
        if text.len() > Self::MAX_LENGTH {
            return Err(OcapUrlError::TooLong);
        }
        let rest = text.strip_prefix("ocap:").ok_or(OcapUrlError::NotOcap)?;
        let (oid, place) = rest.split_once('@').ok_or(OcapUrlError::NoPeer)?;
        let mut parts = place.split(',');
        let peer = parts.next().and_then(|peer| peer.parse().ok()).ok_or(OcapUrlError::BadPeer)?;
        let relays: Vec<String> = parts.take(Self::MAX_RELAYS).map(str::to_owned).collect();
        OcapUrl::new(oid, peer, &relays)
    }
}

impl fmt::Display for OcapUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ocap:{}@{}", self.oid, self.peer)?;
        self.relays.iter().try_for_each(|relay| write!(f, ",{relay}"))
    }
}

/// Length of an XChaCha20 nonce, in bytes.
pub(super) const NONCE_LENGTH: usize = 24;

/// A reference is padded to a multiple of this, in bytes.
const PADDING: usize = 16;

/// Makes object ids out of kernel references, and reads them back.
///
/// The scheme is XChaCha20-Poly1305. An issuer keeps no count of what it sealed, a kernel that was restored from a backup
/// least of all, so nonces are random; with 24 bytes they will not repeat, which cannot be promised of the 12 bytes of AES-GCM or
/// ChaCha20-Poly1305. A nonce-misuse-resistant mode (AES-GCM-SIV) would also do, but wasm has no AES instructions, and AES in
/// software is either slow or tells the key through its timing; ChaCha20 is constant in time everywhere.
///
/// A reference is padded so that the length of its id tells nothing of how many objects there are, and the peer id is
/// authenticated with it, so that an id is good only at the peer that issued it.
pub(super) struct OidSealer {
    cipher: XChaCha20Poly1305,
    peer: PeerId,
}

impl OidSealer {
    /// The sealer of `store`, whose key is made from `random` when it is first asked for.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(super) fn provide(store: &mut KernelStore, peer: PeerId, mut random: [u8; 32]) -> Result<Self, StoreError> {
        let fresh = Secret::new(random);
        random.zeroize();
        let key = match store.ocap_url_key()? {
            Some(key) => key,
            None => {
                store.set_ocap_url_key(&fresh)?;
                fresh
            }
        };
        Ok(OidSealer { cipher: XChaCha20Poly1305::new((&*key).into()), peer })
    }

    /// The object id of `kref`. The nonce must be random and new: two ids of one nonce would betray both.
    ///
    /// # Errors
    /// [`OcapUrlError::Sealing`], which the cipher gives for texts of many gigabytes only.
    pub(super) fn seal(&self, kref: Kref, nonce: [u8; NONCE_LENGTH]) -> Result<String, OcapUrlError> {
        let mut text = kref.to_string().into_bytes();
        text.resize(text.len().next_multiple_of(PADDING), 0);
        let payload = Payload { msg: &text, aad: self.peer.as_str().as_bytes() };
        let sealed = self.cipher.encrypt(XNonce::from_slice(&nonce), payload).map_err(|_| OcapUrlError::Sealing)?;
        let oid = [nonce.as_slice(), &sealed].concat();
        // Multibase: z says base58btc.
        Ok(format!("z{}", bs58::encode(oid).into_string()))
    }

    /// The reference behind an object id.
    ///
    /// # Errors
    /// [`OcapUrlError::NotIssuedHere`] for everything that [`seal`](Self::seal) did not make, whatever is wrong with it.
    pub(super) fn open(&self, oid: &str) -> Result<Kref, OcapUrlError> {
        self.try_open(oid).ok_or(OcapUrlError::NotIssuedHere)
    }

    fn try_open(&self, oid: &str) -> Option<Kref> {
        // Base58 takes quadratic time, so that the length is checked first.
        let encoded = oid.strip_prefix('z').filter(|encoded| encoded.len() < OcapUrl::MAX_OID_LENGTH)?;
        let bytes = bs58::decode(encoded).into_vec().ok()?;
        let (nonce, sealed) = bytes.split_first_chunk::<NONCE_LENGTH>()?;
        let payload = Payload { msg: sealed, aad: self.peer.as_str().as_bytes() };
        let text = self.cipher.decrypt(XNonce::from_slice(nonce), payload).ok()?;
        std::str::from_utf8(&text).ok()?.trim_end_matches('\0').parse().ok()
    }
}

impl fmt::Debug for OidSealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OidSealer").field("peer", &self.peer).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::storage::MemoryStore;

    fn peer(seed: u8) -> PeerId {
        PeerId::from_ed25519_seed([seed; 32]).unwrap()
    }

    fn new_store() -> KernelStore {
        KernelStore::open(Box::new(MemoryStore::new())).unwrap()
    }

    fn sealer(seed: u8, key: u8) -> OidSealer {
        OidSealer::provide(&mut new_store(), peer(seed), [key; 32]).unwrap()
    }

    fn parse(text: &str) -> Result<OcapUrl, OcapUrlError> {
        text.parse()
    }

    #[test]
    fn a_url_reads_back_as_it_was_written() {
        let relays = ["/dns4/relay.example/tcp/443/wss".to_owned()];
        let url = OcapUrl::new("z123", peer(1), &relays).unwrap();
        assert_eq!(url.to_string(), format!("ocap:z123@{},/dns4/relay.example/tcp/443/wss", peer(1)));
        assert_eq!(parse(&url.to_string()), Ok(url));
        assert_eq!(parse(&format!("ocap:z1@{}", peer(1))).unwrap().relays(), [""; 0]);
    }

    #[test]
    fn only_the_first_three_hints_are_taken() {
        let url = parse(&format!("ocap:z1@{},/a,/b,/c,/d", peer(1))).unwrap();
        assert_eq!(url.relays(), ["/a", "/b", "/c"]);
        let many: Vec<String> = (0..9).map(|n| format!("/dns/{n}")).collect();
        assert_eq!(OcapUrl::new("z1", peer(1), &many).unwrap().relays().len(), 3);
    }

    #[test]
    fn each_fault_has_its_name() {
        let id = peer(1);
        let cases = [
            (String::new(), OcapUrlError::NotOcap),
            (format!("http:z1@{id}"), OcapUrlError::NotOcap),
            ("ocap:z1".into(), OcapUrlError::NoPeer),
            (format!("ocap:@{id}"), OcapUrlError::BadOid),
            (format!("ocap:z-1@{id}"), OcapUrlError::BadOid),
            (format!("ocap:{}@{id}", "z".repeat(257)), OcapUrlError::BadOid),
            ("ocap:z1@".into(), OcapUrlError::BadPeer),
            ("ocap:z1@bob".into(), OcapUrlError::BadPeer),
            (format!("ocap:z1@{id}@{id}"), OcapUrlError::BadPeer),
            (format!("ocap:z1@{id},"), OcapUrlError::BadHint),
            (format!("ocap:z1@{id},relay"), OcapUrlError::BadHint),
            (format!("ocap:z1@{id},/dns/é"), OcapUrlError::BadHint),
            (format!("ocap:z1@{id},/{}", "a".repeat(512)), OcapUrlError::BadHint),
            (format!("ocap:z1@{id},/{}", "a".repeat(2048)), OcapUrlError::TooLong),
        ];
        for (text, fault) in cases {
            assert_eq!(parse(&text), Err(fault), "{text}");
        }
    }

    #[test]
    fn an_object_id_opens_at_its_issuer_only() {
        let kref = Kref::object(42);
        let oid = sealer(1, 1).seal(kref, [5; 24]).unwrap();
        assert_eq!(sealer(1, 1).open(&oid), Ok(kref));
        assert_eq!(sealer(1, 2).open(&oid), Err(OcapUrlError::NotIssuedHere), "another key");
        assert_eq!(sealer(2, 1).open(&oid), Err(OcapUrlError::NotIssuedHere), "another peer");
    }

    #[test]
    fn the_length_of_an_id_tells_nothing() {
        let length = |index| bs58::decode(&sealer(1, 1).seal(Kref::object(index), [255; 24]).unwrap()[1..]).into_vec();
        assert_eq!(length(1).unwrap().len(), 24 + 16 + 16);
        assert_eq!(length(99_999_999_999_999).unwrap().len(), 24 + 16 + 16);
    }

    #[test]
    fn the_largest_reference_survives() {
        let kref = Kref::promise(u64::MAX);
        assert_eq!(sealer(1, 1).open(&sealer(1, 1).seal(kref, [0; 24]).unwrap()), Ok(kref));
    }

    #[test]
    fn the_key_is_made_once() {
        let mut store = new_store();
        let oid = OidSealer::provide(&mut store, peer(1), [1; 32]).unwrap().seal(Kref::object(1), [0; 24]).unwrap();
        let later = OidSealer::provide(&mut store, peer(1), [2; 32]).unwrap();
        assert_eq!(later.open(&oid), Ok(Kref::object(1)));
    }

    proptest! {
        #[test]
        fn a_changed_id_is_never_ours(position in 0_usize..76, letter in "[1-9A-HJ-NP-Za-km-z]") {
            let oid = sealer(1, 1).seal(Kref::object(1), [9; 24]).unwrap();
            let mut changed = oid.clone();
            let position = position.min(oid.len() - 1);
            changed.replace_range(position..=position, &letter);
            prop_assume!(changed != oid);
            prop_assert_eq!(sealer(1, 1).open(&changed), Err(OcapUrlError::NotIssuedHere));
        }

        #[test]
        fn no_text_panics(text in "(ocap:)?[z@,/a-z0-9é]{0,60}") {
            let _ = parse(&text);
            prop_assert!(sealer(1, 1).open(&text).is_err());
        }

        #[test]
        fn every_parsed_url_is_written_as_it_was_read(hints in prop::collection::vec("/[a-z0-9/]{1,20}", 0..=3)) {
            let hints: String = hints.iter().map(|hint| format!(",{hint}")).collect();
            let text = format!("ocap:zabc@{}{hints}", peer(3));
            prop_assert_eq!(parse(&text).unwrap().to_string(), text);
        }
    }
}
