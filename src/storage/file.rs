//! A durable store in a file, outside browsers.

use std::{fs::OpenOptions, path::Path};

use redb::backends::FileBackend;

use super::{DurableStore, StorageError};

/// Opens the store in a file, which is made if it does not exist. One process at a time has it.
///
/// # Errors
/// As [`DurableStore::open`].
pub fn open_file(path: impl AsRef<Path>) -> Result<DurableStore, StorageError> {
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
    DurableStore::open(FileBackend::new(file)?)
}
