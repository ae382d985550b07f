//! What an observation with an exemplar costs: with room in the lane, and when it is full.
//!
//! `cargo run --release -p ringmeter-tests --example exemplar_cost`
#![expect(clippy::print_stdout, clippy::expect_used, reason = "an example")]

use std::time::Instant;

use ringmeter::{Exemplar, Histogram, Options, Producer};
use ringmeter_tests::directory::Directory;

/// Calls of a measurement: at six slots each, half of the largest lane.
const CALLS: u32 = 300_000;
const REPEATS: usize = 5;

/// The median cost of a call, nanoseconds. Each repeat has a lane of its own.
fn measure(what: &str, capacity_records: u32, call: impl Fn(&Histogram)) {
    let mut costs: Vec<f64> = (0..REPEATS)
        .map(|_| {
            let directory = Directory::new();
            let producer = Producer::builder()
                .directory(directory.path())
                .service("cost")
                .lane_capacity_records(capacity_records)
                .segment_size_max_bytes(256 << 20)
                .build();
            let options = Options::new("cost_seconds", "Calls.").buckets(&[0.1, 1.0]);
            let histogram = producer.histogram(options).expect("register");
            producer.prepare_thread();
            (0..1000).for_each(|_| call(&histogram));
            let start = Instant::now();
            (0..CALLS).for_each(|_| call(&histogram));
            start.elapsed().as_secs_f64() * 1e9 / f64::from(CALLS)
        })
        .collect();
    costs.sort_by(f64::total_cmp);
    println!("{what}: {:.1} ns", costs[REPEATS / 2]);
}

fn main() {
    const LARGEST: u32 = 1 << 22;
    let (trace, span) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
    measure("observe", LARGEST, |histogram| histogram.observe(0.5));
    measure("observe_with_exemplar, ids as text", LARGEST, |histogram| {
        histogram.observe_with_exemplar(0.5, &[("trace_id", trace), ("span_id", span)]);
    });
    measure("observe_with_exemplar, ids as bytes", LARGEST, |histogram| {
        histogram.observe_with_exemplar(0.5, Exemplar::of_trace([0x4b; 16], [0xf9; 8]));
    });
    measure("observe_with_exemplar, lane full", 64, |histogram| {
        histogram.observe_with_exemplar(0.5, &[("trace_id", trace), ("span_id", span)]);
    });
}
