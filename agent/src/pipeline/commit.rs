//! The end of a pass: everything that changed is committed, and only then anybody is told.

use ringmeter_layout::naming::SegmentName;

use super::own::Own;
use super::{Known, Pipeline, Scope};
use crate::broken::{self, Break};
use crate::context::Counts;
use crate::segment::{Entry, Segment};

/// A ledger that cannot be written is tried again after this.
pub(super) const RETRY_NS: u64 = 200_000_000;

/// A segment on its way out: until the commit that says so, and as waste from then on.
pub(super) struct Leaving {
    pub(super) segment: Segment,
    /// Whether everything was taken; else it was refused. Of waste: whether its ack says so, too,
    /// and its file may be removed.
    pub(super) is_final: bool,
}

impl Pipeline {
    /// Whether the last values are not committed, so that nothing may be taken or told.
    pub(super) fn is_stuck(&self) -> bool {
        self.is_failing || self.ledger.is_behind()
    }

    /// Whether everything taken so far is committed.
    pub fn is_committed(&self) -> bool {
        !self.is_stuck()
    }

    /// Says good-bye to a segment with the next commit.
    pub(super) fn leave(&mut self, mut segment: Segment, is_final: bool, now_ns: u64) {
        let entry = if is_final {
            segment.put_final(&mut self.ledger)
        } else {
            segment.put(&mut self.ledger);
            segment.entry()
        };
        segment.cells.release(&mut self.aggregate);
        let registry = self.aggregate.registry();
        for series in segment.definitions.series() {
            registry.undefine(*series, now_ns);
        }
        for family in segment.definitions.families() {
            registry.release_family(family, now_ns);
        }
        let known = Known { entry, is_attached: false, is_final, kept: None };
        self.known.insert(segment.name, known);
        self.leaving.push(Leaving { segment, is_final });
    }

    /// Whether this segment is on its way out.
    pub(super) fn is_leaving(&self, name: &SegmentName) -> bool {
        self.leaving.iter().any(|leaving| leaving.segment.name == *name)
    }

    /// Forgets a segment whose file is gone: its entry now, its ack after the commit.
    pub(super) fn forget(&mut self, name: &SegmentName) {
        if let Some(mut known) = self.known.remove(name) {
            known.entry.remove(&mut self.ledger);
            self.gone.push((*name, Some(known.entry.number)));
        }
        self.finals.remove(name);
    }

    /// A number in the ledger that no other segment has.
    pub(super) fn number(&mut self) -> u32 {
        self.free_numbers.pop().unwrap_or_else(|| {
            let number = self.next_number;
            self.next_number = self.next_number.saturating_add(1);
            number
        })
    }

    /// Commits everything that changed, then tells. Says whether it is committed.
    pub(super) fn commit(&mut self, scope: Scope) -> bool {
        let Self { segments, ledger, aggregate, .. } = self;
        for segment in segments.iter_mut().filter(|segment| segment.is_visited) {
            segment.put(ledger);
        }
        aggregate.put_changes(ledger);
        // Counters that move with every pass are committed with something else, or when shown.
        if scope != Scope::Due || ledger.is_changed() {
            let own = self.own();
            own.put(&mut self.ledger);
            self.committing = own;
        }
        if broken::is(Break::AckBeforeCommit) {
            self.tell();
            broken::linger();
        }
        self.retry()
    }

    /// Commits what is put.
    pub(super) fn retry(&mut self) -> bool {
        let before = self.ledger.sequence();
        match self.ledger.commit() {
            Ok(()) => {
                if std::mem::take(&mut self.is_failing) {
                    tracing::info!("the ledger can be written again");
                }
                if self.ledger.sequence() != before {
                    self.committed = self.committing.clone();
                }
                broken::linger();
                self.tell();
                true
            }
            Err(error) => {
                if !std::mem::replace(&mut self.is_failing, true) {
                    tracing::error!(%error, "the ledger is not written: apps spill until it is");
                }
                false
            }
        }
    }

    fn counts_with_panics(&self) -> Counts {
        let panics = self.counts.panics.saturating_add(self.aggregate.panics);
        Counts { panics, ..self.counts.clone() }
    }

    fn own(&self) -> Own {
        let failures = self.segments.iter().map(|segment| segment.ack_failures);
        Own {
            counts: self.counts_with_panics(),
            rejected: self.aggregate.rejected.clone(),
            ack_failures: failures.fold(self.ack_failures, u64::saturating_add),
            overflowed: self.aggregate.overflowed.clone(),
            exemplars_dropped: self.aggregate.exemplars_dropped.clone(),
            expired_series: self.aggregate.expired_series,
            expired_families: self.aggregate.expired_families,
            memory_refusals: self.aggregate.memory().refusals(),
            passes: self.timing.passes,
            scrapes_incomplete: self.timing.scrapes_incomplete,
            set_aside: self.set_aside,
        }
    }

    /// The agent's counters that may be shown.
    pub(super) fn shown(&self) -> Own {
        if broken::is(Break::ServeUncommitted) { self.own() } else { self.committed.clone() }
    }

    /// Acks what is committed, and finishes what waited for it.
    fn tell(&mut self) {
        let id = self.ledger.id();
        for segment in self.segments.iter_mut().filter(|segment| segment.is_visited) {
            segment.acknowledge(id);
            segment.is_visited = false;
        }
        for Leaving { mut segment, is_final } in std::mem::take(&mut self.leaving) {
            segment.acknowledge(id);
            let is_told = !is_final || segment.acknowledge_final().is_ok();
            if !is_told {
                // The ledger knows; it is told again when the file is looked at the next time.
                self.ack_failures = self.ack_failures.saturating_add(1);
            }
            self.ack_failures = self.ack_failures.saturating_add(segment.ack_failures);
            let is_final = is_final && is_told;
            if is_final {
                self.finals.insert(segment.name, segment.identity);
            }
            self.waste.push(Leaving { segment, is_final });
        }
        self.free_numbers.extend(self.gone.iter_mut().filter_map(|(_, number)| number.take()));
    }
}

impl Known {
    /// A segment that is attached for the first time.
    pub(super) fn new(number: u32) -> Self {
        Self { entry: Entry::new(number), is_attached: true, is_final: false, kept: None }
    }
}

#[cfg(test)]
mod tests;
