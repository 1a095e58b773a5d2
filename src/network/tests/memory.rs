//! A network within the process, with real streams of bytes.

use std::{cell::RefCell, collections::HashMap, rc::Rc};

use futures::{FutureExt as _, SinkExt as _, StreamExt as _, channel::mpsc, future::LocalBoxFuture};
use tokio::io::DuplexStream;
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt as _};

use crate::{
    network::link::{DialError, ErrorCode, LinkEvent, Links, Network, Started},
    wire::{PeerId, RemoteCommsOptions, RemoteError},
};

pub(super) type Stream = Compat<DuplexStream>;
type Door = mpsc::Sender<(PeerId, Stream)>;

/// Where peers find each other.
#[derive(Clone, Default)]
pub(super) struct Hub(Rc<RefCell<HashMap<PeerId, Door>>>);

pub(super) struct MemoryLinks {
    own_id: PeerId,
    hub: Hub,
}

impl Hub {
    /// A peer played by the test: what others open to it comes out here.
    pub(super) fn join(&self, peer: &PeerId) -> mpsc::Receiver<(PeerId, Stream)> {
        let (door, incoming) = mpsc::channel(8);
        self.0.borrow_mut().insert(peer.clone(), door);
        incoming
    }

    pub(super) async fn open(&self, from: &PeerId, to: &PeerId) -> Result<Stream, DialError> {
        let refused =
            || DialError { code: ErrorCode::ConnRefused, retryable: true, reason: format!("{to} is not there") };
        let mut door = self.0.borrow().get(to).cloned().ok_or_else(refused)?;
        let (here, there) = tokio::io::duplex(64 << 10);
        door.send((from.clone(), there.compat())).await.map_err(|_| refused())?;
        Ok(here.compat())
    }
}

impl Network for Hub {
    type Links = MemoryLinks;

    fn start(&self, seed: [u8; 32], _: &RemoteCommsOptions) -> Result<Started<MemoryLinks>, RemoteError> {
        let own_id = PeerId::from_ed25519_seed(seed).unwrap();
        let events = self.join(&own_id).map(|(peer, stream)| LinkEvent::Inbound { peer, stream });
        Ok((MemoryLinks { own_id, hub: self.clone() }, events.boxed_local()))
    }
}

impl Links for MemoryLinks {
    type Stream = Stream;

    fn open(&self, peer: PeerId, _: Vec<String>) -> LocalBoxFuture<'static, Result<Stream, DialError>> {
        let (hub, own_id) = (self.hub.clone(), self.own_id.clone());
        async move { hub.open(&own_id, &peer).await }.boxed_local()
    }

    fn stop(&self) -> LocalBoxFuture<'static, ()> {
        self.hub.0.borrow_mut().remove(&self.own_id);
        futures::future::ready(()).boxed_local()
    }
}
