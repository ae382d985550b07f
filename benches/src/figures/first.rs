//! The first record of a thread, which takes a lane.

use std::thread;
use std::time::{Duration, Instant};

use super::Found;
use crate::error::{Failure, Outcome};
use crate::figure::Figure;
use crate::setup::Setup;
use crate::statistics::Random;

const THREADS: usize = 200;
const HELP: &str = "Values of new threads.";

/// How long something takes in each of many threads, one after the other, nanoseconds.
fn in_new_threads(first: impl Fn() -> Duration + Sync) -> Outcome<Vec<f64>> {
    let time = |_| {
        thread::scope(|scope| {
            let taken = scope.spawn(&first).join();
            taken
                .map(|time| time.as_secs_f64() * 1e9)
                .map_err(|_| Failure::new("a thread panicked"))
        })
    };
    (0..THREADS).map(time).collect()
}

fn timed(call: impl FnOnce()) -> Duration {
    let begin = Instant::now();
    call();
    begin.elapsed()
}

pub(super) fn records(setup: &Setup, random: &mut Random) -> Outcome<Found> {
    let producer = setup.producer;
    let histogram = producer.histogram(("bench_first", HELP))?;
    let counter = producer.counter(("bench_first_total", HELP))?;
    let prometheus = prometheus::IntCounter::new("calls", HELP)?;
    let cases: [(&str, &str, Vec<f64>); 5] = [
        ("clock", "reading the clock, in a new thread", in_new_threads(|| timed(|| ()))?),
        (
            "histogram",
            "first observation of a thread",
            in_new_threads(|| timed(|| histogram.observe(1.0)))?,
        ),
        ("counter", "first count of a thread", in_new_threads(|| timed(|| counter.inc()))?),
        (
            "prepared",
            "first observation of a thread after prepare_thread",
            in_new_threads(|| {
                producer.prepare_thread();
                timed(|| histogram.observe(1.0))
            })?,
        ),
        (
            "prometheus",
            "first count of a thread, prometheus IntCounter",
            in_new_threads(|| timed(|| prometheus.inc()))?,
        ),
    ];
    let figure = |(id, title, samples): (&str, &str, Vec<f64>)| {
        Figure::of(format!("first-{id}"), title, "ns", &samples, random)
    };
    Ok(cases.into_iter().map(figure).collect::<Vec<_>>().into())
}
