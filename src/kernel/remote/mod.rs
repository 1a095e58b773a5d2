//! Other kernels, as this kernel knows them.
//!
//! A [`RemoteHandle`] is one of them: its session, and the translation between kernel references and its own. `outbound`
//! stages commands inside the caller's transaction; `inbound` processes messages one at a time, each in a transaction of its
//! own together with the advance of the highest received number, for only then may they be acknowledged (after the commit that
//! such transactions share), and long ones in `portions`; `given` remembers what was given
//! when, `retired` which names of settled promises are forgotten; `turns` how much garbage an incumbent may be told of;
//! `gaps` says what may have been in messages that are lost; `ends` has what a restart or a loss of the peer means for
//! the store. The [`RemoteManager`] owns all of them and judges incarnations.

mod counters;
mod effect;
mod ends;
mod flow;
mod gaps;
mod given;
mod handle;
mod inbound;
mod manager;
mod outbound;
mod portions;
mod redemption;
mod retired;
mod turns;

pub use counters::RemoteCounters;
pub use effect::{Effect, RemoteEvent, RemoteWrite};
pub use handle::{RemoteHandle, UrlTicket};
pub use manager::{RemoteManager, RemoteManagerConfig};
pub(super) use outbound::check_size;
pub use outbound::{MAX_REFERENCES, MAX_SLOTS};
pub use redemption::RedemptionId;
