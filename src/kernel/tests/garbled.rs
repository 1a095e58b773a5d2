//! Texts that are none: JavaScript may cut a character in half, and writes what is left as a lone surrogate.

use super::*;

/// What alice's peer sees of the messages that alice's kernel writes in answer to these, numbered from where alice is.
struct Told {
    world: World,
    next: u64,
}

impl Told {
    fn new() -> Self {
        let (world, _, _) = World::introduced();
        let next = world.alice.kernel.as_ref().unwrap().remotes().remotes().next().unwrap().last_sent() + 1;
        Told { world, next }
    }

    /// Bob hears this as alice's next message.
    fn hears(&mut self, method: &str, params: &str) {
        let text = format!(r#"{{"seq":{},"method":"{method}","params":{params}}}"#, self.next);
        self.next += 1;
        self.world.inject(&text).unwrap();
    }

    fn counters(&self) -> (u64, u64) {
        let counters = self.world.bob.kernel.as_ref().unwrap().remotes().remotes().next().unwrap().counters();
        (counters.rejected, counters.malformed)
    }

    /// What bob's kernel writes to alice.
    fn answers(&mut self) -> Vec<String> {
        World::collect(&mut self.world.bob, self.world.now, true);
        std::mem::take(&mut self.world.bob.outbound)
    }
}

const BODY: &str = r##"{"body":"#\"half \ud83d\"","slots":[]}"##;

#[test]
fn a_message_with_half_a_character_is_rejected_and_the_next_is_delivered() {
    let mut story = Told::new();
    let object = story.world.bob.kernel().export_object().unwrap();
    let for_alice = story.world.redeem(object);
    story.next = story.world.alice.kernel().remotes().remotes().next().unwrap().last_sent() + 1;
    let name = {
        let alice = story.world.alice.kernel();
        let remote = alice.remotes().remotes().next().unwrap().id();
        alice.store().kref_to_eref(remote, for_alice).unwrap().unwrap().flipped()
    };
    story.hears("deliver", &format!(r#"["message","{name}",{{"methargs":{BODY},"result":"rp+7000"}}]"#));
    story.hears(
        "deliver",
        &format!(r##"["message","{name}",{{"methargs":{{"body":"#1","slots":[]}},"result":null}}]"##),
    );
    let answers = story.answers();
    assert_eq!(story.world.bob.messages(), [("#1".to_owned(), None)]);
    assert_eq!(story.counters(), (1, 0));
    let told = answers.iter().find(|answer| answer.contains("rp+7000") || answer.contains("rp-7000")).unwrap();
    assert!(told.contains("[KERNEL:DELIVERY_FAILED]") && told.contains("lone surrogate"), "{told}");
    assert!(answers.iter().any(|answer| answer.contains(&format!(r#""ack":{}"#, story.next - 1))));
    story.world.bob.audit();
}

#[test]
fn wherever_half_a_character_stands_what_comes_behind_it_passes() {
    for (method, params, rejected) in [
        ("deliver", format!(r#"["message","ro-\ud800",{{"methargs":{BODY},"result":null}}]"#), 1),
        ("deliver", r#"["notify",[["rp-1",false,{"body":"\udc00","slots":["\ud800"]}]]]"#.to_owned(), 1),
        ("deliver", r#"["\ud800"]"#.to_owned(), 1),
        ("deliver", r#"["dropExports",["\ud800"]]"#.to_owned(), 1),
        ("redeemURL", r#"["ocap:\ud800","key"]"#.to_owned(), 0),
        ("redeemURL", r#"["ocap:z","\ud800"]"#.to_owned(), 0),
        ("redeemURLReply", r#"[false,"key","\ud800"]"#.to_owned(), 0),
    ] {
        let mut story = Told::new();
        story.hears(method, &params);
        story.answers();
        story.hears("deliver", r#"["bringOutYourDead"]"#);
        let answers = story.answers();
        assert_eq!(story.counters(), (rejected, 0), "{params}");
        let ack = format!(r#""ack":{}"#, story.next - 1);
        let received = story.world.bob.kernel().remotes().remotes().next().unwrap().highest_received();
        assert_eq!(received.map(crate::wire::Seq::get), Some(story.next - 1), "{params} {ack} {answers:?}");
    }
}

#[test]
fn a_promise_that_was_to_be_settled_with_half_a_character_is_rejected() {
    let mut story = Told::new();
    // Bob sends to an object of alice's, and waits for the answer.
    let of_alice = story.world.alice.kernel().export_object().unwrap();
    let (nonce, random, now) = (story.world.alice.fresh_bytes(), story.world.bob.fresh_bytes(), story.world.now);
    let url = story.world.alice.kernel().issue_ocap_url(of_alice, nonce).unwrap();
    story.world.bob.kernel().redeem_ocap_url(&url, random, now).unwrap();
    story.world.run();
    let for_bob = story.world.bob.take_events().into_iter().find_map(|event| match event {
        KernelEvent::Redeemed { result, .. } => Some(result.unwrap()),
        _ => None,
    });
    let promise = story.world.bob.kernel().send(for_bob.unwrap(), data("#\"well?\"")).unwrap();
    story.world.run();
    story.next = story.world.alice.kernel().remotes().remotes().next().unwrap().last_sent() + 1;
    let name = {
        let bob = story.world.bob.kernel();
        let remote = bob.remotes().remotes().next().unwrap().id();
        bob.store().kref_to_eref(remote, promise).unwrap().unwrap()
    };
    story.hears("deliver", &format!(r#"["notify",[["{name}",false,{BODY}]]]"#));
    story.answers();
    let told = story.world.bob.take_events().into_iter().find_map(|event| match event {
        KernelEvent::Notify { promise: settled, rejected, value } if settled == promise => Some((rejected, value.body)),
        _ => None,
    });
    let (rejected, body) = told.expect("bob's program is told");
    assert!(rejected && body.contains("lone surrogate"), "{body}");
}
