//! Histograms with the eleven default bounds, and summaries.

use std::sync::Arc;

use super::{beside, dense_row};
use crate::error::Outcome;
use crate::measure::Subject;
use crate::peers;
use crate::row::Row;
use crate::setup::Setup;
use crate::work::{Values, dense};

const HELP: &str = "Values of calls.";

fn ours(setup: &Setup, values: &Arc<Values>, name: &'static str) -> Outcome<Subject> {
    let histogram = setup.producer.histogram((name, HELP))?;
    let given = Arc::clone(values);
    let mut ours = setup.ours(name, move |_, calls| {
        dense!(calls, call => histogram.observe(given.of(call)));
    });
    ours.expected = values.expected();
    Ok(ours)
}

pub(super) fn one_thread(setup: &Setup) -> Outcome<Row> {
    let values = Values::new(setup.seed);
    let ours = ours(setup, &values, "bench_histogram_one")?;
    let subjects = beside(ours, peers::histograms::<false>(setup, &values, 1)?);
    let names = ["histogram-1", "histogram, 11 bounds, one thread"];
    Ok(dense_row(setup, 1, names, subjects, Some(0.12)))
}

pub(super) fn two_threads(setup: &Setup) -> Outcome<Row> {
    let values = Values::new(setup.seed);
    let ours = ours(setup, &values, "bench_histogram_two")?;
    let subjects = beside(ours, peers::histograms::<false>(setup, &values, 1)?);
    let names = ["histogram-2", "histogram, 11 bounds, two threads on one metric"];
    Ok(dense_row(setup, 2, names, subjects, Some(0.03)))
}

pub(super) fn two_threads_two_metrics(setup: &Setup) -> Outcome<Row> {
    let name = "bench_histogram_each";
    let values = Values::new(setup.seed);
    let family = setup.producer.histogram_vec((name, HELP), &["thread"])?;
    let (histograms, given) = ([family.with(&["0"]), family.with(&["1"])], Arc::clone(&values));
    let mut ours = setup.ours(name, move |thread, calls| {
        let histogram = &histograms[thread];
        dense!(calls, call => histogram.observe(given.of(call)));
    });
    ours.expected = values.expected();
    let subjects = beside(ours, peers::histograms::<false>(setup, &values, 2)?);
    let names = ["histogram-2-different", "histogram, 11 bounds, two threads on two metrics"];
    Ok(dense_row(setup, 2, names, subjects, None))
}

pub(super) fn summary(setup: &Setup) -> Outcome<Row> {
    let name = "bench_summary_one";
    let values = Values::new(setup.seed);
    let summary = setup.producer.summary((name, HELP))?;
    let given = Arc::clone(&values);
    let mut ours = setup.ours(name, move |_, calls| {
        dense!(calls, call => summary.observe(given.of(call)));
    });
    ours.expected = values.expected();
    let subjects = beside(ours, peers::summaries(setup, &values)?);
    let names = ["summary-1", "summary with sliding quantiles, one thread"];
    Ok(dense_row(setup, 1, names, subjects, None))
}
