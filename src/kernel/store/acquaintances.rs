//! Of which remotes it is remembered that they are no strangers, in rows `acquaintance.<remote>` of our own.

use super::{
    KernelStore, StoreError,
    rows::{Key, key},
};
use crate::wire::EndpointId;

/// Why a peer is more than a stranger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acquaintance {
    /// This kernel gave it an object. Once nothing is shared with it any more, it is a stranger again.
    Given,
    /// The program spoke of it.
    SpokenOf,
}

/// Says that the rows are kept; a store from before, or of another kernel, lacks it.
const KEPT: &str = "keepsAcquaintances";

fn row_of(remote: EndpointId) -> Key {
    key(format_args!("acquaintance.{remote}"))
}

impl KernelStore {
    /// Why a remote is more than a stranger, if it is.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn acquaintance(&self, remote: EndpointId) -> Result<Option<Acquaintance>, StoreError> {
        let row = row_of(remote);
        match self.get(&row)?.as_deref() {
            None => Ok(None),
            Some("given") => Ok(Some(Acquaintance::Given)),
            Some("spoken of") => Ok(Some(Acquaintance::SpokenOf)),
            Some(other) => {
                // Whoever reaches nothing is a stranger all the same.
                tracing::error!(error = %StoreError::corrupt(&row, other), "why a peer is known cannot be read");
                Ok(Some(Acquaintance::Given))
            }
        }
    }

    /// Remembers why a remote is more than a stranger; `None` if it is one.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn set_acquaintance(
        &mut self,
        remote: EndpointId,
        acquaintance: Option<Acquaintance>,
    ) -> Result<(), StoreError> {
        match acquaintance {
            None => self.delete(&row_of(remote)),
            Some(Acquaintance::Given) => self.set(&row_of(remote), "given"),
            Some(Acquaintance::SpokenOf) => self.set(&row_of(remote), "spoken of"),
        }
    }

    /// Makes the rows in a store from before there were any: whoever shares anything is taken for an acquaintance.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn begin_acquaintances(&mut self) -> Result<(), StoreError> {
        if self.get(KEPT)?.is_some() {
            return Ok(());
        }
        for (remote, info) in self.all_remotes()? {
            let acquaintance = match info.hints.is_empty() {
                false => Some(Acquaintance::SpokenOf),
                true => self.has_references(remote)?.then_some(Acquaintance::Given),
            };
            self.set_acquaintance(remote, acquaintance)?;
        }
        self.set(KEPT, "true")
    }
}

#[cfg(test)]
mod tests {
    use super::{super::RemoteInfo, *};
    use crate::{
        storage::MemoryStore,
        wire::{Eref, PeerId},
    };

    fn eref(text: &str) -> Eref {
        text.parse().unwrap()
    }

    #[test]
    fn a_store_from_before_keeps_its_acquaintances() {
        let mut store = KernelStore::open(Box::new(MemoryStore::new())).unwrap();
        let mut record = |hints: &[&str]| {
            let id = store.next_remote_id().unwrap();
            let EndpointId::Remote(number) = id else { panic!("{id}") };
            let peer_id = PeerId::from_ed25519_seed([number as u8; 32]).unwrap();
            let hints = hints.iter().map(ToString::to_string).collect();
            store.set_remote_info(id, &RemoteInfo { peer_id, hints }).unwrap();
            id
        };
        let (spoken_of, sharing, stranger) = (record(&["/ip4/127.0.0.1/tcp/1/ws"]), record(&[]), record(&[]));
        store.export_eref(sharing, eref("ro+1")).unwrap();
        store.begin_acquaintances().unwrap();
        let found = [spoken_of, sharing, stranger].map(|id| store.acquaintance(id).unwrap());
        assert_eq!(found, [Some(Acquaintance::SpokenOf), Some(Acquaintance::Given), None]);

        store.export_eref(stranger, eref("ro+1")).unwrap();
        store.begin_acquaintances().unwrap();
        assert_eq!(store.acquaintance(stranger).unwrap(), None, "what it names itself makes it nothing any more");
    }
}
