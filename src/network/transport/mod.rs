//! The transport: one channel to each peer, and everything that is decided about it (protocol §2, §3, §6).
//!
//! This is a state machine without I/O, clock or tasks: [`Transport::handle`] takes what happened,
//! [`Transport::poll_effect`] says what is to be done, [`Transport::poll_timeout`] when to come back. It decides whom to dial
//! and when, agrees with the peer on one channel and on incarnations, writes messages in call order, and keeps the limits.
//! It knows nothing of libp2p, and of messages only whether they are standalone acknowledgements; that nothing is lost or
//! repeated over several channels is the business of the kernel's session.

#![forbid(unsafe_code)]

mod backoff;
mod channel;
mod connecting;
mod context;
mod handshake;
mod hints;
mod io;
mod moving;
mod peer;
mod places;
mod policy;
mod rate;
mod rollover;
mod standstill;
mod status;
#[cfg(test)]
mod tests;
mod traffic;
mod turns;
mod wake;

use std::collections::BTreeMap;

use channel::{End, Outgoing};
use context::Context;
pub use context::RandomSource;
pub use io::{ChannelId, DeliveryOutcome, DialId, Effect, Input, SendId};
use peer::Peer;
use policy::Policy;
use wake::WakeDetector;

use crate::{
    runtime::Timestamp,
    wire::{IncarnationId, PeerId, RemoteCommsOptions, RemoteError},
};

/// All peers of one kernel.
#[derive(Debug)]
pub struct Transport {
    peers: BTreeMap<PeerId, Peer>,
    cx: Context,
    stopped: bool,
    wake: WakeDetector,
    next_cleanup: Timestamp,
}

impl Transport {
    /// A transport without peers, for the kernel that shows itself as `incarnation` of `own_id`.
    pub fn new(
        now: Timestamp,
        own_id: PeerId,
        incarnation: IncarnationId,
        options: &RemoteCommsOptions,
        random: RandomSource,
    ) -> Self {
        let policy = Policy::new(options);
        Transport {
            peers: BTreeMap::new(),
            wake: WakeDetector::new(now),
            next_cleanup: now.after(policy.cleanup_interval),
            cx: Context::new(now, own_id, incarnation, policy, random),
            stopped: false,
        }
    }

    /// Takes in what happened. Then poll the effects until there are none.
    pub fn handle(&mut self, now: Timestamp, input: Input) {
        self.cx.now = now;
        if self.stopped {
            return self.handle_stopped(input);
        }
        match input {
            Input::Send { id, to, message } if to == self.cx.own_id => {
                let message = format!("a message of {} bytes to this kernel itself", message.len());
                self.cx.finish(Some(id), Err(RemoteError::Other { name: "Error".to_owned(), message }));
            }
            Input::Send { id, to, message } => {
                self.with_peer(to, |peer, cx| peer.send(cx, Outgoing::new(Some(id), message)));
            }
            // There is no connection with oneself to be had, closed, or looked for.
            Input::CloseConnection { peer } | Input::RegisterHints { peer, .. } | Input::Reconnect { peer, .. }
                if peer == self.cx.own_id => {}
            Input::CloseConnection { peer } => self.with_peer(peer, Peer::close_on_purpose),
            Input::RegisterHints { peer, hints } => self.with_peer(peer, |peer, _| peer.introduce(&hints)),
            Input::Reconnect { peer, hints } => self.with_peer(peer, |peer, cx| {
                peer.introduce(&hints);
                peer.reconnect_now(cx);
            }),
            Input::ResetBackoffs => self.with_all(|peer, _| peer.reset_backoff()),
            Input::NetworkChanged => self.network_changed(),
            Input::Stop => self.stop(),
            Input::DialSucceeded { dial, channel } => match self.cx.end_dial(dial) {
                Some(peer) => self.with_peer(peer, |peer, cx| peer.dial_succeeded(cx, channel)),
                None => self.cx.close(channel),
            },
            Input::DialFailed { dial, error } => {
                if let Some(peer) = self.cx.end_dial(dial) {
                    self.with_peer(peer, |peer, cx| peer.dial_failed(cx, &error));
                }
            }
            Input::Inbound { channel, peer } => self.inbound(channel, peer),
            Input::Frame { channel, text } => self.with_channel(channel, |peer, cx| peer.frame(cx, channel, text)),
            Input::FrameError { channel, error } => {
                self.with_channel(channel, |peer, cx| peer.frame_error(cx, channel, &error));
            }
            Input::Weighed { channel, circuit, with_incumbent } => {
                self.with_channel(channel, |peer, cx| peer.weighed(cx, channel, circuit, with_incumbent));
            }
            Input::LineChecked { channel, carrying } => {
                self.with_channel(channel, |peer, cx| peer.line_checked(cx, channel, carrying));
            }
            Input::PartWritten { channel } => self.with_channel(channel, |peer, cx| peer.part_written(cx, channel)),
            Input::PartRead { channel } => self.with_channel(channel, |peer, cx| peer.part_read(cx, channel)),
            Input::Written { channel } => self.with_channel(channel, |peer, cx| peer.written(cx, channel)),
            Input::ChannelClosed { channel, reason } => {
                self.with_channel(channel, |peer, cx| peer.channel_ended(cx, channel, &reason, End::Closed));
            }
            Input::Verdict { channel, peer, restarted } => {
                self.with_known(peer, |peer, cx| peer.verdict(cx, channel, &restarted));
            }
            Input::Delivered { peer, outcome } => {
                self.cx.turns.answered(&peer);
                self.with_known(peer, |peer, cx| peer.delivered(cx, outcome));
            }
            Input::Timeout => self.on_timeout(),
        }
        self.hand_over();
    }

    /// Gives the kernel as much as it may have, from whoever has the turn.
    fn hand_over(&mut self) {
        let Transport { peers, cx, .. } = self;
        let now = cx.now;
        while let Some(id) = cx.turns.next(now, |id| peers.get(id).and_then(Peer::next_frame)) {
            if let Some(peer) = peers.get_mut(&id) {
                advance(peer, cx, Peer::hand_over);
            }
        }
    }

    /// What is to be done next, in order.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.cx.next_effect()
    }

    /// When to feed [`Input::Timeout`]; `None` once stopped.
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        if self.stopped {
            return None;
        }
        let peers = self.peers.values().filter_map(|peer| peer.deadline(&self.cx.policy));
        peers.chain([self.wake.next_tick(), self.next_cleanup]).min()
    }

    fn inbound(&mut self, channel: ChannelId, peer: PeerId) {
        if peer == self.cx.own_id || !self.has_place_for(&peer) {
            tracing::debug!(%peer, "refused a channel: no place");
            return self.cx.close(channel);
        }
        self.with_peer(peer, |peer, cx| peer.inbound_opened(cx, channel));
    }

    fn on_timeout(&mut self) {
        let now = self.cx.now;
        if self.wake.woke(now) {
            tracing::info!("woke from a sleep: all backoffs are reset, all connections are probed");
            self.network_changed();
        }
        self.with_all(|peer, cx| {
            if peer.deadline(&cx.policy).is_some_and(|deadline| deadline <= cx.now) {
                peer.on_timeout(cx);
            }
        });
        if now >= self.next_cleanup {
            self.next_cleanup = now.after(self.cx.policy.cleanup_interval);
            self.forget_stale();
        }
    }

    /// Old failures mean nothing any more, and connections may be dead without knowing.
    fn network_changed(&mut self) {
        self.cx.effect(Effect::Probe);
        self.with_all(|peer, _| peer.reset_backoff());
    }

    /// Forgets what was seen of peers that were not heard of for long. That the kernel knows them, and where, stays.
    fn forget_stale(&mut self) {
        let cx = &mut self.cx;
        self.peers.retain(|_, peer| {
            if !peer.is_stale(cx) {
                return true;
            }
            if peer.wanted {
                peer.give_up(cx);
            }
            cx.changed.insert(peer.id.clone());
            let (hints, known) = (std::mem::take(&mut peer.hints), peer.known);
            *peer = Peer::new(peer.id.clone(), &cx.policy, cx.now);
            (peer.hints, peer.known) = (hints, known);
            known
        });
    }

    fn stop(&mut self) {
        let cx = &mut self.cx;
        for peer in self.peers.values_mut() {
            peer.disconnect(cx, &RemoteError::NetworkStopped);
            cx.changed.insert(peer.id.clone());
        }
        self.peers.clear();
        self.stopped = true;
    }

    fn handle_stopped(&mut self, input: Input) {
        match input {
            Input::Send { id, .. } => self.cx.finish(Some(id), Err(RemoteError::NetworkStopped)),
            Input::DialSucceeded { channel, .. } | Input::Inbound { channel, .. } => self.cx.close(channel),
            _ => {}
        }
    }

    fn with_channel(&mut self, channel: ChannelId, act: impl FnOnce(&mut Peer, &mut Context)) {
        if let Some(peer) = self.cx.channel_peer(channel) {
            self.with_known(peer, act);
        }
    }

    fn with_known(&mut self, id: PeerId, act: impl FnOnce(&mut Peer, &mut Context)) {
        if self.peers.contains_key(&id) {
            self.with_peer(id, act);
        }
    }

    fn with_peer(&mut self, id: PeerId, act: impl FnOnce(&mut Peer, &mut Context)) {
        let cx = &mut self.cx;
        let peer = self.peers.entry(id.clone()).or_insert_with(|| Peer::new(id.clone(), &cx.policy, cx.now));
        advance(peer, cx, act);
        if peer.is_blank(cx.now) {
            self.peers.remove(&id);
        }
    }

    fn with_all(&mut self, mut act: impl FnMut(&mut Peer, &mut Context)) {
        let cx = &mut self.cx;
        self.peers.retain(|_, peer| {
            advance(peer, cx, &mut act);
            !peer.is_blank(cx.now)
        });
    }
}

/// Lets something happen to a peer, settles it, and keeps the counts of places and the list of changed peers.
fn advance(peer: &mut Peer, cx: &mut Context, act: impl FnOnce(&mut Peer, &mut Context)) {
    let (engaged, guest, outline) = (peer.is_engaged(), peer.is_guest(), peer.outline());
    act(peer, cx);
    peer.settle(cx);
    recount(&mut cx.engaged, engaged, peer.is_engaged());
    recount(&mut cx.guests, guest, peer.is_guest());
    if peer.outline() != outline {
        cx.changed.insert(peer.id.clone());
    }
}

fn recount(count: &mut usize, before: bool, after: bool) {
    match (before, after) {
        (false, true) => *count = count.saturating_add(1),
        (true, false) => *count = count.saturating_sub(1),
        _ => {}
    }
}
