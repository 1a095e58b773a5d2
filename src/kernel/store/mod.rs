//! The kernel's records, written on an ordered [key-value map](KeyValueStore) (protocol §8).
//!
//! [`KernelStore`] knows how each record is spelled and which reference counts each change moves. It decides nothing: when a
//! peer has restarted, what a message means and what is sent are left to the modules above. Every key and value is spelled
//! as the incumbent spells it, so that either kernel can open the other's store.
//!
//! Methods leave the store consistent only as a whole: a caller wraps each event in one [`transaction`](KernelStore::transaction)
//! and ends it with [`collect_garbage`](KernelStore::collect_garbage). Transactions may be gathered, so that several share one
//! [`commit`](KernelStore::commit).

mod acquaintances;
mod audit;
mod backup;
mod clist;
mod deciding;
mod endpoints;
mod error;
mod gc;
mod gifts;
mod identity;
mod objects;
mod outcomes;
mod pins;
mod promises;
mod queues;
mod relays;
mod remotes;
mod retelling;
mod retiring;
mod rows;
mod settled_names;
mod telling;
mod translate;
mod undo;
mod waiting;

use std::{cell::Cell, fmt};

pub use acquaintances::Acquaintance;
pub use backup::BackupError;
use deciding::Deciding;
pub use deciding::MAX_UNSETTLED;
pub use error::{RefError, StoreError};
pub use gc::{Collected, GcAction, GcKind};
pub(crate) use identity::Secret;
use objects::PINNED;
pub use objects::{ObjectCounts, Party};
pub use outcomes::Outcome;
use outcomes::Outcomes;
use pins::Pins;
pub use promises::{PromiseState, Resolved};
pub use queues::{KernelMessage, RunItem};
pub use relays::{MAX_KNOWN_RELAYS, RelayEntry};
pub use remotes::{RemoteInfo, RemoteSeqState};
pub use retelling::MAX_TOLD_AGAIN;
use retelling::ToldAgain;
pub use settled_names::MAX_SETTLED_NAMES;
use settled_names::SettledNames;
pub use telling::{Hearing, MayHear};
use undo::{FreshItems, Mark, Noted};
use waiting::Waiting;
pub use waiting::{MAX_WAITING, MAX_WAITING_BYTES, MAX_WAITING_FOR};

use crate::{
    faults::{Fault, seeded},
    storage::{KeyValueStore, MemoryStore, StorageError},
    wire::{EndpointId, Kref},
};

/// The records of one kernel.
pub struct KernelStore {
    kv: Box<dyn KeyValueStore>,
    /// How many single operations the storage was asked for.
    operations: Cell<u64>,
    uncollected: Uncollected,
    /// Items of the run queue that have rows.
    stored_items: u64,
    /// Items of the run queue that came since the last commit, behind those in the rows. Most are gone again by the next.
    fresh_items: FreshItems,
    /// What settled promises lead to.
    outcomes: Outcomes,
    /// The pinned objects.
    pins: Pins,
    /// What waits in promises.
    waiting: Waiting,
    /// What peers make the kernel tell again.
    told_again: ToldAgain,
    /// Which names of settled promises remotes have.
    settled_names: SettledNames,
    /// How many promises remotes are to settle.
    deciding: Deciding,
    group: Group,
    /// The open savepoints, each with how far what memory holds beside the rows had come when it was made.
    open: Vec<(String, Mark)>,
    /// What made it impossible to know what the storage holds. It is not touched any more.
    failed: Option<StoreError>,
}

/// Whether transactions wait for each other to be made durable together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Group {
    /// No: each is durable when it ends.
    Off,
    /// Yes, and none waits.
    Empty,
    /// Yes, and some wait, in the outermost savepoint.
    Open,
}

/// The savepoint around a group.
const GROUP: &str = "group";

/// What a savepoint inside `depth` others is called in the storage. No two that are open have one name, so that none is ever
/// taken for another. The names are identifiers, for databases that have them as they stand in their statements.
fn storage_name(name: &str, depth: usize) -> String {
    format!("{name}_{depth}")
}

/// What the next collection looks at. It lives in memory: [`KernelStore::open`] finds it again after a crash.
#[derive(Default)]
struct Uncollected {
    /// What lost a count, or never had one.
    maybe_free: Noted<Kref>,
    /// What is told to an endpoint when its turn comes.
    untold: Noted<(EndpointId, GcKind, Kref)>,
    /// Whether an incumbent kernel left actions in the store.
    inherited: bool,
}

impl KernelStore {
    /// Opens the records in `kv`, an empty one included, and notes what a crash left uncollected.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn open(kv: Box<dyn KeyValueStore>) -> Result<Self, StoreError> {
        let mut store = KernelStore {
            kv,
            operations: Cell::default(),
            uncollected: Uncollected::default(),
            stored_items: 0,
            fresh_items: FreshItems::default(),
            outcomes: Outcomes::default(),
            pins: Pins::default(),
            waiting: Waiting::default(),
            told_again: ToldAgain::default(),
            settled_names: SettledNames::default(),
            deciding: Deciding::default(),
            group: Group::Off,
            open: Vec::new(),
            failed: None,
        };
        store.take_stock()?;
        Ok(store)
    }

    /// Finds again what is kept in memory beside the rows.
    fn take_stock(&mut self) -> Result<(), StoreError> {
        self.uncollected = Uncollected::default();
        self.fresh_items = FreshItems::default();
        self.note_all_garbage()?;
        self.note_all_outcomes()?;
        self.note_all_waiting()?;
        self.note_all_deciders()?;
        self.note_all_settled_names()?;
        self.pins = Pins::parse(self.get(PINNED)?.as_deref().unwrap_or_default())?;
        self.stored_items = self.run_queue_rows()?;
        Ok(())
    }

    /// From now on transactions are durable only after a [`commit`](Self::commit), all at once.
    pub fn gather_transactions(&mut self) {
        if self.group == Group::Off {
            self.group = Group::Empty;
        }
    }

    fn gathers_transactions(&self) -> bool {
        self.group != Group::Off
    }

    /// Makes every transaction since the last commit durable, together. Without any, nothing is done.
    ///
    /// # Errors
    /// [`StoreError`]. What the storage holds is not known then, except that it is the state of the last commit or of this
    /// one; the store refuses everything until it is opened anew. (A failed `fsync` cannot be repeated: what it should have
    /// written may be gone.)
    pub fn commit(&mut self) -> Result<(), StoreError> {
        self.check_failure()?;
        if self.group == Group::Open {
            self.store_fresh_items().and_then(|()| self.store_pins()).map_err(|error| self.fail(error))?;
            self.group = Group::Empty;
            self.kv.release_savepoint(GROUP).map_err(|error| self.fail(error))?;
        }
        Ok(())
    }

    /// Undoes every transaction since the last commit, and gathers no more.
    ///
    /// # Errors
    /// [`StoreError`], as for [`commit`](Self::commit).
    pub fn abandon_uncommitted(&mut self) -> Result<(), StoreError> {
        self.check_failure()?;
        if std::mem::replace(&mut self.group, Group::Off) == Group::Open {
            self.kv.rollback_savepoint(GROUP).map_err(|error| self.fail(error))?;
            self.take_stock()?;
        }
        Ok(())
    }

    /// Lets go of the storage, so that others can open it; what was not committed is lost. The store refuses everything.
    pub fn close(&mut self) {
        self.failed.get_or_insert(StorageError::Closed.into());
        self.group = Group::Off;
        self.open.clear();
        self.kv = Box::new(MemoryStore::new());
    }

    /// Whether anything waits for a [`commit`](Self::commit).
    pub fn awaits_commit(&self) -> bool {
        self.group == Group::Open
    }

    /// What made the store refuse everything, if anything did.
    pub fn failure(&self) -> Option<&StoreError> {
        self.failed.as_ref()
    }

    fn check_failure(&self) -> Result<(), StoreError> {
        self.failed.clone().map_or(Ok(()), Err)
    }

    fn fail(&mut self, error: impl Into<StoreError>) -> StoreError {
        let error = error.into();
        self.failed = Some(error.clone());
        error
    }

    /// Runs `work` so that either all of its writes stay or none does. Transactions nest; the outermost makes it durable,
    /// unless they are [gathered](Self::gather_transactions).
    ///
    /// # Errors
    /// Those of `work`, after which nothing of it remains; [`StoreError`] when the storage fails to begin or to commit.
    pub fn transaction<T, E: From<StoreError>>(
        &mut self,
        name: &str,
        work: impl FnOnce(&mut KernelStore) -> Result<T, E>,
    ) -> Result<T, E> {
        self.begin(name)?;
        let outcome = work(self);
        match &outcome {
            Ok(_) => self.keep(name)?,
            // A failed rollback outweighs the error that led to it: the writes are still there.
            Err(_) => self.roll_back(name)?,
        }
        outcome
    }

    /// As [`release`](Self::release), but what cannot be kept is undone.
    pub(in crate::kernel) fn keep(&mut self, name: &str) -> Result<(), StoreError> {
        self.release(name).or_else(|error| {
            if !seeded(Fault::KeepWhatCannotBeReleased) {
                self.roll_back(name)?;
            }
            Err(error)
        })
    }

    /// Opens a savepoint inside those that are open, for whoever cannot put its work in a [`transaction`](Self::transaction).
    /// It is closed by [`release`](Self::release) or [`roll_back`](Self::roll_back).
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn begin(&mut self, name: &str) -> Result<(), StoreError> {
        self.check_failure()?;
        if self.group == Group::Empty {
            self.create_savepoint(GROUP)?;
            self.group = Group::Open;
        }
        self.create_savepoint(&storage_name(name, self.open.len()))?;
        if self.open.is_empty() {
            self.forget_logs();
        }
        self.open.push((name.to_owned(), self.mark()));
        Ok(())
    }

    /// A storage that says that it has made none may have made it all the same. One around everything would keep every later
    /// commit from being one.
    fn create_savepoint(&mut self, name: &str) -> Result<(), StoreError> {
        self.kv.create_savepoint(name).inspect_err(|_| drop(self.kv.rollback_savepoint(name)))?;
        Ok(())
    }

    /// Keeps everything since the newest savepoint of this name, and closes it and those inside it.
    ///
    /// # Errors
    /// [`StorageError::NoSavepoint`]; [`StoreError`] when the storage fails to commit: the savepoint is still open then, and has
    /// to be [rolled back](Self::roll_back).
    pub fn release(&mut self, name: &str) -> Result<(), StoreError> {
        self.check_failure()?;
        let index = self.newest_savepoint(name)?;
        self.kv.release_savepoint(&storage_name(name, index))?;
        self.open.truncate(index);
        if self.open.is_empty() {
            self.forget_logs();
        }
        Ok(())
    }

    /// Undoes everything since the newest savepoint of this name, and closes it and those inside it.
    ///
    /// # Errors
    /// [`StorageError::NoSavepoint`]; [`StoreError`] when the storage fails, after which the store refuses everything.
    pub fn roll_back(&mut self, name: &str) -> Result<(), StoreError> {
        let index = self.newest_savepoint(name)?;
        let closed = self.open.drain(index..).next();
        if let Some((_, mark)) = closed {
            self.go_back_to(mark);
        }
        self.kv.rollback_savepoint(&storage_name(name, index)).map_err(|error| self.fail(error))
    }

    fn newest_savepoint(&self, name: &str) -> Result<usize, StoreError> {
        let index = self.open.iter().rposition(|(open, _)| open == name);
        index.ok_or_else(|| StorageError::NoSavepoint(name.to_owned()).into())
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

    #[test]
    fn a_failed_transaction_leaves_nothing_and_one_around_it_goes_on() {
        let mut store = KernelStore::open(Box::new(MemoryStore::new())).unwrap();
        let outer: Result<EndpointId, StoreError> = store.transaction("turn", |store| {
            let first = store.next_remote_id()?;
            let inner: Result<(), StoreError> = store.transaction("turn", |store| {
                store.next_remote_id()?;
                store.create_object(EndpointId::Remote(1))?;
                Err(StorageError::Full.into())
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
    fn gathered_transactions_are_committed_or_abandoned_together() {
        let mut store = KernelStore::open(Box::new(MemoryStore::new())).unwrap();
        store.gather_transactions();
        let next =
            |store: &mut KernelStore| store.transaction("turn", KernelStore::next_remote_id).unwrap().to_string();
        assert_eq!(next(&mut store), "r1");
        store.commit().unwrap();
        store.commit().unwrap();
        assert_eq!((next(&mut store), next(&mut store)), ("r2".into(), "r3".into()));
        store.abandon_uncommitted().unwrap();
        assert_eq!(next(&mut store), "r2");
    }

    #[test]
    fn a_store_that_failed_to_commit_refuses_everything() {
        struct Failing(MemoryStore);
        impl KeyValueStore for Failing {
            fn get(&self, key: &str) -> Result<Option<String>, StorageError> {
                self.0.get(key)
            }
            fn next_key(&self, key: &str) -> Result<Option<String>, StorageError> {
                self.0.next_key(key)
            }
            fn set(&mut self, key: &str, value: &str) -> Result<(), StorageError> {
                self.0.set(key, value)
            }
            fn delete(&mut self, key: &str) -> Result<(), StorageError> {
                self.0.delete(key)
            }
            fn create_savepoint(&mut self, name: &str) -> Result<(), StorageError> {
                self.0.create_savepoint(name)
            }
            fn rollback_savepoint(&mut self, name: &str) -> Result<(), StorageError> {
                self.0.rollback_savepoint(name)
            }
            fn release_savepoint(&mut self, name: &str) -> Result<(), StorageError> {
                if name == GROUP { Err(StorageError::Full) } else { self.0.release_savepoint(name) }
            }
        }
        let mut store = KernelStore::open(Box::new(Failing(MemoryStore::new()))).unwrap();
        store.gather_transactions();
        store.transaction("turn", KernelStore::next_remote_id).unwrap();
        let failure = StoreError::Storage(StorageError::Full);
        assert_eq!(store.commit(), Err(failure.clone()));
        assert_eq!(store.transaction("turn", KernelStore::next_remote_id), Err(failure.clone()));
        assert_eq!(store.failure(), Some(&failure));
    }

    /// A database in which releasing a savepoint fails once, with or without having been done.
    #[test]
    fn what_a_savepoint_that_cannot_be_released_holds_is_undone_or_is_the_end() {
        struct Failing(MemoryStore, Option<bool>);
        impl KeyValueStore for Failing {
            fn get(&self, key: &str) -> Result<Option<String>, StorageError> {
                self.0.get(key)
            }
            fn next_key(&self, key: &str) -> Result<Option<String>, StorageError> {
                self.0.next_key(key)
            }
            fn set(&mut self, key: &str, value: &str) -> Result<(), StorageError> {
                self.0.set(key, value)
            }
            fn delete(&mut self, key: &str) -> Result<(), StorageError> {
                self.0.delete(key)
            }
            fn create_savepoint(&mut self, name: &str) -> Result<(), StorageError> {
                self.0.create_savepoint(name)
            }
            fn rollback_savepoint(&mut self, name: &str) -> Result<(), StorageError> {
                self.0.rollback_savepoint(name)
            }
            fn release_savepoint(&mut self, name: &str) -> Result<(), StorageError> {
                let failing = self.1.take_if(|_| name.starts_with("inner"));
                if failing != Some(false) {
                    self.0.release_savepoint(name)?;
                }
                failing.map_or(Ok(()), |_| Err(StorageError::Full))
            }
        }
        for gathers in [false, true] {
            for done in [false, true] {
                let mut store = KernelStore::open(Box::new(Failing(MemoryStore::new(), Some(done)))).unwrap();
                if gathers {
                    store.gather_transactions();
                }
                let turn: Result<(), StoreError> = store.transaction("turn", |store| {
                    store.next_remote_id()?;
                    let inner: Result<EndpointId, StoreError> =
                        store.transaction("inner", |store| store.next_remote_id());
                    assert!(matches!(inner, Err(StoreError::Storage(_))), "{inner:?}");
                    Ok(())
                });
                if done {
                    // What was inside cannot be told from what is around it any more.
                    assert!(turn.is_err() && store.failure().is_some());
                    assert!(store.commit().is_err());
                } else {
                    turn.unwrap();
                    store.commit().unwrap();
                    assert_eq!(store.get("nextRemoteId").unwrap().as_deref(), Some("2"), "one of the two");
                }
            }
        }
    }

    /// SQLite takes `SAVEPOINT turn_0`, and not `SAVEPOINT turn.0`.
    #[test]
    fn savepoints_have_names_that_databases_take() {
        for (depth, name) in [GROUP, "turn", "collectGarbage", "openKernel"].into_iter().enumerate() {
            let name = storage_name(name, depth);
            assert!(name.chars().all(|char| char.is_ascii_alphanumeric() || char == '_'), "{name}");
        }
        assert_ne!(storage_name("turn", 1), storage_name("turn", 2));
    }

    #[test]
    fn debug_shows_no_row() {
        let store = KernelStore::open(Box::new(MemoryStore::new())).unwrap();
        assert_eq!(format!("{store:?}"), "KernelStore { .. }");
    }
}
