//! Resolution of native histograms, set by a view and changed while the agent runs.

use prometheus_client::encoding::prometheus_protobuf::prometheus_data_model as model;
use prost::Message;
use ringmeter_tests::agent::Agent;
use ringmeter_tests::directory::Directory;
use ringmeter_tests::scraper::request;
use ringmeter_tests::worker::Worker;

use crate::{ConfigFile, reload, start};

const PROTOBUF: &str = "application/vnd.google.protobuf;\
                        proto=io.prometheus.client.MetricFamily;encoding=delimited";
/// `observe --times COUNT`: 0.25, 0.5, … COUNT/4.
const COUNT: u64 = 4000;

/// The histogram of a scrape in protobuf.
fn histogram(agent: &Agent) -> model::Histogram {
    let headers = [("Accept", PROTOBUF)];
    let reply = request(agent.address(), "GET", "/metrics", &headers).expect("the agent answers");
    let mut stream = reply.body.as_slice();
    while !stream.is_empty() {
        let family = model::MetricFamily::decode_length_delimited(&mut stream).expect("a message");
        if family.name == "worker_values" {
            return family.metric[0].histogram.clone().expect("a histogram");
        }
    }
    unreachable_without(&reply.body)
}

#[expect(clippy::panic, reason = "the test fails")]
fn unreachable_without(body: &[u8]) -> model::Histogram {
    panic!("no worker_values in {} bytes", body.len())
}

/// Buckets by index, from spans and deltas.
fn buckets(histogram: &model::Histogram) -> Vec<(i32, u64)> {
    let (mut index, mut count, mut all) = (0, 0, Vec::new());
    let mut deltas = histogram.positive_delta.iter();
    for span in &histogram.positive_span {
        index += span.offset;
        for _ in 0..span.length {
            count += deltas.next().expect("a delta for each bucket");
            all.push((index, u64::try_from(count).expect("not negative")));
            index += 1;
        }
    }
    all.retain(|(_, count)| *count > 0);
    all
}

/// How many of the observed values are in a bucket of a schema, upper bound included.
fn exact(index: i32, schema: i32) -> u64 {
    let bound = |index: i32| (f64::from(index) * (-f64::from(schema)).exp2()).exp2();
    let (low, high) = (bound(index - 1), bound(index));
    // Bounds that are values are powers of two, which are exact.
    let is_in = |number: &u64| {
        let value = 0.25 * f64::from(u32::try_from(*number).expect("small"));
        value > low && value <= high
    };
    (1..=COUNT).filter(is_in).count() as u64
}

#[test]
fn a_view_sets_schema_and_bucket_limit_and_a_reload_changes_them() {
    let directory = Directory::new();
    let file = ConfigFile::new("native", "");
    let agent = start(directory.path(), &file);
    let arguments = format!("observe --times {COUNT} --lane-capacity 65536");
    let mut worker = Worker::start(directory.path(), &arguments);
    worker.wait_until_done();
    // Native buckets are made for the snapshots behind the first scrape that asks for them.
    histogram(&agent);
    let sum = 0.25 * (COUNT * (COUNT + 1) / 2) as f64;
    for (native, schema, most) in [
        ("", 3..=5, 160),
        ("{schema: 2}", 2..=2, 160),
        ("{schema: 0}", 0..=0, 160),
        // Twelve octaves and a bit of a thirteenth.
        ("{schema: 4, buckets_max: 12}", -1..=-1, 12),
        ("{schema: -1}", -1..=-1, 160),
        ("{schema: 3, buckets_max: 100}", 3..=3, 100),
    ] {
        let view = format!("views: [{{metric: worker_values, native_histogram: {native}}}]\n");
        file.write(if native.is_empty() { "" } else { &view });
        assert_eq!(reload(&agent), (200, String::new()));
        let found = histogram(&agent);
        assert!(schema.contains(&found.schema), "{native}: {}", found.schema);
        assert_eq!((found.sample_count, found.sample_sum), (COUNT, sum), "{native}");
        let buckets = buckets(&found);
        assert!(!buckets.is_empty() && buckets.len() <= most, "{native}: {}", buckets.len());
        for (index, count) in buckets {
            assert_eq!(count, exact(index, found.schema), "{native}: bucket {index}");
        }
        assert_eq!(found.bucket.len(), 7, "{native}: the declared buckets are beside them");
    }
    let off = "views: [{metric: worker_values, native_histogram: false}]\n";
    file.write(off);
    assert_eq!(reload(&agent), (200, String::new()));
    let found = histogram(&agent);
    assert!(found.positive_span.is_empty() && found.positive_delta.is_empty());
    assert_eq!((found.sample_count, found.bucket.len()), (COUNT, 7));
}
