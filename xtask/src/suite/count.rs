//! How many checks passed and failed.

use std::{fmt, ops::AddAssign, process::Command, thread, time::Duration};

use anyhow::{Result, anyhow, bail};

use crate::process;

/// How long a runner may print nothing; each prints something every few minutes, also on a busy machine.
const STANDSTILL: Duration = Duration::from_secs(15 * 60);

/// Checks that passed and failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    /// Passed.
    pub(crate) passed: u32,
    /// Failed.
    pub(crate) failed: u32,
}

impl Count {
    /// One check that passed.
    pub(crate) const PASSED: Count = Count { passed: 1, failed: 0 };
    /// One check that failed.
    pub(crate) const FAILED: Count = Count { passed: 0, failed: 1 };

    /// The sum that a test runner prints: the line of cargo and wasm-bindgen, `test result: ok. 3 passed; 0 failed; …`, or
    /// that of a script, `3 passed, 0 failed`.
    fn parse(line: &str) -> Option<Self> {
        let line = line.trim();
        let (passed, failed) = match line.strip_prefix("test result: ") {
            Some(sum) => {
                let mut parts = sum.split_once(". ")?.1.split("; ");
                (parts.next()?, parts.next()?)
            }
            None => line.split_once(", ")?,
        };
        Some(Count { passed: number(passed, " passed")?, failed: number(failed, " failed")? })
    }

    /// Runs a test runner, and another beside it.
    pub(crate) fn of_two(command: &mut Command, beside: Option<Command>) -> (Result<Self>, Option<Result<Self>>) {
        thread::scope(|scope| {
            let beside = beside.map(|mut command| scope.spawn(move || Count::of_runner(&mut command)));
            let own = Count::of_runner(command);
            (own, beside.map(|running| running.join().unwrap_or_else(|_| Err(anyhow!("a runner panicked")))))
        })
    }

    /// Runs a test runner and adds up what it prints. One that fails without saying where counts as one failure.
    pub(crate) fn of_runner(command: &mut Command) -> Result<Self> {
        let mut sums: Option<Count> = None;
        let status = process::run_observed(command, STANDSTILL, |line| {
            if let Some(count) = Count::parse(line) {
                *sums.get_or_insert_default() += count;
            }
        })?;
        match sums {
            // The scripts fail when nothing has the part of a name that they were given.
            Some(Count { passed: 0, failed: 0 }) if !status.success() => {
                bail!("`{}` ran no test ({status})", process::line(command))
            }
            Some(count) if !status.success() && count.failed == 0 => Ok(Count { failed: 1, ..count }),
            Some(count) => Ok(count),
            None if status.success() => bail!("`{}` ran no test", process::line(command)),
            None => bail!("`{}` failed ({status})", process::line(command)),
        }
    }
}

fn number(text: &str, unit: &str) -> Option<u32> {
    text.strip_suffix(unit)?.parse().ok()
}

impl AddAssign for Count {
    fn add_assign(&mut self, other: Self) {
        self.passed = self.passed.saturating_add(other.passed);
        self.failed = self.failed.saturating_add(other.failed);
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runner(script: &str) -> Result<Count> {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Count::of_runner(&mut command)
    }

    #[test]
    fn the_sums_of_cargo_and_of_scripts_are_read() {
        let cargo =
            "test result: FAILED. 12 passed; 1 failed; 2 ignored; 0 measured; 0 filtered out; finished in 0.01s";
        assert_eq!(Count::parse(cargo), Some(Count { passed: 12, failed: 1 }));
        assert_eq!(Count::parse("7 passed, 0 failed"), Some(Count { passed: 7, failed: 0 }));
        for other in ["running 3 tests", "test result: ok.", "a passed, b failed", "test a_b ... ok", ""] {
            assert_eq!(Count::parse(other), None, "{other}");
        }
    }

    #[test]
    fn several_sums_are_added() {
        let count = runner("echo 'test result: ok. 2 passed; 0 failed; x'; echo '3 passed, 1 failed'; exit 1").unwrap();
        assert_eq!(count, Count { passed: 5, failed: 1 });
    }

    #[test]
    fn a_runner_that_fails_is_never_counted_as_passed() {
        assert_eq!(runner("echo '3 passed, 0 failed'; exit 1").unwrap(), Count { passed: 3, failed: 1 });
        assert!(runner("exit 1").is_err());
    }

    #[test]
    fn a_runner_that_runs_nothing_is_an_error() {
        for script in ["true", "echo '0 passed, 0 failed'; exit 1"] {
            assert!(runner(script).unwrap_err().to_string().contains("ran no test"), "{script}");
        }
        // One of several runners may have nothing to run.
        assert_eq!(runner("echo 'test result: ok. 0 passed; 0 failed; x'").unwrap(), Count::default());
    }

    #[test]
    fn two_runners_run_at_once_and_are_counted_apart() {
        let folder = std::env::temp_dir().join(format!("xtask-two-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        // Each waits for the other.
        let shell = |own: &str, other: &str, sum: &str| {
            let mut command = Command::new("sh");
            let script = format!("touch {own}; while [ ! -e {other} ]; do sleep 0.01; done; echo '{sum}'");
            command.args(["-c", &script]).current_dir(&folder);
            command
        };
        let (own, beside) =
            Count::of_two(&mut shell("a", "b", "1 passed, 0 failed"), Some(shell("b", "a", "2 passed, 0 failed")));
        assert_eq!((own.unwrap().passed, beside.unwrap().unwrap().passed), (1, 2));
        let (own, beside) = Count::of_two(&mut shell("c", "a", "0 passed, 3 failed"), None);
        assert!(own.unwrap().failed == 3 && beside.is_none());
        std::fs::remove_dir_all(folder).unwrap();
    }
}
