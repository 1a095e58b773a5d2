//! Replays the corpus, and mutations of it that are the same in every run: what a fuzzer found stays found, on any
//! machine and in little time.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // clippy knows tests by #[test] only

use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};

use fuzz_targets::{TARGETS, Target};

/// The seed of all mutations.
const SEED: u64 = 0x0ca9;
/// No mutation makes an input longer.
const MAX_LENGTH: usize = 4_096;

fn corpus(target: &Target) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target.name);
    let mut files: Vec<PathBuf> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.iter().map(|file| fs::read(file).unwrap()).collect()
}

/// Runs one input; if it breaks a property, keeps it and says how to run it again.
fn run(target: &Target, input: &[u8]) {
    if catch_unwind(AssertUnwindSafe(|| (target.run)(input))).is_err() {
        let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-broken", target.name));
        fs::write(&file, input).unwrap();
        panic!("to replay: cargo run --package fuzz-targets -- {} {}", target.name, file.display());
    }
}

/// Does to an input what fuzzers do first.
fn mutate(random: &mut fastrand::Rng, input: &mut Vec<u8>, corpus: &[Vec<u8>]) {
    for _ in 0..random.usize(1..6) {
        let place = random.usize(..=input.len());
        let end = (place + random.usize(..16)).min(input.len());
        match random.u8(..7) {
            0 => drop(input.drain(place..end)),
            1 => input.insert(place, random.u8(..)),
            2 => {
                let copy = input[place..end].to_vec();
                input.splice(place..place, copy);
            }
            3 => {
                let other = random.choice(corpus).map_or(&[][..], |other| &other[random.usize(..=other.len())..]);
                input.splice(place.., other.iter().copied());
            }
            4 => input[place..end].iter_mut().for_each(|byte| *byte = random.u8(..)),
            _ if place < input.len() => input[place] ^= 1 << random.u8(..8),
            _ => {}
        }
    }
    input.truncate(MAX_LENGTH);
}

fn replay(name: &str, mutations: usize) {
    let target = fuzz_targets::find(name).unwrap();
    let corpus = corpus(target);
    corpus.iter().for_each(|input| run(target, input));
    let mut random = fastrand::Rng::with_seed(SEED);
    for _ in 0..mutations {
        let mut input = random.choice(&corpus).unwrap().clone();
        mutate(&mut random, &mut input, &corpus);
        run(target, &input);
    }
}

#[test]
fn frames_hold_their_properties() {
    replay("frame", 5_000);
}

#[test]
fn handshakes_hold_their_properties() {
    replay("handshake", 5_000);
}

#[test]
fn messages_hold_their_properties() {
    replay("command", 5_000);
}

#[test]
fn references_hold_their_properties() {
    replay("reference", 1_000);
}

#[test]
fn the_bridge_holds_its_properties() {
    replay("rpc", 1_000);
}

#[test]
fn the_transport_holds_its_properties() {
    replay("transport", 1_000);
}

#[test]
fn the_kernel_holds_its_properties() {
    replay("kernel", 200);
}

#[test]
fn every_target_has_a_corpus() {
    for target in TARGETS {
        assert!(!corpus(target).is_empty(), "{}", target.name);
    }
}
