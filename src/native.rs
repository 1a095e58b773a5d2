//! A kernel and its network in one native process, joined as in a browser: by the bridge, here in memory.

use std::{rc::Rc, time::Duration};

#[cfg(feature = "network")]
use crate::network::node::Libp2p;
use crate::{
    bridge::{KernelServices, PlatformServicesClient, PlatformServicesServer, memory_ports},
    kernel::{EventHandler, Kernel, KernelDriver, KernelError, SeedSource, store::KernelStore},
    network::{NetworkService, link::Network},
    runtime::{NativeRuntime, Runtime},
    wire::RemoteCommsOptions,
};

/// What [`start`] has started. Both run for as long as the driver is held.
pub struct Native<N: Network> {
    /// The kernel.
    pub driver: Rc<KernelDriver>,
    /// Its network, to look at: what it does, the kernel says.
    pub network: Rc<NetworkService<N>>,
}

/// A network over libp2p, for [`start`].
#[cfg(feature = "network")]
pub fn libp2p(runtime: Rc<dyn Runtime>, kernel: Rc<dyn KernelServices>) -> NetworkService<Libp2p> {
    NetworkService::new(Rc::clone(&runtime), kernel, Libp2p::new(runtime))
}

/// Starts the kernel of `store`, as [`Kernel::open`] does, on the network that `network` makes. To be called in a
/// `tokio::task::LocalSet`.
///
/// # Errors
/// Those of [`Kernel::open`] and [`KernelDriver::start_network`].
pub async fn start<N: Network>(
    store: KernelStore,
    seed: Option<SeedSource>,
    options: RemoteCommsOptions,
    network: impl FnOnce(Rc<dyn Runtime>, Rc<dyn KernelServices>) -> NetworkService<N>,
    on_event: EventHandler,
) -> Result<Native<N>, KernelError> {
    let runtime: Rc<dyn Runtime> = Rc::new(NativeRuntime::new());
    let mut random = |bytes: &mut [u8]| runtime.fill_random(bytes);
    let kernel = Kernel::open(store, &options, seed, &mut random, runtime.now())?;

    let (here, there) = memory_ports::<()>(Rc::clone(&runtime), Duration::ZERO);
    let client = Rc::new(PlatformServicesClient::new(here, Rc::clone(&runtime)));
    let server = Rc::new(PlatformServicesServer::new(there, Rc::clone(&runtime)));
    let network = Rc::new(network(Rc::clone(&runtime), Rc::clone(&server) as _));
    server.start(Rc::clone(&network) as _, None);

    let driver = KernelDriver::start(kernel, Rc::clone(&client) as _, runtime, on_event);
    client.start(Rc::clone(&driver) as _, || {});
    driver.start_network(options).await?;
    Ok(Native { driver, network })
}
