//! What the network tells: messages, incarnations, give-ups, and how writes ended.

use std::ops::Bound;

use super::{
    super::{
        super::{KernelError, host::HostKernel},
        Effect, RemoteEvent, RemoteHandle, UrlTicket,
        flow::Load,
        inbound::{Inbound, Outcome},
        redemption::redemption_timeout,
    },
    RemoteManager,
};
use crate::{
    runtime::Timestamp,
    session::WriteToken,
    wire::{EndpointId, IncarnationId, Kref, PeerId, RemoteError},
};

impl RemoteManager {
    /// Takes a message from a peer.
    ///
    /// # Errors
    /// [`KernelError::Wire`] if it is no message; [`KernelError::Store`], after which the peer will have to send it again.
    /// A message that is well-formed but cannot be processed is no error here: it is passed over, and an event tells.
    pub fn handle_remote_message(
        &mut self,
        host: &mut dyn HostKernel,
        from: &PeerId,
        message: &str,
        now: Timestamp,
    ) -> Result<(), KernelError> {
        let Some(id) = self.remote_of_sender(host, from, message, now)? else { return Ok(()) };
        let is_stranger = self.strangers.contains(id);
        self.process(host, id, |remote, context, outcomes| {
            remote.handle_remote_message(now, context, message, outcomes)
        })?;
        if self.remotes.get(&id).is_some_and(|remote| remote.load(is_stranger) == Load::Hopeless) {
            self.handle_remote_give_up(host, from, "it asks, and does not read the answers")?;
            self.reads_nothing = true;
        }
        Ok(())
    }

    /// Whether the last message came from a peer that was given up over it, so that its channel ought to end.
    pub fn takes_no_more(&mut self) -> bool {
        std::mem::take(&mut self.reads_nothing)
    }

    /// The network sees a long message to a peer, or from it, move: what waits for the peer waits on.
    pub fn handle_remote_moving(&mut self, peer: &PeerId, now: Timestamp) {
        let Some(id) = self.by_peer.get(peer).copied() else { return };
        if let Some(remote) = self.remotes.get_mut(&id) {
            remote.moving(now);
        }
        self.redemptions.put_off(id, now.after(redemption_timeout(&self.config.session)));
    }

    /// The network has no channel to a peer, and says itself when it gives up looking for one.
    pub fn handle_remote_no_channel(&mut self, peer: &PeerId, now: Timestamp) {
        let id = self.by_peer.get(peer);
        if let Some(remote) = id.and_then(|id| self.remotes.get_mut(id)) {
            remote.no_channel(now);
        }
    }

    /// A URL that an [`Effect::OpenUrl`] asked for is open, or there is a reason for the peer why it cannot be opened. The
    /// peer's messages go on with its answer. What comes after the peer has restarted is ignored.
    ///
    /// # Errors
    /// [`KernelError::Store`], after which the peer will have to send its request again.
    pub fn url_opened(
        &mut self,
        host: &mut dyn HostKernel,
        ticket: UrlTicket,
        result: Result<Kref, String>,
    ) -> Result<(), KernelError> {
        self.process(host, ticket.remote, |remote, context, outcomes| {
            remote.url_opened(context, ticket, result, outcomes)
        })
    }

    /// Whether long messages are to be [gone on](Self::go_on) with.
    pub(in crate::kernel) fn has_more(&self) -> bool {
        self.remotes.values().any(RemoteHandle::has_more)
    }

    /// Goes on with a long message, of each peer that has sent one in turn.
    pub(in crate::kernel) fn go_on(&mut self, host: &mut dyn HostKernel) -> Result<(), KernelError> {
        let behind = (Bound::Excluded(self.went_on), Bound::Unbounded);
        let next = self.remotes.range(behind).chain(&self.remotes).find(|(_, remote)| remote.has_more());
        let Some(id) = next.map(|(id, _)| *id) else { return Ok(()) };
        self.went_on = id;
        self.process(host, id, RemoteHandle::process_ready)
    }

    /// Has a remote process messages. One that is forgotten has none.
    fn process(
        &mut self,
        host: &mut dyn HostKernel,
        id: EndpointId,
        work: impl FnOnce(&mut RemoteHandle, &mut Inbound<'_>, &mut Vec<Outcome>) -> Result<(), KernelError>,
    ) -> Result<(), KernelError> {
        let Some(remote) = self.remotes.get_mut(&id) else { return Ok(()) };
        let (peer, is_stranger) = (remote.peer().clone(), self.strangers.contains(id));
        let portion = self.config.portion;
        let mut context = Inbound { host, redemptions: &self.redemptions, is_stranger, portion };
        let mut outcomes = Vec::new();
        let processed = work(remote, &mut context, &mut outcomes);
        self.finish(id, &peer, outcomes);
        processed.and_then(|()| self.review(host, id))
    }

    /// What was processed has its consequences, whatever came of the next message.
    fn finish(&mut self, remote: EndpointId, peer: &PeerId, outcomes: Vec<Outcome>) {
        outcomes.into_iter().for_each(|outcome| self.finish_one(remote, peer, outcome));
    }

    fn finish_one(&mut self, remote: EndpointId, peer: &PeerId, outcome: Outcome) {
        let peer = peer.clone();
        let event = match outcome {
            Outcome::Delivered | Outcome::Refused => return,
            Outcome::OpenUrl { ticket, url } => return self.effects.push_back(Effect::OpenUrl { ticket, url }),
            Outcome::Forgotten { incarnation, discarded, promises_rejected } => {
                self.reject_redemptions(remote, &RemoteError::PeerRestarted(peer.clone()).into());
                let Some(current) = incarnation else { return };
                let former = current.clone();
                RemoteEvent::PeerRestarted { peer, former, current, discarded, promises_rejected }
            }
            Outcome::Redeemed { reply_key, result } => {
                if let Some(id) = self.redemptions.take(&reply_key) {
                    let result = result.map_err(KernelError::Redemption);
                    self.effects.push_back(Effect::Redeemed { id, result });
                }
                return;
            }
            Outcome::Lost { lost, redemptions } => {
                let reason = "the peer had given this kernel up, and its answer may be lost".to_owned();
                let error = KernelError::from(RemoteError::ConnectionLost { peer: peer.clone(), reason });
                let ended = redemptions.iter().filter_map(|key| self.redemptions.take(key));
                self.effects.extend(ended.map(|id| Effect::Redeemed { id, result: Err(error.clone()) }));
                RemoteEvent::MessagesLost { peer, first: lost.first, last: lost.last }
            }
            Outcome::Rejected { seq, error, reply_key } => {
                if let Some(id) = reply_key.and_then(|key| self.redemptions.take(&key)) {
                    self.effects.push_back(Effect::Redeemed { id, result: Err(error.clone()) });
                }
                RemoteEvent::MessageRejected { peer, seq, reason: error.to_string() }
            }
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
        host: &mut dyn HostKernel,
        peer: &PeerId,
        observed: &IncarnationId,
        now: Timestamp,
    ) -> Result<bool, KernelError> {
        let known = self.last_seen(host, peer)?;
        let id = self.by_peer.get(peer).copied();
        let former = match known {
            Some(former) if former != *observed => former,
            same_or_first => {
                if same_or_first.is_none() {
                    self.note_incarnation(host, peer, observed, now)?;
                }
                if let Some(remote) = id.and_then(|id| self.remotes.get_mut(&id)) {
                    remote.channel_up(now);
                }
                return Ok(false);
            }
        };
        let (mut discarded, mut promises_rejected) = (0, 0);
        match id.and_then(|id| Some((id, self.remotes.get_mut(&id)?))) {
            None => self.note_incarnation(host, peer, observed, now)?,
            Some((id, remote)) => {
                // What it was given, its former self was given.
                let takes_back = self.strangers.was_only_given(id);
                promises_rejected = host.transaction("peerRestart", |host| {
                    host.set_peer_incarnation(peer, observed)?;
                    host.set_former_incarnation(id, &former)?;
                    if takes_back {
                        host.set_acquaintance(id, None)?;
                    }
                    remote.persist_peer_restart(host)
                })?;
                if takes_back {
                    self.strangers.sort(id, None);
                }
                discarded = remote.pending();
                remote.handle_peer_restart();
                if remote.former.replace(former.clone()).as_ref() == Some(observed) {
                    tracing::warn!(%peer, "two kernels have the identity of this peer");
                    self.effects.push_back(Effect::Event(RemoteEvent::IdentityShared {
                        peer: peer.clone(),
                        current: observed.clone(),
                        other: former.clone(),
                    }));
                }
                self.reject_redemptions(id, &RemoteError::PeerRestarted(peer.clone()).into());
            }
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
        host: &mut dyn HostKernel,
        peer: &PeerId,
        reason: &str,
    ) -> Result<(), KernelError> {
        let Some(id) = self.by_peer.get(peer).copied() else { return Ok(()) };
        let Some(remote) = self.remotes.get_mut(&id) else { return Ok(()) };
        let detail = format!("remote peer {peer} was given up: {reason}");
        let promises_rejected = host.transaction("giveUp", |host| remote.persist_give_up(host, &detail))?;
        let discarded = remote.pending();
        remote.give_up();
        let lost = RemoteError::ConnectionLost { peer: peer.clone(), reason: reason.to_owned() };
        self.reject_redemptions(id, &lost.into());
        self.effects.push_back(Effect::Event(RemoteEvent::GivenUp {
            peer: peer.clone(),
            reason: reason.to_owned(),
            discarded,
            promises_rejected,
        }));
        Ok(())
    }

    /// The network was started, perhaps again: whatever channels there were are gone, and it knows nobody.
    pub fn network_started(&mut self, now: Timestamp) {
        for (id, remote) in &mut self.remotes {
            remote.network_started(now);
            if !self.strangers.contains(*id) {
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
        host: &mut dyn HostKernel,
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
                self.handle_remote_give_up(host, &peer, &error.to_string())
            }
            _ => Ok(()),
        }
    }
}
