//! The network as the kernel sees it: [`PlatformServices`] over a transport and whatever network is below it.

use std::{cell::RefCell, rc::Rc};

use futures::{FutureExt as _, future};

use super::{
    driver::{Driver, Observer},
    link::{Links, Network},
    status::{NetworkEvent, NetworkStatus},
    transport::Input,
};
use crate::{
    bridge::{ALREADY_INITIALIZED, KernelServices, PlatformServices, Reply},
    runtime::Runtime,
    wire::{IncarnationId, PeerId, RemoteCommsOptions, RemoteError},
};

/// Remote communications of one kernel. Stop them before dropping it; their tasks keep them running otherwise.
pub struct NetworkService<N: Network> {
    runtime: Rc<dyn Runtime>,
    kernel: Rc<dyn KernelServices>,
    network: N,
    stage: RefCell<Stage<N::Links>>,
    observer: Option<Observer>,
}

enum Stage<L: Links> {
    New,
    Running(Rc<Driver<L>>),
    Stopped,
}

impl<N: Network> NetworkService<N> {
    /// A service that answers to `kernel`, and starts `network` when the kernel says so.
    pub fn new(runtime: Rc<dyn Runtime>, kernel: Rc<dyn KernelServices>, network: N) -> Self {
        NetworkService { runtime, kernel, network, stage: RefCell::new(Stage::New), observer: None }
    }

    /// Tells `observer` of each change from the next start on. It is called within the network's own turn, so it should be
    /// quick; it may call the service.
    #[must_use]
    pub fn observed_by(mut self, observer: impl Fn(NetworkEvent) + 'static) -> Self {
        self.observer = Some(Rc::new(observer));
        self
    }

    /// The way to the network changed (the browser is online again, another interface is used): backoffs are forgotten,
    /// connections are probed, relays are tried.
    pub fn network_changed(&self) {
        if let Ok(driver) = self.driver() {
            driver.feed(Input::NetworkChanged);
        }
    }

    /// The page is left: all connections are closed at once, so that peers need not find out by themselves. Should it come back,
    /// they are made again.
    pub fn hang_up(&self) {
        if let Ok(driver) = self.driver() {
            driver.hang_up();
        }
    }

    /// The browser told something of the page in which this runs.
    #[cfg(all(feature = "network", target_arch = "wasm32"))]
    pub(crate) fn page_told(&self, meaning: super::Meaning) {
        match meaning {
            super::Meaning::Changed => self.network_changed(),
            super::Meaning::Left => self.hang_up(),
        }
    }

    /// What is known of peers and relays now; nothing before the start and after the stop. It costs one walk over the
    /// peers.
    pub fn status(&self) -> NetworkStatus {
        self.driver().map(|driver| driver.status()).unwrap_or_default()
    }

    /// Where peers reach this kernel now, as multiaddrs: listening addresses, and circuits through relays. Empty while remote
    /// communications do not run.
    pub fn listen_addresses(&self) -> Vec<String> {
        self.driver().map(|driver| driver.listen_addresses()).unwrap_or_default()
    }

    fn start(
        &self,
        key_seed: &str,
        options: &RemoteCommsOptions,
        incarnation: IncarnationId,
    ) -> Result<(), RemoteError> {
        if matches!(&*self.stage.borrow(), Stage::Running(_)) {
            return Err(plain_error(ALREADY_INITIALIZED));
        }
        options
            .validate()
            .map_err(|error| RemoteError::Other { name: "OptionError".to_owned(), message: error.to_string() })?;
        let seed = seed_from_hex(key_seed).ok_or_else(|| plain_error("the key seed is not 32 bytes in hex"))?;
        let own_id = PeerId::from_ed25519_seed(seed).map_err(|error| plain_error(&error.to_string()))?;
        let started = self.network.start(seed, options)?;
        let (runtime, kernel) = (Rc::clone(&self.runtime), Rc::clone(&self.kernel));
        let observer = self.observer.clone();
        let driver = Driver::start(runtime, kernel, started, own_id, incarnation, options, observer);
        self.stage.replace(Stage::Running(driver));
        Ok(())
    }

    fn driver(&self) -> Result<Rc<Driver<N::Links>>, RemoteError> {
        match &*self.stage.borrow() {
            Stage::New => Err(plain_error("remote comms not initialized")),
            Stage::Running(driver) => Ok(Rc::clone(driver)),
            Stage::Stopped => Err(RemoteError::NetworkStopped),
        }
    }

    fn tell(&self, input: Input) -> Reply<()> {
        future::ready(self.driver().map(|driver| driver.feed(input))).boxed_local()
    }
}

// Every call takes effect before it returns; only the answers are futures. That is what keeps calls in order.
impl<N: Network> PlatformServices for NetworkService<N> {
    fn initialize_remote_comms(
        &self,
        key_seed: String,
        options: RemoteCommsOptions,
        incarnation: IncarnationId,
    ) -> Reply<()> {
        future::ready(self.start(&key_seed, &options, incarnation)).boxed_local()
    }

    fn stop_remote_comms(&self) -> Reply<()> {
        let running = matches!(&*self.stage.borrow(), Stage::Running(_));
        if !running {
            return future::ready(Ok(())).boxed_local();
        }
        match self.stage.replace(Stage::Stopped) {
            Stage::Running(driver) => driver.stop().map(Ok).boxed_local(),
            Stage::New | Stage::Stopped => future::ready(Ok(())).boxed_local(),
        }
    }

    fn send_remote_message(&self, to: PeerId, message: String) -> Reply<()> {
        match self.driver() {
            Ok(driver) => {
                let result = driver.send(to, message);
                result.map(|result| result.unwrap_or(Err(RemoteError::NetworkStopped))).boxed_local()
            }
            Err(error) => future::ready(Err(error)).boxed_local(),
        }
    }

    fn close_connection(&self, peer: PeerId) -> Reply<()> {
        self.tell(Input::CloseConnection { peer })
    }

    fn register_location_hints(&self, peer: PeerId, hints: Vec<String>) -> Reply<()> {
        self.tell(Input::RegisterHints { peer, hints })
    }

    fn reconnect_peer(&self, peer: PeerId, hints: Vec<String>) -> Reply<()> {
        self.tell(Input::Reconnect { peer, hints })
    }

    fn reset_all_backoffs(&self) -> Reply<()> {
        self.tell(Input::NetworkChanged)
    }
}

fn plain_error(message: &str) -> RemoteError {
    RemoteError::Other { name: "Error".to_owned(), message: message.to_owned() }
}

fn seed_from_hex(text: &str) -> Option<[u8; 32]> {
    let mut seed = [0; 32];
    hex::decode_to_slice(text, &mut seed).ok()?;
    Some(seed)
}
