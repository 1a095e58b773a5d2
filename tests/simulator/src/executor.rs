//! Virtual time: tasks, timers and things that arrive, on one thread. Which of the tasks that are ready runs next is drawn
//! from the seed, so that every seed explores another interleaving, and the same seed the same one.
//!
//! Tasks belong to a *context*: a Worker or page that can be killed, with all of its tasks and timers, or put to sleep.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    future::Future,
    pin::Pin,
    rc::Rc,
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
    time::Duration,
};

use fastrand::Rng;
use futures::{
    FutureExt as _,
    future::LocalBoxFuture,
    task::{ArcWake, waker},
};
use ocap_remotes::runtime::{Runtime, Timestamp};

/// Names a context. A context that was killed never comes back; its successor has another name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ContextId(u64);

/// When virtual time begins, in milliseconds since the Unix epoch.
const EPOCH: u64 = 1_000_000;
/// Steps without any passing of time after which the kernels are taken to run in circles.
const LIVELOCK: u64 = 200_000;

type Event = Box<dyn FnOnce()>;

/// An event, and the context that it is to die or sleep with.
type Scheduled = (Option<ContextId>, Event);

struct Task {
    context: ContextId,
    future: LocalBoxFuture<'static, ()>,
}

/// Remembers which task to run.
struct Wake {
    task: u64,
    ready: Arc<Mutex<Vec<u64>>>,
}

impl ArcWake for Wake {
    fn wake_by_ref(wake: &Arc<Self>) {
        let mut ready = wake.ready.lock().unwrap();
        if !ready.contains(&wake.task) {
            ready.push(wake.task);
        }
    }
}

/// The clock, the tasks and what is under way.
pub(crate) struct Executor {
    now: Cell<u64>,
    rng: RefCell<Rng>,
    next_id: Cell<u64>,
    tasks: RefCell<BTreeMap<u64, Task>>,
    ready: Arc<Mutex<Vec<u64>>>,
    /// By time, then in the order in which they were scheduled.
    events: RefCell<BTreeMap<(u64, u64), Scheduled>>,
    /// Contexts that live, and until when they sleep.
    contexts: RefCell<BTreeMap<ContextId, u64>>,
    steps: Cell<u64>,
    tells: bool,
    /// What has run so far, to compare two runs.
    trace: Cell<u64>,
}

impl Executor {
    /// Nothing runs yet.
    pub(crate) fn new(seed: u64) -> Rc<Self> {
        Rc::new(Executor {
            now: Cell::new(EPOCH),
            rng: RefCell::new(Rng::with_seed(seed)),
            next_id: Cell::new(1),
            tasks: RefCell::default(),
            ready: Arc::default(),
            events: RefCell::default(),
            contexts: RefCell::default(),
            steps: Cell::new(0),
            tells: std::env::var_os("SIM_TRACE").is_some(),
            trace: Cell::new(seed),
        })
    }

    /// Milliseconds of virtual time.
    pub(crate) fn now(&self) -> u64 {
        self.now.get()
    }

    /// Tasks polled and events that happened so far.
    pub(crate) fn steps(&self) -> u64 {
        self.steps.get()
    }

    /// A digest of everything that ran, in its order.
    pub(crate) fn trace(&self) -> u64 {
        self.trace.get()
    }

    /// Tells what happens, if `SIM_TRACE` is set in the environment.
    pub(crate) fn tell(&self, what: impl FnOnce() -> String) {
        if self.tells {
            eprintln!("{} {}", self.now(), what());
        }
    }

    /// A number below `bound`.
    pub(crate) fn random(&self, bound: u64) -> u64 {
        self.rng.borrow_mut().u64(..bound.max(1))
    }

    /// True in `percent` of all cases.
    pub(crate) fn chance(&self, percent: u64) -> bool {
        self.random(100) < percent
    }

    /// Puts a list in another order.
    pub(crate) fn shuffle<T>(&self, list: &mut [T]) {
        self.rng.borrow_mut().shuffle(list);
    }

    /// A number that was not given before.
    pub(crate) fn id(&self) -> u64 {
        self.next_id.replace(self.next_id.get() + 1)
    }

    /// Something new that tasks may belong to.
    pub(crate) fn begin_context(&self) -> ContextId {
        let context = ContextId(self.id());
        self.contexts.borrow_mut().insert(context, 0);
        context
    }

    /// Ends a context with all of its tasks, at once and without a word.
    pub(crate) fn kill(&self, context: ContextId) {
        self.contexts.borrow_mut().remove(&context);
        let mut dead = Vec::new();
        {
            let mut tasks = self.tasks.borrow_mut();
            let ids: Vec<u64> = tasks.iter().filter(|(_, task)| task.context == context).map(|(id, _)| *id).collect();
            dead.extend(ids.into_iter().filter_map(|id| tasks.remove(&id)));
        }
        // Dropped only now, for dropping a task may wake another or end a stream.
        drop(dead);
        let events = {
            let mut events = self.events.borrow_mut();
            let of_dead: Vec<_> =
                events.iter().filter(|(_, (of, _))| *of == Some(context)).map(|(key, _)| *key).collect();
            of_dead.into_iter().filter_map(|key| events.remove(&key)).collect::<Vec<_>>()
        };
        drop(events);
    }

    /// Puts a context to sleep: its tasks and timers stand still, and its clock has jumped when it wakes.
    pub(crate) fn sleep(&self, context: ContextId, millis: u64) {
        if let Some(until) = self.contexts.borrow_mut().get_mut(&context) {
            *until = (*until).max(self.now() + millis);
        }
    }

    /// Lets something happen later; in a context, if it is to die or sleep with it.
    pub(crate) fn schedule(&self, delay: u64, context: Option<ContextId>, event: impl FnOnce() + 'static) {
        let key = (self.now() + delay, self.id());
        self.events.borrow_mut().insert(key, (context, Box::new(event)));
    }

    fn spawn(&self, context: ContextId, future: LocalBoxFuture<'static, ()>) {
        if !self.contexts.borrow().contains_key(&context) {
            return;
        }
        let id = self.id();
        self.tasks.borrow_mut().insert(id, Task { context, future });
        self.ready.lock().unwrap().push(id);
    }

    fn awake(&self, context: ContextId) -> bool {
        self.contexts.borrow().get(&context).is_none_or(|until| *until <= self.now())
    }

    /// Takes a ready task at random, of a context that is awake.
    fn take_ready(&self) -> Option<u64> {
        let candidates: Vec<u64> = {
            let tasks = self.tasks.borrow();
            let mut ready = self.ready.lock().unwrap();
            ready.retain(|id| tasks.contains_key(id));
            ready.iter().copied().filter(|id| tasks.get(id).is_some_and(|task| self.awake(task.context))).collect()
        };
        let count = candidates.len() as u64;
        let chosen = *candidates.get(usize::try_from(if count > 1 { self.random(count) } else { 0 }).ok()?)?;
        self.ready.lock().unwrap().retain(|id| *id != chosen);
        Some(chosen)
    }

    fn poll(&self, id: u64) {
        let Some(mut task) = self.tasks.borrow_mut().remove(&id) else { return };
        let waker: Waker = waker(Arc::new(Wake { task: id, ready: Arc::clone(&self.ready) }));
        let context = task.context;
        let done = task.future.poll_unpin(&mut Context::from_waker(&waker)).is_ready();
        // It may have been killed by what it did.
        if !done && self.contexts.borrow().contains_key(&context) {
            self.tasks.borrow_mut().insert(id, task);
        }
    }

    fn note(&self, what: u64) {
        self.steps.set(self.steps.get() + 1);
        // FNV-1a over the order of everything that runs.
        let mixed = (self.trace.get() ^ what ^ (self.now() << 20)).wrapping_mul(0x0100_0000_01b3);
        self.trace.set(mixed);
    }

    /// Runs until `end`; `after` is called after each step, and its error ends the run.
    ///
    /// # Errors
    /// That of `after`; a run in circles.
    pub(crate) fn run_until(&self, end: u64, after: &mut dyn FnMut() -> Result<(), String>) -> Result<(), String> {
        let mut since_time_passed = 0;
        loop {
            if let Some(id) = self.take_ready() {
                self.note(id);
                self.poll(id);
                after()?;
            } else {
                let next = self.events.borrow().keys().next().copied();
                let Some(key @ (at, _)) = next.filter(|(at, _)| *at <= end) else { break };
                if at > self.now() {
                    since_time_passed = 0;
                    self.now.set(at);
                    // Whoever slept may be awake now, with tasks that were ready before.
                }
                let Some((context, event)) = self.events.borrow_mut().remove(&key) else { continue };
                match context.and_then(|context| self.contexts.borrow().get(&context).copied()) {
                    Some(until) if until > self.now() => {
                        self.events.borrow_mut().insert((until, key.1), (context, event));
                    }
                    _ => {
                        self.note(key.1);
                        event();
                        after()?;
                    }
                }
            }
            since_time_passed += 1;
            if since_time_passed > LIVELOCK {
                return Err(format!("{LIVELOCK} steps at {} ms without any passing of time", self.now()));
            }
        }
        self.now.set(end);
        Ok(())
    }
}

/// What one context is given as its runtime.
pub(crate) struct ContextRuntime {
    executor: Rc<Executor>,
    context: ContextId,
}

impl ContextRuntime {
    /// The runtime of a context.
    pub(crate) fn new(executor: &Rc<Executor>, context: ContextId) -> Rc<Self> {
        Rc::new(ContextRuntime { executor: Rc::clone(executor), context })
    }
}

/// Shared between a sleeping future and the event that ends it.
#[derive(Default)]
struct Alarm {
    over: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

struct Sleep(Rc<Alarm>);

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.0.over.get() {
            return Poll::Ready(());
        }
        *self.0.waker.borrow_mut() = Some(context.waker().clone());
        Poll::Pending
    }
}

impl Runtime for ContextRuntime {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.executor.now())
    }

    fn sleep(&self, delay: Duration) -> LocalBoxFuture<'static, ()> {
        let alarm = Rc::new(Alarm::default());
        let rings = Rc::clone(&alarm);
        self.executor.schedule(u64::try_from(delay.as_millis()).unwrap(), Some(self.context), move || {
            rings.over.set(true);
            if let Some(waker) = rings.waker.borrow_mut().take() {
                waker.wake();
            }
        });
        Sleep(alarm).boxed_local()
    }

    fn fill_random(&self, bytes: &mut [u8]) {
        self.executor.rng.borrow_mut().fill(bytes);
    }

    fn yield_turn(&self) -> LocalBoxFuture<'static, ()> {
        // An event at this very time comes after every task that is ready now; a busy machine takes longer.
        let busy = if self.executor.chance(30) { self.executor.random(5) } else { 0 };
        self.sleep(Duration::from_millis(busy))
    }

    fn spawn(&self, task: LocalBoxFuture<'static, ()>) {
        self.executor.spawn(self.context, task);
    }
}
