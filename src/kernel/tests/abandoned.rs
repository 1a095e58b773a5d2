//! Redemptions that nobody waits for any more.

use super::*;

struct Asked {
    world: World,
    url: String,
    /// What bob calls the object.
    of_bob: Kref,
}

impl Asked {
    /// Bob has issued a URL for an object that alice does not hold.
    fn new() -> Self {
        let (mut world, _, _) = World::introduced();
        let of_bob = world.bob.kernel().export_object().unwrap();
        let nonce = world.bob.fresh_bytes();
        let url = world.bob.kernel().issue_ocap_url(of_bob, nonce).unwrap();
        Asked { world, url, of_bob }
    }

    fn redeem(&mut self) -> RedemptionId {
        let (random, now) = (self.world.alice.fresh_bytes(), self.world.now);
        self.world.alice.kernel().redeem_ocap_url(&self.url, random, now).unwrap()
    }

    fn abandon(&mut self, id: RedemptionId) {
        self.world.alice.kernel().abandon_redemption(id).unwrap();
    }

    /// Bob's answers reach alice's kernel, whose program has not been told.
    fn answered_but_not_told(&mut self) {
        let World { alice, bob, now, .. } = &mut self.world;
        World::collect(alice, *now, true);
        for request in std::mem::take(&mut alice.outbound) {
            bob.kernel().handle_remote_message(&alice.peer(), &request, *now).unwrap();
        }
        World::collect(bob, *now, true);
        for answer in std::mem::take(&mut bob.outbound) {
            alice.kernel().handle_remote_message(&bob.peer(), &answer, *now).unwrap();
        }
    }

    /// What alice's program heard of the ends of redemptions.
    fn ends(&mut self) -> Vec<(RedemptionId, Kref)> {
        self.world.run();
        let end = |event| match event {
            KernelEvent::Redeemed { id, result } => Some((id, result.unwrap())),
            _ => None,
        };
        self.world.alice.take_events().into_iter().filter_map(end).collect()
    }

    /// The object still takes messages of alice's program.
    fn takes_messages(&mut self, object: Kref) {
        self.world.send(object, "#\"still there\"");
        self.world.run();
        assert_eq!(self.world.bob.messages().len(), 1);
        self.world.audit();
    }

    /// Nobody but bob holds the object.
    fn is_let_go(&mut self) {
        self.world.bob.kernel().release(&[self.of_bob]).unwrap();
        self.world.wait(Duration::from_secs(1));
        assert!(self.world.bob.take_events().contains(&KernelEvent::Retired(vec![self.of_bob])));
        self.world.audit();
    }
}

#[test]
fn what_an_abandoned_redemption_would_have_brought_is_let_go() {
    for is_answered in [false, true] {
        let mut story = Asked::new();
        let id = story.redeem();
        if is_answered {
            story.answered_but_not_told();
        }
        story.abandon(id);
        assert_eq!(story.ends(), []);
        story.is_let_go();
    }
}

#[test]
fn what_the_program_held_before_stays() {
    for is_answered in [false, true] {
        let mut story = Asked::new();
        let first = story.redeem();
        let [(_, object)] = story.ends()[..] else { panic!("one redemption") };
        let second = story.redeem();
        if is_answered {
            story.answered_but_not_told();
        }
        for id in [second, first] {
            story.abandon(id);
        }
        assert_eq!(story.ends(), []);
        story.takes_messages(object);
        story.world.alice.kernel().release(&[object]).unwrap();
        story.is_let_go();
    }
}

#[test]
fn an_object_of_the_program_itself_stays() {
    let mut story = Asked::new();
    let mine = story.world.alice.kernel().export_object().unwrap();
    let nonce = story.world.alice.fresh_bytes();
    story.url = story.world.alice.kernel().issue_ocap_url(mine, nonce).unwrap();
    let id = story.redeem();
    story.abandon(id);
    assert_eq!(story.ends(), []);
    story.world.alice.kernel().issue_ocap_url(mine, nonce).unwrap();
    story.world.alice.kernel().release(&[mine]).unwrap();
    story.world.run();
    story.world.audit();
}

/// As a component of React does under its strict mode: it asks, is cancelled, and asks again, in one turn.
#[test]
fn of_two_redemptions_of_one_url_either_may_be_abandoned_at_any_time() {
    for is_answered in [false, true] {
        for abandoned in [0, 1] {
            let mut story = Asked::new();
            let ids = [story.redeem(), story.redeem()];
            if is_answered {
                story.answered_but_not_told();
            }
            story.abandon(ids[abandoned]);
            let [(id, object)] = story.ends()[..] else { panic!("the other ends") };
            assert_eq!(id, ids[1 - abandoned]);
            story.takes_messages(object);
            story.world.alice.kernel().release(&[object]).unwrap();
            story.is_let_go();
        }
    }
}

#[test]
fn when_both_are_abandoned_nothing_is_held() {
    for is_answered in [false, true] {
        let mut story = Asked::new();
        let ids = [story.redeem(), story.redeem()];
        if is_answered {
            story.answered_but_not_told();
        }
        ids.into_iter().for_each(|id| story.abandon(id));
        assert_eq!(story.ends(), []);
        story.is_let_go();
    }
}

#[test]
fn what_a_message_brings_too_stays() {
    let mut story = Asked::new();
    // Bob sends his object to one of alice's while her redemption is answered, and her program has been told of neither.
    let of_alice = story.world.alice.kernel().export_object().unwrap();
    let nonce = story.world.alice.fresh_bytes();
    let url = story.world.alice.kernel().issue_ocap_url(of_alice, nonce).unwrap();
    let (random, now) = (story.world.bob.fresh_bytes(), story.world.now);
    story.world.bob.kernel().redeem_ocap_url(&url, random, now).unwrap();
    story.world.run();
    let for_bob = story.world.bob.take_events().into_iter().find_map(|event| match event {
        KernelEvent::Redeemed { result, .. } => Some(result.unwrap()),
        _ => None,
    });
    let id = story.redeem();
    let message = with_slots("#\"take it\"", &[story.of_bob]);
    let World { alice, bob, now, .. } = &mut story.world;
    World::collect(alice, *now, true);
    for request in std::mem::take(&mut alice.outbound) {
        bob.kernel().handle_remote_message(&alice.peer(), &request, *now).unwrap();
    }
    bob.kernel().send(for_bob.unwrap(), message).unwrap();
    World::collect(bob, *now, true);
    for answer in std::mem::take(&mut bob.outbound) {
        alice.kernel().handle_remote_message(&bob.peer(), &answer, *now).unwrap();
    }
    story.abandon(id);
    story.world.run();
    let brought = story.world.alice.take_events().into_iter().find_map(|event| match event {
        KernelEvent::Message { methargs, .. } => Some(methargs.slots[0]),
        KernelEvent::Redeemed { .. } => panic!("it was abandoned"),
        _ => None,
    });
    story.takes_messages(brought.unwrap());
}
