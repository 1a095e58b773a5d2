use std::time::Duration;

use serde_json::json;

use super::*;
use crate::bridge::{MemoryPort, PlatformServicesClient, PlatformServicesServer, memory_ports};

/// A kernel and a network, joined by a bridge over ports in memory.
struct Joined {
    kernel: Rc<Kernel>,
    client: Rc<PlatformServicesClient<MemoryPort<String>>>,
    network: Rc<Network>,
    vats: Rc<VatHost>,
    server: Rc<PlatformServicesServer<MemoryPort<String>>>,
}

fn joined() -> Joined {
    let runtime = runtime();
    let (kernel_port, network_port) = memory_ports(Rc::clone(&runtime), Duration::from_millis(1));
    let joined = Joined {
        kernel: Rc::default(),
        client: Rc::new(PlatformServicesClient::new(kernel_port, Rc::clone(&runtime))),
        network: Rc::default(),
        vats: Rc::default(),
        server: Rc::new(PlatformServicesServer::new(network_port, runtime)),
    };
    joined.client.start(Rc::clone(&joined.kernel) as _, || {});
    joined.server.start(Rc::clone(&joined.network) as _, Some(Rc::clone(&joined.vats) as _));
    joined
}

/// Joined, and with comms initialized.
async fn initialized() -> Joined {
    let joined = joined();
    let done = joined.client.initialize_remote_comms("00".into(), RemoteCommsOptions::default(), incarnation("i-1"));
    done.await.unwrap();
    joined.network.asked();
    joined
}

#[test]
fn every_call_of_the_kernel_reaches_the_network() {
    run(async {
        let joined = joined();
        let Joined { client, network, .. } = &joined;
        let options = RemoteCommsOptions { relays: vec!["/p2p/relay".into()], ..RemoteCommsOptions::default() };
        let calls = [
            client.initialize_remote_comms("5eed".into(), options, incarnation("i-1")),
            client.register_location_hints(peer(1), vec!["/hint".into()]),
            client.send_remote_message(peer(1), "hello".into()),
            client.close_connection(peer(1)),
            client.reconnect_peer(peer(1), vec![]),
            client.reset_all_backoffs(),
            client.stop_remote_comms(),
        ];
        assert!(futures::future::join_all(calls).await.into_iter().all(|result| result.is_ok()));
        let asked = [
            r#"initialize 5eed ["/p2p/relay"] i-1"#,
            r#"hints ["/hint"]"#,
            "send hello",
            "close",
            "reconnect []",
            "reset",
            "stop",
        ];
        assert_eq!(network.asked(), asked);
    });
}

#[test]
fn every_call_of_the_network_reaches_the_kernel() {
    run(async {
        let joined = joined();
        let Joined { kernel, server, .. } = &joined;
        *kernel.on_deliver.borrow_mut() = Some(Box::new(|message| ready((message == "ping").then(|| "pong".into()))));
        *kernel.on_incarnation.borrow_mut() = Some(Box::new(|observed| ready(observed == "i-2")));
        assert_eq!(server.remote_deliver(peer(1), "ping".into()).await, Ok(Some("pong".into())));
        assert_eq!(server.remote_deliver(peer(1), "other".into()).await, Ok(None));
        assert_eq!(server.remote_incarnation_change(peer(1), incarnation("i-1")).await, Ok(false));
        assert_eq!(server.remote_incarnation_change(peer(1), incarnation("i-2")).await, Ok(true));
        assert_eq!(server.remote_give_up(peer(1)).await, Ok(()));
        let told =
            ["deliver ping", "deliver other", "incarnation i-1", "incarnation i-2", &format!("give up {}", peer(1))];
        assert_eq!(*kernel.told.borrow(), told);
    });
}

#[test]
fn errors_of_the_network_reach_the_kernel_as_they_are() {
    run(async {
        let joined = initialized().await;
        let Joined { client, network, .. } = &joined;
        for error in [
            RemoteError::PeerRestarted(peer(1)),
            RemoteError::IntentionalClose(peer(1)),
            RemoteError::NetworkStopped,
            RemoteError::ConnectionLost { peer: peer(1), reason: "reset".into() },
            RemoteError::Other { name: "TypeError".into(), message: "x is not a function".into() },
        ] {
            let thrown = error.clone();
            *network.on_send.borrow_mut() = Some(Box::new(move |_| failed(thrown.clone())));
            assert_eq!(client.send_remote_message(peer(1), "x".into()).await, Err(error));
        }
    });
}

#[test]
fn a_kernel_of_ours_hears_of_long_messages_that_move_and_of_outages() {
    run(async {
        let Joined { kernel, server, .. } = &joined();
        // Nobody has said yet that it wants to hear of it.
        server.remote_moving(peer(1));
        server.remote_no_channel(peer(1));
        server.remote_give_up(peer(2)).await.unwrap();
        server.remote_moving(peer(1));
        server.remote_no_channel(peer(1));
        server.remote_give_up(peer(3)).await.unwrap();
        let [first, second, third] = [1, 2, 3].map(peer);
        let expected = [
            format!("give up {second}"),
            format!("moving {first}"),
            format!("no channel {first}"),
            format!("give up {third}"),
        ];
        assert_eq!(*kernel.told.borrow(), expected);
    });
}

#[test]
fn errors_of_the_kernel_reach_the_network_and_give_no_verdict() {
    run(async {
        let joined = joined();
        let Joined { kernel, server, .. } = &joined;
        let error = RemoteError::Other { name: "StoreError".into(), message: "storage failed".into() };
        let (on_deliver, on_incarnation) = (error.clone(), error.clone());
        *kernel.on_deliver.borrow_mut() = Some(Box::new(move |_| failed(on_deliver.clone())));
        *kernel.on_incarnation.borrow_mut() = Some(Box::new(move |_| failed(on_incarnation.clone())));
        assert_eq!(server.remote_deliver(peer(1), "x".into()).await, Err(error.clone()));
        assert_eq!(server.remote_incarnation_change(peer(1), incarnation("i")).await, Err(error));
    });
}

#[test]
fn comms_are_initialized_once_until_they_are_stopped() {
    run(async {
        let joined = joined();
        let Joined { client, network, .. } = &joined;
        let message = |result: Result<(), RemoteError>| result.unwrap_err().to_string();
        let initialize =
            || client.initialize_remote_comms("00".into(), RemoteCommsOptions::default(), incarnation("i"));

        for too_early in [
            client.send_remote_message(peer(1), "x".into()),
            client.close_connection(peer(1)),
            client.register_location_hints(peer(1), vec![]),
            client.reconnect_peer(peer(1), vec![]),
            client.reset_all_backoffs(),
        ] {
            assert_eq!(message(too_early.await), "remote comms not initialized");
        }
        assert_eq!(client.stop_remote_comms().await, Ok(()));
        network.asked();

        assert_eq!(initialize().await, Ok(()));
        assert_eq!(message(initialize().await), "remote comms already initialized");
        assert_eq!(client.stop_remote_comms().await, Ok(()));
        assert_eq!(message(client.reset_all_backoffs().await), "remote comms not initialized");
        assert_eq!(initialize().await, Ok(()));
        assert_eq!(network.asked().len(), 3, "initialize, stop, initialize; the rest never reached it");
    });
}

#[test]
fn after_a_failed_start_comms_may_be_initialized_again() {
    run(async {
        let joined = joined();
        let Joined { client, network, .. } = &joined;
        let initialize =
            || client.initialize_remote_comms("00".into(), RemoteCommsOptions::default(), incarnation("i"));
        *network.on_initialize.borrow_mut() = Some(Box::new(|()| failed(RemoteError::NetworkStopped)));
        assert_eq!(initialize().await, Err(RemoteError::NetworkStopped));
        assert_eq!(client.reset_all_backoffs().await.unwrap_err().to_string(), "remote comms not initialized");

        // Two attempts, the first of which fails only after it was stopped: the second stands.
        let (fail, failing) = later::<Result<(), RemoteError>>();
        let failing = RefCell::new(Some(async move { failing.await? }.boxed_local()));
        *network.on_initialize.borrow_mut() = Some(Box::new(move |()| failing.take().unwrap_or_else(|| ready(()))));
        let first = initialize();
        client.stop_remote_comms().await.unwrap();
        initialize().await.unwrap();
        fail.send(Err(RemoteError::NetworkStopped)).unwrap();
        assert_eq!(first.await, Err(RemoteError::NetworkStopped));
        assert_eq!(client.reset_all_backoffs().await, Ok(()));
    });
}

#[test]
fn a_vat_is_launched_once_and_its_port_comes_with_the_answer() {
    run(async {
        let joined = joined();
        let Joined { client, vats, .. } = &joined;
        let launch = |vat: &str| client.launch(vat.into(), json!({ "bundleSpec": "a.bundle" }));
        let name = |error: RemoteError| error.name().to_owned();
        assert_eq!(launch("v1").await, Ok(r#"port of v1 from "a.bundle""#.to_owned()));
        assert_eq!(launch("v1").await.map_err(name), Err("VatAlreadyExistsError".into()));
        assert_eq!(client.terminate("v2".into()).await.map_err(name), Err("VatNotFoundError".into()));
        assert_eq!(client.terminate("v1".into()).await, Ok(()));
        assert_eq!(client.terminate("v1".into()).await.map_err(name), Err("VatNotFoundError".into()));

        vats.broken.set(true);
        assert_eq!(launch("v1").await.unwrap_err().to_string(), "no Worker");
        vats.broken.set(false);
        let both = futures::future::join(launch("v1"), launch("v2")).await;
        assert!(both.0.is_ok() && both.1.is_ok());
        assert_eq!(client.terminate_all().await, Ok(()));
        assert_eq!(*vats.running.borrow(), Vec::<String>::new());
        assert!(launch("v1").await.is_ok(), "it may be launched again");
    });
}

#[test]
fn ten_thousand_calls_at_once_take_effect_in_order() {
    run(async {
        let joined = initialized().await;
        let Joined { client, network, .. } = &joined;
        let calls: Vec<_> = (0..10_000).map(|number| client.send_remote_message(peer(1), number.to_string())).collect();
        for call in calls {
            call.await.unwrap();
        }
        let expected: Vec<_> = (0..10_000).map(|number| format!("send {number}")).collect();
        assert_eq!(network.asked(), expected);
    });
}

#[test]
fn a_slow_request_delays_only_its_own_answer() {
    run(async {
        let joined = initialized().await;
        let Joined { client, network, .. } = &joined;
        let (finish, slow) = later();
        let slow = RefCell::new(Some(slow));
        *network.on_send.borrow_mut() = Some(Box::new(move |_| slow.take().unwrap_or_else(|| ready(()))));
        let first = client.send_remote_message(peer(1), "first".into());
        let second = client.send_remote_message(peer(1), "second".into());
        second.await.unwrap();
        assert_eq!(network.asked(), ["send first", "send second"], "started in order, answered out of it");
        finish.send(()).unwrap();
        first.await.unwrap();
    });
}

#[test]
fn a_call_is_made_even_if_nobody_waits_for_its_answer() {
    run(async {
        let joined = initialized().await;
        let Joined { client, network, .. } = &joined;
        drop(client.send_remote_message(peer(1), "fire and forget".into()));
        settle().await;
        assert_eq!(network.asked(), ["send fire and forget"]);
    });
}

/// The network asks for a verdict while it handles a send, the kernel sends while it thinks about the verdict.
#[test]
fn two_ends_that_wait_for_each_other_do_not_block() {
    run(async {
        let joined = initialized().await;
        let Joined { kernel, client, network, server, .. } = &joined;
        let asking = Rc::downgrade(server);
        *network.on_send.borrow_mut() = Some(Box::new(move |message| {
            if message != "first" {
                return ready(());
            }
            let server = asking.upgrade().unwrap();
            async move {
                match server.remote_incarnation_change(peer(1), incarnation("i-2")).await {
                    Ok(false) => Ok(()),
                    _ => Err(RemoteError::PeerRestarted(peer(1))),
                }
            }
            .boxed_local()
        }));
        let sending = Rc::downgrade(client);
        *kernel.on_incarnation.borrow_mut() = Some(Box::new(move |_| {
            let sent = sending.upgrade().unwrap().send_remote_message(peer(1), "second".into());
            async move { sent.await.map(|()| true) }.boxed_local()
        }));
        let first = client.send_remote_message(peer(1), "first".into());
        assert_eq!(first.await, Err(RemoteError::PeerRestarted(peer(1))));
        assert_eq!(*kernel.told.borrow(), ["incarnation i-2"]);
        assert_eq!(network.asked(), ["send first", "send second"]);
    });
}

/// What the kernel sends while it is asked reaches the network before the verdict, what it sends afterwards after it.
#[test]
fn sends_around_a_verdict_keep_their_place() {
    run(async {
        let joined = initialized().await;
        let Joined { kernel, client, network, server, .. } = &joined;
        let sending = Rc::downgrade(client);
        *kernel.on_incarnation.borrow_mut() = Some(Box::new(move |_| {
            let client = sending.upgrade().unwrap();
            drop(client.send_remote_message(peer(1), "before".into()));
            let after = Rc::clone(&client);
            // Runs only once the verdict is given.
            tokio::task::spawn_local(async move { drop(after.send_remote_message(peer(1), "after".into())) });
            ready(true)
        }));
        let restarted = server.remote_incarnation_change(peer(1), incarnation("i-2")).await;
        network.note(format!("verdict {restarted:?}")).await.unwrap();
        settle().await;
        assert_eq!(network.asked(), ["send before", "verdict Ok(true)", "send after"]);
    });
}

#[test]
fn closing_either_end_rejects_what_waits_and_lets_the_services_go() {
    run(async {
        let Joined { kernel, client, network, vats, server } = initialized().await;
        let (_never, waiting) = later();
        let waiting = RefCell::new(Some(waiting));
        *network.on_send.borrow_mut() = Some(Box::new(move |_| waiting.take().unwrap()));
        let call = client.send_remote_message(peer(1), "x".into());
        tokio::time::sleep(Duration::from_millis(10)).await;
        server.close();
        let error = call.await.unwrap_err();
        assert_eq!(
            (error.name(), error.to_string().as_str()),
            ("BridgeClosedError", "the bridge is closed: the other end closed it")
        );
        assert_eq!(client.reset_all_backoffs().await.unwrap_err().name(), "BridgeClosedError");
        let verdict = server.remote_incarnation_change(peer(1), incarnation("i")).await;
        assert_eq!(verdict.unwrap_err().name(), "BridgeClosedError", "no bridge, no verdict");
        assert_eq!(Rc::strong_count(&kernel), 1);
        assert_eq!((Rc::strong_count(&network), Rc::strong_count(&vats)), (1, 1));
    });
}

#[test]
fn dropping_an_end_closes_the_bridge() {
    run(async {
        let Joined { client, server, .. } = joined();
        client.reset_all_backoffs().await.unwrap_err();
        drop(server);
        settle().await;
        assert_eq!(client.reset_all_backoffs().await.unwrap_err().name(), "BridgeClosedError");
    });
}
