//! What neither the model nor `properties.rs` has: the model's network, with late results, handshakes, wipes and mischief, under
//! real durations and windows of up to 200 messages; how late an acknowledgement may be, when exactly a peer is given up,
//! how much is held, and that no number is used twice.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::expect_used)] // A test may panic.

#[path = "windows_and_time/history.rs"]
mod history;
#[path = "windows_and_time/room.rs"]
mod room;
#[path = "windows_and_time/time.rs"]
mod time;
