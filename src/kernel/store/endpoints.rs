//! An endpoint as a whole: its beginning, its restart and its end.

use super::{KernelStore, RefError, StoreError};
use crate::wire::{Direction, EndpointId};

const NEXT_OBJECT: &str = "e.nextObjectId.";
const NEXT_PROMISE: &str = "e.nextPromiseId.";

impl KernelStore {
    /// Prepares the c-list of an endpoint; one that is prepared already stays as it is.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn init_endpoint(&mut self, endpoint: EndpointId) -> Result<(), StoreError> {
        for prefix in [NEXT_OBJECT, NEXT_PROMISE] {
            let key = format!("{prefix}{endpoint}");
            if self.get(&key)?.is_none() {
                self.set(&key, "1")?;
            }
        }
        Ok(())
    }

    /// Every endpoint that was prepared or given an object.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn endpoints(&self) -> Result<Vec<EndpointId>, StoreError> {
        let read = |id: String| id.parse().map_err(|_| StoreError::corrupt(NEXT_OBJECT, &id));
        self.suffixes(NEXT_OBJECT)?.into_iter().map(read).collect()
    }

    /// A restarted endpoint has lost everything: its objects lose their owner, its promises leave its c-list, and it waits
    /// for none of ours. What it was given stays in the c-list, so that it may be given again under the same name.
    ///
    /// # Errors
    /// [`RefError::StillDecides`] unless everything that it [was to decide](Self::promises_by_decider) was resolved before;
    /// [`RefError::Store`].
    pub fn forget_exports_of(&mut self, endpoint: EndpointId) -> Result<(), RefError> {
        self.insist_decides_nothing(endpoint)?;
        for (kref, eref) in self.clist(endpoint)? {
            if eref.direction == Direction::Export {
                self.delete_clist_entry(endpoint, kref, eref)?;
            } else if kref.is_promise() {
                self.remove_subscriber(kref, endpoint)?;
            }
        }
        Ok(())
    }

    /// An endpoint is gone for good: as [`forget_exports_of`](Self::forget_exports_of), and what it was given is released.
    /// The record of a remote is another matter: [`delete_remote`](Self::delete_remote).
    ///
    /// # Errors
    /// As [`forget_exports_of`](Self::forget_exports_of).
    pub fn delete_endpoint(&mut self, endpoint: EndpointId) -> Result<(), RefError> {
        self.insist_decides_nothing(endpoint)?;
        for (kref, eref) in self.clist(endpoint)? {
            self.delete_clist_entry(endpoint, kref, eref)?;
        }
        self.delete(&format!("{NEXT_OBJECT}{endpoint}"))?;
        self.delete(&format!("{NEXT_PROMISE}{endpoint}"))?;
        Ok(self.cancel_reap(endpoint)?)
    }

    fn insist_decides_nothing(&self, endpoint: EndpointId) -> Result<(), RefError> {
        match self.promises_by_decider(endpoint)?.first() {
            Some(kref) => Err(RefError::StillDecides { endpoint, kref: *kref }),
            None => Ok(()),
        }
    }
}
