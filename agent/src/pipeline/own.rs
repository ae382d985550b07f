//! The agent's own counters as words of the ledger, and back: they never go back either.
//!
//! One word each in slice 0 of `Area::Own`, in the order of `scalars`; then one for each reason of
//! rejection, and one for each reason for which a ledger was set aside. Slice 1 has one word each
//! in the order of `more`, then those for which series went into an overflow series. Slice 2 has
//! those for which exemplars were given up. Slice 3 has one word, once it is not zero: lookups with
//! a wrong number of label values.

use ringmeter_layout::naming::service_name;

use crate::context::Counts;
use crate::ledger::{self, Area, Contents, Ledger, SLICE_WORDS, Slice, ZERO};
use crate::reject::{
    ExemplarDrop, ExemplarsDropped, OverflowReason, Overflowed, RejectReason, Rejected,
};

/// Counters of the agent itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Own {
    pub(super) counts: Counts,
    pub(super) rejected: Rejected,
    pub(super) ack_failures: u64,
    /// Those over the limit of all series stand where the sum of all reasons once stood.
    pub(super) overflowed: Overflowed,
    pub(super) exemplars_dropped: ExemplarsDropped,
    pub(super) expired_series: u64,
    pub(super) expired_families: u64,
    pub(super) memory_refusals: u64,
    pub(super) passes: u64,
    pub(super) scrapes_incomplete: u64,
    /// By reason.
    pub(super) set_aside: [u64; ledger::Reason::ALL.len()],
}

/// `Area::Facts`, slice 1: the length of the name of the service whose totals these are, then
/// the name.
const SERVICE_SLICE: u32 = 1;

/// Remembers whose totals these are: those of another service must not be added to them by an
/// agent that comes later either.
pub(super) fn put_service(service: &str, ledger: &mut Ledger) {
    let mut words = ZERO;
    let (length, room) = words.split_at_mut(1);
    length[0] = service.len() as u64;
    let room: &mut [u8] = bytemuck::cast_slice_mut(room);
    room.iter_mut().zip(service.bytes()).for_each(|(to, from)| *to = from);
    ledger.put(Area::Facts.key(0, SERVICE_SLICE), &words);
}

/// Whose totals these are, if the ledger says so.
pub(super) fn restore_service(contents: &Contents) -> Option<String> {
    let words = contents.slice(Area::Facts, 0, SERVICE_SLICE);
    let (length, room) = words.split_first()?;
    let bytes: &[u8] = bytemuck::cast_slice(room);
    let name = bytes.get(..usize::try_from(*length).ok()?)?;
    let name = std::str::from_utf8(name).ok()?;
    service_name(name).ok().map(|()| name.to_owned())
}

const SCALARS: usize = 12;
/// Where those over the limit of all series stand.
const OVERFLOWED_AT: usize = 8;
const MORE: usize = 6;
const REJECTED_AT: usize = SCALARS;
const SET_ASIDE_AT: usize = REJECTED_AT + RejectReason::ALL.len();
const _: () = assert!(SET_ASIDE_AT + ledger::Reason::ALL.len() <= SLICE_WORDS);

impl Own {
    fn scalars<'a>(&'a mut self, overflowed: &'a mut u64) -> [&'a mut u64; SCALARS] {
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
            overflowed,
            &mut self.memory_refusals,
            &mut self.passes,
            &mut self.scrapes_incomplete,
        ]
    }

    fn more(&mut self) -> [&mut u64; MORE] {
        let counts = &mut self.counts;
        [
            &mut counts.families_over_total,
            &mut counts.families_over_share,
            &mut counts.families_over_variants,
            &mut counts.panics,
            &mut self.expired_series,
            &mut self.expired_families,
        ]
    }

    pub(super) fn put(&self, ledger: &mut Ledger) {
        let mut copy = self.clone();
        let mut total = self.overflowed.get(OverflowReason::Total);
        let scalars = copy.scalars(&mut total).map(|word| *word);
        let rejected = RejectReason::ALL.map(|reason| self.rejected.get(reason));
        let all = scalars.into_iter().chain(rejected).chain(self.set_aside);
        ledger.put(Area::Own.key(0, 0), &slice_of(all));
        let reasons = OverflowReason::ALL.iter().filter(|reason| **reason != OverflowReason::Total);
        let reasons = reasons.map(|reason| self.overflowed.get(*reason));
        let more = copy.more().map(|word| *word);
        ledger.put(Area::Own.key(0, 1), &slice_of(more.into_iter().chain(reasons)));
        let dropped = ExemplarDrop::ALL.map(|reason| self.exemplars_dropped.get(reason));
        ledger.put(Area::Own.key(0, 2), &slice_of(dropped.into_iter()));
        if self.counts.mislabeled_lookups > 0 {
            let words = [self.counts.mislabeled_lookups];
            ledger.put(Area::Own.key(0, 3), &slice_of(words.into_iter()));
        }
    }

    /// Any words are counters; those that a later version knows are left out.
    pub(super) fn restore(contents: &Contents) -> Self {
        let words = contents.slice(Area::Own, 0, 0);
        let mut own = Self::default();
        let mut total = 0;
        own.scalars(&mut total).into_iter().zip(words).for_each(|(target, word)| *target = *word);
        own.overflowed.add_all(OverflowReason::Total, words[OVERFLOWED_AT]);
        for (reason, word) in RejectReason::ALL.iter().zip(words.iter().skip(REJECTED_AT)) {
            own.rejected.add(*reason, *word);
        }
        let set_aside = words.iter().skip(SET_ASIDE_AT);
        own.set_aside.iter_mut().zip(set_aside).for_each(|(target, word)| *target = *word);
        let words = contents.slice(Area::Own, 0, 1);
        own.more().into_iter().zip(words).for_each(|(target, word)| *target = *word);
        let reasons = OverflowReason::ALL.iter().filter(|reason| **reason != OverflowReason::Total);
        for (reason, word) in reasons.zip(words.iter().skip(MORE)) {
            own.overflowed.add_all(*reason, *word);
        }
        for (reason, word) in ExemplarDrop::ALL.iter().zip(contents.slice(Area::Own, 0, 2)) {
            own.exemplars_dropped.add(*reason, *word);
        }
        own.counts.mislabeled_lookups = contents.slice(Area::Own, 0, 3)[0];
        own
    }
}

fn slice_of(words: impl Iterator<Item = u64>) -> Slice {
    let mut slice = ZERO;
    slice.iter_mut().zip(words).for_each(|(target, word)| *target = word);
    slice
}
