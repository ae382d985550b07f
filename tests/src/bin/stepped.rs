//! An instrumented process that is traced: it records some calls, stops, and makes one more, of
//! which each instruction may be its last.
//!
//! `stepped PROGRESS CALL NUMBER BEFORE`: the call, the value of its series' label `number`, and
//! how many calls come before. A lane holds 64 records, and cells for counters unless the call
//! is `inc_recorded`.
#![expect(clippy::expect_used, clippy::panic, reason = "a program that fails fails its test")]

use std::path::Path;
use std::sync::atomic::Ordering;

use nix::sys::ptrace;
use nix::sys::signal::{Signal, raise};
use ringmeter::{CounterVec, Exemplar, Options, Producer};
use ringmeter_tests::progress::{self, FLOAT_STEP, VALUES, word};

static LABELLED: CounterVec = CounterVec::new("stepped_total", "Calls.", &["number"]);

fn main() {
    let mut words = std::env::args().skip(1);
    let mut next = || words.next().expect("an argument");
    let notes = progress::map(Path::new(&next()));
    let (call, number) = (next(), next());
    let before: u64 = next().parse().expect("a number");
    let record = recording(&call, &number);
    (0..before).for_each(|_| record());
    ptrace::traceme().expect("be traced by the test");
    raise(Signal::SIGSTOP).expect("stop");
    let (begun, completed) = (&notes[word(0, 0)], &notes[word(0, 0) + 1]);
    begun.store(1, Ordering::Release);
    record();
    completed.store(1, Ordering::Release);
    raise(Signal::SIGSTOP).expect("stop");
}

/// The call, of a series of its own that is registered.
fn recording(call: &str, number: &str) -> Box<dyn Fn()> {
    let cells = if call == "inc_recorded" { 0 } else { 8 };
    let producer = Producer::builder().lane_capacity_records(64).lane_cells(cells).install_global();
    let options = |name| Options::new(name, "Calls.").label("number", number);
    let counter = || producer.counter(options("stepped_total")).expect("register");
    let gauge = || producer.gauge(options("stepped")).expect("register");
    let value = VALUES[1];
    match call {
        "inc" | "inc_recorded" => {
            let counter = counter();
            Box::new(move || counter.inc())
        }
        "inc_by_f64" => {
            let counter = counter();
            Box::new(move || counter.inc_by_f64(FLOAT_STEP))
        }
        "signal_safe" => {
            let counter = counter().signal_safe();
            Box::new(move || counter.inc())
        }
        "with" => {
            LABELLED.register().expect("register");
            let number = number.to_owned();
            let _ = LABELLED.with(&[&number]);
            Box::new(move || LABELLED.with(&[&number]).inc())
        }
        "histogram" => {
            let options = options("stepped").buckets(&[0.5, 1.0]);
            let histogram = producer.histogram(options).expect("register");
            Box::new(move || histogram.observe(value))
        }
        "exemplar" => {
            let options = options("stepped").buckets(&[0.5, 1.0]);
            let histogram = producer.histogram(options).expect("register");
            let labels = [("trace_id", "4bf92f3577b34da6a3ce929d0e0e4736")];
            Box::new(move || histogram.observe_with_exemplar(value, &labels))
        }
        "exemplar_counter" => {
            let counter = counter();
            let trace = ([0x4b; 16], [0xf9; 8]);
            Box::new(move || counter.inc_with_exemplar(Exemplar::of_trace(trace.0, trace.1)))
        }
        "summary" => {
            let summary = producer.summary(options("stepped")).expect("register");
            Box::new(move || summary.observe(value))
        }
        "gauge_set" => {
            let gauge = gauge();
            let next = std::cell::Cell::new(0.0);
            Box::new(move || {
                next.set(next.get() + 1.0);
                gauge.set(next.get());
            })
        }
        "gauge_add" => {
            let gauge = gauge();
            Box::new(move || gauge.add(1.0))
        }
        other => panic!("no call {other:?}"),
    }
}
