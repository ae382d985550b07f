use ringmeter_layout::definition::FamilyDefinition;

use super::*;
use crate::config::file::FileConfig;
use crate::limits::Limits;
use crate::snapshot::{Exemplar, PlacedExemplar, Values};

/// Two processes' worth of everything, and a view of it.
struct World {
    aggregate: Aggregate,
    samples: Vec<GaugeSample>,
    view: View,
}

impl World {
    fn new(config: &str) -> Self {
        let mut world = Self {
            aggregate: Aggregate::new(Limits::default()),
            samples: Vec::new(),
            view: View::default(),
        };
        world.configure(config, 0);
        for (label, value) in [("x", 1), ("y", 2)] {
            let place = world.place(Kind::Counter, "a_total", label);
            world.aggregate.add_counter(place, value, 0.0);
            let place = world.place(Kind::Histogram, "h_seconds", label);
            world.observe(place, &[0.05, 0.5, 5.0], 0);
            let place = world.place(Kind::Summary, "s_bytes", label);
            world.observe(place, &[100.0, f64::from(u32::try_from(value).unwrap()) * 1000.0], 0);
            let slot = world.place(Kind::Gauge, "g", label);
            for process in [1, 2] {
                let value = value as f64 * 10.0 + process as f64;
                world.samples.push(GaugeSample { slot, value, moved_ns: process, process });
            }
        }
        world
    }

    fn configure(&mut self, config: &str, now_ns: u64) {
        let config = FileConfig::parse(config.as_bytes()).expect("a good configuration");
        let rules = Arc::new(config.rules);
        self.aggregate.configure(config.limits, Arc::clone(&rules), now_ns);
        self.view.set_rules(rules);
    }

    fn place(&mut self, kind: Kind, name: &str, label: &str) -> u32 {
        let definition = FamilyDefinition {
            id: 0,
            kind,
            gauge_rule: GaugeRule::Sum,
            name: name.into(),
            help: "Help.".into(),
            unit: String::new(),
            label_names: vec!["l".into()],
            bounds: if kind == Kind::Histogram { vec![0.1, 1.0] } else { Vec::new() },
            objectives: if kind == Kind::Summary { vec![0.5] } else { Vec::new() },
            max_age_ms: 0,
            age_buckets: 0,
        };
        let family = self.aggregate.hold_family(&definition, 0).expect("room");
        self.aggregate.hold_series(family, &[("l", label)], true, 0).expect("placed").slot
    }

    fn observe(&mut self, slot: u32, values: &[f64], now_ns: u64) {
        let (own, budget) = self.aggregate.distribution(slot).expect("there");
        assert!(values.iter().all(|value| own.observe(*value, now_ns, budget)));
    }

    /// Each series with its numbers, quantiles rounded.
    fn shown(&mut self, now_ns: u64) -> Vec<String> {
        let samples = self.samples.clone().into_iter();
        let process = |serial| format!("p{serial}");
        let blocks = self.view.blocks(&mut self.aggregate, samples, process, now_ns);
        blocks.iter().flat_map(lines).collect()
    }
}

fn lines(block: &FamilyBlock) -> Vec<String> {
    let edges: Vec<&str> = block.meta().edges().iter().map(|edge| edge.label()).collect();
    let values: Vec<String> = match block.values() {
        Values::Counter(numbers) => numbers
            .iter()
            .map(|number| match number {
                Number::U64(value) => value.to_string(),
                Number::F64(value) => value.to_string(),
            })
            .collect(),
        Values::Gauge(numbers) => numbers.iter().map(ToString::to_string).collect(),
        Values::Histogram(all) => {
            all.iter().map(|(counts, sum)| format!("{edges:?} {counts:?} {sum}")).collect()
        }
        Values::Summary(all) => all
            .iter()
            .map(|(estimates, sum, count)| {
                let rounded: Vec<f64> =
                    estimates.iter().map(|own| (own / 10.0).round() * 10.0).collect();
                format!("{edges:?} {rounded:?} {sum} {count}")
            })
            .collect(),
    };
    let series = block.series().iter().zip(values);
    series
        .map(|(own, value)| format!("{}{{{}}} {value}", block.meta().name(), own.as_str()))
        .collect()
}

fn of<'a>(lines: &'a [String], name: &str) -> Vec<&'a str> {
    let own = lines.iter().filter(|line| line.starts_with(&format!("{name}{{")));
    own.map(String::as_str).collect()
}

#[test]
fn without_rules_and_with_rules_that_change_nothing_the_same_is_shown() {
    let plain = World::new("").shown(0);
    let rule = "metric_relabel_configs: [{action: labeldrop, regex: absent}]";
    let mut ruled = World::new(rule).shown(0);
    let mut sorted = plain.clone();
    sorted.sort();
    ruled.sort();
    assert_eq!(ruled, sorted);
    assert_eq!(of(&plain, "g"), ["g{l=\"x\"} 23", "g{l=\"y\"} 43"]);
}

#[test]
fn series_that_become_equal_are_added_up() {
    let mut world = World::new("metric_relabel_configs: [{action: labeldrop, regex: l}]");
    let shown = world.shown(0);
    assert_eq!(of(&shown, "a_total"), ["a_total{} 3"]);
    assert_eq!(of(&shown, "g"), ["g{} 66"]);
    let edges = r#"["le=\"0.1\"", "le=\"1.0\"", "le=\"+Inf\""]"#;
    assert_eq!(of(&shown, "h_seconds"), [format!("h_seconds{{}} {edges} [2, 4, 6] 11.1")]);
    let summary = of(&shown, "s_bytes");
    assert_eq!(summary, ["s_bytes{} [\"quantile=\\\"0.5\\\"\"] [100.0] 3200 4"]);
}

#[test]
fn a_removed_series_stays_in_a_sum_and_leaves_with_the_last_one() {
    let mut world = World::new("metric_relabel_configs: [{action: labeldrop, regex: l}]");
    let id = world.aggregate.registry().exposed().find(|own| own.1.meta.name() == "a_total");
    let family = id.expect("there").0;
    world.aggregate.registry().retire(SeriesRef { family, row: 1 });
    assert_eq!(of(&world.shown(0), "a_total"), ["a_total{} 3"]);
    world.aggregate.registry().retire(SeriesRef { family, row: 2 });
    assert_eq!(of(&world.shown(0), "a_total"), Vec::<&str>::new());
}

#[test]
fn gauges_follow_their_rule_over_processes_and_over_series() {
    for (rule, expected) in [
        ("min", vec!["g{} 11"]),
        ("max", vec!["g{} 22"]),
        ("mean", vec!["g{} 16.5"]),
        ("most_recent", vec!["g{} 22"]),
        ("per_process", vec!["g{process=\"p1\"} 32", "g{process=\"p2\"} 34"]),
    ] {
        let config = format!(
            "views: [{{metric: g, gauge_rule: {rule}}}]\n\
             metric_relabel_configs: [{{action: labeldrop, regex: l}}]"
        );
        assert_eq!(of(&World::new(&config).shown(0), "g"), expected, "{rule}");
    }
    let config = "views: [{metric: g, gauge_rule: per_process}]";
    assert_eq!(of(&World::new(config).shown(0), "g").len(), 4);
}

#[test]
fn one_metric_in_several_forms_and_some_of_its_series_under_another_name() {
    let config = "views:\n\
        - {metric: h_seconds, labels: {l: x}, rename: hx_seconds, buckets: [0.2, 1]}\n\
        - {metric: h_seconds, show: [histogram, summary], summary: {objectives: [1]}}\n\
        - {metric: a_total, labels: {l: y}, drop: true}\n\
        - {metric: s_*, buckets: [500]}\n";
    let shown = World::new(config).shown(0);
    assert_eq!(of(&shown, "a_total"), ["a_total{l=\"x\"} 1"]);
    let edges = r#"["le=\"0.2\"", "le=\"1.0\"", "le=\"+Inf\""]"#;
    let expected = format!("hx_seconds{{l=\"x\"}} {edges} [1, 2, 3] 5.55");
    assert_eq!(of(&shown, "hx_seconds"), [expected]);
    assert_eq!(of(&shown, "h_seconds").len(), 1);
    let quantiles = of(&shown, "h_quantiles_seconds");
    assert_eq!(
        quantiles,
        ["h_quantiles_seconds{l=\"y\"} [\"quantile=\\\"1.0\\\"\"] [10.0] 5.55 3"]
    );
    let edges = r#"["le=\"500.0\"", "le=\"+Inf\""]"#;
    assert_eq!(of(&shown, "s_bytes")[1], format!("s_bytes{{l=\"y\"}} {edges} [1, 2] 2100"));
}

#[test]
fn series_that_several_views_show_alike_are_one_metric() {
    // What the first one selects is kept as it is; of the rest something is dropped.
    let config = "views:\n\
        - {labels: {l: x}}\n\
        - {metric: h_seconds, labels: {l: y}}\n\
        - {metric: a_*, labels: {l: z}, drop: true}\n";
    let mut world = World::new(config);
    let slot = world.place(Kind::Counter, "a_total", "z");
    world.aggregate.add_counter(slot, 7, 0.0);
    let shown = world.shown(0);
    assert_eq!(of(&shown, "a_total"), ["a_total{l=\"x\"} 1", "a_total{l=\"y\"} 2"]);
    assert_eq!(of(&shown, "g"), ["g{l=\"x\"} 23", "g{l=\"y\"} 43"]);
    let names = |world: &mut World| -> Vec<String> {
        let samples = world.samples.clone().into_iter();
        let blocks = world.view.blocks(&mut world.aggregate, samples, |_| String::new(), 0);
        blocks.iter().map(|block| block.meta().name().to_owned()).collect()
    };
    assert_eq!(names(&mut world), ["a_total", "h_seconds", "s_bytes", "g"], "each of them once");
    // A new series finds its metric by the view that selects it.
    world.place(Kind::Counter, "a_total", "w");
    assert_eq!(of(&world.shown(0), "a_total").len(), 3);
    assert_eq!(names(&mut world).len(), 4);
}

#[test]
fn a_window_keeps_what_it_holds_when_its_length_changes() {
    const SECOND_NS: u64 = 1_000_000_000;
    let mut world = World::new("");
    let slot = world.place(Kind::Summary, "s_bytes", "x");
    world.observe(slot, &[900.0; 9], 500 * SECOND_NS);
    let view = |age: &str| format!("views: [{{metric: s_bytes, summary: {{max_age: {age}}}}}]");
    world.configure(&view("1h"), 510 * SECOND_NS);
    let long = of(&world.shown(3000 * SECOND_NS), "s_bytes")[0].to_owned();
    // 900, by its base-2 bucket, in tens.
    assert!(long.contains("[910.0]"), "{long}");
    world.configure(&view("30s"), 3000 * SECOND_NS);
    let short = of(&world.shown(3000 * SECOND_NS), "s_bytes")[0].to_owned();
    assert!(short.contains("[NaN]") && short.ends_with(" 9200 11"), "{short}");
}

#[test]
fn a_metric_has_no_more_series_than_its_view_allows() {
    let mut world = World::new("views: [{metric: a_total, series_max: 3}]");
    for label in ["x", "z", "u", "v"] {
        let slot = world.place(Kind::Counter, "a_total", label);
        world.aggregate.add_counter(slot, 100, 0.0);
    }
    let shown = world.shown(0);
    let expected = [
        "a_total{l=\"x\"} 101",
        "a_total{l=\"y\"} 2",
        "a_total{l=\"z\"} 100",
        "a_total{ringmeter_overflow=\"true\"} 200",
    ];
    assert_eq!(of(&shown, "a_total"), expected);
}

/// Edge, label and value of the exemplars of a metric's series, in order.
fn exemplars_of(world: &mut World, name: &str) -> Vec<(u32, u32, String, f64)> {
    let process = |serial| format!("p{serial}");
    let blocks = world.view.blocks(&mut world.aggregate, std::iter::empty(), process, 0);
    let block = blocks.iter().find(|block| block.meta().name() == name).expect("shown");
    let text = |placed: &PlacedExemplar| {
        let labels = placed.exemplar.labels().as_str().to_owned();
        (placed.series, placed.edge, labels, placed.exemplar.value())
    };
    block.exemplars().iter().map(text).collect()
}

#[test]
fn exemplars_are_at_the_bucket_that_holds_their_value_in_every_view() {
    let mut world = World::new("");
    for (label, id, value, unix_ms) in [
        ("x", "a", 0.05, 10),
        ("x", "b", 0.7, 11),
        ("x", "c", 7.0, 12),
        ("y", "d", 0.06, 9),
        ("y", "e", 0.5, 13),
    ] {
        let slot = world.place(Kind::Histogram, "h_seconds", label);
        let (own, budget) = world.aggregate.distribution(slot).expect("there");
        let exemplar = Exemplar::new(&[("id", id)], value, unix_ms).expect("an exemplar");
        assert!(own.observe_exemplar(exemplar, 0, budget));
    }
    let own = |series, edge, id: &str, value| (series, edge, format!("id=\"{id}\""), value);
    let each = [
        own(0, 0, "a", 0.05),
        own(0, 1, "b", 0.7),
        own(0, 2, "c", 7.0),
        own(1, 0, "d", 0.06),
        own(1, 1, "e", 0.5),
    ];
    assert_eq!(exemplars_of(&mut world, "h_seconds"), each);
    // Computed bounds, of which the first two hold what one declared bucket held.
    world.configure("views: [{metric: h_seconds, buckets: [0.055, 0.2, 0.6]}]", 0);
    let computed =
        [own(0, 0, "a", 0.05), own(0, 3, "c", 7.0), own(1, 1, "d", 0.06), own(1, 2, "e", 0.5)];
    assert_eq!(exemplars_of(&mut world, "h_seconds"), computed, "the newest of each");
    // Both series as one.
    world.configure("metric_relabel_configs: [{action: labeldrop, regex: l}]", 0);
    let merged = [own(0, 0, "a", 0.05), own(0, 1, "e", 0.5), own(0, 2, "c", 7.0)];
    assert_eq!(exemplars_of(&mut world, "h_seconds"), merged);
    let view = "views: [{metric: h_seconds, show: [summary], summary: {objectives: [1]}}]";
    world.configure(view, 0);
    assert_eq!(exemplars_of(&mut world, "h_seconds"), []);
}

#[test]
fn native_buckets_follow_their_view_and_are_added_up_too() {
    let config = "views:\n\
        - {metric: h_seconds, native_histogram: {schema: 0, zero_threshold: 0.0625}}\n\
        - {metric: s_bytes, buckets: [500], native_histogram: false}\n\
        metric_relabel_configs: [{action: labeldrop, regex: l}]";
    let mut world = World::new(config);
    world.view.show_native(true);
    let samples = std::iter::empty();
    let blocks = world.view.blocks(&mut world.aggregate, samples, |_| String::new(), 0);
    let native = |name: &str| {
        let block = blocks.iter().find(|block| block.meta().name() == name).expect("shown");
        let Values::Histogram(values) = block.values() else { panic!("a histogram") };
        values.native().map(|all| {
            let all: Vec<_> = all.collect();
            (all.len(), all[0].schema, all[0].zero_count, all[0].positive.to_vec())
        })
    };
    // 0.05, 0.5 and 5, of two series.
    assert_eq!(native("h_seconds"), Some((1, 0, 2, vec![(-1, 2), (3, 2)])));
    assert_eq!(native("s_bytes"), None);
}
