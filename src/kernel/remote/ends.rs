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

    /// The message at the head is not the one any more of which some was done.
    fn leave_head(&mut self) {
        self.opening = Opening::Idle;
        self.portions = Portions::default();
    }

    fn begin_anew(&mut self) {
        self.leave_head();
        self.given.forget_all();
        self.retired = Retired::default();
        self.reap_is_the_peers = false;
        (self.was_given, self.gave_back) = (false, false);
        self.requests = Requests::default();
        self.unanswered.set(0);
        self.asked = Asked::default();
        self.turns = Turns::default();
        self.misses_some = false;
        self.unheard = None;
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
            self.leave_head();
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
        let (saved, _) = host.transaction("goBack", |host| recover(host, self.id, now))?;
        self.given = Given::restore(host, self.id, &saved)?;
        self.asked = Asked::restore(&saved)?;
        self.session.go_back(saved, now);
        self.leave_head();
        Ok(())
    }

    /// Rejects every promise that the remote is to decide, and answers how many.
    pub(super) fn reject_decided(
        &self,
        host: &mut dyn HostKernel,
        code: RejectionCode,
        detail: &str,
    ) -> Result<usize, KernelError> {
        reject_decided(host, self.id, code, detail)
    }

    /// Rejects promises that the remote is to decide.
    pub(super) fn reject(
        &self,
        host: &mut dyn HostKernel,
        promises: Vec<Kref>,
        code: RejectionCode,
        detail: &str,
    ) -> Result<(), KernelError> {
        reject(host, self.id, promises, code, detail)
    }
}

/// Rejects every promise that a remote is to decide, and answers how many.
pub(super) fn reject_decided(
    host: &mut dyn HostKernel,
    remote: EndpointId,
    code: RejectionCode,
    detail: &str,
) -> Result<usize, KernelError> {
    let promises = host.promises_by_decider(remote)?;
    let count = promises.len();
    reject(host, remote, promises, code, detail)?;
    Ok(count)
}

fn reject(
    host: &mut dyn HostKernel,
    remote: EndpointId,
    promises: Vec<Kref>,
    code: RejectionCode,
    detail: &str,
) -> Result<(), KernelError> {
    let value: CapData<Kref> = code.rejection(detail);
    let rejection = |promise| Resolution { promise, rejected: true, value: value.clone() };
    host.resolve_promises(Some(remote), promises.into_iter().map(rejection).collect())
}

/// Reads a remote's numbers and messages after whatever ended the last life of this kernel (protocol §5). If they cannot be
/// read, that is this remote's matter: what it was to be told, and to tell, ends.
pub(super) fn recover(
    host: &mut dyn HostKernel,
    id: EndpointId,
    now: Timestamp,
) -> Result<(SavedSession, Option<Damage>), KernelError> {
    match host.transaction("recover", |host| read_session(host, id)) {
        Err(error) if error.is_damage() => begin_again(host, id, now, &error),
        recovered => recovered,
    }
}

fn read_session(host: &mut dyn HostKernel, id: EndpointId) -> Result<(SavedSession, Option<Damage>), KernelError> {
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
        match StoredCommand::from_row(seq, &row) {
            Ok(command) => pending.push((seq, command)),
            Err(error) => {
                let discarded = abandon(host, id, state.next_send_seq)?;
                let reason = format!("message {seq} to it cannot be read: {error}");
                let promises_rejected = reject_decided(host, id, RejectionCode::ConnectionLost, &reason)?;
                let saved = SavedSession {
                    last_sent: state.next_send_seq,
                    start: state.next_send_seq.saturating_add(1),
                    highest_received: state.highest_received_seq,
                    pending: Vec::new(),
                    epoch: host.epoch(id)?,
                };
                return Ok((saved, Some(Damage { reason, discarded, promises_rejected })));
            }
        }
    }
    if seeded(Fault::ReuseSeqAfterCrash) && pending.is_empty() {
        (state.next_send_seq, state.start_seq) = (0, 0);
    }
    let saved = SavedSession {
        last_sent: state.next_send_seq,
        start: state.start_seq,
        highest_received: state.highest_received_seq,
        pending,
        epoch: host.epoch(id)?,
    };
    Ok((saved, None))
}

/// What could not be read of a remote, and what that cost.
#[derive(Debug)]
pub(super) struct Damage {
    pub(super) reason: String,
    pub(super) discarded: usize,
    pub(super) promises_rejected: usize,
}

/// Gives up what is unacknowledged, of which one message cannot be read: their numbers stay used.
fn abandon(host: &mut dyn HostKernel, id: EndpointId, last_sent: u64) -> Result<usize, KernelError> {
    let pending = host.pending_messages(id)?;
    for (number, row) in &pending {
        let seq = Seq::new(*number);
        if seq.is_some_and(|seq| StoredCommand::from_row(seq, row).is_err()) {
            host.set_pending_message_aside(id, *number)?;
        } else {
            host.delete_pending_message(id, *number)?;
        }
        if let Some(seq) = seq {
            host.keep_retired(id, seq)?;
        }
    }
    host.set_start_seq(id, last_sent.saturating_add(1))?;
    Ok(pending.len())
}

/// Numbers that cannot be read are never guessed: the conversation begins again, as with a peer that restarted. One that keeps epochs
/// finds that out by the next; any other accepts a gap, so to it everything is numbered above all that can have been used.
/// What it repeats names nothing that it has.
fn begin_again(
    host: &mut dyn HostKernel,
    id: EndpointId,
    now: Timestamp,
    error: &KernelError,
) -> Result<(SavedSession, Option<Damage>), KernelError> {
    let reason = format!("its records cannot be read: {error}");
    let (epoch, discarded) = (host.epoch(id).ok().flatten(), host.pending_messages(id)?.len());
    host.set_damage_aside(error)?;
    host.reject_waiting(id, &RejectionCode::PeerRestarted.rejection(&reason))?;
    let promises_rejected = reject_decided(host, id, RejectionCode::PeerRestarted, &reason)?;
    host.clear_remote_seq_state(id)?;
    host.forget_exports_of(id)?;
    let fresh = first_epoch(id, now);
    let epoch = epoch.map_or((fresh, false), |epoch| (epoch.next(), epoch.shared));
    host.set_epoch(id, epoch.0)?;
    let mut saved = SavedSession { epoch: Some(epoch.0), ..SavedSession::default() };
    if !epoch.1 {
        (saved.last_sent, saved.start) = (fresh.number, fresh.number.saturating_add(1));
        host.set_next_send_seq(id, saved.last_sent)?;
        host.set_start_seq(id, saved.start)?;
    }
    Ok((saved, Some(Damage { reason, discarded, promises_rejected })))
}

/// The epoch of the first conversation with a remote.
pub(super) fn first_epoch(id: EndpointId, now: Timestamp) -> Epoch {
    let (EndpointId::Remote(salt) | EndpointId::Vat(salt)) = id;
    Epoch::beginning(now, salt)
}
