//! OpenMetrics 1.0.0 as text.
//!
//! Source: Prometheus documentation, "OpenMetrics 1.0". Beside what text 0.0.4 has: a family has
//! the name of its counters without `_total`, there are units, exemplars and, where asked for,
//! `_created`, and the last line is `# EOF`.
//!
//! # What its types do not allow
//!
//! Samples keep their names and values in whatever format; where a type of OpenMetrics forbids
//! that, the samples are written as families of type `unknown`, one for each sample name:
//!
//! - counters whose name does not end in `_total`;
//! - histograms with bounds below zero, whose `_sum` would have to go;
//! - histograms and summaries with sums or quantiles below zero;
//! - families whose type reserves a name that another family has, such as `a_created`.
//!
//! A family whose samples have the names of another one's even so is left out.

use std::collections::HashMap;

use super::lines::{Page, Style, samples, samples_apart, stem};
use super::parts::Spot;
use crate::snapshot::{FamilyBlock, FamilyMeta, MetricType, Snapshot, Values, escape_help};

#[cfg(test)]
mod tests;

/// The media type without its parameters.
pub const MEDIA_TYPE: &str = "application/openmetrics-text";

const END: &[u8] = b"# EOF\n";

/// How a family is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Form {
    /// With its own type.
    Typed,
    /// As a family of type `unknown` for each sample name.
    Unknown,
    /// Not at all: the names are taken.
    LeftOut,
}

/// Appends the snapshot to `out`; with `created`, each series whose start is known has a
/// `_created` sample.
pub fn encode(snapshot: &Snapshot, created: bool, out: &mut Vec<u8>) {
    let mut spots = Vec::new();
    let mut forms = Forms::default();
    let all = forms.of(snapshot);
    for (family, form) in snapshot.families().iter().zip(all) {
        encode_family(family, *form, created, out, &mut spots);
        spots.clear();
    }
    end(out);
}

pub(super) fn encode_family(
    family: &FamilyBlock,
    form: Form,
    created: bool,
    out: &mut Vec<u8>,
    spots: &mut Vec<Spot>,
) {
    if family.series().is_empty() || form == Form::LeftOut {
        return;
    }
    let meta = family.meta();
    let mut page = Page::new(out, spots);
    if form == Form::Typed {
        page.text(header(stem(family), meta.metric_type().as_str(), meta).as_bytes());
        samples(family, Style { exemplars: true, created }, &mut page);
        return;
    }
    let style = Style { exemplars: false, created: false };
    for suffix in sample_suffixes(meta.metric_type()) {
        // `a{quantile="0.5"}` is there only if there are quantiles.
        if meta.metric_type() == MetricType::Summary && suffix.is_empty() && meta.edges().is_empty()
        {
            continue;
        }
        let name = format!("{}{suffix}", meta.name());
        page.text(header(&name, "unknown", meta).as_bytes());
        match meta.metric_type() {
            MetricType::Counter | MetricType::Gauge => samples(family, style, &mut page),
            MetricType::Histogram | MetricType::Summary => {
                samples_apart(family, suffix, &mut page);
            }
        }
    }
    // Their order is not that of the values.
    spots.clear();
}

pub(super) fn end(out: &mut Vec<u8>) {
    out.extend_from_slice(END);
}

fn header(name: &str, type_word: &str, meta: &FamilyMeta) -> String {
    let mut text = format!("# TYPE {name} {type_word}\n");
    let unit = meta.unit();
    let has_unit = name.strip_suffix(unit).is_some_and(|rest| rest.ends_with('_'));
    if !unit.is_empty() && has_unit {
        text.extend(["# UNIT ", name, " ", unit, "\n"]);
    }
    if !meta.help().is_empty() {
        text.extend(["# HELP ", name, " "]);
        escape_help(meta.help(), true, &mut text);
        text.push('\n');
    }
    text
}

/// What samples of a type have behind the family's name.
fn sample_suffixes(metric_type: MetricType) -> &'static [&'static str] {
    match metric_type {
        MetricType::Counter | MetricType::Gauge => &[""],
        MetricType::Histogram => &["_bucket", "_count", "_sum"],
        MetricType::Summary => &["", "_count", "_sum"],
    }
}

/// The names that a family takes for itself.
fn names(meta: &FamilyMeta, form: Form, stem: &str) -> Vec<String> {
    let name = meta.name();
    let of = |name: &str, suffixes: &[&str]| -> Vec<String> {
        suffixes.iter().map(|suffix| format!("{name}{suffix}")).collect()
    };
    match (form, meta.metric_type()) {
        (Form::LeftOut, _) => Vec::new(),
        (Form::Unknown, metric_type) => of(name, sample_suffixes(metric_type)),
        (Form::Typed, MetricType::Counter) => of(stem, &["", "_total", "_created"]),
        (Form::Typed, MetricType::Gauge) => of(name, &[""]),
        (Form::Typed, MetricType::Histogram) => {
            of(name, &["", "_bucket", "_count", "_sum", "_created"])
        }
        (Form::Typed, MetricType::Summary) => of(name, &["", "_count", "_sum", "_created"]),
    }
}

/// Whether the family's own type allows its values.
fn is_allowed(family: &FamilyBlock) -> bool {
    let is_negative = |value: f64| value < 0.0;
    match family.values() {
        Values::Counter(_) => stem(family) != family.meta().name(),
        Values::Gauge(_) => true,
        Values::Histogram(values) => {
            let first = family.meta().edges().first();
            !first.is_some_and(|edge| is_negative(edge.value()))
                && !values.iter().any(|(_, sum)| is_negative(sum) || sum.is_nan())
        }
        Values::Summary(values) => !values.iter().any(|(estimates, sum, _)| {
            is_negative(sum) || sum.is_nan() || estimates.iter().copied().any(is_negative)
        }),
    }
}

/// What decides on the form of a family besides its names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Need {
    /// There is nothing to write.
    Nothing,
    /// Its type allows its values.
    Typed,
    /// It does not.
    Unknown,
}

impl Need {
    fn of(family: &FamilyBlock) -> Self {
        match (family.series().is_empty(), is_allowed(family)) {
            (true, _) => Self::Nothing,
            (false, true) => Self::Typed,
            (false, false) => Self::Unknown,
        }
    }
}

/// How each family is written; worked out again only when names, types or needs change.
#[derive(Debug, Default)]
pub(super) struct Forms {
    known: Vec<(Box<str>, MetricType, Need)>,
    forms: Vec<Form>,
}

impl Forms {
    /// The forms of the families, in their order.
    pub(super) fn of(&mut self, snapshot: &Snapshot) -> &[Form] {
        let families = snapshot.families().iter();
        let facts = families
            .map(|family| (family.meta().name(), family.meta().metric_type(), Need::of(family)));
        let known = self.known.iter().map(|(name, of, need)| (&**name, *of, *need));
        if !known.eq(facts.clone()) {
            self.known = facts.map(|(name, of, need)| (name.into(), of, need)).collect();
            self.forms = choose(snapshot);
        }
        &self.forms
    }
}

fn choose(snapshot: &Snapshot) -> Vec<Form> {
    let mut owners: HashMap<String, usize> = HashMap::new();
    let mut take = |index: usize, names: Vec<String>| {
        let is_free = names.iter().all(|name| owners.get(name).is_none_or(|own| *own == index));
        if is_free {
            owners.extend(names.into_iter().map(|name| (name, index)));
        }
        is_free
    };
    // The names that samples have come before those that a type only reserves.
    let mut forms = Vec::with_capacity(snapshot.families().len());
    for (index, family) in snapshot.families().iter().enumerate() {
        let is_there = Need::of(family) != Need::Nothing;
        let is_taken = is_there && take(index, names(family.meta(), Form::Unknown, ""));
        forms.push(if is_taken { Form::Unknown } else { Form::LeftOut });
    }
    for (index, (form, family)) in forms.iter_mut().zip(snapshot.families()).enumerate() {
        let is_wanted = *form == Form::Unknown && Need::of(family) == Need::Typed;
        if is_wanted && take(index, names(family.meta(), Form::Typed, stem(family))) {
            *form = Form::Typed;
        }
    }
    forms
}
