//! Families: one metric for each set of label values.

use std::time::Duration;

use ringmeter_layout::naming::{GaugeRule, Kind};

use crate::error::RegisterError;
use crate::hot;
use crate::leaked::Leaked;
use crate::metrics::{Counter, Gauge, Histogram, Summary};
use crate::options::{Options, Spec};
use crate::producer::Producer;
use crate::registry::{Family, Inner, Series};

/// What a family is bound to, and the values of its constant labels.
struct Bound {
    /// `None` when the family could not be registered: no use tries again.
    family: Option<&'static Family>,
    constant: Vec<&'static str>,
}

impl Bound {
    #[inline(always)]
    fn lookup<'a>(&'static self, values: &'a [&'a str]) -> hot::Lookup<'a> {
        let owner = core::ptr::from_ref(self).addr() as u64;
        hot::Lookup { owner, constant: &self.constant, values }
    }

    /// The series of these label values, by way of the registry.
    fn find(&'static self, values: &[&str]) -> Option<&'static Series> {
        let family = self.family?;
        let series = family.producer.series_or_overflow(family, &all_values(self, values))?;
        // The overflow series stands for many values: it is not what a lookup would compare with.
        if !series.is_overflow() {
            self.lookup(values).remember(series);
        }
        Some(series)
    }
}

/// The part that families of all kinds share.
struct Lookup {
    bound: Leaked<Bound>,
    spec: Spec,
    label_names: &'static [&'static str],
}

impl Clone for Lookup {
    fn clone(&self) -> Self {
        let bound = Leaked::empty();
        if let Some(known) = self.bound.get() {
            bound.set(known);
        }
        Self { bound, spec: self.spec, label_names: self.label_names }
    }
}

impl core::fmt::Debug for Lookup {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.bound.get().and_then(|bound| bound.family) {
            Some(family) => f.write_str(&family.definition.name),
            None => write!(f, "{} (not registered)", self.spec.name),
        }
    }
}

impl Lookup {
    const fn new(
        name: &'static str,
        help: &'static str,
        label_names: &'static [&'static str],
    ) -> Self {
        Self { bound: Leaked::empty(), spec: Spec::new(name, help), label_names }
    }

    fn bound(bound: Bound) -> Self {
        let core = Self::new("", "", &[]);
        core.bound.set(Box::leak(Box::new(bound)));
        core
    }

    fn register(&self, kind: Kind, producer: Producer) -> Result<(), RegisterError> {
        if self.bound.get().is_some_and(|bound| bound.family.is_some()) {
            return Ok(());
        }
        let bound = bind(producer.inner, kind, &self.spec.options(), self.label_names)?;
        self.bound.set(Box::leak(Box::new(bound)));
        Ok(())
    }

    /// The series of these label values, if this thread has looked it up before.
    #[inline(always)]
    fn cached(&self, values: &[&str]) -> Option<&'static Series> {
        // No closure: one that is not inlined keeps the number of labels from being known.
        self.bound.get()?.lookup(values).cached()
    }

    /// The series of these label values.
    #[inline(always)]
    fn find(&self, kind: Kind, values: &[&str]) -> Option<&'static Series> {
        match self.cached(values) {
            Some(series) => Some(series),
            None => self.find_slowly(kind, values),
        }
    }

    #[cold]
    #[inline(never)]
    fn find_slowly(&self, kind: Kind, values: &[&str]) -> Option<&'static Series> {
        match self.bound.get() {
            Some(bound) if bound.family.is_some() => bound.find(values),
            _ => self.find_unbound(kind, values),
        }
    }

    fn find_unbound(&self, kind: Kind, values: &[&str]) -> Option<&'static Series> {
        if self.bound.get().is_none() && self.register(kind, Producer::global()).is_err() {
            let failed = Bound { family: None, constant: Vec::new() };
            self.bound.set_if(None, Box::leak(Box::new(failed)));
        }
        // Of a family that is not registered there is nothing to find: what is recorded counts as
        // rejected then.
        self.bound.get()?.find(values)
    }

    fn try_find(&self, kind: Kind, values: &[&str]) -> Result<&'static Series, RegisterError> {
        self.register(kind, Producer::global())?;
        let bound = self.bound.get().and_then(|bound| Some((bound.family?, bound)));
        let Some((family, bound)) = bound else {
            let name = self.spec.name.to_owned();
            return Err(RegisterError::NoSpace { name, reason: "not registered".to_owned() });
        };
        family.producer.series(family, &all_values(bound, values))
    }

    fn remove(&self, values: &[&str]) -> bool {
        let Some(bound) = self.bound.get() else { return false };
        let values = all_values(bound, values);
        bound.family.is_some_and(|family| family.producer.remove(family, &values))
    }
}

fn bind(
    inner: &'static Inner,
    kind: Kind,
    options: &Options,
    label_names: &[&str],
) -> Result<Bound, RegisterError> {
    let family = inner.family(options.definition(kind, label_names), true)?;
    let constant = options
        .label_values()
        .into_iter()
        .map(|value| &*Box::leak(Box::<str>::from(value)))
        .collect();
    Ok(Bound { family: Some(family), constant })
}

fn all_values<'a>(bound: &Bound, values: &[&'a str]) -> Vec<&'a str> {
    bound.constant.iter().copied().chain(values.iter().copied()).collect()
}

/// Defines the family type of a kind.
macro_rules! family {
    ($vec:ident, $metric:ident, $article:literal, $method:literal) => {
        #[doc = concat!("A family of ", $article, ": one for each set of label values.")]
        ///
        /// `with` gives a handle that can be kept. Keeping it is fastest; asking again costs a
        /// look into a cache of this thread, without a lock.
        ///
        /// ```
        #[doc = concat!("use ringmeter::", stringify!($vec), ";")]
        ///
        #[doc = concat!(
            "static BY_ROUTE: ", stringify!($vec), " = ", stringify!($vec),
            "::new(\"doc_", $method, "_by_route\", \"An example.\", &[\"route\", \"code\"]);"
        )]
        ///
        #[doc = concat!("BY_ROUTE.with(&[\"/\", \"200\"]).", $method, ";")]
        /// ```
        #[derive(Debug, Clone)]
        pub struct $vec {
            core: Lookup,
        }

        impl $vec {
            /// A family for a static; registered at its first use.
            #[must_use]
            pub const fn new(
                name: &'static str,
                help: &'static str,
                label_names: &'static [&'static str],
            ) -> Self {
                Self { core: Lookup::new(name, help, label_names) }
            }

            /// The base unit of a static's family, such as `seconds`.
            #[must_use]
            pub const fn with_unit(mut self, unit: &'static str) -> Self {
                self.core.spec.unit = unit;
                self
            }

            /// Constant labels of a static's family: names and values.
            #[must_use]
            pub const fn with_labels(
                mut self,
                labels: &'static [(&'static str, &'static str)],
            ) -> Self {
                self.core.spec.labels = labels;
                self
            }

            pub(crate) fn register_in(
                inner: &'static Inner,
                options: &Options,
                label_names: &[&str],
            ) -> Result<Self, RegisterError> {
                let bound = bind(inner, Kind::$metric, options, label_names)?;
                Ok(Self { core: Lookup::bound(bound) })
            }

            /// Registers the family of a static with the process-wide producer.
            ///
            /// # Errors
            /// See [`RegisterError`].
            pub fn register(&self) -> Result<(), RegisterError> {
                self.core.register(Kind::$metric, Producer::global())
            }

            /// The metric of these label values, in the order of the label names.
            ///
            /// Where they break a rule or a limit it is the family's overflow series, which is
            /// exposed with the label `ringmeter_overflow="true"`: totals are kept. Such a lookup,
            /// and one of values that this thread has not looked up lately, takes about a
            /// microsecond and may wait for others of its kind.
            #[inline(always)]
            #[must_use]
            pub fn with(&self, values: &[&str]) -> $metric {
                match self.core.find(Kind::$metric, values) {
                    Some(series) => $metric::bound_again(series),
                    None => $metric::refused(),
                }
            }

            /// As [`with`](Self::with), but says what is wrong.
            ///
            /// # Errors
            /// See [`RegisterError`].
            pub fn try_with(&self, values: &[&str]) -> Result<$metric, RegisterError> {
                self.core.try_find(Kind::$metric, values).map($metric::bound)
            }

            /// Takes the metric of these label values out of the exposition; says whether it was
            /// there. Asking for the same values again brings it back with its total; a handle
            /// kept from before counts on, unseen until then.
            pub fn remove(&self, values: &[&str]) -> bool {
                self.core.remove(values)
            }
        }

        impl crate::metric::Register for $vec {
            fn register(&self) -> Result<(), RegisterError> {
                $vec::register(self)
            }
        }
    };
}

family!(CounterVec, Counter, "counters", "inc()");
family!(GaugeVec, Gauge, "gauges", "set(1.0)");
family!(HistogramVec, Histogram, "histograms", "observe(0.1)");
family!(SummaryVec, Summary, "summaries", "observe(0.1)");

impl CounterVec {
    /// Adds one to the counter of these label values: what `with(values).inc()` does, in half the
    /// time, because no handle is made for it.
    ///
    /// ```
    /// use ringmeter::CounterVec;
    ///
    /// static BY_METHOD: CounterVec = CounterVec::new("doc_by_method", "An example.", &["method"]);
    ///
    /// BY_METHOD.inc(&["GET"]);
    /// ```
    #[inline(always)]
    pub fn inc(&self, values: &[&str]) {
        self.inc_by(values, 1);
    }

    /// Adds a whole number to the counter of these label values.
    #[inline(always)]
    pub fn inc_by(&self, values: &[&str], amount: u64) {
        let is_added = match self.core.cached(values) {
            Some(series) => hot::add_in_lane_of(series, amount),
            None => false,
        };
        if !is_added {
            self.inc_slowly(values, amount);
        }
    }

    #[cold]
    #[inline(never)]
    fn inc_slowly(&self, values: &[&str], amount: u64) {
        self.with(values).inc_by(amount);
    }
}

/// Observing without a handle.
macro_rules! observe {
    ($vec:ident) => {
        impl $vec {
            /// Observes a value for these label values: what `with(values).observe(value)` does,
            /// in less time, because no handle is made for it.
            #[inline(always)]
            pub fn observe(&self, values: &[&str], value: f64) {
                let is_recorded = match self.core.cached(values) {
                    Some(series) if !value.is_nan() => hot::observe_of(series, value.to_bits()),
                    _ => false,
                };
                if !is_recorded {
                    self.observe_slowly(values, value);
                }
            }

            #[cold]
            #[inline(never)]
            fn observe_slowly(&self, values: &[&str], value: f64) {
                self.with(values).observe(value);
            }
        }
    };
}

observe!(HistogramVec);
observe!(SummaryVec);

impl HistogramVec {
    /// Upper bounds of the buckets of a static's family.
    #[must_use]
    pub const fn with_buckets(mut self, bounds: &'static [f64]) -> Self {
        self.core.spec.bounds = bounds;
        self
    }
}

impl GaugeVec {
    /// How the gauges of several processes of one service become one.
    #[must_use]
    pub const fn with_gauge_rule(mut self, rule: GaugeRule) -> Self {
        self.core.spec.gauge_rule = rule;
        self
    }
}

impl SummaryVec {
    /// How far back the quantiles look; ten minutes by default.
    #[must_use]
    pub const fn with_max_age(mut self, max_age: Duration) -> Self {
        self.core.spec.max_age = max_age;
        self
    }

    /// In how many steps old observations leave the quantiles; five by default.
    #[must_use]
    pub const fn with_age_buckets(mut self, age_buckets: u32) -> Self {
        self.core.spec.age_buckets = age_buckets;
        self
    }

    /// Quantiles that a static's family shows.
    #[must_use]
    pub const fn with_objectives(mut self, quantiles: &'static [f64]) -> Self {
        self.core.spec.objectives = quantiles;
        self
    }
}
