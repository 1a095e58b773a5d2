//! Two kernels, alice's and bob's, and the loop that joins them.

use std::{cell::Cell, rc::Rc};

use ocap_remotes::{
    kernel::{Kernel, KernelEffect, KernelEvent, RemoteWrite, SeedSource, store::KernelStore},
    runtime::Timestamp,
    wire::{CapData, Kref, PeerId, RemoteCommsOptions},
};

use crate::counting::CountingStore;

/// One end.
pub(crate) struct End {
    pub(crate) kernel: Kernel,
    peer: PeerId,
    commits: Rc<Cell<u64>>,
    pub(crate) events: Vec<KernelEvent>,
    outbound: Vec<String>,
}

pub(crate) fn data(body: &str) -> CapData<Kref> {
    CapData { body: body.to_owned(), slots: Vec::new() }
}

impl End {
    fn new(seed: u8, now: Timestamp) -> Self {
        let store = CountingStore::default();
        let commits = Rc::clone(&store.commits);
        let store = KernelStore::open(Box::new(store)).unwrap();
        let mut next = seed;
        let mut random = |bytes: &mut [u8]| {
            next = next.wrapping_add(1);
            bytes.fill(next);
        };
        let seed = SeedSource::Hex(format!("{seed:02x}").repeat(32).into());
        let kernel = Kernel::open(store, &RemoteCommsOptions::default(), Some(seed), &mut random, now).unwrap();
        let peer = kernel.peer_id().clone();
        End { kernel, peer, commits, events: Vec::new(), outbound: Vec::new() }
    }

    pub(crate) fn commits(&self) -> u64 {
        self.commits.get()
    }

    /// Takes the events, commits, and writes what may be written. True if anything happened.
    fn turn(&mut self, now: Timestamp) -> bool {
        let before = self.events.len();
        self.events.extend(std::iter::from_fn(|| self.kernel.poll_event()));
        let mut busy = self.events.len() > before;
        if self.kernel.awaits_commit() {
            self.kernel.commit(now).unwrap();
        }
        while let Some(effect) = self.kernel.poll_effect(now) {
            busy = true;
            match effect {
                KernelEffect::Write(RemoteWrite { remote, token, message, .. }) => {
                    self.outbound.push(message);
                    self.kernel.write_finished(remote, token, &Ok(()), now).unwrap();
                }
                KernelEffect::OpenUrl { ticket, url } => self.kernel.open_url(ticket, &url).unwrap(),
                KernelEffect::RegisterLocationHints { .. } => {}
            }
        }
        busy
    }
}

pub(crate) struct Pair {
    pub(crate) alice: End,
    pub(crate) bob: End,
    pub(crate) now: Timestamp,
    /// What alice calls bob's object.
    pub(crate) object: Kref,
}

impl Pair {
    /// Two kernels whose channel is up; alice has redeemed a URL of bob's.
    pub(crate) fn introduced() -> Self {
        let now = Timestamp::from_millis(1_000);
        let (alice, bob) = (End::new(1, now), End::new(101, now));
        let mut pair = Pair { alice, bob, now, object: Kref::object(1) };
        pair.alice.kernel.handle_incarnation_change(&pair.bob.peer, pair.bob.kernel.incarnation(), now).unwrap();
        pair.bob.kernel.handle_incarnation_change(&pair.alice.peer, pair.alice.kernel.incarnation(), now).unwrap();
        let object = pair.bob.kernel.export_object().unwrap();
        let url = pair.bob.kernel.issue_ocap_url(object, [7; 24]).unwrap();
        pair.alice.kernel.redeem_ocap_url(&url, [9; 16], now).unwrap();
        pair.run();
        let redeemed = pair.alice.events.drain(..).find_map(|event| match event {
            KernelEvent::Redeemed { result, .. } => result.ok(),
            _ => None,
        });
        pair.object = redeemed.expect("the URL was redeemed");
        pair.bob.events.clear();
        pair
    }

    /// Carries messages until nothing moves without the passing of time.
    pub(crate) fn run(&mut self) {
        loop {
            let mut busy = self.alice.turn(self.now) | self.bob.turn(self.now);
            for message in self.alice.outbound.drain(..) {
                busy = true;
                self.bob.kernel.handle_remote_message(&self.alice.peer, &message, self.now).unwrap();
            }
            for message in self.bob.outbound.drain(..) {
                busy = true;
                self.alice.kernel.handle_remote_message(&self.bob.peer, &message, self.now).unwrap();
            }
            if !busy {
                return;
            }
        }
    }

    /// Lets the next timer ring.
    pub(crate) fn wait_for_timer(&mut self) {
        let due = [&self.alice, &self.bob].into_iter().filter_map(|end| end.kernel.poll_timeout()).min();
        self.now = due.expect("somebody waits for something").max(self.now);
        for end in [&mut self.alice, &mut self.bob] {
            end.kernel.handle_timeout(self.now).unwrap();
        }
        self.run();
    }
}
