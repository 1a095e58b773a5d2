//! The turning points of a remote: the peer's restart, its loss, and a new life of this kernel.

use super::{
    super::{KernelError, RejectionCode, host::HostKernel},
    RemoteHandle,
    flow::Requests,
    gaps::Asked,
    given::Given,
    handle::Opening,
    inbound::Outcome,
    portions::Portions,
    retired::Retired,
    turns::Turns,
};
use crate::{
    faults::{Fault, seeded},
    runtime::Timestamp,
    session::{Heard, SavedSession},
    wire::{CapData, EndpointId, Epoch, Kref, Message, Resolution, Seq, StoredCommand},
};

impl RemoteHandle {
    /// The store's part of a restart of the peer, inside the caller's transaction: numbers and pending messages go, the
    /// promises it was to decide are rejected, what it exported is forgotten; what it was given, it has no longer.
    pub(in crate::kernel) fn persist_peer_restart(&self, host: &mut dyn HostKernel) -> Result<usize, KernelError> {
        if let Some(epoch) = self.next_epoch() {
            host.set_epoch(self.id, epoch)?;
        }
        host.clear_remote_seq_state(self.id)?;
        if seeded(Fault::ForgetPromisesAtRestart) {
            return Ok(0);
        }
        let detail = format!("remote peer {} restarted: it no longer knows this promise", self.peer());
        host.reject_waiting(self.id, &RejectionCode::PeerRestarted.rejection(&detail))?;
        let rejected = self.reject_decided(host, RejectionCode::PeerRestarted, &detail)?;
        host.forget_exports_of(self.id)?;
        Ok(rejected)
    }

    /// What follows once that is committed: both directions start afresh, every timer is off.
    pub(in crate::kernel) fn handle_peer_restart(&mut self) {
        self.session.peer_restarted(self.next_epoch());
        self.begin_anew();
    }

    /// The conversation after the present one, if the kernel keeps epochs.
    fn next_epoch(&self) -> Option<Epoch> {
        self.session.epoch().map(Epoch::next)
    }

    fn begin_anew(&mut self) {
        self.opening = Opening::Idle;
        self.portions = Portions::default();
        self.given.forget_all();
        self.retired = Retired::default();
        self.reap_is_the_peers = false;
        (self.was_given, self.gave_back) = (false, false);
        self.requests = Requests::default();
        self.unanswered.set(0);
        self.asked = Asked::default();
        self.turns = Turns::default();
        self.misses_some = false;
    }

    /// Looks which conversation a message belongs to (protocol §11), and follows. True if the message is to be read. A peer that
    /// has forgotten this kernel is treated as one that restarted.
    pub(super) fn hear(
        &mut self,
        host: &mut dyn HostKernel,
        message: &Message,
        outcomes: &mut Vec<Outcome>,
    ) -> Result<bool, KernelError> {
        let heard = self.session.judge_epoch(message);
        let reads = match heard {
            Heard::Present => true,
            Heard::Former => false,
            Heard::Joined(epoch) | Heard::Raised(epoch) => {
                host.transaction("epoch", |host| host.set_epoch(self.id, epoch))?;
                matches!(heard, Heard::Joined(_))
            }
            Heard::Forgotten(epoch) => {
                let incarnation = host.peer_incarnation(self.peer())?;
                let promises_rejected = host.transaction("forgotten", |host| {
                    let rejected = self.persist_peer_restart(host)?;
                    host.set_epoch(self.id, epoch)?;
                    Ok(rejected)
                })?;
                outcomes.push(Outcome::Forgotten { incarnation, discarded: self.pending(), promises_rejected });
                epoch.shared
            }
        };
        self.session.heard(message, heard);
        if matches!(heard, Heard::Joined(_) | Heard::Raised(_)) {
            // What was at the head is forgotten too.
            self.opening = Opening::Idle;
            self.portions = Portions::default();
        }
        if matches!(heard, Heard::Forgotten(_)) {
            self.begin_anew();
            self.starts_over = true;
        }
        Ok(reads)
    }

    /// The store's part of giving the remote up: pending messages go, their numbers are never used again, and what the
    /// remote was to decide is rejected.
    pub(in crate::kernel) fn persist_give_up(
        &self,
        host: &mut dyn HostKernel,
        reason: &str,
    ) -> Result<usize, KernelError> {
        if let Some(abandoned) = self.session.abandonable() {
            host.set_start_seq(self.id, abandoned.next().get())?;
            for seq in abandoned.seqs() {
                host.delete_pending_message(self.id, seq.get())?;
                host.keep_retired(self.id, seq)?;
            }
        }
        let rejected = self.reject_decided(host, RejectionCode::ConnectionLost, reason)?;
        let read = self.session.abandonable().map_or(self.session.start(), |abandoned| abandoned.next());
        host.forget_settled_names(self.id, read)?;
        Ok(rejected)
    }

    /// What follows once that is committed.
    pub(in crate::kernel) fn give_up(&mut self) {
        self.session.give_up();
        self.requests.acknowledged(self.session.start());
        self.unanswered.set(0);
        self.asked = Asked::default();
    }

    /// Whether the store holds what this remote has done.
    pub(super) fn agrees_with(&self, host: &dyn HostKernel) -> Result<bool, KernelError> {
        let state = host.remote_seq_state(self.id)?.unwrap_or_default();
        let highest_received = self.session.highest_received().map_or(0, Seq::get);
        let numbers = (self.last_sent(), highest_received, self.session.epoch());
        if (state.next_send_seq, state.highest_received_seq, host.epoch(self.id)?) != numbers {
            return Ok(false);
        }
        for seq in self.session.sealed() {
            if host.pending_message(self.id, seq.get())?.is_none() {
                return Ok(false);
            }
        }
        Ok(self.session.pending() > 0 || state.start_seq > state.next_send_seq || state.next_send_seq == 0)
    }

    /// Begins again as the store has it.
    pub(super) fn go_back(&mut self, host: &mut dyn HostKernel, now: Timestamp) -> Result<(), KernelError> {
        let saved = host.transaction("goBack", |host| recover(host, self.id))?;
        self.given = Given::restore(host, self.id, &saved)?;
        self.asked = Asked::restore(&saved)?;
        self.session.go_back(saved, now);
        self.opening = Opening::Idle;
        self.portions = Portions::default();
        Ok(())
    }

    /// Rejects every promise that the remote is to decide, and answers how many.
    pub(super) fn reject_decided(
        &self,
        host: &mut dyn HostKernel,
        code: RejectionCode,
        detail: &str,
    ) -> Result<usize, KernelError> {
        let promises = host.promises_by_decider(self.id)?;
        let count = promises.len();
        self.reject(host, promises, code, detail)?;
        Ok(count)
    }

    /// Rejects promises that the remote is to decide.
    pub(super) fn reject(
        &self,
        host: &mut dyn HostKernel,
        promises: Vec<Kref>,
        code: RejectionCode,
        detail: &str,
    ) -> Result<(), KernelError> {
        let rejection: CapData<Kref> = code.rejection(detail);
        let resolutions = promises
            .into_iter()
            .map(|promise| Resolution { promise, rejected: true, value: rejection.clone() })
            .collect();
        host.resolve_promises(Some(self.id), resolutions)
    }
}

/// Reads a remote's numbers and messages after whatever ended the last life of this kernel (protocol §5).
pub(super) fn recover(host: &mut dyn HostKernel, id: EndpointId) -> Result<SavedSession, KernelError> {
    let mut state = host.remote_seq_state(id)?.unwrap_or_default();
    let unrecorded = state.next_send_seq.saturating_add(1);
    if host.pending_message(id, unrecorded)?.is_some() {
        host.set_next_send_seq(id, unrecorded)?;
        state.next_send_seq = unrecorded;
    }
    host.cleanup_orphan_messages(id, state.start_seq)?;
    let mut pending = Vec::new();
    for (number, row) in host.pending_messages(id)? {
        let Some(seq) = Seq::new(number) else { continue };
        pending.push((seq, StoredCommand::from_row(seq, &row)?));
    }
    if seeded(Fault::ReuseSeqAfterCrash) && pending.is_empty() {
        (state.next_send_seq, state.start_seq) = (0, 0);
    }
    Ok(SavedSession {
        last_sent: state.next_send_seq,
        start: state.start_seq,
        highest_received: state.highest_received_seq,
        pending,
        epoch: host.epoch(id)?,
    })
}
