use super::{
    bench::{Bench, dial, ends, failure, outcome, texts},
    people,
    world::{SlowLine, World},
};
use crate::{network::transport::Effect, wire::RemoteCommsOptions};

const KIB: u64 = 1 << 10;

/// Alice and Bob send each other two messages of 1 MiB at once, and short ones meanwhile.
fn a_mebibyte_each_way(line: SlowLine) -> World {
    let [alice, bob, _] = people();
    let mut world = World::new();
    world.send(&alice, &bob, "first");
    world.run(1_000);
    world.slow = Some(line);
    let long = "x".repeat(1 << 20);
    let mut expected = vec!["first".to_owned()];
    let mut sends = Vec::new();
    for round in 0..60 {
        let text = if round % 30 == 0 { long.clone() } else { round.to_string() };
        sends.push(world.send(&alice, &bob, &text));
        sends.push(world.send(&bob, &alice, &text));
        expected.push(text);
        world.run(1_000);
    }
    world.run(120_000);
    assert!(sends.iter().all(|send| world.outcome(*send) == Some(Ok(()))));
    assert_eq!(world.delivered(&bob), expected);
    assert_eq!(world.delivered(&alice), expected[1..]);
    assert_eq!(world.dials, 1, "the channel is the one of the beginning");
    world
}

#[test]
fn a_mebibyte_each_way_and_short_messages_come_through_a_line_of_20_kilobytes_per_second() {
    let world = a_mebibyte_each_way(SlowLine { bytes_per_second: 20_000, holds: 256 * KIB, part: 16 * KIB });
    let told = world.moving;
    assert!((80..=160).contains(&told), "kernels were told {told} times in two minutes, of four messages");
}

#[test]
fn room_that_comes_rarely_and_in_lumps_is_waited_for() {
    a_mebibyte_each_way(SlowLine { bytes_per_second: 20_000, holds: 512 * KIB, part: 512 * KIB });
}

#[test]
fn a_write_that_moves_is_alive_and_one_that_stands_still_is_a_lost_channel() {
    let [_, bob, _] = people();
    let mut alice = Bench::alice();
    let channel = alice.accept(&bob, "b1");
    let (long, _) = alice.send(&bob, "long");
    let (behind, _) = alice.send(&bob, "short");
    for _ in 0..10 {
        assert!(!ends(&alice.pass(9_000), channel));
        alice.part_written(channel);
    }
    assert!(!ends(&alice.pass(9_999), channel));
    let effects = alice.pass(1);
    assert!(ends(&effects, channel));
    assert_eq!([long, behind].map(|send| failure(&effects, send)), ["ConnectionLostError"; 2]);
}

#[test]
fn each_of_many_writes_has_its_own_time() {
    let [_, bob, _] = people();
    let mut alice = Bench::alice();
    let channel = alice.accept(&bob, "b1");
    let sends: Vec<_> = (0..8).map(|number| alice.send(&bob, &number.to_string()).0).collect();
    for send in sends {
        assert!(!ends(&alice.pass(9_000), channel));
        assert_eq!(outcome(&alice.written(channel), send), Some(Ok(())));
    }
    assert!(!ends(&alice.pass(60_000), channel), "nothing is under way");
}

#[test]
fn what_the_line_still_carries_is_waited_for_but_not_for_ever() {
    let [_, bob, _] = people();
    let mut alice = Bench::alice();
    let channel = alice.accept(&bob, "b1");
    alice.send(&bob, "1");
    alice.carrying = true;
    assert!(!ends(&alice.pass(35_000), channel));
    alice.carrying = false;
    assert!(!ends(&alice.pass(4_999), channel));
    assert!(ends(&alice.pass(1), channel), "10 s after the line was last asked about");

    let channel = alice.accept(&bob, "b1");
    alice.send(&bob, "1");
    alice.carrying = true;
    assert!(!ends(&alice.pass(69_999), channel));
    assert!(ends(&alice.pass(1), channel));
}

#[test]
fn a_handshake_behind_long_messages_is_waited_for_at_both_ends() {
    let [_, bob, carol] = people();
    let mut alice = Bench::alice();
    alice.carrying = true;
    let (inbound, _) = alice.inbound(&bob);
    let (send, effects) = alice.send(&carol, "1");
    let (outbound, _) = alice.dial_succeeds(dial(&effects));
    let effects = alice.pass(30_000);
    assert!(!ends(&effects, inbound) && !ends(&effects, outbound));
    alice.hello(inbound, "b1");
    alice.ack(outbound, "c1");
    assert_eq!(texts(&alice.verdict(inbound, &bob, Ok(false))).len(), 1);
    assert_eq!(texts(&alice.verdict(outbound, &carol, Ok(false))), ["1"]);
    assert_eq!(outcome(&alice.written(outbound), send), None, "that was the hello");
}

#[test]
fn a_handshake_of_which_nothing_is_on_its_way_fails_in_its_time() {
    let [_, bob, carol] = people();
    let mut alice = Bench::alice();
    let (inbound, _) = alice.inbound(&bob);
    let (_, effects) = alice.send(&carol, "1");
    let (outbound, _) = alice.dial_succeeds(dial(&effects));
    assert!(alice.pass(9_999).is_empty());
    let effects = alice.pass(1);
    assert!(ends(&effects, inbound) && ends(&effects, outbound));
}

#[test]
fn a_frame_that_moves_is_no_silence_but_one_that_never_ends_is_cut() {
    let [_, bob, _] = people();
    let options = RemoteCommsOptions { stream_inactivity_timeout_ms: 5_000, ..RemoteCommsOptions::default() };
    let mut alice = Bench::with(options);
    let channel = alice.accept(&bob, "b1");
    for _ in 0..100 {
        assert!(!ends(&alice.pass(4_000), channel));
        alice.part_read(channel);
    }
    alice.frame(channel, "whole at last");
    assert!(!ends(&alice.pass(4_999), channel));
    assert!(ends(&alice.pass(1), channel), "silent since");

    let channel = alice.accept(&bob, "b1");
    alice.part_read(channel);
    let mut seconds = 0;
    while !ends(&alice.pass(1_000), channel) {
        alice.part_read(channel);
        seconds += 1;
        assert!(seconds < 2_000, "it is never cut");
    }
    assert_eq!(seconds, 1_024 + 5 - 1, "1 MiB at 1 KiB/s, and the silence");
}

#[test]
fn the_kernel_is_told_of_what_moves_now_and_then() {
    let [_, bob, _] = people();
    let mut alice = Bench::alice();
    let channel = alice.accept(&bob, "b1");
    let told = |effects: Vec<Effect>| effects.contains(&Effect::Moving { peer: bob.clone() });
    for part in 0..10 {
        assert_eq!(told(alice.part_read(channel)), part > 0 && part % 4 == 0, "{part}");
        alice.pass(500);
    }
    alice.frame(channel, "whole");
    assert!(!told(alice.part_read(channel)), "another frame, which has just begun");
    alice.send(&bob, "long");
    assert!(!told(alice.part_written(channel)));
    alice.pass(2_000);
    assert!(told(alice.part_written(channel)));
}
