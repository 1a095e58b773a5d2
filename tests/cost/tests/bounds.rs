//! The tables of bounds name what attacks each of them, and what they name exists.
#![allow(clippy::unwrap_used, clippy::panic)] // clippy knows tests by #[test] only

use std::{
    fs,
    path::{Path, PathBuf},
};

use cost::{INPUTS, attacks::ATTACKS};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The text of everything in Rust that may hold a test, and where it is.
fn sources() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders: Vec<PathBuf> = ["src", "tests", "relay", "patches"].map(|folder| root().join(folder)).into();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.ends_with("node_modules") && !path.ends_with("target") {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push((path.clone(), fs::read_to_string(path).unwrap()));
            }
        }
    }
    found
}

/// What is in the last column of those tables of a page whose last column is about tests, in backquotes.
fn named(page: &str) -> Vec<String> {
    let text = fs::read_to_string(root().join("docs").join(page)).unwrap();
    let (mut is_about_tests, mut in_table, mut names) = (false, false, Vec::new());
    for line in text.lines() {
        let Some(last) = line.strip_suffix(" |").and_then(|line| line.rsplit_once('|')).map(|(_, last)| last.trim())
        else {
            in_table = false;
            continue;
        };
        if !std::mem::replace(&mut in_table, true) {
            is_about_tests = last == "test" || last == "the test that attacks it";
        } else if is_about_tests {
            names.extend(last.split('`').skip(1).step_by(2).map(str::to_owned));
        }
    }
    names
}

#[test]
fn what_the_tables_of_bounds_name_exists() {
    let sources = sources();
    let exists = |name: &str| {
        if name.contains('/') || name.ends_with(".rs") {
            sources.iter().any(|(path, _)| path.ends_with(name)) || root().join(name).exists()
        } else if name.contains(' ') {
            ATTACKS.iter().any(|attack| attack.name == name) || INPUTS.iter().any(|input| input.name == name)
        } else {
            let function = format!("fn {}", name.trim_end_matches('…'));
            sources.iter().any(|(_, text)| text.contains(&function))
        }
    };
    for page in ["network.md", "delivery.md"] {
        let names = named(page);
        assert!(names.len() > 5, "{page} has no table of bounds");
        let missing: Vec<_> = names.iter().filter(|name| !exists(name)).collect();
        assert!(missing.is_empty(), "{page} names {missing:?}");
    }
}

#[test]
fn every_attack_is_on_a_bound() {
    let names = named("network.md");
    let idle: Vec<_> =
        ATTACKS.iter().map(|attack| attack.name).filter(|attack| !names.iter().any(|name| name == attack)).collect();
    assert!(idle.is_empty(), "docs/network.md does not say what bounds {idle:?}");
}
