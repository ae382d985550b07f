//! The answers, as a table for the terminal, as Markdown and as JSON.

mod json;
mod markdown;
mod picture;

use std::fmt::Write as _;
use std::path::Path;

use crate::error::{Failure, Outcome};
use crate::figure::{Figure, Line, short};
use crate::machine::{Machine, Noise};
use crate::plot::Plot;
use crate::row::{Answer, Unit};

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
    /// Figures that were measured.
    pub figures: Vec<Figure>,
    /// Curves that were measured.
    pub plots: Vec<Plot>,
    /// What was not, and why.
    pub missing: Vec<(&'static str, Failure)>,
    /// How long it took, seconds.
    pub seconds: u64,
    /// What others took of the machine meanwhile.
    pub noise: Noise,
}

impl Report {
    /// What has a goal, in the order of the table.
    #[must_use]
    pub fn lines(&self) -> Vec<Line> {
        let rows = self.answers.iter().filter_map(Line::of_answer);
        rows.chain(self.figures.iter().filter_map(Line::of_figure)).collect()
    }

    /// Writes `quick.json`: what has a goal, and nothing else.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write_quick(&self, directory: &Path) -> Outcome<()> {
        std::fs::create_dir_all(directory)?;
        let mut text = serde_json::to_string_pretty(&self.lines())?;
        text.push('\n');
        Ok(std::fs::write(directory.join("quick.json"), text)?)
    }

    /// Writes `NAME.json`, `NAME.md` and the plots.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn write(&self, directory: &Path, name: &str) -> Outcome<()> {
        std::fs::create_dir_all(directory)?;
        std::fs::write(directory.join(format!("{name}.json")), json::encode(self)?)?;
        std::fs::write(directory.join(format!("{name}.md")), markdown::encode(self)?)?;
        for plot in &self.plots {
            std::fs::write(directory.join(format!("{}.svg", plot.id)), picture::draw(plot)?)?;
        }
        Ok(())
    }

    /// What has a goal, as a table for the terminal.
    #[must_use]
    pub fn table(&self) -> String {
        let lines = self.lines();
        let mut table = format!(
            "{:<22} {:>25} {:<11} {:>8}  {:<11}\n",
            "row", "value [95 %]", "unit", "goal", "verdict"
        );
        for line in &lines {
            // Writing to a String cannot fail.
            let _ = writeln!(table, "{}", line.for_terminal());
        }
        for (id, why) in &self.missing {
            let _ = writeln!(table, "{id:<22} not measured: {why}");
        }
        let of = |verdict: &str| lines.iter().filter(|line| line.verdict == verdict).count();
        let _ = write!(
            table,
            "\n{} hold, {} fall short, {} undecided, {} not measured; {} s; {}",
            of("holds"),
            of("falls short"),
            of("undecided"),
            self.missing.len(),
            self.seconds,
            self.noise,
        );
        table
    }
}

/// A row, as soon as it is measured.
#[must_use]
pub fn progress(answer: &Answer) -> String {
    let disturbed = if answer.noisy * 4 > answer.rounds {
        format!(" ({} disturbed rounds)", answer.noisy)
    } else {
        String::new()
    };
    format!("  {:<22} {:>24}  {}{disturbed}", answer.id, interval(answer), answer.summary())
}

/// A figure, as soon as it is measured.
#[must_use]
pub fn figure_progress(figure: &Figure) -> String {
    let Figure { id, estimate, unit, note, .. } = figure;
    let value =
        format!("{} [{}, {}]", short(estimate.value), short(estimate.low), short(estimate.high));
    format!("  {id:<34} {value:>24} {unit}  {note}")
}

fn time(value: f64, unit: Unit) -> String {
    format!("{value:.2} {}", unit.as_str())
}

fn interval(answer: &Answer) -> String {
    let ratio = answer.ratio;
    format!("{:.3} [{:.3}, {:.3}]", ratio.value, ratio.low, ratio.high)
}
