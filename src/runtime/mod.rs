//! The few things that the outside gives: the time, sleeping, randomness, background tasks.
//!
//! Only drivers (the edge) hold a [`Runtime`]. The state machines below them are told the time as a [`Timestamp`].

#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
mod browser;
#[cfg(not(target_arch = "wasm32"))]
mod native;
#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
pub(crate) mod objects;
mod sparse;
#[cfg(any(all(target_arch = "wasm32", target_os = "unknown"), test))]
mod steady;
#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
pub(crate) mod thrown;

use std::{fmt, future::Future, time::Duration};

#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
pub use browser::BrowserRuntime;
use futures::future::LocalBoxFuture;
#[cfg(not(target_arch = "wasm32"))]
pub use native::NativeRuntime;
pub(crate) use sparse::worth_a_line;

/// A point in time: milliseconds since the Unix epoch, on a clock that never runs backwards within one process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

impl Timestamp {
    /// From milliseconds since the Unix epoch.
    pub const fn from_millis(millis: u64) -> Self {
        Timestamp(millis)
    }

    /// Milliseconds since the Unix epoch.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// The time from `earlier` to this one; zero if it is not earlier.
    pub const fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// The time `delay` after this one.
    #[must_use]
    pub fn after(self, delay: Duration) -> Self {
        Timestamp(self.0.saturating_add(u64::try_from(delay.as_millis()).unwrap_or(u64::MAX)))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ms", self.0)
    }
}

/// What a driver needs from its surroundings. Everything runs on one thread, so nothing here is `Send`.
pub trait Runtime: 'static {
    /// The time now.
    fn now(&self) -> Timestamp;

    /// Completes after `delay`. Dropping the future cancels the timer.
    fn sleep(&self, delay: Duration) -> LocalBoxFuture<'static, ()>;

    /// Fills `bytes` from the system's cryptographic random source.
    fn fill_random(&self, bytes: &mut [u8]);

    /// Completes after what is ready to run now has run, without waiting for any time to pass.
    fn yield_turn(&self) -> LocalBoxFuture<'static, ()>;

    /// Runs a task in the background of this thread until it ends.
    fn spawn(&self, task: LocalBoxFuture<'static, ()>);
}

/// Bytes from the system's cryptographic random source.
pub fn random_bytes<const N: usize>(runtime: &dyn Runtime) -> [u8; N] {
    let mut bytes = [0; N];
    runtime.fill_random(&mut bytes);
    bytes
}

/// Waits for `work`, at most for `limit`; `None` when the time ran out. The work is dropped then.
pub async fn timeout<T>(runtime: &dyn Runtime, limit: Duration, work: impl Future<Output = T>) -> Option<T> {
    let work = std::pin::pin!(work);
    match futures::future::select(work, runtime.sleep(limit)).await {
        futures::future::Either::Left((done, _)) => Some(done),
        futures::future::Either::Right(((), _)) => None,
    }
}
