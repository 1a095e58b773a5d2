//! The transport's rules as stories, on virtual time.

mod bad_input;
mod bench;
mod crossed_dials;
mod handshakes;
mod limits;
mod moving;
mod properties;
mod receiving;
mod reconnection;
mod sending;
mod slow_lines;
mod standing;
mod status;
mod strangers;
mod turns;
mod world;

use crate::wire::{IncarnationId, PeerId};

/// Alice's id is smaller than Bob's, and Bob's than Carol's.
fn people() -> [PeerId; 3] {
    let mut ids = [1, 2, 3].map(|seed| PeerId::from_ed25519_seed([seed; 32]).unwrap());
    ids.sort();
    ids
}

fn incarnation(name: &str) -> IncarnationId {
    name.parse().unwrap()
}
