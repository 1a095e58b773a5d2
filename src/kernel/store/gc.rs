//! Garbage: what nobody reaches or recognises, and what endpoints say that they dropped.
//!
//! Whether garbage *is* garbage is read from the counts, never from a list of pending work, so that a crash cannot lose a
//! collection: see [`KernelStore::open`].

use std::collections::BTreeMap;

use super::{
    KernelStore, Party, PromiseState, RefError, StoreError,
    clist::{Entry, insist_kind},
    objects::count_key,
};
use crate::wire::{Direction, EndpointId, Eref, Kref, RefKind};

/// What an endpoint is to be told, in the order in which it is to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum GcKind {
    /// The kernel does not reach these exports of the endpoint any more.
    DropExports,
    /// The kernel does not recognise these exports of the endpoint any more.
    RetireExports,
    /// These imports of the endpoint are gone.
    RetireImports,
}

/// Something to tell an endpoint. The c-list is already up to date.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GcAction {
    /// Whom to tell.
    pub endpoint: EndpointId,
    /// What.
    pub kind: GcKind,
    /// Of what, in the endpoint's own terms.
    pub erefs: Vec<Eref>,
}

type Actions = BTreeMap<(EndpointId, GcKind), Vec<Eref>>;

const REAP_QUEUE: &str = "reapQueue";

impl KernelStore {
    /// Frees what nobody holds any more, and answers what endpoints must be told of it. Call it at the end of each
    /// transaction, and send what it answers in that transaction.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn collect_garbage(&mut self) -> Result<Vec<GcAction>, StoreError> {
        let mut actions = Actions::new();
        while let Some(kref) = self.maybe_free.pop_first() {
            match kref.kind {
                RefKind::Object => self.collect_object(kref, &mut actions)?,
                RefKind::Promise => self.collect_promise(kref)?,
            }
        }
        let action = |((endpoint, kind), erefs)| GcAction { endpoint, kind, erefs };
        Ok(actions.into_iter().map(action).collect())
    }

    fn collect_promise(&mut self, kpid: Kref) -> Result<(), StoreError> {
        if self.promise_count(kpid)? != Some(0) {
            return Ok(());
        }
        if let Some(PromiseState::Fulfilled(value) | PromiseState::Rejected(value)) = self.promise_state(kpid)? {
            for slot in value.slots {
                self.release_reference(slot)?;
            }
        }
        self.delete_promise_rows(kpid)
    }

    fn collect_object(&mut self, kref: Kref, actions: &mut Actions) -> Result<(), StoreError> {
        let Some(counts) = self.object_counts(kref)?.filter(|counts| counts.reachable == 0) else {
            return Ok(());
        };
        let mut tell = |endpoint, kind, eref| actions.entry((endpoint, kind)).or_default().push(eref);
        match self.owner(kref)? {
            Some(Party::Kernel) => return Ok(()),
            Some(Party::Endpoint(owner)) => {
                let entry = self.entry(owner, kref)?;
                if let Some(entry @ Entry { reachable: true, eref }) = entry {
                    self.clear_reachable(owner, kref, entry)?;
                    tell(owner, GcKind::DropExports, eref);
                }
                if counts.recognizable > 0 {
                    return Ok(());
                }
                if let Some(Entry { eref, .. }) = entry {
                    self.delete_entry_rows(owner, kref, eref)?;
                    tell(owner, GcKind::RetireExports, eref);
                }
            }
            // Nobody can send it to anyone again, so those who would recognise it need wait no longer.
            None if counts.recognizable > 0 => {
                for importer in self.endpoints()? {
                    if let Some(Entry { eref, .. }) = self.entry(importer, kref)? {
                        self.delete_entry_rows(importer, kref, eref)?;
                        tell(importer, GcKind::RetireImports, eref);
                    }
                }
            }
            None => {}
        }
        self.delete_object_rows(kref)
    }

    /// Notes all that has no holder.
    pub(super) fn note_all_garbage(&mut self) -> Result<(), StoreError> {
        for prefix in ["ko", "kp"] {
            for rest in self.suffixes(prefix)? {
                let Some(index) = rest.strip_suffix(".refCount") else { continue };
                let name = format!("{prefix}{index}");
                let kref: Kref = name.parse().map_err(|_| StoreError::corrupt(prefix, &rest))?;
                if self.get(&count_key(kref))?.is_some_and(|count| count.starts_with('0')) {
                    self.maybe_free.insert(kref);
                }
            }
        }
        Ok(())
    }

    /// An endpoint says that it does not reach these imports any more. Dropping twice is no error: drops may cross.
    ///
    /// # Errors
    /// [`RefError::UnknownReference`], [`RefError::NotCollectable`], [`RefError::WrongKind`], [`RefError::Store`].
    pub fn drop_imports(&mut self, endpoint: EndpointId, erefs: &[Eref]) -> Result<(), RefError> {
        for eref in erefs {
            let (kref, entry) = self.collectable(endpoint, *eref, Direction::Import)?;
            self.clear_reachable(endpoint, kref, entry)?;
        }
        Ok(())
    }

    /// An endpoint says that it does not recognise these imports any more.
    ///
    /// # Errors
    /// [`RefError::StillReachable`] for one that was not dropped; [`RefError::UnknownReference`],
    /// [`RefError::NotCollectable`], [`RefError::WrongKind`], [`RefError::Store`].
    pub fn retire_imports(&mut self, endpoint: EndpointId, erefs: &[Eref]) -> Result<(), RefError> {
        self.retire(endpoint, erefs, Direction::Import)
    }

    /// An endpoint says that these exports of its are gone. Those who would recognise them are told by the next collection.
    ///
    /// # Errors
    /// As [`retire_imports`](Self::retire_imports).
    pub fn retire_exports(&mut self, endpoint: EndpointId, erefs: &[Eref]) -> Result<(), RefError> {
        self.retire(endpoint, erefs, Direction::Export)
    }

    fn retire(&mut self, endpoint: EndpointId, erefs: &[Eref], direction: Direction) -> Result<(), RefError> {
        for eref in erefs {
            let (kref, entry) = self.collectable(endpoint, *eref, direction)?;
            if entry.reachable {
                return Err(RefError::StillReachable { endpoint, eref: *eref });
            }
            self.delete_clist_entry(endpoint, kref, *eref)?;
        }
        Ok(())
    }

    fn collectable(&self, endpoint: EndpointId, eref: Eref, direction: Direction) -> Result<(Kref, Entry), RefError> {
        insist_kind(endpoint, eref)?;
        if eref.kind == RefKind::Promise || eref.direction != direction {
            return Err(RefError::NotCollectable { endpoint, eref });
        }
        let kref = self.eref_to_kref(endpoint, eref)?;
        let entry = kref.map(|kref| self.entry(endpoint, kref)).transpose()?.flatten();
        kref.zip(entry).ok_or(RefError::UnknownReference { endpoint, eref })
    }

    /// Asks that an endpoint be told to collect its garbage. Asking twice is once.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn schedule_reap(&mut self, endpoint: EndpointId) -> Result<(), StoreError> {
        let mut queue = self.reap_queue()?;
        if !queue.contains(&endpoint) {
            queue.push(endpoint);
            self.set_json(REAP_QUEUE, &queue)?;
        }
        Ok(())
    }

    /// Takes the next endpoint that is to collect its garbage.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn next_reap(&mut self) -> Result<Option<EndpointId>, StoreError> {
        let mut queue = self.reap_queue()?;
        if queue.is_empty() {
            return Ok(None);
        }
        let next = queue.remove(0);
        self.set_json(REAP_QUEUE, &queue)?;
        Ok(Some(next))
    }

    pub(super) fn cancel_reap(&mut self, endpoint: EndpointId) -> Result<(), StoreError> {
        let mut queue = self.reap_queue()?;
        let before = queue.len();
        queue.retain(|scheduled| *scheduled != endpoint);
        if queue.len() < before { self.set_json(REAP_QUEUE, &queue) } else { Ok(()) }
    }

    fn reap_queue(&self) -> Result<Vec<EndpointId>, StoreError> {
        Ok(self.json(REAP_QUEUE)?.unwrap_or_default())
    }
}
