//! Checks of the session against everything that can happen to it (protocol §5).
//!
//! [`check`] walks every state that two real sessions, their stores and the network between them can come to within the
//! bounds of a [`Configuration`]: in each, what was promised must hold ([`end`] says what, where it happens), and there must
//! be a way to a good end ([`kind`]). Time does not pass: every timer may fire whenever it is set, so all timings are covered.
//!
//! `tests/exhaustive.rs` runs the configurations; `tests/windows_and_time.rs` lets time pass and takes larger windows, at random.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::expect_used)] // Only tests use it.

pub mod actions;
mod checker;
pub mod configurations;
pub mod end;
pub mod kind;
pub mod rules;
pub mod store;
mod story;
pub mod world;

pub use checker::{Outcome, check};
pub use configurations::Configuration;
pub use story::tell;

/// What an end is called.
pub fn name(side: world::Side) -> &'static str {
    ["Alice", "Bob"][side]
}
