//! The protobuf format: a stream of `io.prometheus.client.MetricFamily`, each behind its length.
//!
//! Source: Prometheus, `metrics.proto`, whose field numbers stand below, and the specification
//! "Native Histograms". It is the only format in which a scrape carries native histograms; the
//! classic buckets stand in the same message.
//!
//! A histogram's classic and native buckets are counted apart, and a process that is killed, or
//! read while it is recording, may be in one and not yet in the other. A message has one count:
//! that of the native buckets, which the server insists on, and no classic bucket above it.

mod wire;

use wire::{push_bytes, push_double, push_message, push_sint, push_uint, push_varint, zigzag};

use super::parts::Spot;
use crate::snapshot::{
    Exemplar, FamilyBlock, LabelText, MetricType, Native, PlacedExemplar, Snapshot, Values,
};

/// The media type without its parameters.
pub const MEDIA_TYPE: &str = "application/vnd.google.protobuf";

/// Gaps up to this long are bridged with empty buckets: a span of its own would be longer.
const GAP_MAX: i64 = 2;

/// Appends the snapshot to `out`. Families without series are left out.
pub fn encode(snapshot: &Snapshot, out: &mut Vec<u8>) {
    let (mut spots, mut scratch) = (Vec::new(), Vec::new());
    for family in snapshot.families() {
        encode_family(family, out, &mut spots, &mut scratch);
        spots.clear();
    }
}

pub(super) fn encode_family(
    family: &FamilyBlock,
    out: &mut Vec<u8>,
    spots: &mut Vec<Spot>,
    scratch: &mut Vec<u8>,
) {
    if family.series().is_empty() {
        return;
    }
    scratch.clear();
    let meta = family.meta();
    push_bytes(scratch, 1, meta.name().as_bytes());
    push_bytes(scratch, 2, meta.help().as_bytes());
    let metric_type = match meta.metric_type() {
        MetricType::Counter => 0,
        MetricType::Gauge => 1,
        MetricType::Summary => 2,
        MetricType::Histogram => 4,
    };
    push_uint(scratch, 3, metric_type);
    metrics(family, scratch, spots);
    if !meta.unit().is_empty() {
        push_bytes(scratch, 5, meta.unit().as_bytes());
    }
    let begin = out.len();
    push_varint(out, scratch.len() as u64);
    let ahead = out.len() - begin;
    spots.iter_mut().for_each(|spot| *spot = spot.shifted(ahead));
    out.extend_from_slice(scratch);
}

/// What there is of one series besides its numbers.
struct Series<'a> {
    labels: &'a LabelText,
    start: Option<u64>,
    exemplars: &'a [PlacedExemplar],
}

fn metrics(family: &FamilyBlock, out: &mut Vec<u8>, spots: &mut Vec<Spot>) {
    let edges = family.meta().edges();
    let all = family.series().iter().enumerate().map(|(index, labels)| Series {
        labels,
        start: family.start(index),
        exemplars: family.exemplars_of(index),
    });
    match family.values() {
        Values::Counter(numbers) => {
            for (series, number) in all.zip(numbers) {
                let at = metric(&series, out, |out| counter(&series, number.as_f64(), out));
                spots.push(Spot::new(at, at + 8));
            }
        }
        Values::Gauge(numbers) => {
            for (series, number) in all.zip(numbers) {
                let at = metric(&series, out, |out| {
                    push_message(out, 2, |out| push_double(out, 1, *number));
                    8
                });
                spots.push(Spot::new(at, at + 8));
            }
        }
        Values::Histogram(values) => {
            let mut natives = values.native();
            for (series, (buckets, sum)) in all.zip(values.iter()) {
                let native = natives.as_mut().and_then(Iterator::next);
                let bounds = edges.iter().map(crate::snapshot::Edge::value);
                let classic = bounds.zip(buckets.iter().copied());
                metric(&series, out, |out| histogram(&series, classic, sum, native, out));
            }
        }
        Values::Summary(values) => {
            for (series, (estimates, sum, count)) in all.zip(values.iter()) {
                let quantiles = edges.iter().map(crate::snapshot::Edge::value).zip(estimates);
                metric(&series, out, |out| {
                    push_message(out, 4, |out| {
                        push_uint(out, 1, count);
                        push_double(out, 2, sum);
                        for (quantile, value) in quantiles {
                            push_message(out, 3, |out| {
                                push_double(out, 1, quantile);
                                push_double(out, 2, *value);
                            });
                        }
                        timestamp(out, 4, series.start);
                    });
                    0
                });
            }
        }
    }
}

/// Field 4 of a family. `write` says how far before the end of the message its number begins;
/// returned is where that is.
fn metric(
    series: &Series<'_>,
    out: &mut Vec<u8>,
    write: impl FnOnce(&mut Vec<u8>) -> usize,
) -> usize {
    let mut back = 0;
    push_message(out, 4, |out| {
        pairs(out, series.labels);
        back = write(out);
    });
    out.len().saturating_sub(back)
}

/// Field 1: label pairs.
fn pairs(out: &mut Vec<u8>, labels: &LabelText) {
    for (name, value) in labels.pairs() {
        push_message(out, 1, |out| {
            push_bytes(out, 1, name.as_bytes());
            push_bytes(out, 2, value.as_bytes());
        });
    }
}

fn counter(series: &Series<'_>, value: f64, out: &mut Vec<u8>) -> usize {
    let mut at = 0;
    push_message(out, 3, |out| {
        push_double(out, 1, value);
        at = out.len();
        if let Some(placed) = series.exemplars.first() {
            exemplar(out, 2, &placed.exemplar);
        }
        timestamp(out, 3, series.start);
        at = out.len() - at;
    });
    8 + at
}

fn histogram(
    series: &Series<'_>,
    classic: impl Iterator<Item = (f64, u64)>,
    sum: f64,
    native: Option<Native<'_>>,
    out: &mut Vec<u8>,
) -> usize {
    let classic: Vec<(f64, u64)> = classic.collect();
    let own_count = classic.last().map_or(0, |(_, count)| *count);
    let count = native.map_or(own_count, |native| native.count());
    push_message(out, 7, |out| {
        push_uint(out, 1, count);
        push_double(out, 2, sum);
        let mut exemplars = series.exemplars.iter().peekable();
        for (at, (bound, cumulative)) in (0u32..).zip(&classic) {
            let is_last = bound.is_infinite();
            push_message(out, 3, |out| {
                push_uint(out, 1, if is_last { count } else { *cumulative.min(&count) });
                push_double(out, 2, *bound);
                if let Some(placed) = exemplars.next_if(|placed| placed.edge == at) {
                    exemplar(out, 3, &placed.exemplar);
                }
            });
        }
        if let Some(native) = native {
            push_native(out, native);
            for placed in series.exemplars {
                exemplar(out, 16, &placed.exemplar);
            }
        }
        timestamp(out, 15, series.start);
    });
    0
}

fn push_native(out: &mut Vec<u8>, native: Native<'_>) {
    push_sint(out, 5, native.schema.into());
    push_double(out, 6, native.zero_threshold);
    push_uint(out, 7, native.zero_count);
    let (spans, deltas) = spans(native.negative);
    buckets(out, [9, 10], &spans, &deltas);
    let (mut spans, deltas) = self::spans(native.positive);
    if native.negative.is_empty() && native.positive.is_empty() {
        // Without a span it would be taken for a classic histogram.
        spans.push((0, 0));
    }
    buckets(out, [12, 13], &spans, &deltas);
}

fn buckets(out: &mut Vec<u8>, fields: [u32; 2], spans: &[(i64, u64)], deltas: &[i64]) {
    for (offset, length) in spans {
        push_message(out, fields[0], |out| {
            push_sint(out, 1, *offset);
            push_uint(out, 2, *length);
        });
    }
    if !deltas.is_empty() {
        push_message(out, fields[1], |out| {
            deltas.iter().for_each(|delta| push_varint(out, zigzag(*delta)));
        });
    }
}

/// Offset and length of each run of buckets, and by how much each bucket differs from the one
/// before it.
fn spans(buckets: &[(i32, u64)]) -> (Vec<(i64, u64)>, Vec<i64>) {
    let mut spans: Vec<(i64, u64)> = Vec::new();
    let mut deltas = Vec::with_capacity(buckets.len());
    let mut before = 0u64;
    let mut push = |count: u64| {
        deltas.push(count.wrapping_sub(before).cast_signed());
        before = count;
    };
    let mut next = 0i64;
    for (index, count) in buckets {
        let gap = i64::from(*index) - next;
        match spans.last_mut() {
            Some((_, length)) if gap <= GAP_MAX => {
                (0..gap).for_each(|_| push(0));
                *length += 1 + u64::try_from(gap).unwrap_or(0);
            }
            _ => spans.push((gap, 1)),
        }
        push(*count);
        next = i64::from(*index) + 1;
    }
    (spans, deltas)
}

fn exemplar(out: &mut Vec<u8>, field: u32, exemplar: &Exemplar) {
    push_message(out, field, |out| {
        pairs(out, exemplar.labels());
        push_double(out, 2, exemplar.value());
        timestamp(out, 3, Some(exemplar.unix_ms()));
    });
}

/// A `google.protobuf.Timestamp`.
fn timestamp(out: &mut Vec<u8>, field: u32, unix_ms: Option<u64>) {
    if let Some(unix_ms) = unix_ms {
        push_message(out, field, |out| {
            push_uint(out, 1, unix_ms / 1000);
            push_uint(out, 2, unix_ms % 1000 * 1_000_000);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_become_spans_and_deltas() {
        assert_eq!(spans(&[]), (vec![], vec![]));
        assert_eq!(spans(&[(-3, 5)]), (vec![(-3, 1)], vec![5]));
        let near = spans(&[(-2, 3), (-1, 1), (2, 4)]);
        assert_eq!(near, (vec![(-2, 5)], vec![3, -2, -1, 0, 4]), "a gap of two");
        let far = spans(&[(1, 3), (5, 3), (6, 1)]);
        assert_eq!(far, (vec![(1, 1), (3, 2)], vec![3, 0, -2]), "a gap of three");
    }
}
