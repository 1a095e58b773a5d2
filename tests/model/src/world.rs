//! Two ends and what is between them: for each end its side of the network, and the frames on their way to it.
//!
//! The network gives what the transport gives (`network::transport`), seen from the session:
//!
//! * A channel keeps order. When it is cut, any number of the last frames are lost in each direction; each end notices in its
//!   own time, and writes into the void until then. What an end has read before that is still delivered, even after the next
//!   channel was announced, but not once the peer has shown another incarnation.
//! * The result of a write may be reported at any later time, before or after an announcement. A write that was under way
//!   when the loss was noticed is reported as refused although it may have arrived.
//! * Without a channel a write waits for one. When the next channel is about to be announced and something may have been
//!   lost since the last announcement (`gap`), what waits is refused after the announcement (`fenced`): so nothing
//!   overtakes what was lost. A failed attempt refuses it too.
//! * In a handshake the end that was dialled judges first, then the one that dialled. Each may use the channel from its own
//!   verdict on. A restart ends the attempt, except that the end that dialled may keep the channel.
//!
//! An end and its network are one step apart only in the direction from the network to the kernel. The other way makes no
//! difference: a write that is under way to the network while a channel is lost is as one made after the loss, which the
//! kernel does not know of yet.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use ocap_remotes::session::{WriteOutcome, WriteToken};

use crate::{
    end::{End, Violation},
    store::Incarnation,
};

/// 0 for Alice, 1 for Bob.
pub type Side = usize;

/// A frame on its way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Frame {
    /// The incarnation that wrote it.
    pub from: Incarnation,
    /// Whether it is on the present channel; else it was read from a former one.
    pub fresh: bool,
    /// The text.
    pub text: Arc<str>,
}

/// A write whose result has not been reported.
#[derive(Clone, Debug)]
pub struct Outgoing {
    token: WriteToken,
    /// Whether the session still waits for the result.
    pub current: bool,
    /// The text, while it waits for a channel.
    pub text: Arc<str>,
    /// The result, once there is one.
    pub outcome: Option<Outcome>,
}

/// How a write ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// See [`WriteOutcome`].
    Written,
    /// See [`WriteOutcome`].
    RateLimited,
    /// See [`WriteOutcome`].
    Refused,
}

impl From<Outcome> for WriteOutcome {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Written => WriteOutcome::Written,
            Outcome::RateLimited => WriteOutcome::RateLimited,
            Outcome::Refused => WriteOutcome::Refused,
        }
    }
}

impl Outgoing {
    /// A write that was just handed out.
    pub fn new(token: WriteToken, text: &str) -> Self {
        Outgoing { token, current: true, text: text.into(), outcome: None }
    }

    /// Names it to the session.
    pub fn token(&self) -> WriteToken {
        self.token
    }

    fn essence(&self) -> (bool, Option<Outcome>, Option<&str>) {
        (self.current, self.outcome, self.outcome.is_none().then_some(&*self.text))
    }
}

// Tokens are names without further meaning, as in the session.
impl PartialEq for Outgoing {
    fn eq(&self, other: &Self) -> bool {
        self.essence() == other.essence()
    }
}

impl Eq for Outgoing {}

impl Hash for Outgoing {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.essence().hash(state);
    }
}

/// One end's side of the network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Net {
    /// It has a channel, as far as it knows.
    pub up: bool,
    /// See the module's documentation.
    pub gap: bool,
    /// See the module's documentation.
    pub fenced: bool,
    /// Writes that wait for a channel, or whose results are not reported.
    pub writes: Vec<Outgoing>,
    /// The incarnation that the kernel is asked about.
    pub question: Option<Incarnation>,
    /// The kernel is to hear that the network has given the peer up.
    pub gave_up: bool,
}

impl Net {
    /// Refuses everything that waits for a channel.
    pub fn fail_waiting(&mut self) {
        for write in self.writes.iter_mut().filter(|write| write.outcome.is_none()) {
            write.outcome = Some(Outcome::Refused);
            self.gap |= !ocap_remotes::wire::is_standalone_ack(&write.text);
        }
    }

    /// Whether anything waits for a channel.
    pub fn has_waiting(&self) -> bool {
        self.writes.iter().any(|write| write.outcome.is_none())
    }

    /// The session has forgotten its write.
    pub fn forget_writes(&mut self) {
        self.writes.iter_mut().for_each(|write| write.current = false);
    }
}

/// A handshake under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Handshake {
    /// Who dialled.
    pub initiator: Side,
    /// Whether the other has taken the channel, so that it is the initiator's turn to judge.
    pub taken: bool,
}

/// How often each thing may still happen. What the ends do by themselves is not bounded: it comes to an end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Bounds {
    /// Messages that each program sends.
    pub sends: [u8; 2],
    /// Kernel and network die, the store stays.
    pub crashes: [u8; 2],
    /// Kernel, network and store die.
    pub wipes: [u8; 2],
    /// The network alone dies.
    pub reloads: [u8; 2],
    /// The give-up timer fires, or the network gives up.
    pub give_ups: [u8; 2],
    /// The retransmission timer fires.
    pub retransmissions: [u8; 2],
    /// A write is refused by the rate limit.
    pub rate_limits: [u8; 2],
    /// The channel is cut, or an attempt to get one fails.
    pub cuts: u8,
    /// A frame is lost, repeated or overtaken on a channel that stays.
    pub mischief: u8,
}

/// A value with its hash, so that what did not change is not hashed again.
#[derive(Clone, Debug)]
pub struct Hashed<T> {
    hash: u64,
    value: T,
}

impl<T: Hash> Hashed<T> {
    /// Hashes a value once and for all.
    pub fn new(value: T) -> Arc<Self> {
        let mut hasher = DefaultHasher::new();
        value.hash(&mut hasher);
        Arc::new(Hashed { hash: hasher.finish(), value })
    }
}

impl<T> std::ops::Deref for Hashed<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: PartialEq> PartialEq for Hashed<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl<T: Eq> Eq for Hashed<T> {}

impl<T> Hash for Hashed<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

/// Everything there is. See the module's documentation.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct World {
    /// Alice and Bob.
    pub ends: [Arc<Hashed<End>>; 2],
    /// The network of each.
    pub nets: [Net; 2],
    /// The frames on their way to each.
    pub toward: [Vec<Frame>; 2],
    /// The last channel is not cut.
    pub alive: bool,
    /// The handshake under way.
    pub handshake: Option<Handshake>,
    /// What may still happen.
    pub left: Bounds,
    /// What went wrong; then nothing happens any more.
    pub violation: Option<Arc<str>>,
}

impl World {
    /// Two ends that have never met.
    pub fn new(end: &End, left: Bounds) -> Self {
        let end = Hashed::new(end.clone());
        World {
            ends: [Arc::clone(&end), end],
            nets: Default::default(),
            toward: Default::default(),
            alive: false,
            handshake: None,
            left,
            violation: None,
        }
    }

    /// Names the state but for what may still happen.
    pub fn essence(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        (&self.ends, &self.nets, &self.toward, self.alive, self.handshake).hash(&mut hasher);
        hasher.finish()
    }

    /// Lets an end do something; it sees the other.
    pub fn act<T>(
        &mut self,
        side: Side,
        act: impl FnOnce(&mut End, &End) -> Result<T, Violation>,
    ) -> Result<T, Violation> {
        let mut end = End::clone(&self.ends[side]);
        let done = act(&mut end, &self.ends[1 - side])?;
        end.check()?;
        self.ends[side] = Hashed::new(end);
        Ok(done)
    }

    /// Whether the frame at this place could be read now.
    pub fn is_readable(&self, side: Side, place: usize) -> bool {
        self.toward[side].get(place).is_some_and(|frame| !frame.fresh || self.nets[side].up)
    }

    /// The channel is no more; nothing that is written from now on arrives.
    pub fn cut(&mut self) {
        self.alive = false;
        if let Some(Handshake { initiator, taken: true }) = self.handshake.take() {
            // The initiator has not read beyond the handshake.
            self.toward[initiator].retain(|frame| !frame.fresh);
        }
    }

    /// An end notices that its channel is no more. What it has read stays.
    pub fn notice(&mut self, side: Side) {
        let net = &mut self.nets[side];
        net.up = false;
        net.gap = true;
        self.toward[side].iter_mut().for_each(|frame| frame.fresh = false);
    }

    /// The network of `side` asks its kernel about the incarnation that the peer has shown.
    pub fn ask(&mut self, side: Side) {
        let observed = self.ends[1 - side].incarnation;
        self.toward[side].retain(|frame| frame.from == observed);
        let net = &mut self.nets[side];
        net.fenced |= std::mem::take(&mut net.gap);
        net.question = Some(observed);
    }

    /// The kernel has answered: what waited may not go out if it should have come after something else.
    pub fn conclude(&mut self, side: Side, restarted: bool, fence: bool) {
        let net = &mut self.nets[side];
        if std::mem::take(&mut net.fenced) && fence || restarted {
            net.fail_waiting();
            net.gap = false;
        }
    }

    /// An end takes the channel, and writes what waited for it.
    pub fn register(&mut self, side: Side) {
        self.nets[side].up = true;
        let mut writes = std::mem::take(&mut self.nets[side].writes);
        for write in writes.iter_mut().filter(|write| write.outcome.is_none()) {
            write.outcome = Some(Outcome::Written);
            self.put(side, Arc::clone(&write.text));
        }
        self.nets[side].writes = writes;
    }

    /// Puts a frame on the channel.
    pub fn put(&mut self, from: Side, text: Arc<str>) {
        if self.alive {
            let frame = Frame { from: self.ends[from].incarnation, fresh: true, text };
            self.toward[1 - from].push(frame);
        }
    }
}
