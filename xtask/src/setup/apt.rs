//! Debian packages.

use std::{
    io::{self, IsTerminal as _},
    process::Command,
};

use anyhow::{Result, bail};

use crate::process;

/// Installs packages and what they need, without asking.
pub(crate) fn install(packages: &[&str]) -> Result<()> {
    if process::find_on_path(&["apt-get"]).is_none() {
        bail!("there is no apt-get here to install {} with", packages.join(" "));
    }
    process::run_quietly(apt_get()?.arg("update"))?;
    process::run_quietly(apt_get()?.args(["install", "-y", "--no-install-recommends"]).args(packages))
}

/// What a person would type.
pub(crate) fn by_hand(packages: &[&str]) -> String {
    format!("sudo apt-get update && sudo apt-get install --no-install-recommends {}", packages.join(" "))
}

fn apt_get() -> Result<Command> {
    let root = process::output_of(Command::new("id").arg("-u"))? == "0";
    let mut command = Command::new(if root { "env" } else { "sudo" });
    if !root && !io::stdin().is_terminal() {
        command.arg("--non-interactive"); // nobody is there to type a password
    }
    if !root {
        command.arg("env");
    }
    command.args(["DEBIAN_FRONTEND=noninteractive", "apt-get"]);
    Ok(command)
}
