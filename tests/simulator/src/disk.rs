//! A disk: what is on it survives its kernel. It can fail at any operation, and then the kernel that used it is to die.
//!
//! By itself it keeps rows. Moved to a file it keeps them in the durable store, and loses what that did not flush.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

use fastrand::Rng;
use ocap_remotes::storage::{DurableStore, KeyValueStore, MemoryStore, StorageError};
use storage_evidence::{Power, Volatile, memory_file};

/// On which side of an operation a crash comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// The operation has no effect.
    Before,
    /// It has its effect, and nobody hears of it.
    After,
}

/// A file with the durable store.
struct File {
    power: Power,
    rng: Rng,
}

/// The disk of one kernel.
#[derive(Default)]
pub(crate) struct Disk {
    /// What was committed.
    rows: RefCell<BTreeMap<String, String>>,
    /// Where it is kept, if it is not only kept here.
    file: RefCell<Option<File>>,
    /// Operations so far: reads, writes, savepoints.
    operations: Cell<u64>,
    commits: Cell<u64>,
    crash_at: Cell<Option<(u64, Moment)>>,
    fail_at: Cell<Option<(u64, Moment)>>,
    crashed: Cell<bool>,
    on_commit: RefCell<Option<Rc<dyn Fn()>>>,
}

impl Disk {
    /// Operations so far.
    pub(crate) fn operations(&self) -> u64 {
        self.operations.get()
    }

    /// Commits so far.
    pub(crate) fn commits(&self) -> u64 {
        self.commits.get()
    }

    /// A row of what was committed.
    pub(crate) fn row(&self, key: &str) -> Option<String> {
        self.rows.borrow().get(key).cloned()
    }

    /// The keys of what was committed.
    pub(crate) fn keys(&self) -> Vec<String> {
        self.rows.borrow().keys().cloned().collect()
    }

    /// Whether it is empty: no kernel ever committed anything.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.borrow().is_empty()
    }

    /// Lets the `operation`-th operation from the beginning crash.
    pub(crate) fn crash_at(&self, operation: u64, moment: Moment) {
        self.crash_at.set(Some((operation, moment)));
    }

    /// Lets the `operation`-th operation from the beginning fail, and those after it succeed again.
    pub(crate) fn fail_at(&self, operation: u64, moment: Moment) {
        self.fail_at.set(Some((operation, moment)));
    }

    /// The kernel has stopped because it could not commit: it is to be started again.
    pub(crate) fn has_stopped(&self) {
        self.crashed.set(true);
    }

    /// Whether the crash has come, which is told once.
    pub(crate) fn take_crash(&self) -> bool {
        self.crashed.replace(false)
    }

    /// Loses everything.
    pub(crate) fn wipe(&self) {
        self.rows.borrow_mut().clear();
        if let Some(file) = &mut *self.file.borrow_mut() {
            file.power = Power::new(Vec::new(), u64::MAX, true);
        }
    }

    /// Ends every write. Whatever still has a store on this disk is dead.
    pub(crate) fn cut_power(&self) {
        if let Some(file) = &*self.file.borrow() {
            file.power.cut();
        }
    }

    /// From the next start on the rows are kept in a file. The kernel must be dead.
    pub(crate) fn move_to_file(&self, rng: Rng) {
        let power = Power::new(Vec::new(), u64::MAX, true);
        let mut store = DurableStore::open(Volatile::new(memory_file(&[]), power.clone())).unwrap();
        store.create_savepoint("move").unwrap();
        for (key, value) in self.rows.borrow().iter() {
            store.set(key, value).unwrap();
        }
        store.release_savepoint("move").unwrap();
        power.cut();
        *self.file.borrow_mut() = Some(File { power, rng });
    }

    fn open_rows(&self) -> Box<dyn KeyValueStore> {
        let rows = self.rows.borrow();
        let Some(file) = &mut *self.file.borrow_mut() else {
            let mut store = MemoryStore::new();
            rows.iter().for_each(|(key, value)| store.set(key, value).unwrap());
            return Box::new(store);
        };
        file.power.cut();
        let disk = file.power.remains(&mut file.rng);
        file.power = Power::new(disk.clone(), u64::MAX, true);
        let store = DurableStore::open(Volatile::new(memory_file(&disk), file.power.clone())).unwrap();
        let found: BTreeMap<_, _> = store.rows().unwrap().into_iter().collect();
        assert_eq!(found, *rows, "the durable store does not have what was committed");
        Box::new(store)
    }

    /// What is called when a commit has become durable.
    pub(crate) fn on_commit(&self, call: impl Fn() + 'static) {
        *self.on_commit.borrow_mut() = Some(Rc::new(call));
    }

    /// The store of a new life of the kernel.
    pub(crate) fn open(self: &Rc<Self>) -> SimStore {
        self.crashed.set(false);
        SimStore {
            disk: Rc::clone(self),
            rows: self.open_rows(),
            written: BTreeSet::new(),
            savepoints: Vec::new(),
            dead: Cell::new(false),
        }
    }
}

/// One life's view of the disk.
pub(crate) struct SimStore {
    disk: Rc<Disk>,
    rows: Box<dyn KeyValueStore>,
    /// Keys written since the outermost savepoint.
    written: BTreeSet<String>,
    savepoints: Vec<String>,
    dead: Cell<bool>,
}

fn busy() -> StorageError {
    StorageError::Io("the disk is busy".to_owned())
}

fn crashed() -> StorageError {
    StorageError::Io("the machine has crashed".to_owned())
}

impl SimStore {
    /// Counts an operation. Answers whether it crashes after having its effect.
    fn begin(&self) -> Result<bool, StorageError> {
        if self.dead.get() {
            return Err(crashed());
        }
        let operation = self.disk.operations.get() + 1;
        self.disk.operations.set(operation);
        match self.disk.crash_at.get() {
            Some((at, moment)) if at <= operation => {
                self.disk.crash_at.set(None);
                self.dead.set(true);
                self.disk.crashed.set(true);
                if moment == Moment::Before { Err(crashed()) } else { Ok(true) }
            }
            _ => match self.failing(operation) {
                Some((_, Moment::Before)) => Err(busy()),
                Some((_, Moment::After)) => Ok(true),
                None => Ok(false),
            },
        }
    }

    fn failing(&self, operation: u64) -> Option<(u64, Moment)> {
        let failing = self.disk.fail_at.get().filter(|(at, _)| *at <= operation);
        if failing.is_some() {
            self.disk.fail_at.set(None);
        }
        failing
    }

    fn end<T>(&self, fails: bool, result: T) -> Result<T, StorageError> {
        match (fails, self.dead.get()) {
            (false, _) => Ok(result),
            (true, true) => Err(crashed()),
            (true, false) => Err(busy()),
        }
    }

    fn wrote(&mut self, key: &str) {
        self.written.insert(key.to_owned());
        if self.savepoints.is_empty() {
            self.commit();
        }
    }

    fn commit(&mut self) {
        let mut disk = self.disk.rows.borrow_mut();
        for key in std::mem::take(&mut self.written) {
            match self.rows.get(&key).unwrap() {
                Some(value) => disk.insert(key, value),
                None => disk.remove(&key),
            };
        }
        drop(disk);
        self.disk.commits.set(self.disk.commits.get() + 1);
        let call = self.disk.on_commit.borrow().clone();
        if let Some(call) = call {
            call();
        }
    }

    fn close(&mut self, name: &str) {
        if let Some(position) = self.savepoints.iter().rposition(|open| open == name) {
            self.savepoints.truncate(position);
        }
    }
}

impl KeyValueStore for SimStore {
    fn get(&self, key: &str) -> Result<Option<String>, StorageError> {
        let crashes = self.begin()?;
        self.end(crashes, self.rows.get(key)?)
    }

    fn next_key(&self, key: &str) -> Result<Option<String>, StorageError> {
        let crashes = self.begin()?;
        self.end(crashes, self.rows.next_key(key)?)
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), StorageError> {
        let crashes = self.begin()?;
        self.rows.set(key, value)?;
        self.wrote(key);
        self.end(crashes, ())
    }

    fn delete(&mut self, key: &str) -> Result<(), StorageError> {
        let crashes = self.begin()?;
        self.rows.delete(key)?;
        self.wrote(key);
        self.end(crashes, ())
    }

    fn create_savepoint(&mut self, name: &str) -> Result<(), StorageError> {
        let crashes = self.begin()?;
        self.rows.create_savepoint(name)?;
        self.savepoints.push(name.to_owned());
        self.end(crashes, ())
    }

    fn rollback_savepoint(&mut self, name: &str) -> Result<(), StorageError> {
        let crashes = self.begin()?;
        self.rows.rollback_savepoint(name)?;
        self.close(name);
        self.end(crashes, ())
    }

    fn release_savepoint(&mut self, name: &str) -> Result<(), StorageError> {
        let crashes = self.begin()?;
        self.rows.release_savepoint(name)?;
        self.close(name);
        if self.savepoints.is_empty() {
            self.commit();
        }
        self.end(crashes, ())
    }
}
