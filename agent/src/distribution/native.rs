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
        let mut schema = options.schema_max.clamp(NATIVE_SCHEMA_MIN, finest);
        let by = finest.saturating_sub(schema).unsigned_abs();
        merge(negative, by);
        merge(positive, by);
        while negative.len() + positive.len() > options.buckets_max && schema > NATIVE_SCHEMA_MIN {
            schema -= 1;
            merge(negative, 1);
            merge(positive, 1);
        }
        values.push(Native {
            schema,
            zero_threshold: SMALLEST,
            zero_count: self.zero.saturating_add(self.underflow),
            negative,
            positive,
        });
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
