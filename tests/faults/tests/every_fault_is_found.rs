//! Each deliberate bug is found, and nothing is found without one. `FAULT=AcceptGaps` in the environment looks at one only, with
//! every method; `METHOD=Attacks` beside it, with that method alone.
#![allow(clippy::panic)] // clippy knows tests by #[test] only

use std::time::Instant;

use ocap_remotes::faults::Fault;
use seeded_faults::{Method, found_by};

#[test]
fn every_seeded_fault_is_found() {
    let methods = std::env::var("METHOD").ok();
    let methods =
        Method::ALL.into_iter().filter(|method| methods.as_ref().is_none_or(|only| format!("{method:?}") == *only));
    let methods: Vec<Method> = methods.collect();
    for method in &methods {
        let begun = Instant::now();
        assert_eq!(method.find(), None, "{method:?} finds something where nothing was put in");
        println!("{method:?} finds nothing in {:.1} s", begun.elapsed().as_secs_f64());
    }
    std::panic::set_hook(Box::new(|_| ())); // some bugs make the simulation panic, many times
    let mut missed = Vec::new();
    let only = std::env::var("FAULT").ok();
    for fault in Fault::ALL.into_iter().filter(|fault| only.as_ref().is_none_or(|only| format!("{fault:?}") == *only)) {
        let begun = Instant::now();
        let found = found_by(fault, &methods, only.is_some());
        let finders: Vec<_> = found.iter().map(|(method, _)| method).collect();
        println!("{fault:?} is found by {finders:?}, after {:.1} s", begun.elapsed().as_secs_f64());
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
