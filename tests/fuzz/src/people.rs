//! Peers that the targets know. Their ids are made once, for that takes longer than most inputs.

use std::sync::LazyLock;

use ocap_remotes::wire::PeerId;

static PEOPLE: LazyLock<[PeerId; 4]> =
    LazyLock::new(|| [1, 2, 3, 4].map(|seed| PeerId::from_ed25519_seed([seed; 32]).expect("any 32 bytes are a seed")));

/// All of them; the first is the one whose kernel or network is fuzzed.
pub(crate) fn people() -> &'static [PeerId; 4] {
    &PEOPLE
}
