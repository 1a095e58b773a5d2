//! Joins the remotes of a kernel that is not ours to a network and a clock.
//!
//! That kernel works in cranks: turns that it commits or rolls back as a whole, and that may be open while it waits for
//! something. It may call its remotes during a crank. What the network tells waits until no crank is open, as far as the kernel
//! can say; and nothing leaves, and nothing is acknowledged, before the crank in which it was done is over.

use std::{
    cell::{Cell, RefCell},
    collections::{HashMap, VecDeque},
    rc::Rc,
    task::{Context, Poll, Waker},
};

use futures::{
    FutureExt as _, StreamExt as _,
    channel::oneshot,
    future::{LocalBoxFuture, ready},
    stream::FuturesUnordered,
};

use super::{
    RETRY_AFTER_FAILURE, WriteResult, alarm::Alarm, keep_polling, log_failure, register_hints, start_platform,
};
use crate::{
    bridge::{KernelServices, PlatformServices, Reply},
    kernel::{
        Effect, HostKernel, KernelError, KernelIdentity, RedemptionId, RemoteEvent, RemoteManager, RemoteWrite,
        UrlTicket,
    },
    runtime::{Runtime, Timestamp, random_bytes},
    wire::{IncarnationId, Kref, LimitType, PeerId, RemoteCommsOptions, RemoteError},
};

/// Waits until no crank is open.
///
/// # Errors
/// The kernel's own; it is asked again after a pause.
pub type Crank = Rc<dyn Fn() -> EndOfCrank>;

type EndOfCrank = LocalBoxFuture<'static, Result<(), KernelError>>;

/// What the network may tell while a crank is open; more is refused, and comes again.
const MAX_WAITING: usize = 1_000;

/// Something that the network told, and whom to answer.
enum Told {
    Message { from: PeerId, message: String, answer: oneshot::Sender<Result<(), KernelError>> },
    NoChannel { peer: PeerId },
    GiveUp { peer: PeerId, answer: oneshot::Sender<Result<(), KernelError>> },
    Incarnation { peer: PeerId, observed: IncarnationId, answer: oneshot::Sender<Result<bool, KernelError>> },
}

/// A verdict that waits for the end of the crank in which it was found.
struct Verdict {
    peer: PeerId,
    observed: IncarnationId,
    restarted: bool,
    answer: oneshot::Sender<Result<bool, KernelError>>,
}

/// What was done before a wait for the end of a crank began.
#[derive(Default)]
struct Sealed {
    effects: Vec<Effect>,
    verdicts: Vec<Verdict>,
}

struct Core {
    remotes: RemoteManager,
    host: Box<dyn HostKernel>,
}

/// The running remotes of a kernel that is not ours. Dropping it, or [`stop`](Self::stop), ends its task and timers.
pub struct RemotesDriver {
    core: RefCell<Core>,
    crank: Crank,
    platform: Rc<dyn PlatformServices>,
    runtime: Rc<dyn Runtime>,
    on_event: Box<dyn Fn(RemoteEvent)>,
    told: RefCell<VecDeque<Told>>,
    verdicts: RefCell<Vec<Verdict>>,
    /// The wait under way, and what it is for.
    waiting: RefCell<Option<(EndOfCrank, Sealed)>>,
    /// Verdicts were answered; what is written has to come after them.
    answering: RefCell<Option<LocalBoxFuture<'static, ()>>>,
    redemptions: RefCell<HashMap<RedemptionId, oneshot::Sender<Result<Kref, KernelError>>>>,
    writes: RefCell<FuturesUnordered<LocalBoxFuture<'static, WriteResult>>>,
    timer: RefCell<Alarm>,
    waker: RefCell<Option<Waker>>,
    started: Cell<bool>,
    stopped: Cell<bool>,
}

impl RemotesDriver {
    /// Runs remotes on `runtime` over `platform`. Nothing is sent before [`start_network`](Self::start_network). `on_event`
    /// may call the driver.
    pub fn start(
        remotes: RemoteManager,
        host: Box<dyn HostKernel>,
        crank: Crank,
        platform: Rc<dyn PlatformServices>,
        runtime: Rc<dyn Runtime>,
        on_event: Box<dyn Fn(RemoteEvent)>,
    ) -> Rc<Self> {
        let driver = Rc::new(RemotesDriver {
            core: RefCell::new(Core { remotes, host }),
            crank,
            platform,
            runtime: Rc::clone(&runtime),
            on_event,
            told: RefCell::default(),
            verdicts: RefCell::default(),
            waiting: RefCell::default(),
            answering: RefCell::default(),
            redemptions: RefCell::default(),
            writes: RefCell::default(),
            timer: RefCell::default(),
            waker: RefCell::default(),
            started: Cell::new(false),
            stopped: Cell::new(false),
        });
        keep_polling(&driver, &*runtime, Self::poll);
        driver
    }

    /// Starts the network under this identity and incarnation, and sends what is pending.
    ///
    /// # Errors
    /// What kept the network from starting; a failure of the kernel.
    pub async fn start_network(
        &self,
        identity: &KernelIdentity,
        incarnation: &IncarnationId,
        options: &RemoteCommsOptions,
    ) -> Result<(), KernelError> {
        start_platform(&*self.platform, &identity.key_seed_hex(), options, incarnation).await?;
        self.started.set(true);
        self.call(|remotes, _, now| {
            remotes.network_started(now);
            Ok(())
        })
    }

    /// Calls the remotes, in whatever crank is open. What follows from it happens when that is over.
    ///
    /// # Errors
    /// What `work` answers; [`KernelError::Reentrant`] within another call; [`RemoteError::NetworkStopped`] after
    /// [`stop`](Self::stop).
    pub fn call<T>(
        &self,
        work: impl FnOnce(&mut RemoteManager, &mut dyn HostKernel, Timestamp) -> Result<T, KernelError>,
    ) -> Result<T, KernelError> {
        let result = {
            let mut core = self.core.try_borrow_mut().map_err(|_| KernelError::Reentrant)?;
            if self.stopped.get() {
                return Err(RemoteError::NetworkStopped.into());
            }
            let Core { remotes, host } = &mut *core;
            work(remotes, &mut **host, self.runtime.now())
        };
        self.wake();
        result
    }

    /// Calls for a redemption, before this returns, and waits for its end.
    ///
    /// # Errors
    /// What `work` answers, or why there is no object.
    pub fn redeem(
        &self,
        work: impl FnOnce(&mut RemoteManager, &mut dyn HostKernel, [u8; 16], Timestamp) -> Result<RedemptionId, KernelError>,
    ) -> LocalBoxFuture<'static, Result<Kref, KernelError>> {
        let random = random_bytes(&*self.runtime);
        let begun = self.call(|remotes, host, now| work(remotes, host, random, now)).map(|id| {
            let (done, result) = oneshot::channel();
            self.redemptions.borrow_mut().insert(id, done);
            result
        });
        async move { begun?.await.unwrap_or_else(|_| Err(RemoteError::NetworkStopped.into())) }.boxed_local()
    }

    /// The network that the remotes use.
    pub fn platform(&self) -> &dyn PlatformServices {
        &*self.platform
    }

    /// Stops everything here; calls fail from now on, and redemptions are rejected. The network is left as it is.
    pub fn stop(&self) {
        self.stopped.set(true);
        self.redemptions.borrow_mut().clear();
        self.told.borrow_mut().clear();
        self.wake();
    }

    fn wake(&self) {
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }

    /// Takes what the network tells, to be handled in its turn.
    fn take<T: 'static>(&self, told: impl FnOnce(oneshot::Sender<Result<T, KernelError>>) -> Told) -> Reply<T> {
        if self.stopped.get() {
            return ready(Err(RemoteError::NetworkStopped)).boxed_local();
        }
        let waiting = self.told.borrow().len();
        if waiting >= MAX_WAITING {
            let (limit_type, limit) = (LimitType::PendingMessages, MAX_WAITING as u64);
            return ready(Err(RemoteError::ResourceLimit { limit_type, current: waiting as u64, limit })).boxed_local();
        }
        let (answer, answered) = oneshot::channel();
        self.told.borrow_mut().push_back(told(answer));
        self.wake();
        answered
            .map(|answer| match answer {
                Ok(Ok(value)) => Ok(value),
                Ok(Err(KernelError::Remote(error))) => Err(error),
                Ok(Err(error)) => Err(RemoteError::Other { name: error.name().to_owned(), message: error.to_string() }),
                Err(_) => Err(RemoteError::NetworkStopped),
            })
            .boxed_local()
    }

    fn poll(self: &Rc<Self>, context: &mut Context<'_>) -> Poll<()> {
        *self.waker.borrow_mut() = Some(context.waker().clone());
        loop {
            if self.stopped.get() {
                self.writes.borrow_mut().clear();
                self.timer.borrow_mut().stop();
                self.waiting.take();
                self.answering.take();
                return Poll::Ready(());
            }
            self.write(context);
            if self.take_results(context) || self.end_of_crank(context) {
                continue;
            }
            // What is due before the network is started could not be done.
            let due = self.started.get().then(|| self.core.borrow().remotes.poll_timeout()).flatten();
            let Some(due) = due else {
                self.timer.borrow_mut().stop();
                break;
            };
            if !self.timer.borrow_mut().is_over(due, &*self.runtime, context) {
                break;
            }
            let handled = self.call(|remotes, host, now| remotes.handle_timeout(host, now));
            if handled.is_err() {
                // It is still due; a kernel that fails must not be asked without pause.
                self.timer.borrow_mut().put_off(due, self.runtime.sleep(RETRY_AFTER_FAILURE));
            }
            log_failure("a timer", handled);
        }
        *self.waker.borrow_mut() = Some(context.waker().clone());
        Poll::Pending
    }

    /// Hands the network what may be written, unless it has yet to take a verdict.
    fn write(&self, context: &mut Context<'_>) {
        if self.answering.borrow_mut().as_mut().is_some_and(|turn| turn.poll_unpin(context).is_pending()) {
            return;
        }
        *self.answering.borrow_mut() = None;
        while self.started.get() {
            let write = self.core.borrow_mut().remotes.poll_write(self.runtime.now());
            let Some(RemoteWrite { remote, token, to, message }) = write else { break };
            let reply = self.platform.send_remote_message(to, message);
            let write = reply.map(move |result| WriteResult { remote, token, result });
            self.writes.borrow_mut().push(write.boxed_local());
        }
    }

    /// Brings the remotes the result of a write, if there is one.
    fn take_results(&self, context: &mut Context<'_>) -> bool {
        let polled = self.writes.borrow_mut().poll_next_unpin(context);
        let Poll::Ready(Some(WriteResult { remote, token, result })) = polled else { return false };
        let handled = self.call(|remotes, host, now| remotes.write_finished(host, remote, token, &result, now));
        log_failure("a write's result", handled);
        true
    }

    /// Waits for the end of the crank if there is a reason to, and does what waits for it. True if anything was done.
    fn end_of_crank(self: &Rc<Self>, context: &mut Context<'_>) -> bool {
        if self.waiting.borrow().is_none() && !self.has_reason_to_wait() {
            return false;
        }
        // Whatever the kernel does in answer to being asked is not part of what the wait is for.
        if self.waiting.borrow().is_none() {
            let sealed = {
                let remotes = &mut self.core.borrow_mut().remotes;
                remotes.seal();
                Sealed { effects: remotes.take_effects(), verdicts: self.verdicts.take() }
            };
            let wait = (self.crank)();
            *self.waiting.borrow_mut() = Some((wait, sealed));
        }
        let polled = match self.waiting.borrow_mut().as_mut() {
            Some((wait, _)) => wait.poll_unpin(context),
            None => return false,
        };
        let Poll::Ready(over) = polled else { return false };
        let Some((_, sealed)) = self.waiting.take() else { return false };
        match over.and_then(|()| self.call(RemoteManager::commit_sealed)) {
            Ok(went_back) => self.committed(sealed, went_back),
            Err(error) => {
                log_failure("the end of a crank", Err(error));
                let (pause, crank) = (self.runtime.sleep(RETRY_AFTER_FAILURE), Rc::clone(&self.crank));
                let again = async move {
                    pause.await;
                    crank().await
                };
                *self.waiting.borrow_mut() = Some((again.boxed_local(), sealed));
                return true;
            }
        }
        self.handle_told();
        true
    }

    fn has_reason_to_wait(&self) -> bool {
        let core = self.core.borrow();
        let remotes = &core.remotes;
        remotes.awaits_commit()
            || remotes.has_effects()
            || !self.told.borrow().is_empty()
            || !self.verdicts.borrow().is_empty()
    }

    /// What was done before the wait is durable, or gone if the kernel went back on its crank.
    fn committed(self: &Rc<Self>, sealed: Sealed, went_back: bool) {
        for Verdict { peer, observed, restarted, answer } in sealed.verdicts {
            let confirmed = self.call(|remotes, host, now| remotes.confirm_incarnation(host, &peer, &observed, now));
            // Whoever asked may be gone.
            answer.send(confirmed.map(|()| restarted)).ok();
            *self.answering.borrow_mut() = Some(self.runtime.yield_turn());
        }
        for effect in sealed.effects {
            self.carry_out(effect, went_back);
        }
    }

    fn carry_out(self: &Rc<Self>, effect: Effect, went_back: bool) {
        match effect {
            Effect::RegisterLocationHints { peer, hints } => {
                register_hints(&*self.platform, &*self.runtime, peer, hints);
            }
            Effect::OpenUrl { ticket, url } => self.open_url(ticket, url),
            Effect::Redeemed { id, result } => {
                let Some(waiting) = self.redemptions.borrow_mut().remove(&id) else { return };
                let result = match result {
                    // The name of the object may have gone back with the crank.
                    Ok(_) if went_back => Err(KernelError::RolledBack),
                    result => result,
                };
                waiting.send(result).ok();
            }
            Effect::Event(event) => (self.on_event)(event),
        }
    }

    /// Opens a URL in a turn of its own.
    fn open_url(self: &Rc<Self>, ticket: UrlTicket, url: String) {
        let (weak, turn) = (Rc::downgrade(self), self.runtime.yield_turn());
        self.runtime.spawn(
            async move {
                turn.await;
                let Some(driver) = weak.upgrade() else { return };
                let opened = driver.call(|remotes, host, _| {
                    let opened = url.parse().and_then(|url| remotes.issuer().open(&url));
                    remotes.url_opened(host, ticket, opened.map_err(|error| error.to_string()))
                });
                log_failure("the opening of a URL", opened);
            }
            .boxed_local(),
        );
    }

    /// Handles everything that the network has told, in its order.
    fn handle_told(&self) {
        while let Some(told) = self.next_told() {
            // Whoever told may be gone.
            match told {
                Told::Message { from, message, answer } => {
                    let handled = self.call(|remotes, host, now| {
                        remotes.handle_remote_message(host, &from, &message, now)?;
                        if remotes.takes_no_more() { Err(RemoteError::not_reading(&from).into()) } else { Ok(()) }
                    });
                    answer.send(handled).ok();
                }
                Told::NoChannel { peer } => {
                    let noted = self.call(|remotes, _, now| {
                        remotes.handle_remote_no_channel(&peer, now);
                        Ok(())
                    });
                    log_failure("the loss of a channel", noted);
                }
                Told::GiveUp { peer, answer } => {
                    let reason = "the network stopped trying to reach it";
                    let handled = self.call(|remotes, host, _| remotes.handle_remote_give_up(host, &peer, reason));
                    answer.send(handled).ok();
                }
                Told::Incarnation { peer, observed, answer } => {
                    let verdict =
                        self.call(|remotes, host, now| remotes.handle_incarnation_change(host, &peer, &observed, now));
                    match verdict {
                        Ok(restarted) => {
                            self.verdicts.borrow_mut().push(Verdict { peer, observed, restarted, answer });
                        }
                        Err(error) => {
                            answer.send(Err(error)).ok();
                        }
                    }
                }
            }
        }
    }

    fn next_told(&self) -> Option<Told> {
        self.told.borrow_mut().pop_front()
    }
}

impl KernelServices for RemotesDriver {
    fn remote_deliver(&self, from: PeerId, message: String) -> Reply<Option<String>> {
        let taken = self.take(|answer| Told::Message { from, message, answer });
        taken.map(|answer| answer.map(|()| None)).boxed_local()
    }

    fn remote_moving(&self, peer: PeerId) {
        // Told again soon, should the kernel be in the middle of something.
        if let Ok(mut core) = self.core.try_borrow_mut() {
            core.remotes.handle_remote_moving(&peer, self.runtime.now());
        }
    }

    fn remote_no_channel(&self, peer: PeerId) {
        // Told again with what is sent, should there be no room.
        if !self.stopped.get() && self.told.borrow().len() < MAX_WAITING {
            self.told.borrow_mut().push_back(Told::NoChannel { peer });
            self.wake();
        }
    }

    fn remote_give_up(&self, peer: PeerId) -> Reply<()> {
        self.take(|answer| Told::GiveUp { peer, answer })
    }

    fn remote_incarnation_change(&self, peer: PeerId, observed: IncarnationId) -> Reply<bool> {
        self.take(|answer| Told::Incarnation { peer, observed, answer })
    }
}
