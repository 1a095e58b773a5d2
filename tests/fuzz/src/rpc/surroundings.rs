//! What a bridge is given: a port that is spoken for, tasks that run when told, services that answer when told.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    time::Duration,
};

use futures::{
    FutureExt as _,
    channel::oneshot,
    future::{self, LocalBoxFuture},
};
use ocap_remotes::{
    bridge::{KernelServices, PlatformServices, Port, PortError, PortEvent, PortListener, Reply},
    runtime::{Runtime, Timestamp},
    wire::{IncarnationId, PeerId, RemoteCommsOptions, RemoteError},
};
use serde_json::Value;

/// Notes what is posted, and says what it is told to. The bridge and the harness each hold it.
#[derive(Clone, Default)]
pub(super) struct FakePort(Rc<State>);

#[derive(Default)]
struct State {
    posts: RefCell<Vec<Value>>,
    attempts: Cell<usize>,
    refuses: Cell<bool>,
    listener: RefCell<Option<Rc<PortListener<()>>>>,
}

impl FakePort {
    /// Says something to whoever listens.
    pub(super) fn tell(&self, event: PortEvent<()>) {
        let listener = self.0.listener.borrow().clone();
        if let Some(listener) = listener {
            listener(event);
        }
    }

    /// What was posted since the last call, and how often it was tried.
    pub(super) fn take(&self) -> (Vec<Value>, usize) {
        (self.0.posts.take(), self.0.attempts.take())
    }

    /// Whether posting fails from now on.
    pub(super) fn refuse(&self, refuses: bool) {
        self.0.refuses.set(refuses);
    }
}

impl Port for FakePort {
    type Transfer = ();

    fn post(&self, message: Value, _transfer: Option<()>) -> Result<(), PortError> {
        self.0.attempts.set(self.0.attempts.get() + 1);
        if self.0.refuses.get() {
            return Err(PortError::Refused("it cannot be cloned".into()));
        }
        self.0.posts.borrow_mut().push(message);
        Ok(())
    }

    fn listen(&self, listener: PortListener<()>) {
        *self.0.listener.borrow_mut() = Some(Rc::new(listener));
    }

    fn close(&self) {
        let listener = self.0.listener.take();
        drop(listener);
    }
}

/// A clock that stands still, and tasks that run when told.
#[derive(Default)]
pub(super) struct ManualRuntime {
    tasks: RefCell<Vec<LocalBoxFuture<'static, ()>>>,
}

impl ManualRuntime {
    /// How many tasks there are.
    pub(super) fn tasks(&self) -> usize {
        self.tasks.borrow().len()
    }

    /// Polls each task once, and those that they spawn.
    pub(super) fn run(&self) {
        let mut waiting = Vec::new();
        loop {
            let tasks = self.tasks.take();
            if tasks.is_empty() {
                break;
            }
            waiting.extend(tasks.into_iter().filter_map(|mut task| match (&mut task).now_or_never() {
                Some(()) => None,
                None => Some(task),
            }));
        }
        self.tasks.replace(waiting);
    }
}

impl Runtime for ManualRuntime {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(0)
    }

    fn sleep(&self, _delay: Duration) -> LocalBoxFuture<'static, ()> {
        future::pending().boxed_local()
    }

    fn fill_random(&self, bytes: &mut [u8]) {
        bytes.fill(7);
    }

    fn yield_turn(&self) -> LocalBoxFuture<'static, ()> {
        future::ready(()).boxed_local()
    }

    fn spawn(&self, task: LocalBoxFuture<'static, ()>) {
        self.tasks.borrow_mut().push(task);
    }
}

/// Both services: every other call is answered at once, the rest when told.
#[derive(Default)]
pub(super) struct Services {
    calls: Cell<usize>,
    waiting: RefCell<Vec<oneshot::Sender<bool>>>,
}

impl Services {
    /// Answers everything that waits.
    pub(super) fn finish(&self, succeeds: bool) {
        for waiting in self.waiting.take() {
            // Whoever asked may be gone.
            let _ = waiting.send(succeeds);
        }
    }

    fn answer<T: 'static>(&self, result: T) -> Reply<T> {
        self.calls.set(self.calls.get().wrapping_add(1));
        if self.calls.get().is_multiple_of(2) {
            return future::ready(Ok(result)).boxed_local();
        }
        let (sender, receiver) = oneshot::channel();
        self.waiting.borrow_mut().push(sender);
        async move { if receiver.await == Ok(true) { Ok(result) } else { Err(RemoteError::NetworkStopped) } }
            .boxed_local()
    }
}

impl PlatformServices for Services {
    fn initialize_remote_comms(&self, _: String, _: RemoteCommsOptions, _: IncarnationId) -> Reply<()> {
        self.answer(())
    }

    fn stop_remote_comms(&self) -> Reply<()> {
        self.answer(())
    }

    fn send_remote_message(&self, _: PeerId, _: String) -> Reply<()> {
        self.answer(())
    }

    fn close_connection(&self, _: PeerId) -> Reply<()> {
        self.answer(())
    }

    fn register_location_hints(&self, _: PeerId, _: Vec<String>) -> Reply<()> {
        self.answer(())
    }

    fn reconnect_peer(&self, _: PeerId, _: Vec<String>) -> Reply<()> {
        self.answer(())
    }

    fn reset_all_backoffs(&self) -> Reply<()> {
        self.answer(())
    }
}

impl KernelServices for Services {
    fn remote_deliver(&self, _: PeerId, message: String) -> Reply<Option<String>> {
        self.answer(Some(message))
    }

    fn remote_give_up(&self, _: PeerId) -> Reply<()> {
        self.answer(())
    }

    fn remote_incarnation_change(&self, _: PeerId, _: IncarnationId) -> Reply<bool> {
        self.answer(false)
    }
}
