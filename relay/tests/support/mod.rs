//! A relay as a real process, and a thread for a story.

#![allow(dead_code, unused_imports, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)] // each story takes what it needs

mod line;
mod node;
mod party;

use std::{
    future::Future,
    io::{BufRead as _, BufReader},
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

pub(crate) use line::Line;
pub(crate) use node::Kernel;
pub(crate) use party::{Party, body, party, start};

/// A relay process on a fixed WebSocket port; killed when dropped.
pub(crate) struct Relay {
    process: Child,
    pub(crate) ws_address: String,
}

impl Relay {
    pub(crate) fn start(state: &Path, ws_port: u16, arguments: &[&str]) -> Relay {
        let mut process = Command::new(env!("CARGO_BIN_EXE_ocap-relay"))
            .args(["--ws-port", &ws_port.to_string(), "--exit-with-stdin", "--state"])
            .arg(state)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ready: serde_json::Value = serde_json::from_str(&line).unwrap();
        let addresses = ready["addresses"].as_array().unwrap().iter().filter_map(|address| address.as_str());
        let ws_address = addresses.into_iter().find(|address| address.contains("/ws/")).unwrap().to_owned();
        Relay { process, ws_address }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

/// A TCP port that nobody uses.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Runs a story on one thread, as the product does; a story that hangs fails.
pub(crate) fn story(story: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let local = tokio::task::LocalSet::new();
    let bounded = async { tokio::time::timeout(Duration::from_secs(300), story).await };
    runtime.block_on(local.run_until(bounded)).expect("the story does not hang");
}
