//! A store in memory that counts what is asked of it.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

use ocap_remotes::storage::{KeyValueStore, MemoryStore, StorageError};

/// What a store was asked, so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Asked {
    /// Operations.
    pub operations: u64,
    /// Bytes of the values that were read and written.
    pub bytes: u64,
}

/// A store and its counts, which others may look at while a kernel has it.
#[derive(Clone, Default)]
pub struct CountingStore {
    rows: Rc<RefCell<MemoryStore>>,
    asked: Rc<Cell<Asked>>,
}

impl CountingStore {
    /// What it was asked so far.
    pub fn asked(&self) -> Asked {
        self.asked.get()
    }

    /// How many rows it has.
    pub fn rows(&self) -> u64 {
        self.all().len() as u64
    }

    /// Every row.
    pub fn all(&self) -> Vec<(String, String)> {
        self.rows.rows().unwrap_or_default()
    }

    fn count(&self, bytes: usize) {
        let Asked { operations, bytes: before } = self.asked.get();
        self.asked.set(Asked { operations: operations + 1, bytes: before + bytes as u64 });
    }
}

impl KeyValueStore for CountingStore {
    fn get(&self, key: &str) -> Result<Option<String>, StorageError> {
        let value = self.rows.get(key)?;
        self.count(value.as_ref().map_or(0, String::len));
        Ok(value)
    }

    fn next_key(&self, key: &str) -> Result<Option<String>, StorageError> {
        self.count(0);
        self.rows.next_key(key)
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), StorageError> {
        self.count(value.len());
        self.rows.set(key, value)
    }

    fn delete(&mut self, key: &str) -> Result<(), StorageError> {
        self.count(0);
        self.rows.delete(key)
    }

    fn create_savepoint(&mut self, name: &str) -> Result<(), StorageError> {
        self.count(0);
        self.rows.create_savepoint(name)
    }

    fn rollback_savepoint(&mut self, name: &str) -> Result<(), StorageError> {
        self.count(0);
        self.rows.rollback_savepoint(name)
    }

    fn release_savepoint(&mut self, name: &str) -> Result<(), StorageError> {
        self.count(0);
        self.rows.release_savepoint(name)
    }
}
