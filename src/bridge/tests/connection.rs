use std::collections::VecDeque;

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::bridge::{
    BridgeError, MAX_HELD_CALLS, MAX_PENDING_CALLS, MAX_RUNNING_REQUESTS,
    connection::{About, Answer, Connection, Output},
    error::RpcError,
    extensions::Extensions,
};

type End = Connection<&'static str, usize>;
type Happening = Output<&'static str, usize>;

fn end(prefix: &'static str) -> End {
    End::new(prefix, Extensions::ours(false))
}

/// What an end says of itself once it is open.
fn extensions() -> Value {
    let params =
        json!({ "batches": true, "packets": false, "pings": true, "moving": true, "outages": true, "calls": 16_384 });
    json!({ "jsonrpc": "2.0", "method": "bridgeExtensions", "params": params })
}

fn outputs(end: &mut End) -> Vec<Happening> {
    std::iter::from_fn(|| end.poll_output()).collect()
}

/// The messages that an end posted, and whatever else it wants, apart.
fn posted(end: &mut End) -> (Vec<Value>, Vec<Happening>) {
    let mut messages = Vec::new();
    let others = outputs(end)
        .into_iter()
        .filter_map(|output| match output {
            Output::Post { message, .. } => {
                messages.push(message);
                None
            }
            other => Some(other),
        })
        .collect();
    (messages, others)
}

fn syn() -> Value {
    json!({ "@@Syn": true })
}

fn ack() -> Value {
    json!({ "@@Ack": true })
}

/// An end that was opened by hand.
fn open_end(prefix: &'static str) -> End {
    let mut end = end(prefix);
    end.start();
    end.receive(ack(), None);
    outputs(&mut end);
    end
}

/// The names of the errors with which calls were rejected, in order.
fn rejected(happenings: &[Happening]) -> Vec<(usize, String)> {
    let error = |happening: &Happening| match happening {
        Output::Settle { reply, outcome: Err(error) } => Some((*reply, error.name().to_owned())),
        _ => None,
    };
    happenings.iter().filter_map(error).collect()
}

#[test]
fn both_ends_say_syn_and_ack_and_are_open() {
    let (mut kernel, mut network) = (end("m"), end("vws:"));
    kernel.start();
    network.start();
    assert_eq!(posted(&mut kernel).0, [syn()]);
    assert_eq!(posted(&mut network).0, [syn()]);
    kernel.receive(syn(), None);
    network.receive(syn(), None);
    assert_eq!(posted(&mut kernel).0, [ack()]);
    assert_eq!(posted(&mut network).0, [ack()]);
    kernel.receive(ack(), None);
    network.receive(ack(), None);
    assert_eq!(posted(&mut kernel).0, [extensions()]);
    assert_eq!(posted(&mut network).0, [extensions()]);
    kernel.call("resetAllBackoffs", json!([]), 1);
    let request = json!({ "jsonrpc": "2.0", "id": "m1", "method": "resetAllBackoffs", "params": [] });
    assert_eq!(posted(&mut kernel).0, std::slice::from_ref(&request));
    network.receive(request, None);
    assert!(matches!(outputs(&mut network)[..], [Output::Start { .. }]));
}

#[test]
fn an_end_whose_syn_was_lost_opens_by_the_acks_alone() {
    let mut late = end("m");
    late.start();
    outputs(&mut late); // lost: nobody listened yet
    let mut early = end("vws:");
    early.start();
    late.receive(posted(&mut early).0.remove(0), None);
    early.receive(posted(&mut late).0.remove(0), None);
    assert_eq!(posted(&mut early).0, [ack(), extensions()], "it has not acknowledged anything before");
    late.receive(ack(), None);
    assert_eq!(posted(&mut late).0, [extensions()]);
    late.call("resetAllBackoffs", json!([]), 1);
    assert_eq!(posted(&mut late).0.len(), 1);
}

#[test]
fn calls_before_the_opening_are_held_in_order_and_their_number_is_bounded() {
    let mut end = end("m");
    end.call("terminate", json!({ "vatId": "v0" }), 0);
    end.start();
    for reply in 1..MAX_HELD_CALLS {
        end.call("terminate", json!({ "vatId": format!("v{reply}") }), reply);
    }
    assert_eq!(posted(&mut end).0, [syn()]);
    end.call("terminateAll", json!([]), 9_999);
    assert_eq!(rejected(&outputs(&mut end)), [(9_999, "BridgeBusyError".to_owned())]);

    end.receive(ack(), None);
    let (messages, others) = posted(&mut end);
    assert_eq!(others, []);
    assert_eq!(messages[..2], [ack(), extensions()]);
    assert_eq!(messages.len(), MAX_HELD_CALLS + 2);
    for (number, message) in messages[2..].iter().enumerate() {
        assert_eq!(message["id"], format!("m{}", number + 1));
        assert_eq!(message["params"]["vatId"], format!("v{number}"));
    }
}

#[test]
fn a_later_syn_rejects_what_is_pending_and_opens_again() {
    let mut kernel = open_end("m");
    for reply in 1..=3 {
        kernel.call("resetAllBackoffs", json!([]), reply);
    }
    kernel.receive(json!({ "jsonrpc": "2.0", "id": "m2", "result": null }), None);
    kernel.receive(json!({ "jsonrpc": "2.0", "id": "vws:1", "method": "remoteGiveUp", "params": {} }), None);
    let started = outputs(&mut kernel).pop();
    let Some(Output::Start { ticket, .. }) = started else { panic!("{started:?}") };

    kernel.receive(syn(), None);
    let (messages, others) = posted(&mut kernel);
    assert_eq!(messages, [ack()]);
    let reloaded = BridgeError::Reloaded.name().to_owned();
    assert_eq!(rejected(&others), [(1, reloaded.clone()), (3, reloaded)]);
    assert_eq!(others.last(), Some(&Output::Reloaded));

    // A request of the former life must not be answered to the new one, whose ids begin anew.
    kernel.answer(ticket, Ok(Value::Null.into()));
    // Calls wait for the opening, and late answers to the former ones mean nothing.
    kernel.call("stopRemoteComms", json!([]), 4);
    kernel.receive(json!({ "jsonrpc": "2.0", "id": "m1", "result": null }), None);
    assert_eq!(outputs(&mut kernel), []);
    kernel.receive(ack(), None);
    let (messages, _) = posted(&mut kernel);
    assert_eq!(messages[0], extensions());
    assert_eq!(messages.len(), 2);
    assert_eq!((&messages[1]["id"], &messages[1]["method"]), (&json!("m4"), &json!("stopRemoteComms")));
}

#[test]
fn what_comes_before_the_opening_is_complete_is_for_somebody_else() {
    let mut end = end("m");
    end.start();
    end.call("resetAllBackoffs", json!([]), 1);
    outputs(&mut end);
    end.receive(json!({ "jsonrpc": "2.0", "id": "m1", "result": null }), None);
    end.receive(json!({ "jsonrpc": "2.0", "id": "vws:1", "method": "remoteGiveUp", "params": {} }), None);
    end.receive(json!({ "jsonrpc": "2.0", "id": "vws:2", "method": 3 }), None);
    assert_eq!(outputs(&mut end), []);
}

#[test]
fn the_end_of_the_stream_rejects_what_waits_and_all_that_follows() {
    for (last, reason) in [
        (json!({ "@@StreamDone": true }), "the bridge is closed: the other end closed it"),
        (
            json!({ "@@StreamError": true, "error": { "message": "boom" } }),
            "the bridge is closed: the other end failed: boom",
        ),
    ] {
        let mut end = open_end("m");
        end.call("resetAllBackoffs", json!([]), 1);
        outputs(&mut end);
        end.receive(last.clone(), None);
        end.call("resetAllBackoffs", json!([]), 2);
        // Ended is final: neither another end nor a new opening matters now.
        end.receive(last, None);
        end.receive(syn(), None);
        end.close();
        let (messages, others) = posted(&mut end);
        assert_eq!(messages, Vec::<Value>::new());
        let texts = others.iter().map(|output| match output {
            Output::Settle { outcome: Err(error), .. } => error.to_string(),
            other => format!("{other:?}"),
        });
        assert_eq!(texts.collect::<Vec<_>>(), [reason, "Ended", reason]);
    }
}

#[test]
fn closing_tells_the_other_end() {
    let mut end = open_end("m");
    end.close();
    let (messages, others) = posted(&mut end);
    assert_eq!(messages, [json!({ "@@StreamDone": true })]);
    assert_eq!(others, [Output::Ended]);
}

#[test]
fn answers_that_fit_no_call_disturb_nothing() {
    let mut end = open_end("m");
    end.call("resetAllBackoffs", json!([]), 1);
    outputs(&mut end);
    for id in ["m2", "m0", "m", "vws:1", "m1x", "", "m18446744073709551616"] {
        end.receive(json!({ "jsonrpc": "2.0", "id": id, "result": null }), None);
    }
    for garbage in [json!({ "jsonrpc": "2.0", "id": 1, "result": null }), json!({ "jsonrpc": "2.0" }), json!("m1")] {
        end.receive(garbage, None);
    }
    assert_eq!(outputs(&mut end), []);
    end.receive(json!({ "jsonrpc": "2.0", "id": "m1", "result": 5 }), Some("port"));
    let answer = Answer { result: json!(5), transfer: Some("port") };
    assert_eq!(outputs(&mut end), [Output::Settle { reply: 1, outcome: Ok(answer) }]);
    end.receive(json!({ "jsonrpc": "2.0", "id": "m1", "result": 6 }), None);
    assert_eq!(outputs(&mut end), [], "a call is answered once");
}

#[test]
fn a_request_that_cannot_be_understood_is_answered_with_an_error() {
    let mut end = open_end("vws:");
    end.receive(json!({ "jsonrpc": "2.0", "id": 7, "method": ["launch"] }), None);
    let (messages, _) = posted(&mut end);
    assert_eq!((&messages[0]["id"], &messages[0]["error"]["code"]), (&json!(7), &json!(-32600)));
}

#[test]
fn notifications_run_and_are_not_answered() {
    let mut end = open_end("vws:");
    for outcome in [Ok(Value::Null.into()), Err(RpcError::unknown_method("x"))] {
        end.receive(json!({ "jsonrpc": "2.0", "method": "x" }), None);
        let mut started = outputs(&mut end);
        let Some(Output::Start { ticket, params: Value::Null, .. }) = started.pop() else { panic!("{started:?}") };
        end.answer(ticket, outcome);
        assert_eq!(outputs(&mut end), []);
    }
}

#[test]
fn pending_calls_and_running_requests_are_bounded() {
    let mut kernel = open_end("m");
    for reply in 0..MAX_PENDING_CALLS {
        kernel.call("resetAllBackoffs", json!([]), reply);
    }
    assert_eq!(posted(&mut kernel).0.len(), MAX_PENDING_CALLS);
    for reply in 0..=MAX_HELD_CALLS {
        kernel.call("resetAllBackoffs", json!([]), MAX_PENDING_CALLS + reply);
    }
    let last = MAX_PENDING_CALLS + MAX_HELD_CALLS;
    assert_eq!(outputs(&mut kernel).len(), 1, "the others wait");
    kernel.call("resetAllBackoffs", json!([]), last + 1);
    assert_eq!(rejected(&outputs(&mut kernel)), [(last + 1, "BridgeBusyError".to_owned())]);

    let mut network = open_end("vws:");
    let request = |id: usize| json!({ "jsonrpc": "2.0", "id": id, "method": "x", "params": [] });
    let mut tickets = Vec::new();
    for id in 0..MAX_RUNNING_REQUESTS {
        network.receive(request(id), None);
        match network.poll_output() {
            Some(Output::Start { ticket, .. }) => tickets.push(ticket),
            other => panic!("{other:?}"),
        }
    }
    network.receive(request(99_999), None);
    let (messages, others) = posted(&mut network);
    assert_eq!((&messages[0]["id"], &messages[0]["error"]["code"]), (&json!(99_999), &json!(-32005)));
    assert_eq!(others, []);
    // One that ends makes room for one.
    network.answer(tickets.pop().unwrap(), Ok(Value::Null.into()));
    outputs(&mut network);
    network.receive(request(99_999), None);
    assert!(matches!(outputs(&mut network)[..], [Output::Start { .. }]));
}

/// What the other end of ours says that it can do.
fn told(calls: u64) -> Value {
    let params = json!({ "batches": true, "packets": true, "calls": calls });
    json!({ "jsonrpc": "2.0", "method": "bridgeExtensions", "params": params })
}

#[test]
fn calls_wait_in_order_until_the_other_end_has_room() {
    let mut network = open_end("vws:");
    network.receive(told(2), None);
    let theirs = Extensions { batches: true, packets: true, pings: false, moving: false, outages: false, calls: 2 };
    assert_eq!(outputs(&mut network), [Output::Extended(theirs)]);
    for reply in 1..=4 {
        network.call("remoteDeliver", json!({ "number": reply }), reply);
    }
    network.call("remoteIncarnationChange", json!({ "number": 5 }), 5);
    let numbers = |end: &mut End| {
        let number = |message: &Value| message["params"]["number"].clone();
        posted(end).0.iter().map(number).collect::<Vec<_>>()
    };
    assert_eq!(numbers(&mut network), [1, 2]);
    network.call("bridgePing", json!({ "number": "ping" }), 6);
    assert_eq!(numbers(&mut network), ["ping"], "whether it lives is asked all the same");
    network.receive(json!({ "jsonrpc": "2.0", "id": "vws:3", "result": null }), None);
    assert_eq!(numbers(&mut network), [0; 0], "two are still unanswered");
    network.receive(json!({ "jsonrpc": "2.0", "id": "vws:2", "result": null }), None);
    assert_eq!(numbers(&mut network), [3]);
    // More room: the rest goes at once. What waits when the other end is reloaded is rejected with what was posted.
    network.receive(told(4), None);
    assert_eq!(numbers(&mut network), [4, 5]);
    network.call("remoteDeliver", json!({}), 7);
    network.receive(syn(), None);
    let rejected = rejected(&outputs(&mut network));
    assert_eq!(rejected.iter().map(|(reply, _)| *reply).collect::<Vec<_>>(), [1, 3, 4, 5, 7]);
    assert!(rejected.iter().all(|(_, name)| name == BridgeError::Reloaded.name()));
}

#[test]
fn only_messages_of_peers_share_a_post_and_not_one_that_is_alone() {
    let mut kernel = open_end("m");
    let shares = |end: &mut End| match end.poll_output() {
        Some(Output::Post { shares, .. }) => shares,
        other => panic!("{other:?}"),
    };
    for (number, (method, expected)) in
        [("sendRemoteMessage", false), ("sendRemoteMessage", true), ("closeConnection", false)].into_iter().enumerate()
    {
        kernel.call(method, json!({}), number);
        assert_eq!(shares(&mut kernel), expected, "{method}");
    }
    for (method, transfer, expected) in [
        ("remoteDeliver", None, true),
        ("remoteDeliver", Some("port"), false),
        ("remoteIncarnationChange", None, false),
    ] {
        kernel.receive(json!({ "jsonrpc": "2.0", "id": 1, "method": method }), None);
        let Some(Output::Start { ticket, .. }) = kernel.poll_output() else { panic!("nothing started") };
        kernel.answer(ticket, Ok(Answer { result: Value::Null, transfer }));
        assert_eq!(shares(&mut kernel), expected, "{method}");
    }
}

#[test]
fn a_batch_is_taken_as_its_messages_one_after_the_other() {
    let mut kernel = open_end("m");
    kernel.call("sendRemoteMessage", json!({}), 1);
    kernel.call("sendRemoteMessage", json!({}), 2);
    outputs(&mut kernel);
    kernel.receive(
        json!([
            { "jsonrpc": "2.0", "id": "m2", "result": null },
            "garbage",
            [{ "jsonrpc": "2.0", "id": "m1", "result": 7 }],
            { "jsonrpc": "2.0", "id": "vws:1", "method": "remoteDeliver", "params": {} },
            { "jsonrpc": "2.0", "id": "m1", "result": null },
        ]),
        None,
    );
    let happened = outputs(&mut kernel);
    assert!(
        matches!(
            &happened[..],
            [Output::Settle { reply: 2, .. }, Output::Start { .. }, Output::Settle { reply: 1, outcome: Ok(answer) }]
                if answer.result.is_null()
        ),
        "{happened:?}"
    );
    kernel.receive(json!([]), None);
    assert_eq!(outputs(&mut kernel), []);
}

#[test]
fn what_looks_like_an_extension_but_is_a_request_is_for_the_service() {
    let mut end = open_end("m");
    end.receive(json!({ "jsonrpc": "2.0", "id": 1, "method": "bridgeExtensions", "params": {} }), None);
    assert!(matches!(outputs(&mut end)[..], [Output::Start { .. }]));
}

#[test]
fn a_message_that_cannot_be_posted_fails_its_call_or_its_request() {
    let mut end = open_end("m");
    end.call("launch", json!({}), 1);
    let Some(Output::Post { about, .. }) = end.poll_output() else { panic!("nothing posted") };
    end.post_failed(about, "DataCloneError".into());
    assert_eq!(rejected(&outputs(&mut end)), [(1, "BridgePostError".to_owned())]);

    end.receive(json!({ "jsonrpc": "2.0", "id": "vws:1", "method": "x" }), None);
    let Some(Output::Start { ticket, .. }) = end.poll_output() else { panic!("nothing started") };
    end.answer(ticket, Ok(Answer { result: Value::Null, transfer: Some("port") }));
    let Some(Output::Post { about, .. }) = end.poll_output() else { panic!("nothing posted") };
    end.post_failed(about, "cannot transfer".into());
    let Some(Output::Post { message, about: About::Failure, .. }) = end.poll_output() else { panic!("not answered") };
    assert_eq!(message["error"]["data"]["cause"]["name"], "BridgePostError");
    end.post_failed(About::Failure, "again".into());
    assert_eq!(outputs(&mut end), []);
}

#[derive(Clone, Copy, Debug)]
enum Step {
    /// One message arrives: at the kernel's end (0) or the network's (1).
    Arrive(usize),
    /// An end is reloaded.
    Reload(usize),
    /// An end makes a call.
    Call(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..2usize).prop_map(Step::Arrive),
        1 => (0..2usize).prop_map(Step::Reload),
        2 => (0..2usize).prop_map(Step::Call),
    ]
}

/// Two ends and what is under way between them.
struct Pair {
    ends: [End; 2],
    under_way: [VecDeque<Value>; 2],
    calls: usize,
    settled: usize,
    /// Answers that reached another call than theirs.
    misled: usize,
}

impl Pair {
    fn new() -> Self {
        let ends = [end("m"), end("vws:")];
        let mut pair = Pair { ends, under_way: Default::default(), calls: 0, settled: 0, misled: 0 };
        pair.reload(0);
        pair.reload(1);
        pair
    }

    fn reload(&mut self, end: usize) {
        self.ends[end] = self::end(["m", "vws:"][end]);
        self.ends[end].start();
        self.carry_out(end);
    }

    fn carry_out(&mut self, end: usize) {
        while let Some(output) = self.ends[end].poll_output() {
            match output {
                Output::Post { message, .. } => self.under_way[1 - end].push_back(message),
                Output::Start { params, ticket, .. } => self.ends[end].answer(ticket, Ok(params.into())),
                Output::Settle { reply, outcome } => {
                    self.settled += 1;
                    self.misled += usize::from(outcome.is_ok_and(|answer| answer.result != json!([reply])));
                }
                Output::Reloaded | Output::Extended(_) => {}
                Output::Ended => panic!("nobody ended it"),
            }
        }
    }

    fn arrive(&mut self, end: usize) {
        if let Some(message) = self.under_way[end].pop_front() {
            self.ends[end].receive(message, None);
            self.carry_out(end);
        }
    }

    fn call(&mut self, end: usize) {
        self.calls += 1;
        self.ends[end].call("echo", json!([self.calls]), self.calls);
        self.carry_out(end);
    }

    /// Lets everything arrive.
    fn quiesce(&mut self) {
        for _ in 0..10_000 {
            match (0..2).find(|end| !self.under_way[*end].is_empty()) {
                Some(end) => self.arrive(end),
                None => return,
            }
        }
        panic!("the ends never come to rest");
    }

    /// Whether a call of each end is answered.
    fn opens(mut self) -> bool {
        self.quiesce();
        let settled = self.settled;
        self.call(0);
        self.call(1);
        self.quiesce();
        self.settled == settled + 2
    }
}

proptest! {
    /// Even if a reloaded end finds what was meant for its predecessor.
    #[test]
    fn however_reloads_and_openings_cross_the_bridge_is_open_in_the_end(steps in proptest::collection::vec(step(), 0..60)) {
        let mut pair = Pair::new();
        for step in steps {
            match step {
                Step::Arrive(end) => pair.arrive(end),
                Step::Call(end) => pair.call(end),
                Step::Reload(end) => pair.reload(end),
            }
        }
        prop_assert!(pair.opens());
    }

    /// If what was under way to the former end is lost with it, and what it had posted arrives before its successor starts.
    #[test]
    fn no_answer_reaches_another_call_than_its_own(steps in proptest::collection::vec(step(), 0..60)) {
        let mut pair = Pair::new();
        for step in steps {
            match step {
                Step::Arrive(end) => pair.arrive(end),
                Step::Call(end) => pair.call(end),
                Step::Reload(end) => {
                    while !pair.under_way[1 - end].is_empty() {
                        pair.arrive(1 - end);
                    }
                    pair.under_way[end].clear();
                    pair.reload(end);
                }
            }
        }
        pair.quiesce();
        prop_assert_eq!(pair.misled, 0);
        prop_assert!(pair.opens());
    }
}
