//! The network's end, for a window, an offscreen document or a second Worker.

use std::{cell::RefCell, collections::BTreeSet, rc::Rc};

use futures::{FutureExt as _, TryFutureExt as _, future::ready};
use js_sys::{Function, Promise, Reflect};
use serde_json::Value;
use wasm_bindgen::{JsCast as _, prelude::*};
use wasm_bindgen_futures::JsFuture;
use web_sys::MessagePort;

use super::{
    BridgePort, crash,
    error::{event_to_js, remote, thrown_remote, to_js, type_error},
    events::{EventHub, EventsOptions},
    options,
    page::PageListener,
};
use crate::{
    bridge::{BrowserPort, KernelServices, PlatformServices, PlatformServicesServer, Reply, VatWorkerService},
    network::{NetworkService, node::Libp2p},
    runtime::{BrowserRuntime, Runtime, objects::has_functions, worth_a_line},
    wire::RemoteError,
};

#[wasm_bindgen(typescript_custom_section)]
const TYPES: &str = r#"
/** Where a kernel's vats run, if this context hosts them. */
export interface NetworkOptions {
  /** Starts a vat and gives the port that leads to it; the port is transferred to the kernel. */
  launch?: (vatId: string, vatConfig: unknown) => MessagePort | Promise<MessagePort>;
  /** Stops a vat that was launched. */
  terminate?: (vatId: string) => void | Promise<void>;
  /** Called with each change, in order; it should be quick. What it throws is logged. */
  onEvent?: (event: NetworkEvent) => void;
}

/**
 * How far a peer's channel is. `idle`: none, and no reason to get one. `waiting`: for `nextAttemptAt`. `closed`: by the kernel,
 * until it reconnects. `failed`: so often for one reason that only a send, a reconnect or a wake makes another attempt.
 */
export type PeerState = 'idle' | 'waiting' | 'dialling' | 'handshaking' | 'connected' | 'closed' | 'failed';

/** What is known of the network end of one peer; the kernel's `remotes()` tells sequence numbers. Times are milliseconds. */
export interface PeerStatus {
  peerId: string;
  state: PeerState;
  /** The channel in use, when connected. */
  channel: {
    kind: 'ws' | 'webrtc-direct' | 'relayed' | 'other';
    /** The relay's peer id, for a circuit. */
    relay: string | null;
    /** What the peer called itself in the handshake. */
    incarnation: string;
    /** Whether this end opened it. */
    dialledByUs: boolean;
    /** Since the Unix epoch. */
    since: number;
    /** When something was last read or written on it, since the Unix epoch. */
    lastTraffic: number;
    /** The last round trip measured by a ping. */
    roundTripMs: number | null;
  } | null;
  /** Messages accepted and not yet written. */
  unwritten: number;
  /** Failed attempts of the reconnection loop in a row. */
  failedAttempts: number;
  /** Since the Unix epoch. */
  nextAttemptAt: number | null;
  lastError: { at: number; reason: string } | null;
}

/** A relay that has been heard of since the start. */
export interface RelayStatus {
  /** Its address, as configured. */
  relay: string;
  /** `up`: peers reach this kernel through it. `down`: it is tried again, for ever. */
  state: 'up' | 'down';
  /** What kind of failure happened last, unless it is up; see `ConnectionErrorCode`. */
  code: ConnectionErrorCode | null;
  /** What happened last, for people, unless it is up. */
  reason: string | null;
}

export interface Network {
  /** As `stop`, at the end of an `await using` block. */
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * What kept a relay or a peer from being reached. From the relay's own answers: `RelayLimit` (no room for a reservation or a
 * circuit), `ReservationRefused`, `PermissionDenied`, `NoReservation` (the peer has none there), `ConnectionFailed` (it has, but
 * cannot be reached). `NotARelay`: what answers there is none. `RelayUnreachable`: nothing answers there. The names of errno
 * mean what they mean elsewhere; a browser does not tell them apart: there any WebSocket that does not open is `Other`, or
 * `ENETUNREACH` when the browser says that it is offline.
 */
export type ConnectionErrorCode =
  | 'ECONNREFUSED' | 'EHOSTUNREACH' | 'ENOTFOUND' | 'ENETUNREACH' | 'ETIMEDOUT' | 'ECONNRESET'
  | 'RelayLimit' | 'ReservationRefused' | 'PermissionDenied' | 'NoReservation' | 'ConnectionFailed' | 'NotARelay'
  | 'RelayUnreachable' | 'NoAddress' | 'Unsupported' | 'WrongPeer' | 'ProtocolUnsupported' | 'Stopped' | 'Other';

export interface NetworkStatus {
  peers: PeerStatus[];
  relays: RelayStatus[];
}

/** Something changed. A peer's traffic is no change; a peer that is forgotten is `idle`. */
export type NetworkEvent =
  | ({ type: 'peer' } & PeerStatus)
  | ({ type: 'relay' } & RelayStatus)
  /** A peer broke the protocol or a limit. */
  | { type: 'fault'; peerId: string; name: string; message: string };
"#;

#[wasm_bindgen]
extern "C" {
    /// See the TypeScript type.
    #[wasm_bindgen(typescript_type = "NetworkOptions")]
    pub type NetworkOptions;
    /// See the TypeScript type.
    #[wasm_bindgen(typescript_type = "NetworkStatus")]
    pub type NetworkStatus;
}

/// The network of one kernel: libp2p, over WebRTC where the context has it, over WebSocket everywhere.
#[wasm_bindgen]
pub struct Network {
    server: Rc<PlatformServicesServer<BrowserPort>>,
    service: Rc<NetworkService<Libp2p>>,
    page: RefCell<Option<PageListener>>,
    /// Released by a stop: while the module holds it, JavaScript does not see that it and the network it leads to are needed
    /// by nobody else.
    on_event: Rc<RefCell<Option<Function>>>,
    hub: Rc<EventHub>,
}

#[wasm_bindgen]
impl Network {
    /// Serves the kernel at the other end of `port`, which decides when remote communications start and with what options.
    ///
    /// # Errors
    /// A `TypeError` if `port` cannot carry messages, or for an option that is unknown or no function.
    pub fn serve(port: BridgePort, options: Option<NetworkOptions>) -> Result<Network, JsValue> {
        crash::check()?;
        let options: JsValue = options.into();
        options::check(&options, &["launch", "terminate", "onEvent"])?;
        let port = BrowserPort::new(port).map_err(|error| type_error(&error.to_string()))?;
        let runtime: Rc<dyn Runtime> = Rc::new(BrowserRuntime);
        let server = Rc::new(PlatformServicesServer::new(port, Rc::clone(&runtime)));
        let kernel: Rc<dyn KernelServices> = Rc::clone(&server) as _;
        let service = NetworkService::new(Rc::clone(&runtime), kernel, Libp2p::new(runtime));
        let hub = Rc::new(EventHub::new());
        let on_event = Rc::new(RefCell::new(function(&options, "onEvent")?));
        let (told, readers) = (Rc::clone(&on_event), Rc::clone(&hub));
        let service = service.observed_by(move |event| {
            let on_event = told.borrow().clone();
            if on_event.is_none() && !readers.is_read() {
                return;
            }
            let Some(event) = event_to_js(&event) else { return };
            if let Some(Err(thrown)) = on_event.as_ref().map(|told| told.call1(&JsValue::UNDEFINED, &event)) {
                let error = thrown_remote(&thrown);
                if let Some(times) = worth_a_line("network's onEvent", "") {
                    tracing::error!(%error, times, "onEvent threw");
                }
            }
            readers.push(&event);
        });
        let service = Rc::new(service);
        let vats = Vats::from_options(&options)?;
        server.start(Rc::clone(&service) as _, vats.map(|vats| Rc::new(vats) as _));
        let weak = Rc::downgrade(&service);
        let page = PageListener::new(move |meaning| {
            if let Some(service) = weak.upgrade() {
                tracing::debug!(?meaning, "the browser tells of the page");
                service.page_told(meaning);
            }
        });
        Ok(Network { server, service, page: RefCell::new(Some(page)), on_event, hub })
    }

    /// What is known of peers and relays now; empty while remote communications do not run.
    ///
    /// # Errors
    /// A `CrashError` after a crash.
    pub fn status(&self) -> Result<NetworkStatus, JsValue> {
        crash::check()?;
        Ok(to_js(&self.service.status())?.unchecked_into())
    }

    /// Each change from now on, to be read with `for await`; `status` tells what was before. It ends when the network is stopped.
    /// A reader may be 1,000 events behind.
    ///
    /// # Errors
    /// A `TypeError` for a bad option.
    #[wasm_bindgen(unchecked_return_type = "AsyncIterableIterator<NetworkEvent | MissedEvents>")]
    pub fn events(&self, options: Option<EventsOptions>) -> Result<JsValue, JsValue> {
        crash::check()?;
        self.hub.read(options)
    }

    /// Closes every connection and the bridge. The promise resolves when nothing is left.
    #[wasm_bindgen(unchecked_return_type = "Promise<void>")]
    pub fn stop(&self) -> Promise {
        self.page.take();
        let (server, service, hub) = (Rc::clone(&self.server), Rc::clone(&self.service), Rc::clone(&self.hub));
        let on_event = Rc::clone(&self.on_event);
        wasm_bindgen_futures::future_to_promise(async move {
            crash::check()?;
            let stopped = service.stop_remote_comms().await;
            server.close();
            hub.end();
            on_event.take();
            stopped.map(|()| JsValue::UNDEFINED).map_err(|error| remote(&error))
        })
    }
}

pub(super) fn function(options: &JsValue, name: &str) -> Result<Option<Function>, JsValue> {
    if !options.is_object() {
        return Ok(None);
    }
    let given = Reflect::get(options, &name.into())?;
    if given.is_undefined() {
        return Ok(None);
    }
    given.dyn_into().map(Some).map_err(|_| type_error(&format!("{name} must be a function")))
}

/// Vats that JavaScript hosts.
struct Vats {
    launch: Option<Function>,
    terminate: Option<Function>,
    launched: Rc<RefCell<BTreeSet<String>>>,
}

impl Vats {
    fn from_options(options: &JsValue) -> Result<Option<Self>, JsValue> {
        let (launch, terminate) = (function(options, "launch")?, function(options, "terminate")?);
        let hosts = launch.is_some() || terminate.is_some();
        Ok(hosts.then(|| Vats { launch, terminate, launched: Rc::default() }))
    }
}

/// Calls a function that may answer at once or with a promise.
pub(super) async fn call(
    function: Option<Function>,
    name: &'static str,
    arguments: impl IntoIterator<Item = JsValue>,
) -> Result<JsValue, RemoteError> {
    let function = function.ok_or_else(|| thrown_remote(&type_error(&format!("no {name} function was given"))))?;
    let arguments: js_sys::Array = arguments.into_iter().collect();
    let answer = function.apply(&JsValue::UNDEFINED, &arguments).map_err(|error| thrown_remote(&error))?;
    JsFuture::from(Promise::resolve(&answer)).await.map_err(|error| thrown_remote(&error))
}

impl VatWorkerService for Vats {
    type Port = MessagePort;

    fn launch(&self, vat_id: String, config: Value) -> Reply<MessagePort> {
        let launched = Rc::clone(&self.launched);
        let config = match to_js(&config) {
            Ok(config) => config,
            Err(inexact) => return ready(Err(thrown_remote(&inexact))).boxed_local(),
        };
        call(self.launch.clone(), "launch", [vat_id.as_str().into(), config])
            .and_then(|port| async move {
                launched.borrow_mut().insert(vat_id);
                match has_functions(&port, &["postMessage", "start"]) {
                    true => Ok(port.unchecked_into()),
                    false => Err(thrown_remote(&type_error("launch must give a MessagePort"))),
                }
            })
            .boxed_local()
    }

    fn terminate(&self, vat_id: String) -> Reply<()> {
        self.launched.borrow_mut().remove(&vat_id);
        call(self.terminate.clone(), "terminate", [vat_id.into()]).map_ok(|_| ()).boxed_local()
    }

    fn terminate_all(&self) -> Reply<()> {
        let launched = self.launched.take();
        futures::future::try_join_all(launched.into_iter().map(|vat_id| self.terminate(vat_id)))
            .map_ok(|_| ())
            .boxed_local()
    }
}
