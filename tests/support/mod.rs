//! A whole kernel natively: its store, its driver, a bridge in memory, and libp2p over WebSocket on loopback; and what is logged.
#![allow(dead_code)] // Not every test needs all of it.

use std::{
    cell::RefCell,
    io::Write,
    rc::Rc,
    sync::{Arc, Mutex},
    time::Duration,
};

use ocap_remotes::{
    kernel::{KernelDriver, KernelError, KernelEvent, SeedSource, store::KernelStore},
    native::{self, Native},
    network::{NetworkService, node::Libp2p},
    storage::MemoryStore,
    wire::{CapData, Kref, PeerId, RemoteCommsOptions},
};
use tokio::time::{sleep, timeout};

/// One kernel with its network, and what its program has seen.
pub(crate) struct Party {
    pub(crate) driver: Rc<KernelDriver>,
    pub(crate) peer: PeerId,
    /// Where it listens.
    pub(crate) address: String,
    pub(crate) events: Rc<RefCell<Vec<KernelEvent>>>,
}

/// A port that the system chooses when it is listened on: libp2p shares ports, so one that was only free a moment ago may
/// turn out to be another test's as well.
pub(crate) const ANY_PORT: &str = "/ip4/127.0.0.1/tcp/0/ws";

pub(crate) fn options(address: &str) -> RemoteCommsOptions {
    RemoteCommsOptions {
        direct_listen_addresses: vec![address.to_owned()],
        max_messages_per_second: 1_000,
        ..RemoteCommsOptions::default()
    }
}

pub(crate) async fn start(seed: u8, address: &str) -> Party {
    let store = KernelStore::open(Box::new(MemoryStore::new())).unwrap();
    let seed = SeedSource::Hex(format!("{seed:02x}").repeat(32).into());
    let events = Rc::new(RefCell::new(Vec::new()));
    let seen = Rc::clone(&events);
    let on_event = Box::new(move |event| seen.borrow_mut().push(event));
    let Native { driver, network } =
        native::start(store, Some(seed), options(address), native::libp2p, on_event).await.unwrap();
    let peer = driver.inspect(|kernel| kernel.peer_id().clone());
    let address = timeout(Duration::from_secs(60), listening(&network)).await.unwrap();
    Party { driver, peer, address, events }
}

/// The address without the peer id, once there is one.
async fn listening(service: &NetworkService<Libp2p>) -> String {
    loop {
        if let Some(address) = service.listen_addresses().first() {
            return address.split("/p2p/").next().unwrap_or_default().to_owned();
        }
        sleep(Duration::from_millis(1)).await;
    }
}

pub(crate) fn data(body: &str) -> CapData<Kref> {
    CapData { body: body.to_owned(), slots: Vec::new() }
}

impl Party {
    pub(crate) fn send(&self, target: Kref, body: &str) -> Kref {
        self.driver.call(|kernel, _| kernel.send(target, data(body))).unwrap()
    }

    pub(crate) fn knows(&self, other: &Party) {
        let hints = vec![format!("{}/p2p/{}", other.address, other.peer)];
        self.driver.call(|kernel, now| kernel.register_location_hints(&other.peer, hints, now)).unwrap();
    }

    /// Waits for an event that `wanted` takes, and gives what it makes of it.
    pub(crate) async fn hears<T>(&self, what: &str, wanted: impl Fn(&KernelEvent) -> Option<T>) -> T {
        for _ in 0..2_400 {
            if let Some(found) = self.events.borrow().iter().find_map(&wanted) {
                return found;
            }
            sleep(Duration::from_millis(25)).await;
        }
        panic!("waited 60 s for {what}; there were {:?}", self.events.borrow());
    }

    pub(crate) async fn redeem(&self, url: &str) -> Result<Kref, KernelError> {
        self.events.borrow_mut().retain(|event| !matches!(event, KernelEvent::Redeemed { .. }));
        let random = self.driver.random();
        self.driver.call(|kernel, now| kernel.redeem_ocap_url(url, random, now))?;
        self.hears("the redemption", |event| match event {
            KernelEvent::Redeemed { result, .. } => Some(result.clone()),
            _ => None,
        })
        .await
    }

    pub(crate) async fn issue(&self) -> String {
        let object = self.driver.call(|kernel, _| kernel.export_object()).unwrap();
        self.driver.issue_ocap_url(object).await.unwrap()
    }

    pub(crate) fn bodies(&self) -> Vec<String> {
        let body = |event: &KernelEvent| match event {
            KernelEvent::Message { methargs, .. } => Some(methargs.body.clone()),
            _ => None,
        };
        self.events.borrow().iter().filter_map(body).collect()
    }

    pub(crate) async fn has_received(&self, count: usize) {
        self.hears("messages", |_| (self.bodies().len() >= count).then_some(())).await;
    }
}

/// What was logged, as a writer that anybody may have a copy of.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
