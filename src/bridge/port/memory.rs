//! Two ports joined in memory, for native programs and tests.

use std::{cell::RefCell, rc::Rc, time::Duration};

use futures::{FutureExt as _, StreamExt as _, channel::mpsc};
use serde_json::Value;

use super::{Port, PortError, PortEvent, PortListener};
use crate::runtime::{Runtime, Timestamp};

/// Messages that may wait in one direction.
const CAPACITY: usize = 65_536;

/// A message under way, and when it is to arrive.
type Parcel<T> = (Timestamp, PortEvent<T>);

/// One of two ports that are joined in memory. Dropping one closes the other.
pub struct MemoryPort<T> {
    runtime: Rc<dyn Runtime>,
    delay: Duration,
    outgoing: RefCell<mpsc::Sender<Parcel<T>>>,
    /// Taken when listening begins.
    incoming: RefCell<Option<mpsc::Receiver<Parcel<T>>>>,
    listener: Rc<RefCell<Option<Rc<PortListener<T>>>>>,
}

/// Two joined ports. A message takes `delay` from one to the other; messages posted before the other listens wait.
pub fn memory_ports<T>(runtime: Rc<dyn Runtime>, delay: Duration) -> (MemoryPort<T>, MemoryPort<T>) {
    let (to_right, from_left) = mpsc::channel(CAPACITY);
    let (to_left, from_right) = mpsc::channel(CAPACITY);
    let port = |outgoing, incoming| MemoryPort {
        runtime: Rc::clone(&runtime),
        delay,
        outgoing: RefCell::new(outgoing),
        incoming: RefCell::new(Some(incoming)),
        listener: Rc::default(),
    };
    (port(to_right, from_right), port(to_left, from_left))
}

impl<T: 'static> Port for MemoryPort<T> {
    type Transfer = T;

    fn post(&self, message: Value, transfer: Option<T>) -> Result<(), PortError> {
        let due = self.runtime.now().after(self.delay);
        match self.outgoing.borrow_mut().try_send((due, PortEvent::Message { message, transfer })) {
            Err(error) if error.is_full() => Err(PortError::Full { limit: CAPACITY }),
            // As with a real port, what is posted to an end that is gone is lost, and nobody is told.
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn listen(&self, listener: PortListener<T>) {
        let Some(mut incoming) = self.incoming.borrow_mut().take() else { return };
        *self.listener.borrow_mut() = Some(Rc::new(listener));
        let (listener, clock) = (Rc::clone(&self.listener), Rc::clone(&self.runtime));
        self.runtime.spawn(
            async move {
                loop {
                    let next = incoming.next().await;
                    if let Some((due, _)) = &next {
                        clock.sleep(due.since(clock.now())).await;
                    }
                    // A turn for each message, as an event loop gives it.
                    tokio::task::yield_now().await;
                    let Some(listener) = listener.borrow().clone() else { return };
                    match next {
                        Some((_, event)) => listener(event),
                        None => return listener(PortEvent::Closed),
                    }
                }
            }
            .boxed_local(),
        );
    }

    fn close(&self) {
        let listener = self.listener.borrow_mut().take();
        drop(listener);
    }
}
