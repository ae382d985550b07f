//! metriken.

use std::sync::Arc;

use metriken::{AtomicCounterHistogram, Counter, ShardedCounterGroup, ShardedCounterHistogram};

use crate::measure::Subject;
use crate::setup::{Setup, count};
use crate::work::{Values, dense};

pub(super) fn counter<const CONTEXT: bool>(setup: &Setup, metrics: usize) -> Subject {
    let counters: Arc<Vec<Counter>> = Arc::new((0..metrics).map(|_| Counter::new()).collect());
    let shown = Arc::clone(&counters);
    setup.peer(
        "metriken Counter",
        move |thread, calls| {
            let counter = &counters[thread % metrics];
            dense!(CONTEXT, calls, call => counter.increment());
        },
        move || count(shown.iter().map(|counter| counter.value() as f64).sum()),
    )
}

/// Counters with a shard for each thread.
pub(super) fn sharded_counter<const CONTEXT: bool>(setup: &Setup, metrics: usize) -> Subject {
    let group = Arc::new(ShardedCounterGroup::new(metrics));
    let shown = Arc::clone(&group);
    setup.peer(
        "metriken ShardedCounterGroup",
        move |thread, calls| {
            let index = thread % metrics;
            dense!(CONTEXT, calls, call => group.increment(index));
        },
        move || {
            let values = (0..metrics).filter_map(|index| shown.value(index));
            count(values.map(|value| value as f64).sum())
        },
    )
}

/// Relative error below 1 %, as ours, up to 2^36.
const GROUPING_POWER: u8 = 7;
const MAX_VALUE_POWER: u8 = 36;

/// Values as integers, evenly over 20 octaves.
#[inline(always)]
fn value(call: u64) -> u64 {
    let hash = call.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (hash >> 24) >> (hash & 15)
}

fn counted(buckets: &[u64]) -> f64 {
    buckets.iter().map(|bucket| *bucket as f64).sum()
}

pub(super) fn histogram<const CONTEXT: bool>(setup: &Setup, metrics: usize) -> Subject {
    let make = |_| AtomicCounterHistogram::new(GROUPING_POWER, MAX_VALUE_POWER + 4);
    let histograms: Arc<Vec<AtomicCounterHistogram>> = Arc::new((0..metrics).map(make).collect());
    let shown = Arc::clone(&histograms);
    let mut subject = setup.peer(
        "metriken AtomicCounterHistogram (no sum)",
        move |thread, calls| {
            let histogram = &histograms[thread % metrics];
            dense!(CONTEXT, calls, call => histogram.increment(value(call)));
        },
        move || {
            let loaded = shown.iter().filter_map(|one| one.load());
            count(loaded.map(|histogram| counted(histogram.as_slice())).sum())
        },
    );
    subject.expected = Values::counted();
    subject
}

pub(super) fn sharded_histogram<const CONTEXT: bool>(setup: &Setup, metrics: usize) -> Subject {
    let make = |_| ShardedCounterHistogram::new(GROUPING_POWER, MAX_VALUE_POWER + 4);
    let histograms: Arc<Vec<ShardedCounterHistogram>> = Arc::new((0..metrics).map(make).collect());
    let shown = Arc::clone(&histograms);
    let mut subject = setup.peer(
        "metriken ShardedCounterHistogram (no sum)",
        move |thread, calls| {
            let histogram = &histograms[thread % metrics];
            dense!(CONTEXT, calls, call => histogram.increment(value(call)));
        },
        move || {
            let loaded = shown.iter().filter_map(|one| one.load());
            count(loaded.map(|histogram| counted(histogram.as_slice())).sum())
        },
    );
    subject.expected = Values::counted();
    subject
}

/// The crate's way of a counter without a handle: its macro makes a static of it.
pub(super) fn by_static(setup: &Setup) -> Subject {
    #[metriken::metric(name = "bench_calls", description = "Calls.")]
    static CALLS: Counter = Counter::new();
    setup.peer(
        "metriken #[metric] static Counter",
        |_, calls| {
            dense!(calls, _call => CALLS.increment());
        },
        || count(CALLS.value() as f64),
    )
}
