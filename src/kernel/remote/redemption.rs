//! Redemptions of OCAP URLs that wait for the issuer's answer.

use std::{collections::HashMap, fmt, time::Duration};

use crate::{
    runtime::Timestamp,
    session::{OVERSLEPT, SessionConfig},
    wire::{EndpointId, Seq},
};

/// How long the redemption of a URL may take while nothing moves: as long as its delivery may be retried.
pub(super) fn redemption_timeout(config: &SessionConfig) -> Duration {
    config.ack_timeout.saturating_mul(config.max_retransmissions.saturating_add(1))
}

/// Names one redemption of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RedemptionId(u64);

impl fmt::Display for RedemptionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[derive(Debug)]
struct Pending {
    id: RedemptionId,
    remote: EndpointId,
    /// The message that asks.
    seq: Seq,
    deadline: Timestamp,
}

/// What waits, by reply key. Keys are random, so that an answer meant for a former life of this kernel finds nothing.
#[derive(Debug, Default)]
pub(super) struct Redemptions {
    pending: HashMap<String, Pending>,
    last_id: u64,
}

impl Redemptions {
    /// 128 random bits in hex.
    pub(super) fn reply_key(random: [u8; 16]) -> String {
        format!("{:032x}", u128::from_be_bytes(random))
    }

    pub(super) fn next_id(&mut self) -> RedemptionId {
        self.last_id = self.last_id.wrapping_add(1);
        RedemptionId(self.last_id)
    }

    /// Waits for the answer to message `seq` of this kernel.
    pub(super) fn wait(
        &mut self,
        id: RedemptionId,
        key: String,
        (remote, seq): (EndpointId, Seq),
        deadline: Timestamp,
    ) {
        self.pending.insert(key, Pending { id, remote, seq, deadline });
    }

    /// The keys of those that a remote was asked for in messages up to `seq`.
    pub(super) fn asked_up_to(&self, remote: EndpointId, seq: u64) -> Vec<String> {
        let asked = self.pending.iter().filter(|(_, pending)| pending.remote == remote && pending.seq.get() <= seq);
        asked.map(|(key, _)| key.clone()).collect()
    }

    /// What waits for one remote waits at least until then.
    pub(super) fn put_off(&mut self, remote: EndpointId, until: Timestamp) {
        for pending in self.pending.values_mut().filter(|pending| pending.remote == remote) {
            pending.deadline = pending.deadline.max(until);
        }
    }

    /// Whether anybody waits for this answer of that remote. Nobody else can give it.
    pub(super) fn expects(&self, remote: EndpointId, key: &str) -> bool {
        self.pending.get(key).is_some_and(|pending| pending.remote == remote)
    }

    pub(super) fn take(&mut self, key: &str) -> Option<RedemptionId> {
        self.pending.remove(key).map(|pending| pending.id)
    }

    /// Nobody waits for this one any more.
    pub(super) fn abandon(&mut self, id: RedemptionId) {
        self.pending.retain(|_, pending| pending.id != id);
    }

    /// Takes everything that waits for one remote.
    pub(super) fn take_all_of(&mut self, remote: EndpointId) -> Vec<RedemptionId> {
        self.take_if(|pending| pending.remote == remote)
    }

    /// Takes everything whose time is over. Who comes [too late](OVERSLEPT) has not waited: everything gets its `time` anew.
    pub(super) fn take_expired(&mut self, now: Timestamp, time: Duration) -> Vec<(RedemptionId, EndpointId)> {
        if self.next_deadline().is_some_and(|due| now.since(due) > OVERSLEPT) {
            self.pending.values_mut().for_each(|pending| pending.deadline = now.after(time));
        }
        let remotes: HashMap<_, _> = self.pending.values().map(|pending| (pending.id, pending.remote)).collect();
        let expired = self.take_if(|pending| pending.deadline <= now);
        expired.into_iter().filter_map(|id| Some((id, *remotes.get(&id)?))).collect()
    }

    fn take_if(&mut self, condition: impl Fn(&Pending) -> bool) -> Vec<RedemptionId> {
        let mut taken = Vec::new();
        self.pending.retain(|_, pending| {
            let take = condition(pending);
            if take {
                taken.push(pending.id);
            }
            !take
        });
        taken.sort_unstable();
        taken
    }

    pub(super) fn next_deadline(&self) -> Option<Timestamp> {
        self.pending.values().map(|pending| pending.deadline).min()
    }
}
