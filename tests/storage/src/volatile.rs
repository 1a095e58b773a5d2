//! A disk with a cache that power cuts empty.

use std::{
    fmt, io,
    sync::{Arc, Mutex, MutexGuard},
};

use fastrand::Rng;
use ocap_remotes::storage::StorageBackend;

/// What disks write at once, or not at all.
const SECTOR: usize = 512;

enum Pending {
    Write { offset: usize, data: Vec<u8> },
    Length(usize),
}

struct State {
    /// What a power cut leaves for certain.
    safe: Vec<u8>,
    /// What came since the last flush, in order.
    pending: Vec<Pending>,
    operations: u64,
    /// The operation at which the power fails.
    fails_at: u64,
    /// Flushes do what they promise.
    flushes: bool,
}

/// The switch of a disk, which outlives it.
#[derive(Clone)]
pub struct Power(Arc<Mutex<State>>);

impl Power {
    /// The power of a disk on which `safe` stands, and which fails at the `fails_at`-th write, flush or change of length.
    /// Without `flushes` it only says that it flushes.
    pub fn new(safe: Vec<u8>, fails_at: u64, flushes: bool) -> Self {
        Power(Arc::new(Mutex::new(State { safe, pending: Vec::new(), operations: 0, fails_at, flushes })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// Operations so far.
    pub fn operations(&self) -> u64 {
        self.state().operations
    }

    /// The length of what is safe, in bytes.
    pub fn length(&self) -> usize {
        self.state().safe.len()
    }

    /// Cuts the power now.
    pub fn cut(&self) {
        let mut state = self.state();
        state.fails_at = state.fails_at.min(state.operations);
    }

    /// What is on the disk when the power is back. Of what was not flushed each sector, and each change of the length, has
    /// been written or not, whatever came before it or after.
    pub fn remains(&self, rng: &mut Rng) -> Vec<u8> {
        let state = self.state();
        let mut disk = state.safe.clone();
        for pending in &state.pending {
            match pending {
                Pending::Length(length) if rng.bool() => disk.resize(*length, 0),
                Pending::Length(_) => {}
                Pending::Write { offset, data } => {
                    let mut at = *offset;
                    while at < offset + data.len() {
                        let end = ((at / SECTOR + 1) * SECTOR).min(offset + data.len());
                        if rng.bool() {
                            write(&mut disk, at, &data[at - offset..end - offset]);
                        }
                        at = end;
                    }
                }
            }
        }
        disk
    }
}

fn write(disk: &mut Vec<u8>, offset: usize, data: &[u8]) {
    let end = offset + data.len();
    if disk.len() < end {
        disk.resize(end, 0);
    }
    disk[offset..end].copy_from_slice(data);
}

fn position(number: u64) -> usize {
    usize::try_from(number).unwrap()
}

/// A disk in front of `B`, which has everything that was written.
pub struct Volatile<B> {
    inner: B,
    power: Power,
}

impl<B> Volatile<B> {
    /// A disk whose contents are those that `power` was made with.
    pub fn new(inner: B, power: Power) -> Self {
        Volatile { inner, power }
    }
}

impl<B> fmt::Debug for Volatile<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Volatile").finish_non_exhaustive()
    }
}

impl<B: StorageBackend> Volatile<B> {
    /// Counts an operation, or fails for want of power. What the failing operation writes may still reach the disk.
    fn operate(&self, pending: Option<Pending>) -> Result<(), io::Error> {
        let mut state = self.power.state();
        let has_power = state.operations < state.fails_at;
        if has_power || state.operations == state.fails_at {
            state.pending.extend(pending);
        }
        state.operations += u64::from(has_power);
        if has_power { Ok(()) } else { Err(io::Error::other("the power is off")) }
    }
}

impl<B: StorageBackend> StorageBackend for Volatile<B> {
    fn len(&self) -> Result<u64, io::Error> {
        self.inner.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        self.inner.read(offset, out)
    }

    fn set_len(&self, len: u64) -> Result<(), io::Error> {
        self.operate(Some(Pending::Length(position(len))))?;
        self.inner.set_len(len)
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        self.operate(None)?;
        self.inner.sync_data()?;
        let mut state = self.power.state();
        if state.flushes {
            let State { safe, pending, .. } = &mut *state;
            for pending in pending.drain(..) {
                match pending {
                    Pending::Length(length) => safe.resize(length, 0),
                    Pending::Write { offset, data } => write(safe, offset, &data),
                }
            }
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        self.operate(Some(Pending::Write { offset: position(offset), data: data.to_vec() }))?;
        self.inner.write(offset, data)
    }

    fn close(&self) -> Result<(), io::Error> {
        self.inner.close()
    }
}
