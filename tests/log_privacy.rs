//! What is logged: never a seed or a key; above debug level neither object ids of OCAP URLs nor what messages say.
#![cfg(all(feature = "kernel", feature = "network", not(target_arch = "wasm32")))]
#![allow(clippy::unwrap_used, clippy::panic)] // clippy knows tests by #[test] only

mod support;

use std::{rc::Rc, time::Duration};

use futures::{AsyncWriteExt as _, StreamExt as _};
use ocap_remotes::{
    network::node::{Node, NodeConfig},
    runtime::NativeRuntime,
    wire::{Handshake, encode_frame},
};
use support::{ANY_PORT, Log, start};
use tracing::Level;

const SECRET: &str = "Sekretwort";

/// Everything of a message that a peer can fill.
fn malformed() -> Vec<String> {
    let mut texts = vec![
        SECRET.to_owned(),
        format!(r#""{SECRET}""#),
        format!(r#"{{"seq":"{SECRET}","method":"deliver","params":["bringOutYourDead"]}}"#),
        format!(r#"{{"ack":"{SECRET}"}}"#),
        format!(r#"{{"seq":1,"ack":"{SECRET}","method":"deliver","params":["bringOutYourDead"]}}"#),
        format!(r#"{{"seq":1,"method":"{SECRET}","params":[]}}"#),
        format!(r#"{{"{SECRET}":1}}"#),
    ];
    let params = [
        format!(r#""{SECRET}""#),
        format!(r#"["{SECRET}"]"#),
        format!(r#"["message","{SECRET}",{{}}]"#),
        format!(r#"["message","ro-1","{SECRET}"]"#),
        format!(r#"["message","ro-1",{{"methargs":"{SECRET}","result":null}}]"#),
        format!(r#"["message","ro-1",{{"methargs":{{"body":"{SECRET}","slots":"{SECRET}"}},"result":null}}]"#),
        format!(r#"["message","ro-1",{{"methargs":{{"body":"{SECRET}","slots":["{SECRET}"]}},"result":null}}]"#),
        format!(r#"["message","ro-1",{{"methargs":{{"body":"{SECRET}","slots":[]}},"result":"{SECRET}"}}]"#),
        format!(r#"["message","ro-99",{{"methargs":{{"body":"{SECRET}","slots":[]}},"result":"rp+1"}}]"#),
        format!(r#"["notify","{SECRET}"]"#),
        format!(r#"["notify",[["rp-99","{SECRET}",{{"body":"{SECRET}","slots":[]}}]]]"#),
        format!(r#"["notify",[["rp-99",false,{{"body":"{SECRET}","slots":[]}}]]]"#),
        format!(r#"["dropExports",["{SECRET}"]]"#),
        format!(r#"["dropExports","{SECRET}"]"#),
    ];
    texts.extend(params.iter().map(|params| format!(r#"{{"seq":1,"method":"deliver","params":{params}}}"#)));
    for (method, params) in [
        ("redeemURL", format!(r#"["ocap:{SECRET}@{SECRET}","{SECRET}"]"#)),
        ("redeemURL", format!(r#"["{SECRET}"]"#)),
        ("redeemURLReply", format!(r#"["{SECRET}","k","ro+1"]"#)),
        ("redeemURLReply", format!(r#"[true,"{SECRET}","{SECRET}"]"#)),
        ("redeemURLReply", format!(r#"[false,"{SECRET}","{SECRET}"]"#)),
    ] {
        texts.push(format!(r#"{{"seq":1,"method":"{method}","params":{params}}}"#));
    }
    texts
}

/// What the log says in any case.
const EXPECTED: [&str; 2] = ["fault of a peer", "the kernel refused a message"];

/// Writes each of `texts` to the peer, on a channel of its own.
async fn write_all(number: u8, peer: &ocap_remotes::wire::PeerId, address: &str, texts: &[String]) {
    let (node, events) = Node::start(NodeConfig::new([number; 32]), Rc::new(NativeRuntime::new())).unwrap();
    tokio::task::spawn_local(events.for_each(|_| futures::future::ready(())));
    for text in texts {
        let mut stream = node.open(peer, &[address.to_owned()]).await.unwrap();
        let hello = Handshake::Hello("life".parse().unwrap()).encode();
        stream.write_all(&encode_frame(&hello)).await.unwrap();
        stream.write_all(&encode_frame(text)).await.unwrap();
        stream.flush().await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
        stream.close().await.ok();
    }
    node.stop().await;
}

#[test]
fn logs_hold_no_secrets() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_max_level(Level::TRACE);
    let _guard = tracing::subscriber::set_default(subscriber.with_writer(move || writer.clone()).finish());

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let urls = tokio::task::LocalSet::new().block_on(&runtime, async {
        let (alice, bob) = (start(0xa1, ANY_PORT).await, start(0xb2, ANY_PORT).await);
        alice.knows(&bob);
        let url = bob.issue().await;
        let object = alice.redeem(&url).await.unwrap();
        alice.send(object, &format!("#\"{SECRET}\""));
        bob.has_received(1).await;
        // A URL that was changed, and one that names nothing any more.
        let changed = url.replacen("ocap:z", "ocap:z1", 1);
        alice.redeem(&changed).await.unwrap_err();

        let texts = malformed();
        for (number, texts) in texts.chunks(20).enumerate() {
            write_all(0xc0 + number as u8, &bob.peer, &bob.address, texts).await;
        }
        // A handshake that says it.
        let (node, _events) = Node::start(NodeConfig::new([0xd0; 32]), Rc::new(NativeRuntime::new())).unwrap();
        for hello in [SECRET.to_owned(), format!(r#"{{"method":"{SECRET}","params":{{}}}}"#)] {
            let mut stream = node.open(&bob.peer, std::slice::from_ref(&bob.address)).await.unwrap();
            stream.write_all(&encode_frame(&hello)).await.unwrap();
            stream.flush().await.unwrap();
            tokio::time::sleep(Duration::from_millis(50)).await;
        }

        // However long that takes: what there is to be said is said.
        for expected in EXPECTED {
            while !log.text().contains(expected) {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }

        // A life ends with messages pending.
        bob.driver.stop().await.unwrap();
        alice.send(object, &format!("#\"{SECRET} pending\""));
        let bob = start(0xb2, &bob.address).await;
        bob.knows(&alice);
        bob.redeem(&alice.issue().await).await.unwrap();
        alice.driver.stop().await.unwrap();
        bob.driver.stop().await.unwrap();
        [url, changed]
    });

    let debug = log.text();
    let is_fine = |line: &&str| line.contains(" DEBUG ") || line.contains(" TRACE ");
    let info: String = debug.lines().filter(|line| !is_fine(line)).flat_map(|line| [line, "\n"]).collect();
    for expected in EXPECTED {
        assert!(info.contains(expected), "the story misses its point: no {expected:?} in\n{info}");
    }
    let found = |log: &str, secret: &str| log.lines().find(|line| line.contains(secret)).map(str::to_owned);
    for url in urls {
        let oid = url.trim_start_matches("ocap:").split('@').next().unwrap().to_owned();
        assert_eq!(found(&info, &oid), None, "the object id of a URL");
    }
    assert_eq!(found(&info, SECRET), None, "what a message says");
    for seed in ["a1".repeat(32), "b2".repeat(32)] {
        assert_eq!(found(&debug, &seed), None, "a seed");
        let bytes = hex::decode(&seed).unwrap();
        assert_eq!(found(&debug, &format!("{bytes:?}")), None, "a seed as bytes");
    }
}
