//! A peer of the older kind, with its faults: it skips what it has given up, names garbage in its own frame, and tells no start.

use super::*;

const LIFE: &str = "life";

/// Bob, and the incumbent that he talks with, message by message.
pub(super) struct Incumbent {
    pub(super) world: World,
    pub(super) peer: PeerId,
    /// The last number that it used.
    sent: u64,
}

impl Incumbent {
    pub(super) fn new() -> Self {
        let peer = PeerId::from_ed25519_seed([7; 32]).unwrap();
        let mut incumbent = Incumbent { world: World::new(), peer, sent: 0 };
        let now = incumbent.world.now;
        let peer = incumbent.peer.clone();
        incumbent.bob().handle_incarnation_change(&peer, &LIFE.parse().unwrap(), now).unwrap();
        incumbent
    }

    pub(super) fn bob(&mut self) -> &mut Kernel {
        self.world.bob.kernel()
    }

    /// What bob writes, now that he may.
    pub(super) fn heard(&mut self) -> Vec<String> {
        while World::collect(&mut self.world.bob, self.world.now, true) {}
        std::mem::take(&mut self.world.bob.outbound)
    }

    /// It gives a number out, to write it or not.
    pub(super) fn number(&mut self) -> u64 {
        self.sent += 1;
        self.sent
    }

    pub(super) fn text(seq: u64, ack: u64, method: &str, params: &str) -> String {
        format!(r#"{{"seq":{seq},"ack":{ack},"method":"{method}","params":{params}}}"#)
    }

    pub(super) fn writes(&mut self, text: &str) -> Vec<String> {
        let (peer, now) = (self.peer.clone(), self.world.now);
        self.bob().handle_remote_message(&peer, text, now).unwrap();
        self.heard()
    }

    /// It writes its next message.
    pub(super) fn says(&mut self, ack: u64, method: &str, params: &str) -> String {
        let text = Self::text(self.number(), ack, method, params);
        self.writes(&text);
        text
    }

    /// It writes the same again after its ten seconds, in order.
    pub(super) fn repeats(&mut self, texts: &[String]) {
        self.world.now = self.world.now.after(Duration::from_secs(10));
        texts.iter().for_each(|text| drop(self.writes(text)));
    }

    /// Bob asks for what is behind a URL of its own; gives the key.
    pub(super) fn is_asked_for(&mut self, random: u8) -> (RedemptionId, String) {
        let (url, now) = (format!("ocap:zObject@{}", self.peer), self.world.now);
        let id = self.bob().redeem_ocap_url(&url, [random; 16], now).unwrap();
        self.heard();
        (id, format!("{random:02x}").repeat(16))
    }

    /// Bob has an object of its own. He has written one message and so has it.
    pub(super) fn with_an_object() -> (Self, Kref) {
        let mut incumbent = Incumbent::new();
        let (_, key) = incumbent.is_asked_for(1);
        incumbent.says(1, "redeemURLReply", &format!(r#"[true,"{key}","ro+1"]"#));
        let object = incumbent.world.bob.take_events().into_iter().find_map(|event| match event {
            KernelEvent::Redeemed { result, .. } => Some(result.unwrap()),
            _ => None,
        });
        (incumbent, object.unwrap())
    }

    /// It has an object of bob's, under the name `ro-1` as he calls it.
    pub(super) fn with_an_object_of_bobs() -> (Self, Kref) {
        let mut incumbent = Incumbent::new();
        let (object, nonce) = (incumbent.bob().export_object().unwrap(), incumbent.world.bob.fresh_bytes());
        let url = incumbent.bob().issue_ocap_url(object, nonce).unwrap();
        incumbent.says(0, "redeemURL", &format!(r#"["{url}","key"]"#));
        (incumbent, object)
    }

    /// Bob sends to an object of its own; gives the promise, and what it is called in bob's frame.
    pub(super) fn is_called(&mut self, object: Kref) -> (Kref, String) {
        let promise = self.bob().send(object, data("#1")).unwrap();
        self.heard();
        let id = self.bob().remotes().remotes().next().unwrap().id();
        let name = self.bob().store().kref_to_eref(id, promise).unwrap().unwrap();
        (promise, name.to_string())
    }

    /// What bob's program hears of promises.
    pub(super) fn outcomes(&mut self) -> Vec<(Kref, bool)> {
        let told = |event| match event {
            KernelEvent::Notify { promise, rejected, .. } => Some((promise, rejected)),
            _ => None,
        };
        self.world.bob.take_events().into_iter().filter_map(told).collect()
    }

    /// What of its messages was refused.
    pub(super) fn refused(&mut self) -> Vec<String> {
        let reason = |event| match event {
            KernelEvent::Remote(RemoteEvent::MessageRejected { reason, .. }) => Some(reason),
            _ => None,
        };
        self.world.bob.take_events().into_iter().filter_map(reason).collect()
    }

    /// The last number that bob used.
    pub(super) fn last_sent(&mut self) -> u64 {
        self.bob().remotes().remotes().next().unwrap().last_sent()
    }

    pub(super) fn received(&mut self) -> u64 {
        self.bob().remotes().remotes().next().unwrap().highest_received().map_or(0, crate::wire::Seq::get)
    }
}

fn notify(name: &str) -> String {
    format!(r##"["notify",[["{name}",false,{{"body":"#2","slots":[]}}]]]"##)
}

// --- Numbers that it skips

#[test]
fn answers_behind_a_gap_are_kept() {
    let (mut incumbent, object) = Incumbent::with_an_object();
    incumbent.number(); // two megabytes, which its network refused
    let calls: Vec<_> = (0..5).map(|_| incumbent.is_called(object)).collect();
    let answers: Vec<_> =
        (2..).zip(&calls).map(|(ack, (_, name))| incumbent.says(ack, "deliver", &notify(name))).collect();
    assert_eq!(incumbent.outcomes(), []);
    incumbent.repeats(&answers);
    let fulfilled: Vec<_> = calls.iter().map(|(promise, _)| (*promise, false)).collect();
    assert_eq!(incumbent.outcomes(), fulfilled);
    assert_eq!(incumbent.received(), 7);
    incumbent.world.bob.audit();
}

#[test]
fn only_what_it_had_read_may_have_been_answered_in_what_it_skips() {
    let (mut incumbent, object) = Incumbent::with_an_object();
    let (early, _) = incumbent.is_called(object);
    incumbent.number(); // perhaps the answer
    let behind = incumbent.says(2, "deliver", r#"["bringOutYourDead"]"#);
    let (late, name) = incumbent.is_called(object);
    incumbent.writes(r#"{"ack":3}"#);
    incumbent.repeats(&[behind]);
    assert_eq!(incumbent.outcomes(), [(early, true)]);
    incumbent.says(3, "deliver", &notify(&name));
    assert_eq!(incumbent.outcomes(), [(late, false)]);
    incumbent.world.bob.audit();
}

#[test]
fn a_former_life_of_this_kernel_knows_what_is_not_acknowledged() {
    let (mut incumbent, object) = Incumbent::with_an_object();
    let (early, _) = incumbent.is_called(object);
    incumbent.writes(r#"{"ack":2}"#);
    let (late, name) = incumbent.is_called(object);
    incumbent.world.restart_bob(true);
    incumbent.number();
    let behind = incumbent.says(2, "deliver", r#"["bringOutYourDead"]"#);
    incumbent.repeats(&[behind]);
    assert_eq!(incumbent.outcomes(), [(early, true)]);
    incumbent.says(3, "deliver", &notify(&name));
    assert_eq!(incumbent.outcomes(), [(late, false)]);
}

#[test]
fn redemptions_end_only_if_their_answer_may_be_lost() {
    let (mut incumbent, _) = Incumbent::with_an_object();
    let (lost, _) = incumbent.is_asked_for(2);
    let (held, key) = incumbent.is_asked_for(3);
    incumbent.number();
    let behind = incumbent.says(3, "redeemURLReply", &format!(r#"[true,"{key}","ro+3"]"#));
    let (late, key) = incumbent.is_asked_for(4);
    incumbent.repeats(&[behind]);
    incumbent.says(4, "redeemURLReply", &format!(r#"[true,"{key}","ro+4"]"#));
    let ends: Vec<_> = (incumbent.world.bob.take_events().into_iter())
        .filter_map(|event| match event {
            KernelEvent::Redeemed { id, result } => {
                Some((id, result.map(|_| ()).map_err(|error| error.name().to_owned())))
            }
            _ => None,
        })
        .collect();
    assert_eq!(ends, [(lost, Err("ConnectionLostError".to_owned())), (held, Ok(())), (late, Ok(()))]);
}

#[test]
fn a_promise_that_comes_back_to_be_settled_here_is_not_rejected() {
    let (mut incumbent, of_bob) = Incumbent::with_an_object_of_bobs();
    incumbent.says(1, "deliver", r##"["message","ro-1",{"methargs":{"body":"#3","slots":["ro+1"]},"result":null}]"##);
    let object = incumbent.world.bob.take_events().into_iter().find_map(|event| match event {
        KernelEvent::Message { methargs, .. } => methargs.slots.first().copied(),
        _ => None,
    });
    let (promise, name) = incumbent.is_called(object.unwrap());
    incumbent.number();
    let passed_on = format!(r##"["message","ro-1",{{"methargs":{{"body":"#4","slots":[]}},"result":"{name}"}}]"##);
    let behind = incumbent.says(2, "deliver", &passed_on);
    incumbent.repeats(&[behind]);
    assert_eq!(incumbent.world.bob.messages(), [("#4".to_owned(), Some(promise))]);
    incumbent.bob().resolve(promise, false, data("#5")).unwrap();
    assert_eq!(incumbent.heard().len(), 1, "its kernel is told");
    let _ = of_bob;
}

#[test]
fn what_it_retires_behind_a_gap_it_may_have_dropped_before() {
    let (mut incumbent, of_bob) = Incumbent::with_an_object_of_bobs();
    incumbent.bob().release(&[of_bob]).unwrap();
    incumbent.number(); // that it drops it
    let behind = incumbent.says(1, "deliver", r#"["retireExports",["ro+1"]]"#);
    incumbent.repeats(&[behind]);
    assert!(incumbent.world.bob.take_events().contains(&KernelEvent::Retired(vec![of_bob])));
    incumbent.world.bob.audit();
}

// --- Garbage in its own frame

#[test]
fn what_it_drops_in_its_own_frame_is_freed() {
    for name in ["ro+1", "ro-1"] {
        let (mut incumbent, of_bob) = Incumbent::with_an_object_of_bobs();
        incumbent.bob().release(&[of_bob]).unwrap();
        for kind in ["dropExports", "retireExports"] {
            incumbent.says(1, "deliver", &format!(r#"["{kind}",["{name}"]]"#));
        }
        let events = incumbent.world.bob.take_events();
        assert_eq!(events, [KernelEvent::Retired(vec![of_bob])], "{name}");
        incumbent.world.bob.audit();
    }
}

#[test]
fn a_list_in_two_frames_or_of_what_it_never_had_is_refused_alone() {
    let (mut incumbent, of_bob) = Incumbent::with_an_object_of_bobs();
    for (list, named) in [(r#"["ro-1","ro+1"]"#, "ro+1"), (r#"["ro+9"]"#, "ro-9"), (r#"["rp+1"]"#, "rp-1")] {
        incumbent.says(1, "deliver", &format!(r#"["dropExports",{list}]"#));
        let refused = incumbent.refused();
        assert!(refused.len() == 1 && refused[0].contains(named), "{list}: {refused:?}");
    }
    incumbent.says(1, "deliver", r##"["message","ro-1",{"methargs":{"body":"#6","slots":[]},"result":null}]"##);
    assert_eq!(incumbent.world.bob.messages().len(), 1, "what it mentions it has again");
    incumbent.world.bob.audit();
    let _ = of_bob;
}

// --- What it says that cannot be read

#[test]
fn what_cannot_be_read_is_refused_alone_and_who_waits_is_told() {
    let (mut incumbent, _) = Incumbent::with_an_object_of_bobs();
    for (method, params, told) in [
        (
            "deliver",
            r#"["message","ro-1",{"methargs":{"body":"","slots":[]},"result":"rp+1"},"surplus"]"#,
            Some("rp-1"),
        ),
        ("deliver", r#"["message","ro-1",{"methargs":{"body":7,"slots":[]},"result":"rp+2"}]"#, Some("rp-2")),
        ("deliver", r#"["explode",["ro-1"]]"#, None),
        ("redeemURL", r#"[{},"key-3"]"#, Some("key-3")),
        ("tomorrow", r#"{"a":1}"#, None),
    ] {
        let text = Incumbent::text(incumbent.number(), 1, method, params);
        let answers = incumbent.writes(&text);
        assert_eq!(incumbent.refused().len(), 1, "{text}");
        let is_told = told.is_none_or(|name| answers.iter().any(|answer| answer.contains(name)));
        assert!(is_told, "{text}: {answers:?}");
        incumbent.writes(&text);
        assert_eq!(incumbent.refused(), [""; 0], "it is told once");
    }
    let last = Incumbent::text(incumbent.number(), 1, "deliver", r#"["bringOutYourDead"]"#)
        .replace(r#""ack":1"#, r#""ack":"x""#);
    incumbent.writes(&last);
    assert_eq!(incumbent.refused().len(), 1);
    assert_eq!(incumbent.received(), incumbent.sent);
    incumbent.says(1, "deliver", r##"["message","ro-1",{"methargs":{"body":"#6","slots":[]},"result":null}]"##);
    assert_eq!(incumbent.world.bob.messages().len(), 1);
    incumbent.world.bob.audit();
}

#[test]
fn an_answer_that_cannot_be_read_is_one() {
    let (mut incumbent, object) = Incumbent::with_an_object();
    let (promise, name) = incumbent.is_called(object);
    incumbent.says(2, "deliver", &format!(r#"["notify",[["{name}","no",7]]]"#));
    assert_eq!(incumbent.outcomes(), [(promise, true)]);
    for (random, reply) in [(2, "true,KEY,{}"), (3, r#"true,KEY,"ro-77""#)] {
        let (asked, key) = incumbent.is_asked_for(random);
        let reply = reply.replace("KEY", &format!(r#""{key}""#));
        incumbent.says(2, "redeemURLReply", &format!("[{reply}]"));
        let ended = incumbent
            .world
            .bob
            .take_events()
            .into_iter()
            .any(|event| matches!(event, KernelEvent::Redeemed { id, result: Err(_) } if id == asked));
        assert!(ended, "{reply}");
    }
}

// --- What is no fault

#[test]
fn an_outcome_that_is_known_here_is_no_fault() {
    let (mut incumbent, of_bob) = Incumbent::with_an_object_of_bobs();
    let message = r##"["message","ro-1",{"methargs":{"body":"#3","slots":["ro+1"]},"result":"rp+1"}]"##;
    incumbent.says(1, "deliver", message);
    let (object, result) = incumbent
        .world
        .bob
        .take_events()
        .into_iter()
        .find_map(|event| match event {
            KernelEvent::Message { methargs, result, .. } => Some((methargs.slots[0], result.unwrap())),
            _ => None,
        })
        .unwrap();
    // Bob settles what it asked, and it tells him so in turn.
    incumbent.bob().resolve(result, false, data("#4")).unwrap();
    incumbent.heard();
    incumbent.says(2, "deliver", &notify("rp+1"));
    // He has given it up, and it answers then.
    let (late, name) = incumbent.is_called(object);
    let (open, other) = incumbent.is_called(object);
    let peer = incumbent.peer.clone();
    incumbent.bob().handle_remote_give_up(&peer).unwrap();
    incumbent.world.bob.take_events();
    let brings = format!(
        r##"["notify",[["{name}",false,{{"body":"#5","slots":["ro+9"]}}],["{other}",false,{{"body":"#5","slots":[]}}]]]"##
    );
    let text = Incumbent::text(incumbent.number(), 4, "deliver", &brings);
    let answers = incumbent.writes(&text);
    assert_eq!(incumbent.refused(), [""; 0]);
    assert!(answers.iter().any(|answer| answer.contains(r#"["dropExports",["ro-9"]]"#)), "{answers:?}");
    incumbent.world.bob.audit();
    let _ = (of_bob, late, open);
}
