//! How large a store becomes, and how long it takes to open.
#![allow(clippy::unwrap_used)] // clippy knows tests by #[test] only

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use ocap_remotes::storage::{DurableStore, KeyValueStore as _, open_file};
use storage_evidence::{Power, Volatile, memory_file};

const MESSAGE: usize = 200;
const QUEUE: u64 = 200;

/// Puts messages through a queue of [`QUEUE`], `group` to a transaction.
fn pass(store: &mut DurableStore, from: u64, messages: u64, group: u64) {
    let message = "m".repeat(MESSAGE);
    for first in (from..from + messages).step_by(usize::try_from(group).unwrap()) {
        store.create_savepoint("group").unwrap();
        for seq in first..first + group {
            store.set(&format!("remotePending.r1.{seq}"), &message).unwrap();
            store.set("remoteSeq.r1.nextSendSeq", &seq.to_string()).unwrap();
            if seq >= QUEUE {
                store.delete(&format!("remotePending.r1.{}", seq - QUEUE)).unwrap();
            }
        }
        store.release_savepoint("group").unwrap();
    }
}

fn length(path: &Path) -> u64 {
    fs::metadata(path).unwrap().len()
}

#[test]
fn a_million_messages_through_a_queue_leave_a_small_file() {
    // In memory, for a disk would take its time over so many flushes.
    let power = Power::new(Vec::new(), u64::MAX, true);
    let mut store = DurableStore::open(Volatile::new(memory_file(&[]), power.clone())).unwrap();
    pass(&mut store, 0, 100_000, 100);
    pass(&mut store, 100_000, 2_000, 1);
    let early = power.length();
    pass(&mut store, 102_000, 898_000, 100);
    println!("after 102,000 messages {early} bytes, after a million {}", power.length());
    assert!(power.length() <= early * 3 / 2, "it grows: {early} bytes, then {}", power.length());
    assert!(power.length() < 2 << 20, "{} bytes for {QUEUE} messages of {MESSAGE}", power.length());
}

#[test]
fn a_hundred_thousand_rows_open_quickly_and_leave_little_when_they_go() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let mut store = open_file(&path).unwrap();
    let started = Instant::now();
    store.create_savepoint("fill").unwrap();
    for number in 0..100_000 {
        store.set(&format!("row.{number}"), &"x".repeat(100)).unwrap();
    }
    store.release_savepoint("fill").unwrap();
    drop(store);
    let filling = started.elapsed();
    let full = length(&path);
    println!("100,000 rows of 100 bytes: a file of {full} bytes");
    assert!(full < 40 << 20, "{full} bytes");

    let started = Instant::now();
    let mut store = open_file(&path).unwrap();
    let took = started.elapsed();
    println!("filled in {filling:?}; opened, with every page checked, in {took:?}");
    // The aim is 250 ms for a build with optimizations on a quiet machine; any machine takes several times as long to fill it.
    assert!(took < filling.max(Duration::from_secs(1)), "{took:?}");

    store.create_savepoint("empty").unwrap();
    for number in 1_000..100_000 {
        store.delete(&format!("row.{number}")).unwrap();
    }
    store.release_savepoint("empty").unwrap();
    drop(store);
    drop(open_file(&path).unwrap());
    println!("with a hundredth of the rows left, when it was opened again: {} bytes", length(&path));
    assert!(length(&path) < full / 10, "{} of {full} bytes", length(&path));
}

#[test]
fn a_store_is_not_closed_by_being_dropped_in_a_crash() {
    // A handle that dies with its process never closes: what opens next must not need it.
    let power = Power::new(Vec::new(), u64::MAX, true);
    let mut store = DurableStore::open(Volatile::new(memory_file(&[]), power.clone())).unwrap();
    store.set("key", "value").unwrap();
    let disk = power.remains(&mut fastrand::Rng::with_seed(1));
    let again = DurableStore::open(memory_file(&disk)).unwrap();
    assert_eq!(again.get("key").unwrap().as_deref(), Some("value"));
}
