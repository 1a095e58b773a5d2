//! A storage of which one operation fails, once, while the kernel goes on: whatever was begun ends one way or the other, and
//! nothing is committed by halves.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeSet,
    rc::Rc,
};

use super::{quiet_network::QuietNetwork, *};
use crate::{
    runtime::{NativeRuntime, Runtime},
    storage::{KeyValueStore, StorageError},
};

/// On which side of its effect an operation fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    Before,
    After,
}

/// A storage, and the operation of it that is to fail.
#[derive(Default)]
struct Storage {
    rows: RefCell<MemoryStore>,
    operations: Cell<u64>,
    fails: Cell<Option<(u64, Moment)>>,
}

impl Storage {
    fn operate<T>(
        &self,
        operation: impl FnOnce(&mut MemoryStore) -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        self.operations.set(self.operations.get() + 1);
        match self.fails.get() {
            Some((at, moment)) if at == self.operations.get() => {
                if moment == Moment::After {
                    operation(&mut self.rows.borrow_mut())?;
                }
                Err(StorageError::Io("busy".into()))
            }
            _ => operation(&mut self.rows.borrow_mut()),
        }
    }

    /// What a crash leaves: the last commit.
    fn crash(&self) {
        while self.rows.borrow_mut().rollback_savepoint("group").is_ok() {}
    }
}

impl KeyValueStore for Rc<Storage> {
    fn get(&self, key: &str) -> Result<Option<String>, StorageError> {
        self.operate(|rows| rows.get(key))
    }

    fn next_key(&self, key: &str) -> Result<Option<String>, StorageError> {
        self.operate(|rows| rows.next_key(key))
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), StorageError> {
        self.operate(|rows| rows.set(key, value))
    }

    fn delete(&mut self, key: &str) -> Result<(), StorageError> {
        self.operate(|rows| rows.delete(key))
    }

    fn create_savepoint(&mut self, name: &str) -> Result<(), StorageError> {
        self.operate(|rows| rows.create_savepoint(name))
    }

    fn rollback_savepoint(&mut self, name: &str) -> Result<(), StorageError> {
        self.operate(|rows| rows.rollback_savepoint(name))
    }

    fn release_savepoint(&mut self, name: &str) -> Result<(), StorageError> {
        self.operate(|rows| rows.release_savepoint(name))
    }
}

/// One end: its kernel, and what its program waits for.
struct End {
    host: Host,
    storage: Rc<Storage>,
    redemptions: BTreeSet<RedemptionId>,
    redeemed: Vec<(RedemptionId, Kref)>,
    promises: BTreeSet<Kref>,
    heard: Vec<String>,
    /// Lives that ended because the store could not be committed.
    lives: u32,
}

impl End {
    fn new(seed: u8, random: u8, now: Timestamp) -> Self {
        let storage = Rc::new(Storage::default());
        let mut host = Host::new(seed);
        host.kernel = None;
        host.random = random;
        host.open(KernelStore::open(Box::new(Rc::clone(&storage))).unwrap(), now);
        let (redemptions, promises, heard) = Default::default();
        End { host, storage, redemptions, redeemed: Vec::new(), promises, heard, lives: 0 }
    }

    /// A call of the program's. One that fails has changed nothing, so the program makes it again. `None` if the kernel began a
    /// new life, in which what was not committed never was.
    fn call<T>(&mut self, now: Timestamp, mut call: impl FnMut(&mut Kernel) -> Result<T, KernelError>) -> Option<T> {
        if let Ok(done) = call(self.host.kernel()) {
            return Some(done);
        }
        self.recover(now);
        let again = call(self.host.kernel());
        if self.lives > 0 { again.ok() } else { Some(again.unwrap()) }
    }

    /// A kernel whose store refuses everything is started again.
    fn recover(&mut self, now: Timestamp) -> bool {
        if self.host.kernel().store().failure().is_none() {
            return false;
        }
        self.host.kernel = None;
        self.storage.crash();
        self.host.open(KernelStore::open(Box::new(Rc::clone(&self.storage))).unwrap(), now);
        self.redemptions.clear();
        self.lives += 1;
        true
    }

    fn hear(&mut self, event: KernelEvent, now: Timestamp) {
        match event {
            KernelEvent::Message { methargs, result, .. } => {
                self.heard.push(methargs.body);
                self.promises.extend(methargs.slots.iter().filter(|slot| slot.is_promise()));
                if let Some(result) = result {
                    self.call(now, |kernel| kernel.resolve(result, false, data("#\"done\"")));
                }
            }
            KernelEvent::Notify { promise, .. } => {
                assert!(self.promises.remove(&promise) || self.lives > 0, "{promise} is settled twice");
            }
            KernelEvent::Redeemed { id, result } => {
                assert!(self.redemptions.remove(&id), "redemption {id} ends twice");
                self.redeemed.extend(result.ok().map(|kref| (id, kref)));
            }
            KernelEvent::Retired(_) | KernelEvent::Remote(_) | KernelEvent::StoreFailed(_) => {}
        }
    }

    /// Tells events, commits, writes; true if there was anything to do. What fails is tried when its time comes.
    fn turn(&mut self, now: Timestamp, connected: bool) -> bool {
        let mut busy = false;
        while let Some(event) = self.host.kernel().poll_event() {
            busy = true;
            self.hear(event, now);
        }
        if self.host.kernel().commit(now).is_err() && self.recover(now) {
            return true;
        }
        while let Some(effect) = self.host.kernel().poll_effect(now) {
            busy = true;
            match effect {
                KernelEffect::Write(RemoteWrite { remote, token, to, message }) => {
                    let lost = || RemoteError::ConnectionLost { peer: to.clone(), reason: "the wire is cut".into() };
                    let result = connected.then_some(()).ok_or_else(lost);
                    self.host.outbound.extend(connected.then_some(message));
                    self.host.kernel().write_finished(remote, token, &result, now).ok();
                }
                KernelEffect::RegisterLocationHints { .. } => {}
                KernelEffect::OpenUrl { ticket, url } => drop(self.host.kernel().open_url(ticket, &url)),
            }
        }
        busy
    }

    fn check(&self) {
        let kernel = self.host.kernel.as_ref().unwrap();
        assert_eq!(kernel.unsettled, None);
        assert!(self.redemptions.is_empty(), "{:?} never end", self.redemptions);
        assert!(self.promises.is_empty() || self.lives > 0, "{:?} are never settled", self.promises);
        kernel.store().audit().unwrap();
        assert_eq!(kernel.store().run_queue_length().unwrap(), 0);
        for remote in kernel.remotes().remotes() {
            let stored = kernel.store().remote_seq_state(remote.id()).unwrap().unwrap_or_default();
            let received = remote.highest_received().map_or(0, |seq| seq.get());
            assert_eq!((stored.next_send_seq, stored.highest_received_seq), (remote.last_sent(), received));
            assert_eq!(remote.pending(), 0, "{} has not acknowledged", remote.peer());
        }
        assert!(kernel.remotes().remotes().count() <= 1, "one peer, one remote");
    }
}

struct Story {
    ends: [End; 2],
    now: Timestamp,
    connected: bool,
}

const ALICE: usize = 0;
const BOB: usize = 1;

impl Story {
    fn run(&mut self) {
        for _ in 0..10_000 {
            let mut busy = false;
            for end in &mut self.ends {
                busy |= end.turn(self.now, self.connected);
            }
            for (from, to) in [(ALICE, BOB), (BOB, ALICE)] {
                let peer = self.ends[from].host.peer();
                for message in std::mem::take(&mut self.ends[from].host.outbound) {
                    busy = true;
                    // What cannot be taken now is written again.
                    self.ends[to].host.kernel().handle_remote_message(&peer, &message, self.now).ok();
                }
            }
            if !busy {
                return;
            }
        }
        panic!("it never ends");
    }

    /// Both shake hands until neither fails or takes the other for restarted.
    fn connect(&mut self) {
        self.connected = true;
        for _ in 0..4 {
            let mut agreed = true;
            for (one, other) in [(ALICE, BOB), (BOB, ALICE)] {
                let (peer, incarnation) = (self.ends[other].host.peer(), self.ends[other].host.incarnation());
                let end = &mut self.ends[one];
                let verdict = end.host.kernel().handle_incarnation_change(&peer, &incarnation, self.now);
                while let Some(event) = end.host.kernel().poll_event() {
                    end.hear(event, self.now);
                }
                let committed = end.host.kernel().commit(self.now);
                end.recover(self.now);
                agreed &= verdict == Ok(false) && committed.is_ok();
            }
            if agreed {
                break;
            }
        }
        self.run();
    }

    /// Lets time pass, from one thing that is due to the next.
    fn wait(&mut self, time: Duration) {
        let end = self.now.after(time);
        while self.now < end {
            let due = self.ends.iter_mut().filter_map(|end| end.host.kernel().poll_timeout()).min();
            // What failed is tried again after a pause.
            let pause = self.now.after(Duration::from_millis(500));
            self.now = due.map_or(end, |due| if due <= self.now { pause } else { due }).min(end);
            for end in &mut self.ends {
                end.host.kernel().handle_timeout(self.now).ok();
            }
            self.run();
        }
    }

    fn redeem(&mut self, by: usize, of: usize) -> Option<Kref> {
        let now = self.now;
        let (nonce, random) = (self.ends[of].host.fresh_bytes(), self.ends[by].host.fresh_bytes());
        let object = self.ends[of].call(now, Kernel::export_object)?;
        let url = self.ends[of].call(now, |kernel| kernel.issue_ocap_url(object, nonce))?;
        let id = self.ends[by].call(now, |kernel| kernel.redeem_ocap_url(&url, random, now))?;
        self.ends[by].redemptions.insert(id);
        self.run();
        self.wait(Duration::from_secs(1));
        self.ends[by].redeemed.iter().find(|(redeemed, _)| *redeemed == id).map(|(_, kref)| *kref)
    }

    fn send(&mut self, by: usize, target: Kref, body: &str, slots: &[Kref]) -> Option<()> {
        let promise = self.ends[by].call(self.now, |kernel| kernel.send(target, with_slots(body, slots)))?;
        self.ends[by].promises.insert(promise);
        self.run();
        Some(())
    }

    /// Redemptions, messages, answers, promises passed on, garbage, a cut, a give-up, a peer that loses its memory.
    fn tell(&mut self) -> Option<()> {
        self.connect();
        let own = self.redeem(ALICE, ALICE);
        let target = self.redeem(ALICE, BOB)?;
        let promise = self.ends[ALICE].call(self.now, Kernel::create_promise)?;
        self.send(ALICE, target, "#1", &[promise, own.unwrap_or(target)])?;
        self.send(ALICE, promise, "#2", &[])?;
        self.ends[ALICE].call(self.now, |kernel| kernel.resolve(promise, false, with_slots("#\"$0\"", &[target])))?;
        self.run();
        self.wait(Duration::from_secs(1));
        self.connected = false;
        self.send(ALICE, target, "#3", &[])?;
        self.wait(Duration::from_secs(60));
        self.connect();
        self.send(ALICE, target, "#4", &[])?;
        self.ends[ALICE].call(self.now, |kernel| kernel.release(&[target]))?;
        self.run();
        Some(())
    }

    /// Bob's machine is lost, and everything on it.
    fn lose_bob(&mut self) {
        self.connected = false;
        let (incarnation, random) = (self.ends[BOB].host.incarnation(), self.ends[BOB].host.random);
        self.ends[BOB] = End::new(2, random, self.now);
        assert_ne!(self.ends[BOB].host.incarnation(), incarnation);
        self.connect();
    }
}

/// What happens if that operation of that end's storage fails.
fn story(failing: usize, fails: Option<(u64, Moment)>) -> u64 {
    let now = Timestamp::from_millis(1_000);
    let mut story = Story { ends: [End::new(1, 1, now), End::new(2, 2, now)], now, connected: false };
    let storage = Rc::clone(&story.ends[failing].storage);
    storage.operations.set(0);
    storage.fails.set(fails);
    story.tell();
    if failing == ALICE {
        story.lose_bob();
        story.redeem(ALICE, BOB);
    }
    story.wait(Duration::from_secs(120));
    let operations = storage.operations.get();
    story.wait(Duration::from_secs(5));
    for end in &mut story.ends {
        end.check();
        let heard: BTreeSet<&String> = end.heard.iter().collect();
        assert!(heard.len() == end.heard.len() || end.lives > 0, "{:?} came twice", end.heard);
        // What was committed is what the kernel went by.
        end.host.kernel = None;
        end.storage.crash();
        KernelStore::open(Box::new(Rc::clone(&end.storage))).unwrap().audit().unwrap();
    }
    operations
}

/// Every operation of one end in turn, `stride` apart.
fn each_operation(failing: usize, stride: usize) {
    let operations = story(failing, None);
    println!("{operations} operations");
    for moment in [Moment::Before, Moment::After] {
        for operation in (1..=operations).step_by(stride) {
            let told = std::panic::catch_unwind(|| story(failing, Some((operation, moment))));
            assert!(told.is_ok(), "when operation {operation} of {failing} fails {moment:?} its effect");
        }
    }
}

/// The writes are still there, and nobody may build on them.
#[tokio::test]
async fn a_kernel_whose_storage_cannot_undo_what_was_refused_is_stopped() {
    let story = async {
        let runtime: Rc<dyn Runtime> = Rc::new(NativeRuntime::new());
        let storage = Rc::new(Storage::default());
        let store = KernelStore::open(Box::new(Rc::clone(&storage))).unwrap();
        let mut random = |bytes: &mut [u8]| runtime.fill_random(bytes);
        let options = RemoteCommsOptions::default();
        let kernel = Kernel::open(store, &options, Some(seed_of(1)), &mut random, runtime.now()).unwrap();
        let (events, told) = (Rc::new(RefCell::new(Vec::new())), Rc::default());
        let seen = Rc::clone(&events);
        let on_event = Box::new(move |event| seen.borrow_mut().push(event));
        let driver = KernelDriver::start(kernel, told as Rc<QuietNetwork>, Rc::clone(&runtime), on_event);
        let refused = || driver.call(|kernel, _| kernel.send(Kref::object(99), data("#1")));
        let mut last = 0;
        for _ in 0..2 {
            let before = storage.operations.get();
            assert!(matches!(refused(), Err(KernelError::NotHeld(_))));
            last = storage.operations.get() - before;
        }
        storage.fails.set(Some((storage.operations.get() + last, Moment::Before)));
        assert!(matches!(refused(), Err(KernelError::Store(_))));
        for _ in 0..10 {
            runtime.yield_turn().await;
        }
        assert!(matches!(&events.borrow()[..], [KernelEvent::StoreFailed(_)]), "{:?}", events.borrow());
        assert!(matches!(driver.durable().await, Err(KernelError::Store(_))));
    };
    tokio::task::LocalSet::new().run_until(story).await;
}

/// A number that is higher than that of a conversation that begins in these tests.
const CONVERSATION: u64 = 1 << 40;

/// On each channel a peer says once where it resumes and in which conversation. If that could not be heard, what it writes next, which
/// is the same again without that word, is not read without it.
#[test]
fn where_a_peer_says_that_it_is_is_heard_although_the_storage_fails_at_it() {
    let (now, peer) = (Timestamp::from_millis(1_000), PeerId::from_ed25519_seed([7; 32]).unwrap());
    let redeems = |key: &str, resume: &str| {
        format!(r#"{{"seq":1,{resume}"method":"redeemURL","params":["ocap:nonsense","{key}"]}}"#)
    };
    // Of this peer there is a record, or it has forgotten this kernel.
    for is_known in [false, true] {
        let run = |fails: Option<(u64, Moment)>| {
            let mut end = End::new(2, 2, now);
            let take = |end: &mut End, text: &str| {
                let taken = end.host.kernel().handle_remote_message(&peer, text, now);
                while end.turn(now, true) {}
                taken
            };
            end.host.kernel().handle_incarnation_change(&peer, &"life".parse().unwrap(), now).unwrap();
            if is_known {
                let epoch = CONVERSATION;
                take(&mut end, &redeems("former", &format!(r#""start":1,"epoch":{epoch},"#))).unwrap();
                end.host.kernel().handle_incarnation_change(&peer, &"life".parse().unwrap(), now).unwrap();
                while end.turn(now, true) {}
            }
            end.host.outbound.clear();
            let before = end.storage.operations.get();
            end.storage.fails.set(fails.map(|(at, moment)| (before + at, moment)));
            let epoch = CONVERSATION + 1_000;
            take(&mut end, &redeems("key", &format!(r#""start":1,"epoch":{epoch},"#))).ok();
            let operations = end.storage.operations.get() - before;
            // In another life the peer has another channel.
            if end.lives == 0 {
                take(&mut end, &redeems("key", "")).unwrap();
                let remote = end.host.kernel().remotes().remotes().next().unwrap();
                assert_eq!(remote.hearing(store::GcKind::DropExports), store::Hearing::Everything, "{fails:?}");
                let answered = |text: &&String| text.contains("redeemURLReply") && text.contains(r#""key""#);
                assert_eq!(end.host.outbound.iter().filter(answered).count(), 1, "{is_known} {fails:?}");
            }
            operations
        };
        for operation in 1..=run(None) {
            for moment in [Moment::Before, Moment::After] {
                run(Some((operation, moment)));
            }
        }
    }
}

#[test]
fn whatever_the_storage_of_the_one_who_asks_fails_at_everything_ends() {
    each_operation(ALICE, 1);
}

#[test]
fn whatever_the_storage_of_the_one_who_is_asked_fails_at_everything_ends() {
    each_operation(BOB, 1);
}
