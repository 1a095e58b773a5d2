//! The kernel's end: a program's objects and promises, its remotes, and what it asks of the network.
//!
//! A [`Kernel`] is synchronous and does no I/O. Every call is one event: it changes the store in transactions, and what is
//! to be done outside is afterwards to be had from [`Kernel::poll_effect`]. An outbound message passes through the files in
//! this order: [`program`](Kernel::send), `router`, [`RemoteHandle`], and then the [`session`](crate::session). The
//! [`driver`](KernelDriver) joins a kernel to a network and a clock.

mod driver;
mod error;
mod identity;
mod issuer;
mod ocap_url;
mod program;
mod queue;
mod remote;
mod router;
pub mod store;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

pub use driver::{EventHandler, KernelDriver};
pub use error::{KernelError, RejectionCode};
pub use identity::{IdentityError, KernelIdentity, SeedSource};
pub use issuer::UrlIssuer;
pub use ocap_url::{OcapUrl, OcapUrlError};
pub use program::PROGRAM;
pub use queue::{KernelQueue, RunQueue};
pub use remote::{
    Effect, RedemptionId, RemoteCounters, RemoteEvent, RemoteHandle, RemoteManager, RemoteManagerConfig, RemoteWrite,
};
use store::KernelStore;

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
    /// Tell the program.
    Event(KernelEvent),
}

fn bytes<const N: usize>(random: &mut dyn FnMut(&mut [u8])) -> [u8; N] {
    let mut bytes = [0; N];
    random(&mut bytes);
    bytes
}

/// A kernel that serves one program. See the [module](self).
pub struct Kernel {
    store: KernelStore,
    queue: RunQueue,
    remotes: RemoteManager,
    identity: KernelIdentity,
    incarnation: IncarnationId,
    effects: VecDeque<KernelEffect>,
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
        let config = RemoteManagerConfig::from(options);
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
        let remotes = RemoteManager::new(&mut store, config, issuer, now)?;
        let mut kernel = Kernel { store, queue: RunQueue, remotes, identity, incarnation, effects: VecDeque::new() };
        kernel.settle(now)?;
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

    /// Ends the kernel and gives its store back; nothing else of it is needed to go on later.
    pub fn into_store(self) -> KernelStore {
        self.store
    }

    // --- What the network tells

    /// A message from a peer. See [`RemoteManager::handle_remote_message`].
    ///
    /// # Errors
    /// As there.
    pub fn handle_remote_message(&mut self, from: &PeerId, message: &str, now: Timestamp) -> Result<(), KernelError> {
        let handled = self.remotes.handle_remote_message(&mut self.store, &mut self.queue, from, message, now);
        // What was processed before the error stands, and has its consequences.
        self.settle(now).and(handled)
    }

    /// The network has given a peer up. See [`RemoteManager::handle_remote_give_up`].
    ///
    /// # Errors
    /// As there.
    pub fn handle_remote_give_up(&mut self, peer: &PeerId, now: Timestamp) -> Result<(), KernelError> {
        let reason = "the network stopped trying to reach it";
        self.remotes.handle_remote_give_up(&mut self.store, &mut self.queue, peer, reason)?;
        self.settle(now)
    }

    /// A peer has shown its incarnation in a handshake; true means that it restarted. See
    /// [`RemoteManager::handle_incarnation_change`].
    ///
    /// # Errors
    /// As there; an error must be taken for a restart.
    pub fn handle_incarnation_change(
        &mut self,
        peer: &PeerId,
        observed: &IncarnationId,
        now: Timestamp,
    ) -> Result<bool, KernelError> {
        let Kernel { store, queue, remotes, .. } = self;
        let restarted = remotes.handle_incarnation_change(store, queue, peer, observed, now)?;
        self.settle(now)?;
        Ok(restarted)
    }

    /// The network was started, perhaps again. See [`RemoteManager::network_started`].
    ///
    /// # Errors
    /// [`KernelError::Store`].
    pub fn network_started(&mut self, now: Timestamp) -> Result<(), KernelError> {
        self.remotes.network_started();
        self.settle(now)
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
        let Kernel { store, queue, remotes, .. } = self;
        remotes.write_finished(store, queue, remote, token, result, now)?;
        self.settle(now)
    }

    // --- Time and effects

    /// When [`handle_timeout`](Self::handle_timeout) is to be called at the latest.
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        self.remotes.poll_timeout()
    }

    /// Tells the time.
    ///
    /// # Errors
    /// [`KernelError::Store`].
    pub fn handle_timeout(&mut self, now: Timestamp) -> Result<(), KernelError> {
        self.remotes.handle_timeout(&mut self.store, &mut self.queue, now)?;
        self.settle(now)
    }

    /// The next thing to do outside.
    pub fn poll_effect(&mut self, now: Timestamp) -> Option<KernelEffect> {
        if let Some(effect) = self.effects.pop_front() {
            return Some(effect);
        }
        self.remotes.poll_write(now).map(KernelEffect::Write)
    }
}
