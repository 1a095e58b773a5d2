//! A store through many power cuts, beside a plain map.

use std::collections::BTreeMap;

use fastrand::Rng;
use ocap_remotes::storage::{DurableStore, KeyValueStore, StorageBackend, StorageError};

use crate::{Power, Volatile};

type Rows = BTreeMap<String, String>;

/// What happened at one cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cut {
    /// Transactions that were acknowledged before it.
    pub acknowledged: u64,
    /// It came during the transaction after those, rather than between two or while the store was opened.
    pub within_transaction: bool,
}

/// A store, and the map that it must be equal to.
pub struct History {
    rng: Rng,
    flushes: bool,
    /// The rows of the last transaction that was acknowledged.
    acknowledged: Rows,
    /// Those of the one that the power cut came into, which may have become durable.
    under_way: Option<Rows>,
    disk: Vec<u8>,
}

impl History {
    /// A history that depends on `seed` alone. Without `flushes` the disk only says that it flushes.
    pub fn new(seed: u64, flushes: bool) -> Self {
        let rng = Rng::with_seed(seed);
        History { rng, flushes, acknowledged: Rows::new(), under_way: None, disk: Vec::new() }
    }

    /// What is on the disk.
    pub fn disk(&self) -> &[u8] {
        &self.disk
    }

    /// One life: opens the store in `backend`, which has what is on the [`disk`](Self::disk), compares it with the map, and
    /// writes until the power fails.
    ///
    /// # Errors
    /// What was lost, or should not be there.
    pub fn live(&mut self, backend: impl StorageBackend) -> Result<Cut, String> {
        // Some die while they open, most while they write.
        let most = if self.rng.u8(..4) == 0 { 20 } else { 400 };
        let power = Power::new(std::mem::take(&mut self.disk), self.rng.u64(..most), self.flushes);
        let lived = self.live_on(Volatile::new(backend, power.clone()), &power);
        power.cut();
        self.disk = power.remains(&mut self.rng);
        lived
    }

    fn live_on(&mut self, disk: impl StorageBackend, power: &Power) -> Result<Cut, String> {
        let mut cut = Cut::default();
        let mut store = match DurableStore::open(disk) {
            Ok(store) => store,
            // The power failed.
            Err(StorageError::Io(_)) => return Ok(cut),
            Err(error) => return Err(format!("it cannot be opened: {error}")),
        };
        self.compare(&store)?;
        loop {
            let rows = self.transaction(&mut store);
            match rows {
                Ok(rows) => {
                    self.acknowledged = rows;
                    self.under_way = None;
                    cut.acknowledged += 1;
                }
                Err(StorageError::Io(_)) => {
                    cut.within_transaction = true;
                    // One more cut, while it is closed: nothing may come of that.
                    power.cut();
                    return Ok(cut);
                }
                Err(error) => return Err(format!("a transaction failed: {error}")),
            }
        }
    }

    fn compare(&mut self, store: &DurableStore) -> Result<(), String> {
        let found: Rows = store.rows().map_err(|error| error.to_string())?.into_iter().collect();
        if self.under_way.as_ref() == Some(&found) {
            self.acknowledged = found;
        } else if self.acknowledged != found {
            let lost = self.acknowledged.iter().filter(|(key, value)| found.get(*key) != Some(value)).count();
            let extra = found.keys().filter(|key| !self.acknowledged.contains_key(*key)).count();
            return Err(format!("{lost} rows that were acknowledged are lost or changed, {extra} should not be there"));
        }
        self.under_way = None;
        Ok(())
    }

    /// What a kernel does for a few messages: counters, a queue, savepoints within each other, some of them rolled back.
    fn transaction(&mut self, store: &mut DurableStore) -> Result<Rows, StorageError> {
        let mut rows = self.acknowledged.clone();
        store.create_savepoint("group")?;
        for _ in 0..=self.rng.u8(..4) {
            let before = rows.clone();
            store.create_savepoint("turn")?;
            for _ in 0..=self.rng.u8(..6) {
                let key = format!("remotePending.r{}.{}", self.rng.u8(..3), self.rng.u16(..300));
                if self.rng.u8(..3) == 0 {
                    store.delete(&key)?;
                    rows.remove(&key);
                } else {
                    let length = if self.rng.u8(..20) == 0 { 9_000 } else { self.rng.usize(..200) };
                    let value: String = std::iter::repeat_with(|| self.rng.alphanumeric()).take(length).collect();
                    store.set(&key, &value)?;
                    rows.insert(key, value);
                }
            }
            if self.rng.u8(..5) == 0 {
                store.rollback_savepoint("turn")?;
                rows = before;
            } else {
                store.release_savepoint("turn")?;
            }
        }
        self.under_way = Some(rows.clone());
        store.release_savepoint("group")?;
        Ok(rows)
    }
}
