//! What a hostile or broken peer may say: a clear error, and nothing else disturbed.

use super::*;
use crate::wire::WireError;

/// A world in which `text` can be handed to bob as alice's next message, and the check that he goes on afterwards.
fn bob_survives(text: impl Fn(u64) -> String, check: impl FnOnce(Result<(), KernelError>, Vec<KernelEvent>)) {
    let (mut world, for_alice, _) = World::introduced();
    let peer = world.alice.peer();
    let remote = world.bob.kernel().remotes().remotes().find(|remote| *remote.peer() == peer).unwrap();
    let next = remote.highest_received().map_or(1, |seq| seq.get() + 1);
    let result = world.inject(&text(next));
    World::collect(&mut world.bob, world.now, false);
    let events = world.bob.take_events();
    check(result, events);
    world.audit();
    // Alice sends on: as her message with the injected number was never hers, she begins a new life.
    world.alice.kernel = None;
    world.alice.open(KernelStore::open(Box::new(MemoryStore::new())).unwrap(), world.now);
    assert!(world.connect());
    world.run();
    let fresh = world.bob.kernel().export_object().unwrap();
    let target = world.redeem(fresh);
    assert_ne!(fresh, for_alice);
    world.send(target, "#\"still there?\"");
    world.run();
    assert!(world.bob.messages().iter().any(|(body, _)| body == "#\"still there?\""));
    world.audit();
}

fn refused_as_malformed(result: Result<(), KernelError>, events: Vec<KernelEvent>) {
    let error = result.unwrap_err();
    assert_eq!(error.name(), "ProtocolError", "{error}");
    assert_eq!(events, []);
}

fn deliver(seq: &str, params: &str) -> String {
    format!(r#"{{"seq":{seq},"method":"deliver","params":{params}}}"#)
}

#[test]
fn garbage_is_refused() {
    bob_survives(|_| "garbage".into(), refused_as_malformed);
}

#[test]
fn sequence_number_zero_is_refused() {
    bob_survives(|_| deliver("0", r#"["bringOutYourDead"]"#), refused_as_malformed);
}

#[test]
fn a_negative_sequence_number_is_refused() {
    bob_survives(|_| deliver("-1", r#"["bringOutYourDead"]"#), refused_as_malformed);
}

#[test]
fn a_fractional_sequence_number_is_refused() {
    bob_survives(|_| deliver("1.5", r#"["bringOutYourDead"]"#), refused_as_malformed);
}

#[test]
fn a_sequence_number_beyond_the_exact_integers_is_refused() {
    bob_survives(
        |_| deliver("9007199254740992", r#"["bringOutYourDead"]"#),
        |result, _| {
            let expected = KernelError::Wire(WireError::BadSeq("9007199254740992".into()));
            assert_eq!(result, Err(expected));
        },
    );
}

#[test]
fn a_gap_is_held_and_not_delivered() {
    bob_survives(
        |next| {
            deliver(&(next + 1).to_string(), r#"["message","ro-1",{"methargs":{"body":"","slots":[]},"result":null}]"#)
        },
        |result, events| assert_eq!((result, events), (Ok(()), vec![])),
    );
}

#[test]
fn a_duplicate_is_not_delivered_twice() {
    bob_survives(
        |next| deliver(&(next - 1).to_string(), r#"["bringOutYourDead"]"#),
        |result, events| assert_eq!((result, events), (Ok(()), vec![])),
    );
}

fn rejected_because(expected: &'static str) -> impl FnOnce(Result<(), KernelError>, Vec<KernelEvent>) {
    move |result, events| {
        assert_eq!(result, Ok(()), "it is passed over and acknowledged, or it would block the remote for ever");
        let [KernelEvent::Remote(RemoteEvent::MessageRejected { reason, .. })] = &events[..] else {
            panic!("{events:?}");
        };
        assert!(reason.contains(expected), "{reason}");
    }
}

#[test]
fn an_unknown_target_is_rejected() {
    let message = r#"["message","ro-99",{"methargs":{"body":"","slots":[]},"result":null}]"#;
    bob_survives(|next| deliver(&next.to_string(), message), rejected_because("ro-99"));
}

#[test]
fn an_unknown_slot_undoes_everything_that_the_message_did() {
    let message = r#"["message","ro-1",{"methargs":{"body":"","slots":["ro+77","ro-99"]},"result":null}]"#;
    bob_survives(|next| deliver(&next.to_string(), message), rejected_because("ro-99"));
}

#[test]
fn a_result_that_is_an_object_is_rejected() {
    let message = r#"["message","ro-1",{"methargs":{"body":"","slots":[]},"result":"ro+77"}]"#;
    bob_survives(|next| deliver(&next.to_string(), message), rejected_because("is not a promise"));
}

#[test]
fn settling_a_promise_of_somebody_else_is_rejected() {
    let notify = r#"["notify",[["rp-5",false,{"body":"","slots":[]}]]]"#;
    bob_survives(|next| deliver(&next.to_string(), notify), rejected_because("rp-5"));
}

#[test]
fn settling_a_promise_twice_is_rejected() {
    let notify = r#"["notify",[["rp+5",false,{"body":"","slots":[]}],["rp+5",true,{"body":"","slots":[]}]]]"#;
    bob_survives(|next| deliver(&next.to_string(), notify), rejected_because("resolved"));
}

/// Two promises whose values name each other kept the kernel busy for ever. It is legal data, so they are settled, and only what
/// would close the circle is a rejected promise.
#[test]
fn settling_promises_in_a_circle_settles_them_without_the_way_back() {
    let notify =
        r#"["notify",[["rp+5",false,{"body":"","slots":["rp+6"]}],["rp+6",false,{"body":"","slots":["rp+5"]}]]]"#;
    let to_itself = r#"["notify",[["rp+5",false,{"body":"","slots":["rp+5","rp+5"]}]]]"#;
    for text in [notify, to_itself] {
        bob_survives(
            |next| deliver(&next.to_string(), text),
            |result, events| assert_eq!((result, events), (Ok(()), vec![])),
        );
    }
}

#[test]
fn dropping_what_was_never_given_is_rejected() {
    bob_survives(|next| deliver(&next.to_string(), r#"["dropExports",["ro-44"]]"#), rejected_because("ro-44"));
}

#[test]
fn retiring_what_is_still_reachable_is_rejected() {
    // With the acknowledgement of what gave it: else it would be void.
    let text = |next| format!(r#"{{"seq":{next},"ack":1,"method":"deliver","params":["retireExports",["ro-1"]]}}"#);
    bob_survives(text, rejected_because("ro-1"));
}

#[test]
fn defect_07_the_sender_of_a_message_that_could_not_be_processed_is_told_through_its_result() {
    let (mut world, _, _) = World::introduced();
    let peer = world.alice.peer();
    let remote = world.bob.kernel().remotes().remotes().find(|remote| *remote.peer() == peer).unwrap();
    let next = remote.highest_received().map_or(1, |seq| seq.get() + 1).to_string();
    let message = r#"["message","ro-99",{"methargs":{"body":"","slots":[]},"result":"rp+8"}]"#;
    world.inject(&deliver(&next, message)).unwrap();
    World::collect(&mut world.bob, world.now, true);
    let told = world
        .bob
        .outbound
        .iter()
        .any(|text| text.contains(r#"["notify",[["rp-8",true,"#) && text.contains("[KERNEL:DELIVERY_FAILED]"));
    assert!(told, "{:?}", world.bob.outbound);
    world.audit();
}

#[test]
fn the_program_can_use_only_what_it_was_given() {
    let (mut world, _, of_bob) = World::introduced();
    let stranger = Kref::object(4711);
    let alice = world.alice.kernel();
    for refused in [
        alice.send(stranger, data("#1")).map(|_| ()),
        alice.resolve(Kref::promise(4711), false, data("#1")),
        alice.release(&[stranger]),
        alice.issue_ocap_url(stranger, [0; 24]).map(|_| ()),
    ] {
        assert!(matches!(refused, Err(KernelError::NotHeld(_))), "{refused:?}");
    }
    let mine = alice.export_object().unwrap();
    assert!(alice.send(mine, with_slots("#1", &[stranger])).is_err());
    let promise = alice.create_promise().unwrap();
    assert_eq!(alice.issue_ocap_url(promise, [0; 24]), Err(KernelError::NotAnObject(promise)));
    let _ = of_bob;
    world.audit();
}

/// A mebibyte of a key, to which no reply fits, kept everything behind it from being processed for ever.
#[test]
fn a_request_to_which_no_reply_fits_is_passed_over() {
    let (mut world, _, _) = World::introduced();
    let longest = 1 << 20;
    for (seq, room) in [(2, 20), (3, 300)] {
        let key = "k".repeat(longest - room);
        world.inject(&format!(r#"{{"seq":{seq},"method":"redeemURL","params":["ocap:nonsense","{key}"]}}"#)).unwrap();
        while World::collect(&mut world.bob, world.now, true) {}
        let told = std::mem::take(&mut world.bob.outbound);
        assert!(told.iter().all(|text| text.len() <= longest));
        let refused = told.iter().any(|text| text.contains("redeemURLReply") && text.ends_with(r#""]}"#));
        assert_eq!(refused, room == 300, "there is room for the key and no reason");
        let counters = world.bob.kernel().remotes().remotes().next().unwrap().counters();
        assert_eq!((counters.rejected, counters.delivered), (1, seq - 1));
    }
    world.inject(&deliver("4", r#"["message","ro-1",{"methargs":{"body":"4","slots":[]},"result":null}]"#)).unwrap();
    World::collect(&mut world.bob, world.now, true);
    assert_eq!(world.bob.messages().len(), 1);
    world.audit();
}

/// What could not be said twice kept everything behind it from being processed.
#[test]
fn a_known_promise_that_is_settled_twice_is_rejected_once() {
    let (mut world, for_alice, _) = World::introduced();
    let peer = world.bob.peer();
    let promise = world.send(for_alice, "#1");
    world.run();
    let twice = r#"{"seq":2,"method":"deliver","params":["notify",[["rp-1",false,{"body":"","slots":[]}],["rp-1",false,{"body":"","slots":[]}]]]}"#;
    let next = r#"{"seq":3,"method":"deliver","params":["bringOutYourDead"]}"#;
    let now = world.now;
    for text in [twice, next] {
        world.alice.kernel().handle_remote_message(&peer, text, now).unwrap();
    }
    World::collect(&mut world.alice, now, true);
    let remote = world.alice.kernel().remotes().remotes().next().unwrap();
    assert_eq!((remote.counters().rejected, remote.highest_received().unwrap().get()), (1, 3));
    let rejected = |event: &KernelEvent| matches!(event, KernelEvent::Notify { promise: settled, rejected: true, .. } if *settled == promise);
    assert_eq!(world.alice.take_events().iter().filter(|event| rejected(event)).count(), 1);
    world.audit();
}

/// Each counter stops where JavaScript could not read it any more.
#[test]
fn what_is_counted_can_be_read() {
    let (mut world, _, _) = World::introduced();
    for life in 0..3 {
        world.inject(r#"{"ack":0,"start":9007199254740991}"#).unwrap();
        let (peer, now) = (world.alice.peer(), world.now);
        world.bob.kernel().handle_incarnation_change(&peer, &format!("life-{life}").parse().unwrap(), now).unwrap();
    }
    let counters = world.bob.kernel().remotes().remotes().next().unwrap().counters();
    assert_eq!(counters.lost, crate::wire::MAX_SEQ);
}
