//! Issues the OCAP URLs of this kernel, and reads them again.

use super::{
    ocap_url::{OcapUrl, OcapUrlError, OidSealer},
    store::{KernelStore, StoreError},
};
use crate::wire::{Kref, PeerId};

/// Turns objects into URLs and back. Only this kernel can: the object's name is sealed under its own key.
pub struct UrlIssuer {
    sealer: OidSealer,
    peer: PeerId,
}

impl UrlIssuer {
    /// The issuer under the key in the store, which `random` makes if there is none.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn provide(store: &mut KernelStore, peer: PeerId, random: [u8; 32]) -> Result<Self, StoreError> {
        Ok(UrlIssuer { sealer: OidSealer::provide(store, peer.clone(), random)?, peer })
    }

    /// The peer id that its URLs name.
    pub fn peer(&self) -> &PeerId {
        &self.peer
    }

    /// A URL for an object, with as many of the relays as a URL takes. `nonce` must be random.
    ///
    /// # Errors
    /// [`OcapUrlError`] for a relay that does not fit in a URL.
    pub fn issue(&self, kref: Kref, nonce: [u8; 24], relays: &[String]) -> Result<String, OcapUrlError> {
        Ok(OcapUrl::new(&self.sealer.seal(kref, nonce)?, self.peer.clone(), relays)?.to_string())
    }

    /// The object that a URL of this kernel means.
    ///
    /// # Errors
    /// [`OcapUrlError`] for a URL that is forged, or another kernel's.
    pub fn open(&self, url: &OcapUrl) -> Result<Kref, OcapUrlError> {
        if *url.peer() != self.peer {
            return Err(OcapUrlError::NotIssuedHere);
        }
        self.sealer.open(url.oid())
    }
}
