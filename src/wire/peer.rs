//! libp2p peer ids, as text.

use std::{fmt, str::FromStr, sync::Arc};

use super::WireError;

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
    /// Never for 32 bytes; the signature follows the key library's.
    pub fn from_ed25519_seed(seed: [u8; 32]) -> Result<Self, WireError> {
        let key = libp2p_identity::Keypair::ed25519_from_bytes(seed)
            .map_err(|error| WireError::Malformed(error.to_string()))?;
        Ok(key.public().to_peer_id().into())
    }
}

impl FromStr for PeerId {
    type Err = WireError;

    fn from_str(text: &str) -> Result<Self, WireError> {
        // Both the base58 and the CID text form parse; one canonical form makes ids comparable as text.
        text.parse::<libp2p_identity::PeerId>()
            .map(PeerId::from)
            .map_err(|_| WireError::bad_reference(text, "a peer id"))
    }
}

impl From<libp2p_identity::PeerId> for PeerId {
    fn from(id: libp2p_identity::PeerId) -> Self {
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
