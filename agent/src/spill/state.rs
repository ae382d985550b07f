//! States: whether a process has retired a series, as it was followed. The marks in the ledger
//! hold the state word like any other of a cell, so that an agent after this one takes a series
//! that was retired before for one that its process does not hold: a retirement is followed once.

use ringmeter_layout::cell;
use ringmeter_layout::naming::Kind;

use super::Cells;
use crate::aggregate::Aggregate;
use crate::series::SeriesRef;

/// A cell's state word, up to which its series was held and given up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct State(pub(super) u64);

impl State {
    pub(super) const fn is_retired(self) -> bool {
        cell::is_retired(self.0)
    }

    /// Follows the word: whatever lies between two looks, the series is given up if its process
    /// held it meanwhile and does not any more.
    pub(super) fn follow(&mut self, word: u64, series: SeriesRef, aggregate: &mut Aggregate) {
        if self.0 == word {
            return;
        }
        if self.is_retired() {
            aggregate.registry().hold(series);
        }
        self.0 = word;
        if self.is_retired() {
            aggregate.registry().retire(series);
        }
    }
}

/// Where in the file the state word of a cell is.
pub(super) fn state_offset_bytes(kind: Kind, offset_bytes: u64) -> u64 {
    offset_bytes.saturating_add(cell::state_word(kind) as u64 * 8)
}

impl Cells {
    /// Whether the series with this cell was retired when an agent before this one looked last.
    pub fn was_retired(&self, kind: Kind, offset_bytes: u64) -> bool {
        self.restored_state(kind, offset_bytes).is_retired()
    }

    pub(super) fn restored_state(&self, kind: Kind, offset_bytes: u64) -> State {
        State(self.marks.restored_word(state_offset_bytes(kind, offset_bytes)))
    }
}
