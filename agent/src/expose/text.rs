//! The Prometheus text format 0.0.4.
//!
//! Source: Prometheus documentation, "Exposition formats", text-based format. Labels, headers
//! and edges are rendered already; what is left per sample is copying and printing one number.

use crate::snapshot::{
    Edge, FamilyBlock, HistogramValues, LabelText, Number, Snapshot, SummaryValues, Values,
};

#[cfg(test)]
mod tests;

/// The Content-Type of [`encode`]'s output.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Integers up to this size are exact in an f64 and are printed without point and exponent.
const EXACT_INTEGER_MAX: f64 = 9_007_199_254_740_992.0;

/// Appends the snapshot to `out`. Families without series are left out; the last byte is always
/// a line feed, even if there is nothing to show.
pub fn encode(snapshot: &Snapshot, out: &mut Vec<u8>) {
    for family in snapshot.families() {
        encode_family(family, out);
    }
    if out.last() != Some(&b'\n') {
        out.push(b'\n');
    }
}

fn encode_family(family: &FamilyBlock, out: &mut Vec<u8>) {
    if family.series().is_empty() {
        return;
    }
    let name = family.meta().name().as_bytes();
    out.extend_from_slice(family.meta().header().as_bytes());
    match family.values() {
        Values::Counter(numbers) => {
            for (labels, &number) in family.series().iter().zip(numbers) {
                open(out, name, b"", labels);
                match number {
                    Number::U64(value) => push_u64(out, value),
                    Number::F64(value) => push_f64(out, value),
                }
                out.push(b'\n');
            }
        }
        Values::Gauge(numbers) => {
            for (labels, &number) in family.series().iter().zip(numbers) {
                open(out, name, b"", labels);
                push_f64(out, number);
                out.push(b'\n');
            }
        }
        Values::Histogram(values) => encode_histograms(family, values, out),
        Values::Summary(values) => encode_summaries(family, values, out),
    }
}

fn encode_histograms(family: &FamilyBlock, values: &HistogramValues, out: &mut Vec<u8>) {
    let name = family.meta().name().as_bytes();
    for (labels, (buckets, sum)) in family.series().iter().zip(values.iter()) {
        for (edge, &bucket) in family.meta().edges().iter().zip(buckets) {
            open_edge(out, name, b"_bucket", labels, edge);
            push_u64(out, bucket);
            out.push(b'\n');
        }
        let count = buckets.last().copied().unwrap_or(0);
        encode_totals(out, name, labels, sum, count);
    }
}

fn encode_summaries(family: &FamilyBlock, values: &SummaryValues, out: &mut Vec<u8>) {
    let name = family.meta().name().as_bytes();
    for (labels, (estimates, sum, count)) in family.series().iter().zip(values.iter()) {
        for (edge, &estimate) in family.meta().edges().iter().zip(estimates) {
            open_edge(out, name, b"", labels, edge);
            push_f64(out, estimate);
            out.push(b'\n');
        }
        encode_totals(out, name, labels, sum, count);
    }
}

fn encode_totals(out: &mut Vec<u8>, name: &[u8], labels: &LabelText, sum: f64, count: u64) {
    open(out, name, b"_sum", labels);
    push_f64(out, sum);
    out.push(b'\n');
    open(out, name, b"_count", labels);
    push_u64(out, count);
    out.push(b'\n');
}

/// A sample up to its value: `name_suffix{labels} `, or `name_suffix ` without labels.
fn open(out: &mut Vec<u8>, name: &[u8], suffix: &[u8], labels: &LabelText) {
    out.extend_from_slice(name);
    out.extend_from_slice(suffix);
    if labels.as_str().is_empty() {
        out.push(b' ');
    } else {
        out.push(b'{');
        out.extend_from_slice(labels.as_str().as_bytes());
        out.extend_from_slice(b"} ");
    }
}

/// The same with the label of a bucket or quantile behind the others.
fn open_edge(out: &mut Vec<u8>, name: &[u8], suffix: &[u8], labels: &LabelText, edge: &Edge) {
    out.extend_from_slice(name);
    out.extend_from_slice(suffix);
    out.push(b'{');
    if !labels.as_str().is_empty() {
        out.extend_from_slice(labels.as_str().as_bytes());
        out.push(b',');
    }
    out.extend_from_slice(edge.label().as_bytes());
    out.extend_from_slice(b"} ");
}

fn push_u64(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

fn push_f64(out: &mut Vec<u8>, value: f64) {
    if let Some(integer) = exact_integer(value) {
        out.extend_from_slice(itoa::Buffer::new().format(integer).as_bytes());
    } else if value.is_nan() {
        out.extend_from_slice(b"NaN");
    } else if value.is_infinite() {
        out.extend_from_slice(if value > 0.0 { b"+Inf" } else { b"-Inf" });
    } else {
        out.extend_from_slice(zmij::Buffer::new().format_finite(value).as_bytes());
    }
}

/// The value as an integer where that loses nothing; not for -0.0, whose sign would go.
#[expect(clippy::cast_possible_truncation, reason = "the cast is checked by casting back")]
fn exact_integer(value: f64) -> Option<i64> {
    let integer = value as i64;
    let exact = value.abs() <= EXACT_INTEGER_MAX && (integer as f64).to_bits() == value.to_bits();
    exact.then_some(integer)
}
