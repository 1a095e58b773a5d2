//! Each half of the bridge in Chromium against an end in plain JavaScript that follows protocol §9 and knows nothing of ours.
#![cfg(all(target_arch = "wasm32", target_os = "unknown"))]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // clippy knows tests by #[test] only

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

use browser_tests::services::{Kernel, Network, Vats, pause, peer, runtime};
use futures::future::join_all;
use ocap_remotes::{
    bridge::{
        BrowserPort, KernelServices as _, PlatformServices as _, PlatformServicesClient, PlatformServicesServer,
        VatWorkerService as _,
    },
    wire::RemoteCommsOptions,
};
use serde_json::{Value, json};
use wasm_bindgen::{JsCast as _, prelude::*};
use wasm_bindgen_test::{wasm_bindgen_test, wasm_bindgen_test_configure};
use web_sys::{MessageChannel, MessagePort};

wasm_bindgen_test_configure!(run_in_browser);

#[wasm_bindgen(module = "/plain-end.js")]
extern "C" {
    type PlainEnd;
    #[wasm_bindgen(constructor)]
    fn new(target: &JsValue) -> PlainEnd;
    #[wasm_bindgen(method)]
    fn vanish(this: &PlainEnd);
    #[wasm_bindgen(method, js_name = call)]
    async fn call_with(this: &PlainEnd, id: JsValue, method: &str, params: JsValue) -> JsValue;
    #[wasm_bindgen(method)]
    fn post(this: &PlainEnd, message: JsValue);
    #[wasm_bindgen(method)]
    fn answer(this: &PlainEnd, result: JsValue);
    #[wasm_bindgen(method, getter, structural)]
    fn violations(this: &PlainEnd) -> JsValue;
    #[wasm_bindgen(method, getter, structural)]
    fn heard(this: &PlainEnd) -> JsValue;
    #[wasm_bindgen(method, getter, structural)]
    fn answers(this: &PlainEnd) -> JsValue;
    #[wasm_bindgen(method, getter, structural, js_name = reloadsSeen)]
    fn reloads_seen(this: &PlainEnd) -> u32;
    #[wasm_bindgen(method, getter, structural, js_name = isDone)]
    fn is_done(this: &PlainEnd) -> bool;

    type Cuttable;
    fn cuttable(port: &MessagePort) -> Cuttable;
    #[wasm_bindgen(method)]
    fn cut(this: &Cuttable);

    #[wasm_bindgen(js_name = plainWorker)]
    fn plain_worker() -> JsValue;
}

fn js(value: &Value) -> JsValue {
    js_sys::JSON::parse(&value.to_string()).unwrap()
}

fn json_of(value: &JsValue) -> Value {
    serde_json::from_str(&String::from(js_sys::JSON::stringify(value).unwrap())).unwrap()
}

impl PlainEnd {
    async fn ask(&self, id: Value, method: &str, params: Value) -> Value {
        json_of(&self.call_with(js(&id), method, js(&params)).await)
    }

    /// What it is to answer to a method; `"a port"` for a port.
    fn answers_to(&self, method: &str, answer: Value) {
        js_sys::Reflect::set(&self.answers(), &method.into(), &js(&answer)).unwrap();
    }

    fn saw_nothing_strange(&self) {
        assert_eq!(json_of(&self.violations()), json!([]));
    }
}

/// Our network's end, and a plain kernel's.
fn network_end() -> (Rc<Network>, Rc<Vats>, PlatformServicesServer<BrowserPort>, PlainEnd, MessageChannel) {
    let channel = MessageChannel::new().unwrap();
    let (network, vats) = (Rc::<Network>::default(), Rc::<Vats>::default());
    let server = PlatformServicesServer::new(BrowserPort::new(channel.port1()).unwrap(), runtime());
    server.start(Rc::clone(&network) as _, Some(Rc::clone(&vats) as _));
    let kernel = PlainEnd::new(&channel.port2());
    (network, vats, server, kernel, channel)
}

/// Our kernel's end, and a plain network's.
fn kernel_end() -> (PlatformServicesClient<BrowserPort>, Rc<Cell<u32>>, PlainEnd, MessageChannel) {
    let channel = MessageChannel::new().unwrap();
    let client = PlatformServicesClient::new(BrowserPort::new(channel.port1()).unwrap(), runtime());
    let reloads = Rc::<Cell<u32>>::default();
    let seen = Rc::clone(&reloads);
    client.start(Rc::<Kernel>::default(), move || seen.set(seen.get() + 1));
    let network = PlainEnd::new(&channel.port2());
    (client, reloads, network, channel)
}

#[wasm_bindgen_test]
async fn our_network_serves_a_plain_kernel() {
    let (network, _vats, server, kernel, _channel) = network_end();
    let to = peer().to_string();
    let done = json!({ "result": null });
    let failed = |answer: &Value, code: i64, name: &str, message: &str| {
        let error = &answer["error"];
        assert_eq!((&error["code"], &error["data"]["cause"]["name"]), (&json!(code), &json!(name)), "{answer}");
        assert!(error["message"].as_str().unwrap().contains(message), "{answer}");
    };
    let send = |message: &str| json!({ "to": to, "message": message });

    let early = kernel.ask(json!("m1"), "sendRemoteMessage", send("x")).await;
    failed(&early, -32603, "Error", "remote comms not initialized");
    let options = json!({ "keySeed": "00", "relays": [], "maxQueue": 7 });
    assert_eq!(kernel.ask(json!("m2"), "initializeRemoteComms", options.clone()).await, done);
    let again = kernel.ask(json!("m3"), "initializeRemoteComms", options).await;
    failed(&again, -32603, "Error", "remote comms already initialized");

    // Ids are the caller's affair.
    for (number, id) in
        [json!("m4"), json!(5), json!(0), json!("any \u{1f980}"), json!(-7), json!(null)].iter().enumerate()
    {
        assert_eq!(kernel.ask(id.clone(), "sendRemoteMessage", send(&number.to_string())).await, done, "{id}");
    }
    assert_eq!(*network.sent.borrow(), ["0", "1", "2", "3", "4", "5"]);
    let long = "long \u{1f980} ".repeat(20_000);
    assert_eq!(kernel.ask(json!("long"), "sendRemoteMessage", send(&long)).await, done);
    assert_eq!(network.sent.borrow_mut().pop(), Some(long));

    let restarted = kernel.ask(json!("m5"), "sendRemoteMessage", send("")).await;
    failed(&restarted, -32603, "PeerRestartedError", "restarted");
    assert_eq!(restarted["error"]["data"]["cause"]["data"], json!({ "peerId": to }));
    failed(&kernel.ask(json!("m6"), "toString", json!([])).await, -32601, "UnknownMethodError", "toString");
    for params in [json!([]), json!({}), json!({ "to": to }), json!({ "to": "x", "message": "x" })] {
        failed(
            &kernel.ask(json!("m7"), "sendRemoteMessage", params).await,
            -32602,
            "InvalidParamsError",
            "invalid params",
        );
    }
    for (method, params) in [
        ("closeConnection", json!({ "peerId": to })),
        ("registerLocationHints", json!({ "peerId": to, "hints": ["/a"] })),
        ("reconnectPeer", json!({ "peerId": to, "hints": [] })),
        ("resetAllBackoffs", json!([])),
        ("stopRemoteComms", json!([])),
    ] {
        assert_eq!(kernel.ask(json!(method), method, params).await, done, "{method}");
    }
    drop(server);
    pause(50).await;
    assert!(kernel.is_done());
    kernel.saw_nothing_strange();
}

#[wasm_bindgen_test]
async fn our_network_launches_vats_for_a_plain_kernel() {
    let (_network, vats, _server, kernel, _channel) = network_end();
    let launched = |vat: &str| json!({ "vatId": vat, "vatConfig": { "bundleSpec": "b" } });
    assert_eq!(kernel.ask(json!("m1"), "launch", launched("v1")).await, json!({ "result": null, "portSays": "pong" }));
    let again = kernel.ask(json!("m2"), "launch", launched("v1")).await;
    assert_eq!(again["error"]["data"]["cause"]["name"], "VatAlreadyExistsError");
    let unknown = kernel.ask(json!("m3"), "terminate", json!({ "vatId": "v2" })).await;
    assert_eq!(unknown["error"]["data"]["cause"]["name"], "VatNotFoundError");
    assert_eq!(kernel.ask(json!("m4"), "terminate", json!({ "vatId": "v1" })).await, json!({ "result": null }));
    for vat in ["v1", "v3"] {
        assert_eq!(kernel.ask(json!(vat), "launch", launched(vat)).await["portSays"], "pong");
    }
    assert_eq!(kernel.ask(json!("m5"), "terminateAll", json!([])).await, json!({ "result": null }));
    assert_eq!(kernel.ask(json!("m6"), "launch", launched("v3")).await["portSays"], "pong");
    assert_eq!(*vats.running.borrow(), ["v3"]);
    kernel.saw_nothing_strange();
}

#[wasm_bindgen_test]
async fn our_network_calls_a_plain_kernel_also_while_the_kernel_waits_for_it() {
    let (network, _vats, server, kernel, _channel) = network_end();
    let server = Rc::new(server);
    kernel.ask(json!("m1"), "initializeRemoteComms", json!({ "keySeed": "00", "maxQueue": 7 })).await;
    kernel.answers_to("remoteIncarnationChange", json!({ "result": true }));
    kernel.answers_to("remoteDeliver", json!({ "result": "reply" }));
    let error =
        json!({ "code": -32603, "message": "Internal", "data": { "cause": { "name": "MyError", "message": "no" } } });
    kernel.answers_to("remoteGiveUp", json!({ "error": error }));
    // A send asks for a verdict before it is done.
    let asking = Rc::clone(&server);
    *network.before_send.borrow_mut() = Some(Box::new(move || {
        let verdict = asking.remote_incarnation_change(peer(), "i-2".parse().unwrap());
        Box::pin(async move { assert_eq!(verdict.await, Ok(true)) })
    }));
    let sent = kernel.ask(json!("m2"), "sendRemoteMessage", json!({ "to": peer().as_str(), "message": "x" })).await;
    assert_eq!(sent, json!({ "result": null }));
    // Far more than share a post between ends of ours.
    let delivered = join_all((0..200).map(|number| server.remote_deliver(peer(), number.to_string()))).await;
    assert!(delivered.into_iter().all(|reply| reply == Ok(Some("reply".to_owned()))));
    let refused = server.remote_give_up(peer()).await.unwrap_err();
    assert_eq!((refused.name(), refused.to_string().as_str()), ("MyError", "no"));
    let heard = json_of(&kernel.heard());
    let asked = json!({ "peerId": peer().as_str(), "observedIncarnation": "i-2" });
    assert_eq!(heard[0], json!(["remoteIncarnationChange", asked]));
    for number in 0..200_usize {
        let expected = json!(["remoteDeliver", { "from": peer().as_str(), "message": number.to_string() }]);
        assert_eq!(heard[number + 1], expected);
    }
    kernel.saw_nothing_strange();
    network.before_send.take();
}

#[wasm_bindgen_test]
async fn our_network_ignores_notifications_and_garbage_of_a_plain_kernel() {
    let (network, _vats, _server, kernel, _channel) = network_end();
    kernel.ask(json!("m1"), "initializeRemoteComms", json!({ "keySeed": "00", "maxQueue": 7 })).await;
    for garbage in [
        json!({ "jsonrpc": "2.0", "method": "unknown" }),
        json!({ "jsonrpc": "2.0", "method": "sendRemoteMessage", "params": { "to": 1 } }),
        json!({ "jsonrpc": "2.0", "method": "bridgeExtensions", "params": "?" }),
        json!({ "jsonrpc": "2.0", "id": "vws:99", "result": null }),
        json!({ "jsonrpc": "2.0", "id": null, "error": { "code": 1, "message": "?" } }),
        json!({ "jsonrpc": "1.0", "id": 1, "method": "stopRemoteComms" }),
        json!([null, 1, [], { "jsonrpc": "2.0" }]),
        json!({ "@@Ack": true }),
        json!("text"),
    ] {
        kernel.post(js(&garbage));
    }
    let sent = kernel.ask(json!("m2"), "sendRemoteMessage", json!({ "to": peer().as_str(), "message": "here" })).await;
    assert_eq!(sent, json!({ "result": null }));
    assert_eq!(*network.sent.borrow(), ["here"]);
    kernel.saw_nothing_strange();
}

#[wasm_bindgen_test]
async fn a_plain_kernel_is_reloaded_and_finds_our_network_as_new() {
    let (network, vats, server, kernel, channel) = network_end();
    let options = json!({ "keySeed": "00", "maxQueue": 7 });
    kernel.ask(json!("m1"), "initializeRemoteComms", options.clone()).await;
    kernel.ask(json!("m2"), "launch", json!({ "vatId": "v1", "vatConfig": {} })).await;
    let verdict = server.remote_incarnation_change(peer(), "i-2".parse().unwrap());
    pause(20).await;
    kernel.vanish();

    let kernel = PlainEnd::new(&channel.port2());
    assert_eq!(verdict.await.unwrap_err().name(), "BridgeReloadedError");
    assert_eq!(kernel.ask(json!("m1"), "initializeRemoteComms", options).await, json!({ "result": null }));
    assert_eq!((network.stops.get(), vats.running.borrow().len()), (1, 0));
    kernel.answers_to("remoteDeliver", json!({ "result": null }));
    assert_eq!(server.remote_deliver(peer(), "x".into()).await, Ok(None));
    kernel.saw_nothing_strange();
}

#[wasm_bindgen_test]
async fn our_kernel_uses_a_plain_network() {
    let (client, _reloads, network, _channel) = kernel_end();
    for method in [
        "initializeRemoteComms",
        "stopRemoteComms",
        "sendRemoteMessage",
        "closeConnection",
        "registerLocationHints",
        "reconnectPeer",
        "resetAllBackoffs",
        "terminate",
        "terminateAll",
    ] {
        network.answers_to(method, json!({ "result": null }));
    }
    network.answers_to("launch", json!("a port"));
    let options = RemoteCommsOptions { max_queue: 7, ..RemoteCommsOptions::default() };
    client.initialize_remote_comms("5eed".into(), options, "i-1".parse().unwrap()).await.unwrap();
    let long = "long \u{1f980} ".repeat(20_000);
    client.send_remote_message(peer(), long.clone()).await.unwrap();
    client.close_connection(peer()).await.unwrap();
    client.register_location_hints(peer(), vec!["/a".into()]).await.unwrap();
    client.reconnect_peer(peer(), vec![]).await.unwrap();
    client.reset_all_backoffs().await.unwrap();
    let port = client.launch("v1".into(), json!({ "bundleSpec": "b" })).await.unwrap();
    let answered = Rc::<RefCell<Value>>::default();
    let hears = Rc::clone(&answered);
    let listener = Closure::<dyn Fn(JsValue)>::new(move |event: JsValue| {
        *hears.borrow_mut() = json_of(&js_sys::Reflect::get(&event, &"data".into()).unwrap());
    });
    port.set_onmessage(Some(listener.as_ref().unchecked_ref()));
    port.post_message(&"ping".into()).unwrap();
    client.terminate("v1".into()).await.unwrap();
    client.terminate_all().await.unwrap();
    client.stop_remote_comms().await.unwrap();
    pause(20).await;
    assert_eq!(*answered.borrow(), "ping from v1");

    let id = peer().to_string();
    let expected = json!([
        ["initializeRemoteComms", { "incarnationId": "i-1", "keySeed": "5eed", "maxQueue": 7 }],
        ["sendRemoteMessage", { "to": id, "message": long }],
        ["closeConnection", { "peerId": id }],
        ["registerLocationHints", { "peerId": id, "hints": ["/a"] }],
        ["reconnectPeer", { "peerId": id, "hints": [] }],
        ["resetAllBackoffs", []],
        ["launch", { "vatId": "v1", "vatConfig": { "bundleSpec": "b" } }],
        ["terminate", { "vatId": "v1" }],
        ["terminateAll", []],
        ["stopRemoteComms", []],
    ]);
    assert_eq!(json_of(&network.heard()), expected);
    drop(client);
    pause(20).await;
    assert!(network.is_done());
    network.saw_nothing_strange();
}

#[wasm_bindgen_test]
async fn errors_of_a_plain_network_keep_their_name_and_order_is_kept() {
    let (client, _reloads, network, _channel) = kernel_end();
    let restarted = json!({ "name": "PeerRestartedError", "message": "gone", "stack": "at x" });
    let error = json!({ "code": -32603, "message": "Internal JSON-RPC error.", "data": { "cause": restarted } });
    network.answers_to("sendRemoteMessage", json!({ "error": error }));
    let failed = client.send_remote_message(peer(), "x".into()).await.unwrap_err();
    assert_eq!((failed.name(), failed.is_terminal()), ("PeerRestartedError", true));
    let unknown = json!({ "code": -32601, "message": "The method does not exist / is not available." });
    network.answers_to("resetAllBackoffs", json!({ "error": unknown }));
    assert_eq!(client.reset_all_backoffs().await.unwrap_err().name(), "UnknownMethodError");

    network.answers_to("sendRemoteMessage", json!({ "result": null }));
    let sent = join_all((0..200).map(|number| client.send_remote_message(peer(), number.to_string()))).await;
    assert!(sent.into_iter().all(|outcome| outcome.is_ok()));
    let heard = json_of(&network.heard());
    assert!((0..200_usize).all(|number| heard[number + 2][1]["message"].as_str() == Some(&number.to_string())));
    network.saw_nothing_strange();
}

#[wasm_bindgen_test]
async fn a_plain_network_asks_our_kernel_under_ids_of_its_own() {
    let (_client, _reloads, network, _channel) = kernel_end();
    let from = peer().to_string();
    for id in [json!("vws:1"), json!(2), json!("x")] {
        let delivered = network.ask(id, "remoteDeliver", json!({ "from": from, "message": "echo" })).await;
        assert_eq!(delivered, json!({ "result": "echo" }));
    }
    let asked = json!({ "peerId": from, "observedIncarnation": "i-2" });
    assert_eq!(network.ask(json!(4), "remoteIncarnationChange", asked).await, json!({ "result": true }));
    assert_eq!(network.ask(json!(5), "remoteGiveUp", json!({ "peerId": from })).await, json!({ "result": null }));
    assert_eq!(network.ask(json!(6), "launch", json!({})).await["error"]["code"], -32601);
    assert_eq!(network.ask(json!(7), "remoteGiveUp", json!({})).await["error"]["code"], -32602);
    network.saw_nothing_strange();
}

#[wasm_bindgen_test]
async fn a_plain_network_is_reloaded_under_our_kernel() {
    let (client, reloads, network, channel) = kernel_end();
    let lost = client.send_remote_message(peer(), "lost".into());
    pause(20).await;
    network.vanish();
    let network = PlainEnd::new(&channel.port2());
    assert_eq!(lost.await.unwrap_err().name(), "BridgeReloadedError");
    assert_eq!(reloads.get(), 1);
    network.answers_to("sendRemoteMessage", json!({ "result": null }));
    assert_eq!(client.send_remote_message(peer(), "next".into()).await, Ok(()));
    assert_eq!(json_of(&network.heard()), json!([["sendRemoteMessage", { "to": peer().as_str(), "message": "next" }]]));
    network.saw_nothing_strange();
}

/// Our end is the one that is reloaded: the plain one rejects what is pending and opens again.
#[wasm_bindgen_test]
async fn our_ends_are_reloaded_beside_plain_ones() {
    let channel = MessageChannel::new().unwrap();
    let former = cuttable(&channel.port1());
    let server = PlatformServicesServer::new(BrowserPort::new(JsValue::from(&former)).unwrap(), runtime());
    server.start(Rc::<Network>::default(), None);
    let kernel = PlainEnd::new(&channel.port2());
    kernel.ask(json!("m1"), "initializeRemoteComms", json!({ "keySeed": "00", "maxQueue": 7 })).await;
    former.cut();
    drop(server);

    let port = cuttable(&channel.port1());
    let server = PlatformServicesServer::new(BrowserPort::new(JsValue::from(&port)).unwrap(), runtime());
    server.start(Rc::<Network>::default(), None);
    pause(20).await;
    assert_eq!(kernel.reloads_seen(), 1);
    let again = kernel.ask(json!("m2"), "initializeRemoteComms", json!({ "keySeed": "00", "maxQueue": 7 })).await;
    assert_eq!(again, json!({ "result": null }));
    kernel.answers_to("remoteDeliver", json!({ "result": null }));
    assert_eq!(server.remote_deliver(peer(), "x".into()).await, Ok(None));
    assert!(!kernel.is_done());
    kernel.saw_nothing_strange();
}

#[wasm_bindgen_test]
async fn a_plain_network_may_be_in_a_worker() {
    let worker = plain_worker();
    let client = PlatformServicesClient::new(BrowserPort::new(worker.clone()).unwrap(), runtime());
    client.start(Rc::<Kernel>::default(), || {});
    client.initialize_remote_comms("00".into(), RemoteCommsOptions::default(), "i".parse().unwrap()).await.unwrap();
    let sent = join_all((0..100).map(|number| client.send_remote_message(peer(), number.to_string()))).await;
    assert!(sent.iter().all(Result::is_ok));
}
