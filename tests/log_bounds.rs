//! How much is logged: what peers do wrong is told, but no peer, and no crowd of keys, chooses how many warnings there are.
#![cfg(all(feature = "kernel", feature = "network", not(target_arch = "wasm32")))]
#![allow(clippy::unwrap_used, clippy::panic)] // clippy knows tests by #[test] only

mod support;

use std::{rc::Rc, time::Duration};

use futures::{AsyncReadExt as _, AsyncWriteExt as _, StreamExt as _};
use ocap_remotes::{
    network::node::{Node, NodeConfig},
    runtime::NativeRuntime,
    wire::{Handshake, encode_frame},
};
use support::{ANY_PORT, Log, Party, start};
use tracing::Level;

/// What is warned of, from all libraries, while `story` runs.
fn warnings(story: impl AsyncFnOnce()) -> Vec<String> {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_max_level(Level::WARN);
    let _guard = tracing::subscriber::set_default(subscriber.with_writer(move || writer.clone()).finish());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, story());
    log.text().lines().map(str::to_owned).collect()
}

/// Opens `channels` of one key, and writes these bytes on each.
async fn attack(number: u16, target: &Party, channels: usize, bytes: &[u8]) {
    let mut seed = [0xee; 32];
    seed[..2].copy_from_slice(&number.to_le_bytes());
    let (node, events) = Node::start(NodeConfig::new(seed), Rc::new(NativeRuntime::new())).unwrap();
    tokio::task::spawn_local(events.for_each(|_| futures::future::ready(())));
    for _ in 0..channels {
        let Ok(mut stream) = node.open(&target.peer, std::slice::from_ref(&target.address)).await else { continue };
        let hello = Handshake::Hello("life".parse().unwrap()).encode();
        if stream.write_all(&encode_frame(&hello)).await.is_err() || stream.write_all(bytes).await.is_err() {
            continue;
        }
        stream.flush().await.ok();
        // Until it is reset, or for a moment.
        let mut answer = Vec::new();
        tokio::time::timeout(Duration::from_millis(200), stream.read_to_end(&mut answer)).await.ok();
    }
    node.stop().await;
}

fn about(warnings: &[String], what: &str) -> usize {
    warnings.iter().filter(|line| line.contains(what)).count()
}

#[test]
fn one_peer_is_warned_of_a_few_times_however_often_it_misbehaves() {
    let warnings = warnings(async || {
        let bob = start(2, ANY_PORT).await;
        attack(0, &bob, 15, &encode_frame("nonsense").repeat(16)).await;
        // A length above the limit.
        attack(1, &bob, 15, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x3f]).await;
        bob.driver.stop().await.unwrap();
    });
    let (refused, faults) = (about(&warnings, "the kernel refused a message"), about(&warnings, "fault of a peer"));
    assert!((4..=11).contains(&refused), "{refused} of {warnings:#?}");
    assert!((4..=7).contains(&faults), "{faults} of {warnings:#?}");
    assert!(warnings.iter().any(|line| line.contains("times=8")), "how often is told: {warnings:#?}");
    assert!(warnings.len() <= 20, "{warnings:#?}");
}

#[test]
fn a_crowd_of_keys_is_warned_of_a_few_times_each_and_not_for_ever() {
    let warnings = warnings(async || {
        let bob = start(2, ANY_PORT).await;
        for key in 0..50 {
            attack(key, &bob, 1, &encode_frame("nonsense").repeat(3)).await;
        }
        bob.driver.stop().await.unwrap();
    });
    // 150 messages of 50 keys were refused: those of the first 32 are told of, and a few of the others.
    assert!((96..=110).contains(&warnings.len()), "{} warnings", warnings.len());
}
