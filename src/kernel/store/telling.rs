//! Who is told of how much garbage: most endpoints of all there is, some of one thing of each kind at a time. What they are not
//! told yet is left uncollected, with every row as it is, so that nothing needs to be written down: whoever looks for garbage
//! finds it.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
};

use super::{
    KernelStore, Uncollected,
    gc::{GcAction, GcKind},
};
use crate::wire::{EndpointId, Eref, Kref, RefKind};

/// How much of one kind an endpoint may be told now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hearing {
    /// Whatever there is.
    Everything,
    /// One thing.
    One,
    /// Nothing; it will be asked again.
    Nothing,
    /// The same, and whatever there is then.
    Soon,
}

/// Says how much an endpoint may be told.
pub type MayHear<'a> = &'a dyn Fn(EndpointId, GcKind) -> Hearing;

pub(super) type Actions = BTreeMap<(EndpointId, GcKind), Vec<Eref>>;

/// One collection: what is to be told, of what may be.
pub(super) struct Collection<'a> {
    hearing: MayHear<'a>,
    pub(super) actions: Actions,
    /// Who was told one thing already, and may not be told more.
    told_one: BTreeSet<(EndpointId, GcKind)>,
    /// How much waits to be told to whom, where that was looked up.
    waiting: BTreeMap<(EndpointId, GcKind), usize>,
}

/// Whether something is told.
pub(super) enum Word {
    Now,
    Later,
    Never,
}

/// How much of one kind may wait to be told to one endpoint. What comes beyond is freed without a word: should the endpoint mention
/// it again, it is as if for the first time.
const MAX_UNTOLD: usize = 1_000;

impl<'a> Collection<'a> {
    pub(super) fn new(hearing: MayHear<'a>) -> Self {
        Collection { hearing, actions: Actions::new(), told_one: BTreeSet::new(), waiting: BTreeMap::new() }
    }

    pub(super) fn may_tell(&self, endpoint: EndpointId, kind: GcKind) -> bool {
        match (self.hearing)(endpoint, kind) {
            Hearing::Everything => true,
            Hearing::One => !self.told_one.contains(&(endpoint, kind)),
            Hearing::Nothing | Hearing::Soon => false,
        }
    }

    pub(super) fn tell(&mut self, endpoint: EndpointId, kind: GcKind, eref: Eref) {
        self.told_one.insert((endpoint, kind));
        self.actions.entry((endpoint, kind)).or_default().push(eref);
    }

    pub(super) fn listed(self) -> Vec<GcAction> {
        let listed = |((endpoint, kind), erefs)| GcAction { endpoint, kind, erefs };
        self.actions.into_iter().map(listed).collect()
    }
}

/// Behind all others.
const LAST: Kref = Kref { kind: RefKind::Promise, index: u64::MAX };

impl KernelStore {
    /// Notes for this collection what was left for want of a turn: all of it where there is no such bound any more, else the
    /// first.
    pub(super) fn look_again(&mut self, collection: &Collection<'_>) {
        let mut from = Bound::Unbounded;
        while let Some((endpoint, kind, kref)) = self.uncollected.untold.range((from, Bound::Unbounded)).next().copied()
        {
            let may_tell = collection.may_tell(endpoint, kind);
            if may_tell {
                self.uncollected.untold.remove((endpoint, kind, kref));
                self.uncollected.maybe_free.insert(kref);
            }
            let goes_on = may_tell && (collection.hearing)(endpoint, kind) == Hearing::Everything;
            from = Bound::Excluded((endpoint, kind, if goes_on { kref } else { LAST }));
        }
    }

    /// Whether a later collection looks at this.
    pub(super) fn is_uncollected(&self, kref: Kref) -> bool {
        let Uncollected { maybe_free, untold, .. } = &self.uncollected;
        maybe_free.contains(&kref) || untold.iter().any(|(_, _, noted)| *noted == kref)
    }

    /// Whether an endpoint is told this; what it is told later is noted.
    pub(super) fn word(
        &mut self,
        collection: &mut Collection<'_>,
        endpoint: EndpointId,
        kind: GcKind,
        kref: Kref,
    ) -> Word {
        if collection.may_tell(endpoint, kind) {
            return Word::Now;
        }
        let untold = &mut self.uncollected.untold;
        if (collection.hearing)(endpoint, kind) == Hearing::Soon {
            untold.insert((endpoint, kind, kref));
            return Word::Later;
        }
        let waiting = collection.waiting.entry((endpoint, kind)).or_insert_with(|| {
            let of_kind = (endpoint, kind, Kref::object(0))..=(endpoint, kind, LAST);
            untold.range(of_kind).count()
        });
        if *waiting >= MAX_UNTOLD {
            return Word::Never;
        }
        *waiting += 1;
        untold.insert((endpoint, kind, kref));
        Word::Later
    }
}
