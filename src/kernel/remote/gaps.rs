//! What a peer abandoned, and what may have been in it.
//!
//! An answer that is lost will never come, so whoever waits for one must be told. But only what may be lost: an answer that has
//! arrived behind the gap is none, nor is one to a message that the peer had not read when it wrote the first message behind the
//! gap, for whoever has answered a message says that it has it in all that follows.

use std::collections::{BTreeSet, HashMap};

use super::{
    super::{KernelError, RejectionCode},
    RemoteHandle,
    inbound::{Inbound, Outcome},
};
use crate::{
    session::{Lost, SavedSession},
    wire::{Delivery, Eref, Kref, Message, RemoteCommand, Seq},
};

/// Which message of this kernel asked the peer for a result, by the promise of that result as the c-list names it. What is
/// missing was asked, and acknowledged, in a former life of this kernel.
#[derive(Debug, Default)]
pub(super) struct Asked {
    by_result: HashMap<Eref, Seq>,
}

impl Asked {
    pub(super) fn restore(saved: &SavedSession) -> Result<Self, KernelError> {
        let mut asked = Asked::default();
        for (seq, stored) in &saved.pending {
            if let Some((_, command)) = Message::parse(&stored.to_row(*seq))?.command {
                asked.note(*seq, &command);
            }
        }
        Ok(asked)
    }

    /// A message was staged.
    pub(super) fn note(&mut self, seq: Seq, command: &RemoteCommand) {
        if let RemoteCommand::Deliver(Delivery::Message { result: Some(result), .. }) = command {
            self.by_result.insert(result.flipped(), seq);
        }
    }

    /// The peer has settled these promises, or left them to this kernel. Answers which messages asked for them.
    pub(super) fn settled(&mut self, promises: &[Eref]) -> Vec<Seq> {
        promises.iter().filter_map(|eref| self.by_result.remove(eref)).collect()
    }

    fn after(&self, seq: u64) -> impl Iterator<Item = Eref> + '_ {
        self.by_result.iter().filter(move |(_, asked)| asked.get() > seq).map(|(eref, _)| *eref)
    }
}

impl RemoteHandle {
    /// The peer has given this kernel up, and what it abandoned will never come. Whoever waits for an answer that may have been
    /// in it is told: promises are rejected, redemptions end.
    pub(super) fn pass_over(&mut self, context: &mut Inbound<'_>, lost: Lost) -> Result<Outcome, KernelError> {
        let Inbound { host, redemptions, .. } = context;
        let answered = self.session.may_have_answered(lost);
        let mut redemptions = redemptions.asked_up_to(self.id, answered);
        let detail = format!("remote peer {} had given this kernel up, and its answer may be lost", self.peer());
        let (open, kept) = host.transaction("lost", |host| {
            host.set_highest_received_seq(self.id, lost.last.get())?;
            let mut decided = host.promises_by_decider(self.id)?;
            if decided.is_empty() && redemptions.is_empty() {
                return Ok((0, BTreeSet::new()));
            }
            let mut kept: BTreeSet<Eref> = self.asked.after(answered).collect();
            for arrived in self.session.arrived_behind(lost) {
                kept.extend(arrived.command.settles());
                if let RemoteCommand::RedeemUrlReply { reply_key, .. } = &arrived.command {
                    redemptions.retain(|key| key != reply_key);
                }
            }
            let is_kept = kept.iter().filter_map(|eref| host.known(self.id, *eref).transpose());
            let is_kept = is_kept.collect::<Result<BTreeSet<Kref>, _>>()?;
            let all = decided.len();
            decided.retain(|promise| !is_kept.contains(promise));
            let open = all.saturating_sub(decided.len());
            self.reject(host, decided, RejectionCode::ConnectionLost, &detail)?;
            Ok((open, kept))
        })?;
        self.unanswered.set(open);
        let expected_no_more = self.asked.by_result.extract_if(|eref, _| !kept.contains(eref));
        expected_no_more.for_each(|(_, seq)| self.session.answered(seq));
        self.misses_some = true;
        Ok(Outcome::Lost { lost, redemptions })
    }
}
