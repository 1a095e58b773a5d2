//! A kernel whose peers write what is large: long lists, long values, chains, promises that are never settled. Whatever they combine, it
//! costs in proportion to what was ever written, its store stays consistent, and a peer that is gone leaves little behind.

use std::time::Duration;

use cost::CountingStore;
use ocap_remotes::{
    kernel::{
        Kernel, KernelEffect, KernelError, KernelEvent, RemoteWrite, SeedSource,
        store::{KernelStore, MAX_SETTLED_NAMES},
    },
    runtime::Timestamp,
    wire::{CapData, Kref, PeerId, RemoteCommsOptions},
};

use crate::{choices::Choices, people::people};

/// Steps of one input.
const STEPS: usize = 24;
/// Operations of the store for each byte that was written and each step, at most: a reference costs some ten bytes and thrice as
/// many operations until it is gone.
const OPERATIONS_PER_BYTE: u64 = 12;
const OPERATIONS_PER_STEP: u64 = 20_000;
/// Rows that a name of a settled promise may hold.
const ROWS_PER_NAME: usize = 8;

/// The input is a list of steps, each with a size.
pub(crate) fn target(data: &[u8]) {
    let mut choices = Choices::new(data);
    let mut world = World::new();
    let (before, rows) = (world.store.asked().operations, world.store.rows());
    let mut steps = 0;
    while steps < STEPS as u64 && !choices.is_empty() {
        world.step(&mut choices);
        world.drain();
        steps += 1;
    }
    let spent = world.store.asked().operations - before;
    let most = world.written * OPERATIONS_PER_BYTE + (steps + 1) * OPERATIONS_PER_STEP;
    assert!(spent <= most, "{} bytes cost {spent} operations of the store", world.written);
    assert_eq!(world.kernel.store().audit(), Ok(()));
    world.everybody_leaves();
    assert_eq!(world.kernel.store().audit(), Ok(()));
    let left = world.store.rows().saturating_sub(rows);
    let most = (people().len() * MAX_SETTLED_NAMES * ROWS_PER_NAME) as u64;
    assert!(left <= most, "{left} rows are left when everybody has gone");
}

struct Peer {
    id: PeerId,
    seq: u64,
    heard: u64,
    /// The last names that it has used.
    objects: u64,
    promises: u64,
}

struct World {
    kernel: Kernel,
    store: CountingStore,
    now: Timestamp,
    peers: Vec<Peer>,
    own: Kref,
    held: Vec<Kref>,
    owed: Vec<Kref>,
    /// Bytes that came, and that the program wrote.
    written: u64,
}

/// Whatever a peer or a program gets wrong is an error that they are told.
fn check<T>(result: Result<T, KernelError>) -> Option<T> {
    let error = match result {
        Ok(done) => return Some(done),
        Err(error) => error,
    };
    assert!(!matches!(error.name(), "StoreError" | "StoreCorruptError"), "{error}");
    None
}

fn list(prefix: &str, names: impl Iterator<Item = u64>) -> String {
    names.map(|index| format!("\"{prefix}{index}\"")).collect::<Vec<_>>().join(",")
}

impl World {
    fn new() -> Self {
        let (store, now) = (CountingStore::default(), Timestamp::from_millis(1_000));
        let records = KernelStore::open(Box::new(store.clone())).expect("an empty store opens");
        let seed = SeedSource::Hex("01".repeat(32).into());
        let mut random = |bytes: &mut [u8]| bytes.fill(7);
        let mut kernel =
            Kernel::open(records, &RemoteCommsOptions::default(), Some(seed), &mut random, now).expect("it opens");
        let own = kernel.export_object().expect("memory does not fail");
        let url = kernel.issue_ocap_url(own, [5; 24]).expect("it is its own");
        let peer = |id: &PeerId| Peer { id: id.clone(), seq: 0, heard: 0, objects: 0, promises: 0 };
        let peers = people()[1..].iter().map(peer).collect();
        let mut world = World { kernel, store, now, peers, own, held: Vec::new(), owed: Vec::new(), written: 0 };
        check(world.kernel.network_started(now));
        for peer in 0..world.peers.len() {
            let id = world.peers[peer].id.clone();
            let life = "life".parse().expect("it is printable");
            check(world.kernel.handle_incarnation_change(&id, &life, now));
            world.writes(peer, &format!(r#""method":"redeemURL","params":["{url}","key"]"#));
        }
        world
    }

    fn writes(&mut self, peer: usize, command: &str) {
        let Peer { id, seq, heard, .. } = &mut self.peers[peer];
        *seq += 1;
        let text = format!(r#"{{"seq":{seq},"ack":{heard},{command}}}"#);
        self.written += text.len() as u64;
        check(self.kernel.handle_remote_message(id, &text, self.now));
        self.drain();
    }

    fn delivers(&mut self, peer: usize, what: &str, list: &str) {
        self.writes(peer, &format!(r#""method":"deliver","params":["{what}",[{list}]]"#));
    }

    fn sends(&mut self, peer: usize, target: &str, body: &str, slots: &str) {
        let result = {
            let peer = &mut self.peers[peer];
            peer.promises += 1;
            peer.promises
        };
        self.writes(
            peer,
            &format!(
                r#""method":"deliver","params":["message","{target}",{{"methargs":{{"body":"{body}","slots":[{slots}]}},"result":"rp+{result}"}}]"#
            ),
        );
    }

    fn step(&mut self, choices: &mut Choices<'_>) {
        let peer = choices.below(self.peers.len());
        // From one to two thousand, the small ones as often as the large.
        let size = 1_u64 << choices.below(12);
        let Peer { objects, promises, .. } = self.peers[peer];
        match choices.below(14) {
            0 => {
                self.peers[peer].objects += size;
                self.sends(peer, "ro-1", "", &list("ro+", objects + 1..=objects + size));
            }
            1 => {
                self.peers[peer].promises += size;
                self.sends(peer, "ro-1", "", &list("rp+", promises + 1..=promises + size));
            }
            // What it named before, the newest first.
            2 => self.sends(peer, "ro-1", "", &list("rp+", (1..=promises).rev().take(size as usize))),
            3..=5 => {
                let settled = (1..=promises).rev().take(size as usize);
                let leads = choices.below(3) as u64;
                let body = if leads == 2 { "v".repeat(size as usize * 8) } else { String::new() };
                let settled = settled.map(|index| {
                    let slots = if leads == 1 && index > 1 { format!("\"rp+{}\"", index - 1) } else { String::new() };
                    format!(
                        r#"["rp+{index}",false,{{"body":"{}","slots":[{slots}]}}]"#,
                        if index % 64 == 0 { &body } else { "" }
                    )
                });
                let settled = settled.collect::<Vec<_>>().join(",");
                self.delivers(peer, "notify", &settled);
            }
            6 => {
                let kind = *choices.pick(&["dropExports", "retireExports"]);
                self.delivers(peer, kind, &list("ro-", 1..=size));
            }
            7 => self.delivers(peer, "retireImports", &list("ro+", (1..=objects).rev().take(size as usize))),
            8 => (0..size.min(256)).for_each(|_| self.sends(peer, &format!("rp+{promises}"), "waits", "")),
            9 => self.writes(
                peer,
                &format!(r#""method":"redeemURL","params":["ocap:nonsense","{}"]"#, "k".repeat(size as usize * 16)),
            ),
            10 => {
                let count = self.owed.len().min(size as usize);
                for result in self.owed.drain(..count).collect::<Vec<_>>() {
                    let slots = self.held.iter().rev().take(choices.below(4)).copied().collect();
                    check(self.kernel.resolve(result, choices.once_in(4), CapData { body: String::new(), slots }));
                }
            }
            11 => self.release(size as usize),
            12 => {
                let slots: Vec<Kref> = self.held.iter().rev().take(size as usize).copied().collect();
                let target = self.held.iter().rev().nth(choices.below(64)).copied().unwrap_or(self.own);
                self.written += 10 * slots.len() as u64;
                check(self.kernel.send(target, CapData { body: String::new(), slots }));
            }
            _ => self.pass(u64::from(choices.byte()) * 500),
        }
    }

    fn release(&mut self, count: usize) {
        for kref in self.held.drain(self.held.len().saturating_sub(count)..).collect::<Vec<_>>() {
            if kref != self.own {
                check(self.kernel.release(&[kref]));
            }
        }
    }

    fn pass(&mut self, millis: u64) {
        let end = self.now.after(Duration::from_millis(millis));
        while let Some(due) = self.kernel.poll_timeout().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            check(self.kernel.handle_timeout(self.now));
            self.drain();
        }
        self.now = end;
    }

    /// The program lets go of everything, and nobody says anything any more.
    fn everybody_leaves(&mut self) {
        for result in std::mem::take(&mut self.owed) {
            check(self.kernel.resolve(result, false, CapData { body: String::new(), slots: Vec::new() }));
        }
        self.release(usize::MAX);
        for peer in 0..self.peers.len() {
            let id = self.peers[peer].id.clone();
            check(self.kernel.handle_remote_give_up(&id));
        }
        self.drain();
        self.release(usize::MAX);
        self.pass(1_300_000);
    }

    fn drain(&mut self) {
        loop {
            while let Some(event) = self.kernel.poll_event() {
                match event {
                    KernelEvent::Message { methargs, result, .. } => {
                        self.held.extend(methargs.slots);
                        self.owed.extend(result);
                    }
                    KernelEvent::Notify { value, .. } => self.held.extend(value.slots),
                    _ => {}
                }
            }
            check(self.kernel.commit(self.now));
            match self.kernel.poll_effect(self.now) {
                None if self.kernel.has_more() => drop(check(self.kernel.go_on())),
                None => return,
                Some(KernelEffect::Write(RemoteWrite { remote, token, to, message })) => {
                    let number = message.strip_prefix(r#"{"seq":"#).and_then(|rest| rest.split(',').next());
                    if let Some(peer) = self.peers.iter_mut().find(|peer| peer.id == to) {
                        peer.heard = peer.heard.max(number.and_then(|number| number.parse().ok()).unwrap_or(0));
                    }
                    check(self.kernel.write_finished(remote, token, &Ok(()), self.now));
                }
                Some(KernelEffect::OpenUrl { ticket, url }) => drop(check(self.kernel.open_url(ticket, &url))),
                Some(KernelEffect::RegisterLocationHints { .. }) => {}
            }
        }
    }
}
