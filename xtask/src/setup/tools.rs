//! What set-up found: where the tools are, and commands that use them.

use std::{
    env,
    ffi::{OsStr, OsString},
    path::PathBuf,
    process::Command,
};

use anyhow::{Context as _, Result};

use super::browser::Browser;

/// The tools that were asked for.
#[derive(Default)]
pub(crate) struct Tools {
    /// Folders that go before PATH.
    folders: Vec<PathBuf>,
    /// A compiler for wasm32 other than the one on PATH.
    wasm_compiler: Option<WasmCompiler>,
    browser: Option<Browser>,
}

/// A compiler with a wasm32 standard library of its own.
pub(crate) struct WasmCompiler {
    /// Holds `cargo`, `rustc`, `rustdoc` and the linker; goes before everything else on PATH.
    pub(crate) folder: PathBuf,
    /// Variables that cargo, clippy and rustdoc read.
    pub(crate) variables: Vec<(&'static str, PathBuf)>,
}

impl Tools {
    /// Puts a folder with programs before PATH.
    pub(super) fn add_folder(&mut self, folder: PathBuf) {
        self.folders.push(folder);
    }

    pub(super) fn set_wasm_compiler(&mut self, compiler: WasmCompiler) {
        self.wasm_compiler = Some(compiler);
    }

    pub(super) fn set_browser(&mut self, browser: Browser) {
        self.browser = Some(browser);
    }

    /// The browser, which the caller must have asked for.
    pub(crate) fn browser(&self) -> Result<&Browser> {
        self.browser.as_ref().context("the browser was not set up for this command")
    }

    /// A command with the tools on its PATH.
    pub(crate) fn command(&self, program: &str) -> Command {
        with_path(program, self.folders.iter())
    }

    /// A command that compiles for wasm32.
    pub(crate) fn wasm_command(&self, program: &str) -> Command {
        let Some(compiler) = &self.wasm_compiler else {
            return self.command(program);
        };
        let mut command = with_path(program, std::iter::once(&compiler.folder).chain(&self.folders));
        command.envs(compiler.variables.iter().map(|(name, value)| (name, value)));
        // Set by the cargo that runs this program, for its own compiler.
        command.env_remove("LD_LIBRARY_PATH").env_remove("CARGO");
        command
    }
}

fn with_path<'a>(program: &str, folders: impl Iterator<Item = &'a PathBuf>) -> Command {
    let inherited = env::var_os("PATH").unwrap_or_default();
    // An entry with a `:` cannot be joined; then the inherited PATH alone must do.
    let path = env::join_paths(folders.cloned().chain(env::split_paths(&inherited))).unwrap_or(inherited);
    let mut command = Command::new(resolve(program, &path));
    command.env("PATH", path);
    // Build scripts ask for these, and cargo runs them again, with all that is compiled after them, where they differ: as they would
    // from those of the same command that is typed by hand.
    for (name, _) in env::vars_os().filter(|(name, _)| tells_of_this_program(name)) {
        command.env_remove(name);
    }
    command
}

/// Whether cargo sets a variable to tell this program of its own package.
fn tells_of_this_program(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")
}

/// The full path of a program, so that the new PATH decides which one is started.
fn resolve(program: &str, path: &OsStr) -> OsString {
    env::split_paths(path)
        .map(|folder| folder.join(program))
        .find(|file| crate::process::is_program(file))
        .map_or_else(|| program.into(), PathBuf::into_os_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_not_told_of_the_package_that_starts_them() {
        assert!(env::vars_os().any(|(name, _)| tells_of_this_program(&name)), "cargo tells the tests as well");
        let printed = crate::process::output_of(&mut Tools::default().command("env")).unwrap();
        let told: Vec<_> = printed.lines().filter(|line| tells_of_this_program(OsStr::new(line))).collect();
        assert!(told.is_empty() && printed.contains("PATH="), "{told:?}");
    }
}
