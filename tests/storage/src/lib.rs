//! What the durable store is put through: power cuts that drop, reorder and tear what was not flushed.
//!
//! A [`Volatile`] disk keeps what is written since the last flush apart from what is safe, and can lose power at any
//! operation. A [`History`] writes to a store on such a disk, loses power, and compares what is found afterwards with a plain
//! map. The same code runs natively, on a file in memory, and in a browser, on a file of the origin.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // clippy knows tests by #[test] only

mod history;
mod volatile;

use ocap_remotes::storage::StorageBackend;
use redb::backends::InMemoryBackend;

pub use history::{Cut, History};
pub use volatile::{Power, Volatile};

/// A file in memory with these contents.
pub fn memory_file(contents: &[u8]) -> impl StorageBackend + use<> {
    let file = InMemoryBackend::new();
    file.set_len(contents.len() as u64).unwrap();
    file.write(0, contents).unwrap();
    file
}
