//! What all metrics can do, for those who register or read many at once.

use crate::error::RegisterError;
use crate::registry::Series;

/// A metric: [`Counter`](crate::Counter), [`Gauge`](crate::Gauge),
/// [`Histogram`](crate::Histogram) or [`Summary`](crate::Summary).
///
/// Implemented by this crate only.
pub trait Metric: core::fmt::Debug {
    /// Registers the metric of a static with the process-wide producer.
    ///
    /// # Errors
    /// See [`RegisterError`].
    fn register(&self) -> Result<(), RegisterError>;

    /// What the metric is bound to, once it is registered.
    #[doc(hidden)]
    fn bound(&self) -> BoundTo;
}

/// What a metric is bound to: for this crate only.
#[doc(hidden)]
#[derive(Debug)]
#[cfg_attr(not(feature = "testing"), expect(dead_code, reason = "read back by tests only"))]
pub struct BoundTo(pub(crate) Option<&'static Series>);

/// Registers several statics, so that all of them exist at zero before their first use. Goes on
/// behind an error; returns all of them.
///
/// # Errors
/// What could not be registered.
pub fn register_all(metrics: &[&dyn Metric]) -> Result<(), Vec<RegisterError>> {
    let errors: Vec<RegisterError> =
        metrics.iter().filter_map(|metric| metric.register().err()).collect();
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}
