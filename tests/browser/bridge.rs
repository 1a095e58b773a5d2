//! The bridge over what browsers have: a `MessageChannel`, and an object shaped like a `chrome.runtime.Port`.
#![cfg(all(target_arch = "wasm32", target_os = "unknown"))]
#![allow(clippy::unwrap_used, clippy::panic)] // clippy knows tests by #[test] only

use std::rc::Rc;

use browser_tests::services::{Kernel, Network, Vats, pause, peer, runtime};
use futures::{StreamExt as _, stream};
use ocap_remotes::{
    bridge::{
        BrowserPort, KernelServices as _, PlatformServices as _, PlatformServicesClient, PlatformServicesServer,
        VatWorkerService as _,
    },
    runtime::{BrowserRuntime, Runtime as _},
    wire::{RemoteCommsOptions, RemoteError},
};
use serde_json::{Value, json};
use wasm_bindgen::{JsCast as _, prelude::*};
use wasm_bindgen_test::{console_log, wasm_bindgen_test, wasm_bindgen_test_configure};
use web_sys::{MessageChannel, MessagePort};

wasm_bindgen_test_configure!(run_in_browser);

#[wasm_bindgen(inline_js = r#"
// Frames of a packet, as docs/interoperability.md has them: body, head, and the lengths of head and body.
export function packet(...texts) {
  const pieces = [];
  for (let at = 0; at < texts.length; at += 2) {
    const [head, body] = texts.slice(at, at + 2).map((text) => new TextEncoder().encode(text));
    const lengths = new DataView(new ArrayBuffer(8));
    lengths.setUint32(0, head.length, true);
    lengths.setUint32(4, body.length, true);
    pieces.push(...body, ...head, ...new Uint8Array(lengths.buffer));
  }
  return new Uint8Array(pieces);
}

// The texts of a packet; what is none as it is.
function unpacked(data) {
  if (!(data instanceof Uint8Array)) return data;
  const [texts, text] = [[], new TextDecoder()];
  const lengths = new DataView(data.buffer, data.byteOffset);
  for (let end = data.length; end > 0;) {
    const [head, body] = [lengths.getUint32(end - 8, true), lengths.getUint32(end - 4, true)];
    const middle = end - 8 - head;
    texts.unshift(text.decode(data.subarray(middle, end - 8)), text.decode(data.subarray(middle - body, middle)));
    end = middle - body;
  }
  return texts;
}

export function logged(port) {
  const log = Object.assign([], { memories: [] });
  port.addEventListener('message', ({ data, ports }) => {
    log.push([unpacked(data), ports.length]);
    log.memories.push(data.buffer?.byteLength ?? 0);
  });
  port.start();
  return log;
}

// How long the buffers were in which it came, 0 for what is no bytes.
export const memories = (log) => log.memories;

// Two objects with the shape and the manners of a chrome.runtime.Port pair: JSON only, and a disconnect is told.
export function chromePorts() {
  const event = () => {
    const listeners = new Set();
    return {
      addListener: (listener) => listeners.add(listener),
      removeListener: (listener) => listeners.delete(listener),
      listeners,
    };
  };
  const make = () => ({ onMessage: event(), onDisconnect: event(), connected: true });
  const [a, b] = [make(), make()];
  const join = (from, to) => {
    from.postMessage = (message) => {
      if (!from.connected) throw new Error('Attempting to use a disconnected port object');
      const text = JSON.stringify(message);
      setTimeout(() => to.onMessage.listeners.forEach((listener) => listener(JSON.parse(text), to)));
    };
    from.disconnect = () => {
      from.connected = to.connected = false;
      setTimeout(() => to.onDisconnect.listeners.forEach((listener) => listener(to)));
    };
  };
  join(a, b);
  join(b, a);
  return [a, b];
}

export function listenerCount(port) {
  return port.onMessage.listeners.size + port.onDisconnect.listeners.size;
}

export function disconnect(port) {
  port.disconnect();
}

export function postHostileThings(port) {
  const cyclic = { jsonrpc: '2.0' };
  cyclic.self = cyclic;
  let wide = 1;
  for (let i = 0; i < 60; i += 1) wide = [wide, wide];
  const things = [
    null, 7, 'text', new Map([['jsonrpc', '2.0']]), new Date(), cyclic, { jsonrpc: '2.0', id: 'x', result: wide },
    { jsonrpc: '2.0', id: 10n, method: 'stopRemoteComms', params: [] }, { '@@Syn': new Uint8Array(9) }, [], { type: 'other' }, new Uint8Array(99),
  ];
  things.forEach((thing) => port.postMessage(thing));
  return things.length;
}
"#)]
extern "C" {
    fn logged(port: &MessagePort) -> js_sys::Array;
    fn memories(log: &js_sys::Array) -> Vec<u32>;
    #[wasm_bindgen(variadic)]
    fn packet(texts: Vec<JsValue>) -> JsValue;
    #[wasm_bindgen(js_name = chromePorts)]
    fn chrome_ports() -> js_sys::Array;
    #[wasm_bindgen(js_name = listenerCount)]
    fn listener_count(port: &JsValue) -> usize;
    fn disconnect(port: &JsValue);
    #[wasm_bindgen(js_name = postHostileThings)]
    fn post_hostile_things(port: &MessagePort) -> usize;
}

struct Joined {
    client: PlatformServicesClient<BrowserPort>,
    server: PlatformServicesServer<BrowserPort>,
    network: Rc<Network>,
}

async fn join(kernel_port: JsValue, network_port: JsValue) -> Joined {
    let client = PlatformServicesClient::new(BrowserPort::new(kernel_port).unwrap(), runtime());
    let server = PlatformServicesServer::new(BrowserPort::new(network_port).unwrap(), runtime());
    let network = Rc::<Network>::default();
    client.start(Rc::<Kernel>::default(), || {});
    server.start(Rc::clone(&network) as _, Some(Rc::<Vats>::default()));
    let options = RemoteCommsOptions { max_queue: 7, ..RemoteCommsOptions::default() };
    client.initialize_remote_comms("00".into(), options, "i-1".parse().unwrap()).await.unwrap();
    Joined { client, server, network }
}

async fn over_a_channel() -> Joined {
    let channel = MessageChannel::new().unwrap();
    join(channel.port1().into(), channel.port2().into()).await
}

#[wasm_bindgen_test]
async fn both_services_work_over_a_message_channel() {
    let Joined { client, server, network } = over_a_channel().await;
    client.send_remote_message(peer(), "hello \u{1f980}".into()).await.unwrap();
    assert_eq!(*network.sent.borrow(), ["hello \u{1f980}"]);
    assert_eq!(client.send_remote_message(peer(), String::new()).await, Err(RemoteError::PeerRestarted(peer())));
    assert_eq!(server.remote_deliver(peer(), "x".into()).await, Ok(Some("x".into())));
    assert_eq!(server.remote_incarnation_change(peer(), "i-2".parse().unwrap()).await, Ok(true));
}

#[wasm_bindgen_test]
async fn a_launched_vat_is_reached_over_its_transferred_port() {
    let joined = over_a_channel().await;
    let port = joined.client.launch("v1".into(), json!({ "bundleSpec": "b", "nested": [1, { "a": null }] })).await;
    let port = port.unwrap();
    let log = logged(&port);
    port.post_message(&"ping".into()).unwrap();
    pause(50).await;
    let entry: js_sys::Array = log.get(0).unchecked_into();
    assert_eq!(entry.get(0), "pong");
    let again = joined.client.launch("v1".into(), json!({})).await;
    assert_eq!(again.unwrap_err().name(), "VatAlreadyExistsError");
}

/// What is on the port, seen by a plain script at the other end.
#[wasm_bindgen_test]
async fn messages_are_plain_objects_and_the_port_comes_with_the_answer() {
    let channel = MessageChannel::new().unwrap();
    let log = logged(&channel.port2());
    let server = PlatformServicesServer::new(BrowserPort::new(channel.port1()).unwrap(), runtime());
    server.start(Rc::<Network>::default(), Some(Rc::<Vats>::default()));
    for text in [
        r#"{"@@Syn":true}"#,
        r#"{"@@Ack":true}"#,
        r#"{"jsonrpc":"2.0","id":"m1","method":"launch","params":{"vatId":"v1","vatConfig":{}}}"#,
    ] {
        channel.port2().post_message(&js_sys::JSON::parse(text).unwrap()).unwrap();
    }
    pause(50).await;
    server.close();
    pause(50).await;
    let text = String::from(js_sys::JSON::stringify(&log).unwrap());
    let heard: Value = serde_json::from_str(&text).unwrap();
    let expected = json!([
        [{ "@@Syn": true }, 0],
        [{ "@@Ack": true }, 0],
        [{ "jsonrpc": "2.0", "method": "bridgeExtensions", "params": { "batches": true, "packets": true, "pings": true, "moving": true, "outages": true, "calls": 16_384 } }, 0],
        [{ "jsonrpc": "2.0", "id": "m1", "result": null }, 1],
        [{ "@@StreamDone": true }, 0],
    ]);
    assert_eq!(heard, expected);
}

/// Packets, read and written by a plain script at the other end that asked for them.
#[wasm_bindgen_test]
async fn an_end_that_takes_packets_is_sent_them() {
    let channel = MessageChannel::new().unwrap();
    let log = logged(&channel.port2());
    let network = Rc::<Network>::default();
    let server = PlatformServicesServer::new(BrowserPort::new(channel.port1()).unwrap(), runtime());
    server.start(Rc::clone(&network) as _, None);
    let post = |message: JsValue| channel.port2().post_message(&message).unwrap();
    for signal in [
        r#"{"@@Syn":true}"#,
        r#"{"@@Ack":true}"#,
        r#"{"jsonrpc":"2.0","method":"bridgeExtensions","params":{"packets":true,"batches":true}}"#,
        r#"{"jsonrpc":"2.0","id":"m0","method":"initializeRemoteComms","params":{"keySeed":"00","incarnationId":"i-1","maxQueue":7}}"#,
    ] {
        post(js_sys::JSON::parse(signal).unwrap());
    }
    let head = |id: &str| format!("{id}\nsendRemoteMessage\n{}", peer());
    let packet = |frames: &[[&str; 2]]| packet(frames.as_flattened().iter().map(|text| JsValue::from(*text)).collect());
    let long = "\u{20ac}".repeat(20_000);
    let short = "\u{fc}\n\"short\"";
    post(packet(&[[&head("m1"), short]]));
    let unknown = r#"{"jsonrpc":"2.0","id":"m3","method":"unknown","params":{}}"#;
    let long_one = packet(&[[&head("m2"), "x"], [unknown, ""], [&head("m4"), &long]]);
    let length = long_one.unchecked_ref::<js_sys::Uint8Array>().length();
    post(long_one);
    pause(50).await;
    assert_eq!(memories(&log).iter().filter(|memory| **memory == length).count(), 1, "the memory comes back, once");
    assert_eq!(*network.sent.borrow(), [short, "x", &long]);
    let _one = server.remote_deliver(peer(), "to the kernel".into());
    let _other = server.remote_deliver(peer(), long.clone());
    pause(50).await;
    let text = String::from(js_sys::JSON::stringify(&log).unwrap());
    let heard: Vec<(Value, u32)> = serde_json::from_str(&text).unwrap();
    let heard: Vec<Value> = heard.into_iter().map(|(message, _)| message).skip(3).collect();
    let error = json!({
        "code": -32601,
        "message": "unknown method \"unknown\"",
        "data": { "cause": { "name": "UnknownMethodError", "message": "unknown method \"unknown\"" } },
    });
    let expected = [
        json!(["m0", ""]),
        json!(["m1", ""]),
        json!(["m2", ""]),
        json!({ "jsonrpc": "2.0", "id": "m3", "error": error }),
        json!(["m4", ""]),
        json!([format!("vws:1\nremoteDeliver\n{}", peer()), "to the kernel"]),
        json!([format!("vws:2\nremoteDeliver\n{}", peer()), long]),
    ];
    assert_eq!(heard, expected);
    server.close();
}

#[wasm_bindgen_test]
async fn hostile_and_foreign_things_on_the_port_disturb_nothing() {
    let channel = MessageChannel::new().unwrap();
    let joined = join(channel.port1().into(), channel.port2().into()).await;
    assert_eq!(post_hostile_things(&channel.port1()), 12);
    assert_eq!(post_hostile_things(&channel.port2()), 12);
    joined.client.send_remote_message(peer(), "still here".into()).await.unwrap();
    assert_eq!(*joined.network.sent.borrow(), ["still here"]);
}

#[wasm_bindgen_test]
async fn an_end_may_be_dropped_by_the_request_that_it_handles() {
    let channel = MessageChannel::new().unwrap();
    let client = PlatformServicesClient::new(BrowserPort::new(channel.port1()).unwrap(), runtime());
    let server = PlatformServicesServer::new(BrowserPort::new(channel.port2()).unwrap(), runtime());
    let kernel = Rc::<Kernel>::default();
    client.start(Rc::clone(&kernel) as _, || {});
    kernel.closes.replace(Some(client));
    server.start(Rc::<Network>::default(), None);
    assert_eq!(server.remote_deliver(peer(), "x".into()).await.unwrap_err().name(), "BridgeClosedError");
    pause(50).await;
    assert_eq!(Rc::strong_count(&kernel), 1);
}

#[wasm_bindgen_test]
async fn a_chrome_runtime_port_carries_everything_but_ports() {
    let ports = chrome_ports();
    let Joined { client, server, network } = join(ports.get(0), ports.get(1)).await;
    client.send_remote_message(peer(), "hello".into()).await.unwrap();
    assert_eq!(*network.sent.borrow(), ["hello"]);
    assert_eq!(server.remote_incarnation_change(peer(), "i-2".parse().unwrap()).await, Ok(true));
    let error = client.launch("v1".into(), json!({})).await.unwrap_err();
    assert_eq!(error.to_string(), "the message could not be posted: this kind of port cannot transfer anything");

    assert_eq!(listener_count(&ports.get(0)), 2);
    disconnect(&ports.get(1));
    let verdict = server.remote_incarnation_change(peer(), "i-2".parse().unwrap()).await;
    assert_eq!(verdict.unwrap_err().name(), "BridgePostError");
    pause(50).await;
    assert_eq!(client.reset_all_backoffs().await.unwrap_err().name(), "BridgeClosedError");
    assert_eq!(listener_count(&ports.get(0)), 0, "an ended bridge listens no longer");
    drop(server);
    assert_eq!(listener_count(&ports.get(1)), 0, "nor does a dropped one");
}

#[wasm_bindgen_test]
fn what_cannot_carry_messages_is_refused() {
    for object in [JsValue::NULL, JsValue::from(3), js_sys::Object::new().into(), js_sys::Array::new().into()] {
        assert!(BrowserPort::new(object).is_err());
    }
    assert!(BrowserPort::new(MessageChannel::new().unwrap().port1()).is_ok());
}

/// Nothing tells that the context at the other end of a port is gone.
#[wasm_bindgen_test]
async fn calls_do_not_wait_for_an_end_that_is_gone() {
    let channel = MessageChannel::new().unwrap();
    let joined = join(channel.port1().into(), channel.port2().into()).await;
    joined.client.send_remote_message(peer(), "x".into()).await.unwrap();
    channel.port2().close();
    let error = joined.client.send_remote_message(peer(), "lost".into()).await.unwrap_err();
    assert_eq!(error.name(), "BridgeUnresponsiveError");
}

/// Prints calls per second, which mean something in a release build only; holds that messages arrive whole and in order.
#[wasm_bindgen_test]
async fn calls_arrive_whole_and_in_order_at_every_size() {
    let joined = over_a_channel().await;
    let effort = if cfg!(debug_assertions) { 1 } else { 20 };
    for (size, rounds) in [(256, 200 * effort), (4_096, 200 * effort), (65_536, 70 * effort), (1_048_576, 5 * effort)] {
        for in_flight in [1, 64] {
            joined.network.sent.take();
            let message = |number: u32| format!("{number} {}", "x".repeat(size));
            let started = BrowserRuntime.now();
            let calls =
                stream::iter(0..rounds).map(|number| joined.client.send_remote_message(peer(), message(number)));
            calls.buffered(in_flight).for_each(|result| async { result.unwrap() }).await;
            let per_second = f64::from(rounds) / BrowserRuntime.now().since(started).as_secs_f64();
            console_log!("{size} B, {in_flight} in flight: {per_second:.0} calls/s");
            let sent = joined.network.sent.take();
            assert!(sent.len() == rounds as usize);
            assert!(sent.into_iter().zip(0..).all(|(sent, number)| sent == message(number)));
        }
    }
}
