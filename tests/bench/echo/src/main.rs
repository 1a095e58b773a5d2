//! A libp2p peer that shakes hands as a kernel does (protocol §3) and writes back every frame. It listens over WebSocket and
//! webrtc-direct, and at the relay that is its argument; prints one line of JSON, `{"peerId", "ws", "webrtc", "relayed"}`, when
//! it is ready, and ends when its stdin is closed.

use std::{io::Write as _, time::Duration};

use anyhow::{Context as _, Result};
use futures::{AsyncReadExt as _, AsyncWriteExt as _, StreamExt as _};
use libp2p::{
    Multiaddr, PeerId, StreamProtocol, Swarm, Transport as _,
    core::{muxing::StreamMuxerBox, transport::Boxed, upgrade},
    identify, identity,
    multiaddr::Protocol,
    noise, ping, relay,
    swarm::{self, NetworkBehaviour, SwarmEvent},
    tcp, yamux,
};
use ocap_remotes::wire::{FrameDecoder, Handshake, encode_frame};
use tokio::io::AsyncReadExt as _;

const PROTOCOL: StreamProtocol = StreamProtocol::new("/ocap-kernel/remote/1.0.0");
const MAX_FRAME: usize = 2 << 20;

#[derive(NetworkBehaviour)]
struct Behaviour {
    relay: relay::client::Behaviour,
    ping: ping::Behaviour,
    identify: identify::Behaviour,
    stream: libp2p_stream::Behaviour,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let relay: Multiaddr = std::env::args().nth(1).context("usage: echo-peer <address of a relay>")?.parse()?;
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).context("the system has no random source")?;
    let key = identity::Keypair::ed25519_from_bytes(seed)?;
    let peer = key.public().to_peer_id();
    let (relay_transport, relay_client) = relay::client::new(peer);
    let behaviour = Behaviour {
        relay: relay_client,
        ping: ping::Behaviour::default(),
        identify: identify::Behaviour::new(identify::Config::new("/echo/1.0.0".to_owned(), key.public())),
        stream: libp2p_stream::Behaviour::new(),
    };
    let mut incoming = behaviour.stream.new_control().accept(PROTOCOL)?;
    tokio::spawn(async move {
        while let Some((_, stream)) = incoming.next().await {
            tokio::spawn(echo(stream));
        }
    });

    let config = swarm::Config::with_tokio_executor().with_idle_connection_timeout(Duration::from_secs(3_600));
    let mut swarm = Swarm::new(transport(&key, relay_transport)?, behaviour, peer, config);
    let loopback: Multiaddr = "/ip4/127.0.0.1".parse()?;
    swarm.listen_on(loopback.clone().with(Protocol::Tcp(0)).with(Protocol::Ws("/".into())))?;
    swarm.listen_on(loopback.with(Protocol::Udp(0)).with(Protocol::WebRTCDirect))?;
    swarm.listen_on(relay.with(Protocol::P2pCircuit))?;

    let (mut ws, mut webrtc, mut relayed) = (None, None, None);
    let mut stdin_closed = std::pin::pin!(stdin_closed());
    loop {
        let event = tokio::select! {
            () = &mut stdin_closed => return Ok(()),
            event = swarm.select_next_some() => event,
        };
        match event {
            SwarmEvent::NewListenAddr { address, .. } => {
                let place = if address.iter().any(|part| matches!(part, Protocol::P2pCircuit)) {
                    &mut relayed
                } else if address.iter().any(|part| matches!(part, Protocol::WebRTCDirect)) {
                    &mut webrtc
                } else {
                    &mut ws
                };
                let named = matches!(address.iter().last(), Some(Protocol::P2p(_)));
                *place = Some(if named { address } else { address.with(Protocol::P2p(peer)) });
                if let (Some(ws), Some(webrtc), Some(relayed)) = (&ws, &webrtc, &relayed) {
                    announce(peer, ws, webrtc, relayed)?;
                }
            }
            SwarmEvent::ListenerClosed { reason, .. } => reason.context("a listener ended")?,
            _ => {}
        }
    }
}

async fn stdin_closed() {
    let mut stdin = tokio::io::stdin();
    while stdin.read(&mut [0; 64]).await.is_ok_and(|read| read > 0) {}
}

fn announce(peer: PeerId, ws: &Multiaddr, webrtc: &Multiaddr, relayed: &Multiaddr) -> Result<()> {
    let line = serde_json::json!({ "peerId": peer.to_string(), "ws": ws, "webrtc": webrtc, "relayed": relayed });
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{line}")?;
    stdout.flush().context("cannot write to stdout")
}

fn transport(key: &identity::Keypair, relay: relay::client::Transport) -> Result<Boxed<(PeerId, StreamMuxerBox)>> {
    let tcp = tcp::tokio::Transport::new(tcp::Config::default().nodelay(true));
    let streams = relay
        .or_transport(libp2p_websocket::Config::new(tcp))
        .upgrade(upgrade::Version::V1Lazy)
        .authenticate(noise::Config::new(key)?)
        .multiplex(yamux::Config::default())
        .timeout(Duration::from_secs(20))
        .boxed();
    let certificate = libp2p_webrtc::tokio::Certificate::generate(&mut rand::rng())?;
    let webrtc = libp2p_webrtc::tokio::Transport::new(key.clone(), certificate)
        .map(|(peer, connection), _| (peer, StreamMuxerBox::new(connection)));
    Ok(streams.or_transport(webrtc).map(|either, _| either.into_inner()).boxed())
}

/// Acknowledges the handshake, then writes back every frame, until the stream ends.
async fn echo(mut stream: libp2p::Stream) -> Option<()> {
    let mut decoder = FrameDecoder::new(MAX_FRAME);
    let mut buffer = vec![0; 64 << 10];
    let mut shaken = false;
    loop {
        while let Some(text) = decoder.next_message().ok()? {
            let answer = if std::mem::replace(&mut shaken, true) {
                text
            } else {
                Handshake::parse_hello(&text).ok()?;
                Handshake::Ack("echo".parse().ok()?).encode()
            };
            stream.write_all(&encode_frame(&answer)).await.ok()?;
        }
        stream.flush().await.ok()?;
        match stream.read(&mut buffer).await.ok()? {
            0 => return None,
            length => decoder.push(buffer.get(..length)?),
        }
    }
}
