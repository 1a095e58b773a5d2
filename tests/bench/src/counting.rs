//! A store in memory that counts its commits.

use std::{cell::Cell, rc::Rc};

use ocap_remotes::storage::{KeyValueStore, MemoryStore, StorageError};

/// Counts what a store on a disk would have to flush.
#[derive(Default)]
pub(crate) struct CountingStore {
    rows: MemoryStore,
    depth: usize,
    /// Whether anything was written since the outermost savepoint.
    written: bool,
    pub(crate) commits: Rc<Cell<u64>>,
}

impl CountingStore {
    fn commit(&mut self) {
        if std::mem::take(&mut self.written) {
            self.commits.set(self.commits.get() + 1);
        }
    }

    fn wrote(&mut self) {
        self.written = true;
        if self.depth == 0 {
            self.commit();
        }
    }
}

impl KeyValueStore for CountingStore {
    fn get(&self, key: &str) -> Result<Option<String>, StorageError> {
        self.rows.get(key)
    }

    fn next_key(&self, key: &str) -> Result<Option<String>, StorageError> {
        self.rows.next_key(key)
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), StorageError> {
        self.rows.set(key, value)?;
        self.wrote();
        Ok(())
    }

    fn delete(&mut self, key: &str) -> Result<(), StorageError> {
        self.rows.delete(key)?;
        self.wrote();
        Ok(())
    }

    // The kernel's savepoints nest properly, so their number tells which is the outermost.
    fn create_savepoint(&mut self, name: &str) -> Result<(), StorageError> {
        self.depth += 1;
        self.rows.create_savepoint(name)
    }

    fn rollback_savepoint(&mut self, name: &str) -> Result<(), StorageError> {
        self.depth -= 1;
        self.rows.rollback_savepoint(name)
    }

    fn release_savepoint(&mut self, name: &str) -> Result<(), StorageError> {
        self.depth -= 1;
        self.rows.release_savepoint(name)?;
        if self.depth == 0 {
            self.commit();
        }
        Ok(())
    }
}
