//! Our kernel store by the incumbent's names, for kernels in JavaScript.

use std::cell::RefCell;

use js_sys::Array;
use serde::Serialize;
use wasm_bindgen::prelude::*;

use super::duck::{array, object};
use crate::{
    js::{
        KernelStore,
        arguments::{parsed, plain},
        crash,
        error::{failure, to_js, type_error},
    },
    kernel::{
        HostKernel, KernelError,
        store::{GcAction, GcKind, Hearing, KernelMessage, KernelStore as Records, Party, PromiseState, RunItem},
    },
    runtime::{BrowserRuntime, Timestamp, random_bytes},
    wire::{CapData, EndpointId, Eref, Kref, MAX_SEQ},
};

#[wasm_bindgen]
extern "C" {
    /// See the TypeScript type.
    #[wasm_bindgen(typescript_type = "RemoteRecord[]")]
    pub type RemoteRecords;
    /// See the TypeScript type.
    #[wasm_bindgen(typescript_type = "RemoteInfo")]
    pub type RemoteInfoObject;
    /// See the TypeScript type.
    #[wasm_bindgen(typescript_type = "RemoteSeqState | undefined")]
    pub type RemoteSeqStateObject;
    /// See the TypeScript type.
    #[wasm_bindgen(typescript_type = "RelayEntry[]")]
    pub type RelayEntries;
    /// See the TypeScript type.
    #[wasm_bindgen(typescript_type = "CapData")]
    pub type CapDataObject;
    /// See the TypeScript type.
    #[wasm_bindgen(typescript_type = "KernelMessage")]
    pub type MessageObject;
    /// See the TypeScript type.
    #[wasm_bindgen(typescript_type = "KernelPromise")]
    pub type PromiseObject;
    /// See the TypeScript type.
    #[wasm_bindgen(typescript_type = "[string, KernelPromise]")]
    pub type NewPromise;
    /// See the TypeScript type.
    #[wasm_bindgen(typescript_type = "[string, KernelMessage][]")]
    pub type QueuedMessages;
    /// See the TypeScript type.
    #[wasm_bindgen(typescript_type = "RunQueueItem")]
    pub type RunQueueItem;
    /// See the TypeScript type.
    #[wasm_bindgen(typescript_type = "RunQueueItem | undefined")]
    pub type NextRunQueueItem;
    /// See the TypeScript type.
    #[wasm_bindgen(typescript_type = "GCAction[]")]
    pub type GcActions;
    /// See the TypeScript type.
    #[wasm_bindgen(typescript_type = "ReapAction | undefined")]
    pub type NextReap;
}

/// Our kernel store, by the names that the incumbent's has for the same. A kernel in JavaScript may use it in the place of its
/// own; [`RemoteManager`](super::RemoteManager) makes one over a key-value store. Each call is a transaction, inside the
/// savepoints that are open.
#[wasm_bindgen]
pub struct KernelRecords {
    records: RefCell<Records>,
}

/// The references of a remote are turned at the border of the kernel, as the incumbent's translators turn them.
fn turned(endpoint: EndpointId, eref: Eref) -> Eref {
    if endpoint.is_remote() { eref.flipped() } else { eref }
}

impl KernelRecords {
    fn look<T, E: Into<KernelError>>(&self, look: impl FnOnce(&Records) -> Result<T, E>) -> Result<T, JsValue> {
        crash::check()?;
        let records = self.records.try_borrow().map_err(|_| failure(KernelError::Reentrant))?;
        look(&records).map_err(failure)
    }

    fn with<T>(&self, work: impl FnOnce(&mut Records) -> Result<T, KernelError>) -> Result<T, JsValue> {
        crash::check()?;
        let mut records = self.records.try_borrow_mut().map_err(|_| failure(KernelError::Reentrant))?;
        work(&mut records).map_err(failure)
    }

    fn change<T>(&self, work: impl FnOnce(&mut Records) -> Result<T, KernelError>) -> Result<T, JsValue> {
        self.with(|records| records.transaction("records", work))
    }
}

#[wasm_bindgen]
impl KernelRecords {
    /// Takes over a store.
    #[wasm_bindgen(constructor)]
    pub fn new(store: KernelStore) -> KernelRecords {
        KernelRecords { records: RefCell::new(store.into_records()) }
    }

    // --- Savepoints

    /// Opens a savepoint inside those that are open.
    #[wasm_bindgen(js_name = createSavepoint)]
    pub fn create_savepoint(&self, name: &str) -> Result<(), JsValue> {
        self.with(|records| Ok(records.begin(name)?))
    }

    /// Undoes everything since the newest savepoint of this name, and ends it and those inside it.
    #[wasm_bindgen(js_name = rollbackSavepoint)]
    pub fn rollback_savepoint(&self, name: &str) -> Result<(), JsValue> {
        self.with(|records| Ok(records.roll_back(name)?))
    }

    /// Keeps everything since the newest savepoint of this name, and ends it and those inside it. The outermost commits.
    #[wasm_bindgen(js_name = releaseSavepoint)]
    pub fn release_savepoint(&self, name: &str) -> Result<(), JsValue> {
        self.with(|records| Ok(records.release(name)?))
    }

    // --- Identity

    /// The incarnation id of this store, made when it is first asked for.
    #[wasm_bindgen(js_name = provideIncarnationId)]
    pub fn provide_incarnation_id(&self) -> Result<String, JsValue> {
        self.change(|records| Ok(records.provide_incarnation_id(random_bytes(&BrowserRuntime))?.to_string()))
    }

    /// The peer id, the key seed or the key of OCAP URLs; the latter two are secret.
    #[wasm_bindgen(js_name = getRemoteIdentityValue)]
    pub fn identity_value(
        &self,
        #[wasm_bindgen(unchecked_param_type = "'peerId' | 'keySeed' | 'ocapURLKey'")] key: &str,
    ) -> Result<Option<String>, JsValue> {
        self.look(|records| records.identity_row(key))
    }

    /// Sets one of them.
    #[wasm_bindgen(js_name = setRemoteIdentityValue)]
    pub fn set_identity_value(
        &self,
        #[wasm_bindgen(unchecked_param_type = "'peerId' | 'keySeed' | 'ocapURLKey'")] key: &str,
        value: &str,
    ) -> Result<(), JsValue> {
        self.change(|records| Ok(records.set_identity_row(key, value)?))
    }

    /// The known relays, best first.
    #[wasm_bindgen(js_name = getRelayEntries)]
    pub fn relay_entries(&self) -> Result<RelayEntries, JsValue> {
        Ok(to_js(&self.look(Records::known_relays)?)?.unchecked_into())
    }

    /// Sets the known relays; at most 20 are kept.
    #[wasm_bindgen(js_name = setRelayEntries)]
    pub fn set_relay_entries(&self, entries: RelayEntries) -> Result<(), JsValue> {
        let entries = plain(entries.into(), "list of relays")?;
        self.change(|records| Ok(records.set_known_relays(entries)?))
    }

    /// When the kernel was last known to run, in milliseconds since the Unix epoch.
    #[wasm_bindgen(js_name = getLastActiveTime)]
    pub fn last_active_time(&self) -> Result<Option<f64>, JsValue> {
        Ok(self.look(Records::last_active_time)?.map(|time| time.as_millis() as f64))
    }

    /// Sets when the kernel was last known to run.
    #[wasm_bindgen(js_name = setLastActiveTime)]
    pub fn set_last_active_time(&self, now: f64) -> Result<(), JsValue> {
        let now = Timestamp::from_millis(whole(now.floor())?);
        self.change(|records| Ok(records.set_last_active_time(now)?))
    }

    // --- Remotes

    /// Every remote.
    #[wasm_bindgen(js_name = getAllRemoteRecords)]
    pub fn all_remote_records(&self) -> Result<RemoteRecords, JsValue> {
        let records = self.look(Records::all_remotes)?;
        let record = |(id, info): &(EndpointId, crate::kernel::store::RemoteInfo)| {
            let hints = array(info.hints.iter().map(|hint| hint.as_str().into()));
            let info = object(&[("peerId", info.peer_id.to_string().into()), ("hints", hints)]);
            object(&[("remoteId", id.to_string().into()), ("remoteInfo", info)])
        };
        Ok(array(records.iter().map(record)).unchecked_into())
    }

    /// Gives out an id for a new remote.
    #[wasm_bindgen(js_name = getNextRemoteId)]
    pub fn next_remote_id(&self) -> Result<String, JsValue> {
        self.change(|records| Ok(records.next_remote_id()?.to_string()))
    }

    /// Prepares the c-list of an endpoint.
    #[wasm_bindgen(js_name = initEndpoint)]
    pub fn init_endpoint(&self, endpoint: &str) -> Result<(), JsValue> {
        let endpoint = parsed(endpoint)?;
        self.change(|records| Ok(records.init_endpoint(endpoint)?))
    }

    /// Writes the record of a remote.
    #[wasm_bindgen(js_name = setRemoteInfo)]
    pub fn set_remote_info(&self, remote: &str, info: RemoteInfoObject) -> Result<(), JsValue> {
        #[derive(serde::Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Info {
            peer_id: String,
            #[serde(default)]
            hints: Vec<String>,
        }
        let (remote, info): (EndpointId, Info) = (parsed(remote)?, plain(info.into(), "remote's record")?);
        let info = crate::kernel::store::RemoteInfo { peer_id: parsed(&info.peer_id)?, hints: info.hints };
        self.change(|records| Ok(records.set_remote_info(remote, &info)?))
    }

    /// The sequence state of a remote; `undefined` when nothing was sent or received yet.
    #[wasm_bindgen(js_name = getRemoteSeqState)]
    pub fn remote_seq_state(&self, remote: &str) -> Result<RemoteSeqStateObject, JsValue> {
        let remote = parsed(remote)?;
        let state = self.look(|records| records.remote_seq_state(remote))?;
        let Some(state) = state else { return Ok(JsValue::UNDEFINED.unchecked_into()) };
        let state = object(&[
            ("nextSendSeq", number(state.next_send_seq)?),
            ("highestReceivedSeq", number(state.highest_received_seq)?),
            ("startSeq", number(state.start_seq)?),
        ]);
        Ok(state.unchecked_into())
    }

    /// Sets the last number given to a message.
    #[wasm_bindgen(js_name = setRemoteNextSendSeq)]
    pub fn set_next_send_seq(&self, remote: &str, seq: f64) -> Result<(), JsValue> {
        let (remote, seq) = (parsed(remote)?, whole(seq)?);
        self.change(|records| Ok(records.set_next_send_seq(remote, seq)?))
    }

    /// Sets the highest number up to which everything was processed.
    #[wasm_bindgen(js_name = setRemoteHighestReceivedSeq)]
    pub fn set_highest_received_seq(&self, remote: &str, seq: f64) -> Result<(), JsValue> {
        let (remote, seq) = (parsed(remote)?, whole(seq)?);
        self.change(|records| Ok(records.set_highest_received_seq(remote, seq)?))
    }

    /// Sets the lowest unacknowledged number.
    #[wasm_bindgen(js_name = setRemoteStartSeq)]
    pub fn set_start_seq(&self, remote: &str, seq: f64) -> Result<(), JsValue> {
        let (remote, seq) = (parsed(remote)?, whole(seq)?);
        self.change(|records| Ok(records.set_start_seq(remote, seq)?))
    }

    /// An unacknowledged message.
    #[wasm_bindgen(js_name = getPendingMessage)]
    pub fn pending_message(&self, remote: &str, seq: f64) -> Result<Option<String>, JsValue> {
        let (remote, seq) = (parsed(remote)?, whole(seq)?);
        self.look(|records| records.pending_message(remote, seq))
    }

    /// Keeps a message until it is acknowledged.
    #[wasm_bindgen(js_name = setPendingMessage)]
    pub fn set_pending_message(&self, remote: &str, seq: f64, message: &str) -> Result<(), JsValue> {
        let (remote, seq) = (parsed(remote)?, whole(seq)?);
        self.change(|records| Ok(records.set_pending_message(remote, seq, message)?))
    }

    /// Forgets a message.
    #[wasm_bindgen(js_name = deletePendingMessage)]
    pub fn delete_pending_message(&self, remote: &str, seq: f64) -> Result<(), JsValue> {
        let (remote, seq) = (parsed(remote)?, whole(seq)?);
        self.change(|records| Ok(records.delete_pending_message(remote, seq)?))
    }

    /// Forgets the numbers and messages of a remote.
    #[wasm_bindgen(js_name = clearRemoteSeqState)]
    pub fn clear_remote_seq_state(&self, remote: &str) -> Result<(), JsValue> {
        let remote = parsed(remote)?;
        self.change(|records| Ok(records.clear_remote_seq_state(remote)?))
    }

    /// Removes messages below `start`, and tells how many.
    #[wasm_bindgen(js_name = cleanupOrphanMessages)]
    pub fn cleanup_orphan_messages(&self, remote: &str, start: f64) -> Result<usize, JsValue> {
        let (remote, start) = (parsed(remote)?, whole(start)?);
        self.change(|records| Ok(records.cleanup_orphan_messages(remote, start)?))
    }

    /// The incarnation that a peer was last seen in.
    #[wasm_bindgen(js_name = getPeerIncarnation)]
    pub fn peer_incarnation(&self, peer: &str) -> Result<Option<String>, JsValue> {
        let peer = parsed(peer)?;
        self.look(|records| Ok::<_, KernelError>(records.peer_incarnation(&peer)?.map(|found| found.to_string())))
    }

    /// Remembers the incarnation of a peer.
    #[wasm_bindgen(js_name = setPeerIncarnation)]
    pub fn set_peer_incarnation(&self, peer: &str, incarnation: &str) -> Result<(), JsValue> {
        let (peer, incarnation) = (parsed(peer)?, parsed(incarnation)?);
        self.change(|records| Ok(records.set_peer_incarnation(&peer, &incarnation)?))
    }

    /// Forgets what an endpoint exported; what it was given stays.
    #[wasm_bindgen(js_name = forgetEndpointImports)]
    pub fn forget_endpoint_imports(&self, endpoint: &str) -> Result<(), JsValue> {
        let endpoint = parsed(endpoint)?;
        self.change(|records| Ok(records.forget_exports_of(endpoint)?))
    }

    // --- References

    /// The kernel's name for an endpoint's reference, if it has it.
    #[wasm_bindgen(js_name = erefToKref)]
    pub fn eref_to_kref(&self, endpoint: &str, eref: &str) -> Result<Option<String>, JsValue> {
        let (endpoint, eref) = (parsed(endpoint)?, parsed(eref)?);
        self.look(|records| Ok::<_, KernelError>(records.eref_to_kref(endpoint, eref)?.map(|kref| kref.to_string())))
    }

    /// An endpoint's own name for something, if it has it.
    #[wasm_bindgen(js_name = krefToEref)]
    pub fn kref_to_eref(&self, endpoint: &str, kref: &str) -> Result<Option<String>, JsValue> {
        let (endpoint, kref) = (parsed(endpoint)?, parsed(kref)?);
        self.look(|records| Ok::<_, KernelError>(records.kref_to_eref(endpoint, kref)?.map(|eref| eref.to_string())))
    }

    /// What an endpoint means by a reference in its message; its exports are created on first sight.
    #[wasm_bindgen(js_name = translateRefEtoK)]
    pub fn translate_ref_e_to_k(&self, endpoint: &str, eref: &str) -> Result<String, JsValue> {
        let (endpoint, eref) = (parsed(endpoint)?, parsed(eref)?);
        self.change(|records| Ok(records.translate_inbound_ref(endpoint, eref)?.to_string()))
    }

    /// Names something for a message to an endpoint, in the receiver's frame. An endpoint that is given an unresolved promise
    /// which is another's to decide is subscribed to it.
    #[wasm_bindgen(js_name = translateRefKtoE)]
    pub fn translate_ref_k_to_e(
        &self,
        endpoint: &str,
        kref: &str,
        #[wasm_bindgen(js_name = importIfNeeded)] import_if_needed: bool,
    ) -> Result<String, JsValue> {
        let (endpoint, kref) = (parsed(endpoint)?, parsed(kref)?);
        self.change(|records| {
            if !import_if_needed && records.kref_to_eref(endpoint, kref)?.is_none() {
                return Err(KernelError::NotHeld(kref));
            }
            Ok(give(records, endpoint, kref)?.to_string())
        })
    }

    /// Translates the slots of data in an endpoint's message.
    #[wasm_bindgen(js_name = translateCapDataEtoK)]
    pub fn translate_cap_data_e_to_k(&self, endpoint: &str, data: CapDataObject) -> Result<CapDataObject, JsValue> {
        let (endpoint, data): (EndpointId, CapData<Eref>) = (parsed(endpoint)?, plain(data.into(), "capdata")?);
        let data: CapData<Kref> = self.change(|records| {
            data.try_map(|slot| records.translate_inbound_ref(endpoint, slot).map_err(KernelError::from))
        })?;
        Ok(to_js(&data)?.unchecked_into())
    }

    /// Translates the slots of data for a message to an endpoint.
    #[wasm_bindgen(js_name = translateCapDataKtoE)]
    pub fn translate_cap_data_k_to_e(&self, endpoint: &str, data: CapDataObject) -> Result<CapDataObject, JsValue> {
        let (endpoint, data): (EndpointId, CapData<Kref>) = (parsed(endpoint)?, plain(data.into(), "capdata")?);
        let data: CapData<Eref> = self.change(|records| data.try_map(|slot| give(records, endpoint, slot)))?;
        Ok(to_js(&data)?.unchecked_into())
    }

    /// Translates a message to an endpoint. The endpoint decides its result from now on.
    #[wasm_bindgen(js_name = translateMessageKtoE)]
    pub fn translate_message_k_to_e(&self, endpoint: &str, message: MessageObject) -> Result<MessageObject, JsValue> {
        let (endpoint, message): (EndpointId, KernelMessage) = (parsed(endpoint)?, plain(message.into(), "message")?);
        let (methargs, result) = self.change(|records| {
            let methargs = message.methargs.try_map(|slot| give(records, endpoint, slot))?;
            let Some(promise) = message.result else { return Ok((methargs, None)) };
            let eref = records.translate_outbound_ref(endpoint, promise)?;
            records.set_decider(promise, endpoint)?;
            Ok((methargs, Some(turned(endpoint, eref))))
        })?;
        Ok(message_object(&methargs, result.map(|eref| eref.to_string()))?.unchecked_into())
    }

    /// Translates an endpoint's message.
    #[wasm_bindgen(js_name = translateMessageEtoK)]
    pub fn translate_message_e_to_k(&self, endpoint: &str, message: MessageObject) -> Result<MessageObject, JsValue> {
        #[derive(serde::Deserialize)]
        struct Message {
            methargs: CapData<Eref>,
            #[serde(default)]
            result: Option<Eref>,
        }
        let (endpoint, message): (EndpointId, Message) = (parsed(endpoint)?, plain(message.into(), "message")?);
        let (methargs, result) = self.change(|records| {
            let mut take = |eref| records.translate_inbound_ref(endpoint, eref);
            let methargs: CapData<Kref> = message.methargs.try_map(&mut take)?;
            Ok((methargs, message.result.map(take).transpose()?))
        })?;
        Ok(message_object(&methargs, result.map(|kref| kref.to_string()))?.unchecked_into())
    }

    /// Whether an endpoint reaches an object in its c-list.
    #[wasm_bindgen(js_name = getReachableFlag)]
    pub fn reachable_flag(&self, endpoint: &str, kref: &str) -> Result<bool, JsValue> {
        let (endpoint, kref) = (parsed(endpoint)?, parsed(kref)?);
        self.look(|records| Ok::<_, KernelError>(records.is_reachable(endpoint, kref)?.unwrap_or(false)))
    }

    /// An endpoint does not reach an object any more.
    #[wasm_bindgen(js_name = clearReachableFlag)]
    pub fn clear_reachable_flag(&self, endpoint: &str, kref: &str) -> Result<(), JsValue> {
        let (endpoint, kref) = (parsed(endpoint)?, parsed(kref)?);
        self.change(|records| Ok(records.clear_reach(endpoint, kref)?))
    }

    /// Takes an object or promise out of an endpoint's c-list.
    #[wasm_bindgen(js_name = forgetKref)]
    pub fn forget_kref(&self, endpoint: &str, kref: &str) -> Result<(), JsValue> {
        let (endpoint, kref) = (parsed(endpoint)?, parsed(kref)?);
        self.change(|records| match records.kref_to_eref(endpoint, kref)? {
            Some(eref) => Ok(records.delete_clist_entry(endpoint, kref, eref)?),
            None => Ok(()),
        })
    }

    // --- Objects and promises

    /// Makes an object; `owner` is an endpoint or `kernel`.
    #[wasm_bindgen(js_name = initKernelObject)]
    pub fn init_kernel_object(&self, owner: &str) -> Result<String, JsValue> {
        let owner: Party = parsed(owner)?;
        self.change(|records| Ok(records.create_object(owner)?.to_string()))
    }

    /// The owner of an object. One that does not exist is an error unless `throwIfUnknown` is false.
    #[wasm_bindgen(js_name = getOwner)]
    pub fn owner(
        &self,
        kref: &str,
        #[wasm_bindgen(js_name = throwIfUnknown)] throw_if_unknown: Option<bool>,
    ) -> Result<Option<String>, JsValue> {
        let kref = parsed(kref)?;
        match self.look(|records| records.owner(kref))? {
            None if throw_if_unknown.unwrap_or(true) => {
                Err(failure(crate::kernel::store::StoreError::UnknownKref(kref)))
            }
            owner => Ok(owner.map(|owner| owner.to_string())),
        }
    }

    /// Keeps an object whether or not anybody holds it.
    #[wasm_bindgen(js_name = pinObject)]
    pub fn pin_object(&self, kref: &str) -> Result<(), JsValue> {
        let kref = parsed(kref)?;
        self.change(|records| Ok(records.pin_object(kref)?))
    }

    /// Undoes `pinObject`.
    #[wasm_bindgen(js_name = unpinObject)]
    pub fn unpin_object(&self, kref: &str) -> Result<(), JsValue> {
        let kref = parsed(kref)?;
        self.change(|records| Ok(records.unpin_object(kref)?))
    }

    /// Makes an unresolved promise without a decider.
    #[wasm_bindgen(js_name = initKernelPromise)]
    pub fn init_kernel_promise(&self) -> Result<NewPromise, JsValue> {
        let kpid = self.change(|records| Ok(records.create_promise()?.to_string()))?;
        let promise = self.kernel_promise(&kpid)?;
        Ok(array([kpid.into(), promise.into()]).unchecked_into())
    }

    /// A promise.
    #[wasm_bindgen(js_name = getKernelPromise)]
    pub fn kernel_promise(&self, kpid: &str) -> Result<PromiseObject, JsValue> {
        let kpid: Kref = parsed(kpid)?;
        let state = self.look(|records| records.promise_state(kpid))?;
        let state = state.ok_or_else(|| failure(crate::kernel::store::RefError::UnknownPromise(kpid)))?;
        let promise = match state {
            PromiseState::Unresolved { decider, subscribers } => object(&[
                ("state", "unresolved".into()),
                ("decider", decider.map_or(JsValue::UNDEFINED, |decider| decider.to_string().into())),
                ("subscribers", to_js(&subscribers)?),
            ]),
            PromiseState::Fulfilled(value) => object(&[("state", "fulfilled".into()), ("value", to_js(&value)?)]),
            PromiseState::Rejected(value) => object(&[("state", "rejected".into()), ("value", to_js(&value)?)]),
        };
        Ok(promise.unchecked_into())
    }

    /// Says who is to settle a promise.
    #[wasm_bindgen(js_name = setPromiseDecider)]
    pub fn set_promise_decider(&self, kpid: &str, decider: &str) -> Result<(), JsValue> {
        let (kpid, decider): (Kref, Party) = (parsed(kpid)?, parsed(decider)?);
        self.change(|records| Ok(records.set_decider(kpid, decider)?))
    }

    /// Has an endpoint told when a promise is settled.
    #[wasm_bindgen(js_name = addPromiseSubscriber)]
    pub fn add_promise_subscriber(&self, endpoint: &str, kpid: &str) -> Result<(), JsValue> {
        let (endpoint, kpid) = (parsed(endpoint)?, parsed(kpid)?);
        self.change(|records| Ok(records.add_subscriber(kpid, endpoint)?))
    }

    /// Settles a promise and gives the messages that waited in it, to be queued.
    #[wasm_bindgen(js_name = resolveKernelPromise)]
    pub fn resolve_kernel_promise(
        &self,
        kpid: &str,
        rejected: bool,
        value: CapDataObject,
    ) -> Result<QueuedMessages, JsValue> {
        let (kpid, value): (Kref, CapData<Kref>) = (parsed(kpid)?, plain(value.into(), "capdata")?);
        let resolved = self.change(|records| Ok(records.resolve_promise(kpid, rejected, &value)?))?;
        let queued = |message: KernelMessage| {
            let result = message.result.map(|kref| kref.to_string());
            Ok::<_, JsValue>(array([kpid.to_string().into(), message_object(&message.methargs, result)?]))
        };
        let queued = resolved.messages.into_iter().map(queued).collect::<Result<Vec<_>, _>>()?;
        Ok(array(queued).unchecked_into())
    }

    /// Lets a message wait in a promise.
    #[wasm_bindgen(js_name = enqueuePromiseMessage)]
    pub fn enqueue_promise_message(&self, kpid: &str, message: MessageObject) -> Result<(), JsValue> {
        let (kpid, message): (Kref, KernelMessage) = (parsed(kpid)?, plain(message.into(), "message")?);
        self.change(|records| Ok(records.enqueue_promise_message(kpid, &message)?))
    }

    /// Every unresolved promise that an endpoint is to decide.
    #[wasm_bindgen(js_name = getPromisesByDecider)]
    pub fn promises_by_decider(&self, endpoint: &str) -> Result<Vec<String>, JsValue> {
        let endpoint = parsed(endpoint)?;
        let promises = self.look(|records| records.promises_by_decider(endpoint))?;
        Ok(promises.iter().map(ToString::to_string).collect())
    }

    // --- The run queue and garbage

    /// Appends to the run queue. What the item mentions is counted while it is there.
    #[wasm_bindgen(js_name = enqueueRun)]
    pub fn enqueue_run(&self, item: RunQueueItem) -> Result<(), JsValue> {
        let item: RunItem = plain(item.into(), "run queue item")?;
        self.change(|records| Ok(records.enqueue_run(item)?))
    }

    /// Takes the oldest item of the run queue. What it mentions is safe until `collectGarbage`.
    #[wasm_bindgen(js_name = dequeueRun)]
    pub fn dequeue_run(&self) -> Result<NextRunQueueItem, JsValue> {
        let item = self.change(|records| Ok(records.dequeue_run()?))?;
        let item = match item {
            None => JsValue::UNDEFINED,
            Some(RunItem::Send { target, message }) => object(&[
                ("type", "send".into()),
                ("target", target.to_string().into()),
                ("message", message_object(&message.methargs, message.result.map(|kref| kref.to_string()))?),
            ]),
            Some(notify @ RunItem::Notify { .. }) => to_js(&notify)?,
        };
        Ok(item.unchecked_into())
    }

    /// Items of the run queue.
    #[wasm_bindgen(js_name = runQueueLength)]
    pub fn run_queue_length(&self) -> Result<f64, JsValue> {
        self.look(Records::run_queue_length).map(|length| length as f64)
    }

    /// Asks that an endpoint be told to collect its garbage.
    #[wasm_bindgen(js_name = scheduleReap)]
    pub fn schedule_reap(&self, endpoint: &str) -> Result<(), JsValue> {
        let endpoint = parsed(endpoint)?;
        self.change(|records| Ok(records.schedule_reap(endpoint)?))
    }

    /// The next endpoint that is to be told to collect its garbage.
    #[wasm_bindgen(js_name = nextReapAction)]
    pub fn next_reap_action(&self) -> Result<NextReap, JsValue> {
        let next = self.change(|records| Ok(records.next_reap()?))?;
        let action = next.map_or(JsValue::UNDEFINED, |endpoint| {
            object(&[("type", "bringOutYourDead".into()), ("endpointId", endpoint.to_string().into())])
        });
        Ok(action.unchecked_into())
    }

    /// Frees what nobody holds any more, and says whom to tell: at the end of each crank. The references are in the receiver's
    /// frame; the c-lists are up to date already.
    #[wasm_bindgen(js_name = collectGarbage)]
    pub fn collect_garbage(&self) -> Result<GcActions, JsValue> {
        let actions = self.change(|records| Ok(records.collect_garbage()?)).or_else(|error| {
            // Something in the store is wrong, or the database failed, which it may again.
            self.change(|records| Ok(records.collect_what_can_be(&|_, _| Hearing::Everything, usize::MAX)?.actions))
                .map_err(|_| error)
        })?;
        let action = |GcAction { endpoint, kind, erefs }: GcAction| {
            let kind = match kind {
                GcKind::DropExports => "dropExports",
                GcKind::RetireExports => "retireExports",
                GcKind::RetireImports => "retireImports",
            };
            let erefs = erefs.into_iter().map(|eref| JsValue::from(turned(endpoint, eref).to_string()));
            object(&[
                ("type", kind.into()),
                ("endpointId", endpoint.to_string().into()),
                ("erefs", erefs.collect::<Array>().into()),
            ])
        };
        Ok(array(actions.into_iter().map(action)).unchecked_into())
    }
}

/// A whole number that JavaScript gave.
fn whole(number: f64) -> Result<u64, JsValue> {
    if number >= 0.0 && number <= MAX_SEQ as f64 && number.fract() == 0.0 {
        return Ok(number as u64);
    }
    Err(type_error("a number must be a whole one from 0 to 2^53 - 1"))
}

/// A number of the store for JavaScript.
fn number(number: u64) -> Result<JsValue, JsValue> {
    to_js(&number)
}

fn give(records: &mut Records, endpoint: EndpointId, kref: Kref) -> Result<Eref, KernelError> {
    let eref = records.translate_outbound_ref(endpoint, kref)?;
    let is_open = kref.is_promise() && HostKernel::outcome(records, kref)?.is_none();
    if is_open && records.decider(kref)? != Some(Party::Endpoint(endpoint)) {
        records.add_subscriber(kref, endpoint)?;
    }
    Ok(turned(endpoint, eref))
}

fn message_object<R: Serialize>(methargs: &CapData<R>, result: Option<String>) -> Result<JsValue, JsValue> {
    Ok(object(&[("methargs", to_js(methargs)?), ("result", result.map_or(JsValue::UNDEFINED, Into::into))]))
}
