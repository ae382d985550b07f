//! What a configuration changes in the totals: limits and sliding windows, and no number.

use std::sync::Arc;

use super::Aggregate;
use crate::limits::Limits;
use crate::rule::{Rules, SummaryView, ViewRule, WindowView, labels_of};
use crate::series::{SeriesRef, Shape};

impl Aggregate {
    /// Goes on under these limits and rules. Sliding windows are made, or changed with what they
    /// hold; totals stay as they are.
    pub fn configure(&mut self, limits: Limits, rules: Arc<Rules>, now_ns: u64) {
        self.budget.set_limit(limits.memory_max_bytes);
        self.limits = limits;
        let before = std::mem::replace(&mut self.rules, rules);
        let has_windows = |rules: &Rules| rules.views.iter().any(|view| view.forms.is_some());
        if !has_windows(&before) && !has_windows(&self.rules) {
            return;
        }
        for series in self.registry.all_series().collect::<Vec<_>>() {
            self.give_window(series, now_ns);
        }
    }

    /// Has every series that is defined from now on carry its service under this label.
    pub fn set_service_label(&mut self, label: Option<&str>) {
        self.service_label = label.map(Arc::from);
    }

    /// The label that tells services apart, if there is one.
    pub fn service_label(&self) -> Option<Arc<str>> {
        self.service_label.clone()
    }

    /// Whether a rule allows the metric no further series.
    pub(super) fn is_family_full(&self, family: u32) -> bool {
        let Some(family) = self.registry.family(family) else { return true };
        let limit = self.rules.series_max(family.meta.name());
        // The overflow series is not one that anybody asked for.
        limit.is_some_and(|limit| family.series_count().saturating_sub(1) >= limit)
    }

    /// Gives a series that has just appeared the window that a rule asks for.
    pub(super) fn give_first_window(&mut self, series: SeriesRef, now_ns: u64) {
        if !self.rules.views.is_empty() {
            self.give_window(series, now_ns);
        }
    }

    /// Gives a distribution the window that its declaration and the rules ask for.
    fn give_window(&mut self, series: SeriesRef, now_ns: u64) {
        let Some(family) = self.registry.family(series.family) else { return };
        let Some(row) = family.rows().get(series.row as usize) else { return };
        if !family.shape.kind.is_distribution() {
            return;
        }
        let name = family.meta.name();
        let is_any = self.rules.of(name).next().is_some();
        let labels = if is_any { labels_of(row.labels.as_str()) } else { Vec::new() };
        let pairs = labels.iter().map(|(name, value)| (&**name, &**value));
        let rule = self.rules.for_series(name, pairs).map(|own| own.1);
        let window = window(&family.shape, rule);
        if let Some(own) = self.distributions.get_mut(row.slot as usize) {
            own.set_window(window, now_ns, &mut self.budget);
        }
    }
}

/// A declared window is kept where a view shows no quantiles: another view may, later.
fn window(shape: &Shape, rule: Option<&ViewRule>) -> Option<WindowView> {
    let declared = WindowView { max_age_ms: shape.max_age_ms, age_buckets: shape.age_buckets };
    let asked = rule.filter(|rule| rule.forms.is_some_and(|forms| forms.summary));
    match asked {
        Some(rule) => {
            let summary: Option<&SummaryView> = rule.summary.as_ref();
            Some(summary.and_then(|summary| summary.window).unwrap_or(declared))
        }
        None => (!shape.objectives.is_empty()).then_some(declared),
    }
}
