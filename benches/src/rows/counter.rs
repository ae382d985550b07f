//! Counters by a handle that was resolved before.

use std::sync::Arc;

use prometheus_client::metrics::counter::Counter as ClientCounter;

use super::{Setup, count, dense};
use crate::error::Outcome;
use crate::measure::Subject;
use crate::row::{Row, Unit};

const HELP: &str = "Counts calls.";

/// Goal and aim of an uncontended counter.
const ALONE: [Option<f64>; 2] = [Some(0.5), Some(0.30)];

fn row(
    setup: &Setup,
    threads: usize,
    [id, title]: [&'static str; 2],
    subjects: Vec<Subject>,
    [goal, aim]: [Option<f64>; 2],
) -> Row {
    Row {
        id,
        title,
        plan: setup.dense(threads),
        rivals: subjects.len() - 1,
        subjects,
        goal,
        aim,
        unit: Unit::Nanoseconds,
        spilled: setup.spilled(),
        has_tail: false,
    }
}

/// The other crates' counters: one for all threads, or one for each.
pub(super) fn peers(setup: &Setup, shared: bool) -> Outcome<Vec<Subject>> {
    let pick = move |thread: usize| if shared { 0 } else { thread };
    let integers = [integer()?, integer()?];
    let shown = integers.clone();
    let integer = setup.peer(
        "prometheus IntCounter",
        move |thread, calls| {
            let counter = &integers[pick(thread)];
            dense!(calls, _call => counter.inc());
        },
        move || count(shown.iter().map(|counter| counter.get() as f64).sum()),
    );
    let floats = [float()?, float()?];
    let shown = floats.clone();
    let float = setup.peer(
        "prometheus Counter",
        move |thread, calls| {
            let counter = &floats[pick(thread)];
            dense!(calls, _call => counter.inc());
        },
        move || count(shown.iter().map(prometheus::Counter::get).sum()),
    );
    let clients: [ClientCounter; 2] = Default::default();
    let shown = clients.clone();
    let client = setup.peer(
        "prometheus-client Counter",
        move |thread, calls| {
            let counter = &clients[pick(thread)];
            dense!(calls, _call => counter.inc());
        },
        move || count(shown.iter().map(|counter| counter.get() as f64).sum()),
    );
    Ok(vec![integer, float, client])
}

fn integer() -> Outcome<prometheus::IntCounter> {
    Ok(prometheus::IntCounter::new("calls", HELP)?)
}

fn float() -> Outcome<prometheus::Counter> {
    Ok(prometheus::Counter::new("calls", HELP)?)
}

fn shared(setup: &Setup, name: &'static str) -> Outcome<Vec<Subject>> {
    let counter = setup.producer.counter((name, HELP))?;
    let ours = setup.ours(name, move |_, calls| {
        dense!(calls, _call => counter.inc());
    });
    let mut subjects = vec![ours];
    subjects.extend(peers(setup, true)?);
    Ok(subjects)
}

pub(super) fn one_thread(setup: &Setup) -> Outcome<Row> {
    let subjects = shared(setup, "bench_counter_one_total")?;
    let names = ["counter-1", "counter, one thread"];
    Ok(row(setup, 1, names, subjects, ALONE))
}

pub(super) fn two_threads(setup: &Setup) -> Outcome<Row> {
    let subjects = shared(setup, "bench_counter_two_total")?;
    let names = ["counter-2", "counter, two threads on one metric"];
    Ok(row(setup, 2, names, subjects, [Some(0.15), Some(0.08)]))
}

pub(super) fn two_threads_two_metrics(setup: &Setup) -> Outcome<Row> {
    let name = "bench_counter_each_total";
    let family = setup.producer.counter_vec((name, HELP), &["thread"])?;
    let counters = Arc::new([family.with(&["0"]), family.with(&["1"])]);
    let ours = setup.ours(name, move |thread, calls| {
        let counter = &counters[thread];
        dense!(calls, _call => counter.inc());
    });
    let mut subjects = vec![ours];
    subjects.extend(peers(setup, false)?);
    let names = ["counter-2-different", "counter, two threads on two metrics"];
    Ok(row(setup, 2, names, subjects, [None, None]))
}

pub(super) fn by_lane(setup: &Setup) -> Outcome<Row> {
    let name = "bench_counter_lane_total";
    let counter = setup.producer.counter((name, HELP))?;
    let producer = setup.producer;
    let ours = setup.ours(name, move |_, calls| {
        let lane = producer.lane();
        dense!(calls, _call => lane.inc(&counter));
    });
    let mut subjects = vec![ours];
    subjects.extend(peers(setup, true)?);
    let names = ["counter-lane", "counter by an explicit lane handle, one thread"];
    Ok(row(setup, 1, names, subjects, ALONE))
}

pub(super) fn by_macro(setup: &Setup) -> Outcome<Row> {
    let name = "bench_counter_macro_total";
    ringmeter::counter!("bench_counter_macro_total", HELP).register()?;
    let ours = setup.ours(name, |_, calls| {
        dense!(calls, _call => ringmeter::counter!("bench_counter_macro_total", HELP).inc());
    });
    let mut subjects = vec![ours];
    subjects.extend(peers(setup, true)?);
    let names = ["counter-macro", "counter by macro, one thread"];
    Ok(row(setup, 1, names, subjects, ALONE))
}
