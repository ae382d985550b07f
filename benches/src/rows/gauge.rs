//! Gauges: state in shared memory, not records.

use std::sync::Arc;

use super::{beside, dense_row};
use crate::error::Outcome;
use crate::peers;
use crate::row::Row;
use crate::setup::{Setup, count};
use crate::stand_in::Total;
use crate::work::{Values, dense};

const HELP: &str = "A value.";

pub(super) fn set(setup: &Setup) -> Outcome<Row> {
    let name = "bench_gauge_set";
    let values = Values::new(setup.seed);
    let gauge = setup.producer.gauge((name, HELP))?;
    let given = Arc::clone(&values);
    let ours = setup.ours(name, move |_, calls| {
        dense!(calls, call => gauge.set(given.of(call)));
    });
    let (mut subjects, rivals) = beside(ours, peers::gauges_set(setup, &values)?);
    for subject in &mut subjects {
        let given = Arc::clone(&values);
        subject.expected =
            Box::new(move |_: Total, stretches| count(given.of(stretches.calls - 1)));
    }
    let names = ["gauge-set", "gauge set, one thread"];
    Ok(dense_row(setup, 1, names, (subjects, rivals), None))
}

pub(super) fn add(setup: &Setup) -> Outcome<Row> {
    let name = "bench_gauge_add";
    let gauge = setup.producer.gauge((name, HELP))?;
    let ours = setup.ours(name, move |_, calls| {
        dense!(calls, _call => gauge.add(1.0));
    });
    let subjects = beside(ours, peers::gauges_add(setup)?);
    Ok(dense_row(setup, 1, ["gauge-add", "gauge add, one thread"], subjects, None))
}
