//! The kernel's end, for the context that holds the program; usually a Worker.

use std::{
    cell::RefCell,
    collections::HashMap,
    rc::{Rc, Weak},
    time::Duration,
};

use futures::channel::oneshot;
use js_sys::{Function, Promise, Reflect, Uint8Array};
use serde::Serialize;
use wasm_bindgen::{JsCast as _, prelude::*};
use wasm_bindgen_futures::{JsFuture, future_to_promise, spawn_local};

use super::{
    BridgePort, KernelStore, abort,
    arguments::parsed,
    crash,
    error::{event_to_js, kernel as kernel_error, named, remote as remote_error, to_js, type_error},
    events::{EventHub, EventsOptions},
    options,
};
use crate::{
    bridge::{BrowserPort, PlatformServicesClient},
    kernel::{Kernel as KernelCore, KernelDriver, KernelError, KernelEvent, RedemptionId, RemoteEvent, SeedSource},
    runtime::{BrowserRuntime, Runtime, timeout, worth_a_line},
    wire::{CapData, Kref, RemoteError},
};

#[wasm_bindgen(typescript_custom_section)]
const TYPES: &str = include_str!("kernel.d.ts");

#[wasm_bindgen]
extern "C" {
    /// See the TypeScript type.
    #[wasm_bindgen(typescript_type = "KernelOptions")]
    pub type KernelOptions;

    /// See the TypeScript type.
    #[wasm_bindgen(typescript_type = "RedeemOptions")]
    pub type RedeemOptions;

    /// See the TypeScript type.
    #[wasm_bindgen(typescript_type = "WaitOptions")]
    pub type WaitOptions;

    /// See the TypeScript type.
    #[wasm_bindgen(typescript_type = "RemoteStatus[]")]
    pub type RemoteStatusList;
}

/// How long the network's end may take to answer: it may still be loading.
const START_LIMIT: Duration = Duration::from_secs(60);

const OWN_OPTIONS: [&str; 4] = ["keySeed", "mnemonic", "onEvent", "signal"];

/// Whoever is told of events, and redemptions that wait to be ended.
struct Inbox {
    /// Released by a stop, so that what it leads to can be collected.
    on_event: RefCell<Option<Function>>,
    hub: EventHub,
    redemptions: RefCell<HashMap<RedemptionId, oneshot::Sender<Result<Kref, KernelError>>>>,
    /// The kernel, once there is one.
    driver: RefCell<Weak<KernelDriver>>,
}

impl Inbox {
    fn tell(self: &Rc<Self>, event: KernelEvent) {
        match Told::from(event) {
            Told::Redemption { id, result } => {
                if let Some(waiting) = self.redemptions.borrow_mut().remove(&id) {
                    // Whoever asked may have been stopped.
                    waiting.send(result).ok();
                }
            }
            Told::Event(event) => {
                let Some(told) = event_to_js(&event) else { return };
                let on_event = self.on_event.borrow().clone();
                let result = event.awaited_result();
                match on_event.map(|on_event| on_event.call1(&JsValue::UNDEFINED, &told)) {
                    Some(Err(thrown)) => self.handler_failed(result, &thrown),
                    Some(Ok(returned)) if is_thenable(&returned) => {
                        let inbox = Rc::downgrade(self);
                        spawn_local(async move {
                            let Err(thrown) = JsFuture::from(Promise::resolve(&returned)).await else { return };
                            if let Some(inbox) = inbox.upgrade() {
                                inbox.handler_failed(result, &thrown);
                            }
                        });
                    }
                    _ => {}
                }
                if event.may_be_read_later() {
                    self.hub.push(&told);
                }
            }
        }
    }

    /// The program threw when it was told of an event. Whoever waits for the result of a message must not wait for ever.
    fn handler_failed(&self, result: Option<Kref>, thrown: &JsValue) {
        if let Some(times) = worth_a_line("kernel's onEvent", "") {
            web_sys::console::error_2(&format!("ocap-remotes: onEvent threw ({times})").into(), thrown);
        }
        let driver = self.driver.borrow().upgrade();
        if let (Some(driver), Some(result)) = (driver, result)
            && let Err(error) = driver.call(|kernel, _| kernel.handler_failed(result))
        {
            // A kernel that was stopped, or a store that failed, which is told of elsewhere.
            tracing::debug!(%error, "the result of a message could not be rejected");
        }
    }
}

/// Whether a handler goes on after it has returned, as an async one does.
fn is_thenable(returned: &JsValue) -> bool {
    returned.is_object() && Reflect::get(returned, &"then".into()).is_ok_and(|then| then.is_function())
}

/// A kernel that serves one program, and its remotes.
#[wasm_bindgen]
pub struct Kernel {
    driver: Rc<KernelDriver>,
    client: Rc<PlatformServicesClient<BrowserPort>>,
    inbox: Rc<Inbox>,
}

fn krefs(texts: &[String]) -> Result<Vec<Kref>, JsValue> {
    texts.iter().map(|text| parsed(text)).collect()
}

fn cap_data(body: String, slots: Option<Vec<String>>) -> Result<CapData<Kref>, JsValue> {
    Ok(CapData { body, slots: krefs(&slots.unwrap_or_default())? })
}

#[wasm_bindgen]
impl Kernel {
    /// Starts a kernel over the network at the other end of `port`; resolves when its remote communications have started.
    ///
    /// It goes on from `store`, which it takes over, and closes when it is stopped or cannot be started. If none is given it
    /// opens the durable store called `kernel`, which only a dedicated Worker can.
    ///
    /// # Errors
    /// A `TypeError` for a bad option; what `openKernelStore` throws; an `IdentityError` for a bad seed, or one that is not
    /// the store's; a `NetworkTimeoutError` if nobody answers for a minute; whatever kept the network from starting; the
    /// reason of an aborted `signal`.
    pub async fn start(
        port: BridgePort,
        options: KernelOptions,
        store: Option<KernelStore>,
    ) -> Result<Kernel, JsValue> {
        crash::check()?;
        let options: JsValue = options.into();
        let comms = options::read_comms_beside(&options, &OWN_OPTIONS)?;
        let (key_seed, mnemonic) = (options::text(&options, "keySeed")?, options::text(&options, "mnemonic")?);
        let on_event = Reflect::get(&options, &"onEvent".into())?.dyn_into();
        let on_event: Function = on_event.map_err(|_| type_error("onEvent must be a function"))?;
        let seed = match (key_seed, mnemonic) {
            (Some(_), Some(_)) => return Err(type_error("give keySeed or mnemonic, not both")),
            (Some(hex), None) => Some(SeedSource::Hex(hex.into())),
            (None, Some(words)) => Some(SeedSource::Mnemonic(words.into())),
            (None, None) => None,
        };
        let signal = abort::signal(&options)?;
        abort::check(signal.as_ref())?;
        let port = BrowserPort::new(port).map_err(|error| type_error(&error.to_string()))?;

        let runtime: Rc<dyn Runtime> = Rc::new(BrowserRuntime);
        let store = match store {
            Some(store) => store,
            None => KernelStore::open_default().await?,
        };
        let mut random = |bytes: &mut [u8]| runtime.fill_random(bytes);
        let kernel = KernelCore::open(store.into_records(), &comms, seed, &mut random, runtime.now())
            .map_err(|error| kernel_error(&error))?;

        let inbox = Rc::new(Inbox {
            on_event: RefCell::new(Some(on_event)),
            hub: EventHub::new(),
            redemptions: RefCell::default(),
            driver: RefCell::default(),
        });
        let client = Rc::new(PlatformServicesClient::new(port, Rc::clone(&runtime)));
        let events = Rc::clone(&inbox);
        let driver =
            KernelDriver::start(kernel, Rc::clone(&client) as _, runtime, Box::new(move |event| events.tell(event)));
        inbox.driver.replace(Rc::downgrade(&driver));
        // Until this has returned the program does not have the kernel that an event is about.
        driver.hold_events();
        let (weak, again) = (Rc::downgrade(&driver), comms.clone());
        client.start(Rc::clone(&driver) as _, move || {
            // The network's end was loaded anew and knows nothing: start it as before.
            let Some(driver) = weak.upgrade() else { return };
            let options = again.clone();
            spawn_local(async move {
                if let Err(error) = driver.start_network(options).await {
                    tracing::error!(%error, "the network that was loaded anew could not be started");
                }
            });
        });
        let starting = Box::pin(timeout(&BrowserRuntime, START_LIMIT, driver.start_network(comms)));
        let error = match abort::or_abort(signal.as_ref(), starting).await {
            Ok(Some(Ok(()))) => {
                let (turn, told) = (BrowserRuntime.yield_turn(), Rc::clone(&driver));
                spawn_local(async move {
                    turn.await;
                    told.release_events();
                });
                return Ok(Kernel { driver, client, inbox });
            }
            Err(reason) => reason,
            Ok(Some(Err(error))) => kernel_error(&error),
            Ok(None) => {
                let message = "nobody serves the network at the other end of the port";
                named("NetworkTimeoutError", message, &JsValue::UNDEFINED)
            }
        };
        driver.close();
        client.close();
        Err(error)
    }

    fn call<T>(&self, work: impl FnOnce(&mut KernelCore) -> Result<T, KernelError>) -> Result<T, JsValue> {
        crash::check()?;
        self.driver.call(|kernel, _| work(kernel)).map_err(|error| kernel_error(&error))
    }

    /// The libp2p peer id of this kernel.
    #[wasm_bindgen(getter, js_name = peerId)]
    pub fn peer_id(&self) -> Result<String, JsValue> {
        crash::check()?;
        Ok(self.driver.inspect(|kernel| kernel.peer_id().to_string()))
    }

    /// The incarnation id of this kernel's store.
    #[wasm_bindgen(getter, js_name = incarnationId)]
    pub fn incarnation_id(&self) -> Result<String, JsValue> {
        crash::check()?;
        Ok(self.driver.inspect(|kernel| kernel.incarnation().to_string()))
    }

    /// Makes a new object and gives its reference, such as `ko3`. It lives until it is released and no peer holds it.
    ///
    /// # Errors
    /// A `StoreError`.
    #[wasm_bindgen(js_name = exportObject)]
    pub fn export_object(&self) -> Result<String, JsValue> {
        self.call(|kernel| kernel.export_object().map(|kref| kref.to_string()))
    }

    /// Makes a new promise, such as `kp4`, that this program is to settle with `resolve` or `reject`.
    ///
    /// # Errors
    /// A `StoreError`.
    #[wasm_bindgen(js_name = createPromise)]
    pub fn create_promise(&self) -> Result<String, JsValue> {
        self.call(|kernel| kernel.create_promise().map(|kref| kref.to_string()))
    }

    /// Sends a message to an object or promise and gives the promise of its result; the outcome comes as a `notify` event.
    ///
    /// # Errors
    /// A `ReferenceError` for something that this program does not hold; a `ResourceLimitError` when the message is too
    /// long or too many to that peer are unacknowledged, which `ready` waits out. Nothing was sent then.
    pub fn send(&self, target: &str, body: String, slots: Option<Vec<String>>) -> Result<String, JsValue> {
        let (target, data) = (parsed(target)?, cap_data(body, slots)?);
        crash::check()?;
        let sent = self.driver.call(|kernel, _| kernel.send(target, data));
        sent.map(|promise| promise.to_string()).map_err(|error| kernel_error(&error))
    }

    /// Resolves when `target` takes one more message: as soon as less than `maxQueue` to its peer are unacknowledged. Send at
    /// once then, for others may wait too. Rejected with a `ReferenceError` if `target` is not, or no longer, held by this program,
    /// or with the reason of an aborted `signal`.
    #[wasm_bindgen(unchecked_return_type = "Promise<void>")]
    pub fn ready(&self, target: String, options: Option<WaitOptions>) -> Promise {
        let driver = Rc::clone(&self.driver);
        future_to_promise(async move {
            crash::check()?;
            let target = parsed(&target)?;
            let signal = abort::only_signal(options)?;
            let ready = abort::or_abort(signal.as_ref(), Box::pin(driver.ready(target))).await?;
            ready.map(|()| JsValue::UNDEFINED).map_err(|error| kernel_error(&error))
        })
    }

    fn settle(&self, promise: &str, rejected: bool, body: String, slots: Option<Vec<String>>) -> Result<(), JsValue> {
        let (promise, data) = (parsed(promise)?, cap_data(body, slots)?);
        crash::check()?;
        let settled = self.driver.call(|kernel, _| kernel.resolve(promise, rejected, data));
        settled.map_err(|error| kernel_error(&error))
    }

    /// Fulfils a promise that this program is to settle. Its reference means nothing to the program afterwards.
    ///
    /// # Errors
    /// A `PromiseError` if it is settled or for another to settle; a `ReferenceError`; a `ResourceLimitError`.
    pub fn resolve(&self, promise: &str, body: String, slots: Option<Vec<String>>) -> Result<(), JsValue> {
        self.settle(promise, false, body, slots)
    }

    /// Rejects a promise that this program is to settle. Its reference means nothing to the program afterwards.
    ///
    /// # Errors
    /// As `resolve`.
    pub fn reject(&self, promise: &str, body: String, slots: Option<Vec<String>>) -> Result<(), JsValue> {
        self.settle(promise, true, body, slots)
    }

    /// Lets go of references, the program's own objects included; all of them or, on an error, none.
    ///
    /// # Errors
    /// A `ReferenceError` for something that this program does not hold.
    pub fn release(&self, references: Vec<String>) -> Result<(), JsValue> {
        let references = krefs(&references)?;
        crash::check()?;
        let released = self.driver.call(|kernel, _| kernel.release(&references));
        released.map_err(|error| kernel_error(&error))
    }

    /// Makes a URL by which anyone who has it can get the object from this kernel, as long as the program keeps it; resolves
    /// when the object is durable. Rejected with a `ReferenceError` for something that this program does not hold, or that is
    /// no object.
    #[wasm_bindgen(js_name = issueOcapURL, unchecked_return_type = "Promise<string>")]
    pub fn issue_ocap_url(&self, object: String) -> Promise {
        let driver = Rc::clone(&self.driver);
        future_to_promise(async move {
            crash::check()?;
            let issued = driver.issue_ocap_url(parsed(&object)?).await;
            issued.map(Into::into).map_err(|error| kernel_error(&error))
        })
    }

    /// Gets the object behind a URL; rejected with an `OcapURLError`, a `RedemptionError`, why its issuer cannot be reached, or
    /// the reason of an aborted `signal`. An object that comes after that is let go, unless the program holds it anyway.
    #[wasm_bindgen(js_name = redeemOcapURL, unchecked_return_type = "Promise<string>")]
    pub fn redeem_ocap_url(&self, url: String, options: Option<RedeemOptions>) -> Promise {
        let (driver, inbox) = (Rc::clone(&self.driver), Rc::clone(&self.inbox));
        future_to_promise(async move {
            crash::check()?;
            let signal = abort::only_signal(options)?;
            let random = driver.random();
            let (done, mut result) = oneshot::channel();
            let id = driver
                .call(|kernel, now| kernel.redeem_ocap_url(&url, random, now))
                .map_err(|error| kernel_error(&error))?;
            inbox.redemptions.borrow_mut().insert(id, done);
            match abort::or_abort(signal.as_ref(), &mut result).await {
                Ok(result) => {
                    let result = result.unwrap_or_else(|_| Err(RemoteError::NetworkStopped.into()));
                    result.map(|kref| kref.to_string().into()).map_err(|error| kernel_error(&error))
                }
                Err(reason) => {
                    inbox.redemptions.borrow_mut().remove(&id);
                    if let Err(error) = driver.call(|kernel, _| kernel.abandon_redemption(id)) {
                        // A kernel that was stopped has no use for it either.
                        tracing::debug!(%error, "a redemption could not be abandoned");
                    }
                    Err(reason)
                }
            }
        })
    }

    /// Tells where a peer may be found: multiaddrs of relays, or of the peer itself.
    ///
    /// # Errors
    /// A `ProtocolError` if `peerId` is none.
    #[wasm_bindgen(js_name = registerLocationHints)]
    pub fn register_location_hints(
        &self,
        #[wasm_bindgen(js_name = peerId)] peer_id: &str,
        hints: Vec<String>,
    ) -> Result<(), JsValue> {
        let peer = parsed(peer_id)?;
        crash::check()?;
        let told = self.driver.call(|kernel, now| kernel.register_location_hints(&peer, hints, now));
        told.map_err(|error| kernel_error(&error))
    }

    /// Closes the connection to a peer until `reconnectPeer`. What was pending is rejected; sends to it fail.
    #[wasm_bindgen(js_name = closeConnection, unchecked_return_type = "Promise<void>")]
    pub fn close_connection(&self, #[wasm_bindgen(js_name = peerId)] peer_id: String) -> Promise {
        let driver = Rc::clone(&self.driver);
        future_to_promise(async move {
            crash::check()?;
            let closed = driver.close_connection(parsed(&peer_id)?).await;
            closed.map(|()| JsValue::UNDEFINED).map_err(|error| kernel_error(&error))
        })
    }

    /// Undoes `closeConnection` and connects now; forgets that the peer was given up.
    #[wasm_bindgen(js_name = reconnectPeer, unchecked_return_type = "Promise<void>")]
    pub fn reconnect_peer(
        &self,
        #[wasm_bindgen(js_name = peerId)] peer_id: String,
        hints: Option<Vec<String>>,
    ) -> Promise {
        let driver = Rc::clone(&self.driver);
        future_to_promise(async move {
            crash::check()?;
            let reconnected = driver.reconnect_peer(parsed(&peer_id)?, hints.unwrap_or_default()).await;
            reconnected.map(|()| JsValue::UNDEFINED).map_err(|error| kernel_error(&error))
        })
    }

    /// What is known of every remote.
    pub fn remotes(&self) -> Result<RemoteStatusList, JsValue> {
        crash::check()?;
        let remotes: Vec<RemoteStatus> = self.driver.inspect(|kernel| {
            let status = |remote: &crate::kernel::RemoteHandle| {
                let counters = remote.counters();
                RemoteStatus {
                    id: remote.id().to_string(),
                    peer_id: remote.peer().to_string(),
                    pending: remote.pending(),
                    last_sent: remote.last_sent(),
                    highest_received: remote.highest_received().map_or(0, crate::wire::Seq::get),
                    delivered: counters.delivered,
                    duplicates: counters.duplicates,
                    out_of_order: counters.out_of_order,
                    rejected: counters.rejected,
                    malformed: counters.malformed,
                    lost: counters.lost,
                }
            };
            kernel.remotes().remotes().map(status).collect()
        });
        Ok(to_js(&remotes)?.unchecked_into())
    }

    /// What happens to peers and to this kernel, from now on, to be read with `for await`. It ends when the kernel is stopped.
    ///
    /// Messages, answers and retired objects are not among it: what a program does about them has to become durable together with
    /// them, which only `onEvent` can. A reader may be 1,000 events behind.
    ///
    /// # Errors
    /// A `TypeError` for a bad option.
    #[wasm_bindgen(unchecked_return_type = "AsyncIterableIterator<PeerEvent | MissedEvents>")]
    pub fn events(&self, options: Option<EventsOptions>) -> Result<JsValue, JsValue> {
        crash::check()?;
        self.inbox.hub.read(options)
    }

    /// Everything in this kernel's store, as a file for the user to keep; see `KernelStore.export`.
    #[wasm_bindgen(js_name = exportStore, unchecked_return_type = "Promise<Uint8Array>")]
    pub fn export_store(&self) -> Promise {
        let driver = Rc::clone(&self.driver);
        future_to_promise(async move {
            crash::check()?;
            let exported = driver.export().await;
            exported.map(|bytes| Uint8Array::from(&*bytes).into()).map_err(|error| kernel_error(&error))
        })
    }

    /// Stops this kernel and then the network, and closes the store; every later call fails.
    #[wasm_bindgen(unchecked_return_type = "Promise<void>")]
    pub fn stop(&self) -> Promise {
        let (driver, client) = (Rc::clone(&self.driver), Rc::clone(&self.client));
        let inbox = Rc::clone(&self.inbox);
        future_to_promise(async move {
            crash::check()?;
            inbox.redemptions.borrow_mut().clear();
            let stopped = driver.stop().await;
            client.close();
            inbox.hub.end();
            inbox.on_event.take();
            stopped.map(|()| JsValue::UNDEFINED).map_err(|error| remote_error(&error))
        })
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RemoteStatus {
    id: String,
    peer_id: String,
    pending: usize,
    last_sent: u64,
    highest_received: u64,
    delivered: u64,
    duplicates: u64,
    out_of_order: u64,
    rejected: u64,
    malformed: u64,
    lost: u64,
}

/// How JavaScript is told of a [`KernelEvent`]: by the promise that it waits for, or by an event.
enum Told {
    Redemption { id: RedemptionId, result: Result<Kref, KernelError> },
    Event(Event),
}

/// A [`KernelEvent`] as JavaScript sees it.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
enum Event {
    Message {
        target: Kref,
        body: String,
        slots: Vec<Kref>,
        #[serde(skip_serializing_if = "Option::is_none")]
        result: Option<Kref>,
    },
    Notify {
        promise: Kref,
        rejected: bool,
        body: String,
        slots: Vec<Kref>,
    },
    Retired {
        objects: Vec<Kref>,
    },
    PeerRestarted {
        peer_id: String,
        former_incarnation: String,
        incarnation: String,
        discarded: usize,
        promises_rejected: usize,
    },
    IdentityShared {
        peer_id: String,
        incarnation: String,
        other_incarnation: String,
    },
    GivenUp {
        peer_id: String,
        reason: String,
        discarded: usize,
        promises_rejected: usize,
    },
    MessagesLost {
        peer_id: String,
        first: u64,
        last: u64,
    },
    MessageRejected {
        peer_id: String,
        seq: u64,
        reason: String,
    },
    StoreFailed {
        reason: String,
    },
}

impl Event {
    /// The promise that the program is to settle, if this is a message whose sender waits for an answer.
    fn awaited_result(&self) -> Option<Kref> {
        match self {
            Event::Message { result, .. } => *result,
            _ => None,
        }
    }

    /// Whether nothing that a program does about it has to become durable with it.
    fn may_be_read_later(&self) -> bool {
        !matches!(self, Event::Message { .. } | Event::Notify { .. } | Event::Retired { .. })
    }
}

impl From<KernelEvent> for Told {
    fn from(event: KernelEvent) -> Self {
        Told::Event(match event {
            KernelEvent::Redeemed { id, result } => return Told::Redemption { id, result },
            KernelEvent::Message { target, methargs, result } => {
                Event::Message { target, body: methargs.body, slots: methargs.slots, result }
            }
            KernelEvent::Notify { promise, rejected, value } => {
                Event::Notify { promise, rejected, body: value.body, slots: value.slots }
            }
            KernelEvent::Retired(objects) => Event::Retired { objects },
            KernelEvent::Remote(event) => event.into(),
            KernelEvent::StoreFailed(error) => Event::StoreFailed { reason: error.to_string() },
        })
    }
}

impl From<RemoteEvent> for Event {
    fn from(event: RemoteEvent) -> Self {
        match event {
            RemoteEvent::PeerRestarted { peer, former, current, discarded, promises_rejected } => {
                Event::PeerRestarted {
                    peer_id: peer.to_string(),
                    former_incarnation: former.to_string(),
                    incarnation: current.to_string(),
                    discarded,
                    promises_rejected,
                }
            }
            RemoteEvent::IdentityShared { peer, current, other } => Event::IdentityShared {
                peer_id: peer.to_string(),
                incarnation: current.to_string(),
                other_incarnation: other.to_string(),
            },
            RemoteEvent::GivenUp { peer, reason, discarded, promises_rejected } => {
                Event::GivenUp { peer_id: peer.to_string(), reason, discarded, promises_rejected }
            }
            RemoteEvent::MessagesLost { peer, first, last } => {
                Event::MessagesLost { peer_id: peer.to_string(), first: first.get(), last: last.get() }
            }
            RemoteEvent::MessageRejected { peer, seq, reason } => {
                Event::MessageRejected { peer_id: peer.to_string(), seq: seq.get(), reason }
            }
        }
    }
}
