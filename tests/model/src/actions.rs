//! What can happen, when, and what follows.

use std::sync::Arc;

use ocap_remotes::wire::Message;

use crate::{
    end::Violation,
    rules::Rules,
    world::{Bounds, Handshake, Hashed, Net, Outcome, Outgoing, Side, World},
};

/// One thing that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// A program sends a message.
    Send(Side),
    /// A kernel commits.
    Commit(Side),
    /// A session hands out a write, and the network takes it.
    Write(Side),
    /// The same, but the network refuses it for the rate limit.
    WriteTooFast(Side),
    /// The result of the oldest write is reported.
    Result(Side),
    /// An end takes the next frame.
    Receive(Side),
    /// An end processes the next message that it holds.
    Process(Side),
    /// The network dials for a channel.
    Dial(Side),
    /// A kernel answers its network's question; an end that dialled closes the channel if the peer has restarted.
    Judge(Side),
    /// The same, but it keeps the channel.
    JudgeAndKeep(Side),
    /// The retransmission timer fires.
    Retransmit(Side),
    /// The give-up timer fires.
    GiveUp(Side),
    /// The network gives up, and refuses what waits.
    NetworkGivesUp(Side),
    /// The kernel hears of it.
    HearGivenUp(Side),
    /// The channel is cut, or the handshake ends.
    Cut,
    /// The last frame to an end is lost with the channel.
    LoseLast(Side),
    /// An end notices that its channel is gone.
    Notice(Side),
    /// The same, while a write was under way.
    NoticeWithWrite(Side),
    /// An attempt to get a channel fails.
    DialFails(Side),
    /// Kernel and network die; the kernel takes up its store.
    Crash(Side),
    /// The same with an empty store.
    Wipe(Side),
    /// The network dies; the kernel starts another.
    ReloadNetwork(Side),
    /// A frame in the middle vanishes.
    Drop(Side, usize),
    /// A frame arrives and stays under way.
    Repeat(Side, usize),
    /// A frame overtakes those before it.
    Overtake(Side, usize),
}

/// Everything that can happen now.
pub fn possible(world: &World, actions: &mut Vec<Action>) {
    if world.violation.is_some() {
        return;
    }
    let left = &world.left;
    for side in [0, 1] {
        let net = &world.nets[side];
        if left.sends[side] > 0 {
            actions.push(Action::Send(side));
        }
        spontaneous(world, side, actions);
        if left.rate_limits[side] > 0 {
            actions.push(Action::WriteTooFast(side));
        }
        if net.question.is_some() && world.handshake == Some(Handshake { initiator: side, taken: true }) {
            actions.push(Action::JudgeAndKeep(side));
        }
        if left.retransmissions[side] > 0 {
            actions.push(Action::Retransmit(side));
        }
        if left.give_ups[side] > 0 {
            actions.push(Action::GiveUp(side));
            if !net.up && world.handshake.is_none() && !net.gave_up {
                actions.push(Action::NetworkGivesUp(side));
            }
        }
        if left.cuts > 0 && net.has_waiting() && world.handshake.is_none() {
            actions.push(Action::DialFails(side));
        }
        if !world.alive && net.up && !world.toward[side].is_empty() {
            actions.push(Action::LoseLast(side));
        }
        if net.writes.last().is_some_and(|write| write.current && write.outcome == Some(Outcome::Written))
            && can_notice(world, side)
        {
            actions.push(Action::NoticeWithWrite(side));
        }
        let ends = [
            (left.crashes[side], Action::Crash(side)),
            (left.wipes[side], Action::Wipe(side)),
            (left.reloads[side], Action::ReloadNetwork(side)),
        ];
        actions.extend(ends.into_iter().filter(|(left, _)| *left > 0).map(|(_, action)| action));
        if left.mischief > 0 {
            mischief(world, side, actions);
        }
    }
    if left.cuts > 0 && (world.alive || world.handshake.is_some()) {
        actions.push(Action::Cut);
    }
}

/// What a channel may do to the frames under way that it must not.
fn mischief(world: &World, side: Side, actions: &mut Vec<Action>) {
    for (place, frame) in world.toward[side].iter().enumerate().filter(|(place, _)| world.is_readable(side, *place)) {
        actions.push(Action::Drop(side, place));
        actions.extend((place > 0).then_some(Action::Overtake(side, place)));
        // A channel that keeps back every word of where the sender starts and repeats what comes after would make it look
        // like an incumbent that has given up.
        if world.ends[side].heard_start || frame.text.contains("\"start\":") {
            actions.push(Action::Repeat(side, place));
        }
    }
}

/// What an end and its network do without being asked, and without harm.
pub fn spontaneous(world: &World, side: Side, actions: &mut Vec<Action>) {
    let (end, net) = (&world.ends[side], &world.nets[side]);
    if !net.writes.is_empty() && net.writes.iter().any(|write| write.outcome.is_some()) {
        actions.push(Action::Result(side));
    }
    if net.gave_up {
        actions.push(Action::HearGivenUp(side));
    } else if net.question.is_some() {
        actions.push(Action::Judge(side));
    }
    if world.is_readable(side, 0) {
        actions.push(Action::Receive(side));
    }
    if end.has_ready() {
        actions.push(Action::Process(side));
    }
    if end.is_dirty() {
        actions.push(Action::Commit(side));
    }
    if can_notice(world, side) {
        actions.push(Action::Notice(side));
    }
    actions.push(Action::Write(side));
    if can_dial(world) {
        actions.push(Action::Dial(side));
    }
}

fn can_notice(world: &World, side: Side) -> bool {
    world.nets[side].up && !world.alive
}

/// Both ends must have noticed the loss of the former channel, since an end that is dialled anew notices by that.
fn can_dial(world: &World) -> bool {
    world.handshake.is_none() && world.nets.iter().all(|net| !net.up && net.question.is_none() && !net.gave_up)
}

/// Lets something happen. `None` if nothing changes.
pub fn apply(world: &World, rules: &Rules, action: Action) -> Option<World> {
    let mut next = world.clone();
    match step(&mut next, rules, action) {
        Ok(true) => {
            count(&mut next.left, action);
            Some(next)
        }
        Ok(false) => None,
        Err(violation) => {
            next.violation = Some(Arc::from(violation));
            Some(next)
        }
    }
}

fn count(left: &mut Bounds, action: Action) {
    let counter = match action {
        Action::Send(side) => &mut left.sends[side],
        Action::Crash(side) => &mut left.crashes[side],
        Action::Wipe(side) => &mut left.wipes[side],
        Action::ReloadNetwork(side) => &mut left.reloads[side],
        Action::GiveUp(side) | Action::NetworkGivesUp(side) => &mut left.give_ups[side],
        Action::Retransmit(side) => &mut left.retransmissions[side],
        Action::WriteTooFast(side) => &mut left.rate_limits[side],
        Action::Cut | Action::DialFails(_) => &mut left.cuts,
        Action::Drop(..) | Action::Repeat(..) | Action::Overtake(..) => &mut left.mischief,
        _ => return,
    };
    *counter = counter.saturating_sub(1);
}

fn step(world: &mut World, rules: &Rules, action: Action) -> Result<bool, Violation> {
    let now = rules.now;
    match action {
        Action::Send(side) => return world.act(side, |end, _| end.send(0)),
        Action::Commit(side) => world.act(side, |end, _| end.commit(now))?,
        Action::Write(side) => return write(world, rules, side, None),
        Action::WriteTooFast(side) => return write(world, rules, side, Some(Outcome::RateLimited)),
        Action::Result(side) => return result(world, rules, side),
        Action::Receive(side) => receive(world, rules, side, 0, false)?,
        Action::Process(side) => {
            let replies = rules.reception(side).replies;
            return world.act(side, |end, peer| end.process_next(peer, replies));
        }
        Action::Dial(side) => {
            world.alive = false;
            world.handshake = Some(Handshake { initiator: side, taken: false });
            world.ask(1 - side);
        }
        Action::Judge(side) => judge(world, rules, side, false)?,
        Action::JudgeAndKeep(side) => judge(world, rules, side, true)?,
        Action::Retransmit(side) => return retransmit(world, rules, side),
        Action::GiveUp(side) => {
            let gave_up = world.act(side, |end, _| end.handle_timeout(rules.give_up_time()))?;
            world.nets[side].forget_writes();
            return Ok(gave_up);
        }
        Action::NetworkGivesUp(side) => {
            let net = &mut world.nets[side];
            net.fail_waiting();
            net.gap = false;
            net.gave_up = true;
        }
        Action::HearGivenUp(side) => {
            world.nets[side].gave_up = false;
            world.nets[side].forget_writes();
            world.act(side, |end, _| end.give_up())?;
        }
        Action::Cut => {
            if let Some(Handshake { initiator, .. }) = world.handshake {
                world.nets[initiator].fail_waiting();
            }
            world.cut();
        }
        Action::LoseLast(side) => return Ok(world.toward[side].pop().is_some()),
        Action::Notice(side) => world.notice(side),
        Action::NoticeWithWrite(side) => {
            world.notice(side);
            if let Some(write) = world.nets[side].writes.last_mut() {
                write.outcome = Some(Outcome::Refused);
            }
        }
        Action::DialFails(side) => world.nets[side].fail_waiting(),
        Action::Crash(side) => die(world, side, |end| end.crash(rules.session.clone(), now)),
        Action::Wipe(side) => die(world, side, |end| end.wipe(rules.session.clone(), now)),
        Action::ReloadNetwork(side) => {
            world.cut();
            world.toward[side].clear();
            let net = &mut world.nets[side];
            net.fail_waiting();
            net.forget_writes();
            *net = Net { writes: std::mem::take(&mut net.writes), ..Net::default() };
            world.act(side, |end, _| {
                end.session.network_started(now);
                Ok(())
            })?;
        }
        Action::Drop(side, place) => drop(world.toward[side].remove(place)),
        Action::Repeat(side, place) => receive(world, rules, side, place, true)?,
        Action::Overtake(side, place) => receive(world, rules, side, place, false)?,
    }
    Ok(true)
}

fn retransmit(world: &mut World, rules: &Rules, side: Side) -> Result<bool, Violation> {
    let before = Arc::clone(&world.ends[side]);
    for time in rules.retransmission_times() {
        if world.act(side, |end, _| end.handle_timeout(time))? {
            return Err("the peer was given up before its time".to_owned());
        }
        if before != world.ends[side] {
            return Ok(true);
        }
    }
    Ok(false)
}

fn write(world: &mut World, rules: &Rules, side: Side, refusal: Option<Outcome>) -> Result<bool, Violation> {
    let Some(write) = world.act(side, |end, peer| end.poll_write(rules.now, peer))? else { return Ok(false) };
    let text = if rules.incumbent && side == 1 { without_start(&write.text)? } else { write.text };
    let mut outgoing = Outgoing::new(write.token, &text);
    if let Some(refusal) = refusal {
        if ocap_remotes::wire::is_standalone_ack(&text) {
            return Ok(false); // Those are never limited.
        }
        outgoing.outcome = Some(refusal);
        world.nets[side].gap = true;
    } else if world.nets[side].up {
        outgoing.outcome = Some(Outcome::Written);
        world.put(side, Arc::clone(&outgoing.text));
    }
    world.nets[side].writes.push(outgoing);
    Ok(true)
}

/// What an end of the older kind would have written.
fn without_start(text: &str) -> Result<String, Violation> {
    let message = Message::parse(text).map_err(|error| error.to_string())?;
    let Some(start) = message.start else { return Ok(text.to_owned()) };
    Ok(text.replacen(&format!(r#","start":{start}"#), "", 1))
}

fn result(world: &mut World, rules: &Rules, side: Side) -> Result<bool, Violation> {
    let writes = &mut world.nets[side].writes;
    let Some(place) = writes.iter().position(|write| write.outcome.is_some()) else { return Ok(false) };
    let write = writes.remove(place);
    let Some(outcome) = write.outcome else { return Ok(false) };
    world.act(side, |end, _| {
        if end.session.is_current(write.token()) != write.current {
            return Err("the result of one write is taken for that of another, or of none".to_owned());
        }
        end.session.write_finished(rules.now, write.token(), outcome.into());
        Ok(())
    })?;
    // The first that does not end well ends what is under way beside it.
    let World { ends, nets, .. } = world;
    nets[side].writes.iter_mut().for_each(|write| write.current &= ends[side].session.is_current(write.token()));
    Ok(true)
}

fn receive(world: &mut World, rules: &Rules, side: Side, place: usize, stays: bool) -> Result<(), Violation> {
    let text = Arc::clone(&world.toward[side][place].text);
    if !stays {
        world.toward[side].remove(place);
    }
    let how = rules.reception(side);
    world.act(side, |end, peer| end.receive(rules.now, &text, peer, how))
}

fn judge(world: &mut World, rules: &Rules, side: Side, keep: bool) -> Result<(), Violation> {
    let Some(observed) = world.nets[side].question.take() else { return Ok(()) };
    let restarted = world.act(side, |end, _| end.judge(rules.now, observed))?;
    if restarted {
        world.nets[side].forget_writes();
    }
    world.conclude(side, restarted, rules.fence);
    match world.handshake {
        Some(Handshake { initiator, taken: false }) if initiator != side => {
            if restarted {
                world.handshake = None;
            } else {
                world.alive = true;
                world.handshake = Some(Handshake { initiator, taken: true });
                world.register(side);
                world.ask(initiator);
            }
        }
        Some(Handshake { initiator, taken: true }) if initiator == side => {
            if restarted && !keep {
                world.cut();
            } else {
                world.handshake = None;
                world.register(side);
            }
        }
        _ => {}
    }
    Ok(())
}

fn die(world: &mut World, side: Side, act: impl FnOnce(&mut crate::end::End)) {
    world.cut();
    world.toward[side].clear();
    world.nets[side] = Net::default();
    let mut end = crate::end::End::clone(&world.ends[side]);
    act(&mut end);
    world.ends[side] = Hashed::new(end);
}
