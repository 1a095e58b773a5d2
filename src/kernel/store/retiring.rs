//! Names of settled promises on their way out of a remote's c-list (protocol §11).
//!
//! A name that the remote was told the outcome under is retired: its promise has no name with that remote any more, and would
//! get a new one. What the remote had sent before it read the news may still mention it, so it is understood, and counts,
//! until the remote has said that nothing of the kind is left. A row `retiring.r1.<number of the message>` holds it.

use super::{
    KernelStore, RefError, StoreError,
    clist::slot_key,
    rows::{Key, key},
};
use crate::wire::{EndpointId, Eref, Kref, MAX_SEQ, Seq};

/// Digits that make the order of the keys that of the numbers.
pub(super) fn retiring_key(remote: EndpointId, told: u64) -> Key {
    key(format_args!("retiring.{remote}.{told:020}"))
}

/// Stands for a message that was abandoned, so that no remote can have read it.
fn abandoned(told: Seq) -> u64 {
    told.get() + MAX_SEQ
}

impl KernelStore {
    /// The remote was told the outcome of a promise by message `told`: this name is not used again, but still understood.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn retire_name(&mut self, remote: EndpointId, kpid: Kref, eref: Eref, told: Seq) -> Result<(), StoreError> {
        self.delete(&slot_key(remote, kpid))?;
        self.forget_settled_name(remote, kpid);
        self.note_retiring(remote, kpid, told.get());
        self.set(&retiring_key(remote, told.get()), &eref.to_string())
    }

    /// The remote will not mention any name that was retired by a message up to `told`: nobody needs them any more.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn forget_retired(&mut self, remote: EndpointId, told: Seq) -> Result<(), StoreError> {
        self.forget_retiring(remote, told.get())?;
        self.forget_retired_names(remote, told.get());
        Ok(())
    }

    /// The message `told` was abandoned, and with it what it retired: the remote may mention that for ever.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn keep_retired(&mut self, remote: EndpointId, told: Seq) -> Result<(), StoreError> {
        let row = retiring_key(remote, told.get());
        let Some(eref) = self.get(&row)? else { return Ok(()) };
        self.delete(&row)?;
        if let Some(kpid) = eref.parse::<Eref>().ok().map(|eref| self.eref_to_kref(remote, eref)).transpose()?.flatten()
        {
            self.note_retiring(remote, kpid, abandoned(told));
        }
        self.set(&retiring_key(remote, abandoned(told)), &eref)
    }

    /// A remote retires its name of a settled promise: nothing that it sends from here on mentions it. A name that is not
    /// known, or that this kernel has retired itself, is no error.
    ///
    /// # Errors
    /// [`RefError::StillDecides`] for a promise that the remote has yet to settle; [`RefError::Store`].
    pub fn forget_name(&mut self, remote: EndpointId, eref: Eref) -> Result<(), RefError> {
        let Some(kref) = self.eref_to_kref(remote, eref)?.filter(|kref| kref.is_promise()) else { return Ok(()) };
        match self.entry(remote, kref)? {
            Some(entry) if entry.eref == eref => {
                self.forget_settled_name(remote, kref);
                self.delete_clist_entry(remote, kref, eref)
            }
            _ => Ok(()),
        }
    }

    /// Forgets everything that is retiring, whoever may mention it.
    pub(super) fn forget_all_retiring(&mut self, remote: EndpointId) -> Result<(), StoreError> {
        self.forget_retiring(remote, u64::MAX)?;
        self.begin_settled_names(remote)
    }

    fn forget_retiring(&mut self, remote: EndpointId, up_to: u64) -> Result<(), StoreError> {
        for (row, eref) in self.retiring(remote, up_to)? {
            self.forget_retiring_row(remote, &row, eref)?;
        }
        Ok(())
    }

    pub(super) fn forget_retiring_row(&mut self, remote: EndpointId, row: &str, eref: Eref) -> Result<(), StoreError> {
        if let Some(kpid) = self.eref_to_kref(remote, eref)? {
            self.delete(&slot_key(remote, eref))?;
            self.release_reference(kpid)?;
        }
        self.delete(row)
    }

    /// The rows of messages up to `up_to`, with the names in them.
    pub(super) fn retiring(&self, remote: EndpointId, up_to: u64) -> Result<Vec<(String, Eref)>, StoreError> {
        let prefix = format!("retiring.{remote}.");
        let last = retiring_key(remote, up_to);
        let mut rows = Vec::new();
        let mut at = prefix.clone();
        while let Some(row) = self.kv.next_key(&at)?.filter(|row| row.starts_with(&prefix) && **row <= *last) {
            if let Some(eref) = self.parsed(&row)? {
                rows.push((row.clone(), eref));
            }
            at = row;
        }
        Ok(rows)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{KernelStore, Party, RefError};
    use crate::storage::MemoryStore;
    use crate::wire::{CapData, EndpointId, Eref, Kref, Seq};

    const BOB: EndpointId = EndpointId::Remote(1);
    const OTHER: EndpointId = EndpointId::Remote(11);

    fn eref(text: &str) -> Eref {
        text.parse().unwrap()
    }

    fn seq(number: u64) -> Seq {
        Seq::new(number).unwrap()
    }

    /// A settled promise of the kernel's that bob and another know.
    fn settled() -> (KernelStore, Kref) {
        let mut store = KernelStore::open(Box::new(MemoryStore::new())).unwrap();
        let kpid = store.create_promise().unwrap();
        for remote in [BOB, OTHER] {
            assert_eq!(store.translate_outbound_ref(remote, kpid).unwrap(), eref("rp-1"));
        }
        store.resolve_promise(kpid, false, &CapData { body: String::new(), slots: vec![] }).unwrap();
        (store, kpid)
    }

    #[test]
    fn a_retired_name_is_understood_until_the_remote_has_forgotten_it() {
        let (mut store, kpid) = settled();
        store.retire_name(BOB, kpid, eref("rp-1"), seq(10)).unwrap();
        assert_eq!(store.get("retiring.r1.00000000000000000010").unwrap().as_deref(), Some("rp-1"));
        assert_eq!(store.kref_to_eref(BOB, kpid).unwrap(), None);
        assert_eq!(store.translate_inbound_ref(BOB, eref("rp-1")), Ok(kpid));
        assert_eq!(store.translate_outbound_ref(BOB, kpid).unwrap(), eref("rp-2"), "it would get another name");
        store.audit().unwrap();

        store.forget_retired(BOB, seq(9)).unwrap();
        assert_eq!(store.translate_inbound_ref(BOB, eref("rp-1")), Ok(kpid));
        store.retire_name(BOB, kpid, eref("rp-2"), seq(11)).unwrap();
        store.forget_retired(BOB, seq(11)).unwrap();
        for name in ["rp-1", "rp-2"] {
            let unknown = RefError::UnknownReference { endpoint: BOB, eref: eref(name) };
            assert_eq!(store.translate_inbound_ref(BOB, eref(name)), Err(unknown));
        }
        assert_eq!(store.promise_count(kpid).unwrap(), Some(1), "the other remote still has it");
        store.retire_name(OTHER, kpid, eref("rp-1"), seq(1)).unwrap();
        store.forget_retired(BOB, seq(11)).unwrap();
        assert_eq!(store.translate_inbound_ref(OTHER, eref("rp-1")), Ok(kpid), "r11 is not r1");
        store.forget_retired(OTHER, seq(1)).unwrap();
        store.collect_garbage().unwrap();
        assert_eq!(store.suffixes("kp").unwrap(), [""; 0]);
        store.audit().unwrap();
    }

    #[test]
    fn what_an_abandoned_message_retired_is_understood_until_the_remote_is_gone() {
        let (mut store, kpid) = settled();
        store.retire_name(BOB, kpid, eref("rp-1"), seq(10)).unwrap();
        store.keep_retired(BOB, seq(10)).unwrap();
        store.keep_retired(BOB, seq(12)).unwrap();
        store.forget_retired(BOB, Seq::new(crate::wire::MAX_SEQ).unwrap()).unwrap();
        assert_eq!(store.translate_inbound_ref(BOB, eref("rp-1")), Ok(kpid));
        store.audit().unwrap();
        store.delete_endpoint(BOB).unwrap();
        assert_eq!(store.suffixes("retiring.").unwrap(), [""; 0]);
        assert_eq!(store.eref_to_kref(BOB, eref("rp-1")).unwrap(), None);
        store.audit().unwrap();
    }

    #[test]
    fn a_remote_retires_names_of_what_is_settled_only() {
        let (mut store, kpid) = settled();
        store.forget_name(BOB, eref("rp-1")).unwrap();
        store.forget_name(BOB, eref("rp-1")).unwrap();
        assert_eq!(store.clist(BOB).unwrap(), []);
        assert_eq!(store.kref_to_eref(OTHER, kpid).unwrap(), Some(eref("rp-1")));
        let theirs = store.translate_inbound_ref(BOB, eref("rp+1")).unwrap();
        let refused = RefError::StillDecides { endpoint: BOB, kref: theirs };
        assert_eq!(store.forget_name(BOB, eref("rp+1")), Err(refused));
        assert_eq!(store.decider(theirs).unwrap(), Some(Party::Endpoint(BOB)));
        store.audit().unwrap();
    }
}
