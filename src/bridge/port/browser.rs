//! Ports of the browser: a Worker, `self` inside one, a `MessagePort`, a `chrome.runtime.Port`.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

use js_sys::Array;
use serde_json::Value;
use tracing::{debug, warn};
use wasm_bindgen::{JsCast as _, closure::Closure, prelude::*};
use web_sys::MessagePort;

use super::{
    Port, PortError, PortEvent, PortListener,
    convert::{Kind as Message, from_js, packet_to_js, to_js},
    spares::Spares,
};
use crate::{
    bridge::packet,
    runtime::{
        objects::{has_functions, member},
        thrown,
    },
};

/// A packet in memory of this length or more is transferred: to let go of memory costs more than to copy what is short.
const TRANSFERRED: u32 = 2 << 10;

#[wasm_bindgen]
extern "C" {
    /// What all these objects have in common, and what some have.
    #[derive(Clone)]
    type Target;

    #[wasm_bindgen(method, catch, js_name = postMessage)]
    fn post(this: &Target, message: &JsValue) -> Result<(), JsValue>;
    #[wasm_bindgen(method, catch, js_name = postMessage)]
    fn post_with_transfer(this: &Target, message: &JsValue, transfer: &Array) -> Result<(), JsValue>;

    #[wasm_bindgen(method, catch, js_name = addEventListener)]
    fn add_event_listener(this: &Target, kind: &str, listener: &JsValue) -> Result<(), JsValue>;
    #[wasm_bindgen(method, catch, js_name = removeEventListener)]
    fn remove_event_listener(this: &Target, kind: &str, listener: &JsValue) -> Result<(), JsValue>;
    /// A MessagePort holds its messages back until it is started.
    #[wasm_bindgen(method, catch)]
    fn start(this: &Target) -> Result<(), JsValue>;

    #[wasm_bindgen(method, getter, structural, js_name = onMessage)]
    fn on_message(this: &Target) -> ChromeEvent;
    #[wasm_bindgen(method, getter, structural, js_name = onDisconnect)]
    fn on_disconnect(this: &Target) -> ChromeEvent;

    /// `chrome.events.Event`.
    type ChromeEvent;

    #[wasm_bindgen(method, catch, js_name = addListener)]
    fn add_listener(this: &ChromeEvent, listener: &JsValue) -> Result<(), JsValue>;
    #[wasm_bindgen(method, catch, js_name = removeListener)]
    fn remove_listener(this: &ChromeEvent, listener: &JsValue) -> Result<(), JsValue>;
}

/// How a target tells of messages.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    /// By `message` events, which may carry ports.
    Events,
    /// By `onMessage.addListener`; JSON only.
    Chrome,
}

/// Anything with `postMessage` that tells of messages, as a [`Port`] that may transfer a `MessagePort`.
///
/// Its listeners are removed when it is closed or dropped; the object itself stays its owner's. Only a
/// `chrome.runtime.Port` tells that its other end has gone: whoever terminates a Worker or closes a `MessagePort` should
/// close the bridge over it too. If nobody does, calls that wait fail when an end of ours answers no ping.
pub struct BrowserPort {
    target: Target,
    kind: Kind,
    prefers_packets: Cell<bool>,
    spares: Rc<Spares>,
    listeners: RefCell<Option<Listeners>>,
}

/// Kept as long as JavaScript may call them.
struct Listeners {
    message: Closure<dyn Fn(JsValue)>,
    /// Heard by a `chrome.runtime.Port` only.
    closed: Closure<dyn Fn()>,
}

impl BrowserPort {
    /// Over a Worker, a Worker's `self`, a `MessagePort` or a `chrome.runtime.Port`.
    ///
    /// # Errors
    /// [`PortError::Refused`] if the object is none of these.
    pub fn new(target: impl Into<JsValue>) -> Result<Self, PortError> {
        let target = target.into();
        let has = |of: &JsValue, name: &str| has_functions(of, &[name]);
        let kind = if !has(&target, "postMessage") {
            None
        } else if has(&member(&target, "onMessage"), "addListener") {
            Some(Kind::Chrome)
        } else if has(&target, "addEventListener") {
            Some(Kind::Events)
        } else {
            None
        };
        let kind = kind.ok_or_else(|| PortError::Refused("this object cannot post and receive messages".to_owned()))?;
        Ok(BrowserPort {
            target: target.unchecked_into(),
            kind,
            prefers_packets: Cell::new(false),
            spares: Rc::default(),
            listeners: RefCell::default(),
        })
    }

    fn attach(&self, listeners: &Listeners) -> Result<(), JsValue> {
        let (message, closed) = (listeners.message.as_ref(), listeners.closed.as_ref());
        match self.kind {
            Kind::Events => {
                self.target.add_event_listener("message", message)?;
                // A `MessagePort` hears nothing before.
                if has_functions(&self.target, &["start"]) {
                    self.target.start()?;
                }
                Ok(())
            }
            Kind::Chrome => {
                self.target.on_message().add_listener(message)?;
                self.target.on_disconnect().add_listener(closed)
            }
        }
    }

    fn detach(&self, listeners: &Listeners) -> Result<(), JsValue> {
        let (message, closed) = (listeners.message.as_ref(), listeners.closed.as_ref());
        match self.kind {
            Kind::Events => self.target.remove_event_listener("message", message),
            Kind::Chrome => {
                self.target.on_message().remove_listener(message)?;
                self.target.on_disconnect().remove_listener(closed)
            }
        }
    }
}

impl Port for BrowserPort {
    type Transfer = MessagePort;

    fn post(&self, message: Value, transfer: Option<MessagePort>) -> Result<(), PortError> {
        let message = match transfer {
            Some(_) if self.kind == Kind::Chrome => return Err(PortError::NoTransfer),
            None if self.prefers_packets.get() => packet::write(message),
            _ => Err(message),
        };
        let (message, transferred) = match &message {
            Ok(packet) => {
                let packet = packet_to_js(packet, &self.spares);
                let memory = packet.buffer();
                (JsValue::from(packet), (memory.byte_length() >= TRANSFERRED).then(|| memory.into()))
            }
            Err(message) => (to_js(message), transfer.map(JsValue::from)),
        };
        let posted = match transferred {
            None => self.target.post(&message),
            Some(transferred) => self.target.post_with_transfer(&message, &Array::of1(&transferred)),
        };
        posted.map_err(|error| PortError::Refused(describe(&error)))
    }

    fn transfers_bytes(&self) -> bool {
        self.kind == Kind::Events
    }

    fn prefer_packets(&self, preferred: bool) {
        self.prefers_packets.set(preferred && self.transfers_bytes());
    }

    fn listen(&self, listener: PortListener<MessagePort>) {
        let listener = Rc::new(listener);
        let (kind, spares, on_closed) = (self.kind, Rc::clone(&self.spares), Rc::clone(&listener));
        let listeners = Listeners {
            message: Closure::new(move |event: JsValue| {
                let data = match kind {
                    Kind::Events => event.unchecked_ref::<web_sys::MessageEvent>().data(),
                    Kind::Chrome => event.clone(),
                };
                match from_js(&data) {
                    Ok((_, Message::Foreign)) => debug!("message on the port is not the bridge's: ignored"),
                    Ok((message, Message::Response)) if kind == Kind::Events => {
                        let ports = event.unchecked_ref::<web_sys::MessageEvent>().ports();
                        let port = (ports.length() > 0).then(|| ports.get(0));
                        let transfer =
                            port.filter(|port| has_functions(port, &["postMessage"])).map(JsCast::unchecked_into);
                        listener(PortEvent::Message { message, transfer });
                    }
                    Ok((message, kind)) => {
                        if let Message::Packet = kind {
                            spares.keep(data.unchecked_ref());
                        }
                        listener(PortEvent::Message { message, transfer: None });
                    }
                    Err(reason) => warn!(reason, "message cannot be read: ignored"),
                }
            }),
            closed: Closure::new(move || on_closed(PortEvent::Closed)),
        };
        if let Err(error) = self.attach(&listeners) {
            warn!(error = describe(&error), "cannot listen to the port");
        }
        *self.listeners.borrow_mut() = Some(listeners);
    }

    fn close(&self) {
        let listeners = self.listeners.borrow_mut().take();
        if let Some(listeners) = listeners
            && let Err(error) = self.detach(&listeners)
        {
            debug!(error = describe(&error), "cannot stop listening to the port");
        }
    }
}

impl Drop for BrowserPort {
    fn drop(&mut self) {
        self.close();
    }
}

fn describe(error: &JsValue) -> String {
    thrown::name_and_message(error).1
}
