//! A distribution as words of the ledger, and back. Sliding windows begin anew.
//!
//! ```text
//! word  of Area::Distribution
//!    0  sum, bits of an f64
//!    1  what rounding took from it
//!    2  zeros
//!    3  underflow
//!    4  overflow
//!    5  negative overflow
//!    6  negative, and nothing more is known
//!    7  reserved, zero
//!    8  classic buckets, not cumulative; the last is +Inf
//! ```
//!
//! Slice n of `Area::Positive` and `Area::Negative` are the 32 buckets from 2^(n-64) to 2^(n-63).

use super::{Buckets, Distribution};
use crate::budget::Budget;
use crate::ledger::{Area, Key, Ledger, SLICE_WORDS, Slice, ZERO};
use crate::sum::FloatSum;

const RARE_AT: usize = 2;
const CLASSIC_AT: usize = 8;

impl Distribution {
    /// Puts what changed since the last time as that of `slot`.
    pub fn put(&mut self, slot: u32, ledger: &mut Ledger) {
        if !std::mem::take(&mut self.is_changed) {
            return;
        }
        let mut head = [0; CLASSIC_AT];
        let rare = self.buckets.rare();
        let words = self.sum.words().into_iter().chain(rare);
        head.iter_mut().zip(words).for_each(|(head, word)| *head = word);
        let mut words = head.iter().chain(&self.classic).copied();
        for slice in 0..self.slices() {
            let mut own = ZERO;
            own.iter_mut().zip(&mut words).for_each(|(own, word)| *own = word);
            let key = Area::Distribution.key(slot, slice);
            // The sum, or a count beside it, changes with every observation.
            if slice == 0 {
                ledger.put_changed(key, &own, &mut self.head_block);
            } else {
                ledger.put(key, &own);
            }
        }
        self.buckets.drain_changes(|is_negative, octave, counts, block| {
            let area = if is_negative { Area::Negative } else { Area::Positive };
            ledger.put_changed(area.key(slot, octave), counts, block);
        });
    }

    /// Slices of `Area::Distribution`.
    fn slices(&self) -> u32 {
        let words = CLASSIC_AT + self.classic.len();
        u32::try_from(words.div_ceil(SLICE_WORDS)).unwrap_or(u32::MAX)
    }

    /// The slices that it may have in the ledger as that of `slot`.
    pub fn keys(&self, slot: u32) -> impl Iterator<Item = Key> {
        let positive = self.buckets.positive_octaves().map(|(octave, _)| (Area::Positive, octave));
        let negative = self.buckets.negative_octaves().map(|(octave, _)| (Area::Negative, octave));
        let all = (0..self.slices()).map(|slice| (Area::Distribution, slice));
        all.chain(positive).chain(negative).map(move |(area, slice)| area.key(slot, slice))
    }

    /// Takes one slice over; says whether it can be.
    pub fn restore(&mut self, area: Area, slice: u32, words: &Slice, budget: &mut Budget) -> bool {
        match area {
            Area::Positive => self.buckets.restore_positive(slice, words, budget),
            Area::Negative => self.buckets.restore_negative(slice, words, budget),
            _ => {
                let first = slice as usize * SLICE_WORDS;
                let used = words.iter().enumerate().filter(|(_, word)| **word != 0);
                used.map(|(at, word)| (first.saturating_add(at), *word))
                    .all(|(at, word)| self.restore_word(at, word))
            }
        }
    }

    fn restore_word(&mut self, at: usize, word: u64) -> bool {
        if let Some(index) = at.checked_sub(CLASSIC_AT) {
            let bucket = self.classic.get_mut(index);
            return bucket.map(|bucket| *bucket = word).is_some();
        }
        if let Some(index) = at.checked_sub(RARE_AT) {
            return self.buckets.restore_rare(index, word);
        }
        let mut sum = self.sum.words();
        if let Some(own) = sum.get_mut(at) {
            *own = word;
        }
        self.sum = FloatSum::of_words(&sum);
        true
    }
}

impl Buckets {
    fn restore_rare(&mut self, index: usize, count: u64) -> bool {
        let places = [
            &mut self.zero,
            &mut self.underflow,
            &mut self.overflow,
            &mut self.negative_overflow,
            &mut self.negative_unknown,
        ];
        places.into_iter().nth(index).map(|own| *own = count).is_some()
    }

    fn rare(&self) -> [u64; 5] {
        [self.zero, self.underflow, self.overflow, self.negative_overflow, self.negative_unknown]
    }
}
