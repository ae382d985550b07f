//! From bytes that may be anything to a view that holds: the only way into a segment.
//!
//! Every function is pure and total. No arithmetic happens on a number before it is checked
//! against a limit that this crate sets itself.

use core::fmt;

use super::{
    BYTE_ORDER, CHUNK_ALIGN_BYTES, CHUNK_ENTRY_STRIDE_BYTES, CHUNK_TABLE_OFFSET_BYTES, CHUNKS_MAX,
    CONTROL_OFFSET_BYTES, CONTROL_STRIDE_BYTES, ChunkKind, FEATURES_KNOWN, HEADER_SIZE_BYTES,
    LANE_CELLS_MAX, LANE_CELLS_UNIT, LANES_MAX, LIVE_OFFSET_BYTES, MAGIC, RAW_HEADER_SIZE_BYTES,
    RawChunk, RawControl, RawHeader, SEGMENT_SIZE_MAX_BYTES, SERVICE_LENGTH_MAX_BYTES,
    SPILL_SCHEMA_MAX, VERSION_MAJOR, VERSION_MINOR, WORD_SIZE_BYTES,
};
use crate::lane::{CAPACITY_MAX_RECORDS, Capacity};
use crate::naming::{self, NameError};

/// Why bytes are not a segment that this crate can read.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum SegmentError {
    /// Fewer bytes than the field needs.
    Short {
        /// What was to be read.
        field: &'static str,
        /// Bytes there.
        length_bytes: u64,
        /// Bytes needed.
        needed_bytes: u64,
    },
    /// The first bytes are not a segment's.
    Magic {
        /// The bytes found.
        found: [u8; 8],
    },
    /// Written by a machine that stores integers the other way round.
    ByteOrder {
        /// The byte order word as read here.
        found: u32,
    },
    /// A layout that this crate does not know.
    Version {
        /// Major version found.
        major: u16,
        /// Major version known.
        known: u16,
    },
    /// Feature bits that a reader must understand, and this one does not.
    Features {
        /// The bits not known.
        unknown: u64,
    },
    /// A field with a fixed value in this layout has another one.
    Fixed {
        /// The field.
        field: &'static str,
        /// Value found.
        found: u64,
        /// Value that it must have.
        expected: u64,
    },
    /// A field is beyond its limit.
    Limit {
        /// The field.
        field: &'static str,
        /// Value found.
        found: u64,
        /// Largest value allowed.
        limit: u64,
    },
    /// A field is not a multiple of its unit, or zero.
    Unit {
        /// The field.
        field: &'static str,
        /// Value found.
        found: u64,
        /// It must be a positive multiple of this.
        unit: u64,
    },
    /// A lane capacity that is no power of two within the limits.
    LaneCapacity {
        /// Records found.
        found: u32,
    },
    /// The service name is not one.
    Service(NameError),
    /// A text is not UTF-8.
    Utf8 {
        /// The field.
        field: &'static str,
        /// The first byte that is wrong, from the field's start.
        position_bytes: u64,
    },
    /// A reserved byte is set in a layout that defines it as zero.
    Reserved {
        /// What it is in.
        field: &'static str,
        /// Where it is in the bytes that were given.
        offset_bytes: u64,
        /// The byte found.
        found: u8,
    },
    /// A chunk overlaps one that came before it.
    Overlap {
        /// Index of the chunk.
        index: u32,
        /// Index of the chunk that it overlaps.
        with: u32,
        /// Where the chunk starts.
        offset_bytes: u64,
        /// Where the other one ends.
        end_bytes: u64,
    },
    /// A chunk of a kind that this layout does not have.
    ChunkKind {
        /// Index of the chunk.
        index: u32,
        /// Code found.
        found: u32,
    },
    /// An offset that does not lie in a chunk of the right kind.
    Outside {
        /// The field.
        field: &'static str,
        /// Offset found.
        offset_bytes: u64,
        /// Bytes that must fit there.
        size_bytes: u64,
    },
}

impl fmt::Display for SegmentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short { field, length_bytes, needed_bytes } => {
                write!(f, "{field}: {length_bytes} bytes where {needed_bytes} are needed")
            }
            Self::Magic { found } => write!(f, "magic: {found:02x?} is not a segment's"),
            Self::ByteOrder { found } => {
                write!(f, "byte_order: {found:#010x}, expected {BYTE_ORDER:#010x}")
            }
            Self::Version { major, known } => {
                write!(f, "version_major: {major}, this reader knows {known}")
            }
            Self::Features { unknown } => {
                write!(f, "features_required: bits {unknown:#x} are not known to this reader")
            }
            Self::Fixed { field, found, expected } => {
                write!(f, "{field}: {found}, expected {expected}")
            }
            Self::Limit { field, found, limit } => {
                write!(f, "{field}: {found} is beyond the limit of {limit}")
            }
            Self::Unit { field, found, unit } => {
                write!(f, "{field}: {found} is not a positive multiple of {unit}")
            }
            Self::LaneCapacity { found } => write!(
                f,
                "lane_capacity_records: {found} is not a power of two from 64 to \
                 {CAPACITY_MAX_RECORDS}"
            ),
            Self::Service(error) => write!(f, "service: {error}"),
            Self::Utf8 { field, position_bytes } => {
                write!(f, "{field}: not UTF-8 from byte {position_bytes} on")
            }
            Self::Reserved { field, offset_bytes, found } => {
                write!(f, "{field}: byte {offset_bytes} is {found}, expected 0 (reserved)")
            }
            Self::Overlap { index, with, offset_bytes, end_bytes } => write!(
                f,
                "chunk {index} offset_bytes: {offset_bytes} overlaps chunk {with}, which ends \
                 at {end_bytes}"
            ),
            Self::ChunkKind { index, found } => {
                write!(f, "chunk {index} kind: {found}, expected 1 to 5")
            }
            Self::Outside { field, offset_bytes, size_bytes } => write!(
                f,
                "{field}: {size_bytes} bytes at {offset_bytes} do not lie in a chunk of the \
                 right kind"
            ),
        }
    }
}

impl core::error::Error for SegmentError {}

/// The geometry of a segment, checked: copied once, never read from the file again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Geometry {
    /// Random id.
    pub id: [u8; 16],
    /// Service name.
    pub service: String,
    /// Wall clock at birth, nanoseconds since the Unix epoch; for display only.
    pub created_unix_ns: u64,
    /// Process id in the app's namespace; for display only.
    pub process_id: u32,
    /// Limit of the file's size.
    pub size_limit_bytes: u64,
    /// Records per lane.
    pub lane_capacity: Capacity,
    /// Schema of base-2 buckets in cells.
    pub spill_schema: u8,
    /// Cells in each lane.
    pub lane_cells: u32,
    /// Minor version of the layout.
    pub version_minor: u16,
}

fn fixed(field: &'static str, found: u32, expected: u32) -> Result<(), SegmentError> {
    if found == expected {
        Ok(())
    } else {
        Err(SegmentError::Fixed { field, found: found.into(), expected: expected.into() })
    }
}

pub(super) fn within(field: &'static str, found: u64, limit: u64) -> Result<(), SegmentError> {
    if found <= limit { Ok(()) } else { Err(SegmentError::Limit { field, found, limit }) }
}

static ZEROS: [u8; 1024] = [0; 1024];

/// Checks that `size_bytes` from `offset_bytes` on, as far as `bytes` goes, are zero.
#[expect(clippy::cast_possible_truncation, reason = "at most the length of a slice")]
pub(super) fn zero(
    field: &'static str,
    bytes: &[u8],
    offset_bytes: u64,
    size_bytes: u64,
) -> Result<(), SegmentError> {
    let length_bytes = bytes.len() as u64;
    let start = offset_bytes.min(length_bytes);
    let end = offset_bytes.saturating_add(size_bytes).min(length_bytes);
    let reserved = &bytes[start as usize..end as usize];
    // Comparing whole pieces is many times faster than looking for a byte.
    if reserved.chunks(ZEROS.len()).all(|piece| *piece == ZEROS[..piece.len()]) {
        return Ok(());
    }
    match reserved.iter().zip(start..).find(|(byte, _)| **byte != 0) {
        Some((found, at)) => Err(SegmentError::Reserved { field, offset_bytes: at, found: *found }),
        None => Ok(()),
    }
}

impl Geometry {
    /// Reads a segment's header from its first [`LIVE_OFFSET_BYTES`] bytes.
    ///
    /// Allocates the service name (at most 64 bytes) and nothing else.
    ///
    /// # Errors
    /// The first field that is wrong, with its value and its limit.
    pub fn parse(bytes: &[u8]) -> Result<Self, SegmentError> {
        let needed = LIVE_OFFSET_BYTES as usize;
        let Some(page) = bytes.get(..needed) else {
            return Err(SegmentError::Short {
                field: "header",
                length_bytes: bytes.len() as u64,
                needed_bytes: needed as u64,
            });
        };
        let raw: RawHeader = bytemuck::pod_read_unaligned(&page[..RAW_HEADER_SIZE_BYTES]);
        if raw.magic != MAGIC {
            return Err(SegmentError::Magic { found: raw.magic });
        }
        if raw.byte_order != BYTE_ORDER {
            return Err(SegmentError::ByteOrder { found: raw.byte_order });
        }
        if raw.version_major != VERSION_MAJOR {
            return Err(SegmentError::Version { major: raw.version_major, known: VERSION_MAJOR });
        }
        let unknown = raw.features_required & !FEATURES_KNOWN;
        if unknown != 0 {
            return Err(SegmentError::Features { unknown });
        }
        check_fixed_fields(&raw)?;
        // A newer minor may use bytes that are reserved in ours.
        if !is_newer_minor(raw.version_minor) {
            let start = RAW_HEADER_SIZE_BYTES as u64;
            zero("header", page, start, u64::from(LIVE_OFFSET_BYTES) - start)?;
            fixed("reserved", raw.reserved, 0)?;
        }
        within("size_limit_bytes", raw.size_limit_bytes, SEGMENT_SIZE_MAX_BYTES)?;
        let lane_capacity = Capacity::new(raw.lane_capacity_records)
            .ok_or(SegmentError::LaneCapacity { found: raw.lane_capacity_records })?;
        Ok(Self {
            id: raw.id,
            service: parse_service(&raw)?,
            created_unix_ns: raw.created_unix_ns,
            process_id: raw.process_id,
            size_limit_bytes: raw.size_limit_bytes,
            lane_capacity,
            spill_schema: parse_spill_schema(raw.spill_schema)?,
            lane_cells: parse_lane_cells(raw.lane_cells)?,
            version_minor: raw.version_minor,
        })
    }
}

/// Whether bytes that are reserved in our layout may carry something.
pub(super) const fn is_newer_minor(minor: u16) -> bool {
    minor > VERSION_MINOR
}

fn parse_spill_schema(found: u32) -> Result<u8, SegmentError> {
    let limit = SPILL_SCHEMA_MAX.into();
    u8::try_from(found)
        .ok()
        .filter(|schema| *schema <= SPILL_SCHEMA_MAX)
        .ok_or(SegmentError::Limit { field: "spill_schema", found: found.into(), limit })
}

fn parse_lane_cells(found: u32) -> Result<u32, SegmentError> {
    within("lane_cells", found.into(), LANE_CELLS_MAX.into())?;
    let unit = LANE_CELLS_UNIT;
    if found % unit == 0 {
        Ok(found)
    } else {
        Err(SegmentError::Unit { field: "lane_cells", found: found.into(), unit: unit.into() })
    }
}

fn check_fixed_fields(raw: &RawHeader) -> Result<(), SegmentError> {
    fixed("word_size_bytes", raw.word_size_bytes, WORD_SIZE_BYTES)?;
    fixed("header_size_bytes", raw.header_size_bytes, HEADER_SIZE_BYTES)?;
    fixed("live_offset_bytes", raw.live_offset_bytes, LIVE_OFFSET_BYTES)?;
    fixed("control_offset_bytes", raw.control_offset_bytes, CONTROL_OFFSET_BYTES)?;
    fixed("control_stride_bytes", raw.control_stride_bytes, CONTROL_STRIDE_BYTES)?;
    fixed("lanes_max", raw.lanes_max, LANES_MAX)?;
    fixed("chunk_table_offset_bytes", raw.chunk_table_offset_bytes, CHUNK_TABLE_OFFSET_BYTES)?;
    fixed("chunk_entry_stride_bytes", raw.chunk_entry_stride_bytes, CHUNK_ENTRY_STRIDE_BYTES)?;
    fixed("chunks_max", raw.chunks_max, CHUNKS_MAX)?;
    fixed("chunk_align_bytes", raw.chunk_align_bytes, CHUNK_ALIGN_BYTES)
}

fn parse_service(raw: &RawHeader) -> Result<String, SegmentError> {
    let length = raw.service_length_bytes as usize;
    let (name, rest) = raw.service.split_at_checked(length).ok_or(SegmentError::Limit {
        field: "service_length_bytes",
        found: raw.service_length_bytes.into(),
        limit: SERVICE_LENGTH_MAX_BYTES as u64,
    })?;
    zero("service", rest, 0, rest.len() as u64)?;
    let name = core::str::from_utf8(name).map_err(|error| SegmentError::Utf8 {
        field: "service",
        position_bytes: error.valid_up_to() as u64,
    })?;
    naming::service_name(name).map_err(SegmentError::Service)?;
    Ok(name.to_owned())
}

/// A chunk, checked: inside the size limit, aligned, of a known kind, overlapping no other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunk {
    /// What it holds.
    pub kind: ChunkKind,
    /// Where it starts in the file.
    pub offset_bytes: u64,
    /// How long it is.
    pub length_bytes: u64,
}

impl Chunk {
    /// First byte after the chunk.
    #[must_use]
    pub const fn end_bytes(&self) -> u64 {
        self.offset_bytes + self.length_bytes
    }
}

/// The chunks of a segment that were accepted so far; at most [`CHUNKS_MAX`].
#[derive(Debug, Clone, Default)]
pub struct ChunkTable {
    /// In the order of the file's table.
    chunks: Vec<Chunk>,
    /// Indices into `chunks`, by offset.
    by_offset: Vec<u32>,
}

impl ChunkTable {
    /// The chunks, in the order in which they were published.
    #[must_use]
    pub fn chunks(&self) -> &[Chunk] {
        &self.chunks
    }

    /// How many chunks were accepted.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "at most CHUNKS_MAX entries")]
    pub fn count(&self) -> u32 {
        self.chunks.len() as u32
    }

    /// Checks a published chunk count against the limits and the count known so far.
    ///
    /// # Errors
    /// [`SegmentError::Limit`] beyond [`CHUNKS_MAX`]; [`SegmentError::Fixed`] when it shrank.
    pub fn check_count(&self, published: u64) -> Result<u32, SegmentError> {
        within("chunk_count", published, CHUNKS_MAX.into())?;
        let known = u64::from(self.count());
        if published < known {
            return Err(SegmentError::Fixed {
                field: "chunk_count (it never shrinks)",
                found: published,
                expected: known,
            });
        }
        #[expect(clippy::cast_possible_truncation, reason = "checked against CHUNKS_MAX above")]
        Ok(published as u32)
    }

    /// Accepts the next entry of the chunk table.
    ///
    /// `file_size_bytes` is what `fstat` said: a chunk beyond it was never written.
    ///
    /// # Errors
    /// What is wrong with the entry; the table is unchanged then.
    pub fn push(
        &mut self,
        raw: &RawChunk,
        geometry: &Geometry,
        file_size_bytes: u64,
    ) -> Result<Chunk, SegmentError> {
        let index = self.count();
        within("chunk_count", u64::from(index) + 1, CHUNKS_MAX.into())?;
        let kind = ChunkKind::from_code(raw.kind)
            .ok_or(SegmentError::ChunkKind { index, found: raw.kind })?;
        if !is_newer_minor(geometry.version_minor) {
            zero("chunk entry", bytemuck::bytes_of(raw), 4, 4)?;
            zero("chunk entry", bytemuck::bytes_of(raw), 24, 8)?;
        }
        let limit = geometry.size_limit_bytes.min(file_size_bytes);
        within("chunk offset_bytes", raw.offset_bytes, limit)?;
        within("chunk length_bytes", raw.length_bytes, limit - raw.offset_bytes)?;
        let unit = u64::from(CHUNK_ALIGN_BYTES);
        for (field, found) in
            [("chunk offset_bytes", raw.offset_bytes), ("chunk length_bytes", raw.length_bytes)]
        {
            if found == 0 || found % unit != 0 {
                return Err(SegmentError::Unit { field, found, unit });
            }
        }
        let chunk = Chunk { kind, offset_bytes: raw.offset_bytes, length_bytes: raw.length_bytes };
        self.insert(chunk)?;
        Ok(chunk)
    }

    fn insert(&mut self, chunk: Chunk) -> Result<(), SegmentError> {
        let index = self.count();
        let at = self
            .by_offset
            .partition_point(|i| self.chunks[*i as usize].offset_bytes < chunk.offset_bytes);
        let before = at.checked_sub(1);
        for neighbour in [before, Some(at)].into_iter().flatten() {
            let Some(with) = self.by_offset.get(neighbour).copied() else { continue };
            let other = &self.chunks[with as usize];
            let apart =
                other.end_bytes() <= chunk.offset_bytes || chunk.end_bytes() <= other.offset_bytes;
            if !apart {
                let (offset_bytes, end_bytes) = (chunk.offset_bytes, other.end_bytes());
                return Err(SegmentError::Overlap { index, with, offset_bytes, end_bytes });
            }
        }
        self.by_offset.insert(at, index);
        self.chunks.push(chunk);
        Ok(())
    }

    /// The chunk of `kind` in which all of `size_bytes` at `offset_bytes` lie.
    ///
    /// # Errors
    /// [`SegmentError::Outside`] when there is none, [`SegmentError::Unit`] when the offset is
    /// not a multiple of eight.
    pub fn containing(
        &self,
        field: &'static str,
        kind: ChunkKind,
        offset_bytes: u64,
        size_bytes: u64,
    ) -> Result<&Chunk, SegmentError> {
        if offset_bytes % 8 != 0 {
            return Err(SegmentError::Unit { field, found: offset_bytes, unit: 8 });
        }
        let outside = SegmentError::Outside { field, offset_bytes, size_bytes };
        let after = self
            .by_offset
            .partition_point(|i| self.chunks[*i as usize].offset_bytes <= offset_bytes);
        let Some(index) = after.checked_sub(1).and_then(|i| self.by_offset.get(i)) else {
            return Err(outside);
        };
        let chunk = &self.chunks[*index as usize];
        let fits = chunk.kind == kind
            && offset_bytes.checked_add(size_bytes).is_some_and(|end| end <= chunk.end_bytes());
        if fits { Ok(chunk) } else { Err(outside) }
    }

    /// Checks a published lane count against the limits and the count known so far.
    ///
    /// # Errors
    /// [`SegmentError::Limit`] beyond [`LANES_MAX`]; [`SegmentError::Fixed`] when it shrank.
    pub fn check_lane_count(known: u32, published: u64) -> Result<u32, SegmentError> {
        within("lane_count", published, LANES_MAX.into())?;
        if published < u64::from(known) {
            return Err(SegmentError::Fixed {
                field: "lane_count (it never shrinks)",
                found: published,
                expected: known.into(),
            });
        }
        #[expect(clippy::cast_possible_truncation, reason = "checked against LANES_MAX above")]
        Ok(published as u32)
    }
}

/// Where a lane's ring and cells lie, checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LaneGeometry {
    /// Where the ring starts in the file.
    pub ring_offset_bytes: u64,
    /// Records in the ring.
    pub capacity: Capacity,
    /// Where the lane's cells start in the file, if it has any.
    pub cells_offset_bytes: Option<u64>,
}

impl LaneGeometry {
    /// Checks where a lane says that its ring and its cells are.
    ///
    /// # Errors
    /// When the ring does not lie in a chunk of rings, or the cells in none of cells of lanes.
    pub fn parse(
        raw: &RawControl,
        geometry: &Geometry,
        chunks: &ChunkTable,
    ) -> Result<Self, SegmentError> {
        let capacity = geometry.lane_capacity;
        chunks.containing(
            "ring_offset_bytes",
            ChunkKind::Lanes,
            raw.ring_offset_bytes,
            capacity.size_bytes(),
        )?;
        let cells = raw.cells_offset_bytes;
        if cells != 0 && geometry.lane_cells == 0 {
            let field = "cells_offset_bytes (lane_cells is 0)";
            return Err(SegmentError::Fixed { field, found: cells, expected: 0 });
        }
        if cells != 0 {
            let size_bytes = u64::from(geometry.lane_cells) * 8;
            chunks.containing("cells_offset_bytes", ChunkKind::LaneCells, cells, size_bytes)?;
        }
        Ok(Self {
            ring_offset_bytes: raw.ring_offset_bytes,
            capacity,
            cells_offset_bytes: (cells != 0).then_some(cells),
        })
    }
}
