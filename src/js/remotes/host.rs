//! A kernel in JavaScript as the host of remotes: its store and its queue, by the incumbent's names.

use std::{collections::HashSet, str::FromStr};

use js_sys::Array;
use serde::de::DeserializeOwned;
use wasm_bindgen::{JsCast as _, JsValue};

use super::duck::{Duck, array, member, object};
use crate::{
    js::error::{host_error, to_js},
    kernel::{
        HostKernel, KernelError,
        store::{KernelMessage, RefError, RemoteInfo, RemoteSeqState},
    },
    wire::{CapData, Direction, EndpointId, Eref, IncarnationId, Kref, MAX_SEQ, PeerId, RefKind, Resolution},
};

/// What the store of a kernel must be able to do.
pub(super) const STORE: [&str; 30] = [
    "createSavepoint",
    "rollbackSavepoint",
    "releaseSavepoint",
    "provideIncarnationId",
    "getAllRemoteRecords",
    "getNextRemoteId",
    "initEndpoint",
    "setRemoteInfo",
    "getRemoteSeqState",
    "setRemoteNextSendSeq",
    "setRemoteHighestReceivedSeq",
    "setRemoteStartSeq",
    "getPendingMessage",
    "setPendingMessage",
    "deletePendingMessage",
    "clearRemoteSeqState",
    "cleanupOrphanMessages",
    "getPeerIncarnation",
    "setPeerIncarnation",
    "getOwner",
    "erefToKref",
    "translateRefEtoK",
    "translateRefKtoE",
    "getReachableFlag",
    "clearReachableFlag",
    "forgetKref",
    "forgetEndpointImports",
    "getKernelPromise",
    "getPromisesByDecider",
    "scheduleReap",
];

/// What the queue of a kernel must be able to do.
pub(super) const QUEUE: [&str; 4] = ["enqueueSend", "enqueueNotify", "resolvePromises", "waitForCrank"];

/// The most messages that one remote may have left in the store: as many as it may have unacknowledged.
const MAX_PENDING: u64 = 100_000;

/// A kernel in JavaScript.
pub(super) struct JsHost {
    store: Duck,
    queue: Duck,
    /// The savepoints that are open. Their names differ, so that a store need not know which of two is the newer.
    savepoints: Vec<String>,
    made: u64,
}

/// A promise as the store tells it.
struct Promise {
    settled: Option<(bool, CapData<Kref>)>,
    decider: JsValue,
}

fn text(value: &impl ToString) -> JsValue {
    value.to_string().into()
}

fn cap_data(data: &CapData<Kref>) -> JsValue {
    object(&[("body", data.body.as_str().into()), ("slots", array(data.slots.iter().map(text)))])
}

fn remote_kind(eref: Eref) -> Option<Eref> {
    Some(eref).filter(|eref| eref.remote)
}

impl JsHost {
    /// A kernel with this store and this queue.
    pub(super) fn new(store: Duck, queue: Duck) -> Self {
        JsHost { store, queue, savepoints: Vec::new(), made: 0 }
    }

    fn store(&self, name: &str, arguments: &[JsValue]) -> Result<JsValue, KernelError> {
        self.store.call(name, arguments).map_err(host_error)
    }

    fn queue(&self, name: &str, arguments: &[JsValue]) -> Result<(), KernelError> {
        self.queue.call(name, arguments).map(|_| ()).map_err(host_error)
    }

    fn bad_answer(&self, name: &str, expected: &str) -> KernelError {
        host_error(self.store.bad_answer(name, expected))
    }

    /// An answer that is a text, or nothing.
    fn text(&self, name: &str, arguments: &[JsValue]) -> Result<Option<String>, KernelError> {
        let answer = self.store(name, arguments)?;
        text_or_nothing(&self.store, name, &answer).map_err(host_error)
    }

    fn parsed<T: FromStr>(&self, name: &str, expected: &str, arguments: &[JsValue]) -> Result<Option<T>, KernelError> {
        let parse = |text: String| text.parse().map_err(|_| self.bad_answer(name, expected));
        self.text(name, arguments)?.map(parse).transpose()
    }

    fn required<T: FromStr>(&self, name: &str, expected: &str, arguments: &[JsValue]) -> Result<T, KernelError> {
        self.parsed(name, expected, arguments)?.ok_or_else(|| self.bad_answer(name, expected))
    }

    fn read<T: DeserializeOwned>(&self, name: &str, expected: &str, value: JsValue) -> Result<T, KernelError> {
        serde_wasm_bindgen::from_value(value).map_err(|_| self.bad_answer(name, expected))
    }

    /// The items of an array, or of anything else that can be iterated.
    fn items(&self, name: &str, arguments: &[JsValue]) -> Result<Vec<JsValue>, KernelError> {
        let answer = self.store(name, arguments)?;
        let items = js_sys::try_iter(&answer).map_err(host_error)?.ok_or_else(|| self.bad_answer(name, "list"))?;
        items.collect::<Result<_, _>>().map_err(host_error)
    }

    fn set_number(&self, name: &str, remote: EndpointId, number: u64) -> Result<(), KernelError> {
        self.store(name, &[text(&remote), (number as f64).into()]).map(|_| ())
    }

    fn promise(&self, kpid: Kref) -> Result<Promise, KernelError> {
        const NAME: &str = "getKernelPromise";
        let answer = self.store(NAME, &[text(&kpid)])?;
        let settled = match member(&answer, "state").as_string().as_deref() {
            Some("unresolved") => None,
            Some(state @ ("fulfilled" | "rejected")) => {
                Some((state == "rejected", self.read(NAME, "promise", member(&answer, "value"))?))
            }
            _ => return Err(self.bad_answer(NAME, "promise")),
        };
        Ok(Promise { settled, decider: member(&answer, "decider") })
    }

    /// Fails unless a promise is unresolved and this remote's to decide; anybody's if none is given. Answers whose it is.
    fn insist_decider(&self, kpid: Kref, remote: Option<EndpointId>) -> Result<JsValue, KernelError> {
        if !kpid.is_promise() {
            return Err(KernelError::NotAPromise(kpid));
        }
        let promise = self.promise(kpid)?;
        if promise.settled.is_some() {
            return Err(RefError::AlreadyResolved(kpid).into());
        }
        match remote {
            Some(endpoint) if promise.decider.as_string() != Some(endpoint.to_string()) => {
                Err(RefError::NotDecider { endpoint, kref: kpid }.into())
            }
            _ => Ok(promise.decider),
        }
    }

    /// The object behind a reference that a remote drops or retires.
    fn collectable(&self, endpoint: EndpointId, eref: Eref, direction: Direction) -> Result<Kref, KernelError> {
        let eref = remote_kind(eref).ok_or(RefError::WrongKind { endpoint, eref })?;
        if eref.kind == RefKind::Promise || eref.direction != direction {
            return Err(RefError::NotCollectable { endpoint, eref }.into());
        }
        Ok(self.known(endpoint, eref)?.ok_or(RefError::UnknownReference { endpoint, eref })?)
    }

    fn retire(&mut self, endpoint: EndpointId, erefs: &[Eref], direction: Direction) -> Result<(), KernelError> {
        for eref in erefs {
            let kref = self.collectable(endpoint, *eref, direction)?;
            let names = [text(&endpoint), text(&kref)];
            if self.store("getReachableFlag", &names)?.is_truthy() {
                return Err(RefError::StillReachable { endpoint, eref: *eref }.into());
            }
            self.store("forgetKref", &names)?;
        }
        Ok(())
    }

    fn resolve(&self, decider: JsValue, resolutions: &[Resolution<Kref>]) -> Result<(), KernelError> {
        let triple = |resolution: &Resolution<Kref>| {
            let Resolution { promise, rejected, value } = resolution;
            array([text(promise), (*rejected).into(), cap_data(value)])
        };
        self.queue("resolvePromises", &[decider, array(resolutions.iter().map(triple))])
    }
}

impl HostKernel for JsHost {
    fn begin(&mut self, name: &str) -> Result<(), KernelError> {
        self.made = self.made.wrapping_add(1);
        let name = format!("remotes_{name}_{}", self.made);
        self.store("createSavepoint", &[name.as_str().into()])?;
        self.savepoints.push(name);
        Ok(())
    }

    fn end(&mut self, _: &str, keep: bool) -> Result<(), KernelError> {
        let name: JsValue = self.savepoints.pop().unwrap_or_default().into();
        if !keep {
            return self.store("rollbackSavepoint", &[name]).map(|_| ());
        }
        self.store("releaseSavepoint", std::slice::from_ref(&name)).map(|_| ()).inspect_err(|_| {
            // What could not be kept is undone; the first error says why.
            if let Err(error) = self.store("rollbackSavepoint", &[name]) {
                tracing::error!(%error, "what the kernel's store could not keep could not be undone either");
            }
        })
    }

    fn all_remotes(&self) -> Result<Vec<(EndpointId, RemoteInfo)>, KernelError> {
        const NAME: &str = "getAllRemoteRecords";
        let expected = "list of remotes";
        let record = |record: JsValue| {
            let info = member(&record, "remoteInfo");
            let id = member(&record, "remoteId").as_string().and_then(|id| id.parse().ok());
            let peer_id = member(&info, "peerId").as_string().and_then(|peer| peer.parse().ok());
            let (Some(id), Some(peer_id)) = (id, peer_id) else { return Err(self.bad_answer(NAME, expected)) };
            let hints = member(&info, "hints");
            let hints = if hints.is_undefined() { Vec::new() } else { self.read(NAME, expected, hints)? };
            Ok((id, RemoteInfo { peer_id, hints }))
        };
        self.items(NAME, &[])?.into_iter().map(record).collect()
    }

    fn next_remote_id(&mut self) -> Result<EndpointId, KernelError> {
        let id: EndpointId = self.required("getNextRemoteId", "remote id", &[])?;
        self.store("initEndpoint", &[text(&id)])?;
        Ok(id)
    }

    fn set_remote_info(&mut self, remote: EndpointId, info: &RemoteInfo) -> Result<(), KernelError> {
        let hints = array(info.hints.iter().map(text));
        let info = object(&[("peerId", text(&info.peer_id)), ("hints", hints)]);
        self.store("setRemoteInfo", &[text(&remote), info]).map(|_| ())
    }

    fn remote_seq_state(&self, remote: EndpointId) -> Result<Option<RemoteSeqState>, KernelError> {
        const NAME: &str = "getRemoteSeqState";
        let answer = self.store(NAME, &[text(&remote)])?;
        if answer.is_undefined() || answer.is_null() {
            return Ok(None);
        }
        let number = |name: &str| match member(&answer, name) {
            none if none.is_undefined() || none.is_null() => Ok(0),
            given => whole(given.as_f64()).ok_or_else(|| self.bad_answer(NAME, "sequence state")),
        };
        Ok(Some(RemoteSeqState {
            next_send_seq: number("nextSendSeq")?,
            highest_received_seq: number("highestReceivedSeq")?,
            start_seq: number("startSeq")?,
        }))
    }

    fn set_next_send_seq(&mut self, remote: EndpointId, seq: u64) -> Result<(), KernelError> {
        self.set_number("setRemoteNextSendSeq", remote, seq)
    }

    fn set_highest_received_seq(&mut self, remote: EndpointId, seq: u64) -> Result<(), KernelError> {
        self.set_number("setRemoteHighestReceivedSeq", remote, seq)
    }

    fn set_start_seq(&mut self, remote: EndpointId, seq: u64) -> Result<(), KernelError> {
        self.set_number("setRemoteStartSeq", remote, seq)
    }

    fn pending_message(&self, remote: EndpointId, seq: u64) -> Result<Option<String>, KernelError> {
        self.text("getPendingMessage", &[text(&remote), (seq as f64).into()])
    }

    fn pending_messages(&self, remote: EndpointId) -> Result<Vec<(u64, String)>, KernelError> {
        let state = self.remote_seq_state(remote)?.unwrap_or_default();
        let first = state.start_seq.max(1).max(state.next_send_seq.saturating_sub(MAX_PENDING));
        let mut messages = Vec::new();
        for seq in first..=state.next_send_seq {
            messages.extend(self.pending_message(remote, seq)?.map(|message| (seq, message)));
        }
        Ok(messages)
    }

    fn set_pending_message(&mut self, remote: EndpointId, seq: u64, message: &str) -> Result<(), KernelError> {
        self.store("setPendingMessage", &[text(&remote), (seq as f64).into(), message.into()]).map(|_| ())
    }

    fn delete_pending_message(&mut self, remote: EndpointId, seq: u64) -> Result<(), KernelError> {
        self.set_number("deletePendingMessage", remote, seq)
    }

    fn clear_remote_seq_state(&mut self, remote: EndpointId) -> Result<(), KernelError> {
        self.store("clearRemoteSeqState", &[text(&remote)]).map(|_| ())
    }

    fn cleanup_orphan_messages(&mut self, remote: EndpointId, start: u64) -> Result<(), KernelError> {
        self.set_number("cleanupOrphanMessages", remote, start)
    }

    fn peer_incarnation(&self, peer: &PeerId) -> Result<Option<IncarnationId>, KernelError> {
        self.parsed("getPeerIncarnation", "incarnation id", &[text(peer)])
    }

    fn set_peer_incarnation(&mut self, peer: &PeerId, incarnation: &IncarnationId) -> Result<(), KernelError> {
        self.store("setPeerIncarnation", &[text(peer), incarnation.as_str().into()]).map(|_| ())
    }

    /// A kernel in JavaScript does not say what is in a c-list, and so keeps the record of every peer.
    fn has_references(&self, _: EndpointId) -> Result<bool, KernelError> {
        Ok(true)
    }

    fn has_object(&self, kref: Kref) -> Result<bool, KernelError> {
        // The second argument says that an unknown object is no error.
        Ok(self.text("getOwner", &[text(&kref), false.into()])?.is_some())
    }

    fn known(&self, remote: EndpointId, eref: Eref) -> Result<Option<Kref>, KernelError> {
        self.parsed("erefToKref", "kernel reference", &[text(&remote), text(&eref)])
    }

    fn take(&mut self, endpoint: EndpointId, eref: Eref) -> Result<Kref, KernelError> {
        let eref = remote_kind(eref).ok_or(RefError::WrongKind { endpoint, eref })?;
        if eref.direction == Direction::Import && self.known(endpoint, eref)?.is_none() {
            return Err(RefError::UnknownReference { endpoint, eref }.into());
        }
        let taken = self.required("translateRefEtoK", "kernel reference", &[text(&endpoint), text(&eref)]);
        match taken {
            // Our own records say so of a name that only a dead incarnation was told: it is the message that is wrong.
            Err(KernelError::Host { name, .. }) if name == "ReferenceError" && eref.direction == Direction::Import => {
                Err(RefError::UnknownReference { endpoint, eref }.into())
            }
            taken => taken,
        }
    }

    fn give(&mut self, remote: EndpointId, kref: Kref) -> Result<Eref, KernelError> {
        self.required("translateRefKtoE", "remote reference", &[text(&remote), text(&kref), true.into()])
    }

    fn accept_result(&mut self, remote: EndpointId, eref: Eref) -> Result<Kref, KernelError> {
        let promise = self.take(remote, eref)?;
        self.insist_decider(promise, Some(remote))?;
        // A peer that passes on what it was to decide waits for it now. It is subscribed to its own promises already.
        if eref.direction == Direction::Import && self.store.has("addPromiseSubscriber") {
            self.store("addPromiseSubscriber", &[text(&remote), text(&promise)])?;
        }
        Ok(promise)
    }

    fn outcome(&self, promise: Kref) -> Result<Option<(bool, CapData<Kref>)>, KernelError> {
        Ok(self.promise(promise)?.settled)
    }

    fn promises_by_decider(&self, remote: EndpointId) -> Result<Vec<Kref>, KernelError> {
        const NAME: &str = "getPromisesByDecider";
        let kref = |item: JsValue| item.as_string().and_then(|text| text.parse().ok());
        let promises = self.items(NAME, &[text(&remote)])?;
        promises.into_iter().map(|item| kref(item).ok_or_else(|| self.bad_answer(NAME, "list of promises"))).collect()
    }

    fn forget_exports_of(&mut self, remote: EndpointId) -> Result<(), KernelError> {
        self.store("forgetEndpointImports", &[text(&remote)]).map(|_| ())
    }

    fn drop_imports(&mut self, remote: EndpointId, erefs: &[Eref]) -> Result<(), KernelError> {
        for eref in erefs {
            let kref = self.collectable(remote, *eref, Direction::Import)?;
            self.store("clearReachableFlag", &[text(&remote), text(&kref)])?;
        }
        Ok(())
    }

    fn retire_imports(&mut self, remote: EndpointId, erefs: &[Eref]) -> Result<(), KernelError> {
        self.retire(remote, erefs, Direction::Import)
    }

    fn retire_exports(&mut self, remote: EndpointId, erefs: &[Eref]) -> Result<(), KernelError> {
        self.retire(remote, erefs, Direction::Export)
    }

    fn was_retired(&self, remote: EndpointId, eref: Eref) -> Result<bool, KernelError> {
        Ok(eref.kind == RefKind::Object && self.known(remote, eref)?.is_none())
    }

    fn schedule_reap(&mut self, remote: EndpointId) -> Result<(), KernelError> {
        self.store("scheduleReap", &[text(&remote)]).map(|_| ())
    }

    fn enqueue_send(&mut self, target: Kref, message: KernelMessage) -> Result<(), KernelError> {
        let result = message.result.as_ref().map_or(JsValue::UNDEFINED, text);
        let message = object(&[("methargs", cap_data(&message.methargs)), ("result", result)]);
        self.queue("enqueueSend", &[text(&target), message])
    }

    fn enqueue_notify(&mut self, endpoint: EndpointId, promise: Kref) -> Result<(), KernelError> {
        self.queue("enqueueNotify", &[text(&endpoint), text(&promise)])
    }

    fn resolve_promises(
        &mut self,
        decider: Option<EndpointId>,
        resolutions: Vec<Resolution<Kref>>,
    ) -> Result<(), KernelError> {
        let mut seen = HashSet::new();
        let mut deciders = Vec::new();
        for Resolution { promise, .. } in &resolutions {
            deciders.push(self.insist_decider(*promise, decider)?);
            if !seen.insert(*promise) {
                return Err(RefError::AlreadyResolved(*promise).into());
            }
        }
        match decider {
            Some(_) if resolutions.is_empty() => Ok(()),
            Some(decider) => self.resolve(text(&decider), &resolutions),
            // The incumbent lets nobody but its decider settle a promise.
            None => resolutions
                .iter()
                .zip(deciders)
                .try_for_each(|(resolution, decider)| self.resolve(decider, std::slice::from_ref(resolution))),
        }
    }
}

/// What identities are made of, in the kernel's store: by the functions that newer kernels have, or in the key-value store that
/// older ones show.
pub(super) struct IdentityRows<'a>(&'a Duck);

impl<'a> IdentityRows<'a> {
    pub(super) fn of(store: &'a Duck) -> Self {
        IdentityRows(store)
    }

    fn kv(&self) -> Result<Duck, JsValue> {
        Duck::new(member(&self.0.value(), "kv"), "kernelStore.kv", &["get", "set"])
    }

    pub(super) fn get(&self, key: &str) -> Result<Option<String>, JsValue> {
        let name = [key.into()];
        if self.0.has("getRemoteIdentityValue") {
            let value = self.0.call("getRemoteIdentityValue", &name)?;
            return text_or_nothing(self.0, "getRemoteIdentityValue", &value);
        }
        let kv = self.kv()?;
        text_or_nothing(&kv, "get", &kv.call("get", &name)?)
    }

    pub(super) fn set(&self, key: &str, value: &str) -> Result<(), JsValue> {
        let row = [key.into(), value.into()];
        if self.0.has("setRemoteIdentityValue") {
            self.0.call("setRemoteIdentityValue", &row)?;
        } else {
            self.kv()?.call("set", &row)?;
        }
        Ok(())
    }

    /// The known relays, as JSON.
    pub(super) fn relays(&self) -> Result<Option<String>, JsValue> {
        if !self.0.has("getRelayEntries") {
            let Ok(kv) = self.kv() else { return Ok(None) };
            return text_or_nothing(&kv, "get", &kv.call("get", &["knownRelays".into()])?);
        }
        let entries = self.0.call("getRelayEntries", &[])?;
        Ok(js_sys::JSON::stringify(&entries)?.as_string())
    }

    pub(super) fn set_relays(&self, entries: &impl serde::Serialize) -> Result<(), JsValue> {
        let entries = to_js(entries)?;
        if self.0.has("setRelayEntries") {
            self.0.call("setRelayEntries", &[entries])?;
        } else if let Ok(kv) = self.kv() {
            kv.call("set", &["knownRelays".into(), js_sys::JSON::stringify(&entries)?.into()])?;
        }
        Ok(())
    }

    /// When the kernel was last known to run, in milliseconds since the Unix epoch.
    pub(super) fn last_active(&self) -> Result<Option<f64>, JsValue> {
        if !self.0.has("getLastActiveTime") {
            return Ok(None);
        }
        let answer = self.0.call("getLastActiveTime", &[])?;
        match answer.as_f64() {
            None if !answer.is_undefined() && !answer.is_null() => {
                Err(self.0.bad_answer("getLastActiveTime", "number"))
            }
            time => Ok(time),
        }
    }

    pub(super) fn set_last_active(&self, now: f64) -> Result<(), JsValue> {
        if self.0.has("setLastActiveTime") {
            self.0.call("setLastActiveTime", &[now.into()])?;
        }
        Ok(())
    }
}

/// A sequence number, or 0.
fn whole(number: Option<f64>) -> Option<u64> {
    let number = number.filter(|number| *number >= 0.0 && *number <= MAX_SEQ as f64 && number.fract() == 0.0)?;
    Some(number as u64)
}

/// An answer that is a text, or nothing.
fn text_or_nothing(store: &Duck, name: &str, answer: &JsValue) -> Result<Option<String>, JsValue> {
    match answer.as_string() {
        None if !answer.is_undefined() && !answer.is_null() => Err(store.bad_answer(name, "text")),
        text => Ok(text),
    }
}

/// Strings of an array that JavaScript gave.
pub(super) fn strings(list: &JsValue) -> Vec<String> {
    list.dyn_ref::<Array>().map(|items| items.iter().filter_map(|item| item.as_string()).collect()).unwrap_or_default()
}
