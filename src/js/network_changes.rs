//! The browser's word that the way to the network changed.

use js_sys::Reflect;
use wasm_bindgen::{JsCast as _, prelude::*};
use web_sys::EventTarget;

/// Listens until it is dropped.
pub(super) struct NetworkChanges {
    sources: Vec<(EventTarget, &'static str)>,
    listener: Closure<dyn FnMut()>,
}

impl NetworkChanges {
    /// Calls `changed` when the browser is online again, or takes another way to the network (where it tells).
    pub(super) fn listen(changed: impl FnMut() + 'static) -> Self {
        let get = |object: &JsValue, key: &str| Reflect::get(object, &key.into()).unwrap_or_default();
        let global: JsValue = js_sys::global().into();
        let connection = get(&get(&global, "navigator"), "connection");
        let listener = Closure::new(changed);
        let sources = [(global, "online"), (connection, "change")]
            .into_iter()
            .filter_map(|(source, event)| Some((source.dyn_into::<EventTarget>().ok()?, event)))
            .filter(|(source, event)| {
                source.add_event_listener_with_callback(event, listener.as_ref().unchecked_ref()).is_ok()
            })
            .collect();
        NetworkChanges { sources, listener }
    }
}

impl Drop for NetworkChanges {
    fn drop(&mut self) {
        for (source, event) in &self.sources {
            // It fails only if it was never added.
            source.remove_event_listener_with_callback(event, self.listener.as_ref().unchecked_ref()).ok();
        }
    }
}
