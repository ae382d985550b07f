use std::sync::Arc;

use super::*;
use crate::snapshot::{
    Exemplar, HistogramValues, LabelText, Number, PlacedExemplar, SummaryValues,
};

fn encoded(families: Vec<FamilyBlock>, created: bool) -> String {
    let mut out = Vec::new();
    encode(&Snapshot::new(1, families), created, &mut out);
    String::from_utf8(out).expect("UTF-8")
}

fn one(labels: &[(&str, &str)]) -> Arc<[LabelText]> {
    vec![LabelText::new(labels)].into()
}

fn block(meta: FamilyMeta, values: Values) -> FamilyBlock {
    let block = FamilyBlock::new(Arc::new(meta), one(&[("a", "b")]), values).expect("fits");
    block.with_starts(vec![1_700_000_000_120].into()).expect("one series")
}

fn exemplar(edge: u32, value: f64) -> PlacedExemplar {
    let labels = [("trace_id", "4bf\"92"), ("span_id", "00f0")];
    let exemplar = Exemplar::new(&labels, value, 1_600_000_000_007).expect("an exemplar");
    PlacedExemplar { series: 0, edge, exemplar }
}

fn histogram(name: &str, bounds: &[f64], sum: f64) -> FamilyBlock {
    let mut values = HistogramValues::new(bounds.len() + 1);
    let counts: Vec<u64> = (1..=bounds.len() as u64 + 1).collect();
    values.push(&counts, sum).expect("as many as edges");
    let meta = FamilyMeta::histogram(name, "A\\B\n\"C\"", bounds).with_unit("seconds");
    block(meta, Values::Histogram(values))
}

fn summary(name: &str, value: f64) -> FamilyBlock {
    let mut values = SummaryValues::new(1);
    values.push(&[value], 3.5, 2).expect("one quantile");
    block(FamilyMeta::summary(name, "", &[0.5]), Values::Summary(values))
}

#[test]
fn the_types_as_the_specification_has_them() {
    let counter = block(
        FamilyMeta::counter("requests_total", "Requests."),
        Values::Counter(vec![Number::U64(17)]),
    );
    let counter = counter.with_exemplars(vec![exemplar(0, 1.0)].into());
    let histogram = histogram("d_seconds", &[0.5, 1.0], 8.25);
    let histogram = histogram.with_exemplars(vec![exemplar(1, 0.75), exemplar(2, 3.0)].into());
    let gauge = FamilyBlock::of_gauges("z", "", &[(&[], -1.5)]);
    let families = vec![counter, histogram, gauge, summary("s", f64::NAN)];
    let expected = r#"# TYPE d_seconds histogram
# UNIT d_seconds seconds
# HELP d_seconds A\\B\n\"C\"
d_seconds_bucket{a="b",le="0.5"} 1
d_seconds_bucket{a="b",le="1.0"} 3 # {span_id="00f0",trace_id="4bf\"92"} 0.75 1600000000.007
d_seconds_bucket{a="b",le="+Inf"} 6 # {span_id="00f0",trace_id="4bf\"92"} 3 1600000000.007
d_seconds_sum{a="b"} 8.25
d_seconds_count{a="b"} 6
d_seconds_created{a="b"} 1700000000.120
# TYPE requests counter
# HELP requests Requests.
requests_total{a="b"} 17 # {span_id="00f0",trace_id="4bf\"92"} 1 1600000000.007
requests_created{a="b"} 1700000000.120
# TYPE s summary
s{a="b",quantile="0.5"} NaN
s_sum{a="b"} 3.5
s_count{a="b"} 2
s_created{a="b"} 1700000000.120
# TYPE z gauge
z -1.5
# EOF
"#;
    assert_eq!(encoded(families.clone(), true), expected);
    let lines = expected.lines().filter(|line| !line.contains("_created"));
    let without: String = lines.map(|line| format!("{line}\n")).collect();
    assert_eq!(encoded(families, false), without);
    assert_eq!(encoded(Vec::new(), false), "# EOF\n");
}

#[test]
fn a_unit_that_the_name_does_not_end_in_is_left_out() {
    let meta = FamilyMeta::gauge("d_seconds", "").with_unit("bytes");
    let text = encoded(vec![block(meta, Values::Gauge(vec![1.0]))], false);
    assert_eq!(text, "# TYPE d_seconds gauge\nd_seconds{a=\"b\"} 1\n# EOF\n");
    let meta = FamilyMeta::counter("sent_bytes_total", "").with_unit("bytes");
    let text = encoded(vec![block(meta, Values::Counter(vec![Number::U64(1)]))], false);
    assert!(text.contains("# UNIT sent_bytes bytes\n"), "{text}");
}

#[test]
fn what_a_type_forbids_keeps_its_samples() {
    let counter = FamilyBlock::of_counters("odd", "No suffix.", &[(&[], 3)]);
    let expected = "# TYPE odd unknown\n# HELP odd No suffix.\nodd 3\n# EOF\n";
    assert_eq!(encoded(vec![counter], true), expected);
    let expected = "# TYPE s unknown\ns{a=\"b\",quantile=\"0.5\"} -2.5\n# TYPE s_count unknown\n\
                    s_count{a=\"b\"} 2\n# TYPE s_sum unknown\ns_sum{a=\"b\"} 3.5\n# EOF\n";
    assert_eq!(encoded(vec![summary("s", -2.5)], true), expected);
    for negative in [histogram("h", &[-1.0, 1.0], 1.0), histogram("h", &[1.0, 2.0], -1.0)] {
        let text = encoded(vec![negative], false);
        let types: Vec<&str> =
            text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
        assert_eq!(types, ["h_bucket unknown", "h_count unknown", "h_sum unknown"]);
        assert_eq!(text.lines().filter(|line| line.starts_with("h_")).count(), 5, "{text}");
    }
}

#[test]
fn names_that_types_reserve_give_way_to_names_that_are_used() {
    let types = |families: Vec<FamilyBlock>| -> Vec<String> {
        let text = encoded(families, false);
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).map(str::to_owned).collect()
    };
    let gauge = |name: &str| FamilyBlock::of_gauges(name, "", &[(&[], 1.0)]);
    let counter = |name: &str| FamilyBlock::of_counters(name, "", &[(&[], 1)]);
    let both = vec![gauge("a"), counter("a_total")];
    assert_eq!(types(both), ["a gauge", "a_total unknown"]);
    let both = vec![counter("a_total"), gauge("a_created")];
    assert_eq!(types(both), ["a_created gauge", "a_total unknown"]);
    let both = vec![histogram("h", &[1.0], 1.0), gauge("h_created")];
    let expected = ["h_bucket unknown", "h_count unknown", "h_sum unknown", "h_created gauge"];
    assert_eq!(types(both), expected);
    // Samples of one name and labels: no form can have both.
    let both = vec![histogram("h", &[1.0], 1.0), gauge("h_count")];
    assert_eq!(types(both), ["h histogram"]);
    let both = vec![counter("s_total"), summary("s_created", 1.0)];
    assert_eq!(types(both), ["s_created summary", "s_total unknown"]);
    let both = vec![histogram("h", &[1.0], 1.0), summary("h_created", 1.0)];
    let expected = ["h_bucket unknown", "h_count unknown", "h_sum unknown", "h_created summary"];
    assert_eq!(types(both), expected);
    let both = vec![summary("s", 1.0), counter("s_total")];
    assert_eq!(types(both), ["s summary", "s_total unknown"]);
}

#[test]
fn forms_follow_the_values() {
    let mut forms = Forms::default();
    let snapshot = |value| Snapshot::new(1, vec![summary("s", value)]);
    assert_eq!(forms.of(&snapshot(1.0)), [Form::Typed]);
    assert_eq!(forms.of(&snapshot(-1.0)), [Form::Unknown]);
    assert_eq!(forms.of(&snapshot(2.0)), [Form::Typed]);
    let empty = FamilyBlock::of_gauges("a", "", &[]);
    let with_empty = Snapshot::new(1, vec![empty, summary("s", 1.0)]);
    assert_eq!(forms.of(&with_empty), [Form::LeftOut, Form::Typed]);
    assert_eq!(forms.of(&snapshot(1.0)), [Form::Typed]);
}
