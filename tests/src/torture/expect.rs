//! What totals the calls of recorders allow.

use crate::exposition::Scrape;
use crate::progress::{
    Calls, FLOAT, FLOAT_STEP, HISTOGRAM, INTEGER, LABELLED, Progress, SAFE, SUMMARY, VALUES,
};

/// A series of the recorders: its kind of call, its name, and how much a call adds at most.
const SERIES: [(usize, &str, f64); 14] = [
    (INTEGER, "torture_integer_total", 1.0),
    (FLOAT, "torture_float_total", FLOAT_STEP),
    (LABELLED, "torture_labelled_total{turn=\"a\"}", 1.0),
    (LABELLED, "torture_labelled_total{turn=\"b\"}", 1.0),
    (LABELLED, "torture_labelled_total{turn=\"c\"}", 1.0),
    (SAFE, "torture_safe_total", 1.0),
    (HISTOGRAM, "torture_histogram_bucket{le=\"0.5\"}", 1.0),
    (HISTOGRAM, "torture_histogram_bucket{le=\"1.0\"}", 1.0),
    (HISTOGRAM, "torture_histogram_bucket{le=\"2.0\"}", 1.0),
    (HISTOGRAM, "torture_histogram_bucket{le=\"+Inf\"}", 1.0),
    (HISTOGRAM, "torture_histogram_count", 1.0),
    (HISTOGRAM, "torture_histogram_sum", 3.0),
    (SUMMARY, "torture_summary_count", 1.0),
    (SUMMARY, "torture_summary_sum", 3.0),
];

/// The least and the most that each series may be.
#[derive(Debug, Clone, Default)]
pub(super) struct Range {
    low: [f64; SERIES.len()],
    high: [f64; SERIES.len()],
    /// Calls completed.
    pub(super) calls: u64,
}

/// By how much a scrape is outside of a range, in calls.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Deviation {
    /// Calls that are missing.
    pub(super) lost: u64,
    /// Calls that are too many.
    pub(super) doubled: u64,
    /// What was found and expected.
    pub(super) problems: Vec<String>,
}

/// How many of the numbers below `calls` are `rest` modulo `turns`.
const fn share(calls: u64, turns: u64, rest: u64) -> u64 {
    (calls + turns - 1 - rest) / turns
}

/// What calls of one thread add to each series.
#[expect(clippy::cast_precision_loss, reason = "below 2^53")]
fn amounts(calls: &Calls) -> [f64; SERIES.len()] {
    let by_value = |kind: usize, at: u64| share(calls[kind], VALUES.len() as u64, at) as f64;
    let sum = |kind| (0..).zip(VALUES).map(|(at, value)| by_value(kind, at) * value).sum();
    let mut below = 0.0;
    let mut amounts = [0.0; SERIES.len()];
    let (mut turn, mut bound) = (0, 0);
    for (amount, (kind, name, _)) in amounts.iter_mut().zip(SERIES) {
        *amount = match kind {
            FLOAT => calls[FLOAT] as f64 * FLOAT_STEP,
            LABELLED => {
                turn += 1;
                share(calls[LABELLED], 3, turn - 1) as f64
            }
            _ if name.contains("_bucket") => {
                below += by_value(kind, bound);
                bound += 1;
                below
            }
            _ if name.ends_with("_sum") => sum(kind),
            _ => calls[kind] as f64,
        };
    }
    amounts
}

impl Range {
    /// Adds what a recorder may have contributed. What was counted in private memory may have died
    /// with its process.
    pub(super) fn add(&mut self, progress: &Progress, threads: usize, may_be_gone: bool) {
        for thread in 0..threads {
            let completed = progress.completed(thread);
            self.calls += completed.iter().sum::<u64>();
            if !may_be_gone {
                add(&mut self.low, &amounts(&completed));
            }
            add(&mut self.high, &amounts(&progress.begun(thread)));
        }
    }

    /// The range for all that two ranges stand for.
    #[must_use]
    pub(super) fn and(mut self, other: &Self) -> Self {
        add(&mut self.low, &other.low);
        add(&mut self.high, &other.high);
        self.calls += other.calls;
        self
    }

    /// How far a scrape is out of the range. Calls are those of the worst series of each kind.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive, small")]
    pub(super) fn deviation(&self, scrape: &Scrape) -> Deviation {
        let mut deviation = Deviation::default();
        let (mut lost, mut doubled) = ([0; crate::progress::KINDS], [0; crate::progress::KINDS]);
        for (at, (kind, name, step)) in SERIES.iter().enumerate() {
            let (found, low, high) = (scrape.value(name), self.low[at], self.high[at]);
            let calls = |difference: f64| (difference / step).ceil() as u64;
            if found < low {
                lost[*kind] = calls(low - found).max(lost[*kind]);
            } else if found > high {
                doubled[*kind] = calls(found - high).max(doubled[*kind]);
            } else {
                continue;
            }
            deviation.problems.push(format!("{name}: {found}, but calls make {low} to {high}"));
        }
        deviation.lost = lost.iter().sum();
        deviation.doubled = doubled.iter().sum();
        deviation
    }
}

fn add(to: &mut [f64; SERIES.len()], from: &[f64; SERIES.len()]) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to += from);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_of_a_thread_add_what_they_are_worth() {
        let found = amounts(&[5, 3, 6, 7, 4, 1, 9, 9]);
        let expected = [5.0, 1.5, 2.0, 1.0, 1.0, 1.0, 2.0, 4.0, 5.0, 6.0, 6.0, 6.5, 7.0, 8.0];
        assert_eq!(found, expected);
    }

    #[test]
    fn what_is_missing_and_what_is_too_much_is_told_in_calls() {
        let mut range = Range::default();
        (range.low[0], range.high[0]) = (7.0, 9.0);
        (range.low[1], range.high[1]) = (2.0, 2.5);
        let scrape = |integer, float| {
            let text = format!("torture_integer_total {integer}\ntorture_float_total {float}\n");
            let deviation = range.deviation(&Scrape::parse(&text));
            (deviation.lost, deviation.doubled, deviation.problems.len())
        };
        assert_eq!(scrape(7, 2.5), (0, 0, 0));
        assert_eq!(scrape(4, 2.0), (3, 0, 1));
        assert_eq!(scrape(10, 1.0), (2, 1, 2));
    }
}
