//! What is found at once is what is found word by word.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::ledger::{SLICE_WORDS, ZERO};

const SLICE_BYTES: u64 = SLICE_WORDS as u64 * 8;

fn cell(offset_bytes: u64, words: usize, taken: Option<Vec<u64>>, state: u64) -> SpillCell {
    SpillCell {
        offset_bytes,
        words,
        kind: Kind::Counter,
        bounds: 0,
        lane_cell: None,
        placed: None,
        taken: taken.map(Vec::into_boxed_slice),
        state: State(state),
    }
}

/// Words of which most are as they were.
fn before_and_now() -> impl Strategy<Value = (Vec<u64>, Vec<u64>)> {
    prop::collection::vec((any::<u64>(), prop::option::weighted(0.05, any::<u64>())), 0..200)
        .prop_map(|words| words.into_iter().map(|(old, new)| (old, new.unwrap_or(old))).unzip())
}

proptest! {
    #[test]
    fn words_that_differ_are_found(
        (taken, words) in before_and_now(),
        first in 0_usize..220,
        count in 0_usize..220,
    ) {
        let cell = DistributionCell { words: &words, taken: &taken, schema: 2, bounds: 0 };
        let end = first + count;
        let expected: Vec<usize> =
            (first..end.min(words.len())).filter(|at| words[*at] != taken[*at]).collect();
        prop_assert_eq!(cell.changed(first, end).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn slices_that_change_are_noted(
        (taken, words) in before_and_now(),
        known in 0_usize..200,
        offset_words in 0_u64..100,
    ) {
        let (offset_bytes, taken) = (offset_words * 8, &taken[..known.min(taken.len())]);
        let mut marks = marks::Marks::default();
        marks.note(offset_bytes, taken, &words);
        let is_changed = |at: &usize| words[*at] != taken.get(*at).copied().unwrap_or(0);
        let slice = |at: usize| u32::try_from((offset_bytes + at as u64 * 8) / SLICE_BYTES);
        let expected: BTreeSet<u32> =
            (0..words.len()).filter(is_changed).map(|at| slice(at).unwrap()).collect();
        prop_assert_eq!(marks.changed(), &expected);
    }

    /// Cells behind each other, with gaps; of some only the state is known.
    #[test]
    fn slices_have_the_words_of_their_cells(
        parts in prop::collection::vec((0_usize..40, 4_usize..90, any::<bool>()), 1..8),
        slice in 0_u32..24,
    ) {
        let (mut file, mut cells) = (Vec::new(), Cells::default());
        for (gap, words, is_taken) in parts {
            file.resize(file.len() + gap, 0);
            let offset_bytes = file.len() as u64 * 8;
            let own: Vec<u64> = (1..=words as u64).map(|word| offset_bytes << 8 | word).collect();
            let state = offset_bytes + 7;
            if is_taken {
                file.extend(&own);
            } else {
                file.resize(file.len() + words, 0);
                let at = state_offset_bytes(Kind::Counter, offset_bytes) / 8;
                file[usize::try_from(at).unwrap()] = state;
            }
            cells.spill.push(cell(offset_bytes, words, is_taken.then_some(own), state));
        }
        let mut expected = ZERO;
        let begin = slice as usize * SLICE_WORDS;
        let own = file.get(begin..).unwrap_or_default();
        expected.iter_mut().zip(own).for_each(|(to, word)| *to = *word);
        prop_assert_eq!(cells.slice(slice), expected);
    }
}
