//! Durable stores in the origin private file system of a browser, for kernels in dedicated Workers.
//!
//! A store is a file, and a lock of the same name elects the one context of the origin that has it open. Both belong to the
//! Worker: when it ends, however it ends, the next in the queue has the store.

mod error;
mod file;
mod lock;

use std::{fmt, str::FromStr, time::Duration};

use js_sys::Reflect;
use redb::StorageBackend;
use wasm_bindgen::{JsCast as _, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{
    AbortSignal, FileSystemDirectoryHandle, FileSystemFileHandle, FileSystemGetDirectoryOptions,
    FileSystemGetFileOptions, FileSystemSyncAccessHandle, StorageManager,
};

use self::{error::from_js, file::OpfsFile, lock::StoreLock};
use super::{DurableStore, StorageError};
use crate::runtime::{BrowserRuntime, Runtime as _};

/// Every store of the origin is in this folder.
const FOLDER: &str = "ocap-remotes";
/// A handle whose owner has just ended may take a moment to be free.
const BUSY_PAUSE: Duration = Duration::from_millis(50);
const BUSY_ATTEMPTS: u32 = 20;

/// What a store may be called: 1 to 64 letters, digits, `-`, `_` and `.`, the first of them a letter or digit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreName(String);

/// It is not what a store may be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the name of a store is 1 to 64 letters, digits, `-`, `_` and `.`, and begins with a letter or digit")]
pub struct StoreNameError;

impl FromStr for StoreName {
    type Err = StoreNameError;

    fn from_str(text: &str) -> Result<Self, StoreNameError> {
        let known = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        let begins_well = text.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric);
        let is_valid = begins_well && text.len() <= 64 && text.bytes().all(known);
        if is_valid { Ok(StoreName(text.to_owned())) } else { Err(StoreNameError) }
    }
}

impl fmt::Display for StoreName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What to do when another context has the store open.
#[derive(Clone, Debug)]
pub enum IfInUse {
    /// Fail with [`StorageError::InUse`].
    Fail,
    /// Wait for its end, or until the signal is aborted.
    Wait(Option<AbortSignal>),
}

impl IfInUse {
    fn is_aborted(&self) -> bool {
        matches!(self, IfInUse::Wait(Some(signal)) if signal.aborted())
    }
}

/// Opens a store, which is made if there is none.
///
/// # Errors
/// [`StorageError::Unavailable`] anywhere but in a dedicated Worker; [`StorageError::InUse`], also when waiting was
/// aborted; and as [`DurableStore::open`].
pub async fn open(name: &StoreName, if_in_use: IfInUse) -> Result<DurableStore, StorageError> {
    DurableStore::open(open_backend(name, if_in_use).await?)
}

/// The file of a store, which is made if there is none, for who wants to put something between it and the store.
///
/// # Errors
/// As [`open`], but for what is in the file.
pub async fn open_backend(name: &StoreName, if_in_use: IfInUse) -> Result<impl StorageBackend + use<>, StorageError> {
    let folder = folder().await?;
    let lock = StoreLock::acquire(name, if_in_use).await?;
    Ok(open_file(&folder, name, lock, true).await?)
}

/// The bytes of a store's file, whatever they are: what is left of one that is damaged. `None` if there is no such store.
///
/// # Errors
/// As [`open`].
pub async fn read_file(name: &StoreName) -> Result<Option<Vec<u8>>, StorageError> {
    let folder = folder().await?;
    let lock = StoreLock::acquire(name, IfInUse::Fail).await?;
    let Some(file) = found(open_file(&folder, name, lock, false).await)? else { return Ok(None) };
    let too_large = |_| StorageError::Io("the file does not fit in memory".into());
    let mut bytes = vec![0; usize::try_from(file.len()?).map_err(too_large)?];
    file.read(0, &mut bytes)?;
    file.close()?;
    Ok(Some(bytes))
}

/// Deletes a store, sound or damaged. One that does not exist is no error.
///
/// # Errors
/// [`StorageError::InUse`]; [`StorageError::Unavailable`]; [`StorageError::Io`].
pub async fn delete(name: &StoreName) -> Result<(), StorageError> {
    let folder = folder().await?;
    let _lock = StoreLock::acquire(name, IfInUse::Fail).await?;
    let removed = JsFuture::from(folder.remove_entry(&file_name(name))).await;
    found(removed.map_err(|error| from_js(&error))).map(|_| ())
}

fn file_name(name: &StoreName) -> String {
    format!("{name}.redb")
}

/// `None` for what does not exist.
fn found<T>(result: Result<T, std::io::Error>) -> Result<Option<T>, StorageError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn only_in_a_worker() -> StorageError {
    StorageError::Unavailable(
        "only a dedicated Worker can open a durable store: run the kernel in `new Worker(…)`, or ask for a store in memory"
            .into(),
    )
}

/// The folder of all stores, in a context that can open them.
async fn folder() -> Result<FileSystemDirectoryHandle, StorageError> {
    let global = js_sys::global();
    let get = |object: &JsValue, key: &str| Reflect::get(object, &key.into()).unwrap_or_default();
    let handle = get(&get(&global, "FileSystemFileHandle"), "prototype");
    if !handle.is_object() || get(&handle, "createSyncAccessHandle").is_undefined() {
        return Err(only_in_a_worker());
    }
    let storage = get(&get(&global, "navigator"), "storage");
    if storage.is_undefined() {
        let message = "this page has no origin private file system: it must be served over https, or from localhost";
        return Err(StorageError::Unavailable(message.into()));
    }
    let refused =
        |error: JsValue| StorageError::Unavailable(format!("the browser refuses storage: {}", from_js(&error)));
    let root = JsFuture::from(storage.unchecked_into::<StorageManager>().get_directory()).await.map_err(refused)?;
    let options = FileSystemGetDirectoryOptions::new();
    options.set_create(true);
    let root: FileSystemDirectoryHandle = root.unchecked_into();
    let folder = JsFuture::from(root.get_directory_handle_with_options(FOLDER, &options)).await;
    Ok(folder.map_err(|error| from_js(&error))?.unchecked_into())
}

async fn open_file(
    folder: &FileSystemDirectoryHandle,
    name: &StoreName,
    lock: StoreLock,
    create: bool,
) -> Result<OpfsFile, std::io::Error> {
    let options = FileSystemGetFileOptions::new();
    options.set_create(create);
    let entry = JsFuture::from(folder.get_file_handle_with_options(&file_name(name), &options)).await;
    let entry: FileSystemFileHandle = entry.map_err(|error| from_js(&error))?.unchecked_into();
    let mut attempt = 1;
    loop {
        match JsFuture::from(entry.create_sync_access_handle()).await.map_err(|error| from_js(&error)) {
            Ok(handle) => return Ok(OpfsFile::new(handle.unchecked_into::<FileSystemSyncAccessHandle>(), lock)),
            Err(error) if error.kind() == std::io::ErrorKind::ResourceBusy && attempt < BUSY_ATTEMPTS => {
                attempt = attempt.saturating_add(1);
                BrowserRuntime.sleep(BUSY_PAUSE).await;
            }
            Err(error) => return Err(error),
        }
    }
}
