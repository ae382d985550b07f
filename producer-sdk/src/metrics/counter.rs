//! Counters.

use ringmeter_layout::record::Operation;

use super::{events, exemplars, metric, static_options};
use crate::cells::Rejection;
use crate::exemplar::Exemplar;
use crate::hot::{Binding, ThreadSlot};
use crate::options::Spec;

/// A total that only grows.
///
/// ```
/// use ringmeter::Counter;
///
/// static ORDERS: Counter = Counter::new("app_orders_total", "Orders taken.");
///
/// ORDERS.inc();
/// ORDERS.inc_by(3);
/// ORDERS.inc_by_f64(0.5);
/// ```
#[derive(Debug, Clone)]
pub struct Counter {
    pub(super) binding: Binding,
    /// As declared; a handle that was bound when it was made has none.
    pub(super) spec: Option<Spec>,
}

metric!(Counter, Counter);
events!(Counter);
exemplars!(Counter);
static_options!(Counter);

impl Counter {
    /// A counter for a static; registered at its first use.
    #[must_use]
    pub const fn new(name: &'static str, help: &'static str) -> Self {
        Self { binding: Binding::unbound(), spec: Some(Spec::new(name, help)) }
    }

    /// Adds one.
    #[inline(always)]
    pub fn inc(&self) {
        self.inc_by(1);
    }

    /// Adds a whole number.
    #[inline(always)]
    pub fn inc_by(&self, amount: u64) {
        if !self.binding.add_in_lane(amount) {
            self.record_amount(amount);
        }
    }

    /// Adds a finite number that is not negative; another one is refused, and counted as
    /// rejected.
    #[inline(always)]
    pub fn inc_by_f64(&self, amount: f64) {
        if (0.0..f64::INFINITY).contains(&amount) {
            self.record(Operation::AddF64, amount.to_bits());
        } else {
            super::reject(&self.binding, Rejection::Negative);
        }
    }

    /// Adds one together with an exemplar, of which the newest is shown; see [`Exemplar`], and
    /// [`Histogram::observe_with_exemplar`](crate::Histogram::observe_with_exemplar).
    ///
    /// ```
    /// use ringmeter::Counter;
    ///
    /// static FAILED: Counter = Counter::new("app_failed_total", "Requests that failed.");
    ///
    /// FAILED.inc_with_exemplar(&[("trace_id", "4bf92f3577b34da6a3ce929d0e0e4736")]);
    /// ```
    pub fn inc_with_exemplar<'a>(&self, exemplar: impl Into<Exemplar<'a>>) {
        self.inc_by_with_exemplar(1, exemplar);
    }

    /// Adds a whole number together with an exemplar, whose value it is.
    pub fn inc_by_with_exemplar<'a>(&self, amount: u64, exemplar: impl Into<Exemplar<'a>>) {
        if !self.record_with_exemplar((Operation::AddU64, amount), &exemplar.into()) {
            self.inc_by(amount);
        }
    }

    #[inline(always)]
    pub(crate) fn inc_in(&self, slot: ThreadSlot, amount: u64) {
        if !self.binding.add_in_lane_in(slot, amount) {
            self.record_amount(amount);
        }
    }

    /// Adds by a record: a thread's first time, and counters that have no cell in a lane.
    #[inline(never)]
    fn record_amount(&self, amount: u64) {
        self.record(Operation::AddU64, amount);
    }
}
