//! The browser's runtime, in a window or a Worker.

use std::{cell::RefCell, collections::VecDeque, rc::Rc, time::Duration};

use futures::{FutureExt as _, channel::oneshot, future::LocalBoxFuture};
use js_sys::{Function, Reflect};
use wasm_bindgen::{JsCast, prelude::*};
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
    receiver: Rc<Receiver>,
    waiting: Rc<RefCell<VecDeque<oneshot::Sender<()>>>>,
}

/// The end that hears. In Node it keeps the process alive, which it may only while somebody waits for a turn.
struct Receiver {
    port: MessagePort,
    hold: Option<Function>,
    let_go: Option<Function>,
}

impl Receiver {
    fn new(port: MessagePort) -> Self {
        // Browsers have neither.
        let method = |name: &str| Reflect::get(&port, &name.into()).and_then(JsCast::dyn_into).ok();
        let (hold, let_go) = (method("ref"), method("unref"));
        Receiver { port, hold, let_go }
    }

    fn set_held(&self, held: bool) {
        if let Some(function) = if held { &self.hold } else { &self.let_go } {
            // Nothing is lost if it throws but the end of the process.
            function.call0(&self.port).ok();
        }
    }
}

impl Turns {
    fn new() -> Option<Self> {
        let channel = MessageChannel::new().ok()?;
        let waiting: Rc<RefCell<VecDeque<oneshot::Sender<()>>>> = Rc::default();
        let receiver = Rc::new(Receiver::new(channel.port1()));
        let (queue, hearing) = (Rc::clone(&waiting), Rc::clone(&receiver));
        let on_message = Closure::<dyn FnMut()>::new(move || {
            let next = queue.borrow_mut().pop_front();
            hearing.set_held(!queue.borrow().is_empty());
            // Whoever waited may be gone.
            next.map(|next| next.send(()).ok());
        });
        receiver.port.set_onmessage(Some(on_message.into_js_value().unchecked_ref()));
        receiver.set_held(false);
        Some(Turns { port: channel.port2(), receiver, waiting })
    }

    fn wait(&self) -> Option<oneshot::Receiver<()>> {
        let (over, turn) = oneshot::channel();
        self.port.post_message(&JsValue::NULL).ok()?;
        self.waiting.borrow_mut().push_back(over);
        self.receiver.set_held(true);
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
