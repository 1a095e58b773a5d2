//! Remotes: their records, sequence state, unacknowledged messages and incarnations; and the kernel's own incarnation.

use serde::{Deserialize, Serialize};

use super::{
    KernelStore, StoreError,
    rows::{Key, key},
};
use crate::{
    runtime::Timestamp,
    wire::{EndpointId, Epoch, IncarnationId, MAX_SEQ, PeerId},
};

/// What the kernel knows of a remote kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteInfo {
    /// Its libp2p peer id.
    pub peer_id: PeerId,
    /// Multiaddrs at which it may be found.
    pub hints: Vec<String>,
}

/// The three numbers of exactly-once delivery with one remote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RemoteSeqState {
    /// The last sequence number that was given to a message; 0 before the first. The incumbent's name is `nextSendSeq`.
    pub next_send_seq: u64,
    /// The highest number up to which everything of the peer was processed; 0 before the first.
    pub highest_received_seq: u64,
    /// The lowest number that is unacknowledged; 0 before the first message.
    pub start_seq: u64,
}

#[derive(Serialize, Deserialize)]
struct RemoteRow {
    #[serde(rename = "peerId")]
    peer_id: String,
    #[serde(default)]
    hints: Vec<String>,
}

fn remote_key(remote: EndpointId) -> Key {
    key(format_args!("remote.{remote}"))
}

fn seq_key(remote: EndpointId, name: &str) -> Key {
    key(format_args!("remoteSeq.{remote}.{name}"))
}

fn pending_key(remote: EndpointId, seq: u64) -> Key {
    key(format_args!("remotePending.{remote}.{seq}"))
}

fn incarnation_key(peer: &PeerId) -> String {
    format!("peerIncarnation.{peer}")
}

fn epoch_key(remote: EndpointId) -> Key {
    key(format_args!("remoteEpoch.{remote}"))
}

fn former_key(remote: EndpointId) -> Key {
    key(format_args!("formerIncarnation.{remote}"))
}

const NUMBERS_FROM: &str = "numbersFrom";
const FORGOT_STRANGERS: &str = "forgotStrangers";
const NEXT_SEND: &str = "nextSendSeq";
const HIGHEST_RECEIVED: &str = "highestReceivedSeq";
const START: &str = "startSeq";

impl KernelStore {
    /// Gives out an id for a new remote, and prepares its c-list.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn next_remote_id(&mut self) -> Result<EndpointId, StoreError> {
        let remote = EndpointId::Remote(self.count_up("nextRemoteId")?);
        self.init_endpoint(remote)?;
        Ok(remote)
    }

    /// The record of a remote.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn remote_info(&self, remote: EndpointId) -> Result<Option<RemoteInfo>, StoreError> {
        let name = remote_key(remote);
        let Some(row) = self.json::<RemoteRow>(&name)? else { return Ok(None) };
        let peer_id = row.peer_id.parse().map_err(|_| StoreError::corrupt(&name, &row.peer_id))?;
        Ok(Some(RemoteInfo { peer_id, hints: row.hints }))
    }

    /// Writes the record of a remote.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn set_remote_info(&mut self, remote: EndpointId, info: &RemoteInfo) -> Result<(), StoreError> {
        let row = RemoteRow { peer_id: info.peer_id.as_str().to_owned(), hints: info.hints.clone() };
        self.set_json(&remote_key(remote), &row)
    }

    /// Every remote with its record.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn all_remotes(&self) -> Result<Vec<(EndpointId, RemoteInfo)>, StoreError> {
        let mut remotes = Vec::new();
        for id in self.suffixes("remote.")? {
            let Ok(remote) = id.parse() else { continue };
            match self.remote_info(remote) {
                // It is among the unreadable.
                Err(error) if error.is_damage() => {}
                info => remotes.extend(info?.map(|info| (remote, info))),
            }
        }
        Ok(remotes)
    }

    /// Remotes whose record cannot be read, so that nobody knows whose they are.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn unreadable_remotes(&self) -> Result<Vec<EndpointId>, StoreError> {
        let mut unreadable = Vec::new();
        for id in self.suffixes("remote.")? {
            let Ok(remote) = id.parse() else { continue };
            match self.remote_info(remote) {
                Err(error) if error.is_damage() => unreadable.push(remote),
                info => drop(info?),
            }
        }
        Ok(unreadable)
    }

    /// The number above which messages are numbered to a peer whose record was lost, if one ever was.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn numbers_from(&self) -> Result<Option<u64>, StoreError> {
        self.number(NUMBERS_FROM)
    }

    /// Sets aside the record of a remote and the numbers of what is unacknowledged; its c-list is another matter.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn set_remote_aside(&mut self, remote: EndpointId, numbers_from: u64) -> Result<(), StoreError> {
        self.set_aside(&remote_key(remote))?;
        self.set(NUMBERS_FROM, &numbers_from.to_string())?;
        self.delete_remote(remote)
    }

    /// Removes the record of a remote and its sequence state. Its c-list is another matter:
    /// [`delete_endpoint`](Self::delete_endpoint).
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn delete_remote(&mut self, remote: EndpointId) -> Result<(), StoreError> {
        self.clear_remote_seq_state(remote)?;
        self.delete(&epoch_key(remote))?;
        self.delete(&former_key(remote))?;
        self.delete(&remote_key(remote))
    }

    /// The conversation with a remote; `None` in a store from before there were any.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn epoch(&self, remote: EndpointId) -> Result<Option<Epoch>, StoreError> {
        let row = epoch_key(remote);
        let Some(value) = self.get(&row)? else { return Ok(None) };
        let (number, shared) = value.strip_suffix(" shared").map_or((&*value, false), |number| (number, true));
        match number.parse() {
            Ok(number) if (1..=MAX_SEQ).contains(&number) => Ok(Some(Epoch { number, shared })),
            _ => Err(StoreError::corrupt(&row, &value)),
        }
    }

    /// Remembers the conversation with a remote.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn set_epoch(&mut self, remote: EndpointId, epoch: Epoch) -> Result<(), StoreError> {
        let Epoch { number, shared } = epoch;
        self.set(&epoch_key(remote), &format!("{number}{}", if shared { " shared" } else { "" }))
    }

    /// What a store from before looks like.
    #[cfg(test)]
    pub(crate) fn forget_epochs(&mut self) -> Result<(), StoreError> {
        for remote in self.suffixes("remoteEpoch.")? {
            self.delete(&format!("remoteEpoch.{remote}"))?;
        }
        self.commit()
    }

    /// The incarnation that a remote had before its present one.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn former_incarnation(&self, remote: EndpointId) -> Result<Option<IncarnationId>, StoreError> {
        match self.parsed(&former_key(remote)) {
            // It only tells that two kernels share an identity.
            Err(error) if error.is_damage() => Ok(None),
            former => former,
        }
    }

    /// Remembers the incarnation that a remote had before its present one.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn set_former_incarnation(&mut self, remote: EndpointId, former: &IncarnationId) -> Result<(), StoreError> {
        self.set(&former_key(remote), former.as_str())
    }

    /// Removes everything of a peer that the kernel gave nothing, and remembers that such a thing has been done.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn forget_stranger(&mut self, remote: EndpointId, peer: &PeerId) -> Result<(), StoreError> {
        self.delete_remote(remote)?;
        self.set_acquaintance(remote, None)?;
        self.delete(&incarnation_key(peer))?;
        self.set(FORGOT_STRANGERS, "true")
    }

    /// Whether a peer without a record may be one that was [forgotten](Self::forget_stranger).
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn has_forgotten_strangers(&self) -> Result<bool, StoreError> {
        Ok(self.get(FORGOT_STRANGERS)?.is_some())
    }

    /// The sequence state; `None` when nothing was sent or received yet. A counter that is absent is 0.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn remote_seq_state(&self, remote: EndpointId) -> Result<Option<RemoteSeqState>, StoreError> {
        let counter = |name| self.number(&seq_key(remote, name));
        let (sent, received, start) = (counter(NEXT_SEND)?, counter(HIGHEST_RECEIVED)?, counter(START)?);
        if sent.or(received).or(start).is_none() {
            return Ok(None);
        }
        Ok(Some(RemoteSeqState {
            next_send_seq: sent.unwrap_or(0),
            highest_received_seq: received.unwrap_or(0),
            start_seq: start.unwrap_or(0),
        }))
    }

    /// Sets the last number given to a message.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn set_next_send_seq(&mut self, remote: EndpointId, seq: u64) -> Result<(), StoreError> {
        self.set(&seq_key(remote, NEXT_SEND), &seq.to_string())
    }

    /// Sets the highest number up to which everything was processed.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn set_highest_received_seq(&mut self, remote: EndpointId, seq: u64) -> Result<(), StoreError> {
        self.set(&seq_key(remote, HIGHEST_RECEIVED), &seq.to_string())
    }

    /// Sets the lowest unacknowledged number.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn set_start_seq(&mut self, remote: EndpointId, seq: u64) -> Result<(), StoreError> {
        self.set(&seq_key(remote, START), &seq.to_string())
    }

    /// An unacknowledged message.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn pending_message(&self, remote: EndpointId, seq: u64) -> Result<Option<String>, StoreError> {
        self.get(&pending_key(remote, seq))
    }

    /// Keeps a message until it is acknowledged.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn set_pending_message(&mut self, remote: EndpointId, seq: u64, message: &str) -> Result<(), StoreError> {
        self.set(&pending_key(remote, seq), message)
    }

    /// Forgets a message.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn delete_pending_message(&mut self, remote: EndpointId, seq: u64) -> Result<(), StoreError> {
        self.delete(&pending_key(remote, seq))
    }

    /// Every message kept for a remote, by rising number (the keys themselves would put 10 before 9).
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn pending_messages(&self, remote: EndpointId) -> Result<Vec<(u64, String)>, StoreError> {
        let mut messages = Vec::new();
        for seq in self.pending_seqs(remote)? {
            if let Some(message) = self.pending_message(remote, seq)? {
                messages.push((seq, message));
            }
        }
        Ok(messages)
    }

    fn pending_seqs(&self, remote: EndpointId) -> Result<Vec<u64>, StoreError> {
        let prefix = format!("remotePending.{remote}.");
        // What has no number is no message.
        let mut seqs: Vec<u64> = self.suffixes(&prefix)?.iter().filter_map(|seq| seq.parse().ok()).collect();
        seqs.sort_unstable();
        Ok(seqs)
    }

    /// Forgets the counters and every pending message. The remote, its c-list and its hints stay.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn clear_remote_seq_state(&mut self, remote: EndpointId) -> Result<(), StoreError> {
        for name in [NEXT_SEND, HIGHEST_RECEIVED, START] {
            self.delete(&seq_key(remote, name))?;
        }
        for seq in self.pending_seqs(remote)? {
            self.delete_pending_message(remote, seq)?;
        }
        Ok(())
    }

    /// Removes messages below `start_seq`: acknowledged, but a crash came before they were deleted. Returns how many.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn cleanup_orphan_messages(&mut self, remote: EndpointId, start_seq: u64) -> Result<usize, StoreError> {
        let orphans: Vec<u64> = self.pending_seqs(remote)?.into_iter().filter(|seq| *seq < start_seq).collect();
        for seq in &orphans {
            self.delete_pending_message(remote, *seq)?;
        }
        Ok(orphans.len())
    }

    /// The incarnation that a peer was last seen in.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn peer_incarnation(&self, peer: &PeerId) -> Result<Option<IncarnationId>, StoreError> {
        match self.parsed(&incarnation_key(peer)) {
            // Whatever the peer shows is another than nobody's, so it counts as restarted.
            Err(error) if error.is_damage() => Ok(Some(IncarnationId::from_random([0; 16]))),
            incarnation => incarnation,
        }
    }

    /// Remembers the incarnation of a peer.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn set_peer_incarnation(&mut self, peer: &PeerId, incarnation: &IncarnationId) -> Result<(), StoreError> {
        self.set(&incarnation_key(peer), incarnation.as_str())
    }

    /// The incarnation of this store: made from `random` when it is first asked for, the same ever after.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn provide_incarnation_id(&mut self, random: [u8; 16]) -> Result<IncarnationId, StoreError> {
        if let Some(incarnation) = self.parsed("incarnationId")? {
            return Ok(incarnation);
        }
        let incarnation = IncarnationId::from_random(random);
        self.set("incarnationId", incarnation.as_str())?;
        Ok(incarnation)
    }

    /// When the kernel was last known to run.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn last_active_time(&self) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.number("lastActiveTime")?.map(Timestamp::from_millis))
    }

    /// Notes that the kernel runs at `now`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn set_last_active_time(&mut self, now: Timestamp) -> Result<(), StoreError> {
        self.set("lastActiveTime", &now.as_millis().to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{KernelStore, RemoteInfo, RemoteSeqState, StoreError};
    use crate::storage::MemoryStore;
    use crate::{
        runtime::Timestamp,
        wire::{EndpointId, Epoch, IncarnationId, PeerId},
    };

    fn new_store() -> KernelStore {
        KernelStore::open(Box::new(MemoryStore::new())).unwrap()
    }

    fn bob() -> PeerId {
        PeerId::from_ed25519_seed([2; 32]).unwrap()
    }

    #[test]
    fn a_remote_is_recorded_as_the_incumbent_records_it() {
        let mut store = new_store();
        let remote = store.next_remote_id().unwrap();
        let info = RemoteInfo { peer_id: bob(), hints: vec!["/ip4/127.0.0.1/tcp/1/ws".into()] };
        store.set_remote_info(remote, &info).unwrap();
        assert_eq!(store.get("nextRemoteId").unwrap().as_deref(), Some("2"));
        assert_eq!(store.get("e.nextObjectId.r1").unwrap().as_deref(), Some("1"));
        assert_eq!(
            store.get("remote.r1").unwrap().unwrap(),
            format!(r#"{{"peerId":"{}","hints":["/ip4/127.0.0.1/tcp/1/ws"]}}"#, bob())
        );
        assert_eq!(store.all_remotes().unwrap(), [(remote, info)]);
        store.delete_remote(remote).unwrap();
        assert_eq!(store.all_remotes().unwrap(), []);
        assert_eq!(store.next_remote_id().unwrap().to_string(), "r2", "an id is never given twice");
    }

    #[test]
    fn pending_messages_come_in_the_order_of_their_numbers() {
        let mut store = new_store();
        let (bob, other) = (EndpointId::Remote(1), EndpointId::Remote(11));
        for seq in [10, 9, 100, 1] {
            store.set_pending_message(bob, seq, &format!("message {seq}")).unwrap();
        }
        store.set_pending_message(other, 2, "for another").unwrap();
        assert_eq!(store.get("remotePending.r1.9").unwrap().as_deref(), Some("message 9"));
        let order: Vec<u64> = store.pending_messages(bob).unwrap().into_iter().map(|(seq, _)| seq).collect();
        assert_eq!(order, [1, 9, 10, 100]);
        assert_eq!(store.cleanup_orphan_messages(bob, 10).unwrap(), 2);
        assert_eq!(store.pending_messages(bob).unwrap().len(), 2);
        assert_eq!(store.pending_messages(other).unwrap().len(), 1);
    }

    #[test]
    fn clearing_the_sequence_state_keeps_the_relationship() {
        let mut store = new_store();
        let remote = store.next_remote_id().unwrap();
        assert_eq!(store.remote_seq_state(remote).unwrap(), None);
        store.set_remote_info(remote, &RemoteInfo { peer_id: bob(), hints: vec![] }).unwrap();
        store.set_next_send_seq(remote, 2).unwrap();
        store.set_start_seq(remote, 1).unwrap();
        store.set_highest_received_seq(remote, 7).unwrap();
        store.set_pending_message(remote, 1, "hello").unwrap();
        assert_eq!(store.get("remoteSeq.r1.nextSendSeq").unwrap().as_deref(), Some("2"));
        let state = RemoteSeqState { next_send_seq: 2, highest_received_seq: 7, start_seq: 1 };
        assert_eq!(store.remote_seq_state(remote).unwrap(), Some(state));

        store.clear_remote_seq_state(remote).unwrap();
        assert_eq!(store.remote_seq_state(remote).unwrap(), None);
        assert_eq!(store.pending_messages(remote).unwrap(), []);
        assert!(store.remote_info(remote).unwrap().is_some());
    }

    #[test]
    fn the_incarnation_is_made_once() {
        let mut store = new_store();
        let first = store.provide_incarnation_id([1; 16]).unwrap();
        assert_eq!(store.provide_incarnation_id([2; 16]).unwrap(), first);
        assert_eq!(store.get("incarnationId").unwrap().as_deref(), Some(first.as_str()));

        let theirs = IncarnationId::from_random([3; 16]);
        store.set_peer_incarnation(&bob(), &theirs).unwrap();
        assert_eq!(store.peer_incarnation(&bob()).unwrap(), Some(theirs));
        store.set_last_active_time(Timestamp::from_millis(5)).unwrap();
        assert_eq!(store.last_active_time().unwrap(), Some(Timestamp::from_millis(5)));
    }

    #[test]
    fn corrupt_rows_are_errors() {
        let mut store = new_store();
        let bob = EndpointId::Remote(1);
        let bad = [
            ("remoteSeq.r1.startSeq", "-1"),
            ("remotePending.r1.x", "m"),
            ("remote.r1", "{}"),
            ("remoteEpoch.r1", "0 shared"),
            ("lastActiveTime", ""),
        ];
        for (key, value) in bad {
            store.set(key, value).unwrap();
        }
        assert!(matches!(store.remote_seq_state(bob), Err(StoreError::Corrupt { .. })));
        assert_eq!(store.pending_messages(bob).unwrap(), []);
        assert_eq!((store.all_remotes().unwrap(), store.unreadable_remotes().unwrap()), (vec![], vec![bob]));
        assert!(matches!(store.epoch(bob), Err(StoreError::Corrupt { .. })));
        assert!(matches!(store.last_active_time(), Err(StoreError::Corrupt { .. })));
    }

    #[test]
    fn the_epoch_and_the_former_incarnation_go_with_the_record() {
        let mut store = new_store();
        let (remote, former) = (store.next_remote_id().unwrap(), IncarnationId::from_random([3; 16]));
        for shared in [false, true] {
            let epoch = Epoch { number: 7, shared };
            store.set_epoch(remote, epoch).unwrap();
            assert_eq!(store.epoch(remote).unwrap(), Some(epoch));
        }
        assert_eq!(store.get("remoteEpoch.r1").unwrap().as_deref(), Some("7 shared"));
        store.set_former_incarnation(remote, &former).unwrap();
        assert_eq!(store.former_incarnation(remote).unwrap(), Some(former));
        store.delete_remote(remote).unwrap();
        assert_eq!((store.epoch(remote).unwrap(), store.former_incarnation(remote).unwrap()), (None, None));
    }
}
