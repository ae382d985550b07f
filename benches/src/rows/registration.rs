//! Label values that were never seen before: a lookup that registers a series.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ringmeter::Producer;

use super::{beside, row};
use crate::error::Outcome;
use crate::measure::Plan;
use crate::peers;
use crate::row::Row;
use crate::setup::Setup;
use crate::stand_in::StandIn;

const HELP: &str = "Counts calls.";
const CALLS: u64 = 256;
/// Room for all rounds, and those that are made up for.
const SERIES_MAX: u32 = 100_000;

pub(super) fn new_labels(setup: &Setup) -> Outcome<Row> {
    let name = "bench_registered_total";
    let directory = setup.scratch.directory("registration")?;
    let builder = Producer::builder().directory(&directory).service("bench-registration");
    let producer = builder.series_max(SERIES_MAX).try_build()?;
    let reader = Arc::new(StandIn::new(&producer, &directory, true)?);
    let family = producer.counter_vec((name, HELP), &["region", "user"])?;
    let next = AtomicU64::new(0);
    let mut ours = setup.ours(name, move |_, calls| {
        for _ in 0..calls {
            let number = next.fetch_add(1, Ordering::Relaxed);
            family.with(&["us", &number.to_string()]).inc();
        }
    });
    // Counters beyond the first 512 write records, and so does the first count of a thread.
    let drained = Arc::clone(&reader);
    ours.pause = Box::new(move || drained.drain());
    ours.total = Box::new(move || reader.total(name));
    let subjects = beside(ours, peers::registrations(setup)?);
    let plan = Plan { threads: 1, rounds: setup.rounds, stretches: 1, calls: CALLS };
    let names = ["registration", "counter by labels that are new: a series is registered"];
    Ok(row(setup, plan, names, subjects, None))
}
