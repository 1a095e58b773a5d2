//! How many calls a peer is left with that may be an incumbent.
//!
//! Its run loop ends for good when 200 of its messages wait for an acknowledgement and it has one more outcome to tell
//! (protocol §10). Every call asks for an outcome, and they may all come at once. So calls wait here, in order with what is behind
//! them, while too many are open. Two kernels that wait for each other would wait for ever: a call that was acknowledged
//! and is not answered counts as one whose answer takes its time after a while, and sooner if more than calls is held up.

use std::{collections::BTreeMap, ops::Bound, time::Duration};

use super::Session;
use crate::{runtime::Timestamp, wire::Seq};

/// Calls that may be open. The peer has other things to say, too, and pays for acknowledgements from the same 100 messages in a
/// second.
const MAX_OPEN: usize = 64;

/// What calls hold up that is no call waits for this part of the time at most.
const SOONER: u32 = 10;

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Pace {
    /// The last call that was let go.
    let_go: u64,
    /// Those that are not answered, and when they were acknowledged.
    open: BTreeMap<Seq, Option<Timestamp>>,
}

impl Pace {
    /// Whether a call was let go already, and may only be written again.
    pub(super) fn has_let_go(&self, seq: Seq) -> bool {
        seq.get() <= self.let_go
    }

    /// A call is written.
    pub(super) fn let_go(&mut self, seq: Seq) {
        if !self.has_let_go(seq) {
            self.let_go = seq.get();
            self.open.insert(seq, None);
        }
    }

    /// Everything up to `last` is acknowledged. What has been open for longer than `patience` since counts no more.
    pub(super) fn acknowledged(&mut self, now: Timestamp, last: Seq, patience: Duration) {
        let taken = self.open.range_mut((Bound::Unbounded, Bound::Included(last)));
        taken.for_each(|(_, acknowledged)| *acknowledged = acknowledged.or(Some(now)));
        self.open.retain(|_, acknowledged| counts(*acknowledged, now, patience));
    }

    pub(super) fn answered(&mut self, seq: Seq) {
        self.open.remove(&seq);
    }

    /// Whether one more may be let go.
    pub(super) fn has_room(&self, now: Timestamp, patience: Duration) -> bool {
        self.open.values().filter(|acknowledged| counts(**acknowledged, now, patience)).count() < MAX_OPEN
    }

    /// When there is room at the latest, if nothing but time passes.
    pub(super) fn has_room_at(&self, patience: Duration) -> Option<Timestamp> {
        let too_many = (self.open.len() + 1).checked_sub(MAX_OPEN)?;
        let mut acknowledged: Vec<Timestamp> = self.open.values().copied().flatten().collect();
        acknowledged.sort_unstable();
        acknowledged.get(too_many.checked_sub(1)?).map(|since| since.after(patience))
    }
}

/// Whether an open call counts still.
fn counts(acknowledged: Option<Timestamp>, now: Timestamp, patience: Duration) -> bool {
    acknowledged.is_none_or(|since| now.since(since) < patience)
}

impl Session {
    /// The call that is to be written next, if there has to be room for it at a peer that may be an incumbent, and how long
    /// others count against it.
    fn next_call(&self) -> Option<(Seq, Duration)> {
        let (seq, command) = self.outbox.next_unwritten()?;
        if !command.is_call() || self.pace.has_let_go(seq) || self.peer_is_ours() {
            return None;
        }
        let more = self.outbox.holds_up_more_than_calls(seq);
        let patience = self.config.ack_timeout;
        Some((seq, if more { patience / SOONER } else { patience }))
    }

    /// The peer has answered a call, or it is not expected to any more.
    pub fn answered(&mut self, seq: Seq) {
        self.pace.answered(seq);
    }

    /// The call that is to be written next, while it waits for room.
    pub(super) fn call_that_waits(&self, now: Timestamp) -> Option<Seq> {
        let (seq, patience) = self.next_call()?;
        (!self.pace.has_room(now, patience)).then_some(seq)
    }

    /// When it has waited long enough, if nothing but time passes.
    pub(super) fn call_is_due(&self) -> Option<Timestamp> {
        self.pace.has_room_at(self.next_call()?.1)
    }
}
