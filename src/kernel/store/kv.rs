//! What a kernel store is built on: an ordered map of text with nested savepoints.

use crate::wire::Kref;

/// An error of the storage itself, or of what was found in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The storage failed.
    #[error("storage failed: {0}")]
    Storage(String),
    /// A value is not what its key promises.
    #[error("corrupt store: {key} holds {value:?}")]
    Corrupt {
        /// The key.
        key: String,
        /// Its value, cut to a printable length.
        value: String,
    },
    /// A reference to an object or promise that does not exist.
    #[error("the store has no {0}")]
    UnknownKref(Kref),
    /// A reference count would fall below zero: it is wrong, or something was released twice.
    #[error("the count of {0} would fall below zero")]
    CountBelowZero(Kref),
    /// A savepoint that was never created, or is released already.
    #[error("no savepoint named {0:?}")]
    NoSavepoint(String),
}

/// An ordered map from text to text, with nested savepoints. Keys are ordered by their UTF-8 bytes.
///
/// Outside every savepoint each write stands alone. Releasing the outermost savepoint commits: an implementation on a disk
/// has everything durable when that call returns. After an error of any write the caller rolls back.
pub trait KeyValueStore {
    /// The value of a key.
    ///
    /// # Errors
    /// [`StoreError::Storage`].
    fn get(&self, key: &str) -> Result<Option<String>, StoreError>;

    /// The smallest key greater than `key`, present or not.
    ///
    /// # Errors
    /// [`StoreError::Storage`].
    fn next_key(&self, key: &str) -> Result<Option<String>, StoreError>;

    /// Sets a key.
    ///
    /// # Errors
    /// [`StoreError::Storage`].
    fn set(&mut self, key: &str, value: &str) -> Result<(), StoreError>;

    /// Removes a key; one that is absent is no error.
    ///
    /// # Errors
    /// [`StoreError::Storage`].
    fn delete(&mut self, key: &str) -> Result<(), StoreError>;

    /// Opens a savepoint inside those that are open. Names may repeat; the newest is meant.
    ///
    /// # Errors
    /// [`StoreError::Storage`].
    fn create_savepoint(&mut self, name: &str) -> Result<(), StoreError>;

    /// Undoes every write since the savepoint and closes it and those inside it.
    ///
    /// # Errors
    /// [`StoreError::NoSavepoint`]; [`StoreError::Storage`].
    fn rollback_savepoint(&mut self, name: &str) -> Result<(), StoreError>;

    /// Keeps every write since the savepoint and closes it and those inside it; commits if it was the outermost.
    ///
    /// # Errors
    /// [`StoreError::NoSavepoint`]; [`StoreError::Storage`], after which it is rolled back.
    fn release_savepoint(&mut self, name: &str) -> Result<(), StoreError>;
}
