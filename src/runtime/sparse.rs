//! How often a warning is worth a line of the log.
//!
//! What peers do is logged, and they may do it as often as they like. So of each kind of warning about each of them the first
//! few are written, and then one each time that their number has doubled, which it tells. Whoever wants to see all of them
//! sets the level to debug.

use std::{cell::RefCell, collections::HashMap, fmt};

/// Warnings of a kind about one and the same that are all written.
const FIRST: u64 = 4;

/// Pairs of kind and cause that are counted apart. What comes beyond them is counted by kind alone, for peer ids cost nothing.
const MAX_APART: usize = 32;

type Tallies = HashMap<(&'static str, String), u64>;

thread_local! {
    static TALLIES: RefCell<Tallies> = RefCell::default();
}

/// Whether one more warning of this kind, about this cause, is to be written, and as the how manieth; `whose` is empty when
/// it is nobody's.
pub(crate) fn worth_a_line(kind: &'static str, whose: impl fmt::Display) -> Option<u64> {
    TALLIES.with_borrow_mut(|tallies| count(tallies, kind, whose.to_string()))
}

fn count(tallies: &mut Tallies, kind: &'static str, whose: String) -> Option<u64> {
    let mut key = (kind, whose);
    if tallies.len() >= MAX_APART && !tallies.contains_key(&key) {
        key.1.clear();
    }
    let times = tallies.entry(key).or_default();
    *times = times.saturating_add(1);
    (*times <= FIRST || times.is_power_of_two()).then_some(*times)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_few_are_written_then_each_doubling() {
        let mut tallies = Tallies::default();
        let written: Vec<u64> = (0..100).filter_map(|_| count(&mut tallies, "fault", "mallory".to_owned())).collect();
        assert_eq!(written, [1, 2, 3, 4, 8, 16, 32, 64]);
        assert_eq!(count(&mut tallies, "fault", "alice".to_owned()), Some(1), "others are heard of");
        assert_eq!(count(&mut tallies, "refusal", "mallory".to_owned()), Some(1), "and other things");
    }

    #[test]
    fn a_crowd_of_keys_gets_no_more_lines_than_a_few() {
        let mut tallies = Tallies::default();
        let written = (0..100_000).filter_map(|key: u32| count(&mut tallies, "fault", key.to_string()));
        assert_eq!(written.count(), MAX_APART + 4 + 14);
        assert_eq!(tallies.len(), MAX_APART + 1);
    }
}
