//! Cells in lanes: what the owners of lanes have counted there, taken as one sum for each series.
//!
//! A counter's integer is the sum of its shared word and of its word in every lane, a
//! distribution's sum likewise. They may be read at different moments: what is added to one of
//! them later is found by a later reading. The mark in the ledger is that of the sum.
//!
//! Counters are taken from lanes alone whenever those are read. Distributions wait for their
//! shared cells, where the count of what is summed stands, and which are read whenever something
//! has spilled.

use ringmeter_layout::cell;
use ringmeter_layout::naming::Kind;

use super::{Cells, SpillCell};
use crate::context::Context;
use crate::limits::Limits;
use crate::quarantine::Refusal;
use crate::reject::RejectReason;
use crate::source::Source;

/// What lanes hold, by the number of the cell.
#[derive(Debug, Default)]
pub(super) struct LaneSums {
    /// Cells in lanes given out so far.
    cell_count: u32,
    /// Whether a cell is a distribution's, for those that there are.
    is_float: Vec<bool>,
    /// As taken last, for the series that were known then; none while only the marks tell.
    taken: Vec<u64>,
    /// What one reading of all lanes takes.
    size_bytes: u64,
    /// As read last.
    read: Vec<u64>,
    /// Positions in the sorted list of cells, for series that have one.
    positions: Vec<Option<u32>>,
}

impl LaneSums {
    /// Adds what was read in lanes to the words of a series' cell.
    pub(super) fn add_to(&self, words: &mut [u64], kind: Kind, lane_cell: Option<u32>) {
        let at = lane_cell.and_then(|cell| usize::try_from(cell).ok());
        let Some(sum) = at.and_then(|at| self.read.get(at)) else { return };
        let is_float = kind != Kind::Counter;
        let target = if is_float { cell::DISTRIBUTION_SUM } else { cell::COUNTER_INTEGER };
        if let Some(word) = words.get_mut(target) {
            *word = sum_of(*word, *sum, is_float);
        }
    }

    /// What is read next is told from the marks alone.
    pub(super) fn forget(&mut self) {
        self.taken.clear();
    }

    /// Everything read is in the marks, where there was memory for them.
    pub(super) fn settle(&mut self) {
        self.taken.clone_from(&self.read);
    }

    /// What one reading of all lanes takes, bytes.
    pub(super) fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// Finds the series in the sorted list of cells.
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
        let length = self.cell_count.min(lanes.cells) as usize;
        self.read.clear();
        self.read.resize(length, 0);
        self.size_bytes = (length * 8 * lanes.offsets_bytes.len()) as u64;
        let Some(words) = buffer.get_mut(..length) else { return Ok(()) };
        for offset_bytes in lanes.offsets_bytes {
            source
                .read(*offset_bytes, bytemuck::cast_slice_mut(words))
                .map_err(|error| Refusal::of_read(&error))?;
            let kinds = self.is_float.iter().chain(std::iter::repeat(&false));
            for ((sum, word), is_float) in self.read.iter_mut().zip(&*words).zip(kinds) {
                *sum = sum_of(*sum, *word, *is_float);
            }
        }
        Ok(())
    }
}

/// The sum of two words of a counter, or of a distribution.
fn sum_of(one: u64, other: u64, is_float: bool) -> u64 {
    if is_float {
        (f64::from_bits(one) + f64::from_bits(other)).to_bits()
    } else {
        one.wrapping_add(other)
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
    /// Numbers the cell that a series of `kind` has in each lane, if it has one.
    pub fn number_lane_cell(&mut self, kind: Kind, lane_cells: u32) -> Option<u32> {
        if !cell::has_lane_cell(kind) || !self.has_lane_cell_left(lane_cells) {
            return None;
        }
        let number = self.lanes.cell_count;
        self.lanes.cell_count = number.saturating_add(1);
        self.lanes.is_float.push(kind != Kind::Counter);
        Some(number)
    }

    /// Whether the next series that may have one gets a cell in each lane.
    pub fn has_lane_cell_left(&self, lane_cells: u32) -> bool {
        self.lanes.cell_count < lane_cells
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
        let has_counters = self.lanes.is_float.contains(&false);
        if lanes.offsets_bytes.is_empty() || !has_counters {
            return Ok(());
        }
        self.sort();
        self.lanes.read(lanes, source, &mut context.buffers.words)?;
        let share_max_bytes = Some(context.limits.segment_memory_max_bytes);
        let Self { spill, lanes: sums, marks, is_due, held_bytes, .. } = self;
        let pairs = sums.read.iter().zip(&mut sums.taken).enumerate();
        let mut is_moved = false;
        for (at, (now, before)) in pairs.filter(|(_, (now, before))| now != before) {
            if sums.is_float.get(at).copied().unwrap_or(false) {
                continue;
            }
            is_moved = true;
            let position = sums.positions.get(at).copied().flatten();
            let cell = position.and_then(|position| spill.get_mut(position as usize));
            let Some(cell) = cell else { continue };
            let offset_bytes = cell.offset_bytes;
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
            let rejected = &mut context.aggregate.rejected;
            match cell.placed {
                _ if difference > u64::MAX / 2 => rejected.add(RejectReason::Cell, 1),
                Some(placed) => context.aggregate.add_counter(placed.slot, difference, 0.0),
                None => rejected.add(RejectReason::Family, difference),
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
