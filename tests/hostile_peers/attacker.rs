//! A peer without a kernel.

use std::{rc::Rc, time::Duration};

use futures::{AsyncReadExt as _, AsyncWriteExt as _, StreamExt as _};
use ocap_remotes::{
    network::node::{Node, NodeConfig, NodeStream},
    runtime::NativeRuntime,
    wire::{FrameDecoder, Handshake, encode_frame},
};

use crate::honest::Target;

/// A peer that speaks libp2p and otherwise does what it likes.
pub(crate) struct Attacker {
    pub(crate) node: Node,
}

impl Attacker {
    pub(crate) fn new(number: u16) -> Self {
        let mut seed = [0xee; 32];
        seed[..2].copy_from_slice(&number.to_le_bytes());
        let (node, events) = Node::start(NodeConfig::new(seed), Rc::new(NativeRuntime::new())).unwrap();
        tokio::task::spawn_local(events.for_each(|_| futures::future::ready(())));
        Attacker { node }
    }

    pub(crate) async fn open(&self, target: &Target) -> Option<NodeStream> {
        let opening = self.node.open(&target.peer, std::slice::from_ref(&target.address));
        tokio::time::timeout(Duration::from_secs(20), opening).await.ok()?.ok()
    }

    /// A stream on which the handshake was completed.
    pub(crate) async fn channel(&self, target: &Target, incarnation: &str) -> Option<NodeStream> {
        let mut stream = self.open(target).await?;
        let hello = Handshake::Hello(incarnation.parse().unwrap()).encode();
        stream.write_all(&encode_frame(&hello)).await.ok()?;
        stream.flush().await.ok()?;
        let (mut decoder, mut buffer) = (FrameDecoder::new(1 << 20), [0; 1_024]);
        loop {
            match decoder.next_message() {
                Ok(Some(_)) => return Some(stream),
                Ok(None) => {}
                Err(_) => return None,
            }
            match stream.read(&mut buffer).await {
                Ok(0) | Err(_) => return None,
                Ok(length) => decoder.push(&buffer[..length]),
            }
        }
    }
}

pub(crate) fn redeem_nonsense(seq: u64) -> Vec<u8> {
    encode_frame(&format!(r#"{{"seq":{seq},"method":"redeemURL","params":["ocap:nonsense","key-{seq}"]}}"#))
}
