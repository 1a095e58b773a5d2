//! What all peers share: time, randomness, policy, and the effects that they have.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    fmt,
};

use super::{
    io::{ChannelId, DialId, Effect, SendId},
    policy::Policy,
    standstill::Standstill,
    turns::Turns,
};
use crate::{
    network::circuit::CircuitUse,
    runtime::Timestamp,
    wire::{IncarnationId, PeerId, RemoteError},
};

/// A source of evenly distributed numbers, for jitter. It need not be cryptographic.
pub type RandomSource = Box<dyn FnMut() -> u64>;

/// What is known of a channel.
struct Known {
    peer: PeerId,
    circuit: Option<CircuitUse>,
    with_incumbent: bool,
}

pub(super) struct Context {
    pub(super) own_id: PeerId,
    pub(super) incarnation: IncarnationId,
    pub(super) policy: Policy,
    pub(super) now: Timestamp,
    /// Peers with a channel or on the way to one.
    pub(super) engaged: usize,
    /// Those of them that came by themselves and that the kernel does not know.
    pub(super) guests: usize,
    /// Peers whose status is news; no more than there are peers, for the driver takes them after each input.
    pub(super) changed: BTreeSet<PeerId>,
    /// Whose frame the kernel gets next.
    pub(super) turns: Turns,
    random: RandomSource,
    effects: VecDeque<Effect>,
    channels: HashMap<ChannelId, Known>,
    dials: HashMap<DialId, PeerId>,
    last_dial: u64,
}

impl Context {
    pub(super) fn new(
        now: Timestamp,
        own_id: PeerId,
        incarnation: IncarnationId,
        policy: Policy,
        random: RandomSource,
    ) -> Self {
        Context {
            own_id,
            incarnation,
            policy,
            now,
            engaged: 0,
            guests: 0,
            changed: BTreeSet::new(),
            turns: Turns::new(),
            random,
            effects: VecDeque::new(),
            channels: HashMap::new(),
            dials: HashMap::new(),
            last_dial: 0,
        }
    }

    pub(super) fn effect(&mut self, effect: Effect) {
        self.effects.push_back(effect);
    }

    pub(super) fn next_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    pub(super) fn finish(&mut self, id: Option<SendId>, result: Result<(), RemoteError>) {
        match (id, result) {
            (Some(id), result) => self.effect(Effect::SendDone { id, result }),
            (None, Ok(())) => {}
            (None, Err(error)) => tracing::debug!(%error, "a message that nobody waits for was not written"),
        }
    }

    pub(super) fn random(&mut self) -> u64 {
        (self.random)()
    }

    pub(super) fn wait_for_writing(&self) -> Standstill {
        Standstill::new(self.now, self.policy.write_timeout)
    }

    pub(super) fn wait_for_handshake(&self) -> Standstill {
        Standstill::new(self.now, self.policy.handshake_timeout)
    }

    pub(super) fn has_free_slot(&self) -> bool {
        self.engaged < self.policy.max_connections
    }

    pub(super) fn begin_dial(&mut self, peer: &PeerId, addresses: Vec<String>, anew: bool) -> DialId {
        self.last_dial = self.last_dial.saturating_add(1);
        let dial = DialId(self.last_dial);
        self.dials.insert(dial, peer.clone());
        self.effect(Effect::Dial { dial, peer: peer.clone(), addresses, anew });
        dial
    }

    /// Whose dial this is, if anybody still waits for it.
    pub(super) fn end_dial(&mut self, dial: DialId) -> Option<PeerId> {
        self.dials.remove(&dial)
    }

    pub(super) fn cancel_dial(&mut self, dial: DialId) {
        if self.dials.remove(&dial).is_some() {
            self.effect(Effect::CancelDial { dial });
        }
    }

    pub(super) fn adopt_channel(&mut self, channel: ChannelId, peer: &PeerId) {
        self.channels.insert(channel, Known { peer: peer.clone(), circuit: None, with_incumbent: false });
        self.effect(Effect::Weigh { channel });
    }

    pub(super) fn channel_peer(&self, channel: ChannelId) -> Option<PeerId> {
        self.channels.get(&channel).map(|known| known.peer.clone())
    }

    pub(super) fn note_line(&mut self, channel: ChannelId, circuit: Option<CircuitUse>, with_incumbent: bool) {
        if let Some(known) = self.channels.get_mut(&channel) {
            (known.circuit, known.with_incumbent) = (circuit, with_incumbent);
        }
    }

    /// Whether the peer of a channel is an incumbent.
    pub(super) fn is_with_incumbent(&self, channel: ChannelId) -> bool {
        self.channels.get(&channel).is_some_and(|known| known.with_incumbent)
    }

    /// The circuit below a channel, as it was last told of.
    pub(super) fn circuit(&self, channel: ChannelId) -> Option<CircuitUse> {
        self.channels.get(&channel)?.circuit.clone()
    }

    pub(super) fn close(&mut self, channel: ChannelId) {
        self.channels.remove(&channel);
        self.effect(Effect::Close { channel });
    }

    /// Asks whether what was given to the connection before the wait may still be on its way.
    pub(super) fn check_line(&mut self, channel: ChannelId, waiting: Standstill) {
        self.effect(Effect::CheckLine { channel, since: waiting.since() });
    }

    pub(super) fn reset(&mut self, channel: ChannelId) {
        self.channels.remove(&channel);
        self.effect(Effect::Reset { channel });
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("own_id", &self.own_id).field("now", &self.now).finish_non_exhaustive()
    }
}
