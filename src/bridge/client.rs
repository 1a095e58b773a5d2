//! The kernel's end of the bridge.

use std::rc::Rc;

use futures::FutureExt as _;
use serde_json::{Map, Value};

use super::{
    BridgeError, KernelServices, PlatformServices, Port, Reply, VatWorkerService,
    error::RpcError,
    link::{Handling, Link, Service},
    message::object,
    methods::{self, Params, RecentPeers},
};
use crate::{
    runtime::Runtime,
    wire::{IncarnationId, PeerId, RemoteCommsOptions},
};

/// The network as the kernel sees it: every call goes across the bridge, in the order of the calls.
///
/// Closed when dropped. A call fails with a [`BridgeError`] by name if the bridge brings no answer.
pub struct PlatformServicesClient<P: Port> {
    link: Link<P>,
}

impl<P: Port> PlatformServicesClient<P> {
    /// The end at `port`. Calls wait until it is [started](Self::start) and open.
    pub fn new(port: P, runtime: Rc<dyn Runtime>) -> Self {
        PlatformServicesClient { link: Link::new(port, runtime, methods::KERNEL_IDS) }
    }

    /// Opens the bridge and hands to `kernel` what the network asks. Only the first start has an effect. `on_reload` is
    /// called when the network's end was loaded anew: it has to be initialized again.
    ///
    /// The bridge holds the kernel until it ends: if the kernel holds the bridge too, somebody has to [close](Self::close).
    pub fn start(&self, kernel: Rc<dyn KernelServices>, on_reload: impl Fn() + 'static) {
        self.link.start(Rc::new(KernelEnd { kernel, on_reload: Box::new(on_reload), peers: RecentPeers::default() }));
    }

    /// Ends the bridge: tells the other end, and fails every call that waits.
    pub fn close(&self) {
        self.link.close();
    }
}

impl<P: Port> PlatformServices for PlatformServicesClient<P> {
    fn initialize_remote_comms(
        &self,
        key_seed: String,
        options: RemoteCommsOptions,
        incarnation: IncarnationId,
    ) -> Reply<()> {
        let mut params = beyond_defaults(&options);
        params.insert("keySeed".into(), key_seed.into());
        params.insert("incarnationId".into(), incarnation.as_str().into());
        self.link.call_for_null(methods::INITIALIZE_REMOTE_COMMS, Value::Object(params))
    }

    fn stop_remote_comms(&self) -> Reply<()> {
        self.link.call_for_null(methods::STOP_REMOTE_COMMS, Value::Array(Vec::new()))
    }

    fn send_remote_message(&self, to: PeerId, message: String) -> Reply<()> {
        let params = object([("to", to.as_str().into()), ("message", message.into())]);
        self.link.call_for_null(methods::SEND_REMOTE_MESSAGE, params)
    }

    fn close_connection(&self, peer: PeerId) -> Reply<()> {
        self.link.call_for_null(methods::CLOSE_CONNECTION, object([("peerId", peer.as_str().into())]))
    }

    fn register_location_hints(&self, peer: PeerId, hints: Vec<String>) -> Reply<()> {
        let params = object([("peerId", peer.as_str().into()), ("hints", hints.into())]);
        self.link.call_for_null(methods::REGISTER_LOCATION_HINTS, params)
    }

    fn reconnect_peer(&self, peer: PeerId, hints: Vec<String>) -> Reply<()> {
        let params = object([("peerId", peer.as_str().into()), ("hints", hints.into())]);
        self.link.call_for_null(methods::RECONNECT_PEER, params)
    }

    fn reset_all_backoffs(&self) -> Reply<()> {
        self.link.call_for_null(methods::RESET_ALL_BACKOFFS, Value::Array(Vec::new()))
    }
}

impl<P: Port> VatWorkerService for PlatformServicesClient<P> {
    type Port = P::Transfer;

    fn launch(&self, vat_id: String, config: Value) -> Reply<P::Transfer> {
        let params = object([("vatId", vat_id.into()), ("vatConfig", config)]);
        let answer = self.link.call(methods::LAUNCH, params);
        async move {
            let no_port = BridgeError::UnexpectedResult { method: methods::LAUNCH, expected: "a transferred port" };
            answer.await?.transfer.ok_or_else(|| no_port.into())
        }
        .boxed_local()
    }

    fn terminate(&self, vat_id: String) -> Reply<()> {
        self.link.call_for_null(methods::TERMINATE, object([("vatId", vat_id.into())]))
    }

    fn terminate_all(&self) -> Reply<()> {
        self.link.call_for_null(methods::TERMINATE_ALL, Value::Array(Vec::new()))
    }
}

/// The options that differ from the defaults: an incumbent refuses members that it does not know, even at their default.
fn beyond_defaults(options: &RemoteCommsOptions) -> Map<String, Value> {
    let members = |options: &RemoteCommsOptions| match serde_json::to_value(options) {
        Ok(Value::Object(members)) => members,
        _ => Map::new(),
    };
    let defaults = members(&RemoteCommsOptions::default());
    members(options).into_iter().filter(|(key, value)| defaults.get(key) != Some(value)).collect()
}

/// What the kernel offers the network.
struct KernelEnd {
    kernel: Rc<dyn KernelServices>,
    on_reload: Box<dyn Fn()>,
    peers: RecentPeers,
}

impl<T: 'static> Service<T> for KernelEnd {
    fn start(&self, method: &str, params: Value) -> Result<Handling<T>, RpcError> {
        match method {
            methods::REMOTE_DELIVER => {
                let mut params = Params::named(params)?;
                let reply = self.kernel.remote_deliver(params.peer("from", &self.peers)?, params.string("message")?);
                Ok(async move { Ok(Value::from(reply.await?).into()) }.boxed_local())
            }
            methods::REMOTE_GIVE_UP => {
                let reply = self.kernel.remote_give_up(Params::named(params)?.peer("peerId", &self.peers)?);
                Ok(async move { Ok(Value::from(reply.await?).into()) }.boxed_local())
            }
            methods::REMOTE_MOVING => {
                self.kernel.remote_moving(Params::named(params)?.peer("peerId", &self.peers)?);
                Ok(async { Ok(Value::Null.into()) }.boxed_local())
            }
            methods::REMOTE_NO_CHANNEL => {
                self.kernel.remote_no_channel(Params::named(params)?.peer("peerId", &self.peers)?);
                Ok(async { Ok(Value::Null.into()) }.boxed_local())
            }
            methods::REMOTE_INCARNATION_CHANGE => {
                let mut params = Params::named(params)?;
                let peer = params.peer("peerId", &self.peers)?;
                let observed = params.string("observedIncarnation")?.parse();
                let observed =
                    observed.map_err(|_| RpcError::invalid_params("observedIncarnation is not acceptable"))?;
                let reply = self.kernel.remote_incarnation_change(peer, observed);
                Ok(async move { Ok(Value::from(reply.await?).into()) }.boxed_local())
            }
            _ => Err(RpcError::unknown_method(method)),
        }
    }

    fn other_end_reloaded(&self) {
        (self.on_reload)();
    }
}
