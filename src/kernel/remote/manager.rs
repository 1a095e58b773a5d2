//! All remotes of a kernel. Decides what a handshake's incarnation means, and what becomes of a remote that restarted or
//! was lost; leaves sequence numbers to each [`RemoteHandle`] and the network to whoever carries out its [`Effect`]s.

use std::collections::{BTreeMap, HashMap, VecDeque};

use super::{
    super::{
        KernelError, KernelQueue, OcapUrl, UrlIssuer,
        store::{KernelStore, RemoteInfo},
    },
    Effect, RemoteEvent, RemoteHandle, RemoteWrite, UrlTicket,
    inbound::{Inbound, Outcome},
    redemption::{RedemptionId, Redemptions, redemption_timeout},
};
use crate::{
    faults::{Fault, seeded},
    runtime::Timestamp,
    session::{SessionConfig, TimerOutcome, WriteToken},
    wire::{EndpointId, IncarnationId, Kref, PeerId, RemoteCommsOptions, RemoteError},
};

/// How a remote manager is set up.
#[derive(Clone, Debug)]
pub struct RemoteManagerConfig {
    /// Numbers of every session.
    pub session: SessionConfig,
    /// Longest message, in bytes.
    pub max_message_bytes: usize,
}

impl From<&RemoteCommsOptions> for RemoteManagerConfig {
    fn from(options: &RemoteCommsOptions) -> Self {
        RemoteManagerConfig { session: options.into(), max_message_bytes: options.max_message_size_bytes }
    }
}

/// All remotes of a kernel. See the module's documentation.
pub struct RemoteManager {
    config: RemoteManagerConfig,
    issuer: UrlIssuer,
    remotes: BTreeMap<EndpointId, RemoteHandle>,
    by_peer: HashMap<PeerId, EndpointId>,
    redemptions: Redemptions,
    effects: VecDeque<Effect>,
}

impl RemoteManager {
    /// Takes up every remote in the store.
    ///
    /// # Errors
    /// [`KernelError::Store`].
    pub fn new(
        store: &mut KernelStore,
        config: RemoteManagerConfig,
        issuer: UrlIssuer,
        now: Timestamp,
    ) -> Result<Self, KernelError> {
        let mut manager = RemoteManager {
            config,
            issuer,
            remotes: BTreeMap::new(),
            by_peer: HashMap::new(),
            redemptions: Redemptions::default(),
            effects: VecDeque::new(),
        };
        for (id, info) in store.all_remotes()? {
            manager.take_up(store, id, info, now)?;
        }
        Ok(manager)
    }

    fn take_up(
        &mut self,
        store: &mut KernelStore,
        id: EndpointId,
        info: RemoteInfo,
        now: Timestamp,
    ) -> Result<(), KernelError> {
        let peer = info.peer_id.clone();
        let RemoteManagerConfig { session, max_message_bytes } = self.config.clone();
        let handle = RemoteHandle::restore(store, id, info, session, max_message_bytes, now)?;
        self.remotes.insert(id, handle);
        self.by_peer.insert(peer, id);
        Ok(())
    }

    /// This kernel was restored from a backup: it is a new incarnation, to which each peer will be as to any other, and has to
    /// be to each peer as to one that restarted.
    ///
    /// # Errors
    /// [`KernelError::Store`], after which nothing has changed.
    pub(in crate::kernel) fn handle_restoration(
        &mut self,
        store: &mut KernelStore,
        queue: &mut dyn KernelQueue,
    ) -> Result<(), KernelError> {
        store.transaction("restore", |store| {
            self.remotes.values().try_for_each(|remote| remote.persist_peer_restart(store, queue).map(|_| ()))
        })?;
        self.remotes.values_mut().for_each(RemoteHandle::handle_peer_restart);
        Ok(())
    }

    // --- Remotes

    /// The remote for a peer, established if there is none; `hints` tell where the peer may be found.
    ///
    /// # Errors
    /// [`KernelError::Store`].
    pub fn remote_for(
        &mut self,
        store: &mut KernelStore,
        peer: &PeerId,
        hints: Vec<String>,
        now: Timestamp,
    ) -> Result<EndpointId, KernelError> {
        let Some(id) = self.by_peer.get(peer).copied() else {
            return self.establish_remote(store, peer, hints, now);
        };
        self.register_location_hints(store, peer, hints)?;
        Ok(id)
    }

    /// Makes the record of a peer that is not known yet.
    ///
    /// # Errors
    /// [`KernelError::Store`].
    pub fn establish_remote(
        &mut self,
        store: &mut KernelStore,
        peer: &PeerId,
        hints: Vec<String>,
        now: Timestamp,
    ) -> Result<EndpointId, KernelError> {
        let info = RemoteInfo { peer_id: peer.clone(), hints: hints.clone() };
        let id = store.transaction("establishRemote", |store| {
            let id = store.next_remote_id()?;
            store.set_remote_info(id, &info)?;
            Ok::<_, KernelError>(id)
        })?;
        self.take_up(store, id, info, now)?;
        if store.peer_incarnation(peer)?.is_some()
            && let Some(remote) = self.remotes.get_mut(&id)
        {
            remote.channel_was_announced();
        }
        if !hints.is_empty() {
            self.effects.push_back(Effect::RegisterLocationHints { peer: peer.clone(), hints });
        }
        Ok(id)
    }

    /// Adds places where a peer may be found, newest first, at most [`Self::MAX_HINTS`].
    ///
    /// # Errors
    /// [`KernelError::Store`].
    pub fn register_location_hints(
        &mut self,
        store: &mut KernelStore,
        peer: &PeerId,
        hints: Vec<String>,
    ) -> Result<(), KernelError> {
        if hints.is_empty() {
            return Ok(());
        }
        if let Some(remote) = self.by_peer.get(peer).and_then(|id| self.remotes.get_mut(id)) {
            remote.add_hints(store, &hints)?;
        }
        self.effects.push_back(Effect::RegisterLocationHints { peer: peer.clone(), hints });
        Ok(())
    }

    /// Location hints kept for one peer.
    pub const MAX_HINTS: usize = 10;

    /// Every remote, by id.
    pub fn remotes(&self) -> impl Iterator<Item = &RemoteHandle> {
        self.remotes.values()
    }

    /// One remote.
    ///
    /// # Errors
    /// [`KernelError::UnknownRemote`].
    pub fn remote(&self, id: EndpointId) -> Result<&RemoteHandle, KernelError> {
        self.remotes.get(&id).ok_or(KernelError::UnknownRemote(id))
    }

    pub(in crate::kernel) fn remote_mut(&mut self, id: EndpointId) -> Result<&mut RemoteHandle, KernelError> {
        self.remotes.get_mut(&id).ok_or(KernelError::UnknownRemote(id))
    }

    pub(in crate::kernel) fn max_message_bytes(&self) -> usize {
        self.config.max_message_bytes
    }

    pub(in crate::kernel) fn keep_staged(&mut self) {
        self.remotes.values_mut().for_each(RemoteHandle::keep_staged);
    }

    pub(in crate::kernel) fn roll_back_staged(&mut self) {
        self.remotes.values_mut().for_each(RemoteHandle::roll_back_staged);
    }

    /// Whether a message, an acknowledgement or a give-up waits for a commit before it may leave.
    pub fn awaits_commit(&self) -> bool {
        self.remotes.values().any(RemoteHandle::awaits_commit)
    }

    /// Everything stored so far is durable. To be called after every commit: nothing is written for what is not.
    pub fn commit(&mut self, now: Timestamp) {
        self.remotes.values_mut().for_each(|remote| remote.commit(now));
    }

    // --- OCAP URLs

    /// The issuer of this kernel's URLs.
    pub fn issuer(&self) -> &UrlIssuer {
        &self.issuer
    }

    /// Redeems a URL: this kernel's own at once, another's by asking its issuer. The end is an [`Effect::Redeemed`].
    ///
    /// # Errors
    /// [`KernelError::Url`]; [`KernelError::Remote`] when too many messages to the issuer are unacknowledged already;
    /// [`KernelError::Store`].
    pub fn redeem_ocap_url(
        &mut self,
        store: &mut KernelStore,
        url: &str,
        random: [u8; 16],
        now: Timestamp,
    ) -> Result<RedemptionId, KernelError> {
        let parsed: OcapUrl = url.parse()?;
        let id = self.redemptions.next_id();
        if parsed.peer() == self.issuer.peer() {
            let kref = self.issuer.open(&parsed)?;
            let result = if store.owner(kref)?.is_some() { Ok(kref) } else { Err(gone()) };
            self.effects.push_back(Effect::Redeemed { id, result });
            return Ok(id);
        }
        let remote_id = self.remote_for(store, parsed.peer(), parsed.relays().to_vec(), now)?;
        let key = if seeded(Fault::RepeatReplyKeys) { id.to_string() } else { Redemptions::reply_key(random) };
        let remote = self.remotes.get_mut(&remote_id).ok_or(KernelError::UnknownRemote(remote_id))?;
        let staged = store.transaction("redeemURL", |store| remote.redeem_url(store, url.to_owned(), key.clone()));
        match staged {
            Ok(()) => remote.keep_staged(),
            Err(error) => {
                remote.roll_back_staged();
                return Err(error);
            }
        }
        self.redemptions.wait(id, key, remote_id, now.after(redemption_timeout(&self.config.session)));
        Ok(id)
    }

    fn reject_redemptions(&mut self, remote: EndpointId, error: &RemoteError) {
        for id in self.redemptions.take_all_of(remote) {
            self.effects.push_back(Effect::Redeemed { id, result: Err(error.clone().into()) });
        }
    }

    // --- What the network tells

    /// Takes a message from a peer.
    ///
    /// # Errors
    /// [`KernelError::Wire`] if it is no message; [`KernelError::Store`], after which the peer will have to send it again.
    /// A message that is well-formed but cannot be processed is no error here: it is passed over, and an event tells.
    pub fn handle_remote_message(
        &mut self,
        store: &mut KernelStore,
        queue: &mut dyn KernelQueue,
        from: &PeerId,
        message: &str,
        now: Timestamp,
    ) -> Result<(), KernelError> {
        let id = self.remote_for(store, from, Vec::new(), now)?;
        let remote = self.remotes.get_mut(&id).ok_or(KernelError::UnknownRemote(id))?;
        let mut context = Inbound { store, queue, redemptions: &self.redemptions };
        for outcome in remote.handle_remote_message(now, &mut context, message)? {
            self.finish(id, from, outcome);
        }
        Ok(())
    }

    /// A URL that an [`Effect::OpenUrl`] asked for is open, or there is a reason for the peer why it cannot be opened. The
    /// peer's messages go on with its answer. What comes after the peer has restarted is ignored.
    ///
    /// # Errors
    /// [`KernelError::Store`], after which the peer will have to send its request again.
    pub fn url_opened(
        &mut self,
        store: &mut KernelStore,
        queue: &mut dyn KernelQueue,
        ticket: UrlTicket,
        result: Result<Kref, String>,
    ) -> Result<(), KernelError> {
        let Some(remote) = self.remotes.get_mut(&ticket.remote) else { return Ok(()) };
        let peer = remote.peer().clone();
        let mut context = Inbound { store, queue, redemptions: &self.redemptions };
        for outcome in remote.url_opened(&mut context, ticket, result)? {
            self.finish(ticket.remote, &peer, outcome);
        }
        Ok(())
    }

    fn finish(&mut self, remote: EndpointId, peer: &PeerId, outcome: Outcome) {
        let peer = peer.clone();
        let event = match outcome {
            Outcome::Delivered => return,
            Outcome::OpenUrl { ticket, url } => return self.effects.push_back(Effect::OpenUrl { ticket, url }),
            Outcome::Redeemed { reply_key, result } => {
                if let Some(id) = self.redemptions.take(&reply_key) {
                    let result = result.map_err(KernelError::Redemption);
                    self.effects.push_back(Effect::Redeemed { id, result });
                }
                return;
            }
            Outcome::Lost(lost) => {
                let reason = "the peer had given this kernel up".to_owned();
                self.reject_redemptions(remote, &RemoteError::ConnectionLost { peer: peer.clone(), reason });
                RemoteEvent::MessagesLost { peer, first: lost.first, last: lost.last }
            }
            Outcome::Rejected { seq, error } => RemoteEvent::MessageRejected { peer, seq, reason: error.to_string() },
        };
        self.effects.push_back(Effect::Event(event));
    }

    /// Judges the incarnation that a peer has just shown in a handshake; true means that the peer restarted, and that
    /// everything about its former incarnation is gone from this kernel. The verdict may be told only after a commit: else
    /// the peer could be taken for its former self after a crash, with messages already exchanged.
    ///
    /// Any other answer also means that a channel to the peer is up, so what is unacknowledged is written again.
    ///
    /// # Errors
    /// [`KernelError::Store`]; the caller must treat it as a restart, and nothing has changed.
    pub fn handle_incarnation_change(
        &mut self,
        store: &mut KernelStore,
        queue: &mut dyn KernelQueue,
        peer: &PeerId,
        observed: &IncarnationId,
        now: Timestamp,
    ) -> Result<bool, KernelError> {
        let known = store.peer_incarnation(peer)?;
        let id = self.by_peer.get(peer).copied();
        let former = match known {
            Some(former) if former != *observed => former,
            same_or_first => {
                if same_or_first.is_none() {
                    store.transaction("firstIncarnation", |store| store.set_peer_incarnation(peer, observed))?;
                }
                if let Some(remote) = id.and_then(|id| self.remotes.get_mut(&id)) {
                    remote.channel_up(now);
                }
                return Ok(false);
            }
        };
        let remote = id.and_then(|id| self.remotes.get_mut(&id));
        let promises_rejected = store.transaction("peerRestart", |store| {
            store.set_peer_incarnation(peer, observed)?;
            match &remote {
                Some(remote) => remote.persist_peer_restart(store, queue),
                None => Ok::<_, KernelError>(0),
            }
        })?;
        let discarded = remote.as_ref().map_or(0, |remote| remote.pending());
        if let Some(remote) = remote {
            remote.handle_peer_restart();
        }
        if let Some(id) = id {
            self.reject_redemptions(id, &RemoteError::PeerRestarted(peer.clone()));
        }
        self.effects.push_back(Effect::Event(RemoteEvent::PeerRestarted {
            peer: peer.clone(),
            former,
            current: observed.clone(),
            discarded,
            promises_rejected,
        }));
        Ok(true)
    }

    /// The network has stopped trying to reach a peer. A peer that is not known is nobody's loss.
    ///
    /// # Errors
    /// [`KernelError::Store`].
    pub fn handle_remote_give_up(
        &mut self,
        store: &mut KernelStore,
        queue: &mut dyn KernelQueue,
        peer: &PeerId,
        reason: &str,
    ) -> Result<(), KernelError> {
        let Some(id) = self.by_peer.get(peer).copied() else { return Ok(()) };
        let Some(remote) = self.remotes.get_mut(&id) else { return Ok(()) };
        let detail = format!("remote peer {peer} was given up: {reason}");
        let promises_rejected = store.transaction("giveUp", |store| remote.persist_give_up(store, queue, &detail))?;
        let discarded = remote.pending();
        remote.give_up();
        self.reject_redemptions(id, &RemoteError::ConnectionLost { peer: peer.clone(), reason: reason.to_owned() });
        self.effects.push_back(Effect::Event(RemoteEvent::GivenUp {
            peer: peer.clone(),
            reason: reason.to_owned(),
            discarded,
            promises_rejected,
        }));
        Ok(())
    }

    /// The network was started, perhaps again: whatever channels there were are gone, and it knows no hints.
    pub fn network_started(&mut self) {
        for remote in self.remotes.values_mut() {
            remote.network_started();
            if !remote.hints().is_empty() {
                self.effects.push_front(Effect::RegisterLocationHints {
                    peer: remote.peer().clone(),
                    hints: remote.hints().to_vec(),
                });
            }
        }
    }

    /// How a write ended. An error that no retry can cure gives the remote up; any other waits for the next channel.
    ///
    /// # Errors
    /// [`KernelError::Store`].
    pub fn write_finished(
        &mut self,
        store: &mut KernelStore,
        queue: &mut dyn KernelQueue,
        remote: EndpointId,
        token: WriteToken,
        result: &Result<(), RemoteError>,
        now: Timestamp,
    ) -> Result<(), KernelError> {
        let Some(handle) = self.remotes.get_mut(&remote).filter(|handle| handle.is_current(token)) else {
            return Ok(());
        };
        handle.write_finished(now, token, result.into());
        match result {
            // The store keeps what is pending for when the network is started again.
            Err(error) if error.is_terminal() && *error != RemoteError::NetworkStopped => {
                let peer = handle.peer().clone();
                self.handle_remote_give_up(store, queue, &peer, &error.to_string())
            }
            _ => Ok(()),
        }
    }

    // --- Time and effects

    /// When [`handle_timeout`](Self::handle_timeout) is to be called at the latest.
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        let sessions = self.remotes.values().filter_map(RemoteHandle::poll_timeout);
        sessions.chain(self.redemptions.next_deadline()).min()
    }

    /// Tells the time.
    ///
    /// # Errors
    /// [`KernelError::Store`].
    pub fn handle_timeout(
        &mut self,
        store: &mut KernelStore,
        queue: &mut dyn KernelQueue,
        now: Timestamp,
    ) -> Result<(), KernelError> {
        for (id, remote) in self.redemptions.take_expired(now) {
            let Ok(remote) = self.remote(remote) else { continue };
            let result = Err(KernelError::RedemptionTimeout(remote.peer().clone()));
            self.effects.push_back(Effect::Redeemed { id, result });
        }
        let silent: Vec<PeerId> = self
            .remotes
            .values_mut()
            .filter_map(|remote| match remote.handle_timeout(now) {
                TimerOutcome::Proceed => None,
                TimerOutcome::GiveUp => Some(remote.peer().clone()),
            })
            .collect();
        for peer in silent {
            let patience = redemption_timeout(&self.config.session);
            let reason = format!("nothing was acknowledged for {} s", patience.as_secs());
            self.handle_remote_give_up(store, queue, &peer, &reason)?;
        }
        Ok(())
    }

    /// The next effect that is no write; they come before the writes.
    pub fn take_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// The next write, of whichever remote has one.
    pub fn poll_write(&mut self, now: Timestamp) -> Option<RemoteWrite> {
        self.remotes.values_mut().find_map(|remote| {
            let write = remote.poll_write(now)?;
            Some(RemoteWrite {
                remote: remote.id(),
                token: write.token,
                to: remote.peer().clone(),
                message: write.text,
            })
        })
    }
}

fn gone() -> KernelError {
    KernelError::Redemption("the object behind the URL no longer exists".to_owned())
}
