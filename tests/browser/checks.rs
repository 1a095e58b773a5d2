//! What holds in every browser context: the runtime that the drivers stand on.
#![cfg(all(target_arch = "wasm32", target_os = "unknown"))]
#![allow(clippy::unwrap_used)] // for tests only

pub mod services;

use std::{cell::Cell, rc::Rc, time::Duration};

use ocap_remotes::runtime::{BrowserRuntime, Runtime as _, timeout};

const PAUSE: Duration = Duration::from_millis(30);

/// The clock is the wall clock, and goes on by as much as a task sleeps.
pub async fn the_clock_follows_sleep() {
    let started = BrowserRuntime.now();
    let wall = js_sys::Date::now();
    assert!((started.as_millis() as f64 - wall).abs() < 60_000.0, "{started} is far from the wall clock {wall}");
    BrowserRuntime.sleep(PAUSE).await;
    let slept = BrowserRuntime.now().since(started);
    // A timer may fire up to 1 ms early, since browsers coarsen their clocks.
    assert!(slept >= PAUSE - Duration::from_millis(1) && slept < Duration::from_secs(10), "slept for {slept:?}");
}

/// Random bytes fill all of the buffer and are not repeated.
pub fn random_bytes_differ() {
    let draw = || {
        let mut bytes = [0_u8; 64];
        BrowserRuntime.fill_random(&mut bytes);
        bytes
    };
    let (first, second) = (draw(), draw());
    assert_ne!(first, second);
    // 16 zero bytes in a row at the end would mean that the end was not filled.
    assert_ne!(first[48..], [0; 16]);
}

/// A spawned task runs after its spawner yields, not within the call.
pub async fn a_spawned_task_runs_later() {
    let ran = Rc::new(Cell::new(false));
    let seen = Rc::clone(&ran);
    BrowserRuntime.spawn(Box::pin(async move { seen.set(true) }));
    assert!(!ran.get());
    BrowserRuntime.sleep(Duration::ZERO).await;
    assert!(ran.get());
}

/// A limit ends what takes too long and leaves alone what does not.
pub async fn a_limit_ends_what_takes_too_long() {
    assert_eq!(timeout(&BrowserRuntime, PAUSE, std::future::pending::<()>()).await, None);
    assert_eq!(timeout(&BrowserRuntime, Duration::from_secs(10), async { 7 }).await, Some(7));
}
