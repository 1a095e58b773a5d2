//! What relays grant circuits, and what each connection has carried.
//!
//! libp2p tells limits and connections apart from each other, and bytes not at all. A relay's limits are the same for all
//! its circuits, so the last that it told are taken for each; the bytes are counted below encryption, and the count
//! finds its connection by direction, peer and relay for a circuit, by direction and address for any other. (WebRTC has no such
//! place; there pings do not wait behind data.)

use std::{
    collections::HashMap,
    io,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

use futures::{AsyncRead, AsyncWrite};
use libp2p::{Multiaddr, PeerId, core::ConnectedPoint, relay};

use super::address;
use crate::network::circuit::CircuitLimit;

/// What passes a connection, below encryption.
#[derive(Debug, Default)]
pub struct Meter {
    /// Bytes in both directions.
    carried: Arc<AtomicU64>,
    written: AtomicU64,
    alive: AtomicBool,
}

impl Meter {
    /// The count of bytes in both directions, which goes on.
    pub(super) fn carried(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.carried)
    }

    /// The bytes written so far.
    pub(super) fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Whether bytes came, or a write that had to wait could go on, since this was last asked.
    pub(super) fn take_sign_of_life(&self) -> bool {
        self.alive.swap(false, Ordering::Relaxed)
    }

    pub(super) fn note_life(&self) {
        self.alive.store(true, Ordering::Relaxed);
    }

    pub(super) fn wrote(&self, bytes: usize) {
        self.carried.fetch_add(bytes as u64, Ordering::Relaxed);
        self.written.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    fn read(&self, bytes: usize) {
        self.carried.fetch_add(bytes as u64, Ordering::Relaxed);
        if bytes > 0 {
            self.note_life();
        }
    }
}

/// The meters of connections that are being set up; shared with the transport, which may run on another thread.
#[derive(Clone, Debug, Default)]
pub struct Meters(Arc<Mutex<Vec<Pending>>>);

/// By what a connection is found when it is made.
#[derive(Debug, PartialEq, Eq)]
enum Mark {
    Circuit { peer: PeerId, relay: Option<PeerId>, dialled: bool },
    Direct { address: Multiaddr, dialled: bool },
}

impl Mark {
    /// Several relays may be asked for a circuit to one peer at once.
    fn circuit(peer: PeerId, endpoint: &ConnectedPoint) -> Self {
        Mark::Circuit { peer, relay: address::relay_of(endpoint), dialled: endpoint.is_dialer() }
    }

    fn direct(endpoint: &ConnectedPoint) -> Self {
        Mark::Direct { address: endpoint.get_remote_address().clone(), dialled: endpoint.is_dialer() }
    }
}

#[derive(Debug)]
struct Pending {
    mark: Mark,
    /// Gone with the connection, when its set-up fails.
    meter: Weak<Meter>,
}

impl Meters {
    /// Counts what a circuit carries from now on.
    pub(super) fn meter_circuit<S>(&self, stream: S, endpoint: &ConnectedPoint) -> Metered<S> {
        self.meter(stream, address::far_end(endpoint).map(|peer| Mark::circuit(peer, endpoint)))
    }

    /// Counts what any other connection carries from now on.
    pub fn meter_direct<S>(&self, stream: S, endpoint: &ConnectedPoint) -> Metered<S> {
        self.meter(stream, Some(Mark::direct(endpoint)))
    }

    fn meter<S>(&self, stream: S, mark: Option<Mark>) -> Metered<S> {
        let meter = Arc::<Meter>::default();
        if let Some(mark) = mark {
            let mut pending = self.pending();
            pending.retain(|pending| pending.meter.strong_count() > 0);
            pending.push(Pending { mark, meter: Arc::downgrade(&meter) });
        }
        Metered { stream, meter, blocked: false }
    }

    /// The meter of the connection that was just made. Of two that are alike the older comes first.
    pub fn take(&self, peer: &PeerId, endpoint: &ConnectedPoint) -> Option<Arc<Meter>> {
        let mark = match address::relay_of(endpoint) {
            Some(_) => Mark::circuit(*peer, endpoint),
            None => Mark::direct(endpoint),
        };
        let mut pending = self.pending();
        let place = pending.iter().position(|pending| pending.mark == mark && pending.meter.strong_count() > 0)?;
        pending.remove(place).meter.upgrade()
    }

    /// A list stays usable whatever happened while it was locked.
    fn pending(&self) -> MutexGuard<'_, Vec<Pending>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A stream whose bytes are counted.
#[derive(Debug)]
pub struct Metered<S> {
    stream: S,
    meter: Arc<Meter>,
    /// A write waits for room.
    blocked: bool,
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        if let Poll::Ready(Ok(bytes)) = read {
            self.meter.read(bytes);
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        match written {
            Poll::Pending => self.blocked = true,
            Poll::Ready(Ok(bytes)) => {
                self.meter.wrote(bytes);
                if std::mem::take(&mut self.blocked) {
                    self.meter.note_life();
                }
            }
            Poll::Ready(Err(_)) => {}
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_close(cx)
    }
}

/// The last limits that each relay told, as long as there is a connection with it.
#[derive(Default)]
pub(super) struct Limits(HashMap<PeerId, CircuitLimit>);

impl Limits {
    pub(super) fn heard(&mut self, event: &relay::client::Event) {
        use relay::client::Event::{InboundCircuitEstablished, OutboundCircuitEstablished, ReservationReqAccepted};
        match event {
            ReservationReqAccepted { relay_peer_id, limit, .. }
            | OutboundCircuitEstablished { relay_peer_id, limit } => {
                let limit = limit.map(|limit| CircuitLimit::new(limit.duration(), limit.data_in_bytes()));
                self.0.insert(*relay_peer_id, limit.unwrap_or_default());
            }
            // It does not say through which relay; that one told its limits with the reservation.
            InboundCircuitEstablished { .. } => {}
        }
    }

    pub(super) fn of(&self, relay: &PeerId) -> CircuitLimit {
        self.0.get(relay).copied().unwrap_or_default()
    }

    pub(super) fn forget(&mut self, relay: &PeerId) {
        self.0.remove(relay);
    }
}

#[cfg(test)]
mod tests {
    use futures::{AsyncReadExt as _, AsyncWriteExt as _, io::Cursor};

    use super::*;

    fn dialled(peer: &PeerId, relay: &PeerId) -> ConnectedPoint {
        ConnectedPoint::Dialer {
            address: format!("/ip4/127.0.0.1/tcp/1/ws/p2p/{relay}/p2p-circuit/p2p/{peer}").parse().unwrap(),
            role_override: libp2p::core::Endpoint::Dialer,
            port_use: libp2p::core::transport::PortUse::Reuse,
        }
    }

    fn accepted(peer: &PeerId, relay: &PeerId) -> ConnectedPoint {
        ConnectedPoint::Listener {
            local_addr: format!("/ip4/127.0.0.1/tcp/1/ws/p2p/{relay}/p2p-circuit").parse().unwrap(),
            send_back_addr: format!("/p2p/{peer}").parse().unwrap(),
        }
    }

    #[test]
    fn a_count_is_found_by_peer_relay_and_direction_and_goes_with_its_circuit() {
        let meters = Meters::default();
        let [alice, bob, relay, another] = [(); 4].map(|()| PeerId::random());
        let (dialled_alice, accepted_alice) = (dialled(&alice, &relay), accepted(&alice, &relay));
        let failed = meters.meter_circuit((), &dialled_alice);
        drop(failed);
        assert!(meters.take(&alice, &dialled_alice).is_none());

        let first = meters.meter_circuit((), &dialled_alice);
        let elsewhere = meters.meter_circuit((), &dialled(&alice, &another));
        let second = meters.meter_circuit((), &dialled_alice);
        let inbound = meters.meter_circuit((), &accepted_alice);
        assert!(meters.take(&bob, &dialled(&bob, &relay)).is_none());
        assert!(Arc::ptr_eq(&meters.take(&alice, &dialled(&alice, &another)).unwrap(), &elsewhere.meter));
        assert!(Arc::ptr_eq(&meters.take(&alice, &accepted_alice).unwrap(), &inbound.meter));
        assert!(Arc::ptr_eq(&meters.take(&alice, &dialled_alice).unwrap(), &first.meter));
        assert!(Arc::ptr_eq(&meters.take(&alice, &dialled_alice).unwrap(), &second.meter));
        assert!(meters.take(&alice, &dialled_alice).is_none());
    }

    #[test]
    fn a_count_of_any_other_connection_is_found_by_its_address() {
        let (meters, alice) = (Meters::default(), PeerId::random());
        let accepted = |port: u16| ConnectedPoint::Listener {
            local_addr: "/ip4/127.0.0.1/tcp/1/ws".parse().unwrap(),
            send_back_addr: format!("/ip4/127.0.0.1/tcp/{port}/ws").parse().unwrap(),
        };
        let [first, second] = [7, 8].map(|port| meters.meter_direct((), &accepted(port)));
        assert!(Arc::ptr_eq(&meters.take(&alice, &accepted(8)).unwrap(), &second.meter));
        assert!(Arc::ptr_eq(&meters.take(&alice, &accepted(7)).unwrap(), &first.meter));
        assert!(meters.take(&alice, &accepted(7)).is_none());
    }

    #[test]
    fn both_directions_are_counted() {
        let alice = PeerId::random();
        let mut stream = Meters::default().meter_circuit(Cursor::new(vec![0; 10]), &dialled(&alice, &PeerId::random()));
        futures::executor::block_on(async {
            stream.write_all(&[1; 4]).await.unwrap();
            assert!(!stream.meter.take_sign_of_life(), "what is written may go nowhere");
            stream.read_exact(&mut [0; 6]).await.unwrap();
        });
        assert_eq!((stream.meter.carried().load(Ordering::Relaxed), stream.meter.written()), (10, 4));
        assert!(stream.meter.take_sign_of_life() && !stream.meter.take_sign_of_life());
    }
}
