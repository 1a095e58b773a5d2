//! The bridge's ports: what is posted arrives in order, after a while that may be long. Either end can be loaded anew.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

use ocap_remotes::bridge::{Port, PortError, PortEvent, PortListener};
use serde_json::Value;

use crate::executor::{ContextId, Executor};

/// One side of the bridge: whoever listens there at present.
#[derive(Default)]
struct Side {
    /// Of the present life of that end.
    listener: RefCell<Option<(ContextId, Rc<PortListener<()>>)>>,
    /// When the last message posted to here arrives, so that none overtakes it.
    last_due: Cell<u64>,
}

/// The two sides.
pub(crate) struct Bridge {
    executor: Rc<Executor>,
    sides: [Side; 2],
    /// The longest time a message takes, in milliseconds.
    delay: Cell<u64>,
}

/// Which side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// The kernel's.
    Kernel,
    /// The network's.
    Network,
}

impl Bridge {
    /// A quick bridge.
    pub(crate) fn new(executor: &Rc<Executor>) -> Rc<Self> {
        Rc::new(Bridge { executor: Rc::clone(executor), sides: Default::default(), delay: Cell::new(2) })
    }

    /// From now on messages take up to `delay` ms.
    pub(crate) fn set_delay(&self, delay: u64) {
        self.delay.set(delay);
    }

    /// A port for a new life of one end. What is under way to the former life is lost.
    pub(crate) fn port(self: &Rc<Self>, place: Place, context: ContextId) -> SimPort {
        self.sides[place as usize].listener.take();
        SimPort { bridge: Rc::clone(self), place, context, dead: Rc::default() }
    }
}

/// One end's port.
pub(crate) struct SimPort {
    bridge: Rc<Bridge>,
    place: Place,
    context: ContextId,
    dead: Rc<Cell<bool>>,
}

impl SimPort {
    /// Set when the context dies, so that what its remains do on the way out is heard by nobody.
    pub(crate) fn death(&self) -> Rc<Cell<bool>> {
        Rc::clone(&self.dead)
    }
}

impl Port for SimPort {
    type Transfer = ();

    fn post(&self, message: Value, _: Option<()>) -> Result<(), PortError> {
        if self.dead.get() {
            return Ok(());
        }
        let other = 1 - self.place as usize;
        self.bridge.executor.tell(|| format!("{:?} of {:?} posts {message}", self.place, self.context));
        let executor = &self.bridge.executor;
        let side = &self.bridge.sides[other];
        let due = (executor.now() + executor.random(self.bridge.delay.get() + 1)).max(side.last_due.get());
        side.last_due.set(due);
        let receiver = side.listener.borrow().as_ref().map(|(context, _)| *context);
        let bridge = Rc::clone(&self.bridge);
        executor.schedule(due - executor.now(), receiver, move || {
            let listener = bridge.sides[other].listener.borrow().clone();
            if let Some((_, listener)) = listener {
                listener(PortEvent::Message { message, transfer: None });
            }
        });
        Ok(())
    }

    fn listen(&self, listener: PortListener<()>) {
        *self.bridge.sides[self.place as usize].listener.borrow_mut() = Some((self.context, Rc::new(listener)));
    }

    fn close(&self) {
        let side = &self.bridge.sides[self.place as usize];
        if side.listener.borrow().as_ref().is_some_and(|(context, _)| *context == self.context) {
            side.listener.take();
        }
    }
}
