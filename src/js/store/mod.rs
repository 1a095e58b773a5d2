//! The stores of kernels: opened, exported, restored, reset, and handed to [`Kernel::start`](super::Kernel::start).

mod database;
#[cfg(feature = "durable")]
mod durable;

use wasm_bindgen::prelude::*;
use web_sys::AbortSignal;

use self::database::JsDatabase;
pub(super) use self::database::is_being_asked;
#[cfg(feature = "durable")]
pub use self::durable::{delete_kernel_store, read_kernel_store_file};
use super::{
    abort, crash,
    error::{kernel as kernel_error, named, type_error},
    options,
};
use crate::{
    kernel::store::{BackupError, KernelStore as Records, StoreError},
    runtime::{BrowserRuntime, random_bytes},
    storage::{KeyValueStore, MemoryStore},
};

#[wasm_bindgen(typescript_custom_section)]
const TYPES: &str = include_str!("types.d.ts");

#[wasm_bindgen]
extern "C" {
    /// See the TypeScript type.
    #[wasm_bindgen(typescript_type = "KernelStoreOptions")]
    pub type KernelStoreOptions;

    /// See the TypeScript type.
    #[wasm_bindgen(typescript_type = "KernelDatabase")]
    pub type KernelDatabase;

    /// See the TypeScript type.
    #[wasm_bindgen(typescript_type = "ResetOptions")]
    pub type ResetOptions;
}

/// The store of one kernel. `Kernel.start` takes it over, and `Kernel.stop` closes it.
#[wasm_bindgen]
pub struct KernelStore {
    records: Records,
}

fn store_error(error: StoreError) -> JsValue {
    kernel_error(&error.into())
}

/// Opens a store, which is made if there is none. Everything in it is checked.
///
/// # Errors
/// A `TypeError` for a bad option; a `StoreUnavailableError` where there is no durable storage, which is everywhere but in a
/// dedicated Worker; a `StoreInUseError`; a `StoreDamagedError` or a `StoreFormatError` for a file that cannot be trusted, which
/// is left as it is; a `StoreFullError`; a `StoreError`.
#[wasm_bindgen(js_name = openKernelStore)]
pub async fn open_kernel_store(options: Option<KernelStoreOptions>) -> Result<KernelStore, JsValue> {
    crash::check()?;
    let options: JsValue = options.map_or(JsValue::UNDEFINED, Into::into);
    let signal = abort::signal(&options)?;
    options::check(&options, &["name", "durability", "ifInUse", "signal"])?;
    let name = options::text(&options, "name")?;
    let is_durable = options::choice(&options, "durability", ["durable", "memory"])? == "durable";
    let waits = options::choice(&options, "ifInUse", ["fail", "wait"])? == "wait";
    abort::check(signal.as_ref())?;
    match name {
        name if is_durable => open_durable(name, waits, signal).await,
        Some(_) => Err(type_error("a store in memory has no name")),
        None => KernelStore::on(Box::new(MemoryStore::new())).map_err(store_error),
    }
}

#[cfg(feature = "durable")]
async fn open_durable(name: Option<String>, waits: bool, signal: Option<AbortSignal>) -> Result<KernelStore, JsValue> {
    durable::open(name.as_deref(), waits, signal).await
}

#[cfg(not(feature = "durable"))]
#[allow(clippy::unused_async, reason = "as its namesake")]
async fn open_durable(_: Option<String>, _: bool, _: Option<AbortSignal>) -> Result<KernelStore, JsValue> {
    let message = "this build has no durable store: ask for `durability: \"memory\"`, or use the build that has one";
    Err(store_error(crate::storage::StorageError::Unavailable(message.into()).into()))
}

impl KernelStore {
    fn on(storage: Box<dyn KeyValueStore>) -> Result<Self, StoreError> {
        Ok(KernelStore { records: Records::open(storage)? })
    }

    /// The store of a kernel that is given none.
    pub(super) async fn open_default() -> Result<Self, JsValue> {
        open_durable(None, false, None).await
    }

    pub(super) fn into_records(self) -> Records {
        self.records
    }
}

#[wasm_bindgen]
impl KernelStore {
    /// A store on a JavaScript kernel's own database, with the incumbent's keys. What the database throws undoes the event
    /// during which it was thrown; what it throws on a commit stops the kernel. Its functions may not call the kernel.
    ///
    /// # Errors
    /// A `TypeError` if a function is missing; a `StoreError` or a `StoreCorruptError` for what is in it.
    pub fn over(database: &KernelDatabase) -> Result<KernelStore, JsValue> {
        crash::check()?;
        KernelStore::on(Box::new(JsDatabase::new(database)?)).map_err(store_error)
    }

    /// Everything in the store, as a file for the user to keep. It holds the kernel's private keys: whoever has it can be
    /// this kernel.
    ///
    /// # Errors
    /// A `StoreError`.
    pub fn export(&self) -> Result<Vec<u8>, JsValue> {
        crash::check()?;
        self.records.export().map_err(store_error)
    }

    /// Puts what was exported in the place of everything in the store. The kernel goes on as a new incarnation: its peers
    /// treat it as restarted. URLs from before the export keep their meaning; those given out since name nothing.
    ///
    /// # Errors
    /// A `BackupError` for anything but a whole, unchanged backup; a `StoreError`. The store is as it was then.
    pub fn import(&mut self, backup: &[u8]) -> Result<(), JsValue> {
        crash::check()?;
        self.records.import(backup, random_bytes(&BrowserRuntime)).map_err(|error| match error {
            BackupError::Store(error) => store_error(error),
            other => named("BackupError", &other.to_string(), &JsValue::UNDEFINED),
        })
    }

    /// Empties the store. A kernel that is started on it is a new incarnation.
    ///
    /// # Errors
    /// A `TypeError` for a bad option; a `StoreError`, and the store is as it was.
    pub fn reset(&mut self, options: Option<ResetOptions>) -> Result<(), JsValue> {
        crash::check()?;
        let options: JsValue = options.map_or(JsValue::UNDEFINED, Into::into);
        options::check(&options, &["keepIdentity"])?;
        let keeps_identity = options::flag(&options, "keepIdentity")?.unwrap_or(true);
        self.records.reset(keeps_identity).map_err(store_error)
    }

    /// Closes the store, so that others can open it.
    pub fn close(self) {}
}
