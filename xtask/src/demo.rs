//! `cargo xtask demo`: builds everything and hands over to the story.

use std::{
    net::IpAddr,
    path::Path,
    process::{ExitCode, Stdio},
};

use anyhow::{Context as _, Result, ensure};

use crate::{artifacts::Artifacts, config::Config, process, project::Project, setup::Tools};

/// The scripted story, which starts and stops the relay itself, since killing it is part of the story.
pub(crate) const STORY: &str = "www/story/run.mjs";

/// Runs the story with this terminal and ends as it ends.
pub(crate) fn run(
    project: &Project,
    config: &Config,
    tools: &Tools,
    open: bool,
    host: Option<IpAddr>,
) -> Result<ExitCode> {
    ensure!(Path::new(&project.root().join(STORY)).is_file(), "{STORY} is missing");
    let artifacts = Artifacts::build(project, config, tools)?;
    let mut story = artifacts.script(project, tools, STORY)?;
    if open {
        story.env("OCAP_OPEN", "1");
    }
    if let Some(host) = host {
        story.env("OCAP_HOST", host.to_string());
    }
    let status =
        story.stdin(Stdio::inherit()).status().with_context(|| format!("cannot start `{}`", process::line(&story)))?;
    // A story that a signal ended has no code of its own.
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
}
