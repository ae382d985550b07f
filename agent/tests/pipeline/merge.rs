//! What honest processes record is what is exposed.

use std::sync::Arc;

use ringmeter_agent::limits::Limits;
use ringmeter_agent::metrics::{self, OWN_METRICS};
use ringmeter_agent::web_counts::WebCounts;
use ringmeter_layout::naming::{GaugeRule, Kind};

use crate::scratch::Scratch;
use crate::stage::{Stage, find};
use crate::writer::{Writer, family};

#[test]
fn all_kinds_from_one_process() {
    let scratch = Scratch::new();
    let mut app = Writer::create(scratch.path(), "shop", 1);
    let counters = app.family(family(Kind::Counter, "orders_total", &["region"]));
    let eu = app.series(counters, &["eu\"\\\n"]);
    let gauges = app.family(family(Kind::Gauge, "queue", &[]));
    let queue = app.series(gauges, &[]);
    let histograms = app.family(family(Kind::Histogram, "latency_seconds", &[]));
    let latency = app.series(histograms, &[]);
    let summaries = app.family(family(Kind::Summary, "size_bytes", &[]));
    let size = app.series(summaries, &[]);
    app.add(eu, 40);
    app.add(eu, 2);
    app.set(queue, -1.5);
    for value in [0.05, 0.1, 0.5, 99.0] {
        app.observe(latency, value);
    }
    for value in 1..=30 {
        app.observe(size, f64::from(value));
    }
    let mut stage = Stage::new(&scratch);
    let text = stage.scrape();
    let expected = [
        ("orders_total{region=\"eu\\\"\\\\\\n\"}", 42.0),
        ("queue", -1.5),
        ("latency_seconds_bucket{le=\"0.1\"}", 2.0),
        ("latency_seconds_bucket{le=\"1.0\"}", 3.0),
        ("latency_seconds_bucket{le=\"10.0\"}", 3.0),
        ("latency_seconds_bucket{le=\"+Inf\"}", 4.0),
        ("latency_seconds_count", 4.0),
        ("latency_seconds_sum", 99.65),
        ("size_bytes_sum", 465.0),
        ("size_bytes_count", 30.0),
        ("ringmeter_records_drained_total", 36.0),
        ("ringmeter_producers{service=\"shop\"}", 1.0),
    ];
    for (series, value) in expected {
        assert_eq!(find(&text, series), Some(value), "{series} in\n{text}");
    }
    let median = find(&text, "size_bytes{quantile=\"0.5\"}").expect("a median");
    assert!((median - 15.0).abs() / 15.0 < 0.0109, "{median}");
    assert!(!text.contains("ringmeter_overflow="), "unused overflow series are not shown\n{text}");
    assert_eq!(stage.scrape().lines().filter(|l| l.starts_with("queue")).count(), 1);
}

#[test]
fn lanes_wrap_many_times_and_are_acknowledged() {
    let scratch = Scratch::new();
    let mut app = Writer::create(scratch.path(), "shop", 1);
    let counters = app.family(family(Kind::Counter, "n_total", &[]));
    let series = app.series(counters, &[]);
    let mut stage = Stage::new(&scratch);
    stage.list();
    let mut total = 0u64;
    for round in 0..200u64 {
        for _ in 0..round % 64 {
            app.add(series, 1);
            total += 1;
        }
        assert!(stage.pass().is_complete);
        stage.later(1);
    }
    assert_eq!(stage.value("n_total"), Some(total as f64));
    let ack = scratch.path().join("agent").join(app.name.ack_file());
    let bytes = std::fs::read(ack).expect("ack file");
    assert_eq!(bytes[128..136], total.to_le_bytes());
}

#[test]
fn processes_merge_and_gauges_follow_their_rule() {
    let scratch = Scratch::new();
    let rules = [GaugeRule::Sum, GaugeRule::Min, GaugeRule::Max, GaugeRule::Mean];
    let mut stage = Stage::new(&scratch);
    let mut apps = Vec::new();
    for (id, value) in [(1, 4.0), (2, 10.0)] {
        let mut app = Writer::create(scratch.path(), "shop", id);
        // Label order differs between versions of an app.
        let names = if id == 1 { ["a", "b"] } else { ["b", "a"] };
        let counters = app.family(family(Kind::Counter, "n_total", &names));
        let series = app.series(counters, &[names[0], names[1]]);
        app.add(series, 10);
        app.add_f64(series, 0.5);
        for rule in rules {
            let name = format!("g_{}", rule.as_str());
            let gauges = app.family(ringmeter_layout::definition::FamilyDefinition {
                gauge_rule: rule,
                ..family(Kind::Gauge, &name, &[])
            });
            let gauge = app.series(gauges, &[]);
            app.set(gauge, value);
        }
        for rule in [GaugeRule::MostRecent, GaugeRule::PerProcess] {
            let name = format!("g_{}", rule.as_str());
            let gauges = app.family(ringmeter_layout::definition::FamilyDefinition {
                gauge_rule: rule,
                ..family(Kind::Gauge, &name, &["a"])
            });
            let gauge = app.series(gauges, &["x"]);
            app.set(gauge, value);
        }
        apps.push(app);
        stage.scrape();
    }
    let text = stage.scrape();
    for (series, value) in [
        ("n_total{a=\"a\",b=\"b\"}", 21.0),
        ("g_sum", 14.0),
        ("g_min", 4.0),
        ("g_max", 10.0),
        ("g_mean", 7.0),
        ("g_most_recent{a=\"x\"}", 10.0),
        ("g_per_process{a=\"x\",process=\"0101010101010101\"}", 4.0),
        ("g_per_process{a=\"x\",process=\"0202020202020202\"}", 10.0),
    ] {
        assert_eq!(find(&text, series), Some(value), "{series} in\n{text}");
    }
    let recent = 11;
    apps[0].set(recent, 5.0);
    assert_eq!(stage.value("g_most_recent{a=\"x\"}"), Some(5.0), "the first process moved");
    apps.remove(0).die();
    stage.scrape();
    let text = stage.scrape();
    assert_eq!(find(&text, "g_sum"), Some(10.0), "the gauges of the dead leave");
    assert_eq!(find(&text, "n_total{a=\"a\",b=\"b\"}"), Some(21.0), "their counts stay");
    assert_eq!(text.matches("\ng_per_process{").count(), 1);
}

#[test]
fn a_new_chunk_of_each_kind_is_followed() {
    let scratch = Scratch::new();
    let mut app = Writer::create(scratch.path(), "shop", 1);
    let counters = app.family(family(Kind::Counter, "n_total", &["label"]));
    let mut stage = Stage::new(&scratch);
    let long = "v".repeat(900);
    for index in 0..200u64 {
        let series = app.series(counters, &[&format!("{index}-{long}")]);
        app.add(series, index);
        app.spill_add(series, 1);
        if index % 50 == 0 {
            app.lane();
            assert!(stage.scrape().contains("n_total"));
        }
        stage.list();
        stage.pass();
    }
    let text = stage.scrape();
    let sum: f64 = text
        .lines()
        .filter(|line| line.starts_with("n_total{"))
        .map(|line| line.rsplit_once(' ').expect("a value").1.parse::<f64>().expect("a number"))
        .sum();
    assert_eq!(sum, f64::from(199 * 200 / 2 + 200));
    assert_eq!(find(&text, "ringmeter_segments{state=\"quarantined\"}"), Some(0.0));
}

#[test]
fn beyond_the_limit_of_series_totals_go_to_the_overflow_series() {
    let scratch = Scratch::new();
    let mut app = Writer::create(scratch.path(), "shop", 1);
    let counters = app.family(family(Kind::Counter, "n_total", &["user"]));
    let histograms = app.family(family(Kind::Histogram, "h", &["user"]));
    for user in 0..20 {
        let series = app.series(counters, &[&user.to_string()]);
        app.add(series, 1);
        let series = app.series(histograms, &[&user.to_string()]);
        app.observe(series, 1.0);
    }
    let mut stage = Stage::with(&scratch, Limits { series_max: 20, ..Limits::default() });
    let text = stage.scrape();
    assert_eq!(text.matches("\nn_total{user=").count(), 4, "{text}");
    assert_eq!(find(&text, "n_total{ringmeter_overflow=\"true\"}"), Some(16.0));
    assert_eq!(find(&text, "h_count{ringmeter_overflow=\"true\"}"), Some(16.0));
    // Two overflow series, eight others, and as many are left for others.
    let reason = "ringmeter_series_overflowed_total{reason=\"producer\"}";
    assert_eq!(find(&text, reason), Some(32.0));
    let mut late = Writer::create(scratch.path(), "shop", 2);
    let counters = late.family(family(Kind::Counter, "n_total", &["user"]));
    let series = late.series(counters, &["late"]);
    late.add(series, 7);
    assert_eq!(stage.value("n_total{user=\"late\"}"), Some(7.0), "a late one has room");
}

#[test]
fn limits_of_one_metric_and_of_label_values_are_told_by_reason() {
    let scratch = Scratch::new();
    let mut app = Writer::create(scratch.path(), "shop", 1);
    let counters = app.family(family(Kind::Counter, "n_total", &["user"]));
    for user in 0..5 {
        let series = app.series(counters, &[&user.to_string()]);
        app.add(series, 1);
    }
    let others = app.family(family(Kind::Counter, "m_total", &["user"]));
    let long = app.series(others, &["12345678901234567"]);
    app.add(long, 3);
    let limits =
        Limits { series_per_family_max: 4, label_value_max_bytes: 16, ..Limits::default() };
    let mut stage = Stage::with(&scratch, limits);
    let text = stage.scrape();
    assert_eq!(find(&text, "n_total{ringmeter_overflow=\"true\"}"), Some(2.0), "{text}");
    assert_eq!(find(&text, "m_total{ringmeter_overflow=\"true\"}"), Some(3.0));
    let by = |reason: &str| {
        find(&text, &format!("ringmeter_series_overflowed_total{{reason=\"{reason}\"}}"))
    };
    assert_eq!((by("metric"), by("label_length")), (Some(2.0), Some(1.0)));
    assert_eq!((by("total"), by("producer"), by("memory")), (Some(0.0), Some(0.0), Some(0.0)));
}

#[test]
fn retired_series_leave_with_what_was_recorded_and_come_back() {
    let scratch = Scratch::new();
    let mut app = Writer::create(scratch.path(), "shop", 1);
    let counters = app.family(family(Kind::Counter, "n_total", &["k"]));
    let (kept, gone) = (app.series(counters, &["kept"]), app.series(counters, &["gone"]));
    app.add(kept, 1);
    app.add(gone, 2);
    let mut stage = Stage::new(&scratch);
    assert_eq!(stage.value("n_total{k=\"gone\"}"), Some(2.0));
    app.add(gone, 3);
    app.turn(gone);
    let text = stage.scrape();
    assert_eq!(find(&text, "n_total{k=\"gone\"}"), None);
    assert_eq!(find(&text, "n_total{k=\"kept\"}"), Some(1.0));
    app.turn(gone);
    assert_eq!(stage.value("n_total{k=\"gone\"}"), Some(5.0));
}

#[test]
fn contradicting_definitions_wait_until_the_first_one_is_gone() {
    let scratch = Scratch::new();
    let mut old = Writer::create(scratch.path(), "shop", 1);
    let histograms = old.family(family(Kind::Histogram, "h", &[]));
    let series = old.series(histograms, &[]);
    old.observe(series, 5.0);
    let mut stage = Stage::new(&scratch);
    stage.scrape();
    let mut new = Writer::create(scratch.path(), "shop", 2);
    let changed = ringmeter_layout::definition::FamilyDefinition {
        bounds: vec![2.0],
        ..family(Kind::Histogram, "h", &[])
    };
    let histograms = new.family(changed);
    let series = new.series(histograms, &[]);
    new.observe(series, 1.0);
    new.observe(series, 1.0);
    let text = stage.scrape();
    assert_eq!(find(&text, "h_count"), Some(1.0), "{text}");
    assert_eq!(find(&text, "ringmeter_metrics_conflicting"), Some(1.0));
    old.die();
    stage.scrape();
    let text = stage.scrape();
    assert_eq!(
        find(&text, "h_bucket{le=\"2.0\"}"),
        Some(2.0),
        "what was counted meanwhile\n{text}"
    );
    assert_eq!(find(&text, "h_count"), Some(2.0));
    assert_eq!(find(&text, "ringmeter_metrics_conflicting"), Some(0.0));
}

#[test]
fn every_own_metric_is_exposed_as_its_table_says() {
    let scratch = Scratch::new();
    let mut app = Writer::create(scratch.path(), "shop", 1);
    // A name that there is advice on.
    app.family(family(Kind::Counter, "n_ms_total", &[]));
    let mut stage = Stage::new(&scratch);
    // As with a web configuration file: without one there is nothing to say of it.
    let web = Arc::new(WebCounts::default());
    web.note_reload(true, 1);
    stage.pipeline.show_web_counts(web);
    let text = stage.scrape();
    let mut names = Vec::new();
    for metric in metrics::all() {
        assert!(text.contains(&format!("# HELP {} {}\n", metric.name, metric.help)), "{text}");
        let sample = format!("\n{}", metric.name);
        let rest = &text[text
            .find(&format!("{sample}{{"))
            .or(text.find(&format!("{sample} ")))
            .unwrap_or_else(|| panic!("no sample of {}", metric.name))
            + sample.len()..];
        let label = rest.strip_prefix('{').and_then(|l| l.split_once('=')).map_or("", |l| l.0);
        assert_eq!(label, metric.label, "{}", metric.name);
        let is_counter = text.contains(&format!("# TYPE {} counter\n", metric.name));
        assert_eq!(is_counter, metric.name.ends_with("_total"), "{}", metric.name);
        names.push(metric.name);
    }
    let exposed = text.lines().filter(|line| line.starts_with("# TYPE ringmeter_")).count();
    assert_eq!(exposed, names.len(), "nothing beside the table");
    assert!(OWN_METRICS.iter().map(|own| own.name).is_sorted(), "the table is in order");
}
