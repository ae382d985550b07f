//! The configuration file, from outside: checked, printed, and read again under load.
#![expect(clippy::expect_used, reason = "helpers of tests")]

#[path = "reload/native.rs"]
mod native;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::sys::signal::Signal;
use ringmeter_tests::agent::{Agent, request};
use ringmeter_tests::directory::Directory;
use ringmeter_tests::exposition::Scrape;
use ringmeter_tests::process::{binary, wait_until};
use ringmeter_tests::worker::Worker;

fn run(arguments: &[&str]) -> Output {
    Command::new(binary("ringmeter")).args(arguments).output().expect("run ringmeter")
}

/// A configuration file beside the shared directory, gone with the test.
struct ConfigFile(PathBuf);

impl ConfigFile {
    fn new(name: &str, text: &str) -> Self {
        let file = format!("ringmeter-{name}-{}.yml", std::process::id());
        let own = Self(std::env::temp_dir().join(file));
        own.write(text);
        own
    }

    fn write(&self, text: &str) {
        fs::write(&self.0, text).expect("write the configuration");
    }

    fn path(&self) -> &str {
        self.0.to_str().expect("a path of plain characters")
    }
}

impl Drop for ConfigFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn start(directory: &Path, config: &ConfigFile) -> Agent {
    Agent::start_with(directory, &["--config.file", config.path(), "--web.enable-lifecycle"])
}

fn reload(agent: &Agent) -> (u16, String) {
    let answer = request(agent.address(), "POST", "/-/reload").expect("the agent answers");
    (answer.status, answer.body)
}

const TEN_MISTAKES: &str = r#"limits:
  series_max: -1
  pass_duration_max: 10
  memory_max: lots
service_label: le
views:
  - metric: "a-b"
  - metric: a
    buckets: [2, 1]
    gauge_rule: average
  - rename: b
metric_relabel_configs:
  - regex: "["
    target_label: a
    action: replace
"#;

#[test]
fn check_config_tells_all_ten_mistakes_and_the_printed_default_has_none() {
    let file = ConfigFile::new("ten", TEN_MISTAKES);
    let output = run(&["check-config", file.path()]);
    assert_eq!(output.status.code(), Some(64));
    let words = String::from_utf8(output.stderr).expect("text");
    let lines: Vec<&str> = words.lines().collect();
    assert!(lines[0].ends_with(": 10 problems"), "{words}");
    assert_eq!(lines.len(), 11, "{words}");
    for (line, begin) in lines[1..].iter().zip([
        "  2:15: limits.series_max: must be a whole number from 1 to ",
        "  3:22: limits.pass_duration_max: must be a duration from 1ms to 1s",
        "  4:15: limits.memory_max: must be a size from 16MiB to ",
        "  5:16: service_label: must be the name of a label",
        "  7:13: views[0].metric: must be the name of a metric",
        "  9:18: views[1].buckets[1]: must be more than 2",
        "  10:17: views[1].gauge_rule: must be one of sum, min, max",
        "  11:5: views[2]: needs metric or labels",
        "  11:13: views[2].rename: gives one name, so metric must be",
        "  13:12: metric_relabel_configs[0].regex: must be a regular expression",
    ]) {
        assert!(line.starts_with(begin), "{line}\n{begin}");
    }
    let agent = run(&["agent", "--config.file", file.path()]);
    assert_eq!(agent.status.code(), Some(64), "an agent does not start with it");
    let default = run(&["config", "--print-default"]);
    file.write(&String::from_utf8(default.stdout).expect("text"));
    let output = run(&["check-config", file.path()]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let absent = run(&["check-config", "/nonexistent/ringmeter.yml"]);
    assert_eq!(absent.status.code(), Some(64));
}

#[test]
fn a_bad_file_leaves_the_one_before_in_force() {
    let directory = Directory::new();
    let file = ConfigFile::new("bad", "views:\n  - {metric: worker_level, rename: app_level}\n");
    let mut agent = start(directory.path(), &file);
    let mut worker = Worker::start(directory.path(), "observe --times 10");
    worker.wait_until_done();
    let state = |agent: &Agent| {
        let scrape = agent.scrape();
        let is_successful = scrape.value("ringmeter_config_last_reload_successful");
        let time = scrape.value("ringmeter_config_last_reload_success_timestamp_seconds");
        assert!(time > 1.7e9, "{time}");
        (is_successful, scrape.get("app_level"), scrape.get("worker_level"), time)
    };
    let (successful, app, own, first) = state(&agent);
    assert_eq!((successful, app, own), (1.0, Some(10.5), None));

    file.write("views:\n  - {metric: worker_level, renam: b}\n");
    let (status, words) = reload(&agent);
    assert_eq!(status, 500);
    let told = "2:28: views[0].renam: is not known; did you mean rename?";
    assert!(words.contains(told), "{words}");
    let (successful, app, own, time) = state(&agent);
    assert_eq!((successful, app, own, time), (0.0, Some(10.5), None, first));

    // SIGHUP does the same, and is heard without --web.enable-lifecycle.
    file.write("views:\n  - {metric: worker_level, rename: other_level}\n");
    agent.process().signal(Signal::SIGHUP);
    wait_until("the new file is in force", Duration::from_secs(10), || {
        agent.scrape().get("other_level").is_some()
    });
    let (successful, app, own, time) = state(&agent);
    assert_eq!((successful, app, own), (1.0, None, None));
    assert!(time > first);
    let put = request(agent.address(), "PUT", "/-/reload").expect("the agent answers");
    assert_eq!(put.status, 200);
    let get = agent.try_get("/-/reload").expect("the agent answers");
    assert_eq!((get.status, get.body.as_str()), (405, "Only POST or PUT requests allowed\n"));
    assert!(get.head.to_lowercase().contains("allow: post, put"), "{}", get.head);
}

#[test]
fn without_lifecycle_nobody_reloads_and_the_agents_own_metrics_can_be_left_out() {
    let directory = Directory::new();
    let agent = Agent::start_with(directory.path(), &["--web.disable-exporter-metrics"]);
    assert_eq!(reload(&agent), (403, "Lifecycle API is not enabled.\n".to_owned()));
    let mut worker = Worker::start(directory.path(), "observe --times 10");
    worker.wait_until_done();
    let scrape = agent.scrape_text();
    assert!(scrape.contains("worker_level 10.5"), "{scrape}");
    assert!(!scrape.contains("ringmeter_"), "{scrape}");
}

/// Everything that may never decrease, with its largest value so far.
#[derive(Default)]
struct Highest(BTreeMap<String, f64>);

impl Highest {
    fn check(&mut self, text: &str) {
        let scrape = Scrape::parse(text);
        let names = text.lines().filter(|line| !line.starts_with('#'));
        for series in names.filter_map(|line| line.rsplit_once(' ')).map(|(series, _)| series) {
            let name = series.split('{').next().unwrap_or_default();
            let is_app = name.starts_with("worker_") || name.starts_with("app_");
            let is_total = ["_total", "_count", "_bucket"].iter().any(|s| name.ends_with(s));
            if !(is_app && is_total) {
                continue;
            }
            let value = scrape.value(series);
            let highest = self.0.entry(series.to_owned()).or_insert(value);
            assert!(value >= *highest, "{series} went from {highest} to {value}");
            *highest = value;
        }
    }
}

/// Ends the scraping also when the test fails meanwhile.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Each configuration, and what has to be in the first scrape under it, or not.
const STEPS: [(&str, &[&str], &[&str]); 6] = [
    (
        "",
        &["worker_values_bucket{le=\"100.0\"}", "worker_summary{quantile=\"0.01\"}"],
        &["(Buckets computed by the agent"],
    ),
    (
        "views:\n  - {metric: worker_values, buckets: [0.25, 0.5, 1]}\n",
        &["worker_values_bucket{le=\"0.25\"}", "(Buckets computed by the agent"],
        &["le=\"100.0\"", "worker_values_quantiles"],
    ),
    (
        "views:\n  - metric: worker_values\n    show: [histogram, summary]\n    \
         summary: {objectives: [0.5], max_age: 1m, age_buckets: 3}\n  \
         - {metric: worker_summary, summary: {objectives: [0.25, 0.75]}}\n",
        &[
            "worker_values_quantiles{quantile=\"0.5\"}",
            "worker_values_bucket{le=\"100.0\"}",
            "worker_summary{quantile=\"0.75\"}",
        ],
        &["worker_summary{quantile=\"0.99\"}"],
    ),
    (
        "views:\n  - metric: worker_summary\n    buckets: [0.1, 0.5]\n    \
         native_histogram: {schema: 2, buckets_max: 20}\n",
        &["worker_summary_bucket{le=\"0.5\"}"],
        &["worker_summary{quantile", "worker_values_quantiles"],
    ),
    (
        "metric_relabel_configs:\n  - {action: labeldrop, regex: text}\n  \
         - {source_labels: [__name__], regex: 'worker_labelled_(.*)', target_label: __name__, \
         replacement: 'app_merged_$1'}\n  - {source_labels: [__name__], regex: worker_level, \
         action: drop}\n",
        &["app_merged_total ", "worker_count_total"],
        &["worker_level", "worker_labelled_total"],
    ),
    ("limits: {series_max: 1000}\n", &["worker_labelled_total{text=\"even\"}"], &["app_merged"]),
];

#[test]
fn under_load_a_reload_changes_the_view_and_no_number() {
    let directory = Directory::new();
    let file = ConfigFile::new("load", "");
    let agent = start(directory.path(), &file);
    let mut worker = Worker::start(directory.path(), "load");
    worker.wait_until_done();
    let highest = Mutex::new(Highest::default());
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                // One at a time: a scrape that was asked for earlier may arrive later.
                highest.lock().expect("unpoisoned").check(&agent.scrape_text());
                std::thread::sleep(Duration::from_millis(10));
            }
        });
        let over = Over(&is_over);
        for (config, expected, gone) in STEPS.iter().cycle().take(2 * STEPS.len()) {
            file.write(config);
            assert_eq!(reload(&agent), (200, String::new()));
            let text = {
                let mut highest = highest.lock().expect("unpoisoned");
                let text = agent.scrape_text();
                highest.check(&text);
                let is_app = |line: &&str| !line.contains("ringmeter_");
                text.lines().filter(is_app).collect::<Vec<_>>().join("\n")
            };
            for own in *expected {
                assert!(text.contains(own), "{own} is missing with\n{config}\nin\n{text}");
            }
            for own in *gone {
                assert!(!text.contains(own), "{own} is there with\n{config}\nin\n{text}");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        drop(over);
    });
    worker.send("stop");
    let rounds: f64 = worker.line().trim_start_matches("loaded ").parse().expect("a number");
    let scrape = agent.scrape();
    println!("{rounds} rounds, {} series never decreased", highest.lock().expect("ok").0.len());
    assert_eq!(scrape.value("worker_count_total"), rounds);
    assert_eq!(scrape.value("worker_values_count"), rounds);
    assert_eq!(scrape.value("worker_summary_count"), rounds);
    assert_eq!(scrape.sum("worker_labelled_total"), rounds);
    assert_eq!(scrape.lost(), 0.0);

    // Computed buckets and quantiles of the same numbers, within their stated errors.
    file.write(
        "views:\n  - metric: worker_values\n    buckets: [0.1, 0.5]\n    \
         summary: {objectives: [0.5]}\n  - metric: worker_summary\n    \
         summary: {objectives: [0.5], max_age: 1h}\n",
    );
    assert_eq!(reload(&agent), (200, String::new()));
    let scrape = agent.scrape();
    assert_eq!(scrape.value("worker_values_count"), rounds);
    for (series, share) in
        [("worker_values_bucket{le=\"0.1\"}", 0.1), ("worker_values_bucket{le=\"0.5\"}", 0.5)]
    {
        let found = scrape.value(series) / rounds;
        assert!((found / share - 1.0).abs() < 0.1, "{series}: {found}");
    }
    let median = scrape.value("worker_summary{quantile=\"0.5\"}");
    assert!((0.45..0.55).contains(&median), "what the window held is in the longer one: {median}");
}

#[test]
fn services_share_a_directory_where_a_label_tells_them_apart() {
    let directory = Directory::new();
    let file = ConfigFile::new("service", "service_label: service\n");
    let agent = start(directory.path(), &file);
    let workers: Vec<Worker> = ["first", "second"]
        .into_iter()
        .map(|service| {
            let mut command = Command::new("env");
            let rename = r#"RINGMETER_SERVICE=$0 exec "$@""#;
            command.args(["sh", "-c", rename, service]).arg(binary("worker"));
            let mut worker = Worker::start_command(command, directory.path(), "count --times 5");
            worker.wait_until_done();
            worker
        })
        .collect();
    let scrape = agent.scrape();
    for service in ["first", "second"] {
        let series = format!("worker_count_total{{service=\"{service}\"}}");
        assert_eq!(scrape.get(&series), Some(5.0), "{}", agent.scrape_text());
    }
    assert_eq!(scrape.value("ringmeter_segments_quarantined{reason=\"other_service\"}"), 0.0);
    drop(workers);
}
