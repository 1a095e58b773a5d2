//! What the program may ask of its kernel. It names objects and promises by their kernel references, but only those that it
//! was given or made: its c-list, that of vat `v1`, says which.

use super::{
    Kernel, KernelError, KernelEvent, RedemptionId, RejectionCode,
    host::HostKernel as _,
    store::{KernelMessage, KernelStore, Party},
};
use crate::{
    runtime::Timestamp,
    wire::{CapData, EndpointId, Kref, PeerId, RemoteError, Resolution},
};

/// The endpoint of the program that an embedded kernel serves.
pub const PROGRAM: EndpointId = EndpointId::Vat(1);

/// Fails unless the program holds the reference.
fn held(store: &KernelStore, kref: Kref) -> Result<Kref, KernelError> {
    match store.kref_to_eref(PROGRAM, kref)? {
        Some(_) => Ok(kref),
        None => Err(KernelError::NotHeld(kref)),
    }
}

/// Takes a reference from the program.
pub(super) fn forget(store: &mut KernelStore, kref: Kref) -> Result<(), KernelError> {
    match store.kref_to_eref(PROGRAM, kref)? {
        Some(eref) => Ok(store.delete_clist_entry(PROGRAM, kref, eref)?),
        None => Ok(()),
    }
}

impl Kernel {
    /// Makes a new object of the program's. It lives until the program [releases](Self::release) it and nobody else
    /// holds it.
    ///
    /// # Errors
    /// [`KernelError::Store`].
    pub fn export_object(&mut self) -> Result<Kref, KernelError> {
        self.unsaved = true;
        self.store.transaction("exportObject", |store| {
            let kref = store.export_new_object(PROGRAM)?;
            store.pin_object(kref)?;
            Ok(kref)
        })
    }

    /// Makes a new promise that the program is to settle.
    ///
    /// # Errors
    /// [`KernelError::Store`].
    pub fn create_promise(&mut self) -> Result<Kref, KernelError> {
        self.unsaved = true;
        self.store.transaction("createPromise", |store| {
            let promise = store.create_promise()?;
            store.translate_outbound_ref(PROGRAM, promise)?;
            store.set_decider(promise, PROGRAM)?;
            Ok(promise)
        })
    }

    /// Sends a message and gives the promise of its result, whose outcome comes as a [`KernelEvent`].
    ///
    /// # Errors
    /// [`KernelError::NotHeld`]; [`KernelError::Remote`] when the message is too long or too many to that peer are
    /// unacknowledged; [`KernelError::Store`]. Nothing has changed then.
    pub fn send(&mut self, target: Kref, methargs: CapData<Kref>) -> Result<Kref, KernelError> {
        self.unsaved = true;
        let Kernel { store, remotes, .. } = self;
        let result = store.transaction("send", |store| {
            held(store, target)?;
            let methargs = methargs.try_map(|slot| held(store, slot))?;
            if let Some(remote) = super::router::remote_in_charge(store, target)? {
                remotes.remote(remote)?.check_message(store, &methargs)?;
            }
            let result = store.create_awaited_promise(PROGRAM)?;
            store.enqueue_send(target, KernelMessage { methargs, result: Some(result), sender: None })?;
            Ok::<_, KernelError>(result)
        })?;
        self.settle();
        Ok(result)
    }

    /// The remote that must acknowledge something before it takes one more message to `target`; `None` if one may be sent.
    ///
    /// # Errors
    /// [`KernelError::NotHeld`]; [`KernelError::Store`].
    pub fn full_remote(&self, target: Kref) -> Result<Option<EndpointId>, KernelError> {
        held(&self.store, target)?;
        let remote = super::router::remote_in_charge(&self.store, target)?;
        Ok(remote.filter(|remote| self.room(*remote) == 0))
    }

    /// How many more messages a remote takes now. One that is gone refuses them for another reason than want of room.
    pub(super) fn room(&self, remote: EndpointId) -> usize {
        let Ok(handle) = self.remotes.remote(remote) else { return usize::MAX };
        // If it cannot be counted now, it is when something is sent.
        handle.count_unanswered(&self.store).ok();
        handle.room()
    }

    /// Settles a promise that the program is to decide: one it made, or the result of a message it received.
    ///
    /// # Errors
    /// [`KernelError::NotHeld`]; [`KernelError::Reference`] for a promise that is settled, or for another to decide;
    /// [`KernelError::Remote`] for a value too long to be sent; [`KernelError::Store`].
    pub fn resolve(&mut self, promise: Kref, rejected: bool, value: CapData<Kref>) -> Result<(), KernelError> {
        self.unsaved = true;
        let Kernel { store, remotes, .. } = self;
        store.transaction("resolve", |store| {
            held(store, promise)?;
            let value = value.try_map(|slot| held(store, slot))?;
            super::remote::check_size(&value, remotes.max_message_bytes())?;
            let awaited = store.subscribers(promise)?.contains(&PROGRAM);
            store.resolve_promises(Some(PROGRAM), vec![Resolution { promise, rejected, value }])?;
            if !awaited {
                // The program knows the outcome; a name for it is of no more use.
                forget(store, promise)?;
            }
            Ok::<_, KernelError>(())
        })?;
        self.settle();
        Ok(())
    }

    /// The program failed with a message that wanted this result: it is rejected with [`RejectionCode::HandlerFailed`], unless
    /// the program has settled it. What else the program did stays.
    ///
    /// # Errors
    /// [`KernelError::Store`].
    pub fn handler_failed(&mut self, result: Kref) -> Result<(), KernelError> {
        let rejection = RejectionCode::HandlerFailed.rejection("the program threw an error");
        match self.resolve(result, true, rejection) {
            Err(KernelError::NotHeld(_) | KernelError::Reference(_)) => Ok(()),
            rejected => rejected,
        }
    }

    /// Lets go of references, the program's own objects included. Their names mean nothing to the program afterwards.
    ///
    /// # Errors
    /// [`KernelError::NotHeld`]; [`KernelError::Store`]. Either all are released or none.
    pub fn release(&mut self, krefs: &[Kref]) -> Result<(), KernelError> {
        self.unsaved = true;
        self.store.transaction("release", |store| {
            for kref in krefs {
                held(store, *kref)?;
                if store.owner(*kref)? == Some(Party::Endpoint(PROGRAM)) {
                    store.unpin_object(*kref)?;
                } else {
                    forget(store, *kref)?;
                }
            }
            Ok::<_, KernelError>(())
        })?;
        self.settle();
        Ok(())
    }

    /// Makes a URL by which anyone who has it can get the object, through this kernel, as long as the program keeps it.
    ///
    /// It may leave only after the next commit: after a crash before that, the name of the object would be given to another,
    /// and so would the URL. [`KernelDriver::issue_ocap_url`](super::KernelDriver::issue_ocap_url) waits for it.
    ///
    /// # Errors
    /// [`KernelError::NotHeld`]; [`KernelError::NotAnObject`] for a promise; [`KernelError::Store`].
    pub fn issue_ocap_url(&mut self, kref: Kref, nonce: [u8; 24]) -> Result<String, KernelError> {
        held(&self.store, kref)?;
        if kref.is_promise() {
            return Err(KernelError::NotAnObject(kref));
        }
        let relays: Vec<String> = self.store.known_relays()?.into_iter().map(|relay| relay.addr).collect();
        Ok(self.remotes.issuer().issue(kref, nonce, &relays)?)
    }

    /// Redeems a URL; the end is an event. `random` makes the key of the reply unique across restarts.
    ///
    /// # Errors
    /// See [`RemoteManager::redeem_ocap_url`](super::RemoteManager::redeem_ocap_url).
    pub fn redeem_ocap_url(
        &mut self,
        url: &str,
        random: [u8; 16],
        now: Timestamp,
    ) -> Result<RedemptionId, KernelError> {
        self.unsaved = true;
        let id = self.remotes.redeem_ocap_url(&mut self.store, url, random, now)?;
        self.settle();
        Ok(id)
    }

    /// Nobody waits for this redemption any more: its event does not come, and the program does not hold an object because
    /// of it. What the program holds anyway, or gets by something else, stays. One whose event was given out is over: nothing
    /// is done then.
    ///
    /// # Errors
    /// [`KernelError::Store`].
    pub fn abandon_redemption(&mut self, id: RedemptionId) -> Result<(), KernelError> {
        self.remotes.abandon_redemption(id);
        let is_its = |event: &KernelEvent| matches!(event, KernelEvent::Redeemed { id: of, .. } if *of == id);
        let Some(place) = self.events.iter().position(is_its) else { return Ok(()) };
        let event = self.events.remove(place);
        let brought = self.brought.remove(&id);
        let Some(KernelEvent::Redeemed { result: Ok(object), .. }) = event else { return Ok(()) };
        if !brought {
            return Ok(());
        }
        // Events that come later rest on what this one brought.
        let mut givers = self.events.iter().filter(|event| event.gives(object)).peekable();
        if givers.peek().is_none() {
            self.store.transaction("abandonRedemption", |store| forget(store, object))?;
            self.settle();
        } else if let Some(heir) = givers.find_map(|event| match event {
            KernelEvent::Redeemed { id, .. } => Some(*id),
            _ => None,
        }) {
            self.brought.insert(heir);
        }
        Ok(())
    }

    /// Tells where a peer may be found.
    ///
    /// # Errors
    /// [`KernelError::Store`].
    pub fn register_location_hints(
        &mut self,
        peer: &PeerId,
        hints: Vec<String>,
        now: Timestamp,
    ) -> Result<(), KernelError> {
        self.unsaved = true;
        self.remotes.remote_for(&mut self.store, peer, hints, now)?;
        self.settle();
        Ok(())
    }

    /// The program wants to be connected to a peer.
    ///
    /// # Errors
    /// [`KernelError::Store`].
    pub fn speak_of(&mut self, peer: &PeerId) -> Result<(), KernelError> {
        self.remotes.speak_of(&mut self.store, peer)?;
        self.unsaved = true;
        self.settle();
        Ok(())
    }

    /// The program has closed its connection to a peer for good: what was pending is rejected.
    ///
    /// # Errors
    /// [`KernelError::Store`].
    pub fn handle_connection_closed(&mut self, peer: &PeerId) -> Result<(), KernelError> {
        let reason = RemoteError::IntentionalClose(peer.clone()).to_string();
        self.unsaved = true;
        self.remotes.handle_remote_give_up(&mut self.store, peer, &reason)?;
        self.settle();
        Ok(())
    }
}
