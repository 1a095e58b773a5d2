//! What scripts about the network are given: its page with our package and js-libp2p, the relay, the echo peer, the browser.

use std::process::Command;

use anyhow::Result;

use crate::{process, project::Project, setup::Tools};

/// The page's folder, with its Vite configuration.
const PAGE: &str = "tests/bench/network/vite.config.mjs";

/// Builds all of it but the package, which must be there, and gives a command that runs `script` in Node with it and `arguments`. `profile` is cargo's: `tools` where
/// the relay and the peer should be quick, `dev` where they are built already.
pub(crate) fn script(
    project: &Project,
    tools: &Tools,
    profile: &str,
    script: &str,
    arguments: &[&str],
) -> Result<Command> {
    let mut peers = tools.command("cargo");
    peers.args(["build", "--profile", profile, "--package", "ocap-relay", "--package", "echo-peer"]);
    process::run(peers.current_dir(project.root()))?;
    let page = project.target().join("network-page");
    let vite = project.root().join("node_modules/vite/bin/vite.js");
    let mut bundle = tools.command("node");
    bundle.arg(vite).args(["build", "--config", PAGE, "--logLevel", "warn", "--outDir"]).arg(&page);
    process::run(bundle.current_dir(project.root()))?;

    let binaries = project.target().join(if profile == "dev" { "debug" } else { profile });
    let mut command = tools.command("node");
    command.arg(project.root().join(script)).arg(page).arg(binaries.join("ocap-relay")).arg(binaries.join("echo-peer"));
    command.args(arguments).env("CHROME_BIN", &tools.browser()?.chrome).current_dir(project.root());
    Ok(command)
}
