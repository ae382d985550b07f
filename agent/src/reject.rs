//! What was not counted, by reason.

/// Why a record, or a part of a cell, was not counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RejectReason {
    /// Its series is not defined.
    UnknownSeries,
    /// Its operation does not fit the kind of its series.
    Operation,
    /// Operation, slots or flags have no meaning in this layout.
    Malformed,
    /// Its value is none that the operation allows.
    Value,
    /// Its metric was refused: the limit of metrics, or of contradicting definitions, is reached.
    Family,
    /// A word of a cell went back, or is no finite number.
    Cell,
    /// The app observed NaN.
    Nan,
    /// The app added a negative number to a counter.
    Negative,
    /// The app recorded in a metric that could not be registered.
    Unregistered,
}

impl RejectReason {
    /// Every reason.
    pub const ALL: [Self; 9] = [
        Self::UnknownSeries,
        Self::Operation,
        Self::Malformed,
        Self::Value,
        Self::Family,
        Self::Cell,
        Self::Nan,
        Self::Negative,
        Self::Unregistered,
    ];

    /// The reason as a label value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UnknownSeries => "unknown_series",
            Self::Operation => "operation",
            Self::Malformed => "malformed",
            Self::Value => "value",
            Self::Family => "metric_refused",
            Self::Cell => "cell",
            Self::Nan => "nan",
            Self::Negative => "negative",
            Self::Unregistered => "unregistered",
        }
    }
}

/// Counts by reason.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rejected([u64; RejectReason::ALL.len()]);

impl Rejected {
    /// Adds to one reason.
    pub fn add(&mut self, reason: RejectReason, count: u64) {
        if let Some(own) = self.0.get_mut(reason as usize) {
            *own = own.saturating_add(count);
        }
    }

    /// The count of one reason.
    pub fn get(&self, reason: RejectReason) -> u64 {
        self.0.get(reason as usize).copied().unwrap_or(0)
    }

    /// All reasons together.
    pub fn total(&self) -> u64 {
        self.0.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }
}

/// Why a series is counted in the overflow series of its metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OverflowReason {
    /// The limit of series over all metrics.
    Total,
    /// The limit of series of one metric.
    Metric,
    /// The limit of series of one segment, or more of what is left than its share.
    Producer,
    /// The limit of memory.
    Memory,
    /// The limit of the length of a label value.
    LabelLength,
}

impl OverflowReason {
    /// Every reason.
    pub const ALL: [Self; 5] =
        [Self::Total, Self::Metric, Self::Producer, Self::Memory, Self::LabelLength];

    /// The reason as a label value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Total => "total",
            Self::Metric => "metric",
            Self::Producer => "producer",
            Self::Memory => "memory",
            Self::LabelLength => "label_length",
        }
    }
}

/// Definitions of series that were put into overflow series, by reason.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overflowed([u64; OverflowReason::ALL.len()]);

impl Overflowed {
    /// Counts one.
    pub fn add(&mut self, reason: OverflowReason) {
        self.add_all(reason, 1);
    }

    /// Counts several.
    pub fn add_all(&mut self, reason: OverflowReason, count: u64) {
        if let Some(own) = self.0.get_mut(reason as usize) {
            *own = own.saturating_add(count);
        }
    }

    /// The count of one reason.
    pub fn get(&self, reason: OverflowReason) -> u64 {
        self.0.get(reason as usize).copied().unwrap_or(0)
    }
}

/// Why an exemplar was given up. What it came with counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExemplarDrop {
    /// The app gave it labels that are too long, or none.
    Labels,
    /// The app had no lane with room for it.
    Lane,
    /// What stood behind the record is no exemplar.
    Malformed,
    /// The limit of memory.
    Memory,
}

impl ExemplarDrop {
    /// Every reason.
    pub const ALL: [Self; 4] = [Self::Labels, Self::Lane, Self::Malformed, Self::Memory];

    /// The reason as a label value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Labels => "labels",
            Self::Lane => "lane",
            Self::Malformed => "malformed",
            Self::Memory => "memory",
        }
    }
}

/// Exemplars that were given up, by reason.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExemplarsDropped([u64; ExemplarDrop::ALL.len()]);

impl ExemplarsDropped {
    /// Counts some.
    pub fn add(&mut self, reason: ExemplarDrop, count: u64) {
        if let Some(own) = self.0.get_mut(reason as usize) {
            *own = own.saturating_add(count);
        }
    }

    /// Every reason as a label value, with its count.
    pub fn by_reason(&self) -> Vec<(String, u64)> {
        let one = |reason: &ExemplarDrop| (reason.as_str().to_owned(), self.get(*reason));
        ExemplarDrop::ALL.iter().map(one).collect()
    }

    /// The count of one reason.
    pub fn get(&self, reason: ExemplarDrop) -> u64 {
        self.0.get(reason as usize).copied().unwrap_or(0)
    }
}
