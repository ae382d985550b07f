//! A small instrumented program for the errno injector: it does everything that makes the SDK
//! ask the system for something, and says before and after each step where it stands.
//!
//! Its standard output never depends on the SDK: it is what a user would see. What became of its
//! counts goes to the file `$RINGMETER_TEST_REPORT`, a line per process.

#![allow(unsafe_code)]
#![expect(clippy::expect_used, clippy::print_stdout, reason = "a program of a test")]

use std::io::Write;
use std::sync::mpsc::channel;

use ringmeter::{
    Counter, CounterVec, Exemplar, Gauge, Histogram, HistogramVec, Producer, Status, testing,
};
use ringmeter_tests::injected::{Phase, Report, mark};

static CALLS: Counter = Counter::new("injected_calls_total", "Calls.");
static LABELLED: CounterVec = CounterVec::new("injected_labelled_total", "By label.", &["label"]);
static SECONDS: Histogram = Histogram::new("injected_seconds", "Durations.");
static MANY: HistogramVec = HistogramVec::new("injected_many", "Many series.", &["number"]);
static LEVEL: Gauge = Gauge::new("injected_level", "A level.");

/// Labels in use, and series that make the segment grow.
const LABELS: [&str; 3] = ["a", "b", "c"];
const MANY_SERIES: u32 = 60;
/// More than the lane holds, so that it is full.
const BURST: u64 = 300;

fn main() {
    match std::env::args().nth(1) {
        None => everything(),
        Some(times) => only_record(times.parse().expect("a number")),
    }
}

/// So many increments and observations in one thread that is prepared, and nothing else.
fn only_record(times: u64) {
    let _ = ringmeter::register!(CALLS, SECONDS);
    Producer::global().prepare_thread();
    CALLS.inc();
    SECONDS.observe(0.5);
    mark(Phase::Record);
    for number in 0..times {
        CALLS.inc();
        if number % 16 == 0 {
            SECONDS.observe_with_exemplar(0.5, Exemplar::of_trace([1; 16], [2; 8]));
        } else {
            SECONDS.observe(0.5);
        }
    }
    mark(Phase::App);
}

fn everything() {
    mark(Phase::Open);
    Producer::builder().lane_capacity_records(64).install_global();
    mark(Phase::Register);
    // A mistake would show here; whether there is room must not matter to the program.
    let _ = ringmeter::register!(CALLS, LABELLED, SECONDS, MANY, LEVEL);
    mark(Phase::App);
    println!("registered");
    mark(Phase::First);
    record(1);
    mark(Phase::App);
    threads();
    println!("threads are done");
    mark(Phase::Grow);
    for number in 0..MANY_SERIES {
        MANY.with(&[&number.to_string()]).observe(1.0);
    }
    mark(Phase::App);
    println!("grown");
    mark(Phase::Full);
    record(BURST);
    // An agent has come meanwhile: the supervisor is one.
    mark(Phase::Ack);
    record(BURST);
    mark(Phase::Remove);
    LABELLED.remove(&["b"]);
    record(1);
    mark(Phase::App);
    fork(1);
    println!("children are done");
    mark(Phase::Last);
    record(1);
    mark(Phase::App);
    println!("end");
    finish();
}

/// Records `times` times in every kind of metric.
fn record(times: u64) {
    for _ in 0..times {
        CALLS.inc();
        SECONDS.observe(0.5);
        LEVEL.add(1.0);
    }
    for label in LABELS {
        LABELLED.with(&[label]).inc();
    }
}

/// Three threads, one after the other in what they do, and all alive at once.
fn threads() {
    std::thread::scope(|scope| {
        let mut ends = Vec::new();
        for _ in 0..3 {
            let (done, waits) = channel();
            let (end, ended) = channel::<()>();
            scope.spawn(move || {
                mark(Phase::Thread);
                record(1);
                mark(Phase::App);
                done.send(()).expect("the main thread waits");
                // Until the main thread lets go.
                let _ = ended.recv();
            });
            waits.recv().expect("the thread records");
            ends.push(end);
        }
    });
}

/// A child that records, and one of that child.
fn fork(generations: u32) {
    // SAFETY:
    // - Only the main thread is alive, so the child may do whatever the parent may.
    let child = unsafe { libc::fork() };
    if child == 0 {
        mark(Phase::Child);
        record(1);
        let _ = ringmeter::register!(CALLS);
        mark(Phase::App);
        if generations > 0 {
            fork(generations - 1);
        }
        finish();
        // SAFETY:
        // - Ends the child without what the parent wants done at its own end.
        unsafe { libc::_exit(0) };
    }
    assert!(child > 0, "fork");
    let mut status = 0;
    // SAFETY:
    // - `status` is ours to write, and the child ours to wait for.
    unsafe { libc::waitpid(child, &raw mut status, 0) };
    assert_eq!(status, 0, "a child ended with {status:#x}");
}

/// From here on nothing is injected, unless the supervisor wants the faults to last; then says
/// what became of the counts.
fn finish() {
    mark(Phase::Healed);
    let producer = Producer::global();
    // A thread that was in the way is gone by now, so one try is enough; more do no harm.
    for _ in 0..3 {
        producer.open();
    }
    let status = producer.status();
    let labelled = LABELS.iter().map(|label| testing::value(&LABELLED.with(&[label]))).sum();
    let report = Report {
        is_private: matches!(status, Status::Private { .. }),
        is_disabled: matches!(status, Status::Disabled { .. }),
        is_pending: matches!(status, Status::Shared { pending: Some(_), .. }),
        calls: testing::value(&CALLS),
        labelled,
        observations: testing::count(&SECONDS),
    };
    mark(Phase::App);
    let path = std::env::var_os("RINGMETER_TEST_REPORT").expect("where to report");
    let mut file = std::fs::File::options().append(true).create(true).open(path).expect("open");
    writeln!(file, "{}\t{status:?}", report.encode()).expect("report");
}
