//! The native runtime: tokio on one thread. Tasks need a `tokio::task::LocalSet` around them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures::{FutureExt as _, future::LocalBoxFuture};

use super::{Runtime, Timestamp};

/// Tokio's clock and tasks. Its clock follows tokio's, so that a paused test clock works.
#[derive(Clone, Debug)]
pub struct NativeRuntime {
    started: tokio::time::Instant,
    started_at: Timestamp,
}

impl NativeRuntime {
    /// A runtime that counts from the system's time now.
    pub fn new() -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        NativeRuntime { started: tokio::time::Instant::now(), started_at: Timestamp::default().after(since_epoch) }
    }
}

impl Default for NativeRuntime {
    fn default() -> Self {
        Self::new()
    }
}

impl Runtime for NativeRuntime {
    fn now(&self) -> Timestamp {
        self.started_at.after(self.started.elapsed())
    }

    fn sleep(&self, delay: Duration) -> LocalBoxFuture<'static, ()> {
        tokio::time::sleep(delay).boxed_local()
    }

    #[allow(clippy::expect_used)] // Without randomness no key and no incarnation may be made: stopping is the safe answer.
    fn fill_random(&self, bytes: &mut [u8]) {
        getrandom::fill(bytes).expect("the system has a random source");
    }

    fn yield_turn(&self) -> LocalBoxFuture<'static, ()> {
        tokio::task::yield_now().boxed_local()
    }

    fn spawn(&self, task: LocalBoxFuture<'static, ()>) {
        tokio::task::spawn_local(task);
    }
}
