//! One timer, for whatever is due next.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use futures::future::{Future, LocalBoxFuture};

use crate::runtime::{Runtime, Timestamp};

/// A timer that is set for one time at once.
#[derive(Default)]
pub(super) struct Alarm(Option<(Timestamp, LocalBoxFuture<'static, ()>)>);

impl Alarm {
    /// Whether the time has come for what is due then; if not, the task is woken when it has.
    pub(super) fn is_over(&mut self, due: Timestamp, runtime: &dyn Runtime, context: &mut Context<'_>) -> bool {
        if self.0.as_ref().is_none_or(|(set_for, _)| *set_for != due) {
            let wait = due.since(runtime.now());
            // What is due now comes behind what is ready, and not when a clamped timer has run.
            self.0 = Some((due, if wait.is_zero() { runtime.yield_turn() } else { runtime.sleep(wait) }));
        }
        let over = match &mut self.0 {
            Some((_, sleep)) => Pin::new(sleep).poll(context) == Poll::Ready(()),
            None => true,
        };
        if over {
            self.0 = None;
        }
        over
    }

    /// What is due at that time waits for `pause`.
    pub(super) fn put_off(&mut self, due: Timestamp, pause: LocalBoxFuture<'static, ()>) {
        self.0 = Some((due, pause));
    }

    /// Nothing is due.
    pub(super) fn stop(&mut self) {
        self.0 = None;
    }
}
