//! What scripts about the network are given: a page with our package and js-libp2p, the relay, native peers, the browser.

use std::{path::PathBuf, process::Command};

use anyhow::Result;

use crate::{
    natives::{self, ECHO_PEER, KERNEL_PEER, RELAY},
    process,
    project::Project,
    setup::Tools,
};

/// The page's folder, with its Vite configuration.
const PAGE: &str = "tests/bench/network/vite.config.mjs";

/// Builds all of it but the package, which must be there, and gives a command that runs `script` in Node with it and `arguments`.
pub(crate) fn script(project: &Project, tools: &Tools, script: &str, arguments: &[&str]) -> Result<Command> {
    let binaries = natives::build(project, tools, "tools", &[RELAY, ECHO_PEER])?;
    let page = page(project, tools)?;
    let mut command = tools.command("node");
    command.arg(project.root().join(script)).arg(page).arg(binaries.join(RELAY)).arg(binaries.join(ECHO_PEER));
    command.args(arguments).env("CHROME_BIN", &tools.browser()?.chrome).current_dir(project.root());
    Ok(command)
}

/// The same for scripts about whole kernels, native ones and one in a page, which such a script builds itself.
pub(crate) fn kernels(project: &Project, tools: &Tools, script: &str, arguments: &[&str]) -> Result<Command> {
    let binaries = natives::build(project, tools, "tools", &[RELAY, KERNEL_PEER])?;
    let mut command = tools.command("node");
    command.arg(project.root().join(script)).args(arguments).current_dir(project.root());
    command.env("OCAP_RELAY_BIN", binaries.join(RELAY));
    command.env("OCAP_KERNEL_PEER", binaries.join(KERNEL_PEER));
    command.env("CHROME_BIN", &tools.browser()?.chrome);
    Ok(command)
}

/// Builds the page from the package, and gives its folder.
pub(crate) fn page(project: &Project, tools: &Tools) -> Result<PathBuf> {
    let page = project.target().join("network-page");
    let vite = project.root().join("node_modules/vite/bin/vite.js");
    let mut bundle = tools.command("node");
    bundle.arg(vite).args(["build", "--config", PAGE, "--logLevel", "warn", "--outDir"]).arg(&page);
    process::run(bundle.current_dir(project.root()))?;
    Ok(page)
}
