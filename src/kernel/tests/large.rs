//! Lists as long as anybody may need are taken; longer ones are refused, alone. What they cost is counted in `tests/cost`.

use super::*;
use crate::{kernel::MAX_SLOTS, wire::LimitType};

/// Alice's messages begin behind the one with which she redeemed the URL.
fn deliver(seq: u64, params: &str) -> String {
    format!(r#"{{"seq":{seq},"method":"deliver","params":{params}}}"#)
}

fn with_new_references(seq: u64, count: usize) -> String {
    let slots = (0..count).map(|index| format!("\"ro+{}\"", 10_000 + index)).collect::<Vec<_>>().join(",");
    deliver(seq, &format!(r#"["message","ro-1",{{"methargs":{{"body":"","slots":[{slots}]}},"result":"rp+1"}}]"#))
}

fn notification(seq: u64, resolutions: impl Iterator<Item = String>) -> String {
    deliver(seq, &format!(r#"["notify",[{}]]"#, resolutions.collect::<Vec<_>>().join(",")))
}

impl World {
    /// What bob's program is told, and what bob writes.
    fn told(&mut self) -> (Vec<KernelEvent>, String) {
        while Self::collect(&mut self.bob, self.now, true) {}
        (self.bob.take_events(), self.bob.outbound.drain(..).collect())
    }
}

#[test]
fn a_message_with_ten_thousand_references_is_delivered_and_they_are_released_at_once() {
    let (mut world, _, _) = World::introduced();
    world.bob.outbound.clear();
    let rows = world.bob.rows().len();
    world.inject(&with_new_references(2, 10_000)).unwrap();
    let (events, _) = world.told();
    let [KernelEvent::Message { methargs, .. }] = &events[..] else { panic!("one message") };
    assert_eq!(methargs.slots.len(), 10_000);
    world.bob.kernel().release(&methargs.slots).unwrap();
    world.told();
    world.audit();
    // Alice has acknowledged nothing.
    let left = world.bob.rows().iter().filter(|row| !row.starts_with("remotePending.")).count() - rows;
    assert!(left < 10, "{left} rows are left");
}

#[test]
fn one_with_more_references_than_are_taken_is_refused_alone() {
    let (mut world, for_alice, _) = World::introduced();
    world.bob.outbound.clear();
    let rows = world.bob.rows();
    world.inject(&with_new_references(2, MAX_SLOTS + 1)).unwrap();
    let (events, written) = world.told();
    let [KernelEvent::Remote(RemoteEvent::MessageRejected { reason, .. })] = &events[..] else { panic!("{events:?}") };
    assert!(reason.contains("references"), "{reason}");
    assert!(
        written.contains(r#"["notify",[["rp-1",true,"#) && written.contains("[KERNEL:DELIVERY_FAILED]"),
        "{written}"
    );
    let new = world.bob.rows().len() - rows.len();
    assert!(new < 15, "{new} rows came");
    world.inject(&deliver(3, r#"["message","ro-1",{"methargs":{"body":"","slots":[]},"result":null}]"#)).unwrap();
    assert!(matches!(world.told().0[..], [KernelEvent::Message { .. }]));
    world.audit();

    // The program's own message is refused before it is sent.
    let object = world.alice.kernel().export_object().unwrap();
    let slots = vec![object; MAX_SLOTS + 1];
    let refused = world.alice.kernel().send(for_alice, with_slots("", &slots)).unwrap_err();
    let KernelError::Remote(RemoteError::ResourceLimit { limit_type, current, limit }) = refused else {
        panic!("{refused}")
    };
    assert_eq!((limit_type, current, limit), (LimitType::References, limit + 1, MAX_SLOTS as u64));
    assert_eq!(refused.name(), "ResourceLimitError");
}

/// Bob's program waits for all of them: it hears of each once, in whichever order they are settled.
#[test]
fn five_thousand_promises_are_settled_by_one_notification_also_in_a_chain() {
    const COUNT: u64 = 5_000;
    let next_of_each: [fn(u64) -> u64; 3] = [|_| 0, |index| (index + 1) % (COUNT + 1), |index| index - 1];
    for next in next_of_each {
        let (mut world, _, _) = World::introduced();
        let names = (1..=COUNT).map(|index| format!("\"rp+{index}\"")).collect::<Vec<_>>().join(",");
        let message = format!(r#"["message","ro-1",{{"methargs":{{"body":"","slots":[{names}]}},"result":null}}]"#);
        world.inject(&deliver(2, &message)).unwrap();
        world.told();
        let resolution = |index: u64| {
            let slots = if next(index) == 0 { String::new() } else { format!("\"rp+{}\"", next(index)) };
            format!(r#"["rp+{index}",false,{{"body":"","slots":[{slots}]}}]"#)
        };
        world.inject(&notification(3, (1..=COUNT).map(resolution))).unwrap();
        let (events, _) = world.told();
        let told = events.iter().filter(|event| matches!(event, KernelEvent::Notify { rejected: false, .. })).count();
        assert_eq!((told as u64, events.len()), (COUNT, told), "of each once, and nothing is refused");
        world.audit();
    }
}
