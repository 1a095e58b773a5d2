//! 500 power cuts on a disk in memory.
#![allow(clippy::unwrap_used)] // clippy knows tests by #[test] only

use storage_evidence::{Cut, History, memory_file};

/// Histories, and cuts in each.
const HISTORIES: u64 = 50;
const CUTS: usize = 10;

/// What came of each cut, or the first thing that was lost.
fn histories(flushes: bool) -> Result<Vec<Cut>, String> {
    let mut cuts = Vec::new();
    for seed in 0..HISTORIES {
        let mut history = History::new(seed, flushes);
        for cut in 0..=CUTS {
            let backend = memory_file(history.disk());
            cuts.push(history.live(backend).map_err(|what| format!("seed {seed}, after {cut} cuts: {what}"))?);
        }
    }
    Ok(cuts)
}

#[test]
fn nothing_acknowledged_is_lost_and_nothing_else_is_there() {
    let cuts = histories(true).unwrap();
    let within = cuts.iter().filter(|cut| cut.within_transaction).count();
    let acknowledged: u64 = cuts.iter().map(|cut| cut.acknowledged).sum();
    println!("{} power cuts, {within} of them within a transaction, after {acknowledged} transactions", cuts.len());
    assert!(cuts.len() >= 500 && within > 300 && acknowledged > 5_000, "the histories do too little");
}

#[test]
fn without_flushes_the_same_histories_lose_something() {
    let what = histories(false).unwrap_err();
    println!("found: {what}");
}
