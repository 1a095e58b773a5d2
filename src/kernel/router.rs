//! Takes what is queued to whom it is for: the program, a remote, or the queue of a promise. Each item is a turn of its own,
//! in one transaction.

use super::{
    Effect, Kernel, KernelEffect, KernelError, KernelEvent, PROGRAM, RedemptionId, RejectionCode, RemoteHandle,
    RemoteManager,
    host::HostKernel as _,
    program::forget,
    queue::give,
    store::{Collected, GcAction, GcKind, Hearing, KernelMessage, KernelStore, MayHear, Party, RunItem, StoreError},
};
use crate::{
    faults::{Fault, seeded},
    runtime::worth_a_line,
    wire::{CapData, Delivery, EndpointId, Eref, Kref, Resolution},
};

/// How many promises that resolve to promises are followed before a message is rejected.
const MAX_HOPS: usize = 64;

/// Bytes of a reason with which the result of each message to what was rejected is rejected too.
const MAX_REPEATED_REASON: usize = 16 << 10;

/// Where a message goes.
enum Destination {
    Object {
        owner: EndpointId,
        target: Kref,
    },
    /// The peer decides this promise and can send the message on by itself.
    Pipeline {
        remote: EndpointId,
        target: Kref,
    },
    /// Nobody knows yet; the message waits in this promise.
    Wait(Kref),
    /// Nowhere: the result is rejected as this promise was.
    Rejected(Kref),
    /// Nowhere: the result is rejected with this.
    Nowhere(CapData<Kref>),
}

fn destination(store: &KernelStore, target: Kref) -> Result<Destination, KernelError> {
    let mut target = target;
    for _ in 0..MAX_HOPS {
        if !target.is_promise() {
            return Ok(match store.owner(target)? {
                Some(Party::Endpoint(owner)) => Destination::Object { owner, target },
                Some(Party::Kernel) | None => {
                    Destination::Nowhere(RejectionCode::ObjectDeleted.rejection("the target object is gone"))
                }
            });
        }
        let Some(outcome) = store.settled(target) else {
            return Ok(match store.decider(target)? {
                Some(Party::Endpoint(remote)) if remote.is_remote() => Destination::Pipeline { remote, target },
                _ => Destination::Wait(target),
            });
        };
        if outcome.rejected {
            let detail = "the target was rejected, for a reason that is too long to be repeated";
            return Ok(match outcome.bytes > MAX_REPEATED_REASON {
                true => Destination::Nowhere(RejectionCode::DeliveryFailed.rejection(detail)),
                false => Destination::Rejected(target),
            });
        }
        match outcome.reference {
            Some(next) => target = next,
            None => break,
        }
    }
    let detail = "the target was resolved to something that takes no messages";
    Ok(Destination::Nowhere(RejectionCode::BadPromiseResolution.rejection(detail)))
}

/// The remote that a message to `target` would be written to, if it would be.
pub(super) fn remote_in_charge(store: &KernelStore, target: Kref) -> Result<Option<EndpointId>, KernelError> {
    Ok(match destination(store, target)? {
        Destination::Object { owner: remote, .. } | Destination::Pipeline { remote, .. } => {
            Some(remote).filter(|endpoint| endpoint.is_remote())
        }
        Destination::Wait(_) | Destination::Rejected(_) | Destination::Nowhere(_) => None,
    })
}

/// What one turn has at hand.
struct Turn<'a> {
    store: &'a mut KernelStore,
    remotes: &'a mut RemoteManager,
    events: Vec<KernelEvent>,
}

impl Kernel {
    /// Does everything that can be done without the outside: ends redemptions, runs the queue, collects garbage.
    ///
    /// If the storage fails, what is left to do stays queued and is tried again: whatever call led to it has succeeded.
    pub(super) fn settle(&mut self) {
        self.unsettled = self.try_settle().err();
        if let Some(error) = &self.unsettled
            && let Some(times) = worth_a_line("queue not run", error.name())
        {
            tracing::error!(%error, times, "the kernel's queue could not be run; it will be tried again");
        }
    }

    /// Garbage that is left when a turn is over waits for the next, so that what nobody waits for keeps nobody waiting. A turn
    /// collects for at least twice what it did otherwise: garbage never grows faster than it goes.
    fn try_settle(&mut self) -> Result<(), KernelError> {
        self.has_more = true;
        self.run_queue()?;
        let did = self.store.operations().saturating_sub(self.settled_at);
        let end = self.store.operations().saturating_add(self.limits.operations.max(did.saturating_mul(2)));
        loop {
            if !self.collect_garbage()? {
                self.has_more = false;
                break;
            }
            self.run_queue()?;
            if self.store.operations() >= end {
                break;
            }
        }
        self.settled_at = self.store.operations();
        Ok(())
    }

    fn run_queue(&mut self) -> Result<(), KernelError> {
        loop {
            self.take_effects()?;
            if !self.run_turn()? {
                return Ok(());
            }
        }
    }

    fn take_effects(&mut self) -> Result<(), KernelError> {
        while let Some(effect) = self.remotes.take_effect() {
            match effect {
                Effect::RegisterLocationHints { peer, hints } => {
                    self.effects.push_back(KernelEffect::RegisterLocationHints { peer, hints });
                }
                Effect::OpenUrl { ticket, url } => self.effects.push_back(KernelEffect::OpenUrl { ticket, url }),
                Effect::Event(event) => self.events.push_back(KernelEvent::Remote(event)),
                Effect::Redeemed { id, result } => self.end_redemption(id, result)?,
            }
        }
        Ok(())
    }

    fn end_redemption(&mut self, id: RedemptionId, mut result: Result<Kref, KernelError>) -> Result<(), KernelError> {
        if let Ok(kref) = result {
            let brought = self.store.transaction("redeemed", |store| {
                let is_new = store.kref_to_eref(PROGRAM, kref)?.is_none();
                store.translate_outbound_ref(PROGRAM, kref).map(|_| is_new)
            });
            match brought.map_err(KernelError::Store) {
                Ok(true) => {
                    self.brought.insert(id);
                }
                Ok(false) => {}
                Err(error) if error.is_storage_failure() => {
                    // Whoever waits is told when the storage works again.
                    if !seeded(Fault::LoseEndOfRedemption) {
                        self.remotes.put_back(Effect::Redeemed { id, result });
                    }
                    return Err(error);
                }
                Err(error) => result = Err(error),
            }
        }
        self.unsaved = true;
        self.events.push_back(KernelEvent::Redeemed { id, result });
        Ok(())
    }

    /// Runs the item at the head of the queue; false when there is none.
    fn run_turn(&mut self) -> Result<bool, KernelError> {
        let Kernel { store, remotes, .. } = self;
        let turn = store.transaction("turn", |store| {
            let Some(item) = store.dequeue_run()? else { return Ok(None) };
            let routed: Result<_, KernelError> = store.transaction("route", |store| {
                let mut turn = Turn { store, remotes, events: Vec::new() };
                turn.route(item.clone())?;
                Ok(turn.events)
            });
            match routed {
                Err(error) if !error.is_storage_failure() => {
                    remotes.roll_back_staged();
                    match store.transaction("reject", |store| reject_item(store, remotes, item, &error)) {
                        Err(error) if !error.is_storage_failure() => {
                            remotes.roll_back_staged();
                            if let Some(times) = worth_a_line("untold item", error.name()) {
                                tracing::error!(name = error.name(), times, "nobody can be told of a queued item");
                            }
                        }
                        told => told?,
                    }
                    Ok(Some(Vec::new()))
                }
                routed => routed.map(Some),
            }
        });
        match turn {
            Ok(events) => {
                self.remotes.keep_staged();
                let ran = events.is_some();
                self.unsaved |= ran;
                self.events.extend(events.into_iter().flatten());
                Ok(ran)
            }
            Err(error) => {
                self.remotes.roll_back_staged();
                Err(error)
            }
        }
    }

    /// Tells owners and importers what is no longer needed, some of it, and reaps what is due; false when there was nothing.
    fn collect_garbage(&mut self) -> Result<bool, KernelError> {
        match self.collect_by(KernelStore::collect_garbage_for) {
            Err(error) if !error.is_storage_failure() => {
                if let Some(times) = worth_a_line("garbage", "") {
                    tracing::error!(%error, times, "something in the store keeps its garbage from being collected at once");
                }
                self.collect_by(KernelStore::collect_what_can_be)
            }
            collected => collected,
        }
    }

    fn collect_by(
        &mut self,
        collect: fn(&mut KernelStore, MayHear<'_>, usize) -> Result<Collected, StoreError>,
    ) -> Result<bool, KernelError> {
        let Kernel { store, remotes, limits, .. } = self;
        let collected = store.transaction("collectGarbage", |store| {
            let mut turn = Turn { store, remotes, events: Vec::new() };
            let hearing = |endpoint, kind| {
                turn.remotes.remote(endpoint).map_or(Hearing::Everything, |remote| remote.hearing(kind))
            };
            let Collected { actions, is_all } = collect(turn.store, &hearing, limits.references)?;
            let mut busy = !is_all || !actions.is_empty();
            for of_one in actions.chunk_by(|one, other| one.endpoint == other.endpoint) {
                turn.tell_of_garbage(of_one)?;
            }
            while let Some(endpoint) = turn.store.next_reap()? {
                busy = true;
                turn.tell(endpoint, |remote, store| remote.deliver_bring_out_your_dead(store))?;
            }
            Ok((busy, turn.events))
        });
        match collected {
            Ok((busy, events)) => {
                self.remotes.keep_staged();
                self.unsaved |= busy;
                self.events.extend(events);
                Ok(busy)
            }
            Err(error) => {
                self.remotes.roll_back_staged();
                Err(error)
            }
        }
    }

    /// Asks a peer to collect its garbage and say what it dropped.
    ///
    /// # Errors
    /// [`KernelError::UnknownRemote`]; [`KernelError::Store`].
    pub fn reap_remote(&mut self, remote: EndpointId) -> Result<(), KernelError> {
        self.remotes.remote(remote)?;
        self.unsaved = true;
        self.store.transaction("reap", |store| store.schedule_reap(remote))?;
        self.settle();
        Ok(())
    }
}

/// Rejects the promise of a result, unless it is settled: a message may have been waiting in the promise of its own result.
fn reject_result(store: &mut KernelStore, promise: Kref, value: CapData<Kref>) -> Result<(), KernelError> {
    match store.settled(promise) {
        Some(_) => Ok(()),
        None => store.resolve_promises(None, vec![Resolution { promise, rejected: true, value }]),
    }
}

/// The item could not be delivered: whoever waits for the result is told.
fn reject_item(
    store: &mut KernelStore,
    remotes: &mut RemoteManager,
    item: RunItem,
    error: &KernelError,
) -> Result<(), KernelError> {
    if let Some(times) = worth_a_line("undelivered item", error.name()) {
        tracing::warn!(name = error.name(), times, "a queued item could not be delivered");
    }
    tracing::debug!(%error, "why");
    match item {
        RunItem::Send { message: KernelMessage { result: Some(promise), .. }, .. } => {
            reject_result(store, promise, RejectionCode::DeliveryFailed.rejection(&error.to_string()))
        }
        RunItem::Notify { endpoint, kpid } if endpoint.is_remote() => {
            remotes.remote_mut(endpoint)?.deliver_undeliverable(store, kpid, error)
        }
        RunItem::Send { .. } | RunItem::Notify { .. } => Ok(()),
    }
}

impl Turn<'_> {
    fn route(&mut self, item: RunItem) -> Result<(), KernelError> {
        match item {
            RunItem::Send { target, message } => self.route_send(target, message),
            RunItem::Notify { endpoint, kpid } if endpoint.is_remote() => match self.remotes.remote_mut(endpoint) {
                Ok(remote) => remote.deliver_notify(self.store, kpid),
                // It was a stranger, and was forgotten.
                Err(_) => Ok(()),
            },
            RunItem::Notify { kpid, .. } => self.notify_program(kpid),
        }
    }

    fn route_send(&mut self, target: Kref, message: KernelMessage) -> Result<(), KernelError> {
        match destination(self.store, target)? {
            Destination::Object { owner: remote, target } | Destination::Pipeline { remote, target }
                if remote.is_remote() =>
            {
                self.remotes.remote_mut(remote)?.deliver_message(self.store, target, message)
            }
            Destination::Object { target, .. } | Destination::Pipeline { target, .. } => {
                self.deliver_to_program(target, message)
            }
            Destination::Wait(promise) => Ok(self.store.enqueue_promise_message(promise, &message)?),
            Destination::Rejected(target) => match message.result.zip(self.store.outcome(target)?) {
                Some((promise, (_, reason))) => reject_result(self.store, promise, reason),
                None => Ok(()),
            },
            Destination::Nowhere(value) => match message.result {
                Some(promise) => reject_result(self.store, promise, value),
                None => Ok(()),
            },
        }
    }

    fn give_to_program(&mut self, kref: Kref) -> Result<Kref, KernelError> {
        give(self.store, PROGRAM, kref).map(|_| kref)
    }

    fn deliver_to_program(&mut self, target: Kref, message: KernelMessage) -> Result<(), KernelError> {
        let methargs = message.methargs.try_map(|slot| self.give_to_program(slot))?;
        if let Some(result) = message.result {
            self.store.translate_outbound_ref(PROGRAM, result)?;
            self.store.set_decider(result, PROGRAM)?;
        }
        self.events.push(KernelEvent::Message { target, methargs, result: message.result });
        Ok(())
    }

    fn notify_program(&mut self, promise: Kref) -> Result<(), KernelError> {
        if self.store.kref_to_eref(PROGRAM, promise)?.is_none() {
            return Ok(());
        }
        let Some((rejected, value)) = self.store.outcome(promise)? else { return Ok(()) };
        let value = value.try_map(|slot| self.give_to_program(slot))?;
        forget(self.store, promise)?;
        self.events.push(KernelEvent::Notify { promise, rejected, value });
        Ok(())
    }

    /// Tells one endpoint of its garbage.
    fn tell_of_garbage(&mut self, actions: &[GcAction]) -> Result<(), KernelError> {
        let Some(GcAction { endpoint, .. }) = actions.first() else { return Ok(()) };
        for GcAction { kind, erefs, .. } in actions {
            if !endpoint.is_remote() && *kind == GcKind::RetireExports {
                // The program's exports are named after their kernel references.
                let krefs = erefs.iter().map(|eref| Kref::object(eref.index)).collect();
                self.events.push(KernelEvent::Retired(krefs));
            }
        }
        self.tell(*endpoint, |remote, store| {
            for GcAction { kind, erefs, .. } in actions {
                let make = match kind {
                    GcKind::DropExports => Delivery::DropExports,
                    GcKind::RetireExports => Delivery::RetireExports,
                    GcKind::RetireImports => Delivery::RetireImports,
                };
                let erefs: Vec<Eref> = erefs.iter().map(|eref| eref.flipped()).collect();
                remote.deliver_gc(store, &erefs, make)?;
            }
            Ok(())
        })
    }

    /// Tells a remote something that concerns only this one: what goes wrong with it does not keep others from being told.
    fn tell(
        &mut self,
        endpoint: EndpointId,
        say: impl FnOnce(&mut RemoteHandle, &mut KernelStore) -> Result<(), KernelError>,
    ) -> Result<(), KernelError> {
        if !endpoint.is_remote() {
            return Ok(());
        }
        let Turn { store, remotes, .. } = self;
        let told = store.transaction("tell", |store| say(remotes.remote_mut(endpoint)?, store));
        let Err(error) = told else { return Ok(()) };
        if error.is_storage_failure() {
            return Err(error);
        }
        if let Some(times) = worth_a_line("untold garbage", endpoint) {
            tracing::error!(remote = %endpoint, name = error.name(), times, "a remote could not be told of its garbage");
        }
        Ok(())
    }
}
