//! Observations: base-2 buckets, exact counts at declared bounds, a sum, and quantiles over a
//! sliding window. One observation serves any view.
//!
//! Buckets are Prometheus' exponential ones at schema 5 (32 to the octave) from 2^-64 to 2^64,
//! so an estimate is off by at most 1.1 % (see [`bucket`]).
//!
//! # Which quantile
//!
//! The nearest-rank rule: of n observations in the window, quantile q is the one at rank
//! max(1, ⌈q·n⌉) in increasing order, and the estimate is the value that stands for its bucket.
//! Where q·n misses a whole number by rounding only (0.07 × 100 is 7.000000000000001), that
//! number is the rank. An empty window gives NaN.

mod bounds;
mod buckets;
mod exemplars;
mod keep;
mod merged;
mod native;
mod sliding;

use std::sync::Arc;

use ringmeter_layout::bucket;

use crate::budget::Budget;
use crate::rule::WindowView;
use crate::snapshot::Exemplar;
use crate::sum::FloatSum;

pub use bounds::Cuts;
pub use buckets::{Buckets, Place, SCHEMA};
pub use merged::Merged;
pub use native::NativeScratch;
pub use sliding::Sliding;

use exemplars::Exemplars;

/// Values that are added at once.
const RUN: usize = 64;
/// From so many values on, most lines of the buckets are needed, so all are loaded first.
const WARM_MIN: usize = 48;
/// Each bound is compared with all values where there are at least so many values ...
const SCAN_MIN: usize = 8;
/// ... and at most so many bounds; else each value searches its bucket.
const SCAN_BOUNDS_MAX: usize = 32;
/// In tests of this crate, a value for which there is a bug.
#[cfg(test)]
pub const PANICS_AT: f64 = 1.25e-123;

/// The observations of one series.
#[derive(Debug)]
pub struct Distribution {
    bounds: Arc<[f64]>,
    /// One per bound, and one for `+Inf`; not cumulative.
    classic: Box<[u64]>,
    sum: FloatSum,
    buckets: Buckets,
    sliding: Option<Box<Sliding>>,
    /// What was taken for a window that was not declared.
    window_bytes: u64,
    exemplars: Exemplars,
    /// Since it was last put into the ledger.
    is_changed: bool,
    /// Where its first slice is in the ledger.
    head_block: u32,
}

impl Distribution {
    /// No observations yet. `sliding` is the window for quantiles, where there are any.
    pub fn new(bounds: Arc<[f64]>, sliding: Option<Box<Sliding>>) -> Self {
        let classic = vec![0; bounds.len() + 1].into();
        Self {
            bounds,
            classic,
            sum: FloatSum::default(),
            buckets: Buckets::default(),
            sliding,
            window_bytes: 0,
            exemplars: Exemplars::default(),
            is_changed: false,
            head_block: 0,
        }
    }

    /// Adds one observation; says whether it was one (NaN is none).
    ///
    /// Infinite values count in buckets and not in the sum.
    #[inline]
    pub fn observe(&mut self, value: f64, now_ns: u64, budget: &mut Budget) -> bool {
        if value.is_nan() {
            return false;
        }
        self.is_changed = true;
        let at = bucket::classic_index(&self.bounds, value);
        if let Some(count) = self.classic.get_mut(at) {
            *count = count.saturating_add(1);
        }
        if value.is_finite() {
            self.sum.add(value);
        }
        self.place(Place::of(value), 1, Some(now_ns), budget);
        true
    }

    /// Adds observations as [`observe`](Self::observe) does; returns how many were none.
    pub fn observe_all(&mut self, values: &[f64], now_ns: u64, budget: &mut Budget) -> u64 {
        #[cfg(test)]
        assert!(!values.contains(&PANICS_AT), "planted");
        let mut refused = 0;
        if values.len() >= WARM_MIN {
            self.buckets.warm();
            self.sliding.iter().for_each(|sliding| sliding.warm());
        }
        for values in values.chunks(RUN) {
            let mut indices = [0; RUN];
            let indices = &mut indices[..values.len()];
            if !buckets::indices(values, indices) {
                // Zeros, not-a-numbers, values below zero: one after the other.
                let each = values.iter().filter(|value| !self.observe(**value, now_ns, budget));
                refused += each.count() as u64;
                continue;
            }
            self.is_changed = true;
            self.count_classic(values);
            let mut sum = self.sum;
            values.iter().for_each(|value| sum.add(*value));
            self.sum = sum;
            self.buckets.add_each(indices, budget);
            if let Some(sliding) = &mut self.sliding {
                sliding.add_each(indices, now_ns, budget);
            }
        }
        refused
    }

    /// Counts values, none of them not-a-number, at the declared bounds.
    fn count_classic(&mut self, values: &[f64]) {
        let Some((above, counts)) = self.classic.split_last_mut() else { return };
        if values.len() < SCAN_MIN || counts.len() > SCAN_BOUNDS_MAX {
            for value in values {
                let at = bucket::classic_index(&self.bounds, *value);
                let count = counts.get_mut(at).unwrap_or(above);
                *count = count.saturating_add(1);
            }
            return;
        }
        // Bound by bound: a comparison with many values at once.
        let mut before = 0;
        for (bound, count) in self.bounds.iter().zip(counts) {
            let upto: u64 = values.iter().map(|value| u64::from(*value <= *bound)).sum();
            *count = count.saturating_add(upto.saturating_sub(before));
            before = upto;
        }
        *above = above.saturating_add((values.len() as u64).saturating_sub(before));
    }

    /// Adds the observation of an exemplar, and keeps the exemplar if it is the newest of its
    /// bucket; says whether there is memory for it.
    pub fn observe_exemplar(
        &mut self,
        exemplar: Exemplar,
        now_ns: u64,
        budget: &mut Budget,
    ) -> bool {
        // An exemplar's value is finite.
        self.observe(exemplar.value(), now_ns, budget);
        let at = bucket::classic_index(&self.bounds, exemplar.value());
        self.exemplars.keep(at, self.classic.len(), exemplar, budget)
    }

    /// The newest exemplar of each classic bucket that has one, from the lowest to the highest.
    pub fn exemplars(&self) -> impl Iterator<Item = &Exemplar> {
        self.exemplars.iter()
    }

    /// Adds `count` observations to a base-2 bucket, and to the sliding window if `now_ns` is
    /// given. For spill, whose classic buckets and sum come separately.
    #[inline]
    pub fn place(&mut self, place: Place, count: u64, now_ns: Option<u64>, budget: &mut Budget) {
        self.is_changed = true;
        self.buckets.add(place, count, budget);
        if let (Some(sliding), Some(now_ns)) = (&mut self.sliding, now_ns) {
            sliding.add(place, count, now_ns, budget);
        }
    }

    /// Adds `count` observations to the classic bucket at `index`; the last is `+Inf`.
    pub fn add_classic(&mut self, index: usize, count: u64) {
        self.is_changed = true;
        if let Some(bucket) = self.classic.get_mut(index) {
            *bucket = bucket.saturating_add(count);
        }
    }

    /// Adds to the sum, if the value is finite.
    pub fn add_sum(&mut self, value: f64) {
        if value.is_finite() {
            self.is_changed = true;
            self.sum.add(value);
        }
    }

    /// Counts at the declared bounds, not cumulative, `+Inf` last.
    pub fn classic(&self) -> &[u64] {
        &self.classic
    }

    /// All observations: the sum of the classic buckets.
    pub fn count(&self) -> u64 {
        self.classic.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// The sum of the finite observations.
    pub fn sum(&self) -> f64 {
        self.sum.value()
    }

    /// Base-2 buckets since the beginning.
    pub fn buckets(&self) -> &Buckets {
        &self.buckets
    }

    /// Returns the memory of its buckets.
    pub fn give_back(self, budget: &mut Budget) {
        let sliding = self.sliding.as_ref().map_or(0, |sliding| sliding.size_bytes());
        let exemplars = self.exemplars.cost_bytes();
        let held = self.buckets.size_bytes().saturating_add(sliding).saturating_add(exemplars);
        budget.give_back(held.saturating_add(self.window_bytes));
    }

    /// Gives it this sliding window, or none. What another window holds goes over into it; a first
    /// one begins empty, and is not made where there is no memory for it.
    pub fn set_window(&mut self, window: Option<WindowView>, now_ns: u64, budget: &mut Budget) {
        let is_same = match (&self.sliding, window) {
            (Some(own), Some(window)) => own.is(window),
            (own, window) => own.is_none() && window.is_none(),
        };
        let cost_bytes = window.map_or(0, Sliding::cost_bytes);
        if is_same || !budget.take_for_buckets(cost_bytes) {
            return;
        }
        budget.give_back(std::mem::replace(&mut self.window_bytes, cost_bytes));
        let old = self.sliding.take();
        self.sliding = match (old, window) {
            (Some(mut old), window) => {
                let new = window.map(|window| Box::new(old.resized(window, now_ns, budget)));
                budget.give_back(old.size_bytes());
                new
            }
            (None, Some(window)) => {
                Some(Box::new(Sliding::new(window.max_age_ms, window.age_buckets, now_ns)))
            }
            (None, None) => None,
        };
    }

    /// Appends an estimate for each of the increasing `objectives` over the sliding window.
    pub fn quantiles(&mut self, objectives: &[f64], now_ns: u64, estimates: &mut Vec<f64>) {
        match &mut self.sliding {
            Some(sliding) => sliding.at(now_ns).quantiles(objectives, estimates),
            None => estimates.extend(objectives.iter().map(|_| f64::NAN)),
        }
    }
}

#[cfg(test)]
mod tests;
