//! What both text formats have in common: a sample is a name, labels and a number on a line.

use super::number::{push_f64, push_number, push_seconds};
use super::parts::Spot;
use crate::snapshot::{
    Edge, Exemplar, FamilyBlock, HistogramValues, LabelText, MetricType, Number, SummaryValues,
    Values,
};

/// What a text format has beyond the samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Style {
    /// Exemplars behind buckets and counters.
    pub(super) exemplars: bool,
    /// A `_created` sample behind each series.
    pub(super) created: bool,
}

/// Text as it grows, and where its numbers stand.
pub(super) struct Page<'a> {
    out: &'a mut Vec<u8>,
    spots: &'a mut Vec<Spot>,
    /// Where the family begins in `out`.
    begin: usize,
}

impl<'a> Page<'a> {
    /// A family that begins at the end of `out`.
    pub(super) fn new(out: &'a mut Vec<u8>, spots: &'a mut Vec<Spot>) -> Self {
        let begin = out.len();
        Self { out, spots, begin }
    }

    pub(super) fn text(&mut self, text: &[u8]) {
        self.out.extend_from_slice(text);
    }

    fn number(&mut self, number: Number) {
        let at = self.out.len();
        push_number(self.out, number);
        self.spots.push(Spot::new(at - self.begin, self.out.len() - self.begin));
    }

    /// A sample up to its value: `name_suffix{labels} `, or `name_suffix ` without labels.
    fn open(&mut self, name: &[u8], suffix: &[u8], labels: &LabelText) {
        self.text(name);
        self.text(suffix);
        if labels.as_str().is_empty() {
            self.out.push(b' ');
        } else {
            self.out.push(b'{');
            self.text(labels.as_str().as_bytes());
            self.text(b"} ");
        }
    }

    /// The same with the label of a bucket or quantile behind the others.
    fn open_edge(&mut self, name: &[u8], suffix: &[u8], labels: &LabelText, edge: &Edge) {
        self.text(name);
        self.text(suffix);
        self.out.push(b'{');
        if !labels.as_str().is_empty() {
            self.text(labels.as_str().as_bytes());
            self.out.push(b',');
        }
        self.text(edge.label().as_bytes());
        self.text(b"} ");
    }

    /// The end of a line.
    fn close(&mut self) {
        self.out.push(b'\n');
    }

    /// A sample, and its exemplar where there is one.
    fn sample(&mut self, number: Number, exemplar: Option<&Exemplar>) {
        self.number(number);
        if let Some(exemplar) = exemplar {
            self.text(b" # {");
            self.text(exemplar.labels().as_str().as_bytes());
            self.text(b"} ");
            push_f64(self.out, exemplar.value());
            self.out.push(b' ');
            push_seconds(self.out, exemplar.unix_ms());
        }
        self.close();
    }

    fn totals(&mut self, name: &[u8], labels: &LabelText, sum: f64, count: u64) {
        self.open(name, b"_sum", labels);
        self.sample(Number::F64(sum), None);
        self.open(name, b"_count", labels);
        self.sample(Number::U64(count), None);
    }

    fn created(&mut self, stem: &[u8], labels: &LabelText, start: Option<u64>) {
        if let Some(start) = start {
            self.open(stem, b"_created", labels);
            let at = self.out.len();
            push_seconds(self.out, start);
            self.spots.push(Spot::new(at - self.begin, self.out.len() - self.begin));
            self.close();
        }
    }
}

/// Appends all samples of a family.
pub(super) fn samples(family: &FamilyBlock, style: Style, page: &mut Page<'_>) {
    let name = family.meta().name().as_bytes();
    match family.values() {
        Values::Counter(numbers) => counters(family, numbers, style, page),
        Values::Gauge(numbers) => {
            for (labels, &number) in family.series().iter().zip(numbers) {
                page.open(name, b"", labels);
                page.sample(Number::F64(number), None);
            }
        }
        Values::Histogram(values) => histograms(family, values, style, page),
        Values::Summary(values) => summaries(family, values, style, page),
    }
}

fn counters(family: &FamilyBlock, numbers: &[Number], style: Style, page: &mut Page<'_>) {
    let name = family.meta().name().as_bytes();
    let stem = stem(family).as_bytes();
    for (index, (labels, &number)) in family.series().iter().zip(numbers).enumerate() {
        page.open(name, b"", labels);
        let exemplar = style.exemplars.then(|| family.exemplars_of(index).first()).flatten();
        page.sample(number, exemplar.map(|placed| &placed.exemplar));
        if style.created {
            page.created(stem, labels, family.start(index));
        }
    }
}

fn histograms(family: &FamilyBlock, values: &HistogramValues, style: Style, page: &mut Page<'_>) {
    let name = family.meta().name().as_bytes();
    for (index, (labels, (buckets, sum))) in family.series().iter().zip(values.iter()).enumerate() {
        let exemplars = if style.exemplars { family.exemplars_of(index) } else { &[] };
        let mut exemplars = exemplars.iter().peekable();
        for ((at, edge), &bucket) in (0u32..).zip(family.meta().edges()).zip(buckets) {
            page.open_edge(name, b"_bucket", labels, edge);
            let own = exemplars.next_if(|placed| placed.edge == at);
            page.sample(Number::U64(bucket), own.map(|placed| &placed.exemplar));
        }
        page.totals(name, labels, sum, buckets.last().copied().unwrap_or(0));
        if style.created {
            page.created(name, labels, family.start(index));
        }
    }
}

fn summaries(family: &FamilyBlock, values: &SummaryValues, style: Style, page: &mut Page<'_>) {
    let name = family.meta().name().as_bytes();
    for (index, (labels, (estimates, sum, count))) in
        family.series().iter().zip(values.iter()).enumerate()
    {
        for (edge, &estimate) in family.meta().edges().iter().zip(estimates) {
            page.open_edge(name, b"", labels, edge);
            page.sample(Number::F64(estimate), None);
        }
        page.totals(name, labels, sum, count);
        if style.created {
            page.created(name, labels, family.start(index));
        }
    }
}

/// Appends the samples of a histogram or summary that belong to one of its suffixes.
pub(super) fn samples_apart(family: &FamilyBlock, suffix: &str, page: &mut Page<'_>) {
    let (name, edges) = (family.meta().name().as_bytes(), family.meta().edges());
    let suffix_bytes = suffix.as_bytes();
    let mut one =
        |labels: &LabelText, sum: f64, count: u64, values: &mut dyn Iterator<Item = Number>| {
            match suffix {
                "_sum" => {
                    page.open(name, suffix_bytes, labels);
                    page.sample(Number::F64(sum), None);
                }
                "_count" => {
                    page.open(name, suffix_bytes, labels);
                    page.sample(Number::U64(count), None);
                }
                _ => {
                    for (edge, value) in edges.iter().zip(values) {
                        page.open_edge(name, suffix_bytes, labels, edge);
                        page.sample(value, None);
                    }
                }
            }
        };
    match family.values() {
        Values::Histogram(values) => {
            for (labels, (buckets, sum)) in family.series().iter().zip(values.iter()) {
                let count = buckets.last().copied().unwrap_or(0);
                one(labels, sum, count, &mut buckets.iter().map(|bucket| Number::U64(*bucket)));
            }
        }
        Values::Summary(values) => {
            for (labels, (estimates, sum, count)) in family.series().iter().zip(values.iter()) {
                one(labels, sum, count, &mut estimates.iter().map(|value| Number::F64(*value)));
            }
        }
        Values::Counter(_) | Values::Gauge(_) => {}
    }
}

/// The name before the suffix of the samples: without `_total`, for a counter that has it.
pub(super) fn stem(family: &FamilyBlock) -> &str {
    let name = family.meta().name();
    if family.meta().metric_type() != MetricType::Counter {
        return name;
    }
    name.strip_suffix("_total").filter(|stem| !stem.is_empty()).unwrap_or(name)
}
