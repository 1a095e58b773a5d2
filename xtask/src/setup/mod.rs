//! Finds or installs what the other commands need, on a machine that has only rustup's stable toolchain, Node and apt.
//!
//! Each step prints one line that says what it does, and if it fails, what to do by hand. Only the tree, the user's cache
//! folder and, for the browser and the fallback of the standard library, system packages are written to.

mod apt;
mod browser;
mod cargo_tool;
mod components;
mod cxx;
mod debian_std;
mod npm;
mod tools;
mod wasm_std;

use std::{fmt::Display, fs, fs::File, path::Path};

use anyhow::{Context as _, Result};

pub(crate) use self::tools::Tools;
use crate::{config::Config, project::Project};

/// One thing to be found or installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Need {
    /// rustfmt and clippy.
    Components,
    /// The standard library for wasm32.
    WasmStd,
    /// wasm-bindgen, and the test runner beside it.
    WasmBindgen,
    /// wasm-pack.
    WasmPack,
    /// cargo-deny.
    CargoDeny,
    /// Chromium and ChromeDriver.
    Browser,
    /// The npm packages of the tree: wasm-opt, vite, playwright-core, js-libp2p.
    Npm,
    /// A C++ compiler, for libFuzzer.
    CxxCompiler,
}

impl Need {
    /// Everything.
    pub(crate) const ALL: &[Need] = &[
        Need::Components,
        Need::WasmStd,
        Need::WasmBindgen,
        Need::WasmPack,
        Need::CargoDeny,
        Need::Browser,
        Need::Npm,
        Need::CxxCompiler,
    ];
    /// What the npm package is built with.
    pub(crate) const PACKAGE: &[Need] = &[Need::WasmStd, Need::WasmBindgen, Need::WasmPack, Need::Npm];
    /// What the demo is built and run with.
    pub(crate) const DEMO: &[Need] = &[Need::WasmStd, Need::WasmBindgen, Need::WasmPack, Need::Browser, Need::Npm];
    /// What the fuzzer is built with.
    pub(crate) const FUZZ: &[Need] = &[Need::CxxCompiler];
}

/// The folder in the cache in which cargo compiles tools.
const BUILD: &str = "build";

/// Finds or installs `needs`.
pub(crate) fn prepare(project: &Project, config: &Config, needs: &[Need]) -> Result<Tools> {
    let mut tools = Tools::default();
    if needs.contains(&Need::Npm) {
        npm::check_node()?; // before minutes go into what can be installed
    }
    for need in needs {
        match need {
            Need::Components => components::prepare()?,
            Need::WasmStd => wasm_std::prepare(project, &mut tools)?,
            Need::WasmBindgen => {
                let version = project.locked_version("wasm-bindgen")?;
                cargo_tool::WASM_BINDGEN.prepare(project, &version, &mut tools)?;
            }
            Need::WasmPack => cargo_tool::WASM_PACK.prepare(project, &config.wasm_pack.version, &mut tools)?,
            Need::CargoDeny => cargo_tool::CARGO_DENY.prepare(project, cargo_tool::CARGO_DENY_VERSION, &mut tools)?,
            Need::Browser => browser::prepare(&mut tools)?,
            Need::Npm => npm::prepare(project, &mut tools)?,
            Need::CxxCompiler => cxx::prepare()?,
        }
    }
    let built = project.cache().join(BUILD);
    if built.exists() {
        let _lock = lock(project.cache())?;
        fs::remove_dir_all(built)?;
    }
    Ok(tools)
}

/// The one line that a step prints.
fn say(what: impl Display, does: impl Display) {
    eprintln!("setup: {what}: {does}");
}

/// The error of a step that failed, with the way out.
fn by_hand(what: impl Display, hint: impl Display) -> String {
    format!("{what} could not be set up. By hand: {hint}\ncause")
}

/// Makes `place` by filling a folder beside it, so that an install which was cut short never looks complete.
fn install_whole(cache: &Path, place: &Path, fill: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let _lock = lock(cache)?;
    if place.exists() {
        return Ok(());
    }
    let partial = cache.join("partial");
    if partial.exists() {
        fs::remove_dir_all(&partial)?;
    }
    fs::create_dir_all(&partial)?;
    fill(&partial)?;
    if let Some(parent) = place.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::rename(&partial, place).with_context(|| place.display().to_string())
}

/// Keeps other commands from installing until it is dropped: two at once must not install the same thing twice.
fn lock(cache: &Path) -> Result<File> {
    fs::create_dir_all(cache).with_context(|| cache.display().to_string())?;
    let lock = File::create(cache.join("lock"))?;
    if lock.try_lock().is_err() {
        say("waiting", "another command is installing");
        lock.lock()?;
    }
    Ok(lock)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_install_that_fails_leaves_nothing_that_looks_complete() {
        let cache = std::env::temp_dir().join(format!("ocap-remotes-xtask-{}", std::process::id()));
        let place = cache.join("tools/thing");
        let failed = install_whole(&cache, &place, |folder| {
            fs::write(folder.join("half"), "")?;
            anyhow::bail!("cut short")
        });
        assert_eq!(failed.unwrap_err().to_string(), "cut short");
        assert!(!place.exists());

        install_whole(&cache, &place, |folder| Ok(fs::write(folder.join("whole"), "")?)).unwrap();
        assert!(place.join("whole").exists() && !place.join("half").exists());
        install_whole(&cache, &place, |_| anyhow::bail!("installed twice")).unwrap();
        fs::remove_dir_all(&cache).unwrap();
    }

    #[test]
    fn one_command_installs_at_a_time() {
        let cache = std::env::temp_dir().join(format!("ocap-remotes-xtask-lock-{}", std::process::id()));
        let first = lock(&cache).unwrap();
        let folder = cache.clone();
        let second = std::thread::spawn(move || lock(&folder).map(|_| ()));
        std::thread::sleep(std::time::Duration::from_millis(50));
        assert!(!second.is_finished());
        drop(first);
        second.join().unwrap().unwrap();
        fs::remove_dir_all(cache).unwrap();
    }
}
