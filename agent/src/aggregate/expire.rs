//! Series and metrics that leave, because no attached segment has defined them for long enough.
//!
//! What leaves takes its totals with it: its slot is zero from the same commit on that frees its
//! number. So a series that comes back starts at zero, in memory and after any kill, and nothing
//! of what it counted before is added to what another one counts in its place.

use ringmeter_layout::naming::Kind;

use super::Aggregate;
use super::slots::Free;
use crate::ledger::LedgerError;
use crate::series::{Expired, OVERFLOW_ROW, SeriesRef};

/// Series, and metrics, that leave at once at most: a commit of them takes some milliseconds.
const EXPIRED_MAX: usize = 4096;

impl Aggregate {
    /// Lets go of what nobody has defined for as long as is retained.
    pub fn expire(&mut self, now_ns: u64) {
        let Some(retention_ns) = self.limits.retention_ns else { return };
        // Where a panic left something over: slots that leave must be empty.
        self.settle();
        let Expired { series, families } = self.registry.expired(now_ns, retention_ns, EXPIRED_MAX);
        for series in &series {
            self.undefine_series(*series);
            self.drop_series(*series);
        }
        for family in &families {
            self.undefine_family(*family);
            self.drop_family(*family);
        }
        self.expired_series = self.expired_series.saturating_add(series.len() as u64);
        self.expired_families = self.expired_families.saturating_add(families.len() as u64);
    }

    /// Forgets a series and its totals.
    pub(super) fn drop_series(&mut self, series: SeriesRef) {
        let kind = self.registry.family(series.family).map(|family| family.shape.kind);
        if let (Some(kind), Some(row)) = (kind, self.registry.remove_row(series)) {
            self.budget.give_back(row.cost_bytes());
            self.free_slot(kind, row.slot);
        }
    }

    /// Forgets a metric that has no series but its overflow series.
    pub(super) fn drop_family(&mut self, family: u32) {
        self.drop_series(SeriesRef { family, row: OVERFLOW_ROW });
        if let Some(cost_bytes) = self.registry.remove_family(family) {
            self.budget.give_back(cost_bytes);
        }
    }

    /// Finds out which slots are free, once a ledger is read.
    pub(super) fn find_free_slots(&mut self) -> Result<(), LedgerError> {
        let mut counters = vec![false; self.integers.len()];
        let mut distributions = vec![false; self.distributions.len()];
        let mut gauges = vec![false; self.gauges.len()];
        for ordinal in (0u32..).take(self.registry.ordinal_end()) {
            let Some(series) = self.registry.series(ordinal) else { continue };
            let kind = self.registry.family(series.family).map(|family| family.shape.kind);
            let slot = self.registry.row(series).map_or(0, |row| row.slot);
            let used = match kind {
                Some(Kind::Counter) => counters.get_mut(slot as usize),
                Some(Kind::Gauge) => gauges.get_mut(slot as usize),
                _ => distributions.get_mut(slot as usize),
            };
            if used.is_none_or(|used| std::mem::replace(used, true)) {
                return Err(LedgerError::corrupt(format!("series {ordinal}: slot {slot}")));
            }
        }
        // Slot 0 stands for no series.
        let free = |used: &[bool]| {
            let numbered = (0u32..).zip(used).skip(1);
            numbered.filter(|(_, is_used)| !**is_used).map(|(slot, _)| slot).collect()
        };
        self.free = Free {
            counters: free(&counters),
            distributions: free(&distributions),
            gauges: free(&gauges),
        };
        // Nothing of what was done meanwhile is to be committed.
        self.changes = super::keep::Changes::default();
        self.changes.grow(self.integers.len(), self.distributions.len());
        Ok(())
    }
}
