//! Tools that cargo installs, each in a folder of the user's cache that carries its version.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use super::{BUILD, Tools, by_hand, install_whole, say};
use crate::{process, project::Project};

/// A command line tool from crates.io.
pub(super) struct CargoTool {
    /// The crate that holds it.
    package: &'static str,
    /// All programs that must be there.
    programs: &'static [&'static str],
    /// Which versions on PATH will do.
    suits: Suits,
    /// Arguments of cargo that leave out what is not used here.
    without: &'static [&'static str],
    /// How well it is optimized: `3` where a run of it takes longer than it takes to start.
    opt_level: &'static str,
    /// How long installing takes on two cores.
    takes: &'static str,
}

/// Which versions of a tool will do.
#[derive(Clone, Copy)]
enum Suits {
    /// This one only: wasm-bindgen refuses what another version's macro wrote.
    Exactly,
    /// This one or a later one.
    AtLeast,
}

pub(super) const WASM_BINDGEN: CargoTool = CargoTool {
    package: "wasm-bindgen-cli",
    programs: &["wasm-bindgen", "wasm-bindgen-test-runner"],
    suits: Suits::Exactly,
    // TLS, for browsers that are steered from another machine.
    without: &["--no-default-features"],
    opt_level: "3",
    takes: "1 to 3 min",
};

pub(super) const WASM_PACK: CargoTool = CargoTool {
    package: "wasm-pack",
    programs: &["wasm-pack"],
    suits: Suits::AtLeast,
    without: &[],
    opt_level: "1",
    takes: "1 to 2 min",
};

pub(super) const CARGO_DENY: CargoTool = CargoTool {
    package: "cargo-deny",
    programs: &["cargo-deny"],
    suits: Suits::AtLeast,
    without: &[],
    opt_level: "1",
    takes: "1 to 2 min",
};

/// The version of cargo-deny that `deny.toml` is written for.
pub(super) const CARGO_DENY_VERSION: &str = "0.20.2";

impl CargoTool {
    /// Takes the tool from the cache or from PATH, else installs it into the cache.
    pub(super) fn prepare(&self, project: &Project, version: &str, tools: &mut Tools) -> Result<()> {
        let what = format!("{} {version}", self.package);
        let place = project.cache().join("tools").join(format!("{}-{version}", self.package));
        let folder = place.join("bin");
        if self.programs.iter().all(|program| process::is_program(&folder.join(program))) {
            say(&what, "found");
        } else if let Some(found) = self.find_on_path(version) {
            say(&what, format_args!("found {}", found.display()));
            return Ok(()); // PATH has it already
        } else {
            say(&what, format_args!("installing with cargo (about {})", self.takes));
            install_whole(project.cache(), &place, |root| {
                // A locked dependency may be missing from a mirror of the registry, then newer ones must do.
                let install = |locked: &[&str]| {
                    let mut cargo = self.install(version, root, &project.cache().join(BUILD));
                    process::run_quietly(cargo.args(locked))
                };
                install(&["--locked"]).or_else(|_| install(&[]))
            })
            .with_context(|| {
                let root = place.display();
                by_hand(
                    &what,
                    format_args!("cargo install {} --version {version} --locked --root {root}", self.package),
                )
            })?;
        }
        tools.add_folder(folder);
        Ok(())
    }

    /// Compiles it below `target`, where tools find what they have in common, and puts it below `root`.
    fn install(&self, version: &str, root: &Path, target: &Path) -> Command {
        let mut cargo = Command::new("cargo");
        cargo.args(["install", self.package, "--version", version, "--root"]).arg(root).args(self.without);
        // Built in the cache, since nothing may be written elsewhere; and out of the tree, whose cargo settings are not for it.
        cargo.env("CARGO_TARGET_DIR", target).current_dir(root);
        // Soon there, rather than as quick as can be.
        cargo.env("CARGO_PROFILE_RELEASE_LTO", "off").env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16");
        cargo.env("CARGO_PROFILE_RELEASE_OPT_LEVEL", self.opt_level);
        cargo
    }

    fn find_on_path(&self, wanted: &str) -> Option<PathBuf> {
        let found: Option<Vec<_>> = self.programs.iter().map(|program| process::find_on_path(&[program])).collect();
        let first = found?.into_iter().next()?;
        let printed = process::output_of(Command::new(&first).arg("--version")).ok()?;
        self.suits.accepts(printed.split_whitespace().nth(1)?, wanted).then_some(first)
    }
}

impl Suits {
    fn accepts(self, found: &str, wanted: &str) -> bool {
        match self {
            Suits::Exactly => found == wanted,
            Suits::AtLeast => match (numbers(found), numbers(wanted)) {
                (Some(found), Some(wanted)) => found >= wanted,
                _ => false,
            },
        }
    }
}

/// The numbers of a released version; none for a pre-release.
fn numbers(version: &str) -> Option<Vec<u64>> {
    version.split('.').map(|number| number.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wasm_bindgen_must_match_exactly() {
        assert!(Suits::Exactly.accepts("0.2.108", "0.2.108"));
        assert!(!Suits::Exactly.accepts("0.2.109", "0.2.108"));
    }

    #[test]
    fn a_later_version_suits_where_the_first_one_is_enough() {
        assert!(Suits::AtLeast.accepts("0.15.1", "0.15.1"));
        assert!(Suits::AtLeast.accepts("0.16.0", "0.15.1"));
        assert!(Suits::AtLeast.accepts("0.100.0", "0.15.1"));
        assert!(!Suits::AtLeast.accepts("0.15.0", "0.15.1"));
        assert!(!Suits::AtLeast.accepts("0.16.0-beta.1", "0.15.1"));
    }
}
