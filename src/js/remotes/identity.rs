//! The identity of a kernel in JavaScript: its key and its URLs, kept in the kernel's own store.

use std::rc::Rc;

use js_sys::Promise;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::future_to_promise;

use super::{duck::Duck, host::IdentityRows};
use crate::{
    js::{
        arguments::parsed,
        crash,
        error::{failure, remote as remote_error},
    },
    kernel::{
        KernelError, KernelIdentity, OcapUrl, RemotesDriver, SeedSource, UrlIssuer, store::KernelStore as Records,
    },
    runtime::{BrowserRuntime, Runtime as _, random_bytes},
    storage::MemoryStore,
    wire::{Kref, PeerId, RemoteError, WireError},
};

/// A pause that is taken for a sleep of the whole machine, in milliseconds.
const SLEEP: f64 = 45_000.0;

/// In the order in which they are written: the peer id follows from the seed, should a crash come in between.
const ROWS: [&str; 3] = ["keySeed", "peerId", "ocapURLKey"];

/// The identity, and the store that it is kept in.
pub(super) struct Identity {
    key: KernelIdentity,
    store: Duck,
    slept: bool,
}

/// A copy of the rows of identity, on which our store works.
fn copied(rows: &IdentityRows<'_>) -> Result<Records, JsValue> {
    let mut copy = Records::open(Box::new(MemoryStore::new())).map_err(failure)?;
    for key in ROWS {
        if let Some(value) = rows.get(key)? {
            copy.set_identity_row(key, &value).map_err(failure)?;
        }
    }
    let relays = rows.relays()?.map(|text| serde_json::from_str(&text));
    if let Some(Ok(relays)) = relays {
        copy.set_known_relays(relays).map_err(failure)?;
    }
    Ok(copy)
}

impl Identity {
    /// The identity in the kernel's store, made if there is none; `relays` are configured ones.
    pub(super) fn provide(
        store: &Duck,
        (key_seed, mnemonic): (Option<String>, Option<String>),
        relays: &[String],
    ) -> Result<Self, JsValue> {
        let rows = IdentityRows::of(store);
        let mut copy = copied(&rows)?;
        let seed = match (key_seed, mnemonic) {
            (_, Some(words)) => Some(SeedSource::Mnemonic(words.into())),
            // As the incumbent: a seed is for a store that has none.
            (Some(hex), None) if copy.key_seed().map_err(failure)?.is_none() => Some(SeedSource::Hex(hex.into())),
            _ => None,
        };
        let now = BrowserRuntime.now();
        let key = KernelIdentity::provide(&mut copy, seed, random_bytes(&BrowserRuntime)).map_err(failure)?;
        UrlIssuer::provide(&mut copy, key.peer_id().clone(), random_bytes(&BrowserRuntime)).map_err(failure)?;
        for relay in relays {
            copy.note_relay(relay, now, true).map_err(failure)?;
        }
        for name in ROWS {
            let value = copy.identity_row(name).map_err(failure)?;
            if let Some(value) = value.filter(|value| rows.get(name).ok().flatten().as_ref() != Some(value)) {
                rows.set(name, &value)?;
            }
        }
        if !relays.is_empty() {
            rows.set_relays(&copy.known_relays().map_err(failure)?)?;
        }
        let now = now.as_millis() as f64;
        let slept = rows.last_active()?.is_some_and(|last| now - last > SLEEP);
        rows.set_last_active(now)?;
        Ok(Identity { key, store: store.clone(), slept })
    }

    pub(super) fn key(&self) -> &KernelIdentity {
        &self.key
    }

    /// Whether the kernel had not run for a while.
    pub(super) fn slept(&self) -> bool {
        self.slept
    }

    /// The issuer of this kernel's URLs.
    pub(super) fn issuer(&self) -> Result<UrlIssuer, JsValue> {
        let mut copy = copied(&IdentityRows::of(&self.store))?;
        UrlIssuer::provide(&mut copy, self.peer().clone(), random_bytes(&BrowserRuntime)).map_err(failure)
    }

    fn peer(&self) -> &PeerId {
        self.key.peer_id()
    }

    /// The known relays, best first.
    pub(super) fn relays(&self) -> Vec<String> {
        let relays = copied(&IdentityRows::of(&self.store)).and_then(|copy| copy.known_relays().map_err(failure));
        relays.unwrap_or_default().into_iter().map(|relay| relay.addr).collect()
    }

    /// Remembers relays that a URL named.
    fn add_relays(&self, relays: &[String]) -> Result<(), JsValue> {
        let rows = IdentityRows::of(&self.store);
        let mut copy = copied(&rows)?;
        for relay in relays {
            copy.note_relay(relay, BrowserRuntime.now(), false).map_err(failure)?;
        }
        rows.set_relays(&copy.known_relays().map_err(failure)?)
    }

    fn issue(&self, kref: Kref) -> Result<String, JsValue> {
        if kref.is_promise() {
            return Err(failure(KernelError::NotAnObject(kref)));
        }
        self.issuer()?.issue(kref, random_bytes(&BrowserRuntime), &self.relays()).map_err(failure)
    }

    /// Whether a URL is this kernel's own.
    pub(super) fn is_own(&self, url: &str) -> Result<bool, JsValue> {
        let url: OcapUrl = url.parse().map_err(failure)?;
        Ok(url.peer() == self.peer())
    }

    /// The object that a URL of this kernel means.
    pub(super) fn open(&self, url: &str) -> Result<Kref, JsValue> {
        self.issuer()?.open(&url.parse().map_err(failure)?).map_err(failure)
    }
}

/// The identity of a kernel and, if it was started, its way to the network.
#[wasm_bindgen]
pub struct RemoteComms {
    identity: Rc<Identity>,
    driver: Option<Rc<RemotesDriver>>,
}

impl RemoteComms {
    pub(super) fn new(identity: Rc<Identity>, driver: Option<Rc<RemotesDriver>>) -> Self {
        RemoteComms { identity, driver }
    }

    fn network(&self) -> Result<Rc<RemotesDriver>, JsValue> {
        crash::check()?;
        self.driver.clone().ok_or_else(|| remote_error(&RemoteError::NetworkStopped))
    }
}

#[wasm_bindgen]
impl RemoteComms {
    /// The libp2p peer id of this kernel.
    #[wasm_bindgen(js_name = getPeerId)]
    pub fn peer_id(&self) -> String {
        self.identity.peer().to_string()
    }

    /// Makes a URL for an object. The kernel must keep the object, and have made it durable before the URL leaves.
    #[wasm_bindgen(js_name = issueOcapURL, unchecked_return_type = "Promise<string>")]
    pub fn issue_ocap_url(&self, kref: String) -> Promise {
        let identity = Rc::clone(&self.identity);
        future_to_promise(async move {
            crash::check()?;
            identity.issue(parsed(&kref)?).map(Into::into)
        })
    }

    /// The object that a URL of this kernel means; whether it still exists is for the kernel to know.
    #[wasm_bindgen(js_name = redeemLocalOcapURL, unchecked_return_type = "Promise<string>")]
    pub fn redeem_local_ocap_url(&self, url: String) -> Promise {
        let identity = Rc::clone(&self.identity);
        future_to_promise(async move {
            crash::check()?;
            identity.open(&url).map(|kref| kref.to_string().into())
        })
    }

    /// Remembers relays, to be named in URLs; at most 20 are kept.
    #[wasm_bindgen(js_name = addKnownRelays)]
    pub fn add_known_relays(&self, relays: Vec<String>) -> Result<(), JsValue> {
        crash::check()?;
        self.identity.add_relays(&relays)
    }

    /// Hands a text to the network as it is, outside of every guarantee.
    #[wasm_bindgen(js_name = sendRemoteMessage, unchecked_return_type = "Promise<void>")]
    pub fn send_remote_message(&self, to: String, message: String) -> Promise {
        let network = self.network();
        future_to_promise(async move {
            let to = parsed(&to)?;
            let sent = network?.platform().send_remote_message(to, message).await;
            sent.map(|()| JsValue::UNDEFINED).map_err(|error| remote_error(&error))
        })
    }

    /// Tells the network where a peer may be found.
    #[wasm_bindgen(js_name = registerLocationHints, unchecked_return_type = "Promise<void>")]
    pub fn register_location_hints(
        &self,
        #[wasm_bindgen(js_name = peerId)] peer_id: String,
        hints: Vec<String>,
    ) -> Promise {
        let network = self.network();
        future_to_promise(async move {
            let peer = peer_id.parse().map_err(|error: WireError| failure(error))?;
            let told = network?.platform().register_location_hints(peer, hints).await;
            told.map(|()| JsValue::UNDEFINED).map_err(|error| remote_error(&error))
        })
    }
}
