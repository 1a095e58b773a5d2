//! Rows in memory with nested savepoints: an undo log, so that a savepoint costs nothing and a write in it one old value.

use std::{
    collections::{BTreeSet, HashMap},
    ops::Bound::{Excluded, Unbounded},
    rc::Rc,
};

use super::StorageError;

/// Rows by key, with nested savepoints.
#[derive(Clone)]
pub(super) struct Rows<V> {
    rows: HashMap<Rc<str>, V, foldhash::fast::RandomState>,
    /// The keys of `rows`. Looking for the next one is rare, and comparing keys that begin alike is slow.
    keys: BTreeSet<Rc<str>>,
    /// Each write since the outermost savepoint, as what to put back.
    undo: Vec<(Rc<str>, Option<V>)>,
    /// The open savepoints, outermost first, with the length that the undo log had.
    savepoints: Vec<(String, usize)>,
}

impl<V> Default for Rows<V> {
    fn default() -> Self {
        Rows { rows: HashMap::default(), keys: BTreeSet::new(), undo: Vec::new(), savepoints: Vec::new() }
    }
}

impl<V> Rows<V> {
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(super) fn get(&self, key: &str) -> Option<&V> {
        self.rows.get(key)
    }

    /// The rows whose keys are greater than `key`, in order.
    pub(super) fn after(&self, key: &str) -> impl Iterator<Item = (&Rc<str>, &V)> {
        let keys = self.keys.range::<str, _>((Excluded(key), Unbounded));
        keys.filter_map(|key| self.rows.get_key_value(key))
    }

    /// Every row, in order of the keys.
    #[cfg(feature = "durable")]
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Rc<str>, &V)> {
        self.keys.iter().filter_map(|key| self.rows.get_key_value(key))
    }

    /// Whether a savepoint is open.
    pub(super) fn in_savepoint(&self) -> bool {
        !self.savepoints.is_empty()
    }

    fn log(&mut self, key: Rc<str>, old: Option<V>) {
        if self.in_savepoint() {
            self.undo.push((key, old));
        }
    }

    fn put(&mut self, key: Rc<str>, value: V) {
        if self.rows.insert(Rc::clone(&key), value).is_none() {
            self.keys.insert(key);
        }
    }

    fn take(&mut self, key: &str) -> Option<(Rc<str>, V)> {
        self.keys.remove(key);
        self.rows.remove_entry(key)
    }

    pub(super) fn set(&mut self, key: &str, value: V) {
        match self.rows.get_mut(key) {
            Some(row) => {
                let old = std::mem::replace(row, value);
                if self.in_savepoint() {
                    self.undo.push((key.into(), Some(old)));
                }
            }
            None => {
                let key: Rc<str> = key.into();
                self.put(Rc::clone(&key), value);
                self.log(key, None);
            }
        }
    }

    pub(super) fn remove(&mut self, key: &str) {
        if let Some((key, old)) = self.take(key) {
            self.log(key, Some(old));
        }
    }

    /// Removes every row, for good. Savepoints stay as they are, with nothing in them.
    #[cfg(feature = "durable")]
    pub(super) fn clear(&mut self) {
        self.rows.clear();
        self.keys.clear();
        self.undo.clear();
    }

    pub(super) fn create_savepoint(&mut self, name: &str) {
        self.savepoints.push((name.to_owned(), self.undo.len()));
    }

    /// Closes the newest savepoint of that name and those inside it.
    fn close(&mut self, name: &str) -> Result<usize, StorageError> {
        let position = self.savepoints.iter().rposition(|(open, _)| open == name);
        let closed = position.map(|position| self.savepoints.split_off(position));
        closed
            .and_then(|closed| closed.first().map(|(_, mark)| *mark))
            .ok_or_else(|| StorageError::NoSavepoint(name.to_owned()))
    }

    pub(super) fn rollback_savepoint(&mut self, name: &str) -> Result<(), StorageError> {
        let mark = self.close(name)?;
        while self.undo.len() > mark {
            match self.undo.pop() {
                Some((key, Some(old))) => self.put(key, old),
                Some((key, None)) => drop(self.take(&key)),
                None => {}
            }
        }
        Ok(())
    }

    pub(super) fn release_savepoint(&mut self, name: &str) -> Result<(), StorageError> {
        self.close(name)?;
        if !self.in_savepoint() {
            self.undo.clear();
        }
        Ok(())
    }
}
