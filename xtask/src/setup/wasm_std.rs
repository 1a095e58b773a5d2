//! The standard library for wasm32: rustup's, or where that cannot be had, one built from Debian's source.

use std::{env, fs, path::PathBuf, process::Command, time::Duration};

use anyhow::{Context as _, Result, bail};

use super::{Tools, by_hand, debian_std, say};
use crate::{process, project::Project};

pub(super) const TARGET: &str = "wasm32-unknown-unknown";
pub(super) const NAME: &str = "wasm32 standard library";
/// Chooses where the library comes from: `rustup` or `debian`. Unset: rustup, and Debian if that fails.
pub(super) const CHOICE: &str = "OCAP_REMOTES_WASM_STD";
/// Without a network rustup would try for minutes.
const RUSTUP_LIMIT: Duration = Duration::from_secs(60);

/// Where the library may come from.
enum Choice {
    Any,
    Rustup,
    Debian,
}

pub(super) fn prepare(project: &Project, tools: &mut Tools) -> Result<()> {
    match choice()? {
        Choice::Debian => debian_std::prepare(project, tools),
        Choice::Any | Choice::Rustup if compiler_has_it() => {
            say(NAME, "found");
            Ok(())
        }
        Choice::Rustup => add_with_rustup(),
        // Once built it is used without asking rustup again, whose failure may take a minute.
        Choice::Any if debian_std::is_built(project) => debian_std::prepare(project, tools),
        Choice::Any => add_with_rustup()
            .or_else(|cause| debian_std::prepare(project, tools).with_context(|| format!("{cause:#}\nInstead"))),
    }
}

fn choice() -> Result<Choice> {
    match env::var(CHOICE).as_deref() {
        Err(_) | Ok("") => Ok(Choice::Any),
        Ok("rustup") => Ok(Choice::Rustup),
        Ok("debian") => Ok(Choice::Debian),
        Ok(other) => bail!("{CHOICE} is `{other}`; it may be `rustup` or `debian`"),
    }
}

/// Whether the compiler on PATH brings the library, whoever put it there.
fn compiler_has_it() -> bool {
    let folder = process::output_of(Command::new("rustc").args(["--print", "target-libdir", "--target", TARGET]));
    let Ok(files) = folder.map(PathBuf::from).and_then(|folder| Ok(fs::read_dir(folder)?)) else {
        return false;
    };
    files.flatten().any(|file| file.file_name().to_string_lossy().starts_with("libcore-"))
}

fn add_with_rustup() -> Result<()> {
    say(NAME, format_args!("adding with rustup (at most {} s)", RUSTUP_LIMIT.as_secs()));
    process::run_limited(Command::new("rustup").args(["target", "add", TARGET]), RUSTUP_LIMIT)
        .with_context(|| by_hand(NAME, format_args!("rustup target add {TARGET}")))
}
