//! Promises: who decides them, who waits for them, and what they became.

use super::{
    KernelMessage, KernelStore, Outcome, Party, RefError, StoreError,
    objects::{Change, count_key},
    outcomes::Outcomes,
    rows::{Key, key},
};
#[cfg(feature = "seeded-faults")]
use crate::faults::{Fault, seeded};
use crate::wire::{CapData, EndpointId, Kref};

/// The state of a promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PromiseState {
    /// Not settled yet.
    Unresolved {
        /// Who is to settle it; `None` while the message that will say so is in a queue.
        decider: Option<Party>,
        /// Who is to be told.
        subscribers: Vec<EndpointId>,
    },
    /// Settled with a value.
    Fulfilled(CapData<Kref>),
    /// Settled with a reason.
    Rejected(CapData<Kref>),
}

/// What resolving a promise leaves to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resolved {
    /// Who is to be told.
    pub subscribers: Vec<EndpointId>,
    /// The messages that had collected in the promise, in order. What they mention is not counted any more: queue them in
    /// the same transaction, before garbage is collected.
    pub messages: Vec<KernelMessage>,
}

fn field_key(kpid: Kref, field: &str) -> Key {
    key(format_args!("{kpid}.{field}"))
}

impl KernelStore {
    /// Creates an unresolved promise without a decider. Its count is 1 until it is resolved.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn create_promise(&mut self) -> Result<Kref, StoreError> {
        self.new_promise(None, None, 1)
    }

    /// Writes an unresolved promise whose count is `count` already.
    pub(super) fn new_promise(
        &mut self,
        decider: Option<EndpointId>,
        subscriber: Option<EndpointId>,
        count: u64,
    ) -> Result<Kref, StoreError> {
        let kpid = Kref::promise(self.count_up("nextPromiseId")?);
        self.set(&field_key(kpid, "state"), "unresolved")?;
        self.set_json(&field_key(kpid, "subscribers"), &subscriber.as_slice())?;
        if let Some(decider) = decider {
            self.set(&field_key(kpid, "decider"), &decider.to_string())?;
            self.deciding.add(decider);
        }
        self.set(&count_key(kpid), &count.to_string())?;
        Ok(kpid)
    }

    /// The state of a promise; `None` if there is no such promise.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn promise_state(&self, kpid: Kref) -> Result<Option<PromiseState>, StoreError> {
        let state_key = field_key(kpid, "state");
        let Some(state) = self.get(&state_key)? else { return Ok(None) };
        let value = || {
            let value_key = field_key(kpid, "value");
            self.json::<CapData<Kref>>(&value_key)?.ok_or_else(|| StoreError::corrupt(&value_key, ""))
        };
        Ok(Some(match state.as_str() {
            "unresolved" => PromiseState::Unresolved {
                decider: self.decider(kpid)?,
                subscribers: self.json(&field_key(kpid, "subscribers"))?.unwrap_or_default(),
            },
            "fulfilled" => PromiseState::Fulfilled(value()?),
            "rejected" => PromiseState::Rejected(value()?),
            _ => return Err(StoreError::corrupt(&state_key, &state)),
        }))
    }

    fn unresolved(&self, kpid: Kref) -> Result<(Option<Party>, Vec<EndpointId>), RefError> {
        match self.promise_state(kpid)? {
            None => Err(RefError::UnknownPromise(kpid)),
            Some(PromiseState::Unresolved { decider, subscribers }) => Ok((decider, subscribers)),
            Some(_) => Err(RefError::AlreadyResolved(kpid)),
        }
    }

    pub(super) fn insist_unresolved(&self, kpid: Kref) -> Result<(), RefError> {
        let state_key = field_key(kpid, "state");
        match self.get(&state_key)?.as_deref() {
            None => Err(RefError::UnknownPromise(kpid)),
            Some("unresolved") => Ok(()),
            Some("fulfilled" | "rejected") => Err(RefError::AlreadyResolved(kpid)),
            Some(other) => Err(StoreError::corrupt(&state_key, other).into()),
        }
    }

    /// Who is to settle a promise; `None` when nobody is yet, or it is settled.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn decider(&self, kpid: Kref) -> Result<Option<Party>, StoreError> {
        // The incumbent clears a decider by writing an empty text.
        let decider_key = field_key(kpid, "decider");
        match self.get(&decider_key)?.as_deref() {
            None | Some("") => Ok(None),
            Some(party) => party.parse().map(Some).map_err(|_| StoreError::corrupt(&decider_key, party)),
        }
    }

    /// Says who is to settle a promise. An endpoint must have the promise in its c-list, where
    /// [`promises_by_decider`](Self::promises_by_decider) looks for it.
    ///
    /// # Errors
    /// [`RefError::NotInClist`], [`RefError::AlreadyResolved`], [`RefError::UnknownPromise`], [`RefError::Store`].
    pub fn set_decider(&mut self, kpid: Kref, decider: impl Into<Party>) -> Result<(), RefError> {
        let decider = decider.into();
        self.insist_unresolved(kpid)?;
        if let Party::Endpoint(endpoint) = decider {
            self.insist_in_clist(endpoint, kpid)?;
        }
        self.leave_undecided(kpid)?;
        if let Party::Endpoint(endpoint) = decider {
            self.deciding.add(endpoint);
        }
        Ok(self.set(&field_key(kpid, "decider"), &decider.to_string())?)
    }

    /// Leaves a promise without decider, while a message that carries it as its result is in a queue.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn clear_decider(&mut self, kpid: Kref) -> Result<(), StoreError> {
        self.leave_undecided(kpid)?;
        self.delete(&field_key(kpid, "decider"))
    }

    /// Whoever was to settle a promise is not any more.
    fn leave_undecided(&mut self, kpid: Kref) -> Result<(), StoreError> {
        if let Some(Party::Endpoint(former)) = self.decider(kpid)? {
            self.deciding.remove(former);
        }
        Ok(())
    }

    /// Refuses a resolution by anyone but the decider, and a second one.
    ///
    /// # Errors
    /// [`RefError::NotDecider`], [`RefError::AlreadyResolved`], [`RefError::UnknownPromise`], [`RefError::Store`].
    pub fn insist_decider(&self, kpid: Kref, endpoint: EndpointId) -> Result<(), RefError> {
        self.insist_unresolved(kpid)?;
        if self.decider(kpid)? == Some(Party::Endpoint(endpoint)) {
            Ok(())
        } else {
            Err(RefError::NotDecider { endpoint, kref: kpid })
        }
    }

    fn insist_in_clist(&self, endpoint: EndpointId, kref: Kref) -> Result<(), RefError> {
        match self.kref_to_eref(endpoint, kref)? {
            Some(_) => Ok(()),
            None => Err(RefError::NotInClist { endpoint, kref }),
        }
    }

    /// Who waits for a promise, in the order of their names; empty once it is settled.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn subscribers(&self, kpid: Kref) -> Result<Vec<EndpointId>, StoreError> {
        Ok(self.json(&field_key(kpid, "subscribers"))?.unwrap_or_default())
    }

    /// Adds an endpoint that waits for a promise; twice is once. It must have the promise in its c-list.
    ///
    /// # Errors
    /// [`RefError::NotInClist`], [`RefError::AlreadyResolved`], [`RefError::UnknownPromise`], [`RefError::Store`].
    pub fn add_subscriber(&mut self, kpid: Kref, endpoint: EndpointId) -> Result<(), RefError> {
        let (_, mut subscribers) = self.unresolved(kpid)?;
        self.insist_in_clist(endpoint, kpid)?;
        if !subscribers.contains(&endpoint) {
            subscribers.push(endpoint);
            subscribers.sort_by_key(EndpointId::to_string);
            self.set_json(&field_key(kpid, "subscribers"), &subscribers)?;
        }
        Ok(())
    }

    /// Removes an endpoint that waited for a promise; one that did not is no error.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn remove_subscriber(&mut self, kpid: Kref, endpoint: EndpointId) -> Result<(), StoreError> {
        let mut subscribers = self.subscribers(kpid)?;
        let before = subscribers.len();
        subscribers.retain(|subscriber| *subscriber != endpoint);
        if subscribers.len() < before {
            self.set_json(&field_key(kpid, "subscribers"), &subscribers)?;
        }
        Ok(())
    }

    /// Every unresolved promise that `endpoint` is to settle. It costs one look at each promise in that endpoint's c-list.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn promises_by_decider(&self, endpoint: EndpointId) -> Result<Vec<Kref>, StoreError> {
        let mut decided = Vec::new();
        for kpid in self.clist_promises(endpoint)? {
            match self.decider(kpid) {
                Err(error) if error.is_damage() => tracing::error!(%error, "who decides a promise cannot be read"),
                decider => decided.extend((decider? == Some(Party::Endpoint(endpoint))).then_some(kpid)),
            }
        }
        Ok(decided)
    }

    /// Settles a promise: its value is counted, its decider's count released. Whoever asks has checked that it may.
    ///
    /// # Errors
    /// [`RefError::AlreadyResolved`], [`RefError::UnknownPromise`], [`RefError::Circular`]; [`RefError::Store`], also for a slot
    /// that is unknown.
    pub fn resolve_promise(&mut self, kpid: Kref, rejected: bool, value: &CapData<Kref>) -> Result<Resolved, RefError> {
        let (decider, subscribers) = self.unresolved(kpid)?;
        let messages = self.take_promise_messages(kpid)?;
        for slot in &value.slots {
            self.add_reference(*slot)?;
        }
        #[cfg(feature = "seeded-faults")]
        self.walk_behind(value)?;
        if !self.outcomes.settle(kpid, Outcome::new(rejected, value)) {
            return Err(RefError::Circular(kpid));
        }
        self.set(&field_key(kpid, "state"), if rejected { "rejected" } else { "fulfilled" })?;
        self.set_json(&field_key(kpid, "value"), value)?;
        self.delete(&field_key(kpid, "decider"))?;
        self.delete(&field_key(kpid, "subscribers"))?;
        self.change_promise(kpid, Change::Lose)?;
        if let Some(Party::Endpoint(endpoint)) = decider {
            self.deciding.remove(endpoint);
            if endpoint.is_remote() {
                self.note_settled_name(endpoint, kpid);
            }
        }
        Ok(Resolved { subscribers, messages })
    }

    /// Puts `instead` in the place of the references in a value that lead back to the promise that it is to settle, by way of
    /// settled promises. It is asked for if there are any.
    ///
    /// # Errors
    /// Those of `instead`.
    pub fn cut_circles<E>(
        &mut self,
        kpid: Kref,
        mut value: CapData<Kref>,
        instead: impl FnOnce(&mut KernelStore) -> Result<Kref, E>,
    ) -> Result<CapData<Kref>, E> {
        let circular = self.outcomes.circular(kpid, &Outcome::new(false, &value));
        if !circular.is_empty() {
            let instead = instead(self)?;
            for slot in value.slots.iter_mut().filter(|slot| circular.contains(slot)) {
                *slot = instead;
            }
        }
        Ok(value)
    }

    /// What a promise became, without its value's body; `None` while it is not settled, or if there is none.
    pub fn settled(&self, kpid: Kref) -> Option<&Outcome> {
        self.outcomes.get(kpid).map(|outcome| &**outcome)
    }

    /// Finds what settled promises lead to in their rows. One that cannot be read leads nowhere, until somebody asks for it.
    pub(super) fn note_all_outcomes(&mut self) -> Result<(), StoreError> {
        self.outcomes = Outcomes::default();
        for rest in self.suffixes("kp")? {
            let name = rest.strip_suffix(".value").map(|name| format!("kp{name}"));
            let Some(kpid) = name.and_then(|name| name.parse::<Kref>().ok()) else { continue };
            match self.outcome(kpid) {
                Ok(Some((rejected, value))) => self.outcomes.restore(kpid, Outcome::new(rejected, &value)),
                Ok(None) => {}
                Err(error @ StoreError::Storage(_)) => return Err(error),
                Err(error) => tracing::error!(%error, "what this promise became cannot be read"),
            }
        }
        self.outcomes.weigh_all();
        Ok(())
    }

    /// How a promise was settled: whether rejected, and with what. `None` while it is not, or if there is none.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn outcome(&self, kpid: Kref) -> Result<Option<(bool, CapData<Kref>)>, StoreError> {
        Ok(match self.promise_state(kpid)? {
            Some(PromiseState::Fulfilled(value)) => Some((false, value)),
            Some(PromiseState::Rejected(reason)) => Some((true, reason)),
            Some(PromiseState::Unresolved { .. }) | None => None,
        })
    }

    /// Reads what a value leads to, for [`Fault::WalkBehindValues`].
    #[cfg(feature = "seeded-faults")]
    fn walk_behind(&self, value: &CapData<Kref>) -> Result<(), StoreError> {
        let mut to_see = if seeded(Fault::WalkBehindValues) { value.slots.clone() } else { Vec::new() };
        while let Some(slot) = to_see.pop() {
            if slot.is_promise() {
                to_see.extend(self.outcome(slot)?.into_iter().flat_map(|(_, value)| value.slots));
            }
        }
        Ok(())
    }

    pub(super) fn delete_promise_rows(&mut self, kpid: Kref) -> Result<(), StoreError> {
        for field in ["state", "decider", "subscribers", "value", "refCount"] {
            self.delete(&field_key(kpid, field))?;
        }
        self.outcomes.forget(kpid);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{KernelMessage, KernelStore, PromiseState, RefError, StoreError};
    use crate::storage::MemoryStore;
    use crate::wire::{CapData, EndpointId, Kref};

    const BOB: EndpointId = EndpointId::Remote(1);
    const CAROL: EndpointId = EndpointId::Remote(2);

    fn new_store() -> KernelStore {
        KernelStore::open(Box::new(MemoryStore::new())).unwrap()
    }

    fn empty(body: &str) -> CapData<Kref> {
        CapData { body: body.into(), slots: vec![] }
    }

    #[test]
    fn a_promise_is_recorded_as_the_incumbent_records_it() {
        let mut store = new_store();
        let kpid = store.create_promise().unwrap();
        store.translate_outbound_ref(BOB, kpid).unwrap();
        store.set_decider(kpid, BOB).unwrap();
        store.translate_outbound_ref(EndpointId::Vat(1), kpid).unwrap();
        store.add_subscriber(kpid, EndpointId::Vat(1)).unwrap();
        store.add_subscriber(kpid, BOB).unwrap();
        store.add_subscriber(kpid, BOB).unwrap();
        let row = |name: &str| store.get(name).unwrap();
        assert_eq!(row("kp1.state").as_deref(), Some("unresolved"));
        assert_eq!(row("kp1.decider").as_deref(), Some("r1"));
        assert_eq!(row("kp1.subscribers").as_deref(), Some(r#"["r1","v1"]"#));
        assert_eq!(row("kp1.refCount").as_deref(), Some("3"));
        assert_eq!(row("nextPromiseId").as_deref(), Some("2"));

        let resolved = store.resolve_promise(kpid, true, &empty("gone")).unwrap();
        assert_eq!(resolved.subscribers, [BOB, EndpointId::Vat(1)]);
        let row = |name: &str| store.get(name).unwrap();
        assert_eq!(row("kp1.state").as_deref(), Some("rejected"));
        assert_eq!(row("kp1.value").as_deref(), Some(r#"{"body":"gone","slots":[]}"#));
        assert_eq!(row("kp1.refCount").as_deref(), Some("2"));
        assert_eq!((row("kp1.decider"), row("kp1.subscribers")), (None, None));
        assert_eq!(store.promise_state(kpid).unwrap(), Some(PromiseState::Rejected(empty("gone"))));
    }

    #[test]
    fn the_promises_a_remote_decides_are_found_in_both_directions_of_its_clist() {
        let mut store = new_store();
        let theirs = store.translate_inbound_ref(BOB, "rp+7".parse().unwrap()).unwrap();
        let result = store.create_promise().unwrap();
        store.translate_outbound_ref(BOB, result).unwrap();
        store.set_decider(result, BOB).unwrap();
        let carols = store.translate_inbound_ref(CAROL, "rp+7".parse().unwrap()).unwrap();
        store.translate_outbound_ref(BOB, carols).unwrap();

        let mut decided = store.promises_by_decider(BOB).unwrap();
        decided.sort();
        assert_eq!(decided, [theirs, result]);
        store.resolve_promise(theirs, true, &empty("PEER_RESTARTED")).unwrap();
        assert_eq!(store.promises_by_decider(BOB).unwrap(), [result]);
        assert_eq!(store.promises_by_decider(CAROL).unwrap(), [carols]);
    }

    #[test]
    fn only_the_decider_resolves_and_only_once() {
        let mut store = new_store();
        let kpid = store.translate_inbound_ref(BOB, "rp+1".parse().unwrap()).unwrap();
        assert_eq!(store.insist_decider(kpid, CAROL), Err(RefError::NotDecider { endpoint: CAROL, kref: kpid }));
        store.insist_decider(kpid, BOB).unwrap();
        store.resolve_promise(kpid, false, &empty("")).unwrap();
        assert_eq!(store.insist_decider(kpid, BOB), Err(RefError::AlreadyResolved(kpid)));
        assert_eq!(store.resolve_promise(kpid, false, &empty("")), Err(RefError::AlreadyResolved(kpid)));
        assert_eq!(store.add_subscriber(kpid, BOB), Err(RefError::AlreadyResolved(kpid)));
        let unknown = Kref::promise(99);
        assert_eq!(store.resolve_promise(unknown, false, &empty("")), Err(RefError::UnknownPromise(unknown)));
    }

    #[test]
    fn who_decides_or_waits_must_have_the_promise() {
        let mut store = new_store();
        let kpid = store.create_promise().unwrap();
        assert_eq!(store.set_decider(kpid, BOB), Err(RefError::NotInClist { endpoint: BOB, kref: kpid }));
        assert_eq!(store.add_subscriber(kpid, BOB), Err(RefError::NotInClist { endpoint: BOB, kref: kpid }));
    }

    #[test]
    fn messages_wait_in_a_promise_until_it_is_resolved() {
        let mut store = new_store();
        let kpid = store.translate_inbound_ref(BOB, "rp+1".parse().unwrap()).unwrap();
        let result = store.create_promise().unwrap();
        let message = KernelMessage { methargs: empty("hello"), result: Some(result), sender: None };
        store.enqueue_promise_message(kpid, &message).unwrap();
        assert_eq!(
            store.get("queue.kp1.1").unwrap().as_deref(),
            Some(r#"{"methargs":{"body":"hello","slots":[]},"result":"kp2"}"#)
        );
        assert_eq!(store.get("queue.kp1.head").unwrap().as_deref(), Some("2"));
        assert_eq!(store.promise_count(kpid).unwrap(), Some(3));
        assert_eq!(store.promise_count(result).unwrap(), Some(2));
        store.audit().unwrap();

        let resolved = store.resolve_promise(kpid, false, &empty("")).unwrap();
        assert_eq!(resolved.messages, [message]);
        assert_eq!(store.get("queue.kp1.head").unwrap(), None);
        assert_eq!(store.promise_count(result).unwrap(), Some(1));
        store.audit().unwrap();
    }

    #[test]
    fn corrupt_states_are_errors() {
        let mut store = new_store();
        let kpid = store.create_promise().unwrap();
        for (key, value) in [("kp1.decider", "nobody"), ("kp1.subscribers", "[1]"), ("kp1.state", "pending")] {
            store.set(key, value).unwrap();
            assert!(matches!(store.promise_state(kpid), Err(StoreError::Corrupt { .. })), "{key}");
            store.set("kp1.decider", "").unwrap();
        }
        store.set("kp1.state", "fulfilled").unwrap();
        assert!(matches!(store.promise_state(kpid), Err(StoreError::Corrupt { .. })));
    }
}
