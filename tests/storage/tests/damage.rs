//! Files that cannot be trusted are refused by name and left alone, and nothing in them makes the store panic.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // clippy knows tests by #[test] only

use std::fs;

use fastrand::Rng;
use ocap_remotes::storage::{KeyValueStore as _, StorageError, open_file};
use redb::{Database, TableDefinition};
use tempfile::TempDir;

/// Files that are damaged at random.
const DAMAGED_FILES: u64 = 400;

/// A folder with the file of a store of some thousand rows, which is closed.
fn a_store() -> (TempDir, Vec<u8>) {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open_file(folder.path().join("store")).unwrap();
    store.create_savepoint("fill").unwrap();
    for number in 0..2_000 {
        store.set(&format!("row.{number}"), &"x".repeat(number % 300)).unwrap();
    }
    store.release_savepoint("fill").unwrap();
    drop(store);
    let bytes = fs::read(folder.path().join("store")).unwrap();
    (folder, bytes)
}

#[test]
fn a_file_that_was_changed_is_refused_or_whole() {
    let (folder, sound) = a_store();
    let path = folder.path().join("store");
    let (mut refused, mut whole) = (0, 0);
    for seed in 0..DAMAGED_FILES {
        let mut rng = Rng::with_seed(seed);
        let mut damaged = sound.clone();
        match seed % 4 {
            0 => damaged.truncate(rng.usize(1..sound.len())),
            1 => {
                let at = rng.usize(..sound.len());
                damaged[at] ^= 1 << rng.u8(..8);
            }
            2 => {
                let at = rng.usize(..sound.len() - 512);
                damaged[at..at + 512].fill(0);
            }
            _ => damaged.extend(std::iter::repeat_with(|| rng.u8(..)).take(5_000)),
        }
        fs::write(&path, &damaged).unwrap();
        match open_file(&path) {
            // What was hit is not in use, or could be made good.
            Ok(store) => {
                assert_eq!(
                    store.rows().map(|rows| rows.len()),
                    Ok(2_000),
                    "seed {seed}: rows are missing from a store that was trusted"
                );
                whole += 1;
            }
            Err(StorageError::Damaged(_)) => {
                assert_eq!(fs::read(&path).unwrap().len(), damaged.len(), "seed {seed}: a refused file was touched");
                refused += 1;
            }
            Err(other) => assert!(matches!(other, StorageError::Io(_)), "seed {seed}: {other}"),
        }
    }
    println!("{refused} damaged files refused, {whole} found whole");
    assert!(refused > 100 && whole > 10, "the damage does too little or too much");
}

#[test]
fn files_of_somebody_else_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("other");
    let refused = || match open_file(&path).unwrap_err() {
        StorageError::Damaged(what) => what,
        other => other.to_string(),
    };
    for contents in [&b"a letter"[..], &[7; 9_000], &[0; 300_000]] {
        fs::write(&path, contents).unwrap();
        assert!(refused().contains("first block"), "{}", refused());
        assert_eq!(fs::read(&path).unwrap(), contents, "it is left as it was");
    }
    fs::remove_file(&path).unwrap();
    let database = Database::create(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(TableDefinition::<u64, u64>::new("rows")).unwrap().insert(1, 1).unwrap();
    transaction.commit().unwrap();
    drop(database);
    assert!(refused().contains("first block"));
}

#[test]
fn one_at_a_time_has_a_store() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let first = open_file(&path).unwrap();
    assert_eq!(open_file(&path).unwrap_err(), StorageError::InUse);
    drop(first);
    open_file(&path).unwrap();
}
