//! The immutable state that scrapes render: pure data, no I/O.
//!
//! A snapshot is built often and rendered rarely, so everything that is text (names, help, label
//! values, bucket edges) is rendered once, when a family or series first appears, and shared
//! between snapshots. What a new snapshot costs is its numbers.
//!
//! ```text
//!   Snapshot ─ FamilyBlock ─┬─ Arc<FamilyMeta>      header, edges      once per family
//!                           ├─ Arc<[LabelText]>     a="b",c="d"        once per change of the set
//!                           └─ Values               numbers            each snapshot
//! ```

mod fragment;
mod values;

use std::fmt;
use std::sync::Arc;

pub use values::{HistogramValues, Number, ShapeError, SummaryValues, Values};

/// The exposed type of a family: what its samples look like, whatever the application declared.
///
/// One observation can be shown through any view, so this is not the kind of the definition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MetricType {
    /// A cumulative count.
    Counter,
    /// A value that goes up and down.
    Gauge,
    /// Cumulative buckets, a sum and a count.
    Histogram,
    /// Quantiles, a sum and a count.
    Summary,
}

impl MetricType {
    /// The word after `# TYPE name`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::Summary => "summary",
        }
    }
}

impl fmt::Display for MetricType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What all series of a family share, rendered once.
///
/// Names, bounds and objectives come from definitions that have passed the naming rules; they
/// are not checked again here.
#[derive(Debug, PartialEq)]
pub struct FamilyMeta {
    name: Box<str>,
    help: Box<str>,
    metric_type: MetricType,
    header: Box<str>,
    edges: Box<[Edge]>,
}

/// One bucket bound or quantile, with its label as text.
#[derive(Debug, PartialEq)]
pub struct Edge {
    value: f64,
    label: Box<str>,
}

impl Edge {
    fn new(name: &str, value: f64) -> Self {
        Self { value, label: format!("{name}=\"{}\"", fragment::canonical(value)).into() }
    }

    /// The upper bound (inclusive; `+Inf` for the last) or the quantile (0 to 1).
    pub fn value(&self) -> f64 {
        self.value
    }

    /// The label pair, for example `le="0.5"` or `quantile="0.99"`.
    pub fn label(&self) -> &str {
        &self.label
    }
}

impl FamilyMeta {
    /// A family of counters. A `_total` suffix is part of `name`.
    pub fn counter(name: &str, help: &str) -> Self {
        Self::new(name, help, MetricType::Counter, Box::default())
    }

    /// A family of gauges.
    pub fn gauge(name: &str, help: &str) -> Self {
        Self::new(name, help, MetricType::Gauge, Box::default())
    }

    /// A family of classic histograms; `bounds` are finite and strictly increasing, the `+Inf`
    /// bucket is added here.
    pub fn histogram(name: &str, help: &str, bounds: &[f64]) -> Self {
        let all = bounds.iter().copied().chain([f64::INFINITY]);
        let edges = all.map(|bound| Edge::new("le", bound)).collect();
        Self::new(name, help, MetricType::Histogram, edges)
    }

    /// A family of summaries; `quantiles` are between 0 and 1 and strictly increasing.
    pub fn summary(name: &str, help: &str, quantiles: &[f64]) -> Self {
        let edges = quantiles.iter().map(|&quantile| Edge::new("quantile", quantile)).collect();
        Self::new(name, help, MetricType::Summary, edges)
    }

    fn new(name: &str, help: &str, metric_type: MetricType, edges: Box<[Edge]>) -> Self {
        let header = fragment::header(name, help, metric_type.as_str()).into();
        Self { name: name.into(), help: help.into(), metric_type, header, edges }
    }

    /// The metric name, as it stands before the labels of a counter or gauge.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The help text, not escaped.
    pub fn help(&self) -> &str {
        &self.help
    }

    /// The exposed type.
    pub fn metric_type(&self) -> MetricType {
        self.metric_type
    }

    /// The `# HELP` and `# TYPE` lines of text 0.0.4, each with its line feed.
    pub fn header(&self) -> &str {
        &self.header
    }

    /// Bucket bounds including `+Inf`, or quantiles; empty for counters and gauges.
    pub fn edges(&self) -> &[Edge] {
        &self.edges
    }
}

/// The labels of one series as exposition text, `a="b",c="d"`, values escaped; cheap to clone.
///
/// Pairs are sorted by name, so equal sets are equal texts. Both text formats use the same
/// escapes for label values.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct LabelText(Arc<str>);

impl LabelText {
    /// Renders the pairs; names are valid and distinct, values are any text.
    pub fn new(pairs: &[(&str, &str)]) -> Self {
        let mut sorted = pairs.to_vec();
        sorted.sort_unstable_by_key(|pair| pair.0);
        Self(fragment::labels(&sorted).into())
    }

    /// The values, in the order of their names, without escapes.
    pub fn values(&self) -> Vec<String> {
        fragment::values(&self.0)
    }

    /// Whether it is the same text, and not only an equal one.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// The text without braces; empty for a series without labels.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// One family in one snapshot: shared texts, and as many values as there are series.
#[derive(Debug, Clone)]
pub struct FamilyBlock {
    meta: Arc<FamilyMeta>,
    series: Arc<[LabelText]>,
    values: Values,
}

impl FamilyBlock {
    /// Joins the texts with this snapshot's numbers; `values` are in the order of `series`.
    ///
    /// The caller sorts `series` when the set changes, not for each snapshot.
    ///
    /// # Errors
    ///
    /// [`ShapeError`] if the values are of another type than the family, or of another number
    /// than its series or edges.
    pub fn new(
        meta: Arc<FamilyMeta>,
        series: Arc<[LabelText]>,
        values: Values,
    ) -> Result<Self, ShapeError> {
        values.check(meta.metric_type, meta.edges.len(), series.len())?;
        Ok(Self { meta, series, values })
    }

    /// A small family of counters made for one snapshot, such as the agent's own.
    pub fn of_counters(name: &str, help: &str, samples: &[(&[(&str, &str)], u64)]) -> Self {
        let (series, numbers) = sorted(samples);
        let values = Values::Counter(numbers.into_iter().map(Number::U64).collect());
        Self { meta: Arc::new(FamilyMeta::counter(name, help)), series, values }
    }

    /// A small family of gauges made for one snapshot, such as the agent's own.
    pub fn of_gauges(name: &str, help: &str, samples: &[(&[(&str, &str)], f64)]) -> Self {
        let (series, numbers) = sorted(samples);
        let values = Values::Gauge(numbers);
        Self { meta: Arc::new(FamilyMeta::gauge(name, help)), series, values }
    }

    /// What the series share.
    pub fn meta(&self) -> &FamilyMeta {
        &self.meta
    }

    /// The label texts, in the order of the values.
    pub fn series(&self) -> &[LabelText] {
        &self.series
    }

    /// The numbers.
    pub fn values(&self) -> &Values {
        &self.values
    }
}

fn sorted<T: Copy>(samples: &[(&[(&str, &str)], T)]) -> (Arc<[LabelText]>, Vec<T>) {
    let mut rendered: Vec<(LabelText, T)> =
        samples.iter().map(|&(labels, value)| (LabelText::new(labels), value)).collect();
    rendered.sort_by(|a, b| a.0.cmp(&b.0));
    let (texts, values): (Vec<_>, Vec<_>) = rendered.into_iter().unzip();
    (texts.into(), values)
}

/// Everything a scrape shows, at one moment.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    generation: u64,
    families: Vec<FamilyBlock>,
    duplicates_dropped: u64,
}

impl Snapshot {
    /// Sorts the families by name; of several with one name only the first is kept, because the
    /// formats allow a name once.
    ///
    /// `generation` grows with every snapshot: two snapshots of one generation are taken to be
    /// the same, and rendered once.
    pub fn new(generation: u64, mut families: Vec<FamilyBlock>) -> Self {
        let offered = families.len();
        families.sort_by(|a, b| a.meta.name.cmp(&b.meta.name));
        families.dedup_by(|later, kept| later.meta.name == kept.meta.name);
        let duplicates_dropped = (offered - families.len()) as u64;
        Self { generation, families, duplicates_dropped }
    }

    /// Which snapshot this is; later ones have larger numbers.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The families, sorted by name, each name once.
    pub fn families(&self) -> &[FamilyBlock] {
        &self.families
    }

    /// How many families were left out because their name was taken.
    pub fn duplicates_dropped(&self) -> u64 {
        self.duplicates_dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_are_sorted_and_the_first_of_a_name_is_kept() {
        let snapshot = Snapshot::new(
            7,
            vec![
                FamilyBlock::of_gauges("b", "", &[(&[], 1.0)]),
                FamilyBlock::of_counters("c", "first", &[(&[], 1)]),
                FamilyBlock::of_counters("a", "", &[(&[], 2)]),
                FamilyBlock::of_gauges("c", "second", &[(&[], 3.0)]),
            ],
        );
        let names: Vec<&str> = snapshot.families().iter().map(|f| f.meta().name()).collect();
        assert_eq!(names, ["a", "b", "c"]);
        assert_eq!(snapshot.families()[2].meta().help(), "first");
        assert_eq!(snapshot.duplicates_dropped(), 1);
    }

    #[test]
    fn labels_are_sorted_by_name_and_escaped() {
        let text = LabelText::new(&[("z", "a\\b\"c\nd"), ("a", "é")]);
        assert_eq!(text.as_str(), "a=\"é\",z=\"a\\\\b\\\"c\\nd\"");
        assert_eq!(text.values(), ["é", "a\\b\"c\nd"]);
        assert_eq!(LabelText::new(&[("a", ""), ("b", "\\n")]).values(), ["", "\\n"]);
        assert!(LabelText::default().values().is_empty());
        assert_eq!(LabelText::new(&[]), LabelText::default());
    }

    #[test]
    fn own_families_follow_their_labels() {
        let block = FamilyBlock::of_counters(
            "ringmeter_rejected_total",
            "Rejected.",
            &[(&[("reason", "nan")], 2), (&[("reason", "negative")], 3), (&[("reason", "a")], 1)],
        );
        assert_eq!(block.series()[0].as_str(), "reason=\"a\"");
        let Values::Counter(numbers) = block.values() else { panic!("not counters") };
        assert_eq!(numbers, &[Number::U64(1), Number::U64(2), Number::U64(3)]);
    }

    #[test]
    fn wrong_shapes_are_refused() {
        let meta = Arc::new(FamilyMeta::histogram("h", "", &[1.0, 2.0]));
        let series: Arc<[LabelText]> = vec![LabelText::default()].into();
        let make = |values| FamilyBlock::new(meta.clone(), series.clone(), values);
        let type_error =
            ShapeError::Type { family: MetricType::Histogram, values: MetricType::Gauge };
        assert_eq!(make(Values::Gauge(vec![1.0])).err(), Some(type_error));
        let empty = HistogramValues::new(3);
        let error = ShapeError::Series { expected: 1, given: 0 };
        assert_eq!(make(Values::Histogram(empty)).err(), Some(error));
        let mut narrow = HistogramValues::new(2);
        narrow.push(&[1, 2], 0.0).expect("two buckets");
        let error = ShapeError::Edges { expected: 3, given: 2 };
        assert_eq!(make(Values::Histogram(narrow)).err(), Some(error));
        let mut right = HistogramValues::new(3);
        right.push(&[1, 2, 3], 0.0).expect("three buckets");
        assert!(make(Values::Histogram(right)).is_ok());
    }
}
