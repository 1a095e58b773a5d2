//! How many names of settled promises are remembered for one remote.
//!
//! Kernels that [retire](super::KernelStore::retire_name) names have few. One that does not, as the incumbent, may mention a promise
//! for ever after it was settled, and one that has gone never says that it will not. So the newest are kept, as many as together with
//! what their values lead to make [`MAX_SETTLED_NAMES`]; whoever mentions an older one is told that there is no such thing. A row
//! `forgottenPromises.<remote>` holds the highest name of the remote's own that was forgotten, lest that be taken for a new promise.

use std::collections::{HashMap, VecDeque};

use super::{
    KernelStore, RefError, StoreError,
    retiring::retiring_key,
    rows::{Key, key},
};
use crate::{
    faults::{Fault, seeded},
    wire::{Direction, EndpointId, Eref, Kref, MAX_SEQ, RefKind, Seq},
};

/// So many names of one remote are kept, or fewer with what their values mention, and so on. Of those on their way out of the c-list
/// as many again.
pub const MAX_SETTLED_NAMES: usize = 4_096;

/// So many are forgotten at once, and two more for each that has come, so that no turn is long.
const AT_ONCE: usize = 64;

/// Names in the order in which their promises were settled, each with how much there is behind it. Of one that is gone only the
/// weight may be left.
#[derive(Debug)]
struct Line<T> {
    names: VecDeque<(Option<T>, usize)>,
    weight: usize,
}

impl<T> Default for Line<T> {
    fn default() -> Self {
        Line { names: VecDeque::new(), weight: 0 }
    }
}

impl<T: Copy + PartialEq> Line<T> {
    fn push(&mut self, name: T, weight: usize) {
        self.names.push_back((Some(name), weight));
        self.weight = self.weight.saturating_add(weight);
    }

    fn pop(&mut self) {
        if let Some((_, weight)) = self.names.pop_front() {
            self.weight = self.weight.saturating_sub(weight);
        }
    }

    /// The oldest, if there is too much. `None` in it stands for what is gone.
    fn too_many(&self) -> Option<Option<T>> {
        let (oldest, _) = self.names.front().filter(|_| self.weight > MAX_SETTLED_NAMES)?;
        Some(*oldest)
    }

    /// The newest is gone, if it is this one; but it may be what others lead to.
    fn forget_newest(&mut self, name: T) {
        let Some((_, weight)) = self.names.back().copied().filter(|(newest, _)| *newest == Some(name)) else { return };
        self.names.pop_back();
        match self.names.back_mut() {
            Some((None, more)) => *more = more.saturating_add(weight),
            _ => self.names.push_back((None, weight)),
        }
    }
}

/// The names of one remote.
#[derive(Debug, Default)]
struct Account {
    /// Those in the c-list.
    listed: Line<Kref>,
    /// Those on their way out, by the number of the message that told the outcome.
    retiring: Line<u64>,
    /// How many came since some were last forgotten.
    added: usize,
}

/// The names of each remote. It lives in memory, and what a rollback takes back stays in it: it is looked up before it is forgotten.
#[derive(Debug, Default)]
pub(super) struct SettledNames {
    of: HashMap<EndpointId, Account, foldhash::fast::RandomState>,
}

fn forgotten_key(remote: EndpointId) -> Key {
    key(format_args!("forgottenPromises.{remote}"))
}

impl KernelStore {
    /// A remote has settled a promise, or was told of it and its name is not retired.
    pub(in crate::kernel) fn note_settled_name(&mut self, remote: EndpointId, kpid: Kref) {
        let weight = self.outcomes.weight(kpid);
        let account = self.settled_names.of.entry(remote).or_default();
        account.listed.push(kpid, weight);
        account.added = account.added.saturating_add(1);
    }

    /// The name of a promise is on its way out: message `told` retired it.
    pub(super) fn note_retiring(&mut self, remote: EndpointId, kpid: Kref, told: u64) {
        let weight = self.outcomes.weight(kpid);
        let account = self.settled_names.of.entry(remote).or_default();
        account.retiring.push(told, weight);
        account.added = account.added.saturating_add(1);
    }

    /// A remote has retired its name of a promise.
    pub(super) fn forget_settled_name(&mut self, remote: EndpointId, kpid: Kref) {
        if let Some(account) = self.settled_names.of.get_mut(&remote) {
            account.listed.forget_newest(kpid);
        }
    }

    /// A remote mentions nothing any more that was retired by a message up to `told`.
    pub(super) fn forget_retired_names(&mut self, remote: EndpointId, told: u64) {
        let Some(account) = self.settled_names.of.get_mut(&remote) else { return };
        while account.retiring.names.front().is_some_and(|(first, _)| first.is_none_or(|first| first <= told)) {
            account.retiring.pop();
        }
    }

    /// Finds the names in their rows.
    pub(super) fn note_all_settled_names(&mut self) -> Result<(), StoreError> {
        self.settled_names = SettledNames::default();
        for id in self.suffixes("remote.")? {
            let Ok(remote) = id.parse::<EndpointId>() else { continue };
            let mut listed = self.clist_promises(remote)?;
            listed.retain(|kpid| self.settled(*kpid).is_some());
            listed.sort_unstable_by_key(|kpid| kpid.index);
            listed.into_iter().for_each(|kpid| self.note_settled_name(remote, kpid));
            for (row, eref) in self.retiring(remote, u64::MAX)? {
                let told = row.rsplit('.').next().and_then(|told| told.parse().ok());
                if let Some((told, kpid)) = told.zip(self.eref_to_kref(remote, eref).ok().flatten()) {
                    self.note_retiring(remote, kpid, told);
                }
            }
            if let Some(account) = self.settled_names.of.get_mut(&remote) {
                account.added = 0;
            }
        }
        Ok(())
    }

    /// Forgets some of the oldest names of a remote, if there are too many. What it does not acknowledge, it has not read: what it was
    /// told in a message from `unread` on is kept.
    ///
    /// # Errors
    /// [`RefError::Store`].
    pub fn forget_settled_names(&mut self, remote: EndpointId, unread: Seq) -> Result<(), RefError> {
        // Whoever is still to be told is told under the name. (Of what had a row when the kernel started it is not known who.)
        if self.stored_items > 0 || seeded(Fault::RememberSettledNames) {
            return Ok(());
        }
        let Some(mut account) = self.settled_names.of.remove(&remote) else { return Ok(()) };
        let forgotten = self.forget_some(remote, &mut account, unread);
        self.settled_names.of.insert(remote, account);
        forgotten
    }

    fn forget_some(&mut self, remote: EndpointId, account: &mut Account, unread: Seq) -> Result<(), RefError> {
        let at_once = AT_ONCE.saturating_add(std::mem::take(&mut account.added).saturating_mul(2));
        let mut highest = 0;
        let mut note = |eref: Eref| {
            if eref.direction == Direction::Export {
                highest = highest.max(eref.index);
            }
        };
        for _ in 0..at_once {
            let Some(oldest) = account.listed.too_many() else { break };
            if let Some(kpid) = oldest.filter(|kpid| self.settled(*kpid).is_some())
                && let Some(entry) = self.entry(remote, kpid)?
            {
                self.delete_clist_entry(remote, kpid, entry.eref)?;
                note(entry.eref);
            }
            account.listed.pop();
        }
        for _ in 0..at_once {
            let Some(oldest) = account.retiring.too_many() else { break };
            if let Some(told) = oldest {
                if told >= unread.get() && told <= MAX_SEQ {
                    break;
                }
                let row = retiring_key(remote, told);
                if let Some(eref) = self.parsed::<Eref>(&row)? {
                    self.forget_retiring_row(remote, &row, eref)?;
                    note(eref);
                }
            }
            account.retiring.pop();
        }
        if highest > 0 && self.number(&forgotten_key(remote))?.is_none_or(|before| highest > before) {
            self.set(&forgotten_key(remote), &highest.to_string())?;
        }
        Ok(())
    }

    /// Whether a name that a remote made for a promise was forgotten; it cannot be that of a new one, for they are numbered.
    pub(super) fn is_forgotten(&self, remote: EndpointId, eref: Eref) -> Result<bool, StoreError> {
        if eref.kind != RefKind::Promise || !remote.is_remote() {
            return Ok(false);
        }
        Ok(self.number(&forgotten_key(remote))?.is_some_and(|highest| eref.index <= highest))
    }

    /// A remote begins anew, or is gone.
    pub(super) fn begin_settled_names(&mut self, remote: EndpointId) -> Result<(), StoreError> {
        self.settled_names.of.remove(&remote);
        self.delete(&forgotten_key(remote))
    }
}

#[cfg(test)]
mod tests {
    use super::{super::KernelStore, AT_ONCE, MAX_SETTLED_NAMES};
    use crate::{
        storage::MemoryStore,
        wire::{CapData, EndpointId, Eref, Kref, RefKind, Seq},
    };

    const BOB: EndpointId = EndpointId::Remote(1);

    fn theirs(index: u64) -> Eref {
        format!("rp+{index}").parse().unwrap()
    }

    fn data() -> CapData<Kref> {
        CapData { body: String::new(), slots: vec![] }
    }

    #[test]
    fn of_the_promises_that_a_remote_has_settled_the_newest_have_names() {
        let mut store = KernelStore::open(Box::new(MemoryStore::new())).unwrap();
        let (most, unread) = (2 * MAX_SETTLED_NAMES as u64, Seq::FIRST);
        let waiting = store.translate_inbound_ref(BOB, theirs(1)).unwrap();
        for index in 2..=most + 1 {
            let kpid = store.translate_inbound_ref(BOB, theirs(index)).unwrap();
            store.resolve_promise(kpid, false, &data()).unwrap();
            store.forget_settled_names(BOB, unread).unwrap();
        }
        let names = store.clist(BOB).unwrap();
        assert_eq!(names.len(), MAX_SETTLED_NAMES + 1);
        assert!(names.contains(&(waiting, theirs(1))), "what is not settled is not forgotten");
        assert!(store.translate_inbound_ref(BOB, theirs(2)).is_err(), "nor taken for a new promise");
        assert!(store.export_result(BOB, theirs(2)).is_err());
        assert!(store.translate_inbound_ref(BOB, theirs(most + 1)).is_ok());
        assert_eq!(store.translate_inbound_ref(BOB, theirs(most + 2)).unwrap().kind, RefKind::Promise);
        store.collect_garbage().unwrap();
        store.audit().unwrap();
        store.resolve_promise(waiting, false, &data()).unwrap();
        let last = store.eref_to_kref(BOB, theirs(most + 2)).unwrap().unwrap();
        store.resolve_promise(last, false, &data()).unwrap();
        store.delete_endpoint(BOB).unwrap();
        store.collect_garbage().unwrap();
        assert_eq!(store.suffixes("forgotten").unwrap(), [""; 0]);
        assert_eq!(store.suffixes("kp").unwrap(), [""; 0]);
    }

    #[test]
    fn what_was_told_in_a_message_that_is_not_acknowledged_is_understood() {
        let mut store = KernelStore::open(Box::new(MemoryStore::new())).unwrap();
        let count = 2 * MAX_SETTLED_NAMES as u64;
        let unread = Seq::new(count / 4).unwrap();
        for number in 1..=count {
            let kpid = store.export_result(BOB, theirs(number)).unwrap();
            store.resolve_promise(kpid, false, &data()).unwrap();
            store.retire_name(BOB, kpid, theirs(number), Seq::new(number).unwrap()).unwrap();
        }
        store.forget_settled_names(BOB, unread).unwrap();
        assert_eq!(
            store.retiring(BOB, u64::MAX).unwrap().len() as u64,
            count - (count / 4 - 1),
            "few of them are read"
        );
        let all = Seq::new(count + 1).unwrap();
        let calls = (0..).find(|_| {
            let before = store.retiring(BOB, u64::MAX).unwrap().len();
            store.forget_settled_names(BOB, all).unwrap();
            let forgotten = before - store.retiring(BOB, u64::MAX).unwrap().len();
            assert!(forgotten <= AT_ONCE, "{forgotten} in one turn");
            forgotten == 0
        });
        assert!(calls.is_some_and(|calls| calls > MAX_SETTLED_NAMES / AT_ONCE / 2));
        assert_eq!(store.retiring(BOB, u64::MAX).unwrap().len(), MAX_SETTLED_NAMES);
        assert!(store.translate_inbound_ref(BOB, theirs(1)).is_err());
        assert!(store.translate_inbound_ref(BOB, theirs(count)).is_ok());
        store.collect_garbage().unwrap();
        store.audit().unwrap();
    }

    fn rows(store: &KernelStore) -> usize {
        store.suffixes("").unwrap().len()
    }

    #[test]
    fn what_the_values_of_settled_promises_mention_counts_too() {
        let mut store = KernelStore::open(Box::new(MemoryStore::new())).unwrap();
        let mut most = 0;
        for round in 0..20 {
            let kpid = store.translate_inbound_ref(BOB, theirs(round + 1)).unwrap();
            let name = |index: u64| format!("ro+{}", round * 1_000 + index).parse::<Eref>().unwrap();
            let slots = (1..=1_000).map(|index| store.translate_inbound_ref(BOB, name(index)).unwrap()).collect();
            store.resolve_promise(kpid, false, &CapData { body: String::new(), slots }).unwrap();
            store.forget_settled_names(BOB, Seq::FIRST).unwrap();
            store.collect_garbage().unwrap();
            most = most.max(rows(&store));
        }
        assert!(most <= 5 * MAX_SETTLED_NAMES + 10, "{most} rows");
        store.audit().unwrap();
    }

    #[test]
    fn what_settled_promises_lead_to_by_way_of_others_counts_too() {
        // The oldest leads to all others, or the newest; their names are retired, or not.
        for (from_the_end, retires) in [(false, true), (false, false), (true, false)] {
            let mut store = KernelStore::open(Box::new(MemoryStore::new())).unwrap();
            let mut most = 0;
            for index in 1..=2 * MAX_SETTLED_NAMES as u64 {
                let (named, leads_to) = if from_the_end { (index + 1, index) } else { (index, index + 1) };
                let kpid = store.translate_inbound_ref(BOB, theirs(named)).unwrap();
                let Ok(next) = store.translate_inbound_ref(BOB, theirs(leads_to)) else { continue };
                let value = CapData { body: String::new(), slots: vec![next] };
                if store.resolve_promise(kpid, false, &value).is_err() {
                    continue;
                }
                if retires && index > 1 {
                    store.forget_name(BOB, theirs(named)).unwrap();
                }
                store.forget_settled_names(BOB, Seq::FIRST).unwrap();
                if index % 100 == 0 {
                    store.collect_garbage().unwrap();
                    most = most.max(rows(&store));
                }
            }
            assert!(most <= 6 * MAX_SETTLED_NAMES, "{most} rows, {from_the_end} {retires}");
            store.audit().unwrap();
        }
    }

    #[test]
    fn names_are_found_again_when_the_store_is_opened() {
        let mut store = KernelStore::open(Box::new(MemoryStore::new())).unwrap();
        let bob = store.next_remote_id().unwrap();
        let peer = crate::wire::PeerId::from_ed25519_seed([7; 32]).unwrap();
        store.set_remote_info(bob, &super::super::RemoteInfo { peer_id: peer, hints: vec![] }).unwrap();
        for index in 1..=MAX_SETTLED_NAMES as u64 + 10 {
            let kpid = store.translate_inbound_ref(bob, theirs(index)).unwrap();
            store.resolve_promise(kpid, false, &data()).unwrap();
        }
        let mut store = KernelStore::open(store.kv).unwrap();
        store.forget_settled_names(bob, Seq::FIRST).unwrap();
        assert_eq!(store.clist(bob).unwrap().len(), MAX_SETTLED_NAMES);
    }
}
