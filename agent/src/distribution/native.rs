//! From the agent's buckets to those of a native histogram.
//!
//! Every observation is in a bucket, because a server refuses a histogram whose count is not the
//! sum of its buckets; and each stays in its bucket for ever (or in the union that it becomes a
//! part of), because a bucket that shrinks looks like a counter that began anew:
//!
//! - zero, and what lies between 0 and 2^-64, is in the zero bucket;
//! - what is beyond 2^64 of either sign, infinity included, is in the bucket next to it;
//! - what spilled below zero, of which only the sign is known, is in the bucket that ends at -1.

use ringmeter_layout::bucket;

use super::buckets::{Buckets, INDEX_MAX, SCHEMA, SMALLEST};
use crate::snapshot::{NATIVE_SCHEMA_MIN, Native, NativeOptions, NativeValues};

/// Memory for the buckets of one series, used for the next again.
#[derive(Debug, Default)]
pub struct NativeScratch {
    negative: Vec<(i32, u64)>,
    positive: Vec<(i32, u64)>,
}

impl Buckets {
    /// Adds these buckets to `values`, at the finest schema that the options allow.
    pub fn push_native(
        &self,
        options: &NativeOptions,
        scratch: &mut NativeScratch,
        values: &mut NativeValues,
    ) {
        let NativeScratch { negative, positive } = scratch;
        negative.clear();
        positive.clear();
        positive.extend(self.positive_counts());
        positive.extend([(INDEX_MAX + 1, self.overflow)]);
        negative.extend(self.negative_counts());
        negative.extend([(INDEX_MAX + 1, self.negative_overflow)]);
        for buckets in [&mut *positive, &mut *negative] {
            buckets.retain(|(_, count)| *count > 0);
        }
        if self.negative_unknown > 0 {
            add(negative, (0, self.negative_unknown));
        }
        let finest = SCHEMA.cast_signed();
        let schema = options.schema_max.clamp(NATIVE_SCHEMA_MIN, finest);
        let zero_count = self.zero.saturating_add(self.underflow);
        let mut shown = Shown { schema, zero_threshold: SMALLEST, zero_count, negative, positive };
        let by = finest.saturating_sub(schema).unsigned_abs();
        merge(shown.negative, by);
        merge(shown.positive, by);
        shown.widen(options.zero_threshold);
        shown.reduce(options);
        let Shown { schema, zero_threshold, zero_count, negative, positive } = shown;
        values.push(Native { schema, zero_threshold, zero_count, negative, positive });
    }
}

/// A histogram on its way to fewer buckets.
struct Shown<'a> {
    schema: i8,
    zero_threshold: f64,
    zero_count: u64,
    negative: &'a mut Vec<(i32, u64)>,
    positive: &'a mut Vec<(i32, u64)>,
}

impl Shown<'_> {
    /// First the zero bucket, then the schema, as client libraries do. What either takes together
    /// stays together, because buckets never empty.
    fn reduce(&mut self, options: &NativeOptions) {
        while self.negative.len() + self.positive.len() > options.buckets_max {
            let lowest = self.negative.first().into_iter().chain(self.positive.first());
            let lowest = lowest.map(|(index, _)| *index).min();
            let wider = lowest.map_or(f64::INFINITY, |index| self.upper_bound(index));
            if wider <= options.zero_threshold_max {
                self.widen(wider);
            } else if self.schema > NATIVE_SCHEMA_MIN {
                self.schema -= 1;
                merge(self.negative, 1);
                merge(self.positive, 1);
                // Its edge may be inside a bucket now.
                self.widen(self.zero_threshold);
            } else {
                return;
            }
        }
    }

    fn steps(&self) -> u8 {
        SCHEMA.cast_signed().saturating_sub(self.schema).unsigned_abs()
    }

    /// The upper bound of a bucket of this schema.
    fn upper_bound(&self, index: i32) -> f64 {
        let finest = i64::from(index) << self.steps();
        let end = i64::from(INDEX_MAX) + 1;
        i32::try_from(finest.min(end)).map_or(0.0, |index| bucket::upper_bound(index, SCHEMA))
    }

    /// Takes buckets into the zero bucket, up to the one in which the threshold is.
    fn widen(&mut self, threshold: f64) {
        if threshold <= SMALLEST {
            return;
        }
        let last = bucket::downscale(bucket::index(threshold, SCHEMA), self.steps());
        for buckets in [&mut *self.negative, &mut *self.positive] {
            let count = buckets.partition_point(|(index, _)| *index <= last);
            for (_, count) in buckets.drain(..count) {
                self.zero_count = self.zero_count.saturating_add(count);
            }
        }
        self.zero_threshold = self.upper_bound(last);
    }
}

/// Adds to a bucket where there may be none.
fn add(buckets: &mut Vec<(i32, u64)>, (index, count): (i32, u64)) {
    let at = buckets.partition_point(|(own, _)| *own < index);
    match buckets.get_mut(at) {
        Some((own, total)) if *own == index => *total = total.saturating_add(count),
        _ => buckets.insert(at, (index, count)),
    }
}

/// Lowers the schema by so many steps: neighbours become one.
fn merge(buckets: &mut Vec<(i32, u64)>, by: u8) {
    if by == 0 {
        return;
    }
    buckets.iter_mut().for_each(|(index, _)| *index = bucket::downscale(*index, by));
    buckets.dedup_by(|(later, count), (index, total)| {
        let is_one = later == index;
        if is_one {
            *total = total.saturating_add(*count);
        }
        is_one
    });
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;
    use ringmeter_layout::bucket::SpillSlot;

    use super::*;
    use crate::budget::Budget;
    use crate::distribution::{Distribution, Place};

    /// Schema, zero count, negative and positive buckets.
    type Native4 = (i8, u64, Vec<(i32, u64)>, Vec<(i32, u64)>);

    fn shown(buckets: &Buckets, schema_max: i8, buckets_max: usize) -> Native4 {
        let mut values = NativeValues::default();
        let options = NativeOptions { schema_max, buckets_max, ..NativeOptions::default() };
        // Left over from another series.
        let mut scratch = NativeScratch { negative: vec![(1, 1)], positive: vec![(2, 2), (3, 3)] };
        buckets.push_native(&options, &mut scratch, &mut values);
        let native = values.iter().next().expect("one");
        assert_eq!(native.count(), buckets.count());
        assert_eq!(native.zero_threshold, 2_f64.powi(-64));
        (native.schema, native.zero_count, native.negative.to_vec(), native.positive.to_vec())
    }

    fn observed(values: &[f64]) -> Distribution {
        let mut distribution = Distribution::new(Arc::from([]), None);
        let mut budget = Budget::new(u64::MAX);
        for value in values {
            distribution.observe(*value, 0, &mut budget);
        }
        distribution
    }

    #[test]
    fn every_observation_has_its_bucket() {
        let mut distribution = observed(&[
            f64::NEG_INFINITY,
            -1e30,
            -2.0,
            -1e-30,
            0.0,
            -0.0,
            1e-30,
            1.0,
            2.0,
            1e30,
            f64::INFINITY,
        ]);
        let smallest = 1 - 64 * 32;
        let (negative, positive) =
            (vec![(smallest, 1), (32, 1), (2049, 2)], vec![(0, 1), (32, 1), (2049, 2)]);
        let expected = (5, 3, negative, positive);
        assert_eq!(shown(distribution.buckets(), 5, 160), expected);
        // Of what spilled below zero the size is not known.
        let mut budget = Budget::new(u64::MAX);
        distribution.place(Place::of_spill(SpillSlot::Negative, 2), 4, None, &mut budget);
        let negative = vec![(smallest, 1), (0, 4), (32, 1), (2049, 2)];
        assert_eq!(shown(distribution.buckets(), 5, 160).2, negative);
        assert_eq!(shown(observed(&[]).buckets(), 5, 160), (5, 0, vec![], vec![]));
    }

    #[test]
    fn too_many_buckets_lower_the_schema() {
        let values: Vec<f64> = (0..64).map(|at| bucket::upper_bound(at - 31, 5)).collect();
        let distribution = observed(&values);
        let at = |schema_max, buckets_max| {
            let (schema, _, _, positive) = shown(distribution.buckets(), schema_max, buckets_max);
            (schema, positive.len())
        };
        assert_eq!(at(5, 160), (5, 64));
        assert_eq!(at(8, 64), (5, 64), "finer than there is");
        assert_eq!(at(5, 63), (4, 32));
        assert_eq!(at(3, 160), (3, 16));
        assert_eq!(at(5, 2), (0, 2));
        assert_eq!(at(-9, 0), (-4, 2), "as coarse as can be");
    }

    #[test]
    fn the_zero_bucket_takes_what_is_near_zero_and_is_widened_before_the_schema_is_lowered() {
        let values: Vec<f64> = (-10..10).map(|at| 2_f64.powi(at)).chain([-0.001, 0.0]).collect();
        let distribution = observed(&values);
        let at = |zero_threshold, zero_threshold_max, buckets_max| {
            let mut values = NativeValues::default();
            let options =
                NativeOptions { schema_max: 5, buckets_max, zero_threshold, zero_threshold_max };
            let scratch = &mut NativeScratch::default();
            distribution.buckets().push_native(&options, scratch, &mut values);
            let native = values.iter().next().expect("one");
            assert_eq!(native.count(), 22);
            let buckets = native.positive.len() + native.negative.len();
            (native.schema, native.zero_threshold, native.zero_count, buckets)
        };
        assert_eq!(at(0.0, 0.0, 160), (5, SMALLEST, 1, 21));
        assert_eq!(at(0.25, 0.0, 160), (5, 0.25, 11, 11));
        let inside = at(0.26, 0.0, 160);
        assert!(inside.1 > 0.26 && inside.1 < 0.27 && inside.2 == 11, "{inside:?}");
        assert_eq!(at(0.0, 1.0, 16), (5, 2_f64.powi(-7), 6, 16));
        let (schema, threshold, _, buckets) = at(0.0, 2_f64.powi(-9), 8);
        assert!(schema < 0 && threshold >= 2_f64.powi(-9) && buckets <= 8, "{schema} {threshold}");
    }

    proptest! {
        /// Whatever the schema, a value is in the bucket that its bounds say.
        #[test]
        fn buckets_of_any_schema_hold_their_values(
            value in prop_oneof![1e-18..1e18_f64, -1e18..-1e-18_f64],
            schema in -4i8..=5,
        ) {
            let distribution = observed(&[value]);
            let (own, _, negative, positive) = shown(distribution.buckets(), schema, 160);
            let [(index, 1)] = [negative, positive].concat()[..] else { panic!("one bucket") };
            let bound = |index: i32| 2_f64.powf(f64::from(index) * 2_f64.powi(-i32::from(own)));
            let magnitude = value.abs();
            prop_assert!(bound(index - 1) * (1.0 - 1e-12) < magnitude);
            prop_assert!(magnitude <= bound(index) * (1.0 + 1e-12));
        }

        /// Counts never go down while observations come in, or it would look like a new beginning.
        #[test]
        fn buckets_never_shrink(
            values in prop::collection::vec(prop_oneof![-1e9..1e9_f64, 1e-9..1e-3_f64], 1..200),
            buckets_max in 1usize..40,
        ) {
            let mut distribution = Distribution::new(Arc::from([]), None);
            let mut budget = Budget::new(u64::MAX);
            let mut last = shown(distribution.buckets(), 5, buckets_max);
            for value in values {
                distribution.observe(value, 0, &mut budget);
                let next = shown(distribution.buckets(), 5, buckets_max);
                prop_assert!(next.0 <= last.0 && next.1 >= last.1);
                for (old, new) in [(&mut last.2, &next.2), (&mut last.3, &next.3)] {
                    merge(old, (last.0 - next.0).unsigned_abs());
                    for (index, count) in old.iter() {
                        let now = new.iter().find(|(own, _)| own == index).map_or(0, |b| b.1);
                        prop_assert!(now >= *count);
                    }
                }
                last = next;
            }
        }
    }
}
