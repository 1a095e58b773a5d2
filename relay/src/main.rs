//! `ocap-relay`: a circuit relay v2 server for development, demo and tests.
//!
//! It is rust-libp2p's own relay behaviour over WebSocket and webrtc-direct; any other circuit relay v2 server does in its
//! place. Identity and certificate are kept in a folder, so that its addresses are the same after a restart.

mod options;
mod state;

use std::{collections::HashSet, io::Write as _, time::Duration};

use anyhow::{Context as _, Result};
use clap::Parser as _;
use futures::{FutureExt as _, StreamExt as _};
use libp2p::{
    Multiaddr, PeerId, Swarm, Transport as _,
    connection_limits::{self, ConnectionLimits},
    core::{muxing::StreamMuxerBox, transport::Boxed, upgrade},
    identify, identity,
    multiaddr::Protocol,
    noise, ping, relay,
    swarm::{self, NetworkBehaviour, SwarmEvent},
    tcp, yamux,
};
use ocap_remotes::{
    network::node::{Lines, Meters},
    runtime::{NativeRuntime, Runtime as _},
};
use options::Options;
use tokio::io::AsyncReadExt as _;

/// How long a ping may take on a line that carries nothing else. A relay learns from nothing but pings that a page which used
/// WebRTC is gone.
const PING_LIMIT: Duration = Duration::from_secs(4);

/// Connections that may be being set up at a time: each has 20 s.
const SET_UP: u32 = 1_000;

/// Who listens at several interfaces tells of each by itself, one right after the other.
const ALL_TOLD: Duration = Duration::from_millis(100);

#[derive(NetworkBehaviour)]
struct Behaviour {
    limits: connection_limits::Behaviour,
    relay: relay::Behaviour,
    ping: ping::Behaviour,
    identify: identify::Behaviour,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let options = Options::parse();
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into()))
        .init();

    let (key, certificate) = state::load_or_create(options.state.as_deref())?;
    let peer = key.public().to_peer_id();
    let (runtime, meters) = (NativeRuntime::new(), Meters::default());
    let mut lines = Lines::new(PING_LIMIT);
    let mut looks = tokio::time::interval(PING_LIMIT / 4);
    let mut swarm = Swarm::new(
        transport(&key, certificate, &meters)?,
        behaviour(&key, &options),
        peer,
        swarm::Config::with_tokio_executor().with_idle_connection_timeout(Duration::from_secs(60)),
    );

    let mut silent = HashSet::new();
    for address in options.listen_addresses() {
        silent.insert(swarm.listen_on(address.clone()).with_context(|| format!("cannot listen on {address}"))?);
    }
    let mut addresses = Vec::new();
    // When all listen, they have told of their first address.
    let mut ready = std::pin::pin!(futures::future::Fuse::terminated());
    let mut stop = std::pin::pin!(stopped(options.exit_with_stdin));
    loop {
        let event = tokio::select! {
            reason = &mut stop => {
                tracing::info!(reason, "stopping");
                return Ok(());
            }
            _ = looks.tick() => {
                lines.look(runtime.now(), |_| false);
                continue;
            }
            () = &mut ready => {
                announce(peer, &addresses)?;
                continue;
            }
            event = swarm.select_next_some() => event,
        };
        match event {
            SwarmEvent::NewListenAddr { listener_id, address } => {
                let address = options.externally(address);
                // A reservation lists the relay's external addresses; without any, clients refuse it.
                swarm.add_external_address(address.clone());
                addresses.push(address.with(Protocol::P2p(peer)));
                if silent.remove(&listener_id) && silent.is_empty() {
                    ready.set(tokio::time::sleep(ALL_TOLD).fuse());
                }
            }
            SwarmEvent::ExpiredListenAddr { address, .. } => {
                let address = options.externally(address);
                swarm.remove_external_address(&address);
                addresses.retain(|known| *known != address.clone().with(Protocol::P2p(peer)));
            }
            SwarmEvent::ListenerClosed { addresses, reason, .. } => {
                reason.with_context(|| format!("the listener of {addresses:?} ended"))?;
            }
            SwarmEvent::Behaviour(BehaviourEvent::Ping(ping::Event { connection, result: Ok(_), .. })) => {
                lines.answered(connection, runtime.now());
            }
            SwarmEvent::Behaviour(BehaviourEvent::Ping(ping::Event { connection, result: Err(error), .. })) => {
                // On a slow line a ping waits behind what circuits carry.
                if !matches!(error, ping::Failure::Unsupported) && !lines.shows_life(connection, runtime.now()) {
                    tracing::info!(%connection, %error, "closing a silent connection");
                    swarm.close_connection(connection);
                }
            }
            SwarmEvent::Behaviour(BehaviourEvent::Relay(event)) => tracing::info!(?event, "relay"),
            SwarmEvent::ConnectionEstablished { peer_id, connection_id, endpoint, .. } => {
                lines.watch(connection_id, meters.take(&peer_id, &endpoint), runtime.now());
                tracing::info!(peer = %peer_id, "connected");
                tracing::debug!(peer = %peer_id, address = %endpoint.get_remote_address(), "where from");
            }
            SwarmEvent::ConnectionClosed { peer_id, connection_id, cause, .. } => {
                lines.forget(connection_id);
                tracing::info!(peer = %peer_id, "disconnected");
                tracing::debug!(peer = %peer_id, ?cause, "why");
            }
            event => tracing::debug!(?event),
        }
    }
}

fn transport(
    key: &identity::Keypair,
    certificate: libp2p_webrtc::tokio::Certificate,
    meters: &Meters,
) -> Result<Boxed<(PeerId, StreamMuxerBox)>> {
    let meters = meters.clone();
    let ws = libp2p_websocket::Config::new(tcp::tokio::Transport::new(tcp::Config::default().nodelay(true)))
        .map(move |stream, endpoint| meters.meter_direct(stream, &endpoint))
        .upgrade(upgrade::Version::V1Lazy)
        .authenticate(noise::Config::new(key)?)
        .multiplex(yamux::Config::default())
        .timeout(Duration::from_secs(20))
        .boxed();
    let webrtc = libp2p_webrtc::tokio::Transport::new(key.clone(), certificate)
        .map(|(peer, connection), _| (peer, StreamMuxerBox::new(connection)));
    Ok(ws.or_transport(webrtc).map(|either, _| either.into_inner()).boxed())
}

fn behaviour(key: &identity::Keypair, options: &Options) -> Behaviour {
    let peer = key.public().to_peer_id();
    let ping = ping::Config::new().with_interval(Duration::from_secs(3)).with_timeout(PING_LIMIT);
    let identify = identify::Config::new("/ocap-kernel/id/1.0.0".to_owned(), key.public())
        .with_agent_version(concat!("ocap-relay/", env!("CARGO_PKG_VERSION")).to_owned());
    let limits = ConnectionLimits::default()
        .with_max_pending_incoming(Some(SET_UP))
        .with_max_established_incoming(Some(options.max_connections));
    Behaviour {
        limits: connection_limits::Behaviour::new(limits),
        relay: relay::Behaviour::new(peer, options.relay_config()),
        ping: ping::Behaviour::new(ping),
        identify: identify::Behaviour::new(identify),
    }
}

/// One line of JSON on stdout: the relay is ready.
fn announce(peer: PeerId, addresses: &[Multiaddr]) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{}", serde_json::json!({ "peerId": peer.to_string(), "addresses": addresses }))?;
    stdout.flush().context("cannot write to stdout")
}

/// Completes when the relay is to stop.
async fn stopped(with_stdin: bool) -> &'static str {
    let stdin_closed = async {
        if !with_stdin {
            std::future::pending::<()>().await;
        }
        let mut stdin = tokio::io::stdin();
        let mut ignored = [0; 256];
        while stdin.read(&mut ignored).await.is_ok_and(|read| read > 0) {}
    };
    tokio::select! {
        () = stdin_closed => "stdin was closed",
        _ = tokio::signal::ctrl_c() => "interrupted",
        () = terminated() => "terminated",
    }
}

#[cfg(unix)]
async fn terminated() {
    match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        Ok(mut signal) => {
            signal.recv().await;
        }
        Err(error) => {
            tracing::warn!(%error, "SIGTERM is not handled");
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(not(unix))]
async fn terminated() {
    std::future::pending::<()>().await;
}
