//! A store that outlives the process: the rows as one JSON object in a file, replaced as a whole at each commit. It serves
//! tests that kill the process, not machines that lose their power.

use std::{
    collections::BTreeMap,
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use ocap_remotes::kernel::store::{KeyValueStore, MemoryStore, StoreError};

/// The rows in memory, and the file that has them as of the last commit.
pub(crate) struct FileStore {
    file: PathBuf,
    rows: MemoryStore,
    open_savepoints: Vec<String>,
}

fn failed(file: &Path, error: impl std::fmt::Display) -> StoreError {
    StoreError::Storage(format!("{}: {error}", file.display()))
}

impl FileStore {
    /// Opens a store; an absent file is an empty one.
    pub(crate) fn open(file: PathBuf) -> Result<Self, StoreError> {
        let mut rows = MemoryStore::new();
        match fs::read(&file) {
            Ok(text) => {
                let saved: BTreeMap<String, String> =
                    serde_json::from_slice(&text).map_err(|error| failed(&file, error))?;
                saved.iter().try_for_each(|(key, value)| rows.set(key, value))?;
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(failed(&file, error)),
        }
        Ok(FileStore { file, rows, open_savepoints: Vec::new() })
    }

    /// Writes the rows, unless a savepoint is open: its release does.
    fn save(&self) -> Result<(), StoreError> {
        if !self.open_savepoints.is_empty() {
            return Ok(());
        }
        let mut saved = BTreeMap::new();
        let mut key = String::new();
        while let Some(next) = self.rows.next_key(&key)? {
            saved.insert(next.clone(), self.rows.get(&next)?);
            key = next;
        }
        let written = serde_json::to_vec(&saved).map_err(|error| failed(&self.file, error))?;
        let partial = self.file.with_extension("partial");
        fs::write(&partial, written)
            .and_then(|()| fs::rename(&partial, &self.file))
            .map_err(|error| failed(&self.file, error))
    }

    /// Forgets the newest savepoint of that name and those inside it.
    fn close(&mut self, name: &str) {
        if let Some(position) = self.open_savepoints.iter().rposition(|open| open == name) {
            self.open_savepoints.truncate(position);
        }
    }
}

impl KeyValueStore for FileStore {
    fn get(&self, key: &str) -> Result<Option<String>, StoreError> {
        self.rows.get(key)
    }

    fn next_key(&self, key: &str) -> Result<Option<String>, StoreError> {
        self.rows.next_key(key)
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), StoreError> {
        self.rows.set(key, value)?;
        self.save()
    }

    fn delete(&mut self, key: &str) -> Result<(), StoreError> {
        self.rows.delete(key)?;
        self.save()
    }

    fn create_savepoint(&mut self, name: &str) -> Result<(), StoreError> {
        self.open_savepoints.push(name.to_owned());
        self.rows.create_savepoint(name)
    }

    fn rollback_savepoint(&mut self, name: &str) -> Result<(), StoreError> {
        self.close(name);
        self.rows.rollback_savepoint(name)
    }

    fn release_savepoint(&mut self, name: &str) -> Result<(), StoreError> {
        self.close(name);
        self.rows.release_savepoint(name)?;
        self.save()
    }
}
