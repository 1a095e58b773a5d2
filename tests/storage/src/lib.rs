//! What the durable store is put through: power cuts that drop, reorder and tear what was not flushed.
//!
//! A [`Volatile`] disk keeps what is written since the last flush apart from what is safe, and can lose power at any
//! operation. A [`History`] writes to a store on such a disk, loses power, and compares what is found afterwards with a plain
//! map. The same code runs natively, on a file in memory, and in a browser, on a file of the origin.

#![cfg_attr(not(test), allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

mod history;
mod volatile;

pub use history::{Cut, History};
pub use volatile::{Power, Volatile};
