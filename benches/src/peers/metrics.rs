//! metrics with metrics-exporter-prometheus.

use std::sync::{Arc, Mutex, PoisonError};

use metrics::{Key, Label, Level, Metadata, Recorder, SharedString};
use metrics_exporter_prometheus::{
    Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};
use ringmeter::buckets;

use super::{LABEL_NAMES, labels};
use crate::error::{Failure, Outcome};
use crate::measure::Subject;
use crate::setup::{Setup, count};
use crate::stand_in::Total;
use crate::work::{Values, dense};

const METADATA: Metadata<'static> = Metadata::new("bench", Level::INFO, None);
/// Metrics whose name begins so have the default buckets; the others are summaries.
const BUCKETED: &str = "bucketed";

/// A recorder of its own, and what is scraped of it.
#[derive(Clone)]
pub struct Exporter {
    recorder: Arc<PrometheusRecorder>,
    handle: PrometheusHandle,
}

impl Exporter {
    /// Makes one without a listener.
    ///
    /// # Errors
    /// When it refuses the buckets.
    pub fn new() -> Outcome<Self> {
        let failure = |error| Failure::new(format!("{error}"));
        let recorder = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Prefix(BUCKETED.to_owned()), buckets::DEFAULT)
            .map_err(failure)?
            .build_recorder();
        let handle = recorder.handle();
        Ok(Self { recorder: Arc::new(recorder), handle })
    }

    /// Registers a counter.
    pub fn counter(&self, name: &str, labels: Vec<Label>) -> metrics::Counter {
        self.recorder.register_counter(&Key::from_parts(name.to_owned(), labels), &METADATA)
    }

    /// Registers a gauge.
    pub fn gauge(&self, name: &str) -> metrics::Gauge {
        self.recorder.register_gauge(&Key::from_name(name.to_owned()), &METADATA)
    }

    /// Registers a histogram with the default buckets.
    pub fn histogram(&self, name: &str) -> metrics::Histogram {
        let key = Key::from_name(format!("{BUCKETED}_{name}"));
        self.recorder.register_histogram(&key, &METADATA)
    }

    /// Registers a summary.
    pub fn summary(&self, name: &str) -> metrics::Histogram {
        self.recorder.register_histogram(&Key::from_name(name.to_owned()), &METADATA)
    }

    /// Moves samples from where they wait to their buckets.
    pub fn upkeep(&self) {
        self.handle.run_upkeep();
    }

    /// What a scrape gets.
    #[must_use]
    pub fn page(&self) -> String {
        self.handle.render()
    }

    /// The sum of the samples whose name begins so.
    fn exposed(&self, name: &str) -> f64 {
        let page = self.page();
        let samples = page.lines().filter(|line| line.starts_with(name));
        samples.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }
}

/// One whose making cannot fail: the buckets are constant.
fn exporter() -> Exporter {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    Exporter { recorder: Arc::new(recorder), handle }
}

pub(super) fn counter<const CONTEXT: bool>(setup: &Setup, metrics: usize) -> Subject {
    let exporter = exporter();
    let name = |index: usize| format!("calls_{index}");
    let counters: Vec<metrics::Counter> =
        (0..metrics).map(|index| exporter.counter(&name(index), Vec::new())).collect();
    setup.peer(
        "metrics Counter",
        move |thread, calls| {
            let counter = &counters[thread % metrics];
            dense!(CONTEXT, calls, call => counter.increment(1));
        },
        move || count(exporter.exposed("calls")),
    )
}

fn distribution<const CONTEXT: bool>(
    setup: &Setup,
    values: &Arc<Values>,
    exporter: &Exporter,
    histograms: Vec<metrics::Histogram>,
    [title, name]: [&str; 2],
) -> Subject {
    let given = Arc::clone(values);
    let metrics = histograms.len();
    let shown = exporter.clone();
    let (count_name, sum_name) = (format!("{name}_count"), format!("{name}_sum"));
    let mut subject = setup.peer(
        title,
        move |thread, calls| {
            let histogram = &histograms[thread % metrics];
            dense!(CONTEXT, calls, call => histogram.record(given.of(call)));
        },
        move || Total { count: shown.exposed(&count_name), sum: shown.exposed(&sum_name) },
    );
    // What waits for a bucket would fill the memory; its way there is not in the figure.
    let (tidied, drain) = (exporter.clone(), setup.pause());
    subject.pause = Box::new(move || {
        tidied.upkeep();
        drain()
    });
    subject.expected = values.expected();
    subject.parks = true;
    subject
}

pub(super) fn histogram<const CONTEXT: bool>(
    setup: &Setup,
    values: &Arc<Values>,
    metrics: usize,
) -> Outcome<Subject> {
    let exporter = Exporter::new()?;
    let make = |_| exporter.histogram("calls");
    let histograms = (0..metrics).map(make).collect();
    let names = ["metrics Histogram (without its upkeep)", "bucketed_calls"];
    Ok(distribution::<CONTEXT>(setup, values, &exporter, histograms, names))
}

pub(super) fn summary(setup: &Setup, values: &Arc<Values>) -> Outcome<Subject> {
    let exporter = Exporter::new()?;
    let summaries = vec![exporter.summary("calls")];
    let names = ["metrics Histogram as a summary (without its upkeep)", "calls"];
    Ok(distribution::<false>(setup, values, &exporter, summaries, names))
}

pub(super) fn gauge_set(setup: &Setup, values: &Arc<Values>) -> Subject {
    let (exporter, given) = (exporter(), Arc::clone(values));
    let gauge = exporter.gauge("value");
    setup.peer(
        "metrics Gauge",
        move |_, calls| {
            dense!(calls, call => gauge.set(given.of(call)));
        },
        move || count(exporter.exposed("value")),
    )
}

pub(super) fn gauge_add(setup: &Setup) -> Subject {
    let exporter = exporter();
    let gauge = exporter.gauge("value");
    setup.peer(
        "metrics Gauge",
        move |_, calls| {
            dense!(calls, _call => gauge.increment(1.0));
        },
        move || count(exporter.exposed("value")),
    )
}

/// As the crate's macros do it with label values that are not literals, without the way to the
/// recorder.
fn with_labels(exporter: &Exporter, values: [&'static str; 2]) -> metrics::Counter {
    let [first, second] = LABEL_NAMES;
    let labels = vec![Label::new(first, values[0]), Label::new(second, values[1])];
    let key = Key::from_parts(SharedString::const_str("calls"), labels);
    exporter.recorder.register_counter(&key, &METADATA)
}

pub(super) fn lookup(setup: &Setup, is_shared: bool) -> Subject {
    let exporter = exporter();
    let shown = exporter.clone();
    let mut subject = setup.peer(
        "metrics counter with labels",
        move |thread, calls| {
            let values = labels(thread, is_shared);
            dense!(calls, _call => with_labels(&exporter, values).increment(1));
        },
        move || count(shown.exposed("calls")),
    );
    subject.parks = true;
    subject
}

pub(super) fn by_macro(setup: &Setup) -> Outcome<Subject> {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    metrics::set_global_recorder(recorder)
        .map_err(|_| Failure::new("another recorder of metrics is installed"))?;
    Ok(setup.peer(
        "metrics counter!",
        |_, calls| {
            dense!(calls, _call => metrics::counter!("bench_macro_total").increment(1));
        },
        move || {
            let page = handle.render();
            let sample = page.lines().find_map(|line| line.strip_prefix("bench_macro_total "));
            count(sample.and_then(|value| value.parse().ok()).unwrap_or(0.0))
        },
    ))
}

pub(super) fn registration(setup: &Setup) -> Subject {
    let exporter = exporter();
    let (shown, next) = (exporter.clone(), Mutex::new(0_u64));
    setup.peer(
        "metrics counter with labels",
        move |_, calls| {
            let mut next = next.lock().unwrap_or_else(PoisonError::into_inner);
            let [first, second] = LABEL_NAMES;
            for _ in 0..calls {
                *next += 1;
                let labels = vec![Label::new(first, "us"), Label::new(second, next.to_string())];
                let key = Key::from_parts(SharedString::const_str("calls"), labels);
                exporter.recorder.register_counter(&key, &METADATA).increment(1);
            }
        },
        move || count(shown.exposed("calls")),
    )
}
