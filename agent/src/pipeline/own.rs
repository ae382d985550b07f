//! The agent's own counters as words of the ledger, and back: they never go back either.
//!
//! One word each in `Area::Own`, in the order of `words`; then one for each reason of rejection,
//! and one for each reason for which a ledger was set aside.

use crate::context::Counts;
use crate::ledger::{self, Area, Contents, SLICE_WORDS, Slice, ZERO};
use crate::reject::{RejectReason, Rejected};

/// Counters of the agent itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Own {
    pub(super) counts: Counts,
    pub(super) rejected: Rejected,
    pub(super) ack_failures: u64,
    pub(super) overflowed_series: u64,
    pub(super) memory_refusals: u64,
    pub(super) passes: u64,
    pub(super) scrapes_incomplete: u64,
    /// By reason.
    pub(super) set_aside: [u64; ledger::Reason::ALL.len()],
}

const SCALARS: usize = 12;
const REJECTED_AT: usize = SCALARS;
const SET_ASIDE_AT: usize = REJECTED_AT + RejectReason::ALL.len();
const _: () = assert!(SET_ASIDE_AT + ledger::Reason::ALL.len() <= SLICE_WORDS);

impl Own {
    fn scalars(&mut self) -> [&mut u64; SCALARS] {
        let counts = &mut self.counts;
        [
            &mut counts.drained,
            &mut counts.spilled,
            &mut counts.overflowed_lookups,
            &mut counts.dropped,
            &mut counts.lanes_rebased,
            &mut counts.segments_baselined,
            &mut counts.cells_deferred,
            &mut self.ack_failures,
            &mut self.overflowed_series,
            &mut self.memory_refusals,
            &mut self.passes,
            &mut self.scrapes_incomplete,
        ]
    }

    pub(super) fn words(&self) -> Slice {
        let mut copy = self.clone();
        let scalars = copy.scalars().map(|word| *word);
        let rejected = RejectReason::ALL.map(|reason| self.rejected.get(reason));
        let all = scalars.into_iter().chain(rejected).chain(self.set_aside);
        let mut words = ZERO;
        words.iter_mut().zip(all).for_each(|(target, word)| *target = word);
        words
    }

    /// Any words are counters; those that a later version knows are left out.
    pub(super) fn restore(contents: &Contents) -> Self {
        let words = contents.slice(Area::Own, 0, 0);
        let mut own = Self::default();
        own.scalars().into_iter().zip(words).for_each(|(target, word)| *target = *word);
        for (reason, word) in RejectReason::ALL.iter().zip(words.iter().skip(REJECTED_AT)) {
            own.rejected.add(*reason, *word);
        }
        let set_aside = words.iter().skip(SET_ASIDE_AT);
        own.set_aside.iter_mut().zip(set_aside).for_each(|(target, word)| *target = *word);
        own
    }
}
