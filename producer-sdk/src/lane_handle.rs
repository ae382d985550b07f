//! A thread's lane as a value, for loops that record nothing but metrics.

use crate::hot::ThreadSlot;
use crate::metrics::{Counter, Histogram};
use crate::producer::Producer;

/// This thread's lane: saves each record the way through the thread's block.
///
/// It stays on its thread. Metrics of another producer may be recorded through it; they take their
/// own way, and save nothing.
///
/// ```
/// let producer = ringmeter::Producer::private();
/// let ticks = producer.counter(("app_ticks_total", "Ticks."))?;
/// let lane = producer.lane();
/// for _ in 0..1000 {
///     lane.inc(&ticks);
/// }
/// # Ok::<(), ringmeter::RegisterError>(())
/// ```
#[derive(Clone, Copy)]
pub struct Lane {
    slot: ThreadSlot,
    producer: Producer,
}

impl core::fmt::Debug for Lane {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Lane").field("producer", &self.producer).finish()
    }
}

impl Producer {
    /// This thread's lane, found once for many records; see [`Lane`].
    #[must_use]
    pub fn lane(&self) -> Lane {
        Lane::of(*self)
    }
}

impl Lane {
    fn of(producer: Producer) -> Self {
        producer.prepare_thread();
        Self { slot: ThreadSlot::of(producer.inner.slot), producer }
    }

    /// Adds one to a counter.
    #[inline(always)]
    pub fn inc(&self, counter: &Counter) {
        self.inc_by(counter, 1);
    }

    /// Adds a whole number to a counter.
    #[inline(always)]
    pub fn inc_by(&self, counter: &Counter, amount: u64) {
        counter.inc_in(self.slot, amount);
    }

    /// Records a value in a histogram.
    #[inline(always)]
    pub fn observe(&self, histogram: &Histogram, value: f64) {
        histogram.observe_in(self.slot, value);
    }
}
