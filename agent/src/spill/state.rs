//! States: whether a process has retired a series, as far as the agent has followed that.
//!
//! The marks in the ledger have the state word like any other of a cell. So the next agent takes a
//! series that was retired before for one that its process does not hold, and follows a retirement
//! once.

use ringmeter_layout::cell;
use ringmeter_layout::naming::Kind;

use super::Cells;
use crate::aggregate::Aggregate;
use crate::series::SeriesRef;

/// A cell's state word, up to which holding and retiring its series were followed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct State(pub(super) u64);

impl State {
    pub(super) const fn is_retired(self) -> bool {
        cell::is_retired(self.0)
    }

    /// Follows the word to where it is now. Whatever lies between two looks: the series is retired
    /// if its process held it meanwhile and does not any more.
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
    /// Whether the series with this cell was retired when the agent before this one looked last.
    pub fn was_retired(&self, kind: Kind, offset_bytes: u64) -> bool {
        self.restored_state(kind, offset_bytes).is_retired()
    }

    pub(super) fn restored_state(&self, kind: Kind, offset_bytes: u64) -> State {
        State(self.marks.restored_word(state_offset_bytes(kind, offset_bytes)))
    }
}

#[cfg(test)]
mod tests {
    use ringmeter_layout::definition::FamilyDefinition;
    use ringmeter_layout::naming::GaugeRule;

    use super::*;
    use crate::limits::Limits;
    use crate::series::Row;

    /// Two processes hold a series; one of them is followed, and the other one dies.
    #[test]
    fn each_change_is_followed_once_and_between_two_looks_all_of_them() {
        let mut aggregate = Aggregate::new(Limits::default());
        let definition = FamilyDefinition {
            id: 0,
            kind: Kind::Counter,
            gauge_rule: GaugeRule::Sum,
            name: "n_total".into(),
            help: String::new(),
            unit: String::new(),
            label_names: Vec::new(),
            bounds: Vec::new(),
            objectives: Vec::new(),
            max_age_ms: 0,
            age_buckets: 0,
        };
        let family = aggregate.hold_family(&definition, 0).unwrap();
        let mut hold = || aggregate.hold_series(family, &[], true, 0).unwrap().series;
        let (series, other) = (hold(), hold());
        assert_eq!(series, other);
        let mut state = State::default();
        let mut is_retired = |word: u64, aggregate: &mut Aggregate| {
            state.follow(word, series, aggregate);
            aggregate.registry().row(series).is_some_and(Row::is_retired)
        };
        assert!(!is_retired(1, &mut aggregate), "the other one holds it");
        assert!(!is_retired(3, &mut aggregate), "and is not given up for this one");
        aggregate.registry().release(other);
        assert!(!is_retired(3, &mut aggregate), "nothing new: who died did not remove it");
        assert!(is_retired(5, &mut aggregate), "held meanwhile, and removed");
        assert!(!is_retired(6, &mut aggregate));
        assert!(!is_retired(8, &mut aggregate), "held again");
        assert!(is_retired(9, &mut aggregate), "once, so that nobody is left");
        // The next agent places it without a holder.
        let placed = aggregate.place_series(family, &[], true, true, 0).unwrap();
        assert_eq!(placed.series, series);
        assert!(is_retired(9, &mut aggregate));
    }
}
