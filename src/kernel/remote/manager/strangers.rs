//! Peers that came by themselves and with whom nothing is shared. They may be one person with any number of keys, so what
//! is kept of them is bounded, in memory and in the host.
//!
//! Of a peer that has only shown its incarnation nothing is stored: there is nothing yet that its restart could undo. Its
//! first message makes it a remote, and as long as no reference has passed and the program has not spoken of it, it stays
//! a stranger. When there are too many, the oldest is forgotten. Should it come back in the same incarnation, its own
//! numbers tell where the conversation was. A peer that lies about them harms only its own conversation.

use std::collections::{BTreeSet, HashMap, VecDeque};

use super::{
    super::{
        super::{KernelError, host::HostKernel, store::RemoteInfo},
        Effect, RemoteEvent,
    },
    RemoteManager,
};
use crate::{
    runtime::Timestamp,
    wire::{EndpointId, IncarnationId, LimitType, Message, PeerId, RemoteError, Seq},
};

/// Incarnations that are remembered of peers without a record. Whoever shows one usually writes at once.
const SHOWN: usize = 4_096;

/// What a peer without a record has told.
#[derive(Debug)]
struct Shown {
    incarnation: IncarnationId,
    numbers: Numbers,
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
    /// The same peers, oldest first.
    order: VecDeque<PeerId>,
    /// Remotes that may be strangers, oldest first.
    recorded: BTreeSet<EndpointId>,
}

impl Strangers {
    /// A peer of whom there is no record has shown its incarnation.
    fn show(&mut self, peer: &PeerId, incarnation: &IncarnationId) {
        let shown = Shown { incarnation: incarnation.clone(), numbers: Numbers::default() };
        if self.shown.insert(peer.clone(), shown).is_none() {
            self.order.push_back(peer.clone());
        }
        if self.order.len() > SHOWN
            && let Some(oldest) = self.order.pop_front()
        {
            self.shown.remove(&oldest);
        }
    }

    /// Whether a remote is a stranger.
    pub(super) fn contains(&self, id: EndpointId) -> bool {
        self.recorded.contains(&id)
    }

    fn forget_shown(&mut self, peer: &PeerId) {
        if self.shown.remove(peer).is_some() {
            self.order.retain(|shown| shown != peer);
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
    ) -> Result<(), KernelError> {
        if self.by_peer.contains_key(peer) {
            host.transaction("firstIncarnation", |host| host.set_peer_incarnation(peer, incarnation))?;
        } else {
            self.strangers.show(peer, incarnation);
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
        let Message { ack, start, command, .. } = Message::parse(text)?;
        let Some((seq, _)) = command else {
            if let Some(shown) = self.strangers.shown.get_mut(peer) {
                shown.numbers = shown.numbers.max(Numbers::new(ack, start));
            }
            return Ok(None);
        };
        self.forget_one_too_many(host)?;
        let info = RemoteInfo { peer_id: peer.clone(), hints: Vec::new() };
        // A peer of the older kind tells no start; but what it writes first is the lowest that it has.
        let start = if host.has_forgotten_strangers()? { Some(seq) } else { start };
        let id = self.record(host, info, Numbers::new(ack, start), now)?;
        self.strangers.recorded.insert(id);
        Ok(Some(id))
    }

    /// A remote that the store holds: whether it is a stranger is seen from what is shared with it.
    pub(super) fn sort_in(
        &mut self,
        host: &dyn HostKernel,
        id: EndpointId,
        info: &RemoteInfo,
    ) -> Result<(), KernelError> {
        if info.hints.is_empty() && !host.has_references(id)? {
            self.strangers.recorded.insert(id);
        }
        Ok(())
    }

    /// Something is shared with a stranger, or the program has spoken of it; the network is told.
    pub(super) fn make_known(&mut self, id: EndpointId) {
        if self.strangers.recorded.remove(&id)
            && let Some(remote) = self.remotes.get(&id)
        {
            let (peer, hints) = (remote.peer().clone(), remote.hints().to_vec());
            self.effects.push_back(Effect::RegisterLocationHints { peer, hints });
        }
    }

    /// To be called when a message of this remote was processed: it may have brought a reference.
    pub(super) fn review(&mut self, host: &dyn HostKernel, id: EndpointId) -> Result<(), KernelError> {
        if self.strangers.contains(id) && host.has_references(id)? {
            self.make_known(id);
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
        if current < limit {
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
        let incarnation = host.peer_incarnation(&peer)?;
        host.transaction("forgetStranger", |host| host.forget_stranger(id, &peer))?;
        self.strangers.recorded.remove(&id);
        self.remotes.remove(&id);
        self.by_peer.remove(&peer);
        if let Some(incarnation) = incarnation {
            self.strangers.show(&peer, &incarnation);
        }
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
        self.record(host, info, Numbers::default(), now)
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
