//! libp2p peer ids, as text.

use std::{fmt, str::FromStr, sync::Arc};

use ed25519_dalek::SigningKey;

use super::WireError;

/// A peer id in bytes: a multihash, of at most 64 bytes as everywhere in libp2p.
type Multihash = multihash::Multihash<64>;

/// The multihash code of a key that stands there itself.
const IDENTITY: u64 = 0;
/// The multihash code of a key's SHA-256.
const SHA_256: u64 = 0x12;
/// A longer key is hashed.
const MAX_IDENTITY_LENGTH: usize = 42;
/// No multihash is longer in base58, which takes quadratic time to read.
const MAX_TEXT_LENGTH: usize = 100;
/// libp2p's protobuf of an Ed25519 public key, up to the key: its type, and its length.
const ED25519_PUBLIC_KEY: [u8; 4] = [0x08, 0x01, 0x12, 32];

/// A libp2p peer id in its base58btc text form, checked when made.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId(Arc<str>);

impl PeerId {
    /// The text form, for example `12D3KooW…`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The peer id of the Ed25519 key with this seed; the same seed gives the same id in every libp2p.
    ///
    /// # Errors
    /// Never for 32 bytes; the signature follows the multihash library's.
    pub fn from_ed25519_seed(seed: [u8; 32]) -> Result<Self, WireError> {
        let public = SigningKey::from_bytes(&seed).verifying_key();
        let key = [&ED25519_PUBLIC_KEY[..], public.as_bytes()].concat();
        let hash = Multihash::wrap(IDENTITY, &key).map_err(|error| WireError::malformed(&error))?;
        Ok(PeerId::from_multihash(&hash))
    }

    fn from_multihash(hash: &Multihash) -> Self {
        PeerId(bs58::encode(hash.to_bytes()).into_string().into())
    }
}

impl FromStr for PeerId {
    type Err = WireError;

    fn from_str(text: &str) -> Result<Self, WireError> {
        let fits = text.len() <= MAX_TEXT_LENGTH;
        let bytes = fits.then(|| bs58::decode(text).into_vec().ok()).flatten();
        let hash = bytes.and_then(|bytes| Multihash::from_bytes(&bytes).ok()).filter(|hash| match hash.code() {
            IDENTITY => hash.digest().len() <= MAX_IDENTITY_LENGTH,
            code => code == SHA_256,
        });
        hash.as_ref().map(PeerId::from_multihash).ok_or_else(|| WireError::bad_reference(text, "a peer id"))
    }
}

#[cfg(feature = "network")]
impl From<libp2p::PeerId> for PeerId {
    fn from(id: libp2p::PeerId) -> Self {
        PeerId(id.to_base58().into())
    }
}

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_text_of_megabytes_is_refused_at_once() {
        let text = "z".repeat(8 << 20);
        assert!(text.parse::<PeerId>().is_err());
    }

    /// Texts of multihashes that are a peer id, nearly one, or none.
    fn texts() -> impl Strategy<Value = String> {
        let code = prop_oneof![Just(0), Just(0x12), any::<u8>()];
        let length = prop_oneof![Just(36), Just(32), 0..70_u8];
        let hash =
            (code, length, proptest::collection::vec(any::<u8>(), 0..70)).prop_flat_map(|(code, length, bytes)| {
                let exact: Vec<u8> =
                    [code, length].into_iter().chain(bytes.iter().copied().cycle().take(length.into())).collect();
                let exact = if bytes.is_empty() { vec![code, length] } else { exact };
                prop_oneof![Just(exact), Just([vec![code, length], bytes].concat())]
            });
        prop_oneof![hash.prop_map(|bytes| bs58::encode(bytes).into_string()), any::<String>()]
    }

    proptest! {
        #[test]
        fn a_seed_gives_libp2ps_id(seed: [u8; 32]) {
            let theirs = libp2p_identity::Keypair::ed25519_from_bytes(seed).unwrap().public().to_peer_id();
            prop_assert_eq!(PeerId::from_ed25519_seed(seed).unwrap(), PeerId(theirs.to_base58().into()));
        }

        #[test]
        fn a_text_is_a_peer_id_where_libp2p_says_so(text in texts()) {
            let theirs = text.parse::<libp2p_identity::PeerId>().map(|id| id.to_base58());
            let ours = text.parse::<PeerId>().map(|id| id.as_str().to_owned());
            prop_assert_eq!(ours.ok(), theirs.ok());
        }
    }
}
