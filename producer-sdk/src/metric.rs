//! What all metrics can do, for those who register or read many at once.

use crate::error::{RegisterError, RegisterErrors};
use crate::registry::Series;

/// What can be declared in a static: metrics of the four kinds and families of them.
///
/// Implemented by this crate only.
pub trait Register {
    /// Registers with the process-wide producer, so that it exists before its first use.
    ///
    /// # Errors
    /// See [`RegisterError`].
    fn register(&self) -> Result<(), RegisterError>;
}

/// A metric: [`Counter`](crate::Counter), [`Gauge`](crate::Gauge),
/// [`Histogram`](crate::Histogram) or [`Summary`](crate::Summary).
///
/// Implemented by this crate only.
pub trait Metric: Register + core::fmt::Debug {
    /// What the metric is bound to, once it is registered.
    #[doc(hidden)]
    fn bound(&self) -> BoundTo;
}

/// What a metric is bound to: for this crate only. Read back by `testing` alone.
#[doc(hidden)]
#[derive(Debug)]
#[cfg_attr(not(feature = "testing"), allow(dead_code))]
pub struct BoundTo {
    pub(crate) series: Option<&'static Series>,
    /// It has been used, and could not be registered.
    pub(crate) is_refused: bool,
}

/// Registers several statics, so that all of them exist at zero before their first use. Goes on
/// behind an error; returns all of them.
///
/// # Errors
/// What could not be registered.
pub fn register_all(metrics: &[&dyn Register]) -> Result<(), RegisterErrors> {
    RegisterErrors::check(metrics.iter().filter_map(|metric| metric.register().err()).collect())
}
