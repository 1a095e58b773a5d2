//! Chromium and the ChromeDriver that steers it.

use std::{
    env,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};

use super::{Tools, apt, by_hand, say};
use crate::process;

const NAME: &str = "Chromium and ChromeDriver";
const PACKAGES: [&str; 2] = ["chromium", "chromium-driver"];
const HINT: &str = "install a Chrome or Chromium and the ChromeDriver of the same version, \
                    then set CHROME_BIN and CHROMEDRIVER to them";

/// A browser and its driver.
pub(crate) struct Browser {
    /// Chromium or Chrome.
    pub(crate) chrome: PathBuf,
    /// ChromeDriver.
    pub(crate) driver: PathBuf,
}

pub(super) fn prepare(tools: &mut Tools) -> Result<()> {
    let browser = match find()? {
        Some(browser) => {
            say(NAME, format_args!("found {} and {}", browser.chrome.display(), browser.driver.display()));
            browser
        }
        None => {
            say(NAME, format_args!("installing {} with apt-get (about 1 min)", PACKAGES.join(" and ")));
            install().with_context(|| by_hand(NAME, format_args!("{}; or {HINT}", apt::by_hand(&PACKAGES))))?
        }
    };
    tools.set_browser(browser);
    Ok(())
}

fn find() -> Result<Option<Browser>> {
    let chrome = named_by("CHROME_BIN")?
        .or_else(|| process::find_on_path(&["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"]));
    let driver = named_by("CHROMEDRIVER")?.or_else(|| process::find_on_path(&["chromedriver"]));
    Ok(chrome.zip(driver).map(|(chrome, driver)| Browser { chrome, driver }))
}

/// The program that a variable names. One that is not there is an error, not a reason to look elsewhere.
fn named_by(variable: &str) -> Result<Option<PathBuf>> {
    let Some(file) = env::var_os(variable).filter(|value| !value.is_empty()) else {
        return Ok(None);
    };
    ensure!(
        process::is_program(Path::new(&file)),
        "{variable} names {}, which is no program",
        Path::new(&file).display()
    );
    Ok(Some(file.into()))
}

fn install() -> Result<Browser> {
    apt::install(&PACKAGES)?;
    find()?.context("installed, but not on PATH")
}
