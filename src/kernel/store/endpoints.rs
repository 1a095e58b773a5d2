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

    /// A restarted endpoint has lost everything: its objects lose their owner, promises leave its c-list, and it waits for
    /// none of ours. Nor does it reach what it was given: of that the names stay, in case it is given the same again, and as long
    /// as anybody else reaches it.
    ///
    /// # Errors
    /// [`RefError::StillDecides`] unless everything that it [was to decide](Self::promises_by_decider) was resolved before;
    /// [`RefError::Store`].
    pub fn forget_exports_of(&mut self, endpoint: EndpointId) -> Result<(), RefError> {
        self.insist_decides_nothing(endpoint)?;
        self.forget_all_retiring(endpoint)?;
        for (kref, eref) in self.clist(endpoint)? {
            if eref.direction == Direction::Export || kref.is_promise() {
                self.delete_clist_entry(endpoint, kref, eref)?;
            } else {
                self.make_former(endpoint, kref)?;
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
        self.forget_all_retiring(endpoint)?;
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

#[cfg(test)]
mod tests {
    use super::super::{KernelStore, RefError};
    use crate::storage::MemoryStore;
    use crate::wire::{CapData, EndpointId, Eref};

    const PROGRAM: EndpointId = EndpointId::Vat(1);
    const BOB: EndpointId = EndpointId::Remote(1);

    fn eref(text: &str) -> Eref {
        text.parse().unwrap()
    }

    #[test]
    fn a_restarted_peer_loses_what_it_exported_and_what_it_was_given() {
        let mut store = KernelStore::open(Box::new(MemoryStore::new())).unwrap();
        let theirs = store.translate_inbound_ref(BOB, eref("ro+1")).unwrap();
        store.translate_outbound_ref(PROGRAM, theirs).unwrap();
        let promised = store.translate_inbound_ref(BOB, eref("rp+1")).unwrap();
        let ours = store.translate_inbound_ref(PROGRAM, eref("o+1")).unwrap();
        let given = store.translate_outbound_ref(BOB, ours).unwrap();
        store.pin_object(ours).unwrap();
        let awaited = store.translate_inbound_ref(PROGRAM, eref("p+1")).unwrap();
        store.translate_outbound_ref(BOB, awaited).unwrap();
        store.add_subscriber(awaited, BOB).unwrap();

        let undecided = RefError::StillDecides { endpoint: BOB, kref: promised };
        assert_eq!(store.forget_exports_of(BOB), Err(undecided));
        for kpid in store.promises_by_decider(BOB).unwrap() {
            let reason = CapData { body: "PEER_RESTARTED".into(), slots: vec![] };
            store.resolve_promise(kpid, true, &reason).unwrap();
        }
        store.forget_exports_of(BOB).unwrap();
        assert_eq!(store.collect_garbage().unwrap(), []);
        store.audit().unwrap();

        assert_eq!(store.owner(theirs).unwrap(), None);
        assert!(store.object_counts(theirs).unwrap().is_some(), "the program still holds it");
        assert_eq!(store.promise_count(promised).unwrap(), None);
        assert_eq!(store.subscribers(awaited).unwrap(), []);
        assert_eq!(store.is_reachable(BOB, ours).unwrap(), Some(false));
        assert_eq!(store.translate_outbound_ref(BOB, ours).unwrap(), given, "the name is kept");
        let fresh = store.translate_inbound_ref(BOB, eref("ro+1")).unwrap();
        assert_ne!(fresh, theirs, "the fresh incarnation's first object is not the dead one's");
    }

    #[test]
    fn a_peer_that_is_gone_leaves_nothing() {
        let mut store = KernelStore::open(Box::new(MemoryStore::new())).unwrap();
        let bob = store.next_remote_id().unwrap();
        let ours = store.translate_inbound_ref(PROGRAM, eref("o+1")).unwrap();
        store.translate_outbound_ref(bob, ours).unwrap();
        store.translate_inbound_ref(bob, eref("ro+1")).unwrap();
        store.delete_endpoint(bob).unwrap();
        store.delete_remote(bob).unwrap();
        store.collect_garbage().unwrap();
        store.audit().unwrap();
        for prefix in ["k", "r", "v", "e."] {
            assert_eq!(store.suffixes(prefix).unwrap(), [""; 0], "{prefix}");
        }
    }
}
