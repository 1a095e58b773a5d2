//! Whole network services over streams of bytes, on tokio's paused clock.

mod memory;
mod party;
mod stories;
