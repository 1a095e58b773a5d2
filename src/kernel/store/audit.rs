//! A check of the whole store: every count is recomputed from what holds references.

use std::collections::{BTreeMap, BTreeSet};

use super::{KernelStore, ObjectCounts, Party, PromiseState, RunItem, StoreError, clist, gifts::Gift, queues::RUN};
use crate::wire::{Direction, EndpointId, Kref};

/// What was found to hold references, and what is wrong.
#[derive(Default)]
struct Audit {
    held: BTreeMap<Kref, ObjectCounts>,
    /// Objects for which dead incarnations have names.
    former: BTreeSet<Kref>,
    faults: Vec<String>,
}

impl Audit {
    fn hold(&mut self, kref: Kref, reachable: bool) {
        let counts = self.held.entry(kref).or_default();
        counts.recognizable += 1;
        counts.reachable += u64::from(reachable);
    }

    fn insist(&mut self, holds: bool, fault: impl FnOnce() -> String) {
        if !holds {
            self.faults.push(fault());
        }
    }
}

impl KernelStore {
    /// Recomputes every reference count from c-lists, queues, promises and pins, and looks for entries that do not match
    /// and for garbage that no collection would find. It reads the whole store: for tests and for diagnosis.
    ///
    /// # Errors
    /// Everything that is wrong, in words.
    pub fn audit(&self) -> Result<(), Vec<String>> {
        let mut audit = Audit::default();
        match self.audit_into(&mut audit) {
            Ok(()) if audit.faults.is_empty() => Ok(()),
            Ok(()) => Err(audit.faults),
            Err(error) => {
                audit.faults.push(error.to_string());
                Err(audit.faults)
            }
        }
    }

    fn audit_into(&self, audit: &mut Audit) -> Result<(), StoreError> {
        let keys = self.suffixes("")?;
        let endpoints: BTreeSet<EndpointId> =
            keys.iter().filter_map(|key| key.split_once(".c.")?.0.parse().ok()).collect();
        for endpoint in endpoints {
            self.audit_clist(endpoint, audit)?;
        }
        for key in &keys {
            if let Some((name, field)) = key.split_once('.')
                && let Ok(kref) = name.parse::<Kref>()
                && field == "state"
            {
                self.audit_promise(kref, audit)?;
            }
            if let Some(place) = key.strip_prefix("waiting.") {
                let waits = self.get(&format!("queue.{place}"))?.is_some();
                audit.insist(waits, || format!("{key} speaks of a message that does not wait"));
            }
            if let Some((name, position)) = key.strip_prefix("queue.").and_then(|rest| rest.split_once('.'))
                && position.parse::<u64>().is_ok()
            {
                self.audit_queued(key, name, audit)?;
            }
            if let Some((kref, remote)) = Self::gift_in_key(key) {
                let (gift, entry) = (self.gift(remote, kref)?, self.entry(remote, kref)?);
                let fits = entry.is_some_and(|entry| {
                    entry.eref.direction == Direction::Import && (gift != Some(Gift::Former) || !entry.reachable)
                });
                audit.insist(fits, || format!("{key} says {gift:?} of {entry:?}"));
                audit.former.extend((gift == Some(Gift::Former)).then_some(kref));
            }
        }
        for kref in self.pinned_objects()? {
            audit.hold(kref, true);
        }
        let counted = |key: &String| key.strip_suffix(".refCount").and_then(|name| name.parse().ok());
        let mut krefs: BTreeSet<Kref> = keys.iter().filter_map(counted).collect();
        krefs.extend(audit.held.keys());
        for kref in krefs {
            let held = audit.held.get(&kref).copied().unwrap_or_default();
            if kref.is_promise() {
                self.audit_promise_count(kref, held, audit)?
            } else {
                self.audit_object(kref, held, audit)?
            }
        }
        Ok(())
    }

    fn audit_clist(&self, endpoint: EndpointId, audit: &mut Audit) -> Result<(), StoreError> {
        let prefix = format!("{endpoint}.c.");
        let (krefs, erefs): (Vec<_>, Vec<_>) =
            self.suffixes(&prefix)?.into_iter().partition(|slot| slot.starts_with('k'));
        let retiring = self.retiring(endpoint, u64::MAX)?;
        let both = krefs.len() + retiring.len();
        audit.insist(both == erefs.len(), || format!("the c-list of {endpoint} is lopsided"));
        for (row, eref) in retiring {
            match self.eref_to_kref(endpoint, eref)? {
                Some(kpid) => audit.hold(kpid, true),
                None => audit.insist(false, || format!("{row}: {eref} is not in the c-list")),
            }
        }
        for name in krefs {
            let kref: Kref = name.parse().map_err(|_| StoreError::corrupt(&prefix, &name))?;
            let Some(entry) = self.entry(endpoint, kref)? else { continue };
            let back = self.eref_to_kref(endpoint, entry.eref)?;
            audit.insist(back == Some(kref), || format!("{endpoint}: {kref} is {}, which is {back:?}", entry.eref));
            if clist::counts(entry.eref) {
                audit.hold(kref, entry.reachable);
            } else {
                let owner = self.owner(kref)?;
                audit.insist(owner == Some(Party::Endpoint(endpoint)), || {
                    format!("{endpoint} exports {kref}, but its owner is {owner:?}")
                });
            }
        }
        Ok(())
    }

    fn audit_promise(&self, kpid: Kref, audit: &mut Audit) -> Result<(), StoreError> {
        match self.promise_state(kpid)? {
            Some(PromiseState::Unresolved { decider, subscribers }) => {
                audit.hold(kpid, true);
                for endpoint in subscribers.into_iter().chain(decider.and_then(Party::endpoint)) {
                    let listed = self.entry(endpoint, kpid)?.is_some();
                    audit.insist(listed, || format!("{endpoint} decides or awaits {kpid} without having it"));
                }
            }
            Some(PromiseState::Fulfilled(value) | PromiseState::Rejected(value)) => {
                value.slots.into_iter().for_each(|slot| audit.hold(slot, true));
            }
            None => {}
        }
        Ok(())
    }

    fn audit_queued(&self, key: &str, name: &str, audit: &mut Audit) -> Result<(), StoreError> {
        let mentions = if name == RUN {
            self.json::<RunItem>(key)?.map(|item| item.mentions())
        } else {
            let target: Kref = name.parse().map_err(|_| StoreError::corrupt(key, name))?;
            self.json(key)?.map(|message| RunItem::Send { target, message }.mentions())
        };
        mentions.into_iter().flatten().for_each(|kref| audit.hold(kref, true));
        Ok(())
    }

    fn audit_promise_count(&self, kpid: Kref, held: ObjectCounts, audit: &mut Audit) -> Result<(), StoreError> {
        let stored = self.promise_count(kpid)?;
        let due = held.recognizable;
        audit.insist(stored == Some(due), || format!("{kpid} counts {stored:?} but {due} hold it"));
        audit.insist(due > 0 || self.uncollected.maybe_free.contains(&kpid), || format!("{kpid} has leaked"));
        Ok(())
    }

    fn audit_object(&self, kref: Kref, held: ObjectCounts, audit: &mut Audit) -> Result<(), StoreError> {
        let stored = self.object_counts(kref)?;
        audit.insist(stored == Some(held), || format!("{kref} counts {stored:?} but {held:?} hold it"));
        let owner = self.owner(kref)?;
        let owner_reaches = match owner.and_then(Party::endpoint) {
            Some(endpoint) => self.is_reachable(endpoint, kref)?,
            None => None,
        };
        let kept = match owner {
            Some(Party::Kernel) => true,
            Some(Party::Endpoint(_)) => held.reachable > 0 || (held.recognizable > 0 && owner_reaches == Some(false)),
            None => held.reachable > 0,
        };
        let kept = kept && (held.reachable > 0 || !audit.former.contains(&kref));
        audit.insist(kept || self.is_uncollected(kref), || format!("{kref} has leaked"));
        let forsaken = held.reachable > 0 && owner_reaches == Some(false);
        audit.insist(!forsaken, || format!("{kref} is reachable, but its owner was told that it is not"));
        Ok(())
    }
}
