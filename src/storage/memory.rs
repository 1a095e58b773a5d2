//! A key-value store in memory: for tests, and for kernels that need not survive their process.

use std::{cell::RefCell, fmt, rc::Rc};

use super::{KeyValueStore, StorageError, savepoints::Rows};

/// A key-value store in memory.
#[derive(Clone, Default)]
pub struct MemoryStore(Rows<String>);

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The rows hold the kernel's secrets.
        f.debug_struct("MemoryStore").field("rows", &self.0.len()).finish_non_exhaustive()
    }
}

impl KeyValueStore for MemoryStore {
    fn get(&self, key: &str) -> Result<Option<String>, StorageError> {
        Ok(self.0.get(key).cloned())
    }

    fn next_key(&self, key: &str) -> Result<Option<String>, StorageError> {
        Ok(self.0.after(key).next().map(|(key, _)| key.to_string()))
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), StorageError> {
        self.0.set(key, value.to_owned());
        Ok(())
    }

    fn delete(&mut self, key: &str) -> Result<(), StorageError> {
        self.0.remove(key);
        Ok(())
    }

    fn create_savepoint(&mut self, name: &str) -> Result<(), StorageError> {
        self.0.create_savepoint(name);
        Ok(())
    }

    fn rollback_savepoint(&mut self, name: &str) -> Result<(), StorageError> {
        self.0.rollback_savepoint(name)
    }

    fn release_savepoint(&mut self, name: &str) -> Result<(), StorageError> {
        self.0.release_savepoint(name)
    }
}

/// A store in memory that others can look into while a kernel has it.
impl KeyValueStore for Rc<RefCell<MemoryStore>> {
    fn get(&self, key: &str) -> Result<Option<String>, StorageError> {
        self.borrow().get(key)
    }

    fn next_key(&self, key: &str) -> Result<Option<String>, StorageError> {
        self.borrow().next_key(key)
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), StorageError> {
        self.borrow_mut().set(key, value)
    }

    fn delete(&mut self, key: &str) -> Result<(), StorageError> {
        self.borrow_mut().delete(key)
    }

    fn create_savepoint(&mut self, name: &str) -> Result<(), StorageError> {
        self.borrow_mut().create_savepoint(name)
    }

    fn rollback_savepoint(&mut self, name: &str) -> Result<(), StorageError> {
        self.borrow_mut().rollback_savepoint(name)
    }

    fn release_savepoint(&mut self, name: &str) -> Result<(), StorageError> {
        self.borrow_mut().release_savepoint(name)
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
        assert_eq!(store.release_savepoint("x"), Err(StorageError::NoSavepoint("x".into())));
        assert_eq!(store.rollback_savepoint("x"), Err(StorageError::NoSavepoint("x".into())));
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
