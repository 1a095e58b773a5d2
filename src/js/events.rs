//! Events as async iterables.

use wasm_bindgen::prelude::*;
use web_sys::AbortSignal;

use super::{abort, options};

#[wasm_bindgen(typescript_custom_section)]
const TYPES: &str = r#"
/** How to read events. */
export interface EventsOptions {
  /** Ends the loop with the signal's reason. */
  signal?: AbortSignal;
}

/** The reader was slower than the events: the oldest that waited were dropped. */
export interface MissedEvents {
  type: 'missed';
  events: number;
}
"#;

#[wasm_bindgen]
extern "C" {
    /// See the TypeScript type.
    #[wasm_bindgen(typescript_type = "EventsOptions")]
    pub type EventsOptions;
}

#[wasm_bindgen(module = "/src/js/events.js")]
extern "C" {
    /// Hands every event to all who read.
    pub(super) type EventHub;
    /// What one of them reads.
    pub(super) type EventStream;

    #[wasm_bindgen(constructor)]
    pub(super) fn new() -> EventHub;
    #[wasm_bindgen(method, getter, js_name = isRead)]
    pub(super) fn is_read(this: &EventHub) -> bool;
    #[wasm_bindgen(method)]
    pub(super) fn push(this: &EventHub, event: &JsValue);
    #[wasm_bindgen(method)]
    fn stream(this: &EventHub, signal: Option<&AbortSignal>) -> EventStream;
    #[wasm_bindgen(method)]
    pub(super) fn end(this: &EventHub);
}

impl EventHub {
    /// All events from now on.
    ///
    /// # Errors
    /// A `TypeError` for a bad option.
    pub(super) fn read(&self, options: Option<EventsOptions>) -> Result<JsValue, JsValue> {
        let options: JsValue = options.map_or(JsValue::UNDEFINED, Into::into);
        options::check(&options, &["signal"])?;
        let signal = abort::signal(&options)?;
        Ok(self.stream(signal.as_ref()).into())
    }
}
