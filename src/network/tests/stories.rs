use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    future::Future,
    rc::{Rc, Weak},
    time::Duration,
};

use futures::{AsyncReadExt as _, AsyncWriteExt as _, FutureExt as _, StreamExt as _};
use tokio::{task::LocalSet, time::sleep};

use super::memory::{Hub, Stream};
use crate::{
    bridge::{KernelServices, PlatformServices, Reply},
    network::NetworkService,
    runtime::{NativeRuntime, Runtime, Timestamp},
    wire::{FrameDecoder, Handshake, IncarnationId, PeerId, RemoteCommsOptions, RemoteError, encode_frame},
};

/// A runtime that counts what it has running.
struct CountingRuntime {
    inner: NativeRuntime,
    running: Rc<Cell<usize>>,
}

struct Running(Rc<Cell<usize>>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

impl Runtime for CountingRuntime {
    fn now(&self) -> Timestamp {
        self.inner.now()
    }

    fn sleep(&self, delay: Duration) -> futures::future::LocalBoxFuture<'static, ()> {
        self.inner.sleep(delay)
    }

    fn fill_random(&self, bytes: &mut [u8]) {
        self.inner.fill_random(bytes);
    }

    fn yield_turn(&self) -> futures::future::LocalBoxFuture<'static, ()> {
        self.inner.yield_turn()
    }

    fn spawn(&self, task: futures::future::LocalBoxFuture<'static, ()>) {
        self.running.set(self.running.get() + 1);
        let running = Running(Rc::clone(&self.running));
        self.inner.spawn(
            async move {
                task.await;
                drop(running);
            }
            .boxed_local(),
        );
    }
}

type Service = NetworkService<Hub>;

/// A kernel that remembers incarnations, keeps what it is given, and can be told to be broken or to answer in the call.
#[derive(Default)]
struct Kernel {
    known: RefCell<HashMap<PeerId, IncarnationId>>,
    delivered: RefCell<Vec<String>>,
    refuses: Cell<Option<&'static str>>,
    echoes_to: RefCell<Weak<Service>>,
    in_call: Cell<bool>,
}

impl KernelServices for Kernel {
    fn remote_deliver(&self, from: PeerId, message: String) -> Reply<Option<String>> {
        assert!(!self.in_call.replace(true), "a kernel is not called while it is in a call");
        if let Some(name) = self.refuses.get() {
            self.in_call.set(false);
            let error = RemoteError::Other { name: name.into(), message: "no".into() };
            return futures::future::ready(Err(error)).boxed_local();
        }
        if let Some(service) = self.echoes_to.borrow().upgrade() {
            drop(service.send_remote_message(from, format!("echo {message}")));
        }
        self.delivered.borrow_mut().push(message);
        self.in_call.set(false);
        futures::future::ready(Ok(None)).boxed_local()
    }

    fn remote_give_up(&self, _: PeerId) -> Reply<()> {
        futures::future::ready(Ok(())).boxed_local()
    }

    fn remote_incarnation_change(&self, peer: PeerId, observed: IncarnationId) -> Reply<bool> {
        let former = self.known.borrow_mut().insert(peer, observed.clone());
        let restarted = former.is_some_and(|former| former != observed);
        async move {
            // As over a bridge, the answer takes a moment.
            sleep(Duration::from_millis(3)).await;
            Ok(restarted)
        }
        .boxed_local()
    }
}

struct Party {
    id: PeerId,
    seed: String,
    kernel: Rc<Kernel>,
    service: Rc<Service>,
    running: Rc<Cell<usize>>,
}

impl Party {
    fn new(hub: &Hub, seed: u8) -> Self {
        let kernel = Rc::new(Kernel::default());
        let running = Rc::new(Cell::new(0));
        let runtime = CountingRuntime { inner: NativeRuntime::new(), running: Rc::clone(&running) };
        let service = Rc::new(NetworkService::new(Rc::new(runtime), kernel.clone(), hub.clone()));
        let id = PeerId::from_ed25519_seed([seed; 32]).unwrap();
        Party { id, seed: format!("{seed:02x}").repeat(32), kernel, service, running }
    }

    async fn started(hub: &Hub, seed: u8) -> Self {
        let party = Self::new(hub, seed);
        party.initialize("life-1").await.unwrap();
        party
    }

    fn initialize(&self, incarnation: &str) -> Reply<()> {
        let options = RemoteCommsOptions { max_messages_per_second: 10_000, ..RemoteCommsOptions::default() };
        self.service.initialize_remote_comms(self.seed.clone(), options, incarnation.parse().unwrap())
    }

    fn send(&self, to: &Party, text: &str) -> Reply<()> {
        self.service.send_remote_message(to.id.clone(), text.into())
    }

    fn delivered(&self) -> Vec<String> {
        self.kernel.delivered.borrow().clone()
    }
}

/// Runs a story on one thread, with a clock that jumps to the next timer.
fn story(work: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    LocalSet::new().block_on(&runtime, work);
}

fn name(result: Result<(), RemoteError>) -> String {
    result.unwrap_err().name().to_owned()
}

async fn write(stream: &mut Stream, text: &str) {
    stream.write_all(&encode_frame(text)).await.unwrap();
}

/// The next frame, or `None` at the end of the stream.
async fn read(stream: &mut Stream) -> Option<String> {
    let mut decoder = FrameDecoder::new(1 << 20);
    let mut byte = [0];
    loop {
        if let Some(text) = decoder.next_message().unwrap() {
            return Some(text);
        }
        match stream.read(&mut byte).await {
            Ok(1) => decoder.push(&byte),
            _ => return None,
        }
    }
}

fn hello() -> String {
    Handshake::Hello("m1".parse().unwrap()).encode()
}

#[test]
fn two_services_exchange_a_thousand_messages_each_way_in_order() {
    story(async {
        let hub = Hub::default();
        let (alice, bob) = (Party::started(&hub, 1).await, Party::started(&hub, 2).await);
        let texts: Vec<String> = (0..1_000).map(|number| format!("message {number}")).collect();
        for chunk in texts.chunks(100) {
            let sends = chunk.iter().flat_map(|text| [alice.send(&bob, text), bob.send(&alice, text)]);
            for sent in futures::future::join_all(sends).await {
                assert_eq!(sent, Ok(()));
            }
        }
        sleep(Duration::from_secs(1)).await;
        assert_eq!(bob.delivered(), texts);
        assert_eq!(alice.delivered(), texts);
    });
}

#[test]
fn a_message_of_one_mebibyte_passes_and_a_longer_one_is_refused() {
    story(async {
        let hub = Hub::default();
        let (alice, bob) = (Party::started(&hub, 1).await, Party::started(&hub, 2).await);
        let longest = "x".repeat(1 << 20);
        assert_eq!(alice.send(&bob, &longest).await, Ok(()));
        assert_eq!(name(alice.send(&bob, &format!("{longest}x")).await), "ResourceLimitError");
        sleep(Duration::from_secs(1)).await;
        assert_eq!(bob.delivered(), [longest]);
    });
}

#[test]
fn calls_before_the_start_and_a_second_start_are_errors_by_their_known_names() {
    story(async {
        let hub = Hub::default();
        let (alice, bob) = (Party::new(&hub, 1), Party::started(&hub, 2).await);
        let message = |result: Result<(), RemoteError>| result.unwrap_err().to_string();
        assert_eq!(message(alice.send(&bob, "1").await), "remote comms not initialized");
        let reconnect = alice.service.reconnect_peer(bob.id.clone(), vec![]);
        assert_eq!(message(reconnect.await), "remote comms not initialized");
        assert_eq!(alice.service.stop_remote_comms().await, Ok(()), "there is nothing to stop");
        alice.initialize("life-1").await.unwrap();
        assert_eq!(message(alice.initialize("life-1").await), "remote comms already initialized");
        for seed in ["", "zz", &"g".repeat(64), &"+1".repeat(32)] {
            let party = Party { seed: seed.to_owned(), ..Party::new(&hub, 3) };
            assert_eq!(message(party.initialize("x").await), "the key seed is not 32 bytes in hex");
        }
    });
}

#[test]
fn after_a_stop_nothing_runs_and_a_new_start_is_possible() {
    story(async {
        let hub = Hub::default();
        let (alice, bob) = (Party::started(&hub, 1).await, Party::started(&hub, 2).await);
        alice.send(&bob, "1").await.unwrap();
        // One dial that fails, so that a reconnection is pending too.
        let nobody = PeerId::from_ed25519_seed([9; 32]).unwrap();
        let lost = alice.service.send_remote_message(nobody, "x".into()).await;
        assert_eq!(name(lost), "ConnectionLostError");
        let unwritten = alice.send(&bob, "2");
        assert_eq!(alice.service.stop_remote_comms().await, Ok(()));
        assert_eq!(name(unwritten.await), "NetworkStoppedError");
        tokio::task::yield_now().await;
        assert_eq!(alice.running.get(), 0, "no task and no timer is left");
        assert_eq!(name(alice.send(&bob, "3").await), "NetworkStoppedError");
        assert_eq!(alice.service.stop_remote_comms().await, Ok(()));
        alice.initialize("life-1").await.unwrap();
        assert_eq!(alice.send(&bob, "4").await, Ok(()));
        bob.service.stop_remote_comms().await.unwrap();
        tokio::task::yield_now().await;
        assert_eq!(bob.running.get(), 0);
    });
}

#[test]
fn a_restart_is_told_to_the_other_kernel_and_fresh_messages_pass() {
    story(async {
        let hub = Hub::default();
        let (alice, bob) = (Party::started(&hub, 1).await, Party::started(&hub, 2).await);
        alice.send(&bob, "to the first life").await.unwrap();
        bob.service.stop_remote_comms().await.unwrap();
        let bob = Party::new(&hub, 2);
        bob.initialize("life-2").await.unwrap();
        // The stale message is not written: either the channel is found dead, or the peer another.
        let stale = alice.send(&bob, "stale").await;
        assert!(stale.is_err(), "{stale:?}");
        sleep(Duration::from_secs(5)).await;
        assert_eq!(alice.send(&bob, "fresh").await, Ok(()));
        assert_eq!(bob.send(&alice, "fresh").await, Ok(()));
        sleep(Duration::from_secs(1)).await;
        assert_eq!(bob.delivered(), ["fresh"]);
        assert_eq!(alice.delivered(), ["fresh"]);
        assert_eq!(alice.kernel.known.borrow()[&bob.id].as_str(), "life-2");
    });
}

#[test]
fn a_kernel_that_sends_from_within_a_delivery_is_not_called_again_before_it_returns() {
    story(async {
        let hub = Hub::default();
        let (alice, bob) = (Party::started(&hub, 1).await, Party::started(&hub, 2).await);
        *bob.kernel.echoes_to.borrow_mut() = Rc::downgrade(&bob.service);
        for number in 0..50 {
            alice.send(&bob, &number.to_string()).await.unwrap();
        }
        sleep(Duration::from_secs(1)).await;
        let echoes: Vec<String> = (0..50).map(|number| format!("echo {number}")).collect();
        assert_eq!(alice.delivered(), echoes);
    });
}

#[test]
fn a_refused_message_leaves_the_channel_and_a_dead_bridge_ends_it() {
    story(async {
        let hub = Hub::default();
        let alice = Party::started(&hub, 1).await;
        let mallory = PeerId::from_ed25519_seed([7; 32]).unwrap();
        let _door = hub.join(&mallory);
        let mut stream = hub.open(&mallory, &alice.id).await.unwrap();
        write(&mut stream, &hello()).await;
        assert!(Handshake::parse_ack(&read(&mut stream).await.unwrap()).is_ok());
        alice.kernel.refuses.set(Some("TypeError"));
        write(&mut stream, "refused").await;
        sleep(Duration::from_millis(10)).await;
        alice.kernel.refuses.set(None);
        write(&mut stream, "taken").await;
        sleep(Duration::from_millis(10)).await;
        assert_eq!(alice.delivered(), ["taken"]);
        alice.kernel.refuses.set(Some("BridgeClosedError"));
        write(&mut stream, "lost").await;
        assert_eq!(read(&mut stream).await, None);
    });
}

#[test]
fn bad_input_costs_a_peer_its_own_channel_and_nobody_elses() {
    story(async {
        let hub = Hub::default();
        let (alice, bob) = (Party::started(&hub, 1).await, Party::started(&hub, 2).await);
        alice.send(&bob, "before").await.unwrap();
        let mallory = PeerId::from_ed25519_seed([7; 32]).unwrap();
        let _door = hub.join(&mallory);
        let two_mebibytes = encode_frame(&"x".repeat(2 << 20));
        let wrong_method = Handshake::Ack("m1".parse().unwrap()).encode();
        let first_bytes = [
            two_mebibytes.clone(),
            vec![0xff; 32],
            encode_frame("{garbage"),
            encode_frame(&wrong_method),
            encode_frame(r#"{"seq":1,"method":"deliver","params":["bringOutYourDead"]}"#),
        ];
        for bytes in first_bytes {
            let mut stream = hub.open(&mallory, &alice.id).await.unwrap();
            // The other end may be gone before all is written.
            stream.write_all(&bytes).await.ok();
            assert_eq!(read(&mut stream).await, None, "it is closed unanswered");
        }
        // A silent peer is dropped after the handshake's time.
        let mut silent = hub.open(&mallory, &alice.id).await.unwrap();
        let opened = tokio::time::Instant::now();
        assert_eq!(read(&mut silent).await, None);
        assert_eq!(opened.elapsed().as_secs(), 10);
        // The same frame on a channel that was good until then.
        let mut stream = hub.open(&mallory, &alice.id).await.unwrap();
        write(&mut stream, &hello()).await;
        read(&mut stream).await.unwrap();
        write(&mut stream, "good").await;
        stream.write_all(&two_mebibytes).await.ok();
        assert_eq!(read(&mut stream).await, None);

        alice.send(&bob, "after").await.unwrap();
        bob.send(&alice, "after").await.unwrap();
        sleep(Duration::from_millis(50)).await;
        assert_eq!(bob.delivered(), ["before", "after"]);
        assert_eq!(alice.delivered(), ["good", "after"]);
    });
}

#[test]
fn frames_that_come_together_with_the_acknowledgement_are_delivered_after_it() {
    story(async {
        let hub = Hub::default();
        let alice = Party::started(&hub, 1).await;
        let mallory = PeerId::from_ed25519_seed([7; 32]).unwrap();
        let mut door = hub.join(&mallory);
        let sent = alice.service.send_remote_message(mallory.clone(), "1".into());
        let (_, mut stream) = door.next().await.unwrap();
        assert!(Handshake::parse_hello(&read(&mut stream).await.unwrap()).is_ok());
        let mut bytes = encode_frame(&Handshake::Ack("m1".parse().unwrap()).encode());
        for text in ["a", "b", "c"] {
            bytes.extend(encode_frame(text));
        }
        stream.write_all(&bytes).await.unwrap();
        assert_eq!(read(&mut stream).await.unwrap(), "1");
        assert_eq!(sent.await, Ok(()));
        sleep(Duration::from_millis(10)).await;
        assert_eq!(alice.delivered(), ["a", "b", "c"]);
    });
}

#[test]
fn a_slow_reader_holds_its_sender_back() {
    story(async {
        let hub = Hub::default();
        let alice = Party::started(&hub, 1).await;
        let mallory = PeerId::from_ed25519_seed([7; 32]).unwrap();
        let _door = hub.join(&mallory);
        let mut stream = hub.open(&mallory, &alice.id).await.unwrap();
        write(&mut stream, &hello()).await;
        read(&mut stream).await.unwrap();
        // The peer reads nothing: what is written fills the stream, then the write times out and the channel ends.
        let long = "x".repeat(60 << 10);
        let first = alice.service.send_remote_message(mallory.clone(), long.clone());
        let second = alice.service.send_remote_message(mallory.clone(), long);
        assert_eq!(first.await, Ok(()));
        assert_eq!(name(second.await), "ConnectionLostError");
    });
}
