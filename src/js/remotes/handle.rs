//! One remote as a kernel in JavaScript has it.

use std::rc::Rc;

use futures::FutureExt as _;
use js_sys::Promise;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::future_to_promise;

use super::{duck::object, records::MessageObject};
use crate::{
    bridge::KernelServices as _,
    js::{
        arguments::plain,
        crash,
        error::{kernel as kernel_error, remote as remote_error, type_error},
    },
    kernel::{KernelError, RemotesDriver},
    wire::{CapData, Delivery, EndpointId, Eref, PeerId, RemoteError, Resolution},
};

#[wasm_bindgen]
extern "C" {
    /// See the TypeScript type.
    #[wasm_bindgen(typescript_type = "OneResolution[]")]
    pub type Resolutions;
}

/// One remote kernel. All deliveries are written in the order of the calls, each once its crank is over; the promises resolve
/// when they are stored, without waiting for that.
#[wasm_bindgen]
#[derive(Clone)]
pub struct RemoteHandle {
    id: EndpointId,
    peer: PeerId,
    driver: Rc<RemotesDriver>,
}

#[derive(serde::Deserialize)]
struct Message {
    methargs: CapData<Eref>,
    #[serde(default)]
    result: Option<Eref>,
}

fn eref(text: &str) -> Result<Eref, JsValue> {
    Eref::parse_remote(text).map_err(|error| kernel_error(&error.into()))
}

impl RemoteHandle {
    pub(super) fn new(id: EndpointId, peer: PeerId, driver: Rc<RemotesDriver>) -> Self {
        RemoteHandle { id, peer, driver }
    }

    fn deliver(&self, delivery: Result<Delivery, JsValue>) -> Promise {
        let delivered = delivery.and_then(|delivery| {
            crash::check()?;
            if !delivery.erefs_are_remote() {
                return Err(type_error("a reference for a remote must be a remote's (ro+1, rp-1)"));
            }
            let delivered = self.driver.call(|remotes, host, _| remotes.deliver(host, self.id, delivery));
            delivered.map_err(|error| kernel_error(&error))
        });
        match delivered {
            Ok(()) => Promise::resolve(&object(&[("didDelivery", self.id.to_string().into())])),
            Err(error) => Promise::reject(&error),
        }
    }

    fn deliver_erefs(&self, erefs: &[String], make: fn(Vec<Eref>) -> Delivery) -> Promise {
        self.deliver(erefs.iter().map(|text| eref(text)).collect::<Result<_, _>>().map(make))
    }
}

#[wasm_bindgen]
impl RemoteHandle {
    /// Its id, such as `r1`.
    #[wasm_bindgen(getter, js_name = remoteId)]
    pub fn remote_id(&self) -> String {
        self.id.to_string()
    }

    /// The libp2p peer id of the other kernel.
    #[wasm_bindgen(getter, js_name = peerId)]
    pub fn peer_id(&self) -> String {
        self.peer.to_string()
    }

    /// Sends a message. References are in the receiver's frame, as the store's translators give them. Rejected with a
    /// `ResourceLimitError` if it is too long, or too many are unacknowledged.
    #[wasm_bindgen(js_name = deliverMessage, unchecked_return_type = "Promise<CrankResult>")]
    pub fn deliver_message(&self, target: &str, message: MessageObject) -> Promise {
        let delivery = eref(target).and_then(|target| {
            let Message { methargs, result } = plain(message.into(), "message")?;
            Ok(Delivery::Message { target, methargs, result })
        });
        self.deliver(delivery)
    }

    /// Tells how promises were settled.
    #[wasm_bindgen(js_name = deliverNotify, unchecked_return_type = "Promise<CrankResult>")]
    pub fn deliver_notify(&self, resolutions: Resolutions) -> Promise {
        let resolutions = plain::<Vec<Resolution<Eref>>>(resolutions.into(), "list of resolutions");
        self.deliver(resolutions.map(Delivery::Notify))
    }

    /// Tells that this kernel does not reach these exports of the peer any more.
    #[wasm_bindgen(js_name = deliverDropExports, unchecked_return_type = "Promise<CrankResult>")]
    pub fn deliver_drop_exports(&self, erefs: Vec<String>) -> Promise {
        self.deliver_erefs(&erefs, Delivery::DropExports)
    }

    /// Tells that this kernel does not recognise these exports of the peer any more.
    #[wasm_bindgen(js_name = deliverRetireExports, unchecked_return_type = "Promise<CrankResult>")]
    pub fn deliver_retire_exports(&self, erefs: Vec<String>) -> Promise {
        self.deliver_erefs(&erefs, Delivery::RetireExports)
    }

    /// Tells that these imports of the peer are gone.
    #[wasm_bindgen(js_name = deliverRetireImports, unchecked_return_type = "Promise<CrankResult>")]
    pub fn deliver_retire_imports(&self, erefs: Vec<String>) -> Promise {
        self.deliver_erefs(&erefs, Delivery::RetireImports)
    }

    /// Asks the peer to collect its garbage, unless it has just asked this kernel.
    #[wasm_bindgen(js_name = deliverBringOutYourDead, unchecked_return_type = "Promise<CrankResult>")]
    pub fn deliver_bring_out_your_dead(&self) -> Promise {
        self.deliver(Ok(Delivery::BringOutYourDead))
    }

    /// Asks the peer what is behind one of its URLs, and gives the kernel's reference to it. Rejected with a `RedemptionError`,
    /// or why the peer cannot be reached.
    #[wasm_bindgen(js_name = redeemOcapURL, unchecked_return_type = "Promise<string>")]
    pub fn redeem_ocap_url(&self, url: String) -> Promise {
        if let Err(error) = crash::check() {
            return Promise::reject(&error);
        }
        let redeemed =
            self.driver.redeem(|remotes, host, random, now| remotes.ask_issuer(host, self.id, &url, random, now));
        future_to_promise(redeemed.map(|redeemed| match redeemed {
            Ok(kref) => Ok(kref.to_string().into()),
            Err(error) => Err(kernel_error(&error)),
        }))
    }

    /// Handles a message from the peer, when no crank is open. Resolves to `null` when it is stored; it is acknowledged when that
    /// is durable. Rejected if it is no message, or with what the kernel threw: it counts as not received then.
    #[wasm_bindgen(js_name = handleRemoteMessage, unchecked_return_type = "Promise<string | null>")]
    pub fn handle_remote_message(&self, message: String) -> Promise {
        let (driver, peer) = (Rc::clone(&self.driver), self.peer.clone());
        future_to_promise(async move {
            crash::check()?;
            let handled = driver.remote_deliver(peer, message).await;
            handled.map(|_| JsValue::NULL).map_err(|error| remote_error(&error))
        })
    }

    /// Forgets everything about the peer's present incarnation: numbers, pending messages and redemptions, what it exported, and
    /// rejects the promises that it was to decide.
    #[wasm_bindgen(js_name = handlePeerRestart)]
    pub fn handle_peer_restart(&self) -> Result<(), JsValue> {
        crash::check()?;
        let forgotten = self.driver.call(|remotes, host, _| remotes.forget_incarnation(host, self.id));
        forgotten.map_err(|error| kernel_error(&error))
    }

    /// Gives the peer up: discards what is pending, rejects redemptions, and promises that the peer was to decide. The next
    /// delivery tries again.
    #[wasm_bindgen(js_name = giveUp)]
    pub fn give_up(&self, reason: &str) -> Result<(), JsValue> {
        crash::check()?;
        let given_up = self.driver.call(|remotes, host, _| remotes.handle_remote_give_up(host, &self.peer, reason));
        given_up.map_err(|error| kernel_error(&error))
    }

    /// Rejects every redemption that waits for the peer, with an `Error` of this message.
    #[wasm_bindgen(js_name = rejectPendingRedemptions)]
    pub fn reject_pending_redemptions(&self, message: &str) -> Result<(), JsValue> {
        crash::check()?;
        let error = RemoteError::Other { name: "Error".to_owned(), message: message.to_owned() };
        let rejected = self.driver.call(|remotes, _, _| {
            remotes.reject_redemptions(self.id, &error.into());
            Ok(())
        });
        rejected.map_err(|error| kernel_error(&error))
    }

    /// Rejects every redemption that waits for the peer. Timers belong to the manager, whose `cleanup` ends them.
    pub fn cleanup(&self) -> Result<(), JsValue> {
        match self.reject_pending_redemptions("Remote connection cleanup") {
            Err(_) if matches!(self.driver.call(|_, _, _| Ok(())), Err(KernelError::Remote(_))) => Ok(()),
            cleaned => cleaned,
        }
    }
}
