//! The kernel's end: a program's objects and promises, its remotes, and what it asks of the network.
//!
//! A [`Kernel`] is synchronous and does no I/O. Every call changes the store in transactions, which are gathered:
//!
//! 1. Call what has happened, as much of it as there is.
//! 2. Give the program every event that [`Kernel::poll_event`] has. What the program calls in answer belongs to the same
//!    group.
//! 3. [`Kernel::commit`]. Now all of it is durable at once, and nothing of it was known outside before.
//! 4. Do what [`Kernel::poll_effect`] says.
//!
//! After a crash the store is that of the last commit: events that were taken since are given out again to the program's
//! next life, and what it had answered was never sent. (So a crash looks to the outside like a pause: Yoo et al., "Composable
//! reliability for asynchronous systems", USENIX ATC 2012.)
//!
//! An outbound message passes through the files in this order: [`program`](Kernel::send), `router`, [`RemoteHandle`], and
//! then the [`session`](crate::session). The [`driver`](KernelDriver) joins a kernel to a network and a clock.

#![forbid(unsafe_code)]

mod driver;
mod error;
mod host;
mod identity;
mod issuer;
mod ocap_url;
mod order;
mod program;
mod queue;
mod remote;
mod router;
pub mod store;
#[cfg(test)]
mod tests;

use std::collections::{HashSet, VecDeque};

pub use driver::{Crank, EventHandler, KernelDriver, RemotesDriver};
pub use error::{KernelError, RejectionCode};
pub use host::HostKernel;
pub use identity::{IdentityError, KernelIdentity, SeedSource};
pub use issuer::UrlIssuer;
pub use ocap_url::{OcapUrl, OcapUrlError};
pub use program::PROGRAM;
pub use remote::{
    Effect, MAX_REFERENCES, MAX_SLOTS, RedemptionId, RemoteCounters, RemoteEvent, RemoteHandle, RemoteManager,
    RemoteManagerConfig, RemoteWrite, UrlTicket,
};
use store::{KernelStore, StoreError};

use crate::{
    runtime::Timestamp,
    session::WriteToken,
    wire::{CapData, EndpointId, IncarnationId, Kref, PeerId, RemoteCommsOptions, RemoteError},
};

/// Something for the program that the kernel serves.
#[derive(Debug, PartialEq)]
pub enum KernelEvent {
    /// A message to one of the program's objects.
    Message {
        /// The object.
        target: Kref,
        /// Method and arguments; the program now holds every slot.
        methargs: CapData<Kref>,
        /// The promise that the program is to settle with [`Kernel::resolve`], if an answer is wanted.
        result: Option<Kref>,
    },
    /// A promise that the program held was settled. It is released thereby.
    Notify {
        /// The promise.
        promise: Kref,
        /// True when it was rejected.
        rejected: bool,
        /// The value, or the reason; the program now holds every slot.
        value: CapData<Kref>,
    },
    /// Objects that the program had released are now unreachable from outside too.
    Retired(Vec<Kref>),
    /// A redemption has ended; the program holds the object it gave.
    Redeemed {
        /// Which.
        id: RedemptionId,
        /// The object, or why there is none.
        result: Result<Kref, KernelError>,
    },
    /// Something happened to a remote.
    Remote(RemoteEvent),
    /// The store could not be committed, and this kernel has stopped. What was not committed is as if it had never been:
    /// start the kernel again from its store. Only a [`KernelDriver`] tells this.
    StoreFailed(StoreError),
}

impl KernelEvent {
    /// Whether the program may use this reference once it is told.
    fn gives(&self, kref: Kref) -> bool {
        match self {
            KernelEvent::Message { target, methargs, result } => {
                *target == kref || *result == Some(kref) || methargs.slots.contains(&kref)
            }
            KernelEvent::Notify { value, .. } => value.slots.contains(&kref),
            KernelEvent::Redeemed { result, .. } => *result == Ok(kref),
            KernelEvent::Retired(_) | KernelEvent::Remote(_) | KernelEvent::StoreFailed(_) => false,
        }
    }
}

/// Something to do outside, in the order given.
#[derive(Debug, PartialEq)]
pub enum KernelEffect {
    /// Write a message to a peer and report the result with [`Kernel::write_finished`].
    Write(RemoteWrite),
    /// Tell the network where a peer may be found.
    RegisterLocationHints {
        /// The peer.
        peer: PeerId,
        /// Multiaddrs.
        hints: Vec<String>,
    },
    /// Open the URL that a peer wants to redeem, by [`Kernel::open_url`] or elsewhere, and report with
    /// [`Kernel::url_opened`]. It may take its time: that peer's next messages wait, everything else goes on.
    OpenUrl {
        /// Goes back with the result.
        ticket: UrlTicket,
        /// The URL.
        url: String,
    },
}

fn bytes<const N: usize>(random: &mut dyn FnMut(&mut [u8])) -> [u8; N] {
    let mut bytes = [0; N];
    random(&mut bytes);
    bytes
}

/// A kernel that serves one program. See the [module](self).
pub struct Kernel {
    store: KernelStore,
    remotes: RemoteManager,
    identity: KernelIdentity,
    incarnation: IncarnationId,
    events: VecDeque<KernelEvent>,
    effects: VecDeque<KernelEffect>,
    /// Redemptions among the events that gave the program an object which it did not hold before.
    brought: HashSet<RedemptionId>,
    /// Something was done that ought to be durable soon, beyond what the remotes wait for.
    unsaved: bool,
    /// The storage failed while the queue was run: it is to be run again.
    unsettled: Option<KernelError>,
    /// There may be garbage: the next turn goes on.
    has_more: bool,
    /// Operations of the store when the last turn was over.
    settled_at: u64,
    limits: TurnLimits,
}

/// How much is done in one turn. What is left waits for the next, so that nobody who asks for a great deal keeps others waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TurnLimits {
    /// Of a long list, and of garbage, so many references in one transaction.
    pub references: usize,
    /// After so many operations of the store, or twice as many as what happened took, the rest of the garbage waits.
    pub operations: u64,
}

impl Default for TurnLimits {
    /// A portion takes one or two milliseconds, and so does garbage.
    fn default() -> Self {
        TurnLimits { references: 250, operations: 2_000 }
    }
}

impl Kernel {
    /// Takes up the kernel in `store`, or begins one: its identity from `seed` or at random, a new incarnation. `random`
    /// fills bytes from a cryptographic source.
    ///
    /// # Errors
    /// [`KernelError::Identity`] for a seed that does not fit the store; [`KernelError::Store`].
    pub fn open(
        mut store: KernelStore,
        options: &RemoteCommsOptions,
        seed: Option<SeedSource>,
        random: &mut dyn FnMut(&mut [u8]),
        now: Timestamp,
    ) -> Result<Self, KernelError> {
        let limits = TurnLimits::default();
        let config = RemoteManagerConfig { portion: limits.references, ..options.into() };
        let is_restored = store.is_restored()?;
        store.gather_transactions();
        let (identity, incarnation, issuer) = store.transaction("openKernel", |store| {
            let identity = KernelIdentity::provide(store, seed, bytes(random))?;
            let incarnation = store.provide_incarnation_id(bytes(random))?;
            let issuer = UrlIssuer::provide(store, identity.peer_id().clone(), bytes(random))?;
            for relay in &options.relays {
                store.note_relay(relay, now, true)?;
            }
            store.init_endpoint(PROGRAM)?;
            store.set_last_active_time(now)?;
            Ok::<_, KernelError>((identity, incarnation, issuer))
        })?;
        let mut remotes = RemoteManager::new(&mut store, config, issuer, now)?;
        if is_restored {
            remotes.handle_restoration(&mut store)?;
        }
        store.commit()?;
        let mut kernel = Kernel {
            store,
            remotes,
            identity,
            incarnation,
            events: VecDeque::new(),
            effects: VecDeque::new(),
            brought: HashSet::new(),
            unsaved: false,
            unsettled: None,
            has_more: false,
            settled_at: 0,
            limits,
        };
        kernel.settle();
        Ok(kernel)
    }

    /// Its peer id.
    pub fn peer_id(&self) -> &PeerId {
        self.identity.peer_id()
    }

    /// Its identity.
    pub fn identity(&self) -> &KernelIdentity {
        &self.identity
    }

    /// Its incarnation: new for a new store, and kept as long as the store lives.
    pub fn incarnation(&self) -> &IncarnationId {
        &self.incarnation
    }

    /// Its remotes.
    pub fn remotes(&self) -> &RemoteManager {
        &self.remotes
    }

    /// Its store, to look at.
    pub fn store(&self) -> &KernelStore {
        &self.store
    }

    /// Ends the kernel as a crash would, and gives its store back as it was at the last [`commit`](Self::commit); nothing
    /// else of it is needed to go on later.
    ///
    /// # Errors
    /// [`KernelError::Store`].
    pub fn into_store(mut self) -> Result<KernelStore, KernelError> {
        self.store.abandon_uncommitted()?;
        Ok(self.store)
    }

    /// Lets go of the store, so that it can be opened again; what was not committed is lost. The kernel refuses everything.
    pub fn close(&mut self) {
        self.store.close();
    }

    /// Changes how much is done in one turn. Nothing else depends on it.
    pub fn limit_turns(&mut self, limits: TurnLimits) {
        self.limits = limits;
        self.remotes.take_portions_of(limits.references);
    }

    // --- Durability

    /// Asks for a [`commit`](Self::commit) even if nothing waits for one.
    pub fn request_commit(&mut self) {
        self.unsaved = true;
    }

    /// Whether something ought to be durable soon: a message or an acknowledgement waits for it, or the program did
    /// something. (Acknowledgements of the peer alone can wait: if they are forgotten, messages are sent again in vain.) Or
    /// nothing can be durable any more, which a commit tells.
    pub fn awaits_commit(&self) -> bool {
        self.unsaved || self.remotes.awaits_commit() || self.store.failure().is_some()
    }

    /// Makes everything since the last commit durable, if the program has taken every [event](Self::poll_event): an event
    /// and what the program makes of it are committed together or not at all. If it has not, nothing is done.
    ///
    /// # Errors
    /// [`KernelError::Store`]. The kernel is of no use any more: it says nothing and refuses everything. Open it anew from its
    /// storage, as after a crash.
    pub fn commit(&mut self, now: Timestamp) -> Result<(), KernelError> {
        if self.events.is_empty() {
            self.store.commit()?;
            self.remotes.commit(now);
            self.unsaved = false;
        }
        Ok(())
    }

    // --- What the network tells

    /// A message from a peer. See [`RemoteManager::handle_remote_message`].
    ///
    /// # Errors
    /// As there.
    pub fn handle_remote_message(&mut self, from: &PeerId, message: &str, now: Timestamp) -> Result<(), KernelError> {
        let handled = self.remotes.handle_remote_message(&mut self.store, from, message, now);
        // What was processed before the error stands, and has its consequences.
        self.settle();
        handled
    }

    /// Whether the last message came from a peer that was given up over it. See [`RemoteManager::takes_no_more`].
    pub fn takes_no_more(&mut self) -> bool {
        self.remotes.takes_no_more()
    }

    /// Opens a URL that an effect asked for: this kernel's own are sealed under its own key.
    ///
    /// # Errors
    /// As [`url_opened`](Self::url_opened); a URL that does not open is no error here, but told to the peer.
    pub fn open_url(&mut self, ticket: UrlTicket, url: &str) -> Result<(), KernelError> {
        let opened = url.parse().and_then(|url| self.remotes.issuer().open(&url));
        self.url_opened(ticket, opened.map_err(|error| error.to_string()))
    }

    /// Tells the object behind a URL, or for the peer to read why there is none. See [`RemoteManager::url_opened`].
    ///
    /// # Errors
    /// As there.
    pub fn url_opened(&mut self, ticket: UrlTicket, result: Result<Kref, String>) -> Result<(), KernelError> {
        let handled = self.remotes.url_opened(&mut self.store, ticket, result);
        self.settle();
        handled
    }

    /// The network has given a peer up. See [`RemoteManager::handle_remote_give_up`].
    ///
    /// # Errors
    /// As there.
    pub fn handle_remote_give_up(&mut self, peer: &PeerId) -> Result<(), KernelError> {
        let reason = "the network stopped trying to reach it";
        self.unsaved = true;
        self.remotes.handle_remote_give_up(&mut self.store, peer, reason)?;
        self.settle();
        Ok(())
    }

    /// The network sees a long message move. See [`RemoteManager::handle_remote_moving`].
    pub fn handle_remote_moving(&mut self, peer: &PeerId, now: Timestamp) {
        self.remotes.handle_remote_moving(peer, now);
    }

    /// The network has no channel to a peer. See [`RemoteManager::handle_remote_no_channel`].
    pub fn handle_remote_no_channel(&mut self, peer: &PeerId, now: Timestamp) {
        self.remotes.handle_remote_no_channel(peer, now);
    }

    /// A peer has shown its incarnation in a handshake; true means that it restarted. The verdict may be told after the next
    /// [`commit`](Self::commit). See [`RemoteManager::handle_incarnation_change`].
    ///
    /// # Errors
    /// As there; an error must be taken for a restart.
    pub fn handle_incarnation_change(
        &mut self,
        peer: &PeerId,
        observed: &IncarnationId,
        now: Timestamp,
    ) -> Result<bool, KernelError> {
        let Kernel { store, remotes, .. } = self;
        let restarted = remotes.handle_incarnation_change(store, peer, observed, now)?;
        self.unsaved = true;
        self.settle();
        Ok(restarted)
    }

    /// The network was started, perhaps again. See [`RemoteManager::network_started`].
    ///
    /// # Errors
    /// [`KernelError::Store`].
    pub fn network_started(&mut self, now: Timestamp) -> Result<(), KernelError> {
        self.remotes.network_started(now);
        self.settle();
        Ok(())
    }

    /// A write has ended. See [`RemoteManager::write_finished`].
    ///
    /// # Errors
    /// As there.
    pub fn write_finished(
        &mut self,
        remote: EndpointId,
        token: WriteToken,
        result: &Result<(), RemoteError>,
        now: Timestamp,
    ) -> Result<(), KernelError> {
        let Kernel { store, remotes, .. } = self;
        remotes.write_finished(store, remote, token, result, now)?;
        self.settle();
        Ok(())
    }

    // --- Time and effects

    /// When [`handle_timeout`](Self::handle_timeout) is to be called at the latest; a time long past if there is more to do than
    /// one turn should take.
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        if self.has_more() { Some(Timestamp::default()) } else { self.remotes.poll_timeout() }
    }

    /// Tells the time.
    ///
    /// # Errors
    /// [`KernelError::Store`]; something is still due then, and should be tried again after a pause.
    pub fn handle_timeout(&mut self, now: Timestamp) -> Result<(), KernelError> {
        let handled = self.remotes.handle_timeout(&mut self.store, now);
        // Whoever was forgotten is forgotten for good.
        self.unsaved |= self.remotes.has_forgotten();
        handled.and(self.go_on())
    }

    /// Whether there is more to do than one turn should take, or the storage has failed: the next turn is to
    /// [go on](Self::go_on), as [`handle_timeout`](Self::handle_timeout) does too.
    pub fn has_more(&self) -> bool {
        self.unsettled.is_some() || self.has_more || self.remotes.has_more()
    }

    /// Does more of what is left to do.
    ///
    /// # Errors
    /// [`KernelError::Store`], after which it should be tried again after a pause.
    pub fn go_on(&mut self) -> Result<(), KernelError> {
        let gone_on = self.remotes.go_on(&mut self.store);
        self.settle();
        gone_on.and(self.unsettled.clone().map_or(Ok(()), Err))
    }

    /// The next thing for the program. It is to take all of them before a commit.
    pub fn poll_event(&mut self) -> Option<KernelEvent> {
        let event = self.events.pop_front();
        if let Some(KernelEvent::Redeemed { id, .. }) = &event {
            self.brought.remove(id);
        }
        event
    }

    /// The next thing to do outside. Nothing that rests on what is not durable is among it.
    pub fn poll_effect(&mut self, now: Timestamp) -> Option<KernelEffect> {
        if self.store.failure().is_some() {
            return None;
        }
        if let Some(effect) = self.effects.pop_front() {
            return Some(effect);
        }
        self.remotes.poll_write(now).map(KernelEffect::Write)
    }
}
