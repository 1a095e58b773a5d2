//! The rows of the kernel's identity. Secrets leave here only in memory that is wiped when it is dropped.

use zeroize::Zeroizing;

use super::{KernelStore, StoreError};
use crate::wire::PeerId;

const PEER_ID: &str = "peerId";
const KEY_SEED: &str = "keySeed";
const OCAP_URL_KEY: &str = "ocapURLKey";

/// 32 bytes that are nobody's business.
pub(crate) type Secret = Zeroizing<[u8; 32]>;

impl KernelStore {
    pub(crate) fn stored_peer_id(&self) -> Result<Option<PeerId>, StoreError> {
        self.parsed(PEER_ID)
    }

    pub(crate) fn set_peer_id(&mut self, peer_id: &PeerId) -> Result<(), StoreError> {
        self.set(PEER_ID, peer_id.as_str())
    }

    pub(crate) fn key_seed(&self) -> Result<Option<Secret>, StoreError> {
        self.secret(KEY_SEED)
    }

    pub(crate) fn set_key_seed(&mut self, seed: &Secret) -> Result<(), StoreError> {
        self.set_secret(KEY_SEED, seed)
    }

    pub(crate) fn ocap_url_key(&self) -> Result<Option<Secret>, StoreError> {
        self.secret(OCAP_URL_KEY)
    }

    pub(crate) fn set_ocap_url_key(&mut self, key: &Secret) -> Result<(), StoreError> {
        self.set_secret(OCAP_URL_KEY, key)
    }

    /// A row of the identity as it stands, for kernels in JavaScript, which are to be trusted with it.
    #[cfg(all(feature = "guests", target_arch = "wasm32", target_os = "unknown"))]
    pub(crate) fn identity_row(&self, key: &str) -> Result<Option<String>, StoreError> {
        if [PEER_ID, KEY_SEED, OCAP_URL_KEY].contains(&key) { self.get(key) } else { Ok(None) }
    }

    #[cfg(all(feature = "guests", target_arch = "wasm32", target_os = "unknown"))]
    pub(crate) fn set_identity_row(&mut self, key: &str, value: &str) -> Result<(), StoreError> {
        if [PEER_ID, KEY_SEED, OCAP_URL_KEY].contains(&key) { self.set(key, value) } else { Ok(()) }
    }

    fn secret(&self, key: &str) -> Result<Option<Secret>, StoreError> {
        let Some(text) = self.get(key)?.map(Zeroizing::new) else { return Ok(None) };
        let mut bytes = Secret::default();
        match hex::decode_to_slice(text.as_bytes(), bytes.as_mut_slice()) {
            Ok(()) => Ok(Some(bytes)),
            // The error must not carry what may be most of a key.
            Err(_) => Err(StoreError::corrupt(key, "(not 32 bytes in hex)")),
        }
    }

    fn set_secret(&mut self, key: &str, secret: &Secret) -> Result<(), StoreError> {
        self.set(key, &Zeroizing::new(hex::encode(secret.as_slice())))
    }
}
