//! A network without a kernel. A message begins with what is to be done with it: `["echo"` comes back as it is, `["sink"` is
//! counted, `["sum"` is answered by `["got",COUNT]`, and `["send",COUNT,BYTES` is answered by that many messages of that size.

use std::{
    cell::{Cell, RefCell},
    rc::{Rc, Weak},
    time::Duration,
};

use anyhow::Result;
use futures::{FutureExt as _, StreamExt as _, future};
use ocap_remotes::{
    bridge::{KernelServices, PlatformServices, Reply},
    network::NetworkService,
    runtime::{NativeRuntime, Runtime},
    wire::{IncarnationId, PeerId},
};
use serde_json::json;

use crate::{
    Command, Start,
    listening::{Handle, Listening},
    now_ms, report,
};

/// Messages that are on their way at a time, as the browser has it.
const WINDOW: usize = 64;

#[derive(Default)]
struct Echo {
    service: RefCell<Weak<NetworkService<Listening>>>,
    counted: Cell<u64>,
    slow: Duration,
}

pub(crate) async fn start(start: &Start) -> Result<impl Fn(Command) + use<>> {
    let runtime: Rc<dyn Runtime> = Rc::new(NativeRuntime::new());
    let (network, handle) = Listening::new(Rc::clone(&runtime), start.certificate.as_deref())?;
    let echo = Rc::new(Echo { slow: Duration::from_millis(start.slow_ms), ..Echo::default() });
    let service = Rc::new(NetworkService::new(runtime, Rc::clone(&echo) as _, network));
    echo.service.replace(Rc::downgrade(&service));
    let incarnation = "the-echo".parse().expect("an incarnation");
    let seed = format!("{:02x}", start.seed).repeat(32);
    service.initialize_remote_comms(seed, start.options.clone(), incarnation).await?;

    let peer = PeerId::from_ed25519_seed([start.seed; 32])?;
    let addresses = handle.addresses(&start.options).await?;
    report(&json!({ "ready": { "peerId": peer.to_string(), "addresses": addresses } }));
    Ok(move |command| obey(&service, &handle, command))
}

fn obey(_keep: &Rc<NetworkService<Listening>>, handle: &Handle, command: Command) {
    if let Command::Cut(peer) = command {
        let handle = handle.clone();
        tokio::task::spawn_local(async move {
            report(&json!({ "cut": now_ms() }));
            handle.disconnect(&peer.parse().expect("a peer id")).await;
        });
    }
}

impl KernelServices for Echo {
    fn remote_deliver(&self, from: PeerId, message: String) -> Reply<Option<String>> {
        let answer = self.answer(from, message);
        if self.slow.is_zero() {
            return future::ready(Ok(answer)).boxed_local();
        }
        tokio::time::sleep(self.slow).map(|()| Ok(answer)).boxed_local()
    }

    fn remote_give_up(&self, _: PeerId) -> Reply<()> {
        future::ready(Ok(())).boxed_local()
    }

    fn remote_incarnation_change(&self, _: PeerId, _: IncarnationId) -> Reply<bool> {
        future::ready(Ok(false)).boxed_local()
    }
}

impl Echo {
    fn answer(&self, from: PeerId, message: String) -> Option<String> {
        if message.starts_with("[\"echo\"") {
            return Some(message);
        }
        if message.starts_with("[\"sink\"") {
            self.counted.set(self.counted.get() + 1);
        } else if message.starts_with("[\"sum\"") {
            return Some(json!(["got", self.counted.take()]).to_string());
        } else if let Ok((_, count, bytes)) = serde_json::from_str::<(String, u32, usize)>(&message) {
            let service = self.service.borrow().upgrade()?;
            let text = format!("[\"sink\",\"{}\"]", "x".repeat(bytes.saturating_sub(11)));
            tokio::task::spawn_local(async move {
                let sends = (0..count).map(|_| service.send_remote_message(from.clone(), text.clone()));
                let failed = |result: Result<_, _>| future::ready(result.is_err());
                let lost =
                    futures::stream::iter(sends).buffered(WINDOW).filter(|sent| failed(sent.clone())).count().await;
                if lost > 0 {
                    report(&json!({ "refused": lost }));
                }
            });
        }
        None
    }
}
