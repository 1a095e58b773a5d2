//! The kernel's records, written on an ordered key-value map (protocol §8).
//!
//! [`KernelStore`] knows how each record is spelled and which reference counts each change moves. It decides nothing: when a
//! peer has restarted, what a message means and what is sent are left to the modules above. Every key and value is spelled
//! as the incumbent spells it, so that either kernel can open the other's store.
//!
//! Methods leave the store consistent only as a whole: a caller wraps each event in one [`transaction`](KernelStore::transaction)
//! and ends it with [`collect_garbage`](KernelStore::collect_garbage).

mod audit;
mod clist;
mod endpoints;
mod error;
mod gc;
mod identity;
mod kv;
mod memory;
mod objects;
mod promises;
mod queues;
mod relays;
mod remotes;
mod rows;
mod translate;

use std::{collections::BTreeSet, fmt};

pub use error::RefError;
pub use gc::{GcAction, GcKind};
pub(crate) use identity::Secret;
pub use kv::{KeyValueStore, StoreError};
pub use memory::MemoryStore;
pub use objects::{ObjectCounts, Party};
pub use promises::{PromiseState, Resolved};
pub use queues::{KernelMessage, RunItem};
pub use relays::{MAX_KNOWN_RELAYS, RelayEntry};
pub use remotes::{RemoteInfo, RemoteSeqState};

use crate::wire::Kref;

/// The records of one kernel.
pub struct KernelStore {
    kv: Box<dyn KeyValueStore>,
    uncollected: Uncollected,
}

/// What the next collection looks at. It lives in memory: [`KernelStore::open`] finds it again after a crash.
#[derive(Clone, Default)]
struct Uncollected {
    /// What lost a count, or never had one.
    maybe_free: BTreeSet<Kref>,
    /// Whether an incumbent kernel left actions in the store.
    inherited: bool,
}

impl KernelStore {
    /// Opens the records in `kv`, an empty one included, and notes what a crash left uncollected.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn open(kv: Box<dyn KeyValueStore>) -> Result<Self, StoreError> {
        let mut store = KernelStore { kv, uncollected: Uncollected::default() };
        store.note_all_garbage()?;
        Ok(store)
    }

    /// Runs `work` so that either all of its writes stay or none does. Transactions nest; the outermost makes it durable.
    ///
    /// # Errors
    /// Those of `work`, after which nothing of it remains; [`StoreError`] when the storage fails to begin or to commit.
    pub fn transaction<T, E: From<StoreError>>(
        &mut self,
        name: &str,
        work: impl FnOnce(&mut KernelStore) -> Result<T, E>,
    ) -> Result<T, E> {
        self.kv.create_savepoint(name)?;
        let noted = self.uncollected.clone();
        let outcome = work(self);
        let committed = match &outcome {
            Ok(_) => self.kv.release_savepoint(name),
            Err(_) => {
                self.uncollected = noted;
                // A failed rollback outweighs the error that led to it: the writes are still there.
                self.kv.rollback_savepoint(name)?;
                return outcome;
            }
        };
        if let Err(error) = committed {
            self.uncollected = noted;
            return Err(error.into());
        }
        outcome
    }
}

impl fmt::Debug for KernelStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The rows hold the kernel's secrets.
        f.debug_struct("KernelStore").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::EndpointId;

    #[test]
    fn a_failed_transaction_leaves_nothing_and_one_around_it_goes_on() {
        let mut store = KernelStore::open(Box::new(MemoryStore::new())).unwrap();
        let outer: Result<EndpointId, StoreError> = store.transaction("turn", |store| {
            let first = store.next_remote_id()?;
            let inner: Result<(), StoreError> = store.transaction("turn", |store| {
                store.next_remote_id()?;
                store.create_object(EndpointId::Remote(1))?;
                Err(StoreError::Storage("the disk is full".into()))
            });
            assert!(inner.is_err());
            Ok(first)
        });
        assert_eq!(outer.unwrap().to_string(), "r1");
        assert_eq!(store.next_remote_id().unwrap().to_string(), "r2");
        assert!(store.uncollected.maybe_free.is_empty());
        store.audit().unwrap();
    }

    #[test]
    fn debug_shows_no_row() {
        let store = KernelStore::open(Box::new(MemoryStore::new())).unwrap();
        assert_eq!(format!("{store:?}"), "KernelStore { .. }");
    }
}
