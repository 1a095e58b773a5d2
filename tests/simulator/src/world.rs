//! A whole run: three hosts, the network between them, and the operations of a schedule; and in the end a kind network, on
//! which everything must come to its end.

use std::{cell::RefCell, collections::BTreeMap, rc::Rc};

use ocap_remotes::wire::{PeerId, RemoteCommsOptions};

use crate::{
    disk::Moment,
    executor::Executor,
    host::Host,
    network::Ether,
    oracle::{Label, MessageId, Oracle},
    schedule::{HOSTS, Op, Schedule},
};

/// What a run came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Runs.
    pub schedules: u64,
    /// Tasks polled and events that happened.
    pub steps: u64,
    /// Messages that programs sent.
    pub sends: u64,
    /// Messages that programs got.
    pub deliveries: u64,
    /// Kernels and networks that died and came back.
    pub crashes: u64,
    /// Kernels that came back without memory.
    pub wipes: u64,
    /// Lines cut and streams broken.
    pub cuts: u64,
    /// Streams opened.
    pub streams: u64,
    /// Commits of all disks.
    pub commits: u64,
    /// A digest of the whole run; of several, of the last.
    pub trace: u64,
}

impl Statistics {
    /// Adds another run's.
    pub fn add(&mut self, other: &Statistics) {
        self.schedules += other.schedules;
        self.steps += other.steps;
        self.sends += other.sends;
        self.deliveries += other.deliveries;
        self.crashes += other.crashes;
        self.wipes += other.wipes;
        self.cuts += other.cuts;
        self.streams += other.streams;
        self.commits += other.commits;
        self.trace = other.trace;
    }
}

/// What is to be started again.
#[derive(Clone, Copy, Debug)]
enum Start {
    Kernel,
    Network,
}

/// The world of one run.
pub struct World {
    executor: Rc<Executor>,
    ether: Rc<Ether>,
    oracle: Rc<RefCell<Oracle>>,
    hosts: Vec<Host>,
    peers: Vec<PeerId>,
    /// What is to be started again, and when.
    starts: BTreeMap<(u64, u64), (usize, Start)>,
    /// How long a kernel that crashes at an operation of its store stays down.
    down_ms: [u64; HOSTS],
    statistics: Statistics,
}

fn options() -> RemoteCommsOptions {
    RemoteCommsOptions {
        // Small enough to be reached.
        max_queue: 40,
        max_messages_per_second: 60,
        ..RemoteCommsOptions::default()
    }
}

/// How long the network must be kind until everything is settled: a give-up, put off as long as it can be, and some.
const KIND_MS: u64 = 200_000;

impl World {
    /// Three hosts that run, on a network without faults.
    pub fn new(seed: u64) -> Self {
        let executor = Executor::new(seed);
        let ether = Ether::new(&executor);
        let oracle = Rc::new(RefCell::new(Oracle::default()));
        let hosts: Vec<_> = (0..HOSTS).map(|index| Host::new(index, &executor, &ether, &oracle, options())).collect();
        let peers = hosts.iter().map(|host| host.peer().clone()).collect();
        let mut world = World {
            executor,
            ether,
            oracle,
            hosts,
            peers,
            starts: BTreeMap::new(),
            down_ms: [1_000; HOSTS],
            statistics: Statistics { schedules: 1, ..Statistics::default() },
        };
        for host in 0..HOSTS {
            world.start(host, Start::Network);
            world.start(host, Start::Kernel);
        }
        world
    }

    /// Runs a schedule to its end.
    ///
    /// # Errors
    /// The rule that was broken.
    pub fn run(schedule: &Schedule) -> Result<Statistics, String> {
        let mut world = World::new(schedule.seed);
        if schedule.has_only_outages() {
            world.oracle.borrow_mut().let_nobody_be_given_up();
        }
        world.perform_all(&schedule.ops)?;
        world.finish()?;
        Ok(world.statistics())
    }

    /// One host.
    pub(crate) fn host(&self, host: usize) -> &Host {
        &self.hosts[host]
    }

    /// The hosts' peer ids.
    pub(crate) fn peers(&self) -> &[PeerId] {
        &self.peers
    }

    /// Whether one of two hosts ever gave the other up.
    pub(crate) fn severed(&self, one: usize, other: usize) -> bool {
        self.oracle.borrow().severed(one, other)
    }

    /// What it came to so far.
    pub fn statistics(&self) -> Statistics {
        Statistics {
            steps: self.executor.steps(),
            trace: self.executor.trace(),
            sends: self.oracle.borrow().sends(),
            deliveries: self.oracle.borrow().deliveries(),
            streams: self.ether.opened(),
            commits: self.hosts.iter().map(|host| host.disk.commits()).sum(),
            ..self.statistics
        }
    }

    /// Performs operations.
    ///
    /// # Errors
    /// The rule that was broken.
    pub fn perform_all(&mut self, ops: &[Op]) -> Result<(), String> {
        for op in ops {
            self.perform(op)?;
            self.wait(1)?;
        }
        Ok(())
    }

    /// Lets time pass.
    ///
    /// # Errors
    /// The rule that was broken.
    pub fn wait(&mut self, ms: u64) -> Result<(), String> {
        let end = self.executor.now() + ms;
        loop {
            let next = self.starts.keys().next().copied().filter(|(at, _)| *at <= end);
            let until = next.map_or(end, |(at, _)| at);
            let crashed = self.run_until(until)?;
            if let Some(host) = crashed {
                self.crash_kernel(host, self.down_ms[host]);
            } else if let Some((host, what)) = next.and_then(|key| self.starts.remove(&key)) {
                self.start(host, what);
            } else {
                return Ok(());
            }
        }
    }

    /// Runs until that time, or until the store of a kernel has crashed.
    fn run_until(&self, until: u64) -> Result<Option<usize>, String> {
        let hosts = &self.hosts;
        let mut crashed = None;
        let outcome = self.executor.run_until(until, &mut || {
            crashed = hosts.iter().position(|host| host.disk.take_crash());
            if crashed.is_some() { Err(String::new()) } else { Ok(()) }
        });
        for host in hosts {
            if let Some(violation) = host.program.borrow_mut().violation.take() {
                return Err(violation);
            }
        }
        if crashed.is_some() { Ok(crashed) } else { outcome.map(|()| None) }
    }

    fn start(&mut self, host: usize, what: Start) {
        match what {
            Start::Network => self.hosts[host].start_network(),
            Start::Kernel => {
                self.hosts[host].start_kernel();
                if self.hosts[host].disk.take_crash() || self.hosts[host].driver().is_none() {
                    self.crash_kernel(host, self.down_ms[host]);
                }
            }
        }
    }

    fn start_later(&mut self, host: usize, what: Start, after: u64) {
        let key = (self.executor.now() + after, self.executor.id());
        self.starts.insert(key, (host, what));
    }

    fn crash_kernel(&mut self, host: usize, down_ms: u64) {
        self.hosts[host].crash_kernel();
        self.statistics.crashes += 1;
        self.start_later(host, Start::Kernel, down_ms);
    }

    fn crash_network(&mut self, host: usize, silent: bool, down_ms: u64) {
        let others: Vec<_> = self.peers.iter().filter(|peer| *peer != &self.peers[host]).cloned().collect();
        self.hosts[host].crash_network(&others, silent);
        self.statistics.crashes += 1;
        self.start_later(host, Start::Network, down_ms);
    }

    fn perform(&mut self, op: &Op) -> Result<(), String> {
        match *op {
            Op::Wait { ms } => return self.wait(ms),
            Op::Send { host, choice, count } => {
                let mut program = self.hosts[host].program.borrow_mut();
                for nth in 0..count {
                    program.send(choice + nth);
                }
            }
            Op::Redeem { host, of } => {
                let mut offers = self.hosts[of].program.borrow().offers();
                self.executor.shuffle(&mut offers);
                for (label, url) in &offers {
                    self.hosts[host].program.borrow_mut().redeem(*label, url);
                }
            }
            Op::Export { host } => self.hosts[host].program.borrow_mut().export(),
            Op::Answer { host, most } => self.hosts[host].program.borrow_mut().answer(most),
            Op::Release { host, choice } => self.hosts[host].program.borrow_mut().release(choice),
            Op::Cut { one, other, cut } => {
                self.statistics.cuts += u64::from(cut);
                self.ether.set_cut(&self.peers[one], &self.peers[other], cut);
            }
            Op::Outage { one, other, ms } => {
                self.statistics.cuts += u64::from(self.ether.fail_for(&self.peers[one], &self.peers[other], ms));
            }
            Op::Break { one, other } => {
                self.statistics.cuts += 1;
                self.ether.break_streams(&self.peers[one], &self.peers[other]);
            }
            Op::Mischief { one, other, percent } => {
                self.ether.set_mischief(&self.peers[one], &self.peers[other], percent);
            }
            Op::Latency { ms } => self.ether.set_latency(ms),
            Op::Relay { down } => self.ether.set_relay_down(down),
            Op::SlowBridge { host, ms } => self.hosts[host].set_bridge_delay(ms),
            Op::Sleep { host, ms } => self.hosts[host].sleep(ms),
            Op::CrashKernel { host, down_ms } => self.crash_kernel(host, down_ms),
            Op::CrashAt { host, operations, moment, down_ms } => self.crash_at(host, operations, moment, down_ms),
            Op::FailAt { host, operations, moment } => {
                let disk = &self.hosts[host].disk;
                disk.fail_at(disk.operations() + operations, moment);
            }
            Op::CrashNetwork { host, silent, down_ms } => self.crash_network(host, silent, down_ms),
            Op::CrashHost { host, silent, down_ms } => {
                self.crash_kernel(host, down_ms);
                self.crash_network(host, silent, down_ms);
            }
            Op::MoveToFile { host, down_ms } => {
                self.crash_kernel(host, down_ms);
                self.hosts[host].disk.move_to_file(fastrand::Rng::with_seed(self.executor.random(u64::MAX)));
            }
            Op::Wipe { host, down_ms } => {
                self.crash_kernel(host, down_ms);
                self.hosts[host].wipe();
                self.statistics.wipes += 1;
            }
            Op::Impostor { host, of } => {
                self.oracle.borrow_mut().note_impostor(host, of);
                self.ether.break_streams(&self.peers[host], &self.peers[of]);
                self.hosts[host].sees_impostor_of(&self.peers[of]);
            }
            Op::Close { host, to } => {
                let peer = self.peers[to].clone();
                self.hosts[host].in_kernel(|driver| async move { drop(driver.close_connection(peer).await) });
            }
            Op::Reopen { host, to } => self.reopen(host, to),
        }
        Ok(())
    }

    /// Lets the kernel crash at a store operation that many from now.
    pub fn crash_at(&mut self, host: usize, operations: u64, moment: Moment, down_ms: u64) {
        self.down_ms[host] = down_ms;
        let disk = &self.hosts[host].disk;
        disk.crash_at(disk.operations() + operations, moment);
    }

    fn reopen(&mut self, host: usize, to: usize) {
        let peer = self.peers[to].clone();
        self.hosts[host].in_kernel(|driver| async move { drop(driver.reconnect_peer(peer, Vec::new()).await) });
    }

    pub(crate) fn pairs() -> impl Iterator<Item = (usize, usize)> {
        (0..HOSTS).flat_map(|one| (0..HOSTS).map(move |other| (one, other))).filter(|(one, other)| one != other)
    }

    /// The network is kind and everybody answers: everything must come to its end, and fresh messages must get through.
    ///
    /// # Errors
    /// The rule that was broken.
    pub fn finish(&mut self) -> Result<(), String> {
        self.ether.heal();
        for host in 0..HOSTS {
            self.hosts[host].set_bridge_delay(2);
            self.hosts[host].disk.crash_at(u64::MAX, Moment::Before);
            self.hosts[host].disk.fail_at(u64::MAX, Moment::Before);
        }
        self.settle_everything()?;
        for (host, to) in Self::pairs() {
            self.reopen(host, to);
        }
        self.settle_everything()?;
        self.greet_everybody()?;
        let living: Vec<_> = self.hosts.iter().map(Host::life).collect();
        self.oracle.borrow().finish(&living)?;
        self.ether.audit()?;
        for (index, host) in self.hosts.iter().enumerate() {
            host.audit()?;
            if host.pending() > 0 {
                return Err(format!("host {index} has {} messages that nobody acknowledges", host.pending()));
            }
            let redeeming = host.program.borrow().redeeming();
            if redeeming > 0 {
                return Err(format!("host {index} has {redeeming} redemptions that never end"));
            }
        }
        self.conserve()
    }

    fn settle_everything(&mut self) -> Result<(), String> {
        for _ in 0..KIND_MS / 5_000 {
            self.wait(5_000)?;
            for host in &self.hosts {
                let mut program = host.program.borrow_mut();
                program.answer_promptly();
                program.answer(usize::MAX);
            }
        }
        Ok(())
    }

    /// Everybody redeems a URL of everybody and sends one message, which must be answered.
    fn greet_everybody(&mut self) -> Result<(), String> {
        let offers: Vec<Vec<(Label, String)>> = self.hosts.iter().map(|host| host.program.borrow().offers()).collect();
        for (host, of) in Self::pairs() {
            for (label, url) in &offers[of] {
                self.hosts[host].program.borrow_mut().redeem(*label, url);
            }
        }
        self.wait(30_000)?;
        let mut greetings: Vec<(usize, usize, Option<MessageId>)> = Vec::new();
        for (host, of) in Self::pairs() {
            let label = offers[of].first().map(|(label, _)| *label);
            let sent = label.and_then(|label| self.hosts[host].program.borrow_mut().send_to_label(label));
            greetings.push((host, of, sent));
        }
        self.wait(60_000)?;
        let oracle = self.oracle.borrow();
        for (host, of, sent) in greetings {
            match sent {
                None => return Err(format!("host {host} could not redeem a URL of host {of} on a kind network")),
                Some(id) if oracle.is_answered(id) => {}
                Some(id) => {
                    let fate = oracle.fate(id);
                    return Err(format!("on a kind network message {id} from host {host} to host {of} {fate}"));
                }
            }
        }
        Ok(())
    }
}
