//! opentelemetry with its SDK, read by a reader that collects when asked.

use std::sync::{Arc, Weak};
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Meter, MeterProvider};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::metrics::data::{AggregatedMetrics, MetricData, ResourceMetrics};
use opentelemetry_sdk::metrics::reader::MetricReader;
use opentelemetry_sdk::metrics::{
    InstrumentKind, ManualReader, Pipeline, SdkMeterProvider, Temporality,
};
use ringmeter::buckets;

use super::{LABEL_NAMES, LABEL_VALUES, labels};
use crate::measure::Subject;
use crate::setup::{Setup, count};
use crate::stand_in::Total;
use crate::work::{Values, dense};

/// A provider of its own, and its reader.
#[derive(Debug, Clone)]
pub struct Reader {
    reader: Shared,
    provider: SdkMeterProvider,
}

/// The provider takes its reader for itself.
#[derive(Debug, Clone, Default)]
struct Shared(Arc<ManualReader>);

impl MetricReader for Shared {
    fn register_pipeline(&self, pipeline: Weak<Pipeline>) {
        self.0.register_pipeline(pipeline);
    }

    fn collect(&self, metrics: &mut ResourceMetrics) -> OTelSdkResult {
        self.0.collect(metrics)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.0.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.0.shutdown_with_timeout(timeout)
    }

    fn temporality(&self, kind: InstrumentKind) -> Temporality {
        self.0.temporality(kind)
    }
}

impl Default for Reader {
    fn default() -> Self {
        let reader = Shared::default();
        let provider = SdkMeterProvider::builder().with_reader(reader.clone()).build();
        Self { reader, provider }
    }
}

impl Reader {
    /// Where instruments are made.
    #[must_use]
    pub fn meter(&self) -> Meter {
        self.provider.meter("bench")
    }

    /// Collects everything and adds it up: what a scrape asks for, before any encoding.
    #[must_use]
    pub fn total(&self) -> Total {
        self.total_of("")
    }

    /// Collects everything, and adds up what has a name that begins so.
    #[must_use]
    pub fn total_of(&self, name: &str) -> Total {
        let mut collected = ResourceMetrics::default();
        let mut total = Total::default();
        if self.reader.collect(&mut collected).is_err() {
            return Total { count: f64::NAN, sum: f64::NAN };
        }
        let metrics = collected.scope_metrics().flat_map(|scope| scope.metrics());
        for metric in metrics.filter(|metric| metric.name().starts_with(name)) {
            let mut add = |count: f64, sum: f64| {
                total.count += count;
                total.sum += sum;
            };
            match metric.data() {
                AggregatedMetrics::U64(MetricData::Sum(sum)) => {
                    sum.data_points()
                        .for_each(|point| add(point.value() as f64, point.value() as f64));
                }
                AggregatedMetrics::F64(MetricData::Sum(sum)) => {
                    sum.data_points().for_each(|point| add(point.value(), point.value()));
                }
                AggregatedMetrics::F64(MetricData::Gauge(gauge)) => {
                    gauge.data_points().for_each(|point| add(point.value(), point.value()));
                }
                AggregatedMetrics::F64(MetricData::Histogram(histogram)) => {
                    let points = histogram.data_points();
                    points.for_each(|point| add(point.count() as f64, point.sum()));
                }
                _ => {}
            }
        }
        total
    }
}

pub(super) fn counter<const CONTEXT: bool>(setup: &Setup, metrics: usize) -> Subject {
    let reader = Reader::default();
    let counter = reader.meter().u64_counter("calls").build();
    let bound: Vec<_> =
        (0..metrics).map(|index| counter.bind(&[KeyValue::new("metric", index as i64)])).collect();
    setup.peer(
        "opentelemetry bound Counter",
        move |thread, calls| {
            let counter = &bound[thread % metrics];
            dense!(CONTEXT, calls, call => counter.add(1));
        },
        move || reader.total(),
    )
}

pub(super) fn histogram<const CONTEXT: bool>(
    setup: &Setup,
    values: &Arc<Values>,
    metrics: usize,
) -> Subject {
    let reader = Reader::default();
    let meter = reader.meter();
    let builder = meter.f64_histogram("calls").with_boundaries(buckets::DEFAULT.to_vec());
    let histogram = builder.build();
    let bound: Vec<_> = (0..metrics)
        .map(|index| histogram.bind(&[KeyValue::new("metric", index as i64)]))
        .collect();
    let given = Arc::clone(values);
    let mut subject = setup.peer(
        "opentelemetry bound Histogram",
        move |thread, calls| {
            let histogram = &bound[thread % metrics];
            dense!(CONTEXT, calls, call => histogram.record(given.of(call)));
        },
        move || reader.total(),
    );
    subject.expected = values.expected();
    // It takes a lock.
    subject.parks = true;
    subject
}

pub(super) fn gauge_set(setup: &Setup, values: &Arc<Values>) -> Subject {
    let reader = Reader::default();
    let gauge = reader.meter().f64_gauge("value").build().bind(&[]);
    let given = Arc::clone(values);
    setup.peer(
        "opentelemetry bound Gauge",
        move |_, calls| {
            dense!(calls, call => gauge.record(given.of(call)));
        },
        move || reader.total(),
    )
}

pub(super) fn up_down_counter(setup: &Setup) -> Subject {
    let reader = Reader::default();
    let gauge = reader.meter().f64_up_down_counter("value").build().bind(&[]);
    setup.peer(
        "opentelemetry bound UpDownCounter",
        move |_, calls| {
            dense!(calls, _call => gauge.add(1.0));
        },
        move || reader.total(),
    )
}

/// Two attributes, made anew at every call as values are that a request brings.
pub(super) fn attributes(setup: &Setup, is_shared: bool) -> Subject {
    let reader = Reader::default();
    let counter = reader.meter().u64_counter("calls").build();
    let [first, second] = LABEL_NAMES;
    for [region, method] in LABEL_VALUES {
        counter.add(0, &[KeyValue::new(first, region), KeyValue::new(second, method)]);
    }
    let mut subject = setup.peer(
        "opentelemetry Counter with attributes",
        move |thread, calls| {
            let [region, method] = labels(thread, is_shared);
            dense!(calls, _call => {
                counter.add(1, &[KeyValue::new(first, region), KeyValue::new(second, method)]);
            });
        },
        move || count(reader.total().count),
    );
    subject.parks = true;
    subject
}
