//! Gauges: state in shared memory, not records.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::gauge::Gauge;

use super::histogram::Values;
use super::{Setup, count, dense};
use crate::error::Outcome;
use crate::measure::Subject;
use crate::row::{Row, Unit};
use crate::stand_in::Total;

const HELP: &str = "A value.";

type ClientGauge = Gauge<f64, AtomicU64>;

fn row(setup: &Setup, id: &'static str, title: &'static str, subjects: Vec<Subject>) -> Row {
    let plan = setup.dense(1);
    Row {
        id,
        title,
        plan,
        subjects,
        rivals: 2,
        goal: None,
        aim: None,
        unit: Unit::Nanoseconds,
        spilled: setup.spilled(),
        has_tail: false,
    }
}

pub(super) fn set(setup: &Setup) -> Outcome<Row> {
    let name = "bench_gauge_set";
    let values = Values::new(setup.seed);
    let gauge = setup.producer.gauge((name, HELP))?;
    let given = Arc::clone(&values);
    let ours = setup.ours(name, move |_, calls| {
        dense!(calls, call => gauge.set(given.of(call)));
    });
    let gauge = prometheus::Gauge::new("value", HELP)?;
    let (shown, given) = (gauge.clone(), Arc::clone(&values));
    let prometheus = setup.peer(
        "prometheus Gauge",
        move |_, calls| {
            dense!(calls, call => gauge.set(given.of(call)));
        },
        move || count(shown.get()),
    );
    let gauge = ClientGauge::default();
    let (shown, given) = (gauge.clone(), Arc::clone(&values));
    let client = setup.peer(
        "prometheus-client Gauge",
        move |_, calls| {
            dense!(calls, call => gauge.set(given.of(call)));
        },
        move || count(shown.get()),
    );
    let mut subjects = vec![ours, prometheus, client];
    for subject in &mut subjects {
        let given = Arc::clone(&values);
        subject.expected =
            Box::new(move |_: Total, stretches| count(given.of(stretches.calls - 1)));
    }
    Ok(row(setup, "gauge-set", "gauge set, one thread", subjects))
}

pub(super) fn add(setup: &Setup) -> Outcome<Row> {
    let name = "bench_gauge_add";
    let gauge = setup.producer.gauge((name, HELP))?;
    let ours = setup.ours(name, move |_, calls| {
        dense!(calls, _call => gauge.add(1.0));
    });
    let gauge = prometheus::Gauge::new("value", HELP)?;
    let shown = gauge.clone();
    let prometheus = setup.peer(
        "prometheus Gauge",
        move |_, calls| {
            dense!(calls, _call => gauge.add(1.0));
        },
        move || count(shown.get()),
    );
    let gauge = ClientGauge::default();
    let shown = gauge.clone();
    let client = setup.peer(
        "prometheus-client Gauge",
        move |_, calls| {
            dense!(calls, _call => gauge.inc_by(1.0));
        },
        move || count(shown.get()),
    );
    let subjects = vec![ours, prometheus, client];
    Ok(row(setup, "gauge-add", "gauge add, one thread", subjects))
}
