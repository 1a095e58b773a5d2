//! Peers that came by themselves and that this kernel has given nothing. They may be one person with any number of keys, so
//! what is kept of them is bounded, in memory and in the host.
//!
//! Of a peer that has only shown its incarnation nothing is stored: there is nothing yet that its restart could undo. Its
//! first message makes it a remote, and as long as it is given no object and the program has not spoken of it, it stays
//! a stranger, whatever it names of its own: who was given nothing reaches no program. When there are too many, the oldest
//! is forgotten. Should it come back in the same incarnation, its own numbers tell where the conversation was. A peer that
//! lies about them harms only its own conversation.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    time::Duration,
};

use super::{
    super::{
        super::{
            KernelError, RejectionCode,
            host::HostKernel,
            store::{Acquaintance, RemoteInfo},
        },
        Effect, RemoteEvent,
    },
    RemoteManager,
};
use crate::{
    faults::{Fault, seeded},
    runtime::Timestamp,
    wire::{EndpointId, Epoch, IncarnationId, LimitType, Message, PeerId, RemoteError, Resume, Seq},
};

/// Incarnations that are remembered of peers without a record. Whoever shows one usually writes at once.
const SHOWN: usize = 4_096;

/// How long a stranger is remembered that says nothing.
const STRANGER_TIME: Duration = Duration::from_secs(600);

/// What a peer without a record has told.
#[derive(Debug)]
struct Shown {
    incarnation: IncarnationId,
    numbers: Numbers,
    /// The conversation in which it wrote, if it said so without a message.
    resume: Option<Resume>,
}

/// Where a peer says that a conversation is of which there is no record; zeros if it has not begun.
#[derive(Clone, Copy, Debug, Default)]
struct Numbers {
    /// Below its start: it was received before the record was forgotten, or given up before it ever arrived.
    received: u64,
    /// What the peer has received.
    sent: u64,
}

impl Numbers {
    fn new(ack: Option<Seq>, start: Option<Seq>) -> Self {
        Numbers { received: start.map_or(0, |start| start.get().saturating_sub(1)), sent: ack.map_or(0, Seq::get) }
    }

    /// A peer that keeps epochs begins anew where this kernel has forgotten it.
    fn of(message: &Message) -> Self {
        match message.epoch {
            Some(Epoch { shared: true, .. }) => Numbers::default(),
            Some(_) => Numbers::new(None, message.start),
            None => Numbers::new(message.ack, message.start),
        }
    }

    fn max(self, other: Numbers) -> Self {
        Numbers { received: self.received.max(other.received), sent: self.sent.max(other.sent) }
    }

    fn write(self, host: &mut dyn HostKernel, id: EndpointId) -> Result<(), KernelError> {
        if self.received > 0 {
            host.set_highest_received_seq(id, self.received)?;
        }
        if self.sent > 0 {
            host.set_next_send_seq(id, self.sent)?;
            host.set_start_seq(id, self.sent.saturating_add(1))?;
        }
        Ok(())
    }
}

/// What is known of strangers.
#[derive(Debug, Default)]
pub(super) struct Strangers {
    shown: HashMap<PeerId, Shown>,
    /// The same peers, oldest first, and when they first showed it.
    order: VecDeque<(Timestamp, PeerId)>,
    /// Remotes that are strangers, oldest first.
    recorded: BTreeSet<EndpointId>,
    /// Remotes that are none because they were given something.
    given: BTreeSet<EndpointId>,
}

impl Strangers {
    /// A peer of whom there is no record has shown its incarnation.
    fn show(&mut self, peer: &PeerId, incarnation: &IncarnationId, now: Timestamp) {
        let shown = Shown { incarnation: incarnation.clone(), numbers: Numbers::default(), resume: None };
        if self.shown.insert(peer.clone(), shown).is_none() {
            self.order.push_back((now, peer.clone()));
        }
        if self.order.len() > SHOWN
            && let Some((_, oldest)) = self.order.pop_front()
        {
            self.shown.remove(&oldest);
        }
    }

    /// Forgets incarnations that were shown long ago, by peers that have not written since.
    fn forget_old(&mut self, now: Timestamp) {
        while self.order.front().is_some_and(|(since, _)| since.after(STRANGER_TIME) <= now) {
            if let Some((_, peer)) = self.order.pop_front() {
                self.shown.remove(&peer);
            }
        }
        if self.order.is_empty() {
            (self.shown, self.order) = Default::default();
        }
    }

    /// Whether a remote is a stranger.
    pub(super) fn contains(&self, id: EndpointId) -> bool {
        self.recorded.contains(&id)
    }

    /// Whether a remote is no stranger, but only because it was given something.
    pub(super) fn was_only_given(&self, id: EndpointId) -> bool {
        self.given.contains(&id)
    }

    /// A remote is gone.
    pub(super) fn forget(&mut self, id: EndpointId) {
        self.recorded.remove(&id);
        self.given.remove(&id);
    }

    /// Puts a remote where it belongs.
    pub(super) fn sort(&mut self, id: EndpointId, acquaintance: Option<Acquaintance>) {
        self.forget(id);
        match acquaintance {
            None => self.recorded.insert(id),
            Some(Acquaintance::Given) => self.given.insert(id),
            Some(Acquaintance::SpokenOf) => false,
        };
    }

    fn forget_shown(&mut self, peer: &PeerId) {
        if self.shown.remove(peer).is_some() {
            self.order.retain(|(_, shown)| shown != peer);
        }
    }
}

impl RemoteManager {
    /// The incarnation that a peer was last seen in.
    pub(super) fn last_seen(&self, host: &dyn HostKernel, peer: &PeerId) -> Result<Option<IncarnationId>, KernelError> {
        match self.strangers.shown.get(peer) {
            Some(shown) => Ok(Some(shown.incarnation.clone())),
            None => host.peer_incarnation(peer),
        }
    }

    /// Remembers the incarnation of a peer: in the store if there is a record of the peer.
    pub(super) fn note_incarnation(
        &mut self,
        host: &mut dyn HostKernel,
        peer: &PeerId,
        incarnation: &IncarnationId,
        now: Timestamp,
    ) -> Result<(), KernelError> {
        if self.by_peer.contains_key(peer) {
            host.transaction("firstIncarnation", |host| host.set_peer_incarnation(peer, incarnation))?;
        } else {
            self.strangers.show(peer, incarnation, now);
        }
        Ok(())
    }

    /// The remote for a peer that has written. What is no message, or only acknowledges or tells a start, makes nobody a
    /// remote.
    pub(super) fn remote_of_sender(
        &mut self,
        host: &mut dyn HostKernel,
        peer: &PeerId,
        text: &str,
        now: Timestamp,
    ) -> Result<Option<EndpointId>, KernelError> {
        if let Some(id) = self.by_peer.get(peer) {
            return Ok(Some(*id));
        }
        let mut message = Message::parse(text)?;
        let mut resume = message.resume();
        if let Some(shown) = self.strangers.shown.get_mut(peer) {
            if message.command.is_none() {
                shown.numbers = shown.numbers.max(Numbers::of(&message));
            }
            // If no record can be made of it now, it will not say so again.
            resume = resume.or(shown.resume);
            shown.resume = resume;
        }
        let Some((seq, _)) = message.command else { return Ok(None) };
        message.resume_at(resume);
        if host.keeps_epochs() && self.last_seen(host, peer)?.is_none() {
            // A restart of a peer whose incarnation is not known could not be told. (A kernel in JavaScript may have a network that
            // does not end the channel for that.)
            return Err(RemoteError::unknown_incarnation(peer).into());
        }
        self.forget_one_too_many(host)?;
        let info = RemoteInfo { peer_id: peer.clone(), hints: Vec::new() };
        let numbers = match resume.and_then(|resume| resume.epoch) {
            // A peer of the older kind tells no start; but what it writes first is the lowest that it has.
            None if host.has_forgotten_strangers()? => Numbers::new(message.ack, Some(seq)),
            None => Numbers::new(message.ack, message.start),
            Some(_) => Numbers::of(&message),
        };
        let id = self.record(host, info, numbers, now)?;
        self.strangers.sort(id, None);
        if let Some(remote) = self.remotes.get_mut(&id) {
            remote.unheard = resume;
        }
        Ok(Some(id))
    }

    /// A remote that the store holds: a stranger, or not. Of whom a kernel that does not remember that knows where it may be
    /// found, it has spoken.
    pub(super) fn sort_in(
        &mut self,
        host: &mut dyn HostKernel,
        id: EndpointId,
        info: &RemoteInfo,
    ) -> Result<(), KernelError> {
        let acquaintance = match host.acquaintance(id)? {
            Some(Acquaintance::Given) if !host.has_references(id)? => {
                host.transaction("acquaintance", |host| host.set_acquaintance(id, None))?;
                None
            }
            None if !host.keeps_acquaintances() && !info.hints.is_empty() => Some(Acquaintance::SpokenOf),
            acquaintance => acquaintance,
        };
        self.strangers.sort(id, acquaintance);
        Ok(())
    }

    /// A remote is no stranger, and the network is told if it was one.
    pub(super) fn make_known(
        &mut self,
        host: &mut dyn HostKernel,
        id: EndpointId,
        why: Acquaintance,
    ) -> Result<(), KernelError> {
        let was_stranger = self.strangers.contains(id);
        let is_promoted = why == Acquaintance::SpokenOf && self.strangers.was_only_given(id);
        if !was_stranger && !is_promoted {
            return Ok(());
        }
        host.transaction("acquaintance", |host| host.set_acquaintance(id, Some(why)))?;
        self.strangers.sort(id, Some(why));
        if let Some(remote) = self.remotes.get(&id).filter(|_| was_stranger) {
            let (peer, hints) = (remote.peer().clone(), remote.hints().to_vec());
            self.effects.push_back(Effect::RegisterLocationHints { peer, hints });
        }
        Ok(())
    }

    /// To be called when a message of this remote was processed: it may have brought the remote an object, or all back that
    /// it was given.
    pub(super) fn review(&mut self, host: &mut dyn HostKernel, id: EndpointId) -> Result<(), KernelError> {
        let Some(remote) = self.remotes.get_mut(&id) else { return Ok(()) };
        let (was_given, gave_back) = (std::mem::take(&mut remote.was_given), std::mem::take(&mut remote.gave_back));
        if std::mem::take(&mut remote.starts_over) {
            self.take_back(host, id)?;
        }
        if was_given {
            self.make_known(host, id, Acquaintance::Given)
        } else if gave_back && !host.has_references(id)? {
            self.take_back(host, id)
        } else {
            Ok(())
        }
    }

    /// A remote holds nothing any more that it was given.
    pub(super) fn take_back(&mut self, host: &mut dyn HostKernel, id: EndpointId) -> Result<(), KernelError> {
        if self.strangers.was_only_given(id) {
            host.transaction("acquaintance", |host| host.set_acquaintance(id, None))?;
            self.strangers.sort(id, None);
        }
        Ok(())
    }

    /// Makes room for one more stranger. One with whom anything is under way stays: those who acknowledge nothing are in
    /// time given up.
    ///
    /// # Errors
    /// [`RemoteError::ResourceLimit`] if something is under way with all of them; [`KernelError::Store`].
    fn forget_one_too_many(&mut self, host: &mut dyn HostKernel) -> Result<(), KernelError> {
        let (current, limit) = (self.strangers.recorded.len(), self.config.max_strangers);
        if current < limit || !host.keeps_acquaintances() {
            return Ok(());
        }
        let idle = |id: &EndpointId| {
            let remote = self.remotes.get(id).filter(|remote| remote.is_idle());
            remote.map(|remote| (*id, remote.peer().clone()))
        };
        let Some((id, peer)) = self.strangers.recorded.iter().find_map(idle) else {
            let (current, limit) = (current as u64, limit as u64);
            return Err(RemoteError::ResourceLimit { limit_type: LimitType::Connection, current, limit }.into());
        };
        self.forget_stranger(host, id, &peer)
    }

    /// When the next stranger has said nothing for long enough to be forgotten.
    pub(super) fn next_to_forget(&self) -> Option<Timestamp> {
        if !self.forgets || seeded(Fault::RememberStrangers) {
            return None;
        }
        let recorded = self.strangers.recorded.iter().filter_map(|id| self.remotes.get(id));
        let heard = recorded.filter(|remote| remote.is_idle()).map(|remote| remote.heard).min();
        let shown = self.strangers.order.front().map(|(since, _)| *since);
        heard.into_iter().chain(shown).min().map(|since| since.after(STRANGER_TIME))
    }

    /// Forgets strangers with whom nothing is under way and who have said nothing for long.
    ///
    /// # Errors
    /// [`KernelError::Store`]; those that are left are still due.
    pub(super) fn forget_silent_strangers(
        &mut self,
        host: &mut dyn HostKernel,
        now: Timestamp,
    ) -> Result<(), KernelError> {
        if self.next_to_forget().is_none_or(|due| now < due) {
            return Ok(());
        }
        self.strangers.forget_old(now);
        let recorded = self.strangers.recorded.iter().filter_map(|id| self.remotes.get(id));
        let silent = recorded.filter(|remote| remote.is_idle() && remote.heard.after(STRANGER_TIME) <= now);
        let silent: Vec<_> = silent.map(|remote| (remote.id(), remote.peer().clone())).collect();
        self.forgot |= !silent.is_empty();
        silent.into_iter().try_for_each(|(id, peer)| self.forget_stranger(host, id, &peer))
    }

    fn forget_stranger(&mut self, host: &mut dyn HostKernel, id: EndpointId, peer: &PeerId) -> Result<(), KernelError> {
        host.transaction("forgetStranger", |host| {
            if let Some(remote) = self.remotes.get(&id) {
                let detail = format!("remote peer {peer} was forgotten: nothing was shared with it");
                remote.reject_decided(host, RejectionCode::ConnectionLost, &detail)?;
            }
            host.forget_stranger(id, peer)
        })?;
        self.strangers.forget(id);
        self.remotes.remove(&id);
        self.by_peer.remove(peer);
        tracing::debug!(%peer, "forgot a stranger");
        Ok(())
    }

    /// Makes the record of a peer of which the program has spoken.
    pub(super) fn record_known(
        &mut self,
        host: &mut dyn HostKernel,
        info: RemoteInfo,
        now: Timestamp,
    ) -> Result<EndpointId, KernelError> {
        let id = self.record(host, info, Numbers::default(), now)?;
        host.transaction("acquaintance", |host| host.set_acquaintance(id, Some(Acquaintance::SpokenOf)))?;
        Ok(id)
    }

    /// Makes the record of a peer, with what it told before.
    fn record(
        &mut self,
        host: &mut dyn HostKernel,
        info: RemoteInfo,
        numbers: Numbers,
        now: Timestamp,
    ) -> Result<EndpointId, KernelError> {
        let peer = info.peer_id.clone();
        let incarnation = self.last_seen(host, &peer)?;
        let mut told = self.strangers.shown.get(&peer).map_or(numbers, |shown| shown.numbers.max(numbers));
        let forgotten = host.has_forgotten_strangers()?;
        if !forgotten {
            // Then nothing was ever sent to it.
            told.sent = 0;
        }
        if let Some(used) = host.numbers_from()?.filter(|_| incarnation.is_some())
            && host.peer_incarnation(&peer)?.is_some()
        {
            // Its record was lost, and with it which numbers it has seen.
            told.sent = told.sent.max(used);
        }
        let handle = host.transaction("establishRemote", |host| {
            let id = host.next_remote_id()?;
            host.set_remote_info(id, &info)?;
            if let Some(incarnation) = &incarnation {
                host.set_peer_incarnation(&peer, incarnation)?;
            }
            told.write(host, id)?;
            self.restored(host, id, info, now)
        })?;
        let id = handle.id();
        self.take_up(handle);
        self.fresh.insert(id);
        self.strangers.forget_shown(&peer);
        if incarnation.is_some()
            && let Some(remote) = self.remotes.get_mut(&id)
        {
            remote.channel_was_announced();
        }
        if let Some(last) = Seq::new(told.received).filter(|_| !forgotten) {
            // There was nothing yet that the give-up could sever.
            let event = RemoteEvent::MessagesLost { peer, first: Seq::FIRST, last };
            self.effects.push_back(Effect::Event(event));
        }
        Ok(id)
    }
}
