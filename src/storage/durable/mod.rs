//! A key-value store that survives crashes and power cuts: redb, with nested savepoints on top.
//!
//! redb has no savepoints that nest inside a transaction, so what was written since the last commit is kept in memory, in
//! front of the database. Releasing the outermost savepoint writes all of it in one transaction and one flush. redb writes
//! to free pages only and then switches its root, so that whatever is cut off leaves the state of the last commit; a
//! checksum over each page tells whether the switch was cut off.

mod read_ahead;
mod superblock;

use std::{io, sync::Arc};

pub use redb::StorageBackend;
use redb::{
    Builder, Database, DatabaseError, ReadOnlyTable, ReadableDatabase as _, ReadableTable as _,
    ReadableTableMetadata as _, TableDefinition, TableError, WriteTransaction,
};

use self::{read_ahead::ReadAhead, superblock::AfterBlock};
use super::{KeyValueStore, StorageError, savepoints::Rows};

/// Bytes rather than text, for redb takes what should be text and is not for impossible.
const ROWS: TableDefinition<'static, &[u8], &[u8]> = TableDefinition::new("rows");
const FORMAT: TableDefinition<'static, &str, u64> = TableDefinition::new("format");
const FORMAT_KEY: &str = "format";

/// Brings a store of one format to the next.
type Migration = fn(&WriteTransaction) -> Result<(), StorageError>;

/// From format 1 to 2, from 2 to 3, and so on. A store of the newest format needs none.
const MIGRATIONS: &[Migration] = &[];

/// Pages kept in memory.
const CACHE_BYTES: usize = 8 << 20;
/// A file that is at least this long and mostly empty is made shorter when it is opened.
const COMPACTION_BYTES: u64 = 1 << 20;

/// A store in a file, or in whatever else is a [`StorageBackend`].
pub struct DurableStore {
    database: Database,
    /// The rows of the last commit, or why there are none any more.
    committed: Result<ReadOnlyTable<&'static [u8], &'static [u8]>, StorageError>,
    /// What was written since, and `None` what was deleted.
    uncommitted: Rows<Option<String>>,
}

impl DurableStore {
    /// Opens the store in `backend`, an empty one included, and checks all of it. A store that was not closed goes on from
    /// its last commit.
    ///
    /// # Errors
    /// [`StorageError::Damaged`] for anything that is not a sound store; [`StorageError::Format`]; [`StorageError::InUse`];
    /// [`StorageError::Full`]; [`StorageError::Io`].
    pub fn open(backend: impl StorageBackend) -> Result<Self, StorageError> {
        Self::open_with(backend, MIGRATIONS)
    }

    fn open_with(backend: impl StorageBackend, migrations: &[Migration]) -> Result<Self, StorageError> {
        let backend = Arc::new(ReadAhead::new(backend));
        let is_complete = superblock::prepare(&*backend)?;
        let bytes = backend.len()?;
        let mut builder = Builder::new();
        builder.set_cache_size(CACHE_BYTES).set_check_integrity_on_open(true);
        let mut database = builder.create_with_backend(AfterBlock(Arc::clone(&backend)))?;
        migrate(&database, migrations)?;
        if !is_complete {
            superblock::write_mark(&*backend)?;
        }
        if bytes >= COMPACTION_BYTES {
            compact(&mut database, bytes)?;
        }
        let committed = Ok(read(&database)?);
        backend.stop();
        Ok(DurableStore { database, committed, uncommitted: Rows::default() })
    }

    fn committed(&self) -> Result<&ReadOnlyTable<&'static [u8], &'static [u8]>, StorageError> {
        self.committed.as_ref().map_err(Clone::clone)
    }

    fn commit_unless_in_savepoint(&mut self) -> Result<(), StorageError> {
        if self.uncommitted.in_savepoint() || self.uncommitted.len() == 0 {
            return Ok(());
        }
        // A reader would keep the pages that this frees for one transaction more.
        self.committed = Err(StorageError::Io("the last commit did not end".into()));
        self.committed = self.write().and_then(|()| read(&self.database));
        self.uncommitted.clear();
        self.committed().map(|_| ())
    }

    fn write(&self) -> Result<(), StorageError> {
        let transaction = self.database.begin_write()?;
        {
            let mut table = transaction.open_table(ROWS)?;
            for (key, value) in self.uncommitted.iter() {
                match value {
                    Some(value) => drop(table.insert(key.as_bytes(), value.as_bytes())?),
                    None => drop(table.remove(key.as_bytes())?),
                }
            }
        }
        Ok(transaction.commit()?)
    }
}

fn read(database: &Database) -> Result<ReadOnlyTable<&'static [u8], &'static [u8]>, StorageError> {
    Ok(database.begin_read()?.open_table(ROWS)?)
}

/// Brings the store to the newest format, or refuses it.
fn migrate(database: &Database, migrations: &[Migration]) -> Result<(), StorageError> {
    let newest = u64::try_from(migrations.len()).unwrap_or(u64::MAX).saturating_add(1);
    let transaction = database.begin_write()?;
    let found = {
        let format = transaction.open_table(FORMAT)?;
        format.get(FORMAT_KEY)?.map(|format| format.value())
    };
    if found == Some(newest) {
        return Ok(transaction.abort()?);
    }
    match found {
        // A transaction makes both or neither: rows without a format are somebody else's.
        None if transaction.open_table(ROWS)?.is_empty()? && transaction.list_tables()?.count() == 2 => {}
        None => return Err(StorageError::Damaged("it is a database of something else".into())),
        Some(found) => {
            let todo = found.checked_sub(1).and_then(|done| migrations.get(usize::try_from(done).ok()?..));
            for migration in todo.ok_or(StorageError::Format { found, newest })? {
                migration(&transaction)?;
            }
        }
    }
    transaction.open_table(FORMAT)?.insert(FORMAT_KEY, newest)?;
    Ok(transaction.commit()?)
}

/// Makes a file shorter of which more than half is free.
fn compact(database: &mut Database, bytes: u64) -> Result<(), StorageError> {
    let transaction = database.begin_write()?;
    let stats = transaction.stats()?;
    transaction.abort()?;
    let used = stats.allocated_pages().saturating_mul(stats.page_size() as u64);
    if used < bytes / 2 {
        database.compact().map_err(redb::Error::from)?;
    }
    Ok(())
}

impl std::fmt::Debug for DurableStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The rows hold the kernel's secrets.
        f.debug_struct("DurableStore").field("uncommitted", &self.uncommitted.len()).finish_non_exhaustive()
    }
}

fn text(bytes: &[u8]) -> Result<String, StorageError> {
    let text = std::str::from_utf8(bytes).map_err(|_| StorageError::Damaged("a row is not text".into()))?;
    Ok(text.to_owned())
}

impl KeyValueStore for DurableStore {
    fn get(&self, key: &str) -> Result<Option<String>, StorageError> {
        let committed = self.committed()?;
        match self.uncommitted.get(key) {
            Some(value) => Ok(value.clone()),
            None => committed.get(key.as_bytes())?.map(|value| text(value.value())).transpose(),
        }
    }

    fn next_key(&self, key: &str) -> Result<Option<String>, StorageError> {
        let fresh = self.uncommitted.after(key).find(|(_, value)| value.is_some()).map(|(key, _)| key.to_string());
        let after = (std::ops::Bound::Excluded(key.as_bytes()), std::ops::Bound::Unbounded);
        for row in self.committed()?.range::<&[u8]>(after)? {
            let key = text(row?.0.value())?;
            if fresh.as_ref().is_some_and(|fresh| *fresh <= key) {
                break;
            }
            // What stands in front of it is deleted: if it had a value it would be `fresh`.
            if self.uncommitted.get(&key).is_none() {
                return Ok(Some(key));
            }
        }
        Ok(fresh)
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), StorageError> {
        self.committed()?;
        self.uncommitted.set(key, Some(value.to_owned()));
        self.commit_unless_in_savepoint()
    }

    fn delete(&mut self, key: &str) -> Result<(), StorageError> {
        self.committed()?;
        self.uncommitted.set(key, None);
        self.commit_unless_in_savepoint()
    }

    fn create_savepoint(&mut self, name: &str) -> Result<(), StorageError> {
        self.committed()?;
        self.uncommitted.create_savepoint(name);
        Ok(())
    }

    fn rollback_savepoint(&mut self, name: &str) -> Result<(), StorageError> {
        self.committed()?;
        self.uncommitted.rollback_savepoint(name)
    }

    fn release_savepoint(&mut self, name: &str) -> Result<(), StorageError> {
        self.committed()?;
        self.uncommitted.release_savepoint(name)?;
        self.commit_unless_in_savepoint()
    }
}

impl From<redb::Error> for StorageError {
    fn from(error: redb::Error) -> Self {
        match error {
            redb::Error::DatabaseAlreadyOpen => StorageError::InUse,
            redb::Error::Io(error) => error.into(),
            redb::Error::Corrupted(what) => StorageError::Damaged(what),
            redb::Error::UpgradeRequired(format) => {
                StorageError::Damaged(format!("its file has redb's format {format}"))
            }
            error @ (redb::Error::TableTypeMismatch { .. } | redb::Error::TableIsMultimap(_)) => {
                StorageError::Damaged(format!("it is a database of something else: {error}"))
            }
            other => StorageError::Io(other.to_string()),
        }
    }
}

macro_rules! from_redb {
    ($($error:ty),*) => {
        $(impl From<$error> for StorageError {
            fn from(error: $error) -> Self {
                redb::Error::from(error).into()
            }
        })*
    };
}
from_redb!(DatabaseError, TableError, redb::StorageError, redb::TransactionError, redb::CommitError);

impl From<io::Error> for StorageError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StorageError::Full,
            io::ErrorKind::WouldBlock | io::ErrorKind::ResourceBusy => StorageError::InUse,
            // redb's for a file that is none of its own; and a file that ends early.
            io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => StorageError::Damaged(error.to_string()),
            _ => StorageError::Io(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use redb::backends::InMemoryBackend;

    use super::*;

    /// A file in memory that outlives the store on it.
    #[derive(Clone, Debug)]
    struct File(Arc<InMemoryBackend>);

    impl File {
        fn new() -> Self {
            File(Arc::new(InMemoryBackend::new()))
        }
    }

    impl StorageBackend for File {
        fn len(&self) -> Result<u64, io::Error> {
            self.0.len()
        }
        fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
            self.0.read(offset, out)
        }
        fn set_len(&self, len: u64) -> Result<(), io::Error> {
            self.0.set_len(len)
        }
        fn sync_data(&self) -> Result<(), io::Error> {
            self.0.sync_data()
        }
        fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
            // The third mebibyte is one too many.
            if offset > 3 << 20 { Err(io::ErrorKind::QuotaExceeded.into()) } else { self.0.write(offset, data) }
        }
    }

    #[test]
    fn a_store_of_an_older_format_is_migrated_once_and_a_newer_one_refused() {
        let file = File::new();
        DurableStore::open_with(file.clone(), &[]).unwrap().set("counter", "7").unwrap();
        let double: Migration = |transaction| {
            let mut rows = transaction.open_table(ROWS)?;
            let value = rows.get(&b"counter"[..])?.map(|row| row.value().repeat(2)).unwrap();
            rows.insert(&b"counter"[..], &value[..])?;
            Ok(())
        };
        for _ in 0..2 {
            let store = DurableStore::open_with(file.clone(), &[double]).unwrap();
            assert_eq!(store.get("counter").unwrap().as_deref(), Some("77"));
        }
        let refused = DurableStore::open_with(file.clone(), &[]).unwrap_err();
        assert_eq!(refused, StorageError::Format { found: 2, newest: 1 });
        assert!(DurableStore::open_with(file, &[double]).is_ok(), "it is as it was");
    }

    #[test]
    fn a_failed_migration_leaves_the_store_as_it_was() {
        let file = File::new();
        DurableStore::open_with(file.clone(), &[]).unwrap().set("key", "value").unwrap();
        let failing: Migration = |transaction| {
            transaction.open_table(ROWS)?.remove(&b"key"[..])?;
            Err(StorageError::Damaged("a row makes no sense".into()))
        };
        assert!(DurableStore::open_with(file.clone(), &[failing]).is_err());
        assert_eq!(DurableStore::open_with(file, &[]).unwrap().get("key").unwrap().as_deref(), Some("value"));
    }

    #[test]
    fn a_commit_for_which_there_is_no_space_is_the_last_and_harms_nothing() {
        let file = File::new();
        let mut store = DurableStore::open(file.clone()).unwrap();
        store.set("key", "value").unwrap();
        store.create_savepoint("large").unwrap();
        store.set("key", "changed").unwrap();
        store.set("large", &"x".repeat(5 << 20)).unwrap();
        assert_eq!(store.release_savepoint("large"), Err(StorageError::Full));
        assert_eq!(store.get("key"), Err(StorageError::Full), "until it is opened anew");
        assert_eq!(store.set("key", "again"), Err(StorageError::Full));
        drop(store);
        let store = DurableStore::open(file).unwrap();
        assert_eq!(store.get("key").unwrap().as_deref(), Some("value"));
    }
}
