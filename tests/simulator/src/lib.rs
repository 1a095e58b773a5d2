//! A deterministic simulator of whole kernels: the real kernel with its driver, the real bridge, and the real transport with
//! its driver, on a simulated network, with simulated disks, in virtual time.
//!
//! A run is a [`Schedule`] of operations and a seed for everything else. From the bottom up: `executor` is time and tasks;
//! `stream` and `network` are what lies below the transport; `bridge` and `disk` are what lies around the kernel; a `host`
//! joins the real parts; its `program` uses them and writes down what it sees; the `oracle` says what it may have seen; the
//! `world` performs a schedule; `conservation` looks at what is left in the end; [`explore()`] runs many and makes a failing one
//! short.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)] // a simulation that is wrong should stop

mod bridge;
mod conservation;
mod crash_points;
mod disk;
mod executor;
mod explore;
mod host;
mod network;
mod oracle;
mod program;
mod schedule;
mod stream;
mod world;

pub use crash_points::{CrashPoints, Medium, Story, crash_points, failure_points};
pub use disk::Moment;
pub use explore::{Violation, explore, report, run, shrink};
pub use oracle::{Entry, Label, Life, Oracle};
pub use schedule::{HOSTS, Op, Schedule};
pub use world::{Statistics, World};
