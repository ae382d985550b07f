//! A row of the table: ours beside the others, and what was wanted.

use crate::error::Outcome;
use crate::measure::{Plan, Subject, Tail, clock_tail, measure, tail};
use crate::statistics::{Estimate, Goal, Random, Verdict, median, ratio};

/// A question, and everything needed to answer it.
pub struct Row {
    /// Short, for options and files.
    pub id: &'static str,
    /// What is measured, for readers.
    pub title: &'static str,
    /// How much is measured.
    pub plan: Plan,
    /// Ours first, then what it is compared with.
    pub subjects: Vec<Subject>,
    /// How many of the others the ratio may be taken to: the first so many; the fastest counts.
    pub rivals: usize,
    /// Largest ratio that is good enough.
    pub goal: Option<f64>,
    /// Unit of the times shown.
    pub unit: Unit,
    /// Counts the records that our lanes had no room for so far, where they should have.
    pub spilled: Option<Count>,
    /// Whether single calls are timed as well.
    pub has_tail: bool,
}

/// Counts something, as often as asked.
pub type Count = Box<dyn Fn() -> Outcome<u64>>;

/// Unit of the times shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Nanoseconds per call.
    Nanoseconds,
    /// Milliseconds per call.
    Milliseconds,
}

impl Unit {
    /// Its symbol.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Nanoseconds => "ns",
            Self::Milliseconds => "ms",
        }
    }

    const fn per_ns(self) -> f64 {
        match self {
            Self::Nanoseconds => 1.0,
            Self::Milliseconds => 1e-6,
        }
    }
}

/// What one subject took.
#[derive(Debug, Clone)]
pub struct Taken {
    /// The subject.
    pub name: String,
    /// Fastest round.
    pub min: f64,
    /// Median round.
    pub median: f64,
    /// Single calls on one thread, of ours and of what it is compared with, where they were timed.
    pub tail: Option<Tail>,
}

/// A row's answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// As the row's.
    pub id: &'static str,
    /// As the row's.
    pub title: &'static str,
    /// As the row's.
    pub unit: Unit,
    /// As the row's.
    pub goal: Option<f64>,
    /// What each subject took, ours first.
    pub taken: Vec<Taken>,
    /// As the row's.
    pub rivals: usize,
    /// Index in `taken` of what the ratio was taken to.
    pub rival: usize,
    /// Ours divided by the fastest rival.
    pub ratio: Estimate,
    /// Rounds that were measured.
    pub measured: usize,
    /// Rounds that were used.
    pub rounds: usize,
    /// Rounds that were disturbed.
    pub noisy: usize,
    /// Records that our lanes had no room for, of all that were made.
    pub spilled: u64,
}

impl Answer {
    /// Whether the goal is reached, if there is one.
    #[must_use]
    pub fn verdict(&self) -> Option<Verdict> {
        self.goal.map(|goal| Verdict::of(self.ratio, Goal::AtMost(goal)))
    }

    /// Both sides in a few words.
    #[must_use]
    pub fn summary(&self) -> String {
        let Some((ours, rival)) = self.pair() else { return String::new() };
        let unit = self.unit.as_str();
        let mut text =
            format!("{:.2} {unit} : {:.2} {unit} of {}", ours.median, rival.median, rival.name);
        if let Some(next) = self.next() {
            text.push_str(&format!(" (then {:.2} {unit} of {})", next.median, next.name));
        }
        if let (Some(ours), Some(theirs)) = (ours.tail, rival.tail) {
            let (ours, theirs) = (ours.p99_99, theirs.p99_99);
            text.push_str(&format!("; p99.99 of single calls {ours:.0} : {theirs:.0} ns"));
        }
        if self.spilled > 0 {
            text.push_str(&format!("; {} records spilled", self.spilled));
        }
        text
    }

    /// The second fastest peer.
    fn next(&self) -> Option<&Taken> {
        let others = (1..=self.rivals).filter(|index| *index != self.rival);
        let others = others.filter_map(|index| self.taken.get(index));
        others.min_by(|a, b| a.median.total_cmp(&b.median))
    }

    /// What ours took, and the rival.
    #[must_use]
    pub fn pair(&self) -> Option<(&Taken, &Taken)> {
        Some((self.taken.first()?, self.taken.get(self.rival)?))
    }
}

impl Row {
    /// Measures the row.
    ///
    /// # Errors
    /// When a subject records wrongly.
    pub fn answer(&self, random: &mut Random) -> Outcome<Answer> {
        let spilled = || self.spilled.as_ref().map_or(Ok(0), |spilled| spilled());
        let spilled_before = spilled()?;
        let measured = measure(&self.subjects, self.plan, random)
            .map_err(|failure| failure.during(self.id))?;
        let spilled = spilled()? - spilled_before;
        let scale = self.unit.per_ns();
        let taken = self.subjects.iter().zip(&measured.ns_per_call).map(|(subject, ns)| Taken {
            name: subject.name.clone(),
            min: ns.iter().copied().fold(f64::INFINITY, f64::min) * scale,
            median: median(ns) * scale,
            tail: None,
        });
        let mut taken: Vec<Taken> = taken.collect();
        let rival = (1..=self.rivals)
            .min_by(|a, b| taken[*a].median.total_cmp(&taken[*b].median))
            .unwrap_or(0);
        if self.has_tail {
            let clock = clock_tail();
            for index in [0, rival] {
                let single = tail(&self.subjects[index], clock);
                taken[index].tail = Some(single.map_err(|failure| failure.during(self.id))?);
            }
        }
        let ratio = ratio(&measured.ns_per_call[0], &measured.ns_per_call[rival], random);
        Ok(Answer {
            id: self.id,
            title: self.title,
            unit: self.unit,
            goal: self.goal,
            taken,
            rivals: self.rivals,
            rival,
            ratio,
            measured: measured.all,
            rounds: measured.used,
            noisy: measured.noisy,
            spilled,
        })
    }
}
