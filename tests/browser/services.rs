//! Services that do little, for tests of the bridge between them.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    time::Duration,
};

use futures::{FutureExt as _, future::LocalBoxFuture};
use ocap_remotes::{
    bridge::{BrowserPort, KernelServices, PlatformServices, PlatformServicesClient, Reply, VatWorkerService},
    runtime::{BrowserRuntime, Runtime},
    wire::{IncarnationId, PeerId, RemoteCommsOptions, RemoteError},
};
use serde_json::Value;
use wasm_bindgen::{JsCast as _, prelude::*};
use web_sys::{MessageChannel, MessagePort};

fn ready<T: 'static>(value: T) -> Reply<T> {
    std::future::ready(Ok(value)).boxed_local()
}

/// The browser's.
pub fn runtime() -> Rc<dyn Runtime> {
    Rc::new(BrowserRuntime)
}

/// Waits.
pub async fn pause(millis: u64) {
    BrowserRuntime.sleep(Duration::from_millis(millis)).await;
}

/// A peer.
pub fn peer() -> PeerId {
    PeerId::from_ed25519_seed([1; 32]).unwrap()
}

/// Something to wait for.
pub type Hook = Box<dyn Fn() -> LocalBoxFuture<'static, ()>>;

/// A network that keeps what it is to send. An empty message finds the peer restarted.
#[derive(Default)]
pub struct Network {
    /// The messages.
    pub sent: RefCell<Vec<String>>,
    /// How often it was stopped.
    pub stops: Cell<u32>,
    /// What a send waits for first.
    pub before_send: RefCell<Option<Hook>>,
}

impl PlatformServices for Network {
    fn initialize_remote_comms(&self, _: String, options: RemoteCommsOptions, _: IncarnationId) -> Reply<()> {
        assert_eq!(options.max_queue, 7, "a number stays a whole number");
        ready(())
    }

    fn stop_remote_comms(&self) -> Reply<()> {
        self.stops.set(self.stops.get() + 1);
        ready(())
    }

    fn send_remote_message(&self, to: PeerId, message: String) -> Reply<()> {
        if message.is_empty() {
            return std::future::ready(Err(RemoteError::PeerRestarted(to))).boxed_local();
        }
        self.sent.borrow_mut().push(message);
        match &*self.before_send.borrow() {
            Some(before) => before().map(Ok).boxed_local(),
            None => ready(()),
        }
    }

    fn close_connection(&self, _: PeerId) -> Reply<()> {
        ready(())
    }

    fn register_location_hints(&self, _: PeerId, _: Vec<String>) -> Reply<()> {
        ready(())
    }

    fn reconnect_peer(&self, _: PeerId, _: Vec<String>) -> Reply<()> {
        ready(())
    }

    fn reset_all_backoffs(&self) -> Reply<()> {
        ready(())
    }
}

/// A kernel that echoes, and takes every incarnation for a restart. It may close its end while it is asked.
#[derive(Default)]
pub struct Kernel {
    /// Dropped with the next message.
    pub closes: RefCell<Option<PlatformServicesClient<BrowserPort>>>,
}

impl KernelServices for Kernel {
    fn remote_deliver(&self, _: PeerId, message: String) -> Reply<Option<String>> {
        drop(self.closes.take());
        ready(Some(message))
    }

    fn remote_give_up(&self, _: PeerId) -> Reply<()> {
        ready(())
    }

    fn remote_incarnation_change(&self, _: PeerId, _: IncarnationId) -> Reply<bool> {
        ready(true)
    }
}

/// Vats that answer everything with `pong`.
#[derive(Default)]
pub struct Vats {
    /// Their ids.
    pub running: RefCell<Vec<String>>,
}

impl VatWorkerService for Vats {
    type Port = MessagePort;

    fn launch(&self, vat_id: String, _: Value) -> Reply<MessagePort> {
        self.running.borrow_mut().push(vat_id);
        let channel = MessageChannel::new().unwrap();
        let own = channel.port1();
        let answering = own.clone();
        let answer = Closure::<dyn Fn()>::new(move || answering.post_message(&"pong".into()).unwrap()).into_js_value();
        own.set_onmessage(Some(answer.unchecked_ref()));
        ready(channel.port2())
    }

    fn terminate(&self, vat_id: String) -> Reply<()> {
        self.running.borrow_mut().retain(|running| *running != vat_id);
        ready(())
    }

    fn terminate_all(&self) -> Reply<()> {
        self.running.borrow_mut().clear();
        ready(())
    }
}
