//! Random families through protobuf, decoded by what prost makes of the official schema.

use std::collections::BTreeMap;

use prometheus_client::encoding::prometheus_protobuf::prometheus_data_model as model;
use prost::Message;
use ringmeter_agent::expose::protobuf;
use ringmeter_agent::snapshot::{FamilyBlock, Snapshot, Values};
use ringmeter_tests::random::Random;

use crate::random::{Drawn, DrawnNative, bits, families};

/// All messages of a stream, each behind its length.
pub(crate) fn decode(mut stream: &[u8]) -> Vec<model::MetricFamily> {
    let mut all = Vec::new();
    while !stream.is_empty() {
        let family = model::MetricFamily::decode_length_delimited(&mut stream);
        all.push(family.expect("a message of the schema"));
    }
    all
}

fn pairs(labels: &[model::LabelPair]) -> BTreeMap<String, String> {
    labels.iter().map(|pair| (pair.name.clone(), pair.value.clone())).collect()
}

fn unix_ms(timestamp: Option<&prost_types::Timestamp>) -> u64 {
    let Some(timestamp) = timestamp else { return 0 };
    assert_eq!(timestamp.nanos % 1_000_000, 0);
    let nanos = u64::try_from(timestamp.nanos).expect("not negative");
    u64::try_from(timestamp.seconds).expect("after 1970") * 1000 + nanos / 1_000_000
}

fn exemplar(found: Option<&model::Exemplar>) -> Option<(BTreeMap<String, String>, u64)> {
    let found = found?;
    assert!(found.timestamp.is_some(), "exemplars have a time");
    Some((pairs(&found.label), bits(found.value)))
}

/// The buckets that spans and deltas stand for; gaps that were bridged are left out.
fn buckets(spans: &[model::BucketSpan], deltas: &[i64]) -> Vec<(i32, u64)> {
    let mut all = Vec::new();
    let (mut index, mut count, mut deltas) = (0i32, 0i64, deltas.iter());
    for span in spans {
        index += span.offset;
        for _ in 0..span.length {
            count += deltas.next().expect("a delta for each bucket");
            if count > 0 {
                all.push((index, u64::try_from(count).expect("not negative")));
            }
            index += 1;
        }
    }
    assert_eq!(deltas.next(), None, "as many deltas as buckets");
    all
}

fn check(drawn: &Drawn, found: &model::MetricFamily) {
    assert_eq!(found.name, drawn.name);
    assert_eq!(found.help, drawn.help);
    assert_eq!(found.unit, drawn.unit);
    assert_eq!(found.metric.len(), drawn.labels.len());
    let kind = match drawn.block.values() {
        Values::Counter(_) => model::MetricType::Counter,
        Values::Gauge(_) => model::MetricType::Gauge,
        Values::Histogram(_) => model::MetricType::Histogram,
        Values::Summary(_) => model::MetricType::Summary,
    };
    assert_eq!(found.r#type, kind as i32);
    for (series, metric) in found.metric.iter().enumerate() {
        assert_eq!(pairs(&metric.label), drawn.labels[series]);
        assert_eq!(metric.timestamp_ms, 0);
        let start = drawn.starts[series];
        match drawn.block.values() {
            Values::Counter(numbers) => {
                let own = metric.counter.as_ref().expect("a counter");
                assert_eq!(bits(own.value), bits(numbers[series].as_f64()));
                assert_eq!(unix_ms(own.start_timestamp.as_ref()), start);
                assert_eq!(exemplar(own.exemplar.as_ref()), drawn.exemplar(series, 0));
            }
            Values::Gauge(numbers) => {
                let own = metric.gauge.as_ref().expect("a gauge");
                assert_eq!(bits(own.value), bits(numbers[series]));
            }
            Values::Histogram(values) => {
                let own = metric.histogram.as_ref().expect("a histogram");
                assert_eq!(unix_ms(own.start_timestamp.as_ref()), start);
                let (classic, sum) = values.iter().nth(series).expect("as many");
                assert_eq!(bits(own.sample_sum), bits(sum));
                let has_native = values.native().is_some();
                check_histogram(drawn, series, classic, own, has_native);
            }
            Values::Summary(values) => {
                let own = metric.summary.as_ref().expect("a summary");
                let (estimates, sum, count) = values.iter().nth(series).expect("as many");
                assert_eq!((own.sample_count, bits(own.sample_sum)), (count, bits(sum)));
                let found = own.quantile.iter().map(|q| (bits(q.quantile), bits(q.value)));
                let expected = drawn.edges.iter().zip(estimates).map(|(q, v)| (bits(*q), bits(*v)));
                assert!(found.eq(expected));
                assert_eq!(unix_ms(own.start_timestamp.as_ref()), start);
            }
        }
    }
}

fn check_histogram(
    drawn: &Drawn,
    series: usize,
    classic: &[u64],
    found: &model::Histogram,
    has_native: bool,
) {
    let own = &drawn.natives[series];
    let native_count = || {
        let all = own.negative.iter().chain(&own.positive);
        all.map(|(_, count)| count).sum::<u64>() + own.zero_count
    };
    let count = if has_native { native_count() } else { *classic.last().expect("+Inf") };
    assert_eq!(found.sample_count, count);
    assert_eq!(found.bucket.len(), classic.len());
    let bounds = drawn.edges.iter().copied().chain([f64::INFINITY]);
    for (edge, (bucket, (bound, cumulative))) in
        found.bucket.iter().zip(bounds.zip(classic)).enumerate()
    {
        assert_eq!(bucket.upper_bound, bound);
        let expected = if bound.is_infinite() { count } else { count.min(*cumulative) };
        assert_eq!(bucket.cumulative_count, expected);
        assert_eq!(exemplar(bucket.exemplar.as_ref()), drawn.exemplar(series, edge));
    }
    if !has_native {
        assert!(found.positive_span.is_empty() && found.negative_span.is_empty());
        assert_eq!((found.zero_threshold, found.zero_count, found.schema), (0.0, 0, 0));
        assert!(found.exemplars.is_empty());
        return;
    }
    let DrawnNative { schema, zero_count, negative, positive } = own;
    assert_eq!(found.schema, i32::from(*schema));
    assert_eq!((found.zero_threshold, found.zero_count), (1e-30, *zero_count));
    assert_eq!(&buckets(&found.negative_span, &found.negative_delta), negative);
    assert_eq!(&buckets(&found.positive_span, &found.positive_delta), positive);
    let spans = [&found.negative_span, &found.positive_span];
    assert!(spans.iter().any(|spans| !spans.is_empty()), "told apart from a classic histogram");
    for span in spans.iter().flat_map(|spans| spans.iter().skip(1)) {
        assert!(span.offset >= 0);
    }
    let shown: Vec<_> = found.exemplars.iter().map(|own| exemplar(Some(own))).collect();
    let edges = 0..classic.len();
    let expected = edges.map(|edge| drawn.exemplar(series, edge)).filter(Option::is_some);
    assert_eq!(shown, expected.collect::<Vec<_>>());
}

#[test]
fn the_official_schema_finds_in_protobuf_what_was_written() {
    let mut random = Random::seeded("families through protobuf");
    let mut natives = 0;
    for _ in 0..500 {
        let drawn = families(&mut random);
        let blocks: Vec<FamilyBlock> = drawn.iter().map(|own| own.block.clone()).collect();
        let mut out = Vec::new();
        protobuf::encode(&Snapshot::new(1, blocks), &mut out);
        let found = decode(&out);
        assert_eq!(found.len(), drawn.len());
        drawn.iter().zip(&found).for_each(|(drawn, found)| check(drawn, found));
        let is_native = |metric: &model::Metric| {
            metric.histogram.as_ref().is_some_and(|own| !own.positive_span.is_empty())
        };
        natives += found.iter().flat_map(|family| &family.metric).filter(|m| is_native(m)).count();
    }
    assert!(natives > 100, "{natives} native histograms");
}
