//! prometheus-client.

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use ringmeter::buckets;

use super::{HELP, LABEL_VALUES, labels};
use crate::measure::Subject;
use crate::setup::{Setup, count};
use crate::stand_in::Total;
use crate::work::{Values, dense};

type FloatGauge = Gauge<f64, AtomicU64>;

pub(super) fn counter<const CONTEXT: bool>(setup: &Setup, metrics: usize) -> Subject {
    let counters: Vec<Counter> = (0..metrics).map(|_| Counter::default()).collect();
    let shown = counters.clone();
    setup.peer(
        "prometheus-client Counter",
        move |thread, calls| {
            let counter = &counters[thread % metrics];
            dense!(CONTEXT, calls, call => counter.inc());
        },
        move || count(shown.iter().map(|counter| counter.get() as f64).sum()),
    )
}

pub(super) fn histogram<const CONTEXT: bool>(
    setup: &Setup,
    values: &Arc<Values>,
    metrics: usize,
) -> Subject {
    let histograms: Vec<Histogram> =
        (0..metrics).map(|_| Histogram::new(buckets::DEFAULT.iter().copied())).collect();
    let mut registry = Registry::default();
    for histogram in &histograms {
        registry.register("calls", HELP, histogram.clone());
    }
    let given = Arc::clone(values);
    let mut subject = setup.peer(
        "prometheus-client Histogram",
        move |thread, calls| {
            let histogram = &histograms[thread % metrics];
            dense!(CONTEXT, calls, call => histogram.observe(given.of(call)));
        },
        move || Total {
            count: exposed(&registry, "calls_count"),
            sum: exposed(&registry, "calls_sum"),
        },
    );
    subject.expected = values.expected();
    // It takes a lock.
    subject.parks = true;
    subject
}

/// A sample as the crate exposes it, over all metrics of the name: its histograms cannot be read
/// otherwise.
fn exposed(registry: &Registry, name: &str) -> f64 {
    let mut page = String::new();
    // An encoder that failed leaves no sample, and the total is not what it must be.
    let _ = encode(&mut page, registry);
    let samples = page.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    samples.map(|value| value.parse::<f64>().unwrap_or(f64::NAN)).sum()
}

pub(super) fn gauge_set(setup: &Setup, values: &Arc<Values>) -> Subject {
    let gauge = FloatGauge::default();
    let (shown, given) = (gauge.clone(), Arc::clone(values));
    setup.peer(
        "prometheus-client Gauge",
        move |_, calls| {
            dense!(calls, call => gauge.set(given.of(call)));
        },
        move || count(shown.get()),
    )
}

pub(super) fn gauge_add(setup: &Setup) -> Subject {
    let gauge = FloatGauge::default();
    let shown = gauge.clone();
    setup.peer(
        "prometheus-client Gauge",
        move |_, calls| {
            dense!(calls, _call => gauge.inc_by(1.0));
        },
        move || count(shown.get()),
    )
}

/// Of the ways that the crate offers, the fastest: nothing is allocated for a lookup.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    region: &'static str,
    method: &'static str,
}

pub(super) fn lookup(setup: &Setup, is_shared: bool) -> Subject {
    let family = Family::<Labels, Counter>::default();
    let shown =
        LABEL_VALUES.map(|[region, method]| family.get_or_create_owned(&Labels { region, method }));
    let mut subject = setup.peer(
        "prometheus-client Family",
        move |thread, calls| {
            let [region, method] = labels(thread, is_shared);
            dense!(calls, _call => family.get_or_create(&Labels { region, method }).inc());
        },
        move || count(shown.iter().map(|counter| counter.get() as f64).sum()),
    );
    subject.parks = true;
    subject
}

/// Labels whose values nobody knows in advance.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct NewLabels {
    region: &'static str,
    user: String,
}

pub(super) fn registration(setup: &Setup) -> Subject {
    let family = Family::<NewLabels, Counter>::default();
    let mut registry = Registry::default();
    registry.register("calls", HELP, family.clone());
    let next = Mutex::new(0_u64);
    setup.peer(
        "prometheus-client Family",
        move |_, calls| {
            let mut next = next.lock().unwrap_or_else(PoisonError::into_inner);
            for _ in 0..calls {
                *next += 1;
                family.get_or_create(&NewLabels { region: "us", user: next.to_string() }).inc();
            }
        },
        move || {
            let mut page = String::new();
            let _ = encode(&mut page, &registry);
            let samples = page.lines().filter(|line| !line.starts_with('#'));
            let values = samples.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
            count(values.sum())
        },
    )
}
