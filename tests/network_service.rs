//! Network services over libp2p itself, natively, on loopback.
#![cfg(all(feature = "kernel", feature = "network", not(target_arch = "wasm32")))]
#![allow(clippy::unwrap_used)] // clippy knows tests by #[test] only

use std::{cell::RefCell, net::TcpListener, rc::Rc, time::Duration};

use futures::FutureExt as _;
use ocap_remotes::{
    bridge::{KernelServices, PlatformServices, Reply},
    network::{
        NetworkService,
        node::Libp2p,
        status::{ChannelKind, PeerState},
    },
    runtime::NativeRuntime,
    wire::{IncarnationId, PeerId, RemoteCommsOptions},
};

#[derive(Default)]
struct Kernel {
    delivered: RefCell<Vec<String>>,
}

impl KernelServices for Kernel {
    fn remote_deliver(&self, _: PeerId, message: String) -> Reply<Option<String>> {
        self.delivered.borrow_mut().push(message);
        futures::future::ready(Ok(None)).boxed_local()
    }

    fn remote_give_up(&self, _: PeerId) -> Reply<()> {
        futures::future::ready(Ok(())).boxed_local()
    }

    fn remote_incarnation_change(&self, _: PeerId, _: IncarnationId) -> Reply<bool> {
        futures::future::ready(Ok(false)).boxed_local()
    }
}

struct Party {
    id: PeerId,
    kernel: Rc<Kernel>,
    service: NetworkService<Libp2p>,
    address: String,
}

async fn party(seed: u8) -> Party {
    let runtime = Rc::new(NativeRuntime::new());
    let kernel = Rc::new(Kernel::default());
    let service = NetworkService::new(runtime.clone(), kernel.clone(), Libp2p::new(runtime));
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let address = format!("/ip4/127.0.0.1/tcp/{port}/ws");
    let options = RemoteCommsOptions {
        direct_listen_addresses: vec![address.clone()],
        max_messages_per_second: 1_000,
        ..RemoteCommsOptions::default()
    };
    let incarnation = format!("life-of-{seed}").parse().unwrap();
    service.initialize_remote_comms(format!("{seed:02x}").repeat(32), options, incarnation).await.unwrap();
    Party { id: PeerId::from_ed25519_seed([seed; 32]).unwrap(), kernel, service, address }
}

#[test]
fn two_services_exchange_messages_over_libp2p_and_stop() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let (alice, bob) = (party(1).await, party(2).await);
        for (here, there) in [(&alice, &bob), (&bob, &alice)] {
            here.service.register_location_hints(there.id.clone(), vec![there.address.clone()]).await.unwrap();
        }
        let texts: Vec<String> = (0..100).map(|number| format!("message {number}")).collect();
        // Both begin at once: the dials cross.
        let sends = texts.iter().flat_map(|text| {
            [
                alice.service.send_remote_message(bob.id.clone(), text.clone()),
                bob.service.send_remote_message(alice.id.clone(), text.clone()),
            ]
        });
        for sent in futures::future::join_all(sends).await {
            sent.unwrap();
        }
        let all = || bob.kernel.delivered.borrow().len() == 100 && alice.kernel.delivered.borrow().len() == 100;
        for _ in 0..1_200 {
            if all() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(*bob.kernel.delivered.borrow(), texts);
        assert_eq!(*alice.kernel.delivered.borrow(), texts);
        for (here, there) in [(&alice, &bob), (&bob, &alice)] {
            let status = here.service.status();
            let [peer] = &status.peers[..] else { panic!("{status:?}") };
            assert_eq!((&peer.peer_id, peer.state), (&there.id, PeerState::Connected));
            let channel = peer.channel.as_ref().unwrap();
            assert_eq!((channel.kind, &channel.relay), (ChannelKind::Ws, &None));
            assert!(channel.round_trip_ms.is_some_and(|time| time > 0.0 && time < 60_000.0), "{channel:?}");
        }
        alice.service.stop_remote_comms().await.unwrap();
        bob.service.stop_remote_comms().await.unwrap();
    });
}
