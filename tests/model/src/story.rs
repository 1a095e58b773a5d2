//! Tells what happened, for people.

use crate::{
    actions::Action,
    name,
    world::{Side, World},
};

/// One step, with the frames in it.
pub fn tell(before: &World, action: Action, after: &World) -> String {
    let frame = |side: Side, place: usize| before.toward[side].get(place).map_or("nothing", |frame| &frame.text);
    let text = match action {
        Action::Write(side) | Action::WriteTooFast(side) => {
            let write = after.nets[side].writes.last();
            let (text, outcome) = write.map_or(("nothing", None), |write| (&*write.text, write.outcome));
            let fate = match outcome {
                None => "waits for a channel",
                Some(_) if matches!(action, Action::WriteTooFast(_)) => "refused by the rate limit",
                Some(_) if after.alive => "on the channel",
                Some(_) => "into a dead channel",
            };
            format!("{} writes {text} ({fate})", name(side))
        }
        Action::Result(side) => {
            let write = before.nets[side].writes.iter().find(|write| write.outcome.is_some());
            let outcome = write.and_then(|write| write.outcome.map(|outcome| (outcome, write.current)));
            match outcome {
                Some((outcome, true)) => format!("{} hears of its write: {outcome:?}", name(side)),
                Some((outcome, false)) => format!("{} hears of a write it has forgotten: {outcome:?}", name(side)),
                None => format!("{} hears of no write", name(side)),
            }
        }
        Action::Receive(side) => format!("{} receives {}", name(side), frame(side, 0)),
        Action::Repeat(side, place) => format!("{} receives, and will again, {}", name(side), frame(side, place)),
        Action::Overtake(side, place) => format!("{} receives out of order {}", name(side), frame(side, place)),
        Action::Drop(side, place) => format!("the channel loses {} on its way to {}", frame(side, place), name(side)),
        Action::LoseLast(side) => {
            let place = before.toward[side].len().saturating_sub(1);
            format!("lost with the channel, on its way to {}: {}", name(side), frame(side, place))
        }
        Action::Judge(side) | Action::JudgeAndKeep(side) => {
            let shown = before.nets[side].question.unwrap_or_default();
            let known = before.ends[side].store.peer;
            let up = if after.nets[side].up { "takes the channel" } else { "does not take the channel" };
            format!("{} is shown incarnation {shown}, knew {known}, and {up}", name(side))
        }
        Action::Cut => "the channel is cut".to_owned(),
        other => plain(other),
    };
    match &after.violation {
        Some(violation) => format!("{text}\n=> {violation}"),
        None => text,
    }
}

fn plain(action: Action) -> String {
    let (side, what) = match action {
        Action::Send(side) => (side, "sends a message"),
        Action::Commit(side) => (side, "commits"),
        Action::Process(side) => (side, "processes a message"),
        Action::Dial(side) => (side, "dials"),
        Action::Retransmit(side) => (side, "waits no longer for an acknowledgement"),
        Action::GiveUp(side) => (side, "gives the peer up"),
        Action::NetworkGivesUp(side) => (side, "stops trying to reach the peer (its network)"),
        Action::HearGivenUp(side) => (side, "hears that its network stopped trying, and gives the peer up"),
        Action::Notice(side) => (side, "notices that the channel is gone"),
        Action::NoticeWithWrite(side) => (side, "notices that the channel is gone, with a write under way"),
        Action::DialFails(side) => (side, "cannot get a channel"),
        Action::Crash(side) => (side, "crashes and takes up its store"),
        Action::Wipe(side) => (side, "crashes and loses its store"),
        Action::ReloadNetwork(side) => (side, "gets a new network"),
        other => return format!("{other:?}"),
    };
    format!("{} {what}", name(side))
}
