//! prometheus.

use std::sync::{Arc, Mutex, PoisonError};

use prometheus::core::Collector;
use prometheus::{Counter, Gauge, Histogram, HistogramOpts, IntCounter, IntCounterVec, Opts};
use ringmeter::buckets;

use super::{HELP, LABEL_NAMES, LABEL_VALUES, labels};
use crate::error::Outcome;
use crate::measure::Subject;
use crate::setup::{Setup, count};
use crate::stand_in::Total;
use crate::work::{Values, dense};

pub(super) fn int_counter<const CONTEXT: bool>(setup: &Setup, metrics: usize) -> Outcome<Subject> {
    let made: Result<Vec<_>, _> = (0..metrics).map(|_| IntCounter::new("calls", HELP)).collect();
    let counters = made?;
    let shown = counters.clone();
    Ok(setup.peer(
        "prometheus IntCounter",
        move |thread, calls| {
            let counter = &counters[thread % metrics];
            dense!(CONTEXT, calls, call => counter.inc());
        },
        move || count(shown.iter().map(|counter| counter.get() as f64).sum()),
    ))
}

pub(super) fn counter<const CONTEXT: bool>(setup: &Setup, metrics: usize) -> Outcome<Subject> {
    let made: Result<Vec<_>, _> = (0..metrics).map(|_| Counter::new("calls", HELP)).collect();
    let counters = made?;
    let shown = counters.clone();
    Ok(setup.peer(
        "prometheus Counter",
        move |thread, calls| {
            let counter = &counters[thread % metrics];
            dense!(CONTEXT, calls, call => counter.inc());
        },
        move || count(shown.iter().map(Counter::get).sum()),
    ))
}

/// A counter of one thread's own, which is seen when that thread flushes it: once per stretch.
pub(super) fn local_counter<const CONTEXT: bool>(setup: &Setup) -> Outcome<Subject> {
    let counter = IntCounter::new("calls", HELP)?;
    let shown = counter.clone();
    Ok(setup.peer(
        "prometheus LocalIntCounter (local until flushed)",
        move |_, calls| {
            let local = counter.local();
            dense!(CONTEXT, calls, call => local.inc());
            local.flush();
        },
        move || count(shown.get() as f64),
    ))
}

pub(super) fn histogram<const CONTEXT: bool>(
    setup: &Setup,
    values: &Arc<Values>,
    metrics: usize,
) -> Outcome<Subject> {
    let options = || HistogramOpts::new("calls", HELP).buckets(buckets::DEFAULT.to_vec());
    let made: Result<Vec<_>, _> = (0..metrics).map(|_| Histogram::with_opts(options())).collect();
    let histograms = made?;
    let (shown, given) = (histograms.clone(), Arc::clone(values));
    let mut subject = setup.peer(
        "prometheus Histogram",
        move |thread, calls| {
            let histogram = &histograms[thread % metrics];
            dense!(CONTEXT, calls, call => histogram.observe(given.of(call)));
        },
        move || Total {
            count: shown.iter().map(|one| one.get_sample_count() as f64).sum(),
            sum: shown.iter().map(Histogram::get_sample_sum).sum(),
        },
    );
    subject.expected = values.expected();
    subject.parks = true;
    Ok(subject)
}

pub(super) fn gauge_set(setup: &Setup, values: &Arc<Values>) -> Outcome<Subject> {
    let gauge = Gauge::new("value", HELP)?;
    let (shown, given) = (gauge.clone(), Arc::clone(values));
    Ok(setup.peer(
        "prometheus Gauge",
        move |_, calls| {
            dense!(calls, call => gauge.set(given.of(call)));
        },
        move || count(shown.get()),
    ))
}

pub(super) fn gauge_add(setup: &Setup) -> Outcome<Subject> {
    let gauge = Gauge::new("value", HELP)?;
    let shown = gauge.clone();
    Ok(setup.peer(
        "prometheus Gauge",
        move |_, calls| {
            dense!(calls, _call => gauge.add(1.0));
        },
        move || count(shown.get()),
    ))
}

pub(super) fn lookup(setup: &Setup, is_shared: bool) -> Outcome<Subject> {
    let family = IntCounterVec::new(Opts::new("calls", HELP), &LABEL_NAMES)?;
    let shown = LABEL_VALUES.map(|values| family.with_label_values(&values));
    let mut subject = setup.peer(
        "prometheus IntCounterVec",
        move |thread, calls| {
            let [region, method] = labels(thread, is_shared);
            dense!(calls, _call => family.with_label_values(&[region, method]).inc());
        },
        move || count(shown.iter().map(|counter| counter.get() as f64).sum()),
    );
    // The family is behind a lock.
    subject.parks = true;
    Ok(subject)
}

/// The crate's way of a counter without a handle: a static that is registered at its first use.
pub(super) fn registered(setup: &Setup) -> Outcome<Subject> {
    static CALLS: std::sync::OnceLock<IntCounter> = std::sync::OnceLock::new();
    let counter = IntCounter::new("calls", HELP)?;
    let counter = CALLS.get_or_init(|| counter);
    Ok(setup.peer(
        "prometheus IntCounter in a static",
        |_, calls| {
            dense!(calls, _call => {
                if let Some(counter) = CALLS.get() {
                    counter.inc();
                }
            });
        },
        move || count(counter.get() as f64),
    ))
}

pub(super) fn registration(setup: &Setup) -> Outcome<Subject> {
    let family = IntCounterVec::new(Opts::new("calls", HELP), &LABEL_NAMES)?;
    let (shown, next) = (family.clone(), Mutex::new(0_u64));
    Ok(setup.peer(
        "prometheus IntCounterVec",
        move |_, calls| {
            let mut next = next.lock().unwrap_or_else(PoisonError::into_inner);
            for _ in 0..calls {
                *next += 1;
                family.with_label_values(&["us", &next.to_string()]).inc();
            }
        },
        move || {
            let series = shown.collect();
            let counters = series.iter().flat_map(|family| family.get_metric());
            count(counters.map(|metric| metric.get_counter().value()).sum())
        },
    ))
}
