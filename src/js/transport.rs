//! The network by itself, for a kernel in JavaScript that runs in the same context.

use std::{cell::RefCell, collections::HashMap, rc::Rc};

use futures::{FutureExt as _, future::ready};
use js_sys::{Function, Object, Promise, Reflect};
use wasm_bindgen::{JsCast as _, prelude::*};
use wasm_bindgen_futures::future_to_promise;

use super::{
    crash,
    error::{ask, remote, to_js, type_error},
    network_changes::NetworkChanges,
};
use crate::{
    bridge::{KernelServices, PlatformServices as _, Reply},
    network::{NetworkService, node::Libp2p},
    runtime::{BrowserRuntime, Runtime},
    wire::{IncarnationId, PeerId, RemoteCommsOptions, RemoteError, WireError},
};

#[wasm_bindgen(typescript_custom_section)]
const TYPES: &str = include_str!("transport.d.ts");

#[wasm_bindgen]
extern "C" {
    /// See the TypeScript type.
    #[wasm_bindgen(typescript_type = "RemoteCommsOptions | undefined")]
    pub type TransportOptions;
    /// See the TypeScript type.
    #[wasm_bindgen(typescript_type = "TransportMessageHandler")]
    pub type MessageHandler;
    /// See the TypeScript type.
    #[wasm_bindgen(typescript_type = "OnRemoteGiveUp")]
    pub type GiveUpHandler;
    /// See the TypeScript type.
    #[wasm_bindgen(typescript_type = "OnIncarnationChange")]
    pub type IncarnationHandler;
    /// See the TypeScript type.
    #[wasm_bindgen(typescript_type = "Transport")]
    pub type Transport;
}

/// Peers whose incarnation is remembered when no kernel does.
const MAX_REMEMBERED: usize = 4_096;

/// A kernel that is three functions.
struct Handlers {
    on_message: Function,
    on_give_up: Option<Function>,
    on_incarnation: Option<Function>,
    /// What peers were last seen in, when there is nobody else to know.
    seen: RefCell<HashMap<PeerId, IncarnationId>>,
}

impl KernelServices for Handlers {
    fn remote_deliver(&self, from: PeerId, message: String) -> Reply<Option<String>> {
        let handled = ask(&self.on_message, [from.to_string().into(), message.into()]);
        handled.map(|reply| reply.map(|reply| reply.as_string().filter(|text| !text.is_empty()))).boxed_local()
    }

    fn remote_give_up(&self, peer: PeerId) -> Reply<()> {
        match &self.on_give_up {
            Some(on_give_up) => ask(on_give_up, [peer.to_string().into()]).map(|told| told.map(|_| ())).boxed_local(),
            None => ready(Ok(())).boxed_local(),
        }
    }

    fn remote_incarnation_change(&self, peer: PeerId, observed: IncarnationId) -> Reply<bool> {
        let Some(on_incarnation) = &self.on_incarnation else {
            let mut seen = self.seen.borrow_mut();
            if seen.len() >= MAX_REMEMBERED && !seen.contains_key(&peer) {
                seen.clear();
            }
            let restarted = seen.insert(peer, observed.clone()).is_some_and(|former| former != observed);
            return ready(Ok(restarted)).boxed_local();
        };
        let verdict = ask(on_incarnation, [peer.to_string().into(), observed.as_str().into()]);
        let is_boolean = |verdict: JsValue| {
            let message = "onIncarnationChange must say whether the peer restarted, by true or false".to_owned();
            verdict.as_bool().ok_or(RemoteError::Other { name: "TypeError".to_owned(), message })
        };
        verdict.map(move |verdict| verdict.and_then(is_boolean)).boxed_local()
    }
}

type Service = NetworkService<Libp2p>;

fn peer(text: &str) -> Result<PeerId, JsValue> {
    text.parse().map_err(|_| type_error(&format!("{text:?} is not a libp2p peer id")))
}

fn promise(reply: Result<Reply<()>, JsValue>) -> Promise {
    match crash::check().and(reply) {
        Ok(reply) => {
            future_to_promise(reply.map(|done| done.map(|()| JsValue::UNDEFINED).map_err(|error| remote(&error))))
        }
        Err(error) => Promise::reject(&error),
    }
}

/// Starts a network under the identity of `keySeed`, 32 bytes in hex, and gives the functions that use it. They need no `this`.
///
/// `remoteMessageHandler` is called with each message, in order per peer, and may answer with a text to send back.
/// `onRemoteGiveUp` is told of peers that the network has stopped trying to reach. `onIncarnationChange` is asked after every
/// handshake whether the peer restarted; what it throws, or an answer that is no boolean, counts as a restart. Without it the
/// network compares with what it has seen itself. Without `localIncarnationId` each start is a new incarnation.
///
/// # Errors
/// A `TypeError` for a bad argument or option; an `IdentityError`; an `AddressError`.
#[wasm_bindgen(js_name = initTransport, unchecked_return_type = "Promise<Transport>")]
pub fn init_transport(
    #[wasm_bindgen(js_name = keySeed)] key_seed: String,
    options: TransportOptions,
    #[wasm_bindgen(js_name = remoteMessageHandler)] remote_message_handler: MessageHandler,
    #[wasm_bindgen(js_name = onRemoteGiveUp)] on_remote_give_up: Option<GiveUpHandler>,
    #[wasm_bindgen(js_name = localIncarnationId)] local_incarnation_id: Option<String>,
    #[wasm_bindgen(js_name = onIncarnationChange)] on_incarnation_change: Option<IncarnationHandler>,
) -> Promise {
    let options: JsValue = options.into();
    let function = |value: JsValue, name: &str| {
        value.dyn_into::<Function>().map_err(|_| type_error(&format!("{name} must be a function")))
    };
    future_to_promise(async move {
        crash::check()?;
        let options: RemoteCommsOptions = if options.is_undefined() {
            RemoteCommsOptions::default()
        } else {
            serde_wasm_bindgen::from_value(options).map_err(|error| type_error(&format!("bad option: {error}")))?
        };
        let incarnation = match local_incarnation_id {
            Some(text) => text.parse().map_err(|error: WireError| type_error(&error.to_string()))?,
            None => {
                let mut random = [0; 16];
                BrowserRuntime.fill_random(&mut random);
                IncarnationId::from_random(random)
            }
        };
        let kernel = Handlers {
            on_message: function(remote_message_handler.into(), "remoteMessageHandler")?,
            on_give_up: on_remote_give_up.map(|given| function(given.into(), "onRemoteGiveUp")).transpose()?,
            on_incarnation: on_incarnation_change
                .map(|given| function(given.into(), "onIncarnationChange"))
                .transpose()?,
            seen: RefCell::default(),
        };
        let runtime: Rc<dyn Runtime> = Rc::new(BrowserRuntime);
        let service = Rc::new(Service::new(Rc::clone(&runtime), Rc::new(kernel), Libp2p::new(runtime)));
        let started = service.initialize_remote_comms(key_seed, options, incarnation).await;
        started.map_err(|error| remote(&error))?;
        Ok(functions(&service).into())
    })
}

/// The functions that use a network. They keep it alive.
fn functions(service: &Rc<Service>) -> Object {
    let weak = Rc::downgrade(service);
    let changes = RefCell::new(Some(NetworkChanges::listen(move || {
        if let Some(service) = weak.upgrade() {
            service.network_changed();
        }
    })));
    let functions = Object::new();
    let add = |name: &str, function: JsValue| {
        // A plain object takes any property.
        Reflect::set(&functions, &name.into(), &function).ok();
    };
    let own = Rc::clone(service);
    let send = move |to: String, message: String| promise(peer(&to).map(|to| own.send_remote_message(to, message)));
    add("sendRemoteMessage", Closure::<dyn Fn(String, String) -> Promise>::new(send).into_js_value());
    let own = Rc::clone(service);
    let stop = move || {
        changes.take();
        promise(Ok(own.stop_remote_comms()))
    };
    add("stop", Closure::<dyn Fn() -> Promise>::new(stop).into_js_value());
    let own = Rc::clone(service);
    let close = move |gone: String| promise(peer(&gone).map(|gone| own.close_connection(gone)));
    add("closeConnection", Closure::<dyn Fn(String) -> Promise>::new(close).into_js_value());
    let own = Rc::clone(service);
    let register = move |known: String, hints: Vec<String>| {
        promise(peer(&known).map(|known| own.register_location_hints(known, hints)))
    };
    add("registerLocationHints", Closure::<dyn Fn(String, Vec<String>) -> Promise>::new(register).into_js_value());
    let own = Rc::clone(service);
    let reconnect = move |lost: String, hints: Option<Vec<String>>| {
        promise(peer(&lost).map(|lost| own.reconnect_peer(lost, hints.unwrap_or_default())))
    };
    add("reconnectPeer", Closure::<dyn Fn(String, Option<Vec<String>>) -> Promise>::new(reconnect).into_js_value());
    let own = Rc::clone(service);
    let reset = move || promise(Ok(own.reset_all_backoffs()));
    add("resetAllBackoffs", Closure::<dyn Fn() -> Promise>::new(reset).into_js_value());
    let own = Rc::clone(service);
    let addresses = move || to_js(&own.listen_addresses());
    add("getListenAddresses", Closure::<dyn Fn() -> JsValue>::new(addresses).into_js_value());
    functions
}
