//! Waiting that a program may end with an `AbortSignal`.

use std::future::Future;

use futures::{
    channel::oneshot,
    future::{self, Either},
};
use js_sys::Reflect;
use wasm_bindgen::{JsCast as _, prelude::*};
use web_sys::AbortSignal;

use super::error::type_error;
#[cfg(feature = "kernel")]
use super::options;
use crate::runtime::objects::{has_functions, member};

/// The member `signal` of an options object, if there is one.
pub(super) fn signal(options: &JsValue) -> Result<Option<AbortSignal>, JsValue> {
    if !options.is_object() {
        return Ok(None);
    }
    // What a getter throws is the caller's to know.
    let given = Reflect::get(options, &"signal".into())?;
    if given.is_undefined() {
        return Ok(None);
    }
    let is_signal = has_functions(&given, &["addEventListener", "removeEventListener"])
        && member(&given, "aborted").as_bool().is_some();
    if is_signal { Ok(Some(given.unchecked_into())) } else { Err(type_error("signal must be an AbortSignal")) }
}

/// The signal of options that have nothing else. One that is aborted already is an error, its reason.
#[cfg(feature = "kernel")]
pub(super) fn only_signal(options: Option<impl Into<JsValue>>) -> Result<Option<AbortSignal>, JsValue> {
    let options: JsValue = options.map_or(JsValue::UNDEFINED, Into::into);
    let signal = signal(&options)?;
    options::check(&options, &["signal"])?;
    check(signal.as_ref())?;
    Ok(signal)
}

/// The signal's reason if it is aborted already.
pub(super) fn check(signal: Option<&AbortSignal>) -> Result<(), JsValue> {
    match signal.filter(|signal| signal.aborted()) {
        Some(signal) => Err(signal.reason()),
        None => Ok(()),
    }
}

/// Waits for `work`, or for the signal, whose reason is the error then.
pub(super) async fn or_abort<T>(
    signal: Option<&AbortSignal>,
    work: impl Future<Output = T> + Unpin,
) -> Result<T, JsValue> {
    check(signal)?;
    let Some(signal) = signal else { return Ok(work.await) };
    let listening = Listening::to(signal)?;
    match future::select(work, listening.aborted).await {
        Either::Left((done, _)) => Ok(done),
        Either::Right(_) => Err(signal.reason()),
    }
}

/// Listens until it is dropped.
struct Listening {
    aborted: oneshot::Receiver<()>,
    _listener: Listener,
}

struct Listener {
    signal: AbortSignal,
    closure: Closure<dyn FnMut()>,
}

impl Listening {
    fn to(signal: &AbortSignal) -> Result<Self, JsValue> {
        let (abort, aborted) = oneshot::channel();
        let mut abort = Some(abort);
        let closure = Closure::new(move || {
            // Whoever waited may have got what it waited for.
            abort.take().map(|abort| abort.send(()).ok());
        });
        signal.add_event_listener_with_callback("abort", function(&closure))?;
        Ok(Listening { aborted, _listener: Listener { signal: signal.clone(), closure } })
    }
}

fn function(closure: &Closure<dyn FnMut()>) -> &js_sys::Function {
    closure.as_ref().unchecked_ref()
}

impl Drop for Listener {
    fn drop(&mut self) {
        // It fails only if it was never added.
        self.signal.remove_event_listener_with_callback("abort", function(&self.closure)).ok();
    }
}
