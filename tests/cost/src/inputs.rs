//! The inputs.

use crate::{
    Growth, Input, Meter,
    victim::{Victim, names, resolution},
};

/// Messages that are counted where each is short and what came before is large.
const SHORT: u64 = 50;

/// Everything that is tried.
pub const INPUTS: &[Input] = &[
    Input { name: "new references in one message", growth: Growth::Linear, size: 1_000, run: references },
    Input {
        name: "promises in one notification",
        growth: Growth::Linear,
        size: 500,
        run: |n, meter| chain(n, meter, |_| None),
    },
    Input {
        name: "a chain of promises, each naming the one before",
        growth: Growth::Linear,
        size: 500,
        run: |n, meter| chain(n, meter, |index| index.checked_sub(1).filter(|before| *before > 0)),
    },
    Input {
        name: "a chain of promises, each naming the next",
        growth: Growth::Linear,
        size: 500,
        run: |n, meter| chain(n, meter, |index| Some(index + 1)),
    },
    Input { name: "a chain of promises in mixed order", growth: Growth::Linear, size: 500, run: mixed_chain },
    Input {
        name: "a chain of promises that the program waits for, each naming the one before",
        growth: Growth::Linear,
        size: 250,
        run: |n, meter| awaited_chain(n, meter, |index| index.checked_sub(1).filter(|before| *before >= 10_000)),
    },
    Input {
        name: "a chain of promises that the program waits for, each naming the next",
        growth: Growth::Linear,
        size: 250,
        run: |n, meter| awaited_chain(n, meter, |index| Some(index + 1)),
    },
    Input { name: "short notifications at the end of a chain", growth: Growth::None, size: 500, run: end_of_chain },
    Input {
        name: "short messages to the end of a chain of long values",
        growth: Growth::None,
        size: 2_000,
        run: long_values,
    },
    Input {
        name: "short messages to a promise with a long value",
        growth: Growth::None,
        size: 20_000,
        run: no_reference,
    },
    Input { name: "messages that wait for a promise", growth: Growth::Linear, size: 100, run: waiting },
    Input {
        name: "a promise settled for which messages wait",
        growth: Growth::Linear,
        size: 100,
        run: settled_for_waiting,
    },
    Input { name: "settlements refused all at once", growth: Growth::Linear, size: 500, run: refused },
    Input {
        name: "short refused settlements beside many promises",
        growth: Growth::None,
        size: 500,
        run: refused_beside_many,
    },
    Input { name: "references dropped in one message", growth: Growth::Linear, size: 500, run: dropped },
    Input { name: "references that the program releases", growth: Growth::Linear, size: 500, run: released },
    Input { name: "objects exported between two commits", growth: Growth::Linear, size: 500, run: exported },
];

fn references(count: u64, meter: &mut Meter<'_>) {
    let mut victim = Victim::new();
    meter.count(&mut victim, |victim| victim.sends("ro-1", "", &names("ro+", count), ""));
    assert_eq!(victim.given().0.len() as u64, count);
}

fn chain(count: u64, meter: &mut Meter<'_>, leads: impl Fn(u64) -> Option<u64>) {
    let mut victim = Victim::new();
    let resolutions: Vec<String> = (1..=count).map(|index| resolution(index, "", leads(index).as_slice())).collect();
    meter.count(&mut victim, |victim| victim.notifies(&resolutions));
}

fn awaited_chain(count: u64, meter: &mut Meter<'_>, leads: impl Fn(u64) -> Option<u64>) {
    let mut victim = Victim::new();
    victim.sends("ro-1", "", &names("rp+", count), "");
    victim.given();
    let resolutions: Vec<String> =
        (10_000..10_000 + count).map(|index| resolution(index, "", leads(index).as_slice())).collect();
    meter.count(&mut victim, |victim| victim.notifies(&resolutions));
    assert_eq!(victim.events.len() as u64, count);
}

fn mixed_chain(count: u64, meter: &mut Meter<'_>) {
    let mut victim = Victim::new();
    // 7,919 is a prime that divides none of the sizes: each once, far from the last.
    let resolutions: Vec<String> =
        (0..count).map(|step| step * 7_919 % count + 1).map(|index| resolution(index, "", &[index + 1])).collect();
    meter.count(&mut victim, |victim| victim.notifies(&resolutions));
}

fn end_of_chain(count: u64, meter: &mut Meter<'_>) {
    let mut victim = Victim::new();
    let resolutions: Vec<String> = (1..=count).map(|index| resolution(index, "", &[index + 1])).collect();
    victim.notifies(&resolutions);
    meter.count(&mut victim, |victim| {
        for number in 0..SHORT {
            victim.notifies(&[resolution(1_000_000 + number, "", &[1])]);
        }
    });
}

/// A chain of promises that are references, in values of `size` bytes.
fn long_values(size: u64, meter: &mut Meter<'_>) {
    let mut victim = Victim::new();
    let body = format!(r##"#\"$0.Alleged: {}\""##, "x".repeat(size as usize));
    for index in 1..=30 {
        victim.notifies(&[resolution(index, &body, &[index + 1])]);
    }
    meter.count(&mut victim, |victim| {
        for _ in 0..SHORT {
            victim.sends("rp+1", "", "", "");
        }
    });
}

fn no_reference(size: u64, meter: &mut Meter<'_>) {
    let mut victim = Victim::new();
    victim.notifies(&[resolution(1, &"x".repeat(size as usize), &[])]);
    meter.count(&mut victim, |victim| {
        for _ in 0..SHORT {
            victim.sends("rp+1", "", "", "");
        }
    });
}

fn waiting(count: u64, meter: &mut Meter<'_>) {
    let mut victim = Victim::new();
    victim.sends("ro-1", "", "", "rp+1");
    meter.count(&mut victim, |victim| {
        for index in 0..count {
            victim.sends("rp+1", "", "", &format!("rp+{}", 10_000 + index));
        }
    });
}

fn settled_for_waiting(count: u64, meter: &mut Meter<'_>) {
    let mut victim = Victim::new();
    victim.sends("ro-1", "", "", "rp+1");
    let (_, results) = victim.given();
    for _ in 0..count {
        victim.sends("rp+1", "", "", "");
    }
    let object = victim.kernel.export_object().unwrap();
    victim.settles();
    meter.count(&mut victim, |victim| victim.resolves(results.first().copied().unwrap(), r##"#"$0""##, vec![object]));
    assert!(victim.events.len() as u64 >= count);
}

fn refused(count: u64, meter: &mut Meter<'_>) {
    let mut victim = Victim::new();
    victim.sends("ro-1", "", &names("rp+", count), "");
    // One of them is settled twice, so that none may be as it says.
    let mut resolutions: Vec<String> = (0..count).map(|index| resolution(10_000 + index, "", &[])).collect();
    resolutions.extend(resolutions.first().cloned());
    meter.count(&mut victim, |victim| victim.notifies(&resolutions));
}

fn refused_beside_many(count: u64, meter: &mut Meter<'_>) {
    let mut victim = Victim::new();
    victim.sends("ro-1", "", &names("rp+", count), "");
    meter.count(&mut victim, |victim| {
        for _ in 0..SHORT {
            victim.writes(r#""method":"deliver","params":["notify",[["rp-77",false,{"body":"","slots":[]}]]]"#);
        }
    });
}

/// The program gives the peer objects, which the peer drops.
fn dropped(count: u64, meter: &mut Meter<'_>) {
    let mut victim = Victim::new();
    victim.sends("ro-1", "", "", "rp+1");
    let (_, results) = victim.given();
    let objects: Vec<_> = (0..count).map(|_| victim.kernel.export_object().unwrap()).collect();
    victim.resolves(results.first().copied().unwrap(), "", objects);
    let names = (0..count).map(|index| format!("\"ro-{}\"", index + 2)).collect::<Vec<_>>().join(",");
    meter.count(&mut victim, |victim| {
        victim.writes(&format!(r#""method":"deliver","params":["dropExports",[{names}]]"#));
        victim.writes(&format!(r#""method":"deliver","params":["retireExports",[{names}]]"#));
    });
}

fn released(count: u64, meter: &mut Meter<'_>) {
    let mut victim = Victim::new();
    victim.sends("ro-1", "", &names("ro+", count), "");
    let (slots, _) = victim.given();
    meter.count(&mut victim, |victim| {
        victim.kernel.release(&slots).unwrap();
        victim.settles();
    });
}

fn exported(count: u64, meter: &mut Meter<'_>) {
    let mut victim = Victim::new();
    meter.count(&mut victim, |victim| {
        for _ in 0..count {
            victim.kernel.export_object().unwrap();
        }
        victim.settles();
    });
}
