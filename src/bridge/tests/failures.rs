use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::bridge::{
    MemoryPort, PlatformServicesClient, PlatformServicesServer, Port, PortError, PortEvent, PortListener, memory_ports,
};

/// A message, with what was transferred along.
type Heard = (Value, Option<String>);

/// The other end as a test plays it: says what the test says, and remembers what it hears.
struct Played {
    port: MemoryPort<String>,
    heard: Rc<RefCell<Vec<Heard>>>,
}

impl Played {
    fn at(port: MemoryPort<String>) -> Self {
        let heard = Rc::new(RefCell::new(Vec::new()));
        let hearing = Rc::clone(&heard);
        port.listen(Box::new(move |event| {
            if let PortEvent::Message { message, transfer } = event {
                hearing.borrow_mut().push((message, transfer));
            }
        }));
        Played { port, heard }
    }

    async fn say(&self, message: Value) {
        self.port.post(message, None).unwrap();
        settle().await;
    }

    /// What was heard since the last time.
    fn heard(&self) -> Vec<Value> {
        self.heard.take().into_iter().map(|(message, _)| message).collect()
    }

    async fn open(&self) {
        self.say(json!({ "@@Syn": true })).await;
        self.say(json!({ "@@Ack": true })).await;
        let heard = self.heard();
        assert_eq!(heard[..2], [json!({ "@@Syn": true }), json!({ "@@Ack": true })]);
        // A notification, which whoever knows nothing of it ignores.
        assert_eq!((heard.len(), heard[2].get("id"), &heard[2]["method"]), (3, None, &json!("bridgeExtensions")));
    }

    /// Asks, and gives back the answer.
    async fn ask(&self, method: &str, params: Value) -> Value {
        self.say(json!({ "jsonrpc": "2.0", "id": "x1", "method": method, "params": params })).await;
        let mut heard = self.heard();
        assert_eq!(heard.len(), 1, "{heard:?}");
        assert_eq!((&heard[0]["jsonrpc"], &heard[0]["id"]), (&json!("2.0"), &json!("x1")));
        heard.remove(0)
    }
}

/// A network's end whose kernel is played by the test.
async fn network_end() -> (Rc<Network>, Rc<VatHost>, PlatformServicesServer<MemoryPort<String>>, Played) {
    let (port, other) = memory_ports(runtime(), Duration::from_millis(1));
    let (network, vats) = (Rc::<Network>::default(), Rc::<VatHost>::default());
    let server = PlatformServicesServer::new(port, runtime());
    server.start(Rc::clone(&network) as _, Some(Rc::clone(&vats) as _));
    let kernel = Played::at(other);
    kernel.open().await;
    (network, vats, server, kernel)
}

/// A kernel's end whose network is played by the test.
async fn kernel_end() -> (Rc<Kernel>, PlatformServicesClient<MemoryPort<String>>, Played) {
    let (port, other) = memory_ports(runtime(), Duration::from_millis(1));
    let kernel = Rc::<Kernel>::default();
    let client = PlatformServicesClient::new(port, runtime());
    client.start(Rc::clone(&kernel) as _, || {});
    let network = Played::at(other);
    network.open().await;
    (kernel, client, network)
}

#[test]
fn the_kernels_calls_have_the_shapes_that_the_incumbent_reads() {
    run(async {
        let (_kernel, client, network) = kernel_end().await;
        let id = peer(1).to_string();
        let options = RemoteCommsOptions { max_queue: 7, relays: vec!["/r".into()], ..RemoteCommsOptions::default() };
        drop(client.initialize_remote_comms("5eed".into(), options, incarnation("i-1")));
        drop(client.stop_remote_comms());
        drop(client.send_remote_message(peer(1), "hello".into()));
        drop(client.close_connection(peer(1)));
        drop(client.register_location_hints(peer(1), vec!["/h".into()]));
        drop(client.reconnect_peer(peer(1), vec![]));
        drop(client.reset_all_backoffs());
        drop(client.launch("v1".into(), json!({ "bundleSpec": "b" })));
        drop(client.terminate("v1".into()));
        drop(client.terminate_all());
        settle().await;
        let expected = [
            // The incumbent refuses members that it does not know, so options at their defaults stay at home.
            (
                "initializeRemoteComms",
                json!({ "keySeed": "5eed", "relays": ["/r"], "maxQueue": 7, "incarnationId": "i-1" }),
            ),
            ("stopRemoteComms", json!([])),
            ("sendRemoteMessage", json!({ "to": id, "message": "hello" })),
            ("closeConnection", json!({ "peerId": id })),
            ("registerLocationHints", json!({ "peerId": id, "hints": ["/h"] })),
            ("reconnectPeer", json!({ "peerId": id, "hints": [] })),
            ("resetAllBackoffs", json!([])),
            ("launch", json!({ "vatId": "v1", "vatConfig": { "bundleSpec": "b" } })),
            ("terminate", json!({ "vatId": "v1" })),
            ("terminateAll", json!([])),
        ];
        let heard = network.heard();
        assert_eq!(heard.len(), expected.len());
        for (number, (message, (method, params))) in heard.into_iter().zip(expected).enumerate() {
            let id = format!("m{}", number + 1);
            assert_eq!(message, json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }));
        }
    });
}

#[test]
fn the_networks_calls_have_the_shapes_that_the_incumbent_reads() {
    run(async {
        let (_network, _vats, server, kernel) = network_end().await;
        let id = peer(1).to_string();
        drop(server.remote_deliver(peer(1), "hello".into()));
        drop(server.remote_give_up(peer(1)));
        drop(server.remote_incarnation_change(peer(1), incarnation("i-2")));
        settle().await;
        let expected = [
            ("vws:1", "remoteDeliver", json!({ "from": id, "message": "hello" })),
            ("vws:2", "remoteGiveUp", json!({ "peerId": id })),
            ("vws:3", "remoteIncarnationChange", json!({ "peerId": id, "observedIncarnation": "i-2" })),
        ];
        let expected = expected
            .map(|(id, method, params)| json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }));
        assert_eq!(kernel.heard(), expected);
    });
}

#[test]
fn results_are_null_and_a_launch_transfers_a_port() {
    run(async {
        let (_network, _vats, _server, kernel) = network_end().await;
        let done = json!({ "jsonrpc": "2.0", "id": "x1", "result": null });
        assert_eq!(kernel.ask("initializeRemoteComms", json!({ "keySeed": "00", "incarnationId": "i" })).await, done);
        assert_eq!(kernel.ask("resetAllBackoffs", json!([])).await, done);
        kernel
            .say(json!({ "jsonrpc": "2.0", "id": "x1", "method": "launch", "params": { "vatId": "v1", "vatConfig": { "bundleSpec": "b" } } }))
            .await;
        assert_eq!(kernel.heard.take(), [(done, Some(r#"port of v1 from "b""#.to_owned()))]);
    });
}

#[test]
fn an_incarnation_that_is_left_out_is_a_random_one() {
    run(async {
        let (network, _vats, _server, kernel) = network_end().await;
        kernel.ask("initializeRemoteComms", json!({ "keySeed": "00" })).await;
        let asked = network.asked();
        let chosen = asked[0].rsplit(' ').next().unwrap();
        assert_eq!((chosen.len(), chosen.as_bytes()[14]), (36, b'4'), "{chosen} is a UUID v4");
    });
}

#[test]
fn unknown_methods_are_refused_on_both_sides() {
    run(async {
        let (_network, _vats, _server, asking) = network_end().await;
        let (_kernel, _client, asked) = kernel_end().await;
        for (end, method) in [(&asking, "remoteDeliver"), (&asked, "launch"), (&asked, ""), (&asking, "__proto__")] {
            let answer = end.ask(method, json!([])).await;
            assert_eq!(answer["error"]["code"], -32601, "{answer}");
        }
    });
}

#[test]
fn a_network_without_vats_does_not_know_their_methods() {
    run(async {
        let (port, other) = memory_ports::<String>(runtime(), Duration::ZERO);
        let server = PlatformServicesServer::new(port, runtime());
        server.start(Rc::<Network>::default(), None);
        let kernel = Played::at(other);
        kernel.open().await;
        for (method, params) in [("launch", json!({ "vatId": "v1" })), ("terminateAll", json!([]))] {
            assert_eq!(kernel.ask(method, params).await["error"]["code"], -32601);
        }
    });
}

#[test]
fn params_of_the_wrong_type_are_refused_before_anything_happens() {
    run(async {
        let id = peer(1).to_string();
        let (network, _vats, _server, kernel) = network_end().await;
        for (method, params) in [
            ("initializeRemoteComms", json!([])),
            ("initializeRemoteComms", json!({ "keySeed": 5 })),
            ("initializeRemoteComms", json!({ "keySeed": "00", "maxQueue": "many" })),
            ("initializeRemoteComms", json!({ "keySeed": "00", "incarnationId": 1 })),
            ("initializeRemoteComms", json!({ "keySeed": "00", "incarnationId": "a b" })),
            ("sendRemoteMessage", json!({ "to": id })),
            ("sendRemoteMessage", json!({ "to": "nobody", "message": "x" })),
            ("sendRemoteMessage", json!({ "to": id, "message": { "a": 1 } })),
            ("sendRemoteMessage", json!("hello")),
            ("registerLocationHints", json!({ "peerId": id, "hints": ["a", 1] })),
            ("reconnectPeer", json!({ "peerId": id })),
            ("closeConnection", json!(null)),
            ("stopRemoteComms", json!([1])),
            ("resetAllBackoffs", json!({})),
            ("launch", json!({ "vatId": 1 })),
            ("terminate", json!({})),
        ] {
            let answer = kernel.ask(method, params.clone()).await;
            assert_eq!(answer["error"]["code"], -32602, "{method} {params}: {answer}");
        }
        assert_eq!(network.asked(), Vec::<String>::new());

        let (kernel, _client, network) = kernel_end().await;
        for (method, params) in [
            ("remoteDeliver", json!({ "from": id })),
            ("remoteDeliver", json!({ "from": 1, "message": "x" })),
            ("remoteGiveUp", json!([id])),
            ("remoteIncarnationChange", json!({ "peerId": id, "observedIncarnation": "" })),
            ("remoteIncarnationChange", json!({ "peerId": id })),
        ] {
            let answer = network.ask(method, params.clone()).await;
            assert_eq!(answer["error"]["code"], -32602, "{method} {params}: {answer}");
        }
        assert_eq!(*kernel.told.borrow(), Vec::<String>::new());
    });
}

#[test]
fn an_error_never_quotes_the_key_seed() {
    run(async {
        let (_network, _vats, _server, kernel) = network_end().await;
        for params in [json!({ "keySeed": ["s3cret"] }), json!({ "keySeed": "s3cret", "maxQueue": -1 })] {
            let answer = kernel.ask("initializeRemoteComms", params).await;
            assert!(answer["error"].is_object() && !answer.to_string().contains("s3cret"), "{answer}");
        }
    });
}

#[test]
fn garbage_on_the_port_disturbs_nothing() {
    run(async {
        let (network, _vats, _server, kernel) = network_end().await;
        let sending = json!({ "keySeed": "00" });
        kernel.ask("initializeRemoteComms", sending).await;
        network.asked();
        for garbage in [
            json!(null),
            json!(0),
            json!("@@Syn"),
            json!([[[]]]),
            json!({ "type": "devtools" }),
            json!({ "jsonrpc": "3.0", "id": "x1", "method": "stopRemoteComms" }),
            json!({ "jsonrpc": "2.0" }),
            json!({ "jsonrpc": "2.0", "id": "vws:1", "result": null }),
            json!({ "jsonrpc": "2.0", "id": { "a": 1 }, "method": "stopRemoteComms" }),
            json!({ "@@Ack": true }),
            json!({ "@@Syn": "yes" }),
        ] {
            kernel.say(garbage).await;
        }
        assert_eq!((kernel.heard(), network.asked()), (vec![], vec![]));
        let answer = kernel.ask("sendRemoteMessage", json!({ "to": peer(1).as_str(), "message": "still here" })).await;
        assert_eq!((&answer["result"], network.asked()), (&Value::Null, vec!["send still here".to_owned()]));
    });
}

#[test]
fn a_verdict_that_is_no_boolean_is_no_verdict() {
    run(async {
        let (_network, _vats, server, kernel) = network_end().await;
        for (number, result) in [json!(null), json!("true"), json!(1), json!({})].into_iter().enumerate() {
            let verdict = server.remote_incarnation_change(peer(1), incarnation("i"));
            kernel.say(json!({ "jsonrpc": "2.0", "id": format!("vws:{}", number + 1), "result": result })).await;
            assert_eq!(verdict.await.unwrap_err().name(), "BridgeResultError");
        }
        let verdict = server.remote_incarnation_change(peer(1), incarnation("i"));
        kernel.say(json!({ "jsonrpc": "2.0", "id": "vws:5" })).await;
        assert_eq!(verdict.await.unwrap_err().name(), "BridgeResultError");
        let delivered = server.remote_deliver(peer(1), "x".into());
        kernel.say(json!({ "jsonrpc": "2.0", "id": "vws:6", "result": false })).await;
        assert_eq!(delivered.await.unwrap_err().name(), "BridgeResultError");
    });
}

#[test]
fn a_result_that_should_be_null_or_a_port_and_is_not_is_an_error() {
    run(async {
        let (_kernel, client, network) = kernel_end().await;
        let sent = client.send_remote_message(peer(1), "x".into());
        network.say(json!({ "jsonrpc": "2.0", "id": "m1", "result": "sent" })).await;
        assert_eq!(sent.await.unwrap_err().to_string(), "the answer to sendRemoteMessage is not null");
        let port = client.launch("v1".into(), json!({}));
        network.say(json!({ "jsonrpc": "2.0", "id": "m2", "result": null })).await;
        assert_eq!(port.await.unwrap_err().to_string(), "the answer to launch is not a transferred port");
    });
}

/// The kernel is reloaded while the network waits for a verdict and while a message of the kernel is being sent.
#[test]
fn a_reloaded_kernel_begins_anew() {
    run(async {
        let (network, vats, server, kernel) = network_end().await;
        kernel.ask("initializeRemoteComms", json!({ "keySeed": "00" })).await;
        kernel.say(json!({ "jsonrpc": "2.0", "id": "x2", "method": "launch", "params": { "vatId": "v1" } })).await;
        let (finish, sending) = later();
        let sending = RefCell::new(Some(sending));
        *network.on_send.borrow_mut() = Some(Box::new(move |_| sending.take().unwrap()));
        let to = peer(1).to_string();
        kernel
            .say(json!({ "jsonrpc": "2.0", "id": "m3", "method": "sendRemoteMessage", "params": { "to": to, "message": "x" } }))
            .await;
        let verdict = server.remote_incarnation_change(peer(1), incarnation("i-2"));
        settle().await;
        kernel.heard();
        network.asked();

        kernel.say(json!({ "@@Syn": true })).await;
        assert_eq!(verdict.await.unwrap_err().name(), "BridgeReloadedError", "no answer, no verdict");
        assert_eq!(network.asked(), ["stop"]);
        assert_eq!(*vats.running.borrow(), Vec::<String>::new());
        // Not for the new kernel: the answer to the former one's request, and what it may find of the former one's.
        finish.send(()).unwrap();
        kernel.say(json!({ "jsonrpc": "2.0", "id": "vws:1", "result": false })).await;
        let waiting = server.remote_deliver(peer(1), "for the new kernel".into());
        assert_eq!(kernel.heard(), [json!({ "@@Ack": true })]);

        kernel.say(json!({ "@@Ack": true })).await;
        let delivered = kernel.heard();
        assert_eq!((&delivered[1]["id"], delivered.len()), (&json!("vws:2"), 2));
        kernel.say(json!({ "jsonrpc": "2.0", "id": "vws:2", "result": null })).await;
        assert_eq!(waiting.await, Ok(None));
        for (method, params) in [
            ("initializeRemoteComms", json!({ "keySeed": "00" })),
            ("launch", json!({ "vatId": "v1", "vatConfig": {} })),
        ] {
            assert_eq!(kernel.ask(method, params).await["result"], Value::Null);
        }
    });
}

#[test]
fn a_reloaded_network_rejects_the_kernels_calls_and_opens_again() {
    run(async {
        let (_kernel, client, network) = kernel_end().await;
        let lost = client.send_remote_message(peer(1), "lost".into());
        settle().await;
        network.heard();
        network.say(json!({ "@@Syn": true })).await;
        let error = lost.await.unwrap_err();
        assert_eq!((error.name(), error.is_terminal()), ("BridgeReloadedError", false));
        let next = client.send_remote_message(peer(1), "next".into());
        network.say(json!({ "@@Ack": true })).await;
        assert_eq!(network.heard()[2]["params"]["message"], "next");
        network.say(json!({ "jsonrpc": "2.0", "id": "m2", "result": null })).await;
        assert_eq!(next.await, Ok(()));
    });
}

/// What an end of ours would say after the opening.
fn extensions() -> Value {
    json!({ "jsonrpc": "2.0", "method": "bridgeExtensions", "params": { "batches": true, "calls": 100 } })
}

#[test]
fn what_is_sent_in_one_turn_is_posted_together_to_an_end_that_takes_it_and_in_order() {
    run(async {
        let (_kernel, client, network) = kernel_end().await;
        let burst = |numbers: std::ops::Range<u32>| {
            numbers.for_each(|number| drop(client.send_remote_message(peer(1), number.to_string())));
        };
        let texts = |messages: &Value| {
            let messages = messages.as_array().expect("a batch").iter();
            messages.map(|message| message["params"]["message"].clone()).collect::<Vec<_>>()
        };
        burst(0..3);
        settle().await;
        assert_eq!(network.heard().len(), 3, "one by one to an end that said nothing");
        network.say(extensions()).await;
        burst(3..6);
        drop(client.close_connection(peer(1)));
        burst(6..8);
        settle().await;
        let heard = network.heard();
        assert_eq!(heard.len(), 3, "{heard:?}");
        assert_eq!(texts(&heard[0]), ["3", "4", "5"]);
        assert_eq!(heard[1]["method"], "closeConnection");
        assert_eq!(texts(&heard[2]), ["6", "7"]);
        // The next network has not said so.
        network.say(json!({ "@@Syn": true })).await;
        network.say(json!({ "@@Ack": true })).await;
        network.heard();
        burst(8..10);
        settle().await;
        assert_eq!(network.heard().len(), 2);
    });
}

#[test]
fn what_comes_together_is_answered_together_and_verdicts_by_themselves() {
    run(async {
        let (kernel, _client, network) = kernel_end().await;
        let from = peer(1).to_string();
        let deliver = |id: u32| json!({ "jsonrpc": "2.0", "id": id, "method": "remoteDeliver", "params": { "from": from, "message": "x" } });
        let question = json!({ "jsonrpc": "2.0", "id": 3, "method": "remoteIncarnationChange",
            "params": { "peerId": from, "observedIncarnation": "i" } });
        let answer = |id: u32, result: Value| json!({ "jsonrpc": "2.0", "id": id, "result": result });
        let batch = json!([deliver(1), deliver(2), question, deliver(4), deliver(5)]);
        network.say(batch.clone()).await;
        assert_eq!(network.heard().len(), 5, "one by one to an end that said nothing");
        network.say(extensions()).await;
        network.say(batch).await;
        let expected = [
            json!([answer(1, json!(null)), answer(2, json!(null))]),
            answer(3, json!(false)),
            json!([answer(4, json!(null)), answer(5, json!(null))]),
        ];
        assert_eq!(network.heard(), expected);
        assert_eq!(kernel.told.borrow().len(), 10);
    });
}

#[test]
fn a_batch_that_cannot_be_posted_fails_each_of_its_calls() {
    run(async {
        let (port, other) = memory_ports(runtime(), Duration::from_millis(1));
        let client = PlatformServicesClient::new(NoBatches(port), runtime());
        client.start(Rc::<Kernel>::default(), || {});
        let network = Played::at(other);
        network.open().await;
        network.say(extensions()).await;
        let calls: Vec<_> = (0..4).map(|number| client.send_remote_message(peer(1), number.to_string())).collect();
        // The first was alone, and posted at once.
        network.say(json!({ "jsonrpc": "2.0", "id": "m1", "result": null })).await;
        let outcomes = futures::future::join_all(calls).await;
        let names: Vec<_> = outcomes.iter().map(|outcome| outcome.as_ref().map_err(RemoteError::name)).collect();
        assert_eq!(names, [Ok(&()), Err("BridgePostError"), Err("BridgePostError"), Err("BridgePostError")]);
    });
}

/// What was heard, pings and others apart.
fn pings_and_others(network: &Played) -> (Vec<Value>, Vec<Value>) {
    network.heard().into_iter().partition(|message| message["method"] == "bridgePing")
}

#[test]
fn calls_to_an_end_that_is_gone_are_rejected() {
    run(async {
        let (_kernel, client, network) = kernel_end().await;
        let waits = client.send_remote_message(peer(1), "to an end that may know no pings".into());
        settle().await;
        assert_eq!(pings_and_others(&network).0.len(), 0);
        let begun = tokio::time::Instant::now();
        let params = json!({ "pings": true });
        network.port.post(json!({ "jsonrpc": "2.0", "method": "bridgeExtensions", "params": params }), None).unwrap();
        let error = waits.await.unwrap_err();
        assert_eq!(error.name(), "BridgeUnresponsiveError");
        assert_eq!(begun.elapsed().as_secs(), 15);
        settle().await;
        assert_eq!(pings_and_others(&network).0.len(), 1, "when nobody waits nobody asks");
        // The bridge stays open for an end that comes back.
        let next = client.send_remote_message(peer(1), "next".into());
        settle_a_little().await;
        let (_, heard) = pings_and_others(&network);
        network.say(json!({ "jsonrpc": "2.0", "id": heard[0]["id"], "result": null })).await;
        assert_eq!(next.await, Ok(()));
    });
}

#[test]
fn an_end_that_answers_pings_is_waited_for() {
    run(async {
        let (_kernel, client, network) = kernel_end().await;
        let params = json!({ "pings": true });
        network.say(json!({ "jsonrpc": "2.0", "method": "bridgeExtensions", "params": params })).await;
        let dials = client.send_remote_message(peer(1), "x".into());
        settle_a_little().await;
        let (_, heard) = pings_and_others(&network);
        for _ in 0..10 {
            tokio::time::sleep(Duration::from_secs(10)).await;
            let (pings, _) = pings_and_others(&network);
            assert!(!pings.is_empty());
            for ping in pings {
                network.port.post(json!({ "jsonrpc": "2.0", "id": ping["id"], "result": null }), None).unwrap();
            }
        }
        network.port.post(json!({ "jsonrpc": "2.0", "id": heard[0]["id"], "result": null }), None).unwrap();
        assert_eq!(dials.await, Ok(()));
    });
}

async fn settle_a_little() {
    tokio::time::sleep(Duration::from_secs(1)).await;
}

#[test]
fn pings_are_answered_at_once_whatever_runs() {
    run(async {
        let (_network, _vats, _server, kernel) = network_end().await;
        assert_eq!(kernel.ask("bridgePing", json!([])).await["result"], Value::Null);
        kernel.say(json!({ "jsonrpc": "2.0", "method": "bridgePing" })).await;
        assert_eq!(kernel.heard(), Vec::<Value>::new());
    });
}

/// Refuses every batch.
struct NoBatches(MemoryPort<String>);

impl Port for NoBatches {
    type Transfer = String;

    fn post(&self, message: Value, transfer: Option<String>) -> Result<(), PortError> {
        if message.is_array() {
            return Err(PortError::Refused("too much".into()));
        }
        self.0.post(message, transfer)
    }

    fn listen(&self, listener: PortListener<String>) {
        self.0.listen(listener);
    }

    fn close(&self) {
        self.0.close();
    }
}

#[test]
fn a_port_that_goes_away_ends_the_bridge() {
    run(async {
        let (_kernel, client, network) = kernel_end().await;
        let call = client.send_remote_message(peer(1), "x".into());
        drop(network);
        let error = call.await.unwrap_err();
        assert_eq!(
            (error.name(), error.to_string().as_str()),
            ("BridgeClosedError", "the bridge is closed: the port was closed")
        );
    });
}

#[test]
fn calls_at_an_end_that_is_dropped_before_it_opens_are_rejected() {
    run(async {
        let (port, _other) = memory_ports::<String>(runtime(), Duration::ZERO);
        let client = PlatformServicesClient::new(port, runtime());
        let held = client.reset_all_backoffs();
        drop(client);
        assert_eq!(held.await.unwrap_err().name(), "BridgeClosedError");
    });
}

/// A port that takes nothing, like a `chrome.runtime.Port` after its end.
struct Refusing;

impl Port for Refusing {
    type Transfer = String;

    fn post(&self, _message: Value, _transfer: Option<String>) -> Result<(), PortError> {
        Err(PortError::Refused("disconnected".into()))
    }

    fn listen(&self, listener: PortListener<String>) {
        listener(PortEvent::Message { message: json!({ "@@Syn": true }), transfer: None });
        tokio::task::spawn_local(async move {
            listener(PortEvent::Message { message: json!({ "@@Ack": true }), transfer: None });
        });
    }

    fn close(&self) {}
}

#[test]
fn a_call_that_the_port_refuses_fails() {
    run(async {
        let client = PlatformServicesClient::new(Refusing, runtime());
        client.start(Rc::<Kernel>::default(), || {});
        let error = client.reset_all_backoffs().await.unwrap_err();
        assert_eq!(error.to_string(), "the message could not be posted: disconnected");
    });
}
