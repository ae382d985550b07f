//! The numbers of one family in one snapshot, in flat vectors: one allocation for all series.

use std::fmt;

use super::{MetricType, Native, NativeValues};

/// A counter's value: exact as an integer until a float was added to it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Number {
    /// A sum of integers.
    U64(u64),
    /// A sum with floats in it.
    F64(f64),
}

/// One value, histogram or summary per series, in the order of the series.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// Counters.
    Counter(Vec<Number>),
    /// Gauges.
    Gauge(Vec<f64>),
    /// Classic histograms.
    Histogram(HistogramValues),
    /// Summaries.
    Summary(SummaryValues),
}

impl Values {
    /// The type of family these values belong to.
    pub fn metric_type(&self) -> MetricType {
        match self {
            Self::Counter(_) => MetricType::Counter,
            Self::Gauge(_) => MetricType::Gauge,
            Self::Histogram(_) => MetricType::Histogram,
            Self::Summary(_) => MetricType::Summary,
        }
    }

    fn series(&self) -> usize {
        match self {
            Self::Counter(numbers) => numbers.len(),
            Self::Gauge(numbers) => numbers.len(),
            Self::Histogram(histograms) => histograms.sums.len(),
            Self::Summary(summaries) => summaries.totals.len(),
        }
    }

    fn edges(&self) -> usize {
        match self {
            Self::Counter(_) | Self::Gauge(_) => 0,
            Self::Histogram(histograms) => histograms.edges,
            Self::Summary(summaries) => summaries.edges,
        }
    }

    pub(super) fn check(
        &self,
        metric_type: MetricType,
        edges: usize,
        series: usize,
    ) -> Result<(), ShapeError> {
        if self.metric_type() != metric_type {
            return Err(ShapeError::Type { family: metric_type, values: self.metric_type() });
        }
        if self.edges() != edges {
            return Err(ShapeError::Edges { expected: edges, given: self.edges() });
        }
        if self.series() != series {
            return Err(ShapeError::Series { expected: series, given: self.series() });
        }
        if let Self::Histogram(HistogramValues { native: Some(native), .. }) = self
            && native.len() != series
        {
            return Err(ShapeError::Series { expected: series, given: native.len() });
        }
        Ok(())
    }

    /// Whether every number is the same, bit by bit.
    pub fn is_identical(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Counter(own), Self::Counter(theirs)) => all_same(own, theirs, Number::bits),
            (Self::Gauge(own), Self::Gauge(theirs)) => are_same_floats(own, theirs),
            (Self::Histogram(own), Self::Histogram(theirs)) => {
                own.cumulative == theirs.cumulative
                    && are_same_floats(&own.sums, &theirs.sums)
                    && own.native == theirs.native
            }
            (Self::Summary(own), Self::Summary(theirs)) => {
                all_same(&own.totals, &theirs.totals, |(sum, count)| (sum.to_bits(), count))
                    && are_same_floats(&own.quantiles, &theirs.quantiles)
            }
            _ => false,
        }
    }
}

fn all_same<T: Copy, B: PartialEq>(own: &[T], theirs: &[T], bits: impl Fn(T) -> B) -> bool {
    own.len() == theirs.len()
        && own.iter().zip(theirs).all(|(own, theirs)| bits(*own) == bits(*theirs))
}

fn are_same_floats(own: &[f64], theirs: &[f64]) -> bool {
    all_same(own, theirs, f64::to_bits)
}

impl Number {
    /// The number and its type, to compare bit by bit.
    pub fn bits(self) -> (bool, u64) {
        match self {
            Self::U64(integer) => (false, integer),
            Self::F64(float) => (true, float.to_bits()),
        }
    }

    /// The number as a float.
    pub fn as_f64(self) -> f64 {
        match self {
            Self::U64(integer) => integer as f64,
            Self::F64(float) => float,
        }
    }
}

/// The histograms of one family. Buckets are cumulative and the count is the last bucket, both
/// by construction.
#[derive(Debug, Clone, PartialEq)]
pub struct HistogramValues {
    edges: usize,
    cumulative: Vec<u64>,
    sums: Vec<f64>,
    native: Option<NativeValues>,
}

impl HistogramValues {
    /// No series yet; `edges` counts the bounds including `+Inf`, and is at least 1.
    pub fn new(edges: usize) -> Self {
        Self { edges: edges.max(1), cumulative: Vec::new(), sums: Vec::new(), native: None }
    }

    /// Makes room for `series` more series.
    pub fn reserve(&mut self, series: usize) {
        self.cumulative.reserve(series.saturating_mul(self.edges));
        self.sums.reserve(series);
    }

    /// Adds the next series from the counts of its buckets, each without those below it. Counts
    /// that a lying producer made too large stop at `u64::MAX`.
    ///
    /// # Errors
    ///
    /// [`ShapeError::Edges`] if there are not as many counts as edges; nothing is added.
    pub fn push(&mut self, counts: &[u64], sum: f64) -> Result<(), ShapeError> {
        if counts.len() != self.edges {
            return Err(ShapeError::Edges { expected: self.edges, given: counts.len() });
        }
        let mut total = 0u64;
        self.cumulative.extend(counts.iter().map(|&count| {
            total = total.saturating_add(count);
            total
        }));
        self.sums.push(sum);
        Ok(())
    }

    /// Adds native buckets: as many as there are series, once all are pushed.
    pub fn set_native(&mut self, native: NativeValues) {
        self.native = Some(native);
    }

    /// Native buckets of each series, if they were asked for.
    pub fn native(&self) -> Option<impl Iterator<Item = Native<'_>>> {
        self.native.as_ref().map(NativeValues::iter)
    }

    /// Cumulative buckets and sum of each series.
    pub fn iter(&self) -> impl Iterator<Item = (&[u64], f64)> {
        self.cumulative.chunks_exact(self.edges).zip(self.sums.iter().copied())
    }
}

/// The summaries of one family.
#[derive(Debug, Clone, PartialEq)]
pub struct SummaryValues {
    edges: usize,
    quantiles: Vec<f64>,
    totals: Vec<(f64, u64)>,
}

impl SummaryValues {
    /// No series yet; `edges` counts the quantiles, and may be 0.
    pub fn new(edges: usize) -> Self {
        Self { edges, quantiles: Vec::new(), totals: Vec::new() }
    }

    /// Makes room for `series` more series.
    pub fn reserve(&mut self, series: usize) {
        self.quantiles.reserve(series.saturating_mul(self.edges));
        self.totals.reserve(series);
    }

    /// Adds the next series: an estimate for each quantile (NaN for an empty window), the sum,
    /// and the count of all observations.
    ///
    /// # Errors
    ///
    /// [`ShapeError::Edges`] if there are not as many estimates as quantiles; nothing is added.
    pub fn push(&mut self, estimates: &[f64], sum: f64, count: u64) -> Result<(), ShapeError> {
        if estimates.len() != self.edges {
            return Err(ShapeError::Edges { expected: self.edges, given: estimates.len() });
        }
        self.quantiles.extend_from_slice(estimates);
        self.totals.push((sum, count));
        Ok(())
    }

    /// Estimates, sum and count of each series.
    pub fn iter(&self) -> impl Iterator<Item = (&[f64], f64, u64)> {
        self.totals.iter().enumerate().map(|(index, &(sum, count))| {
            let start = index * self.edges;
            let estimates = self.quantiles.get(start..start + self.edges).unwrap_or_default();
            (estimates, sum, count)
        })
    }
}

/// Why values do not fit their family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShapeError {
    /// The values are of another type than the family.
    Type {
        /// The family's type.
        family: MetricType,
        /// The values' type.
        values: MetricType,
    },
    /// Another number of buckets or quantiles than the family has.
    Edges {
        /// As many as the family has.
        expected: usize,
        /// As many as were given.
        given: usize,
    },
    /// Another number of values than there are series.
    Series {
        /// As many as there are series.
        expected: usize,
        /// As many as were given.
        given: usize,
    },
}

impl fmt::Display for ShapeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Type { family, values } => {
                write!(f, "a {family} family cannot take {values} values")
            }
            Self::Edges { expected, given } => {
                write!(f, "the family has {expected} buckets or quantiles, {given} were given")
            }
            Self::Series { expected, given } => {
                write!(f, "the family has {expected} series, {given} values were given")
            }
        }
    }
}

impl std::error::Error for ShapeError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_become_cumulative_and_saturate() {
        let mut values = HistogramValues::new(3);
        values.push(&[1, 0, 2], 4.5).expect("three buckets");
        values.push(&[u64::MAX, 1, 1], 0.0).expect("three buckets");
        let error = values.push(&[1, 2], 0.0);
        assert_eq!(error, Err(ShapeError::Edges { expected: 3, given: 2 }));
        let all: Vec<_> = values.iter().collect();
        assert_eq!(all, [(&[1, 1, 3][..], 4.5), (&[u64::MAX; 3][..], 0.0)]);
    }

    #[test]
    fn summaries_may_have_no_quantiles() {
        let mut values = SummaryValues::new(0);
        values.push(&[], 1.5, 2).expect("no quantiles");
        values.push(&[], 2.5, 3).expect("no quantiles");
        let all: Vec<_> = values.iter().collect();
        assert_eq!(all, [(&[][..], 1.5, 2), (&[][..], 2.5, 3)]);
    }
}
