//! What a metric looks like in a view: type, texts, bounds.

use std::sync::Arc;

use ringmeter_layout::naming::{GaugeRule, Kind};

use crate::distribution::Cuts;
use crate::rule::{Forms, NativeView, SummaryView, ViewRule};
use crate::series::{Family, Shape};
use crate::snapshot::FamilyMeta;

/// Bounds of a histogram that was declared as a summary: those of other Prometheus clients.
const BOUNDS_DEFAULT: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// Quantiles of a summary that was declared without any.
const OBJECTIVES_DEFAULT: [f64; 3] = [0.5, 0.9, 0.99];

/// How the values of a metric are shown.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Form {
    Counter,
    Gauge(GaugeRule),
    Histogram { cuts: Cuts, native: Option<NativeView> },
    Summary { objectives: Arc<[f64]> },
}

/// The forms in which a rule, or none, shows a metric, each with its name.
pub(super) fn forms(family: &Family, rule: Option<&ViewRule>) -> Vec<(Form, Box<str>)> {
    let shape = &family.shape;
    let own = family.meta.name();
    let name: &str = rule.and_then(|rule| rule.rename.as_deref()).unwrap_or(own);
    match shape.kind {
        Kind::Counter => vec![(Form::Counter, name.into())],
        Kind::Gauge => {
            let rule = rule.and_then(|rule| rule.gauge_rule).unwrap_or(shape.gauge_rule);
            vec![(Form::Gauge(rule), name.into())]
        }
        Kind::Histogram | Kind::Summary => distributions(family, rule, name),
    }
}

fn distributions(family: &Family, rule: Option<&ViewRule>, name: &str) -> Vec<(Form, Box<str>)> {
    let shown = shown(&family.shape, rule);
    let mut forms = Vec::new();
    if shown.histogram {
        forms.push((histogram(&family.shape, rule), name.into()));
    }
    if shown.summary {
        let summary = rule.and_then(|rule| rule.summary.as_ref());
        let objectives = objectives(&family.shape, summary);
        let given = summary.and_then(|summary| summary.name.clone());
        let beside = || if shown.histogram { beside(name) } else { name.into() };
        forms.push((Form::Summary { objectives }, given.unwrap_or_else(beside)));
    }
    forms
}

/// The forms asked for, or the declared one.
pub(super) fn shown(shape: &Shape, rule: Option<&ViewRule>) -> Forms {
    let declared =
        Forms { histogram: shape.kind == Kind::Histogram, summary: shape.kind == Kind::Summary };
    rule.and_then(|rule| rule.forms).unwrap_or(declared)
}

fn histogram(shape: &Shape, rule: Option<&ViewRule>) -> Form {
    let bounds = rule.and_then(|rule| rule.buckets.clone()).unwrap_or_else(|| {
        let is_declared = shape.kind == Kind::Histogram;
        if is_declared { Arc::clone(&shape.bounds) } else { BOUNDS_DEFAULT.into() }
    });
    let native = rule.and_then(|rule| rule.native);
    Form::Histogram {
        cuts: Cuts::new(bounds, &shape.bounds),
        native: native.unwrap_or_else(|| Some(NativeView::default())),
    }
}

fn objectives(shape: &Shape, summary: Option<&SummaryView>) -> Arc<[f64]> {
    let given = summary.and_then(|summary| summary.objectives.clone());
    given.unwrap_or_else(|| {
        let is_declared = shape.kind == Kind::Summary;
        if is_declared { Arc::clone(&shape.objectives) } else { OBJECTIVES_DEFAULT.into() }
    })
}

/// `a_seconds` becomes `a_quantiles_seconds`: a unit stays at the end.
fn beside(name: &str) -> Box<str> {
    const UNITS: [&str; 5] = ["_seconds", "_bytes", "_meters", "_grams", "_celsius"];
    let unit = UNITS.into_iter().find(|unit| name.ends_with(unit)).unwrap_or_default();
    let stem = name.strip_suffix(unit).unwrap_or(name);
    format!("{stem}_quantiles{unit}").into()
}

impl Form {
    /// The texts of a metric of this form.
    pub(super) fn meta(&self, name: &str, family: &Family, rule: Option<&ViewRule>) -> FamilyMeta {
        let own = family.meta.help();
        let help = rule.and_then(|rule| rule.help.as_deref()).unwrap_or(own);
        let unit = rule.and_then(|rule| rule.unit.as_deref()).unwrap_or(family.meta.unit());
        let meta = match self {
            Self::Counter => FamilyMeta::counter(name, help),
            Self::Gauge(_) => FamilyMeta::gauge(name, help),
            Self::Histogram { cuts, .. } if cuts.is_exact() => {
                FamilyMeta::histogram(name, help, cuts.bounds())
            }
            Self::Histogram { cuts, .. } => {
                let space = if help.is_empty() { "" } else { " " };
                let help = format!("{help}{space}{COMPUTED}");
                FamilyMeta::histogram(name, &help, cuts.bounds())
            }
            Self::Summary { objectives } => FamilyMeta::summary(name, help, objectives),
        };
        meta.with_unit(unit)
    }
}

/// What HELP says of buckets that the application did not declare.
const COMPUTED: &str = "(Buckets computed by the agent: bounds within 1.1%, of spill 8.7%.)";
