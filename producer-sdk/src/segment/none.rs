//! Where segments are not supported: nothing is ever a [`Segment`], and every producer counts
//! privately.

use std::path::Path;

use ringmeter_layout::lane::Capacity;
use ringmeter_layout::mapping::Mapping;
use ringmeter_layout::segment::{ChunkKind, HEADER_SIZE_BYTES};
use ringmeter_layout::word::Word;

use crate::error::OpenError;

/// A segment, of which there are none here.
pub(crate) enum Segment {}

/// See the supported systems' type.
#[derive(Clone, Copy)]
pub(crate) enum Patience {
    None,
    Wait,
}

/// See the supported systems' type.
pub(crate) enum NoLane {
    Contended,
    Left(OpenError),
}

/// See the supported systems' type.
pub(crate) struct Stretch {
    pub(crate) cursor: u64,
    pub(crate) end: u64,
    pub(crate) bias: u64,
}

impl Segment {
    pub(crate) const fn blank() -> Option<&'static Self> {
        None
    }

    pub(crate) fn claim_lane(
        &self,
        _: impl Iterator<Item = (u64, u64)>,
        _: Patience,
    ) -> Result<u32, NoLane> {
        match *self {}
    }

    pub(crate) fn reserve_place(
        &self,
        _: u64,
        _: impl Iterator<Item = (u64, u64)>,
        _: impl FnOnce(u64) -> bool,
    ) -> Result<u64, OpenError> {
        match *self {}
    }

    pub(crate) fn define(
        &self,
        _: &[u8],
        _: impl Iterator<Item = (u64, u64)>,
    ) -> Result<(), OpenError> {
        match *self {}
    }
}

/// Defines the methods that the rest of the crate calls on a segment.
macro_rules! never {
    ($($name:ident($($arg:ident: $type:ty),*) $(-> $result:ty)?;)*) => {
        impl Segment {
            $(
                pub(crate) fn $name(&self, $(_: $type),*) $(-> $result)? {
                    match *self {}
                }
            )*
        }
    };
}

never! {
    is_of(incarnation: u64) -> bool;
    memory() -> Option<&Mapping>;
    path() -> Option<&Path>;
    count_live(offset: usize);
    publish_shared_spill();
    publish_lane_spill(lane: u32);
    publish_retire_change();
    tail(lane: u32) -> Option<&'static Word>;
    ring_offset_bytes(lane: u32) -> u64;
    lane_capacity() -> Option<Capacity>;
    lane_cells_address(lane: u32) -> u64;
    lane_cell_words(offset_in_lane_bytes: u32) -> Vec<u64>;
    stretch(lane: u32, position: u64, ack: u64) -> Option<Stretch>;
    release_lane(lane: u32);
    has_free_lane() -> bool;
    has_defined(log_index: u64) -> bool;
    place_cells(kind: ChunkKind, offset_bytes: u64, length_bytes: u64) -> Result<(), OpenError>;
    definition_count() -> usize;
    cell_chunk_count() -> usize;
    records_until_look(lane: u32) -> u64;
    forget_looks(lane: u32);
    look_at_ack(lane: u32, last: u64, position: u64) -> u64;
    read_ack(lane: u32, last: u64, tail: u64) -> u64;
}

/// The first offset behind the header's place where `length_bytes` overlap none of `used`.
pub(crate) fn first_fit(
    length_bytes: u64,
    size_limit_bytes: u64,
    used: impl Iterator<Item = (u64, u64)>,
) -> Option<u64> {
    // Without lanes and definitions, chunks only ever follow each other.
    let end = used.map(|(start, length)| start + length).max();
    let offset = end.unwrap_or_else(|| HEADER_SIZE_BYTES.into());
    offset.checked_add(length_bytes).filter(|end| *end <= size_limit_bytes).map(|_| offset)
}
