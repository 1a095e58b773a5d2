//! A file of the origin private file system as redb wants it.

use std::{fmt, io};

use redb::StorageBackend;
use send_wrapper::SendWrapper;
use wasm_bindgen::JsValue;
use web_sys::{FileSystemReadWriteOptions, FileSystemSyncAccessHandle};

use super::{error::from_js, lock::StoreLock};

/// A file that this context alone has open. Closed, and the lock released, when it is dropped.
pub(super) struct OpfsFile {
    handle: SendWrapper<FileSystemSyncAccessHandle>,
    /// Released after the handle is closed.
    _lock: SendWrapper<StoreLock>,
}

/// Positions and lengths cross as JavaScript numbers.
fn to_number(position: u64) -> Result<f64, io::Error> {
    const MAX_SAFE: u64 = (1 << 53) - 1;
    if position > MAX_SAFE {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "a position beyond 2^53"));
    }
    #[allow(clippy::cast_precision_loss, reason = "checked just now")]
    Ok(position as f64)
}

/// What a call answers: a number of bytes.
fn to_count(answer: Result<f64, JsValue>) -> Result<u64, io::Error> {
    let count = answer.map_err(|error| from_js(&error))?;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counts are whole and not negative")]
    Ok(count as u64)
}

impl OpfsFile {
    pub(super) fn new(handle: FileSystemSyncAccessHandle, lock: StoreLock) -> Self {
        OpfsFile { handle: SendWrapper::new(handle), _lock: SendWrapper::new(lock) }
    }

    fn at(position: u64) -> Result<FileSystemReadWriteOptions, io::Error> {
        let options = FileSystemReadWriteOptions::new();
        options.set_at(to_number(position)?);
        Ok(options)
    }
}

impl StorageBackend for OpfsFile {
    fn len(&self) -> Result<u64, io::Error> {
        to_count(self.handle.get_size())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        let count = to_count(self.handle.read_with_u8_array_and_options(out, &Self::at(offset)?))?;
        if count == out.len() as u64 { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    fn set_len(&self, len: u64) -> Result<(), io::Error> {
        self.handle.truncate_with_f64(to_number(len)?).map_err(|error| from_js(&error))?;
        // Chromium does not always throw when there is no space to grow into.
        if self.len()? == len { Ok(()) } else { Err(io::ErrorKind::StorageFull.into()) }
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        self.handle.flush().map_err(|error| from_js(&error))
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        let count = to_count(self.handle.write_with_u8_array_and_options(data, &Self::at(offset)?))?;
        if count == data.len() as u64 { Ok(()) } else { Err(io::ErrorKind::StorageFull.into()) }
    }

    fn close(&self) -> Result<(), io::Error> {
        self.handle.close();
        Ok(())
    }
}

impl Drop for OpfsFile {
    fn drop(&mut self) {
        // Closing twice does nothing.
        self.handle.close();
    }
}

impl fmt::Debug for OpfsFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpfsFile").finish_non_exhaustive()
    }
}
