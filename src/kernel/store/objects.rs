//! Objects, who owns them, and the reference counts of objects and promises.

use std::{fmt, str::FromStr};

use super::{
    KernelStore, StoreError,
    rows::{Key, key},
};
use crate::wire::{EndpointId, Kref, RefKind, WireError};

/// Who owns an object or decides a promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Party {
    /// The kernel itself. Its objects are never collected.
    Kernel,
    /// A vat or a remote.
    Endpoint(EndpointId),
}

impl Party {
    /// The endpoint, unless it is the kernel.
    pub fn endpoint(self) -> Option<EndpointId> {
        match self {
            Party::Kernel => None,
            Party::Endpoint(endpoint) => Some(endpoint),
        }
    }
}

impl From<EndpointId> for Party {
    fn from(endpoint: EndpointId) -> Self {
        Party::Endpoint(endpoint)
    }
}

impl FromStr for Party {
    type Err = WireError;

    fn from_str(text: &str) -> Result<Self, WireError> {
        if text == "kernel" { Ok(Party::Kernel) } else { text.parse().map(Party::Endpoint) }
    }
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Party::Kernel => f.write_str("kernel"),
            Party::Endpoint(endpoint) => endpoint.fmt(f),
        }
    }
}

/// How many hold an object. What reaches an object also recognises it, so the first number never exceeds the second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ObjectCounts {
    /// Holders that may send to it.
    pub reachable: u64,
    /// Holders that would know it if they saw it again.
    pub recognizable: u64,
}

impl FromStr for ObjectCounts {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (reachable, recognizable) = text.split_once(',').ok_or(())?;
        let number = |text: &str| text.parse::<u64>().map_err(|_| ());
        let counts = ObjectCounts { reachable: number(reachable)?, recognizable: number(recognizable)? };
        if counts.reachable <= counts.recognizable { Ok(counts) } else { Err(()) }
    }
}

impl fmt::Display for ObjectCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{},{}", self.reachable, self.recognizable)
    }
}

pub(super) const PINNED: &str = "pinnedObjects";

pub(super) fn count_key(kref: Kref) -> Key {
    key(format_args!("{kref}.refCount"))
}

fn owner_key(kref: Kref) -> Key {
    key(format_args!("{kref}.owner"))
}

/// A change of one holder, up or down.
#[derive(Clone, Copy)]
pub(super) enum Change {
    Gain,
    Lose,
}

impl Change {
    fn apply(self, count: u64) -> Option<u64> {
        match self {
            Change::Gain => count.checked_add(1),
            Change::Lose => count.checked_sub(1),
        }
    }
}

impl KernelStore {
    /// Creates an object. Nobody holds it yet: unless someone does by then, the next collection frees it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn create_object(&mut self, owner: impl Into<Party>) -> Result<Kref, StoreError> {
        let kref = Kref::object(self.count_up("nextObjectId")?);
        self.set(&owner_key(kref), &owner.into().to_string())?;
        self.set(&count_key(kref), &ObjectCounts::default().to_string())?;
        self.uncollected.maybe_free.insert(kref);
        Ok(kref)
    }

    /// Who has the object; `None` once its owner is gone, and for an unknown object.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn owner(&self, kref: Kref) -> Result<Option<Party>, StoreError> {
        self.parsed(&owner_key(kref))
    }

    /// Takes an object from its owner. It stays as long as it is reachable; what is sent to it finds nobody.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn delete_owner(&mut self, kref: Kref) -> Result<(), StoreError> {
        self.delete(&owner_key(kref))?;
        self.uncollected.maybe_free.insert(kref);
        Ok(())
    }

    /// How many hold an object; `None` if there is no such object.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn object_counts(&self, kref: Kref) -> Result<Option<ObjectCounts>, StoreError> {
        self.parsed(&count_key(kref))
    }

    /// How many hold a promise: 1 while it is unresolved, 1 for each c-list entry, mention in a queued item, and mention
    /// in a resolution. `None` if there is no such promise.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn promise_count(&self, kpid: Kref) -> Result<Option<u64>, StoreError> {
        self.number(&count_key(kpid))
    }

    /// One more holder that reaches `kref`.
    pub(super) fn add_reference(&mut self, kref: Kref) -> Result<(), StoreError> {
        match kref.kind {
            RefKind::Object => self.change_object(kref, Some(Change::Gain), Some(Change::Gain)),
            RefKind::Promise => self.change_promise(kref, Change::Gain),
        }
    }

    /// One holder fewer that reached `kref`.
    pub(super) fn release_reference(&mut self, kref: Kref) -> Result<(), StoreError> {
        match kref.kind {
            RefKind::Object => self.change_object(kref, Some(Change::Lose), Some(Change::Lose)),
            RefKind::Promise => self.change_promise(kref, Change::Lose),
        }
    }

    pub(super) fn change_object(
        &mut self,
        kref: Kref,
        reachable: Option<Change>,
        recognizable: Option<Change>,
    ) -> Result<(), StoreError> {
        let counts = self.object_counts(kref)?.ok_or(StoreError::UnknownKref(kref))?;
        let apply = |change: Option<Change>, count: u64| change.map_or(Some(count), |change| change.apply(count));
        let below_zero = || StoreError::CountBelowZero(kref);
        let counts = ObjectCounts {
            reachable: apply(reachable, counts.reachable).ok_or_else(below_zero)?,
            recognizable: apply(recognizable, counts.recognizable).ok_or_else(below_zero)?,
        };
        if counts.reachable > counts.recognizable {
            return Err(below_zero());
        }
        if counts.reachable == 0 {
            self.uncollected.maybe_free.insert(kref);
        }
        self.set(&count_key(kref), &counts.to_string())
    }

    pub(super) fn change_promise(&mut self, kpid: Kref, change: Change) -> Result<(), StoreError> {
        let count = self.promise_count(kpid)?.ok_or(StoreError::UnknownKref(kpid))?;
        let count = change.apply(count).ok_or(StoreError::CountBelowZero(kpid))?;
        if count == 0 {
            self.uncollected.maybe_free.insert(kpid);
        }
        self.set(&count_key(kpid), &count.to_string())
    }

    pub(super) fn delete_object_rows(&mut self, kref: Kref) -> Result<(), StoreError> {
        self.delete(&owner_key(kref))?;
        self.delete(&count_key(kref))?;
        // Written by the incumbent only.
        self.delete(&key(format_args!("{kref}.revoked")))
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{KernelStore, Party, StoreError},
        ObjectCounts,
    };
    use crate::{
        storage::MemoryStore,
        wire::{EndpointId, Kref},
    };

    fn new_store() -> KernelStore {
        KernelStore::open(Box::new(MemoryStore::new())).unwrap()
    }

    #[test]
    fn an_object_is_recorded_as_the_incumbent_records_it() {
        let mut store = new_store();
        let kref = store.create_object(EndpointId::Vat(1)).unwrap();
        assert_eq!(kref.to_string(), "ko1");
        assert_eq!(store.get("ko1.owner").unwrap().as_deref(), Some("v1"));
        assert_eq!(store.get("ko1.refCount").unwrap().as_deref(), Some("0,0"));
        assert_eq!(store.get("nextObjectId").unwrap().as_deref(), Some("2"));
        store.delete_owner(kref).unwrap();
        assert_eq!(store.owner(kref).unwrap(), None);
    }

    #[test]
    fn the_kernel_may_own_objects() {
        let mut store = new_store();
        let kref = store.create_object(Party::Kernel).unwrap();
        assert_eq!(store.get("ko1.owner").unwrap().as_deref(), Some("kernel"));
        assert_eq!(store.owner(kref).unwrap(), Some(Party::Kernel));
        assert_eq!(store.collect_garbage().unwrap(), []);
        assert!(store.object_counts(kref).unwrap().is_some(), "what the kernel owns stays");
    }

    #[test]
    fn a_pinned_object_outlives_its_holders() {
        let mut store = new_store();
        let kref = store.create_object(EndpointId::Vat(1)).unwrap();
        store.pin_object(kref).unwrap();
        store.pin_object(kref).unwrap();
        assert_eq!(store.get("pinnedObjects").unwrap().as_deref(), Some("ko1"));
        store.collect_garbage().unwrap();
        assert_eq!(store.object_counts(kref).unwrap(), Some(ObjectCounts { reachable: 1, recognizable: 1 }));
        store.unpin_object(kref).unwrap();
        store.unpin_object(kref).unwrap();
        store.collect_garbage().unwrap();
        assert_eq!(store.object_counts(kref).unwrap(), None);
        store.audit().unwrap();
    }

    #[test]
    fn a_count_never_falls_below_zero() {
        let mut store = new_store();
        let object = store.create_object(EndpointId::Vat(1)).unwrap();
        assert_eq!(store.release_reference(object), Err(StoreError::CountBelowZero(object)));
        let promise = store.create_promise().unwrap();
        store.release_reference(promise).unwrap();
        assert_eq!(store.release_reference(promise), Err(StoreError::CountBelowZero(promise)));
        assert_eq!(store.add_reference(Kref::object(9)), Err(StoreError::UnknownKref(Kref::object(9))));
    }

    #[test]
    fn corrupt_counts_are_errors() {
        let mut store = new_store();
        for value in ["", "1", "2,1", "-1,0", "1,1,1", "a,b"] {
            store.set("ko1.refCount", value).unwrap();
            assert!(matches!(store.object_counts(Kref::object(1)), Err(StoreError::Corrupt { .. })), "{value}");
        }
    }
}
