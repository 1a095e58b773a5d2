//! Tests of the bridge: `connection` drives two state machines by hand, `services` joins two kernels' ends for real over
//! ports in memory, `failures` puts something else at the other end.

#![cfg(all(feature = "kernel", feature = "transport", not(target_arch = "wasm32")))]

mod connection;
mod failures;
mod services;

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    time::Duration,
};

use futures::{FutureExt as _, channel::oneshot, future::LocalBoxFuture};
use serde_json::Value;

use super::{KernelServices, PlatformServices, Reply, VatWorkerService};
use crate::{
    runtime::{NativeRuntime, Runtime},
    wire::{IncarnationId, PeerId, RemoteCommsOptions, RemoteError},
};

/// Runs a story on one thread, with a clock that jumps over waiting.
fn run(story: impl Future<Output = ()> + 'static) {
    let executor = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    tokio::task::LocalSet::new().block_on(&executor, async {
        let limited = tokio::time::timeout(Duration::from_secs(3_600), story);
        limited.await.expect("the story is stuck");
    });
}

fn runtime() -> Rc<dyn Runtime> {
    Rc::new(NativeRuntime::new())
}

fn peer(number: u8) -> PeerId {
    PeerId::from_ed25519_seed([number; 32]).unwrap()
}

fn incarnation(text: &str) -> IncarnationId {
    text.parse().unwrap()
}

fn ready<T: 'static>(value: T) -> Reply<T> {
    futures::future::ready(Ok(value)).boxed_local()
}

fn failed<T: 'static>(error: RemoteError) -> Reply<T> {
    futures::future::ready(Err(error)).boxed_local()
}

/// Waits until everything that can happen has happened.
async fn settle() {
    tokio::time::sleep(Duration::from_secs(60)).await;
}

type Hook<A, T> = RefCell<Option<Box<dyn Fn(A) -> Reply<T>>>>;

/// A network that writes down what it is asked, and answers as a test wishes.
#[derive(Default)]
struct Network {
    asked: RefCell<Vec<String>>,
    on_send: Hook<String, ()>,
    on_initialize: Hook<(), ()>,
}

impl Network {
    fn note(&self, text: String) -> Reply<()> {
        self.asked.borrow_mut().push(text);
        ready(())
    }

    fn asked(&self) -> Vec<String> {
        self.asked.take()
    }
}

impl PlatformServices for Network {
    fn initialize_remote_comms(
        &self,
        key_seed: String,
        options: RemoteCommsOptions,
        incarnation: IncarnationId,
    ) -> Reply<()> {
        let noted = self.note(format!("initialize {key_seed} {:?} {incarnation}", options.relays));
        self.on_initialize.borrow().as_ref().map_or(noted, |answer| answer(()))
    }

    fn stop_remote_comms(&self) -> Reply<()> {
        self.note("stop".into())
    }

    fn send_remote_message(&self, _to: PeerId, message: String) -> Reply<()> {
        let noted = self.note(format!("send {message}"));
        self.on_send.borrow().as_ref().map_or(noted, |answer| answer(message))
    }

    fn close_connection(&self, _peer: PeerId) -> Reply<()> {
        self.note("close".into())
    }

    fn register_location_hints(&self, _peer: PeerId, hints: Vec<String>) -> Reply<()> {
        self.note(format!("hints {hints:?}"))
    }

    fn reconnect_peer(&self, _peer: PeerId, hints: Vec<String>) -> Reply<()> {
        self.note(format!("reconnect {hints:?}"))
    }

    fn reset_all_backoffs(&self) -> Reply<()> {
        self.note("reset".into())
    }
}

/// A kernel that writes down what it is told, and answers as a test wishes.
#[derive(Default)]
struct Kernel {
    told: RefCell<Vec<String>>,
    on_deliver: Hook<String, Option<String>>,
    on_incarnation: Hook<String, bool>,
}

impl KernelServices for Kernel {
    fn remote_deliver(&self, _from: PeerId, message: String) -> Reply<Option<String>> {
        self.told.borrow_mut().push(format!("deliver {message}"));
        self.on_deliver.borrow().as_ref().map_or_else(|| ready(None), |answer| answer(message))
    }

    fn remote_moving(&self, peer: PeerId) {
        self.told.borrow_mut().push(format!("moving {peer}"));
    }

    fn remote_no_channel(&self, peer: PeerId) {
        self.told.borrow_mut().push(format!("no channel {peer}"));
    }

    fn remote_give_up(&self, peer: PeerId) -> Reply<()> {
        self.told.borrow_mut().push(format!("give up {peer}"));
        ready(())
    }

    fn remote_incarnation_change(&self, _peer: PeerId, observed: IncarnationId) -> Reply<bool> {
        self.told.borrow_mut().push(format!("incarnation {observed}"));
        self.on_incarnation.borrow().as_ref().map_or_else(|| ready(false), |answer| answer(observed.to_string()))
    }
}

/// A host of vats whose ports are just names.
#[derive(Default)]
struct VatHost {
    running: RefCell<Vec<String>>,
    broken: Cell<bool>,
}

impl VatWorkerService for VatHost {
    type Port = String;

    fn launch(&self, vat_id: String, config: Value) -> Reply<String> {
        if self.broken.get() {
            return failed(RemoteError::Other { name: "Error".into(), message: "no Worker".into() });
        }
        self.running.borrow_mut().push(vat_id.clone());
        ready(format!("port of {vat_id} from {}", config["bundleSpec"]))
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

/// An answer that a test gives when it likes.
fn later<T: 'static>() -> (oneshot::Sender<T>, LocalBoxFuture<'static, Result<T, RemoteError>>) {
    let (give, taken) = oneshot::channel();
    (give, async move { Ok(taken.await.expect("the test forgot its answer")) }.boxed_local())
}
