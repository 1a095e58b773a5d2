//! A key-value store in memory: for tests, and for kernels that need not survive their process.

use std::{
    collections::{BTreeSet, HashMap},
    ops::Bound::{Excluded, Unbounded},
    rc::Rc,
};

use super::{KeyValueStore, StoreError};

/// A map with its keys in order beside it, and an undo log while a savepoint is open: a savepoint costs nothing, a write in
/// it one old value.
#[derive(Clone, Default)]
pub struct MemoryStore {
    rows: HashMap<Rc<str>, String, foldhash::fast::RandomState>,
    /// The keys of `rows`. Looking for the next one is rare, and comparing keys that begin alike is slow.
    keys: BTreeSet<Rc<str>>,
    /// Each write since the outermost savepoint, as what to put back.
    undo: Vec<(Rc<str>, Option<String>)>,
    /// The open savepoints, outermost first, with the length that the undo log had.
    savepoints: Vec<(String, usize)>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    fn log(&mut self, key: Rc<str>, old: Option<String>) {
        if !self.savepoints.is_empty() {
            self.undo.push((key, old));
        }
    }

    fn put(&mut self, key: Rc<str>, value: String) {
        if self.rows.insert(Rc::clone(&key), value).is_none() {
            self.keys.insert(key);
        }
    }

    fn take(&mut self, key: &str) -> Option<(Rc<str>, String)> {
        self.keys.remove(key);
        self.rows.remove_entry(key)
    }

    /// Closes the newest savepoint of that name and those inside it.
    fn close(&mut self, name: &str) -> Result<usize, StoreError> {
        let position = self.savepoints.iter().rposition(|(open, _)| open == name);
        let closed = position.map(|position| self.savepoints.split_off(position));
        closed
            .and_then(|closed| closed.first().map(|(_, mark)| *mark))
            .ok_or_else(|| StoreError::NoSavepoint(name.to_owned()))
    }
}

impl std::fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The rows hold the kernel's secrets.
        f.debug_struct("MemoryStore").field("rows", &self.rows.len()).finish_non_exhaustive()
    }
}

impl KeyValueStore for MemoryStore {
    fn get(&self, key: &str) -> Result<Option<String>, StoreError> {
        Ok(self.rows.get(key).cloned())
    }

    fn next_key(&self, key: &str) -> Result<Option<String>, StoreError> {
        Ok(self.keys.range::<str, _>((Excluded(key), Unbounded)).next().map(|key| key.to_string()))
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), StoreError> {
        match self.rows.get_mut(key) {
            Some(row) if self.savepoints.is_empty() => value.clone_into(row),
            Some(row) => {
                let old = std::mem::replace(row, value.to_owned());
                self.undo.push((key.into(), Some(old)));
            }
            None => {
                let key: Rc<str> = key.into();
                self.put(Rc::clone(&key), value.to_owned());
                self.log(key, None);
            }
        }
        Ok(())
    }

    fn delete(&mut self, key: &str) -> Result<(), StoreError> {
        if let Some((key, old)) = self.take(key) {
            self.log(key, Some(old));
        }
        Ok(())
    }

    fn create_savepoint(&mut self, name: &str) -> Result<(), StoreError> {
        self.savepoints.push((name.to_owned(), self.undo.len()));
        Ok(())
    }

    fn rollback_savepoint(&mut self, name: &str) -> Result<(), StoreError> {
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

    fn release_savepoint(&mut self, name: &str) -> Result<(), StoreError> {
        self.close(name)?;
        if self.savepoints.is_empty() {
            self.undo.clear();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rollback_undoes_what_an_inner_release_kept() {
        let mut store = MemoryStore::new();
        store.set("a", "before").unwrap();
        store.create_savepoint("outer").unwrap();
        store.set("a", "during").unwrap();
        store.create_savepoint("inner").unwrap();
        store.delete("a").unwrap();
        store.set("b", "new").unwrap();
        store.release_savepoint("inner").unwrap();
        store.rollback_savepoint("outer").unwrap();
        assert_eq!(store.get("a").unwrap().as_deref(), Some("before"));
        assert_eq!(store.get("b").unwrap(), None);
    }

    #[test]
    fn an_unknown_savepoint_is_named_in_the_error() {
        let mut store = MemoryStore::new();
        assert_eq!(store.release_savepoint("x"), Err(StoreError::NoSavepoint("x".into())));
        assert_eq!(store.rollback_savepoint("x"), Err(StoreError::NoSavepoint("x".into())));
    }

    #[test]
    fn the_next_key_is_found_from_an_absent_one() {
        let mut store = MemoryStore::new();
        for key in ["r1.c.ro+1", "r10.c.ro+1", "r1.c.ko1"] {
            store.set(key, "").unwrap();
        }
        assert_eq!(store.next_key("r1.c.").unwrap().as_deref(), Some("r1.c.ko1"));
        assert_eq!(store.next_key("r1.c.ro+1").unwrap().as_deref(), Some("r10.c.ro+1"));
        assert_eq!(store.next_key("r10.c.ro+1").unwrap(), None);
    }
}
