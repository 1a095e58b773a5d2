//! The command line.

use std::{net::IpAddr, path::PathBuf, time::Duration};

use clap::Parser;
use libp2p::{Multiaddr, multiaddr::Protocol, relay};

/// A circuit relay v2 server over WebSocket and webrtc-direct, for development, demo and tests.
///
/// When it is ready it prints one line on stdout: {"peerId":…,"addresses":[…]}. It logs on stderr (RUST_LOG).
#[derive(Debug, Parser)]
#[command(version)]
pub(crate) struct Options {
    /// TCP port for WebSocket; 0 takes a free one.
    #[arg(long, default_value_t = 0)]
    ws_port: u16,
    /// UDP port for webrtc-direct; 0 takes a free one.
    #[arg(long, default_value_t = 0)]
    webrtc_port: u16,
    /// No webrtc-direct: WebSocket alone.
    #[arg(long)]
    pub(crate) no_webrtc: bool,
    /// IP address to listen on.
    #[arg(long, default_value = "127.0.0.1")]
    listen_ip: IpAddr,
    /// IP address at which clients reach this machine, if it is another.
    #[arg(long)]
    external_ip: Option<IpAddr>,
    /// Folder that keeps the identity and the certificate, so that the addresses stay the same; none: new ones each time.
    #[arg(long)]
    pub(crate) state: Option<PathBuf>,
    /// Exit when stdin is closed, that is, with the program that started this one.
    #[arg(long)]
    pub(crate) exit_with_stdin: bool,
    /// Use libp2p's default limits (2 min and 128 KiB per circuit, few reservations) instead of generous ones, which set circuits
    /// no limit. Kernels of the incumbent use no circuit that has any.
    #[arg(long)]
    default_limits: bool,
    /// Longest life of a circuit, in seconds; 0: no limit.
    #[arg(long, value_parser = clap::value_parser!(u64).range(..=YEAR))]
    max_circuit_seconds: Option<u64>,
    /// Most bytes that a circuit carries, both directions together; 0: no limit.
    #[arg(long)]
    max_circuit_bytes: Option<u64>,
    /// Most circuits that one peer may have at a time, those to it and from it together.
    #[arg(long)]
    max_circuits_per_peer: Option<usize>,
    /// Most reservations at a time, of all peers together.
    #[arg(long)]
    max_reservations: Option<usize>,
    /// Most connections at a time, those that others are setting up not counted.
    #[arg(long, default_value_t = 20_000)]
    pub(crate) max_connections: u32,
    /// Life of a reservation, in seconds; clients renew it before.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=YEAR))]
    reservation_seconds: Option<u64>,
}

/// In seconds. What lasts longer overflows somebody's clock.
const YEAR: u64 = 365 * 24 * 3_600;

impl Options {
    pub(crate) fn listen_addresses(&self) -> Vec<Multiaddr> {
        let ip = Multiaddr::from(self.listen_ip);
        let ws = ip.clone().with(Protocol::Tcp(self.ws_port)).with(Protocol::Ws("/".into()));
        let webrtc = ip.with(Protocol::Udp(self.webrtc_port)).with(Protocol::WebRTCDirect);
        std::iter::once(ws).chain((!self.no_webrtc).then_some(webrtc)).collect()
    }

    /// The address as clients see it.
    pub(crate) fn externally(&self, address: Multiaddr) -> Multiaddr {
        match self.external_ip {
            Some(ip) => address.replace(0, |_| Some(ip.into())).unwrap_or(address),
            None => address,
        }
    }

    pub(crate) fn relay_config(&self) -> relay::Config {
        let mut config = relay::Config::default();
        if !self.default_limits {
            // Everybody in a test comes from one address, and circuits live as long as the kernels they join.
            config.max_reservations = 10_000;
            config.max_reservations_per_peer = 16;
            config.max_circuits = 10_000;
            config.max_circuits_per_peer = 1_000;
            config.max_circuit_duration = Duration::ZERO;
            config.max_circuit_bytes = 0;
            config.reservation_rate_limiters.clear();
            config.circuit_src_rate_limiters.clear();
        }
        if let Some(seconds) = self.max_circuit_seconds {
            config.max_circuit_duration = Duration::from_secs(seconds);
        }
        if let Some(bytes) = self.max_circuit_bytes {
            config.max_circuit_bytes = bytes;
        }
        if let Some(circuits) = self.max_circuits_per_peer {
            config.max_circuits_per_peer = circuits;
        }
        if let Some(reservations) = self.max_reservations {
            config.max_reservations = reservations;
        }
        if let Some(seconds) = self.reservation_seconds {
            config.reservation_duration = Duration::from_secs(seconds);
        }
        config
    }
}
