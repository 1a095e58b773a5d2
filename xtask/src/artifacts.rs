//! What the page's scripts are given: the relay binary, the built page and extensions, the browser.

use std::{path::PathBuf, process::Command};

use anyhow::{Result, ensure};

use crate::{config::Config, natives, package, process, project::Project, setup::Tools};

/// The built parts of the whole system.
pub(crate) struct Artifacts {
    page: PathBuf,
}

impl Artifacts {
    /// Builds the npm package, the page and the extensions.
    pub(crate) fn build(project: &Project, config: &Config, tools: &Tools) -> Result<Self> {
        package::build(project, config, tools)?;
        Artifacts::around_package(project, tools)
    }

    /// Builds the page and the extensions around a package that is built.
    pub(crate) fn around_package(project: &Project, tools: &Tools) -> Result<Self> {
        let www = project.root().join("www");
        ensure!(www.join("index.html").is_file(), "www/index.html is missing");
        let page = www.join("dist");
        let vite = project.root().join("node_modules/vite/bin/vite.js");
        let vite = || {
            let mut vite_build = tools.command("node");
            vite_build.arg(&vite).arg("build");
            vite_build
        };
        // The page first: it empties the folder that the extensions go into.
        process::run(vite().current_dir(&www))?;
        for browser in ["chromium", "firefox"] {
            process::run(vite().env("BROWSER", browser).current_dir(www.join("extension")))?;
        }
        Ok(Artifacts { page })
    }

    /// Builds the relay, and gives a command that runs `script` of the tree in Node and tells it where the parts are.
    pub(crate) fn script(&self, project: &Project, tools: &Tools, script: &str) -> Result<Command> {
        let mut command = relay_script(project, tools, script)?;
        command.env("OCAP_WWW_DIST", &self.page);
        Ok(command)
    }
}

/// Builds the relay, and gives a command that runs `script` of the tree in Node and tells it where relay and browser are.
pub(crate) fn relay_script(project: &Project, tools: &Tools, script: &str) -> Result<Command> {
    // The relay is not what is measured.
    let binaries = natives::build(project, tools, "dev", &[natives::RELAY])?;
    let browser = tools.browser()?;
    let mut command = tools.command("node");
    command.arg(project.root().join(script)).current_dir(project.root());
    command.env("OCAP_RELAY_BIN", binaries.join(natives::RELAY));
    command.env("CHROME_BIN", &browser.chrome).env("CHROMEDRIVER", &browser.driver);
    Ok(command)
}
