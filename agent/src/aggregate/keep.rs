//! Totals and definitions as words of the ledger, and back.

use ringmeter_layout::definition::{Definition, FamilyDefinition, SeriesDefinition};
use ringmeter_layout::naming::OVERFLOW_LABEL;

use super::Aggregate;
use crate::ledger::{Area, Contents, Dirty, Key, Ledger, LedgerError, SLICE_WORDS, Slice, ZERO};
use crate::series::OVERFLOW_ROW;
use crate::snapshot::LabelText;
use crate::sum::FloatSum;

/// Float sums in a slice: two words each.
const FLOATS_PER_SLICE: usize = SLICE_WORDS / FLOAT_WORDS;
const FLOAT_WORDS: usize = 2;

/// What changed since the last commit.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// Slices of integer totals.
    integers: Dirty,
    /// Slices of float totals.
    floats: Dirty,
    /// Slots of distributions.
    distributions: Dirty,
    /// Definitions from the last slice boundary that is committed on.
    defined: Vec<u64>,
    /// Slices before those.
    defined_slices: u32,
    is_defined: bool,
}

#[expect(clippy::cast_possible_truncation, reason = "slots are far below 2^32")]
const fn slice_of(slot: u32, per_slice: usize) -> u32 {
    slot / per_slice as u32
}

impl Changes {
    #[inline]
    pub(super) fn integer(&mut self, slot: u32) {
        self.integers.mark(slice_of(slot, SLICE_WORDS));
    }

    #[inline]
    pub(super) fn float(&mut self, slot: u32) {
        self.floats.mark(slice_of(slot, FLOATS_PER_SLICE));
    }

    #[inline]
    pub(super) fn distribution(&mut self, slot: u32) {
        self.distributions.mark(slot);
    }

    /// Makes room for slots below these counts.
    pub(super) fn grow(&mut self, counters: usize, distributions: usize) {
        self.integers.grow(counters.div_ceil(SLICE_WORDS));
        self.floats.grow(counters.div_ceil(FLOATS_PER_SLICE));
        self.distributions.grow(distributions);
    }

    pub(super) fn family(&mut self, number: u32, definition: &FamilyDefinition) {
        let mut kept = definition.clone();
        kept.id = number;
        // Series of several processes come with their labels in several orders.
        kept.label_names.sort_unstable();
        self.define(&kept.encode());
    }

    pub(super) fn series(&mut self, ordinal: u32, family: u32, pairs: &[(&str, &str)]) {
        let mut sorted = pairs.to_vec();
        sorted.sort_unstable();
        let label_values = sorted.iter().map(|(_, value)| (*value).to_owned()).collect();
        let (cell_offset_bytes, is_overflow) = (0, false);
        let (id, family) = (ordinal, family);
        let kept = SeriesDefinition { id, family, cell_offset_bytes, label_values, is_overflow };
        self.define(&kept.encode());
    }

    /// Entries are a multiple of 8 bytes.
    fn define(&mut self, entry: &[u8]) {
        self.defined.extend(entry.chunks_exact(8).map(bytemuck::pod_read_unaligned::<u64>));
        self.is_defined = true;
    }

    fn put_defined(&mut self, ledger: &mut Ledger) {
        if !std::mem::take(&mut self.is_defined) {
            return;
        }
        ledger.put_all(Area::Definitions.key(0, self.defined_slices), &self.defined);
        let mut facts = ZERO;
        facts[0] = u64::from(self.defined_slices) * SLICE_WORDS as u64 + self.defined.len() as u64;
        ledger.put(Area::Facts.key(0, 0), &facts);
        let whole = self.defined.len() / SLICE_WORDS;
        self.defined.drain(..whole * SLICE_WORDS);
        self.defined.shrink_to(1024);
        self.defined_slices += u32::try_from(whole).unwrap_or(0);
    }
}

impl Aggregate {
    /// Puts everything that changed since the last call.
    pub fn put_changes(&mut self, ledger: &mut Ledger) {
        let Self { changes, integers, floats, distributions, registry, .. } = self;
        changes.put_defined(ledger);
        changes.integers.drain(|slice| {
            let start = slice as usize * SLICE_WORDS;
            let words = integers.get(start..).unwrap_or_default();
            put_some(ledger, Area::Integers.key(0, slice), words.iter().copied());
        });
        changes.floats.drain(|slice| {
            let start = slice as usize * FLOATS_PER_SLICE;
            let sums = floats.get(start..).unwrap_or_default();
            put_some(ledger, Area::Floats.key(0, slice), sums.iter().flat_map(FloatSum::words));
        });
        changes.distributions.drain(|slot| {
            if let Some(distribution) = distributions.get(slot as usize) {
                distribution.put(slot, ledger);
            }
        });
        registry.put_changes(ledger);
    }

    /// Takes definitions and totals over from a ledger. No process holds any of them yet.
    ///
    /// # Errors
    /// When the contents contradict themselves.
    pub fn restore(&mut self, contents: &Contents, now_ns: u64) -> Result<(), LedgerError> {
        self.restore_definitions(contents, now_ns)?;
        self.restore_counters(contents)?;
        self.restore_distributions(contents)?;
        self.registry.restore_flags(contents)
    }

    fn restore_definitions(&mut self, contents: &Contents, now_ns: u64) -> Result<(), LedgerError> {
        let length = contents.slice(Area::Facts, 0, 0)[0];
        let mut words: Vec<u64> = Vec::new();
        for (at, (owner, slice, own)) in (0u32..).zip(contents.of(Area::Definitions)) {
            // An entry may hold slices of zeros: label values are any text.
            let start = slice as usize * SLICE_WORDS;
            let is_near = start <= words.len() + ENTRY_ZEROS_MAX_WORDS;
            if owner != 0 || slice < at || !is_near || start as u64 >= length {
                return Err(LedgerError::corrupt(format!("definitions: slice {slice}")));
            }
            words.resize(start, 0);
            words.extend_from_slice(own);
        }
        let whole = usize::try_from(length).unwrap_or(usize::MAX);
        if words.len().saturating_add(ENTRY_ZEROS_MAX_WORDS) < whole {
            return Err(LedgerError::corrupt(format!("definitions: {length} words")));
        }
        words.resize(whole, 0);
        let mut rest: &[u8] = bytemuck::cast_slice(&words);
        while !rest.is_empty() {
            let (definition, size) = Definition::parse(rest).map_err(LedgerError::corrupt)?;
            rest = rest.get(size..).unwrap_or_default();
            match definition {
                Definition::Family(family) => self.restore_family(&family, now_ns)?,
                Definition::Series(series) => self.restore_series(&series, now_ns)?,
                Definition::EndOfChunk => {
                    return Err(LedgerError::corrupt("definitions: an end in the middle"));
                }
            }
        }
        let tail = whole % SLICE_WORDS;
        self.changes.defined = words.get(whole - tail..).unwrap_or_default().to_vec();
        self.changes.defined_slices = u32::try_from(whole / SLICE_WORDS).unwrap_or(u32::MAX);
        Ok(())
    }

    fn restore_family(
        &mut self,
        definition: &FamilyDefinition,
        now_ns: u64,
    ) -> Result<(), LedgerError> {
        let expected = self.registry.family_count();
        let is_new = definition.id as usize == expected && !self.registry.knows(definition);
        if !is_new {
            let detail =
                format!("metric {} ({}), expected {expected}", definition.id, definition.name);
            return Err(LedgerError::corrupt(detail));
        }
        let family = self.registry.add_family(definition, &mut self.budget);
        self.add_overflow(family, now_ns);
        Ok(())
    }

    fn restore_series(
        &mut self,
        definition: &SeriesDefinition,
        now_ns: u64,
    ) -> Result<(), LedgerError> {
        let refuse = || LedgerError::corrupt(format!("series {}", definition.id));
        let family = self.registry.family(definition.family).ok_or_else(refuse)?;
        let names: Vec<Box<str>> = family.shape.label_names.to_vec();
        let values = definition.label_values.iter().map(String::as_str);
        let pairs: Vec<(&str, &str)> = names.iter().map(|name| &**name).zip(values).collect();
        let cost = family.series_cost_bytes(&pairs);
        let is_good = definition.id as usize == self.registry.series_count()
            && !definition.is_overflow
            && definition.label_values.len() == names.len()
            && family.find(&LabelText::new(&pairs)).is_none();
        if !is_good {
            return Err(refuse());
        }
        self.budget.force(cost);
        let slot = self.new_slot(definition.family, now_ns);
        // Its start comes with the flags.
        let series =
            self.registry.add_row(definition.family, &pairs, slot, 0).ok_or_else(refuse)?;
        self.remember_gauge(series);
        Ok(())
    }

    fn restore_counters(&mut self, contents: &Contents) -> Result<(), LedgerError> {
        let refuse = |slice| LedgerError::corrupt(format!("totals: slice {slice}"));
        for (owner, slice, words) in contents.of(Area::Integers) {
            let at = slice as usize * SLICE_WORDS;
            let own = self.integers.get_mut(at..).unwrap_or_default();
            let (now, beyond) = words.split_at(own.len().min(SLICE_WORDS));
            if owner != 0 || now.is_empty() || beyond.iter().any(|word| *word != 0) {
                return Err(refuse(slice));
            }
            own.iter_mut().zip(now).for_each(|(own, word)| *own = *word);
        }
        for (owner, slice, words) in contents.of(Area::Floats) {
            let at = slice as usize * FLOATS_PER_SLICE;
            let own = self.floats.get_mut(at..).unwrap_or_default();
            let (now, beyond) = words.split_at((own.len() * FLOAT_WORDS).min(SLICE_WORDS));
            if owner != 0 || now.is_empty() || beyond.iter().any(|word| *word != 0) {
                return Err(refuse(slice));
            }
            let pairs = now.chunks_exact(FLOAT_WORDS);
            own.iter_mut().zip(pairs).for_each(|(own, pair)| *own = FloatSum::of_words(pair));
        }
        // Slot 0 stands for no series.
        let is_clear =
            self.integers.first() == Some(&0) && self.floats.first() == Some(&FloatSum::default());
        if is_clear { Ok(()) } else { Err(refuse(0)) }
    }

    fn restore_distributions(&mut self, contents: &Contents) -> Result<(), LedgerError> {
        let Self { distributions, budget, .. } = self;
        for area in [Area::Distribution, Area::Positive, Area::Negative] {
            for (owner, slice, words) in contents.of(area) {
                let own = distributions.get_mut(owner as usize).filter(|_| owner > 0);
                if !own.is_some_and(|own| own.restore(area, slice, words, budget)) {
                    let detail = format!("{area:?} of slot {owner}: slice {slice}");
                    return Err(LedgerError::corrupt(detail));
                }
            }
        }
        Ok(())
    }

    /// Adds the overflow series of a metric that has no series yet.
    pub(super) fn add_overflow(&mut self, family: u32, now_ns: u64) {
        let slot = self.new_slot(family, now_ns);
        let pairs = [(OVERFLOW_LABEL, "true")];
        if let Some(series) = self.registry.add_row(family, &pairs, slot, self.start_unix_ms) {
            debug_assert_eq!(series.row, OVERFLOW_ROW);
            self.remember_gauge(series);
        }
    }
}

/// Words of zeros at the end of an entry, at most: an entry is no longer than 64 KiB.
const ENTRY_ZEROS_MAX_WORDS: usize = 8192;

fn put_some(ledger: &mut Ledger, key: Key, words: impl Iterator<Item = u64>) {
    let mut slice: Slice = ZERO;
    slice.iter_mut().zip(words).for_each(|(target, word)| *target = word);
    ledger.put(key, &slice);
}
