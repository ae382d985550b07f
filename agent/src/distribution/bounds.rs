//! Classic buckets at any bounds, computed from base-2 buckets.
//!
//! A base-2 bucket is counted as a whole on the side of a bound on which the larger part of it
//! lies. So the counts are exact for a bound that is off by half a bucket at most, 1.1 % at schema
//! 5, and no count ever decreases. Bounds that the application declared are exact.

use std::sync::Arc;

use ringmeter_layout::bucket;

use super::buckets::{Buckets, Place, SCHEMA};

/// Where bounds lie among the base-2 buckets and among declared bounds; computed once for a view.
#[derive(Debug, Clone, PartialEq)]
pub struct Cuts {
    bounds: Arc<[f64]>,
    cuts: Box<[Cut]>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Cut {
    /// The last index of positive values that is below the bound; those of negative ones begin
    /// here.
    index: i32,
    is_negative: bool,
    is_zero: bool,
    /// Declared bounds up to here are not above this one.
    declared: usize,
    /// Whether the last of them is this one.
    is_declared: bool,
}

impl Cuts {
    /// Increasing, finite `bounds` among the increasing `declared` ones.
    pub fn new(bounds: Arc<[f64]>, declared: &[f64]) -> Self {
        let cuts = bounds.iter().map(|bound| Cut::new(*bound, declared)).collect();
        Self { bounds, cuts }
    }

    /// The bounds.
    pub fn bounds(&self) -> &[f64] {
        &self.bounds
    }

    /// Whether all counts are exact.
    pub fn is_exact(&self) -> bool {
        self.cuts.iter().all(|cut| cut.is_declared)
    }

    /// Appends the counts, not cumulative, `+Inf` last, that add up to those of `classic`, the
    /// counts at the declared bounds.
    pub fn count(&self, buckets: &Buckets, classic: &[u64], counts: &mut Vec<u64>) {
        let sum = |counts: &[u64]| counts.iter().fold(0, |sum: u64, one| sum.saturating_add(*one));
        let total = sum(classic);
        let estimates = self.estimates(buckets);
        let mut before = 0;
        for (cut, estimate) in self.cuts.iter().zip(estimates) {
            let exact = sum(classic.get(..cut.declared).unwrap_or_default());
            let next = sum(classic.get(..=cut.declared).unwrap_or_default()).min(total);
            // Between two declared bounds lies no more than was counted there.
            let upto = if cut.is_declared { exact } else { estimate.clamp(exact, next.max(exact)) };
            let upto = upto.max(before);
            counts.push(upto - before);
            before = upto;
        }
        counts.push(total.saturating_sub(before));
    }

    /// How many observations are up to each bound, about.
    fn estimates(&self, buckets: &Buckets) -> Vec<u64> {
        let mut counts = vec![0u64; self.cuts.len() + 1];
        for (place, count) in buckets.places() {
            // Cuts increase, so a place is below all of them from some one on.
            let first = self.cuts.partition_point(|cut| !cut.covers(place));
            if let Some(own) = counts.get_mut(first) {
                *own = own.saturating_add(count);
            }
        }
        let mut sum = 0u64;
        counts.pop();
        for count in &mut counts {
            sum = sum.saturating_add(*count);
            *count = sum;
        }
        counts
    }
}

impl Cut {
    fn new(bound: f64, declared: &[f64]) -> Self {
        let magnitude = bound.abs();
        let index = if bound == 0.0 { 0 } else { nearest_boundary(magnitude) };
        let count = declared.partition_point(|own| *own <= bound);
        let last = count.checked_sub(1).and_then(|at| declared.get(at));
        Self {
            index,
            is_negative: bound < 0.0,
            is_zero: bound == 0.0,
            declared: count,
            is_declared: last == Some(&bound),
        }
    }

    /// Whether what is counted there is up to the bound.
    fn covers(&self, place: Place) -> bool {
        let is_positive = !self.is_negative && !self.is_zero;
        match place {
            Place::Positive(index) => is_positive && index <= self.index,
            // Bucket i of magnitudes ends next to zero at boundary i - 1.
            Place::Negative(index) => !self.is_negative || index > self.index,
            Place::Zero | Place::NegativeUnknown => !self.is_negative,
            Place::Underflow => is_positive,
            Place::Overflow => false,
            Place::NegativeOverflow => true,
        }
    }
}

/// The index whose upper bound is nearest to a positive magnitude, by ratio.
fn nearest_boundary(magnitude: f64) -> i32 {
    let index = bucket::index(magnitude, SCHEMA);
    let (low, high) = (bucket::upper_bound(index - 1, SCHEMA), bucket::upper_bound(index, SCHEMA));
    if magnitude / low < high / magnitude { index - 1 } else { index }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Distribution;
    use super::*;
    use crate::budget::Budget;

    fn counts(values: &[f64], declared: &[f64], bounds: &[f64]) -> Vec<u64> {
        let mut budget = Budget::new(u64::MAX);
        let mut own = Distribution::new(declared.into(), None);
        for value in values {
            own.observe(*value, 0, &mut budget);
        }
        let mut counts = Vec::new();
        let cuts = Cuts::new(bounds.into(), declared);
        cuts.count(own.buckets(), own.classic(), &mut counts);
        counts
    }

    #[test]
    fn every_sign_and_size_is_on_its_side() {
        let values = [f64::NEG_INFINITY, -1e30, -5.0, -1e-30, 0.0, 1e-30, 3.0, 1e30, f64::INFINITY];
        let bounds = [-10.0, -1.0, 0.0, 1.0, 10.0];
        assert_eq!(counts(&values, &[], &bounds), [2, 1, 2, 1, 1, 2]);
    }

    #[test]
    fn declared_bounds_stay_exact_among_others() {
        // 1.0001 is in the same base-2 bucket as 1.01, and on the wrong side of it.
        let values = [0.9999, 1.0, 1.0001, 1.02];
        assert_eq!(counts(&values, &[1.0], &[1.0]), [2, 2]);
        assert_eq!(counts(&values, &[1.0, 1.0001], &[0.5, 1.0, 1.0001]), [0, 2, 1, 1]);
        assert!(Cuts::new([1.0].into(), &[0.5, 1.0]).is_exact());
        assert!(!Cuts::new([1.0, 2.0].into(), &[1.0]).is_exact());
    }

    proptest! {
        #[test]
        fn counts_are_those_of_bounds_that_are_off_by_no_more_than_stated(
            values in prop::collection::vec(-1e6f64..1e6, 1..200),
            mut bounds in prop::collection::vec(-1e6f64..1e6, 0..12),
            mut declared in prop::collection::vec(-1e6f64..1e6, 0..6),
            more in -1e6f64..1e6,
        ) {
            for list in [&mut bounds, &mut declared] {
                list.sort_by(f64::total_cmp);
                list.dedup();
            }
            let found = counts(&values, &declared, &bounds);
            prop_assert_eq!(found.iter().sum::<u64>(), values.len() as u64);
            let mut upto = 0;
            for (bound, count) in bounds.iter().zip(&found) {
                upto += count;
                let off = bound.abs() * 0.011;
                let least = values.iter().filter(|value| **value <= bound - off).count() as u64;
                let most = values.iter().filter(|value| **value <= bound + off).count() as u64;
                prop_assert!((least..=most).contains(&upto), "{bound}: {upto}");
            }
            // One more observation decreases no cumulative count.
            let mut grown = values.clone();
            grown.push(more);
            let later = counts(&grown, &declared, &bounds);
            let sums = |counts: &[u64]| -> Vec<u64> {
                counts.iter().scan(0, |sum, one| { *sum += one; Some(*sum) }).collect()
            };
            prop_assert!(sums(&found).iter().zip(sums(&later)).all(|(a, b)| *a <= b));
        }
    }
}
