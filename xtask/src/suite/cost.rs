//! What the suite costs: minutes by the clock, and seconds of the processors, which do not depend on what else the machine does.

use std::{
    cell::Cell,
    fs,
    ops::{AddAssign, Sub},
    time::{Duration, Instant},
};

/// How often a second the kernel counts processes' time, on every Linux there is.
const TICKS: u64 = 100;

/// What something cost, or all until a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Cost {
    pub(super) wall: Duration,
    /// Of this program and of those that it started and that have ended. Zero where nobody counts.
    pub(super) cpu: Duration,
}

/// Tells what work costs, and what of it was building.
pub(super) struct Meter {
    started: Instant,
    building: Cell<Cost>,
}

impl Meter {
    pub(super) fn start() -> Self {
        Meter { started: Instant::now(), building: Cell::default() }
    }

    /// The cost of all until now.
    pub(super) fn now(&self) -> Cost {
        let cpu = fs::read_to_string("/proc/self/stat").ok().and_then(|stat| cpu(&stat)).unwrap_or_default();
        Cost { wall: self.started.elapsed(), cpu }
    }

    /// Does work that counts as building.
    pub(super) fn building<T>(&self, work: impl FnOnce() -> T) -> T {
        let before = self.now();
        let done = work();
        let mut sum = self.building.get();
        sum += self.now() - before;
        self.building.set(sum);
        done
    }

    /// What was building since this was asked last.
    pub(super) fn take_building(&self) -> Cost {
        self.building.take()
    }
}

/// A line of the table: where the time went, in building and in all else.
pub(super) fn row(name: &str, outcome: &str, building: Cost, running: Cost) -> String {
    let cost = |Cost { wall, cpu }| format!("{:>8.1} {:>8.1}", wall.as_secs_f64(), cpu.as_secs_f64());
    format!("test: {name:16} {outcome:24} {} {}", cost(building), cost(running))
}

/// What stands above the rows.
pub(super) fn head() -> String {
    let columns = ["building", "its CPU", "running", "its CPU"].map(|column| format!("{column:>8}")).join(" ");
    format!("test: {:16} {:24} {columns} (seconds)", "step", "outcome")
}

/// User and system time of the process and of its children, which follow the name in parentheses as the 12th to 15th.
fn cpu(stat: &str) -> Option<Duration> {
    let fields = stat.rsplit_once(')')?.1.split_whitespace();
    let ticks: Vec<u64> = fields.skip(11).take(4).map_while(|field| field.parse().ok()).collect();
    (ticks.len() == 4).then(|| Duration::from_millis(ticks.iter().sum::<u64>().saturating_mul(1_000 / TICKS)))
}

impl Sub for Cost {
    type Output = Cost;

    fn sub(self, other: Cost) -> Cost {
        Cost { wall: self.wall.saturating_sub(other.wall), cpu: self.cpu.saturating_sub(other.cpu) }
    }
}

impl AddAssign for Cost {
    fn add_assign(&mut self, other: Cost) {
        self.wall = self.wall.saturating_add(other.wall);
        self.cpu = self.cpu.saturating_add(other.cpu);
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn times_are_read_past_any_name() {
        let stat = "7 (a) b 1 (c)) S 1 2 3 4 5 6 7 8 9 10 100 20 3000 400 20 0 1";
        assert_eq!(cpu(stat), Some(Duration::from_millis(35_200)));
        assert_eq!((cpu("7 (a) S 1 2 3"), cpu("")), (None, None));
    }

    #[test]
    fn what_a_program_computed_is_counted_when_it_has_ended() {
        let meter = Meter::start();
        let before = meter.now();
        let script = "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done";
        let built = meter.building(|| Command::new("sh").args(["-c", script]).status().unwrap());
        let all = meter.now() - before;
        let building = meter.take_building();
        assert!(built.success() && building.wall > Duration::ZERO && building.wall <= all.wall);
        // Only Linux counts.
        assert_eq!(building.cpu > Duration::ZERO, fs::exists("/proc/self/stat").unwrap());
        assert_eq!(meter.take_building(), Cost::default());
    }
}
