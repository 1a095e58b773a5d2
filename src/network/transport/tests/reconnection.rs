use super::{
    bench::{Bench, dial, dials, failure, gives_up, refused, timed_out},
    people,
    world::World,
};
use crate::{
    network::{
        link::{DialError, ErrorCode},
        transport::{Effect, Input},
    },
    wire::RemoteCommsOptions,
};

/// How long it takes until the next dial, to the millisecond; the test's jitter is always the longest.
fn time_to_dial(alice: &mut Bench) -> (u64, Vec<Effect>) {
    for millis in 0..100_000 {
        let effects = alice.pass(1);
        if !dials(&effects).is_empty() {
            return (millis + 1, effects);
        }
    }
    panic!("it is not dialled");
}

#[test]
fn a_lost_channel_is_tried_again_with_growing_delays_up_to_the_cap() {
    let [_, bob, _] = people();
    let options = RemoteCommsOptions { max_connection_attempts_per_minute: 100, ..RemoteCommsOptions::default() };
    let mut alice = Bench::with(options);
    let channel = alice.accept(&bob, "b1");
    alice.closed(channel);
    for expected in [500, 1_000, 2_000, 4_000, 8_000, 10_000, 10_000] {
        let (delay, effects) = time_to_dial(&mut alice);
        assert_eq!(delay, expected);
        alice.dial_fails(dial(&effects), timed_out());
    }
}

#[test]
fn attempts_that_reach_the_peer_are_left_for_the_whole_minute_however_short_the_delays_are() {
    let [_, bob, _] = people();
    // A cap of one base step: ten attempts would be gone after five seconds.
    let options = RemoteCommsOptions { reconnection_max_delay_ms: 500, ..RemoteCommsOptions::default() };
    let mut alice = Bench::with(options);
    let channel = alice.accept(&bob, "b1");
    alice.closed(channel);
    let mut delays = Vec::new();
    for _ in 0..100 {
        let (delay, effects) = time_to_dial(&mut alice);
        alice.dial_ends_in_nonsense(dial(&effects));
        delays.push(delay);
    }
    assert_eq!(delays[..5], [500; 5], "the first follow the backoff");
    assert!(delays.iter().all(|delay| *delay <= 10_000), "no long gap: {delays:?}");
    let minutes = delays.windows(11).map(|eleven| eleven[1..].iter().sum::<u64>());
    assert!(minutes.min() >= Some(60_000), "never more than ten in a minute: {delays:?}");
}

#[test]
fn there_is_one_loop_per_peer() {
    let [_, bob, _] = people();
    let mut alice = Bench::alice();
    let channel = alice.accept(&bob, "b1");
    alice.closed(channel);
    alice.closed(channel);
    let (_, effects) = alice.send(&bob, "1");
    alice.dial_fails(dial(&effects), timed_out());
    assert_eq!(dials(&alice.pass(29_000)).len(), 1, "the next begins only when this one has ended");
}

#[test]
fn traffic_resets_the_backoff_and_a_mere_handshake_does_not() {
    let [_, bob, _] = people();
    let mut alice = Bench::alice();
    let channel = alice.accept(&bob, "b1");
    alice.closed(channel);
    let (_, effects) = time_to_dial(&mut alice);
    alice.dial_fails(dial(&effects), timed_out());
    let (_, effects) = time_to_dial(&mut alice);
    let (channel, _) = alice.dial_succeeds(dial(&effects));
    alice.written(channel);
    alice.ack(channel, "b1");
    alice.verdict(channel, &bob, Ok(false));
    alice.closed(channel);
    let (delay, effects) = time_to_dial(&mut alice);
    assert_eq!(delay, 2_000, "the channel died without carrying anything");
    let (channel, _) = alice.dial_succeeds(dial(&effects));
    alice.written(channel);
    alice.ack(channel, "b1");
    alice.verdict(channel, &bob, Ok(false));
    alice.frame(channel, "hello again");
    alice.closed(channel);
    assert_eq!(time_to_dial(&mut alice).0, 500);
}

#[test]
fn after_the_last_attempt_the_peer_is_given_up() {
    let [_, bob, _] = people();
    let mut alice = Bench::with(RemoteCommsOptions { max_retry_attempts: 2, ..RemoteCommsOptions::default() });
    let channel = alice.accept(&bob, "b1");
    alice.closed(channel);
    for last in [false, true] {
        let (_, effects) = time_to_dial(&mut alice);
        assert_eq!(gives_up(&alice.dial_fails(dial(&effects), timed_out())), last);
    }
    assert!(dials(&alice.pass(100_000)).is_empty());
}

#[test]
fn a_failure_that_no_retry_can_cure_ends_the_attempts() {
    let [_, bob, _] = people();
    let mut alice = Bench::alice();
    let (send, effects) = alice.send(&bob, "1");
    let error = DialError { code: ErrorCode::NoAddress, retryable: false, reason: "no address".into() };
    let effects = alice.dial_fails(dial(&effects), error);
    assert_eq!(failure(&effects, send), "ConnectionLostError");
    assert!(gives_up(&effects) && dials(&alice.pass(100_000)).is_empty());
}

#[test]
fn five_equal_failures_over_two_minutes_are_permanent_until_somebody_asks_again() {
    let [_, bob, _] = people();
    type Cure = fn(&mut Bench) -> Vec<Effect>;
    let cures: [(&str, Cure); 4] = [
        ("a send", |alice| alice.send(&people()[1], "2").1),
        ("reconnectPeer", |alice| alice.feed(Input::Reconnect { peer: people()[1].clone(), hints: vec![] })),
        ("resetAllBackoffs", |alice| {
            alice.feed(Input::ResetBackoffs);
            alice.pass(500)
        }),
        ("a wake from sleep", |alice| {
            alice.sleep(46_000);
            alice.pass(500)
        }),
    ];
    for (name, cure) in cures {
        let mut alice = Bench::alice();
        let channel = alice.accept(&bob, "b1");
        alice.closed(channel);
        let (_, mut effects) = time_to_dial(&mut alice);
        let begun = alice.now;
        while !gives_up(&alice.dial_fails(dial(&effects), refused())) {
            effects = time_to_dial(&mut alice).1;
        }
        let seconds = alice.now.since(begun).as_secs();
        assert!((120..140).contains(&seconds), "a server that is started again refuses for some seconds: {seconds}");
        assert!(dials(&alice.pass(100_000)).is_empty(), "{name}");
        let effects = cure(&mut alice);
        assert_eq!(dials(&effects).len(), 1, "{name}");
        // The streak began anew: one more failure does not end it.
        assert!(!gives_up(&alice.dial_fails(dial(&effects), refused())), "{name}");
    }
}

/// An outage of a server that is dialled directly: dials fail at once, while the program goes on sending.
fn outage(alice: &mut Bench, seconds: u64) -> Vec<u64> {
    let [_, bob, _] = people();
    let mut dialled = Vec::new();
    for tick in 0..seconds * 10 {
        let effects = if tick % 10 == 0 { alice.send(&bob, "x").1 } else { alice.pass(100) };
        for id in dials(&effects) {
            dialled.push(tick * 100);
            assert!(!gives_up(&alice.dial_fails(id, refused())));
        }
    }
    dialled
}

#[test]
fn sends_do_not_dial_beside_the_loop_and_after_an_outage_the_next_attempt_is_near() {
    for seconds in [5, 11, 20, 60, 100] {
        let [_, bob, _] = people();
        let mut alice = Bench::alice();
        let channel = alice.accept(&bob, "b1");
        alice.closed(channel);
        let dialled = outage(&mut alice, seconds);
        assert!(dialled.len() as u64 <= seconds + 5, "{dialled:?}");
        let (wait, _) = time_to_dial(&mut alice);
        assert!(wait <= 2_000, "after {seconds} s: {wait} ms");
    }
}

#[test]
fn while_something_is_owed_a_peer_is_tried_every_second_or_two_for_some_minutes_and_then_seldom() {
    let [_, bob, _] = people();
    for (owes, first, later) in [(true, 2_000, 10_000), (false, 10_000, 10_000)] {
        let mut alice =
            Bench::with(RemoteCommsOptions { give_up_after_ms: 3_600_000, ..RemoteCommsOptions::default() });
        let channel = alice.accept(&bob, "b1");
        alice.closed(channel);
        if owes {
            let (_, effects) = alice.send(&bob, "1");
            alice.dial_fails(dial(&effects), timed_out());
        }
        let begun = alice.now;
        for _ in 0..150 {
            let (delay, effects) = time_to_dial(&mut alice);
            alice.dial_fails(dial(&effects), timed_out());
            let fresh = alice.now.since(begun).as_secs() < 180;
            assert!(delay <= if fresh { first } else { later }, "{delay}");
        }
        assert_eq!(time_to_dial(&mut alice).0, later);
    }
}

#[test]
fn an_attempt_that_never_left_counts_against_nobody() {
    let [_, bob, _] = people();
    for code in [ErrorCode::RelayUnreachable, ErrorCode::NetUnreach] {
        let mut alice = Bench::with(RemoteCommsOptions { max_retry_attempts: 2, ..RemoteCommsOptions::default() });
        let channel = alice.accept(&bob, "b1");
        alice.closed(channel);
        for _ in 0..100 {
            let (_, effects) = time_to_dial(&mut alice);
            let error = DialError { code, retryable: true, reason: "nothing there".into() };
            assert!(!gives_up(&alice.dial_fails(dial(&effects), error)));
        }
        for last in [false, true] {
            let (_, effects) = time_to_dial(&mut alice);
            assert_eq!(gives_up(&alice.dial_fails(dial(&effects), timed_out())), last);
        }
    }
}

#[test]
fn a_peer_that_does_not_speak_the_protocol_yet_is_not_given_up_at_once() {
    let [_, bob, _] = people();
    let mut alice = Bench::alice();
    let (_, mut effects) = alice.send(&bob, "1");
    let begun = alice.now;
    let unready = || DialError { code: ErrorCode::ProtocolUnsupported, retryable: true, reason: "no kernel".into() };
    while !gives_up(&alice.dial_fails(dial(&effects), unready())) {
        effects = time_to_dial(&mut alice).1;
    }
    assert!(alice.now.since(begun).as_secs() >= 120);
}

fn outages(effects: &[Effect]) -> usize {
    effects.iter().filter(|effect| matches!(effect, Effect::NoChannel { .. })).count()
}

#[test]
fn the_kernel_is_told_when_there_is_no_channel_and_again_after_a_handshake_that_came_to_nothing() {
    let [_, bob, _] = people();
    let mut alice = Bench::alice();
    assert_eq!(outages(&alice.send(&bob, "1").1), 1, "there was none yet");
    let mut alice = Bench::alice();
    let channel = alice.accept(&bob, "b1");
    assert_eq!(outages(&alice.closed(channel)), 1);
    let (_, effects) = time_to_dial(&mut alice);
    assert_eq!(outages(&alice.dial_fails(dial(&effects), timed_out())), 0, "it knows");
    let (_, effects) = time_to_dial(&mut alice);
    let (channel, _) = alice.dial_succeeds(dial(&effects));
    alice.written(channel);
    assert_eq!(outages(&alice.ack(channel, "b1")), 0);
    assert_eq!(outages(&alice.closed(channel)), 1, "it took the question for a channel");
    let (_, effects) = time_to_dial(&mut alice);
    let (channel, _) = alice.dial_succeeds(dial(&effects));
    alice.ack(channel, "b1");
    assert_eq!(outages(&alice.verdict(channel, &bob, Ok(false))), 0);
}

#[test]
fn what_waits_for_a_peer_is_given_up_after_the_time_in_which_it_was_tried() {
    let [_, bob, _] = people();
    let unreachable = || DialError { code: ErrorCode::RelayUnreachable, retryable: true, reason: "down".into() };
    let mut alice = Bench::with(RemoteCommsOptions { give_up_after_ms: 100_000, ..RemoteCommsOptions::default() });
    let channel = alice.accept(&bob, "b1");
    alice.closed(channel);
    for _ in 0..50 {
        let (_, effects) = time_to_dial(&mut alice);
        assert!(!gives_up(&alice.dial_fails(dial(&effects), timed_out())), "nothing waits for it");
    }
    alice.send(&bob, "1");
    let (_, mut effects) = time_to_dial(&mut alice);
    for _ in 0..50 {
        assert!(!gives_up(&alice.dial_fails(dial(&effects), unreachable())), "it never left");
        effects = time_to_dial(&mut alice).1;
    }
    assert!(!gives_up(&alice.sleep(1_800_000)), "a sleep is no more than an attempt");
    let begun = alice.now;
    loop {
        effects = time_to_dial(&mut alice).1;
        if gives_up(&alice.dial_fails(dial(&effects), timed_out())) {
            break;
        }
    }
    let tried = alice.now.since(begun).as_secs();
    assert!((35..60).contains(&tried), "{tried}");
}

#[test]
fn a_wake_from_sleep_forgets_the_backoff_and_a_late_timer_does_not() {
    let [_, bob, _] = people();
    for (millis, woke) in [(44_000, false), (46_000, true)] {
        let mut alice = Bench::alice();
        let channel = alice.accept(&bob, "b1");
        alice.closed(channel);
        for _ in 0..4 {
            let (_, effects) = time_to_dial(&mut alice);
            alice.dial_fails(dial(&effects), timed_out());
        }
        // The next attempt is 8 s away; it falls due in the sleep, fails, and shows by the next delay what was forgotten.
        let mut fresh = alice.pass(0);
        let base = alice.transport.wake.next_tick().as_millis() - 15_000;
        let elapsed = alice.now.as_millis() - base;
        fresh.extend(alice.sleep(millis - elapsed));
        let effects = if dials(&fresh).is_empty() { time_to_dial(&mut alice).1 } else { fresh };
        alice.dial_fails(dial(&effects), timed_out());
        assert_eq!(time_to_dial(&mut alice).0, if woke { 1_000 } else { 10_000 });
    }
}

#[test]
fn a_peer_that_only_came_and_went_in_a_failed_handshake_is_not_chased() {
    let [_, bob, _] = people();
    let mut alice = Bench::alice();
    let (channel, _) = alice.inbound(&bob);
    alice.closed(channel);
    assert!(dials(&alice.pass(100_000)).is_empty());
}

#[test]
fn after_an_outage_both_ends_are_back_on_one_channel() {
    let [alice, bob, _] = people();
    let mut world = World::new();
    world.send(&alice, &bob, "before");
    world.run(1_000);
    world.cut(&alice, &bob);
    let lost = world.send(&bob, &alice, "during");
    world.run(30_000);
    assert_eq!(world.outcome(lost).unwrap().unwrap_err().name(), "ConnectionLostError");
    world.mend();
    world.run(15_000);
    assert_eq!((world.open_pipes(), world.registered(&alice), world.registered(&bob)), (1, 1, 1));
    world.send(&bob, &alice, "after");
    world.run(1_000);
    assert_eq!(world.delivered(&alice), ["after"]);
}

#[test]
fn defect_17_a_restarted_peer_is_back_within_a_second_without_a_send_failing_at_its_end() {
    let [alice, bob, _] = people();
    let mut world = World::new();
    world.send(&alice, &bob, "to the first life");
    world.run(1_000);
    world.restart(&bob);
    let send = world.send(&bob, &alice, "from the second life");
    world.run(1_000);
    assert_eq!(world.outcome(send), Some(Ok(())));
    assert_eq!(world.delivered(&alice), ["from the second life"]);
    world.send(&alice, &bob, "to the second life");
    world.run(1_000);
    assert_eq!(world.delivered(&bob), ["to the second life"]);
    assert_eq!((world.open_pipes(), world.gave_up(&alice)), (1, 0));
}

#[test]
fn a_wake_and_a_change_of_network_probe_the_connections_and_a_relay_that_comes_does_not() {
    let mut alice = Bench::alice();
    assert_eq!(alice.feed(Input::NetworkChanged), [Effect::Probe]);
    assert_eq!(alice.feed(Input::ResetBackoffs), []);
    assert_eq!(alice.sleep(45_001), [Effect::Probe]);
    assert_eq!(alice.pass(100_000), [], "a wake is told once");
}

#[test]
fn a_hidden_page_whose_timers_ring_once_a_minute_probes_once() {
    let mut alice = Bench::alice();
    let effects: Vec<Effect> = (0..10).flat_map(|_| alice.sleep(60_000)).collect();
    assert_eq!(effects, [Effect::Probe]);
}

#[test]
fn after_a_change_of_network_the_next_attempt_comes_within_one_base_step() {
    let [_, bob, _] = people();
    let mut alice =
        Bench::with(RemoteCommsOptions { max_connection_attempts_per_minute: 100, ..RemoteCommsOptions::default() });
    let channel = alice.accept(&bob, "b1");
    alice.closed(channel);
    for _ in 0..6 {
        let (_, effects) = time_to_dial(&mut alice);
        alice.dial_fails(dial(&effects), timed_out());
    }
    alice.feed(Input::NetworkChanged);
    assert_eq!(dials(&alice.pass(500)).len(), 1);
}
