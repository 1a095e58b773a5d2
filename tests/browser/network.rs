//! A network in a window as JavaScript has it: what it tells, what its status says, and what it refuses.
#![cfg(all(target_arch = "wasm32", target_os = "unknown"))]
#![allow(clippy::unwrap_used)] // clippy knows tests by #[test] only

use std::time::Duration;

use js_sys::{Array, Error, Function, Object, Reflect};
use ocap_remotes::{
    js::{Kernel, Network, open_kernel_store},
    runtime::{BrowserRuntime, Runtime as _},
};
use wasm_bindgen::{JsCast as _, JsValue, closure::Closure};
use wasm_bindgen_futures::JsFuture;
use wasm_bindgen_test::{wasm_bindgen_test, wasm_bindgen_test_configure};
use web_sys::MessageChannel;

wasm_bindgen_test_configure!(run_in_browser);

/// Nobody listens there.
const RELAY: &str = "/ip4/127.0.0.1/tcp/9/ws/p2p/12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN";

fn object(entries: &[(&str, JsValue)]) -> Object {
    let object = Object::new();
    for (key, value) in entries {
        Reflect::set(&object, &(*key).into(), value).unwrap();
    }
    object
}

fn get(object: &JsValue, key: &str) -> JsValue {
    Reflect::get(object, &key.into()).unwrap()
}

#[wasm_bindgen_test]
async fn a_relay_that_is_down_is_told_and_shown_and_tried_again_when_the_browser_is_online() {
    let (ports, events) = (MessageChannel::new().unwrap(), Array::new());
    let told = events.clone();
    let on_event = Closure::<dyn Fn(JsValue)>::new(move |event| {
        told.push(&event);
    });
    let options = object(&[("onEvent", on_event.as_ref().clone())]);
    let network = Network::serve(ports.port2().unchecked_into(), Some(options.unchecked_into())).unwrap();
    assert_eq!(get(&network.status().unwrap().into(), "relays").unchecked_into::<Array>().length(), 0);

    let store = open_kernel_store(Some(object(&[("durability", "memory".into())]).unchecked_into())).await.unwrap();
    let relays = Array::of1(&RELAY.into());
    let options = object(&[("relays", relays.into()), ("onEvent", Function::new_no_args("").into())]);
    let kernel = Kernel::start(ports.port1().unchecked_into(), options.unchecked_into(), Some(store)).await.unwrap();
    let is_down = |event: &JsValue| get(event, "type") == "relay" && get(event, "state") == "down";
    let downs = || events.iter().filter(is_down).count();
    let wait_for = async |count: usize| {
        for _ in 0..600 {
            if downs() >= count {
                return;
            }
            BrowserRuntime.sleep(Duration::from_millis(100)).await;
        }
        unreachable!("{} of {count} failures of the relay were told", downs());
    };
    wait_for(1).await;
    let shown = get(&network.status().unwrap().into(), "relays").unchecked_into::<Array>().get(0);
    assert!(get(&shown, "relay") == RELAY && get(&shown, "state") == "down" && get(&shown, "reason").is_string());

    let before = downs();
    let global: web_sys::EventTarget = js_sys::global().unchecked_into();
    global.dispatch_event(&web_sys::Event::new("online").unwrap()).unwrap();
    wait_for(before + 1).await;
    JsFuture::from(kernel.stop()).await.unwrap();
    JsFuture::from(network.stop()).await.unwrap();
}

#[wasm_bindgen_test]
fn options_that_are_no_functions_are_named() {
    for name in ["onEvent", "launch", "terminate"] {
        let port = MessageChannel::new().unwrap().port1();
        let refused = Network::serve(port.unchecked_into(), Some(object(&[(name, 7.into())]).unchecked_into()));
        let refused: Error = refused.map(|_| ()).unwrap_err().unchecked_into();
        let message = String::from(refused.message());
        assert!(refused.name() == "TypeError" && message.contains(name), "{message}");
    }
}
