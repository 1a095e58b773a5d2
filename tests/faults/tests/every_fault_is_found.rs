//! Each deliberate bug is found, and nothing is found without one. `FAULT=AcceptGaps` in the environment looks at one only, with
//! every method.
#![allow(clippy::panic)] // clippy knows tests by #[test] only

use std::time::Instant;

use ocap_remotes::faults::Fault;
use seeded_faults::{Method, found_by};

#[test]
fn every_seeded_fault_is_found() {
    for method in Method::ALL {
        let begun = Instant::now();
        assert_eq!(method.find(), None, "{method:?} finds something where nothing was put in");
        println!("{method:?} finds nothing in {:.1} s", begun.elapsed().as_secs_f64());
    }
    std::panic::set_hook(Box::new(|_| ())); // some bugs make the simulation panic, many times
    let mut missed = Vec::new();
    let only = std::env::var("FAULT").ok();
    for fault in Fault::ALL.into_iter().filter(|fault| only.as_ref().is_none_or(|only| format!("{fault:?}") == *only)) {
        let begun = Instant::now();
        let found = found_by(fault, only.is_some());
        let methods: Vec<_> = found.iter().map(|(method, _)| method).collect();
        println!("{fault:?} is found by {methods:?}, after {:.1} s", begun.elapsed().as_secs_f64());
        for (method, what) in &found {
            println!("    {method:?}: {what:.160}");
        }
        if found.is_empty() {
            missed.push(fault);
        }
    }
    drop(std::panic::take_hook());
    assert!(missed.is_empty(), "nobody finds {missed:?}");
}
