//! Garbage: what nobody reaches or recognises, and what endpoints say that they dropped.
//!
//! Whether garbage *is* garbage is read from the counts, never from a list of pending work, so that a crash cannot lose a
//! collection: see [`KernelStore::open`].

use super::{
    KernelStore, Party, PromiseState, RefError, StoreError,
    clist::{Entry, insist_kind},
    objects::{ObjectCounts, count_key},
    telling::{Actions, Collection, Hearing, MayHear, Word},
};
use crate::{
    runtime::worth_a_line,
    wire::{Direction, EndpointId, Eref, Kref, RefKind},
};

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

/// What came of a collection.
#[derive(Debug)]
pub struct Collected {
    /// Whom to tell what.
    pub actions: Vec<GcAction>,
    /// Nothing more is to be looked at.
    pub is_all: bool,
}

const REAP_QUEUE: &str = "reapQueue";
/// The incumbent's list of actions to come, such as `v1 retireImport ko5`. Ours are taken as soon as they are known.
const INHERITED: &str = "gcActions";

impl KernelStore {
    /// Frees what nobody holds any more, and answers what endpoints must be told of it. Call it at the end of each
    /// transaction, and send what it answers in that transaction.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn collect_garbage(&mut self) -> Result<Vec<GcAction>, StoreError> {
        Ok(self.collect_garbage_for(&|_, _| Hearing::Everything, usize::MAX)?.actions)
    }

    /// As [`collect_garbage`](Self::collect_garbage), where some endpoints may be told one thing at a time. What they may not
    /// be told yet stays as it is: it is garbage, and found again by any later collection, or life of the kernel. At most `limit`
    /// things are looked at.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn collect_garbage_for(&mut self, hearing: MayHear<'_>, limit: usize) -> Result<Collected, StoreError> {
        let mut collection = Collection::new(hearing);
        if self.uncollected.inherited {
            self.take_inherited(&mut collection)?;
        }
        for _ in 0..limit {
            let Some(kref) = self.next_garbage(&collection) else {
                return Ok(Collected { actions: collection.listed(), is_all: true });
            };
            self.collect(kref, &mut collection)?;
        }
        Ok(Collected { actions: collection.listed(), is_all: false })
    }

    /// As [`collect_garbage_for`](Self::collect_garbage_for), for a store in which something is wrong: what cannot be collected
    /// is left where it is, and looked at again when the store is opened. It costs a savepoint for each.
    ///
    /// # Errors
    /// [`StoreError::Storage`].
    pub fn collect_what_can_be(&mut self, hearing: MayHear<'_>, limit: usize) -> Result<Collected, StoreError> {
        let (mut collection, mut actions) = (Collection::new(hearing), Actions::new());
        self.uncollected.inherited = false;
        let mut is_all = false;
        for _ in 0..limit {
            let Some(kref) = self.next_garbage(&collection) else {
                is_all = true;
                break;
            };
            let collected = self.transaction("collect", |store| store.collect(kref, &mut collection));
            let told = std::mem::take(&mut collection.actions);
            match collected {
                Ok(()) => told.into_iter().for_each(|(to, erefs)| actions.entry(to).or_default().extend(erefs)),
                Err(error @ StoreError::Storage(_)) => return Err(error),
                Err(error) => {
                    if let Some(times) = worth_a_line("uncollected", "") {
                        tracing::error!(%kref, %error, times, "this cannot be collected");
                    }
                }
            }
        }
        collection.actions = actions;
        Ok(Collected { actions: collection.listed(), is_all })
    }

    /// The next thing that may be garbage.
    fn next_garbage(&mut self, collection: &Collection<'_>) -> Option<Kref> {
        if self.uncollected.maybe_free.is_empty() {
            self.look_again(collection);
        }
        self.uncollected.maybe_free.pop_first()
    }

    fn collect(&mut self, kref: Kref, collection: &mut Collection<'_>) -> Result<(), StoreError> {
        match kref.kind {
            RefKind::Object => self.collect_object(kref, collection),
            RefKind::Promise => self.collect_promise(kref),
        }
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

    fn collect_object(&mut self, kref: Kref, collection: &mut Collection<'_>) -> Result<(), StoreError> {
        let Some(mut counts) = self.object_counts(kref)?.filter(|counts| counts.reachable == 0) else {
            return Ok(());
        };
        if counts.recognizable > 0 {
            self.forget_former(kref)?;
            counts = self.object_counts(kref)?.unwrap_or_default();
        }
        match self.owner(kref)? {
            Some(Party::Kernel) => return Ok(()),
            Some(Party::Endpoint(owner)) => {
                let entry = self.entry(owner, kref)?;
                let mut in_silence = false;
                if let Some(entry @ Entry { reachable: true, eref }) = entry {
                    match self.word(collection, owner, GcKind::DropExports, kref) {
                        Word::Now => {
                            self.clear_reachable(owner, kref, entry)?;
                            collection.tell(owner, GcKind::DropExports, eref);
                        }
                        // It would have to be remembered, lest it be retired with a word.
                        Word::Never if counts.recognizable == 0 => in_silence = true,
                        Word::Later | Word::Never => return Ok(()),
                    }
                }
                if counts.recognizable > 0 {
                    return Ok(());
                }
                if let Some(Entry { eref, .. }) = entry {
                    if !in_silence {
                        match self.word(collection, owner, GcKind::RetireExports, kref) {
                            Word::Now => collection.tell(owner, GcKind::RetireExports, eref),
                            Word::Later => return Ok(()),
                            Word::Never => {}
                        }
                    }
                    self.delete_entry_rows(owner, kref, eref)?;
                }
            }
            // Nobody can send it to anyone again, so those who would recognise it need wait no longer.
            None if counts.recognizable > 0 => {
                let mut left = 0;
                for importer in self.endpoints()? {
                    if let Some(Entry { eref, .. }) = self.entry(importer, kref)? {
                        match self.word(collection, importer, GcKind::RetireImports, kref) {
                            Word::Now => collection.tell(importer, GcKind::RetireImports, eref),
                            Word::Never => {}
                            Word::Later => {
                                left += 1;
                                continue;
                            }
                        }
                        self.delete_entry_rows(importer, kref, eref)?;
                    }
                }
                if left > 0 {
                    return self.set(&count_key(kref), &ObjectCounts { reachable: 0, recognizable: left }.to_string());
                }
            }
            None => {}
        }
        self.delete_object_rows(kref)
    }

    /// An incumbent writes down what it will tell before it changes the c-lists. Exports are found again through their
    /// counts; an import has to be retired here, because its object is deleted already.
    fn take_inherited(&mut self, collection: &mut Collection<'_>) -> Result<(), StoreError> {
        let inherited = self.json::<Vec<String>>(INHERITED)?.unwrap_or_default();
        let (count, mut left) = (inherited.len(), Vec::new());
        for action in inherited {
            let corrupt = || StoreError::corrupt(INHERITED, &action);
            let mut words = action.split(' ');
            let endpoint: EndpointId = words.next().and_then(|word| word.parse().ok()).ok_or_else(corrupt)?;
            let kind = words.next().ok_or_else(corrupt)?;
            let kref: Kref = words.next().and_then(|word| word.parse().ok()).ok_or_else(corrupt)?;
            if kind != "retireImport" {
                self.uncollected.maybe_free.insert(kref);
            } else if let Some(Entry { eref, .. }) = self.entry(endpoint, kref)? {
                if collection.may_tell(endpoint, GcKind::RetireImports) {
                    self.delete_entry_rows(endpoint, kref, eref)?;
                    collection.tell(endpoint, GcKind::RetireImports, eref);
                } else {
                    left.push(action);
                }
            }
        }
        self.uncollected.inherited = !left.is_empty();
        if left.len() < count { self.set_json(INHERITED, &left) } else { Ok(()) }
    }

    /// Notes all that has no holder, and whether an incumbent left something to do.
    pub(super) fn note_all_garbage(&mut self) -> Result<(), StoreError> {
        self.uncollected.inherited = self.get(INHERITED)?.is_some_and(|actions| actions != "[]");
        for prefix in ["ko", "kp"] {
            for rest in self.suffixes(prefix)? {
                let Some(index) = rest.strip_suffix(".refCount") else { continue };
                let name = format!("{prefix}{index}");
                // What is called otherwise nobody can name.
                let Ok(kref) = name.parse::<Kref>() else { continue };
                if self.get(&count_key(kref))?.is_some_and(|count| count.starts_with('0')) {
                    self.uncollected.maybe_free.insert(kref);
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
        match self.json(REAP_QUEUE) {
            Err(error) if error.is_damage() => {
                tracing::error!(%error, "who is to collect its garbage cannot be read; nobody is asked");
                Ok(Vec::new())
            }
            queue => Ok(queue?.unwrap_or_default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{KernelStore, RefError},
        *,
    };
    use crate::{
        storage::{KeyValueStore, MemoryStore},
        wire::CapData,
    };

    const PROGRAM: EndpointId = EndpointId::Vat(1);
    const BOB: EndpointId = EndpointId::Remote(1);
    const CAROL: EndpointId = EndpointId::Remote(2);

    fn new_store() -> KernelStore {
        KernelStore::open(Box::new(MemoryStore::new())).unwrap()
    }

    fn eref(text: &str) -> Eref {
        text.parse().unwrap()
    }

    fn told(endpoint: EndpointId, kind: GcKind, name: &str) -> GcAction {
        GcAction { endpoint, kind, erefs: vec![eref(name)] }
    }

    /// Bob's object, which Carol imports.
    fn bobs_object_at_carols(store: &mut KernelStore) -> (Kref, Eref) {
        let kref = store.translate_inbound_ref(BOB, eref("ro+1")).unwrap();
        let carols = store.translate_outbound_ref(CAROL, kref).unwrap();
        assert_eq!(store.collect_garbage().unwrap(), []);
        (kref, carols)
    }

    #[test]
    fn an_owner_hears_that_its_object_is_dropped_and_then_that_it_is_retired() {
        let mut store = new_store();
        let (kref, carols) = bobs_object_at_carols(&mut store);
        store.drop_imports(CAROL, &[carols]).unwrap();
        store.drop_imports(CAROL, &[carols]).unwrap();
        assert_eq!(store.collect_garbage().unwrap(), [told(BOB, GcKind::DropExports, "ro+1")]);
        assert_eq!(store.get("r1.c.ko1").unwrap().as_deref(), Some("_ ro+1"));
        store.retire_imports(CAROL, &[carols]).unwrap();
        assert_eq!(store.collect_garbage().unwrap(), [told(BOB, GcKind::RetireExports, "ro+1")]);
        assert_eq!(store.object_counts(kref).unwrap(), None);
        assert_eq!(store.eref_to_kref(BOB, eref("ro+1")).unwrap(), None);
        store.audit().unwrap();
    }

    #[test]
    fn importers_hear_that_an_object_is_gone() {
        let mut store = new_store();
        let (_, carols) = bobs_object_at_carols(&mut store);
        store.drop_imports(CAROL, &[carols]).unwrap();
        store.collect_garbage().unwrap();
        store.retire_exports(BOB, &[eref("ro+1")]).unwrap();
        assert_eq!(store.collect_garbage().unwrap(), [told(CAROL, GcKind::RetireImports, "ro-1")]);
        assert_eq!(store.clist(CAROL).unwrap(), []);
        store.audit().unwrap();
    }

    #[test]
    fn what_is_reachable_is_neither_retired_by_its_importer_nor_by_its_exporter() {
        let mut store = new_store();
        let (_, carols) = bobs_object_at_carols(&mut store);
        let refused = |endpoint, eref| Err(RefError::StillReachable { endpoint, eref });
        assert_eq!(store.retire_imports(CAROL, &[carols]), refused(CAROL, carols));
        assert_eq!(store.retire_exports(BOB, &[eref("ro+1")]), refused(BOB, eref("ro+1")));
        store.audit().unwrap();
    }

    #[test]
    fn only_the_right_side_drops_and_promises_are_never_dropped() {
        let mut store = new_store();
        store.translate_inbound_ref(BOB, eref("rp+1")).unwrap();
        bobs_object_at_carols(&mut store);
        let not_so = |name| Err(RefError::NotCollectable { endpoint: BOB, eref: eref(name) });
        assert_eq!(store.drop_imports(BOB, &[eref("ro+1")]), not_so("ro+1"));
        assert_eq!(store.drop_imports(BOB, &[eref("rp-1")]), not_so("rp-1"));
        assert_eq!(store.retire_imports(BOB, &[eref("ro+1")]), not_so("ro+1"));
        assert_eq!(store.retire_exports(BOB, &[eref("rp+1")]), not_so("rp+1"));
        let unknown = Err(RefError::UnknownReference { endpoint: BOB, eref: eref("ro-7") });
        assert_eq!(store.drop_imports(BOB, &[eref("ro-7")]), unknown);
        let wrong = Err(RefError::WrongKind { endpoint: BOB, eref: eref("o-1") });
        assert_eq!(store.drop_imports(BOB, &[eref("o-1")]), wrong);
    }

    #[test]
    fn a_promise_that_nobody_holds_releases_what_it_became() {
        let mut store = new_store();
        let kpid = store.translate_inbound_ref(BOB, eref("rp+1")).unwrap();
        let object = store.translate_inbound_ref(BOB, eref("ro+1")).unwrap();
        store.resolve_promise(kpid, false, &CapData { body: String::new(), slots: vec![object] }).unwrap();
        assert_eq!(store.collect_garbage().unwrap(), []);
        store.delete_clist_entry(BOB, kpid, eref("rp+1")).unwrap();
        let actions = store.collect_garbage().unwrap();
        assert_eq!(actions, [told(BOB, GcKind::DropExports, "ro+1"), told(BOB, GcKind::RetireExports, "ro+1")]);
        assert_eq!(store.suffixes("k").unwrap(), [""; 0]);
        store.audit().unwrap();
    }

    #[test]
    fn what_a_crash_left_uncollected_is_found_when_the_store_is_opened() {
        let mut kv = MemoryStore::new();
        for (key, value) in [("ko1.owner", "r1"), ("ko1.refCount", "0,0"), ("r1.c.ko1", "R ro+1"), ("r1.c.ro+1", "ko1")]
        {
            kv.set(key, value).unwrap();
        }
        let mut store = KernelStore::open(Box::new(kv)).unwrap();
        assert_eq!(store.collect_garbage().unwrap().len(), 2);
        store.audit().unwrap();
    }

    #[test]
    fn actions_that_an_incumbent_left_are_taken() {
        let mut kv = MemoryStore::new();
        for (key, value) in [("gcActions", r#"["v1 retireImport ko5"]"#), ("v1.c.ko5", "_ o-3"), ("v1.c.o-3", "ko5")] {
            kv.set(key, value).unwrap();
        }
        let mut store = KernelStore::open(Box::new(kv)).unwrap();
        assert_eq!(store.collect_garbage().unwrap(), [told(PROGRAM, GcKind::RetireImports, "o-3")]);
        assert_eq!(store.clist(PROGRAM).unwrap(), []);
        assert_eq!(store.get("gcActions").unwrap().as_deref(), Some("[]"));
        store.set("gcActions", r#"["v1 explode"]"#).unwrap();
        store.uncollected.inherited = true;
        assert!(matches!(store.collect_garbage(), Err(StoreError::Corrupt { .. })));
    }

    #[test]
    fn an_endpoint_is_reaped_once_however_often_it_was_asked_for() {
        let mut store = new_store();
        for endpoint in [BOB, CAROL, BOB] {
            store.schedule_reap(endpoint).unwrap();
        }
        assert_eq!(store.get("reapQueue").unwrap().as_deref(), Some(r#"["r1","r2"]"#));
        assert_eq!(store.next_reap().unwrap(), Some(BOB));
        store.delete_endpoint(CAROL).unwrap();
        assert_eq!(store.next_reap().unwrap(), None);
    }
}
