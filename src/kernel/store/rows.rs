//! Reading and writing single rows: numbers, JSON and parsed text. Whatever cannot be read is [`StoreError::Corrupt`].

use std::{fmt, str::FromStr};

use arrayvec::ArrayString;
use serde::{Serialize, de::DeserializeOwned};

use super::{KernelStore, StoreError};
use crate::storage::StorageError;

/// A key without a detour over the heap: several are spelled for each message. The longest, `remotePending.<remote>.<seq>`,
/// has 56 bytes.
pub(super) type Key = ArrayString<64>;

/// What stands before the key of a row that could not be read.
const SET_ASIDE: &str = "setAside.";

/// Spells a key.
pub(super) fn key(parts: fmt::Arguments<'_>) -> Key {
    let mut key = Key::new();
    // What is too long would be cut and so name another row; nothing that is spelled with this can be.
    let fits = fmt::Write::write_fmt(&mut key, parts);
    debug_assert!(fits.is_ok(), "{parts} is too long for a key");
    key
}

impl StoreError {
    pub(super) fn corrupt(key: &str, value: &str) -> Self {
        StoreError::Corrupt { key: key.to_owned(), value: value.chars().take(64).collect() }
    }
}

impl KernelStore {
    /// How many rows were read, written or deleted so far: what work costs, but for what others do beside it.
    pub(in crate::kernel) fn operations(&self) -> u64 {
        self.operations.get()
    }

    fn count_operation(&self) {
        self.operations.set(self.operations.get().wrapping_add(1));
    }

    pub(super) fn get(&self, key: &str) -> Result<Option<String>, StoreError> {
        self.count_operation();
        Ok(self.kv.get(key)?)
    }

    pub(super) fn set(&mut self, key: &str, value: &str) -> Result<(), StoreError> {
        self.count_operation();
        Ok(self.kv.set(key, value)?)
    }

    pub(super) fn delete(&mut self, key: &str) -> Result<(), StoreError> {
        self.count_operation();
        Ok(self.kv.delete(key)?)
    }

    /// What stands after `prefix` in every key that starts with it, in key order.
    pub(super) fn suffixes(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        let mut found = Vec::new();
        let mut last = prefix.to_owned();
        while let Some(key) = self.kv.next_key(&last)? {
            let Some(suffix) = key.strip_prefix(prefix) else { break };
            found.push(suffix.to_owned());
            last = key;
        }
        Ok(found)
    }

    /// Puts a row that cannot be read where nothing looks for it but who repairs the store.
    pub(in crate::kernel) fn set_aside(&mut self, key: &str) -> Result<(), StoreError> {
        if let Some(value) = self.get(key)? {
            self.set(&format!("{SET_ASIDE}{key}"), &value)?;
            self.delete(key)?;
        }
        Ok(())
    }

    /// Writes a row as it stands.
    #[cfg(test)]
    pub(crate) fn damage(&mut self, key: &str, value: &str) {
        self.set(key, value).unwrap();
    }

    pub(super) fn parsed<T: FromStr>(&self, key: &str) -> Result<Option<T>, StoreError> {
        let Some(value) = self.get(key)? else { return Ok(None) };
        value.parse().map(Some).map_err(|_| StoreError::corrupt(key, &value))
    }

    pub(super) fn number(&self, key: &str) -> Result<Option<u64>, StoreError> {
        self.parsed(key)
    }

    /// The value of a counter that starts at 1, which is then one higher.
    pub(super) fn count_up(&mut self, key: &str) -> Result<u64, StoreError> {
        let value = self.number(key)?.unwrap_or(1);
        let next = value.checked_add(1).ok_or_else(|| StoreError::corrupt(key, &value.to_string()))?;
        self.set(key, &next.to_string())?;
        Ok(value)
    }

    pub(super) fn json<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, StoreError> {
        let Some(value) = self.get(key)? else { return Ok(None) };
        serde_json::from_str(&value).map(Some).map_err(|_| StoreError::corrupt(key, &value))
    }

    pub(super) fn set_json(&mut self, key: &str, value: &impl Serialize) -> Result<(), StoreError> {
        let text = serde_json::to_string(value).map_err(|error| StorageError::Io(format!("{key}: {error}")))?;
        self.set(key, &text)
    }
}
