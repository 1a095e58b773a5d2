//! A whole kernel, in memory. Messages to its object are `#[NUMBER, PADDING…]`; it answers each with its number, and reports it.

use std::{cell::RefCell, collections::HashMap, path::Path, rc::Rc, time::Duration};

use anyhow::{Context as _, Result};
use futures::FutureExt as _;
use ocap_remotes::{
    bridge::{KernelServices, Reply},
    kernel::{KernelDriver, KernelError, KernelEvent, RedemptionId, SeedSource, store::KernelStore},
    native::{self, Native},
    network::NetworkService,
    runtime::Runtime,
    storage::MemoryStore,
    wire::{CapData, IncarnationId, Kref, LimitType, PeerId, RemoteCommsOptions, RemoteError},
};
use serde_json::json;
use tokio::sync::oneshot;

use crate::{
    Command, Start,
    listening::{self, Handle, Listening},
    now_ms, report,
};

/// What the program has been told and not looked at yet.
#[derive(Default)]
struct Inbox {
    /// Messages to the object, with the promise of their result.
    messages: Vec<(String, Option<Kref>)>,
    redemptions: HashMap<RedemptionId, oneshot::Sender<Result<Kref, String>>>,
    /// Called when the promise is settled; true if it was rejected.
    settled: Vec<(Kref, bool)>,
}

/// A running kernel.
pub(crate) struct Party {
    driver: Rc<KernelDriver>,
    pub(crate) handle: Handle,
    pub(crate) peer: PeerId,
    pub(crate) object: Kref,
    inbox: Rc<RefCell<Inbox>>,
    told: Rc<tokio::sync::Notify>,
}

impl Party {
    pub(crate) async fn start(
        seed: u8,
        certificate: Option<&Path>,
        options: &RemoteCommsOptions,
        slow: Duration,
    ) -> Result<Rc<Self>> {
        let store = KernelStore::open(Box::new(MemoryStore::new()))?;
        let seed = SeedSource::Hex(format!("{seed:02x}").repeat(32).into());
        let (certificate, handle) = (certificate.map(listening::pem).transpose()?, Handle::default());
        let (inbox, told) = (Rc::<RefCell<Inbox>>::default(), Rc::<tokio::sync::Notify>::default());
        let (into, notify) = (Rc::clone(&inbox), Rc::clone(&told));
        let on_event = Box::new(move |event| {
            let mut inbox = into.borrow_mut();
            match event {
                KernelEvent::Message { methargs, result, .. } => inbox.messages.push((methargs.body, result)),
                KernelEvent::Notify { promise, rejected, .. } => inbox.settled.push((promise, rejected)),
                KernelEvent::Redeemed { id, result } => {
                    let waiting = inbox.redemptions.remove(&id);
                    waiting.map(|waiting| waiting.send(result.map_err(|error| error.to_string())));
                }
                event => report(&json!({ "event": format!("{event:?}"), "at": now_ms() })),
            }
            notify.notify_one();
        });
        let network = |runtime: Rc<dyn Runtime>, kernel| {
            let listening = Listening::new(Rc::clone(&runtime), certificate, handle.clone());
            NetworkService::new(runtime, Rc::new(Slow { kernel, slow }), listening)
        };
        let Native { driver, .. } = native::start(store, Some(seed), options.clone(), network, on_event).await?;
        let peer = driver.inspect(|kernel| kernel.peer_id().clone());
        let object = driver.call(|kernel, _| kernel.export_object())?;
        Ok(Rc::new(Party { driver, handle, peer, object, inbox, told }))
    }

    pub(crate) async fn redeem(&self, url: &str) -> Result<Kref> {
        let (done, ended) = oneshot::channel();
        let random = self.driver.random();
        let id = self.driver.call(|kernel, now| kernel.redeem_ocap_url(url, random, now))?;
        self.inbox.borrow_mut().redemptions.insert(id, done);
        ended.await?.map_err(anyhow::Error::msg)
    }

    /// Sends a message; none if no more are accepted now.
    pub(crate) fn send(&self, target: Kref, body: &str) -> Result<Option<Kref>> {
        let data = CapData { body: body.to_owned(), slots: Vec::new() };
        match self.driver.call(|kernel, _| kernel.send(target, data)) {
            Ok(promise) => Ok(Some(promise)),
            Err(KernelError::Remote(RemoteError::ResourceLimit { limit_type: LimitType::PendingMessages, .. })) => {
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The promises that were settled since it was last asked, once there is one; true if it was rejected.
    pub(crate) async fn settled(&self) -> Vec<(Kref, bool)> {
        loop {
            let settled = std::mem::take(&mut self.inbox.borrow_mut().settled);
            if !settled.is_empty() {
                return settled;
            }
            self.told.notified().await;
        }
    }

    /// Answers what came and, unless it is to be quiet, reports it, for ever.
    async fn serve(&self, quiet: bool) -> Result<()> {
        loop {
            let messages = std::mem::take(&mut self.inbox.borrow_mut().messages);
            if messages.is_empty() {
                self.told.notified().await;
                continue;
            }
            let at = now_ms();
            for (body, result) in messages {
                let (number, padding) = read(&body).with_context(|| format!("a message of {} bytes", body.len()))?;
                if !quiet {
                    report(&json!({ "received": number, "padding": padding, "at": at }));
                }
                if let Some(result) = result {
                    let answer = CapData { body: format!("#{number}"), slots: Vec::new() };
                    self.driver.call(|kernel, _| kernel.resolve(result, false, answer))?;
                }
            }
        }
    }
}

/// The number of a message and how long its padding is, which must be of the letter that follows from the number.
fn read(body: &str) -> Result<(u32, usize)> {
    let (number, padding): (u32, String) = serde_json::from_str(body.strip_prefix('#').context("not marshalled")?)?;
    let letter = letter(number);
    anyhow::ensure!(padding.chars().all(|char| char == letter), "{number} came damaged");
    Ok((number, padding.len()))
}

/// What pads the message of this number.
fn letter(number: u32) -> char {
    char::from(b'a' + u8::try_from(number % 26).unwrap_or_default())
}

/// A message of about so many bytes.
pub(crate) fn message(number: u32, bytes: usize) -> String {
    format!("#[{number},\"{}\"]", letter(number).to_string().repeat(bytes))
}

pub(crate) async fn start(start: &Start) -> Result<impl Fn(Command) + use<>> {
    let slow = Duration::from_millis(start.slow_ms);
    let party = Party::start(start.seed, start.certificate.as_deref(), &start.options, slow).await?;
    let addresses = party.handle.addresses(&start.options).await?;
    let url = party.driver.issue_ocap_url(party.object).await?;
    report(&json!({
        "ready": { "peerId": party.peer.to_string(), "addresses": addresses, "url": url, "at": now_ms() }
    }));
    let (serving, quiet) = (Rc::clone(&party), start.quiet);
    tokio::task::spawn_local(async move { serving.serve(quiet).await.expect("messages are as agreed") });
    Ok(move |command| {
        let party = Rc::clone(&party);
        tokio::task::spawn_local(async move { party.obey(command).await.expect("the command is carried out") });
    })
}

impl Party {
    async fn obey(&self, command: Command) -> Result<()> {
        match command {
            Command::Cut(peer) => {
                report(&json!({ "cut": now_ms() }));
                self.handle.disconnect(&peer.parse()?).await;
            }
            Command::Send { url, count, bytes } => {
                let target = self.redeem(&url).await?;
                for number in 1..=count {
                    while self.send(target, &message(number, bytes))?.is_none() {
                        self.driver.ready(target).await?;
                    }
                }
                report(&json!({ "sent": count }));
            }
            Command::Meet(_) | Command::Go { .. } => {} // for crowds
        }
        Ok(())
    }
}

/// A kernel that takes its time for each message.
struct Slow {
    kernel: Rc<dyn KernelServices>,
    slow: Duration,
}

impl KernelServices for Slow {
    fn remote_deliver(&self, from: PeerId, message: String) -> Reply<Option<String>> {
        if self.slow.is_zero() {
            return self.kernel.remote_deliver(from, message);
        }
        let (kernel, slow) = (Rc::clone(&self.kernel), self.slow);
        async move {
            tokio::time::sleep(slow).await;
            kernel.remote_deliver(from, message).await
        }
        .boxed_local()
    }

    fn remote_give_up(&self, peer: PeerId) -> Reply<()> {
        self.kernel.remote_give_up(peer)
    }

    fn remote_incarnation_change(&self, peer: PeerId, observed: IncarnationId) -> Reply<bool> {
        self.kernel.remote_incarnation_change(peer, observed)
    }
}
