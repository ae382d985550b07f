//! Summaries.

use std::time::Duration;

use ringmeter_layout::record::Operation;

use super::{events, metric, static_options, timers};
use crate::cells::Rejection;
use crate::hot::Binding;
use crate::options::Spec;

/// Observations, shown as quantiles over a sliding window, with count and sum.
///
/// The quantiles are computed by the agent, over all threads and processes of the service, with a
/// relative error of at most 1.1 %: recording costs the same however many quantiles there are.
///
/// ```
/// use ringmeter::Summary;
///
/// static SIZE: Summary = Summary::new("app_response_size_bytes", "Size of a response.")
///     .with_objectives(&[0.5, 0.9, 0.99]);
///
/// SIZE.observe(1234.0);
/// ```
#[derive(Debug, Clone)]
pub struct Summary {
    pub(super) binding: Binding,
    /// As declared; a handle that was bound when it was made has none.
    pub(super) spec: Option<Spec>,
}

metric!(Summary, Summary);
events!(Summary);
static_options!(Summary);
timers!(Summary);

impl Summary {
    /// A summary without quantiles, for a static; registered at its first use.
    #[must_use]
    pub const fn new(name: &'static str, help: &'static str) -> Self {
        Self { binding: Binding::unbound(), spec: Some(Spec::new(name, help)) }
    }

    /// Quantiles to show, each from 0 to 1, increasing.
    #[must_use]
    pub const fn with_objectives(mut self, quantiles: &'static [f64]) -> Self {
        if let Some(spec) = &mut self.spec {
            spec.objectives = quantiles;
        }
        self
    }

    /// How far back the quantiles look; ten minutes by default.
    #[must_use]
    pub const fn with_max_age(mut self, max_age: Duration) -> Self {
        if let Some(spec) = &mut self.spec {
            spec.max_age = max_age;
        }
        self
    }

    /// In how many steps old observations leave the quantiles; five by default.
    #[must_use]
    pub const fn with_age_buckets(mut self, age_buckets: u32) -> Self {
        if let Some(spec) = &mut self.spec {
            spec.age_buckets = age_buckets;
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
}
