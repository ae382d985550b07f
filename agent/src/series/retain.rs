//! Who defines what, and what leaves when nobody does any more.

use super::{Family, OVERFLOW_ROW, Registry, Row, SeriesRef};

/// Series and metrics whose time is over.
#[derive(Debug, Default)]
pub struct Expired {
    /// Series of metrics that stay.
    pub series: Vec<SeriesRef>,
    /// Metrics, which have no series left but the overflow series.
    pub families: Vec<u32>,
}

impl Registry {
    /// The series with this number.
    pub fn series(&self, ordinal: u32) -> Option<SeriesRef> {
        self.rows.get(ordinal as usize).copied().flatten()
    }

    /// Numbers of series are below this.
    pub fn ordinal_end(&self) -> usize {
        self.rows.len()
    }

    /// One attached segment more defines the series.
    pub fn define(&mut self, series: SeriesRef) {
        if let Some(row) = self.row_mut(series) {
            row.definers = row.definers.saturating_add(1);
            row.gone_ns = 0;
        }
    }

    /// One segment that defined the series is gone.
    pub fn undefine(&mut self, series: SeriesRef, now_ns: u64) {
        if let Some(row) = self.row_mut(series) {
            row.definers = row.definers.saturating_sub(1);
            row.gone_ns = if row.definers == 0 { now_ns.max(1) } else { 0 };
        }
    }

    /// What nobody has defined for `retention_ns`, at most `count_max` of it. Time begins to run
    /// now for what an agent before this one left.
    pub fn expired(&mut self, now_ns: u64, retention_ns: u64, count_max: usize) -> Expired {
        let mut expired = Expired::default();
        // Until all that was there before a restart is attached, nobody knows who defines what.
        if self.is_unsettled {
            return expired;
        }
        let is_over = |gone_ns: &mut u64| {
            if *gone_ns == 0 {
                *gone_ns = now_ns.max(1);
            }
            now_ns.saturating_sub(*gone_ns) >= retention_ns
        };
        for (id, family) in (0u32..).zip(&mut self.families) {
            let Some(family) = family else { continue };
            let before = expired.series.len();
            for (row, own) in (0u32..).zip(&mut family.rows) {
                let is_there = own.ordinal != u32::MAX && row != OVERFLOW_ROW;
                let has_room = expired.series.len() < count_max;
                if is_there && own.definers == 0 && has_room && is_over(&mut own.gone_ns) {
                    expired.series.push(SeriesRef { family: id, row });
                }
            }
            let left = family.series_count() - (expired.series.len() - before);
            let is_held = family.holders > 0 || left > 1;
            if !is_held && expired.families.len() < count_max && is_over(&mut family.gone_ns) {
                expired.families.push(id);
            }
        }
        expired
    }

    /// Removes a series that nobody defines; returns what there was.
    pub fn remove_row(&mut self, series: SeriesRef) -> Option<Row> {
        let revision = self.next_revision();
        let family = self.family_mut(series.family)?;
        let place = family.rows.get_mut(series.row as usize)?;
        let row = std::mem::replace(place, Row::free());
        family.by_labels.remove(&row.labels);
        family.left_rows.push(series.row);
        family.revision = revision;
        *self.rows.get_mut(row.ordinal as usize)? = None;
        self.free_ordinals.push(row.ordinal);
        self.changes.retire(row.ordinal);
        self.changes.start(row.ordinal);
        Some(row)
    }

    /// Removes a metric that nobody defines and that has no series; returns what it cost.
    pub fn remove_family(&mut self, id: u32) -> Option<u64> {
        let family = self.families.get_mut(id as usize)?.take()?;
        self.free_families.push(id);
        self.changes.expose(id);
        let name = family.meta.name();
        let variants = self.names.get_mut(name)?;
        variants.families.retain(|own| *own != id);
        let newest = variants.families.last().copied();
        let is_exposed = variants.exposed == id;
        match newest {
            None => {
                self.names.remove(name);
            }
            Some(newest) if is_exposed => {
                variants.exposed = newest;
                self.changes.expose(newest);
                self.choose(newest);
            }
            Some(_) => {}
        }
        Some(family.cost_bytes)
    }
}

impl Family {
    /// Takes rows whose series have left out of the order, all at once, before they are used anew.
    pub(super) fn forget_left(&mut self) {
        if self.left_rows.is_empty() {
            return;
        }
        let rows = &self.rows;
        let is_there = |at: &u32| rows.get(*at as usize).is_some_and(|row| row.ordinal != u32::MAX);
        self.sorted.retain(is_there);
        self.fresh.retain(is_there);
        self.free_rows.append(&mut self.left_rows);
    }
}

impl Row {
    /// What the series took from the account of memory, besides buckets.
    pub fn cost_bytes(&self) -> u64 {
        self.cost_bytes
    }
}
