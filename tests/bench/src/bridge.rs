//! What a call across the bridge costs: one end of a bridge over a port of the browser, which calls and answers at once.

use std::rc::Rc;

use futures::{FutureExt as _, future};
use ocap_remotes::{
    bridge::{BrowserPort, KernelServices, PlatformServices, PlatformServicesClient, PlatformServicesServer, Reply},
    runtime::BrowserRuntime,
    wire::{IncarnationId, PeerId, RemoteCommsOptions},
};
use wasm_bindgen::prelude::*;

/// Calls the other end.
enum End {
    Kernel(PlatformServicesClient<BrowserPort>),
    Network(PlatformServicesServer<BrowserPort>),
}

/// One end of a bridge under measurement.
#[wasm_bindgen]
pub struct BridgeBench {
    end: End,
    peer: PeerId,
}

#[wasm_bindgen]
impl BridgeBench {
    /// The kernel's end at `port`.
    pub fn kernel(port: JsValue) -> BridgeBench {
        let client = PlatformServicesClient::new(BrowserPort::new(port).unwrap(), Rc::new(BrowserRuntime));
        client.start(Rc::new(Kernel), || {});
        BridgeBench::of(End::Kernel(client))
    }

    /// The network's end at `port`.
    pub fn network(port: JsValue) -> BridgeBench {
        let server = PlatformServicesServer::new(BrowserPort::new(port).unwrap(), Rc::new(BrowserRuntime));
        server.start(Rc::new(Network), None);
        BridgeBench::of(End::Network(server))
    }

    fn of(end: End) -> Self {
        BridgeBench { end, peer: PeerId::from_ed25519_seed([1; 32]).unwrap() }
    }

    /// What a kernel does once before it sends anything.
    pub async fn initialize(&self) {
        if let End::Kernel(client) = &self.end {
            let incarnation = "bench".parse().unwrap();
            client.initialize_remote_comms("00".into(), RemoteCommsOptions::default(), incarnation).await.unwrap();
        }
    }

    /// Makes `count` calls with `message`, at most `in_flight` at a time.
    pub async fn calls(&self, count: u32, in_flight: u32, message: String) {
        let message = &message;
        let callers = (0..in_flight).map(|caller| async move {
            for _ in (caller..count).step_by(in_flight as usize) {
                match &self.end {
                    End::Kernel(client) => {
                        client.send_remote_message(self.peer.clone(), message.clone()).await.unwrap();
                    }
                    End::Network(server) => {
                        server.remote_deliver(self.peer.clone(), message.clone()).await.unwrap();
                    }
                }
            }
        });
        future::join_all(callers).await;
    }
}

fn ready<T: 'static>(value: T) -> Reply<T> {
    future::ready(Ok(value)).boxed_local()
}

struct Network;

impl PlatformServices for Network {
    fn initialize_remote_comms(&self, _: String, _: RemoteCommsOptions, _: IncarnationId) -> Reply<()> {
        ready(())
    }

    fn stop_remote_comms(&self) -> Reply<()> {
        ready(())
    }

    fn send_remote_message(&self, _: PeerId, _: String) -> Reply<()> {
        ready(())
    }

    fn close_connection(&self, _: PeerId) -> Reply<()> {
        ready(())
    }

    fn register_location_hints(&self, _: PeerId, _: Vec<String>) -> Reply<()> {
        ready(())
    }

    fn reconnect_peer(&self, _: PeerId, _: Vec<String>) -> Reply<()> {
        ready(())
    }

    fn reset_all_backoffs(&self) -> Reply<()> {
        ready(())
    }
}

struct Kernel;

impl KernelServices for Kernel {
    fn remote_deliver(&self, _: PeerId, _: String) -> Reply<Option<String>> {
        ready(None)
    }

    fn remote_give_up(&self, _: PeerId) -> Reply<()> {
        ready(())
    }

    fn remote_incarnation_change(&self, _: PeerId, _: IncarnationId) -> Reply<bool> {
        ready(false)
    }
}
