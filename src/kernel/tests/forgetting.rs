//! Peers that forget a kernel although neither has changed.

use super::*;
use crate::wire::Epoch;

impl World {
    /// Bob sees another life under alice's key, which does nothing or writes a little, and then alice again.
    fn another_life_comes_between(&mut self, text: Option<&str>) {
        self.cut();
        let (alice, now) = (self.alice.peer(), self.now);
        assert!(self.bob.kernel().handle_incarnation_change(&alice, &"another".parse().unwrap(), now).unwrap());
        while World::collect(&mut self.bob, now, true) {}
        if let Some(text) = text {
            self.bob.kernel().handle_remote_message(&alice, text, now).unwrap();
            while World::collect(&mut self.bob, now, true) {}
        }
        self.bob.outbound.clear();
        assert!(self.connect(), "alice is not who was there last");
        self.run();
    }

    fn epochs(&mut self) -> [Epoch; 2] {
        let epoch = |host: &mut Host| host.kernel().store().epoch(EndpointId::Remote(1)).unwrap().unwrap();
        [epoch(&mut self.alice), epoch(&mut self.bob)]
    }
}

fn restarts(events: &[KernelEvent]) -> usize {
    let is_restart = |event: &&KernelEvent| matches!(event, KernelEvent::Remote(RemoteEvent::PeerRestarted { .. }));
    events.iter().filter(is_restart).count()
}

#[test]
fn two_that_meet_are_in_one_conversation() {
    let (mut world, for_alice, _) = World::introduced();
    world.wait(Duration::from_millis(200));
    let [alices, bobs] = world.epochs();
    assert_eq!((alices, alices.shared), (bobs, true));
    // Neither crashes nor cuts change that.
    world.restart_bob(true);
    assert!(!world.connect());
    world.send(for_alice, "#1");
    world.run();
    assert_eq!((world.bob.messages().len(), world.epochs()), (1, [alices, bobs]));
    world.audit();
}

#[test]
fn a_kernel_that_was_forgotten_finds_out_before_it_takes_anything_for_a_repetition() {
    for said in [None, Some(r#"{"seq":1,"method":"redeemURL","params":["ocap:nonsense","k"]}"#)] {
        let (mut world, for_alice, _) = World::introduced();
        let of_alice = world.alice.kernel().export_object().unwrap();
        let nonce = world.alice.fresh_bytes();
        let url = world.alice.kernel().issue_ocap_url(of_alice, nonce).unwrap();
        let redeem = |world: &mut World| {
            let (random, now) = (world.bob.fresh_bytes(), world.now);
            world.bob.kernel().redeem_ocap_url(&url, random, now).unwrap();
            world.run();
            let redeemed = world.bob.take_events().into_iter().find_map(|event| match event {
                KernelEvent::Redeemed { result, .. } => Some(result.unwrap()),
                _ => None,
            });
            redeemed.expect("the redemption has ended")
        };
        let for_bob = redeem(&mut world);
        for number in 0..5 {
            world.bob.kernel().send(for_bob, data(&format!("#{number}"))).unwrap();
        }
        let unanswered = world.send(for_alice, "#\"please\"");
        world.run();
        world.wait(Duration::from_millis(200));
        assert_eq!(world.alice.messages().len(), 5);
        world.bob.take_events();

        world.another_life_comes_between(said);
        let events = world.alice.take_events();
        assert_eq!(restarts(&events), 1, "{events:?}");
        let rejected = |event: &KernelEvent| matches!(event, KernelEvent::Notify { promise, rejected: true, value } if *promise == unanswered && value.body.contains("PEER_RESTARTED"));
        assert!(events.iter().any(rejected), "nobody waits for an answer of before: {events:?}");
        let bobs = world.bob.take_events();
        assert_eq!(restarts(&bobs), 2, "{bobs:?}");
        let shared = |event: &&KernelEvent| matches!(event, KernelEvent::Remote(RemoteEvent::IdentityShared { .. }));
        assert_eq!(bobs.iter().filter(shared).count(), 1, "{bobs:?}");

        // What bob sends now arrives, from the first on.
        let for_bob = redeem(&mut world);
        for number in 0..8 {
            world.bob.kernel().send(for_bob, data(&format!("#{number}"))).unwrap();
        }
        world.run();
        let got: Vec<String> = world.alice.messages().into_iter().map(|(body, _)| body).collect();
        assert_eq!(got, (0..8).map(|number| format!("#{number}")).collect::<Vec<_>>());
        world.wait(Duration::from_secs(60));
        assert_eq!((restarts(&world.alice.take_events()), restarts(&world.bob.take_events())), (0, 0));
        let remote = world.alice.kernel().remotes().remotes().next().unwrap();
        assert_eq!((remote.counters().duplicates, remote.pending()), (0, 0));
        world.audit();
    }
}

#[test]
fn what_was_under_way_to_a_peer_that_forgot_is_reported() {
    let (mut world, for_alice, _) = World::introduced();
    world.wait(Duration::from_millis(200));
    world.cut();
    let promise = world.send(for_alice, "#1");
    world.run();
    world.another_life_comes_between(None);
    let events = world.alice.take_events();
    let rejected = |event: &KernelEvent| matches!(event, KernelEvent::Notify { promise: settled, rejected: true, .. } if *settled == promise);
    assert!(events.iter().any(rejected), "{events:?}");
    assert_eq!(world.bob.messages(), [], "it was meant for whom bob has forgotten");
    world.audit();
}

#[test]
fn two_lives_that_come_in_turns_are_told_each_time() {
    let (mut world, _, _) = World::introduced();
    for _ in 0..3 {
        world.another_life_comes_between(None);
    }
    let events = world.bob.take_events();
    let shared = |event: &&KernelEvent| matches!(event, KernelEvent::Remote(RemoteEvent::IdentityShared { .. }));
    assert_eq!(events.iter().filter(shared).count(), 5, "alice thrice, the other twice: {events:?}");
    // A kernel that is started again remembers whom it saw before.
    world.restart_bob(true);
    let (alice, now) = (world.alice.peer(), world.now);
    world.bob.kernel().handle_incarnation_change(&alice, &"another".parse().unwrap(), now).unwrap();
    while World::collect(&mut world.bob, now, true) {}
    assert_eq!(world.bob.take_events().iter().filter(shared).count(), 1);
}

#[test]
fn a_store_from_before_there_were_epochs_goes_on() {
    let (mut world, for_alice, _) = World::introduced();
    world.wait(Duration::from_millis(200));
    world.cut();
    world.send(for_alice, "#1");
    world.run();
    for host in [&mut world.alice, &mut world.bob] {
        let mut store = host.kernel.take().unwrap().into_store().unwrap();
        store.forget_epochs().unwrap();
        host.events.clear();
        host.open(store, world.now);
    }
    assert!(!world.connect());
    world.run();
    assert_eq!(world.bob.messages().len(), 1);
    world.wait(Duration::from_millis(200));
    let [alices, bobs] = world.epochs();
    assert_eq!((alices, alices.shared), (bobs, true));
    assert_eq!(restarts(&world.alice.take_events()) + restarts(&world.bob.take_events()), 0);
    world.audit();
}
