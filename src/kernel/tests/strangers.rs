//! Crowds of peers that the kernel has nothing to do with: what is kept of them is bounded, and nobody else is disturbed.

use super::*;
use crate::wire::{Message, Seq};

fn stranger(number: u16) -> PeerId {
    let mut seed = [9; 32];
    seed[..2].copy_from_slice(&number.to_le_bytes());
    PeerId::from_ed25519_seed(seed).unwrap()
}

fn incarnation(name: &str) -> IncarnationId {
    name.parse().unwrap()
}

fn redeem(seq: u64, ack: Option<u64>, url: &str) -> String {
    let ack = ack.map_or(String::new(), |ack| format!(r#""ack":{ack},"#));
    format!(r#"{{"seq":{seq},{ack}"method":"redeemURL","params":["{url}","key-{seq}"]}}"#)
}

impl World {
    fn shows(&mut self, peer: &PeerId, name: &str) -> bool {
        self.bob.kernel().handle_incarnation_change(peer, &incarnation(name), self.now).unwrap()
    }

    /// Hands bob what a stranger writes; gives what bob writes to it.
    fn hears(&mut self, peer: &PeerId, text: &str) -> Result<Vec<Message>, KernelError> {
        self.bob.kernel().handle_remote_message(peer, text, self.now)?;
        while Self::collect(&mut self.bob, self.now, true) {}
        Ok(self.bob.outbound.drain(..).map(|text| Message::parse(&text).unwrap()).collect())
    }

    /// A stranger asks for what does not exist, and acknowledges the answer.
    fn pesters(&mut self, peer: &PeerId, name: &str) {
        assert!(!self.shows(peer, name));
        assert_eq!(self.hears(peer, &redeem(1, None, "ocap:nonsense")).unwrap().len(), 1);
        self.hears(peer, r#"{"ack":1}"#).unwrap();
    }
}

#[test]
fn of_peers_that_only_shake_hands_nothing_is_stored() {
    let (mut world, _, _) = World::introduced();
    let rows = world.bob.rows().len();
    for number in 0..10_000 {
        assert!(!world.shows(&stranger(number), "life"));
    }
    for number in 0..50 {
        let peer = stranger(number);
        assert!(world.hears(&peer, "garbage").is_err());
        assert_eq!(world.hears(&peer, r#"{"ack":7}"#).unwrap(), []);
    }
    assert_eq!(world.bob.rows().len(), rows);
    assert_eq!(world.bob.kernel().remotes().remotes().count(), 1);
    world.audit();
}

#[test]
fn a_stranger_that_restarts_before_it_writes_is_told_apart_all_the_same() {
    let mut world = World::new();
    let peer = stranger(1);
    assert!(!world.shows(&peer, "first"));
    assert!(!world.shows(&peer, "first"));
    assert!(world.shows(&peer, "second"));
    world.hears(&peer, &redeem(1, None, "ocap:nonsense")).unwrap();
    assert!(!world.shows(&peer, "second"), "its record has the incarnation that it showed");
    assert!(world.shows(&peer, "third"));
}

#[test]
fn what_a_stranger_gave_up_before_it_was_ever_heard_is_not_waited_for() {
    let mut world = World::new();
    let peer = stranger(1);
    world.shows(&peer, "life");
    assert_eq!(world.hears(&peer, r#"{"ack":0,"start":3}"#).unwrap(), []);
    assert_eq!(world.bob.kernel().remotes().remotes().count(), 0);
    assert_eq!(world.hears(&peer, &redeem(3, None, "ocap:nonsense")).unwrap().len(), 1);
    let lost = |event| matches!(event, KernelEvent::Remote(RemoteEvent::MessagesLost { first, last, .. }) if (first.get(), last.get()) == (1, 2));
    assert!(world.bob.take_events().into_iter().any(lost));
    assert!(world.shows(&peer, "another"), "what it said in its former life is forgotten with it");
    assert_eq!(world.hears(&peer, &redeem(1, None, "ocap:nonsense")).unwrap().len(), 1);
    world.audit();
}

#[test]
fn the_oldest_of_too_many_strangers_is_forgotten_and_no_acquaintance_is() {
    let (mut world, for_alice, _) = World::introduced();
    let before = world.bob.rows().len();
    world.pesters(&stranger(0), "life");
    let rows_of_one = world.bob.rows().len() - before;
    for number in 1..1_500 {
        world.pesters(&stranger(number), "life");
    }
    let remotes: Vec<PeerId> = world.bob.kernel().remotes().remotes().map(|remote| remote.peer().clone()).collect();
    assert_eq!(remotes.len(), 1_001);
    assert!(remotes.contains(&world.alice.peer()) && remotes.contains(&stranger(1_499)));
    assert!(!remotes.contains(&stranger(499)) && remotes.contains(&stranger(500)));
    assert_eq!(world.bob.rows().len(), before + 1_000 * rows_of_one + 1);
    world.send(for_alice, "#\"still there?\"");
    world.run();
    assert_eq!(world.bob.messages().len(), 1);
    world.audit();

    // The same holds for the kernel that is started again.
    world.restart_bob(true);
    world.pesters(&stranger(2_000), "life");
    assert_eq!(world.bob.kernel().remotes().remotes().count(), 1_001);
    world.audit();
}

#[test]
fn a_forgotten_stranger_goes_on_where_it_was() {
    let mut world = World::new();
    let (early, of_bob) = (stranger(0), world.bob.kernel().export_object().unwrap());
    let nonce = world.bob.fresh_bytes();
    let url = world.bob.kernel().issue_ocap_url(of_bob, nonce).unwrap();
    for number in 0..1_001 {
        world.pesters(&stranger(number), "life");
    }
    assert!(world.bob.kernel().remotes().remotes().all(|remote| *remote.peer() != early));
    assert!(!world.shows(&early, "life"), "it is no other than before");
    let answers = world.hears(&early, &redeem(2, Some(1), &url)).unwrap();
    let [Message { ack, command: Some((seq, _)), .. }] = &answers[..] else { panic!("{answers:?}") };
    assert_eq!((seq.get(), ack.map(Seq::get)), (2, Some(2)), "neither side's numbers begin again");
    assert!(world.shows(&early, "another"));
    world.audit();
}

#[test]
fn a_stranger_that_was_given_something_is_known_from_then_on() {
    let mut world = World::new();
    let (guest, of_bob) = (stranger(0), world.bob.kernel().export_object().unwrap());
    let nonce = world.bob.fresh_bytes();
    let url = world.bob.kernel().issue_ocap_url(of_bob, nonce).unwrap();
    world.shows(&guest, "life");
    world.bob.kernel().handle_remote_message(&guest, &redeem(1, None, &url), world.now).unwrap();
    let mut told = Vec::new();
    world.bob.kernel().commit(world.now).unwrap();
    while let Some(effect) = world.bob.kernel().poll_effect(world.now) {
        match effect {
            KernelEffect::OpenUrl { ticket, url } => world.bob.kernel().open_url(ticket, &url).unwrap(),
            KernelEffect::RegisterLocationHints { peer, hints } => told.push((peer, hints)),
            KernelEffect::Write(_) => {}
        }
        world.bob.kernel().commit(world.now).unwrap();
    }
    assert_eq!(told, [(guest.clone(), Vec::new())]);
    for number in 1..1_200 {
        world.pesters(&stranger(number), "life");
    }
    assert!(world.bob.kernel().remotes().remotes().any(|remote| *remote.peer() == guest));
    world.audit();
}

#[test]
fn strangers_that_acknowledge_nothing_are_refused_until_they_are_given_up() {
    let mut world = World::new();
    for number in 0..1_000 {
        world.shows(&stranger(number), "life");
        world.hears(&stranger(number), &redeem(1, None, "ocap:nonsense")).unwrap();
    }
    world.shows(&stranger(1_000), "life");
    let error = world.hears(&stranger(1_000), &redeem(1, None, "ocap:nonsense")).unwrap_err();
    assert_eq!(error.name(), "ResourceLimitError", "{error}");
    for _ in 0..50 {
        world.now = world.now.after(Duration::from_secs(1));
        world.bob.kernel().handle_timeout(world.now).unwrap();
        World::collect(&mut world.bob, world.now, true);
    }
    world.bob.outbound.clear();
    world.pesters(&stranger(1_000), "life");
    assert_eq!(world.bob.kernel().remotes().remotes().count(), 1_000);
    world.audit();
}

#[test]
fn repeated_frames_are_processed_once() {
    let (mut world, _, of_bob) = World::introduced();
    let nonce = world.bob.fresh_bytes();
    let url = world.bob.kernel().issue_ocap_url(of_bob, nonce).unwrap();
    let peer = stranger(1);
    world.shows(&peer, "life");
    let written: usize = (0..10_000).map(|_| world.hears(&peer, &redeem(1, None, &url)).unwrap().len()).sum();
    assert_eq!(written, 1, "one answer; the acknowledgements wait for their time, together");
    let remote = world.bob.kernel().remotes().remotes().find(|remote| *remote.peer() == peer).unwrap();
    assert_eq!((remote.counters().delivered, remote.counters().duplicates), (1, 9_999));
    world.audit();
}

fn deliver(seq: u64, params: &str) -> String {
    format!(r#"{{"seq":{seq},"method":"deliver","params":{params}}}"#)
}

/// What a peer can say that names things of its own and nothing else.
const OF_ITS_OWN: [&str; 4] = [
    r#"{"seq":1,"method":"redeemURLReply","params":[true,"x","ro+1"]}"#,
    r#"{"seq":1,"method":"deliver","params":["notify",[["rp+1",false,{"body":"","slots":["ro+1","rp+2"]}]]]}"#,
    r#"{"seq":1,"method":"deliver","params":["message","ro+1",{"methargs":{"body":"","slots":["ro+2"]},"result":"rp+1"}]}"#,
    r#"{"seq":1,"method":"deliver","params":["message","rp+1",{"methargs":{"body":"","slots":["rp+2"]},"result":"rp+3"}]}"#,
];

impl World {
    /// Bob's effects until there are none; gives the peers that he has told the network of.
    fn bob_tells_of(&mut self) -> Vec<PeerId> {
        let mut told = Vec::new();
        loop {
            self.bob.events.extend(std::iter::from_fn(|| self.bob.kernel.as_mut().unwrap().poll_event()));
            self.bob.kernel().commit(self.now).unwrap();
            let Some(effect) = self.bob.kernel().poll_effect(self.now) else { return told };
            match effect {
                KernelEffect::RegisterLocationHints { peer, .. } => told.push(peer),
                KernelEffect::OpenUrl { ticket, url } => self.bob.kernel().open_url(ticket, &url).unwrap(),
                KernelEffect::Write(RemoteWrite { remote, token, message, .. }) => {
                    self.bob.outbound.push(message);
                    self.bob.kernel().write_finished(remote, token, &Ok(()), self.now).unwrap();
                }
            }
        }
    }

    /// A guest redeems a URL of bob's, and acknowledges the answer.
    fn is_given(&mut self, guest: &PeerId, life: &str, of_bob: Kref) -> Vec<PeerId> {
        let nonce = self.bob.fresh_bytes();
        let url = self.bob.kernel().issue_ocap_url(of_bob, nonce).unwrap();
        self.shows(guest, life);
        self.bob.kernel().handle_remote_message(guest, &redeem(1, None, &url), self.now).unwrap();
        let told = self.bob_tells_of();
        self.hears(guest, r#"{"ack":1}"#).unwrap();
        told
    }

    fn knows(&mut self, peer: &PeerId) -> bool {
        self.bob.kernel().remotes().remotes().any(|remote| remote.peer() == peer)
    }
}

#[test]
fn a_stranger_that_names_things_of_its_own_stays_one() {
    let (mut world, for_alice, _) = World::introduced();
    let mut told = Vec::new();
    for number in 0..1_050 {
        let mallory = stranger(number);
        world.shows(&mallory, "life");
        let text = OF_ITS_OWN[usize::from(number) % OF_ITS_OWN.len()];
        world.bob.kernel().handle_remote_message(&mallory, text, world.now).unwrap();
        told.extend(world.bob_tells_of());
        world.hears(&mallory, r#"{"ack":9}"#).unwrap();
    }
    assert_eq!(told, [], "the network is told of nobody");
    assert_eq!(world.bob.kernel().remotes().remotes().count(), 1_001);
    assert!(world.knows(&world.alice.peer()) && !world.knows(&stranger(0)) && world.knows(&stranger(1_049)));
    world.audit();

    // Nor does the kernel that is started again take them for more.
    world.restart_bob(true);
    world.bob.kernel.as_mut().unwrap().network_started(world.now).unwrap();
    assert_eq!(world.bob_tells_of(), [world.alice.peer()]);
    world.bob.outbound.clear();
    for number in 1_050..2_100 {
        world.pesters(&stranger(number), "life");
    }
    assert_eq!(world.bob.kernel().remotes().remotes().count(), 1_001);
    let left = world.bob.rows().into_iter().filter(|row| row.starts_with("kp") || row.starts_with("queue.kp"));
    assert_eq!(left.collect::<Vec<_>>(), [""; 0], "of those that are forgotten nothing is left");
    world.connect();
    world.send(for_alice, "#\"still there?\"");
    world.run();
    assert_eq!(world.bob.messages().len(), 1);
    world.audit();
}

#[test]
fn a_guest_that_gives_everything_back_is_a_stranger_again() {
    let mut world = World::new();
    let of_bob = world.bob.kernel().export_object().unwrap();
    let friend = stranger(2_000);
    assert_eq!(world.is_given(&friend, "life", of_bob), std::slice::from_ref(&friend));
    for number in 0..1_050 {
        let guest = stranger(number);
        assert_eq!(world.is_given(&guest, "life", of_bob), std::slice::from_ref(&guest));
        let mut drop = |seq: u64, kind: &str| {
            let text = format!(r#"{{"seq":{seq},"ack":1,"method":"deliver","params":["{kind}",["ro-1"]]}}"#);
            world.hears(&guest, &text).unwrap();
        };
        drop(2, "dropExports");
        drop(3, "retireExports");
    }
    assert_eq!(world.bob.kernel().remotes().remotes().count(), 1_001);
    assert!(world.knows(&friend), "it still holds what it was given");
    world.audit();
}

#[test]
fn a_guest_that_restarts_was_given_nothing_yet() {
    let mut world = World::new();
    let of_bob = world.bob.kernel().export_object().unwrap();
    let guest = stranger(0);
    world.is_given(&guest, "first", of_bob);
    assert!(world.shows(&guest, "second"));
    world.bob_tells_of();
    for number in 1..=1_000 {
        world.pesters(&stranger(number), "life");
    }
    assert!(!world.knows(&guest));
    world.audit();
}

#[test]
fn nothing_that_a_forgotten_guest_repeats_is_delivered_twice() {
    let mut world = World::new();
    let of_bob = world.bob.kernel().export_object().unwrap();
    let guest = stranger(0);
    world.is_given(&guest, "life", of_bob);
    let said = deliver(2, r##"["message","ro-1",{"methargs":{"body":"#1","slots":[]},"result":"rp+1"}]"##);
    world.hears(&guest, &said).unwrap();
    let [(_, Some(result))] = world.bob.messages()[..] else { panic!("one message with a result") };
    world.bob.kernel().resolve(result, false, data("#2")).unwrap();
    world.hears(&guest, r#"{"seq":3,"ack":2,"method":"deliver","params":["dropExports",["ro-1"]]}"#).unwrap();
    world
        .hears(&guest, r#"{"seq":4,"ack":2,"retired":2,"method":"deliver","params":["retireExports",["ro-1"]]}"#)
        .unwrap();
    for number in 1..=1_000 {
        world.pesters(&stranger(number), "life");
    }
    assert!(!world.knows(&guest), "it gave everything back");
    // Its acknowledgements were lost, and it repeats what it has; then it is given something else of the same name.
    world.shows(&guest, "life");
    world.hears(&guest, &said).unwrap();
    world
        .bob
        .take_events()
        .iter()
        .for_each(|event| assert!(!matches!(event, KernelEvent::Message { .. }), "{event:?}"));
    world.audit();
}

#[test]
fn of_whom_the_program_speaks_is_a_stranger_no_longer() {
    let mut world = World::new();
    let (one, other) = (stranger(0), stranger(1));
    world.pesters(&one, "life");
    world.pesters(&other, "life");
    world.bob.kernel().speak_of(&one).unwrap();
    assert_eq!(world.bob_tells_of(), std::slice::from_ref(&one));
    for number in 2..1_200 {
        world.pesters(&stranger(number), "life");
    }
    assert!(world.knows(&one) && !world.knows(&other));
    world.restart_bob(true);
    world.bob.kernel.as_mut().unwrap().network_started(world.now).unwrap();
    assert_eq!(world.bob_tells_of(), [one]);
    world.audit();
}

#[test]
fn who_is_no_longer_remembered_has_to_shake_hands_again() {
    let mut world = World::new();
    let victim = stranger(60_000);
    assert!(!world.shows(&victim, "first"));
    for number in 0..4_096 {
        world.shows(&stranger(number), "life");
    }
    let refused = world.hears(&victim, &redeem(1, None, "ocap:nonsense")).unwrap_err();
    assert_eq!(refused.name(), "UnknownIncarnationError", "{refused}");
    assert!(!world.shows(&victim, "first"));
    assert_eq!(world.hears(&victim, &redeem(1, None, "ocap:nonsense")).unwrap().len(), 1);
    assert!(world.shows(&victim, "second"), "its restart is noticed");
    let answers = world.hears(&victim, &redeem(1, None, "ocap:nonsense")).unwrap();
    assert!(matches!(&answers[..], [.., Message { command: Some((Seq::FIRST, _)), .. }]), "{answers:?}");
    world.audit();
}

#[test]
fn a_stranger_that_says_nothing_for_ten_minutes_is_forgotten() {
    let (mut world, for_alice, _) = World::introduced();
    let before = world.bob.rows().len();
    let (silent, shown) = (stranger(1), stranger(2));
    world.pesters(&silent, "life");
    assert!(!world.shows(&shown, "life"));
    world.wait(Duration::from_secs(400));
    world.pesters(&stranger(3), "life");
    let remotes = |world: &mut World| world.bob.kernel().remotes().remotes().count();
    assert_eq!(remotes(&mut world), 3);
    world.wait(Duration::from_secs(200));
    assert_eq!(remotes(&mut world), 2, "alice, and who has said something since");
    assert!(matches!(world.hears(&shown, &redeem(1, None, "ocap:nonsense")), Err(KernelError::Remote(_))));
    world.wait(Duration::from_secs(400));
    assert_eq!(remotes(&mut world), 1);
    assert!(world.bob.rows().len() <= before + 1, "but for the note that some were forgotten");
    assert_eq!(world.bob.kernel().poll_timeout(), None, "nobody is waited for");
    world.send(for_alice, "#\"still there?\"");
    world.run();
    assert_eq!(world.bob.messages().len(), 1, "who is known is not forgotten");
    world.audit();
}
