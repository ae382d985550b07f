//! Histograms.

use ringmeter_layout::record::Operation;

use super::{events, metric, static_options, timers};
use crate::cells::Rejection;
use crate::hot::{Binding, ThreadSlot};
use crate::options::Spec;

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
