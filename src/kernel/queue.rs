//! The kernel's queue: where messages and settled promises wait for their turn (protocol §8).

use super::{
    error::{KernelError, RejectionCode},
    host::HostKernel,
    store::{Acquaintance, KernelMessage, KernelStore, Party, RemoteInfo, RemoteSeqState, RunItem, StoreError},
};
use crate::wire::{CapData, Direction, EndpointId, Epoch, Eref, IncarnationId, Kref, PeerId, RefKind, Resolution, Seq};

/// Gives an endpoint a reference. It hears of every promise that it is given and does not decide, now or when it is settled.
pub(super) fn give(store: &mut KernelStore, endpoint: EndpointId, kref: Kref) -> Result<Eref, KernelError> {
    let eref = store.translate_outbound_ref(endpoint, kref)?;
    if kref.is_promise() {
        if store.settled(kref).is_some() {
            store.enqueue_notify(endpoint, kref)?;
        } else if store.decider(kref)? != Some(Party::Endpoint(endpoint)) {
            store.add_subscriber(kref, endpoint)?;
        }
    }
    Ok(eref)
}

/// A rejected promise, for the place of a reference that leads back to the promise in whose value it stands. Nobody holds it yet.
fn broken_promise(store: &mut KernelStore, leads_to: Kref) -> Result<Kref, KernelError> {
    let detail = format!("this led back to {leads_to}, in whose value it stands");
    let broken = store.create_promise()?;
    store.resolve_promise(broken, true, &RejectionCode::DeliveryFailed.rejection(&detail))?;
    Ok(broken)
}

/// A kernel of ours: its store, and in it the run queue, under `queue.run`.
impl HostKernel for KernelStore {
    fn begin(&mut self, name: &str) -> Result<(), KernelError> {
        Ok(KernelStore::begin(self, name)?)
    }

    fn end(&mut self, name: &str, keep: bool) -> Result<(), KernelError> {
        Ok(if keep { self.keep(name) } else { self.roll_back(name) }?)
    }

    fn all_remotes(&self) -> Result<Vec<(EndpointId, RemoteInfo)>, KernelError> {
        Ok(KernelStore::all_remotes(self)?)
    }

    fn next_remote_id(&mut self) -> Result<EndpointId, KernelError> {
        Ok(KernelStore::next_remote_id(self)?)
    }

    fn set_remote_info(&mut self, remote: EndpointId, info: &RemoteInfo) -> Result<(), KernelError> {
        Ok(KernelStore::set_remote_info(self, remote, info)?)
    }

    fn remote_seq_state(&self, remote: EndpointId) -> Result<Option<RemoteSeqState>, KernelError> {
        Ok(KernelStore::remote_seq_state(self, remote)?)
    }

    fn set_next_send_seq(&mut self, remote: EndpointId, seq: u64) -> Result<(), KernelError> {
        Ok(KernelStore::set_next_send_seq(self, remote, seq)?)
    }

    fn set_highest_received_seq(&mut self, remote: EndpointId, seq: u64) -> Result<(), KernelError> {
        Ok(KernelStore::set_highest_received_seq(self, remote, seq)?)
    }

    fn set_start_seq(&mut self, remote: EndpointId, seq: u64) -> Result<(), KernelError> {
        Ok(KernelStore::set_start_seq(self, remote, seq)?)
    }

    fn pending_message(&self, remote: EndpointId, seq: u64) -> Result<Option<String>, KernelError> {
        Ok(KernelStore::pending_message(self, remote, seq)?)
    }

    fn pending_messages(&self, remote: EndpointId) -> Result<Vec<(u64, String)>, KernelError> {
        Ok(KernelStore::pending_messages(self, remote)?)
    }

    fn set_pending_message(&mut self, remote: EndpointId, seq: u64, message: &str) -> Result<(), KernelError> {
        Ok(KernelStore::set_pending_message(self, remote, seq, message)?)
    }

    fn delete_pending_message(&mut self, remote: EndpointId, seq: u64) -> Result<(), KernelError> {
        Ok(KernelStore::delete_pending_message(self, remote, seq)?)
    }

    fn set_pending_message_aside(&mut self, remote: EndpointId, seq: u64) -> Result<(), KernelError> {
        Ok(self.set_aside(&format!("remotePending.{remote}.{seq}"))?)
    }

    fn set_damage_aside(&mut self, error: &KernelError) -> Result<(), KernelError> {
        match error {
            KernelError::Store(StoreError::Corrupt { key, .. }) => Ok(self.set_aside(key)?),
            _ => Ok(()),
        }
    }

    fn unreadable_remotes(&self) -> Result<Vec<EndpointId>, KernelError> {
        Ok(KernelStore::unreadable_remotes(self)?)
    }

    fn set_remote_aside(&mut self, remote: EndpointId, numbers_from: u64) -> Result<(), KernelError> {
        self.forget_retelling(remote);
        self.delete_endpoint(remote)?;
        self.set_acquaintance(remote, None)?;
        Ok(KernelStore::set_remote_aside(self, remote, numbers_from)?)
    }

    fn numbers_from(&self) -> Result<Option<u64>, KernelError> {
        Ok(KernelStore::numbers_from(self)?)
    }

    fn clear_remote_seq_state(&mut self, remote: EndpointId) -> Result<(), KernelError> {
        Ok(KernelStore::clear_remote_seq_state(self, remote)?)
    }

    fn cleanup_orphan_messages(&mut self, remote: EndpointId, start: u64) -> Result<(), KernelError> {
        KernelStore::cleanup_orphan_messages(self, remote, start)?;
        Ok(())
    }

    fn peer_incarnation(&self, peer: &PeerId) -> Result<Option<IncarnationId>, KernelError> {
        Ok(KernelStore::peer_incarnation(self, peer)?)
    }

    fn set_peer_incarnation(&mut self, peer: &PeerId, incarnation: &IncarnationId) -> Result<(), KernelError> {
        Ok(KernelStore::set_peer_incarnation(self, peer, incarnation)?)
    }

    fn former_incarnation(&self, remote: EndpointId) -> Result<Option<IncarnationId>, KernelError> {
        Ok(KernelStore::former_incarnation(self, remote)?)
    }

    fn set_former_incarnation(&mut self, remote: EndpointId, former: &IncarnationId) -> Result<(), KernelError> {
        Ok(KernelStore::set_former_incarnation(self, remote, former)?)
    }

    fn keeps_epochs(&self) -> bool {
        true
    }

    fn epoch(&self, remote: EndpointId) -> Result<Option<Epoch>, KernelError> {
        Ok(KernelStore::epoch(self, remote)?)
    }

    fn set_epoch(&mut self, remote: EndpointId, epoch: Epoch) -> Result<(), KernelError> {
        Ok(KernelStore::set_epoch(self, remote, epoch)?)
    }

    fn has_references(&self, remote: EndpointId) -> Result<bool, KernelError> {
        Ok(KernelStore::has_references(self, remote)?)
    }

    fn keeps_acquaintances(&self) -> bool {
        true
    }

    fn begin_acquaintances(&mut self) -> Result<(), KernelError> {
        Ok(KernelStore::begin_acquaintances(self)?)
    }

    fn acquaintance(&self, remote: EndpointId) -> Result<Option<Acquaintance>, KernelError> {
        Ok(KernelStore::acquaintance(self, remote)?)
    }

    fn set_acquaintance(&mut self, remote: EndpointId, acquaintance: Option<Acquaintance>) -> Result<(), KernelError> {
        Ok(KernelStore::set_acquaintance(self, remote, acquaintance)?)
    }

    fn forget_stranger(&mut self, remote: EndpointId, peer: &PeerId) -> Result<(), KernelError> {
        let reason = RejectionCode::PeerRestarted.rejection("the remote peer that sent the message was forgotten");
        self.reject_waiting(remote, &reason)?;
        self.forget_retelling(remote);
        self.delete_endpoint(remote)?;
        Ok(KernelStore::forget_stranger(self, remote, peer)?)
    }

    fn has_forgotten_strangers(&self) -> Result<bool, KernelError> {
        Ok(KernelStore::has_forgotten_strangers(self)?)
    }

    fn has_object(&self, kref: Kref) -> Result<bool, KernelError> {
        Ok(self.owner(kref)?.is_some())
    }

    fn known(&self, remote: EndpointId, eref: Eref) -> Result<Option<Kref>, KernelError> {
        Ok(self.eref_to_kref(remote, eref)?)
    }

    fn take(&mut self, remote: EndpointId, eref: Eref) -> Result<Kref, KernelError> {
        Ok(self.translate_inbound_ref(remote, eref)?)
    }

    fn give(&mut self, remote: EndpointId, kref: Kref) -> Result<Eref, KernelError> {
        Ok(give(self, remote, kref)?.flipped())
    }

    fn accept_result(&mut self, remote: EndpointId, eref: Eref) -> Result<Kref, KernelError> {
        let is_new = eref.kind == RefKind::Promise
            && eref.direction == Direction::Export
            && self.eref_to_kref(remote, eref)?.is_none();
        if is_new {
            return Ok(self.export_result(remote, eref)?);
        }
        let promise = self.translate_inbound_ref(remote, eref)?;
        if !promise.is_promise() {
            return Err(KernelError::NotAPromise(promise));
        }
        self.insist_decider(promise, remote)?;
        self.clear_decider(promise)?;
        // The peer passes the decision on to us, and waits for it now.
        self.add_subscriber(promise, remote)?;
        Ok(promise)
    }

    fn outcome(&self, promise: Kref) -> Result<Option<(bool, CapData<Kref>)>, KernelError> {
        Ok(KernelStore::outcome(self, promise)?)
    }

    fn is_settled(&self, promise: Kref) -> Result<bool, KernelError> {
        Ok(self.settled(promise).is_some())
    }

    fn promises_by_decider(&self, remote: EndpointId) -> Result<Vec<Kref>, KernelError> {
        Ok(KernelStore::promises_by_decider(self, remote)?)
    }

    fn asked_of(&self, remote: EndpointId) -> Result<usize, KernelError> {
        let mut asked = 0_usize;
        for promise in KernelStore::promises_by_decider(self, remote)? {
            let name = self.kref_to_eref(remote, promise)?;
            asked = asked.saturating_add(usize::from(name.is_some_and(|eref| eref.direction == Direction::Import)));
        }
        Ok(asked)
    }

    fn decided_among(&self, remote: EndpointId, promises: &[Kref]) -> Result<Vec<Kref>, KernelError> {
        let mut decided = Vec::new();
        for promise in promises {
            if self.decider(*promise)? == Some(Party::Endpoint(remote)) {
                decided.push(*promise);
            }
        }
        Ok(decided)
    }

    fn note_mentioned(&mut self, remote: EndpointId, krefs: &[Kref], bytes: usize) -> Result<(), KernelError> {
        self.earn_retelling(remote, bytes);
        Ok(self.charge_retelling(remote, krefs)?)
    }

    fn reject_waiting(&mut self, remote: EndpointId, reason: &CapData<Kref>) -> Result<(), KernelError> {
        for message in self.take_waiting_of(remote)? {
            if let Some(promise) = message.result {
                let rejection = Resolution { promise, rejected: true, value: reason.clone() };
                self.resolve_promises(None, vec![rejection])?;
            }
        }
        Ok(())
    }

    fn forget_exports_of(&mut self, remote: EndpointId) -> Result<(), KernelError> {
        Ok(KernelStore::forget_exports_of(self, remote)?)
    }

    fn drop_imports(&mut self, remote: EndpointId, erefs: &[Eref]) -> Result<(), KernelError> {
        Ok(KernelStore::drop_imports(self, remote, erefs)?)
    }

    fn retire_imports(&mut self, remote: EndpointId, erefs: &[Eref]) -> Result<(), KernelError> {
        Ok(KernelStore::retire_imports(self, remote, erefs)?)
    }

    fn retire_exports(&mut self, remote: EndpointId, erefs: &[Eref]) -> Result<(), KernelError> {
        Ok(KernelStore::retire_exports(self, remote, erefs)?)
    }

    fn was_retired(&self, remote: EndpointId, eref: Eref) -> Result<bool, KernelError> {
        Ok(KernelStore::was_retired(self, remote, eref)?)
    }

    fn names_given(&self, remote: EndpointId) -> Result<Option<u64>, KernelError> {
        Ok(Some(KernelStore::names_given(self, remote)?))
    }

    fn note_gift(&mut self, remote: EndpointId, eref: Eref, told: Seq) -> Result<(), KernelError> {
        Ok(KernelStore::note_gift(self, remote, eref, told)?)
    }

    fn last_gift(&self, remote: EndpointId, eref: Eref) -> Result<u64, KernelError> {
        Ok(KernelStore::last_gift(self, remote, eref)?)
    }

    fn can_retire(&self) -> bool {
        true
    }

    fn forget_name(&mut self, remote: EndpointId, eref: Eref) -> Result<(), KernelError> {
        Ok(KernelStore::forget_name(self, remote, eref)?)
    }

    fn forget_retired(&mut self, remote: EndpointId, told: Seq) -> Result<(), KernelError> {
        Ok(KernelStore::forget_retired(self, remote, told)?)
    }

    fn keep_retired(&mut self, remote: EndpointId, told: Seq) -> Result<(), KernelError> {
        Ok(KernelStore::keep_retired(self, remote, told)?)
    }

    fn forget_settled_names(&mut self, remote: EndpointId, unread: Seq) -> Result<(), KernelError> {
        Ok(KernelStore::forget_settled_names(self, remote, unread)?)
    }

    fn schedule_reap(&mut self, remote: EndpointId) -> Result<(), KernelError> {
        Ok(KernelStore::schedule_reap(self, remote)?)
    }

    fn enqueue_send(&mut self, target: Kref, message: KernelMessage) -> Result<(), KernelError> {
        Ok(self.enqueue_run(RunItem::Send { target, message })?)
    }

    fn enqueue_notify(&mut self, endpoint: EndpointId, promise: Kref) -> Result<(), KernelError> {
        Ok(self.enqueue_run(RunItem::Notify { endpoint, kpid: promise })?)
    }

    fn resolve_promises(
        &mut self,
        decider: Option<EndpointId>,
        resolutions: Vec<Resolution<Kref>>,
    ) -> Result<(), KernelError> {
        if let Some(remote) = decider.filter(|decider| decider.is_remote()) {
            self.charge_resolutions(remote, &resolutions)?;
        }
        let mut waited = Vec::new();
        for Resolution { promise, rejected, mut value } in resolutions {
            if !promise.is_promise() {
                return Err(KernelError::NotAPromise(promise));
            }
            if let Some(endpoint) = decider {
                self.insist_decider(promise, endpoint)?;
                // The program hears at once that its value leads in a circle. A peer has settled the promise already, perhaps in
                // the very moment in which the other was settled here: it stays settled, at both ends, without the way back.
                if endpoint.is_remote() {
                    value = self.cut_circles(promise, value, |store| broken_promise(store, promise))?;
                }
            }
            let resolved = self.resolve_promise(promise, rejected, &value)?;
            for subscriber in resolved.subscribers {
                // A remote is subscribed to what it decides itself and need not be told. The program is only if it waits: a
                // message that it sent came to an object of its own.
                if Some(subscriber) != decider || !subscriber.is_remote() {
                    self.enqueue_notify(subscriber, promise)?;
                }
            }
            waited.extend(resolved.messages.into_iter().map(|message| (promise, message)));
        }
        // What waited in the promises takes its place in the queue; the router sends it to what they became.
        for (promise, message) in waited {
            self.enqueue_send(promise, message)?;
        }
        Ok(())
    }
}
