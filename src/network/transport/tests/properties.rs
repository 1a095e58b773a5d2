//! Whatever happens in whatever order, every send is answered once and channels carry messages in order.

use std::collections::{BTreeMap, HashSet};

use proptest::prelude::*;

use super::{people, world::World};
use crate::{
    network::{
        status::{PeerState, PeerStatus},
        transport::Input,
    },
    wire::PeerId,
};

#[derive(Clone, Debug)]
enum Step {
    Send { from: usize, to: usize, count: u8 },
    Break { one: usize, other: usize },
    Cut { one: usize, other: usize },
    Mend,
    Restart { who: usize },
    Close { at: usize, peer: usize },
    Reconnect { at: usize, peer: usize },
    Wait { millis: u64 },
}

fn pair() -> impl Strategy<Value = (usize, usize)> {
    prop_oneof![Just((0, 1)), Just((1, 0)), Just((0, 2)), Just((2, 0)), Just((1, 2)), Just((2, 1))]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (pair(), 1_u8..12).prop_map(|((from, to), count)| Step::Send { from, to, count }),
        3 => pair().prop_map(|(one, other)| Step::Break { one, other }),
        1 => pair().prop_map(|(one, other)| Step::Cut { one, other }),
        2 => Just(Step::Mend),
        1 => (0_usize..3).prop_map(|who| Step::Restart { who }),
        1 => pair().prop_map(|(at, peer)| Step::Close { at, peer }),
        2 => pair().prop_map(|(at, peer)| Step::Reconnect { at, peer }),
        6 => prop_oneof![0_u64..30, 0_u64..2_000].prop_map(|millis| Step::Wait { millis }),
    ]
}

/// The number in a message of the story; handshakes have none.
fn number(text: &str) -> Option<(usize, usize, u64)> {
    let mut parts = text.split('/').map(str::parse::<u64>);
    let mut next = || parts.next()?.ok();
    Some((next()? as usize, next()? as usize, next()?))
}

proptest! {
    #[test]
    fn every_send_is_answered_once_and_no_channel_has_a_gap(
        steps in proptest::collection::vec(step(), 1..60),
        latency in 0_u64..200,
    ) {
        let people: [PeerId; 3] = people();
        let mut world = World::new();
        world.set_latency(&people[0], &people[1], latency);
        let mut sends = Vec::new();
        let mut counts: BTreeMap<(usize, usize), u64> = BTreeMap::new();
        let mut lives = [1; 3];
        let mut closed = HashSet::new();
        for step in steps {
            match step {
                Step::Send { from, to, count } => {
                    for _ in 0..count {
                        let next = counts.entry((from, to)).or_insert(0);
                        *next += 1;
                        let send = world.send(&people[from], &people[to], &format!("{from}/{to}/{next}"));
                        sends.push((send, from, lives[from]));
                    }
                }
                Step::Break { one, other } => world.break_streams(&people[one], &people[other]),
                Step::Cut { one, other } => world.cut(&people[one], &people[other]),
                Step::Mend => world.mend(),
                Step::Restart { who } => {
                    lives[who] += 1;
                    closed.retain(|(at, _)| *at != who);
                    world.restart(&people[who]);
                }
                Step::Close { at, peer } => {
                    closed.insert((at, peer));
                    world.tell(&people[at], Input::CloseConnection { peer: people[peer].clone() });
                }
                Step::Reconnect { at, peer } => {
                    closed.remove(&(at, peer));
                    world.tell(&people[at], Input::Reconnect { peer: people[peer].clone(), hints: vec![] });
                }
                Step::Wait { millis } => world.run(millis),
            }
        }
        world.mend();
        world.run(50_000);
        let dials = world.dials;
        world.run(50_000);

        // One answer for each send; none for those whose sender died first.
        let done: HashSet<_> = world.done.iter().collect();
        prop_assert_eq!(done.len(), world.done.len(), "a send was answered twice");
        for (send, from, life) in &sends {
            prop_assert!(*life != lives[*from] || done.contains(send), "a send was not answered");
        }
        // On each channel the messages of one sender to one peer are a run without gaps, in the order of the calls.
        for texts in world.written.values() {
            let numbers: Vec<_> = texts.iter().filter_map(|text| number(text)).collect();
            for pair in numbers.windows(2) {
                prop_assert_eq!((pair[0].0, pair[0].1), (pair[1].0, pair[1].1), "a channel has one sender and one peer");
                prop_assert_eq!(pair[0].2 + 1, pair[1].2, "a gap in {:?}", numbers);
            }
        }
        // Delivery never goes back, and nothing is delivered twice.
        for (who, peer) in people.iter().enumerate() {
            let mut last: BTreeMap<usize, u64> = BTreeMap::new();
            for (from, to, number) in world.delivered(peer).iter().filter_map(|text| number(text)) {
                prop_assert_eq!(to, who);
                prop_assert!(last.insert(from, number).is_none_or(|before| before < number));
            }
        }
        // Whoever listens to the events knows what the snapshot says.
        for teller in &people {
            let outline = |status: &PeerStatus| (status.state, status.next_attempt_at, status.channel.as_ref().map(|channel| channel.since));
            let snapshot: BTreeMap<_, _> = world.status(teller).iter().map(|status| (status.peer_id.clone(), outline(status))).collect();
            for peer in &people {
                let told = world.told.get(&(teller.clone(), peer.clone())).map_or((PeerState::Idle, None, None), outline);
                prop_assert_eq!(told, snapshot.get(peer).copied().unwrap_or((PeerState::Idle, None, None)));
            }
        }
        // At rest, two peers have at most one stream between them, and agree whether they have.
        prop_assert!(world.open_pipes() <= 3);
        let registered: usize = people.iter().map(|peer| world.registered(peer)).sum();
        prop_assert_eq!(registered, 2 * world.open_pipes());
        // Nobody dials for nothing: only a peer that was closed on purpose is still knocked at, ever more rarely.
        let knocks = world.dials - dials;
        prop_assert!(if closed.is_empty() { knocks == 0 } else { knocks < 100 }, "{} dials at rest", knocks);
    }
}
