//! C-lists: the two-way table between an endpoint's references and the kernel's.
//!
//! An entry that exports an object counts nothing; one that imports it counts as recognising and, while its flag `R`
//! stands, as reaching it. Any entry of a promise counts one.

use std::{fmt, str::FromStr};

use super::{
    KernelStore, Party, RefError, StoreError,
    objects::Change,
    rows::{Key, key},
};
use crate::wire::{Direction, EndpointId, Eref, Kref, RefKind};

/// The endpoint's side of a c-list entry: `R ro-1` while reachable, `_ ro-1` once dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) reachable: bool,
    pub(super) eref: Eref,
}

impl FromStr for Entry {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (flag, eref) = text.split_once(' ').ok_or(())?;
        let reachable = match flag {
            "R" => true,
            "_" => false,
            _ => return Err(()),
        };
        Ok(Entry { reachable, eref: eref.parse().map_err(|_| ())? })
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", if self.reachable { 'R' } else { '_' }, self.eref)
    }
}

pub(super) fn slot_key(endpoint: EndpointId, slot: impl fmt::Display) -> Key {
    key(format_args!("{endpoint}.c.{slot}"))
}

impl KernelStore {
    pub(super) fn entry(&self, endpoint: EndpointId, kref: Kref) -> Result<Option<Entry>, StoreError> {
        self.parsed(&slot_key(endpoint, kref))
    }

    fn set_entry(&mut self, endpoint: EndpointId, kref: Kref, entry: Entry) -> Result<(), StoreError> {
        self.set(&slot_key(endpoint, kref), &entry.to_string())
    }

    /// An endpoint's name for `kref`; `None` if it has none.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn kref_to_eref(&self, endpoint: EndpointId, kref: Kref) -> Result<Option<Eref>, StoreError> {
        Ok(self.entry(endpoint, kref)?.map(|entry| entry.eref))
    }

    /// What an endpoint means by `eref`; `None` if it is not in its c-list.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn eref_to_kref(&self, endpoint: EndpointId, eref: Eref) -> Result<Option<Kref>, StoreError> {
        self.parsed(&slot_key(endpoint, eref))
    }

    /// Whether an endpoint still reaches `kref`; `None` if it is not in its c-list.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn is_reachable(&self, endpoint: EndpointId, kref: Kref) -> Result<Option<bool>, StoreError> {
        Ok(self.entry(endpoint, kref)?.map(|entry| entry.reachable))
    }

    /// A whole c-list, by kernel reference.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn clist(&self, endpoint: EndpointId) -> Result<Vec<(Kref, Eref)>, StoreError> {
        let mut entries = Vec::new();
        for kref in self.clist_krefs(endpoint, "k")? {
            match self.entry(endpoint, kref) {
                // Nothing can be done to it, and what it counts stays.
                Err(error) if error.is_damage() => tracing::error!(%error, "an entry of a c-list cannot be read"),
                entry => entries.extend(entry?.map(|entry| (kref, entry.eref))),
            }
        }
        Ok(entries)
    }

    /// Whether anything is shared with an endpoint.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn has_references(&self, endpoint: EndpointId) -> Result<bool, StoreError> {
        let prefix = slot_key(endpoint, "");
        Ok(self.kv.next_key(&prefix)?.is_some_and(|key| key.starts_with(&*prefix)))
    }

    pub(super) fn clist_promises(&self, endpoint: EndpointId) -> Result<Vec<Kref>, StoreError> {
        self.clist_krefs(endpoint, "kp")
    }

    fn clist_krefs(&self, endpoint: EndpointId, start: &str) -> Result<Vec<Kref>, StoreError> {
        let prefix = slot_key(endpoint, start);
        let suffixes = self.suffixes(&prefix)?;
        // What is called otherwise nobody can name.
        Ok(suffixes.iter().filter_map(|rest| format!("{start}{rest}").parse().ok()).collect())
    }

    /// Enters what an endpoint exports for the first time: a new object that it owns, or a new promise that it decides. A
    /// remote is also subscribed to its promise, because it may have passed it on to us from a third kernel.
    ///
    /// # Errors
    /// [`RefError::WrongKind`] when `eref` is not a remote's or vat's as the endpoint is; [`RefError::UnknownReference`] for
    /// an import; [`RefError::TooManyUnsettled`]; [`RefError::Store`].
    pub fn export_eref(&mut self, endpoint: EndpointId, eref: Eref) -> Result<Kref, RefError> {
        insist_kind(endpoint, eref)?;
        if eref.direction == Direction::Import {
            return Err(RefError::UnknownReference { endpoint, eref });
        }
        if eref.kind == RefKind::Promise {
            self.insist_not_forgotten(endpoint, eref)?;
            self.insist_few_unsettled(endpoint)?;
            return Ok(self.export_promise(endpoint, eref, Some(endpoint))?);
        }
        let kref = self.create_object(endpoint)?;
        self.add_entry(endpoint, kref, eref)?;
        Ok(kref)
    }

    /// One count for the decider to come, and one for the entry.
    fn export_promise(
        &mut self,
        endpoint: EndpointId,
        eref: Eref,
        decider: Option<EndpointId>,
    ) -> Result<Kref, StoreError> {
        let kref = self.new_promise(decider, endpoint.is_remote().then_some(endpoint), 2)?;
        self.write_entry(endpoint, kref, eref)?;
        Ok(kref)
    }

    /// The promise that a remote wants the result of its message in, which it has not named before and does not decide.
    ///
    /// # Errors
    /// [`RefError::UnknownReference`] for one that was settled long ago; [`RefError::Store`].
    pub fn export_result(&mut self, endpoint: EndpointId, eref: Eref) -> Result<Kref, RefError> {
        self.insist_not_forgotten(endpoint, eref)?;
        Ok(self.export_promise(endpoint, eref, None)?)
    }

    fn insist_not_forgotten(&self, endpoint: EndpointId, eref: Eref) -> Result<(), RefError> {
        if self.is_forgotten(endpoint, eref)? { Err(RefError::UnknownReference { endpoint, eref }) } else { Ok(()) }
    }

    /// Whether an endpoint had an object under this name, which is gone from its c-list.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn was_retired(&self, endpoint: EndpointId, eref: Eref) -> Result<bool, StoreError> {
        if eref.kind != RefKind::Object || self.eref_to_kref(endpoint, eref)?.is_some() {
            return Ok(false);
        }
        match eref.direction {
            Direction::Import => Ok(eref.index <= self.names_given(endpoint)?),
            // The endpoint numbers its exports itself.
            Direction::Export => Ok(true),
        }
    }

    /// A new promise that an endpoint has and waits for.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn create_awaited_promise(&mut self, endpoint: EndpointId) -> Result<Kref, StoreError> {
        let kref = self.new_promise(None, Some(endpoint), 2)?;
        let eref = self.next_import(endpoint, kref)?;
        self.write_entry(endpoint, kref, eref)?;
        Ok(kref)
    }

    /// Creates an object of an endpoint that leaves its names to the kernel: `ko7` is its `o+7`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn export_new_object(&mut self, endpoint: EndpointId) -> Result<Kref, StoreError> {
        let kref = self.create_object(endpoint)?;
        let eref = Eref {
            remote: endpoint.is_remote(),
            kind: RefKind::Object,
            direction: Direction::Export,
            index: kref.index,
        };
        self.add_entry(endpoint, kref, eref)?;
        Ok(kref)
    }

    /// Gives an endpoint something it does not have yet, under a new name.
    ///
    /// # Errors
    /// [`StoreError`], also when there is no such object or promise.
    pub fn import_kref(&mut self, endpoint: EndpointId, kref: Kref) -> Result<Eref, StoreError> {
        let eref = self.next_import(endpoint, kref)?;
        self.add_entry(endpoint, kref, eref)?;
        Ok(eref)
    }

    fn next_import(&mut self, endpoint: EndpointId, kref: Kref) -> Result<Eref, StoreError> {
        let counter = match kref.kind {
            RefKind::Object => "nextObjectId",
            RefKind::Promise => "nextPromiseId",
        };
        let index = self.count_up(&key(format_args!("e.{counter}.{endpoint}")))?;
        Ok(Eref { remote: endpoint.is_remote(), kind: kref.kind, direction: Direction::Import, index })
    }

    fn add_entry(&mut self, endpoint: EndpointId, kref: Kref, eref: Eref) -> Result<(), StoreError> {
        if counts(eref) {
            self.add_reference(kref)?;
        }
        self.write_entry(endpoint, kref, eref)
    }

    fn write_entry(&mut self, endpoint: EndpointId, kref: Kref, eref: Eref) -> Result<(), StoreError> {
        self.set_entry(endpoint, kref, Entry { reachable: true, eref })?;
        self.set(&slot_key(endpoint, eref), &kref.to_string())
    }

    /// Sets the reachable flag again, and counts it.
    pub(super) fn set_reachable(&mut self, endpoint: EndpointId, kref: Kref, entry: Entry) -> Result<(), StoreError> {
        if entry.reachable {
            return Ok(());
        }
        if counts(entry.eref) && !kref.is_promise() {
            self.change_object(kref, Some(Change::Gain), None)?;
        }
        if self.is_former(endpoint, kref, entry.eref)? {
            self.forget_gift(endpoint, kref, entry.eref)?;
        }
        self.set_entry(endpoint, kref, Entry { reachable: true, ..entry })
    }

    /// Clears the reachable flag of an object, and the count that went with it.
    pub(super) fn clear_reachable(&mut self, endpoint: EndpointId, kref: Kref, entry: Entry) -> Result<(), StoreError> {
        if !entry.reachable || kref.is_promise() {
            return Ok(());
        }
        if counts(entry.eref) {
            self.change_object(kref, Some(Change::Lose), None)?;
        }
        self.set_entry(endpoint, kref, Entry { reachable: false, ..entry })
    }

    /// An endpoint does not reach an object any more. One that is not in its c-list is no error.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn clear_reach(&mut self, endpoint: EndpointId, kref: Kref) -> Result<(), StoreError> {
        match self.entry(endpoint, kref)? {
            Some(entry) => self.clear_reachable(endpoint, kref, entry),
            None => Ok(()),
        }
    }

    /// Removes an entry with its counts. An object that the endpoint exported loses its owner, a promise that it waited for
    /// a subscriber.
    ///
    /// # Errors
    /// [`RefError::UnknownReference`] if there is no such entry; [`RefError::StillDecides`] for a promise that the endpoint
    /// has yet to settle; [`RefError::Store`].
    pub fn delete_clist_entry(&mut self, endpoint: EndpointId, kref: Kref, eref: Eref) -> Result<(), RefError> {
        let entry = self.entry(endpoint, kref)?.filter(|entry| entry.eref == eref);
        let entry = entry.ok_or(RefError::UnknownReference { endpoint, eref })?;
        if kref.is_promise() {
            if self.decider(kref)? == Some(Party::Endpoint(endpoint)) {
                return Err(RefError::StillDecides { endpoint, kref });
            }
            self.remove_subscriber(kref, endpoint)?;
            self.release_reference(kref)?;
        } else if counts(eref) {
            let reachable = entry.reachable.then_some(Change::Lose);
            self.change_object(kref, reachable, Some(Change::Lose))?;
        } else if self.owner(kref)? == Some(Party::Endpoint(endpoint)) {
            self.delete_owner(kref)?;
        }
        Ok(self.delete_entry_rows(endpoint, kref, eref)?)
    }

    pub(super) fn delete_entry_rows(&mut self, endpoint: EndpointId, kref: Kref, eref: Eref) -> Result<(), StoreError> {
        self.forget_gift(endpoint, kref, eref)?;
        self.delete(&slot_key(endpoint, kref))?;
        self.delete(&slot_key(endpoint, eref))
    }
}

/// Whether an entry of that name counts: its exporter's entry of an object does not.
pub(super) fn counts(eref: Eref) -> bool {
    eref.kind == RefKind::Promise || eref.direction == Direction::Import
}

pub(super) fn insist_kind(endpoint: EndpointId, eref: Eref) -> Result<(), RefError> {
    if eref.remote == endpoint.is_remote() { Ok(()) } else { Err(RefError::WrongKind { endpoint, eref }) }
}

#[cfg(test)]
mod tests {
    use super::super::{KernelStore, Party, RefError, StoreError};
    use crate::storage::MemoryStore;
    use crate::wire::{EndpointId, Eref, Kref};

    const BOB: EndpointId = EndpointId::Remote(1);
    const CAROL: EndpointId = EndpointId::Remote(2);

    fn new_store() -> KernelStore {
        KernelStore::open(Box::new(MemoryStore::new())).unwrap()
    }

    fn eref(text: &str) -> Eref {
        text.parse().unwrap()
    }

    #[test]
    fn an_entry_is_spelled_as_the_incumbent_spells_it() {
        let mut store = new_store();
        let kref = store.export_eref(BOB, eref("ro+5")).unwrap();
        assert_eq!(store.import_kref(CAROL, kref).unwrap(), eref("ro-1"));
        let row = |key: &str| store.get(key).unwrap();
        assert_eq!(row("r1.c.ro+5").as_deref(), Some("ko1"));
        assert_eq!(row("r1.c.ko1").as_deref(), Some("R ro+5"));
        assert_eq!(row("r2.c.ro-1").as_deref(), Some("ko1"));
        assert_eq!(row("r2.c.ko1").as_deref(), Some("R ro-1"));
        assert_eq!(row("e.nextObjectId.r2").as_deref(), Some("2"));
        assert_eq!(row("ko1.owner").as_deref(), Some("r1"));
        assert_eq!(row("ko1.refCount").as_deref(), Some("1,1"), "the exporter's own entry counts nothing");
        store.audit().unwrap();
    }

    #[test]
    fn a_remotes_promise_has_it_as_decider_and_subscriber_a_vats_only_as_decider() {
        let mut store = new_store();
        let theirs = store.export_eref(BOB, eref("rp+1")).unwrap();
        assert_eq!(store.decider(theirs).unwrap(), Some(Party::Endpoint(BOB)));
        assert_eq!(store.subscribers(theirs).unwrap(), [BOB]);
        assert_eq!(store.promise_count(theirs).unwrap(), Some(2));
        let ours = store.export_eref(EndpointId::Vat(1), eref("p+1")).unwrap();
        assert_eq!(store.subscribers(ours).unwrap(), []);
        store.audit().unwrap();
    }

    #[test]
    fn removing_entries_releases_what_they_counted() {
        let mut store = new_store();
        let kref = store.export_eref(BOB, eref("ro+5")).unwrap();
        let carols = store.import_kref(CAROL, kref).unwrap();
        let wrong = RefError::UnknownReference { endpoint: CAROL, eref: eref("ro-9") };
        assert_eq!(store.delete_clist_entry(CAROL, kref, eref("ro-9")), Err(wrong));
        store.delete_clist_entry(CAROL, kref, carols).unwrap();
        assert_eq!(store.get("ko1.refCount").unwrap().as_deref(), Some("0,0"));
        store.delete_clist_entry(BOB, kref, eref("ro+5")).unwrap();
        assert_eq!(store.owner(kref).unwrap(), None);
        assert_eq!(store.clist(BOB).unwrap(), []);
        store.collect_garbage().unwrap();
        assert_eq!(store.object_counts(kref).unwrap(), None);
        store.audit().unwrap();
    }

    #[test]
    fn a_promise_cannot_be_taken_from_its_decider() {
        let mut store = new_store();
        let kref = store.export_eref(BOB, eref("rp+1")).unwrap();
        let refused = Err(RefError::StillDecides { endpoint: BOB, kref });
        assert_eq!(store.delete_clist_entry(BOB, kref, eref("rp+1")), refused);
    }

    #[test]
    fn what_does_not_exist_cannot_be_given_away() {
        let mut store = new_store();
        assert_eq!(store.import_kref(BOB, Kref::object(7)), Err(StoreError::UnknownKref(Kref::object(7))));
    }

    #[test]
    fn corrupt_entries_are_errors() {
        let mut store = new_store();
        for value in ["ro+1", "X ro+1", "R ko1", "R", ""] {
            store.set("r1.c.ko1", value).unwrap();
            assert!(matches!(store.kref_to_eref(BOB, Kref::object(1)), Err(StoreError::Corrupt { .. })), "{value}");
        }
        store.set("r1.c.ro+1", "ro+1").unwrap();
        assert!(matches!(store.eref_to_kref(BOB, eref("ro+1")), Err(StoreError::Corrupt { .. })));
        // A whole list has what can be read.
        store.set("r1.c.kx", "R ro+1").unwrap();
        store.set("r1.c.ko2", "R ro+2").unwrap();
        assert_eq!(store.clist(BOB).unwrap(), [(Kref::object(2), eref("ro+2"))]);
    }
}
