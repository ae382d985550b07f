//! A whole segment from its bytes: header, chunks, definitions, lanes, in one pure step.
//!
//! For segments at rest: files of producers that are gone, golden files, fuzz inputs. The agent
//! reads a live segment piece by piece, in the order that [`segment`](super) gives, with the same
//! parts.

use core::fmt;

use super::parse::{is_newer_minor, within, zero};
use super::{
    CHUNKS_MAX, Chunk, ChunkKind, ChunkTable, DEFINITIONS_MAX, Dictionary, DictionaryError,
    Geometry, HEADER_SIZE_BYTES, LANE_CLAIMED, LIVE_SIZE_BYTES, LaneGeometry, RawChunk, RawControl,
    RawLive, SegmentError, chunk_entry_offset_bytes, control_offset_bytes, live_word_offset_bytes,
};
use crate::definition::{Definition, SeriesDefinition};
use crate::lane::{self, TailError};
use crate::record::{RECORD_SIZE_BYTES, Record};

/// Why bytes are not a whole segment.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum ViewError {
    /// Header, live words or chunk table.
    Segment(SegmentError),
    /// A definition.
    Definition {
        /// Which one, counting from 0.
        index: u64,
        /// What is wrong with it.
        error: DictionaryError,
    },
    /// A lane control line.
    Lane {
        /// Which one, counting from 0.
        index: u32,
        /// What is wrong with it.
        error: SegmentError,
    },
}

impl fmt::Display for ViewError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Segment(error) => error.fmt(f),
            Self::Definition { index, error } => write!(f, "definition {index}: {error}"),
            Self::Lane { index, error } => write!(f, "lane {index}: {error}"),
        }
    }
}

impl core::error::Error for ViewError {}

impl From<SegmentError> for ViewError {
    fn from(error: SegmentError) -> Self {
        Self::Segment(error)
    }
}

/// A lane's control line, with its ring checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LaneView {
    /// Where the ring lies.
    pub geometry: LaneGeometry,
    /// Position after the last record, as written: untrusted until [`View::records`] takes it.
    pub tail: u64,
    /// How many records of this lane's threads went to cells.
    pub spill_count: u64,
    /// How many threads have owned the lane.
    pub claims: u64,
    /// Whether a thread owned the lane when the bytes were taken.
    pub is_claimed: bool,
}

/// A segment in which every offset, count and name is checked.
#[derive(Debug, Clone)]
pub struct View<'a> {
    bytes: &'a [u8],
    /// What the header says.
    pub geometry: Geometry,
    /// The live words; counts are within their limits.
    pub live: RawLive,
    /// The published chunks.
    pub chunks: ChunkTable,
    /// The published definitions.
    pub dictionary: Dictionary,
    /// The published lanes.
    pub lanes: Vec<LaneView>,
}

/// Reads a whole segment.
///
/// Total and bounded: it allocates at most 16 bytes for every byte of `bytes` (the worst case are
/// families of 40 bytes, which take 168 in memory, in a list that doubles), and 64 KiB; it visits
/// no byte more than a constant number of times.
///
/// # Errors
/// The first thing that is wrong, with its field, its value and its limit.
pub fn view(bytes: &[u8]) -> Result<View<'_>, ViewError> {
    let geometry = Geometry::parse(bytes)?;
    if bytes.len() < HEADER_SIZE_BYTES as usize {
        return Err(short("segment header", bytes, HEADER_SIZE_BYTES.into()).into());
    }
    let live: RawLive = read(bytes, "live words", live_word_offset_bytes(0))?;
    if !is_newer_minor(geometry.version_minor) {
        let reserved = core::mem::offset_of!(RawLive, reserved) as u64;
        let size = u64::from(LIVE_SIZE_BYTES) - reserved;
        zero("live words", bytes, live_word_offset_bytes(0) + reserved, size)?;
        let table_end = chunk_entry_offset_bytes(CHUNKS_MAX);
        zero("header", bytes, table_end, u64::from(HEADER_SIZE_BYTES) - table_end)?;
    }
    let mut chunks = ChunkTable::default();
    for index in 0..chunks.check_count(live.chunk_count)? {
        let raw: RawChunk = read(bytes, "chunk entry", chunk_entry_offset_bytes(index))?;
        chunks.push(&raw, &geometry, bytes.len() as u64)?;
    }
    let dictionary = read_definitions(bytes, live.definition_count, &geometry, &chunks)?;
    let mut lanes = Vec::new();
    for index in 0..ChunkTable::check_lane_count(0, live.lane_count)? {
        let lane = read_lane(bytes, index, &geometry, &chunks);
        lanes.push(lane.map_err(|error| ViewError::Lane { index, error })?);
    }
    Ok(View { bytes, geometry, live, chunks, dictionary, lanes })
}

impl<'a> View<'a> {
    /// The words of a series' cell, in the order of [`cell`](crate::cell)'s pictures; none for a
    /// series of another segment.
    pub fn cell(&self, series: &SeriesDefinition) -> impl ExactSizeIterator<Item = u64> + use<'a> {
        let size_bytes = self.dictionary.cell_size_bytes(series, &self.geometry).unwrap_or(0);
        let bytes = part(self.bytes, series.cell_offset_bytes, size_bytes).unwrap_or_default();
        bytes.chunks_exact(8).map(bytemuck::pod_read_unaligned)
    }

    /// The cells of a lane; none when it has none, or there is no such lane.
    pub fn lane_cells(&self, lane: u32) -> impl ExactSizeIterator<Item = u64> + use<'a> {
        let lane = self.lanes.get(lane as usize);
        let offset_bytes = lane.and_then(|lane| lane.geometry.cells_offset_bytes);
        let size_bytes = u64::from(self.geometry.lane_cells) * 8;
        let bytes = offset_bytes.and_then(|at| part(self.bytes, at, size_bytes));
        bytes.unwrap_or_default().chunks_exact(8).map(bytemuck::pod_read_unaligned)
    }

    /// The records of a lane from `position` to its tail; none when there is no such lane.
    ///
    /// # Errors
    /// When the tail cannot be right for a reader at `position`.
    pub fn records(
        &self,
        lane: u32,
        position: u64,
    ) -> Result<impl Iterator<Item = Record> + use<'a>, TailError> {
        let (mut ring, mut slots, mut count) = (Default::default(), 1, 0);
        if let Some(lane) = self.lanes.get(lane as usize) {
            let capacity = lane.geometry.capacity;
            count = lane::readable(capacity, position, lane.tail)?;
            slots = capacity.records();
            ring = part(self.bytes, lane.geometry.ring_offset_bytes, capacity.size_bytes())
                .unwrap_or_default();
        }
        let record = move |ahead: u64| {
            let slot = position.wrapping_add(ahead) % slots;
            let offset_bytes = slot * RECORD_SIZE_BYTES as u64;
            part(ring, offset_bytes, RECORD_SIZE_BYTES as u64).map(bytemuck::pod_read_unaligned)
        };
        Ok((0..count).map_while(record))
    }
}

fn short(field: &'static str, bytes: &[u8], needed_bytes: u64) -> SegmentError {
    SegmentError::Short { field, length_bytes: bytes.len() as u64, needed_bytes }
}

fn part(bytes: &[u8], offset_bytes: u64, size_bytes: u64) -> Option<&[u8]> {
    let start = usize::try_from(offset_bytes).ok()?;
    let end = usize::try_from(offset_bytes.checked_add(size_bytes)?).ok()?;
    bytes.get(start..end)
}

fn read<T: bytemuck::AnyBitPattern>(
    bytes: &[u8],
    field: &'static str,
    offset_bytes: u64,
) -> Result<T, SegmentError> {
    let size_bytes = size_of::<T>() as u64;
    part(bytes, offset_bytes, size_bytes)
        .map(bytemuck::pod_read_unaligned)
        .ok_or_else(|| short(field, bytes, offset_bytes.saturating_add(size_bytes)))
}

fn read_definitions(
    bytes: &[u8],
    count: u64,
    geometry: &Geometry,
    chunks: &ChunkTable,
) -> Result<Dictionary, ViewError> {
    within("definition_count", count, DEFINITIONS_MAX)?;
    let mut dictionary = Dictionary::default();
    for chunk in chunks.chunks().iter().filter(|chunk| chunk.kind == ChunkKind::Definitions) {
        let Chunk { offset_bytes, length_bytes, .. } = *chunk;
        let mut rest = part(bytes, offset_bytes, length_bytes).unwrap_or_default();
        while dictionary.count() < count && !rest.is_empty() {
            let index = dictionary.count();
            let wrong = |error| ViewError::Definition { index, error };
            let (definition, size) =
                Definition::parse(rest).map_err(|error| wrong(DictionaryError::Entry(error)))?;
            if definition == Definition::EndOfChunk {
                break;
            }
            dictionary.push(definition, geometry, chunks).map_err(wrong)?;
            rest = rest.get(size..).unwrap_or_default();
        }
    }
    within("definition_count", count, dictionary.count())?;
    Ok(dictionary)
}

fn read_lane(
    bytes: &[u8],
    index: u32,
    geometry: &Geometry,
    chunks: &ChunkTable,
) -> Result<LaneView, SegmentError> {
    let offset_bytes = control_offset_bytes(index);
    let raw: RawControl = read(bytes, "lane control line", offset_bytes)?;
    if !is_newer_minor(geometry.version_minor) {
        let reserved = core::mem::offset_of!(RawControl, reserved) as u64;
        let size = size_of::<RawControl>() as u64 - reserved;
        zero("lane control line", bytes, offset_bytes + reserved, size)?;
    }
    within("state", raw.state, LANE_CLAIMED)?;
    Ok(LaneView {
        geometry: LaneGeometry::parse(&raw, geometry, chunks)?,
        tail: raw.tail,
        spill_count: raw.spill_count,
        claims: raw.claims,
        is_claimed: raw.state == LANE_CLAIMED,
    })
}
