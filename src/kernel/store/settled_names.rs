//! How many names of settled promises are remembered for one remote.
//!
//! Kernels that [retire](super::KernelStore::retire_name) names have few. One that does not, as the incumbent, may mention a promise
//! for ever after it was settled, and one that has gone never says that it will not. So the newest are kept; whoever mentions an
//! older one is told that there is no such thing. A row `forgottenPromises.<remote>` holds the highest name of the remote's own that
//! was forgotten, lest that be taken for a new promise.

use std::collections::{BTreeSet, HashMap};

use super::{
    KernelStore, RefError, RunItem, StoreError,
    rows::{Key, key},
};
use crate::{
    faults::{Fault, seeded},
    wire::{Direction, EndpointId, Eref, Kref, MAX_SEQ, RefKind, Seq},
};

/// So many are kept; they are looked at when there may be twice as many.
pub const MAX_SETTLED_NAMES: usize = 4_096;

/// How many were added since they were last counted. It lives in memory: after a start it takes a while longer.
#[derive(Debug, Default)]
pub(super) struct SettledNames {
    added: HashMap<EndpointId, usize, foldhash::fast::RandomState>,
}

fn forgotten_key(remote: EndpointId) -> Key {
    key(format_args!("forgottenPromises.{remote}"))
}

impl KernelStore {
    /// A remote has settled so many promises, or was told of them. What it does not acknowledge, it has not read: names of which
    /// it was told in a message from `unread` on are kept.
    ///
    /// # Errors
    /// [`RefError::Store`].
    pub fn note_settled_names(&mut self, remote: EndpointId, count: usize, unread: Seq) -> Result<(), RefError> {
        let added = self.settled_names.added.entry(remote).or_default();
        *added = added.saturating_add(count);
        if *added < 2 * MAX_SETTLED_NAMES || seeded(Fault::RememberSettledNames) {
            return Ok(());
        }
        self.forget_settled_names(remote, unread)
    }

    /// Forgets all but the newest [`MAX_SETTLED_NAMES`].
    ///
    /// # Errors
    /// [`RefError::Store`].
    pub fn forget_settled_names(&mut self, remote: EndpointId, unread: Seq) -> Result<(), RefError> {
        let mut entries = Vec::new();
        let untold = self.untold(remote);
        // Whoever is still to be told is told under the name. (Of what had a row when the kernel started it is not known who.)
        let promises = if self.stored_items == 0 { self.clist_promises(remote)? } else { Vec::new() };
        for kref in promises {
            if self.settled(kref).is_some()
                && !untold.contains(&kref)
                && let Some(entry) = self.entry(remote, kref)?
            {
                entries.push((kref, entry.eref));
            }
        }
        entries.sort_unstable_by_key(|(kref, _)| kref.index);
        let mut retiring = Vec::new();
        for (row, eref) in self.retiring(remote, u64::MAX)? {
            let told = row.rsplit('.').next().and_then(|told| told.parse().ok()).unwrap_or(0);
            if told < unread.get() || told > MAX_SEQ {
                retiring.push((row, eref));
            }
        }
        let too_many = entries.len().saturating_sub(MAX_SETTLED_NAMES);
        let mut highest = self.number(&forgotten_key(remote))?.unwrap_or(0);
        let before = highest;
        let mut note = |eref: Eref| {
            if eref.direction == Direction::Export {
                highest = highest.max(eref.index);
            }
        };
        for (kref, eref) in entries.drain(..too_many) {
            self.delete_clist_entry(remote, kref, eref)?;
            note(eref);
        }
        let too_many = retiring.len().saturating_sub(MAX_SETTLED_NAMES);
        for (row, eref) in retiring.drain(..too_many) {
            self.forget_retiring_row(remote, &row, eref)?;
            note(eref);
        }
        if highest > before {
            self.set(&forgotten_key(remote), &highest.to_string())?;
        }
        self.settled_names.added.insert(remote, entries.len().max(retiring.len()));
        Ok(())
    }

    /// What the run queue holds of news for a remote.
    fn untold(&self, remote: EndpointId) -> BTreeSet<Kref> {
        let news = self.fresh_items.iter().filter_map(|item| match &**item {
            RunItem::Notify { endpoint, kpid } if *endpoint == remote => Some(*kpid),
            _ => None,
        });
        news.collect()
    }

    /// Whether a name that a remote made for a promise was forgotten; it cannot be that of a new one, for they are numbered.
    pub(super) fn is_forgotten(&self, remote: EndpointId, eref: Eref) -> Result<bool, StoreError> {
        if eref.kind != RefKind::Promise || !remote.is_remote() {
            return Ok(false);
        }
        Ok(self.number(&forgotten_key(remote))?.is_some_and(|highest| eref.index <= highest))
    }

    /// A remote begins anew, or is gone.
    pub(super) fn begin_settled_names(&mut self, remote: EndpointId) -> Result<(), StoreError> {
        self.settled_names.added.remove(&remote);
        self.delete(&forgotten_key(remote))
    }
}

#[cfg(test)]
mod tests {
    use super::{super::KernelStore, MAX_SETTLED_NAMES};
    use crate::{
        storage::MemoryStore,
        wire::{CapData, EndpointId, Eref, Kref, RefKind, Seq},
    };

    const BOB: EndpointId = EndpointId::Remote(1);

    fn theirs(index: u64) -> Eref {
        format!("rp+{index}").parse().unwrap()
    }

    fn data() -> CapData<Kref> {
        CapData { body: String::new(), slots: vec![] }
    }

    #[test]
    fn of_the_promises_that_a_remote_has_settled_the_newest_have_names() {
        let mut store = KernelStore::open(Box::new(MemoryStore::new())).unwrap();
        let (most, unread) = (2 * MAX_SETTLED_NAMES as u64, Seq::FIRST);
        let waiting = store.translate_inbound_ref(BOB, theirs(1)).unwrap();
        for index in 2..=most + 1 {
            let kpid = store.translate_inbound_ref(BOB, theirs(index)).unwrap();
            store.resolve_promise(kpid, false, &data()).unwrap();
            store.note_settled_names(BOB, 1, unread).unwrap();
        }
        let names = store.clist(BOB).unwrap();
        assert_eq!(names.len(), MAX_SETTLED_NAMES + 1);
        assert!(names.contains(&(waiting, theirs(1))), "what is not settled is not forgotten");
        assert!(store.translate_inbound_ref(BOB, theirs(2)).is_err(), "nor taken for a new promise");
        assert!(store.export_result(BOB, theirs(2)).is_err());
        assert!(store.translate_inbound_ref(BOB, theirs(most + 1)).is_ok());
        assert_eq!(store.translate_inbound_ref(BOB, theirs(most + 2)).unwrap().kind, RefKind::Promise);
        store.collect_garbage().unwrap();
        store.audit().unwrap();
        store.resolve_promise(waiting, false, &data()).unwrap();
        let last = store.eref_to_kref(BOB, theirs(most + 2)).unwrap().unwrap();
        store.resolve_promise(last, false, &data()).unwrap();
        store.delete_endpoint(BOB).unwrap();
        store.collect_garbage().unwrap();
        assert_eq!(store.suffixes("forgotten").unwrap(), [""; 0]);
        assert_eq!(store.suffixes("kp").unwrap(), [""; 0]);
    }

    #[test]
    fn what_was_told_in_a_message_that_is_not_acknowledged_is_understood() {
        let mut store = KernelStore::open(Box::new(MemoryStore::new())).unwrap();
        let count = 2 * MAX_SETTLED_NAMES as u64;
        let unread = Seq::new(count / 4).unwrap();
        for number in 1..=count {
            let kpid = store.export_result(BOB, theirs(number)).unwrap();
            store.resolve_promise(kpid, false, &data()).unwrap();
            store.retire_name(BOB, kpid, theirs(number), Seq::new(number).unwrap()).unwrap();
        }
        store.note_settled_names(BOB, usize::try_from(count).unwrap(), unread).unwrap();
        assert_eq!(store.retiring(BOB, u64::MAX).unwrap().len() as u64, count, "few of them are read");
        let all = Seq::new(count + 1).unwrap();
        store.forget_settled_names(BOB, all).unwrap();
        assert_eq!(store.retiring(BOB, u64::MAX).unwrap().len(), MAX_SETTLED_NAMES);
        assert!(store.translate_inbound_ref(BOB, theirs(1)).is_err());
        assert!(store.translate_inbound_ref(BOB, theirs(count)).is_ok());
        store.collect_garbage().unwrap();
        store.audit().unwrap();
    }
}
