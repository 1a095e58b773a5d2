//! The network's end of the bridge.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeSet,
    rc::Rc,
};

use futures::FutureExt as _;
use serde_json::{Value, json};
use tracing::warn;

use super::{
    ALREADY_INITIALIZED, BridgeError, KernelServices, PlatformServices, Port, Reply, VatWorkerService,
    connection::Answer,
    error::RpcError,
    extensions::Extensions,
    link::{Handling, Link, Service},
    message::object,
    methods::{self, Params, RecentPeers},
};
use crate::{
    runtime::{Runtime, random_bytes},
    wire::{IncarnationId, PeerId, RemoteCommsOptions},
};

/// The kernel as the network sees it: every call goes across the bridge, in the order of the calls.
///
/// Closed when dropped. A call fails with a [`BridgeError`] by name if the bridge brings no answer. In particular
/// [`remote_incarnation_change`](KernelServices::remote_incarnation_change) is an error when the kernel answers with one or
/// with anything but a boolean, and when the bridge ends or the kernel is reloaded meanwhile; whoever asks takes that for a
/// restart. The bridge has no timeout of its own.
pub struct PlatformServicesServer<P: Port> {
    link: Link<P>,
}

impl<P: Port> PlatformServicesServer<P> {
    /// The end at `port`. Calls wait until it is [started](Self::start) and open.
    pub fn new(port: P, runtime: Rc<dyn Runtime>) -> Self {
        PlatformServicesServer { link: Link::new(port, runtime, methods::NETWORK_IDS) }
    }

    /// Opens the bridge and hands what the kernel asks to `platform`, and to `vats` if this place hosts any. Only the first
    /// start has an effect.
    ///
    /// When the kernel is reloaded its network is stopped and its vats are terminated, so that the new kernel begins as the
    /// first one did. The bridge holds both services until it ends, and does not stop them then.
    pub fn start(
        &self,
        platform: Rc<dyn PlatformServices>,
        vats: Option<Rc<dyn VatWorkerService<Port = P::Transfer>>>,
    ) {
        let runtime = Rc::clone(self.link.runtime());
        let vats = vats.map(|service| Vats { service, known: Rc::default() });
        self.link.start(Rc::new(NetworkEnd {
            runtime,
            platform,
            comms: Rc::default(),
            vats,
            peers: RecentPeers::default(),
        }));
    }

    /// Ends the bridge: tells the other end, and fails every call that waits.
    pub fn close(&self) {
        self.link.close();
    }

    /// Tells the kernel something about a peer, if it wants to hear of that: an incumbent's would refuse it.
    fn tell(&self, method: &'static str, peer: &PeerId, wanted: impl Fn(&Extensions) -> bool) {
        if !wanted(&self.link.theirs()) {
            return;
        }
        let told = self.link.call_for_null(method, object([("peerId", peer.as_str().into())]));
        let told = told.map(move |told| {
            if let Err(error) = told {
                tracing::debug!(%error, method, "the kernel was not told");
            }
        });
        self.link.runtime().spawn(told.boxed_local());
    }
}

impl<P: Port> KernelServices for PlatformServicesServer<P> {
    fn remote_deliver(&self, from: PeerId, message: String) -> Reply<Option<String>> {
        let params = object([("from", from.as_str().into()), ("message", message.into())]);
        let answer = self.link.call(methods::REMOTE_DELIVER, params);
        async move {
            match answer.await?.result {
                Value::Null => Ok(None),
                Value::String(reply) => Ok(Some(reply)),
                _ => Err(unexpected(methods::REMOTE_DELIVER, "a string or null").into()),
            }
        }
        .boxed_local()
    }

    fn remote_moving(&self, peer: PeerId) {
        self.tell(methods::REMOTE_MOVING, &peer, |kernel| kernel.moving);
    }

    fn remote_no_channel(&self, peer: PeerId) {
        self.tell(methods::REMOTE_NO_CHANNEL, &peer, |kernel| kernel.outages);
    }

    fn remote_give_up(&self, peer: PeerId) -> Reply<()> {
        self.link.call_for_null(methods::REMOTE_GIVE_UP, object([("peerId", peer.as_str().into())]))
    }

    fn remote_incarnation_change(&self, peer: PeerId, observed: IncarnationId) -> Reply<bool> {
        let params = object([("peerId", peer.as_str().into()), ("observedIncarnation", observed.as_str().into())]);
        let answer = self.link.call(methods::REMOTE_INCARNATION_CHANGE, params);
        async move {
            match answer.await?.result {
                Value::Bool(restarted) => Ok(restarted),
                _ => Err(unexpected(methods::REMOTE_INCARNATION_CHANGE, "a boolean").into()),
            }
        }
        .boxed_local()
    }
}

fn unexpected(method: &'static str, expected: &'static str) -> BridgeError {
    BridgeError::UnexpectedResult { method, expected }
}

/// What the network offers the kernel.
struct NetworkEnd<T> {
    runtime: Rc<dyn Runtime>,
    platform: Rc<dyn PlatformServices>,
    comms: Rc<Cell<Comms>>,
    vats: Option<Vats<T>>,
    peers: RecentPeers,
}

/// Whether the kernel has initialized remote comms. They count as initialized from the call on, not from its answer, for
/// the platform takes calls in their order.
#[derive(Clone, Copy, Default, PartialEq)]
struct Comms {
    /// How often they were initialized, so that a late failure undoes only its own attempt.
    attempts: u64,
    initialized: bool,
}

struct Vats<T> {
    service: Rc<dyn VatWorkerService<Port = T>>,
    known: Rc<RefCell<BTreeSet<String>>>,
}

impl<T: 'static> Service<T> for NetworkEnd<T> {
    fn start(&self, method: &str, params: Value) -> Result<Handling<T>, RpcError> {
        match (method, &self.vats) {
            (methods::LAUNCH, Some(vats)) => {
                let mut params = Params::named(params)?;
                vats.launch(params.string("vatId")?, params.optional("vatConfig").unwrap_or(Value::Null))
            }
            (methods::TERMINATE, Some(vats)) => vats.terminate(Params::named(params)?.string("vatId")?),
            (methods::TERMINATE_ALL, Some(vats)) => {
                methods::no_params(&params)?;
                Ok(null(vats.terminate_all()))
            }
            (methods::INITIALIZE_REMOTE_COMMS, _) => self.initialize(Params::named(params)?),
            (methods::STOP_REMOTE_COMMS, _) => {
                methods::no_params(&params)?;
                Ok(null(self.stop()))
            }
            (methods::SEND_REMOTE_MESSAGE, _) => {
                let mut params = Params::named(params)?;
                let (to, message) = (params.peer("to", &self.peers)?, params.string("message")?);
                Ok(null(self.initialized()?.send_remote_message(to, message)))
            }
            (methods::CLOSE_CONNECTION, _) => {
                let peer = Params::named(params)?.peer("peerId", &self.peers)?;
                Ok(null(self.initialized()?.close_connection(peer)))
            }
            (methods::REGISTER_LOCATION_HINTS, _) => {
                let mut params = Params::named(params)?;
                let (peer, hints) = (params.peer("peerId", &self.peers)?, params.strings("hints")?);
                Ok(null(self.initialized()?.register_location_hints(peer, hints)))
            }
            (methods::RECONNECT_PEER, _) => {
                let mut params = Params::named(params)?;
                let (peer, hints) = (params.peer("peerId", &self.peers)?, params.strings("hints")?);
                Ok(null(self.initialized()?.reconnect_peer(peer, hints)))
            }
            (methods::RESET_ALL_BACKOFFS, _) => {
                methods::no_params(&params)?;
                Ok(null(self.initialized()?.reset_all_backoffs()))
            }
            _ => Err(RpcError::unknown_method(method)),
        }
    }

    fn other_end_reloaded(&self) {
        if self.comms.get().initialized {
            self.in_background(self.stop(), "remote comms of the former kernel did not stop");
        }
        if let Some(vats) = &self.vats {
            self.in_background(vats.terminate_all(), "vats of the former kernel did not terminate");
        }
    }
}

impl<T: 'static> NetworkEnd<T> {
    fn initialized(&self) -> Result<&dyn PlatformServices, RpcError> {
        if self.comms.get().initialized {
            Ok(self.platform.as_ref())
        } else {
            Err(RpcError::internal("Error", "remote comms not initialized", Value::Null))
        }
    }

    fn initialize(&self, mut params: Params) -> Result<Handling<T>, RpcError> {
        let key_seed = params.string("keySeed")?;
        let incarnation = match params.optional("incarnationId") {
            // The incumbent may leave it out. It is then as if its store lived as long as this network does.
            None | Some(Value::Null) => self.random_incarnation(),
            Some(Value::String(text)) => {
                text.parse().map_err(|_| RpcError::invalid_params("incarnationId is not acceptable"))?
            }
            Some(_) => return Err(RpcError::invalid_params("incarnationId must be a string")),
        };
        let options: RemoteCommsOptions =
            serde_json::from_value(params.rest()).map_err(|error| RpcError::invalid_params(&error.to_string()))?;

        let Comms { attempts, initialized } = self.comms.get();
        if initialized {
            return Err(RpcError::internal("Error", ALREADY_INITIALIZED, Value::Null));
        }
        let attempt = Comms { attempts: attempts.saturating_add(1), initialized: true };
        self.comms.set(attempt);
        let comms = Rc::clone(&self.comms);
        let starting = self.platform.initialize_remote_comms(key_seed, options, incarnation);
        Ok(null(async move {
            let started = starting.await;
            if started.is_err() && comms.get() == attempt {
                comms.set(Comms { initialized: false, ..attempt });
            }
            started
        }))
    }

    fn stop(&self) -> Reply<()> {
        self.comms.set(Comms { initialized: false, ..self.comms.get() });
        self.platform.stop_remote_comms()
    }

    fn random_incarnation(&self) -> IncarnationId {
        IncarnationId::from_random(random_bytes(&*self.runtime))
    }

    fn in_background(&self, work: Reply<()>, failure: &'static str) {
        self.runtime.spawn(
            async move {
                if let Err(error) = work.await {
                    warn!(%error, failure);
                }
            }
            .boxed_local(),
        );
    }
}

impl<T: 'static> Vats<T> {
    fn launch(&self, vat_id: String, config: Value) -> Result<Handling<T>, RpcError> {
        if !self.known.borrow_mut().insert(vat_id.clone()) {
            let data = json!({ "vatId": vat_id });
            return Err(RpcError::internal("VatAlreadyExistsError", "Vat already exists.", data));
        }
        let known = Rc::clone(&self.known);
        let launching = self.service.launch(vat_id.clone(), config);
        Ok(async move {
            match launching.await {
                Ok(port) => Ok(Answer { result: Value::Null, transfer: Some(port) }),
                Err(error) => {
                    known.borrow_mut().remove(&vat_id);
                    Err(error.into())
                }
            }
        }
        .boxed_local())
    }

    fn terminate(&self, vat_id: String) -> Result<Handling<T>, RpcError> {
        if !self.known.borrow().contains(&vat_id) {
            let data = json!({ "vatId": vat_id });
            return Err(RpcError::internal("VatNotFoundError", "Vat does not exist.", data));
        }
        let known = Rc::clone(&self.known);
        let terminating = self.service.terminate(vat_id.clone());
        Ok(null(async move {
            terminating.await?;
            known.borrow_mut().remove(&vat_id);
            Ok(())
        }))
    }

    fn terminate_all(&self) -> Reply<()> {
        let known = Rc::clone(&self.known);
        let terminated = self.known.borrow().clone();
        let terminating = self.service.terminate_all();
        async move {
            terminating.await?;
            known.borrow_mut().retain(|vat_id| !terminated.contains(vat_id));
            Ok(())
        }
        .boxed_local()
    }
}

/// The handling of a request whose result is null.
fn null<T: 'static>(work: impl Future<Output = Result<(), crate::wire::RemoteError>> + 'static) -> Handling<T> {
    async move { Ok(Value::from(work.await?).into()) }.boxed_local()
}
