//! The totals: counters and distributions over threads and processes, in dense arrays.
//!
//! Records name series by their segment's own ids. Each segment has a [`LocalSeries`] that leads
//! from those to slots in the arrays, so applying a record is two indexed loads and an addition.
//! Slot 0 of every array stands for "no such series". Observations are gathered over lanes first,
//! and taken series by series: a distribution is a few kilobytes, of which one observation needs
//! half a dozen cache lines.

mod configure;
mod definitions;
mod exemplars;
mod expire;
mod keep;
mod slots;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use ringmeter_layout::definition::FamilyDefinition;
use ringmeter_layout::record::{Operation, Record, shape_of};

use crate::budget::Budget;
use crate::distribution::Distribution;
use crate::gathered::Gathered;
use crate::limits::Limits;
use crate::long_records::{Slots, all_single, take_apart};
use crate::reject::{ExemplarsDropped, OverflowReason, Overflowed, RejectReason, Rejected};
use crate::rule::Rules;
use crate::series::{Family, FamilyRefused, OVERFLOW_ROW, Registry, SeriesRef};
use crate::snapshot::{Exemplar, LabelText, Number};
use crate::sum::FloatSum;

/// What a series id of a segment means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Local {
    /// A counter's slot.
    Counter(u32),
    /// A histogram's or summary's slot.
    Distribution(u32),
    /// A gauge: records cannot change it.
    Gauge,
    /// The metric was refused.
    Refused,
}

/// What the series ids of one segment mean.
#[derive(Debug, Default)]
pub struct LocalSeries {
    /// Slot of the counter, slot of the distribution with `DISTRIBUTION` set, or 0.
    places: Vec<u32>,
    refused: Vec<bool>,
}

/// Set in the place of a distribution; slots are far below it.
const DISTRIBUTION: u32 = 1 << 31;

impl LocalSeries {
    /// Adds the next series id.
    pub fn push(&mut self, local: Local) {
        self.places.push(match local {
            Local::Counter(slot) if slot < DISTRIBUTION => slot,
            Local::Distribution(slot) if slot < DISTRIBUTION => slot | DISTRIBUTION,
            _ => 0,
        });
        self.refused.push(local == Local::Refused);
    }

    /// How many series are known.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether no series is known.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    #[inline]
    fn place(&self, series: u32) -> u32 {
        self.places.get(series as usize).copied().unwrap_or(0)
    }

    /// The counter's slot, or 0.
    #[inline]
    fn counter(&self, series: u32) -> u32 {
        let place = self.place(series);
        if place < DISTRIBUTION { place } else { 0 }
    }

    /// The distribution's slot, or 0.
    #[inline]
    fn distribution(&self, series: u32) -> u32 {
        self.place(series).saturating_sub(DISTRIBUTION)
    }

    fn why_not(&self, series: u32) -> RejectReason {
        match self.refused.get(series as usize) {
            None => RejectReason::UnknownSeries,
            Some(true) => RejectReason::Family,
            Some(false) => RejectReason::Operation,
        }
    }
}

/// Where a series' totals are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placed {
    /// The series; the overflow series beyond a limit.
    pub series: SeriesRef,
    /// Slot among the totals of its kind.
    pub slot: u32,
}

/// The totals by kind, each by slot.
#[derive(Debug)]
pub struct Totals<'a> {
    integers: &'a [u64],
    floats: &'a [FloatSum],
    /// Histograms and summaries.
    pub distributions: &'a mut [Distribution],
    counter_exemplars: &'a [Option<Box<Exemplar>>],
}

impl Totals<'_> {
    /// A counter's total: an integer until a float was added to it.
    pub fn counter(&self, slot: u32) -> Number {
        let integer = self.integers.get(slot as usize).copied().unwrap_or(0);
        match self.floats.get(slot as usize).map_or(0.0, FloatSum::value) {
            0.0 => Number::U64(integer),
            float => Number::F64(integer as f64 + float),
        }
    }

    /// A counter's newest exemplar.
    pub fn counter_exemplar(&self, slot: u32) -> Option<&Exemplar> {
        self.counter_exemplars.get(slot as usize)?.as_deref()
    }
}

/// What was taken of a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    /// Slots, which is how far the lane's position moves.
    pub slots: u64,
    /// Records in them.
    pub records: u64,
}

/// Records that are told apart at once.
const BATCH_RECORDS: usize = 1024;
const BATCH_MASK: usize = BATCH_RECORDS - 1;
const ADD_U64: u32 = shape_of(Operation::AddU64);
const ADD_F64: u32 = shape_of(Operation::AddF64);
const OBSERVE_F64: u32 = shape_of(Operation::ObserveF64);
const _: () = assert!(BATCH_RECORDS.is_power_of_two());

/// All totals of the agent, owned by one thread.
#[derive(Debug)]
pub struct Aggregate {
    limits: Limits,
    budget: Budget,
    registry: Registry,
    integers: Vec<u64>,
    floats: Vec<FloatSum>,
    distributions: Vec<Distribution>,
    /// The series of each gauge slot.
    gauges: Vec<SeriesRef>,
    /// What was not counted.
    pub rejected: Rejected,
    /// What was put into overflow series, or refused, by reason.
    pub overflowed: Overflowed,
    /// Exemplars that were given up.
    pub exemplars_dropped: ExemplarsDropped,
    /// The newest exemplar of each counter's slot, up to the last one that has had any.
    counter_exemplars: Vec<Option<Box<Exemplar>>>,
    /// Series that left because nobody has defined them for long enough.
    pub expired_series: u64,
    /// Metrics that left with their last series.
    pub expired_families: u64,
    /// Panics while observations of a series were taken into its distribution.
    pub panics: u64,
    free: slots::Free,
    owners: slots::Owners,
    gathered: Gathered,
    /// Slots and amounts of the counts of a batch.
    counts: Box<[(u32, u64); BATCH_RECORDS]>,
    /// Records of a batch that neither count nor are observations of a known series.
    others: Box<[Record; BATCH_RECORDS]>,
    kept: Vec<Record>,
    changes: keep::Changes,
    log: definitions::Log,
    rules: Arc<Rules>,
    service_label: Option<Arc<str>>,
    /// The wall clock when the monotonic one was 0, nanoseconds; 0 before anybody told.
    unix_at_zero_ns: u64,
    /// When the series that are defined now began.
    start_unix_ms: u64,
}

impl Aggregate {
    /// Nothing counted yet.
    pub fn new(limits: Limits) -> Self {
        Self {
            budget: Budget::new(limits.memory_max_bytes),
            limits,
            registry: Registry::default(),
            integers: vec![0],
            floats: vec![FloatSum::default()],
            distributions: vec![slots::nothing()],
            gauges: vec![slots::NOWHERE],
            rejected: Rejected::default(),
            overflowed: Overflowed::default(),
            exemplars_dropped: ExemplarsDropped::default(),
            counter_exemplars: Vec::new(),
            expired_series: 0,
            expired_families: 0,
            panics: 0,
            free: slots::Free::default(),
            owners: slots::Owners::default(),
            gathered: Gathered::default(),
            counts: Box::new([(0, 0); BATCH_RECORDS]),
            others: Box::new([Record { word: 0, value: 0 }; BATCH_RECORDS]),
            kept: Vec::new(),
            changes: keep::Changes::default(),
            log: definitions::Log::default(),
            rules: Arc::default(),
            service_label: None,
            unix_at_zero_ns: 0,
            start_unix_ms: 0,
        }
    }

    /// Sets the wall clock: `unix_ns` since 1970 when the monotonic clock says `now_ns`.
    pub fn set_unix_time(&mut self, unix_ns: u64, now_ns: u64) {
        self.unix_at_zero_ns = unix_ns.saturating_sub(now_ns);
    }

    /// The wall clock at a monotonic time, in milliseconds since 1970; 0 if nobody told.
    pub fn unix_ms(&self, now_ns: u64) -> u64 {
        if self.unix_at_zero_ns == 0 {
            return 0;
        }
        self.unix_at_zero_ns.saturating_add(now_ns) / 1_000_000
    }

    /// Series that are new from here on had totals of 0 then: milliseconds since 1970, or 0 if
    /// nobody knows.
    pub fn begin_series_at(&mut self, unix_ms: u64) {
        self.start_unix_ms = unix_ms;
    }

    /// The metric that a definition means, and one holder more for it.
    ///
    /// # Errors
    /// When a limit is reached.
    pub fn hold_family(
        &mut self,
        definition: &FamilyDefinition,
        now_ns: u64,
    ) -> Result<u32, FamilyRefused> {
        self.hold_family_of(definition, true, now_ns)
    }

    /// As [`hold_family`](Self::hold_family); without `has_room`, only if it is known.
    ///
    /// # Errors
    /// When a limit is reached.
    pub fn hold_family_of(
        &mut self,
        definition: &FamilyDefinition,
        has_room: bool,
        now_ns: u64,
    ) -> Result<u32, FamilyRefused> {
        let Self { registry, limits, budget, .. } = self;
        let (family, is_new) = registry.hold_family(definition, has_room, limits, budget)?;
        if is_new {
            self.define_family(family);
            self.add_overflow(family, now_ns);
        }
        Ok(family)
    }

    /// Metrics that may still be added.
    pub fn families_left(&self) -> usize {
        self.limits.families_max.saturating_sub(self.registry.family_count())
    }

    /// Series that may still be added.
    pub fn series_left(&self) -> usize {
        self.limits.series_max.saturating_sub(self.registry.series_count())
    }

    /// The series of a metric with these labels, and one holder more for it. Beyond a limit, or
    /// without `has_room`, that is the overflow series.
    pub fn hold_series(
        &mut self,
        family: u32,
        pairs: &[(&str, &str)],
        has_room: bool,
        now_ns: u64,
    ) -> Option<Placed> {
        self.place_series(family, pairs, has_room, false, now_ns)
    }

    /// As [`hold_series`](Self::hold_series), but without a holder if the series `was_retired`: if
    /// the agent before this one has followed that already.
    pub fn place_series(
        &mut self,
        family: u32,
        pairs: &[(&str, &str)],
        has_room: bool,
        was_retired: bool,
        now_ns: u64,
    ) -> Option<Placed> {
        let labels = LabelText::new(pairs);
        if let Some(row) = self.registry.family(family)?.find(&labels) {
            return self.place(SeriesRef { family, row }, was_retired);
        }
        match self.add_series(family, pairs, has_room, now_ns) {
            Ok(series) => {
                if was_retired {
                    self.registry.retire(series);
                }
                self.place(series, was_retired)
            }
            Err(reason) => {
                self.overflowed.add(reason);
                self.place_overflow(family, was_retired)
            }
        }
    }

    /// The overflow series of a metric, and unless it `was_retired` one holder more for it.
    pub fn place_overflow(&mut self, family: u32, was_retired: bool) -> Option<Placed> {
        self.place(SeriesRef { family, row: OVERFLOW_ROW }, was_retired)
    }

    fn place(&mut self, series: SeriesRef, was_retired: bool) -> Option<Placed> {
        if !was_retired {
            self.registry.hold(series);
        }
        Some(Placed { series, slot: self.registry.row(series)?.slot })
    }

    fn add_series(
        &mut self,
        family: u32,
        pairs: &[(&str, &str)],
        has_room: bool,
        now_ns: u64,
    ) -> Result<SeriesRef, OverflowReason> {
        let own = self.registry.family(family).ok_or(OverflowReason::Metric)?;
        let cost_bytes = own.series_cost_bytes(pairs);
        let limit_bytes = self.limits.label_value_max_bytes;
        if pairs.iter().any(|(_, value)| value.len() > limit_bytes) {
            return Err(OverflowReason::LabelLength);
        }
        if own.series_count() >= self.limits.series_per_family_max || self.is_family_full(family) {
            return Err(OverflowReason::Metric);
        }
        if self.series_left() == 0 {
            return Err(OverflowReason::Total);
        }
        if !has_room {
            return Err(OverflowReason::Producer);
        }
        if !self.budget.take_for_series(cost_bytes) {
            return Err(OverflowReason::Memory);
        }
        let slot = self.new_slot(family, now_ns);
        self.define_series(self.registry.next_ordinal(), family, pairs, slot);
        let added = self.registry.add_row(family, pairs, slot, cost_bytes);
        // The metric is there: it was asked for its cost.
        let series = added.ok_or(OverflowReason::Metric)?;
        self.give_first_window(series, now_ns);
        self.registry.set_start(series, self.start_unix_ms);
        self.remember_gauge(series, slot);
        Ok(series)
    }

    /// Applies the records of one lane, in order. `skip` belongs to the lane.
    pub fn apply(
        &mut self,
        slots: Slots<'_>,
        local: &LocalSeries,
        skip: &mut u32,
        now_ns: u64,
    ) -> Taken {
        let taken = self.gather(slots, local, skip, now_ns);
        self.settle();
        taken
    }

    /// As [`apply`](Self::apply), but observations are in the totals only once they are
    /// [settled](Self::settle): at the latest before anything is committed.
    pub fn gather(
        &mut self,
        slots: Slots<'_>,
        local: &LocalSeries,
        skip: &mut u32,
        now_ns: u64,
    ) -> Taken {
        let wanted = slots.read.get(..slots.wanted).unwrap_or(slots.read);
        if *skip == 0 && all_single(wanted) {
            self.apply_single(wanted, local, now_ns);
            let count = wanted.len() as u64;
            return Taken { slots: count, records: count };
        }
        let (mut kept, mut long_records) = (std::mem::take(&mut self.kept), 0);
        let taken = take_apart(slots, skip, &mut kept, |long| {
            long_records += 1;
            self.apply_long(long, local, now_ns);
        });
        self.apply_single(&kept, local, now_ns);
        let records = kept.len() as u64 + long_records;
        self.kept = kept;
        Taken { slots: taken as u64, records }
    }

    fn apply_single(&mut self, records: &[Record], local: &LocalSeries, now_ns: u64) {
        for batch in records.chunks(BATCH_RECORDS) {
            if !self.gathered.has_room(batch.len()) {
                self.settle();
            }
            let others = self.apply_batch(batch, local, now_ns);
            self.apply_others(others, local);
        }
    }

    /// Counts, gathers observations, and keeps all else; returns how many those are.
    fn apply_batch(&mut self, batch: &[Record], local: &LocalSeries, now_ns: u64) -> usize {
        let Self { integers, changes, gathered, counts, others, .. } = self;
        let (mut count, mut other) = (0, 0);
        let mut gatherer = gathered.gatherer(now_ns);
        // Every record is written to every part, and one part moves on: kinds come in no order,
        // so a branch for each record would be mispredicted for many.
        for record in batch {
            let (shape, place) = (record.shape(), local.place(record.series()));
            let is_count = (shape == ADD_U64) & (place.wrapping_sub(1) < DISTRIBUTION - 1);
            let is_observation = (shape == OBSERVE_F64) & (place > DISTRIBUTION);
            counts[count & BATCH_MASK] = (place, record.value);
            count += usize::from(is_count);
            gatherer.add(is_observation, place & !DISTRIBUTION, record.value);
            others[other & BATCH_MASK] = *record;
            other += usize::from(!(is_count | is_observation));
        }
        for (slot, amount) in counts.iter().take(count) {
            let Some(total) = integers.get_mut(*slot as usize) else { continue };
            // A total that wrapped would take away what others have counted.
            match total.checked_add(*amount) {
                Some(sum) => *total = sum,
                None => self.rejected.add(RejectReason::Value, 1),
            }
            changes.integer(*slot);
        }
        other
    }

    /// Adds floats, and rejects the rest.
    fn apply_others(&mut self, count: usize, local: &LocalSeries) {
        let Self { floats, changes, rejected, others, .. } = self;
        for record in others.iter().take(count) {
            let (shape, slot) = (record.shape(), local.counter(record.series()));
            let value = f64::from_bits(record.value);
            match (shape, floats.get_mut(slot as usize)) {
                (ADD_F64, Some(total)) if slot > 0 => {
                    if value >= 0.0 && total.stays_finite(value) {
                        total.add(value);
                        changes.float(slot);
                    } else {
                        rejected.add(RejectReason::Value, 1);
                    }
                }
                (ADD_U64 | ADD_F64 | OBSERVE_F64, _) => {
                    rejected.add(local.why_not(record.series()), 1);
                }
                _ => rejected.add(RejectReason::Malformed, 1),
            }
        }
    }

    /// Takes what was gathered into the totals, one distribution after the other.
    pub fn settle(&mut self) {
        self.settle_into(|_, _| ());
    }

    /// As [`settle`](Self::settle), and hands over each distribution as soon as it is settled.
    fn settle_into(&mut self, mut each: impl FnMut(u32, &mut Distribution)) {
        let Self { gathered, distributions, changes, rejected, panics, budget, .. } = self;
        gathered.drain(distributions.len(), |slot, values, now_ns| {
            if let Some(distribution) = distributions.get_mut(slot as usize) {
                // Whose these are is not known any more: a panic ends nobody, and what it leaves
                // half done is the distribution's own.
                let observe = || distribution.observe_all(values, now_ns, budget);
                let refused = catch_unwind(AssertUnwindSafe(observe)).unwrap_or_else(|_| {
                    *panics = panics.saturating_add(1);
                    values.len() as u64
                });
                rejected.add(RejectReason::Value, refused);
                changes.distribution(slot);
                each(slot, distribution);
            }
        });
    }

    /// Adds what a counter's cell took over.
    pub fn add_counter(&mut self, slot: u32, integer: u64, float: f64) {
        if let Some(total) = self.integers.get_mut(slot as usize) {
            match total.checked_add(integer) {
                Some(sum) => *total = sum,
                None => self.rejected.add(RejectReason::Cell, 1),
            }
            self.changes.integer(slot);
        }
        if let Some(total) = self.floats.get_mut(slot as usize)
            && float != 0.0
        {
            if total.stays_finite(float) {
                total.add(float);
            } else {
                self.rejected.add(RejectReason::Cell, 1);
            }
            self.changes.float(slot);
        }
    }

    /// A distribution to change, and the memory that it may use.
    pub fn distribution(&mut self, slot: u32) -> Option<(&mut Distribution, &mut Budget)> {
        let distribution = self.distributions.get_mut(slot as usize)?;
        self.changes.distribution(slot);
        Some((distribution, &mut self.budget))
    }

    /// Metrics and series, and the totals beside them.
    pub fn parts(&mut self) -> (&mut Registry, Totals<'_>) {
        let totals = Totals {
            integers: &self.integers,
            floats: &self.floats,
            distributions: &mut self.distributions,
            counter_exemplars: &self.counter_exemplars,
        };
        (&mut self.registry, totals)
    }

    /// The series of each gauge slot; slot 0 is none.
    pub fn gauges(&self) -> &[SeriesRef] {
        &self.gauges
    }

    /// Whether the gauge's processes are exposed each on its own.
    pub fn is_per_process(&self, series: SeriesRef) -> bool {
        self.registry.family(series.family).is_some_and(Family::is_per_process)
    }

    /// The account of memory, to look at.
    pub fn memory(&self) -> &Budget {
        &self.budget
    }

    /// The account of memory.
    pub fn budget(&mut self) -> &mut Budget {
        &mut self.budget
    }

    /// Metrics and series.
    pub fn registry(&mut self) -> &mut Registry {
        &mut self.registry
    }

    /// The limits in force.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }
}

#[cfg(test)]
mod tests;
