//! A durable store in a file, outside browsers.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    path::Path,
    sync::{Mutex, MutexGuard},
};

use redb::StorageBackend;

use super::{DurableStore, StorageError};

/// Opens the store in a file, which is made if it does not exist. One process at a time has it.
///
/// # Errors
/// As [`DurableStore::open`].
pub fn open_file(path: impl AsRef<Path>) -> Result<DurableStore, StorageError> {
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
    match file.try_lock() {
        Ok(()) => DurableStore::open(LockedFile(Mutex::new(file))),
        Err(TryLockError::WouldBlock) => Err(StorageError::InUse),
        Err(TryLockError::Error(error)) => Err(error.into()),
    }
}

/// A file that this process has locked until it is closed.
#[derive(Debug)]
struct LockedFile(Mutex<File>);

impl LockedFile {
    fn file(&self) -> MutexGuard<'_, File> {
        // Nothing is left half done when a thread panics with it.
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn at(&self, offset: u64) -> Result<MutexGuard<'_, File>, io::Error> {
        let mut file = self.file();
        file.seek(SeekFrom::Start(offset))?;
        Ok(file)
    }
}

impl StorageBackend for LockedFile {
    fn len(&self) -> Result<u64, io::Error> {
        Ok(self.file().metadata()?.len())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        self.at(offset)?.read_exact(out)
    }

    fn set_len(&self, len: u64) -> Result<(), io::Error> {
        self.file().set_len(len)
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        self.file().sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        self.at(offset)?.write_all(data)
    }
}
