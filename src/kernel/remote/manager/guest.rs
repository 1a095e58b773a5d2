//! Remotes as the guests of a kernel that is not ours: it addresses each remote directly, in references that it has translated,
//! and its store may go back on what was done in the middle of a turn of its own.

use super::{
    super::{
        super::{KernelError, host::HostKernel, store::Acquaintance},
        Effect,
    },
    RemoteManager,
};
use crate::{
    runtime::{Timestamp, worth_a_line},
    wire::{Delivery, EndpointId, IncarnationId, PeerId, RemoteError},
};

impl RemoteManager {
    /// Sends a delivery whose references are in the peer's frame. [`Delivery::BringOutYourDead`] is not sent if the peer has
    /// just asked for it.
    ///
    /// # Errors
    /// [`KernelError::UnknownRemote`]; [`KernelError::Remote`] for one that is too long, and for a message when too many are
    /// unacknowledged; a failure of the kernel. Nothing was sent then.
    pub fn deliver(
        &mut self,
        host: &mut dyn HostKernel,
        id: EndpointId,
        delivery: Delivery,
    ) -> Result<(), KernelError> {
        let remote = self.remotes.get_mut(&id).ok_or(KernelError::UnknownRemote(id))?;
        match host.transaction("deliver", |host| remote.deliver(host, delivery)) {
            Ok(()) => remote.keep_staged(),
            Err(error) => {
                remote.roll_back_staged();
                return Err(error);
            }
        }
        self.make_known(host, id, Acquaintance::SpokenOf)
    }

    /// Forgets what is known of a peer's present incarnation, as if it had restarted.
    ///
    /// # Errors
    /// [`KernelError::UnknownRemote`]; a failure of the kernel, after which nothing has changed.
    pub fn forget_incarnation(&mut self, host: &mut dyn HostKernel, id: EndpointId) -> Result<(), KernelError> {
        let remote = self.remotes.get_mut(&id).ok_or(KernelError::UnknownRemote(id))?;
        let peer = remote.peer().clone();
        host.transaction("peerRestart", |host| remote.persist_peer_restart(host))?;
        remote.handle_peer_restart();
        self.reject_redemptions(id, &RemoteError::PeerRestarted(peer).into());
        Ok(())
    }

    /// Marks what was done so far, while the kernel may be in the middle of a turn.
    pub fn seal(&mut self) {
        self.remotes.values_mut().for_each(super::RemoteHandle::seal);
    }

    /// The turn in which the kernel was at [`seal`](Self::seal) is over. What was done before is durable, unless the kernel
    /// went back on its turn: then the remotes that it concerned go back too. True if any did.
    ///
    /// # Errors
    /// A failure of the kernel.
    pub fn commit_sealed(&mut self, host: &mut dyn HostKernel, now: Timestamp) -> Result<bool, KernelError> {
        self.drop_unrecorded(host)?;
        let mut looked_at = Ok(());
        for remote in self.remotes.values_mut().filter(|remote| remote.awaits_commit()) {
            let agrees = remote.agrees_with(host).and_then(|agrees| {
                if !agrees {
                    if let Some(times) = worth_a_line("went back", remote.id()) {
                        let remote = remote.id();
                        tracing::warn!(%remote, times, "the kernel went back on its turn, and the remote with it");
                    }
                    remote.go_back(host, now)?;
                    self.went_back = true;
                }
                Ok(())
            });
            match agrees {
                Ok(()) => remote.commit_sealed(now),
                // The others are looked at all the same.
                Err(error) => looked_at = Err(error),
            }
        }
        looked_at.map(|()| std::mem::take(&mut self.went_back))
    }

    /// The turn in which a peer's incarnation was judged is over.
    ///
    /// # Errors
    /// [`KernelError::RolledBack`] if the kernel went back on it; then the remote has gone back too, and the peer has to be
    /// asked again. A failure of the kernel.
    pub fn confirm_incarnation(
        &mut self,
        host: &mut dyn HostKernel,
        peer: &PeerId,
        observed: &IncarnationId,
        now: Timestamp,
    ) -> Result<(), KernelError> {
        if self.last_seen(host, peer)?.as_ref() == Some(observed) {
            return Ok(());
        }
        if let Some(remote) = self.by_peer.get(peer).and_then(|id| self.remotes.get_mut(id)) {
            remote.go_back(host, now)?;
        }
        Err(KernelError::RolledBack)
    }

    /// Forgets remotes that were established in a turn on which the kernel went back.
    fn drop_unrecorded(&mut self, host: &dyn HostKernel) -> Result<(), KernelError> {
        if self.fresh.is_empty() {
            return Ok(());
        }
        let recorded = host.all_remotes()?;
        let fresh = std::mem::take(&mut self.fresh);
        let gone = fresh.into_iter().filter(|id| !recorded.iter().any(|(known, _)| known == id));
        let gone: Vec<EndpointId> = gone.collect();
        for id in &gone {
            if let Some(remote) = self.remotes.remove(id) {
                self.by_peer.remove(remote.peer());
            }
            self.reject_redemptions(*id, &KernelError::RolledBack);
            self.strangers.forget(*id);
        }
        self.went_back |= !gone.is_empty();
        Ok(())
    }

    /// Everything to do outside that is no write.
    pub(in crate::kernel) fn take_effects(&mut self) -> Vec<Effect> {
        self.effects.drain(..).collect()
    }

    /// Whether there is anything to do outside that is no write.
    pub(in crate::kernel) fn has_effects(&self) -> bool {
        !self.effects.is_empty()
    }
}
