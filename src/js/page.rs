//! What the browser says of the page, as far as it matters to the network.

use js_sys::Reflect;
use wasm_bindgen::{JsCast as _, prelude::*};
use web_sys::EventTarget;

use crate::{
    network::{Meaning, Page, PageEvent},
    runtime::{BrowserRuntime, Runtime as _},
};

/// Listens until it is dropped. In a Worker, which has no page, it hears less.
pub(super) struct PageListener {
    sources: Vec<(EventTarget, &'static str)>,
    listener: Closure<dyn FnMut(JsValue)>,
}

impl PageListener {
    /// Tells what happens to the page, and to its way to the network.
    pub(super) fn new(mut tell: impl FnMut(Meaning) + 'static) -> Self {
        let global: JsValue = js_sys::global().into();
        let document = get(&global, "document");
        let connection = get(&get(&global, "navigator"), "connection");
        let mut page = Page::new(get(&connection, "type").as_string());
        let (shown, way) = (document.clone(), connection.clone());
        let listener = Closure::new(move |event: JsValue| {
            let happened = match get(&event, "type").as_string().as_deref() {
                Some("online") => PageEvent::Online,
                Some("change") => PageEvent::Connection { kind: get(&way, "type").as_string() },
                Some("visibilitychange") if get(&shown, "visibilityState") == "hidden" => PageEvent::Hidden,
                Some("visibilitychange") => PageEvent::Shown,
                Some("pagehide") => PageEvent::Left,
                // A page that is shown for the first time was not away.
                Some("pageshow") if !get(&event, "persisted").is_truthy() => return,
                _ => PageEvent::Revived,
            };
            if let Some(meaning) = page.hear(happened, BrowserRuntime.now()) {
                tell(meaning);
            }
        });
        let sources = [
            (&global, "online"),
            (&global, "pageshow"),
            (&global, "pagehide"),
            (&connection, "change"),
            (&document, "visibilitychange"),
            (&document, "resume"),
        ]
        .into_iter()
        .filter_map(|(source, event)| Some((source.clone().dyn_into::<EventTarget>().ok()?, event)))
        .filter(|(source, event)| {
            source.add_event_listener_with_callback(event, listener.as_ref().unchecked_ref()).is_ok()
        })
        .collect();
        PageListener { sources, listener }
    }
}

/// `undefined` for what is not there.
fn get(object: &JsValue, key: &str) -> JsValue {
    Reflect::get(object, &key.into()).unwrap_or_default()
}

impl Drop for PageListener {
    fn drop(&mut self) {
        for (source, event) in &self.sources {
            // It fails only if it was never added.
            source.remove_event_listener_with_callback(event, self.listener.as_ref().unchecked_ref()).ok();
        }
    }
}
