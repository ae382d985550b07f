use ringmeter_layout::naming::GaugeRule;

use super::*;
use crate::rule::{Forms, NativeView};

fn problems(text: &str) -> Vec<String> {
    match FileConfig::parse(text.as_bytes()) {
        Ok(config) => panic!("no problem found: {config:?}"),
        Err(problems) => problems.iter().map(ToString::to_string).collect(),
    }
}

#[test]
fn the_printed_default_means_what_an_empty_file_means() {
    let text = default_text();
    assert_eq!(FileConfig::parse(text.as_bytes()).expect("the default"), FileConfig::default());
    assert_eq!(FileConfig::parse(b"").expect("empty"), FileConfig::default());
    assert_eq!(FileConfig::parse(b"# nothing\n").expect("empty"), FileConfig::default());
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
}

/// The examples of the default with their `#` taken away, which must be right, too.
fn examples() -> String {
    let text = default_text().replace("views: []", "views:");
    let text = text.replace("metric_relabel_configs: []", "metric_relabel_configs:");
    let example = |line: &str| line.starts_with("# - ") || line.starts_with("#   ");
    let lines = text.lines().map(|line| if example(line) { &line[2..] } else { line });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn every_field_is_in_the_printed_default_and_its_examples_are_right() {
    let text = examples();
    let keys = KEYS.iter().chain(&views::KEYS).chain(&views::NATIVE_KEYS);
    for key in keys.chain(&views::SUMMARY_KEYS).chain(&relabel::KEYS) {
        let is_there = text.lines().any(|line| {
            let line = line.trim_start().trim_start_matches("- ");
            line.split_once(':').is_some_and(|(own, _)| own == *key)
        });
        assert!(is_there, "{key} is not in the printed default");
    }
    // One name, as some fields of the example need it.
    let text = text.replace("\"app_*_seconds\"", "app_latency_seconds");
    let text = text.replace("  series_max: 1000", "  # series_max: 1000");
    let config = FileConfig::parse(text.as_bytes()).expect("the examples");
    let [view] = config.rules.views.as_slice() else { panic!("one view") };
    assert_eq!(view.native, Some(Some(NativeView::default())));
    assert_eq!(view.forms, Some(Forms { histogram: true, summary: true }));
    assert_eq!(view.gauge_rule, Some(GaugeRule::Max));
    assert_eq!(config.rules.relabel.len(), 1);
}

#[test]
fn ten_mistakes_get_ten_messages_with_line_path_and_what_would_be_right() {
    let text = r#"limits:
  series_max: many
  memory_max: 64 MB
  pass_duraton_max: 10ms
service_label: "a-b"
views:
  - metric: "app latency"
  - metric: app_seconds
    buckets: [0.1, 0.1]
    summary: {objectives: [50]}
  - metric: app_other
    native_histogram: {schema: 8}
metric_relabel_configs:
  - action: replace
    regex: "(a"
    target_label: x
  - action: drop
    target_label: y
    source_labels: [z]
"#;
    let expected = [
        "2:15: limits.series_max: must be a whole number from 1 to 524288, not \"many\"",
        "3:15: limits.memory_max: must be a size from 16MiB to 64GiB, as 64MiB, not \"64 MB\"",
        "4:3: limits.pass_duraton_max: is not known; did you mean pass_duration_max?",
        "5:16: service_label: must be the name of a label, as service, and not le,",
        "7:13: views[0].metric: must be the name of a metric, in which * stands for any",
        "9:20: views[1].buckets[1]: must be more than 0.1, the number before it",
        "10:27: views[1].summary.objectives: must be numbers from 0 to 1, as 0.99",
        "12:32: views[2].native_histogram.schema: must be a whole number from -4 to 5",
        "15:12: metric_relabel_configs[0].regex: must be a regular expression of RE2's kind",
        "18:19: metric_relabel_configs[1].target_label: has no effect with the action drop",
    ];
    let found = problems(text);
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.starts_with(expected), "{found}\n{expected}");
    }
}

#[test]
fn each_mistake_is_told_where_it_is() {
    let cases = [
        ("view:\n", "1:1: view: is not known; did you mean views?"),
        ("nonsense: 1\n", "1:1: nonsense: is not known; the keys here are limits,"),
        ("views: []\nviews: []\n", "2:1: views: stands twice; remove one"),
        ("views: {}\n", "1:8: views: must be a list, not a mapping"),
        ("- a\n", "1:1: must be a mapping with the keys limits,"),
        ("1: 2\n", "1:1: 1: is not known; the keys here are limits,"),
        ("a: [1\nb: 2\n", "2:2: is not YAML: "),
        ("a: *b\n", "1:4: is not YAML: "),
        ("limits: {}\n---\nlimits: {}\n", "3:1: is not YAML: "),
        ("views:\n  - drop: true\n", "2:5: views[0]: needs metric or labels"),
        (
            "views:\n  - metric: a*\n    rename: b\n",
            "3:13: views[0].rename: gives one name, so metric must be one name",
        ),
        (
            "views:\n  - metric: a\n    rename: ringmeter_b\n",
            "3:13: views[0].rename: must be the name of a metric: ",
        ),
        (
            "views:\n  - labels: {a: b}\n    buckets: [1]\n",
            "3:14: views[0].buckets: differs for some series of a metric only: needs rename",
        ),
        (
            "views:\n  - metric: a\n    rename: x\n  - metric: b\n    rename: x\n",
            "5:13: views[1].rename: must be another name than \"x\", which views[0].rename",
        ),
        (
            "views:\n  - metric: a\n    buckets: [1, .inf]\n",
            "3:14: views[0].buckets: must not have +Inf, which is always there",
        ),
        (
            "views:\n  - metric: a\n    summary: {max_age: 0s}\n",
            "3:24: views[0].summary.max_age: must be a duration from 1s to 24h,",
        ),
        (
            "views:\n  - metric: a\n    gauge_rule: avg\n",
            "3:17: views[0].gauge_rule: must be one of sum, min, max, mean, most_recent,",
        ),
        (
            "metric_relabel_configs:\n  - action: hashmod\n",
            "2:13: metric_relabel_configs[0].action: hashmod is not offered here",
        ),
        (
            "metric_relabel_configs:\n  - target_label: le\n",
            "2:19: metric_relabel_configs[0].target_label: must be the name of a label that",
        ),
        (
            "metric_relabel_configs:\n  - action: keep\n",
            "2:5: metric_relabel_configs[0]: needs source_labels for the action keep",
        ),
        (
            "metric_relabel_configs:\n  - source_labels: [le]\n    target_label: a\n",
            "2:21: metric_relabel_configs[0].source_labels[0]: is not there yet",
        ),
        (
            "metric_relabel_configs:\n  - regex: 'a)(b'\n    target_label: a\n",
            "2:12: metric_relabel_configs[0].regex: must be a regular expression",
        ),
    ];
    for (text, expected) in cases {
        let found = problems(text);
        assert_eq!(found.len(), 1, "{text}{found:#?}");
        assert!(found[0].starts_with(expected), "{}\n{expected}", found[0]);
    }
    let garbage = FileConfig::parse(b"a: 1\n\xff").expect_err("not UTF-8");
    assert_eq!(garbage[0].to_string(), "2:1: is not UTF-8");
}

#[test]
fn aliases_cannot_multiply_a_file_without_end() {
    let mut text = String::from("a0: &a0 [1,1,1,1,1,1,1,1]\n");
    for level in 1..12 {
        let before = level - 1;
        let list = vec![format!("*a{before}"); 8].join(",");
        text.push_str(&format!("a{level}: &a{level} [{list}]\n"));
    }
    assert!(problems(&text)[0].contains("is not YAML"), "{text}");
}

#[test]
fn many_problems_are_counted_and_not_all_told() {
    let mut text = String::new();
    for number in 0..500 {
        text.push_str(&format!("key{number}: 1\n"));
    }
    let found = problems(&text);
    assert_eq!((found.len(), found[100].as_str()), (101, "101:1: and 400 more problems"));
}
