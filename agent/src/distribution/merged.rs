//! Several distributions shown as one.

use super::{Buckets, Distribution};
use crate::budget::Budget;

/// The sum of distributions with the same declared bounds; reused for one series after the other.
#[derive(Debug, Default)]
pub struct Merged {
    /// Counts at the declared bounds, not cumulative.
    pub classic: Vec<u64>,
    /// The sum of the finite observations.
    pub sum: f64,
    /// Base-2 buckets since the beginning.
    pub buckets: Buckets,
    /// What the sliding windows hold.
    pub window: Buckets,
}

impl Merged {
    /// Nothing, for so many declared buckets.
    pub fn clear(&mut self, buckets: usize) {
        self.classic.clear();
        self.classic.resize(buckets, 0);
        self.sum = 0.0;
        self.buckets.clear();
        self.window.clear();
    }

    /// Adds one.
    pub fn add(&mut self, own: &mut Distribution, now_ns: u64) {
        // For the time of a scrape, and never more than what it adds up.
        let mut budget = Budget::new(u64::MAX);
        for (sum, count) in self.classic.iter_mut().zip(own.classic()) {
            *sum = sum.saturating_add(*count);
        }
        self.sum += own.sum();
        self.buckets.merge(own.buckets(), &mut budget);
        if let Some(sliding) = &mut own.sliding {
            self.window.merge(sliding.at(now_ns), &mut budget);
        }
    }

    /// All observations.
    pub fn count(&self) -> u64 {
        self.classic.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }
}
