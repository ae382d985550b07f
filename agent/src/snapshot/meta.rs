//! What all series of a family share.

use std::fmt;

use super::fragment;

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
    unit: Box<str>,
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
        Self {
            name: name.into(),
            help: help.into(),
            unit: Box::default(),
            metric_type,
            header,
            edges,
        }
    }

    /// The same family with a base unit, such as `seconds`; empty for none.
    #[must_use]
    pub fn with_unit(self, unit: &str) -> Self {
        Self { unit: unit.into(), ..self }
    }

    /// The metric name, as it stands before the labels of a counter or gauge.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The help text, not escaped.
    pub fn help(&self) -> &str {
        &self.help
    }

    /// The base unit, or empty.
    pub fn unit(&self) -> &str {
        &self.unit
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
