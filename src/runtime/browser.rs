//! The browser's runtime, in a window or a Worker.

use std::{cell::RefCell, collections::VecDeque, rc::Rc, time::Duration};

use futures::{FutureExt as _, channel::oneshot, future::LocalBoxFuture};
use wasm_bindgen::{JsCast as _, prelude::*};
use web_sys::{MessageChannel, MessagePort};

use super::{Runtime, Timestamp, steady::SteadyClock};

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = performance)]
    fn now() -> f64;
    #[wasm_bindgen(thread_local_v2, js_namespace = performance, js_name = timeOrigin)]
    static TIME_ORIGIN: f64;
}

/// A message posted to itself comes after everything that is queued, and, unlike a timer, is never throttled.
struct Turns {
    port: MessagePort,
    waiting: Rc<RefCell<VecDeque<oneshot::Sender<()>>>>,
}

impl Turns {
    fn new() -> Option<Self> {
        let channel = MessageChannel::new().ok()?;
        let waiting: Rc<RefCell<VecDeque<oneshot::Sender<()>>>> = Rc::default();
        let queue = Rc::clone(&waiting);
        let on_message = Closure::<dyn FnMut()>::new(move || {
            let next = queue.borrow_mut().pop_front();
            // Whoever waited may be gone.
            next.map(|next| next.send(()).ok());
        });
        channel.port1().set_onmessage(Some(on_message.into_js_value().unchecked_ref()));
        Some(Turns { port: channel.port2(), waiting })
    }

    fn wait(&self) -> Option<oneshot::Receiver<()>> {
        let (over, turn) = oneshot::channel();
        self.port.post_message(&JsValue::NULL).ok()?;
        self.waiting.borrow_mut().push_back(over);
        Some(turn)
    }
}

thread_local! {
    static TURNS: Option<Turns> = Turns::new();
    static CLOCK: SteadyClock = SteadyClock::default();
}

/// `performance.now` mended by `Date.now`, gloo's timers, `crypto.getRandomValues`, and the microtask queue.
#[derive(Clone, Copy, Debug, Default)]
pub struct BrowserRuntime;

impl Runtime for BrowserRuntime {
    fn now(&self) -> Timestamp {
        let monotonic = TIME_ORIGIN.with(|origin| *origin) + now();
        let millis = CLOCK.with(|clock| clock.read(monotonic, js_sys::Date::now()));
        // Positive and far below 2^53, so the cast is exact to the millisecond.
        Timestamp::from_millis(millis as u64)
    }

    fn sleep(&self, delay: Duration) -> LocalBoxFuture<'static, ()> {
        gloo_timers::future::sleep(delay).boxed_local()
    }

    #[allow(clippy::expect_used)] // Without randomness no key and no incarnation may be made: stopping is the safe answer.
    fn fill_random(&self, bytes: &mut [u8]) {
        getrandom::fill(bytes).expect("crypto.getRandomValues exists in every browser context");
    }

    fn yield_turn(&self) -> LocalBoxFuture<'static, ()> {
        match TURNS.with(|turns| turns.as_ref().and_then(Turns::wait)) {
            Some(turn) => turn.map(|_| ()).boxed_local(),
            None => self.sleep(Duration::ZERO),
        }
    }

    fn spawn(&self, task: LocalBoxFuture<'static, ()>) {
        wasm_bindgen_futures::spawn_local(task);
    }
}
