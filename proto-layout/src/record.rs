//! A record: what one event in a hot service leaves in a lane, an observation above all. Counters
//! that have a cell in the lane leave none (see [`cell`](crate::cell)).
//!
//! ```text
//! offset size field   written by  read by
//!      0    8 word    app         agent    packed, see below; relaxed store
//!      8    8 value   app         agent    u64, or the bits of an f64; relaxed store
//! ```
//!
//! The word is packed so that a metric handle can hold it ready-made:
//!
//! ```text
//! bits  0..32  series     dense id of the series in its segment
//! bits 32..40  operation  see `Operation`
//! bits 40..48  slots      how many 16-byte slots the record takes: 1, or more for a record
//!                         with a tail, which is an exemplar's (see [`exemplar`])
//! bits 48..64  flags      reserved for a generation; written zero
//! ```
//!
//! The tail of a long record is in the slots behind its first one, on the other side of the
//! ring's end where it wraps; all of them become visible with one store.
//!
//! [`exemplar`]: crate::exemplar
//!
//! Records become visible by the lane's tail alone, never by their contents (see
//! [`lane`](crate::lane)).

use bytemuck::{Pod, Zeroable};

/// Size of one slot of a lane, and of a record that takes one slot.
pub const RECORD_SIZE_BYTES: usize = 16;

/// What a record does to its series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Operation {
    /// Adds `value` as an unsigned integer to a counter.
    AddU64 = 1,
    /// Adds `value` as the bits of a non-negative finite `f64` to a counter.
    AddF64 = 2,
    /// Observes `value` as the bits of an `f64` (not NaN) in a histogram or summary.
    ObserveF64 = 3,
    /// As `AddU64`, with an exemplar behind it.
    AddU64Exemplar = 4,
    /// As `AddF64`, with an exemplar behind it.
    AddF64Exemplar = 5,
    /// As `ObserveF64`, with an exemplar behind it.
    ObserveF64Exemplar = 6,
}

impl Operation {
    /// The operation with this code, if there is one.
    #[inline]
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::AddU64),
            2 => Some(Self::AddF64),
            3 => Some(Self::ObserveF64),
            4 => Some(Self::AddU64Exemplar),
            5 => Some(Self::AddF64Exemplar),
            6 => Some(Self::ObserveF64Exemplar),
            _ => None,
        }
    }

    /// The operation that does the same and has an exemplar behind it.
    #[inline]
    #[must_use]
    pub const fn with_exemplar(self) -> Self {
        match self {
            Self::AddU64 | Self::AddU64Exemplar => Self::AddU64Exemplar,
            Self::AddF64 | Self::AddF64Exemplar => Self::AddF64Exemplar,
            Self::ObserveF64 | Self::ObserveF64Exemplar => Self::ObserveF64Exemplar,
        }
    }

    /// The operation without the exemplar, if it has one behind it.
    #[inline]
    #[must_use]
    pub const fn without_exemplar(self) -> Option<Self> {
        match self {
            Self::AddU64 | Self::AddF64 | Self::ObserveF64 => None,
            Self::AddU64Exemplar => Some(Self::AddU64),
            Self::AddF64Exemplar => Some(Self::AddF64),
            Self::ObserveF64Exemplar => Some(Self::ObserveF64),
        }
    }
}

/// The first word of a record of one slot, as a handle keeps it.
#[inline]
#[must_use]
pub const fn pack(series: u32, operation: Operation) -> u64 {
    pack_long(series, operation, 1)
}

/// The first word of a record of so many slots.
#[inline]
#[must_use]
pub const fn pack_long(series: u32, operation: Operation, slots: u8) -> u64 {
    (series as u64) | ((operation as u64) << 32) | ((slots as u64) << 40)
}

/// A record as the agent copied it out of a lane: untrusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Record {
    /// Packed series, operation, slots and flags.
    pub word: u64,
    /// The operand.
    pub value: u64,
}

const _: () = {
    assert!(size_of::<Record>() == RECORD_SIZE_BYTES);
    assert!(core::mem::offset_of!(Record, word) == 0);
    assert!(core::mem::offset_of!(Record, value) == 8);
};

impl Record {
    /// Id of the series within its segment.
    #[inline]
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "the low 32 bits are the field")]
    pub const fn series(self) -> u32 {
        self.word as u32
    }

    /// Code of the operation; see [`Operation::from_code`].
    #[inline]
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "eight bits are the field")]
    pub const fn operation_code(self) -> u8 {
        (self.word >> 32) as u8
    }

    /// How many slots the record takes, as written.
    #[inline]
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "eight bits are the field")]
    pub const fn slots(self) -> u8 {
        (self.word >> 40) as u8
    }

    /// Everything above the series id: operation, slots and flags in one number, so that one
    /// comparison decides whether a record is an ordinary one of a given operation.
    #[inline]
    #[must_use]
    pub const fn shape(self) -> u32 {
        (self.word >> 32) as u32
    }
}

/// The [`Record::shape`] of an ordinary one-slot record of `operation`.
#[inline]
#[must_use]
pub const fn shape_of(operation: Operation) -> u32 {
    (pack(0, operation) >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packed_word_reads_back_field_by_field() {
        for operation in (1..=6).filter_map(Operation::from_code) {
            let record = Record { word: pack(u32::MAX - 7, operation), value: 3 };
            assert_eq!(record.series(), u32::MAX - 7);
            assert_eq!(Operation::from_code(record.operation_code()), Some(operation));
            assert_eq!(record.slots(), 1);
            assert_eq!(record.shape(), shape_of(operation));
        }
    }

    #[test]
    fn each_operation_has_one_with_an_exemplar() {
        for operation in [Operation::AddU64, Operation::AddF64, Operation::ObserveF64] {
            let long = operation.with_exemplar();
            assert_eq!((operation.without_exemplar(), long.with_exemplar()), (None, long));
            assert_eq!(long.without_exemplar(), Some(operation));
            let record = Record { word: pack_long(7, long, 34), value: 3 };
            assert_eq!((record.series(), record.slots()), (7, 34));
            assert_eq!(Operation::from_code(record.operation_code()), Some(long));
        }
        assert_eq!((Operation::from_code(0), Operation::from_code(7)), (None, None));
    }

    #[test]
    fn a_zeroed_slot_is_no_record() {
        let hole = Record { word: 0, value: 0 };
        assert_eq!(Operation::from_code(hole.operation_code()), None);
        assert_eq!(hole.slots(), 0);
    }
}
