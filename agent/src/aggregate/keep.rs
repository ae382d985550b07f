//! Totals and definitions as words of the ledger, and back.

use super::Aggregate;
use crate::ledger::{Area, Contents, Dirty, Key, Ledger, LedgerError, SLICE_WORDS, Slice, ZERO};
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
    /// Slices of slots whose series have left.
    cleared: Vec<Key>,
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

    /// Whether there is none that was not put.
    fn is_put(&self) -> bool {
        self.integers.is_empty() && self.floats.is_empty() && self.distributions.is_empty()
    }

    /// Empties these slices with the next commit, before anything is put into them.
    pub(super) fn clear(&mut self, keys: impl Iterator<Item = Key>) {
        self.cleared.extend(keys);
    }
}

impl Aggregate {
    /// Puts everything that changed since the last call.
    pub fn put_changes(&mut self, ledger: &mut Ledger) {
        let Self { changes, integers, floats, registry, log, owners, .. } = self;
        log.put(registry, ledger);
        for key in std::mem::take(&mut changes.cleared) {
            ledger.put(key, &ZERO);
        }
        changes.integers.drain(|slice| {
            let start = slice as usize * SLICE_WORDS;
            let words = integers.get(start..).unwrap_or_default();
            put_some(ledger, Area::Integers.key(0, slice), words.iter().copied());
            owners.of_counters(start, SLICE_WORDS).for_each(|family| registry.touch(family));
        });
        changes.floats.drain(|slice| {
            let start = slice as usize * FLOATS_PER_SLICE;
            let sums = floats.get(start..).unwrap_or_default();
            put_some(ledger, Area::Floats.key(0, slice), sums.iter().flat_map(FloatSum::words));
            owners.of_counters(start, FLOATS_PER_SLICE).for_each(|family| registry.touch(family));
        });
        // Settled and put in one go, while the distribution is in the cache.
        self.settle_into(|slot, distribution| distribution.put(slot, ledger));
        let Self { changes, distributions, registry, owners, .. } = self;
        // What was settled is not put again, and its metric is touched. The others have spill.
        changes.distributions.drain(|slot| {
            if let Some(distribution) = distributions.get_mut(slot as usize) {
                distribution.put(slot, ledger);
            }
            owners.of_distribution(slot).into_iter().for_each(|family| registry.touch(family));
        });
        registry.put_changes(ledger);
    }

    /// Whether all changes of totals were put, and so the metrics that have any are touched.
    pub fn is_put(&self) -> bool {
        self.changes.is_put()
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
        let mut unused = self.free.counters.iter().copied().chain([0]);
        let is_clear = |slot: u32| {
            self.integers.get(slot as usize) == Some(&0)
                && self.floats.get(slot as usize) == Some(&FloatSum::default())
        };
        unused.find(|slot| !is_clear(*slot)).map_or(Ok(()), |slot| Err(refuse(slot)))
    }

    fn restore_distributions(&mut self, contents: &Contents) -> Result<(), LedgerError> {
        let Self { distributions, budget, free, .. } = self;
        let is_used = |slot: u32| slot > 0 && free.distributions.binary_search(&slot).is_err();
        for area in [Area::Distribution, Area::Positive, Area::Negative] {
            for (owner, slice, words) in contents.of(area) {
                let own = distributions.get_mut(owner as usize).filter(|_| is_used(owner));
                if !own.is_some_and(|own| own.restore(area, slice, words, budget)) {
                    let detail = format!("{area:?} of slot {owner}: slice {slice}");
                    return Err(LedgerError::corrupt(detail));
                }
            }
        }
        Ok(())
    }
}

fn put_some(ledger: &mut Ledger, key: Key, words: impl Iterator<Item = u64>) {
    let mut slice: Slice = ZERO;
    slice.iter_mut().zip(words).for_each(|(target, word)| *target = word);
    ledger.put(key, &slice);
}
