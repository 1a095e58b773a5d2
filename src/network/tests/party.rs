//! Services with kernels on a network within the process, for stories.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    future::Future,
    rc::{Rc, Weak},
    time::Duration,
};

use futures::{AsyncReadExt as _, AsyncWriteExt as _, FutureExt as _};
use tokio::{task::LocalSet, time::sleep};

use super::memory::{Hub, Stream};
use crate::{
    bridge::{KernelServices, PlatformServices, Reply},
    network::{NetworkService, status::NetworkEvent},
    runtime::{NativeRuntime, Runtime, Timestamp},
    wire::{FrameDecoder, Handshake, IncarnationId, PeerId, RemoteCommsOptions, RemoteError, encode_frame},
};

/// A runtime that counts what it has running.
struct CountingRuntime {
    inner: NativeRuntime,
    running: Rc<Cell<usize>>,
}

struct Running(Rc<Cell<usize>>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

impl Runtime for CountingRuntime {
    fn now(&self) -> Timestamp {
        self.inner.now()
    }

    fn sleep(&self, delay: Duration) -> futures::future::LocalBoxFuture<'static, ()> {
        self.inner.sleep(delay)
    }

    fn fill_random(&self, bytes: &mut [u8]) {
        self.inner.fill_random(bytes);
    }

    fn yield_turn(&self) -> futures::future::LocalBoxFuture<'static, ()> {
        self.inner.yield_turn()
    }

    fn spawn(&self, task: futures::future::LocalBoxFuture<'static, ()>) {
        self.running.set(self.running.get() + 1);
        let running = Running(Rc::clone(&self.running));
        self.inner.spawn(
            async move {
                task.await;
                drop(running);
            }
            .boxed_local(),
        );
    }
}

pub(super) type Service = NetworkService<Hub>;

/// A kernel that remembers incarnations, keeps what it is given, and can be told to be broken or to answer in the call.
#[derive(Default)]
pub(super) struct Kernel {
    pub(super) known: RefCell<HashMap<PeerId, IncarnationId>>,
    pub(super) delivered: RefCell<Vec<String>>,
    pub(super) refuses: Cell<Option<&'static str>>,
    pub(super) echoes_to: RefCell<Weak<Service>>,
    pub(super) in_call: Cell<bool>,
}

impl KernelServices for Kernel {
    fn remote_deliver(&self, from: PeerId, message: String) -> Reply<Option<String>> {
        assert!(!self.in_call.replace(true), "a kernel is not called while it is in a call");
        if let Some(name) = self.refuses.get() {
            self.in_call.set(false);
            let error = RemoteError::Other { name: name.into(), message: "no".into() };
            return futures::future::ready(Err(error)).boxed_local();
        }
        if let Some(service) = self.echoes_to.borrow().upgrade() {
            drop(service.send_remote_message(from, format!("echo {message}")));
        }
        self.delivered.borrow_mut().push(message);
        self.in_call.set(false);
        futures::future::ready(Ok(None)).boxed_local()
    }

    fn remote_give_up(&self, _: PeerId) -> Reply<()> {
        futures::future::ready(Ok(())).boxed_local()
    }

    fn remote_incarnation_change(&self, peer: PeerId, observed: IncarnationId) -> Reply<bool> {
        let former = self.known.borrow_mut().insert(peer, observed.clone());
        let restarted = former.is_some_and(|former| former != observed);
        async move {
            // As over a bridge, the answer takes a moment.
            sleep(Duration::from_millis(3)).await;
            Ok(restarted)
        }
        .boxed_local()
    }
}

pub(super) struct Party {
    pub(super) id: PeerId,
    pub(super) seed: String,
    pub(super) kernel: Rc<Kernel>,
    pub(super) service: Rc<Service>,
    pub(super) running: Rc<Cell<usize>>,
}

impl Party {
    pub(super) fn new(hub: &Hub, seed: u8) -> Self {
        let kernel = Rc::new(Kernel::default());
        let running = Rc::new(Cell::new(0));
        let runtime = CountingRuntime { inner: NativeRuntime::new(), running: Rc::clone(&running) };
        let service = Rc::new(NetworkService::new(Rc::new(runtime), kernel.clone(), hub.clone()));
        let id = PeerId::from_ed25519_seed([seed; 32]).unwrap();
        Party { id, seed: format!("{seed:02x}").repeat(32), kernel, service, running }
    }

    pub(super) async fn started(hub: &Hub, seed: u8) -> Self {
        let party = Self::new(hub, seed);
        party.initialize("life-1").await.unwrap();
        party
    }

    pub(super) fn initialize(&self, incarnation: &str) -> Reply<()> {
        let options = RemoteCommsOptions { max_messages_per_second: 10_000, ..RemoteCommsOptions::default() };
        self.service.initialize_remote_comms(self.seed.clone(), options, incarnation.parse().unwrap())
    }

    /// A party, and the states of its peers as they are told.
    pub(super) async fn watched(hub: &Hub, seed: u8, told: &Rc<RefCell<Vec<NetworkEvent>>>) -> Self {
        let party = Self::new(hub, seed);
        let runtime = CountingRuntime { inner: NativeRuntime::new(), running: Rc::clone(&party.running) };
        let service = NetworkService::new(Rc::new(runtime), party.kernel.clone(), hub.clone());
        let told = Rc::clone(told);
        let service = Rc::new(service.observed_by(move |event| told.borrow_mut().push(event)));
        let party = Party { service, ..party };
        party.initialize("life-1").await.unwrap();
        party
    }

    pub(super) fn send(&self, to: &Party, text: &str) -> Reply<()> {
        self.service.send_remote_message(to.id.clone(), text.into())
    }

    pub(super) fn delivered(&self) -> Vec<String> {
        self.kernel.delivered.borrow().clone()
    }
}

/// Runs a story on one thread, with a clock that jumps to the next timer.
pub(super) fn story(work: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    LocalSet::new().block_on(&runtime, work);
}

pub(super) fn name(result: Result<(), RemoteError>) -> String {
    result.unwrap_err().name().to_owned()
}

pub(super) async fn write(stream: &mut Stream, text: &str) {
    stream.write_all(&encode_frame(text)).await.unwrap();
}

/// The next frame, or `None` at the end of the stream.
pub(super) async fn read(stream: &mut Stream) -> Option<String> {
    let mut decoder = FrameDecoder::new(1 << 20);
    let mut byte = [0];
    loop {
        if let Some(text) = decoder.next_message().unwrap() {
            return Some(text);
        }
        match stream.read(&mut byte).await {
            Ok(1) => decoder.push(&byte),
            _ => return None,
        }
    }
}

pub(super) fn hello() -> String {
    Handshake::Hello("m1".parse().unwrap()).encode()
}
