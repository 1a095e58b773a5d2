//! What a history goes by, from its beginning to its end.

use ocap_remotes::{runtime::Timestamp, session::SessionConfig};

use crate::{end::Reception, world::Side};

/// What the actions go by.
#[derive(Clone, Debug)]
pub struct Rules {
    /// The numbers that both sessions live by.
    pub session: SessionConfig,
    /// The time, for everything but timers.
    pub now: Timestamp,
    /// Bob is of the older kind: he never tells his start.
    pub incumbent: bool,
    /// Messages are received and processed in two steps.
    pub deferred: bool,
    /// Alice's messages make Bob's kernel reply.
    pub replies: bool,
    /// Channels never misbehave beyond being cut, so that no gaps are to be seen.
    pub orderly: bool,
    /// The network keeps the fence, as it must; without it a gap is to be found.
    pub fence: bool,
}

impl Rules {
    pub(crate) fn reception(&self, side: Side) -> Reception {
        // Several writes leave one when the first of them is refused and the next is not; they are for ends that hold what is ahead.
        let leaves_gaps = self.session.max_writes > 1 && !self.incumbent;
        Reception {
            no_gaps: self.orderly && !leaves_gaps && !(self.incumbent && side == 0),
            deferred: self.deferred,
            replies: self.replies && side == 1,
        }
    }

    /// Times of which one is late enough for a retransmission, and none for a give-up.
    pub(crate) fn retransmission_times(&self) -> impl Iterator<Item = Timestamp> {
        (1..=4).map(|round| self.now.after(self.session.ack_timeout * 2 * round))
    }

    /// When every give-up is due.
    pub(crate) fn give_up_time(&self) -> Timestamp {
        self.now.after(self.session.ack_timeout * self.session.max_retransmissions * 4)
    }
}
