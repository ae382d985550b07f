//! `ringmeter lint` says what `promtool check metrics` says.
#![expect(clippy::expect_used, reason = "helpers of tests")]

use std::io::Write;
use std::process::{Command, Stdio};

use ringmeter_tests::agent::Agent;
use ringmeter_tests::directory::Directory;
use ringmeter_tests::process::binary;
use ringmeter_tests::worker::Worker;

/// A program's exit code and words, given a text.
fn run(program: &str, arguments: &[&str], text: &str) -> (Option<i32>, String) {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("run it; tests/install-deps.sh installs promtool");
    child.stdin.take().expect("its input").write_all(text.as_bytes()).expect("write to it");
    let output = child.wait_with_output().expect("it ends");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

fn promtool(text: &str) -> (Option<i32>, String) {
    let program = std::env::var("PROMTOOL_BIN").unwrap_or_else(|_| "promtool".to_owned());
    run(&program, &["check", "metrics"], text)
}

fn ringmeter(text: &str) -> (Option<i32>, String) {
    let program = binary("ringmeter");
    run(program.to_str().expect("a plain path"), &["lint", "-"], text)
}

fn family(metric_type: &str, name: &str, samples: &str) -> String {
    format!("# HELP {name} Help.\n# TYPE {name} {metric_type}\n{samples}\n")
}

/// Names that break one rule each, or none.
const NAMES: [&str; 21] = [
    "a",
    "a_total",
    "a_bucket",
    "a_count",
    "a_sum",
    "camelCase",
    "a:b",
    "a_ms",
    "a_kb_x",
    "a_milliseconds",
    "kilobytes_a",
    "a_minutes",
    "a_bits_total",
    "a_gauge",
    "a_counter_b",
    "a_histogram",
    "a_SUMMARY",
    "a_bytes",
    "a_kelvins",
    "UPPER_case",
    "s",
];

/// What is no scrape: both end with 1.
const NO_SCRAPES: [&str; 14] = [
    "a b\n",
    "a 1",
    "1a 1\n",
    "a{b=\"c} 1\n",
    "a{b=\"1\",b=\"2\"} 1\n",
    "a 1 2 3\n",
    "a 1_000\n",
    "# TYPE a foo\na 1\n",
    "# HELP a x\n# HELP a y\na 1\n",
    "a 1\n# TYPE a gauge\n",
    "# HELP h x\n# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\n\
     # HELP h_count y\n# TYPE h_count counter\nh_count 1\n",
    "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1\n# TYPE h_bucket gauge\nh_bucket 1\n",
    "# HELP s x\n# TYPE s summary\ns_sum 1\n# HELP s_sum y\n# TYPE s_sum gauge\ns_sum 1\n",
    "# HELP h x\n# TYPE h histogram\nh_sum 1\n# HELP h_count y\n# TYPE h_count summary\n",
];

/// Texts with every rule's violation, and some without any.
fn table() -> Vec<String> {
    let mut all =
        vec![
        String::new(),
        "a 1\n".to_owned(),
        "x_total 1\nx_bucket 2\nx_ms 3\n".to_owned(),
        "# HELP a \n# TYPE a gauge\na 1\n".to_owned(),
        "# TYPE s summary\n".to_owned(),
        "# HELP a with \\\\ and \\n in it\n# TYPE a gauge\na{b=\"x\\\"y\\\\z\\n\",c=\"}\"} 1 5\n"
            .to_owned(),
        family("gauge", "a", "a{le=\"1\"} 1\na{le=\"2\",bC=\"x\"} 1"),
        family("gauge", "a", "a{quantile=\"1\",} NaN\na{b=\"2\"} +Inf"),
        family("counter", "a_total", "a_total{le=\"1\",quantile=\"2\"} 1e3"),
        family("histogram", "h_seconds", "h_seconds_bucket{le=\"1\",quantile=\"x\"} 1\n\
            h_seconds_bucket{le=\"+Inf\",quantile=\"x\"} 1\nh_seconds_sum{quantile=\"x\"} 1\n\
            h_seconds_count{quantile=\"x\"} 1"),
        family("histogram", "h_seconds", "h_seconds_bucket{le=\"1\"} 1\n\
            h_seconds_bucket{le=\"+Inf\"} 1\nh_seconds_sum 1\nh_seconds_count 1"),
        family("summary", "s_bytes", "s_bytes{quantile=\"0.5\",le=\"x\"} 1\n\
            s_bytes_sum{le=\"x\"} 1\ns_bytes_count{le=\"x\"} 1"),
    ];
    // All names in one text for each type, because a program's start takes longer than its work.
    let each = |line: &dyn Fn(&str) -> String| NAMES.map(line).concat();
    for metric_type in ["counter", "gauge", "untyped"] {
        all.push(each(&|name| family(metric_type, name, &format!("{name} 1"))));
        let bare = |name: &str| format!("# TYPE {name} {metric_type}\n{name}{{aB=\"1\"}} 1\n");
        all.push(each(&bare));
    }
    let apart = |name: &&str| !["a_bucket", "a_count", "a_sum"].contains(name);
    // Those would be parts of `a`.
    let distributions: Vec<&str> = NAMES.into_iter().filter(apart).collect();
    let parts = |name: &str| format!("{name}_sum 1\n{name}_count 1");
    let summary = |name: &&str| family("summary", name, &parts(name));
    all.push(distributions.iter().map(summary).collect());
    let bucket = |name: &str| format!("{name}_bucket{{le=\"+Inf\"}} 1\n{}", parts(name));
    let histogram = |name: &&str| family("histogram", name, &bucket(name));
    all.push(distributions.iter().map(histogram).collect());
    for name in ["a_bucket", "a_count", "a_sum"] {
        all.push(family("summary", name, &parts(name)));
        all.push(family("histogram", name, &bucket(name)));
    }
    // These stand beside a summary and a histogram, and are metrics of their own.
    all.push(format!(
        "{}{}",
        family("summary", "s", &parts("s")),
        family("gauge", "s_bucket", "s_bucket 1")
    ));
    all.push(format!(
        "{}{}",
        family("histogram", "h", &bucket("h")),
        family("gauge", "h_created", "h_created 1")
    ));
    all.extend(NO_SCRAPES.map(str::to_owned));
    all
}

#[test]
fn both_say_the_same() {
    let all = table();
    for text in &all {
        let (code, words) = ringmeter(text);
        let (their_code, their_words) = promtool(text);
        assert_eq!(code, their_code, "{text}\n{words}\n{their_words}");
        if code != Some(1) {
            assert_eq!(words, their_words, "{text}");
        }
    }
    println!("{} texts", all.len());
}

#[test]
fn metrics_whose_samples_collide_are_named() {
    let text = NO_SCRAPES[10];
    let (code, words) = ringmeter(text);
    assert_eq!(code, Some(1), "{words}");
    assert!(words.contains("line 6") && words.contains("samples called h_count"), "{words}");
}

/// Newer promtools have this rule; Debian's 2.42 does not.
#[test]
fn a_series_that_stands_twice_is_told() {
    let text = family("gauge", "a", "a{b=\"1\"} 1\na{b=\"2\"} 1\na{b=\"1\"} 1");
    assert_eq!(ringmeter(&text), (Some(3), "a metric not unique\n".to_owned()));
}

#[test]
fn openmetrics_is_read_too() {
    let text = "# TYPE a counter\n# HELP a Help.\na_total{b=\"1\"} 1 1.5 # {t=\"x\"} 1 2\n\
        a_created{b=\"1\"} 5\n# TYPE i info\n# HELP i Help.\ni_info{v=\"1\"} 1\n# EOF\n";
    let (code, words) = ringmeter(text);
    assert_eq!((code, words.as_str()), (Some(0), ""));
}

#[test]
fn an_agent_is_scraped_and_its_own_metrics_get_no_advice() {
    let directory = Directory::new();
    let agent = Agent::start(directory.path());
    let mut worker = Worker::start(directory.path(), "observe --times 10");
    worker.wait_until_done();
    let url = format!("http://{}/metrics", agent.address());
    let output = Command::new(binary("ringmeter")).args(["lint", &url]).output().expect("run it");
    let words = String::from_utf8_lossy(&output.stderr);
    let own: Vec<&str> = words.lines().filter(|line| line.starts_with("ringmeter_")).collect();
    assert_eq!(own, Vec::<&str>::new());
    let (_, theirs) = promtool(&agent.scrape_text());
    assert_eq!(words, theirs);
}
