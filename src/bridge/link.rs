//! One end of the bridge, driven: joins the state machine, a port and the service offered to the other end.
//!
//! Everything that happens is done at once and in order: a message from the port is handled inside the port's callback, a
//! call is posted before `call` returns, or at the latest when the turn of the event loop ends. Only the waiting goes to the
//! background, so a service may call the other end while the other end waits for it.

use std::{
    cell::{Cell, RefCell},
    rc::{Rc, Weak},
};

use futures::{
    FutureExt as _,
    channel::oneshot,
    future::{self, LocalBoxFuture},
};
use serde_json::Value;

use super::{
    BridgeError, Port, PortEvent,
    connection::{About, Answer, Connection, Output, Ticket},
    error::RpcError,
    extensions::Extensions,
    methods,
    post_box::PostBox,
    pulse::{self, Pulse, Sign},
};
use crate::{runtime::Runtime, wire::RemoteError};

/// The outcome of a request, when it comes.
pub(super) type Handling<T> = LocalBoxFuture<'static, Result<Answer<T>, RpcError>>;

/// What an end offers the other.
pub(super) trait Service<T> {
    /// Starts a request. What it does before it first waits happens in the order of the requests.
    fn start(&self, method: &str, params: Value) -> Result<Handling<T>, RpcError>;

    /// The other end was reloaded: what it had set up here is nobody's now.
    fn other_end_reloaded(&self);
}

type Reply<T> = oneshot::Sender<Result<Answer<T>, RemoteError>>;

pub(super) struct Link<P: Port> {
    end: Rc<End<P>>,
}

struct End<P: Port> {
    connection: RefCell<Connection<P::Transfer, Reply<P::Transfer>>>,
    port: P,
    runtime: Rc<dyn Runtime>,
    post_box: RefCell<PostBox>,
    /// A message from the port is being handled; the post box is emptied when that is done.
    is_taking: Cell<bool>,
    pulse: RefCell<Pulse>,
    /// None before the start and after the end, so that an ended bridge keeps no service alive.
    service: RefCell<Option<Rc<dyn Service<P::Transfer>>>>,
}

impl<P: Port> Link<P> {
    pub(super) fn new(port: P, runtime: Rc<dyn Runtime>, id_prefix: &'static str) -> Self {
        let connection = RefCell::new(Connection::new(id_prefix, Extensions::ours(port.transfers_bytes())));
        Link {
            end: Rc::new(End {
                connection,
                port,
                runtime,
                post_box: RefCell::default(),
                is_taking: Cell::new(false),
                pulse: RefCell::default(),
                service: RefCell::default(),
            }),
        }
    }

    #[cfg(feature = "transport")] // only the server asks for it
    pub(super) fn runtime(&self) -> &Rc<dyn Runtime> {
        &self.end.runtime
    }

    #[cfg(feature = "transport")] // only the server asks for it
    pub(super) fn theirs(&self) -> Extensions {
        self.end.connection.borrow().theirs()
    }

    /// Begins to listen, and the opening. Only the first start has an effect.
    pub(super) fn start(&self, service: Rc<dyn Service<P::Transfer>>) {
        if self.end.service.borrow().is_some() {
            return;
        }
        *self.end.service.borrow_mut() = Some(service);
        let end = Rc::downgrade(&self.end);
        self.end.port.listen(Box::new(move |event| {
            if let Some(end) = end.upgrade() {
                end.take(event);
            }
        }));
        self.end.connection.borrow_mut().start();
        self.end.carry_out();
    }

    /// Calls the other end. The call is made now, whether or not the future is polled; dropping it forgets the answer.
    pub(super) fn call(
        &self,
        method: &'static str,
        params: Value,
    ) -> impl Future<Output = Result<Answer<P::Transfer>, RemoteError>> + use<P> {
        let (reply, answer) = oneshot::channel();
        self.end.connection.borrow_mut().call(method, params, reply);
        self.end.carry_out();
        self.end.watch();
        async move { answer.await.unwrap_or_else(|_| Err(BridgeError::Closed("it was dropped".into()).into())) }
    }

    /// Calls a method whose result is null.
    pub(super) fn call_for_null(&self, method: &'static str, params: Value) -> super::Reply<()> {
        let answer = self.call(method, params);
        async move {
            match answer.await?.result {
                Value::Null => Ok(()),
                _ => Err(BridgeError::UnexpectedResult { method, expected: "null" }.into()),
            }
        }
        .boxed_local()
    }

    pub(super) fn close(&self) {
        self.end.connection.borrow_mut().close();
        self.end.carry_out();
    }
}

impl<P: Port> Drop for Link<P> {
    fn drop(&mut self) {
        self.close();
    }
}

impl<P: Port> End<P> {
    fn take(self: &Rc<Self>, event: PortEvent<P::Transfer>) {
        self.is_taking.set(true);
        self.pulse.borrow_mut().heard();
        match event {
            PortEvent::Message { message, transfer } => self.connection.borrow_mut().receive(message, transfer),
            PortEvent::Closed => self.connection.borrow_mut().end("the port was closed"),
        }
        self.carry_out();
        self.is_taking.set(false);
        // The answers to what came together go together.
        self.empty_post_box();
        self.carry_out();
    }

    /// Carries out what the state machine wants. A service that is started here may call back into this end, so nothing
    /// stays borrowed; whoever comes first takes the next output, and their order is kept.
    fn carry_out(self: &Rc<Self>) {
        loop {
            let output = self.connection.borrow_mut().poll_output();
            match output {
                None => return,
                Some(Output::Post { message, about, shares: true, .. }) if self.post_box.borrow().is_in_use() => {
                    self.post_with_others(message, about);
                }
                Some(Output::Post { message, transfer, about, .. }) => {
                    self.empty_post_box();
                    self.post(message, transfer, [about]);
                }
                Some(Output::Extended(theirs)) => {
                    self.use_extensions(theirs);
                    self.watch();
                }
                Some(Output::Start { method, params, ticket }) => self.start_request(&method, params, ticket),
                Some(Output::Settle { reply, outcome }) => {
                    // A caller that no longer waits is not interested.
                    let _ = reply.send(outcome);
                }
                Some(Output::Reloaded) => {
                    // The new one has not said what it can do.
                    self.use_extensions(Extensions::NONE);
                    if let Some(service) = self.service() {
                        service.other_end_reloaded();
                    }
                }
                Some(Output::Ended) => {
                    self.post_box.borrow_mut().use_if(false);
                    self.port.close();
                    let service = self.service.borrow_mut().take();
                    drop(service);
                }
            }
        }
    }

    /// Posts from now on in the ways that the other end takes.
    fn use_extensions(&self, theirs: Extensions) {
        self.post_box.borrow_mut().use_if(theirs.batches);
        self.port.prefer_packets(theirs.packets);
    }

    fn post(&self, message: Value, transfer: Option<P::Transfer>, abouts: impl IntoIterator<Item = About>) {
        if let Err(error) = self.port.post(message, transfer) {
            for about in abouts {
                self.connection.borrow_mut().post_failed(about, error.to_string());
            }
        }
    }

    /// Leaves a message for the end of the turn, unless that is full or holds messages of the other kind.
    fn post_with_others(self: &Rc<Self>, message: Value, about: About) {
        if !self.post_box.borrow().takes(&message, &about) {
            self.empty_post_box();
        }
        let is_first = self.post_box.borrow_mut().put(message, about);
        if is_first && !self.is_taking.get() {
            let end = Rc::downgrade(self);
            self.runtime.spawn(
                async move {
                    if let Some(end) = end.upgrade() {
                        end.empty_post_box();
                        end.carry_out();
                    }
                }
                .boxed_local(),
            );
        }
    }

    fn empty_post_box(&self) {
        let contents = self.post_box.borrow_mut().empty();
        if let Some((message, abouts)) = contents {
            self.post(message, None, abouts);
        }
    }

    /// Sees to it that calls do not wait for an end that is gone.
    fn watch(self: &Rc<Self>) {
        if !self.connection.borrow().waits_for_pinged_end() || !self.pulse.borrow_mut().begin(|| self.runtime.now()) {
            return;
        }
        let (end, runtime) = (Rc::downgrade(self), Rc::clone(&self.runtime));
        self.runtime.spawn(
            async move {
                loop {
                    runtime.sleep(pulse::INTERVAL).await;
                    let Some(end) = end.upgrade() else { return };
                    if !end.is_watched_on() {
                        return;
                    }
                }
            }
            .boxed_local(),
        );
    }

    /// Looks for a sign of life; false when nobody waits for one.
    fn is_watched_on(self: &Rc<Self>) -> bool {
        if !self.connection.borrow().waits_for_pinged_end() {
            self.pulse.borrow_mut().end();
            return false;
        }
        let sign = self.pulse.borrow_mut().check(self.runtime.now());
        match sign {
            Sign::Alive => {}
            Sign::Unknown => {
                // Whoever would take the answer need not: that it came is what matters.
                let (reply, _) = oneshot::channel();
                self.connection.borrow_mut().call(methods::PING, Value::Array(Vec::new()), reply);
            }
            Sign::Gone { silence } => {
                let error = BridgeError::Unresponsive { seconds: silence.as_secs() };
                tracing::warn!(%error, "calls that wait are rejected");
                self.connection.borrow_mut().reject_pending(&error);
            }
        }
        self.carry_out();
        true
    }

    fn service(&self) -> Option<Rc<dyn Service<P::Transfer>>> {
        self.service.borrow().clone()
    }

    fn start_request(self: &Rc<Self>, method: &str, params: Value, ticket: Ticket) {
        let started = match self.service() {
            Some(service) => service.start(method, params),
            None => Err(RpcError::unknown_method(method)),
        };
        let mut handling = started.unwrap_or_else(|error| future::ready(Err(error)).boxed_local());
        // Polled here and now, for a request must have begun before the next one is looked at.
        if let Some(outcome) = (&mut handling).now_or_never() {
            self.connection.borrow_mut().answer(ticket, outcome);
            return;
        }
        let end: Weak<Self> = Rc::downgrade(self);
        self.runtime.spawn(
            async move {
                let outcome = handling.await;
                if let Some(end) = end.upgrade() {
                    end.connection.borrow_mut().answer(ticket, outcome);
                    end.carry_out();
                }
            }
            .boxed_local(),
        );
    }
}
