//! The JavaScript surface: thin classes around the two ends, and nothing else.
//!
//! Options and events cross as plain objects; references, bodies and URLs as strings. What fails throws an `Error` with a
//! stable `name` and, where there is any, `data`. After a panic every call throws a `CrashError`.

#[cfg_attr(not(feature = "kernel"), expect(dead_code, reason = "the network waits for nothing that can be aborted"))]
mod abort;
#[cfg(feature = "kernel")]
mod arguments;
mod crash;
mod error;
mod events;
#[cfg(feature = "kernel")]
mod kernel;
mod log;
#[cfg(feature = "network")]
mod network;
mod options;
#[cfg(feature = "network")]
mod page;
#[cfg(feature = "guests")]
mod remotes;
#[cfg(feature = "kernel")]
mod store;
#[cfg(feature = "network")]
mod transport;

#[cfg(feature = "crash-test")]
pub use crash::crash_for_test;
#[cfg(feature = "kernel")]
pub use kernel::Kernel;
pub use log::set_log_level;
#[cfg(feature = "network")]
pub use network::Network;
#[cfg(feature = "guests")]
pub use remotes::{KernelRecords, RemoteComms, RemoteHandle, RemoteManager};
#[cfg(feature = "kernel")]
pub use store::{KernelStore, open_kernel_store};
#[cfg(feature = "durable")]
pub use store::{delete_kernel_store, read_kernel_store_file};
#[cfg(feature = "network")]
pub use transport::init_transport;
use wasm_bindgen::prelude::*;

#[wasm_bindgen(typescript_custom_section)]
const TYPES: &str = concat!(include_str!("bridge_port.d.ts"), include_str!("options.d.ts"));

#[wasm_bindgen]
extern "C" {
    /// See the TypeScript type.
    #[wasm_bindgen(typescript_type = "BridgePort")]
    pub type BridgePort;
}

/// Runs once when the module is loaded.
#[wasm_bindgen(start)]
pub fn start() {
    crash::install();
    log::install();
}
