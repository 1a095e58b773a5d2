//! The pinned objects: one row, as the incumbent spells it, their names in the order of text. It is kept in memory as it is
//! spelled, changed in place, and written once for each commit however many were pinned since the last.

use std::cmp::Ordering;

use super::{KernelStore, StoreError, objects::PINNED, undo::Log};
use crate::wire::Kref;

/// The row, and what undoes the changes since the outermost savepoint.
#[derive(Debug, Default)]
pub(super) struct Pins {
    row: String,
    /// Whether the store has an older one.
    unwritten: bool,
    /// What was pinned (true) or unpinned.
    pub(super) log: Log<(Kref, bool)>,
}

impl Pins {
    /// Reads the row, whoever wrote it.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`].
    pub(super) fn parse(row: &str) -> Result<Self, StoreError> {
        let mut names: Vec<&str> = row.split(',').filter(|name| !name.is_empty()).collect();
        if names.iter().any(|name| name.parse::<Kref>().is_err()) {
            return Err(StoreError::corrupt(PINNED, row));
        }
        names.sort_unstable();
        names.dedup();
        Ok(Pins { row: names.join(","), ..Pins::default() })
    }

    /// Where a name begins in the row, or where it would.
    fn find(&self, name: &str) -> Result<usize, usize> {
        let (mut from, mut to) = (0, self.row.len());
        while from < to {
            let middle = from.midpoint(to);
            let before = self.row.get(from..middle).unwrap_or_default();
            let begin = before.rfind(',').map_or(from, |comma| from.saturating_add(comma).saturating_add(1));
            let found = self.row.get(begin..to).and_then(|rest| rest.split(',').next()).unwrap_or_default();
            match found.cmp(name) {
                Ordering::Equal => return Ok(begin),
                Ordering::Less => from = begin.saturating_add(found.len()).saturating_add(1),
                // To the comma before it, which is no part of what is left.
                Ordering::Greater => to = begin.saturating_sub(1).max(from),
            }
        }
        Err(from)
    }

    fn change(&mut self, kref: Kref, pinned: bool) -> bool {
        let name = kref.to_string();
        match (self.find(&name), pinned) {
            // Behind the last: the comma stands before it.
            (Err(at), true) if at >= self.row.len() => {
                if !self.row.is_empty() {
                    self.row.push(',');
                }
                self.row.push_str(&name);
            }
            (Err(at), true) => self.row.insert_str(at, &format!("{name},")),
            (Ok(at), false) => {
                let end = at.saturating_add(name.len());
                let (from, to) = if end < self.row.len() { (at, end + 1) } else { (at.saturating_sub(1), end) };
                self.row.replace_range(from..to, "");
            }
            _ => return false,
        }
        self.unwritten = true;
        true
    }

    /// False if it is pinned already.
    pub(super) fn pin(&mut self, kref: Kref) -> bool {
        let changed = self.change(kref, true);
        if changed {
            self.log.push((kref, true));
        }
        changed
    }

    /// False if it is not pinned.
    pub(super) fn unpin(&mut self, kref: Kref) -> bool {
        let changed = self.change(kref, false);
        if changed {
            self.log.push((kref, false));
        }
        changed
    }

    /// The row, if the store has an older one.
    pub(super) fn unwritten(&self) -> Option<&str> {
        self.unwritten.then_some(&self.row)
    }

    pub(super) fn roll_back(&mut self, mark: usize) {
        while let Some((kref, pinned)) = self.log.pop_behind(mark) {
            self.change(kref, !pinned);
        }
    }
}

impl KernelStore {
    /// Keeps an object although nobody holds it: an OCAP URL may have left the kernel. Pinning twice is once.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn pin_object(&mut self, kref: Kref) -> Result<(), StoreError> {
        if self.pins.pin(kref) {
            self.add_reference(kref)?;
            self.pins_changed()?;
        }
        Ok(())
    }

    /// Undoes [`pin_object`](Self::pin_object).
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn unpin_object(&mut self, kref: Kref) -> Result<(), StoreError> {
        if self.pins.unpin(kref) {
            self.release_reference(kref)?;
            self.pins_changed()?;
        }
        Ok(())
    }

    /// Every pinned object.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn pinned_objects(&self) -> Result<Vec<Kref>, StoreError> {
        let names = self.pins.row.split(',').filter(|name| !name.is_empty());
        names.map(|name| name.parse().map_err(|_| StoreError::corrupt(PINNED, name))).collect()
    }

    /// While transactions are gathered the row waits for their commit.
    fn pins_changed(&mut self) -> Result<(), StoreError> {
        if self.gathers_transactions() { Ok(()) } else { self.store_pins() }
    }

    pub(super) fn store_pins(&mut self) -> Result<(), StoreError> {
        if let Some(row) = self.pins.unwritten() {
            self.kv.set(PINNED, row)?;
            self.pins.unwritten = false;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, collections::BTreeSet, rc::Rc};

    use super::*;
    use crate::storage::{KeyValueStore as _, MemoryStore, StorageError};
    use crate::wire::EndpointId;

    #[test]
    fn the_row_is_what_sorting_all_the_names_would_give() {
        let (mut pins, mut names) = (Pins::default(), BTreeSet::new());
        let mut number = 1_u64;
        for step in 0..3_000 {
            number = number * 48_271 % 0x7fff_ffff;
            let kref = Kref::object(number % 150 + 1);
            let changed = if step % 3 == 0 {
                assert_eq!(pins.unpin(kref), names.remove(&kref.to_string()));
                false
            } else {
                assert_eq!(pins.pin(kref), names.insert(kref.to_string()));
                true
            };
            let row = names.iter().map(String::as_str).collect::<Vec<_>>().join(",");
            assert_eq!(pins.row, row, "step {step}, {kref}, {changed}");
            if step % 7 == 0 {
                let mark = pins.log.mark();
                pins.pin(Kref::object(step + 1));
                pins.unpin(kref);
                pins.roll_back(mark);
                assert_eq!(pins.row, row);
            }
        }
    }

    #[test]
    fn a_row_that_another_wrote_is_read_in_any_order() {
        assert_eq!(Pins::parse("ko10,ko9,,ko1,ko9").unwrap().row, "ko1,ko10,ko9");
        assert!(matches!(Pins::parse("ko1,x"), Err(StoreError::Corrupt { .. })));
    }

    #[test]
    fn the_row_is_written_by_the_commit_and_a_rollback_leaves_no_trace() {
        let rows = Rc::new(RefCell::new(MemoryStore::new()));
        let row = || rows.borrow().get(PINNED).unwrap();
        let mut store = KernelStore::open(Box::new(Rc::clone(&rows))).unwrap();
        store.gather_transactions();
        let pin = |store: &mut KernelStore| {
            let kref = store.create_object(EndpointId::Vat(1))?;
            store.pin_object(kref)?;
            Ok::<_, StoreError>(kref)
        };
        let kept = store.transaction("turn", pin).unwrap();
        let undone: Result<(), StoreError> = store.transaction("turn", |store| {
            pin(store)?;
            store.unpin_object(kept)?;
            Err(StorageError::Full.into())
        });
        assert!(undone.is_err());
        assert_eq!((store.pinned_objects().unwrap(), row()), (vec![kept], None));
        store.commit().unwrap();
        assert_eq!(row().as_deref(), Some("ko1"));
        store.transaction("turn", |store| store.unpin_object(kept)).unwrap();
        store.abandon_uncommitted().unwrap();
        assert_eq!(store.pinned_objects().unwrap(), [kept], "it was not committed");
        store.audit().unwrap();
    }
}
