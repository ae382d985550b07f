//! Metrics from a producer, registered at once: what a static does at its first use.

use ringmeter_layout::naming::Kind;

use crate::error::RegisterError;
use crate::family::{CounterVec, GaugeVec, HistogramVec, SummaryVec};
use crate::metrics::{Counter, Gauge, Histogram, Summary};
use crate::options::Options;
use crate::producer::Producer;

macro_rules! registrations {
    ($($kind:ident $one:ident $metric:ident $many:ident $vec:ident $article:literal;)*) => {
        impl Producer {
            $(
                #[doc = concat!("Registers ", $article, ", or finds the one registered before.")]
                ///
                /// # Errors
                /// When the name is registered as something else, when a name or value breaks
                /// Prometheus' rules, or when there is no room; see [`RegisterError`].
                pub fn $one(&self, options: impl Into<Options>) -> Result<$metric, RegisterError> {
                    let series = self.series_of(Kind::$kind, &options.into())?;
                    Ok($metric::bound(series))
                }

                #[doc = concat!("Registers a family: ", $article, " for each set of values of ")]
                /// `label_names`.
                ///
                /// # Errors
                /// As for the metric without variable labels.
                pub fn $many(
                    &self,
                    options: impl Into<Options>,
                    label_names: &[&str],
                ) -> Result<$vec, RegisterError> {
                    $vec::register_in(self.inner, &options.into(), label_names)
                }
            )*
        }
    };
}

registrations! {
    Counter counter Counter counter_vec CounterVec "a counter";
    Gauge gauge Gauge gauge_vec GaugeVec "a gauge";
    Histogram histogram Histogram histogram_vec HistogramVec "a histogram";
    Summary summary Summary summary_vec SummaryVec "a summary";
}
