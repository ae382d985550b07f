//! The four kinds of metric.
//!
//! A metric is made in one of two ways, and behaves the same afterwards:
//!
//! - in a static, by a constant function: it registers itself with the process-wide producer when
//!   it is first used, or all of them at once by [`register!`](crate::register);
//! - by a [`Producer`](crate::Producer), which says at once if something is wrong.

mod counter;
mod gauge;
mod histogram;
mod summary;

pub use counter::Counter;
pub use gauge::{Gauge, InProgress};
pub use histogram::Histogram;
pub use summary::Summary;

use ringmeter_layout::naming::Kind;
use ringmeter_layout::record::Operation;

use crate::cells::{self, Rejection};
use crate::error::RegisterError;
use crate::exemplar::Exemplar;
use crate::hot::Binding;
use crate::options::Spec;
use crate::producer::Producer;
use crate::registry::Series;
use crate::slow;

/// Registers a static's metric and binds it.
pub(crate) fn register(
    binding: &Binding,
    kind: Kind,
    spec: Option<&Spec>,
    producer: Producer,
) -> Result<&'static Series, RegisterError> {
    if let Some(series) = binding.series() {
        return Ok(series);
    }
    let Some(spec) = spec else {
        let reason = "this handle is of a family that could not be registered, which \
                      ringmeter::register! explains"
            .to_owned();
        return Err(RegisterError::NoSpace { name: String::new(), reason });
    };
    let series = producer.series_of(kind, &spec.options())?;
    Ok(binding.bind(series))
}

/// What an unbound handle does at its first use: registers, or counts that it could not.
#[cold]
pub(crate) fn bind(binding: &Binding, kind: Kind, spec: Option<&Spec>) -> Option<&'static Series> {
    if binding.is_signal_safe() {
        return None;
    }
    let producer = Producer::global();
    let series =
        if binding.has_failed() { None } else { register(binding, kind, spec, producer).ok() };
    if series.is_none() {
        binding.fail();
        cells::reject(producer.inner, Rejection::Unregistered);
    }
    series
}

/// Counts an operand that the metric's kind does not take.
#[cold]
pub(crate) fn reject(binding: &Binding, rejection: Rejection) {
    let inner = match binding.series() {
        Some(series) => series.producer(),
        None => Producer::global().inner,
    };
    cells::reject(inner, rejection);
}

/// Records an event together with its exemplar, if that is possible; says whether it was. Where it
/// was not, and there was an exemplar, it is counted; the event is still to be recorded.
#[inline(never)]
pub(crate) fn record_with_exemplar(
    binding: &Binding,
    series: &'static Series,
    (operation, value): (Operation, u64),
    exemplar: &Exemplar<'_>,
) -> bool {
    if exemplar.is_none() {
        return false;
    }
    let rejection = match exemplar.record(series.id, operation, value) {
        Err(_) => Rejection::ExemplarLabels,
        Ok(record) if !binding.is_signal_safe() && slow::record_long(series, &record) => {
            return true;
        }
        Ok(_) => Rejection::ExemplarRoom,
    };
    cells::reject(series.producer(), rejection);
    false
}

/// What all metrics have in common.
macro_rules! metric {
    ($metric:ident, $kind:ident) => {
        impl $metric {
            pub(crate) fn bound(series: &'static crate::registry::Series) -> Self {
                Self { binding: crate::hot::Binding::to(series), spec: None }
            }

            /// The metric of a series that this thread has looked up before.
            #[inline(always)]
            pub(crate) fn bound_again(series: &'static crate::registry::Series) -> Self {
                Self { binding: crate::hot::Binding::again(series), spec: None }
            }

            /// A metric whose every use counts as rejected.
            #[cold]
            pub(crate) fn refused() -> Self {
                Self { binding: crate::hot::Binding::unbound(), spec: None }
            }

            /// Registers the metric of a static with the process-wide producer, so that it exists
            /// before its first use.
            ///
            /// # Errors
            /// See [`RegisterError`](crate::RegisterError). Every later use counts as rejected
            /// then, which the agent shows.
            pub fn register(&self) -> Result<(), crate::RegisterError> {
                if self.binding.series().is_some() {
                    return Ok(());
                }
                self.register_in(&crate::Producer::global())
            }

            /// Registers the metric of a static with a producer of one's own.
            ///
            /// # Errors
            /// See [`RegisterError`](crate::RegisterError).
            pub fn register_in(
                &self,
                producer: &crate::Producer,
            ) -> Result<(), crate::RegisterError> {
                let kind = ringmeter_layout::naming::Kind::$kind;
                super::register(&self.binding, kind, self.spec.as_ref(), *producer).map(|_| ())
            }

            /// A handle to the same metric for use in signal handlers: it touches nothing but
            /// the metric's own words of memory. Registers the metric if it is not yet, so call
            /// this outside of the handler.
            #[must_use]
            pub fn signal_safe(&self) -> Self {
                // A metric that cannot be registered counts nothing, as elsewhere.
                let _ = self.register();
                Self { binding: self.binding.signal_safe(), spec: self.spec }
            }

            #[cold]
            fn bind(&self) -> Option<&'static crate::registry::Series> {
                let kind = ringmeter_layout::naming::Kind::$kind;
                super::bind(&self.binding, kind, self.spec.as_ref())
            }
        }

        impl crate::metric::Register for $metric {
            fn register(&self) -> Result<(), crate::RegisterError> {
                $metric::register(self)
            }
        }

        impl crate::metric::Metric for $metric {
            fn bound(&self) -> crate::metric::BoundTo {
                let series = self.binding.series();
                let is_handle = self.spec.is_none();
                let is_refused = series.is_none() && (is_handle || self.binding.has_failed());
                crate::metric::BoundTo { series, is_refused }
            }
        }
    };
}
pub(crate) use metric;

/// Recording, for the kinds whose records are events.
macro_rules! events {
    ($metric:ident) => {
        impl $metric {
            #[inline(always)]
            fn record(&self, operation: Operation, value: u64) {
                if !self.binding.record(operation, value) {
                    self.record_slowly(operation, value);
                }
            }

            /// Takes the metric alone, so that the fast path prepares nothing for this call.
            #[cold]
            #[inline(never)]
            fn record_slowly(&self, operation: Operation, value: u64) {
                if let Some(series) = self.binding.series().or_else(|| self.bind()) {
                    self.binding.record_slowly(series, operation, value);
                }
            }
        }
    };
}
pub(crate) use events;

/// Recording with exemplars, for the kinds that the formats show them of.
macro_rules! exemplars {
    ($metric:ident) => {
        impl $metric {
            /// Records an event with its exemplar; says whether it did.
            fn record_with_exemplar(
                &self,
                event: (Operation, u64),
                exemplar: &crate::exemplar::Exemplar<'_>,
            ) -> bool {
                let series = self.binding.series().or_else(|| self.bind());
                series.is_some_and(|series| {
                    super::record_with_exemplar(&self.binding, series, event, exemplar)
                })
            }
        }
    };
}
pub(crate) use exemplars;

/// The constant functions that statics of every kind have.
macro_rules! static_options {
    ($metric:ident) => {
        impl $metric {
            /// The base unit of a static's metric, such as `seconds`.
            #[must_use]
            pub const fn with_unit(mut self, unit: &'static str) -> Self {
                if let Some(spec) = &mut self.spec {
                    spec.unit = unit;
                }
                self
            }

            /// Constant labels of a static's metric: names and values.
            #[must_use]
            pub const fn with_labels(
                mut self,
                labels: &'static [(&'static str, &'static str)],
            ) -> Self {
                if let Some(spec) = &mut self.spec {
                    spec.labels = labels;
                }
                self
            }
        }
    };
}
pub(crate) use static_options;

/// Timers, for the kinds that take observations.
macro_rules! timers {
    ($metric:ident) => {
        impl $metric {
            /// Starts a timer that observes the seconds until it is dropped.
            ///
            /// The timer has a handle of its own, so it may outlive a lookup:
            /// `let timer = LATENCY.with(&["/"]).start_timer();`.
            pub fn start_timer(&self) -> crate::Timer<Self> {
                // The copy of a static that is not registered would register at every use.
                let _ = self.register();
                crate::Timer::start(self.clone())
            }

            /// Records a duration, in seconds.
            #[inline]
            pub fn observe_duration(&self, duration: std::time::Duration) {
                self.observe(duration.as_secs_f64());
            }

            /// Calls `f` and records how many seconds it took.
            pub fn time<T>(&self, f: impl FnOnce() -> T) -> T {
                let _timer = self.start_timer();
                f()
            }

            /// Awaits a future and records how many seconds that took; nothing if it is dropped
            /// before its end.
            pub async fn time_async<F: Future>(&self, future: F) -> F::Output {
                let start = std::time::Instant::now();
                let output = future.await;
                self.observe(start.elapsed().as_secs_f64());
                output
            }
        }

        impl crate::timer::Observe for $metric {
            fn observe(&self, value: f64) {
                $metric::observe(self, value);
            }
        }
    };
}
pub(crate) use timers;
