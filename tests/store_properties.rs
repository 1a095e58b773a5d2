//! The kernel store under arbitrary histories: savepoints behave as copies would, and reference counts never leak, never
//! fall below zero, and always equal what an audit of the whole store counts.
#![cfg(feature = "durable")]
// Clippy takes only functions marked as tests for tests.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::{cell::RefCell, collections::BTreeMap, rc::Rc};

use ocap_remotes::{
    kernel::store::{KernelMessage, KernelStore, Party, PromiseState, RefError, Resolved, RunItem, StoreError},
    storage::{DurableStore, KeyValueStore, MemoryStore},
    wire::{CapData, Direction, EndpointId, Eref, Kref, RefKind, Seq},
};
use proptest::{prelude::*, sample::Index};

/// A memory store that the test can look into while the kernel store has it.
type Shared = Rc<RefCell<MemoryStore>>;

#[derive(Clone, Debug)]
enum Write {
    Set(String, String),
    Delete(String),
    Create(String),
    Rollback(String),
    Release(String),
}

fn write() -> impl Strategy<Value = Write> {
    prop_oneof![
        4 => ("[a-d]", "[0-9]").prop_map(|(key, value)| Write::Set(key, value)),
        2 => "[a-d]".prop_map(Write::Delete),
        2 => "[xy]".prop_map(Write::Create),
        1 => "[xy]".prop_map(Write::Rollback),
        1 => "[xy]".prop_map(Write::Release),
    ]
}

fn rows(store: &dyn KeyValueStore) -> BTreeMap<String, String> {
    store.rows().unwrap().into_iter().collect()
}

proptest! {
    #[test]
    fn savepoints_behave_as_copies_would(writes in prop::collection::vec(write(), 0..60), durable in any::<bool>()) {
        let mut store: Box<dyn KeyValueStore> = if durable {
            Box::new(DurableStore::open(redb::backends::InMemoryBackend::new()).unwrap())
        } else {
            Box::new(MemoryStore::new())
        };
        let mut model = BTreeMap::new();
        let mut copies: Vec<(String, BTreeMap<String, String>)> = Vec::new();
        for write in writes {
            match write {
                Write::Set(key, value) => {
                    store.set(&key, &value).unwrap();
                    model.insert(key, value);
                }
                Write::Delete(key) => {
                    store.delete(&key).unwrap();
                    model.remove(&key);
                }
                Write::Create(name) => {
                    store.create_savepoint(&name).unwrap();
                    copies.push((name, model.clone()));
                }
                Write::Rollback(name) => {
                    let position = copies.iter().rposition(|(open, _)| *open == name);
                    prop_assert_eq!(store.rollback_savepoint(&name).is_ok(), position.is_some());
                    if let Some(position) = position {
                        model = copies[position].1.clone();
                        copies.truncate(position);
                    }
                }
                Write::Release(name) => {
                    let position = copies.iter().rposition(|(open, _)| *open == name);
                    prop_assert_eq!(store.release_savepoint(&name).is_ok(), position.is_some());
                    copies.truncate(position.unwrap_or(copies.len()));
                }
            }
            prop_assert_eq!(&rows(&*store), &model);
        }
    }
}

const ENDPOINTS: [EndpointId; 3] = [EndpointId::Vat(1), EndpointId::Remote(1), EndpointId::Remote(2)];

/// What happens to a kernel. Indices choose among what there is at that moment.
#[derive(Clone, Debug)]
enum Event {
    /// An endpoint mentions an export, new or known.
    Export {
        by: usize,
        kind: RefKind,
        number: u64,
    },
    /// One endpoint redeems the URL of a thing in another's c-list: how they meet.
    Introduce {
        by: usize,
        to: usize,
        thing: Index,
    },
    /// An endpoint sends a message about things in its c-list.
    Send {
        by: usize,
        target: Index,
        slots: Vec<Index>,
        answer: Option<u64>,
    },
    /// The kernel delivers the next item of its run queue.
    Deliver,
    /// An endpoint settles a promise that it decides.
    Resolve {
        by: usize,
        promise: Index,
        slots: Vec<Index>,
        rejected: bool,
    },
    /// An endpoint waits for a promise in its c-list.
    Subscribe {
        by: usize,
        promise: Index,
    },
    Drop {
        by: usize,
        import: Index,
    },
    RetireImport {
        by: usize,
        import: Index,
    },
    RetireExport {
        by: usize,
        export: Index,
    },
    Pin {
        by: usize,
        object: Index,
    },
    Unpin {
        object: Index,
    },
    /// A peer says up to which of the outcomes it was told it has forgotten the promises' names.
    Forget {
        by: usize,
        told: u64,
    },
    /// What told a peer an outcome is abandoned.
    Abandon {
        by: usize,
        told: u64,
    },
    /// A peer comes back with a new incarnation.
    Restart {
        who: usize,
    },
    /// An endpoint goes for good.
    Leave {
        who: usize,
    },
}

fn event() -> impl Strategy<Value = Event> {
    let by = || 0..ENDPOINTS.len();
    let index = any::<Index>;
    let slots = || prop::collection::vec(any::<Index>(), 0..3);
    let kind = prop_oneof![3 => Just(RefKind::Object), 1 => Just(RefKind::Promise)];
    prop_oneof![
        8 => (by(), kind, 1_u64..5).prop_map(|(by, kind, number)| Event::Export { by, kind, number }),
        6 => (by(), by(), index()).prop_map(|(by, to, thing)| Event::Introduce { by, to, thing }),
        16 => (by(), index(), slots(), prop::option::of(5_u64..9))
            .prop_map(|(by, target, slots, answer)| Event::Send { by, target, slots, answer }),
        20 => Just(Event::Deliver),
        3 => (by(), index(), slots(), any::<bool>())
            .prop_map(|(by, promise, slots, rejected)| Event::Resolve { by, promise, slots, rejected }),
        2 => (by(), index()).prop_map(|(by, promise)| Event::Subscribe { by, promise }),
        6 => (by(), index()).prop_map(|(by, import)| Event::Drop { by, import }),
        2 => (by(), index()).prop_map(|(by, import)| Event::RetireImport { by, import }),
        2 => (by(), index()).prop_map(|(by, export)| Event::RetireExport { by, export }),
        1 => (by(), index()).prop_map(|(by, object)| Event::Pin { by, object }),
        1 => index().prop_map(|object| Event::Unpin { object }),
        2 => (1..ENDPOINTS.len(), 1_u64..8).prop_map(|(by, told)| Event::Forget { by, told }),
        1 => (1..ENDPOINTS.len(), 1_u64..8).prop_map(|(by, told)| Event::Abandon { by, told }),
        1 => (1..ENDPOINTS.len()).prop_map(|who| Event::Restart { who }),
        1 => by().prop_map(|who| Event::Leave { who }),
    ]
}

/// A kernel that does with each event what a real one does, in small.
struct Kernel<'a>(&'a mut KernelStore);

impl Kernel<'_> {
    fn handle(&mut self, event: &Event) -> Result<(), RefError> {
        match event {
            Event::Export { by, kind, number } => {
                let by = ENDPOINTS[*by];
                let direction = Direction::Export;
                let eref = Eref { remote: by.is_remote(), kind: *kind, direction, index: *number };
                self.0.translate_inbound_ref(by, eref)?;
            }
            Event::Introduce { by, to, thing } => {
                if let Some(kref) = self.mention(ENDPOINTS[*by], thing)? {
                    self.give(ENDPOINTS[*to], kref)?;
                }
            }
            Event::Send { by, target, slots, answer } => self.send(ENDPOINTS[*by], target, slots, *answer)?,
            Event::Deliver => match self.0.dequeue_run()? {
                Some(RunItem::Send { target, message }) => self.deliver(target, &message)?,
                Some(RunItem::Notify { endpoint, kpid }) => self.notify(endpoint, kpid)?,
                None => {}
            },
            Event::Resolve { by, promise, slots, rejected } => {
                let by = ENDPOINTS[*by];
                let decided = self.0.promises_by_decider(by)?;
                if decided.is_empty() {
                    return Ok(());
                }
                let kpid = *promise.get(&decided);
                self.0.insist_decider(kpid, by)?;
                // A ring of promises that mention each other would never be freed, and is refused.
                let slots = self.mentions(by, slots)?;
                self.resolve(kpid, *rejected, slots)?;
                if let (true, Some(eref)) = (by.is_remote(), self.0.kref_to_eref(by, kpid)?) {
                    self.0.forget_name(by, eref)?;
                }
            }
            Event::Subscribe { by, promise } => {
                let by = ENDPOINTS[*by];
                if let Some(kref) = self.mention(by, promise)?.filter(|kref| kref.is_promise()) {
                    self.0.add_subscriber(kref, by)?;
                }
            }
            Event::Drop { by, import } => {
                self.collect(ENDPOINTS[*by], Direction::Import, import, KernelStore::drop_imports)?
            }
            Event::RetireImport { by, import } => {
                self.collect(ENDPOINTS[*by], Direction::Import, import, KernelStore::retire_imports)?
            }
            Event::RetireExport { by, export } => {
                self.collect(ENDPOINTS[*by], Direction::Export, export, KernelStore::retire_exports)?
            }
            Event::Pin { by, object } => {
                if let Some(kref) = self.mention(ENDPOINTS[*by], object)?.filter(|kref| !kref.is_promise()) {
                    self.0.pin_object(kref)?;
                }
            }
            Event::Unpin { object } => {
                let pinned = self.0.pinned_objects()?;
                if !pinned.is_empty() {
                    self.0.unpin_object(*object.get(&pinned))?;
                }
            }
            Event::Forget { by, told } => self.0.forget_retired(ENDPOINTS[*by], Seq::new(*told).unwrap())?,
            Event::Abandon { by, told } => self.0.keep_retired(ENDPOINTS[*by], Seq::new(*told).unwrap())?,
            Event::Restart { who } => {
                self.reject_all_of(ENDPOINTS[*who])?;
                self.0.forget_exports_of(ENDPOINTS[*who])?;
            }
            Event::Leave { who } => {
                self.reject_all_of(ENDPOINTS[*who])?;
                self.0.delete_endpoint(ENDPOINTS[*who])?;
            }
        }
        Ok(())
    }

    /// What an endpoint means by one of the names in its c-list.
    fn mention(&mut self, by: EndpointId, name: &Index) -> Result<Option<Kref>, RefError> {
        let names = self.0.clist(by)?;
        if names.is_empty() {
            return Ok(None);
        }
        self.0.translate_inbound_ref(by, name.get(&names).1).map(Some)
    }

    fn mentions(&mut self, by: EndpointId, names: &[Index]) -> Result<Vec<Kref>, RefError> {
        let mut krefs = Vec::new();
        for name in names {
            krefs.extend(self.mention(by, name)?);
        }
        Ok(krefs)
    }

    fn collect(
        &mut self,
        by: EndpointId,
        direction: Direction,
        name: &Index,
        collect: fn(&mut KernelStore, EndpointId, &[Eref]) -> Result<(), RefError>,
    ) -> Result<(), RefError> {
        let mut names = self.0.clist(by)?;
        names.retain(|(kref, eref)| !kref.is_promise() && eref.direction == direction);
        if names.is_empty() { Ok(()) } else { collect(self.0, by, &[name.get(&names).1]) }
    }

    fn send(&mut self, by: EndpointId, target: &Index, slots: &[Index], answer: Option<u64>) -> Result<(), RefError> {
        let Some(target) = self.mention(by, target)? else { return Ok(()) };
        let slots = self.mentions(by, slots)?;
        let mut result = None;
        if let Some(index) = answer {
            let direction = Direction::Export;
            let eref = Eref { remote: by.is_remote(), kind: RefKind::Promise, direction, index };
            let kpid = self.0.translate_inbound_ref(by, eref)?;
            self.0.insist_decider(kpid, by)?;
            self.0.clear_decider(kpid)?;
            self.0.add_subscriber(kpid, by)?;
            result = Some(kpid);
        }
        let message = KernelMessage {
            methargs: CapData { body: String::new(), slots },
            result,
            sender: by.is_remote().then_some(by),
        };
        Ok(self.0.enqueue_run(RunItem::Send { target, message })?)
    }

    fn give(&mut self, to: EndpointId, kref: Kref) -> Result<(), RefError> {
        let eref = self.0.translate_outbound_ref(to, kref)?;
        assert_eq!(self.0.is_reachable(to, kref), Ok(Some(true)));
        assert_eq!(self.0.translate_inbound_ref(to, eref), Ok(kref), "{to} can mention what it was given");
        Ok(())
    }

    fn deliver(&mut self, target: Kref, message: &KernelMessage) -> Result<(), RefError> {
        let to = if target.is_promise() {
            match self.0.promise_state(target)? {
                Some(PromiseState::Unresolved { .. }) => {
                    return match self.0.enqueue_promise_message(target, message) {
                        Err(RefError::WaitsForItself(kpid)) => self.reject(kpid),
                        done => done,
                    };
                }
                _ => None,
            }
        } else {
            self.0.owner(target)?.and_then(Party::endpoint)
        };
        let Some(to) = to else {
            return message.result.map_or(Ok(()), |kpid| self.reject(kpid));
        };
        self.give(to, target)?;
        for slot in &message.methargs.slots {
            self.give(to, *slot)?;
        }
        if let Some(kpid) = message.result {
            self.give(to, kpid)?;
            self.0.set_decider(kpid, to)?;
        }
        Ok(())
    }

    fn notify(&mut self, endpoint: EndpointId, kpid: Kref) -> Result<(), RefError> {
        let Some(eref) = self.0.kref_to_eref(endpoint, kpid)? else { return Ok(()) };
        if let Some(PromiseState::Fulfilled(value) | PromiseState::Rejected(value)) = self.0.promise_state(kpid)? {
            for slot in value.slots {
                self.give(endpoint, slot)?;
            }
        }
        if !endpoint.is_remote() {
            return self.0.delete_clist_entry(endpoint, kpid, eref);
        }
        let told = self.0.remote_seq_state(endpoint)?.unwrap_or_default().next_send_seq + 1;
        self.0.set_next_send_seq(endpoint, told)?;
        self.0.retire_name(endpoint, kpid, eref, Seq::new(told).unwrap())?;
        assert_eq!(self.0.translate_inbound_ref(endpoint, eref), Ok(kpid), "{endpoint} has not heard of it");
        Ok(())
    }

    fn resolve(&mut self, kpid: Kref, rejected: bool, slots: Vec<Kref>) -> Result<(), RefError> {
        let first = slots.first().copied().filter(|_| !rejected);
        let value = CapData { body: String::new(), slots };
        let Resolved { subscribers, messages } = self.0.resolve_promise(kpid, rejected, &value)?;
        for endpoint in subscribers {
            self.0.enqueue_run(RunItem::Notify { endpoint, kpid })?;
        }
        for message in messages {
            match (first, message.result) {
                (Some(target), _) => self.0.enqueue_run(RunItem::Send { target, message })?,
                (None, Some(result)) => self.reject(result)?,
                (None, None) => {}
            }
        }
        Ok(())
    }

    /// Rejects the answer to a message that cannot be delivered. A peer may have sent it to its own answer.
    fn reject(&mut self, kpid: Kref) -> Result<(), RefError> {
        match self.resolve(kpid, true, vec![]) {
            Err(RefError::AlreadyResolved(_)) => Ok(()),
            outcome => outcome,
        }
    }

    /// Rejects what an endpoint that is gone was to decide, and the answers to its messages that wait.
    fn reject_all_of(&mut self, endpoint: EndpointId) -> Result<(), RefError> {
        for message in self.0.take_waiting_of(endpoint)? {
            message.result.map_or(Ok(()), |kpid| self.reject(kpid))?;
        }
        while let Some(kpid) = self.0.promises_by_decider(endpoint)?.first() {
            self.reject(*kpid)?;
        }
        Ok(())
    }

    /// Lets every endpoint go, delivers everything, and rejects what waits for itself.
    fn wind_up(&mut self, kv: &Shared) -> Result<(), RefError> {
        for kref in self.0.pinned_objects()? {
            self.0.unpin_object(kref)?;
        }
        for who in 0..ENDPOINTS.len() {
            self.handle(&Event::Leave { who })?;
        }
        loop {
            while self.0.run_queue_length()? > 0 {
                self.handle(&Event::Deliver)?;
            }
            let rows = rows(kv);
            let Some((key, _)) = rows.iter().find(|(_, value)| *value == "unresolved") else { return Ok(()) };
            self.reject(key.strip_suffix(".state").unwrap().parse().unwrap())?;
        }
    }
}

/// Why a transaction of the test was undone.
#[derive(Debug)]
enum Undone {
    OnPurpose,
    Refused(RefError),
}

impl From<StoreError> for Undone {
    fn from(error: StoreError) -> Self {
        Undone::Refused(error.into())
    }
}

proptest! {
    #[test]
    fn counts_never_leak_and_never_fall_below_zero(
        events in prop::collection::vec((event(), prop::bool::weighted(0.1), any::<bool>()), 1..120)
    ) {
        let kv = Shared::default();
        let mut store = KernelStore::open(Box::new(kv.clone())).unwrap();
        for (event, undo, collect) in events {
            let before = rows(&kv);
            let outcome = store.transaction("event", |store| {
                Kernel(store).handle(&event).map_err(Undone::Refused)?;
                if collect {
                    store.collect_garbage()?;
                }
                if undo { Err(Undone::OnPurpose) } else { Ok(()) }
            });
            if let Err(Undone::Refused(RefError::Store(error))) = &outcome {
                prop_assert!(false, "{event:?}: {error}");
            }
            if outcome.is_err() {
                prop_assert_eq!(rows(&kv), before, "{:?} left a trace", event);
            }
            if let Err(faults) = store.audit() {
                prop_assert!(false, "after {event:?}: {faults:#?}");
            }
        }

        // After a crash nothing that was in memory is missed.
        let mut store = KernelStore::open(Box::new(kv.clone())).unwrap();
        prop_assert_eq!(store.audit(), Ok(()));
        Kernel(&mut store).wind_up(&kv).unwrap();
        store.collect_garbage().unwrap();
        prop_assert_eq!(store.audit(), Ok(()));
        let is_held = |key: &String| key.starts_with('k') || key.starts_with("retiring.") || key.contains(".c.");
        let left: Vec<String> = rows(&kv).into_keys().filter(is_held).collect();
        prop_assert_eq!(left, Vec::<String>::new(), "something leaked");
    }
}
