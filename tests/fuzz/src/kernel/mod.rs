//! A kernel whose peers, network and program do anything in any order: its store stays consistent, a message reaches the
//! program once, a number on the wire always means the same message, and only what was received is acknowledged.

mod peer;

use std::{collections::BTreeSet, time::Duration};

use ocap_remotes::{
    kernel::{
        Kernel, KernelEffect, KernelError, KernelEvent, RedemptionId, RemoteWrite, SeedSource, store::KernelStore,
    },
    runtime::Timestamp,
    storage::MemoryStore,
    wire::{CapData, Kref, RemoteCommsOptions, RemoteError},
};

use self::peer::{Peer, TAG};
use crate::{choices::Choices, people::people};

/// Steps of one input; what a longer one finds, a shorter one finds as well.
const STEPS: usize = 200;
/// Effects that one step may have.
const EFFECTS: usize = 10_000;

/// The input is a list of steps.
pub(crate) fn target(data: &[u8]) {
    let mut choices = Choices::new(data);
    let mut world = World::new();
    for _ in 0..STEPS {
        if choices.is_empty() {
            break;
        }
        world.step(&mut choices);
        world.drain();
    }
    // Longer than any redemption takes.
    world.pass(300_000);
    assert!(world.redemptions.is_empty(), "redemptions never end: {:?}", world.redemptions);
    assert_eq!(world.kernel.store().audit(), Ok(()));
}

struct World {
    kernel: Kernel,
    now: Timestamp,
    peers: Vec<Peer>,
    /// What the program has seen, whether or not it still holds it.
    krefs: Vec<Kref>,
    urls: Vec<String>,
    /// Not finished yet.
    writes: Vec<RemoteWrite>,
    redemptions: BTreeSet<RedemptionId>,
    delivered: BTreeSet<String>,
    last_random: u8,
}

fn open(store: KernelStore, now: Timestamp) -> Kernel {
    let mut last = 0_u8;
    let mut random = |bytes: &mut [u8]| {
        last = last.wrapping_add(1);
        bytes.fill(last);
    };
    let seed = SeedSource::Hex("01".repeat(32).into());
    Kernel::open(store, &RemoteCommsOptions::default(), Some(seed), &mut random, now).expect("the store opens")
}

/// No peer and no program can break the storage; whatever else they get wrong is an error that they are told.
fn check<T>(result: Result<T, KernelError>) -> Option<T> {
    let error = match result {
        Ok(done) => return Some(done),
        Err(error) => error,
    };
    assert!(!matches!(error.name(), "StoreError" | "StoreCorruptError"), "{error}");
    None
}

impl World {
    fn new() -> Self {
        let now = Timestamp::from_millis(1_000);
        let store = KernelStore::open(Box::new(MemoryStore::new())).expect("an empty store opens");
        let mut world = World {
            kernel: open(store, now),
            now,
            peers: people()[1..].iter().cloned().map(Peer::new).collect(),
            krefs: vec![Kref::object(99)],
            urls: Vec::new(),
            writes: Vec::new(),
            redemptions: BTreeSet::new(),
            delivered: BTreeSet::new(),
            last_random: 0,
        };
        check(world.kernel.network_started(now));
        world
    }

    fn random<const N: usize>(&mut self) -> [u8; N] {
        self.last_random = self.last_random.wrapping_add(1);
        [self.last_random; N]
    }

    fn kref(&self, choices: &mut Choices<'_>) -> Kref {
        // The latest are the most interesting.
        let back = choices.below(16) + 1;
        self.krefs[self.krefs.len().saturating_sub(back)]
    }

    fn data(&self, choices: &mut Choices<'_>) -> CapData<Kref> {
        CapData { body: "#1".into(), slots: (0..choices.below(4)).map(|_| self.kref(choices)).collect() }
    }

    fn step(&mut self, choices: &mut Choices<'_>) {
        let now = self.now;
        match choices.below(20) {
            0..=5 => {
                let peer = choices.below(self.peers.len());
                let text = self.peers[peer].message(choices, &self.urls);
                check(self.kernel.handle_remote_message(&self.peers[peer].id, &text, now));
            }
            6 => self.shake_hands(choices),
            7 => {
                let peer = choices.below(self.peers.len());
                let peer = self.peers[peer].id.clone();
                match choices.below(4) {
                    0 => check(self.kernel.handle_connection_closed(&peer)),
                    1 => check(self.kernel.register_location_hints(&peer, vec!["/dns4/relay".into()], now)),
                    _ => check(self.kernel.handle_remote_give_up(&peer)),
                };
            }
            8 => {
                let promise = choices.once_in(2);
                let made = if promise { self.kernel.create_promise() } else { self.kernel.export_object() };
                self.krefs.extend(check(made));
            }
            9..=11 => {
                let (target, data) = (self.kref(choices), self.data(choices));
                self.krefs.extend(check(self.kernel.send(target, data)));
            }
            12..=13 => {
                let (promise, rejected, data) = (self.kref(choices), choices.once_in(4), self.data(choices));
                check(self.kernel.resolve(promise, rejected, data));
            }
            14 => {
                let krefs: Vec<Kref> = (0..choices.below(3)).map(|_| self.kref(choices)).collect();
                check(self.kernel.release(&krefs));
            }
            15 => self.use_url(choices),
            16..=17 => self.finish_write(choices),
            18 if choices.once_in(4) => self.restart(),
            18 => self.pass(u64::from(choices.byte()) * 250),
            _ => self.pass(u64::from(choices.byte())),
        }
    }

    fn shake_hands(&mut self, choices: &mut Choices<'_>) {
        let peer = choices.below(self.peers.len());
        let observed = choices.pick(&["a", "b", "c"]).parse().expect("it is printable");
        let peer = &mut self.peers[peer];
        if check(self.kernel.handle_incarnation_change(&peer.id, &observed, self.now)) == Some(true) {
            peer.begin_life();
        }
    }

    fn use_url(&mut self, choices: &mut Choices<'_>) {
        if choices.once_in(2) {
            let (kref, nonce) = (self.kref(choices), self.random());
            self.urls.extend(check(self.kernel.issue_ocap_url(kref, nonce)));
            return;
        }
        let url = match choices.below(4) {
            0 if !self.urls.is_empty() => choices.pick(&self.urls[..self.urls.len().min(200)]).clone(),
            1 => choices.text(),
            _ => format!("ocap:zabc@{}", choices.pick(&self.peers).id),
        };
        let random = self.random();
        self.redemptions.extend(check(self.kernel.redeem_ocap_url(&url, random, self.now)));
    }

    fn finish_write(&mut self, choices: &mut Choices<'_>) {
        if self.writes.is_empty() {
            return;
        }
        let RemoteWrite { remote, token, to: peer, .. } = self.writes.remove(choices.below(self.writes.len().min(200)));
        let result = match choices.below(8) {
            0 => Err(RemoteError::ConnectionLost { peer, reason: "cut".into() }),
            1 => Err(RemoteError::PeerRestarted(peer)),
            2 => Err(RemoteError::Other { name: "Error".into(), message: "no".into() }),
            _ => Ok(()),
        };
        check(self.kernel.write_finished(remote, token, &result, self.now));
    }

    /// The kernel ends and begins again with its store.
    fn restart(&mut self) {
        let former = std::mem::replace(&mut self.kernel, open_empty(self.now));
        self.kernel = open(former.into_store().expect("the memory does not fail"), self.now);
        // These were in memory only, and the program knows that.
        self.writes.clear();
        self.redemptions.clear();
        check(self.kernel.network_started(self.now));
    }

    /// Lets time pass; timers ring when they are due.
    fn pass(&mut self, millis: u64) {
        let end = self.now.after(Duration::from_millis(millis));
        let mut rings = 0_u64;
        while let Some(due) = self.kernel.poll_timeout().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            check(self.kernel.handle_timeout(self.now));
            self.drain();
            rings += 1;
            assert!(rings <= 100 + millis, "a timer does not go away");
        }
        self.now = end;
    }

    /// Takes what the kernel wants done.
    fn drain(&mut self) {
        loop {
            while let Some(event) = self.kernel.poll_event() {
                self.note(event);
            }
            if !self.kernel.has_more() {
                break;
            }
            check(self.kernel.go_on());
        }
        check(self.kernel.commit(self.now));
        for count in 0.. {
            assert!(count < EFFECTS, "one step has {EFFECTS} effects");
            match self.kernel.poll_effect(self.now) {
                None => break,
                Some(KernelEffect::Write(write)) => {
                    let peer = self.peers.iter_mut().find(|peer| peer.id == write.to);
                    peer.expect("it writes to peers that it knows").read(&write.message);
                    self.writes.push(write);
                }
                Some(KernelEffect::RegisterLocationHints { .. }) => {}
                Some(KernelEffect::OpenUrl { ticket, url }) => drop(check(self.kernel.open_url(ticket, &url))),
            }
        }
    }

    fn note(&mut self, event: KernelEvent) {
        match event {
            KernelEvent::Message { target, methargs, result } => {
                if methargs.body.starts_with(TAG) {
                    assert!(self.delivered.insert(methargs.body), "a message is delivered twice");
                }
                self.krefs.push(target);
                self.krefs.extend(methargs.slots);
                self.krefs.extend(result);
            }
            KernelEvent::Notify { value, .. } => self.krefs.extend(value.slots),
            KernelEvent::Redeemed { id, result } => {
                self.redemptions.remove(&id);
                self.krefs.extend(result.ok());
            }
            KernelEvent::StoreFailed(error) => panic!("{error}"),
            KernelEvent::Retired(_) | KernelEvent::Remote(_) => {}
        }
    }
}

/// Holds the place of a kernel that is being restarted.
fn open_empty(now: Timestamp) -> Kernel {
    open(KernelStore::open(Box::new(MemoryStore::new())).expect("an empty store opens"), now)
}
