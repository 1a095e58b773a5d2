//! The first block of a store's file, before redb's: it says that the store was completely made.
//!
//! redb begins a file in several writes. A power cut among them leaves something that is no database, and which nothing but
//! its shortness tells from a database that was damaged. The mark is written and flushed after that, in one sector, which is
//! written as a whole or not at all.

use std::{io, sync::Arc};

use redb::StorageBackend;

use crate::storage::StorageError;

/// A page, so that redb's own stay aligned.
const BLOCK: u64 = 4096;
const MARK: &[u8; 24] = b"ocap-remotes store file\n";
/// What redb writes last when it begins a file.
const REDB_MAGIC: &[u8; 9] = b"redb\x1a\x0a\xa9\x0d\x0a";
/// A file that is longer has been a store, whatever its first block says.
const LONGEST_UNFINISHED: u64 = 256 << 10;

/// Whether the file has its mark. One that was never completely made, in which there is nothing then, is made empty.
///
/// # Errors
/// [`StorageError::Damaged`] for a file that is something else.
pub(super) fn prepare(backend: &impl StorageBackend) -> Result<bool, StorageError> {
    let length = backend.len()?;
    let mark = read::<{ MARK.len() }>(backend, 0, length)?;
    if mark == *MARK {
        // redb would take no bytes for a store yet to be made.
        return if length > BLOCK { Ok(true) } else { Err(StorageError::Damaged("it is cut off".into())) };
    }
    if mark.iter().any(|byte| *byte != 0) || length > LONGEST_UNFINISHED {
        return Err(StorageError::Damaged("its first block is not that of a store".into()));
    }
    if read(backend, BLOCK, length)? != *REDB_MAGIC {
        backend.set_len(0)?;
        backend.set_len(BLOCK)?;
    }
    Ok(false)
}

/// The bytes at a position of a file of that length; beyond its end there are zeros.
fn read<const N: usize>(backend: &impl StorageBackend, at: u64, length: u64) -> Result<[u8; N], StorageError> {
    let mut bytes = [0; N];
    let there = usize::try_from(length.saturating_sub(at)).unwrap_or(N).min(N);
    match bytes.get_mut(..there) {
        Some(bytes) if there > 0 => backend.read(at, bytes)?,
        _ => {}
    }
    Ok(bytes)
}

/// Writes the mark. What was written before has to be flushed already.
pub(super) fn write_mark(backend: &impl StorageBackend) -> Result<(), StorageError> {
    backend.write(0, MARK)?;
    Ok(backend.sync_data()?)
}

/// The rest of a file, as redb has it.
#[derive(Debug)]
pub(super) struct AfterBlock<B>(pub(super) Arc<B>);

fn shifted(position: u64) -> Result<u64, io::Error> {
    position.checked_add(BLOCK).ok_or_else(|| io::ErrorKind::InvalidInput.into())
}

impl<B: StorageBackend> StorageBackend for AfterBlock<B> {
    fn len(&self) -> Result<u64, io::Error> {
        Ok(self.0.len()?.saturating_sub(BLOCK))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        self.0.read(shifted(offset)?, out)
    }

    fn set_len(&self, len: u64) -> Result<(), io::Error> {
        self.0.set_len(shifted(len)?)
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        self.0.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        self.0.write(shifted(offset)?, data)
    }

    fn close(&self) -> Result<(), io::Error> {
        self.0.close()
    }
}
