//! Turns at the kernel's door.

use super::{
    bench::{Bench, deliveries},
    people,
};
use crate::{
    network::transport::{ChannelId, DeliveryOutcome, Effect},
    wire::PeerId,
};

/// A frame of 1 KiB that says whose it is.
fn frame(of: &str) -> String {
    format!("{of:1024}")
}

/// Whose frames the kernel was handed.
fn handed(effects: &[Effect]) -> Vec<String> {
    deliveries(effects).into_iter().map(|text| text.trim_end().to_owned()).collect()
}

/// A kernel that answers the oldest frame of each peer in turn, until it has none: whose frames it was handed, in order.
fn serve(alice: &mut Bench, begun: Vec<Effect>) -> Vec<String> {
    let (mut served, mut effects) = (Vec::new(), begun);
    loop {
        let frames: Vec<(PeerId, String)> = effects
            .drain(..)
            .filter_map(|effect| match effect {
                Effect::Deliver { peer, text } => Some((peer, text.trim_end().to_owned())),
                _ => None,
            })
            .collect();
        if frames.is_empty() {
            return served;
        }
        for (peer, text) in frames {
            served.push(text);
            effects.extend(alice.delivered(&peer, DeliveryOutcome::Accepted(None)));
        }
    }
}

fn flood(alice: &mut Bench, channel: ChannelId, of: &str, count: usize) -> Vec<Effect> {
    (0..count).flat_map(|_| alice.frame(channel, &frame(of))).collect()
}

#[test]
fn a_frame_does_not_wait_for_all_that_another_peer_has_sent() {
    let [_, bob, carol] = people();
    let mut alice = Bench::alice();
    let (from_bob, from_carol) = (alice.accept(&bob, "b1"), alice.accept(&carol, "c1"));
    flood(&mut alice, from_carol, "carol", 1);
    alice.delivered(&carol, DeliveryOutcome::Accepted(None));
    let mut effects = flood(&mut alice, from_bob, "bob", 40);
    assert_eq!(handed(&effects).len(), 7, "8 KiB are with the kernel, and not 16 frames");
    effects.extend(alice.frame(from_carol, &frame("carol")));
    let served = serve(&mut alice, effects);
    assert_eq!(served.len(), 41);
    let place = served.iter().position(|of| of == "carol").unwrap();
    assert!(place <= 7 + 4, "what the kernel had, and one turn of bob's: {place}");
}

#[test]
fn who_is_alone_has_every_turn() {
    let [_, bob, carol] = people();
    let mut alice = Bench::alice();
    let (from_bob, from_carol) = (alice.accept(&bob, "b1"), alice.accept(&carol, "c1"));
    let frames = flood(&mut alice, from_bob, "bob", 20);
    assert_eq!(handed(&frames).len(), 16, "as many as one peer may have with the kernel");
    serve(&mut alice, frames);
    flood(&mut alice, from_carol, "carol", 1);
    alice.delivered(&carol, DeliveryOutcome::Accepted(None));
    let frames = flood(&mut alice, from_bob, "bob", 20);
    assert_eq!(handed(&frames).len(), 7, "carol may come again");
    serve(&mut alice, frames);
    alice.pass(1_000);
    assert_eq!(handed(&flood(&mut alice, from_bob, "bob", 20)).len(), 16, "she did not for a second");
}

#[test]
fn a_long_frame_comes_to_the_kernel_when_its_turn_comes_and_by_itself() {
    let [_, bob, carol] = people();
    let mut alice = Bench::alice();
    let (from_bob, from_carol) = (alice.accept(&bob, "b1"), alice.accept(&carol, "c1"));
    let long = format!("long{}", " ".repeat(500_000));
    let effects = alice.frame(from_bob, &long);
    assert_eq!(handed(&effects), ["long"]);
    assert!(handed(&alice.frame(from_bob, &long)).is_empty());
    assert!(handed(&alice.frame(from_carol, &frame("carol"))).is_empty(), "the kernel is busy with what it has");
    let served = serve(&mut alice, effects);
    assert_eq!(served, ["long", "carol", "long"]);
}

#[test]
fn all_strangers_together_have_the_turns_of_one_peer_that_is_known() {
    let [_, bob, carol] = people();
    let mut alice = Bench::alice();
    let known = [alice.accept(&bob, "b1"), alice.accept(&carol, "c1")];
    let strangers: Vec<PeerId> = (10..30).map(|seed| PeerId::from_ed25519_seed([seed; 32]).unwrap()).collect();
    let crowd: Vec<ChannelId> = strangers.iter().map(|peer| alice.accept_stranger(peer, "s")).collect();
    let mut effects = Vec::new();
    for (index, channel) in crowd.iter().enumerate() {
        effects.extend(flood(&mut alice, *channel, if index == 19 { "last" } else { "crowd" }, 20));
    }
    for channel in known {
        effects.extend(flood(&mut alice, channel, "known", 20));
    }
    let served = serve(&mut alice, effects);
    assert_eq!(served.len(), 440);
    let last_known = served.iter().rposition(|of| of == "known").unwrap();
    assert!(last_known <= 80, "of three turns they have two: {last_known}");
    let first_of_last = served.iter().position(|of| of == "last").unwrap();
    assert!(first_of_last <= 40 + 7 + 20 * 4, "each of the crowd has its turn: {first_of_last}");
}
