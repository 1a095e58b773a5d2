//! What scripts about the network are given: a page with our package and js-libp2p, the relay, native peers, the browser.

use std::{path::PathBuf, process::Command};

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
    let binaries = build_natives(project, tools, profile, "echo-peer")?;
    let page = project.target().join("network-page");
    let vite = project.root().join("node_modules/vite/bin/vite.js");
    let mut bundle = tools.command("node");
    bundle.arg(vite).args(["build", "--config", PAGE, "--logLevel", "warn", "--outDir"]).arg(&page);
    process::run(bundle.current_dir(project.root()))?;

    let mut command = tools.command("node");
    command.arg(project.root().join(script)).arg(page).arg(binaries.join("ocap-relay")).arg(binaries.join("echo-peer"));
    command.args(arguments).env("CHROME_BIN", &tools.browser()?.chrome).current_dir(project.root());
    Ok(command)
}

/// The same for scripts about whole kernels, native ones and one in a page, which such a script builds itself.
pub(crate) fn kernels(
    project: &Project,
    tools: &Tools,
    profile: &str,
    script: &str,
    arguments: &[&str],
) -> Result<Command> {
    let binaries = build_natives(project, tools, profile, "kernel-peer")?;
    let mut command = tools.command("node");
    command.arg(project.root().join(script)).args(arguments).current_dir(project.root());
    command.env("OCAP_RELAY_BIN", binaries.join("ocap-relay"));
    command.env("OCAP_KERNEL_PEER", binaries.join("kernel-peer"));
    command.env("CHROME_BIN", &tools.browser()?.chrome);
    Ok(command)
}

/// Builds the relay and a peer, and gives the folder that they are in.
fn build_natives(project: &Project, tools: &Tools, profile: &str, peer: &str) -> Result<PathBuf> {
    let mut natives = tools.command("cargo");
    natives.args(["build", "--profile", profile, "--package", "ocap-relay", "--package", peer]);
    process::run(natives.current_dir(project.root()))?;
    Ok(project.target().join(if profile == "dev" { "debug" } else { profile }))
}
