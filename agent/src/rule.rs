//! What the configuration says about how metrics are exposed: checked, compiled, and compared
//! with names and labels. Nothing here knows of values.
//!
//! A series is exposed by the first [`ViewRule`] that selects it, or as it was declared. The names
//! and labels that result go through the [`mod@relabel`] rules, in order.

mod glob;
mod labels;
pub mod relabel;

use std::sync::Arc;

use ringmeter_layout::naming::GaugeRule;

pub use glob::Glob;
pub use labels::labels_of;
pub use relabel::{Action, Label, RelabelRule, Relabeled, relabel};

/// The finest native schema that the agent's own buckets can be shown in.
pub const NATIVE_SCHEMA_MAX: i8 = 5;
/// The coarsest native schema that there is.
pub const NATIVE_SCHEMA_MIN: i8 = -4;
/// Native buckets of a histogram, where nothing else is said: the usual limit of client libraries.
pub const NATIVE_BUCKETS_MAX_DEFAULT: u32 = 160;
/// The smallest magnitude that the agent's own buckets tell from zero: 2^-64.
pub const NATIVE_ZERO_THRESHOLD_MIN: f64 = 1.0 / 18_446_744_073_709_551_616.0;

/// How a native histogram is made from the agent's base-2 buckets.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NativeView {
    /// The finest schema to use, -4 to 5; coarser where there would be too many buckets.
    pub schema: i8,
    /// Buckets, of both signs together, that there may be.
    pub buckets_max: u32,
    /// Values of this magnitude and below are in the zero bucket.
    pub zero_threshold: f64,
    /// The zero bucket may be widened up to here before the schema is lowered; 0 for never.
    pub zero_threshold_max: f64,
}

impl Default for NativeView {
    fn default() -> Self {
        Self {
            schema: NATIVE_SCHEMA_MAX,
            buckets_max: NATIVE_BUCKETS_MAX_DEFAULT,
            zero_threshold: NATIVE_ZERO_THRESHOLD_MIN,
            zero_threshold_max: 0.0,
        }
    }
}

/// A sliding window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowView {
    /// Its length, milliseconds.
    pub max_age_ms: u64,
    /// The slots that it moves on by.
    pub age_buckets: u32,
}

/// How quantiles are shown. What is `None` is as declared, or as client libraries have it.
#[derive(Debug, Clone, PartialEq)]
pub struct SummaryView {
    /// The quantiles, increasing; `None` for the declared ones.
    pub objectives: Option<Arc<[f64]>>,
    /// The window; `None` for the declared one.
    pub window: Option<WindowView>,
    /// The name under which it is shown beside a histogram.
    pub name: Option<Box<str>>,
}

/// Which forms of a distribution are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forms {
    /// Buckets, classic and native.
    pub histogram: bool,
    /// Quantiles.
    pub summary: bool,
}

/// A label's name, and what its value must be.
pub type LabelGlob = (Box<str>, Glob);

/// How the metrics that it selects are exposed. `None` leaves a thing as it was declared.
#[derive(Debug, Clone, PartialEq)]
pub struct ViewRule {
    /// The names selected.
    pub metric: Glob,
    /// Labels that a series must have to be selected.
    pub labels: Box<[LabelGlob]>,
    /// Nothing of it is shown.
    pub drop: bool,
    /// Another name.
    pub rename: Option<Box<str>>,
    /// Another help text.
    pub help: Option<Box<str>>,
    /// Another unit, without its underscore.
    pub unit: Option<Box<str>>,
    /// Another way to merge a gauge's processes.
    pub gauge_rule: Option<GaugeRule>,
    /// Series of the metric beyond this count are counted in its overflow series.
    pub series_max: Option<usize>,
    /// The forms of a distribution; `None` for the one it was declared as.
    pub forms: Option<Forms>,
    /// Upper bounds of classic buckets, increasing, without `+Inf`.
    pub buckets: Option<Arc<[f64]>>,
    /// Native buckets: `Some(None)` for none.
    pub native: Option<Option<NativeView>>,
    /// Quantiles and their window.
    pub summary: Option<SummaryView>,
}

impl ViewRule {
    /// A rule that selects by name and changes nothing.
    pub fn new(metric: Glob) -> Self {
        Self {
            metric,
            labels: Box::default(),
            drop: false,
            rename: None,
            help: None,
            unit: None,
            gauge_rule: None,
            series_max: None,
            forms: None,
            buckets: None,
            native: None,
            summary: None,
        }
    }

    /// Whether it selects a series with these labels of a metric that it selects.
    pub fn selects<'a>(&self, pairs: impl Iterator<Item = (&'a str, &'a str)> + Clone) -> bool {
        self.labels.iter().all(|(name, value)| {
            let own = pairs.clone().find(|pair| pair.0 == &**name);
            value.matches(own.map_or("", |pair| pair.1))
        })
    }
}

/// All rules of a configuration.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Rules {
    /// The first that selects a series decides.
    pub views: Vec<ViewRule>,
    /// Applied in order to what the views leave.
    pub relabel: Vec<RelabelRule>,
}

impl Rules {
    /// The rules that may select series of this metric, with their numbers, first one first.
    pub fn of<'a>(&'a self, metric: &'a str) -> impl Iterator<Item = (u32, &'a ViewRule)> + Clone {
        (0u32..).zip(&self.views).filter(move |(_, rule)| rule.metric.matches(metric))
    }

    /// Whether the metric is exposed just as it was declared.
    pub fn leaves_alone(&self, metric: &str) -> bool {
        self.relabel.is_empty() && self.of(metric).next().is_none()
    }

    /// The rule that selects a series.
    pub fn for_series<'a>(
        &'a self,
        metric: &'a str,
        pairs: impl Iterator<Item = (&'a str, &'a str)> + Clone,
    ) -> Option<(u32, &'a ViewRule)> {
        self.of(metric).find(|(_, rule)| rule.selects(pairs.clone()))
    }

    /// How many series a metric may have, if a rule says so.
    pub fn series_max(&self, metric: &str) -> Option<usize> {
        self.of(metric).find_map(|(_, rule)| rule.series_max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(metric: &str, labels: &[(&str, &str)]) -> ViewRule {
        let labels = labels.iter().map(|(name, value)| ((*name).into(), Glob::new(value)));
        ViewRule { labels: labels.collect(), ..ViewRule::new(Glob::new(metric)) }
    }

    #[test]
    fn the_first_rule_that_selects_a_series_decides() {
        let views =
            vec![rule("app_*", &[("route", "/pay*")]), rule("app_a", &[]), rule("app_*", &[])];
        let rules = Rules { views, relabel: Vec::new() };
        let which = |metric, pairs: &[(&str, &str)]| {
            rules.for_series(metric, pairs.iter().copied()).map(|(number, _)| number)
        };
        assert_eq!(which("app_a", &[("route", "/pay/1")]), Some(0));
        assert_eq!(which("app_a", &[("route", "/")]), Some(1));
        assert_eq!(which("app_b", &[]), Some(2));
        assert_eq!(which("other", &[("route", "/pay")]), None);
        assert!(rules.leaves_alone("other") && !rules.leaves_alone("app_b"));
    }

    #[test]
    fn a_label_that_is_not_there_is_empty_as_in_prometheus() {
        let absent = rule("*", &[("a", "")]);
        assert!(absent.selects([("b", "1")].into_iter()));
        assert!(!absent.selects([("a", "1")].into_iter()));
        assert!(rule("*", &[("a", "?*")]).selects([("a", "1")].into_iter()));
    }
}
