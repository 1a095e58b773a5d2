//! From every state there is a way to a good end: if from now on nothing goes wrong, everything is delivered or reported,
//! nothing is left to be done, and the two ends understand each other.
//!
//! A model checker's "eventually" would have to tell a cycle from a join. This needs no such thing: one fixed way is taken,
//! and it must arrive. The network is of little help on it: it dials only for what waits to be written, and a timer fires
//! only when nothing else is left to happen.

use std::{collections::HashSet, sync::Mutex};

use crate::{
    actions::{self, Action},
    end::Violation,
    rules::Rules,
    store::Sent,
    world::World,
};

/// More steps than any way to a good end takes.
const MANY: usize = 400;

/// States from which the way is known to arrive, so that each step is taken once.
#[derive(Debug, Default)]
pub struct Known {
    shards: [Mutex<HashSet<u64>>; 16],
}

impl Known {
    fn shard(&self, essence: u64) -> std::sync::MutexGuard<'_, HashSet<u64>> {
        self.shards[(essence >> 60) as usize].lock().unwrap()
    }

    fn contains(&self, essence: u64) -> bool {
        self.shard(essence).contains(&essence)
    }

    /// Follows the way from a state.
    ///
    /// # Errors
    /// Why it does not arrive.
    pub fn arrives(&self, world: &World, rules: &Rules) -> Result<(), Violation> {
        let mut way = Vec::new();
        let end = follow(world, rules, |state, _| {
            let essence = state.essence();
            let go_on = !self.contains(essence);
            if go_on {
                way.push(essence);
            }
            go_on
        })?;
        if let Some(end) = end {
            is_good_end(&end, rules)?;
        }
        for essence in way {
            self.shard(essence).insert(essence);
        }
        Ok(())
    }
}

/// Follows the way for as long as `look` says. Answers the state at its end, if it came there.
fn follow(
    world: &World,
    rules: &Rules,
    mut look: impl FnMut(&World, Option<Action>) -> bool,
) -> Result<Option<World>, Violation> {
    let mut state = world.clone();
    if !look(&state, None) {
        return Ok(None);
    }
    for _ in 0..MANY {
        let Some((action, next)) = step(&state, rules) else { return Ok(Some(state)) };
        if let Some(violation) = &next.violation {
            return Err(format!("{violation} (though nothing goes wrong any more)"));
        }
        state = next;
        if !look(&state, Some(action)) {
            return Ok(None);
        }
    }
    Err("the two ends never come to rest".to_owned())
}

/// The next step of the way.
fn step(world: &World, rules: &Rules) -> Option<(Action, World)> {
    work(world, rules).or_else(|| {
        let retransmissions = [0, 1].into_iter().map(Action::Retransmit);
        retransmissions.map(|action| take(world, rules, action)).find_map(|taken| taken)
    })
}

fn take(world: &World, rules: &Rules, action: Action) -> Option<(Action, World)> {
    actions::apply(world, rules, action).map(|next| (action, next))
}

/// The next step that takes no timer: whatever either end has to do, and a dial for what waits to be written.
pub fn work(world: &World, rules: &Rules) -> Option<(Action, World)> {
    let mut possible = Vec::new();
    for side in [0, 1] {
        possible.clear();
        actions::spontaneous(world, side, &mut possible);
        let mut gentle = possible.iter().filter(|action| !matches!(action, Action::Dial(_)));
        if let Some(next) = gentle.find_map(|action| take(world, rules, *action)) {
            return Some(next);
        }
    }
    let dialler = [0, 1].into_iter().find(|side| world.nets[*side].has_waiting());
    let dial = dialler.map(Action::Dial).filter(|_| world.handshake.is_none());
    dial.and_then(|dial| take(world, rules, dial))
}

/// Everything is done with, and what either program sends now arrives and is acknowledged. The first message after a
/// restart may only find out about that restart.
fn is_good_end(world: &World, rules: &Rules) -> Result<(), Violation> {
    is_at_rest(world)?;
    let mut state = world.clone();
    for _ in 0..3 {
        for side in [0, 1] {
            state =
                actions::apply(&state, rules, Action::Send(side)).ok_or("there is no room for a message at rest")?;
        }
        state = follow(&state, rules, |_, _| true)?.ok_or("a way was left")?;
        is_at_rest(&state)?;
    }
    for side in [0, 1] {
        let (end, peer) = (&state.ends[side], &state.ends[1 - side]);
        if end.store.sent.last() != Some(&Sent::Acknowledged) || end.store.sent.len() != peer.store.got.len() {
            return Err(format!("{}'s messages do not get through any more", crate::name(side)));
        }
    }
    Ok(())
}

/// Nothing is pending, under way, or left to be done.
///
/// # Errors
/// What is.
pub fn is_at_rest(world: &World) -> Result<(), Violation> {
    for side in [0, 1] {
        let (end, net) = (&world.ends[side], &world.nets[side]);
        let name = crate::name(side);
        if end.store.sent.contains(&Sent::Pending) || end.session.pending() > 0 {
            return Err(format!("a message of {name}'s is neither acknowledged nor given up, and nothing happens"));
        }
        if end.is_dirty() || end.has_ready() || !net.writes.is_empty() || net.question.is_some() {
            return Err(format!("{name} has something left to do, and does not do it"));
        }
        if world.is_readable(side, 0) {
            return Err(format!("{name} does not read what is there"));
        }
    }
    Ok(())
}

/// Tells the way step by step.
pub fn tell(world: &World, rules: &Rules) -> Vec<String> {
    let mut told = Vec::new();
    let mut before = world.clone();
    let followed = follow(world, rules, |state, action| {
        if let Some(action) = action {
            told.push(crate::story::tell(&before, action, state));
        }
        before = state.clone();
        told.len() < 60
    });
    let end = match followed {
        Ok(Some(end)) => is_good_end(&end, rules).err(),
        Ok(None) => None,
        Err(violation) => Some(violation),
    };
    told.extend(end.map(|end| format!("=> {end}")));
    told
}
