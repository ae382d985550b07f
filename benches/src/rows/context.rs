//! Records in context: about 40 ns of work before each, the same for all. Times are those of
//! work and record together.

use std::sync::Arc;

use super::{beside, dense_row};
use crate::error::Outcome;
use crate::measure::Subject;
use crate::peers::{self, Peers};
use crate::row::Row;
use crate::setup::{Setup, count};
use crate::work::{Values, dense};

const HELP: &str = "Counts calls among other work.";

/// The work alone: what the others add to.
fn work_alone(setup: &Setup) -> Subject {
    let mut subject = setup.peer(
        "the work alone",
        |_, calls| {
            dense!(true, calls, _call => ());
        },
        || count(0.0),
    );
    subject.expected = Box::new(|before, _| before);
    subject
}

fn with_work(setup: &Setup, mut peers: Peers) -> Peers {
    peers.subjects.push(work_alone(setup));
    peers
}

fn counter(setup: &Setup, name: &'static str) -> Outcome<(Vec<Subject>, usize)> {
    let counter = setup.producer.counter((name, HELP))?;
    let ours = setup.ours(name, move |_, calls| {
        dense!(true, calls, call => counter.inc());
    });
    Ok(beside(ours, with_work(setup, peers::counters::<true>(setup, 1)?)))
}

pub(super) fn counter_one_thread(setup: &Setup) -> Outcome<Row> {
    let subjects = counter(setup, "bench_context_one_total")?;
    let names = ["counter-context-1", "40 ns of work and a counter, one thread"];
    Ok(dense_row(setup, 1, names, subjects, None))
}

pub(super) fn counter_two_threads(setup: &Setup) -> Outcome<Row> {
    let subjects = counter(setup, "bench_context_two_total")?;
    let names = ["counter-context-2", "40 ns of work and a counter, two threads on one metric"];
    Ok(dense_row(setup, 2, names, subjects, None))
}

fn histogram(setup: &Setup, name: &'static str) -> Outcome<(Vec<Subject>, usize)> {
    let values = Values::new(setup.seed);
    let histogram = setup.producer.histogram((name, HELP))?;
    let given = Arc::clone(&values);
    let mut ours = setup.ours(name, move |_, calls| {
        dense!(true, calls, call => histogram.observe(given.of(call)));
    });
    ours.expected = values.expected();
    Ok(beside(ours, with_work(setup, peers::histograms::<true>(setup, &values, 1)?)))
}

pub(super) fn histogram_one_thread(setup: &Setup) -> Outcome<Row> {
    let subjects = histogram(setup, "bench_context_one")?;
    let names = ["histogram-context-1", "40 ns of work and a histogram, one thread"];
    Ok(dense_row(setup, 1, names, subjects, None))
}

pub(super) fn histogram_two_threads(setup: &Setup) -> Outcome<Row> {
    let subjects = histogram(setup, "bench_context_two")?;
    let names = ["histogram-context-2", "40 ns of work and a histogram, two threads on one metric"];
    Ok(dense_row(setup, 2, names, subjects, None))
}
