//! `kernel-peer`: native kernels at the other end of a browser's, in tests and benchmarks of the network.
//!
//! Its argument is a JSON object, [`Start`]. On stdout goes `{"ready":…}`, then what its role reports, one JSON object a line; on
//! stdin come [`Command`]s, one a line. It ends with its stdin.
#![allow(clippy::unwrap_used, clippy::expect_used)] // whoever started it sees it fail

mod crowd;
mod kernel;
mod listening;

use std::{
    env,
    io::Write as _,
    path::PathBuf,
    rc::Rc,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result};
use ocap_remotes::wire::RemoteCommsOptions;
use serde::Deserialize;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};

/// What a peer is started with.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Start {
    role: Role,
    /// The identity follows from it. Each of a crowd has the next one.
    seed: u8,
    /// A file that keeps the certificate of webrtc-direct, so that the addresses stay the same.
    certificate: Option<PathBuf>,
    /// Limits, relays, addresses.
    #[serde(default)]
    options: RemoteCommsOptions,
    /// How long the kernel takes for each message that it is handed; the next ones wait.
    #[serde(default)]
    slow_ms: u64,
    /// Reports no messages, for those who measure.
    #[serde(default)]
    quiet: bool,
    /// How many there are in a crowd.
    #[serde(default)]
    count: u8,
}

/// What it does.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Role {
    /// A kernel with one object, which answers every message to it.
    Kernel,
    /// Kernels that all send to one.
    Crowd,
}

/// What it may be told.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Command {
    /// Close every connection to the peer, as if the network had.
    Cut(String),
    /// Redeem the URL and send this many messages to what it names, as fast as they are accepted.
    #[serde(rename_all = "camelCase")]
    Send { url: String, count: u32, bytes: usize },
    /// The crowd redeems the URL.
    Meet(String),
    /// The crowd sends for so long to what it redeemed.
    Go { seconds: u64 },
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
    let carry_out: Rc<dyn Fn(Command)> = match start.role {
        Role::Kernel => Rc::new(kernel::start(&start).await?),
        Role::Crowd => Rc::new(crowd::start(&start).await?),
    };
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        carry_out(serde_json::from_str(&line).with_context(|| line.clone())?);
    }
    Ok(())
}

/// Writes a line of stdout.
fn report(line: &Value) {
    let mut stdout = std::io::stdout().lock();
    // Nobody may be reading any more.
    let _ = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
}

/// Milliseconds since the Unix epoch, as JavaScript on the same machine has them.
fn now_ms() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64() * 1_000.0
}
