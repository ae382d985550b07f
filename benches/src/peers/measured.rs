//! measured.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use measured::metric::histogram::Thresholds;
use measured::{Counter, CounterVec, FixedCardinalityLabel, FloatGauge, Histogram, LabelGroup};
use ringmeter::buckets;

use crate::measure::Subject;
use crate::setup::{Setup, count};
use crate::stand_in::Total;
use crate::work::{Values, dense};

pub(super) fn counter<const CONTEXT: bool>(setup: &Setup, metrics: usize) -> Subject {
    let counters: Arc<Vec<Counter>> = Arc::new((0..metrics).map(|_| Counter::new()).collect());
    let shown = Arc::clone(&counters);
    setup.peer(
        "measured Counter",
        move |thread, calls| {
            let counter = &counters[thread % metrics];
            dense!(CONTEXT, calls, call => counter.inc());
        },
        move || {
            let value = |counter: &Counter| counter.get_metric().count.load(Ordering::Relaxed);
            count(shown.iter().map(|counter| value(counter) as f64).sum())
        },
    )
}

const BOUNDS: usize = buckets::DEFAULT.len();

pub(super) fn histogram<const CONTEXT: bool>(
    setup: &Setup,
    values: &Arc<Values>,
    metrics: usize,
) -> Subject {
    let mut bounds = [0.0; BOUNDS];
    bounds.copy_from_slice(buckets::DEFAULT);
    let thresholds = || Thresholds::with_buckets(bounds);
    let histograms: Arc<Vec<Histogram<BOUNDS>>> =
        Arc::new((0..metrics).map(|_| Histogram::with_metadata(thresholds())).collect());
    let (shown, given) = (Arc::clone(&histograms), Arc::clone(values));
    let mut subject = setup.peer(
        "measured Histogram",
        move |thread, calls| {
            let histogram = &histograms[thread % metrics];
            dense!(CONTEXT, calls, call => histogram.observe(given.of(call)));
        },
        move || {
            let mut total = Total::default();
            for histogram in shown.iter() {
                let metric = histogram.get_metric();
                let state = metric.inner.read();
                let buckets = state.buckets.iter().chain([&state.inf]);
                total.count +=
                    buckets.map(|bucket| bucket.load(Ordering::Relaxed) as f64).sum::<f64>();
                total.sum += state.sum.get();
            }
            total
        },
    );
    subject.expected = values.expected();
    // It takes a lock for reading.
    subject.parks = true;
    subject
}

pub(super) fn gauge_set(setup: &Setup, values: &Arc<Values>) -> Subject {
    let gauge = Arc::new(FloatGauge::new());
    let (shown, given) = (Arc::clone(&gauge), Arc::clone(values));
    setup.peer(
        "measured FloatGauge",
        move |_, calls| {
            dense!(calls, call => gauge.get_metric().set(given.of(call)));
        },
        move || count(shown.get_metric().count.get()),
    )
}

pub(super) fn gauge_add(setup: &Setup) -> Subject {
    let gauge = Arc::new(FloatGauge::new());
    let shown = Arc::clone(&gauge);
    setup.peer(
        "measured FloatGauge",
        move |_, calls| {
            dense!(calls, _call => gauge.get_metric().inc_by(1.0));
        },
        move || count(shown.get_metric().count.get()),
    )
}

#[derive(Debug, Clone, Copy, FixedCardinalityLabel)]
enum Region {
    Us,
    Eu,
}

#[derive(Debug, Clone, Copy, FixedCardinalityLabel)]
enum Method {
    Get,
    Post,
}

#[derive(LabelGroup)]
#[label(set = LabelsSet)]
struct Labels {
    region: Region,
    method: Method,
}

/// Its labels are numbers: a lookup is an index. So the values have to be known in advance.
pub(super) fn lookup(setup: &Setup, is_shared: bool) -> Subject {
    let family = Arc::new(CounterVec::with_label_set(LabelsSet::new()));
    let shown = Arc::clone(&family);
    let pairs = [(Region::Us, Method::Get), (Region::Eu, Method::Post)];
    setup.peer(
        "measured CounterVec (labels fixed in advance)",
        move |thread, calls| {
            let set = if is_shared { 0 } else { thread % pairs.len() };
            let (region, method) = std::hint::black_box(pairs[set]);
            dense!(calls, _call => family.inc(Labels { region, method }));
        },
        move || {
            let value = |(region, method)| {
                let id = shown.with_labels(Labels { region, method });
                shown.get_metric(id).count.load(Ordering::Relaxed) as f64
            };
            count(pairs.into_iter().map(value).sum())
        },
    )
}
