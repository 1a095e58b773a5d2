//! Vats: local programs that the network's end starts for the kernel, each in a Worker of its own.

use serde_json::Value;

use super::Reply;

/// Starts and stops vats. Implemented by whoever hosts them, and by the kernel's end of the bridge.
pub trait VatWorkerService {
    /// The kernel's connection to a vat: a `MessagePort` in a browser.
    type Port;

    /// Starts a vat and connects it. `vat_id` and `config` are the kernel's; the bridge does not look into them.
    ///
    /// # Errors
    /// `VatAlreadyExistsError`, or what kept the vat from starting.
    fn launch(&self, vat_id: String, config: Value) -> Reply<Self::Port>;

    /// Stops a vat.
    ///
    /// # Errors
    /// `VatNotFoundError`, or what kept it from stopping.
    fn terminate(&self, vat_id: String) -> Reply<()>;

    /// Stops every vat. That there is none is not an error.
    fn terminate_all(&self) -> Reply<()>;
}
