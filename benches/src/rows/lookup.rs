//! Two label values looked up at every call.

use std::hint::black_box;

use super::{beside, dense_row};
use crate::error::Outcome;
use crate::measure::Subject;
use crate::peers;
use crate::row::Row;
use crate::setup::Setup;
use crate::work::dense;

const HELP: &str = "Counts calls.";
const NAMES: [&str; 2] = ["region", "method"];
/// Label values by thread.
const VALUES: [[&str; 2]; 2] = [["us", "GET"], ["eu", "POST"]];
/// Of the fastest peer.
const GOAL: Option<f64> = Some(0.35);

fn subjects(setup: &Setup, name: &'static str, is_shared: bool) -> Outcome<(Vec<Subject>, usize)> {
    let values = move |thread: usize| black_box(VALUES[if is_shared { 0 } else { thread }]);
    let family = setup.producer.counter_vec((name, HELP), &NAMES)?;
    let _ = (family.with(&VALUES[0]), family.with(&VALUES[1]));
    let ours = setup.ours(name, move |thread, calls| {
        let [region, method] = values(thread);
        dense!(calls, _call => family.inc(&[region, method]));
    });
    Ok(beside(ours, peers::lookups(setup, is_shared)?))
}

pub(super) fn one_thread(setup: &Setup) -> Outcome<Row> {
    let subjects = subjects(setup, "bench_lookup_one_total", true)?;
    let names = ["lookup-1", "two labels looked up per call, one thread"];
    Ok(dense_row(setup, 1, names, subjects, GOAL))
}

pub(super) fn two_threads(setup: &Setup) -> Outcome<Row> {
    let subjects = subjects(setup, "bench_lookup_two_total", true)?;
    let names = ["lookup-2", "two labels looked up per call, two threads on one series"];
    Ok(dense_row(setup, 2, names, subjects, GOAL))
}

pub(super) fn two_threads_two_series(setup: &Setup) -> Outcome<Row> {
    let subjects = subjects(setup, "bench_lookup_each_total", false)?;
    let title = "two labels looked up per call, two threads on two series";
    Ok(dense_row(setup, 2, ["lookup-2-different", title], subjects, GOAL))
}
