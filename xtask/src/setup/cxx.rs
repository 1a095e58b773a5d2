//! A C++ compiler, which libFuzzer is compiled with. Who has a C linker mostly has it.

use anyhow::{Context as _, Result};

use super::{apt, by_hand, say};
use crate::process;

const NAME: &str = "C++ compiler";
const PACKAGES: &[&str] = &["g++"];

pub(super) fn prepare() -> Result<()> {
    if let Some(found) = process::find_on_path(&["c++", "g++", "clang++"]) {
        say(NAME, format_args!("found {}", found.display()));
        return Ok(());
    }
    say(NAME, "installing with apt-get");
    apt::install(PACKAGES).with_context(|| by_hand(NAME, apt::by_hand(PACKAGES)))
}
