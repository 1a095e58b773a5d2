//! OCAP URLs between kernels.

use super::*;

fn outcome(events: Vec<KernelEvent>) -> Result<Kref, KernelError> {
    events
        .into_iter()
        .find_map(|event| match event {
            KernelEvent::Redeemed { result, .. } => Some(result),
            _ => None,
        })
        .expect("a redemption has ended")
}

#[test]
fn a_local_url_needs_no_network() {
    let mut world = World::new();
    let mine = world.alice.kernel().export_object().unwrap();
    let (nonce, random, now) = (world.alice.fresh_bytes(), world.alice.fresh_bytes(), world.now);
    let url = world.alice.kernel().issue_ocap_url(mine, nonce).unwrap();
    world.alice.kernel().redeem_ocap_url(&url, random, now).unwrap();
    world.run();
    assert_eq!(outcome(world.alice.take_events()), Ok(mine));
    world.audit();
}

#[test]
fn a_url_of_a_released_object_is_dead() {
    let (mut world, _, of_bob) = World::introduced();
    let (nonce, now) = (world.bob.fresh_bytes(), world.now);
    let object = world.bob.kernel().export_object().unwrap();
    let url = world.bob.kernel().issue_ocap_url(object, nonce).unwrap();
    world.bob.kernel().release(&[object]).unwrap();
    let random = world.alice.fresh_bytes();
    world.alice.kernel().redeem_ocap_url(&url, random, now).unwrap();
    world.run();
    let refused = outcome(world.alice.take_events()).unwrap_err();
    assert_eq!(refused.name(), "RedemptionError");
    assert_ne!(object, of_bob);
    world.audit();
}

#[test]
fn a_forged_url_is_refused_by_its_issuer() {
    let (mut world, _, of_bob) = World::introduced();
    let (nonce, now) = (world.bob.fresh_bytes(), world.now);
    let url = world.bob.kernel().issue_ocap_url(of_bob, nonce).unwrap();
    let oid = &url[5..url.find('@').unwrap()];
    let last = if oid.ends_with('2') { "3" } else { "2" };
    let forged = url.replace(oid, &format!("{}{last}", &oid[..oid.len() - 1]));
    let random = world.alice.fresh_bytes();
    world.alice.kernel().redeem_ocap_url(&forged, random, now).unwrap();
    world.run();
    assert!(matches!(outcome(world.alice.take_events()), Err(KernelError::Redemption(_))));
}

#[test]
fn malformed_urls_are_errors_at_once() {
    let mut world = World::new();
    let now = world.now;
    for url in ["", "http://x", "ocap:", "ocap:zabc", "ocap:zabc@nobody", "ocap:@12D3"] {
        let refused = world.alice.kernel().redeem_ocap_url(url, [0; 16], now).unwrap_err();
        assert_eq!(refused.name(), "OcapURLError", "{url}");
    }
}

#[test]
fn a_redemption_that_nobody_answers_times_out() {
    let (mut world, _, of_bob) = World::introduced();
    let (nonce, now) = (world.bob.fresh_bytes(), world.now);
    let url = world.bob.kernel().issue_ocap_url(of_bob, nonce).unwrap();
    world.cut();
    let random = world.alice.fresh_bytes();
    world.alice.kernel().redeem_ocap_url(&url, random, now).unwrap();
    world.wait(Duration::from_secs(41));
    let refused = outcome(world.alice.take_events()).unwrap_err();
    assert!(["RedemptionTimeoutError", "ConnectionLostError"].contains(&refused.name()), "{refused}");
}

#[test]
fn a_redemption_behind_a_long_message_that_moves_waits_for_it_and_no_longer() {
    let (mut world, _, of_bob) = World::introduced();
    let (nonce, now) = (world.bob.fresh_bytes(), world.now);
    let url = world.bob.kernel().issue_ocap_url(of_bob, nonce).unwrap();
    world.cut();
    let random = world.alice.fresh_bytes();
    world.alice.kernel().redeem_ocap_url(&url, random, now).unwrap();
    let bob = world.bob.kernel().peer_id().clone();
    for _ in 0..100 {
        let now = world.now;
        world.alice.kernel().handle_remote_moving(&bob, now);
        world.wait(Duration::from_secs(2));
    }
    assert!(!world.alice.take_events().iter().any(|event| matches!(event, KernelEvent::Redeemed { .. })));
    world.wait(Duration::from_secs(39));
    outcome(world.alice.take_events()).unwrap_err();
}

/// Defect 9 of the incumbent: reply keys began at 1 again, and a late reply gave another object.
#[test]
fn defect_09_a_reply_to_a_former_life_resolves_nothing() {
    let (mut world, _, of_bob) = World::introduced();
    let (nonce, now) = (world.bob.fresh_bytes(), world.now);
    let url = world.bob.kernel().issue_ocap_url(of_bob, nonce).unwrap();
    let random = world.alice.fresh_bytes();
    world.alice.kernel().redeem_ocap_url(&url, random, now).unwrap();
    // Alice's request is carried, and she is started again with her store before the reply comes.
    World::collect(&mut world.alice, now, true);
    let kernel = world.alice.kernel.take().unwrap();
    let requests = std::mem::take(&mut world.alice.outbound);
    world.alice.open(kernel.into_store().unwrap(), now);
    for request in requests {
        world.inject(&request).unwrap();
    }
    let other = world.bob.kernel().export_object().unwrap();
    let for_alice = world.redeem(other);
    let promise = world.send(for_alice, "#\"to the other\"");
    world.run();
    let events = world.bob.take_events();
    assert!(events.iter().any(|event| matches!(event, KernelEvent::Message { target, .. } if *target == other)));
    assert!(!world.alice.take_events().iter().any(|event| matches!(event, KernelEvent::Redeemed { .. })));
    let _ = promise;
    world.audit();
}

/// Defect 10 of the incumbent: a reply that came too late threw, was sent again and again, and ended with the remote given up.
#[test]
fn defect_10_a_reply_that_nobody_waits_for_any_more_is_taken_and_let_go() {
    let (mut world, _, _) = World::introduced();
    let (object, nonce) = (world.bob.kernel().export_object().unwrap(), world.bob.fresh_bytes());
    let url = world.bob.kernel().issue_ocap_url(object, nonce).unwrap();
    let (random, now) = (world.alice.fresh_bytes(), world.now);
    world.alice.kernel().redeem_ocap_url(&url, random, now).unwrap();
    World::collect(&mut world.alice, now, true);
    let requests = std::mem::take(&mut world.alice.outbound);
    world.alice.kernel().handle_timeout(now.after(Duration::from_secs(41))).unwrap();
    world.alice.take_events();
    for request in requests {
        world.inject(&request).unwrap();
    }
    world.connect();
    world.wait(Duration::from_secs(1));
    for host in [&mut world.alice, &mut world.bob] {
        let remote = host.kernel().remotes().remotes().next().unwrap();
        assert_eq!((remote.pending(), remote.counters().rejected), (0, 0));
    }
    // Alice has told bob that she does not hold it: when he lets it go too, nothing is left.
    world.bob.kernel().release(&[object]).unwrap();
    world.run();
    assert!(world.bob.take_events().contains(&KernelEvent::Retired(vec![object])));
    world.audit();
}
