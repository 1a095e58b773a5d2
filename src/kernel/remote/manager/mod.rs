//! All remotes of a kernel. Decides what a handshake's incarnation means, and what becomes of a remote that restarted or
//! was lost; leaves sequence numbers to each [`RemoteHandle`] and the network to whoever carries out its [`Effect`]s.

mod guest;
mod network;
mod strangers;
mod urls;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use strangers::Strangers;

use super::{
    super::{
        KernelError, RejectionCode, UrlIssuer,
        host::HostKernel,
        store::{Acquaintance, RemoteInfo},
    },
    Effect, RemoteEvent, RemoteHandle, RemoteWrite,
    ends::{Damage, first_epoch, reject_decided},
    redemption::{Redemptions, redemption_timeout},
};
use crate::{
    runtime::Timestamp,
    session::{SessionConfig, TimerOutcome},
    wire::{EndpointId, PeerId, RemoteCommsOptions},
};

/// How a remote manager is set up.
#[derive(Clone, Debug)]
pub struct RemoteManagerConfig {
    /// Numbers of every session.
    pub session: SessionConfig,
    /// Longest message, in bytes.
    pub max_message_bytes: usize,
    /// Peers that are remembered although they came by themselves and nothing is shared with them.
    pub max_strangers: usize,
    /// How many references of a long list are processed in one turn. A kernel that collects its garbage by itself has to take
    /// every message whole, for what it drops in between would be taken for what it dropped before.
    pub portion: usize,
}

impl From<&RemoteCommsOptions> for RemoteManagerConfig {
    fn from(options: &RemoteCommsOptions) -> Self {
        RemoteManagerConfig {
            session: options.into(),
            max_message_bytes: options.max_message_size_bytes,
            max_strangers: 1_000,
            portion: usize::MAX,
        }
    }
}

/// All remotes of a kernel. See the module's documentation.
pub struct RemoteManager {
    config: RemoteManagerConfig,
    issuer: UrlIssuer,
    remotes: BTreeMap<EndpointId, RemoteHandle>,
    by_peer: HashMap<PeerId, EndpointId>,
    strangers: Strangers,
    redemptions: Redemptions,
    effects: VecDeque<Effect>,
    /// Established since the last commit.
    fresh: BTreeSet<EndpointId>,
    /// The kernel went back on a turn, and not every remote has been looked at since.
    went_back: bool,
    /// The peer that wrote last was given up over what it wrote.
    reads_nothing: bool,
    /// Strangers are forgotten: the host can tell them from others.
    forgets: bool,
    /// One was forgotten because it said nothing for long.
    forgot: bool,
    /// Whose long message was gone on with last.
    went_on: EndpointId,
}

impl RemoteManager {
    /// Takes up every remote in the host.
    ///
    /// # Errors
    /// [`KernelError::Store`].
    pub fn new(
        host: &mut dyn HostKernel,
        mut config: RemoteManagerConfig,
        issuer: UrlIssuer,
        now: Timestamp,
    ) -> Result<Self, KernelError> {
        if !host.keeps_epochs() {
            // Its network may be of any make.
            config.session.max_writes = 1;
        }
        let mut manager = RemoteManager {
            config,
            issuer,
            remotes: BTreeMap::new(),
            by_peer: HashMap::new(),
            strangers: Strangers::default(),
            redemptions: Redemptions::default(),
            effects: VecDeque::new(),
            fresh: BTreeSet::new(),
            went_back: false,
            reads_nothing: false,
            forgets: host.keeps_acquaintances(),
            forgot: false,
            went_on: EndpointId::Remote(0),
        };
        host.begin_acquaintances()?;
        for id in host.unreadable_remotes()? {
            set_aside(host, id, now)?;
        }
        for (id, info) in host.all_remotes()? {
            manager.sort_in(host, id, &info)?;
            let mut handle = manager.restored(host, id, info, now)?;
            if let Some(Damage { reason, discarded, promises_rejected }) = handle.damage.take() {
                let peer = handle.peer().clone();
                tracing::error!(%peer, reason, discarded, promises_rejected, "a remote cannot be taken up as it was");
                let event = RemoteEvent::GivenUp { peer, reason, discarded, promises_rejected };
                manager.effects.push_back(Effect::Event(event));
            }
            manager.take_up(handle);
        }
        Ok(manager)
    }

    fn restored(
        &self,
        host: &mut dyn HostKernel,
        id: EndpointId,
        info: RemoteInfo,
        now: Timestamp,
    ) -> Result<RemoteHandle, KernelError> {
        let RemoteManagerConfig { session, max_message_bytes, .. } = self.config.clone();
        RemoteHandle::restore(host, id, info, session, max_message_bytes, now)
    }

    /// Changes how many references of a long list are processed in one turn.
    pub(in crate::kernel) fn take_portions_of(&mut self, references: usize) {
        self.config.portion = references;
    }

    fn take_up(&mut self, handle: RemoteHandle) {
        self.by_peer.insert(handle.peer().clone(), handle.id());
        self.remotes.insert(handle.id(), handle);
    }

    /// This kernel was restored from a backup: it is a new incarnation, to which each peer will be as to any other, and has to
    /// be to each peer as to one that restarted.
    ///
    /// # Errors
    /// [`KernelError::Store`], after which nothing has changed.
    pub(in crate::kernel) fn handle_restoration(&mut self, host: &mut dyn HostKernel) -> Result<(), KernelError> {
        host.transaction("restore", |host| {
            self.remotes.values().try_for_each(|remote| remote.persist_peer_restart(host).map(|_| ()))
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
        host: &mut dyn HostKernel,
        peer: &PeerId,
        hints: Vec<String>,
        now: Timestamp,
    ) -> Result<EndpointId, KernelError> {
        let Some(id) = self.by_peer.get(peer).copied() else {
            return self.establish_remote(host, peer, hints, now);
        };
        self.make_known(host, id, Acquaintance::SpokenOf)?;
        self.register_location_hints(host, peer, hints)?;
        Ok(id)
    }

    /// Makes the record of a peer that is not known yet. The network is told of it even without a hint: whom the kernel
    /// knows comes before strangers.
    ///
    /// # Errors
    /// [`KernelError::Store`].
    pub fn establish_remote(
        &mut self,
        host: &mut dyn HostKernel,
        peer: &PeerId,
        hints: Vec<String>,
        now: Timestamp,
    ) -> Result<EndpointId, KernelError> {
        let info = RemoteInfo { peer_id: peer.clone(), hints: hints.clone() };
        let id = self.record_known(host, info, now)?;
        self.effects.push_back(Effect::RegisterLocationHints { peer: peer.clone(), hints });
        Ok(id)
    }

    /// Adds places where a peer may be found, newest first, at most [`Self::MAX_HINTS`].
    ///
    /// # Errors
    /// [`KernelError::Store`].
    pub fn register_location_hints(
        &mut self,
        host: &mut dyn HostKernel,
        peer: &PeerId,
        hints: Vec<String>,
    ) -> Result<(), KernelError> {
        if hints.is_empty() {
            return Ok(());
        }
        if let Some(remote) = self.by_peer.get(peer).and_then(|id| self.remotes.get_mut(id)) {
            remote.add_hints(host, &hints)?;
        }
        self.effects.push_back(Effect::RegisterLocationHints { peer: peer.clone(), hints });
        Ok(())
    }

    /// The program has spoken of a peer, if only to have it reconnected: if it has a record, it is no stranger.
    ///
    /// # Errors
    /// [`KernelError::Store`].
    pub fn speak_of(&mut self, host: &mut dyn HostKernel, peer: &PeerId) -> Result<(), KernelError> {
        match self.by_peer.get(peer) {
            Some(id) => self.make_known(host, *id, Acquaintance::SpokenOf),
            None => Ok(()),
        }
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
        self.fresh.clear();
    }

    // --- Time and effects

    /// When [`handle_timeout`](Self::handle_timeout) is to be called at the latest.
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        let sessions = self.remotes.values().filter_map(RemoteHandle::poll_timeout);
        sessions.chain(self.redemptions.next_deadline()).chain(self.next_to_forget()).min()
    }

    /// Tells the time.
    ///
    /// # Errors
    /// [`KernelError::Store`].
    pub fn handle_timeout(&mut self, host: &mut dyn HostKernel, now: Timestamp) -> Result<(), KernelError> {
        let time = redemption_timeout(&self.config.session);
        for (id, remote) in self.redemptions.take_expired(now, time) {
            let late = |remote: &RemoteHandle| KernelError::RedemptionTimeout(remote.peer().clone());
            let error = self.remote(remote).map_or_else(|unknown| unknown, late);
            self.effects.push_back(Effect::Redeemed { id, result: Err(error) });
        }
        let silent: Vec<PeerId> = self
            .remotes
            .values_mut()
            .filter_map(|remote| match remote.handle_timeout(now) {
                TimerOutcome::Proceed => None,
                TimerOutcome::GiveUp => Some(remote.peer().clone()),
            })
            .collect();
        let mut handled = Ok(());
        for peer in silent {
            let reason = format!("nothing was acknowledged for {} s", time.as_secs());
            // One that cannot be given up now is still due, and no reason to keep the others.
            handled = handled.and(self.handle_remote_give_up(host, &peer, &reason));
        }
        handled.and(self.forget_silent_strangers(host, now))
    }

    /// Whether the last timer has forgotten anybody.
    pub(in crate::kernel) fn has_forgotten(&mut self) -> bool {
        std::mem::take(&mut self.forgot)
    }

    /// What was taken could not be done yet.
    pub(in crate::kernel) fn put_back(&mut self, effect: Effect) {
        self.effects.push_front(effect);
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

/// Ends a remote of which nobody can tell whose it is. Should its peer come back, it is made a new one.
fn set_aside(host: &mut dyn HostKernel, id: EndpointId, now: Timestamp) -> Result<(), KernelError> {
    let reason = "the record of a remote peer cannot be read";
    tracing::error!(remote = %id, "{reason}; it is set aside");
    host.transaction("setAside", |host| {
        host.reject_waiting(id, &RejectionCode::PeerRestarted.rejection(reason))?;
        reject_decided(host, id, RejectionCode::ConnectionLost, reason)?;
        host.set_remote_aside(id, first_epoch(id, now).number)
    })
}
