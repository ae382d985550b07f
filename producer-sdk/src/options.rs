//! What a metric is, as the application writes it down.

use std::time::Duration;

use ringmeter_layout::definition::FamilyDefinition;
use ringmeter_layout::naming::{GaugeRule, Kind};

use crate::buckets;

/// Length of a summary's sliding window unless set: ten minutes, as in other client libraries.
pub const MAX_AGE_DEFAULT: Duration = Duration::from_secs(600);
/// Slots of the sliding window unless set.
pub const AGE_BUCKETS_DEFAULT: u32 = 5;

/// Name, help and everything else that a metric may be given when it is registered.
///
/// ```
/// use ringmeter::{Options, Producer};
///
/// let producer = Producer::private();
/// let latency = producer.histogram(
///     Options::new("app_request_duration_seconds", "Time to answer a request.")
///         .unit("seconds")
///         .label("region", "eu")
///         .buckets(&[0.01, 0.1, 1.0]),
/// )?;
/// latency.observe(0.05);
/// # Ok::<(), ringmeter::RegisterError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    name: String,
    help: String,
    unit: String,
    labels: Vec<(String, String)>,
    bounds: Option<Vec<f64>>,
    objectives: Vec<f64>,
    max_age: Duration,
    age_buckets: u32,
    gauge_rule: GaugeRule,
}

impl Options {
    /// A metric of this name, with a sentence that says what it means.
    #[must_use]
    pub fn new(name: impl Into<String>, help: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            help: help.into(),
            unit: String::new(),
            labels: Vec::new(),
            bounds: None,
            objectives: Vec::new(),
            max_age: MAX_AGE_DEFAULT,
            age_buckets: AGE_BUCKETS_DEFAULT,
            gauge_rule: GaugeRule::Sum,
        }
    }

    /// The base unit, such as `seconds` or `bytes`.
    #[must_use]
    pub fn unit(mut self, unit: impl Into<String>) -> Self {
        self.unit = unit.into();
        self
    }

    /// A label whose value never changes.
    #[must_use]
    pub fn label(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.labels.push((name.into(), value.into()));
        self
    }

    /// Upper bounds of a histogram's buckets, increasing; `+Inf` is always there and may be left
    /// out. See [`buckets`] for series of them.
    #[must_use]
    pub fn buckets(mut self, bounds: &[f64]) -> Self {
        self.bounds = Some(bounds.to_vec());
        self
    }

    /// Quantiles that a summary shows, each from 0 to 1; none by default.
    #[must_use]
    pub fn objectives(mut self, quantiles: &[f64]) -> Self {
        self.objectives = quantiles.to_vec();
        self
    }

    /// How far back a summary's quantiles look; [`MAX_AGE_DEFAULT`] by default.
    #[must_use]
    pub const fn max_age(mut self, max_age: Duration) -> Self {
        self.max_age = max_age;
        self
    }

    /// In how many steps old observations leave a summary's quantiles;
    /// [`AGE_BUCKETS_DEFAULT`] by default.
    #[must_use]
    pub const fn age_buckets(mut self, age_buckets: u32) -> Self {
        self.age_buckets = age_buckets;
        self
    }

    /// How the gauges of several processes of one service become one; their sum by default.
    #[must_use]
    pub const fn gauge_rule(mut self, rule: GaugeRule) -> Self {
        self.gauge_rule = rule;
        self
    }

    /// Values of the constant labels, in the order of their names.
    pub(crate) fn label_values(&self) -> Vec<&str> {
        self.labels.iter().map(|(_, value)| value.as_str()).collect()
    }

    /// The family that this asks for, with `label_names` behind the constant labels.
    pub(crate) fn definition(&self, kind: Kind, label_names: &[&str]) -> FamilyDefinition {
        let constant = self.labels.iter().map(|(name, _)| name.clone());
        let variable = label_names.iter().map(|name| (*name).to_owned());
        let bounds = match (kind, &self.bounds) {
            (Kind::Histogram, Some(bounds)) => buckets::without_infinity(bounds).to_vec(),
            (Kind::Histogram, None) => buckets::DEFAULT.to_vec(),
            _ => Vec::new(),
        };
        let is_summary = kind == Kind::Summary;
        FamilyDefinition {
            id: 0,
            kind,
            gauge_rule: if kind == Kind::Gauge { self.gauge_rule } else { GaugeRule::Sum },
            name: self.name.clone(),
            help: self.help.clone(),
            unit: self.unit.clone(),
            label_names: constant.chain(variable).collect(),
            bounds,
            objectives: if is_summary { self.objectives.clone() } else { Vec::new() },
            max_age_ms: if is_summary { milliseconds(self.max_age) } else { 0 },
            age_buckets: if is_summary { self.age_buckets } else { 0 },
        }
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl<N: Into<String>, H: Into<String>> From<(N, H)> for Options {
    fn from((name, help): (N, H)) -> Self {
        Self::new(name, help)
    }
}

/// [`Options`] of a metric in a static, where nothing can be allocated.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spec {
    pub(crate) name: &'static str,
    pub(crate) help: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) labels: &'static [(&'static str, &'static str)],
    pub(crate) bounds: &'static [f64],
    pub(crate) objectives: &'static [f64],
    pub(crate) max_age: Duration,
    pub(crate) age_buckets: u32,
    pub(crate) gauge_rule: GaugeRule,
}

impl Spec {
    pub(crate) const fn new(name: &'static str, help: &'static str) -> Self {
        Self {
            name,
            help,
            unit: "",
            labels: &[],
            bounds: buckets::DEFAULT,
            objectives: &[],
            max_age: MAX_AGE_DEFAULT,
            age_buckets: AGE_BUCKETS_DEFAULT,
            gauge_rule: GaugeRule::Sum,
        }
    }

    pub(crate) fn options(&self) -> Options {
        Options {
            name: self.name.to_owned(),
            help: self.help.to_owned(),
            unit: self.unit.to_owned(),
            labels: self
                .labels
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            bounds: Some(self.bounds.to_vec()),
            objectives: self.objectives.to_vec(),
            max_age: self.max_age,
            age_buckets: self.age_buckets,
            gauge_rule: self.gauge_rule,
        }
    }
}
