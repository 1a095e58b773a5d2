//! Remotes of a kernel that works in cranks of its own and may go back on them. The network is the story's.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

use futures::{FutureExt as _, channel::oneshot, future::ready};

use super::{quiet_network::QuietNetwork, *};
use crate::{
    bridge::{KernelServices as _, PlatformServices},
    runtime::{NativeRuntime, Runtime},
    wire::{Delivery, Eref},
};

/// Whether a crank is open, and who waits for its end.
#[derive(Default)]
struct Cranks {
    open: Cell<bool>,
    waiting: RefCell<Vec<oneshot::Sender<()>>>,
}

struct Story {
    driver: Rc<RemotesDriver>,
    network: Rc<QuietNetwork>,
    cranks: Rc<Cranks>,
    runtime: Rc<dyn Runtime>,
    bob: PeerId,
    remote: EndpointId,
}

fn peer(byte: u8) -> PeerId {
    PeerId::from_ed25519_seed([byte; 32]).unwrap()
}

fn incarnation(byte: u8) -> IncarnationId {
    IncarnationId::from_random([byte; 16])
}

/// What bob says to one of alice's promises: anything that needs no reference that he was given.
fn from_bob(seq: u64) -> String {
    format!(
        r#"{{"seq":{seq},"method":"deliver","params":["message","ro+1",{{"methargs":{{"body":"{seq}","slots":[]}},"result":"rp+{seq}"}}]}}"#
    )
}

fn drop_of(index: u64) -> Delivery {
    Delivery::DropExports(vec![Eref::parse_remote(&format!("ro+{index}")).unwrap()])
}

impl Story {
    /// A kernel whose network is up and that knows bob.
    async fn begin() -> Self {
        let runtime: Rc<dyn Runtime> = Rc::new(NativeRuntime::new());
        let mut store = KernelStore::open(Box::new(MemoryStore::new())).unwrap();
        let identity = KernelIdentity::provide(&mut store, None, [1; 32]).unwrap();
        let issuer = UrlIssuer::provide(&mut store, identity.peer_id().clone(), [2; 32]).unwrap();
        let options = RemoteCommsOptions { delayed_ack_ms: 0, ..RemoteCommsOptions::default() };
        let config = RemoteManagerConfig::from(&options);
        let remotes = RemoteManager::new(&mut store, config, issuer, runtime.now()).unwrap();
        let (network, cranks) = (Rc::new(QuietNetwork::default()), Rc::new(Cranks::default()));
        let waiting = Rc::clone(&cranks);
        let crank: Crank = Rc::new(move || {
            if !waiting.open.get() {
                return ready(Ok(())).boxed_local();
            }
            let (ended, end) = oneshot::channel();
            waiting.waiting.borrow_mut().push(ended);
            end.map(|_| Ok(())).boxed_local()
        });
        let platform = Rc::clone(&network) as Rc<dyn PlatformServices>;
        let driver =
            RemotesDriver::start(remotes, Box::new(store), crank, platform, Rc::clone(&runtime), Box::new(|_| {}));
        driver.start_network(&identity, &incarnation(9), &options).await.unwrap();
        let bob = peer(7);
        let remote = driver.call(|remotes, host, now| remotes.remote_for(host, &bob, Vec::new(), now)).unwrap();
        let story = Story { driver, network, cranks, runtime, bob, remote };
        story.settle().await;
        story
    }

    /// Lets everything happen that is ready to.
    async fn settle(&self) {
        for _ in 0..20 {
            self.runtime.yield_turn().await;
        }
    }

    fn begin_crank(&self) {
        self.cranks.open.set(true);
        self.driver.call(|_, host, _| host.begin("crank")).unwrap();
    }

    async fn end_crank(&self, keep: bool) {
        self.driver.call(|_, host, _| host.end("crank", keep)).unwrap();
        self.cranks.open.set(false);
        for waiting in self.cranks.waiting.take() {
            waiting.send(()).ok();
        }
        self.settle().await;
    }

    fn deliver(&self, delivery: Delivery) {
        self.driver.call(|remotes, host, _| remotes.deliver(host, self.remote, delivery)).unwrap();
    }

    fn written(&self) -> Vec<String> {
        std::mem::take(&mut *self.network.0.borrow_mut())
    }

    fn received(&self) -> u64 {
        let state = self.driver.call(|_, host, _| host.remote_seq_state(self.remote)).unwrap();
        state.map_or(0, |state| state.highest_received_seq)
    }
}

async fn told(work: impl Future<Output = ()>) {
    tokio::task::LocalSet::new().run_until(work).await;
}

#[tokio::test]
async fn what_is_sent_in_a_crank_leaves_when_it_is_over() {
    told(async {
        let story = Story::begin().await;
        story.begin_crank();
        story.deliver(drop_of(1));
        story.settle().await;
        assert_eq!(story.written(), Vec::<String>::new());
        story.end_crank(true).await;
        let [message] = &story.written()[..] else { unreachable!("one message is due") };
        assert!(message.contains(r#""seq":1"#) && message.contains("dropExports"), "{message}");
    })
    .await;
}

#[tokio::test]
async fn a_crank_that_begins_before_its_forerunner_is_noticed_over_is_waited_for_as_well() {
    told(async {
        let story = Story::begin().await;
        story.begin_crank();
        story.deliver(drop_of(1));
        story.settle().await;
        // The run loop goes on at once: the next crank is open, and has sent, before anybody learns that the first is over.
        story.driver.call(|_, host, _| host.end("crank", true)).unwrap();
        let waiting = story.cranks.waiting.take();
        story.driver.call(|_, host, _| host.begin("crank")).unwrap();
        story.deliver(drop_of(2));
        for waiting in waiting {
            waiting.send(()).unwrap();
        }
        story.settle().await;
        let written = story.written();
        assert!(written.len() == 1 && written[0].contains("ro+1"), "{written:?}");
        story.end_crank(true).await;
        let written = story.written();
        assert!(written.len() == 1 && written[0].contains("ro+2"), "{written:?}");
    })
    .await;
}

#[tokio::test]
async fn what_was_sent_in_a_crank_that_is_rolled_back_was_never_sent() {
    told(async {
        let story = Story::begin().await;
        story.begin_crank();
        story.deliver(drop_of(1));
        story.settle().await;
        story.end_crank(false).await;
        assert_eq!(story.written(), Vec::<String>::new());
        story.deliver(drop_of(2));
        story.settle().await;
        let written = story.written();
        assert!(written.len() == 1 && written[0].contains(r#""seq":1"#) && written[0].contains("ro+2"), "{written:?}");
    })
    .await;
}

#[tokio::test]
async fn defect_12_what_the_network_brings_during_a_crank_waits_for_its_end() {
    told(async {
        let story = Story::begin().await;
        story.begin_crank();
        let handled = story.driver.remote_deliver(story.bob.clone(), from_bob(1));
        story.settle().await;
        assert_eq!(story.received(), 0);
        story.end_crank(false).await;
        assert_eq!(handled.await, Ok(None));
        assert_eq!(story.received(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_verdict_that_is_rolled_back_is_an_error_and_is_found_again() {
    told(async {
        let story = Story::begin().await;
        let judge = |byte| story.driver.remote_incarnation_change(story.bob.clone(), incarnation(byte));
        let first = judge(3);
        story.settle().await;
        assert_eq!(first.await, Ok(false));
        story.deliver(drop_of(1));
        story.settle().await;
        story.written();

        // The kernel opens a crank before the verdict is durable, and goes back on it.
        story.cranks.open.set(true);
        let verdict = judge(4);
        story.settle().await;
        story.driver.call(|_, host, _| host.begin("crank")).unwrap();
        for waiting in story.cranks.waiting.take() {
            waiting.send(()).unwrap();
        }
        story.settle().await;
        story.end_crank(false).await;
        assert!(verdict.await.is_err());
        // Nothing is forgotten: the peer may be the former one after all.
        let again = judge(3);
        story.settle().await;
        assert_eq!(again.await, Ok(false));
        let written = story.written();
        assert!(!written.is_empty() && written.iter().all(|message| message.contains(r#""seq":1"#)), "{written:?}");
        let restarted = judge(4);
        story.settle().await;
        assert_eq!(restarted.await, Ok(true));
        assert_eq!(story.written(), Vec::<String>::new());
    })
    .await;
}

#[tokio::test]
async fn a_remote_that_was_made_in_a_crank_that_is_rolled_back_was_never_made() {
    told(async {
        let story = Story::begin().await;
        story.begin_crank();
        let carol = peer(8);
        let establish =
            || story.driver.call(|remotes, host, now| remotes.remote_for(host, &carol, Vec::new(), now)).unwrap();
        let first = establish();
        story.settle().await;
        story.end_crank(false).await;
        assert!(story.driver.call(|remotes, _, _| remotes.remote(first).map(|_| ())).is_err());
        assert_eq!(establish(), first);
    })
    .await;
}

#[tokio::test]
async fn a_redemption_at_a_peer_that_was_met_in_a_crank_that_is_rolled_back_ends() {
    told(async {
        let story = Story::begin().await;
        story.begin_crank();
        let (url, driver) = (format!("ocap:zabc@{}", peer(8)), Rc::clone(&story.driver));
        let redeemed = tokio::task::spawn_local(async move {
            driver.redeem(|remotes, host, random, now| remotes.redeem_ocap_url(host, &url, random, now)).await
        });
        story.settle().await;
        story.end_crank(false).await;
        assert!(redeemed.is_finished());
        assert_eq!(redeemed.await.unwrap(), Err(KernelError::RolledBack));
    })
    .await;
}

#[tokio::test]
async fn a_call_within_a_call_is_an_error() {
    told(async {
        let story = Story::begin().await;
        let within = story.driver.call(|_, _, _| Ok(story.driver.call(|_, _, _| Ok(()))));
        assert_eq!(within, Ok(Err(KernelError::Reentrant)));
    })
    .await;
}

#[tokio::test]
async fn what_waits_is_rejected_when_the_remotes_are_stopped() {
    told(async {
        let story = Story::begin().await;
        let url = format!("ocap:zabc@{}", story.bob);
        let driver = Rc::clone(&story.driver);
        let redeemed = tokio::task::spawn_local(async move {
            driver.redeem(|remotes, host, random, now| remotes.redeem_ocap_url(host, &url, random, now)).await
        });
        story.settle().await;
        story.driver.stop();
        assert_eq!(redeemed.await.unwrap(), Err(RemoteError::NetworkStopped.into()));
        assert_eq!(story.driver.call(|_, _, _| Ok(())), Err(RemoteError::NetworkStopped.into()));
    })
    .await;
}
