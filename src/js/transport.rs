//! The network's end without a bridge, as the incumbent's `initTransport` gives it: for a kernel in the same context.

use std::{cell::RefCell, rc::Rc};

use futures::FutureExt as _;
use js_sys::{Function, Object, Promise, Reflect};
use wasm_bindgen::{JsCast as _, prelude::*};
use wasm_bindgen_futures::future_to_promise;

use super::{
    crash,
    error::{remote, thrown_remote, to_js, type_error},
    network::call,
    options,
    page::PageListener,
};
use crate::{
    bridge::{KernelServices, PlatformServices, Reply},
    network::{NetworkService, SeenIncarnations, node::Libp2p},
    runtime::{BrowserRuntime, Runtime, random_bytes},
    wire::{IncarnationId, PeerId, RemoteError},
};

#[wasm_bindgen(typescript_custom_section)]
const TYPES: &str = include_str!("transport.d.ts");

#[wasm_bindgen]
extern "C" {
    /// See the TypeScript type.
    #[wasm_bindgen(typescript_type = "RemoteCommsOptions")]
    pub type CommsOptions;
    /// See the TypeScript type.
    #[wasm_bindgen(typescript_type = "Transport")]
    pub type Transport;
    /// See the TypeScript type.
    #[wasm_bindgen(typescript_type = "RemoteMessageHandler")]
    pub type RemoteMessageHandler;
    /// See the TypeScript type.
    #[wasm_bindgen(typescript_type = "IncarnationChangeHandler")]
    pub type IncarnationChangeHandler;
}

type Service = NetworkService<Libp2p>;

/// Starts a transport in this context: with WebRTC in a window or an offscreen document, over WebSocket everywhere.
///
/// `keySeed` is the identity, 32 bytes in hex. Without `localIncarnationId` a new one is made. Without `onIncarnationChange` a
/// peer counts as restarted when it shows another incarnation than before to this transport.
///
/// # Errors
/// A `TypeError` for a bad option or a handler that is no function; an `Error` for a bad seed; an `AddressError` for an
/// address that cannot be used here.
#[wasm_bindgen(js_name = initTransport)]
pub async fn init_transport(
    #[wasm_bindgen(js_name = keySeed)] key_seed: String,
    options: CommsOptions,
    #[wasm_bindgen(js_name = remoteMessageHandler)] remote_message_handler: RemoteMessageHandler,
    #[wasm_bindgen(js_name = onRemoteGiveUp, unchecked_param_type = "((peerId: string) => void) | null")]
    on_remote_give_up: Option<Function>,
    #[wasm_bindgen(js_name = localIncarnationId)] local_incarnation_id: Option<String>,
    #[wasm_bindgen(js_name = onIncarnationChange)] on_incarnation_change: Option<IncarnationChangeHandler>,
) -> Result<Transport, JsValue> {
    crash::check()?;
    // What a JavaScript kernel hands on may hold options of its own.
    let options = options::read_comms(&options.into())?;
    let handler = |value: JsValue, name: &str| {
        value.dyn_into::<Function>().map_err(|_| type_error(&format!("{name} must be a function")))
    };
    let handlers = Rc::new(Handlers {
        deliver: Some(handler(remote_message_handler.into(), "remoteMessageHandler")?).into(),
        give_up: on_remote_give_up.map(|given| handler(given.into(), "onRemoteGiveUp")).transpose()?.into(),
        judge: on_incarnation_change.map(|given| handler(given.into(), "onIncarnationChange")).transpose()?.into(),
        seen: RefCell::default(),
    });
    let runtime: Rc<dyn Runtime> = Rc::new(BrowserRuntime);
    let incarnation = match local_incarnation_id {
        Some(text) => text.parse().map_err(|error: crate::wire::WireError| type_error(&error.to_string()))?,
        None => IncarnationId::from_random(random_bytes(&*runtime)),
    };
    let service = Rc::new(NetworkService::new(Rc::clone(&runtime), handlers.clone(), Libp2p::new(runtime)));
    service.initialize_remote_comms(key_seed, options, incarnation).await.map_err(|error| remote(&error))?;
    Ok(surface(&service, &handlers))
}

/// What the transport calls back.
struct Handlers {
    deliver: RefCell<Option<Function>>,
    give_up: RefCell<Option<Function>>,
    judge: RefCell<Option<Function>>,
    /// The incarnations that were seen, if nobody else judges them.
    seen: RefCell<SeenIncarnations>,
}

impl Handlers {
    /// Lets go of the program's functions. While the module holds them, JavaScript cannot see that nobody else does, and they
    /// mostly lead back to the transport: a program that starts one after the other would keep all of them.
    fn release(&self) {
        for handler in [&self.deliver, &self.give_up, &self.judge] {
            handler.take();
        }
    }

    /// Whether a restart of the peer would be noticed.
    fn can_judge(&self, peer: &PeerId) -> bool {
        self.judge.borrow().is_some() || self.seen.borrow().knows(peer)
    }
}

impl KernelServices for Handlers {
    fn remote_deliver(&self, from: PeerId, message: String) -> Reply<Option<String>> {
        if !self.can_judge(&from) {
            return futures::future::ready(Err(RemoteError::unknown_incarnation(&from))).boxed_local();
        }
        let arguments = [from.as_str().into(), message.into()];
        let answer = call(self.deliver.borrow().clone(), "remoteMessageHandler", arguments);
        let read = |answer: JsValue| match answer.as_string() {
            None if !answer.is_undefined() && !answer.is_null() => {
                Err(thrown_remote(&type_error("remoteMessageHandler must answer a string, or nothing")))
            }
            text => Ok(text),
        };
        answer.map(move |answer| answer.and_then(read)).boxed_local()
    }

    fn remote_give_up(&self, peer: PeerId) -> Reply<()> {
        match self.give_up.borrow().clone() {
            None => futures::future::ready(Ok(())).boxed_local(),
            give_up => {
                let told = call(give_up, "onRemoteGiveUp", [peer.as_str().into()]);
                told.map(|told| told.map(|_| ())).boxed_local()
            }
        }
    }

    fn remote_incarnation_change(&self, peer: PeerId, observed: IncarnationId) -> Reply<bool> {
        let judge = self.judge.borrow().clone();
        if judge.is_none() {
            return futures::future::ready(Ok(self.seen.borrow_mut().judge(peer, observed))).boxed_local();
        }
        let arguments = [peer.as_str().into(), observed.as_str().into()];
        let verdict = call(judge, "onIncarnationChange", arguments);
        let read = |verdict: JsValue| {
            verdict.as_bool().ok_or_else(|| thrown_remote(&type_error("onIncarnationChange must answer true or false")))
        };
        verdict.map(move |verdict| verdict.and_then(read)).boxed_local()
    }
}

/// The plain object that JavaScript has; its functions keep the transport alive.
fn surface(service: &Rc<Service>, handlers: &Rc<Handlers>) -> Transport {
    let object = Object::new();
    let set = |name: &str, function: JsValue| {
        // A new object takes any property.
        Reflect::set(&object, &name.into(), &function).ok();
    };
    let changed = Rc::downgrade(service);
    let page = RefCell::new(Some(PageListener::new(move |meaning| {
        if let Some(service) = changed.upgrade() {
            service.page_told(meaning);
        }
    })));

    let shared = Rc::clone(service);
    set(
        "sendRemoteMessage",
        two(move |to, message| {
            let to = peer(&to)?;
            let message = message.as_string().ok_or_else(|| type_error("a message is a string"))?;
            Ok(shared.send_remote_message(to, message))
        }),
    );
    let (shared, handlers) = (Rc::clone(service), Rc::clone(handlers));
    set(
        "stop",
        two(move |_, _| {
            page.take();
            let (stopped, handlers) = (shared.stop_remote_comms(), Rc::clone(&handlers));
            Ok(stopped.inspect(move |_| handlers.release()).boxed_local())
        }),
    );
    let shared = Rc::clone(service);
    set("closeConnection", two(move |id, _| Ok(shared.close_connection(peer(&id)?))));
    let shared = Rc::clone(service);
    set(
        "registerLocationHints",
        two(move |id, hints| Ok(shared.register_location_hints(peer(&id)?, strings(&hints)?))),
    );
    let shared = Rc::clone(service);
    set("reconnectPeer", two(move |id, hints| Ok(shared.reconnect_peer(peer(&id)?, strings(&hints)?))));
    let shared = Rc::clone(service);
    set("resetAllBackoffs", two(move |_, _| Ok(shared.reset_all_backoffs())));
    let shared = Rc::clone(service);
    set("getListenAddresses", plain(move || to_js(&shared.listen_addresses())));
    let shared = Rc::clone(service);
    set("status", plain(move || to_js(&shared.status())));
    object.unchecked_into()
}

/// A function of up to two arguments that takes effect before it returns, and answers with a promise.
fn two(act: impl Fn(JsValue, JsValue) -> Result<Reply<()>, JsValue> + 'static) -> JsValue {
    let function = move |one: JsValue, other: JsValue| -> Promise {
        match crash::check().and_then(|()| act(one, other)) {
            Ok(reply) => future_to_promise(async move {
                reply.await.map(|()| JsValue::UNDEFINED).map_err(|error: RemoteError| remote(&error))
            }),
            Err(error) => Promise::reject(&error),
        }
    };
    crash::handed(&Closure::<dyn Fn(JsValue, JsValue) -> Promise>::new(function).into_js_value()).into()
}

fn plain(read: impl Fn() -> Result<JsValue, JsValue> + 'static) -> JsValue {
    let function = move || -> Result<JsValue, JsValue> { crash::check().and_then(|()| read()) };
    crash::handed(&Closure::<dyn Fn() -> Result<JsValue, JsValue>>::new(function).into_js_value()).into()
}

fn peer(value: &JsValue) -> Result<PeerId, JsValue> {
    let text = value.as_string().ok_or_else(|| type_error("a peer id is a string"))?;
    text.parse().map_err(|error: crate::wire::WireError| type_error(&error.to_string()))
}

fn strings(value: &JsValue) -> Result<Vec<String>, JsValue> {
    if value.is_undefined() || value.is_null() {
        return Ok(Vec::new());
    }
    serde_wasm_bindgen::from_value(value.clone()).map_err(|_| type_error("hints must be an array of strings"))
}
