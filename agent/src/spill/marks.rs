//! What was taken from cells, as slices of the segment file in the ledger, and back.

use std::collections::{BTreeMap, BTreeSet};

use super::state::state_offset_bytes;
use super::{Cells, SpillCell};
use crate::budget::Budget;
use crate::ledger::{Area, Ledger, SLICE_WORDS, Slice, ZERO};

const WORD_BYTES: u64 = 8;
const SLICE_BYTES: u64 = SLICE_WORDS as u64 * WORD_BYTES;

/// Slices that changed since the last commit, and slices from before a restart.
#[derive(Debug, Default)]
pub(super) struct Marks {
    changed: BTreeSet<u32>,
    restored: BTreeMap<u32, Slice>,
}

/// The slice that a byte of the file is in. Segments are far below 2^40 bytes.
fn slice_at(offset_bytes: u64) -> u32 {
    u32::try_from(offset_bytes / SLICE_BYTES).unwrap_or(u32::MAX)
}

/// Which word of its slice a byte of the file is in.
fn index_in_slice(offset_bytes: u64) -> usize {
    usize::try_from(offset_bytes % SLICE_BYTES / WORD_BYTES).unwrap_or(0)
}

impl Marks {
    /// Notes which slices change when `taken` becomes `words`; what `taken` lacks was zero.
    pub(super) fn note(&mut self, offset_bytes: u64, taken: &[u64], words: &[u64]) {
        let mut at = 0;
        while at < words.len() {
            let begin_bytes = offset_bytes + at as u64 * WORD_BYTES;
            let end = words.len().min(at + SLICE_WORDS - index_in_slice(begin_bytes));
            let new = words.get(at..end).unwrap_or_default();
            let is_same = match taken.get(at..end) {
                Some(old) => old == new,
                None => new.iter().zip(at..).all(|(word, at)| *word == super::word(taken, at)),
            };
            if !is_same {
                self.changed.insert(slice_at(begin_bytes));
            }
            at = end;
        }
    }

    /// Slices that changed since the last commit.
    #[cfg(test)]
    pub(super) fn changed(&self) -> &BTreeSet<u32> {
        &self.changed
    }

    /// A word of the file as it was taken before the restart.
    pub(super) fn restored_word(&self, offset_bytes: u64) -> u64 {
        let slice = self.restored.get(&slice_at(offset_bytes));
        slice.and_then(|slice| slice.get(index_in_slice(offset_bytes))).copied().unwrap_or(0)
    }

    /// What was taken from a cell before the restart, if anything was besides its state.
    pub(super) fn restored(
        &self,
        offset_bytes: u64,
        words: usize,
        state_at: usize,
    ) -> Option<Box<[u64]>> {
        if self.restored.is_empty() {
            return None;
        }
        let end_bytes = offset_bytes + words as u64 * WORD_BYTES;
        let mut taken = vec![0; words];
        let mut is_any = false;
        let range = slice_at(offset_bytes)..=slice_at(end_bytes.saturating_sub(WORD_BYTES));
        for (slice, own) in self.restored.range(range) {
            let first = u64::from(*slice) * SLICE_BYTES;
            for (at, word) in (0u64..).zip(own).filter(|(_, word)| **word != 0) {
                let offset = (first + at * WORD_BYTES).checked_sub(offset_bytes);
                let index = offset.and_then(|offset| usize::try_from(offset / WORD_BYTES).ok());
                if let Some(target) = index.and_then(|index| taken.get_mut(index)) {
                    *target = *word;
                    is_any |= index != Some(state_at);
                }
            }
        }
        is_any.then(|| taken.into())
    }
}

impl Cells {
    /// Goes on from what was taken before a restart. Definitions come after.
    pub fn restore(&mut self, marks: BTreeMap<u32, Slice>) {
        self.marks.restored = marks;
    }

    /// Puts the slices that changed since the last call.
    pub fn put_marks(&mut self, number: u32, ledger: &mut Ledger) {
        for slice in std::mem::take(&mut self.marks.changed) {
            ledger.put(Area::Marks.key(number, slice), &self.slice(slice));
        }
    }

    /// Every slice that the ledger may have of these cells.
    pub fn marked(&self) -> Vec<u32> {
        let mut slices: BTreeSet<u32> = self.marks.restored.keys().copied().collect();
        slices.extend(&self.marks.changed);
        for cell in &self.spill {
            if cell.taken.is_some() {
                slices.extend(slice_at(cell.offset_bytes)..=slice_at(end_bytes(cell) - WORD_BYTES));
            } else if cell.state.0 != 0 {
                slices.insert(slice_at(state_offset_bytes(cell.kind, cell.offset_bytes)));
            }
        }
        slices.into_iter().collect()
    }

    /// The words taken from 256 bytes of the file. Cells are sorted by now. What an agent before
    /// this one took of a cell that is beyond a limit now stays: the next one may read it again.
    pub(super) fn slice(&self, slice: u32) -> Slice {
        let mut words = self.marks.restored.get(&slice).copied().unwrap_or(ZERO);
        let start = u64::from(slice) * SLICE_BYTES;
        // The cells of an honest segment do not overlap; of another one some cell is found.
        let first = self.spill.partition_point(|cell| end_bytes(cell) <= start);
        let cells = self.spill.get(first..).unwrap_or_default().iter();
        // Sets what of `own`, which begins there in the file, is in the slice.
        let mut set = |offset_bytes: u64, own: &[u64]| {
            let begin_bytes = offset_bytes.max(start);
            let skipped = usize::try_from((begin_bytes - offset_bytes) / WORD_BYTES);
            let at = usize::try_from((begin_bytes - start) / WORD_BYTES);
            let own = skipped.ok().and_then(|skipped| own.get(skipped..)).unwrap_or_default();
            let targets = at.ok().and_then(|at| words.get_mut(at..)).unwrap_or_default();
            targets.iter_mut().zip(own).for_each(|(target, word)| *target = *word);
        };
        for cell in cells.take_while(|cell| cell.offset_bytes < start + SLICE_BYTES) {
            match &cell.taken {
                Some(taken) => set(cell.offset_bytes, taken),
                None => {
                    set(state_offset_bytes(cell.kind, cell.offset_bytes), &[cell.state.0]);
                }
            }
        }
        words
    }

    /// Pays for a mark from before the restart, which is there whatever the limit says.
    pub(super) fn hold_restored(&mut self, words: usize, budget: &mut Budget) {
        let bytes = words as u64 * WORD_BYTES;
        budget.force(bytes);
        self.held_bytes = self.held_bytes.saturating_add(bytes);
    }
}

fn end_bytes(cell: &SpillCell) -> u64 {
    cell.offset_bytes + cell.words as u64 * WORD_BYTES
}
