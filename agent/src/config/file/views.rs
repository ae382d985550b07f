//! One element of `views`.

use std::sync::Arc;
use std::time::Duration;

use ringmeter_layout::naming::{
    self, BOUNDS_MAX, GaugeRule, HELP_LENGTH_MAX_BYTES, LABELS_MAX, OBJECTIVES_MAX,
};

use super::units::duration;
use crate::rule::{
    Forms, Glob, LabelGlob, NATIVE_SCHEMA_MAX, NATIVE_SCHEMA_MIN, NATIVE_ZERO_THRESHOLD_MIN,
    NativeView, SummaryView, ViewRule, WindowView,
};
use crate::yaml::{At, Entry, Place, Problems, Section, Value, finite, flag, number, text, word};

/// As many views may stand in the file: each is compared with each metric that appears.
pub(super) const VIEWS_MAX: usize = 256;
const GLOB_LENGTH_MAX_BYTES: usize = 1024;
const NATIVE_BUCKETS_MAX: u64 = 4096;
const SERIES_MAX: u64 = 1 << 24;
const MAX_AGE_DEFAULT: Duration = Duration::from_secs(600);
const AGE_BUCKETS_DEFAULT: u32 = 5;
const AGE_BUCKETS_MAX: u64 = 60;

pub(super) const KEYS: [&str; 12] = [
    "metric",
    "labels",
    "drop",
    "rename",
    "help",
    "unit",
    "gauge_rule",
    "series_max",
    "show",
    "buckets",
    "native_histogram",
    "summary",
];
pub(super) const NATIVE_KEYS: [&str; 4] =
    ["schema", "buckets_max", "zero_threshold", "zero_threshold_max"];
pub(super) const SUMMARY_KEYS: [&str; 4] = ["objectives", "max_age", "age_buckets", "name"];

/// What changes the form of a metric, of which all its series must have the same.
const FORM_KEYS: [&str; 7] =
    ["help", "unit", "gauge_rule", "show", "buckets", "native_histogram", "summary"];

/// A view, and where it gives names.
pub(super) struct WrittenView {
    pub(super) rule: ViewRule,
    names: Vec<(Place, Box<str>)>,
}

pub(super) fn read(at: &At<'_>, problems: &mut Problems) -> Option<WrittenView> {
    let section = Section::new(at, &KEYS, problems);
    let metric = section.read("metric", problems, glob);
    let labels = section.read("labels", problems, labels);
    let drop = section.read("drop", problems, flag).unwrap_or(false);
    let rename = section.read("rename", problems, metric_name);
    let help = section.read("help", problems, help);
    let unit = section.read("unit", problems, unit);
    let gauge_rule = section.read("gauge_rule", problems, |at, problems| {
        word(at, &GaugeRule::ALL.map(|rule| (rule.as_str(), rule)), problems)
    });
    let series_max = section.read("series_max", problems, number((1, SERIES_MAX)));
    let show = section.each("show", 2, problems, |at, problems| {
        word(at, &[("histogram", true), ("summary", false)], problems)
    });
    let buckets = section.read("buckets", problems, buckets);
    let native = section.read("native_histogram", problems, native);
    let summary = section.read("summary", problems, summary);
    check(&section, problems);
    let forms = forms(show.as_deref(), buckets.is_some() || native.is_some(), summary.is_some());
    let mut names = Vec::new();
    let named = [("rename", &rename), ("summary", &summary.as_ref().and_then(|s| s.name.clone()))];
    for (key, name) in named {
        names.extend(name.clone().map(|name| (section.place_of(key), name)));
    }
    let rule = ViewRule {
        labels: labels.unwrap_or_default(),
        drop,
        rename,
        help,
        unit,
        gauge_rule,
        series_max: series_max.and_then(|count| usize::try_from(count).ok()),
        forms,
        buckets,
        native,
        summary,
        ..ViewRule::new(metric.unwrap_or_else(|| Glob::new("*")))
    };
    Some(WrittenView { rule, names })
}

/// Two views must not give the same name: one of them would not be shown.
pub(super) fn check_all(views: &[WrittenView], problems: &mut Problems) {
    let mut given: Vec<(&str, &str)> = Vec::new();
    for (place, name) in views.iter().flat_map(|view| &view.names) {
        match given.iter().find(|(_, earlier)| *earlier == &**name) {
            Some((first, _)) => {
                let message = format!("must be another name than {name:?}, which {first} gives");
                problems.add(place, message);
            }
            None => given.push((&place.path, name)),
        }
    }
}

/// The forms asked for: those listed, or those that something is said about.
fn forms(show: Option<&[bool]>, histogram: bool, summary: bool) -> Option<Forms> {
    match show {
        Some([]) => None,
        Some(listed) => {
            Some(Forms { histogram: listed.contains(&true), summary: listed.contains(&false) })
        }
        None => (histogram || summary).then_some(Forms { histogram, summary }),
    }
}

/// What the fields must be together.
fn check(section: &Section<'_>, problems: &mut Problems) {
    let is_set = |key: &str| section.at(key).is_some();
    let metric = section.at("metric").and_then(|at| at.node.text());
    let is_plain = metric.is_some_and(|text| Glob::new(text).is_plain());
    if !is_set("metric") && !is_set("labels") {
        let message = "needs metric or labels, or it would select everything";
        problems.add(section.place(), message);
    }
    let summary_name = match section.at("summary").map(|at| &at.node.value) {
        Some(Value::Map(entries)) => entries.iter().any(|(key, _)| key.text() == Some("name")),
        _ => false,
    };
    for (key, names) in [("rename", is_set("rename")), ("summary", summary_name)] {
        if names && !is_plain {
            let message = "gives one name, so metric must be one name without wildcards; \
                           metric_relabel_configs can rename several by __name__";
            problems.add(&section.place_of(key), message);
        }
    }
    if !is_set("labels") {
        return;
    }
    for key in FORM_KEYS.into_iter().filter(|key| is_set(key) && !is_set("rename")) {
        let message = "differs for some series of a metric only: needs rename, because all series \
                       of a metric have one form";
        problems.add(&section.place_of(key), message);
    }
    if is_set("series_max") {
        let message = "is for a whole metric; remove labels, or series_max";
        problems.add(&section.place_of("series_max"), message);
    }
}

fn glob(at: &At<'_>, problems: &mut Problems) -> Option<Glob> {
    let text = text(at, problems)?;
    let is_usable = |c: char| c.is_ascii_alphanumeric() || "_:*?".contains(c);
    if text.is_empty() || text.len() > GLOB_LENGTH_MAX_BYTES || !text.chars().all(is_usable) {
        at.expected(
            problems,
            "the name of a metric, in which * stands for any characters and ? for one",
        );
        return None;
    }
    Some(Glob::new(&text))
}

fn labels(at: &At<'_>, problems: &mut Problems) -> Option<Box<[LabelGlob]>> {
    let what = "a mapping from names of labels to values, as {route: \"/pay*\"}";
    let entries = Section::open(at, what, problems).into_entries();
    if entries.len() > LABELS_MAX {
        at.problem(problems, format!("has {} labels; at most {LABELS_MAX} fit", entries.len()));
        return None;
    }
    let mut labels: Vec<LabelGlob> = Vec::new();
    for Entry { key: name, key_place, at } in entries {
        if name != naming::OVERFLOW_LABEL && naming::label_name(name).is_err() {
            let message = "is not the name of a label; use letters, digits and _";
            problems.add(&key_place, message);
        }
        let value = text(&at, problems)?;
        if value.len() > GLOB_LENGTH_MAX_BYTES {
            at.problem(problems, format!("must have {GLOB_LENGTH_MAX_BYTES} bytes at most"));
        }
        labels.push((name.into(), Glob::new(&value)));
    }
    Some(labels.into())
}

fn metric_name(at: &At<'_>, problems: &mut Problems) -> Option<Box<str>> {
    let name = text(at, problems)?;
    if let Err(error) = naming::metric_name(&name) {
        at.problem(problems, format!("must be the name of a metric: {error}"));
        return None;
    }
    Some(name.into())
}

fn help(at: &At<'_>, problems: &mut Problems) -> Option<Box<str>> {
    let help = text(at, problems)?;
    if naming::help(&help).is_err() {
        at.problem(problems, format!("must have {HELP_LENGTH_MAX_BYTES} bytes at most"));
        return None;
    }
    Some(help.into())
}

fn unit(at: &At<'_>, problems: &mut Problems) -> Option<Box<str>> {
    let unit = text(at, problems)?;
    if let Err(error) = naming::unit(&unit) {
        at.problem(problems, format!("must be a unit, as seconds or bytes: {error}"));
        return None;
    }
    Some(unit.into())
}

/// A list of numbers, each with a line of its own to complain about.
fn numbers(at: &At<'_>, count_max: usize, problems: &mut Problems) -> Option<Vec<f64>> {
    let Some(elements) = at.elements() else {
        at.expected(problems, "a list of increasing numbers");
        return None;
    };
    if elements.len() > count_max {
        at.problem(problems, format!("has {} numbers; at most {count_max} fit", elements.len()));
        return None;
    }
    let mut all: Vec<f64> = Vec::new();
    for own in elements {
        let value = finite(&own, problems)?;
        if let Some(before) = all.last().filter(|before| **before >= value) {
            own.problem(problems, format!("must be more than {before}, the number before it"));
            return None;
        }
        all.push(value);
    }
    Some(all)
}

fn buckets(at: &At<'_>, problems: &mut Problems) -> Option<Arc<[f64]>> {
    if let Value::List(nodes) = &at.node.value {
        let is_infinite = |value: &Value| match value {
            Value::Float(value) => *value == f64::INFINITY,
            Value::Text(text) => matches!(text.as_str(), "+Inf" | "Inf" | "inf"),
            _ => false,
        };
        if nodes.last().is_some_and(|last| is_infinite(&last.value)) {
            at.problem(problems, "must not have +Inf, which is always there; remove it");
            return None;
        }
    }
    Some(numbers(at, BOUNDS_MAX, problems)?.into())
}

fn native(at: &At<'_>, problems: &mut Problems) -> Option<Option<NativeView>> {
    if let Some(is_wanted) = at.node.boolean() {
        return Some(is_wanted.then(NativeView::default));
    }
    let section = Section::new(at, &NATIVE_KEYS, problems);
    let default = NativeView::default();
    let schema = section.read("schema", problems, |at, problems| {
        let value = match at.node.value {
            Value::Integer(value) => i8::try_from(value).ok(),
            _ => None,
        };
        let range = NATIVE_SCHEMA_MIN..=NATIVE_SCHEMA_MAX;
        let value = value.filter(|value| range.contains(value));
        if value.is_none() {
            let what = format!(
                "a whole number from {NATIVE_SCHEMA_MIN} to {NATIVE_SCHEMA_MAX} (the agent's own)"
            );
            at.expected(problems, &what);
        }
        value
    });
    let buckets_max = section.read("buckets_max", problems, number((4, NATIVE_BUCKETS_MAX)));
    let zero_threshold = section.read("zero_threshold", problems, |at, problems| {
        threshold(at, NATIVE_ZERO_THRESHOLD_MIN, problems)
    });
    let zero_threshold_max =
        section.read("zero_threshold_max", problems, |at, problems| threshold(at, 0.0, problems));
    let view = NativeView {
        schema: schema.unwrap_or(default.schema),
        buckets_max: buckets_max
            .and_then(|count| u32::try_from(count).ok())
            .unwrap_or(default.buckets_max),
        zero_threshold: zero_threshold.unwrap_or(default.zero_threshold),
        zero_threshold_max: zero_threshold_max.unwrap_or(default.zero_threshold_max),
    };
    if view.zero_threshold_max > 0.0 && view.zero_threshold_max < view.zero_threshold {
        let message = "must be 0, or not less than zero_threshold";
        problems.add(&section.place_of("zero_threshold_max"), message);
    }
    Some(Some(view))
}

/// Up to 1: what is larger is no zero to anybody.
fn threshold(at: &At<'_>, low: f64, problems: &mut Problems) -> Option<f64> {
    let value = finite(at, problems)?;
    if !(low..=1.0).contains(&value) {
        at.expected(problems, &format!("a number from {low:e} to 1"));
        return None;
    }
    Some(value)
}

fn summary(at: &At<'_>, problems: &mut Problems) -> Option<SummaryView> {
    let section = Section::new(at, &SUMMARY_KEYS, problems);
    let objectives = section.read("objectives", problems, |at, problems| {
        let objectives = numbers(at, OBJECTIVES_MAX, problems)?;
        if objectives.iter().any(|objective| !(0.0..=1.0).contains(objective)) {
            at.problem(problems, "must be numbers from 0 to 1, as 0.99 for the 99th percentile");
            return None;
        }
        Some(objectives.into())
    });
    let range = (Duration::from_secs(1), Duration::from_secs(24 * 3600));
    let max_age = section.read("max_age", problems, duration(range));
    let age_buckets = section.read("age_buckets", problems, number((1, AGE_BUCKETS_MAX)));
    let name = section.read("name", problems, metric_name);
    let is_window = max_age.is_some() || age_buckets.is_some();
    let max_age_ms = max_age.unwrap_or(MAX_AGE_DEFAULT).as_millis();
    let window = is_window.then(|| WindowView {
        max_age_ms: u64::try_from(max_age_ms).unwrap_or(u64::MAX),
        age_buckets: age_buckets
            .and_then(|count| u32::try_from(count).ok())
            .unwrap_or(AGE_BUCKETS_DEFAULT),
    });
    Some(SummaryView { objectives, window, name })
}
