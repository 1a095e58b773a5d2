//! Which context of the origin has a store open: whoever has the Web Lock of its name.
//!
//! A lock is released when its context ends, so nobody has to find out whether the owner is alive.

use futures::{
    FutureExt as _,
    channel::oneshot,
    future::{Either, select},
};
use js_sys::{Function, Object, Promise, Reflect};
use wasm_bindgen::{JsCast as _, JsValue, prelude::*};
use wasm_bindgen_futures::JsFuture;

use super::{IfInUse, StoreName, error::from_js};
use crate::storage::StorageError;

#[wasm_bindgen]
extern "C" {
    /// web-sys has it only for builds that set a flag for unstable interfaces.
    type LockManager;

    #[wasm_bindgen(method, catch)]
    fn request(this: &LockManager, name: &str, options: &Object, granted: &JsValue) -> Result<Promise, JsValue>;
}

/// The lock of a store; released when it is dropped.
pub(super) struct StoreLock {
    /// Always there. A default in its place would be made by `eval`, which an extension's policy forbids.
    release: Option<Function>,
}

impl StoreLock {
    pub(super) async fn acquire(name: &StoreName, if_in_use: IfInUse) -> Result<Self, StorageError> {
        let navigator = Reflect::get(&js_sys::global(), &"navigator".into()).unwrap_or_default();
        let locks = Reflect::get(&navigator, &"locks".into()).unwrap_or_default();
        if locks.is_undefined() {
            return Err(StorageError::Unavailable(
                "this context has no Web Locks, which elect the owner of a store".into(),
            ));
        }
        let options = Object::new();
        let (key, value) = match &if_in_use {
            IfInUse::Fail => ("ifAvailable", JsValue::TRUE),
            IfInUse::Wait(signal) => ("signal", signal.clone().map_or(JsValue::UNDEFINED, Into::into)),
        };
        // A plain object takes any property.
        Reflect::set(&options, &key.into(), &value).ok();

        // The lock is held until this promise is resolved.
        let mut release = None;
        let held = Promise::new(&mut |resolve, _| release = Some(resolve));
        let (tell, granted) = oneshot::channel();
        let callback = Closure::once_into_js(move |lock: JsValue| -> JsValue {
            // Without a lock there is nothing to hold; and nothing is held for somebody who has stopped waiting.
            let is_wanted = tell.send(lock.is_object()).is_ok();
            if is_wanted { held.into() } else { JsValue::UNDEFINED }
        });
        let lock = StoreLock { release };
        let request =
            locks.unchecked_into::<LockManager>().request(&format!("ocap-remotes/store/{name}"), &options, &callback);
        let request = request.map_err(|error| StorageError::Unavailable(from_js(&error).to_string()))?;
        match select(granted, JsFuture::from(request).boxed_local()).await {
            Either::Left((Ok(true), _)) => Ok(lock),
            Either::Left(_) => Err(StorageError::InUse),
            Either::Right((Err(_), _)) if if_in_use.is_aborted() => Err(StorageError::InUse),
            Either::Right((Err(error), _)) => Err(from_js(&error).into()),
            Either::Right((Ok(_), granted)) => {
                if granted.now_or_never() == Some(Ok(true)) {
                    Ok(lock)
                } else {
                    Err(StorageError::InUse)
                }
            }
        }
    }
}

impl Drop for StoreLock {
    fn drop(&mut self) {
        if let Some(release) = &self.release {
            // Resolving a promise does not throw.
            release.call0(&JsValue::UNDEFINED).ok();
        }
    }
}
