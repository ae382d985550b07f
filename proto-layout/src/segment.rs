//! The segment: the one shared-memory file that an app process writes and the agent reads.
//!
//! ```text
//!  offset      size  region
//!       0      3968  header: what the segment is; never changes after birth
//!    3968       128  live words: how much of the rest is published, and what was refused
//!    4096     16384  lane control lines, 256 × 64 B, contiguous
//!   20480     32768  chunk table, 1024 × 32 B
//!   53248     12288  reserved, zero
//!   65536         …  chunks, each starting and ending on 64 KiB
//! ```
//!
//! A chunk is filled, then entered in the table, then published by the chunk count; it never
//! moves or shrinks, and an entry never changes. Chunks need not lie in the file in the order of
//! the table, and ranges that no entry names are holes that nobody reads.
//!
//! # Header
//!
//! ```text
//! offset size field                   ordering: written once, before the file gets its name
//!      0    8 magic                   "RINGMTR\0"
//!      8    2 version_major           written last, release: the sign that all else is there
//!     10    2 version_minor           written with it
//!     12    4 byte_order              0x01020304 as the writer stores a u32
//!     16    4 word_size_bytes         8
//!     20    4 header_size_bytes       65536
//!     24    4 live_offset_bytes       3968
//!     28    4 control_offset_bytes    4096
//!     32    4 control_stride_bytes    64
//!     36    4 lanes_max               256
//!     40    4 chunk_table_offset_bytes 20480
//!     44    4 chunk_entry_stride_bytes 32
//!     48    4 chunks_max              1024
//!     52    4 chunk_align_bytes       65536
//!     56    4 lane_capacity_records   power of two, 64 ..= 2^22
//!     60    4 spill_schema            schema of base-2 buckets in cells, 0 ..= 5
//!     64    8 features_required       a reader must know every bit set here
//!     72    8 features_optional       a reader may ignore these
//!     80   16 id                      random; also in the file name
//!     96    8 created_unix_ns         wall clock at birth, for display
//!    104    8 size_limit_bytes        the file never grows beyond this
//!    112    4 process_id              in the app's own pid namespace, for display only
//!    116    4 service_length_bytes    1 ..= 64
//!    120   64 service                 name, zero-padded
//!    184    4 lane_cells              cells in each lane: a multiple of 8, 0 ..= 8192
//!    188    4 reserved                zero
//!    192 3776 reserved                zero
//! ```
//!
//! # Live words
//!
//! ```text
//! offset size field (from 3968)    written by                      read by
//!      0    8 chunk_count          app, release, after the entry   agent, after the next two
//!      8    8 lane_count           app, release, after the line    agent, after the tails
//!     16    8 definition_count     app, release, after the entry   agent, after the tails
//!     24    8 retire_changes       app, release, after the state   agent
//!     32    8 shared_spill_count   app, add release, after cells   agent
//!     40    8 rejected_nan         app, add relaxed                agent
//!     48    8 rejected_negative    app, add relaxed                agent
//!     56    8 rejected_unregistered app, add relaxed               agent
//!     64    8 overflowed_lookups   app, add relaxed                agent
//!     72    8 rejected_exemplars   app, add relaxed                agent
//!     80    8 dropped_exemplars    app, add relaxed                agent
//!     88    8 mislabeled_lookups   app, add relaxed                agent
//!     96   32 reserved             zero
//! ```
//!
//! Those of exemplars count nothing else: what they were with is recorded. Lookups count here
//! where the overflow series answers them: `mislabeled` if they gave another number of values than
//! the metric has labels, `overflowed` if they met a limit.
//!
//! # Lane control line
//!
//! ```text
//! offset size field          written by                             read by
//!      0    8 tail           owning thread, release, every record   agent, first of all
//!      8    8 spill_count    owning thread, release, after cells    agent
//!     16    8 ring_offset_bytes app, before lane_count              agent, once
//!     24    8 claims         owning thread, relaxed                 agent
//!     32    8 state          app's threads, compare-exchange        agent (0 free, 1 claimed)
//!     40    8 cells_offset_bytes app, before lane_count              agent, once; 0: it has none
//!     48   16 reserved       zero
//! ```
//!
//! # Order of reading
//!
//! What is published later leans on what was published before: a record on its definition, a
//! definition and a lane on their chunk. So a segment that is being written is read backwards,
//! each step in a read of its own that begins when the one before it has ended, with
//! [`fence_acquire`](crate::word::fence_acquire) between them (a system call is no fence):
//!
//! 1. tails and spill counts of the lanes known so far, from the control lines;
//! 2. `definition_count` and `lane_count`;
//! 3. `chunk_count`, then the new entries of the chunk table;
//! 4. the new definitions, and the control lines of the new lanes (what step 1 read there may be
//!    from before their ring had an offset);
//! 5. records up to the tails of step 1, and cells.
//!
//! Read in this order, an honest id is never unknown and an honest offset always lies in a known
//! chunk; `tests/loom_lane.rs` shows it, and that neither of the first steps can be swapped. One
//! read over several of these regions promises nothing about their order.
//!
//! # Chunk entry
//!
//! ```text
//! offset size field          written by             read by
//!      0    4 kind           app, before count      agent, once
//!      4    4 reserved       zero
//!      8    8 offset_bytes   app                    agent, multiple of 64 KiB
//!     16    8 length_bytes   app                    agent, multiple of 64 KiB
//!     24    8 reserved       zero
//! ```

use bytemuck::{Pod, Zeroable};

mod parse;

mod dictionary;

mod view;

pub use dictionary::{Dictionary, DictionaryError};
pub use parse::{Chunk, ChunkTable, Geometry, LaneGeometry, SegmentError};
pub use view::{LaneView, View, ViewError, view};

/// First bytes of a segment.
pub const MAGIC: [u8; 8] = *b"RINGMTR\0";
/// Layout version that this crate writes; it reads this one (and, later, the one before).
pub const VERSION_MAJOR: u16 = 1;
/// Minor layout version that this crate writes.
pub const VERSION_MINOR: u16 = 0;
/// A `u32` whose bytes tell the writer's byte order.
pub const BYTE_ORDER: u32 = 0x0102_0304;
/// Size of a word that is written whole.
pub const WORD_SIZE_BYTES: u32 = 8;
/// Size of everything before the first chunk.
pub const HEADER_SIZE_BYTES: u32 = 65_536;
/// Offset of the live words.
pub const LIVE_OFFSET_BYTES: u32 = 3_968;
/// Size of the live words.
pub const LIVE_SIZE_BYTES: u32 = 128;
/// Offset of the first lane control line.
pub const CONTROL_OFFSET_BYTES: u32 = 4_096;
/// Distance between two lane control lines: a cache line.
pub const CONTROL_STRIDE_BYTES: u32 = 64;
/// Most lanes in a segment: 256 lines of 64 B are 16 KiB.
pub const LANES_MAX: u32 = 256;
/// Offset of the chunk table.
pub const CHUNK_TABLE_OFFSET_BYTES: u32 = 20_480;
/// Distance between two entries of the chunk table.
pub const CHUNK_ENTRY_STRIDE_BYTES: u32 = 32;
/// Most chunks in a segment: 1024 entries of 32 B are 32 KiB.
pub const CHUNKS_MAX: u32 = 1_024;
/// Chunks start and end on multiples of this.
pub const CHUNK_ALIGN_BYTES: u32 = 65_536;
/// No segment is larger, whatever it says: 1 GiB.
pub const SEGMENT_SIZE_MAX_BYTES: u64 = 1 << 30;
/// Most definitions (families and series) in a segment: 2^20.
pub const DEFINITIONS_MAX: u64 = 1 << 20;
/// Longest service name.
pub const SERVICE_LENGTH_MAX_BYTES: usize = 64;
/// Finest schema of base-2 buckets in cells.
pub const SPILL_SCHEMA_MAX: u8 = 5;
/// Schema of base-2 buckets in cells unless configured: relative error at most 8.7 %, 2 KiB.
pub const SPILL_SCHEMA_DEFAULT: u8 = 2;
/// Most cells in each lane: 64 KiB.
pub const LANE_CELLS_MAX: u32 = 8_192;
/// The cells of a lane come in whole cache lines, so that no two threads write the same one.
pub const LANE_CELLS_UNIT: u32 = 8;
/// Cells in each lane unless configured: 4 KiB, a sixteenth of the ring; sixteen lanes share a
/// chunk.
pub const LANE_CELLS_DEFAULT: u32 = 512;
/// Every feature bit that this crate's reader understands: none is defined yet.
pub const FEATURES_KNOWN: u64 = 0;

/// What a segment is; see the module's picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
#[expect(missing_docs, reason = "the module's picture says each field once")]
pub struct RawHeader {
    pub magic: [u8; 8],
    pub version_major: u16,
    pub version_minor: u16,
    pub byte_order: u32,
    pub word_size_bytes: u32,
    pub header_size_bytes: u32,
    pub live_offset_bytes: u32,
    pub control_offset_bytes: u32,
    pub control_stride_bytes: u32,
    pub lanes_max: u32,
    pub chunk_table_offset_bytes: u32,
    pub chunk_entry_stride_bytes: u32,
    pub chunks_max: u32,
    pub chunk_align_bytes: u32,
    pub lane_capacity_records: u32,
    pub spill_schema: u32,
    pub features_required: u64,
    pub features_optional: u64,
    pub id: [u8; 16],
    pub created_unix_ns: u64,
    pub size_limit_bytes: u64,
    pub process_id: u32,
    pub service_length_bytes: u32,
    pub service: [u8; SERVICE_LENGTH_MAX_BYTES],
    pub lane_cells: u32,
    pub reserved: u32,
}

/// Size of the described part of the header; what follows up to the live words is zero.
pub const RAW_HEADER_SIZE_BYTES: usize = size_of::<RawHeader>();

const _: () = {
    use core::mem::offset_of;
    assert!(size_of::<RawHeader>() == 192);
    assert!(align_of::<RawHeader>() == 8);
    assert!(offset_of!(RawHeader, version_major) == 8);
    assert!(offset_of!(RawHeader, version_minor) == 10);
    assert!(offset_of!(RawHeader, byte_order) == 12);
    assert!(offset_of!(RawHeader, word_size_bytes) == 16);
    assert!(offset_of!(RawHeader, header_size_bytes) == 20);
    assert!(offset_of!(RawHeader, live_offset_bytes) == 24);
    assert!(offset_of!(RawHeader, control_offset_bytes) == 28);
    assert!(offset_of!(RawHeader, control_stride_bytes) == 32);
    assert!(offset_of!(RawHeader, lanes_max) == 36);
    assert!(offset_of!(RawHeader, chunk_table_offset_bytes) == 40);
    assert!(offset_of!(RawHeader, chunk_entry_stride_bytes) == 44);
    assert!(offset_of!(RawHeader, chunks_max) == 48);
    assert!(offset_of!(RawHeader, chunk_align_bytes) == 52);
    assert!(offset_of!(RawHeader, lane_capacity_records) == 56);
    assert!(offset_of!(RawHeader, spill_schema) == 60);
    assert!(offset_of!(RawHeader, features_required) == 64);
    assert!(offset_of!(RawHeader, features_optional) == 72);
    assert!(offset_of!(RawHeader, id) == 80);
    assert!(offset_of!(RawHeader, created_unix_ns) == 96);
    assert!(offset_of!(RawHeader, size_limit_bytes) == 104);
    assert!(offset_of!(RawHeader, process_id) == 112);
    assert!(offset_of!(RawHeader, service_length_bytes) == 116);
    assert!(offset_of!(RawHeader, service) == 120);
    assert!(offset_of!(RawHeader, lane_cells) == 184);
    assert!(offset_of!(RawHeader, reserved) == 188);
    assert!(LANE_CELLS_MAX % LANE_CELLS_UNIT == 0 && LANE_CELLS_DEFAULT % LANE_CELLS_UNIT == 0);
    assert!(LANE_CELLS_MAX * 8 <= CHUNK_ALIGN_BYTES);
    assert!(LIVE_OFFSET_BYTES + LIVE_SIZE_BYTES == CONTROL_OFFSET_BYTES);
    assert!(CONTROL_OFFSET_BYTES + LANES_MAX * CONTROL_STRIDE_BYTES == CHUNK_TABLE_OFFSET_BYTES);
    assert!(CHUNK_TABLE_OFFSET_BYTES + CHUNKS_MAX * CHUNK_ENTRY_STRIDE_BYTES <= HEADER_SIZE_BYTES);
    assert!(HEADER_SIZE_BYTES % CHUNK_ALIGN_BYTES == 0);
};

/// What makes one segment different from another at birth.
#[derive(Debug, Clone, Copy)]
pub struct Birth<'a> {
    /// Random id.
    pub id: [u8; 16],
    /// Service name, validated by [`naming::service_name`](crate::naming::service_name).
    pub service: &'a str,
    /// Wall clock, nanoseconds since the Unix epoch.
    pub created_unix_ns: u64,
    /// Limit of the file's size.
    pub size_limit_bytes: u64,
    /// The process, in its own namespace.
    pub process_id: u32,
    /// Records per lane.
    pub lane_capacity: crate::lane::Capacity,
    /// Schema of the base-2 buckets in cells.
    pub spill_schema: u8,
    /// Cells in each lane, a multiple of [`LANE_CELLS_UNIT`].
    pub lane_cells: u32,
}

impl RawHeader {
    /// The header of a new segment, with its version still 0: the writer stores
    /// [`version_word`] last.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "both are bounded far below 2^32")]
    pub fn new(birth: &Birth<'_>) -> Self {
        let mut service = [0; SERVICE_LENGTH_MAX_BYTES];
        let length = birth.service.len().min(SERVICE_LENGTH_MAX_BYTES);
        service[..length].copy_from_slice(&birth.service.as_bytes()[..length]);
        Self {
            magic: MAGIC,
            version_major: 0,
            version_minor: 0,
            byte_order: BYTE_ORDER,
            word_size_bytes: WORD_SIZE_BYTES,
            header_size_bytes: HEADER_SIZE_BYTES,
            live_offset_bytes: LIVE_OFFSET_BYTES,
            control_offset_bytes: CONTROL_OFFSET_BYTES,
            control_stride_bytes: CONTROL_STRIDE_BYTES,
            lanes_max: LANES_MAX,
            chunk_table_offset_bytes: CHUNK_TABLE_OFFSET_BYTES,
            chunk_entry_stride_bytes: CHUNK_ENTRY_STRIDE_BYTES,
            chunks_max: CHUNKS_MAX,
            chunk_align_bytes: CHUNK_ALIGN_BYTES,
            lane_capacity_records: birth.lane_capacity.records() as u32,
            spill_schema: birth.spill_schema.into(),
            features_required: 0,
            features_optional: 0,
            id: birth.id,
            created_unix_ns: birth.created_unix_ns,
            size_limit_bytes: birth.size_limit_bytes,
            process_id: birth.process_id,
            service_length_bytes: length as u32,
            service,
            lane_cells: birth.lane_cells,
            reserved: 0,
        }
    }
}

/// Offset of the word that holds version and byte order, stored last of the header.
pub const VERSION_WORD_OFFSET_BYTES: u64 = 8;

/// The word at [`VERSION_WORD_OFFSET_BYTES`] of a finished header.
#[must_use]
pub const fn version_word() -> u64 {
    (VERSION_MAJOR as u64) | ((VERSION_MINOR as u64) << 16) | ((BYTE_ORDER as u64) << 32)
}

/// The live words as read by the agent: untrusted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
#[expect(missing_docs, reason = "the module's picture says each field once")]
pub struct RawLive {
    pub chunk_count: u64,
    pub lane_count: u64,
    pub definition_count: u64,
    pub retire_changes: u64,
    pub shared_spill_count: u64,
    pub rejected_nan: u64,
    pub rejected_negative: u64,
    pub rejected_unregistered: u64,
    pub overflowed_lookups: u64,
    pub rejected_exemplars: u64,
    pub dropped_exemplars: u64,
    pub mislabeled_lookups: u64,
    pub reserved: [u64; 4],
}

/// A lane control line as read by the agent: untrusted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
#[expect(missing_docs, reason = "the module's picture says each field once")]
pub struct RawControl {
    pub tail: u64,
    pub spill_count: u64,
    pub ring_offset_bytes: u64,
    pub claims: u64,
    pub state: u64,
    pub cells_offset_bytes: u64,
    pub reserved: [u64; 2],
}

/// A lane that no thread owns.
pub const LANE_FREE: u64 = 0;
/// A lane that a thread owns.
pub const LANE_CLAIMED: u64 = 1;

/// An entry of the chunk table as read by the agent: untrusted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
#[expect(missing_docs, reason = "the module's picture says each field once")]
pub struct RawChunk {
    pub kind: u32,
    pub reserved_0: u32,
    pub offset_bytes: u64,
    pub length_bytes: u64,
    pub reserved_1: u64,
}

const _: () = {
    use core::mem::offset_of;
    assert!(size_of::<RawLive>() == LIVE_SIZE_BYTES as usize);
    assert!(offset_of!(RawLive, chunk_count) == 0);
    assert!(offset_of!(RawLive, lane_count) == 8);
    assert!(offset_of!(RawLive, definition_count) == 16);
    assert!(offset_of!(RawLive, retire_changes) == 24);
    assert!(offset_of!(RawLive, shared_spill_count) == 32);
    assert!(offset_of!(RawLive, rejected_nan) == 40);
    assert!(offset_of!(RawLive, rejected_negative) == 48);
    assert!(offset_of!(RawLive, rejected_unregistered) == 56);
    assert!(offset_of!(RawLive, overflowed_lookups) == 64);
    assert!(offset_of!(RawLive, rejected_exemplars) == 72);
    assert!(offset_of!(RawLive, dropped_exemplars) == 80);
    assert!(offset_of!(RawLive, mislabeled_lookups) == 88);
    assert!(offset_of!(RawLive, reserved) == 96);
    assert!(size_of::<RawControl>() == CONTROL_STRIDE_BYTES as usize);
    assert!(offset_of!(RawControl, tail) == 0);
    assert!(offset_of!(RawControl, spill_count) == 8);
    assert!(offset_of!(RawControl, ring_offset_bytes) == 16);
    assert!(offset_of!(RawControl, claims) == 24);
    assert!(offset_of!(RawControl, state) == 32);
    assert!(offset_of!(RawControl, cells_offset_bytes) == 40);
    assert!(offset_of!(RawControl, reserved) == 48);
    assert!(size_of::<RawChunk>() == CHUNK_ENTRY_STRIDE_BYTES as usize);
    assert!(offset_of!(RawChunk, kind) == 0);
    assert!(offset_of!(RawChunk, offset_bytes) == 8);
    assert!(offset_of!(RawChunk, length_bytes) == 16);
    assert!(offset_of!(RawChunk, reserved_1) == 24);
};

/// What a chunk holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum ChunkKind {
    /// Definitions, one after the other; see [`definition`](crate::definition).
    Definitions = 1,
    /// Gauge cells; see [`cell`](crate::cell).
    Gauges = 2,
    /// Spill cells of counters and distributions; see [`cell`](crate::cell).
    Cells = 3,
    /// The rings of lanes; see [`lane`](crate::lane).
    Lanes = 4,
    /// The cells of lanes; see [`cell`](crate::cell).
    LaneCells = 5,
}

impl ChunkKind {
    /// The kind with this code, if there is one.
    #[must_use]
    pub const fn from_code(code: u32) -> Option<Self> {
        match code {
            1 => Some(Self::Definitions),
            2 => Some(Self::Gauges),
            3 => Some(Self::Cells),
            4 => Some(Self::Lanes),
            5 => Some(Self::LaneCells),
            _ => None,
        }
    }
}

/// Offset in the file of the live word at `offset_in_live_bytes`.
#[must_use]
pub const fn live_word_offset_bytes(offset_in_live_bytes: usize) -> u64 {
    LIVE_OFFSET_BYTES as u64 + offset_in_live_bytes as u64
}

/// Offset in the file of the control line of `lane`.
#[inline]
#[must_use]
pub const fn control_offset_bytes(lane: u32) -> u64 {
    CONTROL_OFFSET_BYTES as u64 + lane as u64 * CONTROL_STRIDE_BYTES as u64
}

/// Offset in the file of entry `index` of the chunk table.
#[must_use]
pub const fn chunk_entry_offset_bytes(index: u32) -> u64 {
    CHUNK_TABLE_OFFSET_BYTES as u64 + index as u64 * CHUNK_ENTRY_STRIDE_BYTES as u64
}

/// Rounds a size up to whole chunk units.
#[must_use]
pub const fn chunk_aligned_bytes(size_bytes: u64) -> u64 {
    size_bytes.next_multiple_of(CHUNK_ALIGN_BYTES as u64)
}
