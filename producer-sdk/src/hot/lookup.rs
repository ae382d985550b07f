//! Looking up the series of label values, in a cache of this thread. Part of the fast path: with
//! `unsafe`.
//!
//! An entry is half a cache line, found by a hash of what was asked for:
//!
//! ```text
//! word of an entry   what
//!  0 KEY             address of the owner, plus the number of values, or plus MANY
//!  1 SERIES          address of the series
//!  2, 3              the values as words, where there are one or two
//! ```
//!
//! One or two short values, as most lookups have, are compared with the entry itself. Of more, and
//! of long ones, of which a word is but a hash, the series is asked.

#![allow(unsafe_code)]

use core::sync::atomic::{Ordering, compiler_fence};

use ringmeter_layout::cell::is_retired;

use super::{find_slot, own, usize_of};
use crate::labels;
use crate::registry::Series;
use crate::thread::{self, LookupEntry};

const KEY: usize = 0;
const SERIES: usize = 1;
const WORDS: usize = 2;

/// Added to the owner's address where there are more values than an entry has words for, or none.
/// Owners are aligned to eight, so sums tell owner and number.
const MANY: u64 = 3;

/// A lookup: the metric's owner, a family's binding, and label values.
pub(crate) struct Lookup<'a> {
    /// Address of the owner, a multiple of eight. What is cached for it has its family and its
    /// constant labels.
    pub(crate) owner: u64,
    /// The constant labels, which stand before the values.
    pub(crate) constant: &'static Vec<&'static str>,
    pub(crate) values: &'a [&'a str],
}

impl Lookup<'_> {
    /// The series, if this thread has looked it up before.
    #[inline(always)]
    pub(crate) fn cached(&self) -> Option<&'static Series> {
        match self.values {
            [one] => self.cached_at(self.owner + 1, [labels::word(one), 0]),
            [one, two] => self.cached_at(self.owner + 2, [labels::word(one), labels::word(two)]),
            _ => self.cached_of_many(),
        }
    }

    /// One or two values.
    #[inline(always)]
    fn cached_at(&self, key: u64, words: [u64; 2]) -> Option<&'static Series> {
        let entry = thread::lookup(thread::block(), hash(key, words))?;
        let is_it = own(&entry[KEY]) == key
            && own(&entry[WORDS]) == words[0]
            && own(&entry[WORDS + 1]) == words[1];
        if !is_it {
            return None;
        }
        let series = series_of(entry);
        let same =
            !labels::is_long(words[0] | words[1]) || is_of(series, self.constant, self.values);
        (same && !is_retired(series.state.load_relaxed())).then_some(series)
    }

    #[inline(never)]
    fn cached_of_many(&self) -> Option<&'static Series> {
        let (key, words) = self.key();
        let entry = thread::lookup(thread::block(), hash(key, words))?;
        if own(&entry[KEY]) != key || own(&entry[WORDS]) != words[0] {
            return None;
        }
        let series = series_of(entry);
        let same = is_of(series, self.constant, self.values);
        (same && !is_retired(series.state.load_relaxed())).then_some(series)
    }

    /// The key and the words of the values' entry.
    fn key(&self) -> (u64, [u64; 2]) {
        match self.values {
            [one] => (self.owner + 1, [labels::word(one), 0]),
            [one, two] => (self.owner + 2, [labels::word(one), labels::word(two)]),
            many => {
                let words = many.iter().map(|value| labels::word(value));
                (self.owner + MANY, [words.fold(0, labels::mix), 0])
            }
        }
    }

    /// Remembers for this thread what was found.
    #[cold]
    pub(crate) fn remember(&self, series: &'static Series) {
        // A forked child comes here before its first hit: its own segment may be without the
        // series.
        find_slot(series);
        let Some(block) = thread::own_block() else { return };
        let (key, words) = self.key();
        let Some(entry) = thread::lookup(block, hash(key, words)) else { return };
        // A signal handler that looks something up meets the old entry, the new one, or none.
        entry[KEY].store_relaxed(0);
        compiler_fence(Ordering::SeqCst);
        entry[SERIES].store_relaxed(core::ptr::from_ref(series).expose_provenance() as u64);
        entry[WORDS].store_relaxed(words[0]);
        entry[WORDS + 1].store_relaxed(words[1]);
        compiler_fence(Ordering::SeqCst);
        entry[KEY].store_relaxed(key);
    }
}

/// Compares the values themselves with those of a series of the same owner. Takes no reference to
/// the lookup, which then needs no place in memory.
#[inline(never)]
#[expect(clippy::ptr_arg, reason = "its length is read here, and not before")]
fn is_of(series: &Series, constant: &Vec<&str>, values: &[&str]) -> bool {
    let known = series.label_values.get(constant.len()..).unwrap_or_default();
    known.len() == values.len() && known.iter().zip(values).all(|(known, value)| **known == **value)
}

/// Whose highest bits choose the entry. One multiplication for both words: what differs in the
/// second one is moved away from what differs in the first.
#[inline(always)]
fn hash(key: u64, words: [u64; 2]) -> u64 {
    labels::mix(key, words[0].wrapping_add(words[1].rotate_left(29)))
}

/// The series of an entry whose key is not zero.
#[inline(always)]
fn series_of(entry: &LookupEntry) -> &'static Series {
    let address = usize_of(own(&entry[SERIES]));
    // SAFETY:
    // - An entry with a key has the address of a `Series`, stored by `remember` alone in this
    //   thread's own block; a forked child reads zero for the key, which is no owner's.
    // - Series are leaked: the address is valid until the process ends.
    unsafe { &*core::ptr::with_exposed_provenance::<Series>(address) }
}
