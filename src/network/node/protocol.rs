//! Which protocol a stream speaks: ours, or the bare name under which the incumbent offers the same one (protocol §2).

use std::{convert::Infallible, future, iter::Copied, slice};

use libp2p::{
    Stream,
    core::{InboundUpgrade, OutboundUpgrade, UpgradeInfo},
};

/// The libp2p protocol that kernels talk on.
pub const PROTOCOL: &str = "/ocap-kernel/remote/1.0.0";

/// The name that incumbents know. What is spoken is the same. Identify does not announce it (libp2p keeps lists of names with a
/// slash only), and js-libp2p, which dials by it, does not look there.
pub const LEGACY_PROTOCOL: &str = "whatever";

/// Settles on a protocol and gives the stream as it is, with what it speaks.
///
/// A dialler proposes the names one after the other until the peer takes one; a listener takes any of them. That happens
/// anew for each stream, so a peer may be replaced by one of the other kind at any time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Offer(&'static [&'static str]);

impl Default for Offer {
    fn default() -> Self {
        Offer(&[PROTOCOL, LEGACY_PROTOCOL])
    }
}

/// A stream, and whether it is an incumbent's: ours propose, and take, the other name first.
#[derive(Debug)]
pub(super) struct Spoken {
    pub(super) stream: Stream,
    pub(super) with_incumbent: bool,
}

impl Spoken {
    fn new(stream: Stream, name: &str) -> Self {
        Spoken { stream, with_incumbent: name == LEGACY_PROTOCOL }
    }
}

impl UpgradeInfo for Offer {
    /// Not libp2p's `StreamProtocol`, which refuses names without a leading slash.
    type Info = &'static str;
    type InfoIter = Copied<slice::Iter<'static, &'static str>>;

    fn protocol_info(&self) -> Self::InfoIter {
        self.0.iter().copied()
    }
}

impl InboundUpgrade<Stream> for Offer {
    type Output = Spoken;
    type Error = Infallible;
    type Future = future::Ready<Result<Spoken, Infallible>>;

    fn upgrade_inbound(self, stream: Stream, name: Self::Info) -> Self::Future {
        future::ready(Ok(Spoken::new(stream, name)))
    }
}

impl OutboundUpgrade<Stream> for Offer {
    type Output = Spoken;
    type Error = Infallible;
    type Future = future::Ready<Result<Spoken, Infallible>>;

    fn upgrade_outbound(self, stream: Stream, name: Self::Info) -> Self::Future {
        future::ready(Ok(Spoken::new(stream, name)))
    }
}

/// They fail when libp2p's negotiation is not the patched one (`patches/README.md`).
#[cfg(test)]
#[cfg(not(target_arch = "wasm32"))]
mod tests {
    use std::time::Duration;

    use futures::{
        AsyncReadExt as _, AsyncWriteExt as _, StreamExt as _,
        channel::{mpsc, oneshot},
    };
    use libp2p::{
        Multiaddr, Swarm, Transport as _,
        core::{transport::MemoryTransport, upgrade::Version},
        identity::Keypair,
        noise,
        swarm::{self, SwarmEvent},
        yamux,
    };

    use crate::wire::PeerId;

    use super::{
        super::{
            ErrorCode, NodeStream,
            joints::Joints,
            stream::Cuts,
            streams::{Behaviour, Happened},
        },
        *,
    };

    fn node(offer: Offer) -> Swarm<Behaviour> {
        let key = Keypair::generate_ed25519();
        let transport = MemoryTransport::default()
            .upgrade(Version::V1Lazy)
            .authenticate(noise::Config::new(&key).unwrap())
            .multiplex(yamux::Config::default())
            .boxed();
        Swarm::new(
            transport,
            Behaviour::new(offer, Cuts::default(), Joints::default()),
            key.public().to_peer_id(),
            swarm::Config::with_tokio_executor().with_idle_connection_timeout(Duration::from_secs(60)),
        )
    }

    async fn listening(node: &mut Swarm<Behaviour>) -> Multiaddr {
        node.listen_on("/memory/0".parse().unwrap()).unwrap();
        loop {
            if let SwarmEvent::NewListenAddr { address, .. } = node.select_next_some().await {
                return address;
            }
        }
    }

    /// Opens a stream from one node to the other, and says what came along it.
    async fn hello(from: Offer, to: Offer) -> Result<Vec<u8>, ErrorCode> {
        let (mut alice, mut bob) = (node(from), node(to));
        let peer = PeerId::from(*bob.local_peer_id());
        alice.dial(listening(&mut bob).await).unwrap();
        let (reply, opened) = oneshot::channel();
        let mut reply = Some(reply);
        let alices = async {
            loop {
                if let SwarmEvent::ConnectionEstablished { peer_id, .. } = alice.select_next_some().await {
                    reply.take().into_iter().for_each(|reply| alice.behaviour_mut().open(peer_id, reply));
                }
            }
        };
        let (mut inbound, heard) = mpsc::channel(1);
        let bobs = async {
            loop {
                if let SwarmEvent::Behaviour(Happened::Inbound { peer, stream }) = bob.select_next_some().await {
                    inbound.try_send(NodeStream::new(peer.into(), stream)).unwrap();
                }
            }
        };
        let words = async {
            let mut stream = NodeStream::new(peer, opened.await.unwrap().map_err(|error| error.code)?);
            stream.write_all(b"hello").await.unwrap();
            stream.close().await.unwrap();
            let mut word = Vec::new();
            heard.into_future().await.0.unwrap().read_to_end(&mut word).await.unwrap();
            Ok(word)
        };
        tokio::select! {
            () = alices => unreachable!(),
            () = bobs => unreachable!(),
            word = words => word,
        }
    }

    const INCUMBENT: Offer = Offer(&[LEGACY_PROTOCOL]);

    #[tokio::test]
    async fn a_peer_that_knows_only_the_bare_name_is_understood_both_ways() {
        assert_eq!(hello(INCUMBENT, Offer::default()).await, Ok(b"hello".to_vec()));
        assert_eq!(hello(Offer::default(), INCUMBENT).await, Ok(b"hello".to_vec()));
    }

    #[tokio::test]
    async fn ours_is_proposed_first() {
        let names: Vec<_> = Offer::default().protocol_info().collect();
        assert_eq!(names, ["/ocap-kernel/remote/1.0.0", "whatever"]);
        assert_eq!(hello(Offer::default(), Offer(&[PROTOCOL])).await, Ok(b"hello".to_vec()));
    }

    #[tokio::test]
    async fn a_peer_that_knows_neither_name_is_told_apart() {
        for other in [&["/ocap-kernel/remote/2.0.0"], &["what"], &["whatever/2"]] {
            let refused = Err(ErrorCode::ProtocolUnsupported);
            assert_eq!(hello(Offer::default(), Offer(other)).await, refused, "{other:?}");
            assert_eq!(hello(Offer(other), Offer::default()).await, refused, "{other:?}");
        }
    }
}
