//! Bucket arithmetic: base-2 exponential buckets, the spill range, and classic bounds.
//!
//! The buckets are those of Prometheus' native histograms (specification "Native Histograms",
//! section "Schema"). At schema s an octave has 2^s buckets, and bucket i covers
//!
//! ```text
//! 2^((i - 1) / 2^s)  <  value  <=  2^(i / 2^s)          upper bound inclusive
//! ```
//!
//! so bucket 0 ends at 1, and bucket 2^s at 2. Here "<=" is meant exactly: [`index`] answers
//! for the real number that a double stands for, and [`upper_bound`] is the largest double in
//! the bucket. Hence, for every positive finite `value` and every `i`,
//!
//! ```text
//! index(value, s) <= i   if and only if   value <= upper_bound(i, s)
//! ```
//!
//! and the buckets of a lower schema are exact unions of those of a higher one. (The tables of
//! the Prometheus libraries are rounded otherwise in places, so a value that is within some
//! units in the last place of an irrational boundary can fall into the neighbouring bucket
//! there.)
//!
//! No function here allocates, panics or takes a logarithm. A schema above [`SCHEMA_MAX`] is
//! taken for [`SCHEMA_MAX`].

mod table;

use table::{BOUNDARIES, LOOKUP, LOOKUP_LENGTH};

/// The finest schema: 256 buckets per octave. The coarsest one here is 0.
pub const SCHEMA_MAX: u8 = 8;
/// The spill range starts above two to this power.
pub const SPILL_EXPONENT_MIN: i32 = -30;
/// The spill range ends with two to this power.
pub const SPILL_EXPONENT_MAX: i32 = 34;

const SPILL_OCTAVES: u32 = 64;
const SPILL_LOW: f64 = 1.0 / (1_u64 << 30) as f64;
const SPILL_HIGH: f64 = (1_u64 << 34) as f64;
const IMPLICIT_BIT: u64 = 1 << 52;
const FRACTION_MASK: u64 = IMPLICIT_BIT - 1;
const SIGN_BIT: u64 = 1 << 63;
const EXPONENT_BIAS: i32 = 1023;
/// Exponent of the largest power of two below which all doubles are.
const EXPONENT_END: i32 = 1024;
/// Exponent of the smallest normal double.
const EXPONENT_NORMAL_MIN: i32 = -1022;

const _: () = {
    assert!(SPILL_EXPONENT_MAX - SPILL_EXPONENT_MIN == SPILL_OCTAVES as i32);
    assert!(SPILL_LOW.to_bits() == ((EXPONENT_BIAS + SPILL_EXPONENT_MIN) as u64) << 52);
    assert!(SPILL_HIGH.to_bits() == ((EXPONENT_BIAS + SPILL_EXPONENT_MAX) as u64) << 52);
    assert!(LOOKUP_LENGTH == 0x400);
};

/// The bucket that a positive, finite value falls into.
///
/// Any other value gets an index that means nothing, without a panic: the sign is ignored,
/// zero lies below every bucket, infinity and NaN at or above the last.
///
/// ```
/// use ringmeter_layout::bucket::index;
///
/// assert_eq!(index(1.0, 3), 0);
/// assert_eq!(index(1.0 + f64::EPSILON, 3), 1);
/// assert_eq!(index(2.0, 3), 8);
/// assert_eq!(index(0.25, 0), -2);
/// ```
#[inline]
#[must_use]
pub fn index(value: f64, schema: u8) -> i32 {
    let bits = value.to_bits() & !SIGN_BIT;
    if bits < IMPLICIT_BIT {
        return index_of_subnormal(bits, schema);
    }
    index_of_normal(bits, schema)
}

/// The index for the bits of a positive, normal double.
#[inline]
fn index_of_normal(bits: u64, schema: u8) -> i32 {
    // Both casts are of at most 11 bits.
    let exponent = (bits >> 52) as i32 - EXPONENT_BIAS;
    (exponent << schema.min(SCHEMA_MAX)) + offset_in_octave(bits, schema) as i32
}

/// How many boundaries of the octave, the power of two at its start included, lie below.
///
/// So 0 for the power of two itself, else 1 to 2^schema.
#[inline]
fn offset_in_octave(bits: u64, schema: u8) -> u16 {
    let fraction = bits & FRACTION_MASK;
    let position = (fraction | IMPLICIT_BIT) >> (51 - u32::from(schema.min(SCHEMA_MAX)));
    // The mask changes nothing; it shows the compiler that the position is in the table.
    let entry = LOOKUP.0[(position & 0x3ff) as usize];
    (entry.wrapping_add(fraction) >> 52) as u16
}

#[cold]
fn index_of_subnormal(bits: u64, schema: u8) -> i32 {
    // Exact: multiplying by a power of two makes it a normal double with the same digits.
    let scaled = f64::from_bits(bits) * (1_u64 << 52) as f64;
    index_of_normal(scaled.to_bits(), schema) - (52 << schema.min(SCHEMA_MAX))
}

/// The upper bound of a bucket: the largest double that is not above 2^(index / 2^schema).
///
/// The last bucket of finite values ends at [`f64::MAX`], as in Prometheus' libraries, and any
/// bucket after it at infinity. Below the smallest positive double the bound is 0.
///
/// ```
/// use ringmeter_layout::bucket::upper_bound;
///
/// assert_eq!(upper_bound(0, 5), 1.0);
/// assert_eq!(upper_bound(-32, 5), 0.5);
/// assert_eq!(upper_bound(1024 * 32, 5), f64::MAX);
/// assert!((upper_bound(1, 3) - 2_f64.powf(0.125)).abs() < 1e-15);
/// ```
#[inline]
#[must_use]
pub fn upper_bound(index: i32, schema: u8) -> f64 {
    let schema = schema.min(SCHEMA_MAX);
    let last = EXPONENT_END << schema;
    if index >= last {
        return if index == last { f64::MAX } else { f64::INFINITY };
    }
    let in_octave = index & ((1 << schema) - 1);
    let position = (in_octave << (SCHEMA_MAX - schema)) & 0xff;
    let significand = IMPLICIT_BIT | BOUNDARIES[position.unsigned_abs() as usize];
    let exponent = index >> schema;
    if exponent >= EXPONENT_NORMAL_MIN {
        let biased = u64::from((exponent + EXPONENT_BIAS).unsigned_abs());
        return f64::from_bits((biased << 52) | (significand & FRACTION_MASK));
    }
    // A subnormal double keeps the upper bits only, which rounds down, as it must.
    let lost_bits = exponent.abs_diff(EXPONENT_NORMAL_MIN);
    f64::from_bits(significand.checked_shr(lost_bits).unwrap_or(0))
}

/// The growth factor from bucket to bucket, 2^(2^-schema).
#[inline]
fn growth(schema: u8) -> f64 {
    upper_bound(1, schema)
}

/// The largest relative error of [`estimate`]: (g - 1) / (g + 1) for the growth factor g.
///
/// ```
/// use ringmeter_layout::bucket::relative_error;
///
/// assert!((relative_error(5) - 0.0108).abs() < 0.0001);
/// assert!((relative_error(2) - 0.0864).abs() < 0.0001);
/// ```
#[must_use]
pub fn relative_error(schema: u8) -> f64 {
    let growth = growth(schema);
    (growth - 1.0) / (growth + 1.0)
}

/// The value that stands for a bucket: the harmonic mean 2lu / (l + u) of its bounds l and u.
///
/// It has the same relative error, [`relative_error`], towards both bounds, which no other
/// value of the bucket betters. (For subnormal values, below 2.3e-308, the bounds themselves
/// are coarser than that.)
///
/// ```
/// use ringmeter_layout::bucket::{estimate, index, relative_error};
///
/// let value = 0.0123;
/// let error = (estimate(index(value, 5), 5) - value).abs() / value;
/// assert!(error <= relative_error(5));
/// ```
#[must_use]
pub fn estimate(index: i32, schema: u8) -> f64 {
    let growth = growth(schema);
    // With u = g * l the mean is 2u / (g + 1), and 2gl / (g + 1). Taking the bound nearer to 1
    // keeps away from both ends: f64::MAX, which is not 2^1024, and bounds cut down to 0.
    if index > 0 {
        upper_bound(index - 1, schema) * (2.0 * growth / (growth + 1.0))
    } else {
        upper_bound(index, schema) * (2.0 / (growth + 1.0))
    }
}

/// The bucket, `by` schemas lower, that holds all of bucket `index`.
///
/// ```
/// use ringmeter_layout::bucket::{downscale, index};
///
/// assert_eq!(downscale(index(1.7, 5), 3), index(1.7, 2));
/// ```
#[inline]
#[must_use]
pub fn downscale(index: i32, by: u8) -> i32 {
    // ceil(index / 2^by), because the upper bound is inclusive. Shifting by 31 leaves the sign
    // only, and more can't be shifted out.
    (index.saturating_sub(1) >> by.min(31)) + 1
}

/// Which word of a distribution's cells counts a spilled observation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SpillSlot {
    /// Exactly 0, of either sign.
    Zero,
    /// Below 0, minus infinity included.
    Negative,
    /// Above 0, up to 2^-30.
    Underflow,
    /// Above 2^34, infinity included.
    Overflow,
    /// In the spill range: a position below [`spill_bucket_count`].
    Bucket(u32),
}

/// The place among a distribution's cells for an observation.
///
/// NaN is refused before it comes here. Should one come, it counts as overflow.
///
/// ```
/// use ringmeter_layout::bucket::{SpillSlot, spill_slot};
///
/// assert_eq!(spill_slot(0.0, 2), SpillSlot::Zero);
/// assert_eq!(spill_slot(-1.0, 2), SpillSlot::Negative);
/// assert_eq!(spill_slot(1.0, 2), SpillSlot::Bucket(30 * 4 - 1));
/// assert_eq!(spill_slot(1e12, 2), SpillSlot::Overflow);
/// ```
#[inline]
#[must_use]
pub fn spill_slot(value: f64, schema: u8) -> SpillSlot {
    if value > SPILL_LOW && value <= SPILL_HIGH {
        let schema = schema.min(SCHEMA_MAX);
        let bits = value.to_bits();
        // At most 64, and above 2^-30 the sum is at least 1.
        let octave = (bits >> 52) as u32 - (EXPONENT_BIAS + SPILL_EXPONENT_MIN).unsigned_abs();
        let end = (octave << schema) + u32::from(offset_in_octave(bits, schema));
        return SpillSlot::Bucket(end - 1);
    }
    if value == 0.0 {
        SpillSlot::Zero
    } else if value < 0.0 {
        SpillSlot::Negative
    } else if value <= SPILL_LOW {
        SpillSlot::Underflow
    } else {
        SpillSlot::Overflow
    }
}

/// How many base-2 buckets a distribution's cells have: 64 octaves of 2^schema.
///
/// ```
/// assert_eq!(ringmeter_layout::bucket::spill_bucket_count(2), 256);
/// ```
#[inline]
#[must_use]
pub const fn spill_bucket_count(schema: u8) -> u32 {
    SPILL_OCTAVES << if schema > SCHEMA_MAX { SCHEMA_MAX } else { schema }
}

/// The base-2 index, as [`index`] gives it, of the spill bucket at `position`.
///
/// A position at or beyond [`spill_bucket_count`] is taken for the last one.
///
/// ```
/// use ringmeter_layout::bucket::{SpillSlot, index, spill_bucket_index, spill_slot};
///
/// let SpillSlot::Bucket(position) = spill_slot(0.1, 2) else { unreachable!() };
/// assert_eq!(spill_bucket_index(position, 2), index(0.1, 2));
/// ```
#[inline]
#[must_use]
pub fn spill_bucket_index(position: u32, schema: u8) -> i32 {
    let schema = schema.min(SCHEMA_MAX);
    // At most 64 * 2^8, which fits.
    let position = position.min(spill_bucket_count(schema) - 1) as i32;
    position + 1 + (SPILL_EXPONENT_MIN << schema)
}

/// Up to this many bounds, comparing with all of them is faster than searching.
const CLASSIC_SCAN_MAX: usize = 16;

/// The classic bucket of a value: the position of the first bound that is not below it.
///
/// It is `bounds.len()`, the `+Inf` bucket, above all bounds, and for NaN. The bounds must be
/// sorted, as [`naming::bounds`](crate::naming::bounds) checks; otherwise the result means
/// nothing, but is still at most `bounds.len()`.
///
/// ```
/// use ringmeter_layout::bucket::classic_index;
///
/// let bounds = [0.1, 0.5, 1.0];
/// assert_eq!(classic_index(&bounds, 0.1), 0);
/// assert_eq!(classic_index(&bounds, 0.2), 1);
/// assert_eq!(classic_index(&bounds, 7.0), 3);
/// ```
#[inline]
#[must_use]
pub fn classic_index(bounds: &[f64], value: f64) -> usize {
    #[expect(clippy::neg_cmp_op_on_partial_ord, reason = "no bound is at or above NaN")]
    let is_below = |bound: &f64| !(*bound >= value);
    if bounds.len() <= CLASSIC_SCAN_MAX {
        // No branch depends on the value, and the comparisons don't wait for each other.
        return bounds.iter().map(|bound| usize::from(is_below(bound))).sum();
    }
    bounds.partition_point(is_below)
}

// Integer arithmetic over every boundary: no `unsafe` below it, and hours under Miri.
/// The rank of a quantile among `count` observations, from 1; 0 when there are none.
///
/// The nearest rank, `max(1, ceil(quantile × count))`. A product that is above a whole number only
/// by the rounding of the multiplication counts as that number: 0.07 of 100 is 7.
///
/// ```
/// use ringmeter_layout::bucket::nearest_rank;
///
/// assert_eq!(nearest_rank(0.5, 9), 5);
/// assert_eq!(nearest_rank(0.07, 100), 7);
/// assert_eq!(nearest_rank(0.0, 9), 1);
/// assert_eq!(nearest_rank(0.5, 0), 0);
/// ```
#[must_use]
#[expect(clippy::cast_possible_truncation, reason = "clamped to the count")]
#[expect(clippy::cast_sign_loss, reason = "a quantile is not negative")]
#[expect(clippy::cast_precision_loss, reason = "beyond 2^53 observations a rank may be off by one")]
pub fn nearest_rank(quantile: f64, count: u64) -> u64 {
    if count == 0 {
        return 0;
    }
    let exact = quantile * count as f64;
    let is_rounding = exact - exact.floor() <= exact * (4.0 * f64::EPSILON);
    let rank = if is_rounding { exact.floor() } else { exact.ceil() };
    (rank as u64).clamp(1, count)
}

#[cfg(test)]
#[cfg(not(miri))]
mod tests;
