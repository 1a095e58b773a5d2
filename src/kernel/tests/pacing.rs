//! What an incumbent is told and asked at once is no more than its kernel bears.

use super::{incumbents::Incumbent, *};
use crate::wire::{Delivery, Eref, RemoteCommand};

// --- Garbage that it is told of

/// It sends bob these objects of its own, when it has read everything; he has them.
fn gives(incumbent: &mut Incumbent, names: &[&str]) -> Vec<Kref> {
    let slots = serde_json::to_string(names).unwrap();
    let message = format!(r##"["message","ro-1",{{"methargs":{{"body":"#2","slots":{slots}}},"result":null}}]"##);
    let ack = incumbent.last_sent();
    incumbent.says(ack, "deliver", &message);
    let given = |event| match event {
        KernelEvent::Message { methargs, .. } => Some(methargs.slots),
        _ => None,
    };
    incumbent.world.bob.take_events().into_iter().find_map(given).unwrap()
}

/// It sends a message in which is nothing, when it has read everything up to `ack`; gives what bob writes.
fn turns(incumbent: &mut Incumbent, ack: u64) -> Vec<String> {
    let message = r##"["message","ro-1",{"methargs":{"body":"#3","slots":[]},"result":null}]"##;
    let text = Incumbent::text(incumbent.number(), ack, "deliver", message);
    incumbent.writes(&text)
}

/// What of this speaks of garbage.
fn garbage(texts: &[String]) -> Vec<(String, Vec<String>)> {
    let command = |text: &String| match crate::wire::Message::parse(text).unwrap().command.map(|(_, command)| command) {
        Some(RemoteCommand::Deliver(Delivery::DropExports(erefs))) => Some(("drop", erefs)),
        Some(RemoteCommand::Deliver(Delivery::RetireExports(erefs))) => Some(("retire", erefs)),
        Some(RemoteCommand::Deliver(Delivery::RetireImports(erefs))) => Some(("gone", erefs)),
        _ => None,
    };
    let listed = |(kind, erefs): (&str, Vec<Eref>)| (kind.to_owned(), erefs.iter().map(Eref::to_string).collect());
    texts.iter().filter_map(command).map(listed).collect()
}

fn told(kind: &str, name: &str) -> (String, Vec<String>) {
    (kind.to_owned(), vec![name.to_owned()])
}

#[test]
fn it_is_told_of_one_object_in_a_turn_of_its_kernel() {
    let (mut incumbent, _) = Incumbent::with_an_object_of_bobs();
    let objects = gives(&mut incumbent, &["ro+2", "ro+3", "ro+4"]);
    incumbent.bob().release(&objects).unwrap();
    assert_eq!(garbage(&incumbent.heard()), [told("drop", "ro-2"), told("retire", "ro-2")]);
    incumbent.world.bob.audit();
    // What its remote says is no turn of its kernel, nor is one that was before it had read this.
    let last_sent = incumbent.last_sent();
    assert_eq!(garbage(&incumbent.writes(&format!(r#"{{"ack":{last_sent}}}"#))), []);
    let reply = Incumbent::text(incumbent.number(), last_sent, "redeemURLReply", r#"[false,"key","gone"]"#);
    assert_eq!(garbage(&incumbent.writes(&reply)), []);
    assert_eq!(garbage(&turns(&mut incumbent, last_sent - 2)), []);
    // Nothing of it is lost or told twice with a restart in between.
    incumbent.world.restart_bob(true);
    assert_eq!(garbage(&incumbent.heard()), []);
    for name in ["ro-3", "ro-4"] {
        let last_sent = incumbent.last_sent();
        assert_eq!(garbage(&turns(&mut incumbent, last_sent)), [told("drop", name), told("retire", name)]);
    }
    incumbent.world.bob.audit();
    let last_sent = incumbent.last_sent();
    assert_eq!(garbage(&turns(&mut incumbent, last_sent)), []);
    assert_eq!(incumbent.world.bob.rows().iter().filter(|row| row.contains("c.ro+")).count(), 0);
}

#[test]
fn what_waits_to_be_told_may_be_used_again() {
    let (mut incumbent, _) = Incumbent::with_an_object_of_bobs();
    let objects = gives(&mut incumbent, &["ro+2", "ro+3"]);
    incumbent.bob().release(&objects).unwrap();
    incumbent.heard();
    // In the turn after which it could be told of it, it gives it again.
    assert_eq!(gives(&mut incumbent, &["ro+3"]), objects[1..]);
    assert_eq!(garbage(&incumbent.heard()), []);
    incumbent.world.bob.audit();
    incumbent.bob().release(&objects[1..]).unwrap();
    assert_eq!(garbage(&incumbent.heard()), [told("drop", "ro-3"), told("retire", "ro-3")]);
}

#[test]
fn who_shows_a_word_of_ours_is_told_the_rest_at_once() {
    let (mut incumbent, _) = Incumbent::with_an_object_of_bobs();
    let objects = gives(&mut incumbent, &["ro+2", "ro+3", "ro+4"]);
    incumbent.bob().release(&objects).unwrap();
    incumbent.heard();
    let told = garbage(&incumbent.writes(r#"{"ack":1,"start":1}"#));
    let counts: Vec<_> = told.iter().map(|(kind, erefs)| (kind.as_str(), erefs.len())).collect();
    assert_eq!(counts, [("drop", 2), ("retire", 2)]);
}

/// What an incumbent, or who seems to be one, may have waiting has an end.
#[test]
fn beyond_a_thousand_objects_are_freed_without_a_word() {
    let (mut incumbent, _) = Incumbent::with_an_object_of_bobs();
    let names: Vec<String> = (1..=5_000).map(|index| format!("ro+{index}")).collect();
    let objects = gives(&mut incumbent, &names.iter().map(String::as_str).collect::<Vec<_>>());
    incumbent.bob().release(&objects).unwrap();
    assert_eq!(garbage(&incumbent.heard()), [told("drop", "ro-1"), told("retire", "ro-1")]);
    let left = |incumbent: &Incumbent| incumbent.world.bob.rows().iter().filter(|row| row.contains("c.ro+")).count();
    assert_eq!(left(&incumbent), 1_000);
    incumbent.world.bob.audit();
    // The peer may mention it again.
    assert_eq!(gives(&mut incumbent, &["ro+4000"]).len(), 1);
    incumbent.world.bob.audit();
}

// --- Calls

/// How many of these are calls.
fn calls(texts: &[String]) -> usize {
    texts.iter().filter(|text| text.contains(r#"["message","#)).count()
}

fn calls_to(incumbent: &mut Incumbent, object: Kref, count: usize) {
    for _ in 0..count {
        incumbent.bob().send(object, data("#1")).unwrap();
    }
}

/// It has read everything that was written.
fn acknowledges(incumbent: &mut Incumbent, count: usize) -> Vec<String> {
    incumbent.writes(&format!(r#"{{"ack":{count}}}"#))
}

fn waits(incumbent: &mut Incumbent, time: Duration) -> Vec<String> {
    incumbent.world.now = incumbent.world.now.after(time);
    let now = incumbent.world.now;
    incumbent.bob().handle_timeout(now).unwrap();
    incumbent.heard()
}

/// Its run loop dies of 200 outcomes that wait to be read.
#[test]
fn calls_that_it_has_not_answered_are_64_at_most_and_the_others_wait_in_order() {
    let (mut incumbent, object) = Incumbent::with_an_object();
    calls_to(&mut incumbent, object, 150);
    assert_eq!(calls(&incumbent.heard()), 64);
    assert_eq!(calls(&acknowledges(&mut incumbent, 65)), 0);
    // Nothing is sent again, nor is anybody given up: what waits was never written.
    assert_eq!(waits(&mut incumbent, Duration::from_secs(9)), [""; 0]);
    for answered in 1..=20 {
        let text = Incumbent::text(incumbent.number(), 65, "deliver", &answer(answered));
        let written = incumbent.writes(&text);
        assert_eq!(calls(&written), 1);
        assert!(written.iter().any(|text| text.starts_with(&format!(r#"{{"seq":{},"#, 65 + answered))), "{written:?}");
    }
    let events = incumbent.world.bob.take_events();
    assert_eq!(events.iter().filter(|event| matches!(event, KernelEvent::Notify { rejected: false, .. })).count(), 20);
    assert!(!events.iter().any(|event| matches!(event, KernelEvent::Remote(_))), "{events:?}");
}

fn answer(number: u64) -> String {
    format!(r##"["notify",[["rp-{number}",false,{{"body":"#2","slots":[]}}]]]"##)
}

/// What it answers late it may have been asked for long.
#[test]
fn calls_that_were_acknowledged_long_ago_keep_no_others_back() {
    let (mut incumbent, object) = Incumbent::with_an_object();
    calls_to(&mut incumbent, object, 150);
    assert_eq!(calls(&incumbent.heard()), 64);
    // While it does not even read, they do.
    let again = waits(&mut incumbent, Duration::from_secs(10));
    assert!(again.iter().all(|text| !text.starts_with(r#"{"seq":66,"#)), "{again:?}");
    acknowledges(&mut incumbent, 65);
    let due = incumbent.bob().poll_timeout().unwrap();
    assert_eq!(due, incumbent.world.now.after(Duration::from_secs(10)));
    assert_eq!(calls(&waits(&mut incumbent, Duration::from_secs(10))), 64);
    acknowledges(&mut incumbent, 129);
    assert_eq!(calls(&waits(&mut incumbent, Duration::from_secs(10))), 150 - 128);
    assert!(incumbent.world.bob.take_events().is_empty(), "nobody is given up");
}

/// It may be waiting for the very answer that they hold up.
#[test]
fn an_answer_behind_calls_waits_for_a_second() {
    let (mut incumbent, _) = Incumbent::with_an_object_of_bobs();
    let object = gives(&mut incumbent, &["ro+2"])[0];
    let ask = r##"["message","ro-1",{"methargs":{"body":"#3","slots":[]},"result":"rp+1"}]"##;
    incumbent.says(1, "deliver", ask);
    let result = incumbent.world.bob.messages()[0].1.unwrap();
    calls_to(&mut incumbent, object, 100);
    incumbent.bob().resolve(result, false, data("#4")).unwrap();
    assert_eq!(calls(&incumbent.heard()), 64);
    let last = acknowledges(&mut incumbent, 65);
    assert_eq!(last, [""; 0]);
    let rest = waits(&mut incumbent, Duration::from_secs(1));
    assert_eq!((calls(&rest), rest.iter().filter(|text| text.contains("notify")).count()), (36, 1));
}

#[test]
fn a_peer_that_has_shown_a_word_of_ours_is_called_as_often_as_one_likes() {
    let (mut incumbent, object) = Incumbent::with_an_object();
    incumbent.writes(r#"{"ack":1,"start":1}"#);
    calls_to(&mut incumbent, object, 150);
    assert_eq!(calls(&incumbent.heard()), 150);
}
