//! The attacks.

use ocap_remotes::kernel::store::MAX_SETTLED_NAMES;

use super::{
    Attack, Limits,
    attacker::{Habits, Script, Step, Who},
};
use crate::victim::{names_from, resolution};

const NOT_READING: Habits = Habits { next: calls, reads: false, deaf: false };
const READING: Habits = Habits { next: calls, reads: true, deaf: false };
/// What no attack may do. Names of settled promises are kept for those that are known, up to twice [`MAX_SETTLED_NAMES`],
/// with five rows for each. Where another latency stands below, it is what is measured, and has to become this one: there a
/// single turn is long (a message with a long list is one, and so is the forgetting of 4,096 names at once), and one message at a
/// time is on its way from the kernel to its network, so that the honest peer gets one answer in each of them.
const LIMITS: Limits =
    Limits { latency: 1.2, micros: 3.0, operations: 3.0, rows: 0.25, left: 2 * MAX_SETTLED_NAMES * 5 };

/// The same of strangers, who leave nothing. (That any were forgotten is one row.)
const OF_STRANGERS: Limits = Limits { left: 0, ..LIMITS };

/// The same where each few bytes are a handshake, or a stranger's first message: each is a commit, which takes a millisecond.
const OF_HANDSHAKES: Limits = Limits { micros: 20.0, ..OF_STRANGERS };

/// Everything that is tried.
pub const ATTACKS: &[Attack] = &[
    Attack {
        name: "calls, no answer acknowledged",
        who: Who::Known(1),
        habits: NOT_READING,
        limits: Limits { latency: 1.4, ..LIMITS },
        telling: false,
    },
    Attack {
        name: "calls, no answer acknowledged, five keys",
        who: Who::Known(5),
        habits: NOT_READING,
        limits: Limits { latency: 4.2, ..LIMITS },
        telling: false,
    },
    Attack {
        name: "calls, answers acknowledged, five keys",
        who: Who::Known(5),
        habits: READING,
        limits: Limits { latency: 4.3, ..LIMITS },
        telling: false,
    },
    Attack {
        name: "calls, not even the stream read",
        who: Who::Known(1),
        habits: Habits { deaf: true, ..NOT_READING },
        limits: Limits { latency: 1.4, ..LIMITS },
        telling: false,
    },
    Attack {
        name: "calls of 64 KiB, five keys",
        who: Who::Known(5),
        habits: Habits { next: |script| long_call(script, 64 << 10), ..READING },
        limits: LIMITS,
        telling: true,
    },
    Attack {
        name: "calls of 1 MB",
        who: Who::Known(1),
        habits: Habits { next: |script| long_call(script, 1_000_000), ..READING },
        limits: LIMITS,
        telling: false,
    },
    Attack {
        name: "chains of 500 promises",
        who: Who::Known(1),
        habits: Habits { next: chains, ..READING },
        limits: Limits { latency: 18.0, ..LIMITS },
        telling: true,
    },
    Attack {
        name: "chains of 500 promises that the program waits for",
        who: Who::Known(1),
        habits: Habits { next: awaited_chains, ..READING },
        limits: Limits { latency: 23.0, ..LIMITS },
        telling: false,
    },
    Attack {
        name: "chains of 20,000 promises",
        who: Who::Known(1),
        habits: Habits { next: long_chains, ..READING },
        limits: Limits { latency: 66.0, ..LIMITS },
        telling: false,
    },
    Attack {
        name: "1,000 references in each message, five keys",
        who: Who::Known(5),
        habits: Habits { next: |script| references(script, 1_000), ..READING },
        limits: Limits { latency: 50.0, ..LIMITS },
        telling: false,
    },
    Attack {
        name: "10,000 references in each message",
        who: Who::Known(1),
        habits: Habits { next: |script| references(script, 10_000), ..READING },
        limits: Limits { latency: 100.0, ..LIMITS },
        telling: false,
    },
    Attack {
        // What the value of a settled promise names is kept with the name of the promise, however much it is.
        name: "1,000 references asked for, dropped and retired",
        who: Who::Known(1),
        habits: Habits { next: drops, ..READING },
        limits: Limits { latency: 1.65, left: 150_000, ..LIMITS },
        telling: false,
    },
    Attack {
        name: "an object exported for each call",
        who: Who::Known(1),
        habits: Habits { next: |script| message("ro-1", "give 1", "", script.step + 1), ..READING },
        limits: Limits { latency: 1.85, ..LIMITS },
        telling: false,
    },
    Attack {
        name: "a URL redeemed again and again",
        who: Who::Known(1),
        habits: Habits { next: redemptions, ..READING },
        limits: LIMITS,
        telling: false,
    },
    Attack {
        name: "messages to what does not exist",
        who: Who::Known(5),
        habits: Habits { next: |script| message("ro-999", "", "", script.step + 1), ..READING },
        limits: Limits { latency: 4.5, ..LIMITS },
        telling: false,
    },
    Attack {
        name: "frames that are repeated",
        who: Who::Known(5),
        habits: Habits {
            next: |_| Step::Frame(r#"{"seq":1,"ack":1,"method":"deliver","params":[]}"#.to_owned()),
            ..READING
        },
        limits: LIMITS,
        telling: false,
    },
    Attack {
        name: "frames behind a gap",
        who: Who::Known(5),
        habits: Habits { next: behind_a_gap, ..READING },
        limits: LIMITS,
        telling: false,
    },
    Attack {
        name: "frames that cannot be read",
        who: Who::Strangers(20),
        habits: Habits { next: |_| Step::Frame("nonsense".to_owned()), ..READING },
        limits: OF_STRANGERS,
        telling: false,
    },
    Attack {
        name: "handshakes again and again",
        who: Who::Strangers(20),
        habits: Habits { next: |_| Step::Again, ..READING },
        limits: OF_HANDSHAKES,
        telling: false,
    },
    Attack {
        name: "another incarnation each time",
        who: Who::Strangers(20),
        habits: Habits { next: |_| Step::Anew, ..READING },
        limits: OF_HANDSHAKES,
        telling: false,
    },
    Attack {
        name: "strangers that redeem nonsense and go",
        who: Who::Strangers(20),
        habits: Habits { next: |script| visit(script, nonsense), ..READING },
        limits: OF_HANDSHAKES,
        telling: true,
    },
];

fn deliver(params: &str) -> Step {
    Step::Command(format!(r#""method":"deliver","params":[{params}]"#))
}

fn message(target: &str, body: &str, slots: &str, result: u64) -> Step {
    deliver(&format!(
        r#""message","{target}",{{"methargs":{{"body":"{body}","slots":[{slots}]}},"result":"rp+{result}"}}"#
    ))
}

fn notify(resolutions: &[String]) -> Step {
    deliver(&format!(r#""notify",[{}]"#, resolutions.join(",")))
}

fn calls(script: &mut Script) -> Step {
    message("ro-1", "", "", script.step + 1)
}

fn long_call(script: &mut Script, bytes: usize) -> Step {
    message("ro-1", &"x".repeat(bytes), "", script.step + 1)
}

/// `count` resolutions from `first` on, each naming the next.
fn chain(first: u64, count: u64) -> Vec<String> {
    (first..first + count).map(|index| resolution(index, "", &[index + 1])).collect()
}

fn chains(script: &mut Script) -> Step {
    notify(&chain(1 + script.step * 501, 500))
}

fn long_chains(script: &mut Script) -> Step {
    notify(&chain(1 + script.step * 20_001, 20_000))
}

fn awaited_chains(script: &mut Script) -> Step {
    let first = 1_000_000 + script.step / 2 * 501;
    if script.step.is_multiple_of(2) {
        message("ro-1", "keep", &names_from("rp+", first, 500), script.step + 1)
    } else {
        notify(&chain(first, 500))
    }
}

fn references(script: &mut Script, count: u64) -> Step {
    message("ro-1", "", &names_from("ro+", 1 + script.step * count, count), script.step + 1)
}

/// The program gives what it is asked for; then it is dropped and retired.
fn drops(script: &mut Script) -> Step {
    let round = script.step / 3;
    // It has `ro-1` already.
    let names = names_from("ro-", 2 + round * 1_000, 1_000);
    match script.step % 3 {
        0 => message("ro-1", "give 1000", "", script.step + 1),
        1 if script.answers <= round => Step::Wait,
        1 => deliver(&format!(r#""dropExports",[{names}]"#)),
        _ => deliver(&format!(r#""retireExports",[{names}]"#)),
    }
}

fn redemptions(script: &mut Script) -> Step {
    Step::Command(format!(r#""method":"redeemURL","params":["{}","key-{}"]"#, script.url, script.step))
}

fn nonsense(script: &mut Script) -> Step {
    Step::Command(format!(r#""method":"redeemURL","params":["ocap:nonsense","key-{}"]"#, script.step))
}

fn behind_a_gap(script: &mut Script) -> Step {
    let seq = 10 + script.step;
    Step::Frame(format!(r#"{{"seq":{seq},"ack":1,"method":"deliver","params":["bringOutYourDead"]}}"#))
}

/// A few messages under each key.
fn visit(script: &mut Script, what: fn(&mut Script) -> Step) -> Step {
    match script.step {
        0..3 => what(script),
        3 => Step::Pause(250),
        _ => Step::OtherKey,
    }
}
