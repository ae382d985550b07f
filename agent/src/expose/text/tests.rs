use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::prelude::*;

use super::encode;
use crate::snapshot::{
    FamilyBlock, FamilyMeta, HistogramValues, LabelText, Number, Snapshot, SummaryValues, Values,
};

mod parser;

use parser::{Family, Sample, parse};

fn encoded(families: Vec<FamilyBlock>) -> String {
    let mut out = Vec::new();
    encode(&Snapshot::new(1, families), &mut out);
    String::from_utf8(out).expect("UTF-8")
}

fn series(labels: &[&[(&str, &str)]]) -> Arc<[LabelText]> {
    labels.iter().map(|pairs| LabelText::new(pairs)).collect()
}

#[test]
fn the_four_types_as_documented() {
    let counter = FamilyBlock::of_counters(
        "http_requests_total",
        "The total number of HTTP requests.",
        &[(&[("method", "post"), ("code", "200")], 1027), (&[("code", "400")], 3)],
    );
    let mut histograms = HistogramValues::new(3);
    histograms.push(&[24_054, 9_390, 0], 53_423.5).expect("three buckets");
    let histogram = FamilyBlock::new(
        Arc::new(FamilyMeta::histogram("d_seconds", "A\\B\n\"C\"", &[0.05, 1.0])),
        series(&[&[("a", "b")]]),
        Values::Histogram(histograms),
    );
    let mut summaries = SummaryValues::new(2);
    summaries.push(&[4.25, f64::NAN], 1.7560473e7, 2693).expect("two quantiles");
    let summary = FamilyBlock::new(
        Arc::new(FamilyMeta::summary("rpc_seconds", "", &[0.5, 1.0])),
        series(&[&[]]),
        Values::Summary(summaries),
    );
    let gauge = FamilyBlock::of_gauges("z", "", &[(&[], f64::NEG_INFINITY)]);
    let families = vec![gauge, summary.expect("fits"), counter, histogram.expect("fits")];
    let expected = r#"# HELP d_seconds A\\B\n"C"
# TYPE d_seconds histogram
d_seconds_bucket{a="b",le="0.05"} 24054
d_seconds_bucket{a="b",le="1.0"} 33444
d_seconds_bucket{a="b",le="+Inf"} 33444
d_seconds_sum{a="b"} 53423.5
d_seconds_count{a="b"} 33444
# HELP http_requests_total The total number of HTTP requests.
# TYPE http_requests_total counter
http_requests_total{code="200",method="post"} 1027
http_requests_total{code="400"} 3
# TYPE rpc_seconds summary
rpc_seconds{quantile="0.5"} 4.25
rpc_seconds{quantile="1.0"} NaN
rpc_seconds_sum 17560473
rpc_seconds_count 2693
# TYPE z gauge
z -Inf
"#;
    assert_eq!(encoded(families), expected);
}

#[test]
fn nothing_to_show_is_one_empty_line() {
    assert_eq!(encoded(Vec::new()), "\n");
    let empty = FamilyBlock::of_counters("a_total", "No series.", &[]);
    assert_eq!(encoded(vec![empty]), "\n");
}

#[test]
fn numbers() {
    let cases = [
        (0.0, "0"),
        (-0.0, "-0.0"),
        (1.0, "1"),
        (-3.0, "-3"),
        (0.5, "0.5"),
        (9_007_199_254_740_992.0, "9007199254740992"),
        (9_007_199_254_740_994.0, "9007199254740994.0"),
        (1e300, "1e+300"),
        (5e-324, "5e-324"),
        (f64::NAN, "NaN"),
        (-f64::NAN, "NaN"),
        (f64::INFINITY, "+Inf"),
    ];
    for (value, text) in cases {
        let line = encoded(vec![FamilyBlock::of_gauges("g", "", &[(&[], value)])]);
        let printed = line.trim_end().rsplit(' ').next().expect("a value");
        assert_eq!(printed, text, "{value:?}");
    }
}

/// Not a benchmark (benches/ has those): a rendering that allocates or formats per sample would
/// miss this bound by far, even unoptimised.
#[test]
fn a_hundred_thousand_series_render_quickly() {
    let texts: Vec<LabelText> = (0..100_000)
        .map(|i| LabelText::new(&[("method", "GET"), ("path", &format!("/api/v1/item/{i}"))]))
        .collect();
    let numbers = (0..100_000).map(|i| Number::U64(i * 1_000)).collect();
    let meta = Arc::new(FamilyMeta::counter("http_requests_total", "Requests."));
    let block = FamilyBlock::new(meta, texts.into(), Values::Counter(numbers)).expect("fits");
    let snapshot = Snapshot::new(1, vec![block]);
    let mut out = Vec::new();
    encode(&snapshot, &mut out);
    out.clear();
    let start = std::time::Instant::now();
    encode(&snapshot, &mut out);
    let elapsed = start.elapsed();
    println!("{} bytes in {elapsed:?}", out.len());
    assert!(elapsed.as_millis() < 1_000, "{elapsed:?}");
}

/// A family as a test draws it, before it is rendered.
#[derive(Debug, Clone)]
struct Drawn {
    help: String,
    edges: Vec<f64>,
    labels: Vec<Vec<(String, String)>>,
    numbers: Vec<(u64, f64)>,
    kind: u8,
}

fn nasty() -> impl Strategy<Value = String> {
    prop_oneof![
        "\\PC{0,12}",
        proptest::collection::vec(
            proptest::sample::select(vec![
                "\\",
                "\"",
                "\n",
                "\\n",
                "}",
                "{",
                ",",
                "=",
                " ",
                "#",
                "\r",
                "é",
                "\0",
                "# TYPE a counter\n"
            ]),
            0..8
        )
        .prop_map(|parts| parts.concat()),
    ]
}

fn drawn() -> impl Strategy<Value = Drawn> {
    let labels = proptest::collection::btree_map("[a-z_][a-z0-9_]{0,3}x", nasty(), 0..4)
        .prop_map(|map| map.into_iter().collect::<Vec<_>>());
    let edges = proptest::collection::vec(-1e9..1e9f64, 0..5).prop_map(|mut edges| {
        edges.sort_by(f64::total_cmp);
        edges.dedup();
        edges
    });
    (
        nasty(),
        edges,
        proptest::collection::vec(labels, 0..5),
        proptest::collection::vec((any::<u64>(), any::<f64>()), 64),
        0..4u8,
    )
        .prop_map(|(help, edges, mut labels, numbers, kind)| {
            labels.sort();
            labels.dedup();
            Drawn { help, edges, labels, numbers, kind }
        })
}

fn sample(name: &str, suffix: &str, labels: &[(String, String)], value: f64) -> Sample {
    Sample { name: format!("{name}{suffix}"), labels: labels.to_vec(), value: value.into() }
}

fn with(labels: &[(String, String)], name: &str, edge: &str) -> Vec<(String, String)> {
    let mut all = labels.to_vec();
    all.push((name.into(), edge.into()));
    all
}

fn edge_text(edge: f64) -> String {
    let text = crate::snapshot::FamilyMeta::summary("a", "", &[edge]).edges()[0].label().to_owned();
    text.trim_start_matches("quantile=\"").trim_end_matches('"').to_owned()
}

/// The block, and what a reader must find in its text.
#[expect(clippy::cast_precision_loss, reason = "a reader of the text sees floats")]
fn build(name: &str, drawn: &Drawn) -> (FamilyBlock, Vec<Sample>) {
    let texts: Arc<[LabelText]> = drawn
        .labels
        .iter()
        .map(|pairs| {
            let pairs: Vec<_> = pairs.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
            LabelText::new(&pairs)
        })
        .collect();
    let mut expected = Vec::new();
    let numbered = || drawn.labels.iter().zip(&drawn.numbers);
    let (meta, values) = match drawn.kind {
        0 => {
            let mut numbers = Vec::new();
            for (index, (labels, &(integer, float))) in numbered().enumerate() {
                let integers = index % 2 == 0;
                numbers.push(if integers { Number::U64(integer) } else { Number::F64(float) });
                let value = if integers { integer as f64 } else { float };
                expected.push(sample(name, "", labels, value));
            }
            (FamilyMeta::counter(name, &drawn.help), Values::Counter(numbers))
        }
        1 => {
            expected.extend(numbered().map(|(labels, n)| sample(name, "", labels, n.1)));
            let numbers = drawn.labels.iter().zip(&drawn.numbers).map(|(_, n)| n.1).collect();
            (FamilyMeta::gauge(name, &drawn.help), Values::Gauge(numbers))
        }
        2 => {
            let mut values = HistogramValues::new(drawn.edges.len() + 1);
            for (labels, &(_, sum)) in numbered() {
                let counts: Vec<u64> =
                    drawn.numbers.iter().take(drawn.edges.len() + 1).map(|n| n.0 >> 8).collect();
                values.push(&counts, sum).expect("as many as edges");
                let mut total = 0;
                let bounds = drawn.edges.iter().copied().chain([f64::INFINITY]);
                for (bound, count) in bounds.zip(counts) {
                    total += count;
                    let all = with(labels, "le", &edge_text(bound));
                    expected.push(sample(name, "_bucket", &all, total as f64));
                }
                expected.push(sample(name, "_sum", labels, sum));
                expected.push(sample(name, "_count", labels, total as f64));
            }
            let meta = FamilyMeta::histogram(name, &drawn.help, &drawn.edges);
            (meta, Values::Histogram(values))
        }
        _ => {
            let mut values = SummaryValues::new(drawn.edges.len());
            for (labels, &(count, sum)) in numbered() {
                let estimates: Vec<f64> =
                    drawn.numbers.iter().take(drawn.edges.len()).map(|n| n.1).collect();
                values.push(&estimates, sum, count).expect("as many as edges");
                for (&quantile, estimate) in drawn.edges.iter().zip(estimates) {
                    let all = with(labels, "quantile", &edge_text(quantile));
                    expected.push(sample(name, "", &all, estimate));
                }
                expected.push(sample(name, "_sum", labels, sum));
                expected.push(sample(name, "_count", labels, count as f64));
            }
            let meta = FamilyMeta::summary(name, &drawn.help, &drawn.edges);
            (meta, Values::Summary(values))
        }
    };
    (FamilyBlock::new(Arc::new(meta), texts, values).expect("fits"), expected)
}

proptest! {
    #[test]
    fn an_independent_reader_finds_what_was_written(
        drawn in proptest::collection::vec(drawn(), 0..6),
    ) {
        let names: Vec<String> = (0..drawn.len()).map(|i| format!("f{i}")).collect();
        let mut blocks = Vec::new();
        let mut expected = Vec::new();
        for (name, drawn) in names.iter().zip(&drawn) {
            let (block, samples) = build(name, drawn);
            if !samples.is_empty() {
                expected.push(Family {
                    name: name.clone(),
                    help: (!drawn.help.is_empty()).then(|| drawn.help.clone()),
                    type_word: block.meta().metric_type().as_str().to_owned(),
                    samples,
                });
            }
            blocks.push(block);
        }
        blocks.reverse();
        let text = encoded(blocks);
        prop_assert!(text.ends_with('\n'));
        let read = parse(&text).map_err(TestCaseError::fail)?;
        prop_assert_eq!(&read, &expected);
        let identities: BTreeSet<_> = read
            .iter()
            .flat_map(|family| &family.samples)
            .map(|sample| (&sample.name, &sample.labels))
            .collect();
        prop_assert_eq!(identities.len(), read.iter().map(|f| f.samples.len()).sum::<usize>());
    }
}
