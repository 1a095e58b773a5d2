//! What a kernel sends to a remote: references turned for the peer, commands numbered and stored.

use super::{
    super::{
        KernelError, RejectionCode,
        host::HostKernel,
        store::{KernelMessage, KernelStore},
    },
    RemoteHandle,
    flow::MAX_UNANSWERED,
};
use crate::{
    faults::{Fault, seeded},
    runtime::worth_a_line,
    wire::{
        CapData, Delivery, Direction, Eref, Kref, LimitType, RefKind, RemoteCommand, RemoteError, Resolution,
        Retirement, Seq, StoredCommand,
    },
};

/// Room for the numbers that are added when a stored command is written.
const ENVELOPE_BYTES: usize = 120;

/// Room for what is said of the names of settled promises. It is left out of a message that would be too long with it.
const RETIREMENT_BYTES: usize = 48;

/// Room for the rest of a command around its data, and for one reference in it.
const COMMAND_BYTES: usize = 132;
const REFERENCE_BYTES: usize = 28;

/// How many references one message about garbage has at most, so that no reader is long busy with one.
const GARBAGE_LIST: usize = 8_192;

/// How many characters of why a URL is not redeemed are told.
const REASON: usize = 1_000;

/// References that one notification may give in all, or promises that it may settle. Each costs its receiver several rows and a
/// kilobyte of memory.
pub const MAX_REFERENCES: usize = 60_000;

/// References that one message may give, or one outcome: they are taken in one transaction, before others have their turn.
pub const MAX_SLOTS: usize = 10_000;

/// Fails for more references than may be given at once.
pub(super) fn check_references(count: usize, limit: usize) -> Result<(), KernelError> {
    if count <= limit {
        return Ok(());
    }
    let (limit_type, current, limit) = (LimitType::References, count as u64, limit as u64);
    Err(KernelError::Remote(RemoteError::ResourceLimit { limit_type, current, limit }))
}

/// Fails if a message with this in it might be too long, whatever the references are called on the wire, or gives too many.
pub(in crate::kernel) fn check_size(value: &CapData<Kref>, limit: usize) -> Result<(), KernelError> {
    check_references(value.slots.len(), MAX_SLOTS)?;
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

fn is_too_long(error: &KernelError) -> bool {
    matches!(error, KernelError::Remote(RemoteError::ResourceLimit { limit_type: LimitType::MessageSize, .. }))
}

/// What stands for an outcome that cannot be told.
fn undeliverable(promise: Eref, detail: &str) -> Resolution<Eref> {
    let CapData { body, .. } = RejectionCode::DeliveryFailed.rejection(detail);
    Resolution { promise, rejected: true, value: CapData { body, slots: Vec::new() } }
}

impl RemoteHandle {
    /// Whether the program may send one more message, with this in it.
    pub(in crate::kernel) fn check_message(
        &self,
        host: &dyn HostKernel,
        methargs: &CapData<Kref>,
    ) -> Result<(), KernelError> {
        self.session.check_room()?;
        self.count_unanswered(host)?;
        if self.unanswered() >= MAX_UNANSWERED {
            let (current, limit) = (self.unanswered() as u64, MAX_UNANSWERED as u64);
            let limit_type = LimitType::PendingMessages;
            return Err(RemoteError::ResourceLimit { limit_type, current, limit }.into());
        }
        check_size(methargs, self.max_message_bytes)
    }

    /// Sends a message to what the peer knows as `target`; from now on the peer decides `message.result`.
    pub(in crate::kernel) fn deliver_message(
        &mut self,
        store: &mut KernelStore,
        target: Kref,
        message: KernelMessage,
    ) -> Result<(), KernelError> {
        let target = store.translate_outbound_ref(self.id, target)?.flipped();
        let methargs = message.methargs.try_map(|slot| store.give(self.id, slot))?;
        let result = message
            .result
            .map(|promise| {
                let eref = store.translate_outbound_ref(self.id, promise)?;
                store.set_decider(promise, self.id)?;
                self.asked();
                self.requests.passed_on(eref);
                Ok::<_, KernelError>(eref.flipped())
            })
            .transpose()?;
        self.stage(store, &RemoteCommand::Deliver(Delivery::Message { target, methargs, result }))
    }

    /// Tells the peer how a promise was settled. A promise that the peer has no name for is none of its business.
    pub(in crate::kernel) fn deliver_notify(
        &mut self,
        store: &mut KernelStore,
        promise: Kref,
    ) -> Result<(), KernelError> {
        let Some(eref) = store.kref_to_eref(self.id, promise)? else { return Ok(()) };
        let Some((rejected, value)) = HostKernel::outcome(store, promise)? else { return Ok(()) };
        let value = value.try_map(|slot| store.give(self.id, slot))?;
        self.notify(store, promise, eref, Resolution { promise: eref.flipped(), rejected, value })
    }

    /// Tells an outcome, and retires the name that the promise had with the peer: nothing is left to be said of it.
    fn notify(
        &mut self,
        store: &mut KernelStore,
        promise: Kref,
        eref: Eref,
        resolution: Resolution<Eref>,
    ) -> Result<(), KernelError> {
        let command = RemoteCommand::Deliver(Delivery::Notify(vec![resolution]));
        let (stored, retirement) = self.retiring(&command, true)?;
        let seq = self.stage_stored(store, &command, stored)?;
        self.requests.told(eref, seq);
        if retirement.retires {
            store.retire_name(self.id, promise, eref, seq)?;
        } else {
            store.note_settled_name(self.id, promise);
        }
        Ok(store.forget_settled_names(self.id, self.session.start())?)
    }

    /// A command with what it says of the names of settled promises.
    fn retiring(&self, command: &RemoteCommand, retires: bool) -> Result<(StoredCommand, Retirement), KernelError> {
        let stored = StoredCommand::new(command)?;
        let length = stored.len().saturating_add(ENVELOPE_BYTES + RETIREMENT_BYTES);
        let retirement = match within(length, self.max_message_bytes) {
            Ok(()) => Retirement { retires, retired: self.retired.to_tell() },
            Err(_) => Retirement::default(),
        };
        Ok((stored.with(retirement), retirement))
    }

    /// Tells the peer that the outcome of a promise cannot be told.
    pub(in crate::kernel) fn deliver_undeliverable(
        &mut self,
        store: &mut KernelStore,
        promise: Kref,
        error: &KernelError,
    ) -> Result<(), KernelError> {
        let Some(eref) = store.kref_to_eref(self.id, promise)? else { return Ok(()) };
        match self.notify(store, promise, eref, undeliverable(eref.flipped(), &error.to_string())) {
            Err(error) if is_too_long(&error) => self.notify(store, promise, eref, undeliverable(eref.flipped(), "")),
            notified => notified,
        }
    }

    /// Tells the peer of garbage, in as many messages as it takes; `make` gets the references in the peer's frame.
    pub(in crate::kernel) fn deliver_gc(
        &mut self,
        host: &mut dyn HostKernel,
        erefs: &[Eref],
        make: fn(Vec<Eref>) -> Delivery,
    ) -> Result<(), KernelError> {
        if seeded(Fault::KeepDropsToOneself) {
            return Ok(());
        }
        let room = self.max_message_bytes.saturating_sub(COMMAND_BYTES + ENVELOPE_BYTES + RETIREMENT_BYTES);
        let most = (room / REFERENCE_BYTES).clamp(1, GARBAGE_LIST);
        for part in erefs.chunks(most) {
            self.stage(host, &RemoteCommand::Deliver(make(part.to_vec())))?;
        }
        Ok(())
    }

    /// Tells outcomes that a kernel has translated for the peer, in as many messages as it takes. One that does not fit into a
    /// message of its own is refused in its place.
    fn deliver_outcomes(
        &mut self,
        host: &mut dyn HostKernel,
        resolutions: Vec<Resolution<Eref>>,
    ) -> Result<(), KernelError> {
        let length = |resolutions: Vec<Resolution<Eref>>| {
            let command = RemoteCommand::Deliver(Delivery::Notify(resolutions));
            Ok::<_, KernelError>(StoredCommand::new(&command)?.len().saturating_add(ENVELOPE_BYTES))
        };
        let empty = length(Vec::new())?;
        let (mut part, mut size) = (Vec::new(), empty);
        for mut resolution in resolutions {
            let mut alone = length(vec![resolution.clone()])?;
            if let Err(error) = within(alone, self.max_message_bytes) {
                if let Some(times) = worth_a_line("untold outcome", self.id) {
                    tracing::warn!(remote = %self.id, %error, times, "an outcome cannot be told");
                }
                resolution = undeliverable(resolution.promise, &error.to_string());
                alone = length(vec![resolution.clone()])?;
            }
            // With the comma between them.
            let more = alone.saturating_sub(empty).saturating_add(1);
            if !part.is_empty() && size.saturating_add(more) > self.max_message_bytes {
                self.stage(host, &RemoteCommand::Deliver(Delivery::Notify(std::mem::take(&mut part))))?;
                size = empty;
            }
            size = size.saturating_add(more);
            part.push(resolution);
        }
        self.stage(host, &RemoteCommand::Deliver(Delivery::Notify(part)))
    }

    /// Tells the peer why a URL is not redeemed, as far as there is room beside the key that it chose.
    pub(super) fn refuse_redemption(
        &mut self,
        host: &mut dyn HostKernel,
        reply_key: String,
        reason: &str,
    ) -> Result<(), KernelError> {
        let reply =
            |reason: String| RemoteCommand::RedeemUrlReply { reply_key: reply_key.clone(), result: Err(reason) };
        match self.stage(host, &reply(reason.chars().take(REASON).collect())) {
            Err(error) if is_too_long(&error) => self.stage(host, &reply(String::new())),
            staged => staged,
        }
    }

    /// Asks the peer to collect its garbage, unless it has just asked us.
    pub(in crate::kernel) fn deliver_bring_out_your_dead(
        &mut self,
        store: &mut KernelStore,
    ) -> Result<(), KernelError> {
        if std::mem::take(&mut self.reap_is_the_peers) {
            return Ok(());
        }
        self.stage(store, &RemoteCommand::Deliver(Delivery::BringOutYourDead))
    }

    /// Sends what a kernel has translated for the peer.
    pub(super) fn deliver(&mut self, host: &mut dyn HostKernel, delivery: Delivery) -> Result<(), KernelError> {
        match delivery {
            Delivery::DropExports(erefs) => self.deliver_gc(host, &erefs, Delivery::DropExports),
            Delivery::RetireExports(erefs) => self.deliver_gc(host, &erefs, Delivery::RetireExports),
            Delivery::RetireImports(erefs) => self.deliver_gc(host, &erefs, Delivery::RetireImports),
            Delivery::Notify(resolutions) => self.deliver_outcomes(host, resolutions),
            Delivery::Message { .. } => {
                self.session.check_room()?;
                self.stage(host, &RemoteCommand::Deliver(delivery))
            }
            Delivery::BringOutYourDead if std::mem::take(&mut self.reap_is_the_peers) => Ok(()),
            Delivery::BringOutYourDead => self.stage(host, &RemoteCommand::Deliver(delivery)),
        }
    }

    /// Asks the peer what is behind one of its URLs.
    pub(in crate::kernel) fn redeem_url(
        &mut self,
        host: &mut dyn HostKernel,
        url: String,
        reply_key: String,
    ) -> Result<Seq, KernelError> {
        self.session.check_room()?;
        let command = RemoteCommand::RedeemUrl { url, reply_key };
        let (stored, _) = self.retiring(&command, false)?;
        self.stage_stored(host, &command, stored)
    }

    /// Numbers a command and stores it, in the caller's transaction. It is written once that is durable.
    pub(super) fn stage(&mut self, host: &mut dyn HostKernel, command: &RemoteCommand) -> Result<(), KernelError> {
        let (mut stored, _) = self.retiring(command, false)?;
        if command.is_about_garbage() {
            stored = stored.as_of(self.session.highest_received());
        }
        self.stage_stored(host, command, stored)?;
        Ok(())
    }

    fn stage_stored(
        &mut self,
        host: &mut dyn HostKernel,
        command: &RemoteCommand,
        stored: StoredCommand,
    ) -> Result<Seq, KernelError> {
        within(stored.len().saturating_add(ENVELOPE_BYTES), self.max_message_bytes)?;
        let seq = self.session.stage(stored.clone());
        self.given.note(host, self.id, seq, command)?;
        self.asked.note(seq, command);
        self.turns.note(seq, command);
        if matches!(command, RemoteCommand::RedeemUrlReply { .. }) {
            self.requests.answered(seq);
        }
        self.was_given |=
            command.given().any(|eref| eref.kind == RefKind::Object && eref.direction == Direction::Export);
        self.retired.was_told();
        host.set_pending_message(self.id, seq.get(), &stored.to_row(seq))?;
        host.set_next_send_seq(self.id, seq.get())?;
        // Acknowledgements keep the row up to date from here on.
        if seq == self.session.start() {
            host.set_start_seq(self.id, seq.get())?;
        }
        Ok(seq)
    }

    pub(in crate::kernel) fn keep_staged(&mut self) {
        self.session.keep_staged();
    }

    pub(in crate::kernel) fn roll_back_staged(&mut self) {
        self.session.roll_back_staged();
        self.turns.forget_above(self.last_sent());
    }
}
