//! Joins the transport to the outside: streams, the kernel, the clock.
//!
//! It does what the transport says and reports what happened; it decides nothing itself.

mod streams;

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, HashMap},
    rc::Rc,
    time::Duration,
};

use futures::{
    FutureExt as _, StreamExt as _,
    channel::oneshot,
    future::{AbortHandle, Abortable, LocalBoxFuture},
    stream::LocalBoxStream,
};
use streams::StreamHandle;

use super::{
    link::{LinkEvent, Links, Started},
    status::{NetworkEvent, NetworkStatus, Path, RelayState, RelayStatus},
    transport::{ChannelId, DeliveryOutcome, DialId, Effect, Input, RandomSource, SendId, Transport},
};
use crate::{
    bridge::KernelServices,
    runtime::{Runtime, Timestamp, random_bytes, worth_a_line},
    wire::{IncarnationId, PeerId, RemoteCommsOptions, RemoteError},
};

/// Who is told of changes.
pub(super) type Observer = Rc<dyn Fn(NetworkEvent)>;

pub(super) struct Driver<L: Links> {
    runtime: Rc<dyn Runtime>,
    kernel: Rc<dyn KernelServices>,
    links: L,
    max_message_bytes: usize,
    /// How long a stream may take to be closed in order.
    close_limit: Duration,
    transport: RefCell<Transport>,
    /// Effects are being performed further up the stack; what a nested call causes is performed there, in order.
    performing: Cell<bool>,
    sends: RefCell<HashMap<SendId, oneshot::Sender<Result<(), RemoteError>>>>,
    dials: RefCell<HashMap<DialId, AbortHandle>>,
    streams: RefCell<HashMap<ChannelId, StreamHandle>>,
    last_id: Cell<u64>,
    alarm: RefCell<Option<(Timestamp, AbortHandle)>>,
    listening: RefCell<Option<AbortHandle>>,
    relays: RefCell<BTreeMap<String, RelayStatus>>,
    observer: Option<Observer>,
    /// Streams on their way to being closed, and who waits until there are none.
    closing: Cell<usize>,
    all_closed: RefCell<Vec<oneshot::Sender<()>>>,
}

impl<L: Links> Driver<L> {
    pub(super) fn start(
        runtime: Rc<dyn Runtime>,
        kernel: Rc<dyn KernelServices>,
        (links, events): Started<L>,
        own_id: PeerId,
        incarnation: IncarnationId,
        options: &RemoteCommsOptions,
        observer: Option<Observer>,
    ) -> Rc<Self> {
        let random = random_source(Rc::clone(&runtime));
        let transport = Transport::new(runtime.now(), own_id, incarnation, options, random);
        let driver = Rc::new(Driver {
            runtime,
            kernel,
            links,
            max_message_bytes: options.max_message_size_bytes,
            close_limit: Duration::from_millis(options.write_timeout_ms),
            transport: RefCell::new(transport),
            performing: Cell::new(false),
            sends: RefCell::default(),
            dials: RefCell::default(),
            streams: RefCell::default(),
            last_id: Cell::new(0),
            alarm: RefCell::default(),
            listening: RefCell::default(),
            relays: RefCell::default(),
            observer,
            closing: Cell::new(0),
            all_closed: RefCell::default(),
        });
        let listening = driver.spawn_abortable(Rc::clone(&driver).listen(events));
        driver.listening.replace(Some(listening));
        driver.arm();
        driver
    }

    /// Sends a message; it has its place in the order when this returns.
    pub(super) fn send(self: &Rc<Self>, to: PeerId, message: String) -> oneshot::Receiver<Result<(), RemoteError>> {
        let (done, result) = oneshot::channel();
        let id = SendId(self.next_id());
        self.sends.borrow_mut().insert(id, done);
        self.feed(Input::Send { id, to, message });
        result
    }

    /// Tells the transport what happened, and does what it says.
    pub(super) fn feed(self: &Rc<Self>, input: Input) {
        if let Input::RegisterHints { peer, .. } | Input::Reconnect { peer, .. } = &input {
            self.links.know(peer);
        }
        self.transport.borrow_mut().handle(self.runtime.now(), input);
        if self.performing.replace(true) {
            return;
        }
        loop {
            let effect = self.transport.borrow_mut().poll_effect();
            match effect {
                Some(effect) => self.perform(effect),
                // Whoever is told may have caused more.
                None if self.tell_changes() => {}
                None => break,
            }
        }
        self.performing.set(false);
        self.arm();
    }

    /// What is known now.
    pub(super) fn status(&self) -> NetworkStatus {
        let peers = self.transport.borrow().status(|channel| self.path(channel));
        NetworkStatus { peers, relays: self.relays.borrow().values().cloned().collect() }
    }

    /// Where peers reach this node now.
    pub(super) fn listen_addresses(&self) -> Vec<String> {
        self.links.listen_addresses()
    }

    /// Closes all connections at once.
    pub(super) fn hang_up(&self) {
        self.links.hang_up();
    }

    fn path(&self, channel: ChannelId) -> Path {
        self.streams.borrow().get(&channel).map(|stream| stream.path.clone()).unwrap_or_default()
    }

    /// Whether there was anything to tell.
    fn tell_changes(&self) -> bool {
        let Some(observer) = &self.observer else {
            self.transport.borrow_mut().forget_changes();
            return false;
        };
        let changes = self.transport.borrow_mut().take_changes(|channel| self.path(channel));
        let told = !changes.is_empty();
        for change in changes {
            observer(NetworkEvent::Peer(change));
        }
        told
    }

    fn tell(&self, event: NetworkEvent) {
        if let Some(observer) = &self.observer {
            observer(event);
        }
    }

    /// Ends everything. Sends and streams are ended when this returns; the future completes when nothing is left.
    pub(super) fn stop(self: &Rc<Self>) -> LocalBoxFuture<'static, ()> {
        self.feed(Input::Stop);
        if let Some(listening) = self.listening.take() {
            listening.abort();
        }
        let driver = Rc::clone(self);
        async move {
            let (done, all_closed) = oneshot::channel();
            if driver.closing.get() > 0 {
                driver.all_closed.borrow_mut().push(done);
                all_closed.await.ok();
            }
            driver.links.stop().await;
        }
        .boxed_local()
    }

    fn perform(self: &Rc<Self>, effect: Effect) {
        match effect {
            Effect::Dial { dial, peer, addresses, anew } => self.dial(dial, peer, addresses, anew),
            Effect::CancelDial { dial } => {
                if let Some(task) = self.dials.borrow_mut().remove(&dial) {
                    task.abort();
                }
            }
            Effect::Read { channel } => self.with_stream(channel, StreamHandle::read),
            Effect::Write { channel, text } => self.with_stream(channel, |stream| stream.write(text)),
            Effect::Weigh { channel } => {
                let circuit = self.path(channel).circuit();
                let with_incumbent = self.streams.borrow().get(&channel).is_some_and(|stream| stream.with_incumbent);
                self.feed(Input::Weighed { channel, circuit, with_incumbent });
            }
            Effect::CheckLine { channel, since } => {
                let carrying = self.path(channel).is_carrying(since);
                self.feed(Input::LineChecked { channel, carrying });
            }
            Effect::Finish { channel } => self.with_stream(channel, StreamHandle::finish),
            Effect::Close { channel } => self.close(channel),
            Effect::Reset { channel } => {
                // Both halves are dropped with their tasks, which resets the stream.
                let reset = self.streams.borrow_mut().remove(&channel);
                if let Some(stream) = reset {
                    stream.abort();
                    let path = stream.path.clone();
                    self.spawn(|driver| async move { driver.discard(&path).await });
                }
            }
            Effect::AskVerdict { channel, peer, incarnation } => {
                let mut verdict = self.kernel.remote_incarnation_change(peer.clone(), incarnation);
                // An answer that is there already must not be overtaken by what the kernel sends after it.
                match (&mut verdict).now_or_never() {
                    Some(restarted) => self.feed(Input::Verdict { channel, peer, restarted }),
                    None => self.spawn(|driver| async move {
                        driver.feed(Input::Verdict { channel, peer, restarted: verdict.await });
                    }),
                }
            }
            Effect::Deliver { peer, text } => {
                let answer = self.kernel.remote_deliver(peer.clone(), text);
                self.spawn(|driver| async move {
                    driver.feed(Input::Delivered { peer, outcome: delivery_outcome(answer.await) });
                });
            }
            Effect::SendDone { id, result } => {
                if let Some(done) = self.sends.borrow_mut().remove(&id) {
                    // Whoever asked may have stopped listening.
                    done.send(result).ok();
                }
            }
            Effect::Probe => self.links.probe(),
            Effect::Moving { peer } => self.kernel.remote_moving(peer),
            Effect::NoChannel { peer } => self.kernel.remote_no_channel(peer),
            Effect::GiveUp { peer } => {
                let told = self.kernel.remote_give_up(peer.clone());
                self.spawn(|_| async move {
                    if let Err(error) = told.await
                        && let Some(times) = worth_a_line("not told of a give-up", &peer)
                    {
                        tracing::warn!(%peer, %error, times, "the kernel was not told that a peer was given up");
                    }
                });
            }
            Effect::Fault { peer, error } => {
                // The error may quote what the peer wrote.
                if let Some(times) = worth_a_line("fault", &peer) {
                    tracing::warn!(%peer, name = error.name(), times, "fault of a peer");
                }
                tracing::debug!(%peer, %error, "what it did");
                let (name, message) = (error.name().to_owned(), error.to_string());
                self.tell(NetworkEvent::Fault { peer_id: peer, name, message });
            }
        }
    }

    fn dial(self: &Rc<Self>, dial: DialId, peer: PeerId, addresses: Vec<String>, anew: bool) {
        let opening = if anew { self.links.open_anew(peer, addresses) } else { self.links.open(peer, addresses) };
        let driver = Rc::clone(self);
        let task = self.spawn_abortable(async move {
            let opened = opening.await;
            driver.dials.borrow_mut().remove(&dial);
            match opened {
                Ok(stream) => {
                    let channel = driver.adopt(stream);
                    driver.feed(Input::DialSucceeded { dial, channel });
                }
                Err(error) => driver.feed(Input::DialFailed { dial, error }),
            }
        });
        self.dials.borrow_mut().insert(dial, task);
    }

    async fn listen(self: Rc<Self>, mut events: LocalBoxStream<'static, LinkEvent<L::Stream>>) {
        while let Some(event) = events.next().await {
            match event {
                LinkEvent::Inbound { peer, stream } => {
                    let channel = self.adopt(stream);
                    self.feed(Input::Inbound { channel, peer });
                }
                LinkEvent::Relay(status) => {
                    // A relay that just came is a way to peers that could not be reached before.
                    let up = status.state == RelayState::Up;
                    self.relays.borrow_mut().insert(status.relay.clone(), status.clone());
                    self.tell(NetworkEvent::Relay(status));
                    if up {
                        self.feed(Input::ResetBackoffs);
                    }
                }
            }
        }
    }

    fn adopt(self: &Rc<Self>, stream: L::Stream) -> ChannelId {
        let channel = ChannelId(self.next_id());
        let handle = streams::start(self, channel, stream);
        self.streams.borrow_mut().insert(channel, handle);
        channel
    }

    fn with_stream(&self, channel: ChannelId, act: impl FnOnce(&mut StreamHandle)) {
        if let Some(stream) = self.streams.borrow_mut().get_mut(&channel) {
            act(stream);
        }
    }

    fn close(self: &Rc<Self>, channel: ChannelId) {
        let Some(stream) = self.streams.borrow_mut().remove(&channel) else { return };
        self.closing.set(self.closing.get().saturating_add(1));
        let limit = self.close_limit;
        self.spawn(move |driver| async move {
            let path = stream.path.clone();
            stream.close(driver.runtime.as_ref(), limit).await;
            driver.discard(&path).await;
            driver.closing.set(driver.closing.get().saturating_sub(1));
            if driver.closing.get() == 0 {
                for waiting in driver.all_closed.take() {
                    waiting.send(()).ok();
                }
            }
        });
    }

    /// A relay allows each peer few circuits: one that no stream uses any more is closed.
    async fn discard(&self, path: &Path) {
        if path.circuit().is_some() {
            // The stream goes with its tasks, which end in a turn of their own.
            self.runtime.yield_turn().await;
            self.links.discard(path);
        }
    }

    /// Sets the timer to the transport's next time. An alarm that is already set to an earlier time just rings for nothing.
    fn arm(self: &Rc<Self>) {
        let next = self.transport.borrow().poll_timeout();
        let mut alarm = self.alarm.borrow_mut();
        if let (Some((set, _)), Some(next)) = (&*alarm, next)
            && *set <= next
        {
            return;
        }
        if let Some((_, task)) = alarm.take() {
            task.abort();
        }
        if let Some(next) = next {
            let sleep = self.runtime.sleep(next.since(self.runtime.now()));
            let driver = Rc::clone(self);
            let task = self.spawn_abortable(async move {
                sleep.await;
                driver.alarm.take();
                let due = driver.transport.borrow().poll_timeout().is_some_and(|at| at <= driver.runtime.now());
                if due { driver.feed(Input::Timeout) } else { driver.arm() }
            });
            *alarm = Some((next, task));
        }
    }

    fn next_id(&self) -> u64 {
        self.last_id.set(self.last_id.get().saturating_add(1));
        self.last_id.get()
    }

    fn spawn<F: Future<Output = ()> + 'static>(self: &Rc<Self>, task: impl FnOnce(Rc<Self>) -> F) {
        self.runtime.spawn(task(Rc::clone(self)).boxed_local());
    }

    fn spawn_abortable(&self, task: impl Future<Output = ()> + 'static) -> AbortHandle {
        let (handle, registration) = AbortHandle::new_pair();
        self.runtime.spawn(Abortable::new(task, registration).map(|_| ()).boxed_local());
        handle
    }
}

/// Whether the kernel has, has not, or could not even be asked to take a message. The bridge's own errors come by name; so does
/// those of a kernel that does not know the peer's incarnation any more, or has given it up: it can be asked after a handshake.
fn delivery_outcome(answer: Result<Option<String>, RemoteError>) -> DeliveryOutcome {
    const UNREACHABLE: [&str; 7] = [
        "BridgeReloadedError",
        "BridgeClosedError",
        "BridgeBusyError",
        "BridgePostError",
        "NetworkStoppedError",
        RemoteError::UNKNOWN_INCARNATION,
        RemoteError::NOT_READING,
    ];
    match answer {
        Ok(reply) => DeliveryOutcome::Accepted(reply),
        Err(error) if UNREACHABLE.contains(&error.name()) => DeliveryOutcome::Unreachable(error),
        Err(error) => DeliveryOutcome::Refused(error),
    }
}

fn random_source(runtime: Rc<dyn Runtime>) -> RandomSource {
    Box::new(move || u64::from_le_bytes(random_bytes(&*runtime)))
}
