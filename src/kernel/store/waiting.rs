//! What waits in unresolved promises: for whose messages there is room, and which promises wait for which.
//!
//! A message that waits is acknowledged, so no window holds its sender back; what one remote may have waiting is therefore
//! bounded, in number and in bytes. A row `waiting.<promise>.<position>` says which remote sent a message that waits there, for
//! the message's own row is the incumbent's. The promise of a result waits for the promise in which its message waits; that a
//! promise waits for itself, be it by way of others, is refused, for nobody could ever settle it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{
    KernelMessage, KernelStore, RefError, StoreError,
    rows::{Key, key},
    undo::Log,
};
use crate::wire::{EndpointId, Kref};

/// Messages of one remote that may wait in promises of this kernel.
pub const MAX_WAITING: usize = 1_000;
/// The same limit in bytes.
pub const MAX_WAITING_BYTES: usize = 4 << 20;
/// Promises that may wait for each other in a row.
pub const MAX_WAITING_FOR: usize = 1_000;

/// Where a message waits: the promise, and its position in the queue there.
type Place = (Kref, u64);

/// One message that waits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wait {
    sender: Option<EndpointId>,
    bytes: usize,
    result: Option<Kref>,
}

/// What one remote has waiting.
#[derive(Debug, Default)]
struct Account {
    places: BTreeSet<Place>,
    bytes: usize,
}

/// Everything that waits, in memory beside its rows.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    waits: BTreeMap<Place, Wait>,
    accounts: BTreeMap<EndpointId, Account>,
    /// In which promise the message waits whose result is to be in this one.
    for_which: HashMap<Kref, Kref, foldhash::fast::RandomState>,
    /// What came (true) and what went, since the outermost savepoint.
    pub(super) log: Log<(Place, Wait, bool)>,
}

impl Waiting {
    fn change(&mut self, place: Place, wait: Wait, comes: bool) {
        if comes {
            self.waits.insert(place, wait);
        } else {
            self.waits.remove(&place);
        }
        if let Some(sender) = wait.sender {
            let account = self.accounts.entry(sender).or_default();
            if comes {
                account.places.insert(place);
                account.bytes = account.bytes.saturating_add(wait.bytes);
            } else {
                account.places.remove(&place);
                account.bytes = account.bytes.saturating_sub(wait.bytes);
            }
            if account.places.is_empty() {
                self.accounts.remove(&sender);
            }
        }
        match wait.result {
            Some(result) if comes => drop(self.for_which.insert(result, place.0)),
            Some(result) => drop(self.for_which.remove(&result)),
            None => {}
        }
    }

    fn add(&mut self, place: Place, wait: Wait) {
        self.change(place, wait, true);
        self.log.push((place, wait, true));
    }

    fn remove(&mut self, place: Place) -> Option<Wait> {
        let wait = *self.waits.get(&place)?;
        self.change(place, wait, false);
        self.log.push((place, wait, false));
        Some(wait)
    }

    pub(super) fn roll_back(&mut self, mark: usize) {
        while let Some((place, wait, came)) = self.log.pop_behind(mark) {
            self.change(place, wait, !came);
        }
    }

    fn insist_room(&self, sender: EndpointId, bytes: usize) -> Result<(), RefError> {
        let (count, held) = self.accounts.get(&sender).map_or((0, 0), |account| (account.places.len(), account.bytes));
        if count < MAX_WAITING && held.saturating_add(bytes) <= MAX_WAITING_BYTES {
            return Ok(());
        }
        Err(RefError::TooMuchWaits { endpoint: sender, messages: count, bytes: held })
    }

    /// Refuses that `result` waits for `kpid` if that waits for it.
    fn insist_ends(&self, kpid: Kref, result: Kref) -> Result<(), RefError> {
        let mut last = kpid;
        for _ in 0..MAX_WAITING_FOR {
            if last == result {
                return Err(RefError::WaitsForItself(result));
            }
            match self.for_which.get(&last) {
                Some(next) => last = *next,
                None => return Ok(()),
            }
        }
        Err(RefError::WaitsForTooMany(result))
    }
}

fn sender_key((kpid, position): Place) -> Key {
    key(format_args!("waiting.{kpid}.{position}"))
}

impl KernelStore {
    /// Leaves a message in an unresolved promise; [`resolve_promise`](Self::resolve_promise) hands it back.
    ///
    /// # Errors
    /// [`RefError::TooMuchWaits`], [`RefError::WaitsForItself`], [`RefError::WaitsForTooMany`];
    /// [`RefError::AlreadyResolved`], [`RefError::UnknownPromise`]; [`RefError::Store`], also for a mention of something that
    /// does not exist.
    pub fn enqueue_promise_message(&mut self, kpid: Kref, message: &KernelMessage) -> Result<(), RefError> {
        self.insist_unresolved(kpid)?;
        let bytes = size(message);
        if let Some(sender) = message.sender {
            self.waiting.insist_room(sender, bytes)?;
        }
        if let Some(result) = message.result {
            self.waiting.insist_ends(kpid, result)?;
        }
        self.add_reference(kpid)?;
        for kref in message.mentions() {
            self.add_reference(kref)?;
        }
        let place = (kpid, self.push(&kpid.to_string(), message)?);
        if let Some(sender) = message.sender {
            self.set(&sender_key(place), &sender.to_string())?;
        }
        self.waiting.add(place, Wait { sender: message.sender, bytes, result: message.result });
        Ok(())
    }

    pub(super) fn take_promise_messages(&mut self, kpid: Kref) -> Result<Vec<KernelMessage>, StoreError> {
        let name = kpid.to_string();
        let mut messages = Vec::new();
        while let Some((position, mut message)) = self.pop::<KernelMessage>(&name)? {
            self.release_reference(kpid)?;
            for kref in message.mentions() {
                self.release_reference(kref)?;
            }
            message.sender = self.waiting.remove((kpid, position)).and_then(|wait| wait.sender);
            if message.sender.is_some() {
                self.delete(&sender_key((kpid, position)))?;
            }
            messages.push(message);
        }
        self.delete_queue(&name)?;
        Ok(messages)
    }

    /// Takes out every message of a remote that waits in a promise. What they mention is not counted any more.
    ///
    /// # Errors
    /// [`RefError`].
    pub fn take_waiting_of(&mut self, remote: EndpointId) -> Result<Vec<KernelMessage>, RefError> {
        let places = self.waiting.accounts.get(&remote).map(|account| account.places.iter().map(|place| place.0));
        let promises: BTreeSet<Kref> = places.into_iter().flatten().collect();
        let mut taken = Vec::new();
        for kpid in promises {
            for message in self.take_promise_messages(kpid)? {
                if message.sender == Some(remote) {
                    taken.push(message);
                } else {
                    self.enqueue_promise_message(kpid, &message)?;
                }
            }
        }
        Ok(taken)
    }

    /// Finds what waits in its rows.
    pub(super) fn note_all_waiting(&mut self) -> Result<(), StoreError> {
        self.waiting = Waiting::default();
        for rest in self.suffixes("queue.kp")? {
            let place = rest.split_once('.').and_then(|(name, position)| {
                Some((format!("kp{name}").parse::<Kref>().ok()?, position.parse::<u64>().ok()?))
            });
            let Some(place) = place else { continue };
            let (row, sender) = (format!("queue.kp{rest}"), self.parsed(&sender_key(place)));
            let read = sender.and_then(|sender| {
                let message: KernelMessage = self.json(&row)?.ok_or_else(|| StoreError::corrupt(&row, ""))?;
                Ok(Wait { sender, bytes: size(&message), result: message.result })
            });
            let wait = match read {
                Err(error) if matches!(error, StoreError::Corrupt { .. }) => {
                    tracing::error!(%error, "what waits here cannot be read");
                    continue;
                }
                read => read?,
            };
            self.waiting.change(place, wait, true);
        }
        // An incumbent that had the store meanwhile takes messages without these rows.
        for rest in self.suffixes("waiting.")? {
            if self.get(&format!("queue.{rest}"))?.is_none() {
                self.delete(&format!("waiting.{rest}"))?;
            }
        }
        Ok(())
    }
}

/// What a message takes of the room, without writing it: its body, and about as much as its row needs for the rest.
fn size(message: &KernelMessage) -> usize {
    const SLOT_BYTES: usize = 16;
    const MESSAGE_BYTES: usize = 128;
    let slots = message.methargs.slots.len().saturating_mul(SLOT_BYTES);
    message.methargs.body.len().saturating_add(slots).saturating_add(MESSAGE_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::{KeyValueStore as _, MemoryStore};

    #[test]
    fn what_another_kernel_took_is_not_counted_any_more() {
        let mut kv = MemoryStore::new();
        kv.set("waiting.kp1.1", "r1").unwrap();
        let store = KernelStore::open(Box::new(kv)).unwrap();
        assert_eq!(store.suffixes("waiting.").unwrap(), [""; 0]);
    }

    #[test]
    fn what_cannot_be_read_keeps_nobody_from_opening_the_store() {
        let mut kv = MemoryStore::new();
        let rows = [
            ("queue.kp1.1", "{"),
            ("queue.kp2.1", "{}"),
            ("waiting.kp2.1", "?"),
            ("kp3.value", "{"),
            ("kp3.state", "fulfilled"),
        ];
        rows.iter().for_each(|(key, value)| kv.set(key, value).unwrap());
        let store = KernelStore::open(Box::new(kv)).unwrap();
        assert!(store.waiting.waits.is_empty() && store.settled(Kref::promise(3)).is_none());
    }

    #[test]
    fn a_rollback_gives_room_back_and_takes_it_again() {
        let mut store = KernelStore::open(Box::new(MemoryStore::new())).unwrap();
        let sender = EndpointId::Remote(1);
        let kpid = store.create_promise().unwrap();
        let message = |result| KernelMessage {
            methargs: crate::wire::CapData { body: String::new(), slots: vec![] },
            result,
            sender: Some(sender),
        };
        store.enqueue_promise_message(kpid, &message(None)).unwrap();
        let undone: Result<(), RefError> = store.transaction("turn", |store| {
            let result = store.create_promise()?;
            store.enqueue_promise_message(kpid, &message(Some(result)))?;
            assert_eq!(store.take_waiting_of(sender)?.len(), 2);
            store.enqueue_promise_message(kpid, &message(Some(kpid)))
        });
        assert_eq!(undone, Err(RefError::WaitsForItself(kpid)));
        let account = &store.waiting.accounts[&sender];
        assert_eq!((account.places.len(), account.bytes, store.waiting.for_which.len()), (1, size(&message(None)), 0));
        assert_eq!(store.take_waiting_of(sender).unwrap(), [message(None)]);
        store.audit().unwrap();
    }
}
