//! Counts in base-2 buckets: dense windows that grow to what was observed.

use ringmeter_layout::bucket::{self, SpillSlot, nearest_rank};

use crate::budget::Budget;

/// 32 buckets to the octave.
pub const SCHEMA: u8 = 5;
/// Smallest magnitude with a bucket of its own is above two to this power.
const EXPONENT_MIN: i32 = -64;
/// Largest magnitude with a bucket of its own is two to this power.
const EXPONENT_MAX: i32 = 64;
const INDEX_MIN: i32 = EXPONENT_MIN * (1 << SCHEMA) + 1;
pub(super) const INDEX_MAX: i32 = EXPONENT_MAX * (1 << SCHEMA);
/// 2^64, exactly.
const LARGEST: f64 = 18_446_744_073_709_551_616.0;
/// 2^-64, exactly.
pub(super) const SMALLEST: f64 = 1.0 / LARGEST;
/// Windows grow in steps of an octave.
const STEP: i32 = 1 << SCHEMA;

/// Buckets of an octave.
const OCTAVE: usize = 1 << SCHEMA;
/// The counts of an octave.
type Octave = [u64; OCTAVE];

/// Where an observation is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In the bucket with this index.
    Positive(i32),
    /// In the bucket with this index of the magnitudes below zero.
    Negative(i32),
    /// Zero.
    Zero,
    /// Above zero, and too small for a bucket.
    Underflow,
    /// Too large for a bucket, infinity included.
    Overflow,
    /// Too large for a bucket and below zero.
    NegativeOverflow,
    /// Below zero, and nothing more is known.
    NegativeUnknown,
}

impl Place {
    /// Where a value, not NaN, is counted.
    #[inline]
    pub fn of(value: f64) -> Self {
        if value > SMALLEST && value <= LARGEST {
            return Self::Positive(bucket::index(value, SCHEMA));
        }
        Self::of_rare(value)
    }

    fn of_rare(value: f64) -> Self {
        let magnitude = value.abs();
        if value == 0.0 {
            Self::Zero
        } else if magnitude > LARGEST {
            if value > 0.0 { Self::Overflow } else { Self::NegativeOverflow }
        } else if value > 0.0 {
            Self::Underflow
        } else {
            // Below zero and next to it: the smallest bucket is near enough.
            Self::Negative(bucket::index(magnitude, SCHEMA).max(INDEX_MIN))
        }
    }

    /// Where spill counted at `slot` in cells of `schema` goes: the middle of its coarser bucket.
    pub fn of_spill(slot: SpillSlot, schema: u8) -> Self {
        match slot {
            SpillSlot::Zero => Self::Zero,
            SpillSlot::Negative => Self::NegativeUnknown,
            // Somewhere in (0, 2^-30]: the bucket that ends there keeps counts at bounds right.
            SpillSlot::Underflow => Self::Positive(bucket::SPILL_EXPONENT_MIN * STEP),
            SpillSlot::Overflow => Self::Overflow,
            SpillSlot::Bucket(position) => {
                let by = SCHEMA.saturating_sub(schema);
                let upper = bucket::spill_bucket_index(position, schema) << by;
                let half = (1 << by) / 2;
                Self::Positive(upper - half)
            }
        }
    }
}

/// Writes the buckets of `values` beside them; says whether all are above zero and have one.
#[inline]
pub(super) fn indices(values: &[f64], indices: &mut [i32]) -> bool {
    let mut have_all = true;
    for (index, value) in indices.iter_mut().zip(values) {
        have_all &= (*value > SMALLEST) & (*value <= LARGEST);
        *index = bucket::index(*value, SCHEMA);
    }
    have_all
}

/// Counts by bucket, from the first to the last that was needed.
#[derive(Debug, Default, Clone)]
struct Window {
    first: i32,
    counts: Vec<u64>,
    /// Octaves in which something was counted since it was last put into the ledger: octave n
    /// and octave n + 64 have bit n.
    changed: u64,
    /// Where each octave is in the ledger, as [`Ledger::put_changed`] remembers it.
    ///
    /// [`Ledger::put_changed`]: crate::ledger::Ledger::put_changed
    blocks: Vec<u32>,
}

/// The bit of the octave that an index is in.
#[inline]
fn octave_bit(index: i32) -> u64 {
    1u64.wrapping_shl(((index - 1) >> SCHEMA).cast_unsigned())
}

impl Window {
    #[inline]
    fn get_mut(&mut self, index: i32) -> Option<&mut u64> {
        let at = usize::try_from(i64::from(index) - i64::from(self.first)).ok()?;
        self.counts.get_mut(at)
    }

    fn has(&self, index: i32) -> bool {
        let at = usize::try_from(i64::from(index) - i64::from(self.first));
        at.is_ok_and(|at| at < self.counts.len())
    }

    /// Counts one at each index up to the first that has no count; returns how many.
    #[inline]
    fn add_each(&mut self, indices: &[i32]) -> usize {
        let Self { first, counts, changed, .. } = self;
        let (first, counts) = (i64::from(*first), counts.as_mut_slice());
        let mut bits = *changed;
        let add = |index: &i32| {
            let at = usize::try_from(i64::from(*index) - first).ok();
            let count = at.and_then(|at| counts.get_mut(at))?;
            *count = count.saturating_add(1);
            bits |= octave_bit(*index);
            Some(())
        };
        let count = indices.iter().map_while(add).count();
        *changed = bits;
        count
    }

    /// Counts at `index`; says whether it has a count.
    #[inline]
    fn add(&mut self, index: i32, count: u64) -> bool {
        let Some(own) = self.get_mut(index) else { return false };
        *own = own.saturating_add(count);
        self.changed |= octave_bit(index);
        true
    }

    /// The octaves that changed since the last time, each with its counts and its block.
    fn drain_changes(&mut self, mut each: impl FnMut(u32, &Octave, &mut u32)) {
        let changed = std::mem::take(&mut self.changed);
        if changed == 0 {
            return;
        }
        let mut blocks = std::mem::take(&mut self.blocks);
        blocks.resize(self.counts.len() / OCTAVE, 0);
        for ((octave, counts), block) in self.octaves().zip(&mut blocks) {
            if changed & 1u64.wrapping_shl(octave) != 0 {
                each(octave, counts, block);
            }
        }
        self.blocks = blocks;
    }

    /// Loads all counts. Line after line the processor fetches them ahead; in the order in which
    /// they are needed each would have to be waited for.
    fn warm(&self) {
        const LINE: usize = 64 / size_of::<u64>();
        std::hint::black_box(self.counts.iter().step_by(LINE).fold(0, |all, count| all ^ count));
    }

    /// Whether there is a count for `index` afterwards; grows if the budget allows.
    fn reserve(&mut self, index: i32, budget: &mut Budget) -> bool {
        self.grow(index, |bytes| budget.take_for_buckets(bytes))
    }

    fn grow(&mut self, index: i32, take: impl FnOnce(u64) -> bool) -> bool {
        if self.get_mut(index).is_some() {
            return true;
        }
        let index = index.clamp(INDEX_MIN, INDEX_MAX);
        let length = i32::try_from(self.counts.len()).unwrap_or(i32::MAX);
        let low = (index - 1).div_euclid(STEP) * STEP + 1;
        let (first, end) = if self.counts.is_empty() {
            (low, low + STEP)
        } else {
            (low.min(self.first), (low + STEP).max(self.first + length))
        };
        let added = usize::try_from(end - first - length).unwrap_or(0);
        if !take(added as u64 * 8) {
            return false;
        }
        let mut counts = vec![0; self.counts.len() + added];
        let shift = if self.counts.is_empty() { 0 } else { self.first - first };
        let shift = usize::try_from(shift).unwrap_or(0);
        if let Some(target) = counts.get_mut(shift..shift + self.counts.len()) {
            target.copy_from_slice(&self.counts);
        }
        if !self.blocks.is_empty() {
            self.blocks.splice(0..0, std::iter::repeat_n(0, shift / OCTAVE));
        }
        self.first = first;
        self.counts = counts;
        true
    }

    /// The counts by octave; octave 0 begins at 2^-64.
    fn octaves(&self) -> impl Iterator<Item = (u32, &Octave)> {
        let first = (self.first - 1).div_euclid(STEP) - EXPONENT_MIN;
        let octaves = u32::try_from(first).unwrap_or(0)..;
        octaves.zip(self.counts.chunks_exact(OCTAVE).filter_map(|counts| counts.try_into().ok()))
    }

    /// Takes an octave over; says whether there is such a one.
    fn restore(&mut self, octave: u32, counts: &Octave, budget: &mut Budget) -> bool {
        let index = i64::from(octave) * i64::from(STEP) + i64::from(INDEX_MIN);
        let Some(index) = i32::try_from(index).ok().filter(|index| *index <= INDEX_MAX) else {
            return false;
        };
        self.grow(index, |bytes| {
            budget.force(bytes);
            true
        });
        let at = usize::try_from(index - self.first).unwrap_or(usize::MAX);
        let own = self.counts.get_mut(at..).and_then(|own| own.get_mut(..OCTAVE));
        own.map(|own| own.copy_from_slice(counts)).is_some()
    }

    /// The index nearest to `index` that has a count.
    fn nearest(&self, index: i32) -> Option<i32> {
        let last = i32::try_from(self.counts.len()).ok()?.checked_sub(1)?;
        Some(index.clamp(self.first, self.first + last.max(0)))
    }

    /// Index and count of each bucket, in increasing order.
    fn iter(&self) -> impl DoubleEndedIterator<Item = (i32, u64)> {
        // The range is as long as the counts, so zipping from behind pairs the right ones.
        let end = self.first + i32::try_from(self.counts.len()).unwrap_or(0);
        (self.first..end).zip(self.counts.iter().copied())
    }

    fn subtract(&mut self, other: &Self) {
        for (index, count) in other.iter().filter(|(_, count)| *count > 0) {
            if let Some(own) = self.get_mut(index) {
                *own = own.saturating_sub(count);
            }
        }
    }
}

/// Counts in base-2 buckets, with what no bucket is there for.
#[derive(Debug, Default, Clone)]
pub struct Buckets {
    positive: Window,
    negative: Window,
    pub(super) zero: u64,
    pub(super) underflow: u64,
    pub(super) overflow: u64,
    pub(super) negative_overflow: u64,
    pub(super) negative_unknown: u64,
}

impl Buckets {
    pub(super) fn positive_octaves(&self) -> impl Iterator<Item = (u32, &Octave)> {
        self.positive.octaves()
    }

    /// Hands over each octave that changed since the last time: whether it is one of magnitudes
    /// below zero, its number, its counts, and where it remembers its block.
    pub(super) fn drain_changes(&mut self, mut each: impl FnMut(bool, u32, &Octave, &mut u32)) {
        self.positive.drain_changes(|octave, counts, block| each(false, octave, counts, block));
        self.negative.drain_changes(|octave, counts, block| each(true, octave, counts, block));
    }

    /// Gets what is above zero into the cache.
    pub(super) fn warm(&self) {
        self.positive.warm();
    }

    /// Index and count of each bucket above zero, increasing.
    pub(super) fn positive_counts(&self) -> impl Iterator<Item = (i32, u64)> {
        self.positive.iter()
    }

    /// Index and count of each bucket of the magnitudes below zero, increasing.
    pub(super) fn negative_counts(&self) -> impl Iterator<Item = (i32, u64)> {
        self.negative.iter()
    }

    pub(super) fn negative_octaves(&self) -> impl Iterator<Item = (u32, &Octave)> {
        self.negative.octaves()
    }

    pub(super) fn restore_positive(&mut self, at: u32, counts: &Octave, to: &mut Budget) -> bool {
        self.positive.restore(at, counts, to)
    }

    pub(super) fn restore_negative(&mut self, at: u32, counts: &Octave, to: &mut Budget) -> bool {
        self.negative.restore(at, counts, to)
    }

    /// What was taken from the account of memory for them.
    pub(super) fn size_bytes(&self) -> u64 {
        (self.positive.counts.len() + self.negative.counts.len()) as u64 * 8
    }

    /// Whether `place` can be counted exactly afterwards.
    pub(super) fn reserve(&mut self, place: Place, budget: &mut Budget) -> bool {
        match place {
            Place::Positive(index) => self.positive.reserve(index, budget),
            Place::Negative(index) => self.negative.reserve(index, budget),
            _ => true,
        }
    }

    /// Whether there is a count for each of these buckets above zero.
    pub(super) fn has_all(&self, indices: &[i32]) -> bool {
        let (least, most) = indices
            .iter()
            .fold((i32::MAX, i32::MIN), |(least, most), at| (least.min(*at), most.max(*at)));
        self.positive.has(least) && self.positive.has(most)
    }

    /// Counts at `place`; without memory for its bucket, at the nearest one that is there.
    #[inline]
    pub fn add(&mut self, place: Place, count: u64, budget: &mut Budget) {
        let is_counted = matches!(place, Place::Positive(index) if self.positive.add(index, count));
        if !is_counted {
            self.add_rare(place, count, budget);
        }
    }

    /// Counts one at each of these buckets above zero.
    #[inline]
    pub(super) fn add_each(&mut self, indices: &[i32], budget: &mut Budget) {
        let mut rest = indices;
        loop {
            let beyond = self.positive.add_each(rest);
            let Some((index, after)) = rest.get(beyond..).and_then(<[i32]>::split_first) else {
                return;
            };
            self.add_rare(Place::Positive(*index), 1, budget);
            rest = after;
        }
    }

    #[cold]
    fn add_rare(&mut self, place: Place, count: u64, budget: &mut Budget) {
        self.reserve(place, budget);
        let own = match place {
            Place::Positive(index) => {
                if self.positive.nearest(index).is_some_and(|at| self.positive.add(at, count)) {
                    return;
                }
                &mut self.overflow
            }
            Place::Negative(index) => {
                if self.negative.nearest(index).is_some_and(|at| self.negative.add(at, count)) {
                    return;
                }
                &mut self.negative_unknown
            }
            Place::Zero => &mut self.zero,
            Place::Underflow => &mut self.underflow,
            Place::Overflow => &mut self.overflow,
            Place::NegativeOverflow => &mut self.negative_overflow,
            Place::NegativeUnknown => &mut self.negative_unknown,
        };
        *own = own.saturating_add(count);
    }

    /// Takes away what `other` counted before.
    pub(super) fn subtract(&mut self, other: &Self) {
        self.positive.subtract(&other.positive);
        self.negative.subtract(&other.negative);
        self.zero = self.zero.saturating_sub(other.zero);
        self.underflow = self.underflow.saturating_sub(other.underflow);
        self.overflow = self.overflow.saturating_sub(other.overflow);
        self.negative_overflow = self.negative_overflow.saturating_sub(other.negative_overflow);
        self.negative_unknown = self.negative_unknown.saturating_sub(other.negative_unknown);
    }

    /// Counts nothing, and keeps its memory.
    pub(super) fn clear(&mut self) {
        self.positive.counts.fill(0);
        self.negative.counts.fill(0);
        (self.zero, self.underflow, self.overflow) = (0, 0, 0);
        (self.negative_overflow, self.negative_unknown) = (0, 0);
    }

    /// Each place that counted anything, with its count, in no order.
    pub(super) fn places(&self) -> impl Iterator<Item = (Place, u64)> {
        let positive = self.positive.iter().map(|(index, count)| (Place::Positive(index), count));
        let negative = self.negative.iter().map(|(index, count)| (Place::Negative(index), count));
        let rare = [
            (Place::Zero, self.zero),
            (Place::Underflow, self.underflow),
            (Place::Overflow, self.overflow),
            (Place::NegativeOverflow, self.negative_overflow),
            (Place::NegativeUnknown, self.negative_unknown),
        ];
        positive.chain(negative).chain(rare).filter(|(_, count)| *count > 0)
    }

    /// Adds what `other` counted.
    pub(super) fn merge(&mut self, other: &Self, budget: &mut Budget) {
        for (place, count) in other.places() {
            self.add(place, count, budget);
        }
    }

    /// The value that stands for each bucket with its count, in increasing order.
    fn groups(&self) -> impl Iterator<Item = (f64, u64)> {
        let estimate = |index| bucket::estimate(index, SCHEMA);
        let below = self.negative.iter().rev().map(move |(i, count)| (-estimate(i), count));
        let above = self.positive.iter().map(move |(i, count)| (estimate(i), count));
        [(f64::NAN, self.negative_unknown), (f64::NEG_INFINITY, self.negative_overflow)]
            .into_iter()
            .chain(below)
            .chain([(0.0, self.zero), (SMALLEST, self.underflow)])
            .chain(above)
            .chain([(f64::INFINITY, self.overflow)])
            .filter(|(_, count)| *count > 0)
    }

    /// All observations.
    pub fn count(&self) -> u64 {
        self.groups().fold(0, |sum, (_, count)| sum.saturating_add(count))
    }

    /// Appends an estimate for each of the increasing `objectives`.
    pub fn quantiles(&self, objectives: &[f64], estimates: &mut Vec<f64>) {
        let total = self.count();
        let mut groups = self.groups();
        let (mut seen, mut value) = (0u64, f64::NAN);
        for objective in objectives {
            let rank = nearest_rank(*objective, total);
            while seen < rank {
                let Some((next, count)) = groups.next() else { break };
                seen = seen.saturating_add(count);
                value = next;
            }
            estimates.push(value);
        }
    }
}
