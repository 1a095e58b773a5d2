//! The kernel's records, written on an ordered key-value map (protocol §8).

mod kv;

pub use kv::{KeyValueStore, StoreError};
