//! Which variant is exposed, which series are retired, and when each began, as words of the
//! ledger, and back.

use ringmeter_layout::definition::FamilyDefinition;

use super::{Registry, Row, SeriesRef, Shape};
use crate::budget::Budget;
use crate::ledger::{Area, Contents, Dirty, Ledger, LedgerError, MINOR_STARTS, SLICE_WORDS, ZERO};

/// Bits of a slice.
const BITS: u32 = 2048;
const _: () = assert!(BITS as usize == SLICE_WORDS * 64);
/// Words of a slice.
const WORDS: u32 = 32;
const _: () = assert!(WORDS as usize == SLICE_WORDS);

/// Slices of bits that changed since the last commit.
#[derive(Debug, Default)]
pub(super) struct Changes {
    exposed: Dirty,
    retired: Dirty,
    starts: Dirty,
}

impl Changes {
    pub(super) fn expose(&mut self, family: u32) {
        mark(&mut self.exposed, family / BITS);
    }

    pub(super) fn retire(&mut self, ordinal: u32) {
        mark(&mut self.retired, ordinal / BITS);
    }

    pub(super) fn start(&mut self, ordinal: u32) {
        mark(&mut self.starts, ordinal / WORDS);
    }
}

fn mark(dirty: &mut Dirty, slice: u32) {
    dirty.grow(slice as usize + 1);
    dirty.mark(slice);
}

impl Registry {
    /// Puts what changed since the last call.
    pub fn put_changes(&mut self, ledger: &mut Ledger) {
        let mut changes = std::mem::take(&mut self.changes);
        changes.exposed.drain(|slice| {
            let is_set = |family| self.is_exposed(family);
            ledger.put(Area::Exposed.key(0, slice), &bits(slice, is_set));
        });
        changes.retired.drain(|slice| {
            let is_set = |ordinal| self.is_retired(ordinal);
            ledger.put(Area::Retired.key(0, slice), &bits(slice, is_set));
        });
        changes.starts.drain(|slice| {
            let first = slice as usize * SLICE_WORDS;
            let mut words = ZERO;
            for (word, series) in words.iter_mut().zip(self.rows.iter().skip(first)) {
                let row = series.and_then(|series| self.row(series));
                *word = row.map_or(0, Row::start_unix_ms);
            }
            if words != ZERO {
                ledger.use_minor(MINOR_STARTS);
            }
            ledger.put(Area::Starts.key(0, slice), &words);
        });
        self.changes = changes;
    }

    fn is_exposed(&self, family: u32) -> bool {
        let own = self.family(family).and_then(|own| self.names.get(own.meta.name()));
        own.is_some_and(|variants| variants.exposed == family)
    }

    fn is_retired(&self, ordinal: u32) -> bool {
        self.series(ordinal).and_then(|series| self.row(series)).is_some_and(|row| row.is_retired)
    }

    /// Whether there is this metric in this shape.
    pub fn knows(&self, definition: &FamilyDefinition) -> bool {
        self.find(&definition.name, &Shape::of(definition)).is_some()
    }

    /// Adds a metric from a ledger, which nobody holds. Its number must be free.
    pub fn restore_family(&mut self, definition: &FamilyDefinition, budget: &mut Budget) {
        let shape = Shape::of(definition);
        budget.force(shape.cost_bytes(definition.help.len()));
        self.is_unsettled = true;
        self.add_family(definition.id, definition, shape);
    }

    /// Adds a series from a ledger. Its number must be free.
    pub fn restore_row(
        &mut self,
        ordinal: u32,
        family: u32,
        pairs: &[(&str, &str)],
        slot: u32,
        cost_bytes: u64,
    ) -> Option<SeriesRef> {
        self.add_row_as(ordinal, family, pairs, slot, cost_bytes)
    }

    /// Finds out which numbers are free, once everything in a ledger is added.
    pub fn count_free(&mut self) {
        let free = |is_free: &mut dyn Iterator<Item = bool>| {
            (0u32..).zip(is_free).filter(|(_, is_free)| *is_free).map(|(at, _)| at).collect()
        };
        self.free_families = free(&mut self.families.iter().map(Option::is_none));
        self.free_ordinals = free(&mut self.rows.iter().map(Option::is_none));
    }

    /// Takes the bits over. Definitions come before.
    ///
    /// # Errors
    /// When a bit is set that means nothing.
    pub fn restore_flags(&mut self, contents: &Contents) -> Result<(), LedgerError> {
        let refuse = |what: &str, bit| LedgerError::corrupt(format!("{what}: bit {bit}"));
        for family in set_bits(contents, Area::Exposed) {
            let own = self.families.get(family as usize).and_then(Option::as_ref);
            let variants = own.and_then(|own| self.names.get_mut(own.meta.name()));
            variants.ok_or_else(|| refuse("exposed", family))?.exposed = family;
        }
        for ordinal in set_bits(contents, Area::Retired) {
            let row = self.series(ordinal).and_then(|series| self.row_mut(series));
            row.ok_or_else(|| refuse("retired", ordinal))?.is_retired = true;
        }
        for (owner, slice, words) in contents.of(Area::Starts) {
            let first = slice as usize * SLICE_WORDS;
            for (at, start) in words.iter().enumerate().filter(|(_, start)| **start > 0) {
                let series = self.rows.get(first.saturating_add(at)).copied().flatten();
                let row = series.filter(|_| owner == 0).and_then(|series| self.row_mut(series));
                row.ok_or_else(|| refuse("starts", slice))?.start_unix_ms = *start;
            }
        }
        self.changes = Changes::default();
        Ok(())
    }

    /// Every process from before a restart is attached again, or gone: from now on the exposed
    /// variant follows the living.
    pub fn settle(&mut self) {
        if std::mem::take(&mut self.is_unsettled) {
            for id in (0u32..).take(self.families.len()) {
                self.choose(id);
            }
        }
    }
}

fn bits(slice: u32, is_set: impl Fn(u32) -> bool) -> [u64; SLICE_WORDS] {
    let mut words = ZERO;
    let mut number = slice * BITS;
    for word in &mut words {
        for bit in 0..64 {
            *word |= u64::from(is_set(number)) << bit;
            number = number.saturating_add(1);
        }
    }
    words
}

fn set_bits(contents: &Contents, area: Area) -> impl Iterator<Item = u32> {
    contents.of(area).flat_map(|(owner, slice, words)| {
        let first = if owner == 0 { slice.saturating_mul(BITS) } else { u32::MAX - BITS };
        let numbered = (0u32..).zip(words.iter());
        numbered.flat_map(move |(at, word)| {
            let word = *word;
            let own = (0..64u32).filter(move |bit| word >> bit & 1 == 1);
            own.map(move |bit| first.saturating_add(at * 64 + bit))
        })
    })
}
