//! Gauges.

use std::time::{SystemTime, UNIX_EPOCH};

use ringmeter_layout::naming::GaugeRule;

use super::{metric, static_options};
use crate::cells::GaugeChange;
use crate::hot::Binding;
use crate::options::Spec;
use crate::os;

/// A value that goes up and down.
///
/// A gauge is state, not a stream of events: it lives in two words of shared memory, is never
/// queued, and threads see each other's changes in their right order.
///
/// ```
/// use ringmeter::Gauge;
///
/// static QUEUE_LENGTH: Gauge = Gauge::new("app_queue_length", "Jobs waiting.");
///
/// QUEUE_LENGTH.set(4.0);
/// QUEUE_LENGTH.inc();
/// QUEUE_LENGTH.sub(2.0);
/// {
///     let _working = QUEUE_LENGTH.track_in_progress();
/// }
/// ```
#[derive(Debug, Clone)]
pub struct Gauge {
    pub(super) binding: Binding,
    /// As declared; a handle that was bound when it was made has none.
    pub(super) spec: Option<Spec>,
}

metric!(Gauge, Gauge);
static_options!(Gauge);

impl Gauge {
    /// A gauge for a static; registered at its first use.
    #[must_use]
    pub const fn new(name: &'static str, help: &'static str) -> Self {
        Self { binding: Binding::unbound(), spec: Some(Spec::new(name, help)) }
    }

    /// How the gauges of several processes of one service become one.
    #[must_use]
    pub const fn with_gauge_rule(mut self, rule: GaugeRule) -> Self {
        if let Some(spec) = &mut self.spec {
            spec.gauge_rule = rule;
        }
        self
    }

    /// Sets the value.
    #[inline(always)]
    pub fn set(&self, value: f64) {
        match self.binding.gauge() {
            Some(gauge) => gauge.set(value),
            None => self.change_slowly(GaugeChange::Set(value)),
        }
    }

    /// Adds one.
    #[inline(always)]
    pub fn inc(&self) {
        self.add(1.0);
    }

    /// Subtracts one.
    #[inline(always)]
    pub fn dec(&self) {
        self.add(-1.0);
    }

    /// Adds to the value.
    #[inline(always)]
    pub fn add(&self, value: f64) {
        match self.binding.gauge() {
            Some(gauge) => gauge.add(value),
            None => self.change_slowly(GaugeChange::Add(value)),
        }
    }

    /// Takes the metric alone, so that the fast path prepares nothing for this call.
    #[cold]
    #[inline(never)]
    fn change_slowly(&self, change: GaugeChange) {
        if let Some(series) = self.binding.series().or_else(|| self.bind()) {
            self.binding.change_gauge_slowly(series, change);
        }
    }

    /// Subtracts from the value.
    #[inline(always)]
    pub fn sub(&self, value: f64) {
        self.add(-value);
    }

    /// Sets the value to the seconds since 1970, UTC.
    pub fn set_to_current_time(&self) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.set(now.as_secs_f64());
    }

    /// Adds one now and subtracts it when the guard is dropped.
    pub fn track_in_progress(&self) -> InProgress {
        // The copy of a static that is not registered would register at every use.
        let _ = self.register();
        self.inc();
        InProgress { gauge: self.clone(), incarnation: os::incarnation() }
    }
}

/// Something in progress, counted by a gauge until it is dropped.
#[derive(Debug)]
#[must_use = "a guard that is dropped at once tracks nothing"]
pub struct InProgress {
    gauge: Gauge,
    incarnation: u64,
}

impl Drop for InProgress {
    fn drop(&mut self) {
        // In a forked child the gauge is another one, which this guard never added to.
        if os::incarnation() == self.incarnation {
            self.gauge.dec();
        }
    }
}
