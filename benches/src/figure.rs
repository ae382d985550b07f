//! What is measured by itself, not beside peers; and what has a goal, as one line each.

use serde::Serialize;

use crate::row::Answer;
use crate::statistics::{Estimate, Goal, Random, Verdict, interval};

/// A value by itself.
#[derive(Debug, Clone)]
pub struct Figure {
    /// Short, for options and files.
    pub id: String,
    /// What is measured, for readers.
    pub title: String,
    /// Unit of the value.
    pub unit: &'static str,
    /// Median of the samples, and its interval.
    pub estimate: Estimate,
    /// How many samples there are.
    pub samples: usize,
    /// How many samples were disturbed, and left out if enough others remained.
    pub disturbed: usize,
    /// What was wanted.
    pub goal: Option<Goal>,
    /// What else there is to say.
    pub note: String,
}

impl Figure {
    /// A figure whose value is the median of its samples.
    #[must_use]
    pub fn of(
        id: impl Into<String>,
        title: impl Into<String>,
        unit: &'static str,
        samples: &[f64],
        random: &mut Random,
    ) -> Self {
        Self::estimated(id, title, unit, interval(samples, random), samples.len())
    }

    /// A figure that was estimated from so many samples.
    #[must_use]
    pub fn estimated(
        id: impl Into<String>,
        title: impl Into<String>,
        unit: &'static str,
        estimate: Estimate,
        samples: usize,
    ) -> Self {
        let (id, title, note) = (id.into(), title.into(), String::new());
        Self { id, title, unit, estimate, samples, disturbed: 0, goal: None, note }
    }

    /// With what was wanted.
    #[must_use]
    pub fn wanted(mut self, goal: Goal) -> Self {
        self.goal = Some(goal);
        self
    }

    /// With what else there is to say.
    #[must_use]
    pub fn noted(mut self, note: impl Into<String>) -> Self {
        self.note = note.into();
        self
    }

    /// With samples that were disturbed.
    #[must_use]
    pub const fn disturbed(mut self, disturbed: usize) -> Self {
        self.disturbed = disturbed;
        self
    }

    /// Whether the goal is reached, if there is one.
    #[must_use]
    pub fn verdict(&self) -> Option<Verdict> {
        self.goal.map(|goal| Verdict::of(self.estimate, goal))
    }
}

/// What has a goal: a row of the table that a quick run ends in, and of its file.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Line {
    /// The row's short name.
    pub row: String,
    /// What was measured; not there if it was not.
    pub value: Option<f64>,
    /// 95 % of the bootstrap's replicates are above.
    pub low: Option<f64>,
    /// 95 % of the bootstrap's replicates are below.
    pub high: Option<f64>,
    /// What was wanted.
    pub goal: f64,
    /// Unit of the four.
    pub unit: &'static str,
    /// Holds, falls short, or undecided.
    pub verdict: &'static str,
    /// For readers: what is measured.
    #[serde(skip)]
    pub title: String,
    /// For readers: the goal with its direction.
    #[serde(skip)]
    pub wanted: String,
    /// For readers: what else there is to say.
    #[serde(skip)]
    pub note: String,
}

/// Numbers that JSON has, with five decimals: more than a run repeats.
fn finite(value: f64) -> Option<f64> {
    value.is_finite().then_some((value * 1e5).round() / 1e5)
}

impl Line {
    fn new(id: &str, title: &str, unit: &'static str, estimate: Estimate, goal: Goal) -> Self {
        Self {
            row: id.to_owned(),
            value: finite(estimate.value),
            low: finite(estimate.low),
            high: finite(estimate.high),
            goal: goal.limit(),
            unit,
            verdict: Verdict::of(estimate, goal).as_str(),
            title: title.to_owned(),
            wanted: format!("{} {}", goal.sign(), goal.limit()),
            note: String::new(),
        }
    }

    /// Of a figure, if it has a goal.
    #[must_use]
    pub fn of_figure(figure: &Figure) -> Option<Self> {
        let goal = figure.goal?;
        let mut line = Self::new(&figure.id, &figure.title, figure.unit, figure.estimate, goal);
        line.note.clone_from(&figure.note);
        Some(line)
    }

    /// Of a row, if it has a goal.
    #[must_use]
    pub fn of_answer(answer: &Answer) -> Option<Self> {
        let goal = Goal::AtMost(answer.goal?);
        let mut line = Self::new(answer.id, answer.title, "ratio", answer.ratio, goal);
        line.note = answer.summary();
        Some(line)
    }

    /// The line in the terminal's table.
    #[must_use]
    pub fn for_terminal(&self) -> String {
        let number = |value: Option<f64>| value.map_or("-".to_owned(), short);
        let value = format!("{} [{}, {}]", number(self.value), number(self.low), number(self.high));
        format!(
            "{:<22} {:>25} {:<11} {:>8}  {:<11}  {}",
            self.row, value, self.unit, self.wanted, self.verdict, self.note
        )
    }
}

/// Three or four significant digits: more than a run repeats.
#[must_use]
pub fn short(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        small if small < 0.01 => format!("{value:.4}"),
        small if small < 10.0 => format!("{value:.3}"),
        small if small < 100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(estimate: Estimate, goal: Goal) -> Line {
        let figure = Figure::estimated("a-row", "What", "ms", estimate, 30).wanted(goal);
        Line::of_figure(&figure).expect("it has a goal")
    }

    #[test]
    fn the_file_has_the_fields_that_were_promised() {
        let measured = Estimate { value: 0.2, low: 0.1, high: 0.3 };
        let json = serde_json::to_value([line(measured, Goal::AtMost(0.3))]).expect("JSON");
        let row = json[0].as_object().expect("an object");
        let mut fields: Vec<&str> = row.keys().map(String::as_str).collect();
        fields.sort_unstable();
        assert_eq!(fields, ["goal", "high", "low", "row", "unit", "value", "verdict"]);
        assert_eq!(row["verdict"], "holds");
        assert_eq!(row["value"], 0.2);
    }

    #[test]
    fn what_was_not_measured_is_null_and_undecided() {
        let nothing = Estimate { value: f64::NAN, low: f64::NAN, high: f64::NAN };
        let line = line(nothing, Goal::AtLeast(1.0));
        let json = serde_json::to_string(&line).expect("JSON");
        assert!(json.contains("\"value\":null"), "{json}");
        assert_eq!(line.verdict, "undecided");
    }

    #[test]
    fn the_table_shows_what_the_file_holds() {
        let measured = Estimate { value: 123.4, low: 120.0, high: 126.0 };
        let text = line(measured, Goal::AtLeast(100.0)).for_terminal();
        for part in ["a-row", "123", "[120, 126]", "ms", "≥ 100", "holds"] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }
}
