//! Reading metrics back in a unit test, without an agent; on any system.
//!
//! A producer from [`producer`] belongs to one test, so that tests run in parallel. Counters,
//! gauges, counts, sums and declared buckets are exact; quantiles are estimates from base-2
//! buckets with a relative error of at most 1.1 %, over everything observed so far.
//!
//! What an application is only told by its agent, a test is told by a panic when it reads: that a
//! metric could not be registered, or that a handle comes from a lookup with another number of
//! label values than its family has labels. A static that nobody has used yet reads 0.
//!
//! ```
//! use ringmeter::testing;
//!
//! let producer = testing::producer();
//! let orders = producer.counter(("app_orders_total", "Orders taken."))?;
//! let latency = producer.histogram(("app_latency_seconds", "Time to answer."))?;
//! orders.inc_by(2);
//! latency.observe(0.3);
//!
//! assert_eq!(testing::value(&orders), 2.0);
//! assert_eq!(testing::count(&latency), 1);
//! assert_eq!(testing::bucket(&latency, 0.25), 0);
//! assert_eq!(testing::bucket(&latency, 0.5), 1);
//! # Ok::<(), ringmeter::RegisterError>(())
//! ```

use ringmeter_layout::bucket;
use ringmeter_layout::cell;
use ringmeter_layout::naming::Kind;
use ringmeter_layout::segment::SPILL_SCHEMA_MAX;
use ringmeter_layout::word::Word;

use crate::cells::{self, Rejection};
use crate::metric::Metric;
use crate::producer::{Producer, Status};
use crate::registry::Series;

/// Private cells of a test's producer; touched pages only take memory.
const SIZE_BYTES: u64 = 32 << 20;

/// A producer for one test.
#[must_use]
pub fn producer() -> Producer {
    builder().build()
}

/// Settings of a producer for one test, to set limits of one's own.
#[must_use]
pub fn builder() -> crate::ProducerBuilder {
    Producer::builder()
        .private_only()
        .service("test")
        .spill_schema(SPILL_SCHEMA_MAX)
        .segment_size_max_bytes(SIZE_BYTES)
}

/// Makes the process-wide producer one whose metrics can be read back, unless that was done before:
/// for tests of code that uses statics or macros. Such tests share it, and each begins with this.
///
/// # Panics
/// When a static or macro was used before: it has made a producer that an agent reads.
pub fn install() -> Producer {
    let producer = builder().install_global();
    // No other can be both process-wide and private.
    if !producer.inner.config.private_only {
        refuse(Some(
            "testing::install() comes too late: a metric of this process has been used or \
             registered, which has made its producer; call it first in every test",
        ));
    }
    producer
}

/// The value of a counter or gauge; the sum of a histogram or summary. 0 for a static that was not
/// used yet.
///
/// # Panics
/// When the metric could not be registered, or the handle's lookup gave a wrong number of label
/// values; so do all functions that read.
#[must_use]
pub fn value(metric: &dyn Metric) -> f64 {
    read(metric, |series, words| match series.kind() {
        #[expect(clippy::cast_precision_loss, reason = "the exposition has floats too")]
        Kind::Counter => {
            let integer = in_lanes(series)
                .fold(integer(words, cell::COUNTER_INTEGER), |sum, word| sum.wrapping_add(word));
            integer as f64 + float(words, cell::COUNTER_FLOAT)
        }
        Kind::Gauge => float(words, cell::GAUGE_VALUE),
        Kind::Histogram | Kind::Summary => float(words, cell::DISTRIBUTION_SUM),
    })
}

/// How many exemplars the producer has refused because of their labels: none, if the application
/// does it right. Exemplars themselves cannot be read back, because they exist in lanes only; what
/// they came with counts like anything else.
///
/// ```
/// use ringmeter::testing;
///
/// let producer = testing::producer();
/// let latency = producer.histogram(("app_latency_seconds", "Time to answer."))?;
/// latency.observe_with_exemplar(0.3, &[("trace_id", "4bf92f3577b34da6a3ce929d0e0e4736")]);
/// assert_eq!((testing::count(&latency), testing::exemplars_refused(producer)), (1, 0));
///
/// latency.observe_with_exemplar(0.3, &[("trace-id", "4bf92f3577b34da6a3ce929d0e0e4736")]);
/// assert_eq!((testing::count(&latency), testing::exemplars_refused(producer)), (2, 1));
/// # Ok::<(), ringmeter::RegisterError>(())
/// ```
#[must_use]
pub fn exemplars_refused(producer: Producer) -> u64 {
    cells::rejected(producer.inner, Rejection::ExemplarLabels)
}

/// How many values a histogram or summary has observed.
#[must_use]
pub fn count(metric: &dyn Metric) -> u64 {
    read(metric, |series, words| classic(series, words).iter().map(Word::load_relaxed).sum())
}

/// The sum of the finite values that a histogram or summary has observed.
#[must_use]
pub fn sum(metric: &dyn Metric) -> f64 {
    read(metric, |series, words| {
        if !series.kind().is_distribution() {
            return 0.0;
        }
        float(words, cell::DISTRIBUTION_SUM) + in_lanes(series).map(f64::from_bits).sum::<f64>()
    })
}

/// How many values a histogram has observed that are at most `bound`, one of its bounds.
///
/// # Panics
/// When the histogram has no such bound: the test asks for what the agent would not show.
#[must_use]
pub fn bucket(metric: &dyn Metric, bound: f64) -> u64 {
    read(metric, |series, words| {
        let bounds = &series.family.definition.bounds;
        let index = bounds.iter().position(|known| *known == bound);
        #[expect(clippy::panic, reason = "a test is told that it is wrong")]
        let index = index.unwrap_or_else(|| match bound == f64::INFINITY {
            true => bounds.len(),
            false => panic!("{bound} is none of the bounds {bounds:?}"),
        });
        classic(series, words).iter().take(index + 1).map(Word::load_relaxed).sum()
    })
}

/// The estimated `quantile`, from 0 to 1, of the values observed; NaN when there are none.
///
/// The value of rank `max(1, ceil(quantile × count))`, within 1.1 %; values that are negative or
/// beyond 2^-30 … 2^34 are estimated as the end of that range that they are nearest to.
#[must_use]
pub fn quantile(metric: &dyn Metric, quantile: f64) -> f64 {
    read(metric, |series, words| {
        let schema = series.producer().config.spill_schema;
        let buckets = bucket::spill_bucket_count(schema) as usize;
        let at = |word: usize| integer(words, word);
        let base2 = (0..buckets).map(|index| {
            let position = u32::try_from(index).unwrap_or(u32::MAX);
            let value = bucket::estimate(bucket::spill_bucket_index(position, schema), schema);
            (value, at(cell::DISTRIBUTION_HEAD_WORDS + index))
        });
        let smallest = 2_f64.powi(bucket::SPILL_EXPONENT_MIN);
        let largest = 2_f64.powi(bucket::SPILL_EXPONENT_MAX);
        let counted = [
            (-smallest, at(cell::DISTRIBUTION_NEGATIVE)),
            (0.0, at(cell::DISTRIBUTION_ZERO)),
            (smallest, at(cell::DISTRIBUTION_UNDERFLOW)),
        ]
        .into_iter()
        .chain(base2)
        .chain([(largest, at(cell::DISTRIBUTION_OVERFLOW))]);
        let count: u64 = classic(series, words).iter().map(Word::load_relaxed).sum();
        value_of_rank(counted, bucket::nearest_rank(quantile, count))
    })
}

fn value_of_rank(counted: impl Iterator<Item = (f64, u64)>, rank: u64) -> f64 {
    if rank == 0 {
        return f64::NAN;
    }
    let mut seen = 0;
    for (value, count) in counted {
        seen += count;
        if seen >= rank {
            return value;
        }
    }
    f64::NAN
}

fn read<T: Default>(metric: &dyn Metric, f: impl Fn(&Series, &[Word]) -> T) -> T {
    let bound = metric.bound();
    let Some(series) = bound.series else {
        // Where a process has no memory to count in, nothing is wrong with the metric.
        let has_memory = || !matches!(Producer::global().status(), Status::Disabled { .. });
        if bound.is_refused && has_memory() {
            refuse(metric.register().err());
        }
        return T::default();
    };
    if series.is_overflow() {
        refuse(series.family.misuse.get());
    }
    let inner = series.producer();
    // Before it is defined there, a series may have its cell behind the end of the file.
    let memory = match inner.segment_with(series) {
        Some(segment) => segment.memory(),
        None => inner.private.as_ref(),
    };
    memory.and_then(|memory| series.cell(memory)).map_or_else(T::default, |words| f(series, words))
}

/// Tells a test why what it reads is not what it means to read.
#[expect(clippy::panic, reason = "a test is told that it is wrong")]
fn refuse(error: Option<impl core::fmt::Display>) {
    if let Some(error) = error {
        panic!("{error}");
    }
}

/// The words of a series in the lanes of the segment.
fn in_lanes(series: &Series) -> impl Iterator<Item = u64> {
    let offset = series.lane_cell_offset_bytes;
    let segment = series.producer().segment();
    let words = segment.zip(offset).map(|(segment, offset)| segment.lane_cell_words(offset));
    words.unwrap_or_default().into_iter()
}

fn integer(words: &[Word], index: usize) -> u64 {
    words.get(index).map_or(0, Word::load_relaxed)
}

fn float(words: &[Word], index: usize) -> f64 {
    f64::from_bits(integer(words, index))
}

/// The classic buckets of a distribution, not cumulative.
fn classic<'a>(series: &Series, words: &'a [Word]) -> &'a [Word] {
    if !series.kind().is_distribution() {
        return &[];
    }
    let schema = series.producer().config.spill_schema;
    let start = cell::DISTRIBUTION_HEAD_WORDS + bucket::spill_bucket_count(schema) as usize;
    words.get(start..).unwrap_or_default()
}
