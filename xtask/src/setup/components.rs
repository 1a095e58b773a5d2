//! rustfmt and clippy, which rustup's minimal profile leaves out.

use std::process::Command;

use anyhow::{Context as _, Result};

use super::{by_hand, say};
use crate::process;

const NAME: &str = "rustfmt and clippy";

pub(super) fn prepare() -> Result<()> {
    let works = |tool| process::run_quietly(Command::new("cargo").args([tool, "--version"])).is_ok();
    if works("fmt") && works("clippy") {
        say(NAME, "found");
        return Ok(());
    }
    say(NAME, "adding with rustup");
    process::run_quietly(Command::new("rustup").args(["component", "add", "rustfmt", "clippy"]))
        .with_context(|| by_hand(NAME, "rustup component add rustfmt clippy"))
}
