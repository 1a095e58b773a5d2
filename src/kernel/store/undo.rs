//! What memory holds beside the rows, and how it goes back with them: each change leaves behind what undoes it, so that a
//! savepoint costs nothing, however much there is.

use std::{
    collections::{BTreeSet, VecDeque},
    ops::Deref,
    rc::Rc,
};

use super::{KernelStore, RunItem};

/// How far what memory holds beside the rows had come: lengths of what would undo it, and the rest as it was.
#[derive(Clone, Copy)]
pub(super) struct Mark {
    maybe_free: usize,
    untold: usize,
    inherited: bool,
    fresh_items: FreshMark,
    stored_items: u64,
    outcomes: usize,
    pins: usize,
    waiting: usize,
    deciding: usize,
}

impl KernelStore {
    pub(super) fn mark(&self) -> Mark {
        Mark {
            maybe_free: self.uncollected.maybe_free.log.mark(),
            untold: self.uncollected.untold.log.mark(),
            inherited: self.uncollected.inherited,
            fresh_items: self.fresh_items.mark(),
            stored_items: self.stored_items,
            outcomes: self.outcomes.log.mark(),
            pins: self.pins.log.mark(),
            waiting: self.waiting.log.mark(),
            deciding: self.deciding.log.mark(),
        }
    }

    /// Makes what memory holds beside the rows what it was.
    pub(super) fn go_back_to(&mut self, mark: Mark) {
        self.uncollected.maybe_free.roll_back(mark.maybe_free);
        self.uncollected.untold.roll_back(mark.untold);
        self.uncollected.inherited = mark.inherited;
        self.fresh_items.roll_back(mark.fresh_items);
        self.stored_items = mark.stored_items;
        self.outcomes.roll_back(mark.outcomes);
        self.pins.roll_back(mark.pins);
        self.waiting.roll_back(mark.waiting);
        self.deciding.roll_back(mark.deciding);
    }

    /// Nothing that was done so far can be undone any more.
    pub(super) fn forget_logs(&mut self) {
        self.uncollected.maybe_free.log.forget();
        self.uncollected.untold.log.forget();
        self.fresh_items.log.forget();
        self.outcomes.log.forget();
        self.pins.log.forget();
        self.waiting.log.forget();
        self.deciding.log.forget();
    }
}

/// What would undo the changes since the outermost savepoint, the last one last.
#[derive(Debug)]
pub(super) struct Log<T>(Vec<T>);

impl<T> Default for Log<T> {
    fn default() -> Self {
        Log(Vec::new())
    }
}

impl<T> Log<T> {
    pub(super) fn push(&mut self, change: T) {
        self.0.push(change);
    }

    /// How far the changes have come.
    pub(super) fn mark(&self) -> usize {
        self.0.len()
    }

    /// The last change behind the mark, which is to be undone.
    pub(super) fn pop_behind(&mut self, mark: usize) -> Option<T> {
        if self.0.len() > mark { self.0.pop() } else { None }
    }

    pub(super) fn forget(&mut self) {
        self.0.clear();
    }
}

/// What is to be looked at later, in order.
#[derive(Debug)]
pub(super) struct Noted<T> {
    notes: BTreeSet<T>,
    /// What came (true) and what went, since the outermost savepoint.
    log: Log<(T, bool)>,
}

impl<T> Default for Noted<T> {
    fn default() -> Self {
        Noted { notes: BTreeSet::new(), log: Log::default() }
    }
}

impl<T: Ord + Copy> Noted<T> {
    pub(super) fn insert(&mut self, note: T) {
        if self.notes.insert(note) {
            self.log.push((note, true));
        }
    }

    pub(super) fn remove(&mut self, note: T) {
        if self.notes.remove(&note) {
            self.log.push((note, false));
        }
    }

    pub(super) fn pop_first(&mut self) -> Option<T> {
        let note = self.notes.pop_first()?;
        self.log.push((note, false));
        Some(note)
    }

    pub(super) fn roll_back(&mut self, mark: usize) {
        while let Some((note, came)) = self.log.pop_behind(mark) {
            if came {
                self.notes.remove(&note)
            } else {
                self.notes.insert(note)
            };
        }
    }
}

impl<T> Deref for Noted<T> {
    type Target = BTreeSet<T>;

    fn deref(&self) -> &Self::Target {
        &self.notes
    }
}

/// Items of the run queue, in memory.
#[derive(Debug, Default)]
pub(super) struct FreshItems {
    items: VecDeque<Rc<RunItem>>,
    /// How many at the front are in the order in which they are to be taken.
    pub(super) ordered: usize,
    /// What was done since the outermost savepoint.
    log: Log<Step>,
}

#[derive(Debug)]
enum Step {
    Taken(Rc<RunItem>),
    PutBack,
    PutFront,
}

/// How far the items had come.
#[derive(Clone, Copy)]
struct FreshMark {
    log: usize,
    ordered: usize,
}

impl FreshItems {
    pub(super) fn push_back(&mut self, item: Rc<RunItem>) {
        self.items.push_back(item);
        self.log.push(Step::PutBack);
    }

    pub(super) fn push_front(&mut self, item: Rc<RunItem>) {
        self.items.push_front(item);
        self.log.push(Step::PutFront);
    }

    pub(super) fn front(&self) -> Option<&RunItem> {
        self.items.front().map(|item| &**item)
    }

    pub(super) fn pop_front(&mut self) -> Option<Rc<RunItem>> {
        let item = self.items.pop_front()?;
        self.ordered = self.ordered.saturating_sub(1);
        self.log.push(Step::Taken(Rc::clone(&item)));
        Some(item)
    }

    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    fn mark(&self) -> FreshMark {
        FreshMark { log: self.log.mark(), ordered: self.ordered }
    }

    fn roll_back(&mut self, mark: FreshMark) {
        while let Some(step) = self.log.pop_behind(mark.log) {
            match step {
                Step::Taken(item) => self.items.push_front(item),
                Step::PutBack => drop(self.items.pop_back()),
                Step::PutFront => drop(self.items.pop_front()),
            }
        }
        self.ordered = mark.ordered;
    }
}
