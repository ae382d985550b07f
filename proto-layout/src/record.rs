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
//! bits 40..48  slots      how many 16-byte slots the record takes; 1, or more for records
//!                         with a tail of their own (reserved: none is defined yet)
//! bits 48..64  flags      reserved for a generation; written zero
//! ```
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
            _ => None,
        }
    }
}

/// The first word of a record of one slot, as a handle keeps it.
#[inline]
#[must_use]
pub const fn pack(series: u32, operation: Operation) -> u64 {
    (series as u64) | ((operation as u64) << 32) | (1 << 40)
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
        for operation in [Operation::AddU64, Operation::AddF64, Operation::ObserveF64] {
            let record = Record { word: pack(u32::MAX - 7, operation), value: 3 };
            assert_eq!(record.series(), u32::MAX - 7);
            assert_eq!(Operation::from_code(record.operation_code()), Some(operation));
            assert_eq!(record.slots(), 1);
            assert_eq!(record.shape(), shape_of(operation));
        }
    }

    #[test]
    fn a_zeroed_slot_is_no_record() {
        let hole = Record { word: 0, value: 0 };
        assert_eq!(Operation::from_code(hole.operation_code()), None);
        assert_eq!(hole.slots(), 0);
    }
}
