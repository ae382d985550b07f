//! Cells: a series' own words in the segment. They hold state where lanes carry events.
//!
//! A gauge lives in its cell. A counter or distribution has a cell for *spill*: what was recorded
//! while the lane was full, or by a thread without a lane. Cells are reserved when the series is
//! registered, so they can never be full. They are cumulative: the agent takes differences and
//! never resets one. All words are written with relaxed atomics by any thread of the app; the
//! spill count that is published afterwards (release) carries them to the agent.
//!
//! Beside its ring a lane has *lane cells*, one word each: the n-th belongs to the n-th series
//! that the segment defines, gauges left out ([`has_lane_cell`]). Only the thread that owns the
//! lane writes them, with plain loads and stores ([`add_in_lane`]), and the lane's next owner goes
//! on from there. The agent reads them at different moments, and takes differences of sums:
//!
//! - A counter's integer is the wrapping sum of its integer word and of its word in every lane.
//! - A distribution's sum is that of its sum word and of its word in every lane, all bits of an
//!   f64: the sum of what the lane's owners have spilled. Of all that an observation writes when
//!   it spills, the sum is what threads would wait for each other longest.
//!
//! Gauge cell, 32 bytes:
//!
//! ```text
//! offset size field
//!      0    8 value      bits of an f64
//!      8    8 changes    moves whenever the value may have
//!     16    8 state      see below
//!     24    8 reserved   zero
//! ```
//!
//! Counter cell, 32 bytes:
//!
//! ```text
//!      0    8 integer    sum of what was added as u64, wrapping
//!      8    8 float      sum of what was added as f64, bits
//!     16    8 state
//!     24    8 reserved   zero
//! ```
//!
//! Distribution cell (histogram or summary), `64 + 8·(64 << schema) + 8·(bounds + 1)` bytes:
//!
//! ```text
//!      0    8 state
//!      8    8 sum        sum of the finite values, bits of an f64
//!     16    8 zero       observations of zero
//!     24    8 negative   observations below zero
//!     32    8 underflow  observations in (0, 2^-30]
//!     40    8 overflow   observations above 2^34
//!     48   16 reserved   zero
//!     64      base-2 buckets of the segment's schema over (2^-30, 2^34]
//!      …      classic buckets, not cumulative; the last one is +Inf
//! ```
//!
//! The state word is even while the series is exposed and odd while it is retired; it grows by
//! one at each change, and the live word `retire_changes` follows it.

use crate::bucket::{self, SpillSlot};
use crate::naming::Kind;
use crate::word::Word;

/// Size of a gauge cell.
pub const GAUGE_SIZE_BYTES: u64 = 32;
/// Size of a counter cell.
pub const COUNTER_SIZE_BYTES: u64 = 32;
/// Words before the base-2 buckets of a distribution cell.
pub const DISTRIBUTION_HEAD_WORDS: usize = 8;

/// Word of a gauge cell that holds the value.
pub const GAUGE_VALUE: usize = 0;
/// Word of a gauge cell that counts changes.
pub const GAUGE_CHANGES: usize = 1;
/// Word of a counter cell that sums integers.
pub const COUNTER_INTEGER: usize = 0;
/// Word of a counter cell that sums floats.
pub const COUNTER_FLOAT: usize = 1;
/// Word of a gauge or counter cell that holds the state.
pub const SCALAR_STATE: usize = 2;
/// Word of a distribution cell that holds the state.
pub const DISTRIBUTION_STATE: usize = 0;
/// Word of a distribution cell that sums finite values.
pub const DISTRIBUTION_SUM: usize = 1;
/// Word of a distribution cell that counts zeros.
pub const DISTRIBUTION_ZERO: usize = 2;
/// Word of a distribution cell that counts negative values.
pub const DISTRIBUTION_NEGATIVE: usize = 3;
/// Word of a distribution cell that counts values in (0, 2^-30].
pub const DISTRIBUTION_UNDERFLOW: usize = 4;
/// Word of a distribution cell that counts values above 2^34.
pub const DISTRIBUTION_OVERFLOW: usize = 5;

const _: () = {
    assert!(GAUGE_SIZE_BYTES == 4 * 8);
    assert!(COUNTER_SIZE_BYTES == 4 * 8);
    assert!(SCALAR_STATE * 8 == 16);
    assert!(DISTRIBUTION_OVERFLOW * 8 == 40);
    assert!(DISTRIBUTION_HEAD_WORDS * 8 == 64);
};

/// Whether a series of `kind` has a cell in every lane, where there are enough of them.
#[must_use]
pub const fn has_lane_cell(kind: Kind) -> bool {
    !matches!(kind, Kind::Gauge)
}

/// Which word of a cell is the state, for a series of `kind`.
#[must_use]
pub const fn state_word(kind: Kind) -> usize {
    match kind {
        Kind::Counter | Kind::Gauge => SCALAR_STATE,
        Kind::Histogram | Kind::Summary => DISTRIBUTION_STATE,
    }
}

/// Whether a state word says that the series is retired.
#[must_use]
pub const fn is_retired(state: u64) -> bool {
    state % 2 == 1
}

/// Size of the cell of a series of `kind`, bytes.
#[must_use]
pub const fn size_bytes(kind: Kind, spill_schema: u8, bounds: u32) -> u64 {
    match kind {
        Kind::Counter => COUNTER_SIZE_BYTES,
        Kind::Gauge => GAUGE_SIZE_BYTES,
        Kind::Histogram | Kind::Summary => {
            let words = DISTRIBUTION_HEAD_WORDS as u64
                + bucket::spill_bucket_count(spill_schema) as u64
                + bounds as u64
                + 1;
            words * 8
        }
    }
}

/// A gauge's cell in the app.
#[derive(Debug, Clone, Copy)]
pub struct GaugeCell<'a>(&'a [Word]);

impl<'a> GaugeCell<'a> {
    /// The first words of `words` are a gauge's.
    #[inline]
    #[must_use]
    pub const fn new(words: &'a [Word]) -> Option<Self> {
        if words.len() as u64 * 8 < GAUGE_SIZE_BYTES { None } else { Some(Self(words)) }
    }

    /// Sets the value: two plain stores.
    #[inline(always)]
    pub fn set(self, value: f64) {
        self.0[GAUGE_VALUE].store_relaxed(value.to_bits());
        self.touch();
    }

    /// Adds to the value, atomically.
    #[inline]
    pub fn add(self, value: f64) {
        self.0[GAUGE_VALUE].add_f64_relaxed(value);
        self.touch();
    }

    /// The value now.
    #[inline]
    #[must_use]
    pub fn get(self) -> f64 {
        f64::from_bits(self.0[GAUGE_VALUE].load_relaxed())
    }

    /// Two threads that touch at once may move the count by one: any movement is enough.
    #[inline(always)]
    fn touch(self) {
        let changes = &self.0[GAUGE_CHANGES];
        changes.store_relaxed(changes.load_relaxed().wrapping_add(1));
    }
}

/// Adds an integer to a counter's cell.
#[inline]
pub fn add_u64(words: &[Word], value: u64) {
    if let Some(word) = words.get(COUNTER_INTEGER) {
        word.add_relaxed(value);
    }
}

/// Adds an integer to a counter's cell in a lane that this thread owns: one plain store.
///
/// The word has no other writer, so nothing is lost; a process killed before the store leaves no
/// trace of the call, and one killed after it the whole of it.
#[inline(always)]
pub fn add_in_lane(word: &Word, value: u64) {
    word.store_relaxed(word.load_relaxed().wrapping_add(value));
}

/// As [`add_in_lane`], for the sum of a distribution.
#[inline(always)]
pub fn add_f64_in_lane(word: &Word, value: f64) {
    word.store_relaxed((f64::from_bits(word.load_relaxed()) + value).to_bits());
}

/// Moves what a word has counted into another; says whether there was anything.
///
/// The word is taken by exchanging it for zero, so of two threads that move at once each moves
/// what the other does not.
#[inline]
pub fn move_integer(from: &Word, to: &Word) -> bool {
    let taken = from.swap_acq_rel(0);
    if taken != 0 {
        to.add_relaxed(taken);
    }
    taken != 0
}

/// As [`move_integer`], for a sum of floats.
#[inline]
pub fn move_float(from: &Word, to: &Word) -> bool {
    let taken = from.swap_acq_rel(0);
    if taken != 0 {
        to.add_f64_relaxed(f64::from_bits(taken));
    }
    taken != 0
}

/// Adds a float to a counter's cell.
#[inline]
pub fn add_f64(words: &[Word], value: f64) {
    if let Some(word) = words.get(COUNTER_FLOAT) {
        word.add_f64_relaxed(value);
    }
}

/// Adds an observation (not NaN) to a distribution's cell: its classic bucket, its base-2
/// bucket, and, if it is finite, the sum; that into `lane_sum`, the series' cell in a lane that
/// this thread owns, if there is one.
#[inline]
pub fn observe(
    words: &[Word],
    lane_sum: Option<&Word>,
    spill_schema: u8,
    bounds: &[f64],
    value: f64,
) {
    let base2 = bucket::spill_bucket_count(spill_schema) as usize;
    let slot = match bucket::spill_slot(value, spill_schema) {
        SpillSlot::Zero => DISTRIBUTION_ZERO,
        SpillSlot::Negative => DISTRIBUTION_NEGATIVE,
        SpillSlot::Underflow => DISTRIBUTION_UNDERFLOW,
        SpillSlot::Overflow => DISTRIBUTION_OVERFLOW,
        SpillSlot::Bucket(index) => DISTRIBUTION_HEAD_WORDS + index as usize,
    };
    let classic = DISTRIBUTION_HEAD_WORDS + base2 + bucket::classic_index(bounds, value);
    // The sum first: it is read before it is written, and a read behind an atomic addition waits
    // for that.
    if value.is_finite() {
        match (lane_sum, words.get(DISTRIBUTION_SUM)) {
            (Some(word), _) => add_f64_in_lane(word, value),
            (None, Some(word)) => {
                word.add_f64_relaxed(value);
            }
            (None, None) => {}
        }
    }
    if let Some(word) = words.get(classic) {
        word.add_relaxed(1);
    }
    if let Some(word) = words.get(slot) {
        word.add_relaxed(1);
    }
}
