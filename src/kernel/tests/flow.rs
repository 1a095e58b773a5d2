//! Peers that ask more than they read, and honest ones that ask much.

use super::*;

fn mallory() -> PeerId {
    PeerId::from_ed25519_seed([9; 32]).unwrap()
}

fn deliver(seq: u64, target: &str, result: &str) -> String {
    let params = format!(r#"["message","{target}",{{"methargs":{{"body":"","slots":[]}},"result":{result}}}]"#);
    format!(r#"{{"seq":{seq},"method":"deliver","params":{params}}}"#)
}

fn redeem(seq: u64, url: &str) -> String {
    format!(r#"{{"seq":{seq},"method":"redeemURL","params":["{url}","key-{seq}"]}}"#)
}

impl World {
    /// Bob hears this from mallory, and does what he has to; gives what he writes.
    fn mallory_says(&mut self, text: &str) -> Vec<String> {
        let (peer, now) = (mallory(), self.now);
        self.bob.kernel().handle_remote_message(&peer, text, now).unwrap();
        while Self::collect(&mut self.bob, now, true) {}
        std::mem::take(&mut self.bob.outbound)
    }

    fn mallory_comes(&mut self) {
        self.bob.kernel().handle_incarnation_change(&mallory(), &"life".parse().unwrap(), self.now).unwrap();
        while Self::collect(&mut self.bob, self.now, true) {}
    }

    /// What mallory has not acknowledged.
    fn owed_to_mallory(&mut self) -> usize {
        let remote = self.bob.kernel().remotes().remotes().find(|remote| *remote.peer() == mallory());
        remote.map_or(0, RemoteHandle::pending)
    }

    fn mallory_was_given_up(&mut self) -> usize {
        let is_end = |event: &KernelEvent| matches!(event, KernelEvent::Remote(RemoteEvent::GivenUp { peer, .. }) if *peer == mallory());
        self.bob.take_events().iter().filter(|event| is_end(event)).count()
    }
}

#[test]
fn a_stranger_that_does_not_read_is_refused_and_then_given_up() {
    let (mut world, for_alice, _) = World::introduced();
    world.mallory_comes();
    let rows = world.bob.rows().len();
    let (mut most, mut refused) = (0, 0);
    for seq in 1..=3_000 {
        let written = world.mallory_says(&redeem(seq, "ocap:nonsense"));
        refused += written.iter().filter(|text| text.contains("[KERNEL:OVERLOADED]")).count();
        most = most.max(world.owed_to_mallory());
        if seq % 100 == 0 {
            // 30 s later it acknowledges one.
            world.now = world.now.after(Duration::from_secs(30));
            world.mallory_says(&format!(r#"{{"ack":{}}}"#, seq / 100));
            let now = world.now;
            world.bob.kernel().handle_timeout(now).unwrap();
        }
    }
    assert!(most <= 400 && refused > 1_000, "{most} are owed at most, {refused} were refused");
    assert!(world.mallory_was_given_up() > 0);
    assert!(world.bob.rows().len() < rows + 450, "{} rows", world.bob.rows().len() - rows);
    world.connect();
    world.send(for_alice, "#1");
    world.run();
    assert_eq!(world.bob.messages().len(), 1);
    world.audit();
}

#[test]
fn what_is_sent_to_its_own_sender_does_not_come_back() {
    let (mut world, _, _) = World::introduced();
    world.mallory_comes();
    for seq in 1..=1_000 {
        let target = if seq % 2 == 0 { "ro+1".to_owned() } else { format!("rp+{seq}") };
        let written = world.mallory_says(&deliver(seq, &target, "null"));
        assert!(written.iter().all(|text| !text.contains(r#""message""#)), "{written:?}");
        assert!(world.owed_to_mallory() <= 102, "word that the object is not held, until it is too much");
    }
    world.mallory_says(r#"{"ack":1000}"#);
    // If it wants a result, it is told.
    let written = world.mallory_says(&deliver(1_001, "ro+1", r#""rp+5000""#));
    assert_eq!(written.iter().filter(|text| text.contains("[KERNEL:DELIVERY_FAILED]")).count(), 1, "{written:?}");
    world.audit();
}

#[test]
fn a_guest_that_asks_for_ever_is_refused_and_its_answers_are_taken() {
    let mut world = World::new();
    let of_bob = world.bob.kernel().export_object().unwrap();
    let nonce = world.bob.fresh_bytes();
    let url = world.bob.kernel().issue_ocap_url(of_bob, nonce).unwrap();
    world.mallory_comes();
    world.mallory_says(&redeem(1, &url));
    // It gives bob a promise, and asks without reading anything.
    let mut refused = 0;
    for seq in 2..=2_500 {
        let written = world.mallory_says(&deliver(seq, "ro-1", &format!(r#""rp+{seq}""#)));
        refused += written.iter().filter(|text| text.contains("[KERNEL:OVERLOADED]")).count();
    }
    assert_eq!((world.bob.messages().len(), refused), (1_999, 500), "the first request was for the URL");
    assert_eq!(world.mallory_was_given_up(), 0, "what it does not answer, and what it cannot know, is no offence");
    // What is no request is taken all the same.
    let written = world.mallory_says(
        r#"{"seq":2501,"ack":501,"method":"deliver","params":["notify",[["rp+9000",false,{"body":"1","slots":[]}]]]}"#,
    );
    assert!(written.iter().all(|text| !text.contains("OVERLOADED")), "{written:?}");
    assert!(world.owed_to_mallory() < 501);
    // And what it has read the answer of makes room.
    let written = world.mallory_says(&deliver(2_502, "ro-1", r#""rp+2502""#));
    assert!(written.iter().all(|text| !text.contains("OVERLOADED")), "{written:?}");
    for seq in 2_503..=5_000 {
        world.mallory_says(&deliver(seq, "ro-1", &format!(r#""rp+{seq}""#)));
        assert!(world.owed_to_mallory() <= 1_100, "{}", world.owed_to_mallory());
    }
    assert!(world.mallory_was_given_up() >= 1);
    world.audit();
}

#[test]
fn an_honest_kernel_asks_a_thousand_things_at_once_and_no_more() {
    let (mut world, for_alice, _) = World::introduced();
    let mut asked = 0;
    let full = loop {
        match world.alice.kernel().send(for_alice, data("#1")) {
            Ok(_) => asked += 1,
            Err(error) if asked < 1_000 && asked % 200 == 0 => {
                assert_eq!(error.name(), "ResourceLimitError");
                world.run();
                world.wait(Duration::from_millis(60));
            }
            Err(error) => break error,
        }
    };
    world.wait(Duration::from_millis(200));
    assert_eq!((asked, full.name()), (1_000, "ResourceLimitError"));
    let remote = world.alice.kernel().remotes().remotes().next().unwrap();
    assert_eq!((remote.pending(), remote.room()), (0, 0), "everything is acknowledged, and nothing answered");
    // The same for the kernel that is started again.
    let store = world.alice.kernel.take().unwrap().into_store().unwrap();
    world.alice.open(store, world.now);
    world.connect();
    world.run();
    assert!(world.alice.kernel().send(for_alice, data("#1")).is_err());
    // Each answer makes room for one more.
    let owed: Vec<_> = world.bob.messages().into_iter().filter_map(|(_, result)| result).collect();
    for (result, room) in owed.into_iter().take(3).zip(1..) {
        world.bob.kernel().resolve(result, false, data("#2")).unwrap();
        world.run();
        assert_eq!(world.alice.kernel().remotes().remotes().next().unwrap().room(), room);
    }
    world.audit();
}

#[test]
fn two_that_ask_each_other_as_much_as_they_can_are_never_refused() {
    let (mut world, for_alice, _) = World::introduced();
    let of_alice = world.alice.kernel().export_object().unwrap();
    let nonce = world.alice.fresh_bytes();
    let url = world.alice.kernel().issue_ocap_url(of_alice, nonce).unwrap();
    let (random, now) = (world.bob.fresh_bytes(), world.now);
    world.bob.kernel().redeem_ocap_url(&url, random, now).unwrap();
    world.run();
    let redeemed = world.bob.take_events().into_iter().find_map(|event| match event {
        KernelEvent::Redeemed { result, .. } => result.ok(),
        _ => None,
    });
    let for_bob = redeemed.unwrap();
    let (mut sent, mut answered) = ([0, 0], 0);
    let mut owed: [Vec<Kref>; 2] = Default::default();
    for round in 0..30 {
        for (side, target) in [(0, for_alice), (1, for_bob)] {
            let host = if side == 0 { &mut world.alice } else { &mut world.bob };
            while host.kernel().send(target, data("#1")).is_ok() {
                sent[side] += 1;
            }
        }
        world.run();
        world.wait(Duration::from_millis(60));
        for side in [0, 1] {
            let host = if side == 0 { &mut world.alice } else { &mut world.bob };
            for event in host.take_events() {
                match event {
                    KernelEvent::Message { result, .. } => owed[side].extend(result),
                    KernelEvent::Notify { rejected, .. } => {
                        assert!(!rejected);
                        answered += 1;
                    }
                    other => panic!("{other:?}"),
                }
            }
            // Nothing is answered for a while, then everything at once.
            if round % 10 > 6 {
                for result in owed[side].drain(..) {
                    host.kernel().resolve(result, false, data("#2")).unwrap();
                }
            }
        }
    }
    for (side, host) in [&mut world.alice, &mut world.bob].into_iter().enumerate() {
        for result in owed[side].drain(..) {
            host.kernel().resolve(result, false, data("#2")).unwrap();
        }
    }
    world.run();
    for host in [&mut world.alice, &mut world.bob] {
        answered += host
            .take_events()
            .iter()
            .filter(|event| matches!(event, KernelEvent::Notify { rejected: false, .. }))
            .count();
        let remote = host.kernel().remotes().remotes().next().unwrap();
        assert_eq!(remote.counters().rejected, 0);
    }
    assert!(sent.iter().all(|sent| *sent >= 2_500), "{sent:?}");
    assert_eq!(answered, sent[0] + sent[1]);
    world.audit();
}

#[test]
fn promises_of_a_peers_own_are_no_requests_that_it_has_not_answered() {
    let (mut world, for_alice, _) = World::introduced();
    let kernel = world.alice.kernel();
    let own = kernel.export_object().unwrap();
    let promises = (0..1_100).map(|_| kernel.create_promise().unwrap());
    let slots: Vec<Kref> = std::iter::once(own).chain(promises).collect();
    kernel.send(for_alice, with_slots("#1", &slots)).unwrap();
    world.run();
    let given = world.bob.take_events().into_iter().find_map(|event| match event {
        KernelEvent::Message { methargs, .. } => methargs.slots.first().copied(),
        _ => None,
    });
    world.restart_bob(true);
    world.connect();
    world.bob.kernel().send(given.unwrap(), data("#2")).unwrap();
    world.run();
    assert_eq!(world.alice.messages().len(), 1);
}
