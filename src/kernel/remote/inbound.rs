//! What a remote sends: one message at a time, each in a transaction together with the advance of its number.

use std::collections::BTreeSet;

use super::{
    super::{KernelError, RejectionCode, host::HostKernel, store::KernelMessage},
    RemoteHandle, UrlTicket,
    counters::count,
    flow::Load,
    given::Given,
    handle::Opening,
    outbound::{MAX_REFERENCES, MAX_SLOTS, check_references},
    redemption::Redemptions,
};
use crate::{
    faults::{Fault, seeded},
    runtime::{Timestamp, worth_a_line},
    session::{Arrived, Lost, Receipt},
    wire::{
        Concerns, Delivery, Direction, EndpointId, Eref, IncarnationId, Kref, Message, RemoteCommand, Resolution, Seq,
        WireError,
    },
};

/// What came of one message from the peer, beyond what the store holds.
#[derive(Debug)]
pub(super) enum Outcome {
    /// It was processed.
    Delivered,
    /// It waits for a URL to be opened.
    OpenUrl { ticket: UrlTicket, url: String },
    /// An answer to a redemption.
    Redeemed { reply_key: String, result: Result<Kref, String> },
    /// It was refused, for there was no room for it.
    Refused,
    /// It was rolled back and passed over; or, of a list about garbage, what could not be done was left out.
    /// What waited for it as the reply to a redemption has ended.
    Rejected { seq: Seq, error: KernelError, reply_key: Option<String> },
    /// These numbers will never come, and the answers to these redemptions may have been among them, which have the keys.
    Lost { lost: Lost, redemptions: Vec<String> },
    /// The peer had forgotten this kernel, and was treated as one that restarted.
    Forgotten { incarnation: Option<IncarnationId>, discarded: usize, promises_rejected: usize },
}

/// What a remote needs of its kernel to process a message.
pub(super) struct Inbound<'a> {
    pub(super) host: &'a mut dyn HostKernel,
    pub(super) redemptions: &'a Redemptions,
    /// The kernel gave the peer nothing, and nobody has spoken of it.
    pub(super) is_stranger: bool,
    /// How many references of a long list are processed in one turn.
    pub(super) portion: usize,
}

impl RemoteHandle {
    /// Takes a message from the wire and processes everything that became deliverable, which `outcomes` then holds.
    ///
    /// # Errors
    /// [`KernelError::Wire`] if it is no message; a failure of the store, after which the message at the head counts as not
    /// received. What was processed before it stands.
    pub(super) fn handle_remote_message(
        &mut self,
        now: Timestamp,
        context: &mut Inbound<'_>,
        text: &str,
        outcomes: &mut Vec<Outcome>,
    ) -> Result<(), KernelError> {
        let mut message = Message::parse(text).inspect_err(|_| count(&mut self.counters.malformed, 1))?;
        self.heard = now;
        message.resume_at(message.resume().or(self.unheard));
        self.unheard = message.resume();
        let reads = self.hear(context.host, &message, outcomes)?;
        self.unheard = None;
        if !reads {
            return Ok(());
        }
        self.session.sender_starts_at(message.start);
        if let Some(acknowledged) = self.session.acknowledged_by(message.ack) {
            context.host.transaction("acknowledged", |host| {
                host.set_start_seq(self.id, acknowledged.next().get())?;
                for seq in acknowledged.seqs() {
                    host.delete_pending_message(self.id, seq.get())?;
                }
                Ok(())
            })?;
            self.session.acknowledge(now, &acknowledged);
            self.requests.acknowledged(acknowledged.next());
        }
        self.turns.heard(&message);
        if let Some((seq, command)) = message.command {
            let arrived = Arrived { command, ack: message.ack, retirement: message.retirement, size: text.len() };
            match self.session.receive(now, seq, arrived) {
                Receipt::InOrder => {}
                Receipt::Duplicate => count(&mut self.counters.duplicates, 1),
                Receipt::Held | Receipt::NoRoom => count(&mut self.counters.out_of_order, 1),
            }
        }
        self.process_ready(context, outcomes)
    }

    /// The URL that the message at the head asks for is open, or cannot be opened. A late answer is ignored.
    ///
    /// # Errors
    /// A failure of the store, after which the message at the head counts as not received.
    pub(super) fn url_opened(
        &mut self,
        context: &mut Inbound<'_>,
        ticket: UrlTicket,
        result: Result<Kref, String>,
        outcomes: &mut Vec<Outcome>,
    ) -> Result<(), KernelError> {
        if self.opening != Opening::Waiting(ticket) {
            return Ok(());
        }
        self.opening = Opening::Done(result);
        self.process_ready(context, outcomes)
    }

    /// Processes the message behind the head out of its turn, for [`Fault::RedeemOvertakes`].
    #[cfg(feature = "seeded-faults")]
    fn overtake(&mut self, context: &mut Inbound<'_>) -> Result<Option<Outcome>, KernelError> {
        match self.session.behind_head().filter(|_| seeded(Fault::RedeemOvertakes)) {
            Some((seq, message)) => self.process_one(context, seq, &message, true).map(Some),
            None => Ok(None),
        }
    }

    fn begin_opening(&mut self, url: &str) -> Option<Outcome> {
        if self.opening != Opening::Idle {
            return None;
        }
        self.last_ticket = self.last_ticket.wrapping_add(1);
        let ticket = UrlTicket { remote: self.id, number: self.last_ticket };
        self.opening = Opening::Waiting(ticket);
        Some(Outcome::OpenUrl { ticket, url: url.to_owned() })
    }

    /// Processes what is ready, of a long list one portion, and adds what came of it to `outcomes`.
    ///
    /// # Errors
    /// A failure of the store, after which what is left of the message at the head is still to be processed.
    pub(super) fn process_ready(
        &mut self,
        context: &mut Inbound<'_>,
        outcomes: &mut Vec<Outcome>,
    ) -> Result<(), KernelError> {
        loop {
            if let Some(lost) = self.session.lost() {
                let outcome = self.pass_over(context, lost)?;
                self.session.delivered(lost.last);
                count(&mut self.counters.lost, lost.last.get().saturating_sub(lost.first.get()).saturating_add(1));
                outcomes.push(outcome);
            } else if let Some((seq, message)) = self.session.next_in_order() {
                let retires = message.retirement.retires;
                if let RemoteCommand::RedeemUrl { url, .. } = &message.command
                    && !matches!(self.opening, Opening::Done(_))
                    && self.load(context.is_stranger) == Load::Room
                {
                    let url = url.clone();
                    outcomes.extend(self.begin_opening(&url));
                    #[cfg(feature = "seeded-faults")]
                    outcomes.extend(self.overtake(context)?);
                    return Ok(());
                }
                let (portion, is_last) = self.portions.next(message, context.portion);
                let outcome = match self.process_one(context, seq, &portion, is_last) {
                    Ok(outcome) => outcome,
                    Err(failure) => {
                        self.portions.put_back(portion);
                        return Err(failure);
                    }
                };
                if !is_last {
                    let refused = if let Outcome::Rejected { error, .. } = outcome { Some(error) } else { None };
                    self.portions.note(refused);
                    return Ok(());
                }
                let outcome = match self.portions.end() {
                    Some(error) => Outcome::Rejected { seq, error, reply_key: None },
                    None => outcome,
                };
                self.session.delivered(seq);
                if retires && context.host.can_retire() {
                    self.retired.note(seq);
                }
                self.opening = Opening::Idle;
                match outcome {
                    Outcome::Rejected { .. } | Outcome::Refused => count(&mut self.counters.rejected, 1),
                    _ => count(&mut self.counters.delivered, 1),
                }
                outcomes.push(outcome);
            } else {
                return Ok(());
            }
        }
    }

    /// Processes one message and advances the highest received number, all in one transaction. If the message cannot be
    /// processed, what it did is undone, its sender is told as far as the protocol allows, and the number advances alone:
    /// the message neither blocks the remote nor vanishes without a word. Of a long message this is a portion; the number
    /// advances with the last.
    fn process_one(
        &mut self,
        context: &mut Inbound<'_>,
        seq: Seq,
        message: &Arrived,
        is_last: bool,
    ) -> Result<Outcome, KernelError> {
        let Inbound { host, redemptions, is_stranger, .. } = context;
        let host = &mut **host;
        let attempt: Result<_, KernelError> = host.transaction("receive", |host| {
            self.insist_on_room(&message.command, *is_stranger)?;
            let outcome = self.process(host, redemptions, seq, message)?;
            if is_last && !seeded(Fault::ForgetReceived) {
                host.set_highest_received_seq(self.id, seq.get())?;
            }
            Ok(outcome)
        });
        let error = match attempt {
            Ok(outcome) => {
                self.keep_staged();
                self.note_taken(&message.command);
                return Ok(outcome);
            }
            Err(error) => error,
        };
        self.roll_back_staged();
        if error.is_storage_failure() {
            return Err(error);
        }
        let reply_key = match message.command.concerns() {
            Concerns::Reply(key) if redemptions.expects(self.id, &key) => Some(key),
            _ => None,
        };
        let reported = host.transaction("reject", |host| {
            self.report_rejected(host, message, &error)?;
            if is_last { host.set_highest_received_seq(self.id, seq.get()) } else { Ok(()) }
        });
        match reported {
            Ok(()) => self.keep_staged(),
            Err(failure) => {
                self.roll_back_staged();
                if failure.is_storage_failure() {
                    return Err(failure);
                }
                // Not even that can be said, so it is passed over without a word.
                if let Some(times) = worth_a_line("untold rejection", self.id) {
                    let (remote, name) = (self.id, failure.name());
                    tracing::warn!(%remote, %seq, name, times, "the peer cannot be told of a rejection");
                }
                if is_last {
                    host.transaction("passOver", |host| host.set_highest_received_seq(self.id, seq.get()))?;
                }
            }
        }
        Ok(match error {
            KernelError::Overloaded => Outcome::Refused,
            error => Outcome::Rejected { seq, error, reply_key },
        })
    }

    /// What was taken counts towards what the peer, or this kernel, has under way.
    fn note_taken(&mut self, command: &RemoteCommand) {
        for seq in self.asked.settled(&command.settles()) {
            self.session.answered(seq);
        }
        match command {
            RemoteCommand::Deliver(Delivery::Message { result: Some(result), .. }) => self.requests.taken(*result),
            RemoteCommand::Deliver(delivery @ Delivery::Notify(_)) => self.told(&delivery.settled()),
            _ => {}
        }
    }

    fn process(
        &mut self,
        host: &mut dyn HostKernel,
        redemptions: &Redemptions,
        seq: Seq,
        message: &Arrived,
    ) -> Result<Outcome, KernelError> {
        let Arrived { command, ack, retirement, size } = message;
        if let Some(retired) = retirement.retired {
            host.forget_retired(self.id, retired)?;
        }
        match command.clone() {
            RemoteCommand::Garbled(garbled) => return Err(WireError::Malformed(garbled.reason).into()),
            RemoteCommand::Deliver(delivery) => {
                let settled = delivery.settled();
                let refused = self.process_delivery(host, delivery, *ack, *size)?;
                if retirement.retires {
                    self.forget_names(host, &settled)?;
                }
                if !settled.is_empty() {
                    host.forget_settled_names(self.id, self.session.start())?;
                }
                if let Some(error) = refused {
                    return Ok(Outcome::Rejected { seq, error, reply_key: None });
                }
            }
            RemoteCommand::RedeemUrl { reply_key, .. } => {
                let refusal = match self.opening.clone() {
                    Opening::Done(Ok(kref)) if host.has_object(kref)? => {
                        let result = Ok(host.give(self.id, kref)?);
                        self.stage(host, &RemoteCommand::RedeemUrlReply { reply_key, result })?;
                        return Ok(Outcome::Delivered);
                    }
                    Opening::Done(Err(reason)) => reason,
                    Opening::Done(Ok(_)) | Opening::Waiting(_) | Opening::Idle => {
                        "the object behind the URL no longer exists".to_owned()
                    }
                };
                self.refuse_redemption(host, reply_key, &refusal)?;
            }
            RemoteCommand::RedeemUrlReply { reply_key, result } if !redemptions.expects(self.id, &reply_key) => {
                // It timed out, or a former life of this kernel asked. Taking what it gives and holding it for nobody lets
                // the garbage collector tell the peer so.
                tracing::debug!(remote = %self.id, "a reply to a redemption that nobody waits for");
                if let Ok(eref) = result {
                    host.take(self.id, eref)?;
                }
            }
            RemoteCommand::RedeemUrlReply { reply_key, result } => {
                let result = match result {
                    Ok(eref) => Ok(host.take(self.id, eref)?),
                    Err(reason) => Err(reason),
                };
                return Ok(Outcome::Redeemed { reply_key, result });
            }
        }
        Ok(Outcome::Delivered)
    }

    fn process_delivery(
        &mut self,
        host: &mut dyn HostKernel,
        delivery: Delivery,
        ack: Option<Seq>,
        size: usize,
    ) -> Result<Option<KernelError>, KernelError> {
        check_references(delivery.references(), MAX_REFERENCES)?;
        check_references(delivery.most_slots(), MAX_SLOTS)?;
        match delivery {
            Delivery::Message { target, methargs, result } => {
                let comes_back = self.would_come_back(host, target)?;
                let named = target;
                let target = host.take(self.id, target)?;
                let methargs = methargs.try_map(|slot| host.take(self.id, slot))?;
                host.note_mentioned(self.id, &methargs.slots, size)?;
                let result = result.map(|eref| host.accept_result(self.id, eref)).transpose()?;
                if comes_back {
                    let error = KernelError::from(WireError::Malformed(format!("{named} is its sender's own")));
                    if let Some(promise) = result {
                        let value = error.rejection_code().rejection(&error.to_string());
                        host.resolve_promises(None, vec![Resolution { promise, rejected: true, value }])?;
                    }
                    return Ok(Some(error));
                }
                host.enqueue_send(target, KernelMessage { methargs, result, sender: Some(self.id) })?;
            }
            Delivery::Notify(resolutions) => {
                let mut news = Vec::with_capacity(resolutions.len());
                for Resolution { promise, rejected, value } in resolutions {
                    let promise = host.take(self.id, promise)?;
                    let value = value.try_map(|slot| host.take(self.id, slot))?;
                    // The peer may have been given up meanwhile; and the incumbent tells outcomes also to who decided them. What
                    // comes with it is let go, so that the peer learns that it is not held.
                    if !host.is_settled(promise)? {
                        news.push(Resolution { promise, rejected, value });
                    }
                }
                host.note_mentioned(self.id, &[], size)?;
                host.resolve_promises(Some(self.id), news)?;
            }
            Delivery::DropExports(erefs) => {
                return self.collect(host, Direction::Import, &erefs, |host, remote, given, eref| {
                    if given.was_known(host, remote, eref, ack)? { host.drop_imports(remote, &[eref]) } else { Ok(()) }
                });
            }
            Delivery::RetireExports(erefs) => {
                self.gave_back = true;
                let misses_some = self.misses_some;
                return self.collect(host, Direction::Import, &erefs, |host, remote, given, eref| {
                    if given.was_known(host, remote, eref, ack)? {
                        if misses_some {
                            // Word that it was dropped may be what is missing.
                            host.drop_imports(remote, &[eref])?;
                        }
                        host.retire_imports(remote, &[eref])?;
                        given.forget(&eref);
                    }
                    Ok(())
                });
            }
            Delivery::RetireImports(erefs) => {
                let of_the_peer = Direction::Export;
                return self
                    .collect(host, of_the_peer, &erefs, |host, remote, _, eref| host.retire_exports(remote, &[eref]));
            }
            Delivery::BringOutYourDead => {
                self.reap_is_the_peers = true;
                host.schedule_reap(self.id)?;
            }
        }
        Ok(None)
    }

    /// Does to each reference in a list about garbage what the list says. What cannot be done to one, of which the first is
    /// told, is no reason to leave the others as they are: the peer will not name them again. What was retired from this end,
    /// while word of it from the other was under way, is left out.
    fn collect(
        &mut self,
        host: &mut dyn HostKernel,
        direction: Direction,
        erefs: &[Eref],
        work: impl Fn(&mut dyn HostKernel, EndpointId, &mut Given, Eref) -> Result<(), KernelError>,
    ) -> Result<Option<KernelError>, KernelError> {
        let mut refused = None;
        for eref in erefs {
            if eref.direction == direction && host.was_retired(self.id, *eref)? {
                continue;
            }
            match work(host, self.id, &mut self.given, *eref) {
                Err(error) if !error.is_storage_failure() => drop(refused.get_or_insert(error)),
                done => done?,
            }
        }
        Ok(refused)
    }

    /// Forgets the names of promises that the peer has settled and will not name again. From here on neither does this end.
    fn forget_names(&mut self, host: &mut dyn HostKernel, promises: &[Eref]) -> Result<(), KernelError> {
        if self.retired.is_overdue() {
            // Nothing was sent that could have told the peer. What drops nothing tells it too.
            self.stage(host, &RemoteCommand::Deliver(Delivery::DropExports(Vec::new())))?;
        }
        promises.iter().try_for_each(|eref| host.forget_name(self.id, *eref))
    }

    /// What the peer was to settle is rejected where its notification could not be processed: no other will come.
    fn reject_unsettled(
        &mut self,
        host: &mut dyn HostKernel,
        promises: &[Eref],
        error: &KernelError,
    ) -> Result<(), KernelError> {
        let mut known = BTreeSet::new();
        for eref in promises {
            known.extend(host.known(self.id, *eref)?.filter(|kref| kref.is_promise()));
        }
        let known: Vec<Kref> = known.into_iter().collect();
        let value = RejectionCode::DeliveryFailed.rejection(&error.to_string());
        let rejection = |promise| Resolution { promise, rejected: true, value: value.clone() };
        let rejections = host.decided_among(self.id, &known)?.into_iter().map(rejection).collect();
        host.resolve_promises(Some(self.id), rejections)
    }

    /// Tells whoever waits that a message was not processed: the peer, where there is a promise or a redemption to tell it by;
    /// this end, where it was to learn an outcome.
    fn report_rejected(
        &mut self,
        host: &mut dyn HostKernel,
        message: &Arrived,
        error: &KernelError,
    ) -> Result<(), KernelError> {
        match message.command.concerns() {
            Concerns::Promises(settled) => {
                self.reject_unsettled(host, &settled, error)?;
                if message.retirement.retires {
                    self.forget_names(host, &settled)?;
                }
                host.forget_settled_names(self.id, self.session.start())
            }
            Concerns::Result(eref) => {
                let accepted = host.transaction("rejectResult", |host| host.accept_result(self.id, eref));
                let Ok(promise) = accepted else {
                    // The result may be what was wrong with the message. If it is settled here, after one end had given the
                    // other up, its outcome is the answer; else there is nobody to tell.
                    let settled = host.known(self.id, eref)?.filter(|kref| kref.is_promise());
                    return match settled {
                        Some(promise) if host.outcome(promise)?.is_some() => host.enqueue_notify(self.id, promise),
                        _ => Ok(()),
                    };
                };
                self.requests.taken(eref);
                let value = error.rejection_code().rejection(&error.to_string());
                host.resolve_promises(None, vec![Resolution { promise, rejected: true, value }])
            }
            Concerns::Request(reply_key) => {
                let reason = match error {
                    KernelError::Overloaded => format!("[KERNEL:{}] {error}", error.rejection_code().as_str()),
                    _ => error.to_string(),
                };
                self.refuse_redemption(host, reply_key, &reason)
            }
            // The program is told of a redemption's end by the outcome.
            Concerns::Nobody | Concerns::Reply(_) => Ok(()),
        }
    }
}
