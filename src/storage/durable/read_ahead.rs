//! Reads a file in large pieces while its store is opened.
//!
//! Opening checks every page, several times over. In a private window each read is a call to another process, however little
//! it reads: page by page, 100,000 rows took four seconds there.

use std::{
    collections::BTreeMap,
    fmt, io,
    sync::{Mutex, MutexGuard, PoisonError},
};

use redb::StorageBackend;

/// What is read at once.
const PIECE: usize = 1 << 20;
/// What is kept at most; beyond it pages are read one by one.
const MOST_PIECES: usize = 64;

/// A backend that keeps what it reads until it is told to [stop](ReadAhead::stop).
pub(super) struct ReadAhead<B> {
    inner: B,
    /// Pieces by number, as they are in the file; `None` once it was stopped.
    pieces: Mutex<Option<BTreeMap<usize, Vec<u8>>>>,
}

impl<B> fmt::Debug for ReadAhead<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadAhead").finish_non_exhaustive()
    }
}

impl<B: StorageBackend> ReadAhead<B> {
    pub(super) fn new(inner: B) -> Self {
        ReadAhead { inner, pieces: Mutex::new(Some(BTreeMap::new())) }
    }

    /// From now on every read is the backend's.
    pub(super) fn stop(&self) {
        *self.pieces() = None;
    }

    fn pieces(&self) -> MutexGuard<'_, Option<BTreeMap<usize, Vec<u8>>>> {
        // Nothing is left half done when a thread panics with it.
        self.pieces.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads from one piece. False if that has to be left to the backend.
    fn read_from_piece(&self, offset: usize, out: &mut [u8]) -> Result<bool, io::Error> {
        let mut kept = self.pieces();
        let Some(pieces) = kept.as_mut() else { return Ok(false) };
        let (number, within) = (offset / PIECE, offset % PIECE);
        if !pieces.contains_key(&number) {
            if pieces.len() >= MOST_PIECES {
                return Ok(false);
            }
            let start = number.saturating_mul(PIECE) as u64;
            let there = self.inner.len()?.saturating_sub(start);
            let mut piece = vec![0; usize::try_from(there).unwrap_or(PIECE).min(PIECE)];
            self.inner.read(start, &mut piece)?;
            pieces.insert(number, piece);
        }
        let found = pieces.get(&number).and_then(|piece| piece.get(within..within.checked_add(out.len())?));
        found.map(|bytes| out.copy_from_slice(bytes)).ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
        Ok(true)
    }
}

impl<B: StorageBackend> StorageBackend for ReadAhead<B> {
    fn len(&self) -> Result<u64, io::Error> {
        self.inner.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        let first = usize::try_from(offset).ok();
        // What lies in two pieces is rare: a page lies in one.
        let in_one = first.filter(|first| first % PIECE + out.len() <= PIECE);
        match in_one {
            Some(offset) if self.read_from_piece(offset, out)? => Ok(()),
            _ => self.inner.read(offset, out),
        }
    }

    fn set_len(&self, len: u64) -> Result<(), io::Error> {
        if let Some(pieces) = self.pieces().as_mut() {
            pieces.clear();
        }
        self.inner.set_len(len)
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        self.inner.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        self.inner.write(offset, data)?;
        if let Some(pieces) = self.pieces().as_mut() {
            let first = usize::try_from(offset).unwrap_or(usize::MAX);
            let last = first.saturating_add(data.len());
            for (number, piece) in pieces.range_mut(first / PIECE..=last / PIECE) {
                let start = number.saturating_mul(PIECE);
                let (from, to) = (first.max(start), last.min(start.saturating_add(piece.len())));
                if let (Some(old), Some(new)) = (
                    piece.get_mut(from.saturating_sub(start)..to.saturating_sub(start)),
                    data.get(from.saturating_sub(first)..to.saturating_sub(first)),
                ) {
                    old.copy_from_slice(new);
                }
            }
        }
        Ok(())
    }

    fn close(&self) -> Result<(), io::Error> {
        self.inner.close()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use redb::backends::InMemoryBackend;

    use super::*;

    const LENGTH: usize = 3 * PIECE + 1_000;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn what_is_read_is_what_is_in_the_file(
            steps in prop::collection::vec((any::<bool>(), 0..LENGTH, 0..9_000_usize, any::<u8>()), 1..40),
        ) {
            let inner = InMemoryBackend::new();
            inner.set_len(LENGTH as u64).unwrap();
            let file = ReadAhead::new(inner);
            let mut model = vec![0; LENGTH];
            for (is_write, at, length, byte) in steps {
                let end = (at + length).min(LENGTH);
                if is_write {
                    file.write(at as u64, &vec![byte; end - at]).unwrap();
                    model[at..end].fill(byte);
                } else {
                    let mut out = vec![0; end - at];
                    file.read(at as u64, &mut out).unwrap();
                    prop_assert!(out == model[at..end]);
                }
            }
        }
    }

    #[test]
    fn a_file_that_ends_early_is_an_error() {
        let file = ReadAhead::new(InMemoryBackend::new());
        file.set_len(100).unwrap();
        let ended = file.read(90, &mut [0; 20]).unwrap_err();
        assert_eq!(ended.kind(), io::ErrorKind::UnexpectedEof);
    }
}
