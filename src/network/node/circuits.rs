//! What relays grant circuits, and what each circuit has carried.
//!
//! libp2p tells limits and connections apart from each other, and bytes not at all. A relay's limits are the same for all
//! its circuits, so the last that it told are taken for each; the bytes are counted below encryption, and the count
//! finds its connection by peer and direction.

use std::{
    collections::HashMap,
    io,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
};

use futures::{AsyncRead, AsyncWrite};
use libp2p::{PeerId, core::ConnectedPoint, relay};

use super::address;
use crate::network::circuit::CircuitLimit;

/// The counts of circuits that are being set up; shared with the transport, which may run on another thread.
#[derive(Clone, Default)]
pub(super) struct Meters(Arc<Mutex<Vec<Pending>>>);

struct Pending {
    peer: PeerId,
    dialled: bool,
    /// Gone with the circuit, when its set-up fails.
    carried: Weak<AtomicU64>,
}

impl Meters {
    /// Counts what a circuit carries from now on.
    pub(super) fn meter<S>(&self, stream: S, endpoint: &ConnectedPoint) -> Metered<S> {
        let carried = Arc::<AtomicU64>::default();
        if let Some(peer) = address::far_end(endpoint) {
            let mut pending = self.pending();
            pending.retain(|pending| pending.carried.strong_count() > 0);
            let (dialled, carried) = (endpoint.is_dialer(), Arc::downgrade(&carried));
            pending.push(Pending { peer, dialled, carried });
        }
        Metered { stream, carried }
    }

    /// The count of the connection that was just made. Of two to one peer at once the older comes first.
    pub(super) fn take(&self, peer: &PeerId, endpoint: &ConnectedPoint) -> Option<Arc<AtomicU64>> {
        let mut pending = self.pending();
        let of_it = |pending: &Pending| {
            pending.peer == *peer && pending.dialled == endpoint.is_dialer() && pending.carried.strong_count() > 0
        };
        let place = pending.iter().position(of_it)?;
        pending.remove(place).carried.upgrade()
    }

    /// A list stays usable whatever happened while it was locked.
    fn pending(&self) -> MutexGuard<'_, Vec<Pending>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A stream whose bytes are counted.
pub(super) struct Metered<S> {
    stream: S,
    carried: Arc<AtomicU64>,
}

impl<S> Metered<S> {
    fn count(&self, bytes: usize) {
        self.carried.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let read = ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        self.count(read);
        Poll::Ready(Ok(read))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, buf))?;
        self.count(written);
        Poll::Ready(Ok(written))
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

    fn dialled(peer: &PeerId) -> ConnectedPoint {
        let relay = PeerId::random();
        ConnectedPoint::Dialer {
            address: format!("/ip4/127.0.0.1/tcp/1/ws/p2p/{relay}/p2p-circuit/p2p/{peer}").parse().unwrap(),
            role_override: libp2p::core::Endpoint::Dialer,
            port_use: libp2p::core::transport::PortUse::Reuse,
        }
    }

    fn accepted(peer: &PeerId) -> ConnectedPoint {
        let relay = PeerId::random();
        ConnectedPoint::Listener {
            local_addr: format!("/ip4/127.0.0.1/tcp/1/ws/p2p/{relay}/p2p-circuit").parse().unwrap(),
            send_back_addr: format!("/p2p/{peer}").parse().unwrap(),
        }
    }

    #[test]
    fn a_count_is_found_by_peer_and_direction_and_goes_with_its_circuit() {
        let (meters, alice, bob) = (Meters::default(), PeerId::random(), PeerId::random());
        let failed = meters.meter((), &dialled(&alice));
        drop(failed);
        assert!(meters.take(&alice, &dialled(&alice)).is_none());

        let first = meters.meter((), &dialled(&alice));
        let second = meters.meter((), &dialled(&alice));
        let inbound = meters.meter((), &accepted(&alice));
        assert!(meters.take(&bob, &dialled(&bob)).is_none());
        assert!(Arc::ptr_eq(&meters.take(&alice, &accepted(&alice)).unwrap(), &inbound.carried));
        assert!(Arc::ptr_eq(&meters.take(&alice, &dialled(&alice)).unwrap(), &first.carried));
        assert!(Arc::ptr_eq(&meters.take(&alice, &dialled(&alice)).unwrap(), &second.carried));
        assert!(meters.take(&alice, &dialled(&alice)).is_none());
    }

    #[test]
    fn both_directions_are_counted() {
        let alice = PeerId::random();
        let mut stream = Meters::default().meter(Cursor::new(vec![0; 10]), &dialled(&alice));
        futures::executor::block_on(async {
            stream.write_all(&[1; 4]).await.unwrap();
            stream.read_exact(&mut [0; 6]).await.unwrap();
        });
        assert_eq!(stream.carried.load(Ordering::Relaxed), 10);
    }
}
