//! What a program waits for ends with its `AbortSignal`.
#![cfg(all(target_arch = "wasm32", target_os = "unknown"))]
#![allow(clippy::unwrap_used)] // clippy knows tests by #[test] only

use js_sys::{Array, Function, Object, Promise, Reflect};
use ocap_remotes::{
    js::{Kernel, Network, open_kernel_store},
    runtime::{BrowserRuntime, Runtime as _},
};
use wasm_bindgen::{JsCast as _, JsValue};
use wasm_bindgen_futures::JsFuture;
use wasm_bindgen_test::{wasm_bindgen_test, wasm_bindgen_test_configure};
use web_sys::{AbortController, AbortSignal, MessageChannel};

wasm_bindgen_test_configure!(run_in_browser);

/// Nobody listens there.
const RELAY: &str = "/ip4/127.0.0.1/tcp/9/ws/p2p/12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN";
/// Gone by far before any of the limits that end a wait by themselves.
const PATIENCE_MILLIS: f64 = 5_000.0;

fn object<T: wasm_bindgen::JsCast>(entries: &[(&str, JsValue)]) -> T {
    let object = Object::new();
    for (key, value) in entries {
        Reflect::set(&object, &(*key).into(), value).unwrap();
    }
    object.unchecked_into()
}

fn aborts_soon() -> JsValue {
    AbortSignal::timeout_with_u32(100).into()
}

fn name(error: &JsValue) -> JsValue {
    Reflect::get(error, &"name".into()).unwrap()
}

async fn start(port: &web_sys::MessagePort, more: &[(&str, JsValue)]) -> Result<Kernel, JsValue> {
    let store = open_kernel_store(Some(object(&[("durability", "memory".into())]))).await.unwrap();
    let mut options = vec![("relays", Array::of1(&RELAY.into()).into()), ("onEvent", Function::new_no_args("").into())];
    options.extend_from_slice(more);
    Kernel::start(port.clone().unchecked_into(), object(&options), Some(store)).await
}

#[wasm_bindgen_test]
async fn a_kernel_waits_for_its_network_no_longer_than_wished() {
    let channel = MessageChannel::new().unwrap();
    let begun = BrowserRuntime.now();
    let error = start(&channel.port1(), &[("signal", aborts_soon())]).await.err().unwrap();
    assert_eq!(name(&error), "TimeoutError");
    assert!(BrowserRuntime.now().since(begun).as_secs_f64() * 1_000.0 < PATIENCE_MILLIS);

    let aborted = AbortController::new().unwrap();
    aborted.abort_with_reason(&"no more".into());
    let error = start(&channel.port1(), &[("signal", aborted.signal().into())]).await.err().unwrap();
    assert_eq!(error, "no more");
    let error = start(&channel.port1(), &[("signal", 7.into())]).await.err().unwrap();
    assert_eq!(name(&error), "TypeError");
}

#[wasm_bindgen_test]
async fn a_redemption_is_waited_for_no_longer_than_wished() {
    let (here, there) = (MessageChannel::new().unwrap(), MessageChannel::new().unwrap());
    let serve = |channel: &MessageChannel| Network::serve(channel.port2().unchecked_into(), None).unwrap();
    let networks = [serve(&here), serve(&there)];
    let (redeemer, issuer) = (start(&here.port1(), &[]).await.unwrap(), start(&there.port1(), &[]).await.unwrap());
    let object_there = issuer.export_object().unwrap();
    let url = JsFuture::from(issuer.issue_ocap_url(object_there)).await.unwrap().as_string().unwrap();

    let begun = BrowserRuntime.now();
    let options = || Some(object(&[("signal", aborts_soon())]));
    let error = JsFuture::from(redeemer.redeem_ocap_url(url.clone(), options())).await.unwrap_err();
    assert_eq!(name(&error), "TimeoutError");
    assert!(BrowserRuntime.now().since(begun).as_secs_f64() * 1_000.0 < PATIENCE_MILLIS);
    // A signal that comes too late changes nothing.
    let own = redeemer.export_object().unwrap();
    let own_url = JsFuture::from(redeemer.issue_ocap_url(own.clone())).await.unwrap().as_string().unwrap();
    assert_eq!(JsFuture::from(redeemer.redeem_ocap_url(own_url, options())).await.unwrap(), JsValue::from(own));
    let refused = JsFuture::from(redeemer.redeem_ocap_url(url, Some(object(&[("sginal", JsValue::NULL)])))).await;
    assert_eq!(name(&refused.unwrap_err()), "TypeError");
    for kernel in [redeemer, issuer] {
        JsFuture::from(kernel.stop()).await.unwrap();
    }
    for network in networks {
        JsFuture::from(network.stop()).await.unwrap();
    }
}

/// As a component of React does under its strict mode: it asks, is cancelled, and asks again, in one turn.
#[wasm_bindgen_test]
async fn an_aborted_redemption_takes_nothing_that_the_program_has() {
    let channel = MessageChannel::new().unwrap();
    let network = Network::serve(channel.port2().unchecked_into(), None).unwrap();
    let kernel = start(&channel.port1(), &[]).await.unwrap();
    let own = kernel.export_object().unwrap();
    let url = JsFuture::from(kernel.issue_ocap_url(own.clone())).await.unwrap().as_string().unwrap();
    let mut rejected = 0;
    for ticks in 0..12 {
        let controller = AbortController::new().unwrap();
        let options = object(&[("signal", controller.signal().into())]);
        let aborted = kernel.redeem_ocap_url(url.clone(), Some(options));
        let awaited = kernel.redeem_ocap_url(url.clone(), None);
        for _ in 0..ticks {
            JsFuture::from(Promise::resolve(&JsValue::NULL)).await.unwrap();
        }
        controller.abort();
        rejected += usize::from(JsFuture::from(aborted).await.is_err());
        assert_eq!(JsFuture::from(awaited).await.unwrap(), JsValue::from(own.clone()));
        BrowserRuntime.sleep(std::time::Duration::from_millis(20)).await;
        // Its own object is still the program's.
        kernel.send(&own, "#1".to_owned(), None).unwrap();
        JsFuture::from(kernel.issue_ocap_url(own.clone())).await.unwrap();
    }
    assert!(rejected > 0);
    JsFuture::from(kernel.stop()).await.unwrap();
    JsFuture::from(network.stop()).await.unwrap();
}

#[wasm_bindgen_test]
async fn whoever_waits_for_a_handler_that_throws_is_told() {
    for failure in ["throw new Error('no')", "return Promise.reject(new Error('not yet'))"] {
        let channel = MessageChannel::new().unwrap();
        let network = Network::serve(channel.port2().unchecked_into(), None).unwrap();
        let body = format!("this.seen.push(event); if (event.type === 'message') {failure};");
        let seen = Array::new();
        let on_event =
            Function::new_with_args("event", &body).bind(&object::<Object>(&[("seen", seen.clone().into())]));
        let kernel = start(&channel.port1(), &[("onEvent", on_event.into())]).await.unwrap();
        let own = kernel.export_object().unwrap();
        let promise = kernel.send(&own, "#1".to_owned(), None).unwrap();
        let other = kernel.send(&own, "#2".to_owned(), None).unwrap();
        let told = |promise: &str| {
            let field = |event: &JsValue, name: &str| Reflect::get(event, &name.into()).unwrap().as_string();
            let mut events = seen.iter().filter(|event| field(event, "type").as_deref() == Some("notify"));
            let answer = events.find(|event| field(event, "promise").as_deref() == Some(promise))?;
            field(&answer, "body")
        };
        for _ in 0..100 {
            if told(&promise).is_some() && told(&other).is_some() {
                break;
            }
            BrowserRuntime.sleep(std::time::Duration::from_millis(20)).await;
        }
        for promise in [promise, other] {
            assert!(told(&promise).unwrap().contains("[KERNEL:HANDLER_FAILED]"), "{failure}");
        }
        JsFuture::from(kernel.stop()).await.unwrap();
        JsFuture::from(network.stop()).await.unwrap();
    }
}
