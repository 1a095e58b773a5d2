//! Why a storage does not do what it was asked.

/// Why a storage does not do what it was asked. Whoever can do something about it is told what.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StorageError {
    /// Somebody else has the store open.
    #[error("the store is in use by another tab, Worker or process")]
    InUse,
    /// Nothing more fits: the disk is full, or the quota of the origin is used up.
    #[error("no space is left for the store")]
    Full,
    /// What is there is no store, or one that was changed from outside or by a failing disk. It is not touched.
    #[error("the store is damaged: {0}")]
    Damaged(String),
    /// Another version of this package wrote the store. It is not touched.
    #[error("the store has format {found}; this version reads formats 1 to {newest}")]
    Format {
        /// The format of the store.
        found: u64,
        /// The newest that this version reads.
        newest: u64,
    },
    /// This context has no durable storage.
    #[error("{0}")]
    Unavailable(String),
    /// Reading or writing failed.
    #[error("storage failed: {0}")]
    Io(String),
    /// It was closed.
    #[error("the store is closed")]
    Closed,
    /// A savepoint that was never created, or is released already.
    #[error("no savepoint named {0:?}")]
    NoSavepoint(String),
}

impl StorageError {
    /// The stable name of the error in JavaScript.
    pub fn name(&self) -> &'static str {
        match self {
            StorageError::InUse => "StoreInUseError",
            StorageError::Full => "StoreFullError",
            StorageError::Damaged(_) => "StoreDamagedError",
            StorageError::Format { .. } => "StoreFormatError",
            StorageError::Unavailable(_) => "StoreUnavailableError",
            StorageError::Closed | StorageError::Io(_) | StorageError::NoSavepoint(_) => "StoreError",
        }
    }
}
