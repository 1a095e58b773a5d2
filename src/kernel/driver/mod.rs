//! Joins a [`Kernel`] to a network and a clock: gives its program the events, commits, carries out its effects, brings it
//! results and the time.
//!
//! Everything that the network tells is handled before the call returns, so that it is handled in the order it was told. What
//! is ready together shares a commit: the driver's task waits until everything that was ready has run.

mod alarm;
mod remotes;

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    future::poll_fn,
    rc::Rc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use futures::{
    FutureExt as _, StreamExt as _,
    channel::oneshot,
    future::{LocalBoxFuture, ready},
    stream::FuturesUnordered,
};

use alarm::Alarm;
pub use remotes::{Crank, RemotesDriver};

use super::{Kernel, KernelEffect, KernelError, KernelEvent, RemoteWrite, UrlTicket, store::StoreError};
use crate::{
    bridge::{ALREADY_INITIALIZED, KernelServices, PlatformServices, Reply},
    runtime::{Runtime, Timestamp, random_bytes, worth_a_line},
    session::WriteToken,
    wire::{EndpointId, IncarnationId, Kref, PeerId, RemoteCommsOptions, RemoteError},
};

/// What is called with each event, in order, never within a [`KernelDriver::call`]. It may call the driver, and what it calls
/// before it returns is committed together with the event.
pub type EventHandler = Box<dyn Fn(KernelEvent)>;

/// How long a timer that could not be handled waits for its next chance.
const RETRY_AFTER_FAILURE: Duration = Duration::from_secs(1);

/// How many bytes of messages share a commit at most: so long an answer may have to wait for what came with its question.
const COMMITTED_TOGETHER: usize = 256 << 10;

/// A backup.
type Export = Result<Vec<u8>, StoreError>;

struct WriteResult {
    remote: EndpointId,
    token: WriteToken,
    result: Result<(), RemoteError>,
}

/// A running kernel. Dropping it, or [`stop`](Self::stop), ends its task and timers; its store is as durable as ever.
pub struct KernelDriver {
    kernel: RefCell<Kernel>,
    platform: Rc<dyn PlatformServices>,
    runtime: Rc<dyn Runtime>,
    on_event: EventHandler,
    writes: RefCell<FuturesUnordered<LocalBoxFuture<'static, WriteResult>>>,
    timer: RefCell<Alarm>,
    /// Set while a commit is due: everything that is ready now may still join it.
    commit_turn: RefCell<Option<LocalBoxFuture<'static, ()>>>,
    /// Bytes of messages that came since the last commit.
    gathered: Cell<usize>,
    /// Who waits for the next commit.
    waiting: RefCell<Vec<oneshot::Sender<()>>>,
    /// Who waits for a remote to take one more message, in the order of asking.
    crowded: RefCell<Vec<(EndpointId, oneshot::Sender<()>)>>,
    /// Who wants a backup of it.
    exports: RefCell<Vec<oneshot::Sender<Export>>>,
    /// An event is being told; a nested call leaves the next to whoever tells this one.
    telling: Cell<bool>,
    /// The program is not ready for events.
    holding: Cell<bool>,
    waker: RefCell<Option<Waker>>,
    /// The network has been started; before that, what the kernel wants done waits.
    started: Cell<bool>,
    stopped: Cell<bool>,
}

impl KernelDriver {
    /// Runs a kernel on `runtime` over `platform`. Nothing is sent or told before [`start_network`](Self::start_network).
    pub fn start(
        kernel: Kernel,
        platform: Rc<dyn PlatformServices>,
        runtime: Rc<dyn Runtime>,
        on_event: EventHandler,
    ) -> Rc<Self> {
        let driver = Rc::new(KernelDriver {
            kernel: RefCell::new(kernel),
            platform,
            runtime: Rc::clone(&runtime),
            on_event,
            writes: RefCell::default(),
            timer: RefCell::default(),
            commit_turn: RefCell::default(),
            gathered: Cell::default(),
            waiting: RefCell::default(),
            crowded: RefCell::default(),
            exports: RefCell::default(),
            telling: Cell::new(false),
            holding: Cell::new(false),
            waker: RefCell::default(),
            started: Cell::new(false),
            stopped: Cell::new(false),
        });
        keep_polling(&driver, &*runtime, Self::poll);
        driver
    }

    /// Starts the network under this kernel's identity and incarnation, and sends what is pending. To be called again
    /// whenever the network's end was loaded anew.
    ///
    /// # Errors
    /// What kept the network from starting; [`KernelError::Store`].
    pub async fn start_network(&self, options: RemoteCommsOptions) -> Result<(), KernelError> {
        let (seed, incarnation) = {
            let kernel = self.kernel.borrow();
            (kernel.identity().key_seed_hex(), kernel.incarnation().clone())
        };
        start_platform(&*self.platform, &seed, &options, &incarnation).await?;
        self.started.set(true);
        self.call(Kernel::network_started)
    }

    /// Calls the kernel. What follows from it happens soon, after a commit.
    ///
    /// # Errors
    /// What `work` answers; [`RemoteError::NetworkStopped`] after [`stop`](Self::stop).
    pub fn call<T>(
        &self,
        work: impl FnOnce(&mut Kernel, Timestamp) -> Result<T, KernelError>,
    ) -> Result<T, KernelError> {
        if self.stopped.get() {
            let failure = self.kernel.borrow().store().failure().filter(|error| !error.is_closed()).cloned();
            return Err(failure.map_or_else(|| RemoteError::NetworkStopped.into(), KernelError::Store));
        }
        let result = work(&mut self.kernel.borrow_mut(), self.runtime.now());
        self.wake();
        result
    }

    /// Has the kernel take note of something. One that has stopped waits for nothing.
    fn note(&self, work: impl FnOnce(&mut Kernel, Timestamp)) {
        let noted = self.call(|kernel, now| {
            work(kernel, now);
            Ok(())
        });
        noted.ok();
    }

    /// Tells the program nothing, and so commits nothing, until [`release_events`](Self::release_events).
    pub fn hold_events(&self) {
        self.holding.set(true);
    }

    /// Ends [`hold_events`](Self::hold_events).
    pub fn release_events(&self) {
        self.holding.set(false);
        self.wake();
    }

    /// Gives the program every event.
    fn tell_events(&self) {
        if self.holding.get() || self.telling.replace(true) {
            return;
        }
        loop {
            let event = self.kernel.borrow_mut().poll_event();
            let Some(event) = event else { break };
            (self.on_event)(event);
        }
        self.telling.set(false);
    }

    /// Makes everything so far durable. A failure is the end of this kernel.
    fn commit(&self) -> Result<(), KernelError> {
        self.tell_events();
        self.gathered.set(0);
        let committed = self.kernel.borrow_mut().commit(self.runtime.now());
        if !self.kernel.borrow().awaits_commit() {
            for waiting in self.waiting.take() {
                // Whoever waited may be gone.
                waiting.send(()).ok();
            }
            for export in self.exports.take() {
                export.send(self.kernel.borrow().store().export()).ok();
            }
        }
        if let Err(KernelError::Store(error)) = &committed {
            tracing::error!(%error, "the store could not be committed: the kernel stops");
            if !self.stopped.replace(true) {
                (self.on_event)(KernelEvent::StoreFailed(error.clone()));
                self.close();
                self.runtime.spawn(self.platform.stop_remote_comms().map(|_| ()).boxed_local());
            }
        }
        committed
    }

    /// Waits until everything that was called so far is durable.
    ///
    /// # Errors
    /// [`KernelError::Store`] if it cannot be; [`RemoteError::NetworkStopped`] if the kernel is stopped meanwhile.
    pub async fn durable(&self) -> Result<(), KernelError> {
        let (done, committed) = oneshot::channel();
        self.call(|kernel, _| {
            // Also what could have waited longer.
            if kernel.awaits_commit() || kernel.store().awaits_commit() {
                kernel.request_commit();
                self.waiting.borrow_mut().push(done);
            } else {
                done.send(()).ok();
            }
            Ok(())
        })?;
        committed.await.or_else(|_| self.call(|_, _| Err(RemoteError::NetworkStopped.into())))
    }

    /// Waits until a message may be sent to `target` without [`RemoteError::ResourceLimit`] for want of room. Of those who wait for
    /// the same remote, as many go on as it has room for; who does not send at once may find it full again.
    ///
    /// # Errors
    /// [`KernelError::NotHeld`], also when `target` is released or settled meanwhile; [`KernelError::Store`];
    /// [`RemoteError::NetworkStopped`] if the kernel is stopped meanwhile.
    pub async fn ready(&self, target: Kref) -> Result<(), KernelError> {
        loop {
            let Some(remote) = self.call(|kernel, _| kernel.full_remote(target))? else { return Ok(()) };
            let (freed, room) = oneshot::channel();
            self.crowded.borrow_mut().push((remote, freed));
            if room.await.is_err() {
                return self.call(|_, _| Err(RemoteError::NetworkStopped.into()));
            }
        }
    }

    /// Lets those go on whom a remote has room for.
    fn release_crowd(&self) {
        let mut crowded = self.crowded.borrow_mut();
        let mut rooms: BTreeMap<EndpointId, usize> = BTreeMap::new();
        for (remote, freed) in std::mem::take(&mut *crowded) {
            let room = rooms.entry(remote).or_insert_with(|| self.kernel.borrow().room(remote));
            if *room == 0 {
                crowded.push((remote, freed));
            } else if freed.send(()).is_ok() {
                *room -= 1;
            }
        }
    }

    /// Everything in the store as of a commit, as a [backup](super::store::KernelStore::import).
    ///
    /// # Errors
    /// As [`durable`](Self::durable).
    pub async fn export(&self) -> Result<Vec<u8>, KernelError> {
        let (done, export) = oneshot::channel();
        self.call(|kernel, _| {
            kernel.request_commit();
            self.exports.borrow_mut().push(done);
            Ok(())
        })?;
        match export.await {
            Ok(export) => Ok(export?),
            Err(_) => self.call(|_, _| Err(RemoteError::NetworkStopped.into())),
        }
    }

    /// Makes a URL for an object, and gives it when the object is durable.
    ///
    /// # Errors
    /// As [`Kernel::issue_ocap_url`] and [`durable`](Self::durable).
    pub async fn issue_ocap_url(&self, object: Kref) -> Result<String, KernelError> {
        let nonce = self.random();
        let url = self.call(|kernel, _| kernel.issue_ocap_url(object, nonce))?;
        self.durable().await?;
        Ok(url)
    }

    /// Looks at the kernel.
    pub fn inspect<T>(&self, look: impl FnOnce(&Kernel) -> T) -> T {
        look(&self.kernel.borrow())
    }

    /// Closes the connection to a peer until [`reconnect_peer`](Self::reconnect_peer). What was pending is rejected.
    ///
    /// # Errors
    /// What the network answers; [`KernelError::Store`].
    pub async fn close_connection(&self, peer: PeerId) -> Result<(), KernelError> {
        self.platform.close_connection(peer.clone()).await?;
        self.call(|kernel, _| kernel.handle_connection_closed(&peer))
    }

    /// Undoes [`close_connection`](Self::close_connection) and any permanent failure, and connects now.
    ///
    /// # Errors
    /// What the network answers; [`KernelError::Store`].
    pub async fn reconnect_peer(&self, peer: PeerId, hints: Vec<String>) -> Result<(), KernelError> {
        self.call(|kernel, _| kernel.speak_of(&peer))?;
        Ok(self.platform.reconnect_peer(peer, hints).await?)
    }

    /// Random bytes for the kernel's keys and nonces.
    pub fn random<const N: usize>(&self) -> [u8; N] {
        random_bytes(&*self.runtime)
    }

    /// Stops everything here, and then the network. Calls fail from now on, and the store is free.
    ///
    /// # Errors
    /// What the network answers; everything here is stopped all the same.
    pub async fn stop(&self) -> Result<(), RemoteError> {
        if !self.stopped.get() {
            log_failure("its end", self.commit());
        }
        self.close();
        self.platform.stop_remote_comms().await
    }

    /// Stops everything here as a crash would, at the last commit.
    pub fn close(&self) {
        self.stopped.set(true);
        self.kernel.borrow_mut().close();
        self.wake();
    }

    fn wake(&self) {
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }

    /// Does what the kernel wants done. New writes and timers need another look of the task.
    fn carry_out(self: &Rc<Self>) {
        while self.started.get() {
            let now = self.runtime.now();
            let Some(effect) = self.kernel.borrow_mut().poll_effect(now) else { break };
            match effect {
                KernelEffect::Write(RemoteWrite { remote, token, to, message }) => {
                    let reply = self.platform.send_remote_message(to, message);
                    let write = reply.map(move |result| WriteResult { remote, token, result });
                    self.writes.borrow_mut().push(write.boxed_local());
                }
                KernelEffect::RegisterLocationHints { peer, hints } => {
                    register_hints(&*self.platform, &*self.runtime, peer, hints);
                }
                KernelEffect::OpenUrl { ticket, url } => self.open_url(ticket, url),
            }
        }
    }

    /// Opens a URL in a turn of its own.
    fn open_url(self: &Rc<Self>, ticket: UrlTicket, url: String) {
        let (weak, turn) = (Rc::downgrade(self), self.runtime.yield_turn());
        self.runtime.spawn(
            async move {
                turn.await;
                if let Some(driver) = weak.upgrade() {
                    log_failure("the opening of a URL", driver.call(|kernel, _| kernel.open_url(ticket, &url)));
                }
            }
            .boxed_local(),
        );
    }

    /// Brings the kernel every result that is there.
    fn take_results(self: &Rc<Self>, context: &mut Context<'_>) {
        loop {
            let polled = self.writes.borrow_mut().poll_next_unpin(context);
            let Poll::Ready(Some(WriteResult { remote, token, result })) = polled else { return };
            let now = self.runtime.now();
            let handled = self.kernel.borrow_mut().write_finished(remote, token, &result, now);
            log_failure("a write's result", handled);
            self.carry_out();
        }
    }

    fn poll(self: &Rc<Self>, context: &mut Context<'_>) -> Poll<()> {
        *self.waker.borrow_mut() = Some(context.waker().clone());
        loop {
            if self.stopped.get() {
                self.writes.borrow_mut().clear();
                self.timer.borrow_mut().stop();
                *self.commit_turn.borrow_mut() = None;
                self.waiting.borrow_mut().clear();
                self.crowded.borrow_mut().clear();
                self.exports.borrow_mut().clear();
                return Poll::Ready(());
            }
            self.tell_events();
            self.carry_out();
            self.take_results(context);
            if self.commit_when_due(context) {
                continue;
            }
            self.release_crowd();
            // What is due to peers before the network is started could not be done.
            let due = match self.started.get() {
                true => self.kernel.borrow().poll_timeout(),
                false => self.kernel.borrow().has_more().then(Timestamp::default),
            };
            let Some(due) = due else {
                self.timer.borrow_mut().stop();
                break;
            };
            if !self.timer.borrow_mut().is_over(due, &*self.runtime, context) {
                break;
            }
            let handled = match self.started.get() {
                true => self.kernel.borrow_mut().handle_timeout(self.runtime.now()),
                false => self.kernel.borrow_mut().go_on(),
            };
            if handled.is_err() {
                // It is still due; a store that fails must not be asked without pause.
                self.timer.borrow_mut().put_off(due, self.runtime.sleep(RETRY_AFTER_FAILURE));
            }
            log_failure("a timer", handled);
        }
        *self.waker.borrow_mut() = Some(context.waker().clone());
        Poll::Pending
    }

    /// Commits once everything that was ready has run. True if it did.
    fn commit_when_due(&self, context: &mut Context<'_>) -> bool {
        if self.holding.get() || !self.kernel.borrow().awaits_commit() {
            return false;
        }
        let over = {
            let mut turn = self.commit_turn.borrow_mut();
            turn.get_or_insert_with(|| self.runtime.yield_turn()).poll_unpin(context).is_ready()
        };
        if over {
            *self.commit_turn.borrow_mut() = None;
            // A failure has stopped everything, which the task sees next.
            self.commit().ok();
        }
        over
    }
}

/// Runs `poll` whenever it was woken, until it is ready or its driver is gone.
fn keep_polling<D: 'static>(
    driver: &Rc<D>,
    runtime: &dyn Runtime,
    poll: impl Fn(&Rc<D>, &mut Context<'_>) -> Poll<()> + 'static,
) {
    let weak = Rc::downgrade(driver);
    let task = poll_fn(move |context| match weak.upgrade() {
        Some(driver) => poll(&driver, context),
        None => Poll::Ready(()),
    });
    runtime.spawn(task.boxed_local());
}

/// Tells the network where a peer may be found. Without an answer the peer is dialled as before.
fn register_hints(platform: &dyn PlatformServices, runtime: &dyn Runtime, peer: PeerId, hints: Vec<String>) {
    let reply = platform.register_location_hints(peer, hints).map(|result| {
        if let Err(error) = result
            && let Some(times) = worth_a_line("hints not taken", "")
        {
            tracing::warn!(%error, times, "the network did not take location hints");
        }
    });
    runtime.spawn(reply.boxed_local());
}

async fn start_platform(
    platform: &dyn PlatformServices,
    seed: &str,
    options: &RemoteCommsOptions,
    incarnation: &IncarnationId,
) -> Result<(), RemoteError> {
    let initialize = || platform.initialize_remote_comms(seed.to_owned(), options.clone(), incarnation.clone());
    match initialize().await {
        // A call that this end had given up for lost, across a reload, was carried out after all; or a former life's was.
        Err(error) if error.to_string().contains(ALREADY_INITIALIZED) => {
            platform.stop_remote_comms().await?;
            initialize().await
        }
        initialized => initialized,
    }
}

fn log_failure(what: &'static str, handled: Result<(), KernelError>) {
    if let Err(error) = handled {
        // The error may quote a message.
        if let Some(times) = worth_a_line(what, error.name()) {
            tracing::error!(name = error.name(), times, "the kernel could not handle {what}");
        }
        tracing::debug!(%error, "why");
    }
}

fn reply<T: 'static>(result: Result<T, KernelError>) -> Reply<T> {
    ready(result.map_err(|error| match error {
        KernelError::Remote(error) => error,
        other => RemoteError::Other { name: other.name().to_owned(), message: other.to_string() },
    }))
    .boxed_local()
}

impl KernelServices for KernelDriver {
    fn remote_deliver(&self, from: PeerId, message: String) -> Reply<Option<String>> {
        let taken = self.call(|kernel, now| {
            kernel.handle_remote_message(&from, &message, now)?;
            if kernel.takes_no_more() { Err(RemoteError::not_reading(&from).into()) } else { Ok(None) }
        });
        self.gathered.set(self.gathered.get().saturating_add(message.len()));
        if self.gathered.get() >= COMMITTED_TOGETHER && !self.holding.get() && !self.stopped.get() {
            // What is ready together is no longer little. A failure has stopped everything, which the task sees next.
            self.commit().ok();
        }
        reply(taken)
    }

    fn remote_moving(&self, peer: PeerId) {
        self.note(|kernel, now| kernel.handle_remote_moving(&peer, now));
    }

    fn remote_no_channel(&self, peer: PeerId) {
        self.note(|kernel, now| kernel.handle_remote_no_channel(&peer, now));
    }

    fn remote_give_up(&self, peer: PeerId) -> Reply<()> {
        reply(self.call(|kernel, _| kernel.handle_remote_give_up(&peer)))
    }

    fn remote_incarnation_change(&self, peer: PeerId, observed: IncarnationId) -> Reply<bool> {
        let verdict = self.call(|kernel, now| kernel.handle_incarnation_change(&peer, &observed, now));
        // The answer must be durable. What follows from it is sent after the answer, from the task: the network takes what
        // comes before for older than the channel.
        let verdict = verdict.and_then(|restarted| self.commit().map(|()| restarted));
        let (done, committed) = oneshot::channel();
        if verdict.is_ok() && self.kernel.borrow().awaits_commit() {
            // The program is not ready for events, or in the middle of one: the commit comes when it is.
            self.waiting.borrow_mut().push(done);
        } else {
            done.send(()).ok();
        }
        committed
            .then(|over| if over.is_ok() { reply(verdict) } else { reply(Err(RemoteError::NetworkStopped.into())) })
            .boxed_local()
    }
}
