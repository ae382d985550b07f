//! Base-2 exponential buckets of the histograms of one family, in flat vectors.

/// How finely native histograms are shown.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NativeOptions {
    /// The finest schema, from -4 to 5, which is what the agent keeps. The relative error of a
    /// quantile is 1.1 % at 5, and about double with each step down.
    pub schema_max: i8,
    /// More buckets than this lower the schema by as much as it takes; it never rises again
    /// while the series lives, because its buckets never empty.
    pub buckets_max: usize,
    /// Magnitudes up to here, and up to the end of the bucket that it is in, are in the zero
    /// bucket.
    pub zero_threshold: f64,
    /// The zero bucket is widened up to here before the schema is lowered; 0 for never.
    pub zero_threshold_max: f64,
}

impl Default for NativeOptions {
    /// Schema 5; 160 buckets, as OpenTelemetry and most of Prometheus' users have it.
    fn default() -> Self {
        Self { schema_max: 5, buckets_max: 160, zero_threshold: 0.0, zero_threshold_max: 0.0 }
    }
}

/// The coarsest schema that there is.
pub const NATIVE_SCHEMA_MIN: i8 = -4;

/// The native histograms of one family.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct NativeValues {
    heads: Vec<Head>,
    buckets: Vec<(i32, u64)>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Head {
    schema: i8,
    zero_threshold: f64,
    zero_count: u64,
    /// End of the negative buckets, which begin where the series before ends.
    negative_end: usize,
    /// End of the positive buckets, which begin there.
    positive_end: usize,
}

/// One native histogram.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Native<'a> {
    /// Bucket i covers the magnitudes from 2^((i-1)·2^-schema), exclusive, to 2^(i·2^-schema).
    pub schema: i8,
    /// Magnitudes up to this one are counted as zero.
    pub zero_threshold: f64,
    /// How many those are.
    pub zero_count: u64,
    /// Index and count of each bucket of magnitudes below zero that is not empty, increasing.
    pub negative: &'a [(i32, u64)],
    /// The same above zero.
    pub positive: &'a [(i32, u64)],
}

impl Native<'_> {
    /// All observations. Counts that a lying producer made too large stop at `u64::MAX`.
    pub fn count(&self) -> u64 {
        let buckets = self.negative.iter().chain(self.positive);
        buckets.fold(self.zero_count, |sum, (_, count)| sum.saturating_add(*count))
    }
}

impl NativeValues {
    /// How many series there are.
    pub fn len(&self) -> usize {
        self.heads.len()
    }

    /// Whether there is no series.
    pub fn is_empty(&self) -> bool {
        self.heads.is_empty()
    }

    /// Adds the next series.
    pub fn push(&mut self, native: Native<'_>) {
        self.buckets.extend_from_slice(native.negative);
        let negative_end = self.buckets.len();
        self.buckets.extend_from_slice(native.positive);
        self.heads.push(Head {
            schema: native.schema,
            zero_threshold: native.zero_threshold,
            zero_count: native.zero_count,
            negative_end,
            positive_end: self.buckets.len(),
        });
    }

    /// Each series.
    pub fn iter(&self) -> impl Iterator<Item = Native<'_>> {
        let mut begin = 0;
        self.heads.iter().map(move |head| {
            let part = |from: usize, to: usize| self.buckets.get(from..to).unwrap_or_default();
            let negative = part(begin, head.negative_end);
            let positive = part(head.negative_end, head.positive_end);
            begin = head.positive_end;
            let Head { schema, zero_threshold, zero_count, .. } = *head;
            Native { schema, zero_threshold, zero_count, negative, positive }
        })
    }
}
