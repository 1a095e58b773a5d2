//! What a kernel store is built on: an ordered map of text with nested savepoints.
//!
//! [`MemoryStore`] lives as long as its process. [`DurableStore`] survives crashes and power cuts, on a file or,
//! in browsers, on the origin private file system (`opfs`). A JavaScript kernel's own database can serve as well.

#[cfg(feature = "durable")]
mod durable;
mod error;
#[cfg(all(feature = "durable", not(target_arch = "wasm32")))]
mod file;
mod memory;
#[cfg(all(feature = "durable", target_arch = "wasm32", target_os = "unknown"))]
pub mod opfs;
mod savepoints;

#[cfg(feature = "durable")]
pub use durable::{DurableStore, StorageBackend};
pub use error::StorageError;
#[cfg(all(feature = "durable", not(target_arch = "wasm32")))]
pub use file::open_file;
pub use memory::MemoryStore;

/// An ordered map from text to text, with nested savepoints. Keys are ordered by their UTF-8 bytes.
///
/// Outside every savepoint each write stands alone. Releasing the outermost savepoint commits: an implementation on a disk
/// has everything durable when that call returns. After an error of any write the caller rolls back. After a commit that
/// failed it is not known what is durable, and a store on a disk refuses everything until it is opened anew.
pub trait KeyValueStore {
    /// The value of a key.
    ///
    /// # Errors
    /// [`StorageError`], as the storage has it.
    fn get(&self, key: &str) -> Result<Option<String>, StorageError>;

    /// The smallest key greater than `key`, present or not.
    ///
    /// # Errors
    /// [`StorageError`], as the storage has it.
    fn next_key(&self, key: &str) -> Result<Option<String>, StorageError>;

    /// Every row, in order of the keys.
    ///
    /// # Errors
    /// [`StorageError::Damaged`] for a key without a value, or as the storage has it.
    fn rows(&self) -> Result<Vec<(String, String)>, StorageError> {
        let (mut rows, mut last) = (Vec::new(), String::new());
        while let Some(key) = self.next_key(&last)? {
            let value = self.get(&key)?.ok_or_else(|| StorageError::Damaged(format!("{key} has no value")))?;
            last.clone_from(&key);
            rows.push((key, value));
        }
        Ok(rows)
    }

    /// Sets a key.
    ///
    /// # Errors
    /// [`StorageError`], as the storage has it.
    fn set(&mut self, key: &str, value: &str) -> Result<(), StorageError>;

    /// Removes a key; one that is absent is no error.
    ///
    /// # Errors
    /// [`StorageError`], as the storage has it.
    fn delete(&mut self, key: &str) -> Result<(), StorageError>;

    /// Opens a savepoint inside those that are open. Names may repeat; the newest is meant.
    ///
    /// # Errors
    /// [`StorageError`], as the storage has it.
    fn create_savepoint(&mut self, name: &str) -> Result<(), StorageError>;

    /// Undoes every write since the savepoint and closes it and those inside it.
    ///
    /// # Errors
    /// [`StorageError::NoSavepoint`], or as the storage has it.
    fn rollback_savepoint(&mut self, name: &str) -> Result<(), StorageError>;

    /// Keeps every write since the savepoint and closes it and those inside it; commits if it was the outermost.
    ///
    /// # Errors
    /// [`StorageError::NoSavepoint`], or as the storage has it.
    fn release_savepoint(&mut self, name: &str) -> Result<(), StorageError>;
}
