//! The swarm's make-up: transports by platform, and the behaviours.

use std::{sync::Arc, time::Duration};

use libp2p::{
    Multiaddr, PeerId, StreamProtocol, Swarm, Transport,
    core::{muxing::StreamMuxerBox, transport::Boxed, upgrade},
    identify, identity, noise, ping, relay,
    swarm::{self, NetworkBehaviour},
};

#[cfg(not(target_arch = "wasm32"))]
use super::new_ports::NewPorts;
use super::{
    NodeConfig, NodeError, address,
    circuits::Meters,
    heartbeat::LONGEST_SILENCE,
    joints::{Joined, Joints},
    known::Known,
    limits::Limits,
    muxers,
    protocol::Offer,
    stream::Cuts,
    streams,
};
#[cfg(target_arch = "wasm32")]
use crate::runtime::objects::{has_functions, member};

/// How long the set-up of one connection may take: dial, encryption, multiplexing.
const SET_UP_LIMIT: Duration = Duration::from_secs(20);

/// Streams that a peer may have under negotiation on one connection.
const NEGOTIATING: usize = 16;

/// How long a connection without streams and reservation is kept.
const IDLE_LIMIT: Duration = Duration::from_secs(60);

/// The protocol family announced by identify.
const IDENTIFY_PROTOCOL: StreamProtocol = StreamProtocol::new("/ocap-kernel/id/1.0.0");

/// What the node does on each connection.
#[derive(NetworkBehaviour)]
pub(super) struct Behaviour {
    limits: Limits,
    relay: relay::client::Behaviour,
    identify: identify::Behaviour,
    ping: ping::Behaviour,
    pub(super) streams: streams::Behaviour,
}

/// Builds the swarm of a node.
pub(super) fn build(config: &NodeConfig, meters: &Meters, known: &Known) -> Result<Swarm<Behaviour>, NodeError> {
    let key =
        identity::Keypair::ed25519_from_bytes(config.key_seed).map_err(|error| NodeError::Key(error.to_string()))?;
    let peer = key.public().to_peer_id();
    let (relay_transport, relay) = relay::client::new(peer);
    let relays = config.relays.iter().filter_map(|text| address::last_peer(&text.parse().ok()?)).collect();
    let transport = transport(&key, relay_transport, meters, relays)?;
    #[cfg(all(feature = "webrtc-listen", not(target_arch = "wasm32")))]
    let transport = match &config.certificate {
        Some(pem) => with_webrtc(pem, &key, transport)?,
        None => transport,
    };

    let joints = Joints::default();
    let transport = Joined { transport, joints: joints.clone() }.boxed();

    let identify = identify::Config::new(IDENTIFY_PROTOCOL.to_string(), key.public())
        .with_agent_version(concat!("ocap-remotes/", env!("CARGO_PKG_VERSION")).to_owned())
        // Addresses come from the kernel's hints only.
        .with_cache_size(0);
    let ping = ping::Config::new().with_interval(config.heartbeat_interval).with_timeout(LONGEST_SILENCE);
    let cuts = Cuts::default();
    let behaviour = Behaviour {
        limits: Limits::new(known.clone(), cuts.clone()),
        relay,
        identify: identify::Behaviour::new(identify),
        ping: ping::Behaviour::new(ping),
        streams: streams::Behaviour::new(Offer::default(), cuts, joints),
    };
    let swarm_config =
        swarm_config().with_idle_connection_timeout(IDLE_LIMIT).with_max_negotiating_inbound_streams(NEGOTIATING);
    Ok(Swarm::new(transport, behaviour, peer, swarm_config))
}

type Secured = Boxed<(PeerId, StreamMuxerBox)>;

/// Noise and Yamux over byte streams, which are counted. The relay's part comes first: the others would take a circuit's first
/// hop for all.
macro_rules! secured {
    ($key:expr, $relay:expr, $meters:expr, $relays:expr, $base:expr) => {{
        let (circuits, others): (Meters, Meters) = ($meters.clone(), $meters.clone());
        let relays: Arc<[PeerId]> = $relays;
        $relay
            .map(move |circuit, endpoint| circuits.meter_circuit(circuit, &endpoint))
            .or_transport($base.map(move |stream, endpoint| others.meter_direct(stream, &endpoint)))
            .upgrade(upgrade::Version::V1Lazy)
            .authenticate(noise::Config::new($key).map_err(|error| NodeError::Key(error.to_string()))?)
            .multiplex_ext(move |peer, endpoint| muxers::yamux(peer, endpoint, &relays))
            .timeout(SET_UP_LIMIT)
            .boxed()
    }};
}

#[cfg(not(target_arch = "wasm32"))]
fn transport(
    key: &identity::Keypair,
    relay: relay::client::Transport,
    meters: &Meters,
    relays: Arc<[PeerId]>,
) -> Result<Secured, NodeError> {
    let tcp = libp2p::tcp::tokio::Transport::new(libp2p::tcp::Config::default());
    Ok(secured!(key, relay, meters, relays, libp2p_websocket::Config::new(NewPorts(tcp))))
}

#[cfg(all(feature = "webrtc-listen", not(target_arch = "wasm32")))]
fn with_webrtc(pem: &str, key: &identity::Keypair, streams: Secured) -> Result<Secured, NodeError> {
    let certificate =
        libp2p_webrtc::tokio::Certificate::from_pem(pem).map_err(|error| NodeError::Key(error.to_string()))?;
    let webrtc = libp2p_webrtc::tokio::Transport::new(key.clone(), certificate);
    let webrtc = webrtc.map(|(peer, connection), _| (peer, StreamMuxerBox::new(connection)));
    Ok(streams.or_transport(webrtc).map(|either, _| either.into_inner()).boxed())
}

#[cfg(target_arch = "wasm32")]
fn transport(
    key: &identity::Keypair,
    relay: relay::client::Transport,
    meters: &Meters,
    relays: Arc<[PeerId]>,
) -> Result<Secured, NodeError> {
    use libp2p::core::transport::{OrTransport, timeout::TransportTimeout};

    let streams = secured!(key, relay, meters, relays, libp2p::websocket_websys::Transport::default());
    if !has_webrtc() {
        return Ok(streams);
    }
    let webrtc = libp2p::webrtc_websys::Transport::new(libp2p::webrtc_websys::Config::new(key)).boxed();
    // WebRTC comes second: it would take a circuit's first hop for the whole address.
    let both = OrTransport::new(streams, TransportTimeout::new(webrtc, SET_UP_LIMIT));
    Ok(both.map(|either, _| either.into_inner()).boxed())
}

#[cfg(not(target_arch = "wasm32"))]
fn swarm_config() -> swarm::Config {
    swarm::Config::with_tokio_executor()
}

#[cfg(target_arch = "wasm32")]
fn swarm_config() -> swarm::Config {
    swarm::Config::with_wasm_executor()
}

/// Whether this context can make WebRTC connections: a Worker cannot, nor a window in which an extension blocks them.
#[cfg(target_arch = "wasm32")]
fn has_webrtc() -> bool {
    let constructor = member(&js_sys::global(), "RTCPeerConnection");
    constructor.is_function() && has_functions(&constructor, &["generateCertificate"])
}

/// Whether the first hop of the address is of a kind that this context can dial, or why not.
pub(super) fn can_dial(address: &Multiaddr) -> Result<(), &'static str> {
    if address::is_webrtc(address) {
        #[cfg(target_arch = "wasm32")]
        return if has_webrtc() {
            Ok(())
        } else {
            Err("WebRTC does not exist in this context: a Worker, or something blocks it")
        };
        #[cfg(not(target_arch = "wasm32"))]
        return Err("WebRTC is dialled in browsers only");
    }
    if !address::is_ws(address) {
        return Err("neither WebSocket nor WebRTC");
    }
    if cfg!(not(target_arch = "wasm32")) && address::is_dns(address) {
        return Err("host names are resolved in browsers only");
    }
    Ok(())
}

/// Whether the browser says that it has no network at all.
pub(super) fn is_offline() -> bool {
    #[cfg(target_arch = "wasm32")]
    {
        let get = |object: &wasm_bindgen::JsValue, key: &str| js_sys::Reflect::get(object, &key.into()).ok();
        get(&js_sys::global(), "navigator").and_then(|navigator| get(&navigator, "onLine"))
            == Some(wasm_bindgen::JsValue::FALSE)
    }
    #[cfg(not(target_arch = "wasm32"))]
    false
}
