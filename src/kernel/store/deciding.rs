//! How many promises each remote has yet to settle. A promise that a remote makes is kept until it settles it, whoever has let go of it
//! meanwhile; so it may make more only while few are open.

use std::collections::HashMap;

use super::{KernelStore, Party, RefError, StoreError, undo::Log};
use crate::wire::{EndpointId, Kref};

/// How many promises a remote may have yet to settle, when it makes another: more than one message names.
pub const MAX_UNSETTLED: usize = 1 << 16;

/// How many promises each remote is to settle, in memory beside the rows.
#[derive(Debug, Default)]
pub(super) struct Deciding {
    counts: HashMap<EndpointId, usize, foldhash::fast::RandomState>,
    /// What came (true) and what went, since the outermost savepoint.
    pub(super) log: Log<(EndpointId, bool)>,
}

impl Deciding {
    fn change(&mut self, endpoint: EndpointId, comes: bool) {
        let count = self.counts.entry(endpoint).or_default();
        *count = if comes { count.saturating_add(1) } else { count.saturating_sub(1) };
        if *count == 0 {
            self.counts.remove(&endpoint);
        }
    }

    pub(super) fn add(&mut self, endpoint: EndpointId) {
        self.change(endpoint, true);
        self.log.push((endpoint, true));
    }

    pub(super) fn remove(&mut self, endpoint: EndpointId) {
        self.change(endpoint, false);
        self.log.push((endpoint, false));
    }

    fn count(&self, endpoint: EndpointId) -> usize {
        self.counts.get(&endpoint).copied().unwrap_or(0)
    }

    pub(super) fn roll_back(&mut self, mark: usize) {
        while let Some((endpoint, came)) = self.log.pop_behind(mark) {
            self.change(endpoint, !came);
        }
    }
}

impl KernelStore {
    /// Finds in the rows how many promises each remote is to settle.
    pub(super) fn note_all_deciders(&mut self) -> Result<(), StoreError> {
        self.deciding = Deciding::default();
        for rest in self.suffixes("kp")? {
            let name = rest.strip_suffix(".decider").map(|name| format!("kp{name}"));
            let Some(kpid) = name.and_then(|name| name.parse::<Kref>().ok()) else { continue };
            match self.decider(kpid) {
                Ok(Some(Party::Endpoint(endpoint))) => self.deciding.add(endpoint),
                Err(error @ StoreError::Storage(_)) => return Err(error),
                Ok(_) | Err(_) => {}
            }
        }
        Ok(())
    }

    /// Refuses a promise more of a remote's own than it may leave unsettled.
    pub(super) fn insist_few_unsettled(&self, remote: EndpointId) -> Result<(), RefError> {
        match self.deciding.count(remote) >= MAX_UNSETTLED {
            true => Err(RefError::TooManyUnsettled(remote)),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{KernelStore, MAX_UNSETTLED, RefError};
    use crate::storage::MemoryStore;
    use crate::wire::{CapData, EndpointId, Kref};

    const BOB: EndpointId = EndpointId::Remote(1);
    const CAROL: EndpointId = EndpointId::Remote(2);

    fn data() -> CapData<Kref> {
        CapData { body: String::new(), slots: vec![] }
    }

    #[test]
    fn a_remote_that_settles_nothing_makes_so_many_promises_and_no_more() {
        let mut store = KernelStore::open(Box::new(MemoryStore::new())).unwrap();
        let theirs = |index: usize| format!("rp+{index}").parse().unwrap();
        let most = MAX_UNSETTLED;
        let first = store.translate_inbound_ref(BOB, theirs(1)).unwrap();
        for index in 2..=most {
            store.translate_inbound_ref(BOB, theirs(index)).unwrap();
        }
        let refused = Err(RefError::TooManyUnsettled(BOB));
        assert_eq!(store.translate_inbound_ref(BOB, theirs(most + 1)), refused);
        assert_eq!(store.translate_inbound_ref(BOB, theirs(1)), Ok(first));
        store.translate_inbound_ref(BOB, "ro+1".parse().unwrap()).unwrap();
        store.translate_inbound_ref(CAROL, theirs(most + 1)).unwrap();
        store.export_result(BOB, theirs(most + 2)).unwrap();
        // What is undone is not counted, nor what was settled or is left to others.
        let undone: Result<(), RefError> = store.transaction("turn", |store| {
            store.resolve_promise(first, false, &data())?;
            store.translate_inbound_ref(BOB, theirs(most + 1))?;
            store.clear_decider(Kref::promise(first.index + 1))?;
            Err(RefError::UnknownPromise(first))
        });
        assert_eq!(undone, Err(RefError::UnknownPromise(first)));
        assert_eq!(store.translate_inbound_ref(BOB, theirs(most + 1)), refused);
        let mut store = KernelStore::open(store.kv).unwrap();
        assert_eq!(store.translate_inbound_ref(BOB, theirs(most + 1)), refused);
        store.resolve_promise(first, false, &data()).unwrap();
        store.translate_inbound_ref(BOB, theirs(most + 1)).unwrap();
        assert_eq!(store.translate_inbound_ref(BOB, theirs(most + 3)), refused);
        store.clear_decider(Kref::promise(first.index + 1)).unwrap();
        store.translate_inbound_ref(BOB, theirs(most + 3)).unwrap();
    }
}
