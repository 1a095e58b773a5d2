//! A whole kernel with its network, and what it hears.

use std::{
    cell::RefCell,
    rc::Rc,
    time::{Duration, Instant},
};

use ocap_remotes::{
    kernel::{KernelDriver, KernelEvent, SeedSource, store::KernelStore},
    native::{self, Native},
    network::status::NetworkEvent,
    runtime::Runtime,
    storage::MemoryStore,
    wire::{CapData, Kref, PeerId, RemoteCommsOptions},
};

use super::Relay;

/// One kernel with its network, and what its program and its operator have seen.
pub(crate) struct Party {
    pub(crate) driver: Rc<KernelDriver>,
    pub(crate) peer: PeerId,
    pub(crate) heard: Rc<RefCell<Vec<(Instant, KernelEvent)>>>,
    pub(crate) network: Rc<RefCell<Vec<NetworkEvent>>>,
}

pub(crate) async fn party(seed: u8, relay: &Relay) -> Party {
    let options = RemoteCommsOptions { relays: vec![relay.ws_address.clone()], ..RemoteCommsOptions::default() };
    let party = start(seed, options).await;
    party.sees("a reservation", |event| matches!(event, NetworkEvent::Relay(relay) if relay.code.is_none())).await;
    party
}

pub(crate) async fn start(seed: u8, options: RemoteCommsOptions) -> Party {
    let store = KernelStore::open(Box::new(MemoryStore::new())).unwrap();
    let seed = SeedSource::Hex(format!("{seed:02x}").repeat(32).into());
    let network = Rc::new(RefCell::new(Vec::new()));
    let told = Rc::clone(&network);
    let observed = |runtime: Rc<dyn Runtime>, kernel| {
        native::libp2p(runtime, kernel).observed_by(move |event| told.borrow_mut().push(event))
    };
    let heard = Rc::new(RefCell::new(Vec::new()));
    let seen = Rc::clone(&heard);
    let on_event = Box::new(move |event| seen.borrow_mut().push((Instant::now(), event)));
    let Native { driver, .. } = native::start(store, Some(seed), options, observed, on_event).await.unwrap();
    let peer = driver.inspect(|kernel| kernel.peer_id().clone());
    Party { driver, peer, heard, network }
}

impl Party {
    pub(crate) fn send(&self, target: Kref, body: String) {
        self.driver.call(|kernel, _| kernel.send(target, CapData { body, slots: Vec::new() })).unwrap();
    }

    pub(crate) async fn sees(&self, what: &str, wanted: impl Fn(&NetworkEvent) -> bool) -> NetworkEvent {
        for _ in 0..6_000 {
            if let Some(found) = self.network.borrow().iter().find(|event| wanted(event)) {
                return found.clone();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("waited 60 s for {what}; there were {:?}", self.network.borrow());
    }

    /// A reference to an object of the other.
    pub(crate) async fn introduced_to(&self, other: &Party) -> Kref {
        let object = other.driver.call(|kernel, _| kernel.export_object()).unwrap();
        let url = other.driver.issue_ocap_url(object).await.unwrap();
        let random = self.driver.random();
        self.driver.call(|kernel, now| kernel.redeem_ocap_url(&url, random, now)).unwrap();
        for _ in 0..6_000 {
            let redeemed = self.heard.borrow().iter().find_map(|(_, event)| match event {
                KernelEvent::Redeemed { result, .. } => Some(result.clone().unwrap()),
                _ => None,
            });
            if let Some(target) = redeemed {
                return target;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the URL was not redeemed");
    }

    /// Waits until so many messages have been received, however long that takes within the story.
    pub(crate) async fn receives(&self, count: usize) {
        while self.messages().len() < count {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// The messages received, with their times.
    pub(crate) fn messages(&self) -> Vec<(Instant, String)> {
        let message = |(at, event): &(Instant, KernelEvent)| match event {
            KernelEvent::Message { methargs, .. } => Some((*at, methargs.body.clone())),
            _ => None,
        };
        self.heard.borrow().iter().filter_map(message).collect()
    }

    /// How many channels it had one after the other, and what went wrong with them.
    pub(crate) fn channels(&self) -> (usize, Vec<String>) {
        let (mut channels, mut errors) = (Vec::new(), Vec::new());
        for event in &*self.network.borrow() {
            let NetworkEvent::Peer(peer) = event else { continue };
            channels.extend(peer.channel.as_ref().map(|channel| channel.since));
            errors.extend(peer.last_error.as_ref().map(|error| error.reason.clone()));
        }
        channels.dedup();
        (channels.len(), errors)
    }
}

pub(crate) fn body(number: usize, bytes: usize) -> String {
    format!("#\"{number:06}{}\"", "x".repeat(bytes))
}
