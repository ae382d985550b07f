//! What the numbers were measured on, and what else went on there.

use std::fmt;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;

/// The machine, the build and the moment: without them a number says nothing.
#[derive(Debug, Clone, Serialize)]
pub struct Machine {
    /// Processor, and whether it is a virtual one.
    pub processor: String,
    /// Processors that this process may use.
    pub processors: usize,
    /// Kernel release.
    pub kernel: String,
    /// Compiler.
    pub compiler: String,
    /// Commit of the tree, with `+` when it had changes.
    pub commit: String,
    /// Date, UTC.
    pub date: String,
    /// Load average of the last minute before the run.
    pub load: String,
}

impl Machine {
    /// This machine, now.
    #[must_use]
    pub fn now() -> Self {
        Self {
            processor: processor(),
            processors: std::thread::available_parallelism().map_or(1, usize::from),
            kernel: read("/proc/sys/kernel/osrelease"),
            compiler: output("rustc", &["--version"]),
            commit: commit(),
            date: date(),
            load: read("/proc/loadavg").split(' ').next().unwrap_or_default().to_owned(),
        }
    }
}

/// What disturbed a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Noise {
    /// Share of processor time that the hypervisor gave to others, per cent.
    pub stolen_percent: f64,
    /// Rounds of rows that were measured.
    pub rounds: usize,
    /// Rounds in which a thread had its processor for less than 97 % of the time.
    pub disturbed_rounds: usize,
}

impl fmt::Display for Noise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { stolen_percent, rounds, disturbed_rounds } = self;
        write!(f, "{disturbed_rounds} of {rounds} rounds disturbed, {stolen_percent:.1} % stolen")
    }
}

/// What the processors were busy with so far.
#[derive(Debug, Clone, Copy)]
pub struct Busy {
    stolen: f64,
    all: f64,
}

impl Busy {
    /// Until now.
    #[must_use]
    pub fn now() -> Self {
        let stat = read("/proc/stat");
        let ticks = stat.lines().next().unwrap_or_default().split_whitespace().skip(1);
        // user, nice, system, idle, iowait, irq, softirq, steal; guests are in user.
        let ticks: Vec<f64> = ticks.take(8).map(|tick| tick.parse().unwrap_or(0.0)).collect();
        Self { stolen: ticks.get(7).copied().unwrap_or(0.0), all: ticks.iter().sum() }
    }

    /// What disturbed a run that began then, of so many rounds, some of them disturbed.
    #[must_use]
    pub fn noise(self, rounds: usize, disturbed_rounds: usize) -> Noise {
        let now = Self::now();
        let all = (now.all - self.all).max(1.0);
        let stolen_percent = (now.stolen - self.stolen) / all * 100.0;
        Noise { stolen_percent, rounds, disturbed_rounds }
    }
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

fn processor() -> String {
    let info = read("/proc/cpuinfo");
    let field = |name: &str| {
        let line = info.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.split(':').nth(1)).unwrap_or_default().trim().to_owned()
    };
    let (family, model) = (field("cpu family"), field("model\t"));
    let is_virtual = field("flags").split(' ').any(|flag| flag == "hypervisor");
    let place = if is_virtual { ", virtual machine" } else { "" };
    format!("{} (family {family}, model {model}{place})", field("model name"))
}

fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    output.map_or_else(
        |_| "unknown".to_owned(),
        |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
    )
}

fn commit() -> String {
    let commit = output("git", &["rev-parse", "--short=12", "HEAD"]);
    let changes = output("git", &["status", "--porcelain", "--untracked-files=no"]);
    if changes.is_empty() { commit } else { format!("{commit}+") }
}

fn date() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let (year, month, day) = civil(seconds / 86_400);
    let (hour, minute) = (seconds / 3600 % 24, seconds / 60 % 60);
    format!("{year}-{month:02}-{day:02} {hour:02}:{minute:02} UTC")
}

/// Year, month and day of a number of days since 1970.
///
/// Source: Howard Hinnant, "chrono-compatible low-level date algorithms", `civil_from_days`.
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_become_dates() {
        assert_eq!(civil(0), (1970, 1, 1));
        assert_eq!(civil(11_016), (2000, 2, 29));
        assert_eq!(civil(19_782), (2024, 2, 29));
        assert_eq!(civil(19_783), (2024, 3, 1));
    }
}
