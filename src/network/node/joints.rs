//! Which muxer is whose: libp2p tells transports nothing of connection ids, and behaviours nothing of muxers.
//!
//! It asks the behaviours about a dial right before it asks the transport for it, and about a connection that comes right after
//! the transport has told of it. So what is put down here by the one is picked up by the other.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use futures::{FutureExt as _, TryFutureExt as _, future::BoxFuture};
use libp2p::{
    Multiaddr, PeerId, Transport,
    core::{
        muxing::StreamMuxerBox,
        transport::{Boxed, DialOpts, ListenerId, TransportError, TransportEvent},
    },
};

use super::{muxers::Prompt, stream::Cut};

/// What lies between transport and behaviour.
#[derive(Clone, Debug, Default)]
pub(super) struct Joints(Arc<Mutex<Beginning>>);

#[derive(Debug, Default)]
struct Beginning {
    dialled: Option<Arc<Cut>>,
    accepted: Option<Arc<Cut>>,
}

impl Joints {
    /// The next dials of the transport are for this connection.
    pub(super) fn dial(&self, cut: Arc<Cut>) {
        self.beginning().dialled = Some(cut);
    }

    /// The connection that the transport has told of last, unless it was taken before.
    pub(super) fn accepted(&self) -> Option<Arc<Cut>> {
        self.beginning().accepted.take()
    }

    /// It stays usable whatever happened while it was locked.
    fn beginning(&self) -> MutexGuard<'_, Beginning> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

type Output = (PeerId, StreamMuxerBox);

/// A transport whose connections know what is theirs, and are [closed in time](Prompt).
pub(super) struct Joined {
    pub(super) transport: Boxed<Output>,
    pub(super) joints: Joints,
}

impl Transport for Joined {
    type Output = Output;
    type Error = io::Error;
    type ListenerUpgrade = BoxFuture<'static, io::Result<Output>>;
    type Dial = BoxFuture<'static, io::Result<Output>>;

    fn listen_on(&mut self, id: ListenerId, address: Multiaddr) -> Result<(), TransportError<io::Error>> {
        self.transport.listen_on(id, address)
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        self.transport.remove_listener(id)
    }

    fn dial(&mut self, address: Multiaddr, options: DialOpts) -> Result<Self::Dial, TransportError<io::Error>> {
        // A connection may be dialled at several addresses.
        let cut = self.joints.beginning().dialled.clone().unwrap_or_default();
        Ok(joined(self.transport.dial(address, options)?, cut))
    }

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<TransportEvent<Self::ListenerUpgrade, io::Error>> {
        Pin::new(&mut self.transport).poll(cx).map(|event| {
            event.map_upgrade(|upgrade| {
                let cut = Arc::<Cut>::default();
                self.joints.beginning().accepted = Some(Arc::clone(&cut));
                joined(upgrade, cut)
            })
        })
    }
}

fn joined(
    upgrade: impl Future<Output = io::Result<Output>> + Send + 'static,
    cut: Arc<Cut>,
) -> BoxFuture<'static, io::Result<Output>> {
    upgrade.map_ok(move |(peer, muxer)| (peer, Prompt::over(muxer, cut))).boxed()
}

#[cfg(test)]
#[cfg(not(target_arch = "wasm32"))]
mod tests {
    use std::time::{Duration, Instant};

    use futures::StreamExt as _;
    use libp2p::{
        Swarm,
        core::{
            muxing::{StreamMuxer, StreamMuxerEvent},
            transport::MemoryTransport,
            upgrade::Version,
        },
        identity::Keypair,
        noise,
        swarm::{self, ConnectionId, SwarmEvent},
        yamux,
    };

    use super::{
        super::{protocol::Offer, stream::Cuts, streams::Behaviour},
        *,
    };

    /// A connection that is never closed in order, for its peer has vanished.
    struct Endless<M>(M);

    impl<M: StreamMuxer + Unpin> StreamMuxer for Endless<M> {
        type Substream = M::Substream;
        type Error = M::Error;

        fn poll_inbound(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<M::Substream, M::Error>> {
            Pin::new(&mut self.0).poll_inbound(cx)
        }

        fn poll_outbound(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<M::Substream, M::Error>> {
            Pin::new(&mut self.0).poll_outbound(cx)
        }

        fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), M::Error>> {
            Poll::Pending
        }

        fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<StreamMuxerEvent, M::Error>> {
            Pin::new(&mut self.0).poll(cx)
        }
    }

    fn node() -> Swarm<Behaviour> {
        let key = Keypair::generate_ed25519();
        let transport = MemoryTransport::default()
            .upgrade(Version::V1Lazy)
            .authenticate(noise::Config::new(&key).unwrap())
            .multiplex(yamux::Config::default())
            .map(|(peer, muxer), _| (peer, StreamMuxerBox::new(Endless(muxer))))
            .boxed();
        let joints = Joints::default();
        Swarm::new(
            Joined { transport, joints: joints.clone() }.boxed(),
            Behaviour::new(Offer::default(), Cuts::default(), joints),
            key.public().to_peer_id(),
            swarm::Config::without_executor().with_idle_connection_timeout(Duration::from_secs(60)),
        )
    }

    /// Two connections between nodes, as alice and bob know them.
    async fn connected(alice: &mut Swarm<Behaviour>, bob: &mut Swarm<Behaviour>) -> [(ConnectionId, ConnectionId); 2] {
        bob.listen_on("/memory/0".parse().unwrap()).unwrap();
        let address = loop {
            if let SwarmEvent::NewListenAddr { address, .. } = bob.select_next_some().await {
                break address;
            }
        };
        let mut both = Vec::new();
        while both.len() < 2 {
            alice.dial(address.clone()).unwrap();
            let (mut dialled, mut accepted) = (None, None);
            while dialled.is_none() || accepted.is_none() {
                let (event, at) = futures::select! {
                    event = alice.select_next_some() => (event, &mut dialled),
                    event = bob.select_next_some() => (event, &mut accepted),
                };
                if let SwarmEvent::ConnectionEstablished { connection_id, .. } = event {
                    *at = Some(connection_id);
                }
            }
            both.extend(dialled.zip(accepted));
        }
        both.try_into().unwrap()
    }

    async fn closes(node: &mut Swarm<Behaviour>, connection: ConnectionId) -> Duration {
        let begun = Instant::now();
        assert!(node.close_connection(connection));
        loop {
            if let SwarmEvent::ConnectionClosed { connection_id, .. } = node.select_next_some().await {
                assert_eq!(connection_id, connection);
                return begun.elapsed();
            }
        }
    }

    #[tokio::test]
    async fn a_connection_that_was_cut_is_closed_at_once_at_either_end_and_another_in_order() {
        let (mut alice, mut bob) = (node(), node());
        let [(first, _), (second, _)] = connected(&mut alice, &mut bob).await;
        alice.behaviour_mut().cut(second);
        let took = closes(&mut alice, second).await;
        assert!(took < Duration::from_secs(2), "{took:?}");
        let took = closes(&mut alice, first).await;
        assert!(took > Duration::from_secs(4), "the other was not closed in order: {took:?}");

        let (mut alice, mut bob) = (node(), node());
        let [_, (_, second)] = connected(&mut alice, &mut bob).await;
        bob.behaviour_mut().cut(second);
        let took = closes(&mut bob, second).await;
        assert!(took < Duration::from_secs(2), "{took:?}");
    }
}
