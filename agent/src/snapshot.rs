//! The immutable state that scrapes render: pure data, no I/O.
//!
//! A snapshot is built often and rendered rarely, so everything that is text (names, help, label
//! values, bucket edges) is rendered once, when a family or series first appears, and shared
//! between snapshots. What a new snapshot costs is its numbers.
//!
//! ```text
//!   Snapshot ─ FamilyBlock ─┬─ Arc<FamilyMeta>      header, edges      once per family
//!                           ├─ Arc<[LabelText]>     a="b",c="d"        once per change of the set
//!                           ├─ Arc<[u64]>           when each began    once per change of the set
//!                           └─ Arc<Values>          numbers            when one of them changes
//! ```
//!
//! A family in which nothing changed is the same block as in the snapshot before
//! ([`FamilyBlock::is_same`]), so that nobody has to compare numbers to know.

mod exemplar;
mod fragment;
mod labels;
mod meta;
mod names;
mod native;
mod values;

use std::collections::HashSet;
use std::sync::Arc;

pub use exemplar::{Exemplar, ExemplarError, PlacedExemplar};
pub(crate) use fragment::escape_help;
pub use labels::LabelText;
pub use meta::{Edge, FamilyMeta, MetricType};
pub use names::{Hidden, Names};
pub use native::{NATIVE_SCHEMA_MIN, Native, NativeOptions, NativeValues};
pub use values::{HistogramValues, Number, ShapeError, SummaryValues, Values};

/// One family in one snapshot: shared texts, and as many values as there are series.
#[derive(Debug, Clone)]
pub struct FamilyBlock {
    meta: Arc<FamilyMeta>,
    series: Arc<[LabelText]>,
    starts: Arc<[u64]>,
    values: Arc<Values>,
    exemplars: Arc<[PlacedExemplar]>,
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
        values.check(meta.metric_type(), meta.edges().len(), series.len())?;
        Ok(Self::of(meta, series, values))
    }

    fn of(meta: Arc<FamilyMeta>, series: Arc<[LabelText]>, values: Values) -> Self {
        let values = Arc::new(values);
        Self { meta, series, starts: Arc::default(), values, exemplars: Arc::default() }
    }

    /// The same block with the time at which each series began, in milliseconds since 1970; 0
    /// where nobody knows, and an empty list if that is so of all.
    ///
    /// # Errors
    ///
    /// [`ShapeError::Series`] if there are not as many as series.
    pub fn with_starts(self, starts: Arc<[u64]>) -> Result<Self, ShapeError> {
        if !starts.is_empty() && starts.len() != self.series.len() {
            return Err(ShapeError::Series { expected: self.series.len(), given: starts.len() });
        }
        Ok(Self { starts, ..self })
    }

    /// The same block with exemplars, sorted by series and then by bucket, one for each at most.
    #[must_use]
    pub fn with_exemplars(self, exemplars: Arc<[PlacedExemplar]>) -> Self {
        Self { exemplars, ..self }
    }

    /// A small family of counters made for one snapshot, such as the agent's own.
    pub fn of_counters(name: &str, help: &str, samples: &[(&[(&str, &str)], u64)]) -> Self {
        let (series, numbers) = sorted(samples);
        let values = Values::Counter(numbers.into_iter().map(Number::U64).collect());
        Self::of(Arc::new(FamilyMeta::counter(name, help)), series, values)
    }

    /// A small family of gauges made for one snapshot, such as the agent's own.
    pub fn of_gauges(name: &str, help: &str, samples: &[(&[(&str, &str)], f64)]) -> Self {
        let (series, numbers) = sorted(samples);
        let values = Values::Gauge(numbers);
        Self::of(Arc::new(FamilyMeta::gauge(name, help)), series, values)
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

    /// When each series began, in milliseconds since 1970, or 0; empty if that is not known.
    pub fn starts(&self) -> &[u64] {
        &self.starts
    }

    /// When the series at `index` began, if that is known.
    pub fn start(&self, index: usize) -> Option<u64> {
        self.starts.get(index).copied().filter(|start| *start > 0)
    }

    /// All exemplars, sorted by series and then by bucket.
    pub fn exemplars(&self) -> &[PlacedExemplar] {
        &self.exemplars
    }

    /// The exemplars of the series at `index`, sorted by bucket.
    pub fn exemplars_of(&self, index: usize) -> &[PlacedExemplar] {
        if self.exemplars.is_empty() {
            return &[];
        }
        let is_before = |placed: &PlacedExemplar| (placed.series as usize) < index;
        let begin = self.exemplars.partition_point(is_before);
        let rest = self.exemplars.get(begin..).unwrap_or_default();
        let end = rest.partition_point(|placed| placed.series as usize <= index);
        rest.get(..end).unwrap_or_default()
    }

    /// Whether this block has these very texts.
    pub fn has_texts(
        &self,
        meta: &Arc<FamilyMeta>,
        series: &Arc<[LabelText]>,
        starts: &Arc<[u64]>,
    ) -> bool {
        Arc::ptr_eq(&self.meta, meta)
            && Arc::ptr_eq(&self.series, series)
            && (self.starts.is_empty() && starts.is_empty() || Arc::ptr_eq(&self.starts, starts))
    }

    /// Whether both are the same series of the same family, whatever their numbers.
    pub fn has_same_texts(&self, other: &Self) -> bool {
        self.has_texts(&other.meta, &other.series, &other.starts)
    }

    /// Whether this is the same block, and not only an equal one.
    pub fn is_same(&self, other: &Self) -> bool {
        self.has_same_texts(other)
            && Arc::ptr_eq(&self.values, &other.values)
            && (self.exemplars.is_empty() && other.exemplars.is_empty()
                || Arc::ptr_eq(&self.exemplars, &other.exemplars))
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
        families.sort_by(|a, b| a.meta.name().cmp(b.meta.name()));
        families.dedup_by(|later, kept| later.meta.name() == kept.meta.name());
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

    /// Whether a page of it has about so many bytes at most; looks no further than it must.
    pub fn is_within(&self, limit_bytes: usize) -> bool {
        let mut total_bytes = 0;
        self.families.iter().all(|family| {
            let meta = family.meta();
            let lines = meta.edges().len() + 2;
            let line_bytes = meta.name().len() + 16;
            total_bytes += meta.header().len();
            family.series().iter().all(|labels| {
                total_bytes += lines * (line_bytes + labels.as_str().len());
                total_bytes <= limit_bytes
            })
        })
    }

    /// The same snapshot with only the families of these names.
    #[must_use]
    pub fn only(&self, names: &HashSet<&str>) -> Self {
        let own = |family: &&FamilyBlock| names.contains(family.meta.name());
        let families = self.families.iter().filter(own).cloned().collect();
        Self { families, ..*self }
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
    fn sizes_are_estimated_from_labels_and_lines() {
        let block = FamilyBlock::of_gauges("a", "", &[(&[("l", &"x".repeat(1000))], 1.0)]);
        let snapshot = Snapshot::new(1, vec![block]);
        assert!(snapshot.is_within(2_100) && !snapshot.is_within(1_000));
        assert!(Snapshot::default().is_within(0));
    }

    #[test]
    fn labels_are_sorted_by_name_and_escaped() {
        let text = LabelText::new(&[("z", "a\\b\"c\nd"), ("a", "é")]);
        assert_eq!(text.as_str(), "a=\"é\",z=\"a\\\\b\\\"c\\nd\"");
        assert_eq!(text.values(), ["é", "a\\b\"c\nd"]);
        assert_eq!(LabelText::new(&[("a", ""), ("b", "\\n")]).values(), ["", "\\n"]);
        assert!(LabelText::default().values().is_empty());
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
