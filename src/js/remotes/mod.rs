//! Our remotes for a kernel in JavaScript, which keeps its own store, queue and network: they are known by the names of their
//! functions, which are the incumbent's.

mod duck;
mod handle;
mod host;
mod identity;
mod platform;
mod records;

use std::{cell::RefCell, rc::Rc};

use futures::FutureExt as _;
use js_sys::{Function, Promise};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::future_to_promise;

use self::{
    duck::{Duck, member},
    host::{JsHost, QUEUE, STORE},
    identity::Identity,
    platform::{JsPlatform, PLATFORM},
};
pub use self::{handle::RemoteHandle, identity::RemoteComms, records::KernelRecords};
use super::{
    KernelStore,
    arguments::parsed,
    crash,
    error::{host_error, kernel as kernel_error, named, remote as remote_error, type_error},
    options,
};
use crate::{
    bridge::KernelServices as _,
    kernel::{Crank, RemoteEvent, RemoteManager as Remotes, RemoteManagerConfig, RemotesDriver},
    runtime::{BrowserRuntime, Runtime as _, worth_a_line},
    wire::{IncarnationId, PeerId, RemoteCommsOptions, WireError},
};

#[wasm_bindgen(typescript_custom_section)]
const TYPES: &str = include_str!("types.d.ts");

#[wasm_bindgen]
extern "C" {
    /// See the TypeScript type.
    #[wasm_bindgen(typescript_type = "RemoteManagerOptions")]
    pub type RemoteManagerOptions;
    /// See the TypeScript type.
    #[wasm_bindgen(typescript_type = "RemoteMessageHandler")]
    pub type RemoteMessageHandler;
    /// See the TypeScript type.
    #[wasm_bindgen(typescript_type = "IdentityOptions")]
    pub type IdentityOptions;
    /// See the TypeScript type.
    #[wasm_bindgen(typescript_type = "RemoteCommsOptions & { mnemonic?: string }")]
    pub type InitOptions;
    /// See the TypeScript type.
    #[wasm_bindgen(typescript_type = "KernelStoreRemotePart")]
    pub type KernelStoreObject;
    /// See the TypeScript type.
    #[wasm_bindgen(typescript_type = "(remoteId: string) => boolean")]
    pub type RemoteFilter;
}

const OPTIONS: [&str; 6] = ["platformServices", "kernelStore", "kernelQueue", "logger", "keySeed", "mnemonic"];

/// What is there from the start.
struct Parts {
    platform: Duck,
    store: Duck,
    queue: Duck,
    logger: Option<Duck>,
    key_seed: Option<String>,
    mnemonic: Option<String>,
    incarnation: IncarnationId,
    message_handler: RefCell<Option<Function>>,
    identity: RefCell<Option<Rc<Identity>>>,
    running: RefCell<Option<Rc<RemotesDriver>>>,
}

/// The remotes of a kernel in JavaScript.
#[wasm_bindgen]
pub struct RemoteManager {
    parts: Rc<Parts>,
}

fn plain_error(message: &str) -> JsValue {
    named("Error", message, &JsValue::UNDEFINED)
}

/// A kernel's own store, or ours over its key-value store.
fn store(given: JsValue) -> Result<Duck, JsValue> {
    let is_store = |name: &str| member(&given, name).is_function();
    if given.is_object()
        && !is_store("getRemoteSeqState")
        && (is_store("get") || member(&given, "kernelKVStore").is_object())
    {
        let records = KernelRecords::new(KernelStore::over(given.unchecked_ref())?);
        return Duck::new(records.into(), "kernelStore", &STORE);
    }
    Duck::new(given, "kernelStore", &STORE)
}

impl Parts {
    fn running(&self) -> Result<Rc<RemotesDriver>, JsValue> {
        crash::check()?;
        let running = self.running.borrow().clone();
        running.ok_or_else(|| plain_error("Remote comms not initialized"))
    }

    fn identity(&self) -> Result<Rc<Identity>, JsValue> {
        crash::check()?;
        let identity = self.identity.borrow().clone();
        identity.ok_or_else(|| plain_error("Remote identity not initialized"))
    }

    fn init_identity(&self, options: &JsValue, relays: &[String]) -> Result<Rc<Identity>, JsValue> {
        let mnemonic = options::text(options, "mnemonic")?.or_else(|| self.mnemonic.clone());
        let known = self.identity.borrow().clone();
        // Once there is an identity, the mnemonic that it was made of is no contradiction.
        let secrets = if known.is_some() { (None, None) } else { (self.key_seed.clone(), mnemonic) };
        let identity = Rc::new(Identity::provide(&self.store, secrets, relays)?);
        *self.identity.borrow_mut() = Some(Rc::clone(&identity));
        Ok(identity)
    }

    /// Tells the logger of the kernel what happened to a remote.
    fn log(&self, event: &RemoteEvent) {
        let Some(logger) = &self.logger else { return };
        let (kind, peer) = match event {
            RemoteEvent::PeerRestarted { peer, .. } => ("peerRestarted", peer),
            RemoteEvent::IdentityShared { peer, .. } => ("identityShared", peer),
            RemoteEvent::GivenUp { peer, .. } => ("givenUp", peer),
            RemoteEvent::MessagesLost { peer, .. } => ("messagesLost", peer),
            RemoteEvent::MessageRejected { peer, .. } => ("messageRejected", peer),
        };
        if worth_a_line(kind, peer).is_none() {
            return;
        }
        let (level, text) = match event {
            RemoteEvent::PeerRestarted { peer, former, current, discarded, promises_rejected } => (
                "log",
                format!(
                    "peer {peer} restarted ({former} → {current}): discarded {discarded} messages, rejected \
                     {promises_rejected} promises"
                ),
            ),
            RemoteEvent::IdentityShared { peer, current, other } => {
                ("warn", format!("two kernels have the identity of peer {peer}: incarnations {current} and {other}"))
            }
            RemoteEvent::GivenUp { peer, reason, discarded, promises_rejected } => (
                "warn",
                format!(
                    "peer {peer} was given up ({reason}): discarded {discarded} messages, rejected {promises_rejected} \
                     promises"
                ),
            ),
            RemoteEvent::MessagesLost { peer, first, last } => {
                ("warn", format!("peer {peer} had abandoned messages {first} to {last} before they arrived"))
            }
            RemoteEvent::MessageRejected { peer, seq, reason } => {
                ("warn", format!("message {seq} of peer {peer} was passed over: {reason}"))
            }
        };
        if let Err(thrown) = logger.call(level, &[text.into()]) {
            // No more often than it was called, which is bounded.
            web_sys::console::error_2(&"ocap-remotes: the logger threw".into(), &thrown);
        }
    }
}

fn start(
    parts: &Rc<Parts>,
    identity: &Identity,
    comms: &RemoteCommsOptions,
    raw: JsValue,
) -> Result<Rc<RemotesDriver>, JsValue> {
    let mut host = JsHost::new(parts.store.clone(), parts.queue.clone());
    let now = BrowserRuntime.now();
    let remotes = Remotes::new(&mut host, RemoteManagerConfig::from(comms), identity.issuer()?, now)
        .map_err(|error| kernel_error(&error))?;
    let queue = parts.queue.clone();
    let crank: Crank =
        Rc::new(move || queue.ask("waitForCrank", &[]).map(|over| over.map(|_| ()).map_err(host_error)).boxed_local());
    let handler = parts.message_handler.borrow().clone();
    let platform = Rc::new(JsPlatform::new(parts.platform.clone(), raw, handler));
    let weak = Rc::downgrade(parts);
    let on_event = Box::new(move |event: RemoteEvent| {
        if let Some(parts) = weak.upgrade() {
            parts.log(&event);
        }
    });
    let driver = RemotesDriver::start(
        remotes,
        Box::new(host),
        crank,
        Rc::clone(&platform) as _,
        Rc::new(BrowserRuntime),
        on_event,
    );
    platform.serve(&driver);
    Ok(driver)
}

#[wasm_bindgen]
impl RemoteManager {
    /// The remotes of the kernel that has these parts.
    ///
    /// # Errors
    /// A `TypeError` for a part that lacks a function; what the store throws.
    #[wasm_bindgen(constructor)]
    pub fn new(options: RemoteManagerOptions) -> Result<RemoteManager, JsValue> {
        crash::check()?;
        let given: JsValue = options.into();
        options::check(&given, &OPTIONS)?;
        let logger = member(&given, "logger");
        let logger = (!logger.is_undefined()).then(|| Duck::new(logger, "logger", &["log", "warn"])).transpose()?;
        let store = store(member(&given, "kernelStore"))?;
        let (key_seed, mnemonic) = (options::text(&given, "keySeed")?, options::text(&given, "mnemonic")?);
        if key_seed.is_some() && mnemonic.is_some() {
            return Err(type_error("give keySeed or mnemonic, not both"));
        }
        let incarnation = store.call("provideIncarnationId", &[])?.as_string().and_then(|text| text.parse().ok());
        let incarnation = incarnation.ok_or_else(|| store.bad_answer("provideIncarnationId", "incarnation id"))?;
        Ok(RemoteManager {
            parts: Rc::new(Parts {
                platform: Duck::new(member(&given, "platformServices"), "platformServices", &PLATFORM)?,
                queue: Duck::new(member(&given, "kernelQueue"), "kernelQueue", &QUEUE)?,
                store,
                logger,
                key_seed,
                mnemonic,
                incarnation,
                message_handler: RefCell::default(),
                identity: RefCell::default(),
                running: RefCell::default(),
            }),
        })
    }

    /// The kernel store that is used: the one that was given, or a `KernelRecords` over the key-value store that was given.
    #[wasm_bindgen(getter, js_name = kernelStore)]
    pub fn kernel_store(&self) -> KernelStoreObject {
        self.parts.store.value().unchecked_into()
    }

    /// Has the network call this function with each message, instead of `handleRemoteMessage`, which it is to call in turn. From
    /// the next `initRemoteComms` on.
    #[wasm_bindgen(js_name = setMessageHandler)]
    pub fn set_message_handler(&self, handler: RemoteMessageHandler) -> Result<(), JsValue> {
        let handler: JsValue = handler.into();
        let handler: Function = handler.dyn_into().map_err(|_| type_error("the message handler must be a function"))?;
        *self.parts.message_handler.borrow_mut() = Some(handler);
        Ok(())
    }

    /// Makes or takes up the identity of the kernel, without starting the network: enough for the URLs of its own objects.
    #[wasm_bindgen(js_name = initIdentity, unchecked_return_type = "Promise<void>")]
    pub fn init_identity(&self, options: Option<IdentityOptions>) -> Promise {
        let options: JsValue = options.map_or(JsValue::UNDEFINED, Into::into);
        let relays = host::strings(&member_or_undefined(&options, "relays"));
        match crash::check().and_then(|()| self.parts.init_identity(&options, &relays)) {
            Ok(_) => Promise::resolve(&JsValue::UNDEFINED),
            Err(error) => Promise::reject(&error),
        }
    }

    /// Whether there is an identity.
    #[wasm_bindgen(js_name = isIdentityInitialized)]
    pub fn is_identity_initialized(&self) -> bool {
        self.parts.identity.borrow().is_some()
    }

    /// The identity of the kernel.
    ///
    /// # Errors
    /// An `Error` before there is one.
    #[wasm_bindgen(js_name = getRemoteIdentity)]
    pub fn remote_identity(&self) -> Result<RemoteComms, JsValue> {
        Ok(RemoteComms::new(self.parts.identity()?, self.parts.running.borrow().clone()))
    }

    /// Starts the network under the kernel's identity, takes up every remote in the store, and sends what is pending. Options
    /// that are not known here go to the network as they are.
    #[wasm_bindgen(js_name = initRemoteComms, unchecked_return_type = "Promise<void>")]
    pub fn init_remote_comms(&self, options: Option<InitOptions>) -> Promise {
        let parts = Rc::clone(&self.parts);
        let raw: JsValue = options.map_or_else(|| js_sys::Object::new().into(), Into::into);
        future_to_promise(async move {
            crash::check()?;
            if parts.running.borrow().is_some() {
                return Err(plain_error("Remote comms already initialized"));
            }
            let mut comms = options::read_comms(&raw)?;
            let identity = parts.init_identity(&raw, &comms.relays)?;
            comms.relays = identity.relays();
            comms.cross_incarnation_wake |= identity.slept();
            let driver = start(&parts, &identity, &comms, raw)?;
            *parts.running.borrow_mut() = Some(Rc::clone(&driver));
            let started = driver.start_network(identity.key(), &parts.incarnation, &comms).await;
            started.map(|()| JsValue::UNDEFINED).map_err(|error| {
                driver.stop();
                parts.running.take();
                kernel_error(&error)
            })
        })
    }

    /// Whether the network was started.
    #[wasm_bindgen(js_name = isRemoteCommsInitialized)]
    pub fn is_remote_comms_initialized(&self) -> bool {
        self.parts.running.borrow().is_some()
    }

    /// The identity of the kernel and its way to the network.
    ///
    /// # Errors
    /// An `Error` before `initRemoteComms`.
    #[wasm_bindgen(js_name = getRemoteComms)]
    pub fn remote_comms(&self) -> Result<RemoteComms, JsValue> {
        let running = self.parts.running()?;
        Ok(RemoteComms::new(self.parts.identity()?, Some(running)))
    }

    /// The libp2p peer id of this kernel.
    ///
    /// # Errors
    /// An `Error` before there is an identity.
    #[wasm_bindgen(js_name = getPeerId)]
    pub fn peer_id(&self) -> Result<String, JsValue> {
        Ok(self.parts.identity()?.key().peer_id().to_string())
    }

    /// The incarnation id of this kernel's store.
    #[wasm_bindgen(getter, js_name = incarnationId)]
    pub fn incarnation_id(&self) -> String {
        self.parts.incarnation.to_string()
    }

    /// Makes the record of a peer, or gives the remote that there is.
    ///
    /// # Errors
    /// An `Error` before `initRemoteComms`; a `ProtocolError` if `peerId` is none; what the store throws.
    #[wasm_bindgen(js_name = establishRemote)]
    pub fn establish_remote(
        &self,
        #[wasm_bindgen(js_name = peerId)] peer_id: &str,
        hints: Option<Vec<String>>,
    ) -> Result<RemoteHandle, JsValue> {
        self.remote_for(peer_id, hints)
    }

    /// The remote for a peer, made if there is none; `hints` tell where the peer may be found.
    ///
    /// # Errors
    /// As `establishRemote`.
    #[wasm_bindgen(js_name = remoteFor)]
    pub fn remote_for(
        &self,
        #[wasm_bindgen(js_name = peerId)] peer_id: &str,
        hints: Option<Vec<String>>,
    ) -> Result<RemoteHandle, JsValue> {
        let (driver, peer) = (self.parts.running()?, parsed(peer_id)?);
        let id = driver.call(|remotes, host, now| remotes.remote_for(host, &peer, hints.unwrap_or_default(), now));
        Ok(RemoteHandle::new(id.map_err(|error| kernel_error(&error))?, peer, driver))
    }

    /// A remote by its id.
    ///
    /// # Errors
    /// An `UnknownRemoteError`; an `Error` before `initRemoteComms`.
    #[wasm_bindgen(js_name = getRemote)]
    pub fn remote(&self, #[wasm_bindgen(js_name = remoteId)] remote_id: &str) -> Result<RemoteHandle, JsValue> {
        let driver = self.parts.running()?;
        let id = remote_id.parse().map_err(|error: WireError| kernel_error(&error.into()))?;
        let peer = driver.call(|remotes, _, _| Ok(remotes.remote(id)?.peer().clone()));
        Ok(RemoteHandle::new(id, peer.map_err(|error| kernel_error(&error))?, driver))
    }

    /// Handles a message from a peer, when no crank is open; see `RemoteHandle.handleRemoteMessage`.
    #[wasm_bindgen(js_name = handleRemoteMessage, unchecked_return_type = "Promise<string | null>")]
    pub fn handle_remote_message(&self, from: String, message: String) -> Promise {
        let parts = Rc::clone(&self.parts);
        future_to_promise(async move {
            let handled = parts.running()?.remote_deliver(parsed(&from)?, message).await;
            handled.map(|_| JsValue::NULL).map_err(|error| remote_error(&error))
        })
    }

    /// The network has given a peer up. The network is given this function by itself.
    #[wasm_bindgen(js_name = handleRemoteGiveUp, unchecked_return_type = "Promise<void>")]
    pub fn handle_remote_give_up(&self, #[wasm_bindgen(js_name = peerId)] peer_id: String) -> Promise {
        let parts = Rc::clone(&self.parts);
        future_to_promise(async move {
            let handled = parts.running()?.remote_give_up(parsed(&peer_id)?).await;
            handled.map(|()| JsValue::UNDEFINED).map_err(|error| remote_error(&error))
        })
    }

    /// A peer has shown its incarnation in a handshake; resolves to whether it restarted, once that is durable. The network is
    /// given this function by itself. A rejection must be taken for a restart.
    #[wasm_bindgen(js_name = handleIncarnationChange, unchecked_return_type = "Promise<boolean>")]
    pub fn handle_incarnation_change(
        &self,
        #[wasm_bindgen(js_name = peerId)] peer_id: String,
        #[wasm_bindgen(js_name = observedIncarnation)] observed: String,
    ) -> Promise {
        let parts = Rc::clone(&self.parts);
        future_to_promise(async move {
            let observed = observed.parse().map_err(|error: WireError| kernel_error(&error.into()))?;
            let verdict = parts.running()?.remote_incarnation_change(parsed(&peer_id)?, observed).await;
            verdict.map(JsValue::from).map_err(|error| remote_error(&error))
        })
    }

    /// Makes a URL for an object. The kernel must keep the object, and have made it durable before the URL leaves.
    #[wasm_bindgen(js_name = issueOcapURL, unchecked_return_type = "Promise<string>")]
    pub fn issue_ocap_url(&self, kref: String) -> Promise {
        match self.remote_identity() {
            Ok(identity) => identity.issue_ocap_url(kref),
            Err(error) => Promise::reject(&error),
        }
    }

    /// Gets the object behind a URL: this kernel's own at once, another's by asking its issuer.
    #[wasm_bindgen(js_name = redeemOcapURL, unchecked_return_type = "Promise<string>")]
    pub fn redeem_ocap_url(&self, url: String) -> Promise {
        let parts = Rc::clone(&self.parts);
        future_to_promise(async move {
            let identity = parts.identity()?;
            if identity.is_own(&url)? {
                return identity.open(&url).map(|kref| kref.to_string().into());
            }
            let driver = parts.running()?;
            let redeemed = driver.redeem(|remotes, host, random, now| remotes.redeem_ocap_url(host, &url, random, now));
            redeemed.await.map(|kref| kref.to_string().into()).map_err(|error| kernel_error(&error))
        })
    }

    /// Closes the connection to a peer until `reconnectPeer`. What was pending is rejected.
    #[wasm_bindgen(js_name = closeConnection, unchecked_return_type = "Promise<void>")]
    pub fn close_connection(&self, #[wasm_bindgen(js_name = peerId)] peer_id: String) -> Promise {
        let parts = Rc::clone(&self.parts);
        future_to_promise(async move {
            let (driver, peer): (_, PeerId) = (parts.running()?, parsed(&peer_id)?);
            driver.platform().close_connection(peer.clone()).await.map_err(|error| remote_error(&error))?;
            let reason = crate::wire::RemoteError::IntentionalClose(peer.clone()).to_string();
            let closed = driver.call(|remotes, host, _| remotes.handle_remote_give_up(host, &peer, &reason));
            closed.map(|()| JsValue::UNDEFINED).map_err(|error| kernel_error(&error))
        })
    }

    /// Undoes `closeConnection`, and connects now.
    #[wasm_bindgen(js_name = reconnectPeer, unchecked_return_type = "Promise<void>")]
    pub fn reconnect_peer(
        &self,
        #[wasm_bindgen(js_name = peerId)] peer_id: String,
        hints: Option<Vec<String>>,
    ) -> Promise {
        let parts = Rc::clone(&self.parts);
        future_to_promise(async move {
            let (driver, peer): (_, PeerId) = (parts.running()?, parsed(&peer_id)?);
            driver.call(|remotes, host, _| remotes.speak_of(host, &peer)).map_err(|error| kernel_error(&error))?;
            let reconnected = driver.platform().reconnect_peer(peer, hints.unwrap_or_default()).await;
            reconnected.map(|()| JsValue::UNDEFINED).map_err(|error| remote_error(&error))
        })
    }

    /// Tells where a peer may be found.
    #[wasm_bindgen(js_name = registerLocationHints, unchecked_return_type = "Promise<void>")]
    pub fn register_location_hints(
        &self,
        #[wasm_bindgen(js_name = peerId)] peer_id: String,
        hints: Vec<String>,
    ) -> Promise {
        match self.remote_for(&peer_id, Some(hints)) {
            Ok(_) => Promise::resolve(&JsValue::UNDEFINED),
            Err(error) => Promise::reject(&error),
        }
    }

    /// Has every remote, or those that `filter` names, told to collect its garbage.
    #[wasm_bindgen(js_name = reapRemotes)]
    pub fn reap_remotes(&self, filter: Option<RemoteFilter>) -> Result<(), JsValue> {
        let driver = self.parts.running()?;
        let ids = driver.call(|remotes, _, _| Ok(remotes.remotes().map(|remote| remote.id()).collect::<Vec<_>>()));
        let filter: Option<Function> = filter.map(|filter| JsValue::from(filter).unchecked_into());
        for id in ids.map_err(|error| kernel_error(&error))? {
            let id = id.to_string().into();
            let chosen = filter.as_ref().map_or(Ok(JsValue::TRUE), |filter| filter.call1(&JsValue::UNDEFINED, &id))?;
            if chosen.is_truthy() {
                self.parts.store.call("scheduleReap", &[id])?;
            }
        }
        Ok(())
    }

    /// Ends timers, rejects redemptions, and forgets the identity: when the network was stopped from outside. `initRemoteComms`
    /// begins anew.
    pub fn cleanup(&self) {
        if let Some(driver) = self.parts.running.take() {
            driver.stop();
        }
        self.parts.identity.take();
    }

    /// Stops the network, and cleans up.
    #[wasm_bindgen(unchecked_return_type = "Promise<void>")]
    pub fn stop(&self) -> Promise {
        let driver = self.parts.running.borrow().clone();
        self.cleanup();
        future_to_promise(async move {
            crash::check()?;
            let Some(driver) = driver else { return Ok(JsValue::UNDEFINED) };
            let stopped = driver.platform().stop_remote_comms().await;
            stopped.map(|()| JsValue::UNDEFINED).map_err(|error| remote_error(&error))
        })
    }
}

fn member_or_undefined(options: &JsValue, name: &str) -> JsValue {
    if options.is_object() { member(options, name) } else { JsValue::UNDEFINED }
}
