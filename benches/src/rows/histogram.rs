//! Histograms with the eleven default bounds.

use std::sync::Arc;

use prometheus_client::metrics::histogram::Histogram as ClientHistogram;
use prometheus_client::registry::Registry;
use ringmeter::buckets;

use super::{Setup, dense};
use crate::error::Outcome;
use crate::measure::{Stretches, Subject};
use crate::row::{Row, Unit};
use crate::stand_in::Total;
use crate::statistics::Random;

const HELP: &str = "Values of calls.";
/// A power of two, so that the index of the next value is a mask.
const VALUES: usize = 1024;

/// Values as latencies are: their logarithms even from 1 ms to 16 s, over all buckets. Multiples
/// of 2^-10, so that sums are exact in any order.
pub(super) struct Values([f64; VALUES]);

impl Values {
    pub(super) fn new(seed: u64) -> Arc<Self> {
        let mut random = Random::new(seed);
        Arc::new(Self(std::array::from_fn(|_| {
            let exponent = random.below(14_000) as f64 / 1000.0;
            exponent.exp2().round() / 1024.0
        })))
    }

    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "masked")]
    pub(super) fn of(&self, call: u64) -> f64 {
        self.0[call as usize & (VALUES - 1)]
    }

    /// The sum of the values of so many calls, from the first on.
    fn sum(&self, calls: u64) -> f64 {
        (0..calls).map(|call| self.of(call)).sum()
    }

    pub(super) fn expected(
        self: &Arc<Self>,
    ) -> Box<dyn Fn(Total, Stretches) -> Total + Send + Sync> {
        let values = Arc::clone(self);
        Box::new(move |before, stretches| Total {
            count: before.count + stretches.total_calls() as f64,
            sum: before.sum + values.sum(stretches.calls) * stretches.count as f64,
        })
    }
}

pub(super) fn peers(setup: &Setup, values: &Arc<Values>) -> Outcome<Vec<Subject>> {
    let bounds = buckets::DEFAULT.to_vec();
    let options = prometheus::HistogramOpts::new("calls", HELP).buckets(bounds);
    let histogram = prometheus::Histogram::with_opts(options)?;
    let (shown, given) = (histogram.clone(), Arc::clone(values));
    let prometheus = setup.peer(
        "prometheus Histogram",
        move |_, calls| {
            dense!(calls, call => histogram.observe(given.of(call)));
        },
        move || Total { count: shown.get_sample_count() as f64, sum: shown.get_sample_sum() },
    );
    let histogram = ClientHistogram::new(buckets::DEFAULT.iter().copied());
    let mut registry = Registry::default();
    registry.register("calls", HELP, histogram.clone());
    let given = Arc::clone(values);
    let client = setup.peer(
        "prometheus-client Histogram",
        move |_, calls| {
            dense!(calls, call => histogram.observe(given.of(call)));
        },
        move || Total {
            count: exposed(&registry, "calls_count"),
            sum: exposed(&registry, "calls_sum"),
        },
    );
    let mut peers = vec![prometheus, client];
    for peer in &mut peers {
        peer.expected = values.expected();
        // Both take a lock, or wait for one another.
        peer.parks = true;
    }
    Ok(peers)
}

/// A sample as prometheus-client exposes it: its histograms cannot be read otherwise.
fn exposed(registry: &Registry, name: &str) -> f64 {
    let mut page = String::new();
    // An encoder that failed leaves no sample, which is not a number and equals nothing.
    let _ = prometheus_client::encoding::text::encode(&mut page, registry);
    let sample = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    sample.and_then(|value| value.parse().ok()).unwrap_or(f64::NAN)
}

fn subjects(setup: &Setup, name: &'static str) -> Outcome<Vec<Subject>> {
    let values = Values::new(setup.seed);
    let histogram = setup.producer.histogram((name, HELP))?;
    let given = Arc::clone(&values);
    let mut ours = setup.ours(name, move |_, calls| {
        dense!(calls, call => histogram.observe(given.of(call)));
    });
    ours.expected = values.expected();
    let mut subjects = vec![ours];
    subjects.extend(peers(setup, &values)?);
    Ok(subjects)
}

pub(super) fn one_thread(setup: &Setup) -> Outcome<Row> {
    Ok(Row {
        id: "histogram-1",
        title: "histogram, 11 bounds, one thread",
        plan: setup.dense(1),
        subjects: subjects(setup, "bench_histogram_one")?,
        rivals: 2,
        goal: Some(0.25),
        aim: Some(0.12),
        unit: Unit::Nanoseconds,
        spilled: setup.spilled(),
        has_tail: false,
    })
}

pub(super) fn two_threads(setup: &Setup) -> Outcome<Row> {
    Ok(Row {
        id: "histogram-2",
        title: "histogram, 11 bounds, two threads on one metric",
        plan: setup.dense(2),
        subjects: subjects(setup, "bench_histogram_two")?,
        rivals: 2,
        goal: Some(0.05),
        aim: Some(0.03),
        unit: Unit::Nanoseconds,
        spilled: setup.spilled(),
        has_tail: false,
    })
}
