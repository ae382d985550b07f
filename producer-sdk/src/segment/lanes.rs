//! The lanes of a segment: claimed, handed back, and made.

use core::mem::offset_of;

use ringmeter_layout::lane::Capacity;
use ringmeter_layout::segment::{
    ChunkKind, LANE_CLAIMED, LANE_FREE, RawControl, RawLive, chunk_aligned_bytes,
};
use ringmeter_layout::word::Word;

use super::{Growth, Segment};
use crate::error::OpenError;
use crate::os::Uncancelled;

/// Whether a claim may wait for another thread.
#[derive(Clone, Copy)]
pub(crate) enum Patience {
    /// While recording.
    None,
    /// When a thread is prepared.
    Wait,
}

/// Why a thread got no lane.
pub(crate) enum NoLane {
    /// Another thread is claiming, or the segment is growing.
    Contended,
    /// All are taken, and why there is not another. Holds no memory of its own: it is made, and
    /// let go, while recording.
    Left(OpenError),
}

/// The part of a ring that may be written without asking again.
pub(crate) struct Stretch {
    /// Address of the next slot.
    pub(crate) cursor: u64,
    /// Address at which to stop.
    pub(crate) end: u64,
}

impl Segment {
    /// The tail word of a lane.
    pub(crate) fn tail(&self, lane: u32) -> Option<&'static Word> {
        self.control(lane, offset_of!(RawControl, tail))
    }

    /// The ring of a lane.
    pub(crate) fn ring_offset_bytes(&self, lane: u32) -> u64 {
        self.control(lane, offset_of!(RawControl, ring_offset_bytes)).map_or(0, Word::load_relaxed)
    }

    pub(crate) fn lane_capacity(&self) -> Option<Capacity> {
        self.parts.get().map(|parts| parts.lane_capacity)
    }

    /// Address of a lane's cells, or zero when it has none.
    pub(crate) fn lane_cells_address(&self, lane: u32) -> u64 {
        let offset = self.control(lane, offset_of!(RawControl, cells_offset_bytes));
        match (self.memory(), offset.map_or(0, Word::load_relaxed)) {
            (Some(memory), offset) if offset > 0 => memory.address(offset),
            _ => 0,
        }
    }

    /// What the lanes hold at an offset in their cells.
    #[cfg(feature = "testing")]
    pub(crate) fn lane_cell_words(&self, offset_in_lane_bytes: u32) -> Vec<u64> {
        let lanes_max = self.parts.get().map_or(0, |parts| parts.lanes_max);
        let offsets = (0..lanes_max).filter_map(|lane| {
            let offset = self.control(lane, offset_of!(RawControl, cells_offset_bytes))?;
            Some(offset.load_relaxed()).filter(|offset| *offset > 0)
        });
        let words = offsets
            .filter_map(|offset| self.memory()?.word(offset + u64::from(offset_in_lane_bytes)));
        words.map(Word::load_relaxed).collect()
    }

    /// Where a writer at `position` may write until it has to ask again.
    pub(crate) fn stretch(&self, lane: u32, position: u64, ack: u64) -> Option<Stretch> {
        let parts = self.parts.get()?;
        let capacity = parts.lane_capacity;
        let ring = parts.memory.address(self.ring_offset_bytes(lane));
        let records = capacity.stretch_end(position, ack).wrapping_sub(position);
        let cursor = ring + capacity.slot(position) * 16;
        Some(Stretch { cursor, end: cursor + records * 16 })
    }

    /// Claims a lane for this thread: a free one, else a new one.
    ///
    /// A new one takes its place anywhere but in `taken`, ranges that cells will get. Does not
    /// wait for another thread that is claiming or growing, unless told to.
    pub(crate) fn claim_lane(
        &self,
        taken: impl Iterator<Item = (u64, u64)> + Clone,
        patience: Patience,
    ) -> Result<u32, NoLane> {
        let _uncancelled = Uncancelled::new();
        let mut growth = match patience {
            Patience::None => self.try_growth().ok_or(NoLane::Contended)?,
            Patience::Wait => self.lock_growth(),
        };
        let lane_count = growth.lane_count;
        let claimed = (0..lane_count).find(|lane| {
            self.control(*lane, offset_of!(RawControl, state)).is_some_and(|state| {
                // PAIRS WITH: `lane-owner`, the store in `release_lane`.
                state.compare_exchange_acquire(LANE_FREE, LANE_CLAIMED).is_ok()
            })
        });
        let index = match claimed {
            Some(lane) => lane,
            None => self.add_lane(&mut growth, taken).map_err(NoLane::Left)?,
        };
        if let Some(claims) = self.control(index, offset_of!(RawControl, claims)) {
            claims.store_relaxed(claims.load_relaxed().wrapping_add(1));
        }
        Ok(index)
    }

    /// Whether there is a lane that nobody owns.
    pub(crate) fn has_free_lane(&self) -> bool {
        let lanes_max = self.parts.get().map_or(0, |parts| parts.lanes_max);
        let lane_count = self.live(offset_of!(RawLive, lane_count)).map_or(0, Word::load_acquire);
        (0..lanes_max).take_while(|lane| u64::from(*lane) < lane_count).any(|lane| {
            let state = self.control(lane, offset_of!(RawControl, state));
            state.is_some_and(|state| state.load_relaxed() == LANE_FREE)
        })
    }

    /// Hands a lane back; the next owner goes on from its tail.
    pub(crate) fn release_lane(&self, lane: u32) {
        if let Some(state) = self.control(lane, offset_of!(RawControl, state)) {
            // PAIRS WITH: `lane-owner`, the compare-exchange in `claim_lane`.
            state.store_release(LANE_FREE);
        }
    }

    fn add_lane(
        &self,
        growth: &mut Growth,
        taken: impl Iterator<Item = (u64, u64)> + Clone,
    ) -> Result<u32, OpenError> {
        let parts = self.parts.get().ok_or(OpenError::Unsupported)?;
        let index = growth.lane_count;
        if index >= parts.lanes_max {
            return Err(OpenError::TooManyLanes { limit: parts.lanes_max });
        }
        let length = chunk_aligned_bytes(parts.lane_capacity.size_bytes());
        let offset = self.grow(growth, ChunkKind::Lanes, length, taken.clone())?;
        // Where there is no room for cells the lane does without: counters write records then.
        let cells = self.add_lane_cells(growth, taken).unwrap_or(0);
        let set = |field, value| self.control(index, field).map(|word| word.store_relaxed(value));
        set(offset_of!(RawControl, ring_offset_bytes), offset).ok_or(OpenError::Unsupported)?;
        set(offset_of!(RawControl, cells_offset_bytes), cells).ok_or(OpenError::Unsupported)?;
        set(offset_of!(RawControl, state), LANE_CLAIMED).ok_or(OpenError::Unsupported)?;
        growth.lane_count += 1;
        let count = self.live(offset_of!(RawLive, lane_count)).ok_or(OpenError::Unsupported)?;
        // PAIRS WITH: `lane-count`, the agent's read of the live words before control lines.
        count.store_release(growth.lane_count.into());
        Ok(index)
    }

    /// Room for the cells of a lane: several lanes share a chunk.
    fn add_lane_cells(
        &self,
        growth: &mut Growth,
        taken: impl Iterator<Item = (u64, u64)> + Clone,
    ) -> Option<u64> {
        let size = u64::from(self.parts.get()?.lane_cells) * 8;
        if size == 0 {
            return None;
        }
        if growth.lane_cells_next + size > growth.lane_cells_end {
            let length = chunk_aligned_bytes(size);
            let offset = self.grow(growth, ChunkKind::LaneCells, length, taken).ok()?;
            (growth.lane_cells_next, growth.lane_cells_end) = (offset, offset + length);
        }
        let offset = growth.lane_cells_next;
        growth.lane_cells_next += size;
        Some(offset)
    }
}
