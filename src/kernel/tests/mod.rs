//! Stories of whole kernels, alice's and bob's, joined by a wire that the story cuts as it likes. Time is the story's.

mod abandoned;
mod bad_input;
mod conservation;
mod damaged;
mod delivery;
#[cfg(feature = "durable")]
mod driver;
mod drops;
mod durability;
mod failing_storage;
mod flow;
mod forgetting;
mod garbage;
mod garbled;
mod guests;
mod handler;
mod incumbents;
mod large;
mod pacing;
mod portions;
mod promised;
mod quiet_network;
mod restart;
mod restoration;
mod retirement;
mod strangers;
mod urls;
mod waiting;

use std::time::Duration;

use super::*;
use crate::storage::MemoryStore;

/// A kernel with everything that its program and its network have seen.
struct Host {
    kernel: Option<Kernel>,
    seed: u8,
    options: RemoteCommsOptions,
    random: u8,
    events: Vec<KernelEvent>,
    /// Written and not yet carried.
    outbound: Vec<String>,
    writes: usize,
}

fn seed_of(byte: u8) -> SeedSource {
    SeedSource::Hex(format!("{byte:02x}").repeat(32).into())
}

impl Host {
    fn new(seed: u8) -> Self {
        let options = RemoteCommsOptions::default();
        let mut host =
            Host { kernel: None, seed, options, random: seed, events: Vec::new(), outbound: Vec::new(), writes: 0 };
        host.open(KernelStore::open(Box::new(MemoryStore::new())).unwrap(), Timestamp::from_millis(1_000));
        host
    }

    fn open(&mut self, store: KernelStore, now: Timestamp) {
        let mut next = self.random;
        let mut random = |bytes: &mut [u8]| {
            next = next.wrapping_add(37);
            bytes.fill(next);
        };
        let kernel = Kernel::open(store, &self.options, Some(seed_of(self.seed)), &mut random, now).unwrap();
        self.random = next;
        self.kernel = Some(kernel);
        self.outbound.clear();
    }

    fn kernel(&mut self) -> &mut Kernel {
        self.kernel.as_mut().unwrap()
    }

    fn peer(&self) -> PeerId {
        self.kernel.as_ref().unwrap().peer_id().clone()
    }

    fn incarnation(&self) -> IncarnationId {
        self.kernel.as_ref().unwrap().incarnation().clone()
    }

    fn fresh_bytes<const N: usize>(&mut self) -> [u8; N] {
        self.random = self.random.wrapping_add(1);
        [self.random; N]
    }

    fn take_events(&mut self) -> Vec<KernelEvent> {
        std::mem::take(&mut self.events)
    }

    /// Messages for the program: what they say, and the promise of their result.
    fn messages(&mut self) -> Vec<(String, Option<Kref>)> {
        self.take_events()
            .into_iter()
            .filter_map(|event| match event {
                KernelEvent::Message { methargs, result, .. } => Some((methargs.body, result)),
                _ => None,
            })
            .collect()
    }

    /// The keys of its store.
    fn rows(&self) -> Vec<String> {
        let backup = self.kernel.as_ref().unwrap().store().export().unwrap();
        let backup: serde_json::Value = serde_json::from_slice(&backup).unwrap();
        backup["rows"].as_array().unwrap().iter().map(|row| row[0].as_str().unwrap().to_owned()).collect()
    }

    fn audit(&self) {
        self.kernel.as_ref().unwrap().store().audit().unwrap();
    }
}

/// Two kernels and the wire between them.
struct World {
    alice: Host,
    bob: Host,
    now: Timestamp,
    connected: bool,
}

fn data(body: &str) -> CapData<Kref> {
    CapData { body: body.to_owned(), slots: Vec::new() }
}

fn with_slots(body: &str, slots: &[Kref]) -> CapData<Kref> {
    CapData { body: body.to_owned(), slots: slots.to_vec() }
}

impl World {
    fn new() -> Self {
        World { alice: Host::new(1), bob: Host::new(2), now: Timestamp::from_millis(1_000), connected: false }
    }

    /// Alice has redeemed a URL of bob's; gives what each calls bob's object.
    fn introduced() -> (Self, Kref, Kref) {
        let mut world = World::new();
        world.connect();
        let of_bob = world.bob.kernel().export_object().unwrap();
        let for_alice = world.redeem(of_bob);
        world.bob.take_events();
        (world, for_alice, of_bob)
    }

    /// Bob issues a URL for his object and alice redeems it.
    fn redeem(&mut self, of_bob: Kref) -> Kref {
        let nonce = self.bob.fresh_bytes();
        let url = self.bob.kernel().issue_ocap_url(of_bob, nonce).unwrap();
        let (random, now) = (self.alice.fresh_bytes(), self.now);
        self.alice.kernel().redeem_ocap_url(&url, random, now).unwrap();
        self.run();
        let redeemed = self.alice.take_events().into_iter().find_map(|event| match event {
            KernelEvent::Redeemed { result, .. } => Some(result),
            _ => None,
        });
        redeemed.expect("the redemption has ended").unwrap()
    }

    /// Both ends shake hands, again if one of them says that the other restarted. True if one did.
    fn connect(&mut self) -> bool {
        let (alice, bob) = ((self.alice.peer(), self.alice.incarnation()), (self.bob.peer(), self.bob.incarnation()));
        let now = self.now;
        let mut restarted = false;
        for _ in 0..2 {
            let by_alice = self.alice.kernel().handle_incarnation_change(&bob.0, &bob.1, now).unwrap();
            let by_bob = self.bob.kernel().handle_incarnation_change(&alice.0, &alice.1, now).unwrap();
            for host in [&mut self.alice, &mut self.bob] {
                host.events.extend(std::iter::from_fn(|| host.kernel.as_mut().unwrap().poll_event()));
                host.kernel().commit(now).unwrap();
            }
            if !by_alice && !by_bob {
                break;
            }
            restarted = true;
        }
        self.connected = true;
        restarted
    }

    /// The wire is cut: what is written from now on is refused, what was not carried is lost.
    fn cut(&mut self) {
        self.connected = false;
        self.alice.outbound.clear();
        self.bob.outbound.clear();
    }

    fn collect(host: &mut Host, now: Timestamp, connected: bool) -> bool {
        let mut busy = false;
        loop {
            while let Some(event) = host.kernel().poll_event() {
                busy = true;
                host.events.push(event);
            }
            if !host.kernel().has_more() || host.kernel().go_on().is_err() {
                break;
            }
        }
        host.kernel().commit(now).unwrap();
        while let Some(effect) = host.kernel().poll_effect(now) {
            busy = true;
            match effect {
                KernelEffect::Write(RemoteWrite { remote, token, to, message }) => {
                    let result = if connected {
                        host.outbound.push(message);
                        host.writes += 1;
                        Ok(())
                    } else {
                        Err(RemoteError::ConnectionLost { peer: to, reason: "the wire is cut".into() })
                    };
                    host.kernel().write_finished(remote, token, &result, now).unwrap();
                }
                KernelEffect::RegisterLocationHints { .. } => {}
                KernelEffect::OpenUrl { ticket, url } => host.kernel().open_url(ticket, &url).unwrap(),
            }
        }
        busy
    }

    /// Carries messages until nothing moves without the passing of time.
    fn run(&mut self) {
        loop {
            let mut busy = Self::collect(&mut self.alice, self.now, self.connected);
            busy |= Self::collect(&mut self.bob, self.now, self.connected);
            let (from_alice, from_bob) = (self.alice.peer(), self.bob.peer());
            for message in std::mem::take(&mut self.alice.outbound) {
                busy = true;
                self.bob.kernel().handle_remote_message(&from_alice, &message, self.now).unwrap();
            }
            for message in std::mem::take(&mut self.bob.outbound) {
                busy = true;
                self.alice.kernel().handle_remote_message(&from_bob, &message, self.now).unwrap();
            }
            if !busy {
                return;
            }
        }
    }

    /// Lets time pass in small steps, with everything that happens meanwhile.
    fn wait(&mut self, time: Duration) {
        let end = self.now.after(time);
        while self.now < end {
            self.now = self.now.after(Duration::from_millis(10)).min(end);
            let now = self.now;
            self.alice.kernel().handle_timeout(now).unwrap();
            self.bob.kernel().handle_timeout(now).unwrap();
            self.run();
        }
    }

    fn send(&mut self, target: Kref, body: &str) -> Kref {
        self.alice.kernel().send(target, data(body)).unwrap()
    }

    /// Bob's kernel is started again, with its store or without.
    fn restart_bob(&mut self, keeps_store: bool) {
        self.cut();
        let kernel = self.bob.kernel.take().unwrap();
        let store = if keeps_store {
            kernel.into_store().unwrap()
        } else {
            KernelStore::open(Box::new(MemoryStore::new())).unwrap()
        };
        self.bob.events.clear();
        self.bob.open(store, self.now);
    }

    /// Bob's kernel is started again with its store, in which this row was damaged.
    fn restart_bob_with(&mut self, key: &str, value: &str) {
        self.cut();
        let mut store = self.bob.kernel.take().unwrap().into_store().unwrap();
        store.damage(key, value);
        self.bob.events.clear();
        self.bob.open(store, self.now);
    }

    /// Hands bob a message as if alice had written it.
    fn inject(&mut self, text: &str) -> Result<(), KernelError> {
        let (from, now) = (self.alice.peer(), self.now);
        self.bob.kernel().handle_remote_message(&from, text, now)
    }

    fn audit(&self) {
        self.alice.audit();
        self.bob.audit();
    }
}
