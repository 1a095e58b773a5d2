//! What is checked exhaustively: which misfortunes, and how many of each.

use std::time::Duration;

use ocap_remotes::{runtime::Timestamp, session::SessionConfig};

use crate::{actions::Rules, world::Bounds};

/// One thing to check. See [`all`].
#[derive(Clone, Debug)]
pub struct Configuration {
    /// What it is about.
    pub name: &'static str,
    /// How things go.
    pub rules: Rules,
    /// How much may happen.
    pub bounds: Bounds,
    /// Fewer states than this mean that the model is broken.
    pub floor: usize,
}

fn rules() -> Rules {
    Rules {
        session: SessionConfig {
            max_queue: 2,
            max_held: 2,
            max_held_bytes: 1 << 20,
            ack_timeout: Duration::from_millis(1),
            max_retransmissions: 9,
            delayed_ack: Duration::ZERO,
            ack_every: 1,
            refusal_pause: Duration::ZERO,
        },
        now: Timestamp::from_millis(1_000_000),
        incumbent: false,
        deferred: false,
        replies: false,
        orderly: true,
    }
}

/// Every configuration.
pub fn all() -> Vec<Configuration> {
    vec![
        Configuration {
            name: "cuts",
            rules: rules(),
            bounds: Bounds { sends: [2, 0], cuts: 1, ..Bounds::default() },
            floor: 1000,
        },
        Configuration {
            name: "crashes",
            rules: rules(),
            bounds: Bounds { sends: [1, 1], crashes: [1, 0], ..Bounds::default() },
            floor: 1000,
        },
        Configuration {
            name: "wipes",
            rules: rules(),
            bounds: Bounds { sends: [1, 1], wipes: [1, 0], ..Bounds::default() },
            floor: 1000,
        },
        Configuration {
            name: "give-ups",
            rules: rules(),
            bounds: Bounds { sends: [2, 0], give_ups: [1, 0], cuts: 1, ..Bounds::default() },
            floor: 1000,
        },
        Configuration {
            name: "timers",
            rules: rules(),
            bounds: Bounds { sends: [2, 0], retransmissions: [1, 1], rate_limits: [1, 0], ..Bounds::default() },
            floor: 1000,
        },
        Configuration {
            name: "networks reloaded",
            rules: rules(),
            bounds: Bounds { sends: [1, 1], reloads: [1, 0], ..Bounds::default() },
            floor: 1000,
        },
        Configuration {
            name: "mischief",
            rules: Rules { orderly: false, ..rules() },
            bounds: Bounds { sends: [2, 0], mischief: 2, retransmissions: [1, 0], ..Bounds::default() },
            floor: 1000,
        },
        Configuration {
            name: "an incumbent",
            rules: Rules { incumbent: true, ..rules() },
            bounds: Bounds { sends: [0, 2], give_ups: [0, 1], retransmissions: [0, 1], ..Bounds::default() },
            floor: 1000,
        },
    ]
}

/// The configuration of this name.
pub fn named(name: &str) -> Option<Configuration> {
    all().into_iter().find(|configuration| configuration.name == name)
}
