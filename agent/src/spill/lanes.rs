//! Cells in lanes: what the owners of lanes have counted there, taken as one sum for each counter.
//!
//! A counter's integer is the sum of its shared word and of its word in every lane. Each word only
//! grows, so they may be read at different moments. The mark in the ledger is that of the sum.

use ringmeter_layout::cell;

use super::{Cells, SpillCell, Take};
use crate::context::Context;
use crate::limits::Limits;
use crate::quarantine::Refusal;
use crate::reject::RejectReason;
use crate::source::Source;

/// What lanes hold, by the number of the counter.
#[derive(Debug, Default)]
pub(super) struct LaneSums {
    /// Counters defined so far, with or without a cell in lanes.
    counters: u32,
    /// As taken last, for the counters that were known then; none while only the marks tell.
    taken: Vec<u64>,
    /// As taken before that.
    before: Vec<u64>,
    /// What one reading of all lanes takes.
    size_bytes: u64,
    /// As read last.
    read: Vec<u64>,
    /// Positions in the sorted list of cells, for counters that have one.
    positions: Vec<Option<u32>>,
}

impl LaneSums {
    /// What was read for a counter.
    pub(super) fn of(&self, lane_cell: Option<u32>) -> u64 {
        let at = lane_cell.and_then(|cell| usize::try_from(cell).ok());
        at.and_then(|at| self.read.get(at)).copied().unwrap_or(0)
    }

    /// What is read next is told from the marks alone.
    pub(super) fn forget(&mut self) {
        if !self.taken.is_empty() {
            self.before = std::mem::take(&mut self.taken);
        }
    }

    /// Everything read is in the marks, where there was memory for them. Returns what came to
    /// counters that were refused.
    pub(super) fn settle(&mut self, take: Take) -> u64 {
        let mut refused = 0_u64;
        for (at, now) in self.read.iter().enumerate() {
            let before = self.before.get(at).copied().unwrap_or(0);
            if self.positions.get(at).is_none_or(Option::is_none) && take == Take::Fresh {
                refused = refused.saturating_add(now.saturating_sub(before));
            }
        }
        self.taken.clone_from(&self.read);
        self.before.clear();
        refused
    }

    /// What one reading of all lanes takes, bytes.
    pub(super) fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// Finds the counters in the sorted list of cells.
    pub(super) fn index(&mut self, cells: &[SpillCell]) {
        self.positions.clear();
        for (position, cell) in (0u32..).zip(cells) {
            let Some(at) = cell.lane_cell.and_then(|cell| usize::try_from(cell).ok()) else {
                continue;
            };
            if at >= self.positions.len() {
                self.positions.resize(at + 1, None);
            }
            if let Some(entry) = self.positions.get_mut(at) {
                *entry = Some(position);
            }
        }
    }

    /// Reads and sums the cells of all lanes.
    pub(super) fn read(
        &mut self,
        lanes: &Lanes<'_>,
        source: &dyn Source,
        buffer: &mut [u64],
    ) -> Result<(), Refusal> {
        let length = self.counters.min(lanes.cells) as usize;
        self.read.clear();
        self.read.resize(length, 0);
        self.size_bytes = (length * 8 * lanes.offsets_bytes.len()) as u64;
        let Some(words) = buffer.get_mut(..length) else { return Ok(()) };
        for offset_bytes in lanes.offsets_bytes {
            source
                .read(*offset_bytes, bytemuck::cast_slice_mut(words))
                .map_err(|error| Refusal::of_read(&error))?;
            for (sum, word) in self.read.iter_mut().zip(&*words) {
                *sum = sum.wrapping_add(*word);
            }
        }
        Ok(())
    }
}

/// Where the cells of lanes are.
#[derive(Debug, Clone, Copy)]
pub struct Lanes<'a> {
    /// Cells in each lane.
    pub cells: u32,
    /// Where each lane's cells start in the file.
    pub offsets_bytes: &'a [u64],
}

impl Cells {
    /// Numbers a counter; the number is also that of its cell in each lane, if it has one.
    pub fn number_counter(&mut self, lane_cells: u32) -> Option<u32> {
        let number = self.lanes.counters;
        self.lanes.counters = number.saturating_add(1);
        (number < lane_cells).then_some(number)
    }

    /// Whether the next counter gets a cell in each lane.
    pub fn has_lane_cell_left(&self, lane_cells: u32) -> bool {
        self.lanes.counters < lane_cells
    }

    /// How long to wait between two looks at the cells of lanes, as for the shared ones.
    pub fn lanes_interval_ns(&self, limits: &Limits) -> u64 {
        limits.spill_interval_ns.max(self.lanes.size_bytes.saturating_mul(5))
    }

    /// Adds what is new in the cells of lanes, for those counters of which lanes were read before
    /// with the shared cells. The others are due.
    pub fn take_lanes(
        &mut self,
        lanes: &Lanes<'_>,
        source: &dyn Source,
        context: &mut Context<'_>,
    ) -> Result<(), Refusal> {
        self.lanes_taken_ns = context.now_ns;
        if lanes.offsets_bytes.is_empty() || self.lanes.counters == 0 {
            return Ok(());
        }
        self.sort();
        self.lanes.read(lanes, source, &mut context.buffers.words)?;
        let share_max_bytes = Some(context.limits.segment_memory_max_bytes);
        let Self { spill, lanes: sums, marks, is_due, held_bytes, .. } = self;
        let pairs = sums.read.iter().zip(&mut sums.taken).enumerate();
        let mut is_moved = false;
        for (at, (now, before)) in pairs.filter(|(_, (now, before))| now != before) {
            is_moved = true;
            let position = sums.positions.get(at).copied().flatten();
            let cell = position.and_then(|position| spill.get_mut(position as usize));
            let Some(cell) = cell else {
                let refused = now.saturating_sub(*before);
                context.aggregate.rejected.add(RejectReason::Family, refused);
                *before = *now;
                continue;
            };
            let (offset_bytes, slot) = (cell.offset_bytes, cell.placed.slot);
            if !cell.remember((held_bytes, share_max_bytes), context.aggregate) {
                // Taken with the shared cells, when there is memory again.
                *is_due = true;
                continue;
            }
            let Some(taken) = cell.taken.as_mut().and_then(|taken| taken.first_mut()) else {
                continue;
            };
            let difference = now.wrapping_sub(*before);
            let old = std::mem::replace(taken, taken.wrapping_add(difference));
            marks.note(offset_bytes, &[old], &[*taken]);
            *before = *now;
            // Nobody counts 2^63 between two looks: a word that went back looks like that.
            if difference > u64::MAX / 2 {
                context.aggregate.rejected.add(RejectReason::Cell, 1);
            } else {
                context.aggregate.add_counter(slot, difference, 0.0);
            }
        }
        *is_due |= sums.read.len() > sums.taken.len();
        if is_moved {
            self.moved_ns = context.now_ns;
        }
        Ok(())
    }
}

const _: () = assert!(cell::COUNTER_INTEGER == 0, "the first word of a counter's marks");
