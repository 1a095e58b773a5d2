//! What settled promises lead to, in memory: which other promises their values name, and whether a value is a reference and
//! nothing more. The rows hold all of it; but values may be long, and nobody should read one for each message that passes it.
//!
//! A value that leads back to the promise that it settles is refused, so settled promises and what they name make a graph
//! without circles, to which each settlement adds arcs. Walking everything behind a value would find a circle, at a cost that
//! grows with the square of a chain. Instead each promise has a level, and no arc leads to a lower one: a circle runs within
//! a level, or would raise the level of its own beginning. A level holds about as many arcs as there are levels, so that adding
//! `m` arcs costs `m√m` at worst, and next to nothing where chains are built from either end. (Bender, Fineman, Gilbert and Tarjan, "A
//! new approach to incremental cycle detection and related problems", ACM Transactions on Algorithms 12 (2), 2015, §2.)

use std::{
    collections::{BTreeSet, HashMap},
    rc::Rc,
};

use super::{super::order::last_first, undo::Log};
use crate::wire::{CapData, Kref};

/// What a reference in a value needs, about.
const SLOT_BYTES: usize = 16;

/// What a promise became, without the body of its value.
#[derive(Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Whether it was rejected.
    pub rejected: bool,
    /// The reference that the value is, if it is nothing more.
    pub reference: Option<Kref>,
    /// About as many bytes as the value has.
    pub bytes: usize,
    /// The promises in the value, each once.
    promises: BTreeSet<Kref>,
    /// How many references the value has.
    slots: usize,
}

impl Outcome {
    pub(super) fn new(rejected: bool, value: &CapData<Kref>) -> Self {
        let promises = value.slots.iter().copied().filter(|slot| slot.is_promise()).collect();
        let bytes = value.body.len().saturating_add(value.slots.len().saturating_mul(SLOT_BYTES));
        Outcome { rejected, reference: reference(value), bytes, promises, slots: value.slots.len() }
    }

    pub(super) fn promises(&self) -> impl Iterator<Item = Kref> + '_ {
        self.promises.iter().copied()
    }
}

/// In smallcaps, a reference is a string that begins with `$0`.
fn reference(value: &CapData<Kref>) -> Option<Kref> {
    let body = value.body.strip_prefix('#').filter(|body| body.starts_with(r#""$0"#))?;
    let text: String = serde_json::from_str(body).ok()?;
    let rest = text.strip_prefix("$0")?;
    (rest.is_empty() || rest.starts_with('.')).then(|| value.slots.first().copied())?
}

/// A promise that is settled, or that the value of one names.
#[derive(Debug, Default)]
struct Node {
    level: u64,
    /// The promises of the same level whose values name it.
    named_by: BTreeSet<Kref>,
    /// How many values name it, whatever their level.
    names: usize,
    /// What its value led to when it was settled, itself included.
    weight: usize,
    outcome: Option<Rc<Outcome>>,
}

#[derive(Debug)]
pub(super) enum Step {
    Settled(Kref),
    Forgotten(Kref, Rc<Outcome>),
}

/// What leads to a promise within its level.
struct Behind {
    /// The promise itself, and those found.
    found: BTreeSet<Kref>,
    /// Whether there are more than are looked for.
    and_more: bool,
}

/// Every settled promise.
#[derive(Debug, Default)]
pub(super) struct Outcomes {
    nodes: HashMap<Kref, Node, foldhash::fast::RandomState>,
    arcs: usize,
    /// What was done since the outermost savepoint.
    pub(super) log: Log<Step>,
    /// How many arcs were followed, ever: what the search for circles costs.
    #[cfg(test)]
    followed: std::cell::Cell<u64>,
}

impl Outcomes {
    /// What a promise became; `None` while it is not settled, or if there is none.
    pub(super) fn get(&self, kpid: Kref) -> Option<&Rc<Outcome>> {
        self.nodes.get(&kpid)?.outcome.as_ref()
    }

    /// Takes up what a promise became long ago, circle or not: another kernel may have settled it.
    pub(super) fn restore(&mut self, kpid: Kref, outcome: Outcome) {
        self.keep(kpid, Rc::new(outcome));
    }

    /// Takes note of what a promise becomes. False, and nothing is noted, if that leads back to the promise.
    pub(super) fn settle(&mut self, kpid: Kref, outcome: Outcome) -> bool {
        let outcome = Rc::new(outcome);
        let mut behind = None;
        for promise in &outcome.promises {
            if !self.may_name(kpid, *promise, &mut behind) {
                for named in outcome.promises.range(..promise) {
                    self.unname(kpid, *named);
                }
                return false;
            }
            self.name(kpid, *promise);
        }
        self.nodes.entry(kpid).or_default().outcome = Some(outcome);
        self.weigh(kpid);
        self.log.push(Step::Settled(kpid));
        true
    }

    /// How many references a settled promise keeps in the store: itself, those in its value, and what those led to when it was
    /// settled. What is named twice counts twice. 1 for what is not settled.
    pub(super) fn weight(&self, kpid: Kref) -> usize {
        self.nodes.get(&kpid).map_or(1, |node| node.weight.max(1))
    }

    fn weigh(&mut self, kpid: Kref) {
        let Some(outcome) = self.get(kpid) else { return };
        let behind = outcome.promises().map(|promise| self.nodes.get(&promise).map_or(0, |node| node.weight));
        let weight = behind.fold(outcome.slots.saturating_add(1), usize::saturating_add);
        if let Some(node) = self.nodes.get_mut(&kpid) {
            node.weight = weight;
        }
    }

    /// Finds the weight of all that were taken up.
    pub(super) fn weigh_all(&mut self) {
        let all: Vec<Kref> = self.nodes.keys().copied().collect();
        self.last_first(&all).into_iter().for_each(|kpid| self.weigh(kpid));
    }

    /// The promises in a value that lead back to the promise that it is to settle.
    pub(super) fn circular(&mut self, kpid: Kref, outcome: &Outcome) -> BTreeSet<Kref> {
        let mut behind = None;
        let mut circular = BTreeSet::new();
        for promise in &outcome.promises {
            if !self.may_name(kpid, *promise, &mut behind) {
                circular.insert(*promise);
                // Its level may be another now.
                behind = None;
            }
            self.tidy(*promise);
        }
        circular
    }

    /// The promise is gone. One that is unknown, or not settled, is no error.
    pub(super) fn forget(&mut self, kpid: Kref) {
        if let Some(outcome) = self.drop_outcome(kpid) {
            self.log.push(Step::Forgotten(kpid, outcome));
        }
    }

    /// These promises and all settled ones that they lead to, each once, and before those that lead to it. Where that leaves it
    /// open, the last of `krefs` comes first.
    pub(super) fn last_first(&self, krefs: &[Kref]) -> Vec<Kref> {
        last_first(krefs.iter().copied(), |kref| {
            let promises = self.get(kref).into_iter().flat_map(|outcome| outcome.promises());
            promises.filter(|promise| self.get(*promise).is_some())
        })
    }

    pub(super) fn roll_back(&mut self, mark: usize) {
        while let Some(step) = self.log.pop_behind(mark) {
            match step {
                Step::Settled(kpid) => drop(self.drop_outcome(kpid)),
                Step::Forgotten(kpid, outcome) => self.keep(kpid, outcome),
            }
        }
    }

    fn keep(&mut self, kpid: Kref, outcome: Rc<Outcome>) {
        for promise in &outcome.promises {
            let level = self.level(kpid);
            if level > self.level(*promise) {
                self.raise(*promise, level, &BTreeSet::new());
            }
            self.name(kpid, *promise);
        }
        self.nodes.entry(kpid).or_default().outcome = Some(outcome);
        self.weigh(kpid);
    }

    fn drop_outcome(&mut self, kpid: Kref) -> Option<Rc<Outcome>> {
        let node = self.nodes.get_mut(&kpid)?;
        node.weight = 0;
        let outcome = node.outcome.take()?;
        for promise in &outcome.promises {
            self.unname(kpid, *promise);
        }
        self.tidy(kpid);
        Some(outcome)
    }

    fn level(&self, kpid: Kref) -> u64 {
        self.nodes.get(&kpid).map_or(0, |node| node.level)
    }

    fn name(&mut self, by: Kref, promise: Kref) {
        let level = self.level(by);
        let node = self.nodes.entry(promise).or_default();
        node.names = node.names.saturating_add(1);
        if node.level == level {
            node.named_by.insert(by);
        }
        self.arcs = self.arcs.saturating_add(1);
    }

    fn unname(&mut self, by: Kref, promise: Kref) {
        if let Some(node) = self.nodes.get_mut(&promise) {
            node.names = node.names.saturating_sub(1);
            node.named_by.remove(&by);
            self.arcs = self.arcs.saturating_sub(1);
            self.tidy(promise);
        }
    }

    fn tidy(&mut self, kpid: Kref) {
        if self.nodes.get(&kpid).is_some_and(|node| node.names == 0 && node.outcome.is_none()) {
            self.nodes.remove(&kpid);
        }
    }

    /// Whether the value of `kpid` may name `promise`: not if that leads back to `kpid`. Raises levels as need be.
    fn may_name(&mut self, kpid: Kref, promise: Kref, behind: &mut Option<Behind>) -> bool {
        if kpid == promise {
            return false;
        }
        let (level, other) = (self.level(kpid), self.level(promise));
        if level < other {
            return true;
        }
        if self.get(promise).is_none() {
            // It leads nowhere yet.
            return level == other || self.raise(promise, level, &BTreeSet::new());
        }
        let behind = behind.get_or_insert_with(|| self.look_behind(kpid));
        match behind.and_more {
            _ if behind.found.contains(&promise) => false,
            true => self.raise(promise, level.saturating_add(1), &behind.found),
            false => level == other || self.raise(promise, level, &behind.found),
        }
    }

    /// Follows arcs of one level back from `kpid`, about as many as there are levels.
    fn look_behind(&self, kpid: Kref) -> Behind {
        const AT_LEAST: usize = 16;
        let mut left = self.arcs.isqrt().saturating_add(AT_LEAST);
        let (mut found, mut to_see) = (BTreeSet::from([kpid]), vec![kpid]);
        while let Some(seen) = to_see.pop() {
            for by in self.nodes.get(&seen).into_iter().flat_map(|node| &node.named_by) {
                #[cfg(test)]
                self.followed.set(self.followed.get() + 1);
                let Some(fewer) = left.checked_sub(1) else { return Behind { found, and_more: true } };
                left = fewer;
                if found.insert(*by) {
                    to_see.push(*by);
                }
            }
        }
        Behind { found, and_more: false }
    }

    /// Raises a promise, which is to be named, and what it leads to, to a level; false if that is one of those `behind` the arc to be added.
    fn raise(&mut self, promise: Kref, level: u64, behind: &BTreeSet<Kref>) -> bool {
        let mut free = !behind.contains(&promise);
        let node = self.nodes.entry(promise).or_default();
        node.level = level;
        node.named_by.clear();
        let mut to_see = vec![promise];
        while let Some(seen) = to_see.pop() {
            let Some(outcome) = self.get(seen).map(Rc::clone) else { continue };
            for named in &outcome.promises {
                #[cfg(test)]
                self.followed.set(self.followed.get() + 1);
                free &= !behind.contains(named);
                let node = self.nodes.entry(*named).or_default();
                if node.level < level {
                    node.level = level;
                    node.named_by.clear();
                    to_see.push(*named);
                }
                if node.level == level {
                    node.named_by.insert(seen);
                }
            }
        }
        free
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(promises: &[u64]) -> CapData<Kref> {
        CapData { body: String::new(), slots: promises.iter().map(|index| Kref::promise(*index)).collect() }
    }

    fn settle(outcomes: &mut Outcomes, index: u64, promises: &[u64]) -> bool {
        outcomes.settle(Kref::promise(index), Outcome::new(false, &value(promises)))
    }

    /// What the search replaces: everything behind the value.
    fn leads_to(outcomes: &Outcomes, from: &[u64], sought: Kref) -> bool {
        let mut to_see: Vec<Kref> = from.iter().map(|index| Kref::promise(*index)).collect();
        let mut seen = BTreeSet::new();
        while let Some(kref) = to_see.pop() {
            if kref == sought {
                return true;
            }
            if seen.insert(kref) {
                to_see.extend(outcomes.get(kref).into_iter().flat_map(|outcome| &outcome.promises));
            }
        }
        false
    }

    /// The same numbers each time.
    fn numbers(seed: u64) -> impl FnMut(u64) -> u64 {
        let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        move |below| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % below
        }
    }

    fn insist_levels(outcomes: &Outcomes) {
        for (kref, node) in &outcomes.nodes {
            for named in node.outcome.iter().flat_map(|outcome| &outcome.promises) {
                let other = &outcomes.nodes[named];
                assert!(node.level <= other.level);
                assert_eq!(other.named_by.contains(kref), node.level == other.level);
            }
        }
    }

    #[test]
    fn a_circle_is_found_exactly_where_there_is_one() {
        let (mut circles, mut settled) = (0, 0);
        for seed in 1..=60 {
            let mut next = numbers(seed);
            let mut outcomes = Outcomes::default();
            for _ in 0..400 {
                let (mark, undo) = (outcomes.log.mark(), next(8) == 0);
                for _ in 0..=next(4) {
                    let index = next(120);
                    if outcomes.get(Kref::promise(index)).is_some() {
                        if next(6) == 0 {
                            outcomes.forget(Kref::promise(index));
                        }
                        continue;
                    }
                    let promises: Vec<u64> = (0..next(4)).map(|_| next(120)).collect();
                    let circle = leads_to(&outcomes, &promises, Kref::promise(index));
                    let found = outcomes.circular(Kref::promise(index), &Outcome::new(false, &value(&promises)));
                    for promise in &promises {
                        let leads = leads_to(&outcomes, &[*promise], Kref::promise(index));
                        assert_eq!(found.contains(&Kref::promise(*promise)), leads, "seed {seed}");
                    }
                    assert_eq!(
                        settle(&mut outcomes, index, &promises),
                        !circle,
                        "seed {seed}: {index} with {promises:?}"
                    );
                    insist_levels(&outcomes);
                    if circle { circles += 1 } else { settled += 1 }
                }
                if undo {
                    outcomes.roll_back(mark);
                    insist_levels(&outcomes);
                }
            }
        }
        assert!(circles > 1_000 && settled > 1_000, "{circles} circles, {settled} settled");
    }

    #[test]
    fn what_leads_to_others_is_told_before_them_and_each_once() {
        let mut outcomes = Outcomes::default();
        for (index, promises) in [(1, vec![]), (2, vec![1]), (3, vec![1, 2, 9]), (4, vec![]), (5, vec![3, 2])] {
            assert!(settle(&mut outcomes, index, &promises));
        }
        let told = |krefs: &[u64]| {
            let krefs: Vec<Kref> = krefs.iter().map(|index| Kref::promise(*index)).collect();
            let mut order = outcomes.last_first(&krefs);
            order.reverse();
            order.into_iter().map(|kref| kref.index).collect::<Vec<_>>()
        };
        assert_eq!(told(&[1, 2, 3]), [3, 2, 1]);
        assert_eq!(told(&[4, 1]), [4, 1]);
        assert_eq!(told(&[1, 4]), [1, 4]);
        assert_eq!(told(&[5]), [5, 3, 2, 1], "but not of what is not settled");
    }

    #[test]
    fn nothing_is_left_of_what_was_forgotten_or_rolled_back() {
        let mut outcomes = Outcomes::default();
        assert!(settle(&mut outcomes, 1, &[2, 3]));
        assert!(settle(&mut outcomes, 2, &[3]));
        assert!(!settle(&mut outcomes, 3, &[4, 1]), "it leads back");
        outcomes.forget(Kref::promise(1));
        outcomes.roll_back(0);
        assert!(outcomes.nodes.is_empty() && outcomes.arcs == 0, "{outcomes:?}");
        outcomes.restore(Kref::promise(1), Outcome::new(false, &value(&[2])));
        outcomes.restore(Kref::promise(2), Outcome::new(false, &value(&[1])));
        assert!(settle(&mut outcomes, 3, &[1]), "a circle that another kernel left leads nowhere");
    }

    /// Arcs followed for `count` promises that are settled in some order, each with what `leads` says.
    fn cost(order: impl Iterator<Item = u64>, leads: impl Fn(u64) -> Vec<u64>) -> u64 {
        let mut outcomes = Outcomes::default();
        for index in order {
            assert!(settle(&mut outcomes, index, &leads(index)));
        }
        outcomes.followed.get()
    }

    #[test]
    fn a_chain_costs_its_length_from_whichever_end_it_is_built_and_little_more_in_any_order() {
        let count = 20_500;
        let chain = |index: u64| vec![index + 1];
        assert_eq!(cost(1..=count, chain), 0);
        assert_eq!(cost((1..=count).rev(), chain), 0);
        // 7,919 is a prime that does not divide the number: every promise once, far from the last.
        let mixed = cost((0..count).map(|number| number * 7_919 % count + 1), chain);
        assert!(mixed <= 40 * count, "{mixed}");
    }

    #[test]
    fn joining_what_is_large_on_both_sides_costs_the_root_of_it_each_time() {
        // A chain of promises leads to the next to be settled, which leads to the next and to a value of many promises that
        // are not settled, over and over.
        let (before, behind, times) = (5_000, 5_000, 2_000);
        let mut outcomes = Outcomes::default();
        for index in 1..before {
            assert!(settle(&mut outcomes, index, &[index + 1]));
        }
        let many = 1_000_000;
        let unsettled: Vec<u64> = (1..=behind).map(|index| many + index).collect();
        assert!(settle(&mut outcomes, many, &unsettled));
        let begin = outcomes.followed.get();
        for index in before..before + times {
            assert!(settle(&mut outcomes, index, &[index + 1, many]));
        }
        let each = (outcomes.followed.get() - begin) / times;
        assert!(each <= 300, "{each} arcs for each, of {} in all", outcomes.arcs);
    }
}
