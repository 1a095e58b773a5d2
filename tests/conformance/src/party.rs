//! One kernel with its network.

use std::{cell::RefCell, collections::HashMap, rc::Rc};

use anyhow::Result;
use ocap_remotes::{
    kernel::{KernelDriver, KernelError, KernelEvent, RedemptionId, RemoteHandle, SeedSource, store::KernelStore},
    native::{self, Native},
    storage::open_file,
    wire::{CapData, EndpointId, Kref, PeerId, RemoteError, Seq},
};
use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::{Start, report, request::Call};

/// Redemptions that wait for their end.
type Redemptions = RefCell<HashMap<RedemptionId, oneshot::Sender<Result<Kref, KernelError>>>>;

/// A running kernel.
pub(crate) struct Party {
    driver: Rc<KernelDriver>,
    redemptions: Rc<Redemptions>,
}

impl Party {
    pub(crate) async fn start(start: Start) -> Result<Self> {
        let store = KernelStore::open(Box::new(open_file(start.store)?))?;
        let seed = start.key_seed.map(|hex| SeedSource::Hex(hex.into()));
        let redemptions = Rc::<Redemptions>::default();
        let waiting = Rc::clone(&redemptions);
        let on_event = Box::new(move |event| match event {
            KernelEvent::Redeemed { id, result } => {
                // The test may have lost interest.
                let _ = waiting.borrow_mut().remove(&id).map(|waiting| waiting.send(result));
            }
            event => report::line(&report::event(&event)),
        });
        let Native { driver, .. } = native::start(store, seed, start.options, native::libp2p, on_event).await?;
        Ok(Party { driver, redemptions })
    }

    /// The first line of stdout.
    pub(crate) fn ready(&self) -> Value {
        self.driver.inspect(|kernel| {
            let (peer, incarnation) = (kernel.peer_id().to_string(), kernel.incarnation().as_str());
            json!({ "ready": { "peerId": peer, "incarnationId": incarnation } })
        })
    }

    pub(crate) async fn carry_out(&self, call: Call) -> Result<Value, KernelError> {
        let driver = &self.driver;
        Ok(match call {
            Call::ExportObject => json!(driver.call(|kernel, _| kernel.export_object())?),
            Call::Send { target, body, slots } => {
                let (target, data) = (target.parse()?, cap_data(body, &slots)?);
                json!(driver.call(|kernel, _| kernel.send(target, data))?)
            }
            Call::Resolve { promise, rejected, body, slots } => {
                let (promise, data) = (promise.parse()?, cap_data(body, &slots)?);
                json!(driver.call(|kernel, _| kernel.resolve(promise, rejected, data))?)
            }
            Call::Release { references } => {
                let references = krefs(&references)?;
                json!(driver.call(|kernel, _| kernel.release(&references))?)
            }
            Call::IssueOcapUrl { object } => json!(driver.issue_ocap_url(object.parse()?).await?),
            Call::RedeemOcapUrl { url } => json!(self.redeem(&url).await?),
            Call::RegisterLocationHints { peer_id, hints } => {
                let peer = peer_id.parse()?;
                json!(driver.call(|kernel, now| kernel.register_location_hints(&peer, hints, now))?)
            }
            Call::CloseConnection { peer_id } => json!(driver.close_connection(peer_id.parse()?).await?),
            Call::ReconnectPeer { peer_id, hints } => json!(driver.reconnect_peer(peer_id.parse()?, hints).await?),
            Call::Reap { peer_id } => {
                let remote = self.remote(&peer_id.parse()?)?;
                json!(driver.call(|kernel, _| kernel.reap_remote(remote))?)
            }
            Call::Remotes => driver.inspect(|kernel| kernel.remotes().remotes().map(status).collect()),
            Call::Audit => {
                driver.inspect(|kernel| kernel.store().audit().map_or_else(|wrong| json!(wrong), |()| Value::Null))
            }
        })
    }

    async fn redeem(&self, url: &str) -> Result<Kref, KernelError> {
        let (done, ended) = oneshot::channel();
        let random = self.driver.random();
        let id = self.driver.call(|kernel, now| kernel.redeem_ocap_url(url, random, now))?;
        self.redemptions.borrow_mut().insert(id, done);
        ended.await.unwrap_or_else(|_| Err(RemoteError::NetworkStopped.into()))
    }

    fn remote(&self, peer: &PeerId) -> Result<EndpointId, KernelError> {
        let found = self.driver.inspect(|kernel| {
            let mut remotes = kernel.remotes().remotes();
            remotes.find(|remote| remote.peer() == peer).map(RemoteHandle::id)
        });
        found.ok_or_else(|| RemoteError::Other { name: "Error".to_owned(), message: format!("no peer {peer}") }.into())
    }
}

fn krefs(texts: &[String]) -> Result<Vec<Kref>, KernelError> {
    Ok(texts.iter().map(|text| text.parse()).collect::<Result<_, _>>()?)
}

fn cap_data(body: String, slots: &[String]) -> Result<CapData<Kref>, KernelError> {
    Ok(CapData { body, slots: krefs(slots)? })
}

fn status(remote: &RemoteHandle) -> Value {
    let counters = remote.counters();
    json!({
        "id": remote.id(), "peerId": remote.peer().to_string(), "pending": remote.pending(),
        "highestReceived": remote.highest_received().map_or(0, Seq::get), "delivered": counters.delivered,
        "duplicates": counters.duplicates, "outOfOrder": counters.out_of_order, "rejected": counters.rejected,
        "malformed": counters.malformed, "lost": counters.lost,
    })
}
