//! What the steps of all segments work with: totals, limits, buffers and counters.

use ringmeter_layout::exemplar::RECORD_SLOTS_MAX;
use ringmeter_layout::record::Record;
use ringmeter_layout::segment::{LANES_MAX, RawControl};

use crate::aggregate::Aggregate;
use crate::limits::Limits;
use crate::series::FamilyRefused;

/// Private memory into which segments are read, shared by all of them.
#[derive(Debug)]
pub struct Buffers {
    /// Slots of one lane: those of a round, and as many as the last record may reach beyond.
    pub records: Vec<Record>,
    /// Lane control lines.
    pub controls: Vec<RawControl>,
    /// Words of definitions and cells.
    pub words: Vec<u64>,
}

/// Words read at once: 64 KiB, which every definition and every cell fits into.
pub const BUFFER_WORDS: usize = 8192;

impl Buffers {
    /// Buffers for what one step reads at most.
    #[expect(clippy::cast_possible_truncation, reason = "a few thousand records")]
    pub fn new(limits: &Limits) -> Self {
        Self {
            records: vec![
                Record { word: 0, value: 0 };
                limits.records_per_round as usize + RECORD_SLOTS_MAX - 1
            ],
            controls: vec![RawControl::default(); LANES_MAX as usize],
            words: vec![0; BUFFER_WORDS],
        }
    }
}

/// What a step of one segment works with.
pub struct Context<'a> {
    /// The totals.
    pub aggregate: &'a mut Aggregate,
    /// The limits.
    pub limits: &'a Limits,
    /// Private memory to read into.
    pub buffers: &'a mut Buffers,
    /// The agent's counters.
    pub counts: &'a mut Counts,
    /// Monotonic time.
    pub now_ns: u64,
}

/// What the agent counted since it started.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Records read from lanes.
    pub drained: u64,
    /// Records that apps put into cells.
    pub spilled: u64,
    /// Lookups that apps answered with an overflow series because of a limit, ...
    pub overflowed_lookups: u64,
    /// ... and because they gave another number of label values than the metric has labels.
    pub mislabeled_lookups: u64,
    /// Records left unread in the lanes of segments that were refused later.
    pub dropped: u64,
    /// Lanes whose ack was lost: what they held then was left out.
    pub lanes_rebased: u64,
    /// Segments resumed without a ledger that knew them: what was in their cells was left out.
    pub segments_baselined: u64,
    /// Cells that no memory was left for; their spill waits in them.
    pub cells_deferred: u64,
    /// Metrics that were refused because of the limit over all of them, ...
    pub families_over_total: u64,
    /// ... of that of one segment, or its share of what is left, ...
    pub families_over_share: u64,
    /// ... and of that of contradicting definitions of one name.
    pub families_over_variants: u64,
    /// Panics while a segment was read.
    pub panics: u64,
}

impl Counts {
    /// Lookups that apps answered with an overflow series, by reason.
    pub fn lookups_by_reason(&self) -> Vec<(String, u64)> {
        vec![
            ("limit".to_owned(), self.overflowed_lookups),
            ("label_count".to_owned(), self.mislabeled_lookups),
        ]
    }

    /// Counts a metric that was refused.
    pub fn refuse_family(&mut self, reason: FamilyRefused) {
        let count = match reason {
            FamilyRefused::Families => &mut self.families_over_total,
            FamilyRefused::Share => &mut self.families_over_share,
            FamilyRefused::Variants => &mut self.families_over_variants,
            // Tried again later.
            FamilyRefused::Memory => return,
        };
        *count = count.saturating_add(1);
    }
}
