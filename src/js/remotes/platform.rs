//! The network of a kernel in JavaScript, by the incumbent's names.

use std::{
    cell::RefCell,
    rc::{Rc, Weak},
};

use futures::FutureExt as _;
use js_sys::{Function, Promise};
use wasm_bindgen::{JsCast as _, JsValue, closure::Closure};
use wasm_bindgen_futures::future_to_promise;

use super::duck::{Duck, array, object};
use crate::{
    bridge::{KernelServices as _, PlatformServices, Reply},
    js::{
        crash::handed,
        error::{remote as remote_error, thrown_remote, type_error},
    },
    kernel::RemotesDriver,
    wire::{IncarnationId, PeerId, RemoteCommsOptions, RemoteError},
};

/// What a network must be able to do.
pub(super) const PLATFORM: [&str; 6] = [
    "initializeRemoteComms",
    "stopRemoteComms",
    "sendRemoteMessage",
    "closeConnection",
    "registerLocationHints",
    "reconnectPeer",
];

type Kernel = Rc<RefCell<Weak<RemotesDriver>>>;

/// A network of JavaScript. What it throws has its name and message here.
pub(super) struct JsPlatform {
    services: Duck,
    /// As the user gave them, for the network may know options that we do not.
    options: JsValue,
    kernel: Kernel,
    message_handler: Option<Function>,
    on_message: Closure<dyn Fn(String, String) -> Promise>,
    on_give_up: Closure<dyn Fn(String)>,
    on_incarnation: Closure<dyn Fn(String, String) -> Promise>,
}

/// Answers JavaScript's question with what the kernel will answer.
fn answer<T>(reply: Result<Reply<T>, JsValue>) -> Promise
where
    T: Into<JsValue> + 'static,
{
    match reply {
        Ok(reply) => {
            future_to_promise(reply.map(|answer| answer.map(Into::into).map_err(|error| remote_error(&error))))
        }
        Err(error) => Promise::reject(&error),
    }
}

fn running(kernel: &Kernel) -> Result<Rc<RemotesDriver>, JsValue> {
    kernel.borrow().upgrade().ok_or_else(|| remote_error(&RemoteError::NetworkStopped))
}

fn peer(text: &str) -> Result<PeerId, JsValue> {
    text.parse().map_err(|_| type_error(&format!("{text:?} is not a libp2p peer id")))
}

impl JsPlatform {
    /// A network that hands messages to `message_handler` if there is one, else to the remotes.
    pub(super) fn new(services: Duck, options: JsValue, message_handler: Option<Function>) -> Self {
        let kernel = Kernel::default();
        let deliver = Rc::clone(&kernel);
        let on_message = Closure::new(move |from: String, message: String| {
            let reply = running(&deliver).and_then(|kernel| Ok(kernel.remote_deliver(peer(&from)?, message)));
            answer(reply.map(|reply| reply.map(|answer| answer.map(|_| JsValue::NULL)).boxed_local()))
        });
        let given_up = Rc::clone(&kernel);
        let on_give_up = Closure::new(move |gone: String| {
            if let (Ok(kernel), Ok(gone)) = (running(&given_up), peer(&gone)) {
                let told = kernel.remote_give_up(gone);
                wasm_bindgen_futures::spawn_local(told.map(|told| {
                    if let Err(error) = told {
                        tracing::error!(%error, "a peer could not be given up");
                    }
                }));
            }
        });
        let judge = Rc::clone(&kernel);
        let on_incarnation = Closure::new(move |seen: String, observed: String| {
            let reply = running(&judge).and_then(|kernel| {
                let observed =
                    observed.parse().map_err(|error: crate::wire::WireError| type_error(&error.to_string()))?;
                Ok(kernel.remote_incarnation_change(peer(&seen)?, observed))
            });
            answer(reply)
        });
        JsPlatform { services, options, kernel, message_handler, on_message, on_give_up, on_incarnation }
    }

    /// From now on what the network tells goes to these remotes.
    pub(super) fn serve(&self, kernel: &Rc<RemotesDriver>) {
        *self.kernel.borrow_mut() = Rc::downgrade(kernel);
    }

    fn ask(&self, name: &str, arguments: &[JsValue]) -> Reply<()> {
        let asked = self.services.ask(name, arguments);
        asked.map(|answer| answer.map(|_| ()).map_err(|thrown| thrown_remote(&thrown))).boxed_local()
    }
}

fn hints(hints: &[String]) -> JsValue {
    array(hints.iter().map(|hint| hint.as_str().into()))
}

impl PlatformServices for JsPlatform {
    fn initialize_remote_comms(
        &self,
        key_seed: String,
        options: RemoteCommsOptions,
        incarnation: IncarnationId,
    ) -> Reply<()> {
        let ours = object(&[
            ("relays", hints(&options.relays)),
            ("crossIncarnationWake", options.cross_incarnation_wake.into()),
        ]);
        // Both are plain objects.
        let all = js_sys::Object::assign2(&js_sys::Object::new(), self.options.unchecked_ref(), ours.unchecked_ref());
        // A mnemonic is the kernel's secret; the seed is all that the network needs.
        js_sys::Reflect::delete_property(&all, &"mnemonic".into()).ok();
        let on_message = self.message_handler.clone().unwrap_or_else(|| handed(self.on_message.as_ref()));
        let (on_give_up, on_incarnation) = (handed(self.on_give_up.as_ref()), handed(self.on_incarnation.as_ref()));
        let incarnation = incarnation.as_str().into();
        let arguments =
            [key_seed.into(), all.into(), on_message.into(), on_give_up.into(), incarnation, on_incarnation.into()];
        self.ask("initializeRemoteComms", &arguments)
    }

    fn stop_remote_comms(&self) -> Reply<()> {
        self.ask("stopRemoteComms", &[])
    }

    fn send_remote_message(&self, to: PeerId, message: String) -> Reply<()> {
        self.ask("sendRemoteMessage", &[to.to_string().into(), message.into()])
    }

    fn close_connection(&self, peer: PeerId) -> Reply<()> {
        self.ask("closeConnection", &[peer.to_string().into()])
    }

    fn register_location_hints(&self, peer: PeerId, known: Vec<String>) -> Reply<()> {
        self.ask("registerLocationHints", &[peer.to_string().into(), hints(&known)])
    }

    fn reconnect_peer(&self, peer: PeerId, known: Vec<String>) -> Reply<()> {
        self.ask("reconnectPeer", &[peer.to_string().into(), hints(&known)])
    }

    fn reset_all_backoffs(&self) -> Reply<()> {
        self.ask("resetAllBackoffs", &[])
    }
}
