//! Two label values looked up at every call.

use std::hint::black_box;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter as ClientCounter;
use prometheus_client::metrics::family::Family;

use super::{Setup, count, dense};
use crate::error::Outcome;
use crate::measure::Subject;
use crate::row::{Row, Unit};

const HELP: &str = "Counts calls.";
const NAMES: [&str; 2] = ["region", "method"];
/// Label values by thread.
const VALUES: [[&str; 2]; 2] = [["us", "GET"], ["eu", "POST"]];

/// Of the ways that prometheus-client offers, the fastest: nothing is allocated for a lookup.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    region: &'static str,
    method: &'static str,
}

fn subjects(setup: &Setup, name: &'static str, shared: bool) -> Outcome<Vec<Subject>> {
    let values = move |thread: usize| black_box(VALUES[if shared { 0 } else { thread }]);
    let family = setup.producer.counter_vec((name, HELP), &NAMES)?;
    let _ = (family.with(&VALUES[0]), family.with(&VALUES[1]));
    let ours = setup.ours(name, move |thread, calls| {
        let [region, method] = values(thread);
        dense!(calls, _call => family.inc(&[region, method]));
    });
    let options = prometheus::Opts::new("calls", HELP);
    let family = prometheus::IntCounterVec::new(options, &NAMES)?;
    let shown = VALUES.map(|values| family.with_label_values(&values));
    let prometheus = setup.peer(
        "prometheus IntCounterVec",
        move |thread, calls| {
            let [region, method] = values(thread);
            dense!(calls, _call => family.with_label_values(&[region, method]).inc());
        },
        move || count(shown.iter().map(|counter| counter.get() as f64).sum()),
    );
    let family = Family::<Labels, ClientCounter>::default();
    let shown =
        VALUES.map(|[region, method]| family.get_or_create_owned(&Labels { region, method }));
    let client = setup.peer(
        "prometheus-client Family",
        move |thread, calls| {
            let [region, method] = values(thread);
            dense!(calls, _call => family.get_or_create(&Labels { region, method }).inc());
        },
        move || count(shown.iter().map(|counter| counter.get() as f64).sum()),
    );
    let mut subjects = vec![ours, prometheus, client];
    for peer in &mut subjects[1..] {
        // Their families are behind a lock.
        peer.parks = true;
    }
    Ok(subjects)
}

fn row(
    setup: &Setup,
    threads: usize,
    id: &'static str,
    title: &'static str,
    subjects: Vec<Subject>,
) -> Row {
    Row {
        id,
        title,
        plan: setup.dense(threads),
        subjects,
        rivals: 2,
        goal: None,
        aim: Some(0.35),
        unit: Unit::Nanoseconds,
        spilled: setup.spilled(),
        has_tail: false,
    }
}

pub(super) fn one_thread(setup: &Setup) -> Outcome<Row> {
    let subjects = subjects(setup, "bench_lookup_one_total", true)?;
    Ok(row(setup, 1, "lookup-1", "two labels looked up per call, one thread", subjects))
}

pub(super) fn two_threads(setup: &Setup) -> Outcome<Row> {
    let subjects = subjects(setup, "bench_lookup_two_total", true)?;
    let title = "two labels looked up per call, two threads on one series";
    Ok(row(setup, 2, "lookup-2", title, subjects))
}

pub(super) fn two_threads_two_series(setup: &Setup) -> Outcome<Row> {
    let subjects = subjects(setup, "bench_lookup_each_total", false)?;
    let title = "two labels looked up per call, two threads on two series";
    Ok(row(setup, 2, "lookup-2-different", title, subjects))
}
