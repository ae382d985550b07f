//! The answers, as a table for the terminal, as Markdown and as JSON.

mod json;
mod markdown;

use std::fmt::Write as _;
use std::path::Path;

use crate::error::{Failure, Outcome};
use crate::machine::Machine;
use crate::row::{Answer, Taken, Unit};
use crate::statistics::Verdict;

/// Everything that one run says.
#[derive(Debug)]
pub struct Report {
    /// Where and when.
    pub machine: Machine,
    /// The command that measured it.
    pub command: String,
    /// What the random order and the data started from.
    pub seed: u64,
    /// Rows that were measured.
    pub answers: Vec<Answer>,
    /// Rows that were not, and why.
    pub missing: Vec<(&'static str, Failure)>,
    /// How long it took, seconds.
    pub seconds: u64,
}

impl Report {
    /// Writes `NAME.json` and `NAME.md`.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn write(&self, directory: &Path, name: &str) -> Outcome<()> {
        std::fs::create_dir_all(directory)?;
        std::fs::write(directory.join(format!("{name}.json")), json::encode(self))?;
        std::fs::write(directory.join(format!("{name}.md")), markdown::encode(self)?)?;
        Ok(())
    }

    /// How many rows have a goal, and how many of them it holds in.
    #[must_use]
    pub fn score(&self) -> (usize, usize) {
        let verdicts = self.answers.iter().filter_map(Answer::verdict);
        let holds = verdicts.clone().filter(|verdict| *verdict == Verdict::Holds).count();
        (verdicts.count(), holds)
    }
}

/// The heading of the terminal's table.
#[must_use]
pub fn heading() -> String {
    format!(
        "{:<66} {:>9}  {:>9}  {:>20}  {:<24} {:<24} compared with",
        "row", "ringmeter", "rival", "ratio [95 %]", "goal", "aim"
    )
}

/// A row of the terminal's table.
#[must_use]
pub fn line(answer: &Answer) -> String {
    let Some((ours, rival)) = pair(answer) else { return String::new() };
    let unit = answer.unit;
    let mut line = format!(
        "{:<66} {:>9}  {:>9}  {:>20}  {:<24} {:<24} {}",
        answer.title,
        time(ours.median, unit),
        time(rival.median, unit),
        interval(answer),
        wanted(answer.goal, answer.verdict()),
        wanted(answer.aim, answer.aim_verdict()),
        rival.name,
    );
    if answer.noisy * 4 > answer.rounds {
        // Writing to a String cannot fail.
        let _ = write!(line, " ({} disturbed rounds)", answer.noisy);
    }
    if let (Some(ours), Some(theirs)) = (ours.tail, rival.tail) {
        let _ = write!(line, " (p99.99 of one call {:.0}, {:.0} ns)", ours.p99_99, theirs.p99_99);
    }
    if answer.spilled > 0 {
        let _ = write!(line, " ({} records spilled)", answer.spilled);
    }
    line
}

fn pair(answer: &Answer) -> Option<(&Taken, &Taken)> {
    Some((answer.taken.first()?, answer.taken.get(answer.rival)?))
}

fn time(value: f64, unit: Unit) -> String {
    format!("{value:.2} {}", unit.as_str())
}

fn interval(answer: &Answer) -> String {
    let ratio = answer.ratio;
    format!("{:.3} [{:.3}, {:.3}]", ratio.value, ratio.low, ratio.high)
}

fn wanted(limit: Option<f64>, verdict: Option<Verdict>) -> String {
    match (limit, verdict) {
        (Some(limit), Some(verdict)) => format!("≤ {limit:.2}: {}", verdict.as_str()),
        _ => "—".to_owned(),
    }
}
