//! Metrics and series in the ledger: a log of definition entries.
//!
//! ```text
//! Area::Facts    word 0: length of the log in words; word 1: its form
//! form 0         families and series are numbered as they come, an overflow series behind each
//!                family is not written, and slots are numbered by kind in the same order
//! form 1         every number is written: the id of an entry is that of the family or series,
//!                `cell_offset_bytes` of a series is its slot, overflow series are written too.
//!                A number may come again behind an entry that frees it: a series without labels
//!                whose family is 2^32 - 1 frees the series with its id, one whose family is
//!                2^32 - 2 the family with its id
//! ```
//!
//! A log begins in form 0. The first series that leaves turns it into form 1: it is written anew.
//! It is also written anew, in one commit, when more than half of it says nothing any more; so
//! what a commit costs stays in proportion to what has changed.

use ringmeter_layout::definition::{Definition, FamilyDefinition, SeriesDefinition};
use ringmeter_layout::naming::OVERFLOW_LABEL;

use super::Aggregate;
use crate::ledger::{Area, Contents, Ledger, LedgerError, MINOR_NUMBERS, SLICE_WORDS, ZERO};
use crate::limits::{FAMILIES_LIMIT, SERIES_LIMIT};
use crate::series::{OVERFLOW_ROW, Registry, SeriesRef};
use crate::snapshot::LabelText;

/// Family of an entry that frees a series.
const FREES_SERIES: u32 = u32::MAX;
/// Family of an entry that frees a family.
const FREES_FAMILY: u32 = u32::MAX - 1;
/// A log with less that says nothing any more is not written anew.
const GARBAGE_MIN_BYTES: u64 = 64 << 10;
/// Words of zeros at the end of an entry, at most: an entry is no longer than 64 KiB.
const ENTRY_ZEROS_MAX_WORDS: usize = 8192;

/// What of the log is still to be committed.
#[derive(Debug, Default)]
pub(super) struct Log {
    /// Words from the last slice boundary that is committed on.
    tail: Vec<u64>,
    /// Slices before those.
    slices: u32,
    is_changed: bool,
    /// Form 1.
    is_explicit: bool,
    needs_rewrite: bool,
    garbage_bytes: u64,
}

impl Log {
    /// Entries are a multiple of 8 bytes.
    fn append(&mut self, entry: &[u8]) {
        self.tail.extend(entry.chunks_exact(8).map(bytemuck::pod_read_unaligned::<u64>));
        self.is_changed = true;
    }

    fn words(&self) -> u64 {
        u64::from(self.slices) * SLICE_WORDS as u64 + self.tail.len() as u64
    }

    /// Puts what changed since the last call.
    pub(super) fn put(&mut self, registry: &Registry, ledger: &mut Ledger) {
        if !std::mem::take(&mut self.is_changed) {
            return;
        }
        let is_mostly_garbage = self.garbage_bytes > self.words().saturating_mul(8) / 2;
        if self.needs_rewrite || (is_mostly_garbage && self.garbage_bytes > GARBAGE_MIN_BYTES) {
            self.rewrite(registry, ledger);
        }
        ledger.put_all(Area::Definitions.key(0, self.slices), &self.tail);
        let mut facts = ZERO;
        facts[0] = self.words();
        facts[1] = self.is_explicit.into();
        ledger.put(Area::Facts.key(0, 0), &facts);
        if self.is_explicit {
            ledger.use_minor(MINOR_NUMBERS);
        }
        let whole = self.tail.len() / SLICE_WORDS;
        self.tail.drain(..whole * SLICE_WORDS);
        self.tail.shrink_to(1024);
        self.slices += u32::try_from(whole).unwrap_or(0);
    }

    /// Writes all of it anew, in form 1.
    fn rewrite(&mut self, registry: &Registry, ledger: &mut Ledger) {
        let end = u32::try_from(self.words().div_ceil(SLICE_WORDS as u64)).unwrap_or(u32::MAX);
        *self = Self { is_explicit: true, ..Self::default() };
        for id in (0u32..).take(registry.family_end()) {
            let Some(family) = registry.family(id) else { continue };
            self.append(&family.entry);
            for row in (0u32..).take(family.rows().len()) {
                if let Some(entry) = entry_of(registry, SeriesRef { family: id, row }) {
                    self.append(&entry.encode());
                }
            }
        }
        self.is_changed = false;
        let own = u32::try_from(self.words().div_ceil(SLICE_WORDS as u64)).unwrap_or(u32::MAX);
        for slice in own..end {
            ledger.put(Area::Definitions.key(0, slice), &ZERO);
        }
    }
}

/// A series as form 1 writes it; `None` if it has left.
fn entry_of(registry: &Registry, series: SeriesRef) -> Option<SeriesDefinition> {
    let row = registry.row(series).filter(|row| row.ordinal() != u32::MAX)?;
    let is_overflow = series.row == OVERFLOW_ROW;
    let label_values = if is_overflow { Vec::new() } else { row.labels.values() };
    let (id, family, cell_offset_bytes) = (row.ordinal(), series.family, row.slot.into());
    Some(SeriesDefinition { id, family, cell_offset_bytes, label_values, is_overflow })
}

fn freeing(id: u32, family: u32) -> SeriesDefinition {
    let (cell_offset_bytes, is_overflow, label_values) = (0, false, Vec::new());
    SeriesDefinition { id, family, cell_offset_bytes, label_values, is_overflow }
}

impl Aggregate {
    /// Writes down a new metric.
    pub(super) fn define_family(&mut self, family: u32) {
        if let Some(family) = self.registry.family(family) {
            self.log.append(&family.entry);
        }
    }

    /// Writes down a new series.
    pub(super) fn define_series(
        &mut self,
        id: u32,
        family: u32,
        pairs: &[(&str, &str)],
        slot: u32,
    ) {
        let mut sorted = pairs.to_vec();
        sorted.sort_unstable();
        let label_values = sorted.iter().map(|(_, value)| (*value).to_owned()).collect();
        let cell_offset_bytes = if self.log.is_explicit { slot.into() } else { 0 };
        let is_overflow = false;
        let kept = SeriesDefinition { id, family, cell_offset_bytes, label_values, is_overflow };
        self.log.append(&kept.encode());
    }

    /// Adds the overflow series of a metric that has no series yet.
    pub(super) fn add_overflow(&mut self, family: u32, now_ns: u64) {
        let slot = self.new_slot(family, now_ns);
        let pairs = [(OVERFLOW_LABEL, "true")];
        // What it costs is in the metric's cost.
        if let Some(series) = self.registry.add_row(family, &pairs, slot, 0) {
            self.registry.set_start(series, self.start_unix_ms);
            debug_assert_eq!(series.row, OVERFLOW_ROW);
            self.give_first_window(series, now_ns);
            self.remember_gauge(series, slot);
            if self.log.is_explicit
                && let Some(entry) = entry_of(&self.registry, series)
            {
                self.log.append(&entry.encode());
            }
        }
    }

    /// Writes down that a series leaves. It is still there.
    pub(super) fn undefine_series(&mut self, series: SeriesRef) {
        if let Some(entry) = entry_of(&self.registry, series) {
            self.free_number(entry.encode().len(), &freeing(entry.id, FREES_SERIES));
        }
    }

    /// Writes down that a metric leaves. It is still there.
    pub(super) fn undefine_family(&mut self, family: u32) {
        if let Some(own) = self.registry.family(family) {
            self.free_number(own.entry.len(), &freeing(family, FREES_FAMILY));
        }
    }

    fn free_number(&mut self, freed_bytes: usize, entry: &SeriesDefinition) {
        let entry = entry.encode();
        let log = &mut self.log;
        log.garbage_bytes = log.garbage_bytes.saturating_add((freed_bytes + entry.len()) as u64);
        log.needs_rewrite |= !log.is_explicit;
        log.append(&entry);
    }

    pub(super) fn restore_definitions(
        &mut self,
        contents: &Contents,
        now_ns: u64,
    ) -> Result<(), LedgerError> {
        let facts = contents.slice(Area::Facts, 0, 0);
        self.log.is_explicit = facts[1] == 1;
        if facts[1] > 1 {
            return Err(LedgerError::corrupt(format!("definitions: form {}", facts[1])));
        }
        let words = words_of(contents, facts[0])?;
        let mut rest: &[u8] = bytemuck::cast_slice(&words);
        while !rest.is_empty() {
            let (definition, size) = Definition::parse(rest).map_err(LedgerError::corrupt)?;
            rest = rest.get(size..).unwrap_or_default();
            match definition {
                Definition::Family(family) => self.restore_family(&family, now_ns)?,
                Definition::Series(series) => self.restore_entry(&series, size, now_ns)?,
                Definition::EndOfChunk => {
                    return Err(LedgerError::corrupt("definitions: an end in the middle"));
                }
            }
        }
        self.registry.count_free();
        let tail = words.len() % SLICE_WORDS;
        self.log.tail = words.get(words.len() - tail..).unwrap_or_default().to_vec();
        self.log.slices = u32::try_from(words.len() / SLICE_WORDS).unwrap_or(u32::MAX);
        self.find_free_slots()
    }

    fn restore_family(
        &mut self,
        definition: &FamilyDefinition,
        now_ns: u64,
    ) -> Result<(), LedgerError> {
        let (id, end) = (definition.id, self.registry.family_end());
        let is_new = if self.log.is_explicit {
            (id as usize) < FAMILIES_LIMIT && self.registry.family(id).is_none()
        } else {
            id as usize == end
        };
        if !is_new || self.registry.knows(definition) {
            let detail = format!("metric {id} ({}), {end} known", definition.name);
            return Err(LedgerError::corrupt(detail));
        }
        self.registry.restore_family(definition, &mut self.budget);
        if !self.log.is_explicit {
            self.add_overflow(id, now_ns);
        }
        Ok(())
    }

    fn restore_entry(
        &mut self,
        definition: &SeriesDefinition,
        size: usize,
        now_ns: u64,
    ) -> Result<(), LedgerError> {
        match definition.family {
            FREES_SERIES | FREES_FAMILY if self.log.is_explicit => {
                self.log.garbage_bytes = self.log.garbage_bytes.saturating_add(size as u64);
                self.restore_freed(definition)
            }
            _ => self.restore_series(definition, now_ns),
        }
    }

    fn restore_freed(&mut self, freed: &SeriesDefinition) -> Result<(), LedgerError> {
        let refuse = || LedgerError::corrupt(format!("{} is freed and not there", freed.id));
        let size = if freed.family == FREES_SERIES {
            let series = self.registry.series(freed.id).ok_or_else(refuse)?;
            // An overflow series leaves with its metric.
            if series.row == OVERFLOW_ROW {
                return Err(refuse());
            }
            let size = entry_of(&self.registry, series).map_or(0, |entry| entry.encode().len());
            self.drop_series(series);
            size
        } else {
            let family = self.registry.family(freed.id).ok_or_else(refuse)?;
            if family.series_count() > 1 {
                return Err(refuse());
            }
            let size = family.entry.len();
            self.drop_family(freed.id);
            size
        };
        self.log.garbage_bytes = self.log.garbage_bytes.saturating_add(size as u64);
        Ok(())
    }

    fn restore_series(
        &mut self,
        definition: &SeriesDefinition,
        now_ns: u64,
    ) -> Result<(), LedgerError> {
        let (id, is_explicit) = (definition.id, self.log.is_explicit);
        let refuse = || LedgerError::corrupt(format!("series {id}"));
        let family = self.registry.family(definition.family).ok_or_else(refuse)?;
        let names: Vec<Box<str>> = family.shape.label_names.to_vec();
        let values = definition.label_values.iter().map(String::as_str);
        let mut pairs: Vec<(&str, &str)> = names.iter().map(|name| &**name).zip(values).collect();
        let is_overflow = definition.is_overflow;
        let cost_bytes = if is_overflow { 0 } else { family.series_cost_bytes(&pairs) };
        let is_number_good = if is_explicit {
            (id as usize) < SERIES_LIMIT && self.registry.series(id).is_none()
        } else {
            id as usize == self.registry.ordinal_end() && !is_overflow
        };
        let values_wanted = if is_overflow { 0 } else { names.len() };
        // In form 1 the overflow series is written, and comes first.
        let is_in_order = is_overflow == family.rows().is_empty();
        if is_overflow {
            pairs = vec![(OVERFLOW_LABEL, "true")];
        }
        let is_good = is_number_good
            && is_in_order
            && definition.label_values.len() == values_wanted
            && family.find(&LabelText::new(&pairs)).is_none();
        if !is_good {
            return Err(refuse());
        }
        let slot = if is_explicit {
            let slot = u32::try_from(definition.cell_offset_bytes).map_err(|_| refuse())?;
            if slot == 0 || slot as usize >= SERIES_LIMIT {
                return Err(refuse());
            }
            self.use_slot(definition.family, slot, now_ns);
            slot
        } else {
            self.new_slot(definition.family, now_ns)
        };
        self.budget.force(cost_bytes);
        let added = self.registry.restore_row(id, definition.family, &pairs, slot, cost_bytes);
        self.remember_gauge(added.ok_or_else(refuse)?, slot);
        Ok(())
    }
}

/// The words of the log.
fn words_of(contents: &Contents, length: u64) -> Result<Vec<u64>, LedgerError> {
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
    Ok(words)
}
