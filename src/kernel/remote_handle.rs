//! One remote kernel, as this kernel knows it: its session, and the translation between kernel references and its own.
//!
//! Outbound calls stage a command inside the caller's transaction. Inbound messages are processed one at a time, each in a
//! transaction of its own together with the advance of the highest received number; only then may they be acknowledged.

use std::time::Duration;

use super::{
    error::{KernelError, RejectionCode},
    issuer::UrlIssuer,
    queue::{KernelQueue, outcome},
    redemption::Redemptions,
    remote_manager::RemoteManager,
    store::{KernelMessage, KernelStore, Party, RefError, RemoteInfo},
};
use crate::{
    runtime::Timestamp,
    session::{Lost, Receipt, SavedSession, Session, SessionConfig, TimerOutcome, Write, WriteOutcome, WriteToken},
    wire::{
        CapData, Delivery, EndpointId, Eref, Kref, LimitType, Message, PeerId, RemoteCommand, RemoteError, Resolution,
        Seq, StoredCommand,
    },
};

/// How many messages of each fate a remote has seen since this kernel was started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RemoteCounters {
    /// Processed, each once.
    pub delivered: u64,
    /// Received again and dropped.
    pub duplicates: u64,
    /// Received ahead of a gap and held, or dropped for want of room.
    pub out_of_order: u64,
    /// Rolled back and passed over because they could not be processed.
    pub rejected: u64,
    /// Not messages at all.
    pub malformed: u64,
    /// Abandoned by the peer before they arrived.
    pub lost: u64,
}

/// What came of one message from the peer, beyond what the store holds.
#[derive(Debug)]
pub(super) enum Outcome {
    /// It was processed.
    Delivered,
    /// An answer to a redemption.
    Redeemed { reply_key: String, result: Result<Kref, String> },
    /// It was rolled back and passed over.
    Rejected { seq: Seq, error: KernelError },
    /// These numbers will never come.
    Lost(Lost),
}

/// What a remote needs of its kernel to process a message.
pub(super) struct Inbound<'a> {
    pub(super) store: &'a mut KernelStore,
    pub(super) queue: &'a mut dyn KernelQueue,
    pub(super) issuer: &'a UrlIssuer,
    pub(super) redemptions: &'a Redemptions,
}

/// One remote kernel. See the module's documentation.
#[derive(Debug)]
pub struct RemoteHandle {
    id: EndpointId,
    info: RemoteInfo,
    session: Session,
    counters: RemoteCounters,
    max_message_bytes: usize,
    /// The reap that is due was asked for by the peer; it must not be asked to reap in turn.
    reap_is_the_peers: bool,
}

/// Room for the numbers that are added when a stored command is written.
const ENVELOPE_BYTES: usize = 80;

/// Room for the rest of a command around its data, and for one reference in it.
const COMMAND_BYTES: usize = 160;
const REFERENCE_BYTES: usize = 28;

/// Fails if a message with this in it might be too long, whatever the references are called on the wire.
pub(super) fn check_size(value: &CapData<Kref>, limit: usize) -> Result<(), KernelError> {
    let body = serde_json::to_string(&value.body).map_or(usize::MAX, |text| text.len());
    let slots = value.slots.len().saturating_mul(REFERENCE_BYTES);
    within(body.saturating_add(slots).saturating_add(COMMAND_BYTES + ENVELOPE_BYTES), limit)
}

fn within(size: usize, limit: usize) -> Result<(), KernelError> {
    if size <= limit {
        return Ok(());
    }
    let limit_type = LimitType::MessageSize;
    Err(KernelError::Remote(RemoteError::ResourceLimit { limit_type, current: size as u64, limit: limit as u64 }))
}

impl RemoteHandle {
    /// Takes up a remote as the store left it: a message that was written before its counter is recovered, rows that
    /// acknowledgements left behind are removed.
    pub(super) fn restore(
        store: &mut KernelStore,
        id: EndpointId,
        info: RemoteInfo,
        config: SessionConfig,
        max_message_bytes: usize,
        now: Timestamp,
    ) -> Result<Self, KernelError> {
        let saved = store.transaction("restoreRemote", |store| recover(store, id))?;
        Ok(RemoteHandle {
            id,
            info,
            session: Session::restore(config, saved, now),
            counters: RemoteCounters::default(),
            max_message_bytes,
            reap_is_the_peers: false,
        })
    }

    /// Its id in this kernel.
    pub fn id(&self) -> EndpointId {
        self.id
    }

    /// The peer at the other end.
    pub fn peer(&self) -> &PeerId {
        &self.info.peer_id
    }

    /// Where the peer may be found.
    pub fn hints(&self) -> &[String] {
        &self.info.hints
    }

    /// What has happened since this kernel was started.
    pub fn counters(&self) -> RemoteCounters {
        self.counters
    }

    /// How many messages wait to be acknowledged by the peer.
    pub fn pending(&self) -> usize {
        self.session.pending()
    }

    /// The highest number received in order, if anything was.
    pub fn highest_received(&self) -> Option<Seq> {
        self.session.highest_received()
    }

    /// Puts hints before those that are known, and forgets the oldest beyond the limit.
    pub(super) fn add_hints(&mut self, store: &mut KernelStore, hints: &[String]) -> Result<(), KernelError> {
        let mut info = self.info.clone();
        info.hints.retain(|known| !hints.contains(known));
        info.hints.splice(0..0, hints.iter().cloned());
        info.hints.truncate(RemoteManager::MAX_HINTS);
        if info != self.info {
            store.transaction("locationHints", |store| store.set_remote_info(self.id, &info))?;
            self.info = info;
        }
        Ok(())
    }

    // --- Outbound

    /// Whether the program may send one more message, with this in it.
    pub(super) fn check_message(&self, methargs: &CapData<Kref>) -> Result<(), KernelError> {
        self.session.check_room()?;
        check_size(methargs, self.max_message_bytes)
    }

    /// Translates a reference for the peer. A promise that the peer does not decide itself is subscribed to for it, so
    /// that it learns the outcome; one that is settled already is told in a message of its own.
    fn outbound(&self, store: &mut KernelStore, queue: &mut dyn KernelQueue, kref: Kref) -> Result<Eref, KernelError> {
        let eref = store.translate_outbound_ref(self.id, kref)?;
        if kref.is_promise() {
            if outcome(store, kref)?.is_some() {
                queue.enqueue_notify(store, self.id, kref)?;
            } else if store.decider(kref)? != Some(Party::Endpoint(self.id)) {
                store.add_subscriber(kref, self.id)?;
            }
        }
        Ok(eref.flipped())
    }

    /// Sends a message to what the peer knows as `target`; from now on the peer decides `message.result`.
    pub(super) fn deliver_message(
        &mut self,
        store: &mut KernelStore,
        queue: &mut dyn KernelQueue,
        target: Kref,
        message: KernelMessage,
    ) -> Result<(), KernelError> {
        let target = store.translate_outbound_ref(self.id, target)?.flipped();
        let methargs = message.methargs.try_map(|slot| self.outbound(store, queue, slot))?;
        let result = message
            .result
            .map(|promise| {
                let eref = store.translate_outbound_ref(self.id, promise)?;
                store.set_decider(promise, self.id)?;
                Ok::<_, KernelError>(eref.flipped())
            })
            .transpose()?;
        self.stage(store, &RemoteCommand::Deliver(Delivery::Message { target, methargs, result }))
    }

    /// Tells the peer how a promise was settled. A promise that the peer has no name for is none of its business.
    pub(super) fn deliver_notify(
        &mut self,
        store: &mut KernelStore,
        queue: &mut dyn KernelQueue,
        promise: Kref,
    ) -> Result<(), KernelError> {
        let Some(eref) = store.kref_to_eref(self.id, promise)? else { return Ok(()) };
        let Some((rejected, value)) = outcome(store, promise)? else { return Ok(()) };
        let value = value.try_map(|slot| self.outbound(store, queue, slot))?;
        let resolution = Resolution { promise: eref.flipped(), rejected, value };
        self.stage(store, &RemoteCommand::Deliver(Delivery::Notify(vec![resolution])))
    }

    /// Tells the peer that the outcome of a promise cannot be told.
    pub(super) fn deliver_undeliverable(
        &mut self,
        store: &mut KernelStore,
        promise: Kref,
        error: &KernelError,
    ) -> Result<(), KernelError> {
        let Some(eref) = store.kref_to_eref(self.id, promise)? else { return Ok(()) };
        let CapData { body, .. } = RejectionCode::DeliveryFailed.rejection(&error.to_string());
        let value = CapData { body, slots: Vec::new() };
        let resolution = Resolution { promise: eref.flipped(), rejected: true, value };
        self.stage(store, &RemoteCommand::Deliver(Delivery::Notify(vec![resolution])))
    }

    /// Sends a delivery about garbage; `make` gets the references in the peer's frame.
    pub(super) fn deliver_gc(
        &mut self,
        store: &mut KernelStore,
        erefs: &[Eref],
        make: fn(Vec<Eref>) -> Delivery,
    ) -> Result<(), KernelError> {
        let erefs = erefs.iter().map(|eref| eref.flipped()).collect();
        self.stage(store, &RemoteCommand::Deliver(make(erefs)))
    }

    /// Asks the peer to collect its garbage, unless it has just asked us.
    pub(super) fn deliver_bring_out_your_dead(&mut self, store: &mut KernelStore) -> Result<(), KernelError> {
        if std::mem::take(&mut self.reap_is_the_peers) {
            return Ok(());
        }
        self.stage(store, &RemoteCommand::Deliver(Delivery::BringOutYourDead))
    }

    /// Asks the peer what is behind one of its URLs.
    pub(super) fn redeem_url(
        &mut self,
        store: &mut KernelStore,
        url: String,
        reply_key: String,
    ) -> Result<(), KernelError> {
        self.session.check_room()?;
        self.stage(store, &RemoteCommand::RedeemUrl { url, reply_key })
    }

    /// Numbers a command and stores it, in the caller's transaction. It is written once that is committed.
    fn stage(&mut self, store: &mut KernelStore, command: &RemoteCommand) -> Result<(), KernelError> {
        let command = StoredCommand::new(command)?;
        within(command.len().saturating_add(ENVELOPE_BYTES), self.max_message_bytes)?;
        let start = self.session.start();
        let seq = self.session.stage(command.clone());
        store.set_pending_message(self.id, seq.get(), &command.to_row(seq))?;
        store.set_next_send_seq(self.id, seq.get())?;
        store.set_start_seq(self.id, start.get())?;
        Ok(())
    }

    pub(super) fn commit_staged(&mut self, now: Timestamp) {
        self.session.commit_staged(now);
    }

    pub(super) fn roll_back_staged(&mut self) {
        self.session.roll_back_staged();
    }

    // --- The channel

    pub(super) fn channel_up(&mut self, now: Timestamp) {
        self.session.channel_up(now);
    }

    pub(super) fn network_started(&mut self) {
        self.session.network_started();
    }

    pub(super) fn poll_write(&mut self, now: Timestamp) -> Option<Write> {
        self.session.poll_write(now)
    }

    pub(super) fn write_finished(&mut self, now: Timestamp, token: WriteToken, outcome: WriteOutcome) {
        self.session.write_finished(now, token, outcome);
    }

    pub(super) fn is_current(&self, token: WriteToken) -> bool {
        self.session.is_current(token)
    }

    pub(super) fn poll_timeout(&self) -> Option<Timestamp> {
        self.session.poll_timeout()
    }

    pub(super) fn handle_timeout(&mut self, now: Timestamp) -> TimerOutcome {
        self.session.handle_timeout(now)
    }

    // --- Inbound

    /// Takes a message from the wire and processes everything that became deliverable.
    ///
    /// # Errors
    /// [`KernelError::Wire`] if it is no message; a failure of the store, after which the message counts as not received.
    pub(super) fn handle_remote_message(
        &mut self,
        now: Timestamp,
        context: &mut Inbound<'_>,
        text: &str,
    ) -> Result<Vec<Outcome>, KernelError> {
        let message = Message::parse(text).inspect_err(|_| self.counters.malformed += 1)?;
        if let Some(acknowledged) = self.session.acknowledged_by(message.ack) {
            context.store.transaction("acknowledged", |store| {
                store.set_start_seq(self.id, acknowledged.next().get())?;
                for seq in acknowledged.seqs() {
                    store.delete_pending_message(self.id, seq.get())?;
                }
                Ok::<_, KernelError>(())
            })?;
            self.session.acknowledge(now, &acknowledged);
        }
        self.session.sender_starts_at(message.start);
        if let Some((seq, command)) = message.command {
            match self.session.receive(now, seq, command, text.len()) {
                Receipt::InOrder => {}
                Receipt::Duplicate => self.counters.duplicates += 1,
                Receipt::Held | Receipt::NoRoom => self.counters.out_of_order += 1,
            }
        }
        self.process_ready(now, context)
    }

    fn process_ready(&mut self, now: Timestamp, context: &mut Inbound<'_>) -> Result<Vec<Outcome>, KernelError> {
        let mut outcomes = Vec::new();
        loop {
            if let Some(lost) = self.session.lost() {
                context.store.transaction("lost", |store| store.set_highest_received_seq(self.id, lost.last.get()))?;
                self.session.delivered(now, lost.last);
                let count = lost.last.get().saturating_sub(lost.first.get()).saturating_add(1);
                self.counters.lost = self.counters.lost.saturating_add(count);
                outcomes.push(Outcome::Lost(lost));
            } else if let Some((seq, command)) = self.session.next_in_order() {
                let command = command.clone();
                let outcome = self.process_one(now, context, seq, command)?;
                self.session.delivered(now, seq);
                match outcome {
                    Outcome::Rejected { .. } => self.counters.rejected += 1,
                    _ => self.counters.delivered += 1,
                }
                outcomes.push(outcome);
            } else {
                return Ok(outcomes);
            }
        }
    }

    /// Processes one message and advances the highest received number, all in one transaction. If the message cannot be
    /// processed, what it did is undone, its sender is told as far as the protocol allows, and the number advances alone:
    /// the message neither blocks the remote nor vanishes without a word.
    fn process_one(
        &mut self,
        now: Timestamp,
        context: &mut Inbound<'_>,
        seq: Seq,
        command: RemoteCommand,
    ) -> Result<Outcome, KernelError> {
        let Inbound { store, queue, issuer, redemptions } = context;
        let queue = &mut **queue;
        let attempt: Result<_, KernelError> = store.transaction("receive", |store| {
            let outcome = self.process(store, queue, issuer, redemptions, command.clone())?;
            store.set_highest_received_seq(self.id, seq.get())?;
            Ok(outcome)
        });
        let error = match attempt {
            Ok(outcome) => {
                self.commit_staged(now);
                return Ok(outcome);
            }
            Err(error) => error,
        };
        self.roll_back_staged();
        if error.is_storage_failure() {
            return Err(error);
        }
        store
            .transaction("reject", |store| {
                self.report_rejected(store, queue, command, &error)?;
                store.set_highest_received_seq(self.id, seq.get())?;
                Ok::<_, KernelError>(())
            })
            .inspect_err(|_| self.roll_back_staged())?;
        self.commit_staged(now);
        Ok(Outcome::Rejected { seq, error })
    }

    fn process(
        &mut self,
        store: &mut KernelStore,
        queue: &mut dyn KernelQueue,
        issuer: &UrlIssuer,
        redemptions: &Redemptions,
        command: RemoteCommand,
    ) -> Result<Outcome, KernelError> {
        match command {
            RemoteCommand::Deliver(delivery) => self.process_delivery(store, queue, delivery)?,
            RemoteCommand::RedeemUrl { url, reply_key } => {
                let result = match issuer.open(&url) {
                    Ok(kref) if store.owner(kref)?.is_some() => Ok(self.outbound(store, queue, kref)?),
                    Ok(_) => Err("the object behind the URL no longer exists".to_owned()),
                    Err(error) => Err(error.to_string()),
                };
                self.stage(store, &RemoteCommand::RedeemUrlReply { reply_key, result })?;
            }
            RemoteCommand::RedeemUrlReply { reply_key, .. } if !redemptions.expects(self.id, &reply_key) => {
                // It timed out, or a former life of this kernel asked: what was given is let go, nobody is disturbed.
                tracing::debug!(remote = %self.id, "a reply to a redemption that nobody waits for");
            }
            RemoteCommand::RedeemUrlReply { reply_key, result } => {
                let result = match result {
                    Ok(eref) => Ok(self.inbound(store, eref)?),
                    Err(reason) => Err(reason),
                };
                return Ok(Outcome::Redeemed { reply_key, result });
            }
        }
        Ok(Outcome::Delivered)
    }

    fn inbound(&self, store: &mut KernelStore, eref: Eref) -> Result<Kref, RefError> {
        store.translate_inbound_ref(self.id, eref)
    }

    fn process_delivery(
        &mut self,
        store: &mut KernelStore,
        queue: &mut dyn KernelQueue,
        delivery: Delivery,
    ) -> Result<(), KernelError> {
        match delivery {
            Delivery::Message { target, methargs, result } => {
                let target = self.inbound(store, target)?;
                let methargs = methargs.try_map(|slot| self.inbound(store, slot))?;
                let result = result.map(|eref| self.accept_result(store, eref)).transpose()?;
                queue.enqueue_send(store, target, KernelMessage { methargs, result })
            }
            Delivery::Notify(resolutions) => {
                let resolutions = resolutions
                    .into_iter()
                    .map(|Resolution { promise, rejected, value }| {
                        let promise = self.inbound(store, promise)?;
                        let value = value.try_map(|slot| self.inbound(store, slot))?;
                        Ok(Resolution { promise, rejected, value })
                    })
                    .collect::<Result<Vec<_>, KernelError>>()?;
                queue.resolve_promises(store, Some(self.id), resolutions)
            }
            Delivery::DropExports(erefs) => Ok(store.drop_imports(self.id, &erefs)?),
            Delivery::RetireExports(erefs) => Ok(store.retire_imports(self.id, &erefs)?),
            Delivery::RetireImports(erefs) => Ok(store.retire_exports(self.id, &erefs)?),
            Delivery::BringOutYourDead => {
                self.reap_is_the_peers = true;
                Ok(store.schedule_reap(self.id)?)
            }
        }
    }

    /// The peer asks us to decide a promise: it must be one that the peer was to decide, and not settled.
    fn accept_result(&self, store: &mut KernelStore, eref: Eref) -> Result<Kref, KernelError> {
        let promise = self.inbound(store, eref)?;
        if !promise.is_promise() {
            return Err(KernelError::NotAPromise(promise));
        }
        store.insist_decider(promise, self.id)?;
        store.clear_decider(promise)?;
        Ok(promise)
    }

    /// Tells the peer that its message was not processed, where there is a promise or a redemption to tell it by.
    fn report_rejected(
        &mut self,
        store: &mut KernelStore,
        queue: &mut dyn KernelQueue,
        command: RemoteCommand,
        error: &KernelError,
    ) -> Result<(), KernelError> {
        match command {
            RemoteCommand::Deliver(Delivery::Message { result: Some(eref), .. }) => {
                // The result may be what was wrong with the message; then there is nobody to tell.
                let accepted = store.transaction("rejectResult", |store| self.accept_result(store, eref));
                let Ok(promise) = accepted else { return Ok(()) };
                let value = RejectionCode::DeliveryFailed.rejection(&error.to_string());
                queue.resolve_promises(store, None, vec![Resolution { promise, rejected: true, value }])
            }
            RemoteCommand::RedeemUrl { reply_key, .. } => {
                let result = Err(error.to_string());
                self.stage(store, &RemoteCommand::RedeemUrlReply { reply_key, result })
            }
            RemoteCommand::Deliver(_) | RemoteCommand::RedeemUrlReply { .. } => Ok(()),
        }
    }

    // --- Ends

    /// The store's part of a restart of the peer, inside the caller's transaction: numbers and pending messages go, the
    /// promises it was to decide are rejected, what it exported is forgotten; what we exported to it stays.
    pub(super) fn persist_peer_restart(
        &self,
        store: &mut KernelStore,
        queue: &mut dyn KernelQueue,
    ) -> Result<usize, KernelError> {
        store.clear_remote_seq_state(self.id)?;
        let detail = format!("remote peer {} restarted: it no longer knows this promise", self.peer());
        let rejected = self.reject_decided(store, queue, RejectionCode::PeerRestarted, &detail)?;
        store.forget_exports_of(self.id)?;
        Ok(rejected)
    }

    /// What follows once that is committed: both directions start afresh, every timer is off.
    pub(super) fn handle_peer_restart(&mut self) {
        self.session.peer_restarted();
        self.reap_is_the_peers = false;
    }

    /// The store's part of giving the remote up: pending messages go, their numbers are never used again, and what the
    /// remote was to decide is rejected.
    pub(super) fn persist_give_up(
        &self,
        store: &mut KernelStore,
        queue: &mut dyn KernelQueue,
        reason: &str,
    ) -> Result<usize, KernelError> {
        if let Some(abandoned) = self.session.abandonable() {
            store.set_start_seq(self.id, abandoned.next().get())?;
            for seq in abandoned.seqs() {
                store.delete_pending_message(self.id, seq.get())?;
            }
        }
        self.reject_decided(store, queue, RejectionCode::ConnectionLost, reason)
    }

    /// What follows once that is committed.
    pub(super) fn give_up(&mut self) {
        self.session.give_up();
    }

    fn reject_decided(
        &self,
        store: &mut KernelStore,
        queue: &mut dyn KernelQueue,
        code: RejectionCode,
        detail: &str,
    ) -> Result<usize, KernelError> {
        let promises = store.promises_by_decider(self.id)?;
        let count = promises.len();
        let rejection: CapData<Kref> = code.rejection(detail);
        let resolutions = promises
            .into_iter()
            .map(|promise| Resolution { promise, rejected: true, value: rejection.clone() })
            .collect();
        queue.resolve_promises(store, Some(self.id), resolutions)?;
        Ok(count)
    }
}

/// How long the redemption of a URL may take: as long as its delivery may be retried.
pub(super) fn redemption_timeout(config: &SessionConfig) -> Duration {
    config.ack_timeout.saturating_mul(config.max_retransmissions.saturating_add(1))
}

/// Reads a remote's numbers and messages after whatever ended the last life of this kernel (protocol §5).
fn recover(store: &mut KernelStore, id: EndpointId) -> Result<SavedSession, KernelError> {
    let mut state = store.remote_seq_state(id)?.unwrap_or_default();
    let unrecorded = state.next_send_seq.saturating_add(1);
    if store.pending_message(id, unrecorded)?.is_some() {
        store.set_next_send_seq(id, unrecorded)?;
        state.next_send_seq = unrecorded;
    }
    store.cleanup_orphan_messages(id, state.start_seq)?;
    let mut pending = Vec::new();
    for (number, row) in store.pending_messages(id)? {
        let Some(seq) = Seq::new(number) else { continue };
        pending.push((seq, StoredCommand::from_row(seq, &row)?));
    }
    Ok(SavedSession {
        last_sent: state.next_send_seq,
        start: state.start_seq,
        highest_received: state.highest_received_seq,
        pending,
    })
}
