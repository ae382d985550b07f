//! No agent: the lane is full and stays full, and every observation goes to its series' cells.
//! Counters go on in their words beside the ring, which the rows of counters show.

use std::sync::{Arc, Barrier};
use std::thread;

use ringmeter::{Histogram, Producer};

use super::histogram::{self, Values};
use super::{HALF_A_LANE, Setup, counter, dense};
use crate::error::{Failure, Outcome};
use crate::measure::Subject;
use crate::row::{Row, Unit};
use crate::stand_in::StandIn;

const HELP: &str = "Counts calls while the lane is full.";
const THREADS: usize = 2;
const LANES: u32 = 2;

/// A producer whose lanes are all full, and a reader of its cells that acknowledges nothing.
fn full_producer(setup: &Setup, name: &str) -> Outcome<(Producer, Arc<StandIn>)> {
    let directory = setup.scratch.directory(name)?;
    let builder = Producer::builder().directory(&directory).service("bench-full").lanes_max(LANES);
    let producer = builder.try_build()?;
    let filler = producer.histogram(("bench_filler", HELP))?;
    fill(&filler);
    let reader = Arc::new(StandIn::new(&producer, &directory, false)?);
    let spilled = reader.spilled()?;
    if spilled == 0 {
        return Err(Failure::new("the lanes are not full"));
    }
    Ok((producer, reader))
}

/// Fills one lane for each thread, at the same time, so that they are two.
fn fill(filler: &Histogram) {
    let barrier = Barrier::new(THREADS);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                filler.observe(1.0);
                barrier.wait();
                for _ in 0..4 * HALF_A_LANE {
                    filler.observe(1.0);
                }
                barrier.wait();
            });
        }
    });
}

fn counters(setup: &Setup, id: &'static str, threads: usize) -> Outcome<Vec<Subject>> {
    let name = "bench_full_total";
    let (producer, reader) = full_producer(setup, id)?;
    let counter = producer.counter((name, HELP))?;
    let mut ours = setup.ours(name, move |_, calls| {
        dense!(calls, _call => counter.inc());
    });
    ours.total = Box::new(move || reader.total(name));
    let mut subjects = vec![ours];
    subjects.extend(counter::peers(setup, threads > 1)?);
    Ok(subjects)
}

fn row(
    setup: &Setup,
    id: &'static str,
    title: &'static str,
    threads: usize,
    subjects: Vec<Subject>,
) -> Row {
    let rivals = subjects.len() - 1;
    let plan = setup.dense(threads);
    let goal = Some(2.0);
    Row {
        id,
        title,
        plan,
        subjects,
        rivals,
        goal,
        aim: None,
        unit: Unit::Nanoseconds,
        spilled: None,
        has_tail: true,
    }
}

pub(super) fn one_thread(setup: &Setup) -> Outcome<Row> {
    let subjects = counters(setup, "full-1", 1)?;
    Ok(row(setup, "full-1", "counter, no agent and lane full, one thread", 1, subjects))
}

pub(super) fn two_threads(setup: &Setup) -> Outcome<Row> {
    let subjects = counters(setup, "full-2", 2)?;
    let title = "counter, no agent and lanes full, two threads on one metric";
    Ok(row(setup, "full-2", title, 2, subjects))
}

fn histograms(setup: &Setup, id: &'static str) -> Outcome<Vec<Subject>> {
    let name = "bench_full";
    let (producer, reader) = full_producer(setup, id)?;
    let values = Values::new(setup.seed);
    let metric = producer.histogram((name, HELP))?;
    let given = Arc::clone(&values);
    let mut ours = setup.ours(name, move |_, calls| {
        dense!(calls, call => metric.observe(given.of(call)));
    });
    ours.total = Box::new(move || reader.total(name));
    ours.expected = values.expected();
    let mut subjects = vec![ours];
    subjects.extend(histogram::peers(setup, &values)?);
    Ok(subjects)
}

pub(super) fn histogram(setup: &Setup) -> Outcome<Row> {
    let subjects = histograms(setup, "full-histogram-1")?;
    let title = "histogram, no agent and lane full, one thread";
    Ok(row(setup, "full-histogram-1", title, 1, subjects))
}

pub(super) fn histogram_two_threads(setup: &Setup) -> Outcome<Row> {
    let subjects = histograms(setup, "full-histogram-2")?;
    let title = "histogram, no agent and lanes full, two threads on one metric";
    Ok(row(setup, "full-histogram-2", title, 2, subjects))
}
