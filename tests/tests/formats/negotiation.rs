//! Each scraper gets its best format, and a page is made once for all of them.

use std::collections::BTreeSet;
use std::io::Read;

use ringmeter_tests::agent::Agent;
use ringmeter_tests::directory::Directory;
use ringmeter_tests::exposition::Scrape;
use ringmeter_tests::scraper::{Reply, request};
use ringmeter_tests::worker::Worker;

use crate::protobuf::decode;

/// What scrapers really send, by version.
const TABLE: &str = include_str!("../../data/accept_headers.tsv");

const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const OPEN_METRICS_ESCAPING: &str =
    "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=underscores";
const PROTOBUF: &str = "application/vnd.google.protobuf; \
                        proto=io.prometheus.client.MetricFamily; encoding=delimited";

/// The Content-Type for each scraper of the table.
const EXPECTED: [(&str, &str); 10] = [
    ("prometheus 2.42-2.48", OPEN_METRICS),
    ("prometheus 2.42-2.48 native-histograms", PROTOBUF),
    ("prometheus 2.49.0", OPEN_METRICS),
    ("prometheus 2.49.1-2.55", OPEN_METRICS),
    ("prometheus 2.49.1-2.55 proto first", PROTOBUF),
    ("prometheus 3.0-3.2", OPEN_METRICS_ESCAPING),
    ("prometheus 3.4-3.14", OPEN_METRICS_ESCAPING),
    ("prometheus 3.4-3.14 proto first", PROTOBUF),
    ("vmagent", TEXT),
    ("curl", TEXT),
];

fn scrape(agent: &Agent, path: &str, headers: &[(&str, &str)]) -> Reply {
    let reply = request(agent.address(), "GET", path, headers).expect("the agent answers");
    assert_eq!(reply.status, 200);
    reply
}

/// The body, decompressed if it says that it is compressed.
fn plain(reply: &Reply) -> Vec<u8> {
    if reply.header("content-encoding") != Some("gzip") {
        return reply.body.clone();
    }
    let mut plain = Vec::new();
    flate2::read::GzDecoder::new(&reply.body[..]).read_to_end(&mut plain).expect("gzip");
    plain
}

#[test]
fn every_scraper_of_the_table_gets_its_format() {
    let directory = Directory::new();
    let agent = Agent::start(directory.path());
    let mut worker = Worker::start(directory.path(), "observe --times 1000");
    worker.wait_until_done();
    let mut rows = TABLE.lines().skip(1).map(|line| line.split('\t').collect::<Vec<_>>());
    for (scraper, content_type) in EXPECTED {
        let row = rows.next().expect("as many as expected");
        assert_eq!(row[0], scraper);
        let mut headers = vec![("Accept", row[1])];
        let is_compressed = row.get(2).is_some_and(|encoding| *encoding == "gzip");
        if is_compressed {
            headers.push(("Accept-Encoding", "gzip"));
        }
        let reply = scrape(&agent, "/metrics", &headers);
        assert_eq!(reply.header("content-type"), Some(content_type), "{scraper}");
        assert_eq!(reply.header("content-encoding").is_some(), is_compressed, "{scraper}");
        assert_eq!(reply.header("vary"), Some("Accept, Accept-Encoding"));
        let body = plain(&reply);
        let count = if content_type == PROTOBUF {
            let families = decode(&body);
            let own = families.iter().find(|family| family.name == "worker_values");
            let own = own.and_then(|family| family.metric.first()?.histogram.clone());
            let own = own.expect("a histogram");
            assert!(!own.positive_span.is_empty(), "native buckets");
            assert_eq!(own.bucket.len(), 7, "classic buckets");
            assert!(own.start_timestamp.is_some());
            own.sample_count
        } else {
            let text = String::from_utf8(body).expect("UTF-8");
            assert_eq!(text.ends_with("# EOF\n"), content_type != TEXT);
            assert!(text.contains("worker_values_bucket{le=\"1.0\"} 4\n"));
            assert!(text.contains("worker_values_count 1000\n"), "{scraper}");
            1000
        };
        assert_eq!(count, 1000, "{scraper}");
    }
    assert_eq!(rows.next(), None, "every row is expected");
}

#[test]
fn head_and_other_methods_and_names() {
    let directory = Directory::new();
    let agent = Agent::start(directory.path());
    let accept = [("Accept", "application/openmetrics-text;version=1.0.0")];
    let head = request(agent.address(), "HEAD", "/metrics", &accept).expect("an answer");
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(head.header("content-type"), Some(OPEN_METRICS));
    assert!(head.header("content-length").is_some());
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"] {
        let reply = request(agent.address(), method, "/metrics", &[]).expect("an answer");
        assert_eq!((reply.status, reply.header("allow")), (405, Some("GET, HEAD")), "{method}");
    }
    let path = "/metrics?name[]=ringmeter_build_info&name%5B%5D=ringmeter_passes_total";
    let reply = scrape(&agent, path, &[]);
    let types: Vec<&str> =
        reply.text().lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
    assert_eq!(types, ["ringmeter_build_info gauge", "ringmeter_passes_total counter"]);
    let reply = scrape(&agent, "/metrics?name[]=nothing", &accept);
    assert_eq!(reply.text(), "# EOF\n");
}

/// Every page tells how many passes there were, so equal bodies are one page.
#[test]
fn scrapes_at_the_same_time_share_pages() {
    let directory = Directory::new();
    let agent = Agent::start(directory.path());
    let mut worker = Worker::start(directory.path(), "wide --series 5000");
    worker.wait_until_done();
    let bodies: Vec<String> = std::thread::scope(|scope| {
        let one = || scrape(&agent, "/metrics", &[]).text().to_owned();
        let all: Vec<_> = (0..100).map(|_| scope.spawn(one)).collect();
        all.into_iter().map(|thread| thread.join().expect("a scrape")).collect()
    });
    let distinct: BTreeSet<&String> = bodies.iter().collect();
    println!("100 scrapes, {} pages", distinct.len());
    for body in &distinct {
        assert_eq!(Scrape::parse(body).sum("worker_wide_total"), 5000.0);
    }
    // They do not arrive in one instant; that they all wait for their own would be 100.
    assert!(distinct.len() < 50, "{} pages", distinct.len());
}
