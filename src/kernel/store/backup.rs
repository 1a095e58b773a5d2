//! A backup that a user can hold, and starting over.
//!
//! A kernel that goes back to an earlier state has forgotten what it did since, so it may not pass for the one that did it:
//! whatever is restored or reset begins a **new incarnation**, and its peers treat it as restarted. References that were given
//! out since may still be in somebody's URL: the numbers of new objects go on far beyond those that may have been used.

use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use sha2::{Digest as _, Sha256};

use super::{KernelStore, StoreError, objects::PINNED};
use crate::storage::StorageError;

const FORMAT: &str = "ocap-remotes backup";
const VERSION: u64 = 1;

const INCARNATION: &str = "incarnationId";
const NEXT_OBJECT: &str = "nextObjectId";
/// What makes a kernel the same peer. Not the key of its URLs: those name objects that are gone.
const IDENTITY: [&str; 3] = ["keySeed", "peerId", "knownRelays"];

/// Why a backup cannot be restored. The store is as it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BackupError {
    /// It is no backup, or not all of it.
    #[error("this is not a whole backup: {0}")]
    Unreadable(String),
    /// It is not what was exported.
    #[error("the backup was changed: its checksum is wrong")]
    Changed,
    /// A newer version made it.
    #[error("the backup has version {0}; this version reads version 1")]
    Version(u64),
    /// Its records contradict each other, so that no kernel can run on them.
    #[error("the records in the backup are unsound: {0}")]
    Unsound(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a backup is: JSON, and a checksum of `rows` as they are spelled.
#[derive(Serialize, Deserialize)]
struct Backup<'a> {
    format: String,
    version: u64,
    sha256: String,
    #[serde(borrow)]
    rows: &'a RawValue,
}

fn checksum(rows: &RawValue) -> String {
    hex::encode(Sha256::digest(rows.get()))
}

impl KernelStore {
    /// Everything in the store as a backup. It holds the kernel's private keys.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn export(&self) -> Result<Vec<u8>, StoreError> {
        let failed = |error: serde_json::Error| StorageError::Io(error.to_string());
        let mut rows = self.kv.rows()?;
        if let Some(pins) = self.pins.unwritten() {
            rows.retain(|(key, _)| key != PINNED);
            rows.insert(rows.partition_point(|(key, _)| key.as_str() < PINNED), (PINNED.to_owned(), pins.to_owned()));
        }
        let rows = to_raw_value(&rows).map_err(failed)?;
        let backup = Backup { format: FORMAT.into(), version: VERSION, sha256: checksum(&rows), rows: &rows };
        Ok(serde_json::to_vec(&backup).map_err(failed)?)
    }

    /// Puts a backup in the place of everything in the store. A kernel that is opened on it is a new incarnation of the kernel
    /// that was exported. `random` must be random.
    ///
    /// # Errors
    /// [`BackupError`], after which the store is as it was.
    pub fn import(&mut self, backup: &[u8], random: [u8; 8]) -> Result<(), BackupError> {
        let unreadable = |error: serde_json::Error| BackupError::Unreadable(error.to_string());
        let backup: Backup<'_> = serde_json::from_slice(backup).map_err(unreadable)?;
        if backup.format != FORMAT {
            return Err(BackupError::Unreadable("it is something else".into()));
        }
        if backup.version != VERSION {
            return Err(BackupError::Version(backup.version));
        }
        if checksum(backup.rows) != backup.sha256 {
            return Err(BackupError::Changed);
        }
        let rows: Vec<(String, String)> = serde_json::from_str(backup.rows.get()).map_err(unreadable)?;
        self.replace(|store| {
            for (key, value) in &rows {
                store.set(key, value)?;
            }
            store.delete(INCARNATION)?;
            store.leave_out_objects(random)?;
            store.take_stock()?;
            store.audit().map_err(|faults| BackupError::Unsound(faults.join("; ")))
        })
    }

    /// Empties the store. With `keep_identity` a kernel that is opened on it has the same peer id; it is a new incarnation in
    /// any case, and its former URLs name nothing.
    ///
    /// # Errors
    /// [`StoreError`], after which the store is as it was.
    pub fn reset(&mut self, keep_identity: bool) -> Result<(), StoreError> {
        let mut kept = Vec::new();
        for key in IDENTITY.into_iter().filter(|_| keep_identity) {
            kept.extend(self.get(key)?.map(|value| (key, value)));
        }
        self.replace(|store| kept.iter().try_for_each(|(key, value)| store.set(key, value)))
    }

    fn replace<E: From<StoreError>>(&mut self, fill: impl FnOnce(&mut KernelStore) -> Result<(), E>) -> Result<(), E> {
        let replaced = self.transaction("replace", |store| {
            for key in store.suffixes("")? {
                store.delete(&key)?;
            }
            fill(store)
        });
        // Whichever rows are there now, what memory holds beside them is found in them.
        self.take_stock()?;
        replaced
    }

    /// Leaves out numbers for new objects that the exported kernel may have used since: up to 2^44 of the 2^53 that an
    /// incumbent can count.
    fn leave_out_objects(&mut self, random: [u8; 8]) -> Result<(), StoreError> {
        let next = self.number(NEXT_OBJECT)?.unwrap_or(1);
        let left_out = u64::from_le_bytes(random) >> 20;
        self.set(NEXT_OBJECT, &next.saturating_add(left_out).to_string())
    }

    /// Whether a kernel in it was restored and has not run since: it has remotes and no incarnation.
    pub(in crate::kernel) fn is_restored(&self) -> Result<bool, StoreError> {
        Ok(self.get(INCARNATION)?.is_none() && !self.all_remotes()?.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{kernel::PROGRAM, storage::MemoryStore};

    fn new_store() -> KernelStore {
        KernelStore::open(Box::new(MemoryStore::new())).unwrap()
    }

    /// A store with an identity and an object that a pin holds.
    fn lived_in() -> KernelStore {
        let mut store = new_store();
        store.init_endpoint(PROGRAM).unwrap();
        store.provide_incarnation_id([1; 16]).unwrap();
        store.set_ocap_url_key(&[3; 32].into()).unwrap();
        store.set_key_seed(&[7; 32].into()).unwrap();
        store
    }

    fn imported(backup: &[u8]) -> Result<KernelStore, BackupError> {
        let mut store = lived_in();
        let before = store.export().unwrap();
        let imported = store.import(backup, [0xff; 8]);
        assert!(imported.is_ok() || store.export().unwrap() == before, "a failed import leaves the store as it was");
        imported.map(|()| store)
    }

    #[test]
    fn a_backup_is_restored_as_a_new_incarnation_that_uses_no_number_twice() {
        let mut store = lived_in();
        let former = store.provide_incarnation_id([2; 16]).unwrap();
        let backup = store.export().unwrap();
        let mut restored = imported(&backup).unwrap();
        assert_eq!(restored.key_seed().unwrap(), Some([7; 32].into()));
        assert_ne!(restored.provide_incarnation_id([9; 16]).unwrap(), former);
        let (old, new) = (store.create_object(PROGRAM).unwrap(), restored.create_object(PROGRAM).unwrap());
        assert_eq!((old.to_string(), new.to_string()), ("ko1".into(), format!("ko{}", 1 + (u64::MAX >> 20))));
    }

    #[test]
    fn what_is_not_a_backup_is_refused_and_changes_nothing() {
        let backup = lived_in().export().unwrap();
        let text = String::from_utf8(backup.clone()).unwrap();
        let refused = |text: &str| imported(text.as_bytes()).unwrap_err();
        for cut in [0, 1, text.len() / 2, text.len() - 1] {
            assert!(matches!(refused(&text[..cut]), BackupError::Unreadable(_)));
        }
        assert!(matches!(refused(&text.replace("ocap-remotes", "acme")), BackupError::Unreadable(_)));
        assert_eq!(refused(&text.replace(r#""version":1"#, r#""version":2"#)), BackupError::Version(2));
        assert_eq!(refused(&text.replace("keySeed", "keyseed")), BackupError::Changed);
    }

    #[test]
    fn records_that_contradict_each_other_are_refused() {
        let mut store = lived_in();
        store.set("ko1.refCount", "1,1").unwrap();
        store.set("ko1.owner", "v1").unwrap();
        assert!(matches!(imported(&store.export().unwrap()).unwrap_err(), BackupError::Unsound(_)));
    }

    #[test]
    fn a_reset_keeps_the_identity_if_asked_and_nothing_else() {
        let mut store = lived_in();
        store.reset(true).unwrap();
        assert_eq!(store.key_seed().unwrap(), Some([7; 32].into()));
        assert_eq!(store.ocap_url_key().unwrap(), None);
        store.reset(false).unwrap();
        assert_eq!(store.suffixes("").unwrap(), [""; 0]);
    }
}
