//! `conformance-kernel`: a real kernel and its network in one process, for a test in another language to drive.
//!
//! Its argument is a JSON object, [`Start`]. On stdin come [`Request`]s, one a line; on stdout go `{"ready":…}`, then an answer
//! `{"id":…,"ok":…}` or `{"id":…,"error":{"name":…,"message":…}}` to each, and `{"event":…}` whenever something happens, in
//! order. It ends with its stdin. Killed and started again with its store, it is the same incarnation.

mod party;
mod report;
mod request;

use std::{env, path::PathBuf, rc::Rc};

use anyhow::{Context as _, Result};
use ocap_remotes::wire::RemoteCommsOptions;
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt as _, BufReader};

use self::{party::Party, request::Request};

/// What a kernel is started with.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Start {
    /// The file that holds its store, made when it is absent.
    store: PathBuf,
    /// The seed of its identity, 64 hex digits; needed for a new store only.
    key_seed: Option<String>,
    /// Limits, relays, addresses.
    options: RemoteCommsOptions,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "off".into()))
        .init();
    let start = env::args().nth(1).context("the argument is a JSON object")?;
    let start: Start = serde_json::from_str(&start).context("the argument")?;
    tokio::task::LocalSet::new().run_until(serve(start)).await
}

async fn serve(start: Start) -> Result<()> {
    let party = Rc::new(Party::start(start).await?);
    report::line(&party.ready());
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        let request: Request = serde_json::from_str(&line).with_context(|| line.clone())?;
        let party = Rc::clone(&party);
        // A redemption, for one, is answered only after other requests.
        tokio::task::spawn_local(async move {
            let id = request.id;
            report::line(&report::answer(id, party.carry_out(request.call).await));
        });
    }
    Ok(())
}
