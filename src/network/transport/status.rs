//! What the transport knows of its peers, for people and pages.

use super::{
    ChannelId, Transport,
    context::Context,
    peer::{Inbound, Outbound, Peer, Standing},
};
use crate::{
    network::status::{ChannelStatus, LastError, Path, PeerState, PeerStatus},
    wire::PeerId,
};

/// The longest reason that is kept, in bytes: it may quote what a peer or an address says.
const MAX_REASON: usize = 200;

/// What a change of is worth an event. Traffic is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Outline {
    state: PeerState,
    channel: Option<ChannelId>,
    next_attempt_at: Option<u64>,
}

impl Transport {
    /// All peers. `path` tells of the connection below a channel.
    pub fn status(&self, path: impl Fn(ChannelId) -> Path) -> Vec<PeerStatus> {
        self.peers.values().map(|peer| peer.status(&path)).collect()
    }

    /// Forgets which peers changed, when nobody wants to know.
    pub fn forget_changes(&mut self) {
        self.cx.changed.clear();
    }

    /// The peers that changed since this was last asked, at most one status for each. A peer that is forgotten is idle.
    pub fn take_changes(&mut self, path: impl Fn(ChannelId) -> Path) -> Vec<PeerStatus> {
        let changed = std::mem::take(&mut self.cx.changed);
        let status = |id: PeerId| match self.peers.get(&id) {
            Some(peer) => peer.status(&path),
            None => Peer::new(id, &self.cx.policy, self.cx.now).status(&path),
        };
        changed.into_iter().map(status).collect()
    }
}

impl Peer {
    pub(super) fn outline(&self) -> Outline {
        Outline {
            state: self.state(),
            channel: self.registered.as_ref().map(|registered| registered.writer.channel),
            next_attempt_at: self.next_attempt_at(),
        }
    }

    fn state(&self) -> PeerState {
        match (&self.registered, &self.inbound, &self.outbound, self.standing) {
            (Some(_), ..) => PeerState::Connected,
            (_, Inbound::AwaitingHello { .. } | Inbound::AwaitingVerdict { .. }, ..)
            | (_, _, Outbound::AwaitingAck { .. } | Outbound::AwaitingVerdict { .. }, _) => PeerState::Handshaking,
            (_, _, Outbound::Dialling { .. }, _) => PeerState::Dialling,
            (_, _, Outbound::Backoff { .. }, _) => PeerState::Waiting,
            (_, _, _, Standing::Closed) => PeerState::Closed,
            (_, _, _, Standing::Failed) => PeerState::Failed,
            (_, _, _, Standing::Open) => PeerState::Idle,
        }
    }

    fn next_attempt_at(&self) -> Option<u64> {
        match self.outbound {
            Outbound::Backoff { until } => Some(until.as_millis()),
            _ => None,
        }
    }

    fn status(&self, path: impl Fn(ChannelId) -> Path) -> PeerStatus {
        let channel = self.registered.as_ref().map(|registered| {
            let path = path(registered.writer.channel);
            ChannelStatus {
                kind: path.kind,
                round_trip_ms: path.round_trip().map(|time| time.as_secs_f64() * 1_000.0),
                relay: path.relay,
                incarnation: registered.incarnation.clone(),
                dialled_by_us: registered.dialled_by_us,
                since: registered.since.as_millis(),
                last_traffic: registered.last_traffic.as_millis(),
            }
        });
        PeerStatus {
            peer_id: self.id.clone(),
            state: self.state(),
            channel,
            unwritten: self.registered.as_ref().map_or(self.waiting.len(), |registered| registered.writer.len()),
            failed_attempts: self.backoff.failures(),
            next_attempt_at: self.next_attempt_at(),
            last_error: self.last_error.clone(),
        }
    }

    pub(super) fn note_error(&mut self, cx: &Context, reason: &str) {
        let end = (0..=MAX_REASON.min(reason.len())).rev().find(|end| reason.is_char_boundary(*end)).unwrap_or(0);
        let reason = reason.get(..end).unwrap_or_default().to_owned();
        self.last_error = Some(LastError { at: cx.now.as_millis(), reason });
    }
}
