//! Messages to promises: what waits for a promise that only it could settle is refused, and what a peer has waiting is bounded.

use super::*;
use crate::kernel::store::{MAX_TOLD_AGAIN, MAX_WAITING, MAX_WAITING_BYTES, MAX_WAITING_FOR};

/// Bob's kernel, and peers that write what they like.
struct Crowd {
    world: World,
    of_bob: Kref,
    /// The last number that each has used.
    seqs: [u64; 3],
}

impl Crowd {
    /// Every peer knows bob's object as `ro-1`.
    fn gathered() -> Self {
        let (mut world, _, _) = World::introduced();
        world.bob.outbound.clear();
        let of_bob = world.bob.kernel().export_object().unwrap();
        let mut crowd = Crowd { world, of_bob, seqs: [0; 3] };
        for number in 0..crowd.seqs.len() {
            crowd.is_introduced(number, "life");
        }
        crowd
    }

    fn peer(number: usize) -> PeerId {
        PeerId::from_ed25519_seed([100 + number as u8; 32]).unwrap()
    }

    fn is_introduced(&mut self, number: usize, life: &str) {
        let now = self.world.now;
        self.world.bob.kernel().handle_incarnation_change(&Self::peer(number), &life.parse().unwrap(), now).unwrap();
        self.seqs[number] = 0;
        let nonce = self.world.bob.fresh_bytes();
        let url = self.world.bob.kernel().issue_ocap_url(self.of_bob, nonce).unwrap();
        self.writes(number, &format!(r#""method":"redeemURL","params":["{url}","key"]"#));
    }

    /// Gives what bob writes in answer.
    fn writes(&mut self, number: usize, command: &str) -> String {
        self.seqs[number] += 1;
        let (text, now) = (format!(r#"{{"seq":{},{command}}}"#, self.seqs[number]), self.world.now);
        self.world.bob.kernel().handle_remote_message(&Self::peer(number), &text, now).unwrap();
        self.settles()
    }

    fn settles(&mut self) -> String {
        while World::collect(&mut self.world.bob, self.world.now, true) {}
        // So that it owes nothing, and writes on.
        for number in 0..self.seqs.len() {
            let now = self.world.now;
            self.world
                .bob
                .kernel()
                .handle_remote_message(&Self::peer(number), r#"{"ack":9007199254740991}"#, now)
                .unwrap();
        }
        self.world.bob.kernel().commit(self.world.now).unwrap();
        self.world.bob.outbound.drain(..).collect::<Vec<_>>().join("\n")
    }

    fn sends(&mut self, number: usize, target: &str, body: &str, slots: &str, result: &str) -> String {
        let methargs = format!(r#"{{"body":"{body}","slots":[{slots}]}}"#);
        let result = if result.is_empty() { "null".to_owned() } else { format!("\"{result}\"") };
        self.writes(
            number,
            &format!(
                r#""method":"deliver","params":["message","{target}",{{"methargs":{methargs},"result":{result}}}]"#
            ),
        )
    }

    fn resolves(&mut self, promise: Kref, body: &str, slots: &[Kref]) -> String {
        self.world.bob.kernel().resolve(promise, false, with_slots(body, slots)).unwrap();
        self.settles()
    }

    /// The last message that bob's program was given: its slots, and the promise of its result.
    fn last_message(&mut self) -> (Vec<Kref>, Option<Kref>) {
        let message = self.world.bob.take_events().into_iter().rev().find_map(|event| match event {
            KernelEvent::Message { methargs, result, .. } => Some((methargs.slots, result)),
            _ => None,
        });
        message.unwrap()
    }

    fn bodies(&mut self) -> Vec<String> {
        self.world.bob.messages().into_iter().map(|(body, _)| body).collect()
    }

    /// How many rows speak of what waits.
    fn waiting(&self) -> usize {
        let rows = self.world.bob.rows();
        rows.iter().filter(|row| row.starts_with("queue.kp") || row.starts_with("waiting.")).count()
    }
}

const REFUSED: &str = "[KERNEL:DELIVERY_FAILED]";

#[test]
fn a_message_to_the_promise_of_its_own_result_is_refused_and_nothing_waits_there() {
    let mut crowd = Crowd::gathered();
    let told = crowd.sends(0, "rp+5", "", "", "rp+5");
    assert!(told.contains(r#"["notify",[["rp-5",true,"#) && told.contains(REFUSED), "{told}");
    for _ in 0..10 {
        crowd.sends(0, "rp+5", "more", "", "");
    }
    assert_eq!(crowd.waiting(), 0);
    crowd.world.audit();
}

#[test]
fn so_is_one_that_waits_for_itself_by_way_of_others() {
    for length in [1, 2, 40] {
        let (mut crowd, promise) = with_promise();
        for number in 1..=length {
            let told = crowd.sends(0, &format!("rp+{number}"), "", "", &format!("rp+{}", number + 1));
            assert!(!told.contains(REFUSED), "{told}");
        }
        crowd.sends(0, "ro-1", "give", &format!("\"rp+{}\"", length + 1), "");
        let (slots, _) = crowd.last_message();
        let told = crowd.resolves(promise, r##"#"$0""##, &slots);
        assert_eq!(told.matches(REFUSED).count(), length, "each hears that its answer will not come: {told}");
        assert_eq!(crowd.waiting(), 0);
        crowd.world.audit();
    }
}

#[test]
fn more_that_waits_for_each_other_in_a_row_than_is_followed_is_refused() {
    let (mut crowd, _) = with_promise();
    let mut last = "rp+1".to_owned();
    for number in 0..=MAX_WAITING_FOR {
        let (peer, next) = (number * 3 / (MAX_WAITING_FOR + 1), format!("rp+{}", number + 2));
        let told = crowd.sends(peer, &last, "", "", &next);
        assert_eq!(told.contains(REFUSED), number == MAX_WAITING_FOR, "{number}: {told}");
        last = next;
        // The last of each peer's is handed on to the next peer.
        let next_peer = (number + 1) * 3 / (MAX_WAITING_FOR + 1);
        if next_peer != peer && number < MAX_WAITING_FOR {
            crowd.sends(peer, "ro-1", "give", &format!("\"{last}\""), "");
            let (slots, _) = crowd.last_message();
            last = crowd.resolves_for(next_peer, slots[0]);
        }
    }
    crowd.world.audit();
}

#[test]
fn a_circle_through_two_peers_and_the_program_is_broken_where_it_closes() {
    let mut crowd = Crowd::gathered();
    // The result of a first message is a promise of the program's.
    crowd.sends(0, "ro-1", "first", "", "rp+1");
    let (_, Some(of_program)) = crowd.last_message() else { panic!("a result is wanted") };
    // What waits in it is to settle rp+2, in which the second peer's message waits, which is to settle its own rp+1.
    crowd.sends(0, "rp+1", "waits", "", "rp+2");
    crowd.sends(0, "ro-1", "give", r#""rp+2""#, "");
    let (slots, _) = crowd.last_message();
    let second = crowd.resolves_for(1, slots[0]);
    crowd.sends(1, &second, "waits too", "", "rp+1");
    crowd.sends(1, "ro-1", "give", r#""rp+1""#, "");
    let (slots, _) = crowd.last_message();
    assert!(crowd.waiting() > 0);
    // The program settles its promise with the one that waits for it in the end.
    let told = crowd.resolves(of_program, r##"#"$0""##, &[slots[0]]);
    assert!(told.contains(REFUSED), "{told}");
    assert_eq!(crowd.waiting(), 0, "both peers were told, one after the other");
    crowd.world.audit();
}

impl Crowd {
    /// The program gives a peer a promise, as the answer to a message; gives the peer's name for it.
    fn resolves_for(&mut self, number: usize, promise: Kref) -> String {
        let result = format!("rp+{}", 1_000_000 + self.seqs[number]);
        self.sends(number, "ro-1", "ask", "", &result);
        let (_, Some(result)) = self.last_message() else { panic!("a result is wanted") };
        let told = self.resolves(result, "#[\"$0\"]", &[promise]);
        let (_, rest) = told.split_once(r#""slots":[""#).unwrap_or_else(|| panic!("{told}"));
        let (name, _) = rest.split_once('"').unwrap();
        name.parse::<crate::wire::Eref>().unwrap().flipped().to_string()
    }
}

/// A promise of the program's that a peer knows as `rp+1`.
fn with_promise() -> (Crowd, Kref) {
    let mut crowd = Crowd::gathered();
    crowd.sends(0, "ro-1", "first", "", "rp+1");
    let (_, Some(promise)) = crowd.last_message() else { panic!("a result is wanted") };
    (crowd, promise)
}

#[test]
fn what_one_peer_has_waiting_is_bounded_in_number_and_the_rest_is_refused_alone() {
    let (mut crowd, promise) = with_promise();
    for number in 0..MAX_WAITING {
        crowd.sends(0, "rp+1", &format!("{number}"), "", "");
    }
    let told = crowd.sends(0, "rp+1", "one more", "", "rp+2");
    assert!(told.contains(r#"[["rp-2",true,"#) && told.contains(REFUSED), "{told}");
    assert!(!told.contains(r#""rp-1""#), "nothing else is disturbed: {told}");
    let other = crowd.resolves_for(1, promise);
    assert!(!crowd.sends(1, &other, "another's", "", "rp+2").contains(REFUSED), "another has room of its own");

    crowd.resolves(promise, r##"#"$0""##, &[crowd.of_bob]);
    let bodies = crowd.bodies();
    assert_eq!(bodies.len(), MAX_WAITING + 1);
    assert_eq!(bodies[..2], ["0", "1"], "in order");
    assert_eq!(crowd.waiting(), 0);
    crowd.world.audit();
}

#[test]
fn what_one_peer_has_waiting_is_bounded_in_bytes() {
    let (mut crowd, promise) = with_promise();
    let body = "x".repeat(1_000_000);
    let fit = MAX_WAITING_BYTES / 1_000_000;
    for _ in 0..fit {
        assert!(!crowd.sends(0, "rp+1", &body, "", "").contains(REFUSED));
    }
    assert!(crowd.sends(0, "rp+1", &body, "", "rp+3").contains(REFUSED));
    assert!(!crowd.sends(0, "rp+1", "short", "", "rp+4").contains(REFUSED), "there is room for that");
    crowd.world.restart_bob(true);
    let told = crowd.sends(0, "rp+1", &body, "", "rp+5");
    assert!(told.contains(REFUSED), "it is known after a restart: {told}");
    crowd.resolves(promise, "#1", &[]);
    assert_eq!(crowd.waiting(), 0);
    crowd.world.audit();
}

#[test]
fn a_peer_that_restarts_has_its_room_again_and_others_keep_what_waits() {
    let (mut crowd, promise) = with_promise();
    let other = crowd.resolves_for(1, promise);
    for number in 0..MAX_WAITING {
        crowd.sends(0, "rp+1", &format!("{number}"), "", "");
        if number % 100 == 0 {
            crowd.sends(1, &other, "another's", "", "");
        }
    }
    crowd.is_introduced(0, "second");
    assert_eq!(crowd.waiting(), 2 * 10 + 1, "what the dead sent is gone, each of the other's has its two rows");
    crowd.world.audit();
    crowd.world.bob.take_events();
    let again = crowd.resolves_for(0, promise);
    assert!(!crowd.sends(0, &again, "again", "", "rp+2").contains(REFUSED));
    crowd.resolves(promise, r##"#"$0""##, &[crowd.of_bob]);
    let bodies = crowd.bodies();
    assert_eq!(bodies.iter().filter(|body| *body == "another's").count(), 10);
    assert_eq!(bodies.len(), 11);
    crowd.world.audit();
}

#[test]
fn a_long_reason_is_not_repeated_for_each_message_to_what_was_rejected() {
    let mut crowd = Crowd::gathered();
    let reject = |body: &str| {
        format!(r#""method":"deliver","params":["notify",[["rp+1",true,{{"body":"{body}","slots":[]}}]]]"#)
    };
    crowd.writes(0, &reject(&"x".repeat(100_000)));
    let told = crowd.sends(0, "rp+1", "", "", "rp+2");
    assert!(told.len() < 1_000 && told.contains("too long to be repeated"), "{} bytes", told.len());
    crowd.world.audit();
}

#[test]
fn a_peer_that_mentions_what_was_settled_again_and_again_is_refused_after_a_while() {
    let mut crowd = Crowd::gathered();
    let long = "x".repeat(500_000);
    let settle = |index: u64, slots: &str| {
        format!(
            r#""method":"deliver","params":["notify",[["rp+{index}",false,{{"body":"{long}","slots":[{slots}]}}]]]"#
        )
    };
    crowd.writes(0, &settle(1, ""));
    crowd.writes(0, &settle(2, r#""rp+1""#));
    let told = |crowd: &mut Crowd| {
        let events = crowd.world.bob.take_events();
        events.iter().filter(|event| matches!(event, KernelEvent::Notify { .. })).count()
    };
    crowd.sends(0, "ro-1", "", r#""rp+2""#, "");
    assert_eq!(told(&mut crowd), 2);
    // Most of its credit goes without a word, or this would take its time.
    let kernel = crowd.world.bob.kernel();
    let remote = kernel.remotes().remotes().find(|remote| *remote.peer() == Crowd::peer(0)).unwrap().id();
    let last = kernel.store.eref_to_kref(remote, "rp+2".parse().unwrap()).unwrap().unwrap();
    let mut times = 1;
    for _ in 0..MAX_TOLD_AGAIN / 1_001_040 - 3 {
        kernel.store.charge_retelling(remote, &[last]).unwrap();
        times += 1;
    }
    let again = |crowd: &mut Crowd, number: u64| {
        !crowd.sends(0, "ro-1", "", r#""rp+2""#, &format!("rp+{number}")).contains(REFUSED)
    };
    while again(&mut crowd, 2 + times) {
        times += 1;
    }
    assert_eq!(times, MAX_TOLD_AGAIN / 1_001_040, "each time costs both values");
    // The same by way of a promise that the program waits for.
    crowd.sends(0, "ro-1", "", r#""rp+900""#, "");
    told(&mut crowd);
    crowd.writes(0, r#""method":"deliver","params":["notify",[["rp+900",false,{"body":"","slots":["rp+2"]}]]]"#);
    assert_eq!(told(&mut crowd), 1, "only that it is rejected");
    // What it sends makes up for it; and another's credit is its own.
    crowd.sends(0, "ro-1", &long, "", "");
    assert!(!crowd.sends(0, "ro-1", "", r#""rp+2""#, "rp+901").contains(REFUSED));
    crowd.world.audit();
}

/// Alice and bob each decide a promise and know the other's. In the same moment each settles its own with the other's.
#[test]
fn promises_settled_with_each_other_in_the_same_moment_are_fulfilled_at_both_ends() {
    let (mut world, for_alice, _) = World::introduced();
    // Alice's promise for bob; and bob's, in answer, for alice.
    let of_alice = world.alice.kernel().create_promise().unwrap();
    let alices_answer = world.alice.kernel().send(for_alice, with_slots("#[\"&0\"]", &[of_alice])).unwrap();
    world.run();
    let given = world.bob.take_events().into_iter().find_map(|event| match event {
        KernelEvent::Message { methargs, result, .. } => Some((methargs.slots[0], result.unwrap())),
        _ => None,
    });
    let (at_bob, answer) = given.unwrap();
    let bobs = world.bob.kernel().create_promise().unwrap();
    world.bob.kernel().resolve(answer, false, with_slots("#[\"&0\"]", &[bobs])).unwrap();
    world.run();
    let at_alice = world.alice.take_events().into_iter().find_map(|event| match event {
        KernelEvent::Notify { promise, value, .. } if promise == alices_answer => Some(value.slots[0]),
        _ => None,
    });
    let at_alice = at_alice.unwrap();

    world.alice.kernel().resolve(of_alice, false, with_slots("#[\"&0\"]", &[at_alice])).unwrap();
    world.bob.kernel().resolve(bobs, false, with_slots("#[\"&0\"]", &[at_bob])).unwrap();
    world.run();
    for (host, other) in [(&mut world.alice, at_alice), (&mut world.bob, at_bob)] {
        let events = host.take_events();
        assert!(!events.iter().any(|event| matches!(event, KernelEvent::Remote(_))), "nothing was refused: {events:?}");
        let told: Vec<_> = events
            .into_iter()
            .filter_map(|event| match event {
                KernelEvent::Notify { promise, rejected, value } => Some((promise, rejected, value)),
                _ => None,
            })
            .collect();
        let [(promise, false, value), (broken, true, reason)] = &told[..] else { panic!("{told:?}") };
        assert_eq!((*promise, &value.slots[..], value.body.as_str()), (other, &[*broken][..], "#[\"&0\"]"));
        assert!(reason.body.contains(REFUSED), "{}", reason.body);
    }
    // What each says next lets the other forget the names.
    for _ in 0..2 {
        world.send(for_alice, "#1");
        world.run();
        for (_, result) in world.bob.messages() {
            world.bob.kernel().resolve(result.unwrap(), false, data("#2")).unwrap();
        }
        world.run();
    }
    world.audit();
    for (host, circle) in [(&world.alice, [of_alice, at_alice]), (&world.bob, [bobs, at_bob])] {
        for kpid in circle {
            assert!(!host.rows().contains(&format!("{kpid}.state")), "{kpid} holds itself");
        }
    }
}
