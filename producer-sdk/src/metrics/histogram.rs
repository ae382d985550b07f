//! Histograms.

use std::time::Duration;

use ringmeter_layout::record::Operation;

use super::{events, exemplars, metric, static_options, timers};
use crate::cells::Rejection;
use crate::exemplar::Exemplar;
use crate::hot::{Binding, ThreadSlot};
use crate::options::Spec;
use crate::timer::Timer;

/// Observations, counted in buckets.
///
/// The buckets are exact at the bounds declared here. The agent also keeps them in fine base-2
/// exponential buckets (relative error at most 1.1 %), whatever the bounds are.
///
/// ```
/// use ringmeter::Histogram;
///
/// static LATENCY: Histogram =
///     Histogram::new("app_request_duration_seconds", "Time to answer a request.");
/// static SIZES: Histogram = Histogram::new("app_request_size_bytes", "Size of a request.")
///     .with_buckets(&[64.0, 1024.0, 16384.0]);
///
/// LATENCY.observe(0.012);
/// SIZES.observe(300.0);
/// let answer = LATENCY.time(|| 42);
/// # assert_eq!(answer, 42);
/// ```
#[derive(Debug, Clone)]
pub struct Histogram {
    pub(super) binding: Binding,
    /// As declared; a handle that was bound when it was made has none.
    pub(super) spec: Option<Spec>,
}

metric!(Histogram, Histogram);
events!(Histogram);
exemplars!(Histogram);
static_options!(Histogram);
timers!(Histogram);

impl Histogram {
    /// A histogram with the default buckets, for a static; registered at its first use.
    #[must_use]
    pub const fn new(name: &'static str, help: &'static str) -> Self {
        Self { binding: Binding::unbound(), spec: Some(Spec::new(name, help)) }
    }

    /// Upper bounds of the buckets, increasing; `+Inf` is always there.
    #[must_use]
    pub const fn with_buckets(mut self, bounds: &'static [f64]) -> Self {
        if let Some(spec) = &mut self.spec {
            spec.bounds = bounds;
        }
        self
    }

    /// Records a value. Infinities are counted but not summed; not-a-number is refused, and
    /// counted as rejected.
    #[inline(always)]
    pub fn observe(&self, value: f64) {
        if value.is_nan() {
            super::reject(&self.binding, Rejection::NotANumber);
        } else {
            self.record(Operation::ObserveF64, value.to_bits());
        }
    }

    /// Records a value together with an exemplar: labels that lead to what was observed, such as
    /// the id of its trace. The newest of each bucket is shown.
    ///
    /// It takes about 150 ns, for copying and checking the labels (the example `exemplar_cost` of
    /// the repository's tests measures it), and neither allocates, nor reads a clock, nor makes a
    /// system call where [`observe`](Self::observe) makes none. A value that is not finite has no
    /// exemplar. For what happens where there is no room, see [`Exemplar`].
    ///
    /// ```
    /// use ringmeter::Histogram;
    ///
    /// static LATENCY: Histogram = Histogram::new("app_latency_seconds", "Time to answer.");
    ///
    /// let (trace_id, span_id) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
    /// LATENCY.observe_with_exemplar(0.012, &[("trace_id", trace_id), ("span_id", span_id)]);
    /// ```
    pub fn observe_with_exemplar<'a>(&self, value: f64, exemplar: impl Into<Exemplar<'a>>) {
        let event = (Operation::ObserveF64, value.to_bits());
        if !(value.is_finite() && self.record_with_exemplar(event, &exemplar.into())) {
            self.observe(value);
        }
    }

    #[inline(always)]
    pub(crate) fn observe_in(&self, slot: ThreadSlot, value: f64) {
        if value.is_nan() {
            super::reject(&self.binding, Rejection::NotANumber);
        } else {
            let bits = value.to_bits();
            if !self.binding.record_in(slot, Operation::ObserveF64, bits) {
                self.record_slowly(Operation::ObserveF64, bits);
            }
        }
    }
}

impl Timer<Histogram> {
    /// Observes now, with an exemplar; returns the time that has passed.
    ///
    /// ```
    /// use ringmeter::{Exemplar, Histogram};
    ///
    /// static LATENCY: Histogram = Histogram::new("app_work_seconds", "Time for the work.");
    ///
    /// let timer = LATENCY.start_timer();
    /// timer.observe_duration_with_exemplar(Exemplar::of_trace([0x4b; 16], [0xf9; 8]));
    /// ```
    pub fn observe_duration_with_exemplar<'a>(self, exemplar: impl Into<Exemplar<'a>>) -> Duration {
        let (histogram, elapsed) = self.take();
        if let Some(histogram) = histogram {
            histogram.observe_with_exemplar(elapsed.as_secs_f64(), exemplar);
        }
        elapsed
    }
}
