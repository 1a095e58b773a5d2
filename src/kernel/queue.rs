//! The kernel's queue: where messages and settled promises wait for their turn (protocol §8).

use super::{
    error::KernelError,
    store::{KernelMessage, KernelStore, PromiseState, RunItem, StoreError},
};
use crate::wire::{CapData, EndpointId, Kref, Resolution};

/// How a promise was settled: whether rejected, and with what. `None` while it is not, or if there is none.
pub(super) fn outcome(store: &KernelStore, promise: Kref) -> Result<Option<(bool, CapData<Kref>)>, StoreError> {
    Ok(match store.promise_state(promise)? {
        Some(PromiseState::Fulfilled(value)) => Some((false, value)),
        Some(PromiseState::Rejected(reason)) => Some((true, reason)),
        Some(PromiseState::Unresolved { .. }) | None => None,
    })
}

/// What a remote needs of the kernel that it belongs to. Every call happens inside a transaction of `store`.
pub trait KernelQueue {
    /// Queues a message to an object or promise.
    ///
    /// # Errors
    /// [`KernelError::Store`].
    fn enqueue_send(
        &mut self,
        store: &mut KernelStore,
        target: Kref,
        message: KernelMessage,
    ) -> Result<(), KernelError>;

    /// Queues the news that a promise was settled.
    ///
    /// # Errors
    /// [`KernelError::Store`].
    fn enqueue_notify(
        &mut self,
        store: &mut KernelStore,
        endpoint: EndpointId,
        promise: Kref,
    ) -> Result<(), KernelError>;

    /// Settles promises, queues the news to everyone who subscribed, and sends on the messages that waited in them.
    /// `decider` is who settles them; the kernel itself settles with `None`, and may settle any.
    ///
    /// # Errors
    /// [`KernelError::Reference`] for a promise that is settled already, or for another to decide;
    /// [`KernelError::NotAPromise`]; [`KernelError::Store`].
    fn resolve_promises(
        &mut self,
        store: &mut KernelStore,
        decider: Option<EndpointId>,
        resolutions: Vec<Resolution<Kref>>,
    ) -> Result<(), KernelError>;
}

/// The queue kept in the store under `queue.run`.
#[derive(Clone, Copy, Debug, Default)]
pub struct RunQueue;

impl KernelQueue for RunQueue {
    fn enqueue_send(
        &mut self,
        store: &mut KernelStore,
        target: Kref,
        message: KernelMessage,
    ) -> Result<(), KernelError> {
        Ok(store.enqueue_run(RunItem::Send { target, message })?)
    }

    fn enqueue_notify(
        &mut self,
        store: &mut KernelStore,
        endpoint: EndpointId,
        promise: Kref,
    ) -> Result<(), KernelError> {
        Ok(store.enqueue_run(RunItem::Notify { endpoint, kpid: promise })?)
    }

    fn resolve_promises(
        &mut self,
        store: &mut KernelStore,
        decider: Option<EndpointId>,
        resolutions: Vec<Resolution<Kref>>,
    ) -> Result<(), KernelError> {
        for Resolution { promise, rejected, value } in resolutions {
            if !promise.is_promise() {
                return Err(KernelError::NotAPromise(promise));
            }
            if let Some(endpoint) = decider {
                store.insist_decider(promise, endpoint)?;
            }
            let resolved = store.resolve_promise(promise, rejected, &value)?;
            for subscriber in resolved.subscribers {
                // A remote is subscribed to what it decides itself and need not be told. The program is only if it waits: a
                // message that it sent came to an object of its own.
                if Some(subscriber) != decider || !subscriber.is_remote() {
                    self.enqueue_notify(store, subscriber, promise)?;
                }
            }
            // What waited in the promise takes its place in the queue; the router sends it to what the promise became.
            for message in resolved.messages {
                self.enqueue_send(store, promise, message)?;
            }
        }
        Ok(())
    }
}
