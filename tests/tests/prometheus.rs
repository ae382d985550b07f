//! The whole path: real requests to a real service, a real agent, a real Prometheus server.

use ringmeter_tests::agent::Agent;
use ringmeter_tests::directory::Directory;
use ringmeter_tests::http_service::HttpService;
use ringmeter_tests::prometheus::{NATIVE_HISTOGRAMS, Prometheus, promtool_check_metrics};
use ringmeter_tests::scraper::Proxy;
use ringmeter_tests::worker::Worker;

#[test]
fn every_request_is_in_the_agent_and_in_prometheus_exactly() {
    let directory = Directory::new();
    let agent = Agent::start(directory.path());
    let service = HttpService::start(directory.path());
    let server = Prometheus::start(agent.address());
    // Units of an eighth: their sum is exact in a float.
    let mut units = 0.0;
    std::thread::scope(|scope| {
        for client in 0..4_u32 {
            let service = &service;
            scope.spawn(move || {
                for number in 0..250_u32 {
                    let status = match (client + number) % 3 {
                        0 => service.get(&format!("/work?ms=0&units={}", f64::from(number) / 8.0)),
                        1 => service.get("/error"),
                        _ => service.get(&format!("/items/{}", number * 7)),
                    };
                    assert!(matches!(status, 200 | 404 | 500), "{status}");
                }
            });
        }
    });
    let mut works = 0.0;
    for client in 0..4_u32 {
        for number in (0..250_u32).filter(|number| (client + number) % 3 == 0) {
            units += f64::from(number) / 8.0;
            works += 1.0;
        }
    }
    let scrape = agent.scrape();
    assert_eq!(scrape.sum("http_requests_total"), 1000.0);
    assert_eq!(scrape.sum("http_request_duration_seconds_count"), 1000.0);
    assert_eq!(scrape.value("http_response_size_bytes_count"), 1000.0);
    assert_eq!(scrape.value("app_work_units_count"), works);
    assert_eq!(scrape.value("app_work_units_sum"), units);
    assert_eq!(scrape.lost(), 0.0);
    server.wait_for("sum(http_requests_total)", 1000.0);
    server.wait_for("sum(http_request_duration_seconds_count)", 1000.0);
    server.wait_for("app_work_units_count", works);
    server.wait_for("app_work_units_sum", units);
    server.wait_for("up{job=\"ringmeter\"}", 1.0);
    let (accepted, words) = promtool_check_metrics(&agent.scrape_text());
    assert!(accepted, "promtool check metrics: {words}");
}

/// The quantile rule that the README states: the value of rank max(1, ceil(q·n)).
fn exact_quantile(quantile: f64, count: u32) -> f64 {
    let rank = (quantile * f64::from(count)).ceil().max(1.0);
    rank * 0.25
}

#[test]
fn quantiles_are_within_their_stated_error_and_sums_are_exact() {
    const COUNT: u32 = 100_000;
    let directory = Directory::new();
    let agent = Agent::start(directory.path());
    // Lanes that hold everything: what spills is estimated from coarser buckets.
    let arguments = format!("observe --times {COUNT} --threads 4 --lane-capacity 65536");
    let mut worker = Worker::start(directory.path(), &arguments);
    worker.wait_until_done();
    let scrape = agent.scrape();
    let sum = 0.25 * f64::from(COUNT) * f64::from(COUNT + 1) / 2.0;
    for family in ["worker_values", "worker_summary"] {
        assert_eq!(scrape.value(&format!("{family}_count")), f64::from(COUNT));
        assert_eq!(scrape.value(&format!("{family}_sum")), sum);
    }
    for (bound, count) in [("1.0", 4.0), ("2.0", 8.0), ("100.0", 400.0), ("+Inf", 100_000.0)] {
        let series = format!("worker_values_bucket{{le=\"{bound}\"}}");
        assert_eq!(scrape.get(&series), Some(count), "{series}");
    }
    assert_eq!(scrape.sum("ringmeter_records_spilled_total"), 0.0);
    assert_eq!(scrape.value("worker_level"), f64::from(COUNT) + 0.5);
    for quantile in [0.0, 0.01, 0.25, 0.5, 0.9, 0.99, 0.999, 1.0] {
        let series = format!("worker_summary{{quantile=\"{}\"}}", canonical(quantile));
        let estimate = scrape.get(&series).unwrap_or_else(|| panic!("{series}"));
        let exact = exact_quantile(quantile, COUNT);
        let error = (estimate - exact).abs() / exact;
        println!("{series}: {estimate}, exact {exact}, error {error:.5}");
        assert!(error <= 0.011, "{series}: {estimate} for {exact}");
    }
}

fn canonical(quantile: f64) -> String {
    if quantile.fract() == 0.0 { format!("{quantile:.1}") } else { quantile.to_string() }
}

/// `observe --times COUNT`: 0.25, 0.5, … COUNT/4.
const COUNT: u32 = 2_000;

/// An agent with observations and a proxy before it, until both are dropped.
struct Target {
    _directory: Directory,
    _agent: Agent,
    _worker: Worker,
    proxy: Proxy,
}

impl Target {
    fn start(accept: Option<&'static str>) -> Self {
        let directory = Directory::new();
        let agent = Agent::start(directory.path());
        let arguments = format!("observe --times {COUNT} --lane-capacity 65536");
        let mut worker = Worker::start(directory.path(), &arguments);
        worker.wait_until_done();
        let proxy = Proxy::start(agent.address(), accept);
        Self { _directory: directory, _agent: agent, _worker: worker, proxy }
    }

    /// Whether every scrape went well, and in this format.
    fn check(&self, server: &Prometheus, content_type: &str) {
        server.wait_for("up{job=\"ringmeter\"}", 1.0);
        assert_eq!(server.query("min_over_time(up{job=\"ringmeter\"}[1h])"), Some(1.0));
        let types = self.proxy.content_types();
        assert!(!types.is_empty() && types.iter().all(|own| own == content_type), "{types:?}");
    }
}

#[test]
fn a_server_scrapes_openmetrics_by_default() {
    let target = Target::start(None);
    let server = Prometheus::start(target.proxy.address());
    server.wait_for("worker_values_count", f64::from(COUNT));
    server.wait_for("worker_values_bucket{le=\"1.0\"}", 4.0);
    server.wait_for("worker_summary{quantile=\"1.0\"} > bool 490", 1.0);
    let types = target.proxy.content_types();
    let content_type = types.first().expect("a scrape");
    let is_open_metrics =
        content_type.starts_with("application/openmetrics-text; version=1.0.0; charset=utf-8");
    assert!(is_open_metrics, "{content_type}");
    target.check(&server, content_type);
}

#[test]
fn a_server_scrapes_text_if_it_accepts_nothing_else() {
    let target = Target::start(Some("text/plain;version=0.0.4;q=1,*/*;q=0.1"));
    let server = Prometheus::start(target.proxy.address());
    server.wait_for("worker_values_count", f64::from(COUNT));
    server.wait_for("worker_values_bucket{le=\"1.0\"}", 4.0);
    target.check(&server, "text/plain; version=0.0.4; charset=utf-8");
}

#[test]
fn a_server_takes_native_histograms_from_protobuf() {
    let target = Target::start(None);
    let server = Prometheus::start_with(target.proxy.address(), &[NATIVE_HISTOGRAMS]);
    server.wait_for("histogram_count(worker_values)", f64::from(COUNT));
    let sum = 0.25 * f64::from(COUNT) * f64::from(COUNT + 1) / 2.0;
    server.wait_for("histogram_sum(worker_values)", sum);
    target.check(
        &server,
        "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; \
         encoding=delimited",
    );
    let growth = growth(&server.query_json("worker_values"));
    // What the documentation states for the schema that the buckets show.
    let stated = (growth - 1.0) / (growth + 1.0);
    println!("buckets grow by {growth}: a relative error of {stated}");
    assert!(stated < 0.044, "schema 3 at least: {stated}");
    for quantile in [0.1, 0.25, 0.5, 0.75, 0.9] {
        let expression = format!("histogram_quantile({quantile}, worker_values)");
        let estimate = server.query(&expression).expect("a quantile");
        let exact = exact_quantile(quantile, COUNT);
        let error = (estimate - exact).abs() / exact;
        println!("{expression}: {estimate}, exact {exact}, error {error:.5}");
        assert!(error <= stated, "{expression}: {estimate} for {exact}");
    }
}

/// The upper bound of the last bucket of a native histogram, divided by its lower one.
#[expect(clippy::expect_used, reason = "a broken answer fails the test")]
fn growth(json: &str) -> f64 {
    let last = json.rsplit("[0,\"").next().expect("buckets");
    let mut bounds = last.split('"').filter_map(|text| text.parse::<f64>().ok());
    let (lower, upper) = (bounds.next().expect("a bound"), bounds.next().expect("a bound"));
    upper / lower
}
