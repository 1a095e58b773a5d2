//! The kernel's thread: one turn after the other, each as long as what was counted in it, as `KernelDriver` would order them.

use std::collections::{BTreeSet, VecDeque};

use ocap_remotes::{
    kernel::{Kernel, KernelEffect, KernelEvent, RemoteWrite, SeedSource, UrlTicket, store::KernelStore},
    network::transport::{ChannelId, DeliveryOutcome, Input},
    runtime::Timestamp,
    session::WriteToken,
    wire::{CapData, EndpointId, IncarnationId, Kref, PeerId, RemoteCommsOptions, RemoteError},
};

use super::world::{Micros, timestamp};
use crate::counting::CountingStore;

/// What a turn takes by itself: a message between two threads is taken, and tasks are run.
const TURN_NANOS: u64 = 50_000;
/// What an operation of the store takes, with the work of the kernel around it.
const OPERATION_NANOS: u64 = 1_000;
/// What a byte takes that is read from the store or written to it.
const STORED_NANOS: u64 = 2;
/// What a byte takes that came: it is parsed, and checked.
const RECEIVED_NANOS: u64 = 10;
/// What a commit takes by itself.
const COMMIT_NANOS: u64 = 1_000_000;
/// As the driver's: bytes of messages that share a commit.
const COMMITTED_TOGETHER: usize = 256 << 10;

/// Something for the thread to do.
pub(crate) enum Job {
    Deliver {
        peer: PeerId,
        text: String,
    },
    Verdict {
        channel: ChannelId,
        peer: PeerId,
        incarnation: IncarnationId,
    },
    WriteFinished {
        remote: EndpointId,
        token: WriteToken,
        result: Result<(), RemoteError>,
    },
    GiveUp(PeerId),
    Moving(PeerId),
    NoChannel(PeerId),
    OpenUrl {
        ticket: UrlTicket,
        url: String,
    },
    Timeout,
    Commit,
    /// The program lets go of everything.
    LetGo,
}

/// What the kernel tells its network when a turn is over.
pub(crate) enum Said {
    Input(Input),
    Write(RemoteWrite),
}

/// What was counted so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Spent {
    pub(crate) operations: u64,
    pub(crate) stored: u64,
    pub(crate) micros: Micros,
}

/// The kernel, its program, and what waits for them.
pub(crate) struct KernelThread {
    kernel: Kernel,
    store: CountingStore,
    jobs: VecDeque<Job>,
    commit_queued: bool,
    /// What was said in the turn under way, if one is.
    turn: Option<Vec<Said>>,
    gathered: usize,
    commits: u64,
    program: Program,
    spent: Spent,
    longest: Micros,
}

/// A program that answers at once and keeps nothing, but for those who ask it to.
#[derive(Default)]
struct Program {
    kept: BTreeSet<Kref>,
    owed: Vec<Kref>,
    given: Vec<Kref>,
}

/// A kernel with an identity of its own.
pub(crate) fn kernel(store: CountingStore, seed: u8) -> Kernel {
    let mut state = u64::from(seed);
    let mut random = |bytes: &mut [u8]| {
        for byte in bytes {
            state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            *byte = state.to_be_bytes()[0];
        }
    };
    let records = KernelStore::open(Box::new(store)).unwrap();
    let seed = SeedSource::Hex(format!("{seed:02x}").repeat(32).into());
    let options = RemoteCommsOptions::default();
    let mut kernel = Kernel::open(records, &options, Some(seed), &mut random, timestamp(0)).unwrap();
    kernel.network_started(timestamp(0)).unwrap();
    kernel
}

impl KernelThread {
    /// A kernel whose program has one object, and the object's URL.
    pub(crate) fn new() -> (Self, String) {
        let store = CountingStore::default();
        let mut kernel = kernel(store.clone(), 2);
        let object = kernel.export_object().unwrap();
        let url = kernel.issue_ocap_url(object, [5; 24]).unwrap();
        kernel.commit(timestamp(0)).unwrap();
        let thread = KernelThread {
            kernel,
            store,
            jobs: VecDeque::new(),
            commit_queued: false,
            turn: None,
            gathered: 0,
            commits: 0,
            program: Program::default(),
            spent: Spent::default(),
            longest: 0,
        };
        (thread, url)
    }

    pub(crate) fn kernel(&self) -> &Kernel {
        &self.kernel
    }

    pub(crate) fn store(&self) -> &CountingStore {
        &self.store
    }

    pub(crate) fn spent(&self) -> Spent {
        self.spent
    }

    /// The longest turn since this was asked last.
    pub(crate) fn take_longest(&mut self) -> Micros {
        std::mem::take(&mut self.longest)
    }

    pub(crate) fn queue(&mut self, job: Job) {
        self.jobs.push_back(job);
    }

    /// Begins the next turn, unless one is under way or nothing is to be done: whether it was the timer's, and how long it takes.
    pub(crate) fn begin_turn(&mut self, now: Timestamp) -> Option<(bool, Micros)> {
        if self.turn.is_some() {
            return None;
        }
        let job = self.jobs.pop_front()?;
        let was_timer = matches!(job, Job::Timeout);
        let received = if let Job::Deliver { text, .. } = &job { text.len() as u64 } else { 0 };
        let (before, commits) = (self.store.asked(), self.commits);
        let mut said = Vec::new();
        self.perform(job, now, &mut said);
        self.settle(now, &mut said);
        self.turn = Some(said);
        let asked = self.store.asked();
        let (operations, stored) = (asked.operations - before.operations, asked.bytes - before.bytes);
        let nanos = TURN_NANOS
            + operations * OPERATION_NANOS
            + stored * STORED_NANOS
            + received * RECEIVED_NANOS
            + (self.commits - commits) * COMMIT_NANOS;
        let took = nanos / 1_000;
        self.spent.operations += operations;
        self.spent.stored += stored;
        self.spent.micros += took;
        self.longest = self.longest.max(took);
        Some((was_timer, took))
    }

    /// The turn is over; what was said in it leaves.
    pub(crate) fn turn_over(&mut self) -> Vec<Said> {
        self.turn.take().unwrap_or_default()
    }

    fn perform(&mut self, job: Job, now: Timestamp, said: &mut Vec<Said>) {
        match job {
            Job::Deliver { peer, text } => {
                let taken = self.kernel.handle_remote_message(&peer, &text, now);
                let outcome = if self.kernel.takes_no_more() {
                    DeliveryOutcome::Unreachable(RemoteError::not_reading(&peer))
                } else {
                    match taken {
                        Ok(()) => DeliveryOutcome::Accepted(None),
                        Err(error) if error.name() == RemoteError::UNKNOWN_INCARNATION => {
                            DeliveryOutcome::Unreachable(RemoteError::unknown_incarnation(&peer))
                        }
                        Err(error) => {
                            let (name, message) = (error.name().to_owned(), error.to_string());
                            DeliveryOutcome::Refused(RemoteError::Other { name, message })
                        }
                    }
                };
                said.push(Said::Input(Input::Delivered { peer, outcome }));
                self.gathered += text.len();
                if self.gathered >= COMMITTED_TOGETHER {
                    self.commit(now);
                }
            }
            Job::Verdict { channel, peer, incarnation } => {
                let verdict = self.kernel.handle_incarnation_change(&peer, &incarnation, now);
                self.commit(now);
                let restarted = verdict.map_err(|error| {
                    let (name, message) = (error.name().to_owned(), error.to_string());
                    RemoteError::Other { name, message }
                });
                said.push(Said::Input(Input::Verdict { channel, peer, restarted }));
            }
            Job::WriteFinished { remote, token, result } => {
                // The remote may be forgotten.
                self.kernel.write_finished(remote, token, &result, now).ok();
            }
            Job::GiveUp(peer) => self.kernel.handle_remote_give_up(&peer).unwrap(),
            Job::Moving(peer) => self.kernel.handle_remote_moving(&peer, now),
            Job::NoChannel(peer) => self.kernel.handle_remote_no_channel(&peer, now),
            Job::OpenUrl { ticket, url } => self.kernel.open_url(ticket, &url).unwrap(),
            Job::Timeout => self.kernel.handle_timeout(now).unwrap(),
            Job::Commit => {
                self.commit_queued = false;
                self.commit(now);
            }
            Job::LetGo => self.program.let_go(&mut self.kernel),
        }
    }

    /// What the driver's task does after whatever was called.
    fn settle(&mut self, now: Timestamp, said: &mut Vec<Said>) {
        self.tell_events();
        while let Some(effect) = self.kernel.poll_effect(now) {
            match effect {
                KernelEffect::Write(write) => said.push(Said::Write(write)),
                KernelEffect::OpenUrl { ticket, url } => self.jobs.push_back(Job::OpenUrl { ticket, url }),
                KernelEffect::RegisterLocationHints { peer, hints } => {
                    said.push(Said::Input(Input::RegisterHints { peer, hints }));
                }
            }
        }
        if self.kernel.awaits_commit() && !self.commit_queued {
            // It comes when everything that is ready now has run.
            self.commit_queued = true;
            self.jobs.push_back(Job::Commit);
        }
    }

    fn tell_events(&mut self) {
        while let Some(event) = self.kernel.poll_event() {
            self.program.on_event(&mut self.kernel, event);
        }
    }

    fn commit(&mut self, now: Timestamp) {
        self.tell_events();
        self.gathered = 0;
        if self.kernel.store().awaits_commit() {
            self.commits += 1;
        }
        self.kernel.commit(now).unwrap();
    }
}

impl Program {
    fn on_event(&mut self, kernel: &mut Kernel, event: KernelEvent) {
        match event {
            KernelEvent::Message { methargs: CapData { body, slots }, result, .. } => {
                if body.starts_with("keep") {
                    self.kept.extend(slots);
                    self.owed.extend(result);
                    return;
                }
                release(kernel, slots.into_iter().filter(|slot| !self.kept.contains(slot)));
                let Some(result) = result else { return };
                let count = body.strip_prefix("give ").and_then(|count| count.parse().ok()).unwrap_or(0);
                let given: Vec<Kref> = (0..count).map(|_| kernel.export_object().unwrap()).collect();
                self.given.extend(&given);
                answer(kernel, result, given);
            }
            KernelEvent::Notify { promise, value, .. } => {
                self.kept.remove(&promise);
                release(kernel, value.slots.into_iter().filter(|slot| !self.kept.contains(slot)));
            }
            _ => {}
        }
    }

    fn let_go(&mut self, kernel: &mut Kernel) {
        for result in std::mem::take(&mut self.owed) {
            answer(kernel, result, Vec::new());
        }
        release(kernel, std::mem::take(&mut self.kept).into_iter());
        release(kernel, std::mem::take(&mut self.given).into_iter());
    }
}

/// Whoever asked may have restarted meanwhile, and the promise is settled then.
fn answer(kernel: &mut Kernel, result: Kref, slots: Vec<Kref>) {
    kernel.resolve(result, false, CapData { body: String::new(), slots }).ok();
}

fn release(kernel: &mut Kernel, krefs: impl Iterator<Item = Kref>) {
    let krefs: Vec<Kref> = krefs.collect::<BTreeSet<_>>().into_iter().collect();
    // All at once, if none of them is a promise that was settled, and released thereby.
    if !krefs.is_empty() && kernel.release(&krefs).is_err() {
        for kref in krefs {
            kernel.release(&[kref]).ok();
        }
    }
}
