//! Exemplars from a real process to a real server.
#![allow(clippy::expect_used, reason = "tests")]

use std::time::Duration;

use ringmeter::{Exemplar, Options, Producer};
use ringmeter_tests::agent::Agent;
use ringmeter_tests::allocation::{Counting, peak_bytes};
use ringmeter_tests::directory::Directory;
use ringmeter_tests::exposition::Scrape;
use ringmeter_tests::process::wait_until;
use ringmeter_tests::prometheus::{EXEMPLARS, NATIVE_HISTOGRAMS, Prometheus};
use ringmeter_tests::scraper::request;
use ringmeter_tests::worker::Worker;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const OPEN_METRICS: &str = "application/openmetrics-text;version=1.0.0";
/// `exemplars --times TIMES`.
const TIMES: u32 = 20_000;

/// What `exemplars` has made of its histogram and its counter.
fn assert_exact(scrape: &Scrape) {
    let times = f64::from(TIMES);
    let sum: f64 = (1..=TIMES).map(|number| f64::from(number % 1000 + 1)).sum();
    assert_eq!(scrape.value("worker_values_count"), times + 2.0);
    assert_eq!(scrape.value("worker_values_sum"), sum + 6.0);
    assert_eq!(scrape.value("worker_count_total"), times + 5.0);
    assert_eq!(scrape.lost(), 0.0);
    let dropped = |reason: &str| {
        scrape.value(&format!("ringmeter_exemplars_dropped_total{{reason=\"{reason}\"}}"))
    };
    assert_eq!((dropped("malformed"), dropped("memory"), dropped("labels")), (0.0, 0.0, 1.0));
    assert!(dropped("lane") <= 2.0 * times, "{}", dropped("lane"));
}

#[test]
fn a_server_keeps_exemplars_of_buckets_and_counters() {
    let directory = Directory::new();
    let agent = Agent::start(directory.path());
    let server = Prometheus::start_with(agent.address(), &[EXEMPLARS]);
    let mut worker = Worker::start(directory.path(), &format!("exemplars --times {TIMES}"));
    worker.wait_until_done();
    assert_exact(&agent.scrape());
    let headers = [("Accept", OPEN_METRICS)];
    let page = request(agent.address(), "GET", "/metrics", &headers).expect("a page");
    let page = page.text();
    let bucket = page.lines().find(|line| line.contains("worker_values_bucket{le=\"5.0\"}"));
    let bucket = bucket.expect("a bucket");
    let labels = r#" # {trace_id="last",user="é \"\n"} 3 1"#;
    assert!(bucket.contains(labels), "{bucket}");
    for series in ["worker_values_bucket{le=\"5.0\"}", "worker_count_total"] {
        wait_until("the server has the exemplar", Duration::from_secs(30), || {
            server.exemplars_json(series).contains("\"trace_id\":\"last\"")
        });
    }
    let json = server.exemplars_json("worker_values_bucket");
    // Debian's server keeps the escapes of OpenMetrics in it.
    assert!(json.contains(r#""user":"é "#), "{json}");
    assert!(json.contains(r#""span_id":"0f0f0f0f0f0f0f0f""#), "{json}");
    assert!(!json.contains("refused"), "{json}");
}

#[test]
fn a_server_keeps_exemplars_of_native_histograms() {
    let directory = Directory::new();
    let agent = Agent::start(directory.path());
    let features = [NATIVE_HISTOGRAMS, "--enable-feature=exemplar-storage,native-histograms"];
    let server = Prometheus::start_with(agent.address(), &features);
    let mut worker = Worker::start(directory.path(), &format!("exemplars --times {TIMES}"));
    worker.wait_until_done();
    server.wait_for("histogram_count(worker_values)", f64::from(TIMES) + 2.0);
    wait_until("the server has the exemplar", Duration::from_secs(30), || {
        // Debian's server takes one of each histogram.
        server.exemplars_json("worker_values").contains("\"span_id\":\"0f0f0f0f0f0f0f0f\"")
    });
    assert_exact(&agent.scrape());
}

#[test]
fn events_count_without_an_agent_and_without_room() {
    let directory = Directory::new();
    // The smallest lane: hardly anything finds room, while nobody reads and afterwards.
    let arguments = format!("exemplars --times {TIMES} --lane-capacity 64");
    let mut worker = Worker::start(directory.path(), &arguments);
    worker.wait_until_done();
    let agent = Agent::start(directory.path());
    assert_exact(&agent.scrape());
    // Nor without a lane.
    let directory = Directory::new();
    let mut worker =
        Worker::start(directory.path(), &format!("exemplars --times {TIMES} --lanes 1"));
    worker.wait_until_done();
    let agent = Agent::start(directory.path());
    assert_exact(&agent.scrape());
}

#[test]
fn nothing_is_allocated_with_room_and_without() {
    let directory = Directory::new();
    let producer = Producer::builder()
        .directory(directory.path())
        .service("exemplars")
        .lane_capacity_records(256)
        .build();
    let options = Options::new("allocation_seconds", "Calls.").buckets(&[0.1, 1.0]);
    let histogram = producer.histogram(options).expect("register");
    let counter = producer.counter(("allocation_total", "Calls.")).expect("register");
    producer.prepare_thread();
    histogram.observe(0.5);
    let ((), peak) = peak_bytes(|| {
        for _ in 0..1000 {
            histogram.observe_with_exemplar(0.5, Exemplar::of_trace([1; 16], [2; 8]));
            histogram.observe_with_exemplar(0.5, &[("trace_id", "4bf92f3577b34da6")]);
            histogram.observe_with_exemplar(0.5, &[("no-name", "x")]);
            counter.inc_with_exemplar(&[("a", "b"), ("a", "c")]);
            counter.inc_by_with_exemplar(2, Exemplar::default());
        }
    });
    assert_eq!(peak, 0, "bytes");
}
