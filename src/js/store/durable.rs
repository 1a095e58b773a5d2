//! Stores in files of the origin, by name.

use js_sys::Uint8Array;
use wasm_bindgen::prelude::*;
use web_sys::AbortSignal;

use super::KernelStore;
use crate::{
    js::{
        crash,
        error::{kernel as kernel_error, named, type_error},
    },
    kernel::{KernelError, store::StoreError},
    storage::{
        StorageError,
        opfs::{self, StoreName, StoreNameError},
    },
};

/// The store of a kernel that does not name its own.
const DEFAULT_NAME: &str = "kernel";

fn parse(name: Option<&str>) -> Result<StoreName, JsValue> {
    let name = name.unwrap_or(DEFAULT_NAME);
    name.parse().map_err(|error: StoreNameError| type_error(&format!("{name:?} names no store: {error}")))
}

/// The error, and what can be done about it.
fn with_advice(error: impl Into<StoreError>, name: &StoreName) -> JsValue {
    let error = KernelError::Store(error.into());
    let advice = match &error {
        KernelError::Store(StoreError::Storage(StorageError::InUse)) => {
            "close it there, or wait with `ifInUse: \"wait\"`"
        }
        KernelError::Store(StoreError::Storage(StorageError::Format { .. })) => {
            "use the version that wrote it, or start over with deleteKernelStore"
        }
        KernelError::Store(StoreError::Storage(StorageError::Damaged(_)) | StoreError::Corrupt { .. }) => {
            "keep what is left of it with readKernelStoreFile, then start over with deleteKernelStore and import a backup"
        }
        _ => return kernel_error(&error),
    };
    named(error.name(), &format!("{name}: {error}; {advice}"), &JsValue::UNDEFINED)
}

pub(super) async fn open(name: Option<&str>, wait: bool, signal: Option<AbortSignal>) -> Result<KernelStore, JsValue> {
    let name = parse(name)?;
    let if_in_use = if wait { opfs::IfInUse::Wait(signal.clone()) } else { opfs::IfInUse::Fail };
    let storage = opfs::open(&name, if_in_use).await;
    if let Some(signal) = signal.filter(AbortSignal::aborted) {
        return Err(signal.reason());
    }
    let opened = storage.map_err(StoreError::from).and_then(|storage| KernelStore::on(Box::new(storage)));
    opened.map_err(|error| with_advice(error, &name))
}

/// Deletes a store that nobody has open, sound or damaged. A kernel that is started on it afterwards is new, with another
/// peer id unless it is given its seed.
///
/// # Errors
/// A `TypeError` for a name that no store can have; a `StoreInUseError`; a `StoreUnavailableError`; a `StoreError`.
#[wasm_bindgen(js_name = deleteKernelStore)]
pub async fn delete_kernel_store(name: Option<String>) -> Result<(), JsValue> {
    crash::check()?;
    let name = parse(name.as_deref())?;
    opfs::delete(&name).await.map_err(|error| with_advice(error, &name))
}

/// The file of a store that nobody has open, as it is, or `undefined` if there is none: to keep what is left of a damaged store
/// before it is deleted. For a backup of a sound store use `export`.
///
/// # Errors
/// As `deleteKernelStore`.
#[wasm_bindgen(js_name = readKernelStoreFile)]
pub async fn read_kernel_store_file(name: Option<String>) -> Result<Option<Uint8Array>, JsValue> {
    crash::check()?;
    let name = parse(name.as_deref())?;
    let bytes = opfs::read_file(&name).await.map_err(|error| with_advice(error, &name))?;
    Ok(bytes.map(|bytes| Uint8Array::from(&*bytes)))
}
