//! Programs that fail with what they are given.

use super::*;

/// Bob's program gets a message of alice's, with the promise that it is to settle, and alice's program waits for that.
fn asked() -> (World, Kref, Kref) {
    let (mut world, for_alice, _) = World::introduced();
    let promise = world.send(for_alice, "#\"well?\"");
    world.run();
    let [(_, Some(result))] = world.bob.messages()[..] else { panic!("a message came") };
    (world, promise, result)
}

fn answers(world: &mut World, promise: Kref) -> Vec<(bool, String)> {
    world.run();
    let answer = |event| match event {
        KernelEvent::Notify { promise: settled, rejected, value } if settled == promise => Some((rejected, value.body)),
        _ => None,
    };
    world.alice.take_events().into_iter().filter_map(answer).collect()
}

#[test]
fn whoever_waits_for_a_program_that_failed_is_told() {
    let (mut world, promise, result) = asked();
    world.bob.kernel().handler_failed(result).unwrap();
    let body = r##"#{"#error":"[KERNEL:HANDLER_FAILED] the program threw an error","name":"Error"}"##;
    assert_eq!(answers(&mut world, promise), [(true, body.to_owned())]);
    world.bob.kernel().handler_failed(result).unwrap();
    assert_eq!(answers(&mut world, promise), []);
    world.audit();
}

#[test]
fn an_answer_that_the_program_gave_before_it_failed_stands() {
    let (mut world, promise, result) = asked();
    world.bob.kernel().resolve(result, false, data("#1")).unwrap();
    world.bob.kernel().handler_failed(result).unwrap();
    assert_eq!(answers(&mut world, promise), [(false, "#1".to_owned())]);
    world.audit();
}
