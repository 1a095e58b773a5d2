//! Rows that cannot be read: what belongs to one peer is that peer's matter, and nothing keeps a kernel from starting that it has
//! learned from others.

use super::{incumbents::Incumbent, *};

/// Bob has an object of alice's peer `r1`, and a second peer that has one of his: `r2`.
fn with_a_second_peer() -> (World, Kref, Kref) {
    let (mut world, for_alice, of_bob) = World::introduced();
    let peer = PeerId::from_ed25519_seed([7; 32]).unwrap();
    let now = world.now;
    let nonce = world.bob.fresh_bytes();
    let bob = world.bob.kernel();
    bob.handle_incarnation_change(&peer, &"life".parse().unwrap(), now).unwrap();
    let url = bob.issue_ocap_url(of_bob, nonce).unwrap();
    let asks = format!(r#"{{"seq":1,"method":"redeemURL","params":["{url}","key"]}}"#);
    bob.handle_remote_message(&peer, &asks, now).unwrap();
    while World::collect(&mut world.bob, now, true) {}
    let methargs = r##"{"methargs":{"body":"#0","slots":["ro+1"]},"result":null}"##;
    for text in [&format!(r#"{{"seq":2,"method":"deliver","params":["message","ro-1",{methargs}]}}"#), r#"{"ack":1}"#] {
        world.bob.kernel().handle_remote_message(&peer, text, now).unwrap();
        while World::collect(&mut world.bob, now, true) {}
    }
    world.bob.outbound.clear();
    assert_eq!(world.bob.messages().len(), 1);
    world.now = now.after(Duration::from_secs(1));
    (world, for_alice, of_bob)
}

#[test]
fn what_cannot_be_read_of_one_peer_disturbs_no_other() {
    for key in [
        "remote.r2",
        "remoteSeq.r2.nextSendSeq",
        "remoteSeq.r2.highestReceivedSeq",
        "remoteSeq.r2.startSeq",
        "remotePending.r2.2",
        "remotePending.r2.x",
        "remoteEpoch.r2",
        "formerIncarnation.r2",
        "acquaintance.r2",
        "e.nextObjectId.r2",
        "r2.c.ro+1",
        "r2.c.ko2",
        "r2.c.kx",
        "ko2.owner",
        "kox.refCount",
        "knownRelays",
        "reapQueue",
        "gcActions",
    ] {
        let (mut world, for_alice, _) = with_a_second_peer();
        let promise = world.send(for_alice, "#1");
        World::collect(&mut world.alice, world.now, false);
        world.restart_bob_with(key, "?");
        assert!(!world.connect(), "{key}");
        world.run();
        let messages = world.bob.messages();
        assert_eq!(messages.len(), 1, "{key}");
        world.bob.kernel().resolve(messages[0].1.unwrap(), false, data("#2")).unwrap();
        world.run();
        let events = world.alice.take_events();
        let is_answered = |event: &KernelEvent| matches!(event, KernelEvent::Notify { promise: told, rejected: false, .. } if *told == promise);
        assert!(events.iter().any(is_answered), "{key}: {events:?}");
        assert_eq!(world.bob.kernel().unsettled, None, "{key}");
    }
}

#[test]
fn whose_numbers_cannot_be_read_begins_again_and_nothing_comes_twice() {
    for key in
        ["remoteSeq.r1.nextSendSeq", "remoteSeq.r1.highestReceivedSeq", "remoteSeq.r1.startSeq", "remoteEpoch.r1"]
    {
        let (mut world, for_alice, of_bob) = World::introduced();
        let open = world.send(for_alice, "#1");
        world.run();
        assert_eq!(world.bob.messages().len(), 1);
        world.now = world.now.after(Duration::from_secs(1));
        world.restart_bob_with(key, "?");
        assert!(world.bob.rows().contains(&format!("setAside.{key}")));
        world.connect();
        world.run();
        let events = world.alice.take_events();
        let restarted = |event: &KernelEvent| matches!(event, KernelEvent::Remote(RemoteEvent::PeerRestarted { .. }));
        let rejected = |event: &KernelEvent| matches!(event, KernelEvent::Notify { promise, rejected: true, .. } if *promise == open);
        assert!(events.iter().any(restarted) && events.iter().any(rejected), "{key}: {events:?}");
        let given_up = |event: &KernelEvent| matches!(event, KernelEvent::Remote(RemoteEvent::GivenUp { .. }));
        assert!(world.bob.take_events().iter().any(given_up), "{key}");
        let again = world.redeem(of_bob);
        world.send(again, "#2");
        world.run();
        let messages: Vec<_> = world.bob.messages().into_iter().map(|(body, _)| body).collect();
        assert_eq!(messages, ["#2"], "{key}");
    }
}

#[test]
fn a_message_that_cannot_be_read_is_given_up_with_what_is_behind_it() {
    let (mut world, for_alice, _) = World::introduced();
    let promise = world.send(for_alice, "#1");
    world.run();
    let result = world.bob.messages()[0].1.unwrap();
    world.cut();
    world.bob.kernel().resolve(result, false, data("#2")).unwrap();
    World::collect(&mut world.bob, world.now, false);
    let sent = world.bob.kernel().remotes().remotes().next().unwrap().last_sent();
    world.restart_bob_with(&format!("remotePending.r1.{sent}"), "{");
    assert!(world.bob.rows().contains(&format!("setAside.remotePending.r1.{sent}")));
    world.connect();
    world.run();
    let lost = |event: &KernelEvent| matches!(event, KernelEvent::Notify { promise: told, rejected: true, .. } if *told == promise);
    assert!(world.alice.take_events().iter().any(lost), "nobody waits for what was abandoned");
    world.send(for_alice, "#3");
    world.run();
    assert_eq!(world.bob.messages().len(), 1);
    world.audit();
}

/// An incumbent does not find out, and what has a number that it knows it takes for a repetition.
#[test]
fn to_an_incumbent_no_number_is_used_again() {
    for key in ["remoteSeq.r1.nextSendSeq", "remote.r1"] {
        let (mut incumbent, _) = Incumbent::with_an_object_of_bobs();
        let asks = r##"["message","ro-1",{"methargs":{"body":"#3","slots":[]},"result":null}]"##;
        let repeated = incumbent.says(1, "deliver", asks);
        assert_eq!(incumbent.world.bob.messages().len(), 1);
        incumbent.world.restart_bob_with(key, "?");
        let (peer, now) = (incumbent.peer.clone(), incumbent.world.now);
        incumbent.bob().handle_incarnation_change(&peer, &"life".parse().unwrap(), now).unwrap();
        incumbent.writes(&repeated);
        assert_eq!(incumbent.world.bob.messages(), [], "{key}");
        let url = format!("ocap:zObject@{peer}");
        incumbent.bob().redeem_ocap_url(&url, [9; 16], now).unwrap();
        let written = incumbent.heard();
        let numbers = written.iter().filter_map(|text| crate::wire::Message::parse(text).unwrap().command);
        let numbers: Vec<_> = numbers.map(|(seq, _)| seq.get()).collect();
        assert!(!numbers.is_empty() && numbers.iter().all(|number| *number >= 1 << 20), "{key}: {written:?}");
    }
}

#[test]
fn a_peer_whose_incarnation_cannot_be_read_counts_as_restarted() {
    let (mut world, _, of_bob) = World::introduced();
    let row = format!("peerIncarnation.{}", world.alice.peer());
    // An incarnation is any text, but no empty one.
    world.restart_bob_with(&row, "");
    world.connect();
    world.run();
    let again = world.redeem(of_bob);
    world.send(again, "#1");
    world.run();
    assert_eq!(world.bob.messages().len(), 1);
}
