//! What an end's store holds: the numbers and messages of the session, and what its program sent and got, as plain lists.

use ocap_remotes::{
    session::SavedSession,
    wire::{RemoteCommand, Seq, StoredCommand},
};

/// Which life of a kernel's store; 0 where a peer's is not known yet.
pub type Incarnation = u8;

/// What became of a message, as its sender knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sent {
    /// Neither acknowledged nor given up.
    Pending,
    /// The peer has it.
    Acknowledged,
    /// The program was told that it may not arrive.
    GivenUp,
}

/// What became of a number, as its receiver knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Got {
    /// The program has the message.
    Delivered,
    /// The program was told that the message will not come.
    Lost,
}

/// Everything that lives and dies with the store. The lists speak of the present pair of incarnations.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Store {
    pub(crate) last_sent: u64,
    pub(crate) start: u64,
    pub(crate) pending: Vec<(Seq, StoredCommand)>,
    /// The incarnation that the peer showed last.
    pub peer: Incarnation,
    /// What the program sent; the first has number 1.
    pub sent: Vec<Sent>,
    /// What the program got; the first has number 1.
    pub got: Vec<Got>,
}

impl Store {
    pub(crate) fn saved(&self) -> SavedSession {
        SavedSession {
            last_sent: self.last_sent,
            start: self.start,
            highest_received: self.got.len() as u64,
            pending: self.pending.clone(),
            epoch: None,
        }
    }

    pub(crate) fn begin_anew(&mut self, peer: Incarnation) {
        *self = Store { peer, ..Store::default() };
    }

    pub(crate) fn sent_fate(&self, seq: Seq) -> Option<Sent> {
        self.sent.get(index(seq)).copied()
    }

    pub(crate) fn got_fate(&self, seq: Seq) -> Option<Got> {
        self.got.get(index(seq)).copied()
    }
}

pub(crate) fn index(seq: Seq) -> usize {
    usize::try_from(seq.get() - 1).unwrap()
}

/// Who sent a message to whom, written into it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Label {
    pub(crate) from: Incarnation,
    pub(crate) to: Incarnation,
    pub(crate) number: u64,
}

impl Label {
    pub(crate) fn command(self, padding: usize) -> StoredCommand {
        let url = format!("{}.{}.{}", self.from, self.to, self.number);
        StoredCommand::new(&RemoteCommand::RedeemUrl { url, reply_key: "x".repeat(padding) }).unwrap()
    }

    pub(crate) fn of(command: &RemoteCommand) -> Option<Self> {
        let RemoteCommand::RedeemUrl { url, .. } = command else { return None };
        let mut parts = url.split('.');
        let from = parts.next()?.parse().ok()?;
        let to = parts.next()?.parse().ok()?;
        Some(Label { from, to, number: parts.next()?.parse().ok()? })
    }
}
