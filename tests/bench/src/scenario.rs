//! What is measured. Each message asks for an answer under a promise of its own.

use ocap_remotes::kernel::KernelEvent;

use crate::pair::{Pair, data};

/// What one round took.
pub(crate) struct Measured {
    pub(crate) messages: u32,
    pub(crate) millis: f64,
    pub(crate) sender_commits: u64,
    pub(crate) receiver_commits: u64,
    /// How far the kernels' clock had to go on for a timer.
    pub(crate) waited_millis: u64,
}

pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    /// Messages that alice sends before she lets the loop run.
    burst: u32,
    answered: bool,
}

pub(crate) const ALL: [Scenario; 3] = [
    Scenario { name: "burst of 100, answered", burst: 100, answered: true },
    Scenario { name: "ping-pong", burst: 1, answered: true },
    Scenario { name: "one way", burst: 100, answered: false },
];

const BODY: &str =
    "#[\"transfer\",[{\"amount\":\"+1000\",\"from\":\"alice\",\"memo\":\"sixty-four bytes of payload\"}]]";

impl Scenario {
    pub(crate) fn measure(&self, messages: u32, clock: &dyn Fn() -> f64) -> Measured {
        let mut pair = Pair::introduced();
        let commits = |pair: &Pair| (pair.alice.commits(), pair.bob.commits());
        let (before, began, started) = (commits(&pair), pair.now, clock());
        let mut delivered = 0;
        for _ in 0..messages / self.burst {
            for _ in 0..self.burst {
                while pair.alice.kernel.send(pair.object, data(BODY)).is_err() {
                    // The queue is full: only an acknowledgement that waits for a timer makes room.
                    pair.wait_for_timer();
                }
            }
            pair.run();
            delivered += self.take_deliveries(&mut pair);
        }
        let millis = clock() - started;
        assert_eq!(delivered, messages, "every message was delivered");
        let after = commits(&pair);
        Measured {
            messages,
            millis,
            sender_commits: after.0 - before.0,
            receiver_commits: after.1 - before.1,
            waited_millis: u64::try_from(pair.now.since(began).as_millis()).unwrap(),
        }
    }

    /// Counts what bob got and answers it if it is to be answered.
    fn take_deliveries(&self, pair: &mut Pair) -> u32 {
        let mut delivered = 0;
        for event in pair.bob.events.drain(..) {
            if let KernelEvent::Message { result: Some(result), .. } = event {
                delivered += 1;
                if self.answered {
                    pair.bob.kernel.resolve(result, false, data("#\"done\"")).unwrap();
                }
            }
        }
        if self.answered {
            pair.run();
            assert_eq!(pair.alice.events.drain(..).count(), delivered as usize, "every answer came");
        }
        delivered
    }
}
