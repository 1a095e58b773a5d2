//! Builds side by side: our own crate, which each compiles last, is one unit of code, and keeps one processor busy for a long time.

use std::{collections::BTreeMap, thread};

use anyhow::{Context as _, Result, anyhow};

/// How many builds run at once.
const LANES: usize = 2;

/// Which builds go one after the other, by their numbers. Cargo builds one thing at a time with a profile, and what has a profile in
/// common has dependencies in common; so these keep together, in the lane that has the least to do.
pub(super) fn plan<P: PartialEq>(profiles: &[P]) -> Vec<Vec<usize>> {
    let mut lanes = vec![Vec::new(); LANES];
    for (first, profile) in profiles.iter().enumerate() {
        let alike = || profiles.iter().enumerate().filter(|(_, other)| *other == profile).map(|(number, _)| number);
        if alike().next() == Some(first)
            && let Some(lane) = lanes.iter_mut().min_by_key(|lane| lane.len())
        {
            lane.extend(alike());
        }
    }
    lanes
}

/// Runs lanes side by side. Gives what was made in the order of the numbers, or the first error; what has begun comes to an end.
pub(super) fn run<T: Send>(lanes: &[Vec<usize>], make: impl Fn(usize) -> Result<T> + Sync) -> Result<Vec<T>> {
    let lane = |numbers: &[usize]| -> Result<Vec<(usize, T)>> {
        numbers.iter().map(|&number| Ok((number, make(number)?))).collect()
    };
    let finished = thread::scope(|scope| {
        let running: Vec<_> = lanes.iter().map(|numbers| scope.spawn(|| lane(numbers))).collect();
        running.into_iter().map(thread::ScopedJoinHandle::join).collect::<Vec<_>>()
    });
    let mut made = BTreeMap::new();
    for lane in finished {
        made.extend(lane.map_err(|_| anyhow!("a build panicked")).context("builds side by side")??);
    }
    Ok(made.into_values().collect())
}

#[cfg(test)]
mod tests {
    use std::{sync::Barrier, time::Duration};

    use super::*;

    #[test]
    fn builds_of_one_profile_share_a_lane_and_lanes_are_even() {
        assert_eq!(plan(&["balanced", "balanced", "balanced", "size", "dev"]), [vec![0, 1, 2], vec![3, 4]]);
        assert_eq!(plan(&["size", "balanced", "size"]), [vec![0, 2], vec![1]]);
        assert_eq!(plan(&["size"]), [vec![0], vec![]]);
    }

    #[test]
    fn lanes_run_at_once_and_give_all_in_order() {
        let both = Barrier::new(2);
        let made = run(&[vec![0, 3], vec![1, 2]], |number| {
            if number < 2 {
                both.wait(); // for ever, if the lanes went one after the other
            } else if number == 3 {
                thread::sleep(Duration::from_millis(20));
            }
            Ok(number * 10)
        });
        assert_eq!(made.unwrap(), [0, 10, 20, 30]);
    }

    #[test]
    fn a_build_that_fails_ends_its_lane_and_is_the_error() {
        let made = run(&[vec![0, 1], vec![2]], |number| if number == 1 { Err(anyhow!("broken")) } else { Ok(number) });
        assert_eq!(made.unwrap_err().to_string(), "broken");
        assert!(run(&[vec![0]], |_| -> Result<()> { panic!("at once") }).is_err());
    }
}
