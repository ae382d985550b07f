//! A page in parts, one for each family, from which the next page is made.
//!
//! Between two scrapes most of a page stays as it is: all of a family in which nothing changed,
//! and of the others everything but the digits. So a page is made by copying from the one before,
//! and what is formatted are the numbers that changed:
//!
//! ```text
//!   before   # TYPE … a_total{b="1"} 17\na_total{b="2"} 9\na_total{b="3"} 4\n
//!            └──────── copied ──────┘└─┘└────────── copied ───────────────┘
//!   now      # TYPE … a_total{b="1"} 18\na_total{b="2"} 9\na_total{b="3"} 4\n
//! ```

use std::ops::Range;

use super::number::push_number;
use crate::snapshot::{FamilyBlock, Number, Values};

/// Where a number stands, counted from the beginning of its family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Spot {
    begin: u32,
    end: u32,
}

impl Spot {
    /// Offsets beyond 4 GiB are cut; [`Part::new`] does not keep them.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "a part that long keeps no spots")]
    pub(super) fn new(begin: usize, end: usize) -> Self {
        Self { begin: begin as u32, end: end as u32 }
    }

    /// The same number so many bytes further on.
    pub(super) fn shifted(self, by: usize) -> Self {
        Self::new(self.begin as usize + by, self.end as usize + by)
    }
}

/// One family on a page.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) block: FamilyBlock,
    /// How the family is written; another form is another text.
    pub(super) form: u8,
    pub(super) range: Range<usize>,
    /// Where its numbers are, in their order; empty if it cannot be patched.
    pub(super) spots: Vec<Spot>,
}

impl Part {
    pub(super) fn new(
        block: FamilyBlock,
        form: u8,
        range: Range<usize>,
        mut spots: Vec<Spot>,
    ) -> Self {
        if u32::try_from(range.len()).is_err() || !block.exemplars().is_empty() {
            spots = Vec::new();
        }
        Self { block, form, range, spots }
    }

    /// Whether `block` differs from this part by numbers alone.
    pub(super) fn can_become(&self, block: &FamilyBlock, form: u8) -> bool {
        !self.spots.is_empty()
            && self.form == form
            && self.block.has_same_texts(block)
            && self.block.exemplars().is_empty()
            && block.exemplars().is_empty()
    }
}

/// Appends `old`, which stands in `page`, with the numbers of `new`; says whether that was
/// possible. If not, what was appended is to be thrown away. `created`: there is a line of its
/// own for each start.
pub(super) fn patch_text(
    old: &mut Part,
    page: &[u8],
    new: &FamilyBlock,
    created: bool,
    out: &mut Vec<u8>,
) -> bool {
    let Some(text) = page.get(old.range.clone()) else { return false };
    let begin = out.len();
    let mut copied = 0;
    let mut is_good = true;
    let Part { block, spots, .. } = old;
    let mut all = spots.iter_mut();
    compare(block, new, created, |change| {
        let Some(spot) = all.next() else {
            is_good = false;
            return;
        };
        let at = (spot.begin as usize, spot.end as usize);
        let Some(number) = change else {
            let ahead = out.len() - begin;
            *spot = Spot::new(at.0 - copied + ahead, at.1 - copied + ahead);
            return;
        };
        out.extend_from_slice(text.get(copied..at.0).unwrap_or_default());
        let own = out.len() - begin;
        push_number(out, number);
        *spot = Spot::new(own, out.len() - begin);
        copied = at.1;
    });
    is_good &= all.next().is_none();
    out.extend_from_slice(text.get(copied..).unwrap_or_default());
    is_good && u32::try_from(out.len() - begin).is_ok()
}

/// The same where each number is the eight bytes of a float.
pub(super) fn patch_floats(old: &Part, page: &[u8], new: &FamilyBlock, out: &mut Vec<u8>) -> bool {
    let Some(bytes) = page.get(old.range.clone()) else { return false };
    let begin = out.len();
    out.extend_from_slice(bytes);
    let mut is_good = true;
    let mut all = old.spots.iter();
    compare(&old.block, new, false, |change| {
        let spot = all.next();
        let Some(number) = change else { return };
        let own = spot
            .and_then(|spot| out.get_mut(begin + spot.begin as usize..begin + spot.end as usize));
        match own.and_then(|own| own.first_chunk_mut::<8>()) {
            Some(own) => *own = number.as_f64().to_le_bytes(),
            None => is_good = false,
        }
    });
    is_good && all.next().is_none()
}

/// Calls `each` for each number on the page in its order, with the new one if it changed.
fn compare(
    old: &FamilyBlock,
    new: &FamilyBlock,
    created: bool,
    mut each: impl FnMut(Option<Number>),
) {
    let has_line = |index: usize| created && new.start(index).is_some();
    let integer = |old: u64, new: u64| (old != new).then_some(Number::U64(new));
    let float = |old: f64, new: f64| (old.to_bits() != new.to_bits()).then_some(Number::F64(new));
    match (old.values(), new.values()) {
        (Values::Counter(old), Values::Counter(new)) => {
            for (index, (old, new)) in old.iter().zip(new).enumerate() {
                each((old.bits() != new.bits()).then_some(*new));
                if has_line(index) {
                    each(None);
                }
            }
        }
        (Values::Gauge(old), Values::Gauge(new)) => {
            old.iter().zip(new).for_each(|(old, new)| each(float(*old, *new)));
        }
        (Values::Histogram(old), Values::Histogram(new)) => {
            for (index, (old, new)) in old.iter().zip(new.iter()).enumerate() {
                old.0.iter().zip(new.0).for_each(|(old, new)| each(integer(*old, *new)));
                each(float(old.1, new.1));
                let count = |buckets: &[u64]| buckets.last().copied().unwrap_or(0);
                each(integer(count(old.0), count(new.0)));
                if has_line(index) {
                    each(None);
                }
            }
        }
        (Values::Summary(old), Values::Summary(new)) => {
            for (index, (old, new)) in old.iter().zip(new.iter()).enumerate() {
                old.0.iter().zip(new.0).for_each(|(old, new)| each(float(*old, *new)));
                each(float(old.1, new.1));
                each(integer(old.2, new.2));
                if has_line(index) {
                    each(None);
                }
            }
        }
        _ => {}
    }
}
