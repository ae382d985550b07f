//! Slots: where the totals of a series are, among those of its kind. Slots of series that have
//! left are used again.

use std::sync::Arc;

use ringmeter_layout::naming::Kind;

use super::Aggregate;
use crate::distribution::{Distribution, Sliding};
use crate::series::SeriesRef;
use crate::sum::FloatSum;

/// What the slot of a gauge stands for that no series has.
pub(super) const NOWHERE: SeriesRef = SeriesRef { family: u32::MAX, row: 0 };

/// Slots that no series has. Their totals are zero, in the ledger too.
#[derive(Debug, Default)]
pub(super) struct Free {
    pub(super) counters: Vec<u32>,
    pub(super) distributions: Vec<u32>,
    pub(super) gauges: Vec<u32>,
}

/// Whose each slot is: metrics by number. That of a series which has left stays.
#[derive(Debug, Default)]
pub(super) struct Owners {
    counters: Vec<u32>,
    distributions: Vec<u32>,
}

impl Owners {
    fn note(slots: &mut Vec<u32>, slot: u32, family: u32) {
        let end = (slot as usize + 1).max(slots.len());
        slots.resize(end, u32::MAX);
        if let Some(owner) = slots.get_mut(slot as usize) {
            *owner = family;
        }
    }

    /// The metrics of some counters' slots, each once where they stand side by side.
    pub(super) fn of_counters(&self, first: usize, count: usize) -> impl Iterator<Item = u32> {
        let own = self.counters.get(first..).unwrap_or_default();
        let own = own.get(..count).unwrap_or(own);
        own.chunk_by(PartialEq::eq).filter_map(|same| same.first().copied())
    }

    /// The metric of a distribution's slot.
    pub(super) fn of_distribution(&self, slot: u32) -> Option<u32> {
        self.distributions.get(slot as usize).copied()
    }
}

impl Aggregate {
    /// A slot for a new series of a metric.
    #[expect(clippy::cast_possible_truncation, reason = "the limit of series is far below 2^32")]
    pub(super) fn new_slot(&mut self, family: u32, now_ns: u64) -> u32 {
        let Some(kind) = self.registry.family(family).map(|family| family.shape.kind) else {
            return 0;
        };
        let (free, end) = match kind {
            Kind::Counter => (&mut self.free.counters, self.integers.len()),
            Kind::Gauge => (&mut self.free.gauges, self.gauges.len()),
            Kind::Histogram | Kind::Summary => {
                (&mut self.free.distributions, self.distributions.len())
            }
        };
        let slot = free.pop().unwrap_or(end as u32);
        self.use_slot(family, slot, now_ns);
        slot
    }

    /// Makes a slot that of a series of a metric, with totals of zero.
    pub(super) fn use_slot(&mut self, family: u32, slot: u32, now_ns: u64) {
        let number = family;
        let Some(family) = self.registry.family(family) else { return };
        let shape = &family.shape;
        let (at, end) = (slot as usize, slot as usize + 1);
        match shape.kind {
            Kind::Counter => {
                let end = end.max(self.integers.len());
                self.integers.resize(end, 0);
                self.floats.resize(end, FloatSum::default());
                Owners::note(&mut self.owners.counters, slot, number);
            }
            Kind::Gauge => self.gauges.resize(end.max(self.gauges.len()), NOWHERE),
            Kind::Histogram | Kind::Summary => {
                let needs_window = !shape.objectives.is_empty();
                let sliding = needs_window
                    .then(|| Box::new(Sliding::new(shape.max_age_ms, shape.age_buckets, now_ns)));
                let new = Distribution::new(Arc::clone(&shape.bounds), sliding);
                let end = end.max(self.distributions.len());
                self.distributions.resize_with(end, nothing);
                if let Some(place) = self.distributions.get_mut(at) {
                    *place = new;
                }
                Owners::note(&mut self.owners.distributions, slot, number);
            }
        }
        self.changes.grow(self.integers.len(), self.distributions.len());
    }

    /// Notes which series a gauge's slot stands for.
    pub(super) fn remember_gauge(&mut self, series: SeriesRef, slot: u32) {
        let family = self.registry.family(series.family);
        if family.is_some_and(|family| family.shape.kind == Kind::Gauge)
            && let Some(place) = self.gauges.get_mut(slot as usize)
        {
            *place = series;
        }
    }

    /// Empties the slot of a series that leaves, here and with the next commit in the ledger.
    pub(super) fn free_slot(&mut self, kind: Kind, slot: u32) {
        let at = slot as usize;
        match kind {
            Kind::Counter => {
                if let (Some(integer), Some(float)) =
                    (self.integers.get_mut(at), self.floats.get_mut(at))
                {
                    (*integer, *float) = (0, FloatSum::default());
                }
                self.forget_of_counter(slot);
                self.changes.integer(slot);
                self.changes.float(slot);
                self.free.counters.push(slot);
            }
            Kind::Gauge => {
                if let Some(series) = self.gauges.get_mut(at) {
                    *series = NOWHERE;
                }
                self.free.gauges.push(slot);
            }
            Kind::Histogram | Kind::Summary => {
                if let Some(place) = self.distributions.get_mut(at) {
                    let old = std::mem::replace(place, nothing());
                    self.changes.clear(old.keys(slot));
                    old.give_back(&mut self.budget);
                }
                self.free.distributions.push(slot);
            }
        }
    }
}

/// The distribution of a slot that no series has.
pub(super) fn nothing() -> Distribution {
    Distribution::new(Arc::from([]), None)
}
