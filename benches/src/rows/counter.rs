//! Counters by a handle that was resolved before.

use std::sync::Arc;

use super::{beside, dense_row};
use crate::error::Outcome;
use crate::measure::Subject;
use crate::peers;
use crate::row::Row;
use crate::setup::Setup;
use crate::work::dense;

const HELP: &str = "Counts calls.";

/// Of the fastest peer, uncontended.
const ALONE: Option<f64> = Some(0.30);

fn ours(setup: &Setup, name: &'static str) -> Outcome<Subject> {
    let counter = setup.producer.counter((name, HELP))?;
    Ok(setup.ours(name, move |_, calls| {
        dense!(calls, _call => counter.inc());
    }))
}

pub(super) fn one_thread(setup: &Setup) -> Outcome<Row> {
    let ours = ours(setup, "bench_counter_one_total")?;
    let subjects = beside(ours, peers::counters::<false>(setup, 1)?);
    Ok(dense_row(setup, 1, ["counter-1", "counter, one thread"], subjects, ALONE))
}

pub(super) fn two_threads(setup: &Setup) -> Outcome<Row> {
    let ours = ours(setup, "bench_counter_two_total")?;
    let subjects = beside(ours, peers::counters::<false>(setup, 1)?);
    let names = ["counter-2", "counter, two threads on one metric"];
    Ok(dense_row(setup, 2, names, subjects, Some(0.08)))
}

pub(super) fn two_threads_two_metrics(setup: &Setup) -> Outcome<Row> {
    let name = "bench_counter_each_total";
    let family = setup.producer.counter_vec((name, HELP), &["thread"])?;
    let counters = Arc::new([family.with(&["0"]), family.with(&["1"])]);
    let ours = setup.ours(name, move |thread, calls| {
        let counter = &counters[thread];
        dense!(calls, _call => counter.inc());
    });
    let subjects = beside(ours, peers::counters::<false>(setup, 2)?);
    let names = ["counter-2-different", "counter, two threads on two metrics"];
    Ok(dense_row(setup, 2, names, subjects, None))
}

pub(super) fn by_lane(setup: &Setup) -> Outcome<Row> {
    let name = "bench_counter_lane_total";
    let counter = setup.producer.counter((name, HELP))?;
    let producer = setup.producer;
    let ours = setup.ours(name, move |_, calls| {
        let lane = producer.lane();
        dense!(calls, _call => lane.inc(&counter));
    });
    let subjects = beside(ours, peers::counters::<false>(setup, 1)?);
    let names = ["counter-lane", "counter by an explicit lane handle, one thread"];
    Ok(dense_row(setup, 1, names, subjects, None))
}

pub(super) fn by_macro(setup: &Setup) -> Outcome<Row> {
    let name = "bench_counter_macro_total";
    ringmeter::counter!("bench_counter_macro_total", HELP).register()?;
    let ours = setup.ours(name, |_, calls| {
        dense!(calls, _call => ringmeter::counter!("bench_counter_macro_total", HELP).inc());
    });
    let subjects = beside(ours, peers::macros(setup)?);
    let names = ["counter-macro", "counter by macro or static, one thread"];
    Ok(dense_row(setup, 1, names, subjects, None))
}
