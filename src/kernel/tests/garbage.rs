//! Garbage of any amount is told, in messages that fit; and what is wrong with one peer keeps nothing from another.

use std::{cell::RefCell, rc::Rc};

use super::*;
use crate::storage::KeyValueStore as _;

/// Kernels whose longest message has that many bytes.
fn with_limit(bytes: usize) -> World {
    let mut world = World::new();
    for host in [&mut world.alice, &mut world.bob] {
        host.options.max_message_size_bytes = bytes;
        host.kernel = None;
        host.open(KernelStore::open(Box::new(MemoryStore::new())).unwrap(), world.now);
    }
    world.connect();
    world
}

/// A peer of ours that is not played by a kernel: it says what it likes, and reads what bob writes to it.
struct Mallory {
    peer: PeerId,
    said: u64,
}

impl Mallory {
    fn new(world: &mut World) -> Self {
        let peer = PeerId::from_ed25519_seed([66; 32]).unwrap();
        let incarnation = IncarnationId::from_random([66; 16]);
        world.bob.kernel().handle_incarnation_change(&peer, &incarnation, world.now).unwrap();
        Mallory { peer, said: 0 }
    }

    fn text(seq: u64, slots: std::ops::Range<u64>) -> String {
        let slots = slots.map(|index| format!("\"ro+{index}\"")).collect::<Vec<_>>().join(",");
        let methargs = format!(r#"{{"methargs":{{"body":"","slots":[{slots}]}},"result":null}}"#);
        format!(r#"{{"seq":{seq},"start":1,"method":"deliver","params":["message","ro+1",{methargs}]}}"#)
    }

    fn says(&mut self, world: &mut World, text: &str) {
        self.said += 1;
        world.bob.kernel().handle_remote_message(&self.peer, text, world.now).unwrap();
    }

    /// Everything that bob writes to her, acknowledged.
    fn reads(&mut self, world: &mut World) -> Vec<String> {
        let mut read = Vec::new();
        loop {
            let now = world.now;
            while let Some(event) = world.bob.kernel().poll_event() {
                world.bob.events.push(event);
            }
            world.bob.kernel().commit(now).unwrap();
            let Some(effect) = world.bob.kernel().poll_effect(now) else { return read };
            if let KernelEffect::OpenUrl { ticket, url } = effect {
                world.bob.kernel().open_url(ticket, &url).unwrap();
            } else if let KernelEffect::Write(RemoteWrite { remote, token, to, message }) = effect {
                world.bob.kernel().write_finished(remote, token, &Ok(()), now).unwrap();
                if to == self.peer {
                    let seq = crate::wire::Message::parse(&message).unwrap().command.map_or(0, |(seq, _)| seq.get());
                    read.push(message);
                    if seq > 0 {
                        world.bob.kernel().handle_remote_message(&to, &format!(r#"{{"ack":{seq}}}"#), now).unwrap();
                    }
                }
            }
        }
    }
}

/// Every row that speaks of an object.
fn objects(host: &Host) -> Vec<String> {
    let of_objects = |row: &String| {
        row.starts_with("ko") || row.contains(".c.ko") || row.contains(".c.ro") || row.starts_with("given.")
    };
    host.rows().into_iter().filter(of_objects).collect()
}

fn named(text: &str) -> usize {
    text.matches("\"ro").count()
}

/// One frame overtakes another, so that the references of both are garbage at once. They kept bob from collecting anything
/// of anybody's, and every call of his from being quick, for ever.
#[test]
fn a_peer_that_names_more_than_fits_into_a_message_hears_of_all_of_it() {
    let mut world = with_limit(64 << 10);
    let of_bob = world.bob.kernel().export_object().unwrap();
    let for_alice = world.redeem(of_bob);
    let before = objects(&world.bob);
    let mut mallory = Mallory::new(&mut world);
    let (first, second) = (Mallory::text(1, 10_000..15_000), Mallory::text(2, 15_000..20_000));
    assert!(first.len() < 64 << 10 && second.len() < 64 << 10);
    mallory.says(&mut world, &second);
    mallory.says(&mut world, &first);
    assert_eq!(world.bob.kernel().unsettled, None);
    let told = mallory.reads(&mut world);
    assert!(told.iter().all(|text| text.len() <= 64 << 10));
    for kind in ["dropExports", "retireExports"] {
        let names = told.iter().filter(|text| text.contains(kind)).map(|text| named(text)).sum::<usize>();
        assert_eq!(names, 10_000 + 1, "{kind}");
    }
    let now = world.now;
    world.bob.kernel().handle_timeout(now).unwrap();
    world.send(for_alice, "#1");
    world.run();
    assert_eq!(world.bob.messages().len(), 1);
    world.audit();
    assert_eq!(objects(&world.bob), before, "nothing of it is left");
}

#[test]
fn a_hundred_thousand_references_are_released_at_once() {
    let (mut world, _, _) = World::introduced();
    let before = objects(&world.bob);
    let alice = world.alice.peer();
    let mut held = Vec::new();
    for seq in 2..=11 {
        let first = seq * 10_000;
        let text = Mallory::text(seq, first..first + 10_000).replace("\"ro+1\"", "\"ro-1\"");
        world.bob.kernel().handle_remote_message(&alice, &text, world.now).unwrap();
        while let Some(event) = world.bob.kernel().poll_event() {
            if let KernelEvent::Message { methargs, .. } = event {
                held.extend(methargs.slots);
            }
        }
    }
    assert_eq!(held.len(), 100_000);
    world.bob.kernel().release(&held).unwrap();
    assert_eq!(world.bob.kernel().unsettled, None);
    World::collect(&mut world.bob, world.now, true);
    let told = std::mem::take(&mut world.bob.outbound);
    assert!(told.iter().all(|text| text.len() <= 1 << 20));
    assert_eq!(told.iter().map(|text| named(text)).sum::<usize>(), 2 * 100_000);
    assert_eq!(objects(&world.bob), before);
}

#[test]
fn what_is_released_at_once_is_told_whatever_fits_into_a_message() {
    let mut world = with_limit(1 << 10);
    let of_bob = world.bob.kernel().export_object().unwrap();
    let for_alice = world.redeem(of_bob);
    world.wait(Duration::from_secs(1));
    let before = [&world.alice, &world.bob].map(objects);
    let mut held = Vec::new();
    for _ in 0..20 {
        let objects: Vec<Kref> = (0..15).map(|_| world.alice.kernel().export_object().unwrap()).collect();
        let promise = world.alice.kernel().send(for_alice, with_slots("#0", &objects)).unwrap();
        world.alice.kernel().release(&objects).unwrap();
        world.run();
        for event in world.bob.take_events() {
            if let KernelEvent::Message { methargs, result, .. } = event {
                held.extend(methargs.slots);
                world.bob.kernel().resolve(result.unwrap(), false, data("#0")).unwrap();
            }
        }
        world.run();
        assert!(
            world
                .alice
                .take_events()
                .iter()
                .any(|event| matches!(event, KernelEvent::Notify { promise: told, .. } if *told == promise))
        );
    }
    assert_eq!(held.len(), 300);
    world.bob.kernel().release(&held).unwrap();
    assert_eq!(world.bob.kernel().unsettled, None);
    world.run();
    world.wait(Duration::from_secs(1));
    let retired: usize = world
        .alice
        .take_events()
        .iter()
        .map(|event| match event {
            KernelEvent::Retired(objects) => objects.len(),
            _ => 0,
        })
        .sum();
    assert_eq!(retired, 300, "alice hears of each that she released");
    assert_eq!([&world.alice, &world.bob].map(objects), before);
    world.audit();
}

/// Bob on rows that others can reach, as a fault of the medium would.
fn on_shared_rows() -> (World, Rc<RefCell<MemoryStore>>, Kref) {
    let rows = Rc::new(RefCell::new(MemoryStore::new()));
    let mut world = World::new();
    world.bob.kernel = None;
    world.bob.open(KernelStore::open(Box::new(Rc::clone(&rows))).unwrap(), world.now);
    world.connect();
    let of_bob = world.bob.kernel().export_object().unwrap();
    let for_alice = world.redeem(of_bob);
    (world, rows, for_alice)
}

#[test]
fn a_record_of_one_peer_that_cannot_be_read_keeps_no_garbage_of_others() {
    let (mut world, rows, for_alice) = on_shared_rows();
    let mut mallory = Mallory::new(&mut world);
    // Bob's program holds what alice and mallory gave; a record of hers goes bad.
    let object = world.alice.kernel().export_object().unwrap();
    world.alice.kernel().send(for_alice, with_slots("#0", &[object])).unwrap();
    world.run();
    let held = world.bob.take_events().into_iter().find_map(|event| match event {
        KernelEvent::Message { methargs, .. } => methargs.slots.first().copied(),
        _ => None,
    });
    let url = {
        let (mine, nonce) = (world.bob.kernel().export_object().unwrap(), world.bob.fresh_bytes());
        world.bob.kernel().issue_ocap_url(mine, nonce).unwrap()
    };
    mallory.says(&mut world, &format!(r#"{{"seq":1,"method":"redeemURL","params":["{url}","key"]}}"#));
    mallory.reads(&mut world);
    let gift = r#"{"methargs":{"body":"","slots":["ro+7"]},"result":null}"#;
    let remote = world.bob.kernel().remotes().remotes().last().unwrap().id();
    let clist = world.bob.kernel().store().clist(remote).unwrap();
    let target = clist.first().unwrap().1;
    mallory.says(&mut world, &format!(r#"{{"seq":2,"method":"deliver","params":["message","{target}",{gift}]}}"#));
    mallory.reads(&mut world);
    let hers = world.bob.take_events().into_iter().find_map(|event| match event {
        KernelEvent::Message { methargs, .. } => methargs.slots.first().copied(),
        _ => None,
    });
    rows.borrow_mut().set(&format!("{remote}.c.{}", hers.unwrap()), "nonsense").unwrap();
    world.bob.kernel().release(&[hers.unwrap(), held.unwrap()]).unwrap();
    assert_eq!(world.bob.kernel().unsettled, None);
    world.alice.kernel().release(&[object]).unwrap();
    world.run();
    let events = world.alice.take_events();
    assert!(events.contains(&KernelEvent::Retired(vec![object])), "{events:?}");
    world.alice.audit();
}

#[test]
fn a_remote_that_is_not_there_keeps_nobody_from_being_told() {
    let (mut world, rows, for_alice) = on_shared_rows();
    // As a kernel of another kind may have left it.
    rows.borrow_mut().set("reapQueue", r#"["r9","r1"]"#).unwrap();
    world.send(for_alice, "#1");
    world.run();
    assert_eq!(world.bob.kernel().unsettled, None);
    assert_eq!(world.bob.messages().len(), 1);
    world.audit();
}

/// What a kernel of another make hands over is told in as many messages as it takes.
#[test]
fn what_a_guest_is_told_of_garbage_and_outcomes_is_split() {
    use crate::wire::{Delivery, Eref, Resolution};
    let mut world = with_limit(1 << 10);
    let mut store = KernelStore::open(Box::new(MemoryStore::new())).unwrap();
    let identity = KernelIdentity::provide(&mut store, None, [1; 32]).unwrap();
    let issuer = UrlIssuer::provide(&mut store, identity.peer_id().clone(), [2; 32]).unwrap();
    let config = RemoteManagerConfig::from(&world.bob.options);
    let mut remotes = RemoteManager::new(&mut store, config, issuer, world.now).unwrap();
    let bob = world.bob.peer();
    let remote = remotes.remote_for(&mut store, &bob, Vec::new(), world.now).unwrap();
    remotes.handle_incarnation_change(&mut store, &bob, &world.bob.incarnation(), world.now).unwrap();
    let erefs =
        |kind: &str| -> Vec<Eref> { (1..=100).map(|index| format!("{kind}{index}").parse().unwrap()).collect() };
    remotes.deliver(&mut store, remote, Delivery::DropExports(erefs("ro-"))).unwrap();
    let resolution = |promise: Eref| {
        let body = if promise.index == 50 { "x".repeat(2_000) } else { "#\"value\"".to_owned() };
        Resolution { promise, rejected: false, value: CapData { body, slots: Vec::new() } }
    };
    let outcomes = erefs("rp+").into_iter().map(resolution).collect();
    remotes.deliver(&mut store, remote, Delivery::Notify(outcomes)).unwrap();
    remotes.commit(world.now);
    let mut written = Vec::new();
    while let Some(RemoteWrite { remote, token, message, .. }) = remotes.poll_write(world.now) {
        remotes.write_finished(&mut store, remote, token, &Ok(()), world.now).unwrap();
        written.push(message);
    }
    assert!(written.iter().all(|text| text.len() <= 1 << 10), "{written:?}");
    let all = written.join("\n");
    for index in 1..=100 {
        assert_eq!(all.matches(&format!("\"ro-{index}\"")).count(), 1, "{index}");
        assert_eq!(all.matches(&format!("[\"rp+{index}\"")).count(), 1, "{index}");
    }
    assert_eq!(all.matches("[KERNEL:DELIVERY_FAILED]").count(), 1, "the one that is too long");
    world.now = world.now.after(Duration::from_secs(1));
}
