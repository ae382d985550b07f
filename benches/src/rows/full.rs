//! Lanes that are full and stay full, so that every observation goes to its series' cells: the
//! agent is stopped, or there is none. Counters go on in their words beside the ring.

use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use ringmeter::{Histogram, Producer};

use super::beside;
use crate::agent::Agent;
use crate::error::{Failure, Outcome};
use crate::measure::Subject;
use crate::peers;
use crate::row::{Row, Unit};
use crate::setup::{HALF_A_LANE, Setup};
use crate::stand_in::StandIn;
use crate::work::{Values, dense};

const HELP: &str = "Counts calls while the lane is full.";
const THREADS: usize = 2;
const LANES: u32 = 2;
/// How long the agent may take to find the segment.
const PATIENCE: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(5);

/// What keeps the lanes from being emptied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Why {
    Stopped,
    Absent,
}

/// A producer whose lanes are all full, and a reader of its cells that acknowledges nothing. The
/// agent, if there is one, ends with the reader.
fn full_producer(setup: &Setup, name: &str, why: Why) -> Outcome<(Producer, Arc<Held>)> {
    let directory = setup.scratch.directory(name)?;
    let builder = Producer::builder().directory(&directory).service("bench-full").lanes_max(LANES);
    let producer = builder.try_build()?;
    let filler = producer.histogram(("bench_filler", HELP))?;
    let reader = StandIn::new(&producer, &directory, false)?;
    let agent = match why {
        Why::Absent => None,
        Why::Stopped => {
            let agent = Agent::start(setup.agent_binary()?, &directory)?;
            // On a thread that ends: its lane is free for those that follow.
            thread::scope(|scope| drop(scope.spawn(|| filler.observe(1.0))));
            let begin = Instant::now();
            while !reader.is_acknowledged()? {
                if begin.elapsed() > PATIENCE {
                    return Err(Failure::new("the agent does not drain the lane"));
                }
                thread::sleep(POLL);
            }
            agent.stop()?;
            Some(agent)
        }
    };
    fill(&filler);
    if reader.spilled()? == 0 {
        return Err(Failure::new("the lanes are not full"));
    }
    Ok((producer, Arc::new(Held { reader, _agent: agent })))
}

/// A reader, and the stopped agent that must not end before it.
struct Held {
    reader: StandIn,
    _agent: Option<Agent>,
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

fn row(
    setup: &Setup,
    [id, title]: [&'static str; 2],
    threads: usize,
    (subjects, rivals): (Vec<Subject>, usize),
) -> Row {
    Row {
        id,
        title,
        plan: setup.dense(threads),
        subjects,
        rivals,
        goal: Some(2.0),
        unit: Unit::Nanoseconds,
        spilled: None,
        has_tail: true,
    }
}

fn counters(setup: &Setup, names: [&'static str; 2], threads: usize, why: Why) -> Outcome<Row> {
    let name = "bench_full_total";
    let (producer, held) = full_producer(setup, names[0], why)?;
    let counter = producer.counter((name, HELP))?;
    let mut ours = setup.ours(name, move |_, calls| {
        dense!(calls, _call => counter.inc());
    });
    ours.total = Box::new(move || held.reader.total(name));
    let subjects = beside(ours, peers::counters::<false>(setup, 1)?);
    Ok(row(setup, names, threads, subjects))
}

fn histograms(setup: &Setup, names: [&'static str; 2], threads: usize, why: Why) -> Outcome<Row> {
    let name = "bench_full";
    let (producer, held) = full_producer(setup, names[0], why)?;
    let values = Values::new(setup.seed);
    let metric = producer.histogram((name, HELP))?;
    let given = Arc::clone(&values);
    let mut ours = setup.ours(name, move |_, calls| {
        dense!(calls, call => metric.observe(given.of(call)));
    });
    ours.total = Box::new(move || held.reader.total(name));
    ours.expected = values.expected();
    let subjects = beside(ours, peers::histograms::<false>(setup, &values, 1)?);
    Ok(row(setup, names, threads, subjects))
}

pub(super) fn one_thread(setup: &Setup) -> Outcome<Row> {
    let names = ["full-1", "counter, agent stopped and lane full, one thread"];
    counters(setup, names, 1, Why::Stopped)
}

pub(super) fn two_threads(setup: &Setup) -> Outcome<Row> {
    let names = ["full-2", "counter, agent stopped and lanes full, two threads on one metric"];
    counters(setup, names, 2, Why::Stopped)
}

pub(super) fn histogram(setup: &Setup) -> Outcome<Row> {
    let names = ["full-histogram-1", "histogram, agent stopped and lane full, one thread"];
    histograms(setup, names, 1, Why::Stopped)
}

pub(super) fn histogram_two_threads(setup: &Setup) -> Outcome<Row> {
    let title = "histogram, agent stopped and lanes full, two threads on one metric";
    histograms(setup, ["full-histogram-2", title], 2, Why::Stopped)
}

pub(super) fn absent_one_thread(setup: &Setup) -> Outcome<Row> {
    let names = ["absent-1", "counter, no agent and lane full, one thread"];
    counters(setup, names, 1, Why::Absent)
}

pub(super) fn absent_histogram(setup: &Setup) -> Outcome<Row> {
    let names = ["absent-histogram-1", "histogram, no agent and lane full, one thread"];
    histograms(setup, names, 1, Why::Absent)
}
