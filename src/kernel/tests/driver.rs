//! A driver on a network that takes everything and says nothing.

use std::{cell::RefCell, rc::Rc};

use futures::FutureExt as _;

use super::{quiet_network::QuietNetwork, *};
use crate::{
    bridge::KernelServices as _,
    runtime::{NativeRuntime, Runtime},
    storage::{KeyValueStore, StorageError, open_file},
};

/// A driver of a kernel on that storage, and what its program is told.
fn start(storage: impl KeyValueStore + 'static) -> (Rc<KernelDriver>, Rc<RefCell<Vec<KernelEvent>>>) {
    let runtime: Rc<dyn Runtime> = Rc::new(NativeRuntime::new());
    let store = KernelStore::open(Box::new(storage)).unwrap();
    let mut random = |bytes: &mut [u8]| runtime.fill_random(bytes);
    let options = RemoteCommsOptions::default();
    let kernel = Kernel::open(store, &options, Some(seed_of(1)), &mut random, runtime.now()).unwrap();
    let events = Rc::new(RefCell::new(Vec::new()));
    let seen = Rc::clone(&events);
    let on_event = Box::new(move |event| seen.borrow_mut().push(event));
    (KernelDriver::start(kernel, Rc::<QuietNetwork>::default(), runtime, on_event), events)
}

/// Sends the program a message of its own.
fn send(driver: &KernelDriver, body: &str) {
    let sent = driver.call(|kernel, _| {
        let object = kernel.export_object()?;
        kernel.send(object, data(body))
    });
    sent.unwrap();
}

async fn run(story: impl Future<Output = ()>) {
    tokio::time::pause();
    tokio::task::LocalSet::new().run_until(story).await;
}

async fn a_moment() {
    tokio::time::sleep(Duration::from_millis(50)).await;
}

#[tokio::test]
async fn while_events_are_held_nothing_is_told_and_nothing_of_it_committed() {
    run(async {
        let (driver, events) = start(MemoryStore::new());
        driver.hold_events();
        driver.start_network(RemoteCommsOptions::default()).await.unwrap();
        send(&driver, "#1");
        let durable = driver.durable();
        futures::pin_mut!(durable);
        a_moment().await;
        assert!(events.borrow().is_empty());
        assert!(durable.as_mut().now_or_never().is_none(), "it would be lost in a crash");
        driver.release_events();
        durable.await.unwrap();
        assert!(matches!(&events.borrow()[..], [KernelEvent::Message { .. }]));
    })
    .await;
}

#[tokio::test]
async fn a_running_kernel_is_exported_as_of_a_commit() {
    run(async {
        let (driver, events) = start(MemoryStore::new());
        send(&driver, "#1");
        let backup = driver.export().await.unwrap();
        assert_eq!(events.borrow().len(), 1, "what it was to be told is told before the commit");
        let mut copy = KernelStore::open(Box::new(MemoryStore::new())).unwrap();
        copy.import(&backup, [1; 8]).unwrap();
        copy.audit().unwrap();
        driver.stop().await.unwrap();
        assert!(matches!(driver.export().await, Err(KernelError::Remote(RemoteError::NetworkStopped))));
    })
    .await;
}

#[tokio::test]
async fn a_stopped_kernel_lets_go_of_its_store() {
    let path = std::env::temp_dir().join(format!("ocap-remotes-{}-driver", std::process::id()));
    let at = path.clone();
    run(async move {
        let (driver, _) = start(open_file(&at).unwrap());
        send(&driver, "#1");
        assert_eq!(open_file(&at).unwrap_err(), StorageError::InUse);
        driver.stop().await.unwrap();
        KernelStore::open(Box::new(open_file(&at).unwrap())).unwrap().audit().unwrap();
    })
    .await;
    std::fs::remove_file(path).unwrap();
}

/// Lets bob redeem a URL, and give an object of his in a message; gives what it is called here.
async fn object_of_bob(driver: &KernelDriver, events: &RefCell<Vec<KernelEvent>>, bob: &PeerId) -> Kref {
    driver.start_network(RemoteCommsOptions::default()).await.unwrap();
    let life = "life".parse().unwrap();
    driver.call(|kernel, now| kernel.handle_incarnation_change(bob, &life, now)).unwrap();
    let object = driver.call(|kernel, _| kernel.export_object()).unwrap();
    let url = driver.issue_ocap_url(object).await.unwrap();
    tell(driver, bob, &format!(r#"{{"seq":1,"method":"redeemURL","params":["{url}","key"]}}"#));
    a_moment().await;
    let gift = r##"{"methargs":{"body":"#0","slots":["ro+1"]},"result":null}"##;
    tell(driver, bob, &format!(r#"{{"seq":2,"ack":1,"method":"deliver","params":["message","ro-1",{gift}]}}"#));
    a_moment().await;
    let events = events.borrow();
    let Some(KernelEvent::Message { methargs, .. }) = events.last() else { panic!("{events:?}") };
    methargs.slots[0]
}

fn tell(driver: &KernelDriver, bob: &PeerId, message: &str) {
    driver.call(|kernel, now| kernel.handle_remote_message(bob, message, now)).unwrap();
}

#[tokio::test]
async fn who_waits_for_room_goes_on_when_there_is_some_and_in_turn() {
    run(async {
        let bob = PeerId::from_ed25519_seed([2; 32]).unwrap();
        let (driver, events) = start(MemoryStore::new());
        let target = object_of_bob(&driver, &events, &bob).await;
        driver.ready(target).await.unwrap();
        while driver.call(|kernel, _| kernel.send(target, data("#0"))).is_ok() {}
        let (first, second, gone) = (driver.ready(target), driver.ready(target), driver.ready(target));
        futures::pin_mut!(first, second);
        let mut gone = Box::pin(gone);
        assert!(gone.as_mut().now_or_never().is_none());
        drop(gone);
        a_moment().await;
        assert!(first.as_mut().now_or_never().is_none() && second.as_mut().now_or_never().is_none());
        tell(&driver, &bob, r#"{"ack":2}"#);
        a_moment().await;
        first.await.unwrap();
        assert!(second.as_mut().now_or_never().is_none(), "there is room for one");
        driver.call(|kernel, _| kernel.send(target, data("#0"))).unwrap();
        driver.call(|kernel, _| kernel.handle_remote_give_up(&bob)).unwrap();
        a_moment().await;
        second.await.unwrap();

        let unknown = driver.ready(Kref::object(99)).await;
        assert!(matches!(unknown, Err(KernelError::NotHeld(_))), "{unknown:?}");
        while driver.call(|kernel, _| kernel.send(target, data("#0"))).is_ok() {}
        let third = driver.ready(target);
        futures::pin_mut!(third);
        assert!(third.as_mut().now_or_never().is_none());
        driver.stop().await.unwrap();
        assert!(matches!(third.await, Err(KernelError::Remote(RemoteError::NetworkStopped))));
    })
    .await;
}

#[tokio::test]
async fn a_verdict_is_answered_when_it_is_durable_though_events_are_held() {
    run(async {
        let (driver, events) = start(MemoryStore::new());
        driver.start_network(RemoteCommsOptions::default()).await.unwrap();
        let bob = PeerId::from_ed25519_seed([2; 32]).unwrap();
        driver.call(|kernel, now| kernel.register_location_hints(&bob, Vec::new(), now)).unwrap();
        assert_eq!(driver.remote_incarnation_change(bob.clone(), "first".parse().unwrap()).await, Ok(false));
        driver.hold_events();
        let verdict = driver.remote_incarnation_change(bob.clone(), "second".parse().unwrap());
        futures::pin_mut!(verdict);
        a_moment().await;
        assert!(verdict.as_mut().now_or_never().is_none(), "a crash would undo it");
        driver.release_events();
        assert_eq!(verdict.await, Ok(true));
        assert!(!driver.inspect(Kernel::awaits_commit));
        assert!(matches!(&events.borrow()[..], [KernelEvent::Remote(RemoteEvent::PeerRestarted { .. })]));
        driver.hold_events();
        let verdict = driver.remote_incarnation_change(bob, "third".parse().unwrap());
        driver.stop().await.unwrap();
        assert_eq!(verdict.await, Err(RemoteError::NetworkStopped));
    })
    .await;
}

/// What the storage of a kernel has of its last commit.
fn committed(rows: &Rc<RefCell<MemoryStore>>) -> MemoryStore {
    let mut copy = rows.borrow().clone();
    while copy.rollback_savepoint("group").is_ok() {}
    copy
}

#[tokio::test]
async fn whatever_the_program_does_is_durable_when_it_is_said_to_be() {
    run(async {
        let rows = Rc::new(RefCell::new(MemoryStore::new()));
        let (driver, _) = start(Rc::clone(&rows));
        let bob = PeerId::from_ed25519_seed([2; 32]).unwrap();
        let promise = driver.call(|kernel, _| kernel.create_promise()).unwrap();
        driver.durable().await.unwrap();

        driver.call(|kernel, _| kernel.resolve(promise, false, data("#1"))).unwrap();
        driver.durable().await.unwrap();
        assert_eq!(committed(&rows).get(&format!("{promise}.state")).unwrap(), None, "nobody waits for it");

        driver.call(|kernel, now| kernel.register_location_hints(&bob, vec!["/dns4/b".into()], now)).unwrap();
        driver.durable().await.unwrap();
        assert!(committed(&rows).get("remote.r1").unwrap().unwrap().contains("/dns4/b"));

        // A commit follows by itself, too.
        driver.call(|kernel, now| kernel.register_location_hints(&bob, vec!["/dns4/c".into()], now)).unwrap();
        a_moment().await;
        assert!(committed(&rows).get("remote.r1").unwrap().unwrap().contains("/dns4/c"));
    })
    .await;
}
