//! One host: a kernel in one context with its disk, the network in another, and the bridge between them. Everything that runs
//! here is the real code; only what lies below it is simulated.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

use futures::FutureExt as _;
use ocap_remotes::{
    bridge::{KernelServices, PlatformServicesClient, PlatformServicesServer},
    kernel::{Kernel, KernelDriver, KernelEvent, SeedSource, TurnLimits, store::KernelStore},
    network::NetworkService,
    runtime::Runtime,
    wire::{PeerId, RemoteCommsOptions},
};

use crate::{
    bridge::{Bridge, Place, SimPort},
    disk::Disk,
    executor::{ContextId, ContextRuntime, Executor},
    network::{Ether, SimNetwork},
    oracle::{Life, Oracle},
    program::Program,
    schedule::HOSTS,
};

struct KernelEnd {
    context: ContextId,
    driver: Rc<KernelDriver>,
    client: Rc<PlatformServicesClient<SimPort>>,
    death: Rc<Cell<bool>>,
}

struct NetworkEnd {
    context: ContextId,
    server: Rc<PlatformServicesServer<SimPort>>,
    death: Rc<Cell<bool>>,
}

/// One host.
pub(crate) struct Host {
    index: usize,
    peer: PeerId,
    peers: Rc<Vec<PeerId>>,
    executor: Rc<Executor>,
    ether: Rc<Ether>,
    oracle: Rc<RefCell<Oracle>>,
    options: RemoteCommsOptions,
    bridge: Rc<Bridge>,
    /// What survives.
    pub(crate) disk: Rc<Disk>,
    /// The present life's program.
    pub(crate) program: Rc<RefCell<Program>>,
    kernel: Option<KernelEnd>,
    network: Option<NetworkEnd>,
}

fn seed(index: usize) -> [u8; 32] {
    [u8::try_from(index).unwrap() + 1; 32]
}

impl Host {
    /// A host of which nothing runs yet.
    pub(crate) fn new(
        index: usize,
        executor: &Rc<Executor>,
        ether: &Rc<Ether>,
        oracle: &Rc<RefCell<Oracle>>,
        options: RemoteCommsOptions,
    ) -> Self {
        let life = Life { host: index, number: 0 };
        let peers: Rc<Vec<_>> =
            Rc::new((0..HOSTS).map(|index| PeerId::from_ed25519_seed(seed(index)).unwrap()).collect());
        Host {
            index,
            peer: peers[index].clone(),
            peers: Rc::clone(&peers),
            executor: Rc::clone(executor),
            ether: Rc::clone(ether),
            oracle: Rc::clone(oracle),
            options,
            bridge: Bridge::new(executor),
            disk: Rc::default(),
            program: Rc::new(RefCell::new(Program::new(life, executor, oracle, &peers))),
            kernel: None,
            network: None,
        }
    }

    /// Its peer id, the same in every life.
    pub(crate) fn peer(&self) -> &PeerId {
        &self.peer
    }

    /// Its present life.
    pub(crate) fn life(&self) -> Life {
        self.program.borrow().life()
    }

    /// Its kernel, if it runs.
    pub(crate) fn driver(&self) -> Option<&Rc<KernelDriver>> {
        self.kernel.as_ref().map(|end| &end.driver)
    }

    /// How long the bridge may take, in milliseconds.
    pub(crate) fn set_bridge_delay(&self, delay: u64) {
        self.bridge.set_delay(delay);
    }

    /// Puts both contexts to sleep.
    pub(crate) fn sleep(&self, millis: u64) {
        let contexts = self.kernel.iter().map(|end| end.context).chain(self.network.iter().map(|end| end.context));
        contexts.for_each(|context| self.executor.sleep(context, millis));
    }

    /// Starts the network's end, unless it runs.
    pub(crate) fn start_network(&mut self) {
        if self.network.is_some() {
            return;
        }
        let context = self.executor.begin_context();
        let runtime: Rc<dyn Runtime> = ContextRuntime::new(&self.executor, context);
        let port = self.bridge.port(Place::Network, context);
        let death = port.death();
        let server = Rc::new(PlatformServicesServer::new(port, Rc::clone(&runtime)));
        let kernel: Rc<dyn KernelServices> = Rc::clone(&server) as _;
        let network = SimNetwork::new(&self.ether, context);
        server.start(Rc::new(NetworkService::new(runtime, kernel, network)), None);
        self.network = Some(NetworkEnd { context, server, death });
    }

    /// Starts the kernel from its disk, unless it runs. It may crash while it starts, if its disk says so.
    pub(crate) fn start_kernel(&mut self) {
        if self.kernel.is_some() {
            return;
        }
        if self.disk.is_empty() {
            let life = Life { host: self.index, number: self.life().number + 1 };
            self.program = Rc::new(RefCell::new(Program::new(life, &self.executor, &self.oracle, &self.peers)));
        }
        let program = Rc::clone(&self.program);
        self.disk.on_commit(move || program.borrow_mut().commit());
        let context = self.executor.begin_context();
        let runtime: Rc<dyn Runtime> = ContextRuntime::new(&self.executor, context);
        let mut random = |bytes: &mut [u8]| runtime.fill_random(bytes);
        let hex: String = seed(self.index).iter().map(|byte| format!("{byte:02x}")).collect();
        let opened = KernelStore::open(Box::new(self.disk.open())).map_err(Into::into).and_then(|store| {
            let seed = Some(SeedSource::Hex(hex.into()));
            Kernel::open(store, &self.options, seed, &mut random, runtime.now())
        });
        let Ok(mut kernel) = opened else {
            self.executor.kill(context);
            return;
        };
        if !self.index.is_multiple_of(2) {
            // Everything that may be done over several turns is, with crashes between any two of them.
            kernel.limit_turns(TurnLimits { references: 1, operations: 1 });
        }
        let port = self.bridge.port(Place::Kernel, context);
        let death = port.death();
        let client = Rc::new(PlatformServicesClient::new(port, Rc::clone(&runtime)));
        let program = Rc::clone(&self.program);
        let disk = Rc::clone(&self.disk);
        let on_event = Box::new(move |event: KernelEvent| {
            if matches!(event, KernelEvent::StoreFailed(_)) {
                disk.has_stopped();
            }
            program.borrow_mut().on_event(event);
        });
        let driver = KernelDriver::start(kernel, Rc::clone(&client) as _, Rc::clone(&runtime), on_event);
        self.program.borrow_mut().attach(&driver);
        let start = {
            let (weak, options, runtime) = (Rc::downgrade(&driver), self.options.clone(), Rc::clone(&runtime));
            move || {
                let (weak, options) = (weak.clone(), options.clone());
                runtime.spawn(
                    async move {
                        if let Some(driver) = weak.upgrade() {
                            // If the network's end goes away meanwhile, its successor is started when it comes.
                            driver.start_network(options).await.ok();
                        }
                    }
                    .boxed_local(),
                );
            }
        };
        client.start(Rc::clone(&driver) as _, start.clone());
        start();
        self.kernel = Some(KernelEnd { context, driver, client, death });
        if self.program.borrow().offers().is_empty() {
            self.program.borrow_mut().export();
        }
    }

    /// The kernel's context dies. If it had not even committed its beginning, the next start is another life.
    pub(crate) fn crash_kernel(&mut self) {
        let Some(end) = self.kernel.take() else { return };
        end.death.set(true);
        self.disk.cut_power();
        self.executor.kill(end.context);
        // What is left of it holds itself; nobody hears what it says on the way out.
        end.client.close();
        self.program.borrow_mut().roll_back();
        self.disk.take_crash();
    }

    /// The network's context dies. With `silent`, nobody is told, as when the power fails.
    pub(crate) fn crash_network(&mut self, others: &[PeerId], silent: bool) {
        let Some(end) = self.network.take() else { return };
        if silent {
            others.iter().for_each(|other| self.ether.break_streams(&self.peer, other));
        }
        end.death.set(true);
        self.executor.kill(end.context);
        end.server.close();
    }

    /// Loses the disk; the kernel must be dead.
    pub(crate) fn wipe(&mut self) {
        self.disk.wipe();
    }

    /// What is wrong with the kernel's store, or with what its peers sent it.
    ///
    /// # Errors
    /// That.
    pub(crate) fn audit(&self) -> Result<(), String> {
        let Some(driver) = self.driver() else { return Ok(()) };
        driver.inspect(|kernel| {
            kernel.store().audit().map_err(|faults| format!("the store of host {}: {faults:?}", self.index))?;
            for remote in kernel.remotes().remotes() {
                if remote.counters().malformed > 0 {
                    return Err(format!("host {} got something malformed from {}", self.index, remote.peer()));
                }
            }
            Ok(())
        })
    }

    /// Messages to any peer that are not acknowledged.
    pub(crate) fn pending(&self) -> usize {
        let pending = |driver: &Rc<KernelDriver>| {
            driver.inspect(|kernel| kernel.remotes().remotes().map(ocap_remotes::kernel::RemoteHandle::pending).sum())
        };
        self.driver().map_or(0, pending)
    }

    /// The network has shaken hands with another kernel that has the identity of a peer.
    pub(crate) fn sees_impostor_of(&self, peer: &PeerId) {
        if let Some(end) = &self.network {
            let runtime = ContextRuntime::new(&self.executor, end.context);
            let verdict = end.server.remote_incarnation_change(peer.clone(), "impostor".parse().unwrap());
            runtime.spawn(verdict.map(|_| ()).boxed_local());
        }
    }

    /// Runs an asynchronous call of the kernel's driver in the kernel's context.
    pub(crate) fn in_kernel<F: Future<Output = ()> + 'static>(&self, call: impl FnOnce(Rc<KernelDriver>) -> F) {
        if let Some(end) = &self.kernel {
            let runtime = ContextRuntime::new(&self.executor, end.context);
            runtime.spawn(call(Rc::clone(&end.driver)).boxed_local());
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.crash_kernel();
        self.crash_network(&[], false);
    }
}
