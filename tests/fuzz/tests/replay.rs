//! Replays the corpus, and mutations of it that are the same in every run: what a fuzzer found stays found, on any
//! machine and in little time.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // clippy knows tests by #[test] only

use std::{
    fs,
    panic::catch_unwind,
    path::{Path, PathBuf},
    sync::mpsc,
    thread,
    time::Duration,
};

use fuzz_targets::{TARGETS, Target};

/// The seed of all mutations.
const SEED: u64 = 0x0ca9;
/// No mutation makes an input longer.
const MAX_LENGTH: usize = 4_096;
/// How long one input may take; most take less than a millisecond.
const LIMIT: Duration = Duration::from_secs(20);

fn corpus(target: &Target) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target.name);
    let mut files: Vec<PathBuf> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.iter().map(|file| fs::read(file).unwrap()).collect()
}

/// Runs inputs on a thread of their own, as one may never end.
struct Runner {
    target: &'static Target,
    inputs: mpsc::Sender<Vec<u8>>,
    outcomes: mpsc::Receiver<thread::Result<()>>,
}

impl Runner {
    fn new(target: &'static Target) -> Self {
        let (inputs, coming) = mpsc::channel::<Vec<u8>>();
        let (done, outcomes) = mpsc::channel();
        thread::spawn(move || {
            // Nobody listens any more once an input has failed.
            coming.iter().all(|input| done.send(catch_unwind(|| (target.run)(&input))).is_ok());
        });
        Runner { target, inputs, outcomes }
    }

    /// Runs one input; if it breaks a property or does not end, keeps it and says how to run it again.
    fn run(&self, input: &[u8]) {
        self.inputs.send(input.to_vec()).unwrap();
        let fault = match self.outcomes.recv_timeout(LIMIT) {
            Ok(Ok(())) => return,
            Ok(Err(_)) => "it breaks a property",
            Err(_) => "it does not end",
        };
        let name = self.target.name;
        let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-failed"));
        fs::write(&file, input).unwrap();
        panic!("{fault}; to replay: cargo run --package fuzz-targets -- {name} {}", file.display());
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
    let runner = Runner::new(target);
    corpus.iter().for_each(|input| runner.run(input));
    let mut random = fastrand::Rng::with_seed(SEED);
    for _ in 0..mutations {
        let mut input = random.choice(&corpus).unwrap().clone();
        mutate(&mut random, &mut input, &corpus);
        runner.run(&input);
    }
}

#[test]
fn frames_hold_their_properties() {
    replay("frame", 20_000);
}

#[test]
fn handshakes_hold_their_properties() {
    replay("handshake", 20_000);
}

#[test]
fn messages_hold_their_properties() {
    replay("command", 20_000);
}

#[test]
fn references_hold_their_properties() {
    replay("reference", 3_000);
}

#[test]
fn the_bridge_holds_its_properties() {
    replay("rpc", 3_000);
}

#[test]
fn the_transport_holds_its_properties() {
    replay("transport", 3_000);
}

#[test]
fn the_kernel_holds_its_properties() {
    replay("kernel", 500);
}

#[test]
fn a_kernel_whose_peers_write_what_is_large_holds_its_properties() {
    replay("large", 40);
}

#[test]
fn every_target_has_a_corpus() {
    for target in TARGETS {
        assert!(!corpus(target).is_empty(), "{}", target.name);
    }
}
