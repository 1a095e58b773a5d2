//! Two whole kernels, natively: each with its store, its driver, a bridge in memory, and libp2p over WebSocket on loopback.
#![cfg(all(feature = "kernel", feature = "network", not(target_arch = "wasm32")))]
#![allow(clippy::unwrap_used, clippy::panic)] // clippy knows tests by #[test] only

use std::{cell::RefCell, net::TcpListener, rc::Rc, time::Duration};

use ocap_remotes::{
    bridge::{KernelServices, PlatformServicesClient, PlatformServicesServer, memory_ports},
    kernel::{Kernel, KernelDriver, KernelError, KernelEvent, RemoteEvent, SeedSource, store::KernelStore},
    network::{NetworkService, node::Libp2p},
    runtime::{NativeRuntime, Runtime},
    storage::MemoryStore,
    wire::{CapData, Kref, PeerId, RemoteCommsOptions},
};

/// One kernel with its network, and what its program has seen.
struct Party {
    driver: Rc<KernelDriver>,
    peer: PeerId,
    events: Rc<RefCell<Vec<KernelEvent>>>,
}

fn free_address() -> String {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    format!("/ip4/127.0.0.1/tcp/{port}/ws")
}

fn options(address: &str) -> RemoteCommsOptions {
    RemoteCommsOptions {
        direct_listen_addresses: vec![address.to_owned()],
        max_messages_per_second: 1_000,
        ..RemoteCommsOptions::default()
    }
}

async fn start(seed: u8, address: &str) -> Party {
    let runtime: Rc<dyn Runtime> = Rc::new(NativeRuntime::new());
    let options = options(address);
    let store = KernelStore::open(Box::new(MemoryStore::new())).unwrap();
    let seed = SeedSource::Hex(format!("{seed:02x}").repeat(32).into());
    let mut random = |bytes: &mut [u8]| runtime.fill_random(bytes);
    let kernel = Kernel::open(store, &options, Some(seed), &mut random, runtime.now()).unwrap();
    let peer = kernel.peer_id().clone();

    let (here, there) = memory_ports::<()>(Rc::clone(&runtime), Duration::from_millis(1));
    let client = Rc::new(PlatformServicesClient::new(here, Rc::clone(&runtime)));
    let server = Rc::new(PlatformServicesServer::new(there, Rc::clone(&runtime)));
    let kernel_services: Rc<dyn KernelServices> = Rc::clone(&server) as _;
    let service = NetworkService::new(Rc::clone(&runtime), kernel_services, Libp2p::new(Rc::clone(&runtime)));
    server.start(Rc::new(service), None);

    let events = Rc::new(RefCell::new(Vec::new()));
    let seen = Rc::clone(&events);
    let on_event = Box::new(move |event| seen.borrow_mut().push(event));
    let driver = KernelDriver::start(kernel, Rc::clone(&client) as _, runtime, on_event);
    client.start(Rc::clone(&driver) as _, || {});
    driver.start_network(options).await.unwrap();
    Party { driver, peer, events }
}

fn data(body: &str) -> CapData<Kref> {
    CapData { body: body.to_owned(), slots: Vec::new() }
}

impl Party {
    fn send(&self, target: Kref, body: &str) -> Kref {
        self.driver.call(|kernel, _| kernel.send(target, data(body))).unwrap()
    }

    fn knows(&self, other: &Party, address: &str) {
        let hints = vec![format!("{address}/p2p/{}", other.peer)];
        self.driver.call(|kernel, now| kernel.register_location_hints(&other.peer, hints, now)).unwrap();
    }

    /// Waits for an event that `wanted` takes, and gives what it makes of it.
    async fn hears<T>(&self, what: &str, wanted: impl Fn(&KernelEvent) -> Option<T>) -> T {
        for _ in 0..400 {
            if let Some(found) = self.events.borrow().iter().find_map(&wanted) {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("waited 10 s for {what}; there were {:?}", self.events.borrow());
    }

    async fn redeem(&self, url: &str) -> Result<Kref, KernelError> {
        self.events.borrow_mut().retain(|event| !matches!(event, KernelEvent::Redeemed { .. }));
        let random = self.driver.random();
        self.driver.call(|kernel, now| kernel.redeem_ocap_url(url, random, now))?;
        self.hears("the redemption", |event| match event {
            KernelEvent::Redeemed { result, .. } => Some(result.clone()),
            _ => None,
        })
        .await
    }

    async fn issue(&self) -> String {
        let object = self.driver.call(|kernel, _| kernel.export_object()).unwrap();
        self.driver.issue_ocap_url(object).await.unwrap()
    }

    fn bodies(&self) -> Vec<String> {
        let body = |event: &KernelEvent| match event {
            KernelEvent::Message { methargs, .. } => Some(methargs.body.clone()),
            _ => None,
        };
        self.events.borrow().iter().filter_map(body).collect()
    }

    async fn has_received(&self, count: usize) {
        self.hears("messages", |_| (self.bodies().len() >= count).then_some(())).await;
    }
}

#[test]
fn two_kernels_talk_and_one_restarts_and_one_closes_and_opens_again() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let (at_alice, at_bob) = (free_address(), free_address());
        let (alice, bob) = (start(1, &at_alice).await, start(2, &at_bob).await);
        alice.knows(&bob, &at_bob);

        let object = alice.redeem(&bob.issue().await).await.unwrap();
        let expected: Vec<String> = (0..100).map(|number| format!("#{number}")).collect();
        for body in &expected {
            alice.send(object, body);
        }
        bob.has_received(100).await;
        assert_eq!(bob.bodies(), expected);

        // Bob leaves with 100 promises unsettled, and comes back without his memory.
        bob.driver.stop().await.unwrap();
        alice.send(object, "#\"pending\"");
        let bob = start(2, &at_bob).await;
        bob.knows(&alice, &at_alice);
        let answer = bob.redeem(&alice.issue().await).await.unwrap();
        let (discarded, rejected) = alice
            .hears("the restart", |event| match event {
                KernelEvent::Remote(RemoteEvent::PeerRestarted { discarded, promises_rejected, .. }) => {
                    Some((*discarded, *promises_rejected))
                }
                _ => None,
            })
            .await;
        assert!(discarded >= 1, "the pending message was discarded");
        assert_eq!(rejected, 101);
        let rejections = alice
            .events
            .borrow()
            .iter()
            .filter(|event| match event {
                KernelEvent::Notify { rejected: true, value, .. } => value.body.contains("[KERNEL:PEER_RESTARTED]"),
                _ => false,
            })
            .count();
        assert_eq!(rejections, 101);
        assert!(bob.bodies().is_empty(), "nothing stale reached the new incarnation");

        bob.send(answer, "#\"fresh\"");
        alice.has_received(1).await;
        let object = alice.redeem(&bob.issue().await).await.unwrap();
        alice.send(object, "#\"fresh\"");
        bob.has_received(1).await;

        // Closed on purpose, it stays closed until somebody says otherwise.
        alice.driver.close_connection(bob.peer.clone()).await.unwrap();
        alice.send(object, "#\"closed\"");
        let refused = alice
            .hears("the refusal", |event| match event {
                KernelEvent::Notify { rejected: true, value, .. } if value.body.contains("closed on purpose") => {
                    Some(value.body.clone())
                }
                _ => None,
            })
            .await;
        assert!(refused.contains("[KERNEL:CONNECTION_LOST]"), "{refused}");
        alice.driver.reconnect_peer(bob.peer.clone(), Vec::new()).await.unwrap();
        alice.send(object, "#\"open again\"");
        bob.has_received(2).await;
        assert_eq!(bob.bodies(), ["#\"fresh\"", "#\"open again\""]);

        for party in [&alice, &bob] {
            party.driver.inspect(|kernel| kernel.store().audit()).unwrap();
            party.driver.stop().await.unwrap();
        }
    });
}
