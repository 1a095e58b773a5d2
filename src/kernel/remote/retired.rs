//! The names of settled promises that the peer has retired, and this end has forgotten: how far, and whether the peer was told.
//!
//! Whoever tells an outcome uses the promise's name no more from there on, but must understand it until the other end has
//! read the news and everything is through that the other had sent before (protocol §11). So the other says, in a message
//! behind all of that, up to which of the news it has forgotten the names. What a crash makes it forget to say, it says with
//! the next.

use crate::wire::Seq;

/// So many may be forgotten before the peer is told by a message of its own, if there is no other.
const UNTOLD: u32 = 100;

#[derive(Debug, Default)]
pub(super) struct Retired {
    /// The last message of the peer whose names are forgotten, since this kernel was started.
    up_to: Option<Seq>,
    /// How many came since anything was sent.
    untold: u32,
}

impl Retired {
    /// The names that this message of the peer retired are forgotten.
    pub(super) fn note(&mut self, seq: Seq) {
        self.up_to = Some(seq);
        self.untold = self.untold.saturating_add(1);
    }

    /// What every message tells.
    pub(super) fn to_tell(&self) -> Option<Seq> {
        self.up_to
    }

    /// A message was staged that tells. Should it be rolled back, a later one tells.
    pub(super) fn was_told(&mut self) {
        self.untold = 0;
    }

    pub(super) fn is_overdue(&self) -> bool {
        self.untold >= UNTOLD
    }
}
