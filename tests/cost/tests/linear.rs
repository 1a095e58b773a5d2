//! Every input costs in proportion to its size: operations and rows of the store, bytes in it, bytes of memory.
#![allow(clippy::panic)] // clippy knows tests by #[test] only

use std::alloc::System;

use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn allocated() -> u64 {
    ALLOCATOR.stats().bytes_allocated as u64
}

// One test: the allocator counts for the whole process.
#[test]
fn what_comes_costs_in_proportion_to_its_size() {
    let mut too_fast = Vec::new();
    for input in cost::INPUTS {
        println!("{}", input.name);
        match cost::check(input, &allocated) {
            Ok(measured) => measured.iter().for_each(|(size, counts)| println!("    {size}: {counts}")),
            Err(what) => {
                println!("    {what}");
                too_fast.push(what);
            }
        }
    }
    assert!(too_fast.is_empty(), "{too_fast:#?}");
}
