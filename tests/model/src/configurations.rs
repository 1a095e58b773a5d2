//! What is checked exhaustively: which misfortunes, and how many of each.

use std::time::Duration;

use ocap_remotes::{runtime::Timestamp, session::SessionConfig};

use crate::{rules::Rules, world::Bounds};

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
            max_writes: 1,
        },
        now: Timestamp::from_millis(1_000_000),
        incumbent: false,
        deferred: false,
        replies: false,
        orderly: true,
        fence: true,
    }
}

/// Every configuration.
pub fn all() -> Vec<Configuration> {
    let base = Bounds::default;
    let configuration = |name, rules, bounds, floor| Configuration { name, rules, bounds, floor };
    let mischievous = || Rules { orderly: false, ..rules() };
    let incumbent = || Rules { incumbent: true, ..rules() };
    let several = |rules: Rules| Rules { session: SessionConfig { max_writes: 2, ..rules.session }, ..rules };
    vec![
        configuration("cuts", rules(), Bounds { sends: [2, 1], cuts: 1, ..base() }, 2_700_000),
        configuration("a cut after a cut", rules(), Bounds { sends: [1, 1], cuts: 2, ..base() }, 5_000_000),
        configuration("crashes", rules(), Bounds { sends: [1, 1], crashes: [1, 1], ..base() }, 430_000),
        configuration("wipes", rules(), Bounds { sends: [1, 1], wipes: [1, 1], ..base() }, 190_000),
        configuration(
            "a crash and a wipe",
            rules(),
            Bounds { sends: [1, 1], crashes: [1, 0], wipes: [0, 1], ..base() },
            290_000,
        ),
        configuration("a wipe and a cut", rules(), Bounds { sends: [2, 0], wipes: [0, 1], cuts: 1, ..base() }, 390_000),
        configuration("give-ups", rules(), Bounds { sends: [2, 0], give_ups: [1, 0], cuts: 1, ..base() }, 500_000),
        configuration("give-ups of both", rules(), Bounds { sends: [1, 1], give_ups: [1, 1], ..base() }, 55_000),
        configuration(
            "a crash after a give-up",
            rules(),
            Bounds { sends: [2, 0], give_ups: [1, 0], crashes: [1, 0], ..base() },
            88_000,
        ),
        configuration(
            "timers",
            rules(),
            Bounds { sends: [2, 1], retransmissions: [1, 0], rate_limits: [1, 0], ..base() },
            590_000,
        ),
        configuration("networks reloaded", rules(), Bounds { sends: [1, 1], reloads: [1, 0], ..base() }, 120_000),
        configuration(
            "mischief",
            mischievous(),
            Bounds { sends: [2, 0], mischief: 3, retransmissions: [1, 0], ..base() },
            380_000,
        ),
        configuration(
            "mischief in both directions",
            mischievous(),
            Bounds { sends: [1, 1], mischief: 2, retransmissions: [1, 1], ..base() },
            660_000,
        ),
        configuration(
            "mischief on two channels",
            mischievous(),
            Bounds { sends: [2, 0], mischief: 2, cuts: 1, ..base() },
            1_600_000,
        ),
        configuration(
            "no room",
            Rules { session: SessionConfig { max_queue: 3, max_held: 1, ..rules().session }, ..mischievous() },
            Bounds { sends: [3, 0], mischief: 1, retransmissions: [1, 0], ..base() },
            870_000,
        ),
        configuration(
            "several writes and a cut",
            several(rules()),
            Bounds { sends: [2, 0], cuts: 1, ..base() },
            77_000,
        ),
        configuration(
            "several writes and a crash",
            several(rules()),
            Bounds { sends: [2, 1], crashes: [1, 0], ..base() },
            750_000,
        ),
        configuration(
            "several writes and a wipe",
            several(rules()),
            Bounds { sends: [2, 0], wipes: [0, 1], cuts: 1, ..base() },
            430_000,
        ),
        configuration(
            "several writes and a give-up",
            several(rules()),
            Bounds { sends: [2, 0], give_ups: [1, 0], cuts: 1, ..base() },
            540_000,
        ),
        configuration(
            "several writes that may be refused",
            several(rules()),
            Bounds { sends: [2, 1], retransmissions: [1, 0], rate_limits: [1, 0], ..base() },
            1_300_000,
        ),
        configuration(
            "several messages in a commit",
            Rules { deferred: true, replies: true, ..rules() },
            Bounds { sends: [2, 0], crashes: [0, 1], ..base() },
            310_000,
        ),
        configuration(
            "an incumbent",
            incumbent(),
            Bounds { sends: [0, 2], give_ups: [0, 1], retransmissions: [0, 1], ..base() },
            31_000,
        ),
        configuration(
            "an incumbent and the rate limit",
            several(Rules { session: SessionConfig { max_queue: 3, ..rules().session }, ..incumbent() }),
            Bounds { sends: [3, 0], rate_limits: [1, 0], ..base() },
            19_000,
        ),
        configuration(
            "an incumbent and a cut",
            incumbent(),
            Bounds { sends: [0, 2], retransmissions: [0, 1], cuts: 1, ..base() },
            690_000,
        ),
    ]
}

/// The configuration of this name.
pub fn named(name: &str) -> Option<Configuration> {
    all().into_iter().find(|configuration| configuration.name == name)
}
