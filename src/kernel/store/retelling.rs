//! What peers make the kernel tell again. Whoever is given a promise that is settled is told what it became, and what that leads
//! to. A peer that retires the names of settled promises tells all of that itself when it gives one again; one that does not
//! could have it told with a few bytes, as often as it likes. So each peer has so much to its credit, and earns more with what it
//! sends. Messages that were under way when a promise was settled mention it without fault: there is room for those.

use std::collections::{BTreeSet, HashMap};

use super::{KernelStore, RefError, StoreError};
use crate::wire::{EndpointId, Kref, Resolution};

/// Bytes that one peer may have told again.
pub const MAX_TOLD_AGAIN: u64 = 64 << 20;
/// Bytes that it earns with each that it sends.
const EARNED: u64 = 16;
/// What telling a promise costs beside its value.
const PROMISE_BYTES: u64 = 512;

/// What each peer has used up of its credit. It lives in memory, and a rollback does not give it back.
#[derive(Debug, Default)]
pub(super) struct ToldAgain {
    used: HashMap<EndpointId, u64, foldhash::fast::RandomState>,
}

impl KernelStore {
    /// A peer has sent so many bytes.
    pub fn earn_retelling(&mut self, remote: EndpointId, bytes: usize) {
        if let Some(used) = self.told_again.used.get_mut(&remote) {
            *used = used.saturating_sub(EARNED.saturating_mul(bytes as u64));
            if *used == 0 {
                self.told_again.used.remove(&remote);
            }
        }
    }

    /// A remote is gone.
    pub fn forget_retelling(&mut self, remote: EndpointId) {
        self.told_again.used.remove(&remote);
    }

    /// A peer mentions these: what those that are settled became is told again.
    ///
    /// # Errors
    /// [`RefError::TooMuchToTell`] when its credit is used up.
    pub fn charge_retelling(&mut self, remote: EndpointId, krefs: &[Kref]) -> Result<(), RefError> {
        if krefs.iter().all(|kref| self.outcomes.get(*kref).is_none()) {
            return Ok(());
        }
        let used = self.told_again.used.get(&remote).copied().unwrap_or(0);
        let cost = self.outcomes.cost(krefs, MAX_TOLD_AGAIN.saturating_sub(used));
        // What was looked at was work too, also if nothing is told.
        let used = used.saturating_add(cost);
        self.told_again.used.insert(remote, used.min(MAX_TOLD_AGAIN));
        if used <= MAX_TOLD_AGAIN { Ok(()) } else { Err(RefError::TooMuchToTell(remote)) }
    }

    /// As [`charge_retelling`](Self::charge_retelling), for what resolutions lead to if anybody else hears of them.
    ///
    /// # Errors
    /// As there; [`RefError::Store`].
    pub fn charge_resolutions(&mut self, remote: EndpointId, all: &[Resolution<Kref>]) -> Result<(), RefError> {
        for Resolution { promise, value, .. } in all {
            let leads_on = value.slots.iter().any(|slot| self.outcomes.get(*slot).is_some());
            if leads_on && self.has_other_subscribers(*promise, remote)? {
                self.charge_retelling(remote, &value.slots)?;
            }
        }
        Ok(())
    }

    fn has_other_subscribers(&self, kpid: Kref, remote: EndpointId) -> Result<bool, StoreError> {
        Ok(self.subscribers(kpid)?.into_iter().any(|subscriber| subscriber != remote))
    }
}

impl super::Outcomes {
    /// What telling of these and of all that they lead to costs; what is beyond `limit` is not looked at.
    fn cost(&self, krefs: &[Kref], limit: u64) -> u64 {
        let (mut cost, mut seen, mut to_see) = (0_u64, BTreeSet::new(), krefs.to_vec());
        while let Some(kref) = to_see.pop() {
            if let Some(outcome) = self.get(kref).filter(|_| seen.insert(kref)) {
                cost = cost.saturating_add(outcome.bytes as u64).saturating_add(PROMISE_BYTES);
                if cost > limit {
                    break;
                }
                to_see.extend(outcome.promises());
            }
        }
        cost
    }
}
