//! Medians, intervals of them and of their ratios, and what these say about a goal.

use serde::Serialize;

/// A small generator of random numbers (SplitMix64), so that a seed repeats a run's order.
///
/// Source: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// Starts from a seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// A number below `end`, which is not zero. The bias of the remainder is below 2^-50 here.
    #[expect(clippy::cast_possible_truncation, reason = "a remainder of a usize is one")]
    pub fn below(&mut self, end: usize) -> usize {
        (self.next_u64() % end as u64) as usize
    }

    /// Brings items into a random order (Fisher and Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for end in (1..items.len()).rev() {
            items.swap(end, self.below(end + 1));
        }
    }
}

/// The median; the mean of the two in the middle of an even number. Not-a-number of nothing.
#[must_use]
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => sorted[middle],
        _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
    }
}

/// A median, or a ratio of two, with the interval in which 95 % of its bootstrap replicates lie.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Estimate {
    /// The median, or the ratio of the medians.
    pub value: f64,
    /// 2.5 % of the replicates are below.
    pub low: f64,
    /// 2.5 % of the replicates are above.
    pub high: f64,
}

/// Replicates of the bootstrap.
const REPLICATES: usize = 2000;

/// The ratio of the medians of two series that were measured in the same rounds.
///
/// The bootstrap draws whole rounds, so that what disturbed a round disturbs both sides.
#[must_use]
pub fn ratio(ours: &[f64], theirs: &[f64], random: &mut Random) -> Estimate {
    let rounds = ours.len().min(theirs.len());
    let (mut drawn_ours, mut drawn_theirs) = (vec![0.0; rounds], vec![0.0; rounds]);
    bootstrap(median(ours) / median(theirs), rounds, random, |rounds| {
        for ((to_ours, to_theirs), round) in
            drawn_ours.iter_mut().zip(&mut drawn_theirs).zip(rounds)
        {
            (*to_ours, *to_theirs) = (ours[*round], theirs[*round]);
        }
        median(&drawn_ours) / median(&drawn_theirs)
    })
}

/// The median of a series.
#[must_use]
pub fn interval(values: &[f64], random: &mut Random) -> Estimate {
    let mut drawn = vec![0.0; values.len()];
    bootstrap(median(values), values.len(), random, |rounds| {
        for (to, round) in drawn.iter_mut().zip(rounds) {
            *to = values[*round];
        }
        median(&drawn)
    })
}

/// The interval of a value that `replicate` calculates anew from rounds that were drawn.
fn bootstrap(
    value: f64,
    rounds: usize,
    random: &mut Random,
    mut replicate: impl FnMut(&[usize]) -> f64,
) -> Estimate {
    if rounds == 0 {
        return Estimate { value, low: f64::NAN, high: f64::NAN };
    }
    let mut drawn = vec![0; rounds];
    let mut replicates: Vec<f64> = (0..REPLICATES)
        .map(|_| {
            drawn.iter_mut().for_each(|round| *round = random.below(rounds));
            replicate(&drawn)
        })
        .collect();
    replicates.sort_unstable_by(f64::total_cmp);
    let tail = REPLICATES / 40;
    Estimate { value, low: replicates[tail], high: replicates[REPLICATES - 1 - tail] }
}

/// What was wanted of a value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Goal {
    /// This at most.
    AtMost(f64),
    /// This at least.
    AtLeast(f64),
}

impl Goal {
    /// The limit itself.
    #[must_use]
    pub const fn limit(self) -> f64 {
        match self {
            Self::AtMost(limit) | Self::AtLeast(limit) => limit,
        }
    }

    /// `≤` or `≥`.
    #[must_use]
    pub const fn sign(self) -> char {
        match self {
            Self::AtMost(_) => '≤',
            Self::AtLeast(_) => '≥',
        }
    }
}

/// What a measured value says about a goal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The whole interval is within the goal.
    Holds,
    /// The whole interval is beyond it.
    FallsShort,
    /// The interval spans the goal.
    Undecided,
}

impl Verdict {
    /// Compares a value with what was wanted.
    #[must_use]
    pub fn of(measured: Estimate, goal: Goal) -> Self {
        let (worst_holds, best_fails) = match goal {
            Goal::AtMost(most) => (measured.high <= most, measured.low > most),
            Goal::AtLeast(least) => (measured.low >= least, measured.high < least),
        };
        if worst_holds {
            Self::Holds
        } else if best_fails {
            Self::FallsShort
        } else {
            Self::Undecided
        }
    }

    /// The verdict in words.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Holds => "holds",
            Self::FallsShort => "falls short",
            Self::Undecided => "undecided",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_of_odd_even_and_nothing() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn a_seed_repeats_the_order() {
        let shuffled = |seed| {
            let mut items: Vec<usize> = (0..50).collect();
            Random::new(seed).shuffle(&mut items);
            items
        };
        assert_eq!(shuffled(7), shuffled(7));
        assert_ne!(shuffled(7), shuffled(8));
        let mut sorted = shuffled(7);
        sorted.sort_unstable();
        assert!(sorted.into_iter().eq(0..50));
    }

    #[test]
    fn an_interval_holds_the_true_ratio_and_narrows_with_less_noise() {
        let mut random = Random::new(1);
        let mut noisy = |mean: f64, noise: usize| {
            let mut value = || mean * (1.0 + random.below(noise + 1) as f64 / 1000.0);
            (0..60).map(|_| value()).collect::<Vec<f64>>()
        };
        let (ours, theirs) = (noisy(2.0, 200), noisy(8.0, 200));
        let (calm_ours, calm_theirs) = (noisy(2.0, 10), noisy(8.0, 10));
        let mut random = Random::new(2);
        let wide = ratio(&ours, &theirs, &mut random);
        let narrow = ratio(&calm_ours, &calm_theirs, &mut random);
        assert!(wide.low <= 0.25 && 0.25 <= wide.high, "{wide:?}");
        assert!(narrow.high - narrow.low < wide.high - wide.low);
    }

    #[test]
    fn verdicts_follow_the_interval() {
        let measured = Estimate { value: 0.3, low: 0.28, high: 0.32 };
        assert_eq!(Verdict::of(measured, Goal::AtMost(0.32)), Verdict::Holds);
        assert_eq!(Verdict::of(measured, Goal::AtMost(0.30)), Verdict::Undecided);
        assert_eq!(Verdict::of(measured, Goal::AtMost(0.27)), Verdict::FallsShort);
        assert_eq!(Verdict::of(measured, Goal::AtLeast(0.28)), Verdict::Holds);
        assert_eq!(Verdict::of(measured, Goal::AtLeast(0.30)), Verdict::Undecided);
        assert_eq!(Verdict::of(measured, Goal::AtLeast(0.33)), Verdict::FallsShort);
    }

    #[test]
    fn nothing_measured_decides_nothing() {
        let nothing = interval(&[], &mut Random::new(1));
        assert_eq!(Verdict::of(nothing, Goal::AtMost(1.0)), Verdict::Undecided);
        assert_eq!(Verdict::of(nothing, Goal::AtLeast(1.0)), Verdict::Undecided);
    }

    #[test]
    fn the_interval_of_a_median_holds_it() {
        let values: Vec<f64> = (0..61).map(f64::from).collect();
        let estimate = interval(&values, &mut Random::new(1));
        assert_eq!(estimate.value, 30.0);
        assert!(estimate.low < 30.0 && 30.0 < estimate.high, "{estimate:?}");
        assert!(estimate.low > 10.0 && estimate.high < 50.0, "{estimate:?}");
    }
}
