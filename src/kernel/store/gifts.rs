//! Which gift of an object to a remote is the last, and to which life of its peer it was made (protocol §11).
//!
//! A row `given.<object>.<remote>` stands beside the c-list entry of an object that a remote imports. It holds the number of the
//! last message that gave the remote what it had a name for already; the first gift of all needs no row, for nobody can have
//! dropped a name before it was told. `former` stands for a name that only a dead incarnation was told: it is kept in case the
//! object is given again, but it neither reaches nor holds anything.

use std::{fmt, str::FromStr};

use super::{
    KernelStore, StoreError,
    clist::Entry,
    objects::Change,
    rows::{Key, key},
};
use crate::wire::{Direction, EndpointId, Eref, Kref, RefKind, Seq};

/// What a row says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gift {
    /// Given again by this message.
    Again(u64),
    /// Given to a dead incarnation only.
    Former,
}

impl FromStr for Gift {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "former" { Ok(Gift::Former) } else { text.parse().map(Gift::Again) }
    }
}

impl fmt::Display for Gift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Gift::Again(seq) => seq.fmt(f),
            Gift::Former => f.write_str("former"),
        }
    }
}

/// Before the names of the remotes that were given an object.
fn gifts_of(kref: Kref) -> String {
    format!("given.{kref}.")
}

fn gift_key(kref: Kref, remote: EndpointId) -> Key {
    key(format_args!("given.{kref}.{remote}"))
}

/// Whether a c-list entry of that name has a row here.
fn is_gift(endpoint: EndpointId, eref: Eref) -> bool {
    endpoint.is_remote() && eref.kind == RefKind::Object && eref.direction == Direction::Import
}

impl KernelStore {
    /// How many names a remote was ever given for objects; they are numbered from 1.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn names_given(&self, remote: EndpointId) -> Result<u64, StoreError> {
        Ok(self.number(&key(format_args!("e.nextObjectId.{remote}")))?.unwrap_or(1).saturating_sub(1))
    }

    /// Message `told` gives a remote an object that it has a name for already.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn note_gift(&mut self, remote: EndpointId, eref: Eref, told: Seq) -> Result<(), StoreError> {
        match self.eref_to_kref(remote, eref)? {
            Some(kref) => self.set_gift(remote, kref, Gift::Again(told.get())),
            None => Ok(()),
        }
    }

    /// The number of the last message that gave a remote an object anew; 0 if it was given once.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn last_gift(&self, remote: EndpointId, eref: Eref) -> Result<u64, StoreError> {
        let Some(kref) = self.eref_to_kref(remote, eref)? else { return Ok(0) };
        match self.gift(remote, kref)? {
            Some(Gift::Again(told)) => Ok(told),
            Some(Gift::Former) | None => Ok(0),
        }
    }

    pub(super) fn gift(&self, remote: EndpointId, kref: Kref) -> Result<Option<Gift>, StoreError> {
        self.parsed(&gift_key(kref, remote))
    }

    fn set_gift(&mut self, remote: EndpointId, kref: Kref, gift: Gift) -> Result<(), StoreError> {
        self.set(&gift_key(kref, remote), &gift.to_string())
    }

    /// Whether an endpoint has that name for an object from a former life only, and so does not know it.
    pub(super) fn is_former(&self, endpoint: EndpointId, kref: Kref, eref: Eref) -> Result<bool, StoreError> {
        Ok(is_gift(endpoint, eref) && self.gift(endpoint, kref)? == Some(Gift::Former))
    }

    /// The peer of a remote is a new incarnation, which was given nothing yet.
    pub(super) fn make_former(&mut self, remote: EndpointId, kref: Kref) -> Result<(), StoreError> {
        let Some(entry) = self.entry(remote, kref)?.filter(|entry| is_gift(remote, entry.eref)) else { return Ok(()) };
        self.clear_reachable(remote, kref, entry)?;
        self.set_gift(remote, kref, Gift::Former)?;
        // Nothing but the dead may have held it.
        self.uncollected.maybe_free.insert(kref);
        Ok(())
    }

    /// A name is good again, or gone.
    pub(super) fn forget_gift(&mut self, endpoint: EndpointId, kref: Kref, eref: Eref) -> Result<(), StoreError> {
        if is_gift(endpoint, eref) { self.delete(&gift_key(kref, endpoint)) } else { Ok(()) }
    }

    /// Takes away the names of an object that only dead incarnations knew: they hold nothing.
    pub(super) fn forget_former(&mut self, kref: Kref) -> Result<(), StoreError> {
        let prefix = gifts_of(kref);
        for remote in self.suffixes(&prefix)? {
            let remote: EndpointId = remote.parse().map_err(|_| StoreError::corrupt(&prefix, &remote))?;
            if self.gift(remote, kref)? == Some(Gift::Former)
                && let Some(Entry { reachable: false, eref }) = self.entry(remote, kref)?
            {
                self.change_object(kref, None, Some(Change::Lose))?;
                self.delete_entry_rows(remote, kref, eref)?;
            }
        }
        Ok(())
    }

    /// What the key of a row here speaks of; `None` for any other key.
    pub(super) fn gift_in_key(key: &str) -> Option<(Kref, EndpointId)> {
        let (kref, remote) = key.strip_prefix("given.")?.split_once('.')?;
        Some((kref.parse().ok()?, remote.parse().ok()?))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{GcAction, GcKind, KernelStore, RefError};
    use crate::storage::MemoryStore;
    use crate::wire::{EndpointId, Eref, Kref, Seq};

    const PROGRAM: EndpointId = EndpointId::Vat(1);
    const BOB: EndpointId = EndpointId::Remote(1);
    const CAROL: EndpointId = EndpointId::Remote(2);

    fn eref(text: &str) -> Eref {
        text.parse().unwrap()
    }

    /// An object of the program's that bob was given.
    fn given() -> (KernelStore, Kref, Eref) {
        let mut store = KernelStore::open(Box::new(MemoryStore::new())).unwrap();
        let kref = store.export_new_object(PROGRAM).unwrap();
        let bobs = store.translate_outbound_ref(BOB, kref).unwrap();
        (store, kref, bobs)
    }

    #[test]
    fn the_last_gift_is_remembered_as_long_as_the_name() {
        let (mut store, _, bobs) = given();
        assert_eq!((store.names_given(BOB).unwrap(), store.last_gift(BOB, bobs).unwrap()), (1, 0));
        for seq in [4, 7] {
            store.note_gift(BOB, bobs, Seq::new(seq).unwrap()).unwrap();
        }
        assert_eq!(store.get("given.ko1.r1").unwrap().as_deref(), Some("7"));
        assert_eq!(store.get("r1.c.ko1").unwrap().as_deref(), Some("R ro-1"), "as ever");
        assert_eq!(store.last_gift(BOB, bobs).unwrap(), 7);
        store.audit().unwrap();
        store.drop_imports(BOB, &[bobs]).unwrap();
        store.retire_imports(BOB, &[bobs]).unwrap();
        assert_eq!(store.suffixes("given.").unwrap(), [""; 0]);
        store.audit().unwrap();
    }

    #[test]
    fn a_new_life_does_not_know_what_the_dead_was_given_until_it_is_given_it() {
        let (mut store, kref, bobs) = given();
        store.pin_object(kref).unwrap();
        store.forget_exports_of(BOB).unwrap();
        assert_eq!(store.collect_garbage().unwrap(), []);
        store.audit().unwrap();
        assert_eq!(store.get("r1.c.ko1").unwrap().as_deref(), Some("_ ro-1"));
        let unknown = RefError::UnknownReference { endpoint: BOB, eref: bobs };
        assert_eq!(store.translate_inbound_ref(BOB, bobs), Err(unknown));
        assert_eq!(store.translate_outbound_ref(BOB, kref).unwrap(), bobs, "under the same name");
        assert_eq!(store.translate_inbound_ref(BOB, bobs), Ok(kref));
        assert_eq!(store.suffixes("given.").unwrap(), [""; 0]);
        store.audit().unwrap();
    }

    #[test]
    fn the_dead_hold_nothing() {
        for released_before in [true, false] {
            let (mut store, kref, _) = given();
            store.translate_outbound_ref(CAROL, kref).unwrap();
            store.pin_object(kref).unwrap();
            let release = |store: &mut KernelStore| {
                store.unpin_object(kref).unwrap();
                store.drop_imports(CAROL, &[eref("ro-1")]).unwrap();
            };
            if released_before {
                release(&mut store);
            }
            store.forget_exports_of(BOB).unwrap();
            if !released_before {
                release(&mut store);
            }
            let exports = |kind| GcAction { endpoint: PROGRAM, kind, erefs: vec![eref("o+1")] };
            assert_eq!(store.collect_garbage().unwrap(), [exports(GcKind::DropExports)]);
            store.audit().unwrap();
            store.retire_imports(CAROL, &[eref("ro-1")]).unwrap();
            assert_eq!(store.collect_garbage().unwrap(), [exports(GcKind::RetireExports)], "carol was the last");
            assert_eq!((store.suffixes("ko").unwrap(), store.suffixes("given.").unwrap()), (vec![], vec![]));
            store.audit().unwrap();
        }
    }
}
