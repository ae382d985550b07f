//! The lane protocol: one writer, one reader, positions that never wrap.
//!
//! A lane is a ring of 16-byte slots. The app's thread that owns it writes records and publishes
//! the *tail*, the position after the last complete record. The agent reads up to the tail,
//! commits what it read, and publishes the *ack*, the position up to which it has committed.
//!
//! ```text
//!            ack            reader's own position          tail
//!             │                      │                       │
//!   ──────────┴──────────────────────┴───────────────────────┴─────────────► position (u64)
//!    free      committed soon          published, unread        free up to ack + capacity
//! ```
//!
//! Positions count slots since the lane was made and live in a `u64`: one record every
//! nanosecond lasts 584 years. A record takes one slot, or several that are published together: a
//! tail never stands in the middle of one. The slot of a position is `position % capacity`, and the
//! capacity is a power of two. All of `tail - ack <= capacity` holds at every instant an honest
//! writer can be observed.
//!
//! # The two pairs
//!
//! | store | load | what it carries |
//! |---|---|---|
//! | `tail`, release, by the writer | `tail`, acquire, by the reader | the records before it |
//! | `ack`, release, by the reader | `ack`, acquire, by the writer | "these slots are read" |
//!
//! Nothing here knows files, mappings or time. `write`, `write_long`, `published`, `readable` and
//! `accept_ack` also run in the SDK or the agent; acks travel through a file, and the models of
//! `tests/loom_lane.rs` stand for that with `acknowledge` and `acknowledged`. The models also run
//! every ordering above weakened (a mutant) and fail unless that is noticed.

use crate::record::{RECORD_SIZE_BYTES, Record};
use crate::word::Word;

/// Smallest capacity of a lane: the app reads the ack at most once per this many records, so a
/// smaller lane could not be kept fed.
pub const CAPACITY_MIN_RECORDS: u32 = 64;

/// Largest capacity of a lane: 2^22 records are 64 MiB.
pub const CAPACITY_MAX_RECORDS: u32 = 1 << 22;

/// Capacity unless configured: 4,096 records are 64 KiB, 4 ms of a million records a second.
pub const CAPACITY_DEFAULT_RECORDS: u32 = 4096;

/// How many records a writer spills between two looks at the ack.
pub const ACK_READ_INTERVAL_RECORDS: u32 = 64;

/// A valid lane capacity in records: a power of two between the two limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capacity(u32);

impl Capacity {
    /// Accepts a capacity, or says that it is none.
    #[must_use]
    pub const fn new(records: u32) -> Option<Self> {
        if records.is_power_of_two()
            && records >= CAPACITY_MIN_RECORDS
            && records <= CAPACITY_MAX_RECORDS
        {
            Some(Self(records))
        } else {
            None
        }
    }

    /// A capacity for models, where rings of two slots show every interleaving.
    #[cfg(loom)]
    #[must_use]
    pub const fn tiny(records: u32) -> Self {
        assert!(records.is_power_of_two());
        Self(records)
    }

    /// Capacity in records.
    #[inline]
    #[must_use]
    pub const fn records(self) -> u64 {
        self.0 as u64
    }

    /// Size of the ring in bytes.
    #[inline]
    #[must_use]
    pub const fn size_bytes(self) -> u64 {
        self.0 as u64 * RECORD_SIZE_BYTES as u64
    }

    /// The slot of the ring at `position`.
    #[inline]
    #[must_use]
    pub const fn slot(self, position: u64) -> u64 {
        position & (self.0 as u64 - 1)
    }

    /// First position a writer must not write while `ack` stands.
    #[inline]
    #[must_use]
    pub const fn limit(self, ack: u64) -> u64 {
        ack.wrapping_add(self.0 as u64)
    }

    /// First position after `position` at which a writer that walks slots by address must stop:
    /// the limit, or the end of the ring, whichever comes first.
    #[inline]
    #[must_use]
    pub const fn stretch_end(self, position: u64, ack: u64) -> u64 {
        let left = self.records() - (position.wrapping_sub(ack));
        let to_wrap = self.records() - self.slot(position);
        position.wrapping_add(if left < to_wrap { left } else { to_wrap })
    }
}

/// Writes one record into its slot and publishes it: the whole of the hot path's stores.
///
/// A process killed before the last store leaves no trace of the record; one killed after it
/// leaves the whole record.
#[inline(always)]
pub fn write(slot_word: &Word, slot_value: &Word, tail: &Word, word: u64, value: u64, next: u64) {
    slot_value.store_relaxed(value);
    slot_word.store_relaxed(word);
    // PAIRS WITH: `lane-tail`, the load in `published`.
    tail.store_release(next);
}

/// As [`write()`] at the writer's own tail, for a writer that keeps no position: the tail has one
/// writer, so what it reads back is what it published last.
///
/// One instruction on x86-64 where carrying the position along takes four; the order is the same.
#[inline(always)]
pub fn append(slot_word: &Word, slot_value: &Word, tail: &Word, word: u64, value: u64) {
    slot_value.store_relaxed(value);
    slot_word.store_relaxed(word);
    // PAIRS WITH: `lane-tail`, the load in `published`.
    tail.store_release(tail.load_relaxed().wrapping_add(1));
}

/// Writes a record of several slots from `position` on and publishes all of them with one store.
/// `place` leads from a position to its slot: word and value.
///
/// A process killed before the last store leaves no trace of the record, however many of its
/// slots it had written. Says whether every position has a place; nothing is published otherwise.
#[inline]
pub fn write_long<'a>(
    slots: &[Record],
    position: u64,
    tail: &Word,
    place: impl Fn(u64) -> Option<(&'a Word, &'a Word)>,
) -> bool {
    let mut next = position;
    for slot in slots {
        let Some((word, value)) = place(next) else { return false };
        value.store_relaxed(slot.value);
        word.store_relaxed(slot.word);
        next = next.wrapping_add(1);
    }
    // PAIRS WITH: `lane-tail`, the load in `published`.
    tail.store_release(next);
    true
}

/// Reads the tail; every record before it can be read afterwards.
#[inline(always)]
#[must_use]
pub fn published(tail: &Word) -> u64 {
    // PAIRS WITH: `lane-tail`, the stores in `write`, `write_long` and `append`.
    tail.load_acquire()
}

/// Publishes that everything before `position` is read and committed.
#[inline(always)]
pub fn acknowledge(ack: &Word, position: u64) {
    // PAIRS WITH: `lane-ack`, the load in `acknowledged`.
    ack.store_release(position);
}

/// Reads the ack; the slots before it may be written again afterwards.
#[inline(always)]
#[must_use]
pub fn acknowledged(ack: &Word) -> u64 {
    // PAIRS WITH: `lane-ack`, the store in `acknowledge`.
    ack.load_acquire()
}

/// What a writer makes of an ack that it read: the new ack, or the old one where the value read
/// cannot be right (an agent that lies can stop acknowledging, and nothing worse).
#[inline]
#[must_use]
pub const fn accept_ack(last_ack: u64, tail: u64, read: u64) -> u64 {
    // Distances from the last ack: an honest value lies between it and the tail.
    if read.wrapping_sub(last_ack) <= tail.wrapping_sub(last_ack) { read } else { last_ack }
}

/// Why a tail cannot be one that an honest writer published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TailError {
    /// The tail is more than a lane ahead of the reader.
    Beyond {
        /// The tail as read.
        tail: u64,
        /// Position up to which the reader has read.
        position: u64,
        /// Capacity of the lane, records.
        capacity_records: u64,
    },
}

impl core::fmt::Display for TailError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Self::Beyond { tail, position, capacity_records } = self;
        write!(
            f,
            "tail {tail} is not within {capacity_records} records of position {position}: \
             it went backwards, or further than the lane is long"
        )
    }
}

impl core::error::Error for TailError {}

/// How many records a reader at `position` may read, given a tail it does not trust.
///
/// # Errors
/// [`TailError::Beyond`] when the distance is larger than the lane; a tail that went backwards
/// is such a distance too, because positions never wrap.
#[inline]
pub const fn readable(capacity: Capacity, position: u64, tail: u64) -> Result<u64, TailError> {
    let distance = tail.wrapping_sub(position);
    if distance > capacity.records() {
        Err(TailError::Beyond { tail, position, capacity_records: capacity.records() })
    } else {
        Ok(distance)
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn capacity() -> Capacity {
        Capacity::new(64).expect("64 is a capacity")
    }

    #[test]
    fn only_powers_of_two_within_the_limits_are_capacities() {
        assert_eq!(Capacity::new(0), None);
        assert_eq!(Capacity::new(32), None);
        assert_eq!(Capacity::new(96), None);
        assert_eq!(Capacity::new(CAPACITY_MAX_RECORDS * 2), None);
        assert!(Capacity::new(CAPACITY_MAX_RECORDS).is_some());
    }

    #[test]
    fn a_stretch_ends_at_the_wrap_or_at_the_limit() {
        let c = capacity();
        assert_eq!(c.stretch_end(0, 0), 64);
        assert_eq!(c.stretch_end(10, 0), 64, "the limit and the wrap coincide");
        assert_eq!(c.stretch_end(64, 10), 74, "the limit comes first");
        assert_eq!(c.stretch_end(70, 64), 128, "the wrap comes first");
        assert_eq!(c.stretch_end(74, 10), 74, "full");
    }

    #[test]
    fn lies_about_the_ack_are_ignored() {
        assert_eq!(accept_ack(100, 200, 150), 150);
        assert_eq!(accept_ack(100, 200, 100), 100);
        assert_eq!(accept_ack(100, 200, 200), 200);
        assert_eq!(accept_ack(100, 200, 201), 100, "beyond the tail");
        assert_eq!(accept_ack(100, 200, 99), 100, "backwards");
        assert_eq!(accept_ack(100, 200, 0), 100, "a missing file reads as zero");
    }

    proptest! {
        #[test]
        fn a_tail_is_readable_exactly_within_one_lane(position: u64, tail: u64) {
            let c = capacity();
            let honest = tail.wrapping_sub(position) <= c.records();
            prop_assert_eq!(readable(c, position, tail).is_ok(), honest);
        }

        #[test]
        fn a_stretch_never_passes_limit_or_wrap(ack in 0u64..1 << 60, used in 0u64..=64) {
            let c = capacity();
            let position = ack + used;
            let end = c.stretch_end(position, ack);
            prop_assert!(end >= position);
            prop_assert!(end <= c.limit(ack));
            if end > position {
                prop_assert_eq!((end - 1) / 64, position / 64, "one contiguous stretch");
            } else {
                prop_assert_eq!(used, 64, "no room only when full");
            }
        }

        #[test]
        fn an_accepted_ack_stays_between_the_last_and_the_tail(
            last in 0u64..1 << 60, ahead in 0u64..1 << 22, read: u64,
        ) {
            let tail = last + ahead;
            let ack = accept_ack(last, tail, read);
            prop_assert!((last..=tail).contains(&ack));
        }
    }
}
