//! A network that takes everything and says nothing.

use std::cell::RefCell;

use futures::{FutureExt as _, future::ready};

use super::*;
use crate::bridge::{PlatformServices, Reply};

/// Takes everything, and remembers what was written.
#[derive(Default)]
pub(super) struct QuietNetwork(pub(super) RefCell<Vec<String>>);

fn done() -> Reply<()> {
    ready(Ok(())).boxed_local()
}

impl PlatformServices for QuietNetwork {
    fn initialize_remote_comms(&self, _: String, _: RemoteCommsOptions, _: IncarnationId) -> Reply<()> {
        done()
    }
    fn stop_remote_comms(&self) -> Reply<()> {
        done()
    }
    fn send_remote_message(&self, _: PeerId, message: String) -> Reply<()> {
        self.0.borrow_mut().push(message);
        done()
    }
    fn close_connection(&self, _: PeerId) -> Reply<()> {
        done()
    }
    fn register_location_hints(&self, _: PeerId, _: Vec<String>) -> Reply<()> {
        done()
    }
    fn reconnect_peer(&self, _: PeerId, _: Vec<String>) -> Reply<()> {
        done()
    }
    fn reset_all_backoffs(&self) -> Reply<()> {
        done()
    }
}
